"""Files that we write: whole or not at all, never through a planted link, and by one process at a time."""

import errno
import fcntl
import hashlib
import os
import re
import secrets
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from recap_cli.errors import BusyError, DataError
from recap_cli.escaping import json_text
from recap_cli.progress import Progress

BLOCK = 1 << 20
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
NAME_BYTES = 160  # of a partial's name, before its random part: together they fit the 255 bytes of a file system
PARTIAL = re.compile(r"\.(.+)\.[0-9a-f]{16}\.partial", re.DOTALL)


def cannot_write(path: Path, error: Exception) -> DataError:
    """Returns the error that says why a file cannot be written, and that nothing is lost."""
    reason = getattr(error, "strerror", None) or error
    told = re.search(r"os error (\d+)", str(error))  # safetensors has an error class of its own
    if (int(told[1]) if told else getattr(error, "errno", None)) in FULL:
        return DataError(f"cannot write {path}: {reason}", "make room, then start it again: nothing is lost")
    return DataError(f"cannot write {path}: {reason}", "choose another folder, or see that this one can be written")


def open_privately(path: Path, label: str = "") -> tuple[int, Path]:
    """Makes an empty file beside `path` under a name that nobody can foresee, and returns its handle and its path.

    It is made exclusively and never through a link, with the permissions that the umask leaves. A `label` says whose
    it is, so that `remove_stale_partials` leaves it to others who share the folder.
    """
    name = os.fsencode(path.name)[:NAME_BYTES].decode("utf-8", "ignore")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    while True:
        partial = path.parent / f".{name}{label and '.'}{label}.{secrets.token_hex(8)}.partial"
        with suppress(FileExistsError):
            return os.open(partial, flags, 0o666), partial


@contextmanager
def _partial_of(path: Path, label: str) -> Iterator[tuple[int, Path]]:
    """Yields handle and path of a private file that takes the place of `path` when all went well."""
    partial = None
    try:
        handle, partial = open_privately(path, label)
        yield handle, partial
        partial.replace(path)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        if partial is not None:
            with suppress(OSError):
                partial.unlink(missing_ok=True)


@contextmanager
def replace_atomically(path: Path, label: str = "") -> Iterator[Path]:
    """Yields the path of an empty private file to fill; it takes the place of `path` when all went well.

    For libraries that write by name (safetensors, matplotlib). A DataError where the disk refuses.
    """
    with _partial_of(path, label) as (handle, partial):
        mode = stat.S_IMODE(os.fstat(handle).st_mode)
        os.close(handle)
        yield partial
        partial.chmod(mode)  # safetensors makes the file anew, readable by its owner only


@contextmanager
def open_atomically(path: Path, mode: str = "w", label: str = "") -> Iterator[IO[Any]]:
    """Opens a file, text in UTF-8 (`w`) or bytes (`wb`), that appears whole or not at all.

    What UTF-8 cannot write, such as a file name in another encoding, is written as JSON escapes it. A DataError where
    the disk refuses, for example because it is full.
    """
    encoding, errors = (None, None) if "b" in mode else ("utf-8", "backslashreplace")
    with _partial_of(path, label) as (handle, _), os.fdopen(handle, mode, encoding=encoding, errors=errors) as file:
        yield file


def remove_stale_partials(folder: Path, label: str = "") -> None:
    """Deletes what a killed writer left in a folder of ours, only what carries `label` where there is one.

    The caller holds the folder, or its part of it, alone. A DataError where the disk refuses.
    """
    try:
        for path in list(folder.iterdir()):
            found = PARTIAL.fullmatch(path.name)
            if found and found[1].endswith(label and f".{label}") and stat.S_ISREG(path.lstat().st_mode):
                path.unlink(missing_ok=True)
    except OSError as error:
        raise cannot_write(folder, error) from error


def write_text(path: Path, text: str) -> None:
    """Writes text, atomically."""
    with open_atomically(path) as file:
        file.write(text)


def write_json(path: Path, value: object, label: str = "") -> None:
    """Writes a JSON document, atomically."""
    with open_atomically(path, label=label) as file:
        file.write(json_text(value, indent=2) + "\n")


def write_json_lines(path: Path, records: Iterable[Mapping[str, Any]]) -> None:
    """Writes records as JSON lines, atomically."""
    with open_atomically(path) as file:
        for record in records:
            file.write(json_text(record) + "\n")


def make_folder(path: Path) -> None:
    """Makes a folder with those above it, or finds it; a DataError where a file stands there or the disk refuses."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(path, error) from error


def hash_file(path: Path) -> str:
    """Returns the SHA-256 of a file's bytes, read in blocks; an OSError where it cannot be read."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def kind_of(mode: int) -> str:
    """Returns what stands in a place: file, folder, link, or device or pipe (sockets, too)."""
    if stat.S_ISREG(mode):
        return "file"
    return "folder" if stat.S_ISDIR(mode) else "link" if stat.S_ISLNK(mode) else "device or pipe"


# one process at a time ------------------------------------------------------------------------------------------------
# Not filelock: it holds files only, and a lock file in a new run's folder would make `recap train` take it for a
# stranger's. A folder is held by itself.


@contextmanager
def locked(path: Path, busy: str, waiting: Progress | None = None) -> Iterator[None]:
    """Holds a lock; the operating system lets go of it when the process ends, however it ends.

    Args:
        path: a lock file, which goes afterwards; or a folder that is there, held by itself.
        busy: what another process is doing where it holds the lock.
        waiting: told `busy` while we wait for the other process; None refuses at once.

    Raises:
        BusyError: another process holds it, and we do not wait.
        DataError: the disk refuses.
    """
    try:
        handle = _open_lock(path, busy, waiting)
    except BlockingIOError as error:
        raise BusyError(busy, "wait for it, or choose another --out") from error
    except OSError as error:
        raise cannot_write(path, error) from error
    try:
        yield
    finally:
        if not path.is_dir():
            with suppress(OSError):
                path.unlink(missing_ok=True)
        os.close(handle)


def hold_or_wait(folder: Path, progress: Progress, busy: str) -> AbstractContextManager[None]:
    """Makes a folder and holds it alone; where another process does, says so and waits for it."""
    make_folder(folder)
    return locked(folder, busy, progress)


def _open_lock(path: Path, busy: str, waiting: Progress | None) -> int:
    """Opens and locks a file or folder, never through a link in the file's place, and returns its handle."""
    flags = os.O_RDONLY if path.is_dir() else os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW
    while True:
        handle = os.open(path, flags | os.O_CLOEXEC, 0o666)
        try:
            _lock(handle, busy, waiting)
            if path.exists() and os.fstat(handle).st_ino == path.stat().st_ino:
                return handle
        except BlockingIOError:
            os.close(handle)
            raise
        except OSError:  # a file system without locks
            return handle
        os.close(handle)  # its holder has just removed it


def _lock(handle: int, busy: str, waiting: Progress | None) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        if waiting is None:
            raise
        waiting.say(f"{busy}; waiting for it.")
        fcntl.flock(handle, fcntl.LOCK_EX)
