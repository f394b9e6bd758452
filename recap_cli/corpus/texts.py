"""Lines of text files by number, read through memory maps."""

import errno
import mmap
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from recap_cli.errors import DataError

BLOCK = 1 << 24
T = TypeVar("T")


class MappedLines(Sequence[bytes]):
    """The lines of files, one file after the other, without their ends; blank lines are none.

    Args:
        paths: UTF-8 text files.

    Raises:
        OSError: one cannot be read.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = list(paths)
        self.maps = [open_map(path) for path in self.paths]
        bounds = [find_lines(text) for text in self.maps]
        self.files = np.repeat(np.arange(len(bounds)), [len(rows) for rows in bounds])
        self.bounds = np.concatenate([*bounds, np.zeros((0, 2), np.int64)])

    def __len__(self) -> int:
        return len(self.bounds)

    def __getitem__(self, number: Any) -> Any:
        """Give a line."""
        first, last = self.bounds[number]
        return self.maps[self.files[number]][first:last]

    def read(self, number: int, parse: Callable[[bytes], T]) -> T:
        """Returns what `parse` makes of a line.

        Raises:
            DataError: the line is damaged, which a ValueError of `parse` says; it is named.
        """
        try:
            return parse(self[number])
        except ValueError as error:
            raise DataError(f"{self.place(number)} is damaged: {error}", "run recap prepare again") from error

    def place(self, number: int) -> str:
        """Returns where a line stands: its file, and its number in it from 1, blank lines counted."""
        file, first = int(self.files[number]), int(self.bounds[number][0])
        before = sum(
            self.maps[file][start : min(start + BLOCK, first)].count(b"\n") for start in range(0, first, BLOCK)
        )
        return f"{self.paths[file]} line {before + 1}"

    def __iter__(self) -> Iterator[bytes]:
        for file, (first, last) in zip(self.files.tolist(), self.bounds.tolist(), strict=True):
            yield self.maps[file][first:last]

    def __getstate__(self) -> dict[str, Any]:
        """Leave the maps behind when travelling to another process."""
        return {**self.__dict__, "maps": []}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.maps = [open_map(path) for path in self.paths]


def open_map(path: Path) -> mmap.mmap | bytes:
    """Map a file; an empty one cannot be mapped.

    Raises:
        OSError: it cannot be read, or is a folder, a pipe or a device, for which nobody shall wait.
    """
    if not path.is_file():
        reason = errno.EINVAL if path.exists() else errno.ENOENT
        raise OSError(reason, "it is no file" if path.exists() else "No such file or directory", str(path))
    with path.open("rb") as file:
        if path.stat().st_size == 0:
            return b""
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def find_lines(text: mmap.mmap | bytes) -> np.ndarray:
    """Give first byte and end of each line that is not blank [lines, 2]."""
    found = [np.zeros(0, np.int64)]
    for start in range(0, len(text), BLOCK):
        block = np.frombuffer(text[start : start + BLOCK], np.uint8)
        found.append(np.flatnonzero(block == ord("\n")) + start)
    ends = np.concatenate(found)
    if len(text) and (not len(ends) or ends[-1] != len(text) - 1):
        ends = np.append(ends, len(text))
    starts = np.concatenate([np.zeros(1, np.int64), ends[:-1] + 1])[: len(ends)]
    return keep_filled(text, np.stack([starts, ends], axis=1))


def keep_filled(text: mmap.mmap | bytes, bounds: np.ndarray) -> np.ndarray:
    """Leave out blank lines; only short ones need to be looked at."""
    short = np.flatnonzero(bounds[:, 1] - bounds[:, 0] < 8)
    blank = [row for row in short.tolist() if not text[bounds[row, 0] : bounds[row, 1]].strip()]
    return np.delete(bounds, blank, axis=0)
