"""Arrays of songs in safetensors shards: written atomically, memory-mapped when read."""

import json
import math
import re
import struct
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from recap_cli.errors import DataError
from recap_cli.files import cannot_write, make_folder, remove_stale_partials, replace_atomically

SHARD_SONGS = 256
_OWN_SHARD = re.compile(r"([0-9a-f]{16}|[0-9]{5,15})\.safetensors")
MOST_OPEN = 256  # memory maps that a reader keeps
LONGEST_HEADER = 1 << 22  # bytes; a shard's own has some 30,000
DTYPES = {"F16": 2, "F32": 4}  # bytes of a number


class ShardWriter:
    """Collects arrays by key and writes them as shards of `SHARD_SONGS`, or of `size`; `close` writes the rest.

    A shard appears whole or not at all, so a run that is killed loses at most one shard's work.
    """

    def __init__(self, folder: Path, size: int | None = None) -> None:
        make_folder(folder)
        remove_stale_partials(folder)
        self.folder, self.size = folder, size or SHARD_SONGS
        self.pending: dict[str, np.ndarray] = {}

    def add(self, key: str, array: np.ndarray) -> None:
        """Takes an array; a full shard is written at once."""
        self.pending[key] = np.ascontiguousarray(array)
        if len(self.pending) >= self.size:
            self.close()

    def close(self) -> None:
        """Writes what is pending.

        Raises:
            DataError: the disk refuses.
        """
        if not self.pending:
            return
        numbers = [int(path.stem) for path in self.folder.glob("*.safetensors") if path.stem.isdecimal()]
        # Behind the last one, since a damaged one before it may have been deleted.
        write_shard(self.folder / f"{max(numbers, default=-1) + 1:05d}.safetensors", self.pending)
        self.pending = {}


def write_shard(path: Path, arrays: dict[str, np.ndarray], label: str = "whole") -> None:
    """Writes arrays by key as one shard, atomically; the same arrays give the same bytes.

    `label` is the writer's, in the name of the file until it is whole.

    Raises:
        DataError: the disk refuses.
    """
    try:
        with replace_atomically(path, label) as partial:
            save_file(arrays, partial)
    except SafetensorError as error:
        raise cannot_write(path, error) from error


class ShardReader:
    """All arrays of a shard folder, found by key and read through a memory map.

    Args:
        folder: the shards' folder.
        names: only these shards, where not all of them.
        remedy: what makes a damaged shard anew once it is deleted, for messages.

    Raises:
        DataError: a shard is damaged.
    """

    def __init__(
        self, folder: Path, names: Iterable[str] | None = None, remedy: str = "run recap prepare again"
    ) -> None:
        self.folder, self.remedy = folder, remedy
        self.files: dict[str, Path] = {}
        self.shapes: dict[str, list[int]] = {}
        self.opened: dict[Path, safe_open] = {}
        for path in sorted(folder.glob("*.safetensors") if names is None else (folder / name for name in names)):
            self.shapes |= (found := read_shapes(path))
            self.files |= dict.fromkeys(found, path)

    def __contains__(self, key: str) -> bool:
        return key in self.files

    def __getitem__(self, key: str) -> np.ndarray:
        """Returns an array.

        Raises:
            DataError: its shard is damaged, or it holds what is no number.
        """
        path = self.files[key]
        try:
            if path not in self.opened:
                if len(self.opened) >= MOST_OPEN:
                    del self.opened[next(iter(self.opened))]
                self.opened[path] = safe_open(path, "numpy")
            array: np.ndarray = self.opened[path].get_tensor(key)
        except (SafetensorError, OSError) as error:
            raise DataError(f"{path} is damaged: {error}", f"delete it and {self.remedy}") from error
        if not _is_finite(array):
            raise DataError(f"{path} is damaged: {key} holds NaN or infinity", f"delete it and {self.remedy}")
        return array

    def __getstate__(self) -> dict[str, object]:
        """Leaves the open maps behind when travelling to another process."""
        return {**self.__dict__, "opened": {}}


def _is_finite(array: np.ndarray) -> bool:
    """Whether an array of fp16 or fp32 holds neither NaN nor infinity."""
    if array.dtype == np.float16:  # numpy takes six times as long for it
        return bool((array.view(np.uint16) & 0x7FFF).max(initial=0) < 0x7C00)
    return bool(np.isfinite(array).all())


def read_shapes(path: Path) -> dict[str, list[int]]:
    """Returns the shapes of a safetensors file by key, without reading its arrays.

    Raises:
        DataError: it is damaged: what its header says does not fill the file exactly.
    """
    try:
        if not path.is_file():
            raise ValueError("it is no file")
        length = path.stat().st_size
        with path.open("rb") as file:
            (size,) = struct.unpack("<Q", file.read(8))
            if size > min(LONGEST_HEADER, length - 8):
                raise ValueError("its header is cut or overlong")
            header = json.loads(file.read(size))
        header.pop("__metadata__", None)
        _check_entries(header, length - 8 - size)
    except (OSError, ValueError, struct.error, LookupError, AttributeError, TypeError, RecursionError) as error:
        raise DataError(f"{path} is damaged: {error}", "delete it and run recap prepare again") from error
    return {key: entry["shape"] for key, entry in header.items()}


def _check_entries(header: dict[str, Any], length: int) -> None:
    """Refuses a header whose arrays are not ours, or do not lie one behind the other and fill `length` bytes."""
    end = 0
    for key, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        shape, (first, last) = entry["shape"], entry["data_offsets"]
        if entry["dtype"] not in DTYPES:
            raise ValueError(f"{key} has the type {entry['dtype']}, not one of {', '.join(DTYPES)}")
        if not all(type(number) is int and number >= 0 for number in (*shape, first, last)):
            raise ValueError(f"{key} has the shape {shape} at {first} to {last}")
        if first != end or last - first != DTYPES[entry["dtype"]] * math.prod(shape):
            raise ValueError(f"{key} does not lie where it belongs")
        end = last
    if end != length:
        raise ValueError("its length is wrong")


def own_shards(folder: Path) -> list[Path]:
    """Returns the shards that we wrote into a folder: they are named for their content, or numbered."""
    return sorted(path for path in folder.glob("*.safetensors") if _OWN_SHARD.fullmatch(path.name))


def drop_damaged(folder: Path) -> list[str]:
    """Deletes shards of ours that cannot be read, as a power cut leaves them, and returns their names."""
    damaged = []
    for path in own_shards(folder):
        try:
            read_shapes(path)
        except DataError:
            with suppress(OSError):  # a folder, or one that may not be deleted: its reader will tell
                path.unlink()
                damaged.append(path.name)
    return damaged
