"""`recap train`: a data folder becomes a run."""
