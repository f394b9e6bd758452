"""Whether captions belong to their songs: they are moved to other songs, and set beside people's."""
