"""One process at a time makes what several ask for."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from recap_cli.errors import DataError
from recap_cli.progress import Progress


@contextmanager
def claim_cache(folder: Path, progress: Progress, working: str) -> Iterator[None]:
    """Hold a cache's folder alone; wait where another process has it. A process that dies lets go of it.

    Args:
        folder: the cache.
        progress: told why nothing moves.
        working: what the other process does, such as "Another process encodes the music".

    Raises:
        DataError: the folder cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise DataError(
            f"cannot write into {folder}: {error.strerror or error}", "see that it can be written, or work in a copy"
        ) from error
    try:
        with suppress(OSError):  # a file system without locks
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                progress.say(f"{working}; waiting for it.")
                fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
