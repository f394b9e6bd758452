"""The line of a task: whatever the width, its name, count, rate and remaining time are whole."""

import time

import pytest
from screens import WIDTHS, check_screen, draw_screen

from recap_cli.cli.task_line import SPARE, Task, tell_rate


@pytest.fixture
def half_done(monkeypatch) -> Task:
    """A task with a name of usual length, 90 s after its start."""
    monkeypatch.setattr(time, "monotonic", lambda: 90.0)
    return Task("Captioning songs", 1200, 345, note="12 failed, such as a.mp3", began=0.0)


def test_screens(half_done):
    check_screen("task-line", half_done, Task("Captioning some to tell the rate", 16, 4, began=0.0))


@pytest.mark.parametrize("width", range(35, 140, 5))
def test_figures_are_whole_at_any_width(half_done, width):
    text = draw_screen(width, half_done)
    for part in ("Captioning songs", "345/1200", "3.8/s", "3:43 left"):
        assert part in text
    assert max(map(len, text.splitlines())) <= width - SPARE  # room for ^C


def test_first_the_note_goes_then_the_bar(half_done):
    drawn = {width: draw_screen(width, half_done) for width in (*WIDTHS, 60)}
    assert "12 failed" in drawn[120] and "━" in drawn[120]
    assert "12 failed" not in drawn[60] and "━" in drawn[60]
    assert "━" not in drawn[50]
    half_done.total = None
    assert "left" not in draw_screen(80, half_done) and "345" in draw_screen(80, half_done)


def test_what_was_done_before_does_not_count_in_the_rate(half_done):
    half_done.before = 300
    assert half_done.figures == ["345/1200", "0.5/s", "28:30 left"]
    half_done.before = 345
    assert half_done.figures == ["345/1200"]


def test_slow_work_is_told_by_the_minute():
    told = [tell_rate(done, seconds) for done, seconds in ((0, 5), (32, 16), (2, 300), (1, 3600))]
    assert told == ["", "2.0/s", "0.4/min", "0.0/min"]
