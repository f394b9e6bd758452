"""The lyrics of a made-up song: verses of one real song, or of several that may be about the same."""

import gzip
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from recap_cli.errors import DataError
from recap_cli.facts.facts import READ_LANGUAGE, Guess
from recap_cli.facts.language import find_language
from recap_cli.facts.themes import guess_themes
from recap_cli.layouts.lyrics_folder import LyricsFolder
from recap_cli.lyrics.verses import split_lines, split_verses
from recap_cli.real.verse_states import VerseReader

NONE = 0.08  # share of songs without words
ALONE, TOGETHER = 0.45, 0.47  # with verses of one song, with those of some that share a theme; else of any two
PARTNERS = 3  # songs whose verses are mixed, at most
WHOLE = 0.5  # share of songs alone that keep all of their verses
VALIDATING = 0.05  # share of the songs that do not judge
Item = TypeVar("Item")


@dataclass(frozen=True)
class RealLyrics:
    """The lyrics of a real song, cut into verses."""

    track: str
    verses: tuple[str, ...]
    themes: tuple[str, ...]  # that the teacher is sure of


@dataclass(frozen=True)
class Words:
    """The lyrics of a made-up song, and what teachers find in them."""

    text: str
    language: Guess | None
    themes: tuple[Guess, ...]


def read_tracks_lyrics(path: Path) -> dict[str, str]:
    """Returns lyrics by track of MulJam's folder, or of JSON lines, gzipped or not, with `track` and `lyrics`.

    Raises:
        DataError: a line is none, or a file cannot be read.
    """
    if path.is_dir():
        folder = LyricsFolder.open(path)
        return folder.read_all(folder.files.keys() | folder.lines.keys())
    found: dict[str, str] = {}
    number = 0
    try:
        with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as file:
            for line in file:
                number += 1
                row = json.loads(line)
                found[str(row["track"])] = str(row["lyrics"])
    except (OSError, EOFError) as error:
        raise DataError(f"--lyrics {path}: {getattr(error, 'strerror', None) or error}", "check the path") from error
    except (ValueError, LookupError, TypeError) as error:
        raise DataError(f"{path} line {number}: no song with track and lyrics", "fetch the file again") from error
    return found


class LyricsPool:
    """Real lyrics to draw from.

    Args:
        songs: of one split.
        reader: reads verses for the teacher of themes.
    """

    def __init__(self, songs: Sequence[RealLyrics], reader: VerseReader) -> None:
        self.songs, self.reader = songs, reader
        self.by_theme: dict[str, list[RealLyrics]] = {}
        for song in songs:
            for theme in song.themes:
                self.by_theme.setdefault(theme, []).append(song)

    def draw(self, random: np.random.Generator) -> Words:
        """Returns the words of a song, none for some."""
        kind = random.random()
        if kind < NONE:
            return Words("", None, ())
        if kind < NONE + ALONE or not self.by_theme:
            return read_words(self.reader, draw_verses([_one(self.songs, random)], random))
        some: Sequence[RealLyrics] = self.songs
        if kind < NONE + ALONE + TOGETHER:  # each theme as often as others, the rare ones too
            some = self.by_theme[_one(sorted(self.by_theme), random)]
        chosen = [_one(some, random) for _ in range(int(random.integers(1, PARTNERS + 1)))]
        return read_words(self.reader, draw_verses(list({song.track: song for song in chosen}.values()), random))


def draw_verses(songs: Sequence[RealLyrics], random: np.random.Generator) -> str:
    """Returns a text of verses that follow each other in their songs: all of one song, or some."""
    chosen: list[str] = []
    for song in songs:
        count = len(song.verses)
        if len(songs) > 1 or random.random() > WHOLE:
            count = int(random.integers(1, count + 1))
        start = int(random.integers(len(song.verses) - count + 1))
        chosen += song.verses[start : start + count]
    return "\n\n".join(chosen)


def read_words(reader: VerseReader, text: str) -> Words:
    """Returns lyrics with what teachers find in them."""
    language = find_language(text)
    if language is None or language.value != READ_LANGUAGE:
        return Words(text, language, ())
    return Words(text, language, guess_themes(reader.read(text)))


def cut_song(track: str, text: str, reader: VerseReader) -> RealLyrics:
    """Returns a real song's lyrics, cut into the verses that the model reads."""
    lines = split_lines(text)
    verses = tuple("\n".join(lines[row] for row in verse) for verse in split_verses(lines))
    words = read_words(reader, text)
    return RealLyrics(track, verses or (text,), tuple(guess.best for guess in words.themes if guess.sure))


def split_songs(
    songs: Sequence[tuple[str, str]], keep_out: frozenset[str], random: np.random.Generator
) -> dict[str, list[tuple[str, str]]]:
    """Returns songs, tracks with texts, by split: those that judge are for the test, and one of 20 others validates."""
    splits: dict[str, list[tuple[str, str]]] = {"train": [], "validation": [], "test": []}
    for song in songs:
        validates = random.random() < VALIDATING
        splits["test" if song[0] in keep_out else "validation" if validates else "train"].append(song)
    return splits


def _one(some: Sequence[Item], random: np.random.Generator) -> Item:
    return some[int(random.integers(len(some)))]
