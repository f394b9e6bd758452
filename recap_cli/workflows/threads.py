"""How many numerical threads a child process has."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

THREAD_VARIABLES = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "NUMBA_NUM_THREADS",
)  # fmt: skip


@contextmanager
def limited_threads(count: int) -> Iterator[None]:
    """Let child processes start with so many numerical threads each."""
    before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(count)))
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def single_threaded() -> AbstractContextManager[None]:
    """Let child processes start with one numerical thread each."""
    return limited_threads(1)
