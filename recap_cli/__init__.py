"""recap-cli: what a song is about, from its audio and its lyrics."""

__version__ = "0.1.0"
