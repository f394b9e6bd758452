"""What a person sees: progress and messages on stderr, results on stdout."""

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from rich.cells import cell_len
from rich.console import Console, ConsoleDimensions
from rich.live import Live
from rich.segment import Segment
from rich.text import Text

from recap_cli.cli.streams import Name, Stream
from recap_cli.cli.task_line import Task
from recap_cli.escaping import json_text, one_line, visible
from recap_cli.files import write_text
from recap_cli.progress import Table
from recap_cli.surroundings import NARROWEST, WIDEST

if TYPE_CHECKING:
    from recap_cli.ablation.results import AblateResult
    from recap_cli.evaluation.evaluate import EvaluateResult
    from recap_cli.evaluation.options import EvaluateOptions

Form = Literal["rich", "markdown", "latex", "csv", "json"]

PLAIN_INTERVAL = 15.0  # seconds between two lines where there is no terminal
PIPE_WIDTH = 220  # wide enough for every table

_bars: list[Live] = []  # the one that is drawn just now


def close_bar() -> None:
    """Takes the bar off the terminal and shows the cursor again, whatever ended the work."""
    while _bars:
        _bars.pop().stop()


class SafeConsole(Console):
    """A console on which words are only words: no markup, no emoji codes, nothing that acts unseen.

    Every text passes here on its way to the terminal, so nobody who prints has to think of it: strings before they
    are laid out, and what comes out of other renderables once more, piece by piece.
    """

    def __init__(self, name: Name, **options: Any) -> None:
        file: Any = Stream(name)
        super().__init__(file=file, stderr=name == "stderr", markup=False, emoji=False, highlight=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """Returns a text for a string, its control characters written out."""
        return super().render_str(visible(text), **{**options, "markup": False, "emoji": False})

    def render(self, renderable: Any, options: Any = None) -> Iterable[Segment]:
        """Returns the pieces of whatever is drawn; only Rich's own may move the cursor."""
        for piece in super().render(renderable, options):
            yield piece if piece.control else piece._replace(text=visible(piece.text))

    @property
    def size(self) -> ConsoleDimensions:
        """The size of the terminal, within what a table can be drawn in."""
        width, height = super().size
        return ConsoleDimensions(min(max(width, NARROWEST), WIDEST), height)

    @size.setter
    def size(self, size: tuple[int, int]) -> None:
        self.width, self.height = size


class ConsoleProgress:
    """Reports to a terminal with bars, and to anything else with a line now and then; when quiet, only warnings."""

    def __init__(self, console: Console, quiet: bool = False) -> None:
        self.console, self.quiet = console, quiet
        self.task: Task | None = None
        self.bar: Live | None = None
        self.told = 0.0

    def start(self, task: str, total: int | None = None, done: int = 0) -> None:
        """Begins a task, of which `done` units were finished before."""
        self.finish()
        self.task = Task(one_line(task), total, done, done)
        self.told = self.task.began
        if self.quiet:
            return
        if not self.console.is_terminal:
            self.console.print(f"{self.task.name} ...", highlight=False)
            return
        self.bar = Live(self.task, console=self.console, refresh_per_second=10, transient=True)
        self.bar.start()
        _bars.append(self.bar)

    def advance(self, count: int = 1, note: str = "") -> None:
        """Counts units that are done."""
        if self.task is None:
            return
        self.task.advance(count, note)
        now = time.monotonic()
        if self.bar is None and not self.quiet and now - self.told > PLAIN_INTERVAL:
            self.told = now
            self.console.print(str(self.task), highlight=False, soft_wrap=True)

    def finish(self) -> None:
        """Ends the current task."""
        if self.bar is not None:
            close_bar()
        self.bar = self.task = None

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Takes the bar off the terminal while results are written to stdout, so that it stays below them."""
        bar = self.bar
        if bar is not None:
            bar.stop()
        yield
        if bar is not None:
            bar.start(refresh=True)

    def say(self, message: str) -> None:
        """Writes a message."""
        if not self.quiet:
            tell(message, self.console)

    def warn(self, message: str) -> None:
        """Writes a message, even when quiet."""
        tell(f"warning: {message}", self.console)


def console_progress(quiet: bool = False) -> ConsoleProgress:
    """Returns what long work reports to in a terminal, and keeps the libraries that it uses from talking."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    # Threads that wait by spinning become ten times slower as soon as another process needs a core.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from transformers.utils import logging

    logging.disable_progress_bar()
    if os.environ["TRANSFORMERS_VERBOSITY"] == "error":
        # Its own look at the variable came too early where transformers was imported before.
        logging.set_verbosity_error()
    return ConsoleProgress(stderr_console(), quiet)


def stderr_console() -> Console:
    """Returns the console for progress and messages; plain when stderr is no terminal, NO_COLOR honoured."""
    return SafeConsole("stderr")


def stdout_console() -> Console:
    """Returns the console for results; a pipe gets lines wide enough for every table."""
    console = SafeConsole("stdout")
    return console if console.is_terminal else SafeConsole("stdout", width=PIPE_WIDTH)


def tell(message: str, console: Console | None = None) -> None:
    """Writes a message to stderr: wrapped at words on a terminal, one line in a pipe."""
    console = console or stderr_console()
    text = one_line(message)
    lines = wrap(text, console.width) if console.is_terminal else text
    console.print(lines, soft_wrap=True, markup=False, highlight=False)


def wrap(text: str, width: int) -> str:
    """Returns a text in lines of at most `width` columns; a longer word, such as a path, stays whole to be copied."""
    lines = [""]
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}" if lines[-1] else word
        if cell_len(longer) <= width or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    return "\n".join(lines)


