"""One process at a time: locks, and folders that are held while a command fills them."""

import fcntl
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from recap_cli.errors import BusyError
from recap_cli.files import MARKER, cannot_write, claim_folder, never_ours

LOCK = ".recap.lock"


@contextmanager
def hold_folder(
    folder: Path,
    holds: str,
    work: str,
    flag: str = "--out",
    inputs: Iterable[Path] = (),
    is_ours: Callable[[Path], bool] = never_ours,
    lock: str = LOCK,
) -> Iterator[None]:
    """Claims a folder as `claim_folder` does and holds it alone; where nothing came of it, it is as it was.

    Args:
        folder: where the output goes.
        holds: what it will hold, kept in the marker.
        work: the command that holds it, such as "recap eval", for the message to a second one.
        flag: the flag that named it, for messages.
        inputs: files and folders that the same command reads.
        is_ours: recognises a folder that we made before there were markers.
        lock: the lock's name, for commands that share a folder in parts.

    Raises:
        BusyError: another process works on it.
        OptionError: it holds something else, or is an input.
        DataError: it cannot be made.
    """
    made = not os.path.lexists(folder)
    claim_folder(folder, holds, flag, inputs, is_ours)
    try:
        with locked(folder / lock, f"another {work} is working on {folder}"):
            yield
    finally:
        with suppress(OSError):
            if [path.name for path in folder.iterdir()] == [MARKER]:
                (folder / MARKER).unlink()
            if made:
                folder.rmdir()  # refused where it holds something


@contextmanager
def locked(path: Path, busy: str) -> Iterator[None]:
    """Holds a lock file; it goes afterwards.

    The operating system lets go of it when the process ends, however it ends.

    Args:
        path: the lock file, in a folder of ours.
        busy: the message where another process holds it.

    Raises:
        BusyError: another process holds it.
        DataError: the disk refuses.
    """
    try:
        handle = open_lock(path)
    except BlockingIOError as error:
        raise BusyError(busy, "wait for it, or choose another --out") from error
    except OSError as error:
        raise cannot_write(path, error) from error
    try:
        yield
    finally:
        with suppress(OSError):
            path.unlink(missing_ok=True)
        os.close(handle)


def open_lock(path: Path) -> int:
    """Opens and locks a file, never through a link, and returns its handle.

    Raises:
        BlockingIOError: another process holds it.
        OSError: it cannot be made.
    """
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.exists() and os.fstat(handle).st_ino == path.stat().st_ino:
                return handle
        except BlockingIOError:
            os.close(handle)
            raise
        except OSError:  # a file system without locks
            return handle
        os.close(handle)  # its holder has just removed it
