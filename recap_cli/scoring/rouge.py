"""Word overlap of two texts: ROUGE-1, ROUGE-2 and ROUGE-L as rouge-score computes them, and what was copied."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

ROUGE_TYPES = ("rouge1", "rouge2", "rougeL")
PARTS = ("precision", "recall", "f1")
COPIED_WORDS = 5

# Positions of a word from here on are packed by numpy, and kept whatever the length of the text.
FREQUENT = 32
LONG_TEXT = 4096


@dataclass(frozen=True)
class Overlap:
    """One ROUGE measure of a prediction, each part from 0 to 1.

    Attributes:
        precision: share of the prediction's n-grams (or words in order) that the reference has.
        recall: share of the reference's that the prediction has.
        f1: harmonic mean of the two; in a mean over references, the mean of their F1.
    """

    precision: float
    recall: float
    f1: float


def rouge(reference: Sequence[str], prediction: Sequence[str]) -> tuple[Overlap, Overlap, Overlap]:
    """Give ROUGE-1, ROUGE-2 and ROUGE-L (Lin 2004) of two token lists.

    Equal to rouge-score 0.1.2, which fills a table of all pairs of words; the tests compare the two.
    """
    pairs = [list(pairwise(tokens)) for tokens in (reference, prediction)]
    return (
        _overlap(_shared(reference, prediction), len(reference), len(prediction)),
        _overlap(_shared(*pairs), len(pairs[0]), len(pairs[1])),
        _overlap(lcs_length(reference, prediction), len(reference), len(prediction)),
    )


def _shared(reference: Sequence, prediction: Sequence) -> int:
    """Count the items that two lists share, each as often as both have it."""
    counts = Counter(reference)
    return sum(min(count, counts[item]) for item, count in Counter(prediction).items() if item in counts)


def _overlap(shared: int, reference: int, prediction: int) -> Overlap:
    """Turn counts into precision, recall and F1; without items all are 0."""
    precision, recall = shared / max(prediction, 1), shared / max(reference, 1)
    return Overlap(precision, recall, 2 * precision * recall / (precision + recall) if shared else 0.0)


def lcs_length(a: Sequence[str], b: Sequence[str]) -> int:
    """Give the length of the longest common subsequence.

    Bit-parallel (Hyyro 2004): a row of the table is one integer, a step over it a few operations, so that texts of
    100,000 words take seconds.
    """
    places: dict[str, list[int]] = {}
    for place, word in enumerate(a):
        places.setdefault(word, []).append(place)
    masks: dict[str, int] = {}
    everything = (1 << len(a)) - 1
    row = everything
    for word in b:
        if word not in places:
            continue
        mask = masks.get(word)
        if mask is None:
            mask = _mask(places[word])
            if len(places[word]) >= FREQUENT or len(a) < LONG_TEXT:
                masks[word] = mask
        hits = row & mask
        row = ((row + hits) | (row - hits)) & everything
    return len(a) - row.bit_count()


def _mask(places: list[int]) -> int:
    """Set the bits at `places`, ascending."""
    if len(places) < FREQUENT:
        return sum(1 << place for place in places)
    bits = np.zeros(places[-1] + 1, dtype=bool)
    bits[places] = True
    return int.from_bytes(np.packbits(bits, bitorder="little").tobytes(), "little")


def copied_share(prediction: Sequence[str], lyrics: Sequence[str], words: int = COPIED_WORDS) -> float:
    """Give the share of a prediction's groups of `words` words that stand in the lyrics; 0 for a shorter prediction."""
    said, sung = ([tuple(text[i : i + words]) for i in range(len(text) - words + 1)] for text in (prediction, lyrics))
    known = set(sung)
    return sum(group in known for group in said) / len(said) if said else 0.0
