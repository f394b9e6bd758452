"""The synonym table METEOR matches with: WordNet 3.0's words by synset, without a download."""

import gzip
from collections import defaultdict
from functools import cache
from importlib.resources import files

from recap_cli.errors import DataError

TABLE = "wordnet_synonyms.txt.gz"
WORDNET_VERSION = "3.0"

# WordNet's rules of detachment (morphy), by part of speech, in NLTK's order.
SUFFIXES = {
    "noun": (
        ("s", ""),
        ("ses", "s"),
        ("ves", "f"),
        ("xes", "x"),
        ("zes", "z"),
        ("ches", "ch"),
        ("shes", "sh"),
        ("men", "man"),
        ("ies", "y"),
    ),
    "verb": (
        ("s", ""),
        ("ies", "y"),
        ("es", "e"),
        ("es", ""),
        ("ed", "e"),
        ("ed", ""),
        ("ing", "e"),
        ("ing", ""),
    ),
    "adj": (("er", ""), ("est", ""), ("er", "e"), ("est", "e")),
    "adv": (),
}


class Lemma:
    """One word of a synset.

    Args:
        name: the word as WordNet spells it, parts joined by "_".
    """

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def name(self) -> str:
        """Give the word; a method, as METEOR expects."""
        return self._name


class Synset:
    """Words that share one meaning.

    Args:
        names: the words, separated by spaces.
    """

    __slots__ = ("_lemmas", "_names")

    def __init__(self, names: str) -> None:
        self._names = names
        self._lemmas: list[Lemma] = []

    def lemmas(self) -> list[Lemma]:
        """Give the synset's words, parted when first asked for."""
        if not self._lemmas:
            self._lemmas = [Lemma(name) for name in self._names.split(" ")]
        return self._lemmas


class Synonyms:
    """Answers `synsets(word)` as METEOR asks NLTK's WordNet reader.

    It finds the same one-word synonyms as NLTK 3.10 on WordNet 3.0, inflected forms included; synsets that only hold
    names of several words are left out, and equal synsets are kept once, since neither can change a match.

    Args:
        table: the text that `tests/make_synonyms.py` derives from WordNet.

    Raises:
        DataError: the table is not one.
    """

    def __init__(self, table: str) -> None:
        blocks = dict(block.partition("\n")[::2] for block in table.rstrip("\n").split("\n\n"))
        try:
            self._synsets = {part: _index(blocks[f"{part} synsets"]) for part in SUFFIXES}
            self._exceptions = {part: _exceptions(blocks[f"{part} exceptions"]) for part in SUFFIXES}
        except KeyError as error:
            raise DataError(
                f"The synonym table has no block {error}.", "Install the program again: pip install . in its folder."
            ) from error

    def synsets(self, word: str) -> list[Synset]:
        """Find the synsets of a word and of the base forms it can be an inflection of.

        Args:
            word: in any case; parts joined by "_".

        Returns:
            The synsets of all parts of speech, empty for an unknown word.
        """
        word = word.lower()
        return [
            Synset(names)
            for part, index in self._synsets.items()
            for form in self._base_forms(word, part)
            for names in index.get(form, ())
        ]

    def joined_synsets(self, word: str) -> list[Synset]:
        """Give all synonyms of a word as one synset, which METEOR cannot tell from several: it joins them itself."""
        names = {lemma.name(): None for synset in self.synsets(word) for lemma in synset.lemmas()}
        return [Synset(" ".join(names))] if names else []

    def _base_forms(self, word: str, part: str) -> list[str]:
        """Give the word and its possible base forms; a listed exception takes the place of the rules."""
        if word in self._exceptions[part]:
            return list(dict.fromkeys([word, *self._exceptions[part][word]]))
        forms = [word[: -len(old)] + new for old, new in SUFFIXES[part] if word.endswith(old)]
        return list(dict.fromkeys([word, *forms]))


def _index(block: str) -> dict[str, list[str]]:
    """Map each lower-case name to the synset lines it stands in."""
    index = defaultdict(list)
    for line in block.split("\n"):
        for name in line.lower().split(" "):
            index[name].append(line)
    return dict(index)


def _exceptions(block: str) -> dict[str, list[str]]:
    """Map each irregular form to its base forms."""
    return {line.split(" ")[0]: line.split(" ")[1:] for line in block.split("\n")}


@cache
def load_synonyms() -> Synonyms:
    """Load the packaged table, once per process.

    Source: WordNet 3.0 (Princeton University), under the licence in `data/WORDNET-LICENSE`.

    Raises:
        DataError: the table is missing from the installation, or damaged.
    """
    try:
        packed = (files("recap_cli") / "data" / TABLE).read_bytes()
        return Synonyms(gzip.decompress(packed).decode())
    except (OSError, EOFError) as error:
        raise DataError(
            f"METEOR's synonym table {TABLE} cannot be read: {error}",
            "Install the program again: pip install . in its folder.",
        ) from error
