"""METEOR as NLTK computes it, without a download: its tokens, and the synonyms of WordNet 3.0 that it matches with."""

import gzip
import re
from collections import defaultdict
from collections.abc import Sequence
from functools import cache, lru_cache, partial
from importlib.resources import files
from types import SimpleNamespace
from typing import TYPE_CHECKING, Protocol

from recap_cli.errors import DataError
from recap_cli.scoring.rouge import tokens_of_any_script

if TYPE_CHECKING:
    from nltk.tokenize import NLTKWordTokenizer
    from nltk.tokenize.punkt import PunktSentenceTokenizer

TABLE = "wordnet_synonyms.txt.gz"
WORDNET_VERSION = "3.0"
REINSTALL = "install the program again: pip install . in its folder"

# NLTK's defaults; METEOR 1.5 has others, and gives other figures.
METEOR_SETTINGS = {"alpha": 0.9, "beta": 3.0, "gamma": 0.5}
ENDS = re.compile("[.?!]")
KEPT_TEXTS = 20_000  # whose tokens are kept: the references of several systems are the same
KEPT_WORDS = 100_000  # whose stems and synonyms are kept; captions repeat their words

# WordNet's rules of detachment (morphy), by part of speech, in NLTK's order.
SUFFIXES = {
    "noun": (
        ("s", ""), ("ses", "s"), ("ves", "f"), ("xes", "x"), ("zes", "z"), ("ches", "ch"), ("shes", "sh"),
        ("men", "man"), ("ies", "y"),
    ),
    "verb": (
        ("s", ""), ("ies", "y"), ("es", "e"), ("es", ""), ("ed", "e"), ("ed", ""), ("ing", "e"), ("ing", ""),
    ),
    "adj": (("er", ""), ("est", ""), ("er", "e"), ("est", "e")),
    "adv": (),
}  # fmt: skip


class Meteor(Protocol):
    """METEOR of two token lists, from 0 to 1."""

    def __call__(self, reference: Sequence[str], hypothesis: Sequence[str]) -> float:
        """Returns the score."""


def meteor(reference: str, prediction: str, by_characters: bool) -> float:
    """Returns METEOR of a prediction against one reference, from 0 to 1."""
    return float(_meteor()(meteor_tokens(reference, by_characters), meteor_tokens(prediction, by_characters)))


@cache
def _meteor() -> Meteor:
    """Returns NLTK's METEOR; stems and synonyms are most of its time, so they are kept."""
    from nltk.stem.porter import PorterStemmer
    from nltk.translate.meteor_score import single_meteor_score

    stemmer = SimpleNamespace(stem=lru_cache(KEPT_WORDS)(PorterStemmer().stem))
    wordnet = SimpleNamespace(synsets=lru_cache(KEPT_WORDS)(load_synonyms().joined_synsets))
    return partial(single_meteor_score, stemmer=stemmer, wordnet=wordnet, **METEOR_SETTINGS)


@lru_cache(maxsize=KEPT_TEXTS)
def meteor_tokens(text: str, by_characters: bool) -> tuple[str, ...]:
    """Splits a text as NLTK's `word_tokenize` does, which would need a download for its sentences.

    An untrained Punkt finds the sentences, NLTKWordTokenizer the words of each.
    """
    if by_characters:
        return tuple(tokens_of_any_script(text))
    punkt, words = _nltk_tokenizers()
    # A sentence ends within a text only behind one of these marks: most captions need no search, which is slow.
    sentences = punkt.tokenize(text) if ENDS.search(text.rstrip()[:-1]) else [text.rstrip()]
    return tuple(word for sentence in sentences for word in words.tokenize(sentence))


@cache
def _nltk_tokenizers() -> "tuple[PunktSentenceTokenizer, NLTKWordTokenizer]":
    from nltk.tokenize import NLTKWordTokenizer
    from nltk.tokenize.punkt import PunktSentenceTokenizer

    return PunktSentenceTokenizer(), NLTKWordTokenizer()


class Lemma:
    """One word of a synset as WordNet spells it, parts joined by "_"; `name` is a method, as METEOR expects."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def name(self) -> str:
        """Returns the word."""
        return self._name


class Synset:
    """Words that share one meaning, from a line of names separated by spaces."""

    __slots__ = ("_lemmas", "_names")

    def __init__(self, names: str) -> None:
        self._names = names
        self._lemmas: list[Lemma] = []

    @property
    def names(self) -> list[str]:
        """The words as text."""
        return self._names.split(" ")

    def lemmas(self) -> list[Lemma]:
        """Returns the synset's words, split when first asked for."""
        if not self._lemmas:
            self._lemmas = list(map(Lemma, self.names))
        return self._lemmas


class Synonyms:
    """Answers `synsets(word)` as METEOR asks NLTK's WordNet reader, from the text of `tests/make_synonyms.py`.

    It finds the same one-word synonyms as NLTK 3.10 on WordNet 3.0, inflected forms included; synsets that only hold
    names of several words are left out, and equal synsets are kept once, since neither can change a match.

    Raises:
        DataError: the text is no such table.
    """

    def __init__(self, table: str) -> None:
        blocks = dict(block.partition("\n")[::2] for block in table.rstrip("\n").split("\n\n"))
        try:
            self._synsets = {part: _index(blocks[f"{part} synsets"]) for part in SUFFIXES}
            self._exceptions = {part: _exceptions(blocks[f"{part} exceptions"]) for part in SUFFIXES}
        except KeyError as error:
            raise DataError(f"The synonym table has no block {error}", REINSTALL) from error

    def synsets(self, word: str) -> list[Synset]:
        """Returns the synsets of a word, in any case, and of the base forms it can be an inflection of."""
        word = word.lower()
        return [
            Synset(names)
            for part, index in self._synsets.items()
            for form in self._base_forms(word, part)
            for names in index.get(form, ())
        ]

    def joined_synsets(self, word: str) -> list[Synset]:
        """Returns the one-word synonyms of a word as one synset; METEOR joins several itself and drops other names."""
        names = {name: None for synset in self.synsets(word) for name in synset.names if "_" not in name}
        return [Synset(" ".join(names))] if names else []

    def _base_forms(self, word: str, part: str) -> list[str]:
        """Returns the word and its possible base forms; a listed exception takes the place of the rules."""
        if word in self._exceptions[part]:
            return list(dict.fromkeys([word, *self._exceptions[part][word]]))
        forms = [word[: -len(old)] + new for old, new in SUFFIXES[part] if word.endswith(old)]
        return list(dict.fromkeys([word, *forms]))


def _index(block: str) -> dict[str, list[str]]:
    """Maps each lower-case name to the synset lines it stands in."""
    index = defaultdict(list)
    for line in block.split("\n"):
        for name in line.lower().split(" "):
            index[name].append(line)
    return dict(index)


def _exceptions(block: str) -> dict[str, list[str]]:
    """Maps each irregular form to its base forms."""
    return {line.split(" ")[0]: line.split(" ")[1:] for line in block.split("\n")}


@cache
def load_synonyms() -> Synonyms:
    """Returns the packaged table, loaded once per process.

    Source: WordNet 3.0 (Princeton University), under the licence in `data/WORDNET-LICENSE`.

    Raises:
        DataError: the table is missing from the installation, or damaged.
    """
    try:
        packed = (files("recap_cli") / "data" / TABLE).read_bytes()
        return Synonyms(gzip.decompress(packed).decode())
    except (OSError, EOFError) as error:
        raise DataError(f"METEOR's synonym table {TABLE} cannot be read: {error}", REINSTALL) from error
