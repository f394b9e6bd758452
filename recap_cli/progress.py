"""What long work reports to: a protocol that `cli.py` fills with Rich, and a silent one for tests and libraries."""

from typing import Protocol


class Progress(Protocol):
    """Receives the state of a workflow. Workflows report here; they neither print nor exit."""

    def start(self, task: str, total: int | None = None) -> None:
        """Begin a task of `total` units (None: unknown). An unfinished task before it is closed."""

    def advance(self, count: int = 1, note: str = "") -> None:
        """Say that `count` more units are done; `note` is a few words on the current state."""

    def finish(self) -> None:
        """End the current task."""

    def say(self, message: str) -> None:
        """Tell the user one line, for example which default was chosen."""

    def warn(self, message: str) -> None:
        """Tell one line that must not be missed."""

    def show(self, table: "Table") -> None:
        """Show a small table, for example the figures of an epoch."""


class Table:
    """Rows under headings, free of any drawing.

    Args:
        title: the table's heading.
        columns: column names, in order.
        rows: cells as text, one list a row.
        caption: a line under the table, for example a signature.
    """

    def __init__(self, title: str, columns: list[str], rows: list[list[str]], caption: str = "") -> None:
        self.title = title
        self.columns = columns
        self.rows = rows
        self.caption = caption


class SilentProgress:
    """Reports to nobody."""

    def start(self, task: str, total: int | None = None) -> None:
        """Ignore the start of a task."""

    def advance(self, count: int = 1, note: str = "") -> None:
        """Ignore a step."""

    def finish(self) -> None:
        """Ignore the end of a task."""

    def say(self, message: str) -> None:
        """Ignore a message."""

    def warn(self, message: str) -> None:
        """Ignore a warning."""

    def show(self, table: Table) -> None:
        """Ignore a table."""
