"""Word overlap of two texts: tokens of any script, ROUGE-1, ROUGE-2 and ROUGE-L as rouge-score has them, and copies."""

import re
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

ROUGE_TYPES = ("rouge1", "rouge2", "rougeL")
PARTS = ("precision", "recall", "f1")
COPIED_WORDS = 5

# Positions of a word from here on are packed by numpy, and kept whatever the length of the text.
FREQUENT = 32
LONG_TEXT = 4096

# Letters by script: rouge-score keeps [a-z0-9] only, so that Japanese or Russian would score 0 against itself.
LATIN = re.compile("[a-zA-Z\u00c0-\u024f\u1e00-\u1eff]+")
# Thai to Tibetan, Burmese, Khmer, kana, ideographs, Hangul: no spaces, or none that part words.
SPACELESS = (
    "\u0e01-\u0fbc\u1000-\u109f\u1100-\u11ff\u1780-\u17dd\u3005-\u3007\u3041-\u3096\u30a1-\u30fa\u30fc-\u30ff"
    "\u3105-\u318e\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3\uf900-\ufaff\uff66-\uff9d\U00020000-\U0003ffff"
)
# Greek, Cyrillic, Armenian, Hebrew, Arabic, the scripts of India, Georgian, Ethiopic; their punctuation left out.
SPACED = (
    "\u0370-\u0556\u0561-\u0588\u05d0-\u05ea\u0620-\u0669\u066e-\u06d3\u06d5-\u06ff\u0750-\u077f"
    "\u0900-\u0963\u0966-\u0df3\u10a0-\u10ff\u1200-\u135a"
)
OTHER = re.compile(f"[{SPACELESS}]|[{SPACED}]+")
TOKEN = re.compile(f"[a-z0-9]+|[{SPACELESS}]|[{SPACED}]+")
WORD = re.compile(rf"[{SPACELESS}]|[^\s{SPACELESS}]+")


@dataclass(frozen=True)
class Overlap:
    """One ROUGE measure of a prediction, each part from 0 to 1."""

    precision: float  # share of the prediction's n-grams (or words in order) that the reference has
    recall: float  # share of the reference's that the prediction has
    f1: float  # harmonic mean of the two; in a mean over references, the mean of their F1


def rouge(reference: Sequence[str], prediction: Sequence[str]) -> tuple[Overlap, Overlap, Overlap]:
    """Returns ROUGE-1, ROUGE-2 and ROUGE-L (Lin 2004) of two token lists.

    Equal to rouge-score 0.1.2, which fills a table of all pairs of words; the tests compare the two.
    """
    pairs = [list(pairwise(tokens)) for tokens in (reference, prediction)]
    return (
        _overlap(_shared(reference, prediction), len(reference), len(prediction)),
        _overlap(_shared(*pairs), len(pairs[0]), len(pairs[1])),
        _overlap(lcs_length(reference, prediction), len(reference), len(prediction)),
    )


def _shared(reference: Sequence[Hashable], prediction: Sequence[Hashable]) -> int:
    """Counts the items that two lists share, each as often as both have it."""
    counts = Counter(reference)
    return sum(min(count, counts[item]) for item, count in Counter(prediction).items() if item in counts)


def _overlap(shared: int, reference: int, prediction: int) -> Overlap:
    """Turns counts into precision, recall and F1; without items all are 0."""
    precision, recall = shared / max(prediction, 1), shared / max(reference, 1)
    return Overlap(precision, recall, 2 * precision * recall / (precision + recall) if shared else 0.0)


def lcs_length(a: Sequence[str], b: Sequence[str]) -> int:
    """Returns the length of the longest common subsequence.

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
            # A mask is as long as the text: of long texts only those are kept that come up again and again.
            if len(places[word]) >= FREQUENT or len(a) < LONG_TEXT:
                masks[word] = mask
        hits = row & mask
        row = ((row + hits) | (row - hits)) & everything
    return len(a) - row.bit_count()


def _mask(places: list[int]) -> int:
    """Returns an integer with the bits at `places`, ascending, set."""
    if len(places) < FREQUENT:
        return sum(1 << place for place in places)
    bits = np.zeros(places[-1] + 1, dtype=bool)
    bits[places] = True
    return int.from_bytes(np.packbits(bits, bitorder="little").tobytes(), "little")


def copied_share(prediction: Sequence[str], lyrics: Sequence[str]) -> float:
    """Returns the share of a prediction's 5-grams that stand in the lyrics; 0 for a shorter prediction."""
    size = COPIED_WORDS
    said, sung = ([tuple(text[i : i + size]) for i in range(len(text) - size + 1)] for text in (prediction, lyrics))
    known = set(sung)
    return sum(group in known for group in said) / len(said) if said else 0.0


def rouge_tokens(text: str, by_characters: bool) -> list[str]:
    """Splits a text as rouge-score does without stemming, or by `tokens_of_any_script`."""
    from rouge_score.tokenize import tokenize

    return tokens_of_any_script(text) if by_characters else tokenize(text, None)


def tokens_of_any_script(text: str) -> list[str]:
    """Splits a text into words as rouge-score does, words of other scripts, and characters of `SPACELESS` scripts."""
    return TOKEN.findall(text.lower())


def is_other_script(references: Sequence[str]) -> bool:
    """Whether a song's references have more words in other letters than in Latin ones, a character being a word.

    The references alone decide, so that two systems are read alike.
    """
    text = " ".join(references)
    return len(OTHER.findall(text)) > len(LATIN.findall(text))


def count_words(text: str) -> int:
    """Counts the words of a text; a character is a word in scripts without spaces."""
    return len(WORD.findall(text))