def write_line(text: str) -> None:
    """Writes a line of data, or several, to stdout, in UTF-8 whatever the locale; nothing in it acts unseen.

    Raises:
        OptionError: stdout is closed or full.
    """
    Stream("stdout").write(visible(text) + "\n")


def render(as_json: bool, document: dict[str, Any], *tables: Table | None) -> None:
    """Writes a result to stdout, as JSON or as tables."""
    if as_json:
        write_line(json_text(document))
        return
    from recap_cli.report.drawing import draw

    console = stdout_console()
    for number, table in enumerate(table for table in tables if table is not None):
        if number:
            console.print()
        console.print(draw(table))


def render_evaluation(
    result: "EvaluateResult", options: "EvaluateOptions", form: Form, details: bool, progress: ConsoleProgress
) -> None:
    """Writes an evaluation to stdout in one of the formats, and its tables, plots and pages into its folder."""
    from recap_cli.page.evaluation_page import write_evaluation_page
    from recap_cli.report import scores, table_one
    from recap_cli.report.pictures import plot_alignment
    from recap_cli.report.systems_figure import plot_systems, systems_chart

    out = options.out
    assert out is not None
    write_text(out / "tables.md", scores.to_markdown(result) + "\n")
    files = [file for report in result.alignment for file in plot_alignment(report, out)]
    if (chart := systems_chart(result)) is not None:
        files += plot_systems(chart, out)
    if options.report is not None or options.cases.count:
        files.append(write_evaluation_page(result, options.report or out / "report.html"))
    if form == "rich":
        console = stdout_console()
        for drawn in scores.evaluation_screen(result, details):
            console.print(drawn)
    elif form == "json":
        write_line(json_text(result.to_json()))
    else:
        writers = {"markdown": scores.to_markdown, "latex": table_one.to_latex, "csv": scores.to_csv}
        write_line(writers[form](result))
    progress.say(f"All figures and tables: {out}")
    for file in files:
        progress.say(f"Written: {file}")
    progress.say(scores.next_step(options))


def render_ablation(result: "AblateResult", as_json: bool, progress: ConsoleProgress) -> None:
    """Writes a sweep to stdout as JSON, or as tables, and draws Figure 2 into its folder."""
    from recap_cli.report.figure_two import plot_ablation
    from recap_cli.report.tables import ablate_table, losses_table, measures_tables

    files = plot_ablation(result)
    render(as_json, result.to_json(), ablate_table(result), losses_table(result), *measures_tables(result))
    if not as_json:
        progress.say(f"Figure: {', '.join(map(str, files))}")
