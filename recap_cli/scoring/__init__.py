"""Captions and references to scores, on strings and arrays only."""
