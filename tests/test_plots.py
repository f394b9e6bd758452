"""The sweep as a figure: a real PNG and SVG of what was measured, and a sketch for the terminal."""

from pathlib import Path

import numpy as np
import pytest

from recap_cli.report.plots import plot_ablation, sketch_ablation
from recap_cli.scoring.uncertainty import Interval
from recap_cli.workflows.ablate import AblateResult, Arm


def arm(alpha: float, mean: float, low: float, high: float) -> Arm:
    return Arm(alpha, {"rougeL": Interval(mean, low, high)}, None, {}, 0.5, 0.5)


ARMS = (arm(0.0, 0.5, 0.45, 0.55), arm(1e-3, 0.52, 0.48, 0.56), arm(2e-2, 0.6, 0.4, 0.62), arm(0.1, 0.41, 0.4, 0.44))


def swept(out: Path, *arms: Arm, seeds: int = 1) -> AblateResult:
    return AblateResult(out, list(arms), seeds, 40, "signature", {})


@pytest.fixture
def axes(monkeypatch):
    """The axes of figures, which are closed once they are on disk."""
    from matplotlib import pyplot

    drawn = []
    stock = pyplot.subplots

    def watch(*arguments, **more):
        figure, axes = stock(*arguments, **more)
        drawn.append(axes)
        return figure, axes

    monkeypatch.setattr(pyplot, "subplots", watch)
    return drawn


def test_the_figure_shows_what_was_measured(tmp_path, axes):
    plot_ablation(swept(tmp_path, *ARMS))
    (drawn,) = axes
    assert drawn.get_xscale() == "log"
    (bars,) = (container for container in drawn.containers if hasattr(container, "has_yerr"))
    line, _, (reach,) = bars.lines
    assert line.get_xydata().tolist() == pytest.approx(np.array([[1e-3, 52], [2e-2, 60], [0.1, 41]]))
    ends = [segment[:, 1].tolist() for segment in reach.get_segments()]
    assert ends == [pytest.approx(pair) for pair in ([48, 56], [40, 62], [40, 44])]
    base = next(line for line in drawn.lines if line.get_label().startswith("alpha 0"))
    assert list(base.get_ydata()) == pytest.approx([50, 50])
    assert [label.get_text() for label in drawn.get_xticklabels()] == ["0.001", "0.02", "0.1"]
    assert drawn.get_ylabel() == "ROUGE-L F1 (points)"
    assert "40 songs, one seed: no claim, 95 % intervals" in drawn.get_title()


def test_files(tmp_path):
    from matplotlib import pyplot
    from PIL import Image

    png, svg = plot_ablation(swept(tmp_path, *ARMS, seeds=3))
    with Image.open(png) as image:
        pixels = np.asarray(image.convert("RGB"))
    assert pixels.shape == (630, 960, 3)
    assert (pixels != 255).any(axis=2).mean() > 0.02  # something is drawn on the white
    assert svg.read_text().rstrip().endswith("</svg>")
    assert pyplot.get_fignums() == []


def test_several_seeds_are_named(tmp_path, axes):
    plot_ablation(swept(tmp_path, *ARMS, seeds=3))
    assert "40 songs, 3 seeds, 95 % intervals" in axes[0].get_title()


@pytest.mark.parametrize("arms", [ARMS[:1], ARMS[1:2], ARMS[1:]])
def test_fewer_arms(tmp_path, arms):
    """Alpha 0 alone, one weight alone, and a sweep whose alpha 0 failed."""
    png, _ = plot_ablation(swept(tmp_path, *arms))
    assert png.stat().st_size > 5000
    assert len(sketch_ablation(swept(tmp_path, *arms)).splitlines()) == len(arms) + 1


def test_sketch():
    """Columns 0 to 43 stand for 40.0 to 62.0; alpha 0 lies at 50.0, column 20."""
    lines = sketch_ablation(swept(Path(), *ARMS)).splitlines()
    assert [line[:15] for line in lines] == [
        "alpha 0        ",
        "alpha 0.001    ",
        "alpha 0.02     ",
        "alpha 0.1      ",
        "               ",
    ]
    cells = [line[15:59] for line in lines[:4]]
    assert [row.index("o") for row in cells] == [20, 23, 39, 2]
    assert [(row.count("o"), row.count("|")) for row in cells] == [(1, 0), (1, 1), (1, 1), (1, 1)]
    assert cells[2] == "-" * 20 + "|" + "-" * 18 + "o" + "-" * 4
    assert cells[3] == "--o------" + " " * 11 + "|" + " " * 23
    assert [line.split()[-1] for line in lines[:4]] == ["50.0", "52.0", "60.0", "41.0"]
    assert lines[4].split() == ["40.0", "62.0", "ROUGE-L", "F1"]


def test_sketch_of_equal_figures():
    flat = arm(0.1, 0.5, 0.5, 0.5)
    assert sketch_ablation(swept(Path(), flat)).splitlines()[0].split() == ["alpha", "0.1", "o", "50.0"]
