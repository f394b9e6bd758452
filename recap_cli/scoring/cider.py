"""CIDEr-D (Vedantam et al. 2015): how far a caption says what its song's references agree on, by weighted n-grams.

The figure of pycocoevalcap in vectorised form, for each song alone or for all captions against all reference sets. An
n-gram weighs log(sets) - log(sets that hold it), so that what is said of every song counts for nothing, and a figure
belongs to the reference sets that it was made with.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from recap_cli.errors import DataError
from recap_cli.scoring.rouge import SPACELESS

if TYPE_CHECKING:
    from scipy.sparse import csr_array

ORDERS = 4
SIGMA = 6.0  # of the penalty on the difference in length, in words
FACTOR = 10.0
BLOCK_CELLS = 4_000_000  # of a table of captions against references: 32 MB
KEPT_TEXTS = 20_000  # whose tokens are kept: the references of several systems are the same
# Two n-grams have equal keys only if they are equal: a word's number stays below this.
WORDS = 1 << 31

# The Penn Treebank's words as Stanford's PTBTokenizer splits them: clitics apart, words with hyphens, slashes, numbers
# and abbreviations whole, no emoji. What it does beyond (addresses, rarer contractions, French elisions) is left.
CLITICS = "n't|'(?:s|m|d|re|ve|ll)"
ABBREVIATIONS = "mr|mrs|ms|dr|st|jr|sr|vs|no|op|feat|ft|vol|approx|prof"
LETTER = rf"[^\W_{SPACELESS}]"
TOKEN = re.compile(
    rf"</?[a-z]+>|(?:{CLITICS})(?!\w)|(?:{ABBREVIATIONS})\.(?=[\s\w])|etc\.|(?:[a-z]\.){{2,}}|"
    r"\d+(?:[.,:]\d+)*(?:/\d+)?(?![\w-])|'\d0s(?!\w)|(?:[a-z]&)+[a-z](?!\w)|[cf]#(?!\w)|"
    rf"(?:(?!(?:{CLITICS})(?!\w))(?:{LETTER}|[-/_'](?={LETTER})(?<=\w.)))+|"
    rf"\.\.\.+|#+|[{SPACELESS}]|[^\s\U00010000-\U0010ffff]"
)
SPLIT = {"cannot": ("can", "not"), "gonna": ("gon", "na"), "wanna": ("wan", "na"), "gotta": ("got", "ta")}
BRACKETS = {"(": "-lrb-", ")": "-rrb-", "[": "-lsb-", "]": "-rsb-", "{": "-lcb-", "}": "-rcb-"}
PUNCTUATION = frozenset(["'", "`", '"', ".", "?", "!", ",", ":", "-", "--", "...", ";"])


@lru_cache(maxsize=KEPT_TEXTS)
def ptb_tokens(text: str) -> tuple[str, ...]:
    """Splits a text into lower-case words of the Penn Treebank, punctuation left out, as pycocoevalcap does.

    A character is a word in scripts without spaces. Brackets stay, as there: its list of punctuation has them in
    capitals, which lower-case text never holds.
    """
    found = TOKEN.findall(text.lower().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'"))
    words = (word for token in found if token not in PUNCTUATION for word in SPLIT.get(token, (token,)))
    return tuple(BRACKETS.get(word, word) for word in words)


def _read(references: Sequence[Sequence[str]]) -> list[tuple[str, ...]]:
    """Returns the words of each reference, set by set."""
    return [ptb_tokens(text) for texts in references for text in texts]


class NGrams:
    """The n-grams of 1 to 4 words that reference captions hold, numbered for each order."""

    def __init__(self, texts: Sequence[Sequence[str]]) -> None:
        self.words: dict[str, int] = {}
        self.keys: list[np.ndarray] = []  # of each order, sorted: an n-gram's number is the place of its key
        self.counts = self._count(texts, self.words)

    def count(self, texts: Sequence[Sequence[str]]) -> "list[csr_array]":
        """Counts the n-grams of each order in other texts [texts, n-grams]; new ones stand behind the known ones."""
        return self._count(texts, dict(self.words))

    def _count(self, texts: Sequence[Sequence[str]], words: dict[str, int]) -> "list[csr_array]":
        """Counts n-grams; those of the first texts that come are the known ones."""
        from scipy.sparse import csr_array

        numbers = np.fromiter((words.setdefault(word, len(words)) for text in texts for word in text), np.int64)
        owners = np.repeat(np.arange(len(texts)), [len(text) for text in texts])
        starts, grams = np.arange(len(numbers)), np.zeros(len(numbers), np.int64)
        found = []
        for order in range(ORDERS):
            if order:  # an n-gram is the one before it, a word shorter, and its last word, which its text must hold
                fits = owners[np.minimum(starts + order, len(owners) - 1)] == owners[starts]
                fits &= starts + order < len(owners)
                starts, grams = starts[fits], grams[fits]
            keys = grams * WORDS + numbers[starts + order]
            if len(self.keys) == order:
                self.keys.append(np.unique(keys))
            known = self.keys[order]
            is_known = np.isin(keys, known)
            new, places = np.unique(keys[~is_known], return_inverse=True)
            grams = np.empty(len(keys), np.int64)
            grams[is_known] = np.searchsorted(known, keys[is_known])
            grams[~is_known] = len(known) + places
            cells = (np.ones(len(grams)), (owners[starts], grams))
            found.append(csr_array(cells, shape=(len(texts), len(known) + len(new))))
        return found


@dataclass(frozen=True)
class Order:
    """The reference captions in n-grams of one order."""

    counts: "csr_array"  # [references, n-grams]
    weights: np.ndarray  # of each n-gram, from 0 to log(sets)
    norms: np.ndarray  # of each reference's weighted counts


class CiderReferences:
    """Sets of reference captions, a set a song, which captions are scored against.

    Args:
        references: captions of each song [sets][references]; no set may be empty.

    Raises:
        DataError: there is no set, or an empty one.
    """

    def __init__(self, references: Sequence[Sequence[str]]) -> None:
        self._place(references)
        self.grams = NGrams(_read(references))
        owners = np.repeat(np.arange(len(references)), self.sizes)
        self.most = float(np.log(len(references)))  # what an n-gram weighs that no other set holds
        self.orders = [self._weigh(counts, owners) for counts in self.grams.counts]
        self.lengths = _lengths(self.grams.counts)

    def weighing(self, references: Sequence[Sequence[str]]) -> "CiderReferences":
        """Returns other sets of references with the weights of these, such as sets with one reference less.

        Raises:
            DataError: a set is empty.
        """
        found = CiderReferences.__new__(CiderReferences)
        found.grams, found.most = self.grams, self.most
        found._place(references)
        meant = self._weighed(self.grams.count(_read(references)))
        found.orders, found.lengths = meant.orders, meant.lengths
        return found

    def _place(self, references: Sequence[Sequence[str]]) -> None:
        """Notes where each set's references stand; an empty one is a DataError."""
        self.sizes = np.array([len(texts) for texts in references], np.int64)
        if not len(self.sizes) or not self.sizes.all():
            raise DataError("CIDEr-D needs reference captions for every song", "leave songs without any out")
        self.starts = np.cumsum(self.sizes) - self.sizes

    def _weigh(self, counts: "csr_array", owners: np.ndarray) -> Order:
        """Returns the weights of one order's n-grams, by the sets that hold them."""
        cells = counts.tocoo()
        held = np.unique(owners[cells.row] * counts.shape[1] + cells.col) % max(counts.shape[1], 1)
        weights = self.most - np.log(np.maximum(np.bincount(held, minlength=counts.shape[1]), 1))
        return Order(counts, weights, _norms(counts, weights))

    def scores(self, captions: Sequence[str], sets: np.ndarray | None = None) -> np.ndarray:
        """Returns CIDEr-D from 0 to 10 of each caption against one set of references [captions].

        Args:
            captions: the captions.
            sets: the number of each one's set [captions]; None takes the set in the caption's place.
        """
        sets = np.arange(len(captions)) if sets is None else np.asarray(sets)
        said = self._weighed(self.grams.count([ptb_tokens(text) for text in captions]))
        sizes = self.sizes[sets]
        ours = np.repeat(np.arange(len(captions)), sizes)
        firsts = np.cumsum(sizes) - sizes
        theirs = np.arange(len(ours)) + np.repeat(self.starts[sets] - firsts, sizes)
        total = np.zeros(len(ours))
        for one, order in zip(said.orders, self.orders, strict=True):
            meant = order.counts[theirs]
            known = one.counts[:, : meant.shape[1]][ours]
            total += _divide(
                known.minimum(meant).multiply(meant) @ order.weights**2, one.norms[ours], order.norms[theirs]
            )
        total *= _penalty(said.lengths[ours] - self.lengths[theirs])
        return FACTOR / ORDERS * np.add.reduceat(total, firsts) / sizes if len(ours) else np.zeros(0)

    def matrix(self, captions: Sequence[str]) -> np.ndarray:
        """Returns CIDEr-D from 0 to 10 of every caption against every set of references [captions, sets]."""
        found = np.empty((len(captions), len(self.sizes)))
        said = self._weighed(self.grams.count([ptb_tokens(text) for text in captions]))
        block = max(1, BLOCK_CELLS // len(self.lengths))
        for start in range(0, len(captions), block):
            rows = slice(start, start + block)
            total = np.zeros((len(found[rows]), len(self.lengths)))
            for one, order in zip(said.orders, self.orders, strict=True):
                total += _divide(_clipped(one.counts[rows], order), one.norms[rows, None], order.norms)
            total *= _penalty(said.lengths[rows, None] - self.lengths)
            found[rows] = FACTOR / ORDERS * np.add.reduceat(total, self.starts, axis=1) / self.sizes
        return found

    def _weighed(self, counts: "list[csr_array]") -> "Captions":
        """Weighs the n-grams of captions; those that no reference holds weigh most."""
        orders = []
        for one, order in zip(counts, self.orders, strict=True):
            new = np.full(max(one.shape[1] - len(order.weights), 0), self.most)
            weights = np.concatenate([order.weights, new])[: one.shape[1]]
            orders.append(Order(one, weights, _norms(one, weights)))
        return Captions(orders, _lengths(counts))


@dataclass(frozen=True)
class Captions:
    """Captions in n-grams of every order."""

    orders: list[Order]
    lengths: np.ndarray


def _clipped(counts: "csr_array", order: Order) -> np.ndarray:
    """Returns the products of weighted counts [captions, references], a caption's cut to those of the reference.

    min(a, b) is the number of levels that both reach, so each level is a product of matrices; most n-grams have one.
    """
    meant = order.counts
    known = counts[:, : meant.shape[1]]
    found = np.zeros((counts.shape[0], meant.shape[0]))
    weighed = meant.multiply(order.weights**2).tocsr()
    for level in range(1, int(min(known.max(), meant.max())) + 1 if known.nnz and meant.nnz else 1):
        found += ((known >= level).astype(float) @ weighed.multiply(meant >= level).tocsr().T).toarray()
    return found


def _norms(counts: "csr_array", weights: np.ndarray) -> np.ndarray:
    """Returns the length of each text's vector of weighted counts [texts]."""
    return np.sqrt(counts.power(2) @ weights**2)


def _lengths(counts: "list[csr_array]") -> np.ndarray:
    """Returns the length of each text [texts] in pairs of words, which is how pycocoevalcap measures it."""
    return counts[1].sum(axis=1)


def _divide(products: np.ndarray, ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """Returns cosines; 0 where a text has no weight."""
    norms = ours * theirs
    return products / np.where(norms > 0, norms, 1.0)


def _penalty(differences: np.ndarray) -> np.ndarray:
    """Returns what a difference in length leaves of a score, from 0 to 1."""
    return np.exp(-(differences**2) / (2 * SIGMA**2))
