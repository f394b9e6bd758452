"""Folders of songs: the audio files in them, what lies beside each, and what keeps one from being read."""

import os
import re
import stat
import time
import unicodedata
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path

from recap_cli.audio.settings import AUDIO_SUFFIXES
from recap_cli.corpus.song import Caption, Rejected, Song
from recap_cli.errors import DataError, LyricsError, RecapError
from recap_cli.escaping import is_unicode, visible
from recap_cli.lyrics.reader import Lyrics, read_lyrics

COMMON = (".mp3", ".flac", ".wav", ".ogg", ".m4a")
LOOKED_FOR = f"looked for audio files: {', '.join(COMMON)} and {len(AUDIO_SUFFIXES) - len(COMMON)} other kinds"
NOT_FOLLOWED = "it is a link to a folder, which --follow-outside follows"
KINDS = {stat.S_IFIFO: "pipe", stat.S_IFSOCK: "socket"}
OTHER_FILE = re.compile(r"\.[A-Za-z0-9]{1,5}$")  # cover.jpg, but not `Vol. 2`, which may well be a folder

# What follows the song's name, in the order in which it is looked for.
LYRICS_SUFFIXES = (
    # A name that says lyrics counts first: beside it, music generators keep other texts as song.txt.
    ".lyrics.txt", "_lyrics.txt", ".txt", ".lrc", ".lyrics.lrc", ".lyrics", ".lyric", "-lyrics.txt", " lyrics.txt",
    " - lyrics.txt", ".elrc", ".srt", ".vtt", ".ttml", ".sbv", ".ass",
)  # fmt: skip
CAPTION_SUFFIX = ".caption.txt"
CAPTION_SUFFIXES = (
    CAPTION_SUFFIX,
    "_caption.txt",
    "_prompt.txt",
    ".prompt.txt",
)  # the last as music generators have it
FOLDERS = 16  # whose lyrics files are remembered
SETTLED_NS = 2_000_000_000  # file systems keep times in ticks of up to two seconds

Inode = tuple[int, int]  # device and inode: what tells a folder from others, whatever its name
Entry = tuple[Path, str, Inode | None]  # a folder has an inode; a file has a reason, or ""


def is_file(path: Path | str) -> bool:
    """Whether there is a file; a name that no file can have is none."""
    return os.path.isfile(path)  # noqa: PTH113  Path.is_file fails on names that are too long


@dataclass(frozen=True)
class CorpusRoot:
    """A folder that a corpus may take files from."""

    folder: Path
    follow_outside: bool = False  # also take what lies outside of it, where paths and links lead there

    @cached_property
    def resolved(self) -> Path:
        """The folder, links resolved."""
        return self.folder.resolve()

    def find(self, name: str) -> Path | None:
        """Joins a name to the folder; None when it leads out of it, by `..`, a link or an absolute path."""
        if "\0" in name:
            return None
        if self.follow_outside:
            return self.folder / name
        try:
            file = (self.folder / name).resolve()
        except (OSError, RuntimeError):  # links in a circle
            return None
        return file if file.is_relative_to(self.resolved) else None

    def holds(self, file: Path) -> bool:
        """Whether a file, links resolved, lies in the folder."""
        return self.find(str(file.absolute())) is not None

    def check(self, file: Path) -> Path:
        """Returns a file that lies in the folder.

        Raises:
            DataError: it is a link out of it.
        """
        if not self.holds(file):
            raise DataError(f"{file} is a link out of {self.folder}")
        return file


# audio files ----------------------------------------------------------------------------------------------------------


def read_folder(root: CorpusRoot) -> Iterator[Song | Rejected]:
    """Reads a folder of songs at any depth, in the order of their names; hidden files are none.

    What cannot be a song though it should be one, such as a folder that may not be read, is given with its reason.

    Raises:
        DataError: there is no audio in it.
    """
    found = False
    for path, reason in walk(root.folder, root.follow_outside):
        found = True
        name = path.relative_to(root.folder).as_posix()
        if is_unicode(str(path)) and not reason and not root.holds(path):
            reason = f"it is a link out of {root.folder}"
        yield read_song(path, name, root, reason)
    if not found:
        raise DataError(f"{root.folder} holds no songs", LOOKED_FOR)


