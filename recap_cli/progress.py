"""What long work reports to: a protocol that `cli/console.py` fills with Rich, and a silent one."""

from dataclasses import dataclass
from typing import Protocol


class Progress(Protocol):
    """Receives the state of long work, which neither prints nor exits itself."""

    def start(self, task: str, total: int | None = None, done: int = 0) -> None:
        """Begins a task of `total` units (None: unknown). An unfinished task before it is closed.

        `done` of them were finished before, by an interrupted run: they count in the bar and not in the rate.
        """

    def advance(self, count: int = 1, note: str = "") -> None:
        """Says that `count` more units are done; `note` is a few words on the current state."""

    def finish(self) -> None:
        """Ends the current task."""

    def say(self, message: str) -> None:
        """Tells the user one line, for example which default was chosen."""

    def warn(self, message: str) -> None:
        """Tells one line that must not be missed."""


@dataclass
class Table:
    """Rows under headings, free of any drawing."""

    title: str
    columns: list[str]
    rows: list[list[str]]
    caption: str = ""  # notes under the table, a line each


class SilentProgress:
    """Reports to nobody."""

    def start(self, task: str, total: int | None = None, done: int = 0) -> None:  # noqa: D102 (this and the following: see Progress)
        pass

    def advance(self, count: int = 1, note: str = "") -> None:  # noqa: D102
        pass

    def finish(self) -> None:  # noqa: D102
        pass

    def _keep(self, told: object) -> None:
        pass

    say = warn = _keep
