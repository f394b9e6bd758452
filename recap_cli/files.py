"""Files that we write: whole or not at all, never over an input, a stranger's file, or through a planted link."""

import errno
import hashlib
import json
import os
import secrets
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from recap_cli.errors import DataError, OptionError

MARKER = ".recap.json"  # says what a folder of ours holds
BLOCK = 1 << 20
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_PARTIAL = "partial"


def cannot_write(path: Path, error: Exception) -> DataError:
    """Say that a file cannot be written, and that nothing is lost."""
    reason = getattr(error, "strerror", None) or error
    if getattr(error, "errno", None) in FULL:
        return DataError(f"cannot write {path}: {reason}", "make room, then start it again: nothing is lost")
    return DataError(f"cannot write {path}: {reason}", "choose another folder, or see that this one can be written")


def open_privately(path: Path) -> tuple[int, Path]:
    """Make an empty file beside `path` under a name that nobody can foresee; give its handle and its name.

    It is made exclusively and never through a link, with the permissions that the umask leaves.
    """
    while True:
        # Cut to 50 characters: with the random part, even 4-byte characters fit the 255 bytes of a name.
        partial = path.with_name(f".{path.name[:50]}.{secrets.token_hex(8)}.{_PARTIAL}")
        with suppress(FileExistsError):
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
            return os.open(partial, flags, 0o666), partial


@contextmanager
def replace_atomically(path: Path) -> Iterator[Path]:
    """Give the name of an empty private file to fill; it takes the place of `path` when all went well.

    For libraries that write by name (safetensors, matplotlib). Where they made the file anew, its permissions are
    set to what the umask leaves.

    Raises:
        DataError: the disk refuses.
    """
    try:
        handle, partial = open_privately(path)
    except OSError as error:
        raise cannot_write(path, error) from error
    mode = stat.S_IMODE(os.fstat(handle).st_mode)
    os.close(handle)
    try:
        yield partial
        partial.chmod(mode)
        partial.replace(path)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


@contextmanager
def open_atomically(path: Path, mode: str = "w") -> Iterator[IO[Any]]:
    """Open a file, text in UTF-8 (`w`) or bytes (`wb`), that appears whole or not at all.

    Raises:
        DataError: the disk refuses, for example because it is full.
    """
    try:
        handle, partial = open_privately(path)
    except OSError as error:
        raise cannot_write(path, error) from error
    try:
        with os.fdopen(handle, mode, encoding=None if "b" in mode else "utf-8") as file:
            yield file
        partial.replace(path)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def remove_stale_partials(folder: Path) -> None:
    """Delete what a killed writer left in a folder of ours; the caller holds the folder alone."""
    for path in folder.glob(f".*.{_PARTIAL}"):
        token = path.name.split(".")[-2]
        if len(token) == 16 and set(token) <= set("0123456789abcdef") and not path.is_symlink():
            path.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write a JSON document, atomically."""
    with open_atomically(path) as file:
        file.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def write_json_lines(path: Path, records: Iterable[dict[str, Any]]) -> None:
    """Write records as JSON lines, atomically."""
    with open_atomically(path) as file:
        for record in records:
            file.write(json.dumps(record, ensure_ascii=False) + "\n")


def make_folder(path: Path) -> None:
    """Make a folder with those above it, or find it.

    Raises:
        DataError: the disk refuses, for example because a file stands there.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(path, error) from error


def never_ours(path: Path) -> bool:
    """Take every file for a stranger's."""
    return False


def check_output_file(
    path: Path, flag: str, inputs: Iterable[Path] = (), is_ours: Callable[[Path], bool] = never_ours
) -> None:
    """Refuse an output that would destroy something: an input, a stranger's file, a folder, a device or a link.

    Nothing is written, opened for writing or truncated here.

    Args:
        path: where the output goes.
        flag: the flag that named it, for messages.
        inputs: files and folders that the same command reads.
        is_ours: whether a regular file that stands there was written by us for the same use, so that it may go.

    Raises:
        OptionError: it must not be written there.
    """
    try:
        found = path.lstat()
    except FileNotFoundError:
        found = None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise OptionError(f"{flag} {path} cannot be written: {reason}", "name another file") from error
    if any(same_place(path, one) for one in inputs):
        raise OptionError(f"{flag} {path} is an input of this command, too", "name another file; the input stays")
    if found is None:
        return
    kind = kind_of(found.st_mode)
    if kind != "file":
        raise OptionError(f"{flag} {path} is a {kind}, not a file to write", "name another file")
    if found.st_size and not is_ours(path):
        raise OptionError(f"{flag} {path} is there already, and not of our making", "name another file; this one stays")


def kind_of(mode: int) -> str:
    """Name what stands in a place: file, folder, link, or device (sockets and pipes, too)."""
    if stat.S_ISREG(mode):
        return "file"
    return "folder" if stat.S_ISDIR(mode) else "link" if stat.S_ISLNK(mode) else "device or pipe"


def same_place(one: Path, other: Path) -> bool:
    """Whether two paths lead to the same file or folder, by any spelling or link."""
    try:
        return one.samefile(other)
    except (OSError, ValueError):
        try:
            return one.resolve() == other.resolve()
        except (OSError, ValueError, RuntimeError):
            return one == other


def claim_folder(
    folder: Path,
    holds: str,
    flag: str = "--out",
    inputs: Iterable[Path] = (),
    is_ours: Callable[[Path], bool] = never_ours,
) -> None:
    """Take a folder for our output, and mark it: one that is new, empty, or carries our marker for the same use.

    Args:
        folder: where the output goes.
        holds: what it will hold, such as "prepared data" or "a run"; kept in the marker.
        flag: the flag that named it, for messages.
        inputs: files and folders that the same command reads.
        is_ours: recognises a folder that we made before there were markers.

    Raises:
        OptionError: it holds something else, or is an input.
        DataError: it cannot be made.
    """
    check_output_folder(folder, holds, flag, inputs, is_ours)
    make_folder(folder)
    if not (folder / MARKER).exists():
        write_json(folder / MARKER, {"holds": holds})


def check_output_folder(
    folder: Path,
    holds: str,
    flag: str = "--out",
    inputs: Iterable[Path] = (),
    is_ours: Callable[[Path], bool] = never_ours,
) -> None:
    """Refuse what `claim_folder` refuses, and write nothing."""
    if any(same_place(folder, one) for one in inputs):
        raise OptionError(f"{flag} {folder} is an input of this command, too", "name another folder; the input stays")
    try:
        if not folder.exists():
            return
        if not folder.is_dir():
            raise OptionError(f"{flag} {folder} is no folder", "name another folder")
        if not any(folder.iterdir()):
            return
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise OptionError(f"{flag} {folder} cannot be used: {reason}", "name another folder") from error
    before = read_marker(folder)
    if before is None and is_ours(folder):
        return
    if before is None:
        raise OptionError(f"{flag} {folder} is not empty and not of our making", "name a new or empty folder")
    if before != holds:
        raise OptionError(f"{flag} {folder} holds {before}, not {holds}", "name another folder")


def read_marker(folder: Path) -> str | None:
    """Give what a folder's marker says it holds; None where there is no marker that we wrote."""
    path = folder / MARKER
    try:
        if path.is_symlink() or not path.is_file() or path.stat().st_size > BLOCK:
            return None
        found = json.loads(path.read_text(encoding="utf-8"))["holds"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return found if isinstance(found, str) else None


def hash_file(path: Path) -> str:
    """Give the SHA-256 of a file's bytes, read in blocks.

    Raises:
        OSError: the file cannot be read.
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()