def read_song(path: Path, name: str, root: CorpusRoot | None = None, reason: str = "") -> Song | Rejected:
    """Returns the song of an audio file with the texts beside it.

    Args:
        path: the audio file.
        name: the song's id.
        root: where its texts may lie, links resolved; None: anywhere.
        reason: why it cannot be read, if that is known.
    """
    if not is_unicode(str(path)):
        return Rejected(visible(name), visible(str(path)), reason or "the file's name is not Unicode")
    if reason:
        return Rejected(name, str(path), reason)
    try:
        lyrics = lyrics_beside(path, root) or Lyrics("")
        captions: tuple[Caption, ...] = ()
        stem = path.with_suffix("")
        beside = next(
            (file for suffix in CAPTION_SUFFIXES if is_file(file := stem.with_name(stem.name + suffix))), None
        )
        if beside is not None:
            file = root.check(beside) if root else beside
            captions = tuple(map(Caption, filter(str.strip, read_lyrics(file).text.splitlines())))
        return Song(name, str(path), lyrics.text, captions, title=path.stem, warnings=lyrics.warnings)
    except RecapError as error:
        return Rejected(name, str(path), error.message)


def walk(folder: Path, follow: bool) -> Iterator[tuple[Path, str]]:
    """Yields the audio files below a folder, in the order of their names, each with "" or why it cannot be read.

    Hidden files and folders are passed over: among them are the `._song.mp3` that macOS writes beside each song on
    foreign disks, which hold no audio. Folders that cannot be read and links that lead nowhere or round in a circle
    are named, once each. The depth is bounded by the disk alone, not by Python's stack.

    Args:
        folder: where to begin.
        follow: also follow links to folders, to each folder once; they are named otherwise.

    Raises:
        DataError: the folder itself cannot be read.
    """
    followed: set[Inode] = set()
    try:
        levels, above = [iter(_list_folder(folder))], [_inode(folder.stat())]
    except OSError as error:
        raise DataError(f"{folder} cannot be read: {error.strerror or error}", "check its permissions") from error
    while levels:
        path, reason, target = next(levels[-1], (None, "", None))
        if path is None:
            levels.pop()
            above.pop()
            continue
        if target is not None and path.is_symlink():
            if not follow or target in above:
                reason = "it is a link to a folder above it" if follow else NOT_FOLLOWED
            elif target in followed:
                continue
            followed.add(target)
        if target is None or reason:
            yield path, reason
            continue
        try:
            levels.append(iter(_list_folder(path)))
            above.append(target)
        except OSError as error:
            yield path, f"the folder cannot be read: {error.strerror or error}"


def _list_folder(folder: Path) -> list[Entry]:
    """Returns what matters in a folder, in order: audio files, folders, and what is in the way.

    Raises:
        OSError: it cannot be read.
    """
    with os.scandir(folder) as found:
        entries = sorted((entry for entry in found if not entry.name.startswith(".")), key=lambda entry: entry.name)
    return [told for entry in entries if (told := _look_at(entry, folder / entry.name)) is not None]


def _look_at(entry: os.DirEntry[str], path: Path) -> Entry | None:
    """Returns what is to be told of an entry; None for a file that is no audio."""
    is_audio = path.suffix.lower() in AUDIO_SUFFIXES
    if entry.is_file(follow_symlinks=False):  # told by the folder itself, which is quick on a network drive
        return (path, "", None) if is_audio else None
    try:
        found = path.stat()
    except FileNotFoundError:
        is_other = OTHER_FILE.search(path.name) and not is_audio
        return None if is_other else (path, "it is a link that leads nowhere", None)
    except OSError as error:
        what = "it is a link that cannot be followed" if path.is_symlink() else "it cannot be read"
        return path, f"{what}: {error.strerror or error}", None
    if stat.S_ISDIR(found.st_mode):
        return path, "", _inode(found)
    if not is_audio:
        return None
    kind = KINDS.get(stat.S_IFMT(found.st_mode), "device")
    return path, "" if stat.S_ISREG(found.st_mode) else f"it is a {kind}, not a file", None


