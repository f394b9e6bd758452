"""Figures of alignment: the similarity matrix of music and lyrics, and matched and mismatched cosines."""

from pathlib import Path

import numpy as np

from recap_cli.workflows.alignment import AlignmentReport
from recap_cli.workflows.predictions import file_stem

# More songs than these cannot be told apart in the matrix.
SHOWN_SONGS = 200
HISTOGRAM_BINS = 60


def plot_alignment(report: AlignmentReport, out: Path) -> list[Path]:
    """Draw a run's similarity matrix and its histogram of cosines into a folder; give the files."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    music, lyrics = report.cosines
    cosines = music @ lyrics.T
    shown = cosines[:SHOWN_SONGS, :SHOWN_SONGS]
    out.mkdir(parents=True, exist_ok=True)
    stem = file_stem(report.name)

    figure, axes = pyplot.subplots(figsize=(6.0, 5.2), layout="constrained")
    image = axes.imshow(shown, cmap="viridis", interpolation="nearest")
    figure.colorbar(image, ax=axes, label="cosine")
    axes.set_xlabel("lyrics of song")
    axes.set_ylabel("music of song")
    axes.set_title(
        f"{report.name}\n{len(shown)} of {len(cosines)} held-out songs; matched pairs on the diagonal", fontsize=10
    )
    matrix = out / f"{stem}.similarity.png"
    figure.savefig(matrix, dpi=150)
    pyplot.close(figure)

    matched = np.diag(cosines)
    mismatched = cosines[~np.eye(len(cosines), dtype=bool)]
    low, high = float(cosines.min()), float(cosines.max())
    edges = np.linspace(low, high if high > low else low + 1e-3, HISTOGRAM_BINS + 1)
    figure, axes = pyplot.subplots(figsize=(6.4, 4.0), layout="constrained")
    axes.hist(
        mismatched, edges, density=True, color="tab:gray", alpha=0.6, label=f"mismatched, mean {mismatched.mean():.3f}"
    )
    axes.hist(matched, edges, density=True, color="tab:blue", alpha=0.6, label=f"matched, mean {matched.mean():.3f}")
    axes.set_xlabel("cosine of music and lyrics")
    axes.set_ylabel("density")
    axes.set_title(f"{report.name}\n{len(matched)} held-out songs", fontsize=10)
    axes.legend(frameon=False)
    histogram = out / f"{stem}.cosines.png"
    figure.savefig(histogram, dpi=150)
    pyplot.close(figure)
    return [matrix, histogram]
