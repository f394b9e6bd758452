"""Arrays of songs in safetensors shards: written atomically, memory-mapped when read."""

import json
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from recap_cli.errors import DataError

SHARD_SONGS = 256


class ShardWriter:
    """Collects arrays by key and writes them as shards of `SHARD_SONGS`; `close` writes the rest.

    A shard appears whole or not at all, so a run that is killed loses at most one shard's work.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for stale in folder.glob("*.partial"):
            stale.unlink()
        self.folder = folder
        self.pending: dict[str, np.ndarray] = {}

    def add(self, key: str, array: np.ndarray) -> None:
        """Take an array; a full shard is written at once."""
        self.pending[key] = np.ascontiguousarray(array)
        if len(self.pending) >= SHARD_SONGS:
            self.close()

    def close(self) -> None:
        """Write what is pending.

        Raises:
            DataError: the disk refuses.
        """
        if not self.pending:
            return
        path = self.folder / f"{next_number(self.folder):05d}.safetensors"
        partial = path.with_name(path.name + ".partial")
        try:
            save_file(self.pending, partial)
            partial.chmod(0o644)  # safetensors writes for its owner only
            partial.replace(path)
        except OSError as error:
            partial.unlink(missing_ok=True)
            raise DataError(f"cannot write {path}: {error.strerror or error}", "is the disk full?") from error
        except Exception as error:  # safetensors has an error class of its own
            partial.unlink(missing_ok=True)
            raise DataError(f"cannot write {path}: {error}", "is the disk full?") from error
        self.pending = {}


def next_number(folder: Path) -> int:
    """The number of the next shard: behind the last one, since a damaged one before it may have been deleted."""
    numbers = [int(path.stem) for path in folder.glob("*.safetensors") if path.stem.isdecimal()]
    return max(numbers, default=-1) + 1


class ShardReader:
    """All arrays of a shard folder, found by key and read through a memory map.

    Raises:
        DataError: a shard is damaged.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: dict[str, Path] = {}
        self.shapes: dict[str, list[int]] = {}
        self.opened: dict[Path, safe_open] = {}
        for path in sorted(folder.glob("*.safetensors")):
            for key, shape in read_header(path):
                self.files[key] = path
                self.shapes[key] = shape

    def __contains__(self, key: str) -> bool:
        return key in self.files

    def __getitem__(self, key: str) -> np.ndarray:
        path = self.files[key]
        try:
            if path not in self.opened:
                self.opened[path] = safe_open(path, "numpy")
            return self.opened[path].get_tensor(key)
        except (SafetensorError, OSError) as error:
            raise DataError(f"{path} is damaged: {error}", "delete it and run recap prepare again") from error

    def __getstate__(self) -> dict[str, object]:
        """Leave the open maps behind when travelling to another process."""
        return {**self.__dict__, "opened": {}}


def read_header(path: Path) -> Iterator[tuple[str, list[int]]]:
    """Give the keys and shapes of a safetensors file without reading its arrays."""
    try:
        with path.open("rb") as file:
            (size,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(min(size, 100_000_000)))
        header.pop("__metadata__", None)
        shapes = {key: entry["shape"] for key, entry in header.items()}
        if path.stat().st_size != 8 + size + max((entry["data_offsets"][1] for entry in header.values()), default=0):
            raise ValueError("its length is wrong")
    except (OSError, ValueError, struct.error, LookupError, AttributeError, TypeError) as error:
        raise DataError(f"{path} is damaged: {error}", "delete it and run recap prepare again") from error
    yield from shapes.items()
