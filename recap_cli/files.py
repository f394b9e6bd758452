"""Files that we write: whole or not at all, never over an input, a stranger's file, or through a planted link."""

import errno
import hashlib
import json
import os
import re
import secrets
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from recap_cli.errors import DataError, OptionError
from recap_cli.escaping import json_text

MARKER = ".recap.json"  # says what a folder of ours holds
BLOCK = 1 << 20
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
NAME_BYTES = 160  # of a partial's name, before its random part: together they fit the 255 bytes of a file system
_PARTIAL = re.compile(r"\.(.+)\.[0-9a-f]{16}\.partial", re.DOTALL)


def cannot_write(path: Path, error: Exception) -> DataError:
    """Returns the error that says why a file cannot be written, and that nothing is lost."""
    reason = getattr(error, "strerror", None) or error
    told = re.search(r"os error (\d+)", str(error))  # safetensors has an error class of its own
    if (int(told[1]) if told else getattr(error, "errno", None)) in FULL:
        return DataError(f"cannot write {path}: {reason}", "make room, then start it again: nothing is lost")
    return DataError(f"cannot write {path}: {reason}", "choose another folder, or see that this one can be written")


def open_privately(path: Path, label: str = "") -> tuple[int, Path]:
    """Makes an empty file beside `path` under a name that nobody can foresee, and returns its handle and its path.

    It is made exclusively and never through a link, with the permissions that the umask leaves.

    Args:
        path: the file that it will become.
        label: whose it is, so that `remove_stale_partials` leaves it to others who share the folder.
    """
    name = os.fsencode(path.name)[:NAME_BYTES].decode("utf-8", "ignore")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    while True:
        partial = path.parent / f".{name}{label and '.'}{label}.{secrets.token_hex(8)}.partial"
        with suppress(FileExistsError):
            return os.open(partial, flags, 0o666), partial


def open_to_append(path: Path) -> IO[str]:
    """Opens a text file to go on at its end, line by line on disk; follows no link in its place.

    Raises:
        OSError: the disk refuses, or a link stands there.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.fdopen(os.open(path, flags, 0o666), "a", 1, encoding="utf-8", errors="backslashreplace")


@contextmanager
def replace_atomically(path: Path, label: str = "") -> Iterator[Path]:
    """Yields the path of an empty private file to fill; it takes the place of `path` when all went well.

    For libraries that write by name (safetensors, matplotlib). Where they make the file anew, for its owner only, it
    still ends with the permissions that the umask leaves.

    Raises:
        DataError: the disk refuses.
    """
    try:
        handle, partial = open_privately(path, label)
        mode = stat.S_IMODE(os.fstat(handle).st_mode)
        os.close(handle)
    except OSError as error:
        raise cannot_write(path, error) from error
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
def open_atomically(path: Path, mode: str = "w", label: str = "") -> Iterator[IO[Any]]:
    """Opens a file, text in UTF-8 (`w`) or bytes (`wb`), that appears whole or not at all.

    What UTF-8 cannot write, such as a file name in another encoding, is written as JSON escapes it.

    Raises:
        DataError: the disk refuses, for example because it is full.
    """
    try:
        handle, partial = open_privately(path, label)
    except OSError as error:
        raise cannot_write(path, error) from error
    encoding, errors = (None, None) if "b" in mode else ("utf-8", "backslashreplace")
    try:
        with os.fdopen(handle, mode, encoding=encoding, errors=errors) as file:
            yield file
        partial.replace(path)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def remove_stale_partials(folder: Path, label: str = "") -> None:
    """Deletes what a killed writer left in a folder of ours, only what carries `label` where there is one.

    The caller holds the folder, or its part of it, alone.

    Raises:
        DataError: the disk refuses.
    """
    try:
        for path in list(folder.iterdir()):
            found = _PARTIAL.fullmatch(path.name)
            if found and found[1].endswith(label and f".{label}") and stat.S_ISREG(path.lstat().st_mode):
                path.unlink(missing_ok=True)
    except OSError as error:
        raise cannot_write(folder, error) from error


def write_text(path: Path, text: str, label: str = "") -> None:
    """Writes text, atomically."""
    with open_atomically(path, label=label) as file:
        file.write(text)


def write_json(path: Path, value: Any, label: str = "") -> None:
    """Writes a JSON document, atomically."""
    write_text(path, json_text(value, indent=2) + "\n", label)


def write_json_lines(path: Path, records: Iterable[dict[str, Any]], label: str = "") -> None:
    """Writes records as JSON lines, atomically."""
    with open_atomically(path, label=label) as file:
        for record in records:
            file.write(json_text(record) + "\n")


def make_folder(path: Path) -> None:
    """Makes a folder with those above it, or finds it.

    Raises:
        DataError: the disk refuses, for example because a file stands there.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(path, error) from error


def never_ours(path: Path) -> bool:
    """Returns False: takes every file and folder for a stranger's."""
    return False


