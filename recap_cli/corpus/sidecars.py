"""Lyrics beside a song: song.txt, song.lrc and kin, found in the listing of its folder, in capitals or not."""

import os
import time
import unicodedata
from collections import defaultdict
from functools import lru_cache
from pathlib import Path

from recap_cli.audio.settings import AUDIO_SUFFIXES
from recap_cli.corpus.corpus_root import Place, is_file
from recap_cli.errors import DataError, LyricsError, RecapError
from recap_cli.lyrics.reader import Lyrics, read_lyrics

# What follows the song's name, in the order in which it is looked for.
LYRICS_SUFFIXES = (
    ".txt", ".lrc", ".lyrics.txt", ".lyrics.lrc", ".lyrics", ".lyric", "_lyrics.txt", "-lyrics.txt", " lyrics.txt",
    " - lyrics.txt", ".elrc", ".srt", ".vtt", ".ttml", ".sbv", ".ass",
)  # fmt: skip
CAPTION_SUFFIX = ".caption.txt"
FOLDERS = 16  # whose listings are kept
SETTLED_NS = 2_000_000_000  # file systems keep times in ticks of up to two seconds


def lyrics_beside(audio: Path, place: Place | None = None) -> Lyrics | None:
    """Reads the lyrics file with the name of an audio file: the first that holds any; None where none does.

    Raises:
        RecapError: the only one that is there cannot be read, or is a link out of the folder.
    """
    problems: list[RecapError] = []
    for path in sidecars(audio):
        try:
            lyrics = read_lyrics(checked(path, place))
        except (DataError, LyricsError) as error:
            problems.append(error)
            continue
        if lyrics.text:
            unread = tuple(f"lyrics file that cannot be read: {error.message}" for error in problems)
            return Lyrics(lyrics.text, (*lyrics.warnings, *unread))
    if problems:
        raise problems[0]
    return None


def sidecars(audio: Path) -> list[Path]:
    """Returns the files beside a song that are named as its lyrics, likeliest first; folders are none."""
    try:
        listed = list_folder(audio.parent)
    except OSError:  # a folder that may be entered and not listed
        there = (audio.with_name(audio.stem + suffix) for suffix in LYRICS_SUFFIXES)
        return [path for path in there if is_file(path)]
    names = [found for stem in (audio.stem, audio.name) for found in sorted(listed.exact.get(normal(stem), ()))]
    if not names:
        names = sorted(listed.folded.get(fold(audio.stem), ()))
        names = [(rank, name) for rank, name in names if not listed.is_other_song(name, rank)]
    return [audio.parent / name for _, name in names]


class Listing:
    """The lyrics files of a folder by the song they are named for."""

    def __init__(self, folder: Path) -> None:
        self.exact: dict[str, list[tuple[int, str]]] = defaultdict(list)
        self.folded: dict[str, list[tuple[int, str]]] = defaultdict(list)
        self.songs: set[str] = set()
        with os.scandir(folder) as entries:
            for entry in entries:
                lower = entry.name.lower()
                if lower.endswith(tuple(AUDIO_SUFFIXES)):
                    self.songs.add(normal(Path(entry.name).stem))
                elif lower.endswith(LYRICS_SUFFIXES) and not lower.endswith(CAPTION_SUFFIX) and not entry.is_dir():
                    self.add(entry.name, lower)

    def add(self, name: str, lower: str) -> None:
        """Notes a lyrics file under each song that it may be named for, with the rank of its suffix."""
        for rank, suffix in enumerate(LYRICS_SUFFIXES):
            if lower.endswith(suffix):
                stem = name[: -len(suffix)]
                self.exact[normal(stem)].append((rank, name))
                self.folded[fold(stem)].append((rank, name))

    def is_other_song(self, name: str, rank: int) -> bool:
        """Whether a lyrics file is named, to the letter, for a song of the folder."""
        return normal(name[: -len(LYRICS_SUFFIXES[rank])]) in self.songs


def list_folder(folder: Path) -> Listing:
    """Lists a folder; one that has just changed is listed anew, since its time cannot tell one change from the next."""
    changed = folder.stat().st_mtime_ns
    settled = time.time_ns() - changed > SETTLED_NS
    return listing(folder, changed) if settled else Listing(folder)


@lru_cache(maxsize=FOLDERS)
def listing(folder: Path, changed: int) -> Listing:
    """Lists a folder once, until it has `changed` at another time: each of 100,000 songs finds its lyrics at once."""
    return Listing(folder)


def normal(stem: str) -> str:
    """Returns a name in one spelling: file systems and archives differ in how they compose letters."""
    return stem if stem.isascii() else unicodedata.normalize("NFC", stem)


def fold(stem: str) -> str:
    """Returns a name without its case."""
    return normal(stem).casefold()


def checked(path: Path, place: Place | None) -> Path:
    """Returns a path that may be read.

    Raises:
        DataError: it is a link out of the folder.
    """
    if place is not None and not place.holds(path):
        raise DataError(f"{path} is a link out of {place.folder}")
    return path
