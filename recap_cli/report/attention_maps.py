"""What a caption looked at, drawn: lyrics lines against seconds of music, caption words against lyrics lines."""

import math
from collections.abc import Iterator
from pathlib import Path
from textwrap import fill, shorten
from typing import Any

from recap_cli.captioning.captioner import SongCaption
from recap_cli.captioning.explain import AttentionMap, Explanation
from recap_cli.escaping import figure_text
from recap_cli.report.panels import clock
from recap_cli.report.pictures import save_picture

LONGEST_LINE = 56  # characters of a lyrics line
MOST_LINES = 40  # lines that can be read in one figure
MOST_COLUMNS = 300  # seconds that can be told apart; more are taken together
STEPS = (1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1800, 3600)  # seconds


def drawn(captions: Iterator[SongCaption], path: Path) -> Iterator[SongCaption]:
    """Draw the explanation of each caption that passes.

    Raises:
        DataError: the file cannot be written.
    """
    for caption in captions:
        if caption.explanation is not None:
            draw_explanation(caption.explanation, caption.audio, path)
        yield caption


def draw_explanation(explanation: Explanation, audio: str, path: Path) -> None:
    """Draw both maps, one above the other.

    Raises:
        DataError: the file cannot be written.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    lines, words = len(explanation.lyrics.columns), len(explanation.lyrics.rows)
    shown = min(lines, MOST_LINES)
    height = 1.3 + 0.24 * shown
    parts = 2 if explanation.music is not None else 1
    width = max(9.0, 4.2 + 0.24 * words)
    figure, axes = pyplot.subplots(
        parts, 1, figsize=(min(width, 24.0), parts * height + 1.6), layout="constrained", squeeze=False
    )
    title = fill(f"{Path(audio).name}: {explanation.caption}", 100)
    figure.suptitle(figure_text(title), fontsize=11, x=0.01, ha="left")
    if explanation.music is not None:
        draw_music(axes[0][0], explanation, figure)
    draw_words(axes[-1][0], explanation, figure)
    try:
        save_picture(figure, path, 130)
    finally:
        pyplot.close(figure)


def draw_music(axes: Any, explanation: Explanation, figure: Any) -> None:
    """Lyrics lines against seconds: darker where a line's words looked more."""
    found = explanation.music
    assert found is not None
    width = nice_step(len(found.columns) / MOST_COLUMNS)
    weights = [
        [sum(row[start : start + width]) for start in range(0, len(row), width)] for row in found.weights[:MOST_LINES]
    ]
    image = axes.imshow(weights, aspect="auto", cmap="Purples", norm=shades(weights), interpolation="nearest")
    label_lines(axes.yaxis, found.rows)
    every = nice_step(len(found.columns) / 12)
    places = range(0, len(found.columns), every)
    times = [clock(explanation.music_seconds[place]) for place in places]
    axes.set_xticks([place / width - 0.5 for place in places], times)
    axes.set_xlabel("time in the song" if width == 1 else f"time in the song, in steps of {clock(width)}")
    axes.set_title(headline("Which seconds of the music each line of the lyrics looked at", found), **TITLE)
    figure.colorbar(image, ax=axes, pad=0.01, label="share of a look")


def nice_step(least: float) -> int:
    """Give the first step of at least so many seconds that a person counts in."""
    return next((step for step in STEPS if step >= least), 3600 * math.ceil(least / 3600))


def draw_words(axes: Any, explanation: Explanation, figure: Any) -> None:
    """Lyrics lines against the words of the caption: darker where a word looked more."""
    found = explanation.lyrics
    weights = [[row[line] for row in found.weights] for line in range(min(len(found.columns), MOST_LINES))]
    image = axes.imshow(weights, aspect="auto", cmap="Greens", vmin=0, interpolation="nearest")
    label_lines(axes.yaxis, found.columns)
    axes.set_xticks(
        range(len(found.rows)), [figure_text(word) for word in found.rows], rotation=60, ha="right", fontsize=8
    )
    axes.set_xlabel("words of the caption, as they were written")
    axes.set_title(headline("Which line of the lyrics each word of the caption looked at", found), **TITLE)
    figure.colorbar(image, ax=axes, pad=0.01, label="share of a look")


def shades(weights: list[list[float]]) -> Any:
    """Spread faint values over more shades than strong ones: one second may take half of all looks."""
    from matplotlib.colors import PowerNorm

    return PowerNorm(0.5, vmin=0, vmax=max((value for row in weights for value in row), default=0) or 1)


TITLE = {"fontsize": 10, "loc": "left"}


def headline(text: str, found: AttentionMap) -> str:
    """Say what is drawn, how spread the looks are, and where that says little."""
    note = " - NEARLY UNIFORM, it says little" if found.is_nearly_uniform else ""
    return f"{text}{note}\nspread {found.entropy:.2f} bits; looking everywhere alike is {found.uniform_entropy:.2f}"


def label_lines(axis: Any, lines: list[str]) -> None:
    """Write the lyrics beside their rows; what does not fit is counted."""
    labels = [
        figure_text(shorten(line, LONGEST_LINE, placeholder="...") or line[:LONGEST_LINE])
        for line in lines[:MOST_LINES]
    ]
    if len(lines) > MOST_LINES:
        labels[-1] += f" (+{len(lines) - MOST_LINES} more)"
    axis.set_ticks(range(len(labels)), labels, fontsize=8)
