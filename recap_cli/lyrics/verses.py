"""Lyrics cut into verses: where stanzas end, else every few lines; what was sung before is left out."""

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

from recap_cli.lyrics.reader import SECTION

FEW_LINES = 4  # of a verse where no blank line says where one ends
MOST_LINES = 8  # of a stanza that is one verse
_BREAK = re.compile(r"\r\n|\r|\n")
_WORDS = re.compile(r"\w+")


def split_lines(text: str) -> list[str]:
    """Returns the lines of lyrics, without the ends of any system."""
    return _BREAK.split(text)


def split_verses(lines: Sequence[str]) -> list[list[int]]:
    """Returns the places of the lines of each verse.

    A blank line ends a verse, and so does a section header. Where none does, or where a stanza is long, every few lines
    are a verse, without lines that the stanza had before. A verse that was there before, in other marks and capitals
    or the same ones, is left out: a chorus is read once.
    """
    stanzas = list(_stanzas(lines))
    count = sum(map(len, stanzas))
    if count < 2 * len(stanzas):  # most have one line: blank lines say nothing
        stanzas = [[row for stanza in stanzas for row in stanza]]
    most = MOST_LINES if len(stanzas) > 1 else FEW_LINES
    verses: dict[str, list[int]] = {}
    for stanza in stanzas:
        for verse in [stanza] if len(stanza) <= most else _few_at_a_time(lines, stanza):
            verses.setdefault(_key(" ".join(lines[row] for row in verse)), verse)
    return [verse for verse in verses.values() if verse]


def _stanzas(lines: Sequence[str]) -> Iterator[list[int]]:
    """Yields the lines between blank lines and headers."""
    stanza: list[int] = []
    for row, line in enumerate(lines):
        if line.strip() and not SECTION.fullmatch(line.strip()):
            stanza.append(row)
        elif stanza:
            yield stanza
            stanza = []
    if stanza:
        yield stanza


def _few_at_a_time(lines: Sequence[str], rows: Sequence[int]) -> Iterator[list[int]]:
    """Yields lines that are not repeated in parts of like size, of `FEW_LINES` at most."""
    first: dict[str, int] = {}
    for row in rows:
        first.setdefault(_key(lines[row]), row)
    new = list(first.values())
    parts = -(-len(new) // FEW_LINES)
    edges = [len(new) * part // parts for part in range(parts + 1)]
    yield from (new[start:stop] for start, stop in pairwise(edges))


def _key(text: str) -> str:
    """Returns a text's words, the same however they are written."""
    return " ".join(_WORDS.findall(text.casefold()))
