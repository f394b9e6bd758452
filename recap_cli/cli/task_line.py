"""One task of long work as a line: name, bar, count, rate, remaining time, and a few words on its state."""

import time
from dataclasses import dataclass, field

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table as Grid
from rich.text import Text

from recap_cli.escaping import one_line
from recap_cli.report.drawing import clock

LONGEST_BAR, SHORTEST_BAR = 40, 8  # columns; a shorter one says nothing
SPARE = 3  # columns for the ^C that a terminal echoes: on a full line it would move the cursor, and the bar would stay


@dataclass
class Task:
    """What is known of a task; drawn, it fits any terminal: first the note goes, then the bar, and no figure ever."""

    name: str
    total: int | None = None  # None: unknown
    done: int = 0
    before: int = 0  # of them, finished by an interrupted run: they do not count in the rate
    note: str = ""
    began: float = field(default_factory=lambda: time.monotonic())
    spinner: Spinner = field(default_factory=lambda: Spinner("dots"))

    def advance(self, count: int, note: str) -> None:
        """Counts units that are done."""
        self.done, self.note = self.done + count, one_line(note)

    @property
    def figures(self) -> list[str]:
        """Count, rate and remaining time, as far as they are known: 32/100, 2.0/s, 0:34 left."""
        seconds, here = time.monotonic() - self.began, self.done - self.before
        found = [f"{self.done}/{self.total}" if self.total else f"{self.done}", tell_rate(here, seconds)]
        if self.total and here > 0:
            found.append(f"{clock(max(self.total - self.done, 0) * seconds / here)} left")
        return [one for one in found if one]

    def __str__(self) -> str:
        """The line where there is no terminal."""
        return f"{self.name}: {', '.join([*self.figures, *([self.note] if self.note else [])])}"

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yields the line, or two where name and figures do not fit into one."""
        figures = "  ".join(self.figures)
        room = options.max_width - SPARE - cell_len(self.name) - cell_len(figures) - 4  # with the spinner
        if room < 0:
            yield Text(self.name)
            yield Text(f"  {figures}", "progress.percentage")
            return
        grid = Grid.grid(padding=(0, 1))
        cells = [self.spinner.render(console.get_time()), Text(self.name)]
        note = self.note if cell_len(self.note) + 1 <= room - (SHORTEST_BAR + 1) * bool(self.total) else ""
        room -= cell_len(note) + 1 if note else 0
        if self.total and room > SHORTEST_BAR:
            cells.append(ProgressBar(self.total, min(self.done, self.total), width=min(room - 1, LONGEST_BAR)))
        cells.append(Text(figures, "progress.percentage", no_wrap=True))
        grid.add_row(*cells, Text(note, no_wrap=True))
        yield grid


def tell_rate(done: int, seconds: float) -> str:
    """Returns units a second, or a minute where they are slow; "" at the start."""
    rate = done / max(seconds, 1e-6)
    if done <= 0:
        return ""
    return f"{rate:.1f}/s" if rate >= 0.1 else f"{60 * rate:.1f}/min"
