"""Files that a corpus names: found within its folders, and nowhere else unless asked."""

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path


def is_file(path: Path | str) -> bool:
    """Whether there is a file; a name that no file can have is none."""
    return os.path.isfile(path)  # noqa: PTH113  Path.is_file fails on names that are too long


@dataclass(frozen=True)
class Place:
    """A folder that a corpus may take files from.

    Attributes:
        folder: the folder.
        follow_outside: take files outside of it, too, where paths and links lead there.
    """

    folder: Path
    follow_outside: bool = False

    @cached_property
    def root(self) -> Path:
        """The folder, links resolved."""
        return self.folder.resolve()

    def find(self, name: str) -> Path | None:
        """Join a name to the folder; None when it leads out of it, by `..`, a link or an absolute path."""
        if "\0" in name:
            return None
        if self.follow_outside:
            return self.folder / name
        try:
            file = (self.folder / name).resolve()
        except (OSError, RuntimeError):  # links in a circle
            return None
        return file if file.is_relative_to(self.root) else None

    def holds(self, file: Path) -> bool:
        """Whether a file, links resolved, lies in the folder."""
        if self.follow_outside:
            return True
        try:
            return file.resolve().is_relative_to(self.root)
        except (OSError, RuntimeError):
            return False