def check_output_file(
    path: Path, flag: str, inputs: Iterable[Path] = (), is_ours: Callable[[Path], bool] = never_ours
) -> None:
    """Refuses an output that would destroy something (an input, a stranger's file, a folder, a device, a link).

    Refuses a place that cannot be written, too. Nothing is written, opened for writing or truncated here.

    Args:
        path: where the output goes.
        flag: the flag that named it, for messages.
        inputs: files and folders that the same command reads.
        is_ours: whether a regular file that stands there was written by us for the same use, so that it may go.

    Raises:
        OptionError: it must not be written there.
    """
    found = look_at(path, flag)
    if any(same_place(path, one) for one in inputs):
        raise OptionError(f"{flag} {path} is an input of this command, too", "name another file; the input stays")
    if found is not None and (kind := kind_of(found.st_mode)) != "file":
        raise OptionError(f"{flag} {path} is a {kind}, not a file to write", "name another file")
    if found is not None and found.st_size and not is_ours(path):
        raise OptionError(f"{flag} {path} is there already, and not of our making", "name another file; this one stays")
    check_writable(path.parent, path, flag)


def look_at(path: Path, flag: str) -> os.stat_result | None:
    """Returns what the disk says of a path, links not followed; None where nothing is there.

    Raises:
        OptionError: the path cannot be used, for example because a file stands above it.
    """
    try:
        return path.lstat()
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise unusable(path, flag, error) from error


def unusable(path: Path, flag: str, error: Exception) -> OptionError:
    """Returns the error that says why an output cannot be written."""
    reason = getattr(error, "strerror", None) or error
    return OptionError(f"{flag} {path} cannot be written: {reason}", "name another place")


def check_writable(folder: Path, path: Path, flag: str) -> None:
    """Refuses a folder in which nothing can be made; where it is missing, the nearest one above it counts.

    Raises:
        OptionError: nothing can be made there.
    """
    try:
        while not os.path.lexists(folder) and folder != folder.parent:
            folder = folder.parent
        if not folder.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, f"{folder} is no folder")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, f"{folder} is read-only")
    except (OSError, ValueError) as error:
        raise unusable(path, flag, error) from error


def kind_of(mode: int) -> str:
    """Returns what stands in a place: file, folder, link, or device or pipe (sockets, too)."""
    if stat.S_ISREG(mode):
        return "file"
    return "folder" if stat.S_ISDIR(mode) else "link" if stat.S_ISLNK(mode) else "device or pipe"


def same_place(one: Path, other: Path) -> bool:
    """Whether two paths lead to the same file or folder, by any spelling or link."""
    try:
        return one.samefile(other)
    except (OSError, ValueError):
        return true_path(one) == true_path(other)


def true_path(path: Path) -> Path:
    """Returns a path without links and dots; as it is where that cannot be found out."""
    try:
        return path.resolve()
    except (OSError, ValueError, RuntimeError):
        return path


def claim_folder(
    folder: Path,
    holds: str,
    flag: str = "--out",
    inputs: Iterable[Path] = (),
    is_ours: Callable[[Path], bool] = never_ours,
) -> None:
    """Takes a folder for our output and marks it: one that is new, empty, or carries our marker for the same use.

    Args:
        folder: where the output goes.
        holds: what it will hold, such as "prepared data" or "a run"; kept in the marker.
        flag: the flag that named it, for messages.
        inputs: files and folders that the same command reads.
        is_ours: recognises a folder that we made before there were markers.

    Raises:
        OptionError: it holds something else, is an input, or holds an input.
        DataError: it cannot be made.
    """
    check_output_folder(folder, holds, flag, inputs, is_ours)
    make_folder(folder)
    if read_marker(folder) is None:
        write_json(folder / MARKER, {"holds": holds})


def check_output_folder(
    folder: Path,
    holds: str,
    flag: str = "--out",
    inputs: Iterable[Path] = (),
    is_ours: Callable[[Path], bool] = never_ours,
) -> None:
    """Refuses what `claim_folder` refuses, and writes nothing."""
    for one in inputs:
        if same_place(folder, one):
            raise OptionError(f"{flag} {folder} is an input of this command, too", "name another; the input stays")
        if true_path(folder) in true_path(one).parents:
            raise OptionError(f"{flag} {folder} holds an input of this command: {one}", "name another folder")
    try:
        if look_at(folder, flag) is None:
            return check_writable(folder, folder, flag)
        if not folder.is_dir():
            raise OptionError(f"{flag} {folder} is no folder", "name another folder")
        # A claim that was cut off leaves its partial.
        empty = all(_PARTIAL.fullmatch(path.name) for path in folder.iterdir())
    except (OSError, ValueError) as error:
        raise unusable(folder, flag, error) from error
    before = read_marker(folder)
    if before is None and not empty and not is_ours(folder):
        raise OptionError(f"{flag} {folder} is not empty and not of our making", "name a new or empty folder")
    if before not in (None, holds):
        raise OptionError(f"{flag} {folder} holds {before}, not {holds}", "name another folder")
    return check_writable(folder, folder, flag)


def read_marker(folder: Path) -> str | None:
    """Returns what a folder's marker says it holds; None where there is no marker that we wrote."""
    path = folder / MARKER
    try:
        if path.is_symlink() or not path.is_file() or path.stat().st_size > BLOCK:
            return None
        found = json.loads(path.read_text(encoding="utf-8"))["holds"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return found if isinstance(found, str) else None


def hash_file(path: Path) -> str:
    """Returns the SHA-256 of a file's bytes, read in blocks.

    Raises:
        OSError: the file cannot be read.
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()
