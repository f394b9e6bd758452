"""The made-up corpus: songs, lyrics and captions from one seed."""
