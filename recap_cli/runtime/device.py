"""What a process computes on: its device, and how many numerical threads its children have."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from recap_cli.errors import OptionError

THREAD_VARIABLES = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "NUMBA_NUM_THREADS",
)  # fmt: skip


def thread_variables(count: int) -> dict[str, str]:
    """Returns the environment in which libraries take N numerical threads; they read it while they load."""
    return dict.fromkeys(THREAD_VARIABLES, str(count))


@contextmanager
def environment(changes: Mapping[str, str]) -> Iterator[None]:
    """Child processes that start within have these environment variables, too."""
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def choose_device(device: str) -> str:
    """Returns the device that `auto` or a name stands for on this machine.

    Raises:
        OptionError: the device is not there.
    """
    import torch

    found = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if device == "auto":
        return "cuda" if found["cuda"] else "mps" if found["mps"] else "cpu"
    if not found.get(device):
        raise OptionError(f"--device {device} is not available here", "choose auto or cpu")
    return device
