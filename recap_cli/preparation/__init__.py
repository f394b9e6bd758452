"""`recap prepare`: a corpus becomes a data folder."""
