"""What lies in a folder of songs: audio files at any depth, and what keeps a file or a folder from being read."""

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from recap_cli.audio.settings import AUDIO_SUFFIXES
from recap_cli.errors import DataError

NOT_FOLLOWED = "it is a link to a folder, which --follow-outside follows"
KINDS = {stat.S_IFIFO: "pipe", stat.S_IFSOCK: "socket"}
OTHER_FILE = re.compile(r"\.[A-Za-z0-9]{1,5}$")  # cover.jpg, but not `Vol. 2`, which may well be a folder

Number = tuple[int, int]  # device and inode: what tells a folder from others, whatever its name
Entry = tuple[Path, str, Number | None]  # a folder has a number; a file has a reason, or ""


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
    followed: set[Number] = set()
    try:
        levels, above = [iter(list_folder(folder))], [number(folder.stat())]
    except OSError as error:
        raise DataError(f"{folder} cannot be read: {error.strerror or error}", "check its permissions") from error
    while levels:
        path, reason, target = next(levels[-1], (None, "", None))
        if path is None:
            levels.pop()
            above.pop()
            continue
        if target is not None and path.is_symlink():
            reason = why_not_followed(follow, target, above)
            if not reason and target in followed:
                continue
            followed.add(target)
        if target is None or reason:
            yield path, reason
            continue
        try:
            levels.append(iter(list_folder(path)))
            above.append(target)
        except OSError as error:
            yield path, f"the folder cannot be read: {error.strerror or error}"


def why_not_followed(follow: bool, target: Number, above: list[Number]) -> str:
    """Returns why a link to a folder is not followed, or ""."""
    if not follow:
        return NOT_FOLLOWED
    return "it is a link to a folder above it" if target in above else ""


def list_folder(folder: Path) -> list[Entry]:
    """Returns what is to be told of a folder's entries, in order: audio files, folders, and what is in the way.

    Raises:
        OSError: it cannot be read.
    """
    with os.scandir(folder) as found:
        entries = sorted((entry for entry in found if not entry.name.startswith(".")), key=lambda entry: entry.name)
    return [told for entry in entries if (told := look_at(entry, folder / entry.name)) is not None]


def look_at(entry: os.DirEntry[str], path: Path) -> Entry | None:
    """Returns what is to be told of an entry; None for a file that is no audio."""
    is_audio = path.suffix.lower() in AUDIO_SUFFIXES
    if entry.is_file(follow_symlinks=False):  # told by the folder itself, which is quick on a network drive
        return (path, "", None) if is_audio else None
    try:
        found = path.stat()
    except OSError as error:
        return in_the_way(path, error, is_audio)
    if stat.S_ISDIR(found.st_mode):
        return path, "", number(found)
    if not is_audio:
        return None
    kind = KINDS.get(stat.S_IFMT(found.st_mode), "device")
    return path, "" if stat.S_ISREG(found.st_mode) else f"it is a {kind}, not a file", None


def in_the_way(path: Path, error: OSError, is_audio: bool) -> Entry | None:
    """Returns an entry that cannot be looked at, with the reason; None for a link that stood for some other file."""
    if not isinstance(error, FileNotFoundError):
        what = "it is a link that cannot be followed" if path.is_symlink() else "it cannot be read"
        return path, f"{what}: {error.strerror or error}", None
    if OTHER_FILE.search(path.name) and not is_audio:
        return None
    return path, "it is a link that leads nowhere", None


def number(found: os.stat_result) -> Number:
    """Returns what tells a folder from others."""
    return found.st_dev, found.st_ino
