"""Meaning: how near a caption comes to its references among the vectors of a sentence encoder, by cosine."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np


class Encoder(Protocol):
    """Turns texts into vectors; see `runtime.sentence_encoder`."""

    signature: str  # says which encoder it is, and how it makes vectors

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Returns vectors of length 1 [texts, width], float32; of a blank text zeros, so that its cosines are 0."""


class MeaningReferences:
    """Sets of reference captions, a set a song, as vectors.

    Args:
        encoder: makes the vectors.
        references: captions of each song [sets][references]; no set may be empty.
    """

    def __init__(self, encoder: Encoder, references: Sequence[Sequence[str]]) -> None:
        self.encoder = encoder
        self.sizes = np.array([len(texts) for texts in references], np.int64)
        self.starts = np.cumsum(self.sizes) - self.sizes
        self.vectors = encoder.encode([text for texts in references for text in texts])

    def scores(self, captions: Sequence[str], sets: np.ndarray | None = None) -> np.ndarray:
        """Returns the cosine to the best reference and the mean over all of one set [captions, 2], from -1 to 1.

        Args:
            captions: the captions.
            sets: the number of each one's set [captions]; None takes the set in the caption's place.
        """
        sets = np.arange(len(captions)) if sets is None else np.asarray(sets)
        said = self.encoder.encode(captions)
        sizes = self.sizes[sets]
        firsts = np.cumsum(sizes) - sizes
        theirs = np.arange(sizes.sum()) + np.repeat(self.starts[sets] - firsts, sizes)
        cosines = np.einsum("ij,ij->i", np.repeat(said, sizes, axis=0), self.vectors[theirs], dtype=float)
        return np.stack([np.maximum.reduceat(cosines, firsts), np.add.reduceat(cosines, firsts) / sizes], axis=1)

    def matrix(self, captions: Sequence[str]) -> np.ndarray:
        """Returns the same of every caption against every set of references [captions, sets, 2]."""
        cosines = (self.encoder.encode(captions) @ self.vectors.T).astype(float)
        best = np.maximum.reduceat(cosines, self.starts, axis=1)
        return np.stack([best, np.add.reduceat(cosines, self.starts, axis=1) / self.sizes], axis=2)
