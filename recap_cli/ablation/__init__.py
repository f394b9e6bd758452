"""`recap ablate`: weights of the alignment loss become a figure."""
