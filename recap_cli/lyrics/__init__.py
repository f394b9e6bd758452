"""Words that come with a song: files, encodings, timed formats, tags."""
