"""Pictures: how music and lyrics of many songs are aligned, and how any picture is written."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from recap_cli.escaping import figure_text
from recap_cli.evaluation.alignment_report import AlignmentReport
from recap_cli.files import make_folder, replace_atomically
from recap_cli.outputs import CREATOR, file_stem

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

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
