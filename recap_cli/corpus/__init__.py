"""Many songs: records, the demo corpus, the mel cache and training batches."""
