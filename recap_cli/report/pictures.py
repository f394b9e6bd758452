"""Pictures: what a caption looked at, and how music and lyrics of many songs are aligned."""

import math
from collections.abc import Iterator
from pathlib import Path
from textwrap import fill, shorten
from typing import TYPE_CHECKING

import numpy as np

from recap_cli.captioning.captioner import SongCaption
from recap_cli.captioning.explain import AttentionMap, Explanation
from recap_cli.escaping import figure_text
from recap_cli.evaluation.alignment_report import AlignmentReport
from recap_cli.files import make_folder, replace_atomically
from recap_cli.outputs import CREATOR, file_stem
from recap_cli.report.drawing import clock

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.colors import PowerNorm
    from matplotlib.figure import Figure

LONGEST_LINE = 56  # characters of a lyrics line
MOST_LINES = 40  # lines that can be read in one figure
MOST_COLUMNS = 300  # seconds that can be told apart; more are taken together
STEPS = (1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1800, 3600)  # seconds

SHOWN_SONGS = 200  # more songs cannot be told apart in the matrix
COUNTED_SONGS = 2000  # a matrix of this side has 32 MB
HISTOGRAM_BINS = (10, 60)
SONGS_PER_BIN = 5


def save_picture(figure: "Figure", path: Path, dpi: int) -> None:
    """Writes a matplotlib figure in the format that the suffix names; equal figures give equal files.

    Raises:
        DataError: the disk refuses.
    """
    import matplotlib

    form = path.suffix[1:].lower()
    # SVG has no field for the program that is kept as it is, so its title tells.
    metadata = {
        "png": {"Software": CREATOR},
        "svg": {"Title": CREATOR, "Date": None},
        "pdf": {"Creator": CREATOR, "CreationDate": None},
    }[form]
    settings = {"svg.hashsalt": CREATOR, "text.usetex": False}  # names of songs are no programs of LaTeX
    make_folder(path.parent)
    with replace_atomically(path) as partial, matplotlib.rc_context(settings):
        figure.savefig(partial, dpi=dpi, format=form, metadata=metadata)


def drawn(captions: Iterator[SongCaption], path: Path) -> Iterator[SongCaption]:
    """Draws the explanation of each caption that passes.

    Raises:
        DataError: the file cannot be written.
    """
    for caption in captions:
        if caption.explanation is not None:
            draw_explanation(caption.explanation, caption.audio, path)
        yield caption