def _inode(found: os.stat_result) -> Inode:
    return found.st_dev, found.st_ino


# lyrics beside a song -------------------------------------------------------------------------------------------------


def lyrics_beside(audio: Path, root: CorpusRoot | None = None) -> Lyrics | None:
    """Returns the lyrics in the file named like an audio file: the first that holds any; None where there is no file.

    Raises:
        RecapError: the only one that is there cannot be read, or is a link out of the folder.
    """
    problems: list[RecapError] = []
    empty: list[str] = []
    for path in _lyrics_files(audio):
        try:
            lyrics = read_lyrics(root.check(path) if root else path)
        except (DataError, LyricsError) as error:
            problems.append(error)
            continue
        if lyrics.text:
            unread = tuple(f"lyrics file that cannot be read: {error.message}" for error in problems)
            return replace(lyrics, warnings=(*lyrics.warnings, *unread))
        empty.append(path.name)
    if problems:
        raise problems[0]
    return Lyrics("", warnings=(f"lyrics file is empty: {', '.join(empty)}",)) if empty else None


def _lyrics_files(audio: Path) -> list[Path]:
    """Returns the files beside a song that are named as its lyrics, likeliest first; folders are none."""
    try:
        changed = audio.parent.stat().st_mtime_ns
        # The time of a folder that has just changed cannot tell one change from the next.
        settled = time.time_ns() - changed > SETTLED_NS
        listed = list_lyrics(audio.parent, changed) if settled else LyricsFiles(audio.parent)
    except OSError:  # a folder that may be entered and not listed
        there = (audio.with_name(audio.stem + suffix) for suffix in LYRICS_SUFFIXES)
        return [path for path in there if is_file(path)]
    names = [found for stem in (audio.stem, audio.name) for found in sorted(listed.exact.get(_composed(stem), ()))]
    if not names:
        names = sorted(listed.folded.get(_composed(audio.stem).casefold(), ()))
        names = [(rank, name) for rank, name in names if not listed.is_other_song(name, rank)]
    return [audio.parent / name for _, name in names]


class LyricsFiles:
    """The lyrics files of a folder by the song they are named for, with the rank of their suffix."""

    def __init__(self, folder: Path) -> None:
        self.exact: dict[str, list[tuple[int, str]]] = defaultdict(list)
        self.folded: dict[str, list[tuple[int, str]]] = defaultdict(list)
        self.songs: set[str] = set()
        with os.scandir(folder) as entries:
            for entry in entries:
                lower = entry.name.lower()
                if lower.endswith(tuple(AUDIO_SUFFIXES)):
                    self.songs.add(_composed(Path(entry.name).stem))
                elif lower.endswith(LYRICS_SUFFIXES) and not lower.endswith(CAPTION_SUFFIXES) and not entry.is_dir():
                    self._add(entry.name, lower)

    def _add(self, name: str, lower: str) -> None:
        """Notes a lyrics file under each song that it may be named for."""
        for rank, suffix in enumerate(LYRICS_SUFFIXES):
            if lower.endswith(suffix):
                stem = _composed(name[: -len(suffix)])
                self.exact[stem].append((rank, name))
                self.folded[stem.casefold()].append((rank, name))

    def is_other_song(self, name: str, rank: int) -> bool:
        """Whether a lyrics file is named, to the letter, for a song of the folder."""
        return _composed(name[: -len(LYRICS_SUFFIXES[rank])]) in self.songs


@lru_cache(maxsize=FOLDERS)
def list_lyrics(folder: Path, changed: int) -> LyricsFiles:
    """Lists a folder once until it has `changed` at another time: each of 100,000 songs finds its lyrics at once."""
    return LyricsFiles(folder)


def _composed(stem: str) -> str:
    """Returns a name in one spelling: file systems and archives differ in how they compose letters."""
    return stem if stem.isascii() else unicodedata.normalize("NFC", stem)
