"""What a person sees: Rich progress and tables on stderr, results on stdout."""

import json
import sys
import time
from contextlib import AbstractContextManager, nullcontext
from itertools import chain, islice
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichBar

from recap_cli.errors import OptionError
from recap_cli.progress import Table

PLAIN_INTERVAL = 15.0


class ConsoleProgress:
    """Reports to a terminal with bars, and to anything else with a line now and then.

    Args:
        console: writes to stderr.
        quiet: report nothing but warnings.
    """

    def __init__(self, console: Console, quiet: bool = False) -> None:
        self.console, self.quiet = console, quiet
        self.bar: RichBar | None = None
        self.task: TaskID | None = None
        self.name, self.total, self.done = "", 0, 0
        self.began = self.told = 0.0

    def start(self, task: str, total: int | None = None) -> None:
        """Begin a task."""
        self.finish()
        self.name, self.total, self.done = task, total or 0, 0
        self.began = self.told = time.monotonic()
        if self.quiet:
            return
        if not self.console.is_terminal:
            self.console.print(f"{task} ...", highlight=False)
            return
        self.bar = RichBar(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=self.console,
            transient=True,
        )
        self.bar.start()
        self.task = self.bar.add_task(task, total=total, rate="", note="")

    def advance(self, count: int = 1, note: str = "") -> None:
        """Say that more units are done."""
        self.done += count
        now = time.monotonic()
        rate = f"{self.done / max(now - self.began, 1e-6):.1f}/s"
        if self.bar is not None and self.task is not None:
            self.bar.update(self.task, advance=count, rate=rate, note=note)
        elif not self.quiet and now - self.told > PLAIN_INTERVAL:
            self.told = now
            total = f"/{self.total}" if self.total else ""
            self.console.print(f"{self.name}: {self.done}{total} ({rate}) {note}".rstrip(), highlight=False)

    def finish(self) -> None:
        """End the current task."""
        if self.bar is not None:
            self.bar.stop()
        self.bar = self.task = None

    def say(self, message: str) -> None:
        """Tell one line."""
        if not self.quiet:
            self.console.print(message, highlight=False, markup=False, soft_wrap=True)

    def warn(self, message: str) -> None:
        """Tell one line, even when quiet."""
        self.console.print(f"warning: {message}", highlight=False, markup=False, soft_wrap=True)

    def show(self, table: Table) -> None:
        """Show a small table."""
        if self.quiet:
            return
        from recap_cli.report.drawing import draw

        self.console.print(draw(table))


def stderr_console() -> Console:
    """The console for progress and messages; plain when stderr is no terminal, NO_COLOR honoured."""
    return Console(stderr=True)


def stdout_console() -> Console:
    """The console for results; a pipe gets lines wide enough for every table."""
    console = Console()
    return console if console.is_terminal else Console(width=220)


def write_line(text: str) -> None:
    """Write a line of data to stdout, in UTF-8 whatever the locale."""
    sys.stdout.buffer.write((text + "\n").encode("utf-8", "surrogateescape"))
    sys.stdout.buffer.flush()


def render(as_json: bool, document: dict[str, Any], *tables: Any) -> None:
    """Give a result to stdout, as JSON or as tables."""
    from recap_cli.report.drawing import draw

    if as_json:
        write_line(json.dumps(document, ensure_ascii=False))
        return
    console = stdout_console()
    for table in tables:
        if table is not None:
            console.print(draw(table))


def render_captions(captions: Any, options: Any, out: Path | None, as_json: bool, progress: ConsoleProgress) -> int:
    """Give captions as they come and count failures: panels to a person, bare text to a pipe, JSON lines when asked."""
    from recap_cli.report.panels import caption_panel

    failed = 0
    console = stdout_console()
    captions = iter(captions)
    first = list(islice(captions, 1))  # what fails at once leaves an older file alone
    with open_lines(out) as file:
        for result in chain(first, captions):
            failed += bool(result.error)
            for warning in [*result.warnings, *([result.error] if result.error else [])]:
                progress.warn(f"{result.audio}: {warning}" if options.is_batch else warning)
            if file is not None:
                file.write(json.dumps(result.to_json(), ensure_ascii=False) + "\n")
            elif as_json or options.is_batch:
                write_line(json.dumps(result.to_json(), ensure_ascii=False))
            elif console.is_terminal:
                console.print(caption_panel(result))
            else:
                write_line("\n".join(result.captions))
    return failed


def open_lines(out: Path | None) -> AbstractContextManager[TextIO | None]:
    """Open a file of JSON lines for writing, a line at a time; nothing where none is named.

    Raises:
        OptionError: it cannot be written.
    """
    if out is None:
        return nullcontext()
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        return out.open("w", encoding="utf-8", buffering=1)
    except OSError as error:
        raise OptionError(f"--out {out} cannot be written: {error.strerror}", "name another file") from error


def render_evaluation(result: Any, out: Path, form: str, progress: ConsoleProgress) -> None:
    """Give an evaluation to stdout in one of the formats, and its plots and pages to a folder."""
    from recap_cli.report import scores, table_one
    from recap_cli.report.alignment_plots import plot_alignment
    from recap_cli.report.case_page import write_case_page

    files = [file for report in result.alignment for file in plot_alignment(report, out)]
    if result.cases is not None:
        files += [write_case_page(result.cases, out / f"cases.{suffix}") for suffix in ("html", "md")]
    if form == "rich":
        render(False, {}, *scores.all_tables(result))
    elif form == "json":
        render(True, result.to_json())
    else:
        writers = {"markdown": scores.to_markdown, "latex": table_one.to_latex, "csv": table_one.to_csv}
        write_line(writers[form](result))
    for report in result.controls:
        for verdict in report.verdicts:
            progress.say(f"{report.name}: {verdict}")
    progress.say(f"Captions and figures: {out}" + "".join(f"\nWritten: {file}" for file in files))