def draw_explanation(explanation: Explanation, audio: str, path: Path) -> None:
    """Draws both maps, one above the other.

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


def draw_music(axes: "Axes", explanation: Explanation, figure: "Figure") -> None:
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
    axes.set_title(
        headline("Which seconds of the music each line of the lyrics looked at", found), fontsize=10, loc="left"
    )
    figure.colorbar(image, ax=axes, pad=0.01, label="share of a look")


def nice_step(least: float) -> int:
    """Returns the first step of at least `least` seconds that a person counts in."""
    return next((step for step in STEPS if step >= least), 3600 * math.ceil(least / 3600))


def draw_words(axes: "Axes", explanation: Explanation, figure: "Figure") -> None:
    """Lyrics lines against the words of the caption: darker where a word looked more."""
    found = explanation.lyrics
    weights = [[row[line] for row in found.weights] for line in range(min(len(found.columns), MOST_LINES))]
    image = axes.imshow(weights, aspect="auto", cmap="Greens", vmin=0, interpolation="nearest")
    label_lines(axes.yaxis, found.columns)
    axes.set_xticks(
        range(len(found.rows)), [figure_text(word) for word in found.rows], rotation=60, ha="right", fontsize=8
    )
    axes.set_xlabel("words of the caption, as they were written")
    axes.set_title(
        headline("Which line of the lyrics each word of the caption looked at", found), fontsize=10, loc="left"
    )
    figure.colorbar(image, ax=axes, pad=0.01, label="share of a look")


def shades(weights: list[list[float]]) -> "PowerNorm":
    """Spreads faint values over more shades than strong ones: one second may take half of all attention."""
    from matplotlib.colors import PowerNorm

    return PowerNorm(0.5, vmin=0, vmax=max((value for row in weights for value in row), default=0) or 1)


def headline(text: str, found: AttentionMap) -> str:
    """Says what is drawn, how spread the attention is, and where that says little."""
    note = " - NEARLY UNIFORM, it says little" if found.is_nearly_uniform else ""
    return f"{text}{note}\nspread {found.entropy:.2f} bits; looking everywhere alike is {found.uniform_entropy:.2f}"


def label_lines(axis: "Axis", lines: list[str]) -> None:
    """Writes the lyrics beside their rows; what does not fit is counted."""
    labels = [
        figure_text(shorten(line, LONGEST_LINE, placeholder="...") or line[:LONGEST_LINE])
        for line in lines[:MOST_LINES]
    ]
    if len(lines) > MOST_LINES:
        labels[-1] += f" (+{len(lines) - MOST_LINES} more)"
    axis.set_ticks(range(len(labels)), labels, fontsize=8)


def plot_alignment(report: AlignmentReport, out: Path) -> list[Path]:
    """Draws a run's similarity matrix and its histogram of cosines into a folder, and returns the files."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    music, lyrics = (side[:COUNTED_SONGS] for side in report.cosines)
    cosines = music @ lyrics.T
    files = []
    for name, size, draw in (("similarity", (6.0, 5.2), draw_matrix), ("cosines", (6.4, 4.0), draw_histogram)):
        figure, axes = pyplot.subplots(figsize=size, layout="constrained")
        subtitle = draw(axes, cosines)
        axes.set_title(f"{figure_text(report.name)}\n{subtitle}", fontsize=10)
        files.append(out / f"{file_stem(report.name)}.{name}.png")
        save_picture(figure, files[-1], 150)
        pyplot.close(figure)
    return files


def draw_matrix(axes: "Axes", cosines: np.ndarray) -> str:
    """Draws cosines [songs, songs] of all music and all lyrics, and returns the subtitle."""
    shown = cosines[:SHOWN_SONGS, :SHOWN_SONGS]
    most = float(np.abs(shown).max()) or 1.0
    image = axes.imshow(shown, cmap="RdBu_r", vmin=-most, vmax=most, interpolation="nearest")
    axes.figure.colorbar(image, ax=axes, label="cosine: red is alike, blue is opposite")
    axes.set_xlabel("lyrics of song number")
    axes.set_ylabel("music of song number")
    return f"music against lyrics, {len(shown)} of {len(cosines)} held-out songs;\na song's own meet on the diagonal"


def draw_histogram(axes: "Axes", cosines: np.ndarray) -> str:
    """Draws the histograms of matched and mismatched cosines [songs, songs], and returns the subtitle."""
    matched = np.diag(cosines)
    mismatched = cosines[~np.eye(len(cosines), dtype=bool)]
    low, high = float(cosines.min()), float(cosines.max())
    bins = int(np.clip(len(matched) // SONGS_PER_BIN, *HISTOGRAM_BINS))
    edges = np.linspace(low, high if high > low else low + 1e-3, bins + 1)
    sides = (("of two songs", mismatched, "tab:gray"), ("of one song", matched, "tab:blue"))
    for name, values, color in sides:
        label = f"{name}, mean {values.mean():.3f}"
        axes.hist(values, edges.tolist(), density=True, color=color, alpha=0.6, label=label)
    axes.set_xlabel("cosine of music and lyrics: 1 alike, 0 unrelated, -1 opposite")
    axes.set_ylabel("share of pairs (density)")
    axes.margins(y=0.15)  # room for the legend
    axes.legend(frameon=False, ncols=2, loc="upper center")
    return f"music and lyrics of one song and of two, {len(matched)} held-out songs"
