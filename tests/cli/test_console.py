"""What a person sees: bars at a terminal, lines in a pipe, data untouched by either."""

import io
import sys

from rich.console import Console

from recap_cli.cli import console as module
from recap_cli.cli.console import (
    ConsoleProgress,
    render,
    stderr_console,
    stdout_console,
    write_line,
)
from recap_cli.progress import Table


def plain(quiet: bool = False) -> tuple[ConsoleProgress, io.StringIO]:
    file = io.StringIO()
    return ConsoleProgress(Console(file=file, width=60), quiet), file


# progress -------------------------------------------------------------------------------------------------------------


def test_a_pipe_gets_a_line_now_and_then(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])
    progress, file = plain()
    progress.start("Preparing songs", 100)
    for _ in range(40):
        clock[0] += 1.0
        progress.advance(2, note="1 rejected")
    progress.finish()
    assert file.getvalue().splitlines() == [
        "Preparing songs ...",
        "Preparing songs: 32/100, 2.0/s, 0:34 left, 1 rejected",
        "Preparing songs: 64/100, 2.0/s, 0:18 left, 1 rejected",
    ]


def test_an_unknown_total(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])
    progress, file = plain()
    progress.start("Scoring")
    clock[0] = 20.0
    progress.advance()
    assert file.getvalue().splitlines() == ["Scoring ...", "Scoring: 1, 3.0/min"]


def test_a_terminal_gets_a_bar_that_goes_away():
    file = io.StringIO()
    progress = ConsoleProgress(Console(file=file, width=100, force_terminal=True))
    progress.start("Training", 10)
    progress.advance(4, note="epoch 1/2")
    progress.start("Encoding", 3)  # closes the one before
    progress.advance()
    assert progress.task.done == 1
    progress.finish()
    assert progress.bar is None
    progress.finish()
    text = file.getvalue()
    assert "Training" in text and "4/10" in text and "epoch 1/2" in text and "Encoding" in text
    assert text.endswith("\x1b[1A\x1b[2K")  # the bar's line is wiped


def test_messages_stand_on_one_line_each_without_markup():
    progress, file = plain()
    long = "[bold]x[/] " + "word " * 30
    progress.say(long)
    progress.warn("b\n.wav: [/] is odd")
    assert file.getvalue().splitlines() == [long, "warning: b .wav: [/] is odd"]


def test_messages_wrap_at_words_on_a_terminal():
    """A word that is longer than the screen, such as a path, stays whole, so that it can be copied."""
    file = io.StringIO()
    progress = ConsoleProgress(Console(file=file, width=30, force_terminal=True, highlight=False))
    progress.say(f"a message that has some more words than fit, of /{'x' * 40} and [b] others")
    assert file.getvalue().splitlines() == [
        "a message that has some more", "words than fit, of", f"/{'x' * 40}", "and [b] others",
    ]  # fmt: skip


def test_quiet_leaves_only_warnings():
    progress, file = plain(quiet=True)
    progress.start("Training", 10)
    progress.advance()
    progress.say("hello")
    progress.finish()
    assert file.getvalue() == ""
    progress.warn("silent")
    assert file.getvalue() == "warning: silent\n"


# results --------------------------------------------------------------------------------------------------------------


def test_lines_are_utf8_whatever_the_locale(monkeypatch):
    buffer = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(buffer, encoding="ascii"))
    write_line("Ünder 雨 🎵")
    write_line("caf\udce9.wav")  # a file name that is no UTF-8 is told byte by byte
    assert buffer.getvalue() == "Ünder 雨 🎵\ncaf\\xe9.wav\n".encode()


def test_render(capsys):
    table = Table("Title", ["name", "value"], [["雨", "1"]])
    render(False, {"a": 1}, table, None)
    out, err = capsys.readouterr()
    assert "Title" in out and "雨" in out and err == ""
    render(True, {"a": "雨", "b": [1, None]}, table)
    assert capsys.readouterr().out == '{"a": "雨", "b": [1, null]}\n'


def test_a_pipe_gets_wide_tables(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    assert stdout_console().width == 220
    render(False, {}, Table("t", [f"column number {row}" for row in range(8)], [["cell"] * 8]))
    (header,) = (line for line in capsys.readouterr().out.splitlines() if "column" in line)
    assert header.count("column number") == 8


def test_no_color(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    assert stdout_console().no_color and stderr_console().no_color
    assert stderr_console().stderr
