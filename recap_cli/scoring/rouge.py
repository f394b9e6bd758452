"""Word overlap of two texts: tokens of any script, ROUGE-1, ROUGE-2 and ROUGE-L as rouge-score has them, and copies."""

import re
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np

ROUGE_TYPES = ("rouge1", "rouge2", "rougeL")
PARTS = ("precision", "recall", "f1")
COPIED_WORDS = 5

# Positions of a word from here on are packed by numpy, and kept whatever the length of the text.
FREQUENT = 32
LONG_TEXT = 4096

# Tables of many texts against many are filled for this many cells at a time: 128 MB.
TABLE_CELLS = 16_000_000

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


def rouge_pairs(
    captions: Sequence[str],
    reference_sets: Sequence[Sequence[str]],
    part: Literal["f1", "recall"] = "f1",
    over: Literal["best", "mean"] = "best",
) -> dict[str, np.ndarray]:
    """Returns ROUGE-1, ROUGE-2 and ROUGE-L of every caption against every set of references [captions, sets].

    Equal to `rouge` of each pair, digit by digit; the best reference of a set counts, or the mean over it. No set may
    be empty.
    """
    found = {name: np.zeros((len(captions), len(reference_sets))) for name in ROUGE_TYPES}
    others = np.array([is_other_script(texts) for texts in reference_sets])
    for by_characters in (False, True):
        columns = np.flatnonzero(others == by_characters).tolist()
        if not columns:
            continue
        sets = [reference_sets[column] for column in columns]
        texts = {text: place for place, text in enumerate(dict.fromkeys(text for one in sets for text in one))}
        flat = [texts[text] for one in sets for text in one]
        sizes = np.array([len(one) for one in sets])
        starts = np.cumsum(sizes) - sizes
        said, meant = ([rouge_tokens(text, by_characters) for text in side] for side in (captions, texts))
        for name, table in overlap_tables(said, meant, part).items():
            spread = table[:, flat]
            if over == "best":
                found[name][:, columns] = np.maximum.reduceat(spread, starts, axis=1)
            else:
                found[name][:, columns] = np.add.reduceat(spread, starts, axis=1) / sizes
    return found


def overlap_tables(
    predictions: Sequence[Sequence[str]], references: Sequence[Sequence[str]], part: Literal["f1", "recall"]
) -> dict[str, np.ndarray]:
    """Returns one part of each ROUGE measure for every prediction and reference [predictions, references]."""
    pairs = [[list(pairwise(tokens)) for tokens in side] for side in (predictions, references)]
    shared = {
        "rouge1": shared_table(predictions, references),
        "rouge2": shared_table(*pairs),
        "rougeL": lcs_table(predictions, references),
    }
    tables = {}
    for name, counts in shared.items():
        said, meant = pairs if name == "rouge2" else (predictions, references)
        recall = counts / np.maximum([len(tokens) for tokens in meant], 1)
        if part == "recall":
            tables[name] = recall
            continue
        precision = counts / np.maximum([len(tokens) for tokens in said], 1)[:, None]
        tables[name] = 2 * precision * recall / np.where(counts > 0, precision + recall, 1.0)
    return tables


def shared_table(predictions: Sequence[Sequence[Hashable]], references: Sequence[Sequence[Hashable]]) -> np.ndarray:
    """Counts the items that every prediction shares with every reference, each as often as both have it [., .].

    An item that comes a second time is an item of its own, so that counts are products of matrices of 0 and 1.
    """
    from scipy.sparse import csr_array

    known: dict[tuple[Hashable, int], int] = {}
    numbers = [[known.setdefault(item, len(known)) for item in numbered(items)] for items in references]
    asked = [[known[item] for item in numbered(items) if item in known] for items in predictions]

    def ones(rows: Sequence[Sequence[int]]) -> csr_array:
        ends = np.cumsum([0, *map(len, rows)])
        places = np.fromiter((number for row in rows for number in row), np.int32, ends[-1])
        return csr_array((np.ones(len(places), np.int32), places, ends), shape=(len(rows), len(known)))

    return (ones(asked) @ ones(numbers).T).toarray()


def numbered(items: Iterable[Hashable]) -> list[tuple[Hashable, int]]:
    """Returns items with how often each has come before."""
    seen: Counter[Hashable] = Counter()
    found = []
    for item in items:
        found.append((item, seen[item]))
        seen[item] += 1
    return found


def lcs_table(predictions: Sequence[Sequence[str]], references: Sequence[Sequence[str]]) -> np.ndarray:
    """Returns the longest common subsequence of every prediction and reference [predictions, references].

    As `lcs_length`, with a reference a column: a step takes one word of a prediction through all references at once.
    """
    found = np.zeros((len(predictions), len(references)), np.int32)
    # Numbers of 64 bits that a reference needs; longer ones would make short ones wait.
    sizes = np.array([-(-len(tokens) // 64) for tokens in references])
    for size in np.unique(sizes[sizes > 0]):
        columns = np.flatnonzero(sizes == size).tolist()
        words = len({word for column in columns for word in references[column]})
        block = max(1, TABLE_CELLS // (words * int(size)))
        for start in range(0, len(columns), block):
            part = columns[start : start + block]
            found[:, part] = lcs_columns(predictions, [references[column] for column in part], int(size))
    return found


def lcs_columns(predictions: Sequence[Sequence[str]], references: Sequence[Sequence[str]], size: int) -> np.ndarray:
    """Returns what `lcs_table` does, for references that need `size` numbers of 64 bits each."""
    masks = word_masks(references, size)
    rows = np.empty((len(predictions), size, len(references)), np.uint64)
    hits, rest = np.empty((2, size, len(references)), np.uint64)
    for row, tokens in zip(rows, predictions, strict=True):
        row[:] = ~np.uint64(0)
        for word in tokens:
            mask = masks.get(word)
            if mask is None:
                continue
            np.bitwise_and(row, mask, out=hits)
            np.bitwise_xor(row, hits, out=rest)
            np.add(row, hits, out=row)
            if size > 1:
                carry_over(row, hits)
            np.bitwise_or(row, rest, out=row)
    # A word found in order has left a 0; bits beyond a reference are 1 all the time.
    zeros = 8 - _BITS[rows.view(np.uint8)].reshape(len(predictions), size, len(references), 8)
    return zeros.sum(axis=(1, 3), dtype=np.int32)


# How many bits of a byte are set.
_BITS = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).sum(axis=1, dtype=np.uint8)


def word_masks(references: Sequence[Sequence[str]], size: int) -> Mapping[str, np.ndarray]:
    """Returns where each word stands in each reference, a bit a place [size, references]."""
    numbers: dict[str, int] = {}
    cells = [
        (numbers.setdefault(word, len(numbers)), place // 64, column, place % 64)
        for column, tokens in enumerate(references)
        for place, word in enumerate(tokens)
    ]
    rows, parts, columns, bits = np.array(cells, np.int64).T
    table = np.zeros((len(numbers), size, len(references)), np.uint64)
    np.bitwise_or.at(table, (rows, parts, columns), np.uint64(1) << bits.astype(np.uint64))
    return dict(zip(numbers, table, strict=True))


def carry_over(total: np.ndarray, added: np.ndarray) -> None:
    """Carries what overflows in a sum of long numbers [size, columns] on to the next 64 bits, in place."""
    carry = np.zeros(total.shape[1], np.uint64)
    for sums, summand in zip(total, added, strict=True):
        over = sums < summand
        sums += carry
        over |= sums < carry
        carry = over.astype(np.uint64)


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
