"""Figure 2: a real PNG and SVG of what was measured."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from make_runs import ZERO, aligned, run

from recap_cli.ablation.conditions import BART, SHUFFLED, Condition
from recap_cli.ablation.results import AblateResult, ConditionSummary, summarise
from recap_cli.errors import DataError
from recap_cli.report.figure_two import panels_of, plot_ablation
from recap_cli.scoring.bootstrap import Interval

FIGURES = ("rougeL", "meteor", "attributes")


def point(
    condition: Condition, mean: float, low: float, high: float, seeds: int = 1, figures=FIGURES[:1]
) -> ConditionSummary:
    return ConditionSummary(condition, tuple(range(seeds)), dict.fromkeys(figures, Interval(mean, low, high)))


POINTS = (
    point(ZERO, 0.5, 0.45, 0.55),
    point(aligned(1e-3), 0.52, 0.48, 0.56),
    point(aligned(2e-2), 0.6, 0.4, 0.62),
    point(aligned(0.1), 0.41, 0.4, 0.44),
)


def swept(out: Path, *points: ConditionSummary) -> AblateResult:
    return AblateResult(out, list(points), 40, "signature")


def of_all(*points: ConditionSummary, seeds: int = 5) -> list[ConditionSummary]:
    """The same points in all three figures, over several seeds."""
    return [
        replace(one, seeds=tuple(range(seeds)), figures=dict.fromkeys(FIGURES, one.figures["rougeL"])) for one in points
    ]


@pytest.fixture
def drawn(monkeypatch):
    """Figures, which are closed once they are on disk."""
    from matplotlib import pyplot

    figures = []
    stock = pyplot.subplots

    def watch(*arguments, **more):
        figure, axes = stock(*arguments, **more)
        figures.append(figure)
        return figure, axes

    monkeypatch.setattr(pyplot, "subplots", watch)
    return figures


def bars_of(axes) -> list:
    return [container for container in axes.containers if hasattr(container, "has_yerr")]


def test_the_figure_shows_what_was_measured(tmp_path, drawn):
    plot_ablation(swept(tmp_path, *POINTS))
    (figure,) = drawn
    (axes,) = figure.axes
    assert axes.get_xscale() == "log"
    (bars,) = bars_of(axes)
    line, _, (reach,) = bars.lines
    assert line.get_xydata().tolist() == pytest.approx(np.array([[1e-3, 52], [2e-2, 60], [0.1, 41]]))
    ends = [segment[:, 1].tolist() for segment in reach.get_segments()]
    assert ends == [pytest.approx(pair) for pair in ([48, 56], [40, 62], [40, 44])]
    base = next(line for line in axes.lines if str(line.get_label()).startswith("alpha 0"))
    assert list(base.get_ydata()) == pytest.approx([50, 50])
    assert base.get_linestyle() == "--"
    assert [patch.get_extents().height > 0 for patch in axes.patches] == [True]  # the band of alpha 0
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0.001", "0.02", "0.1"]
    assert axes.get_title() == "ROUGE-L F1 (0 to 100)"
    assert axes.get_xlabel() == "alpha, weight of the alignment loss (log scale)"
    assert "40 songs, one seed: no claim, 95 % intervals over songs" in figure.get_suptitle()
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [
        "alpha 0 (BART-fusion) and its interval",
        "alignment: positive",
    ]


def test_lines_stand_beside_each_other_and_the_legend_beside_all(tmp_path, drawn):
    other = [replace(one, condition=aligned(one.condition.alpha, "infonce")) for one in POINTS[1:]]
    plot_ablation(swept(tmp_path, *of_all(*POINTS, *other)))
    (figure,) = drawn
    assert [axes.get_title() for axes in figure.axes] == [
        "ROUGE-L F1 (0 to 100)",
        "METEOR (0 to 100)",
        "attributes named rightly (%)",
    ]
    assert "5 seeds, 95 % intervals over seeds and songs" in figure.get_suptitle()
    legend = figure.legends[0].get_window_extent()
    for axes in figure.axes:
        first, second = (np.asarray(bars.lines[0].get_xdata(), dtype=float) for bars in bars_of(axes))
        assert (first < second).all()
        assert np.sqrt(first * second) == pytest.approx([1e-3, 2e-2, 0.1])
        assert not axes.get_tightbbox().overlaps(legend)


def test_baselines_are_drawn_where_they_do_not_squash_the_scale(tmp_path, drawn):
    """The points reach from 40 to 62: 35 is near, 5 is not."""
    near, far = point(Condition(BART), 0.35, 0.33, 0.37), point(Condition(SHUFFLED), 0.05, 0.04, 0.06)
    result = swept(tmp_path, *POINTS, near, far)
    (panel,) = panels_of(result)
    assert (list(panel.drawn), list(panel.beyond)) == ([BART], [SHUFFLED])
    assert (panel.low, panel.high) == pytest.approx((35, 62))
    plot_ablation(result)
    axes = drawn[0].axes[0]
    assert axes.get_xlabel().endswith("\nbeyond the scale: shuffled\N{NO-BREAK SPACE}music\N{NO-BREAK SPACE}5.0")
    (line,) = (line for line in axes.lines if line.get_label() == "BART, no music")
    assert list(line.get_ydata()) == pytest.approx([35, 35])


def test_close_weights_have_readable_labels(tmp_path, drawn):
    for weights in ((1e-3, 2e-2, 0.1), (1e-3, 2e-2, 2.2e-2)):
        plot_ablation(swept(tmp_path, *(point(aligned(weight), 0.5, 0.4, 0.6) for weight in weights)))
    rotations = [figure.axes[0].get_xticklabels()[0].get_rotation() for figure in drawn]
    assert rotations == [0, 90]


@pytest.mark.parametrize(("seeds", "caution"), [(5, "intervals may overlap"), (8, "not all have the same seeds")])
def test_the_title_warns_of_what_the_heights_do_not_say(tmp_path, drawn, seeds, caution):
    conditions = [*of_all(*POINTS[:2]), *of_all(POINTS[2], seeds=seeds)]
    plot_ablation(swept(tmp_path, *conditions))
    assert caution in drawn[0].get_suptitle()


def test_files(tmp_path):
    from matplotlib import pyplot
    from PIL import Image

    png, svg = plot_ablation(swept(tmp_path, *POINTS))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["figure2.png", "figure2.svg"]
    with Image.open(png) as image:
        pixels = np.asarray(image.convert("RGB"))
    assert pixels.shape == (750, 960, 3)
    assert (pixels != 255).any(axis=2).mean() > 0.02  # something is drawn on the white
    assert svg.read_text().rstrip().endswith("</svg>")
    assert pyplot.get_fignums() == []
    before = [file.read_bytes() for file in (png, svg)]
    assert [file.read_bytes() for file in plot_ablation(swept(tmp_path, *POINTS))] == before
    with pytest.raises(DataError, match=r"cannot write "):
        plot_ablation(swept(png, *POINTS))


@pytest.mark.parametrize("points", [POINTS[:1], POINTS[1:2], POINTS[1:], (point(Condition(BART), 0.4, 0.3, 0.5),)])
def test_fewer_conditions(tmp_path, points):
    """Alpha 0 alone, one weight alone, a sweep whose alpha 0 failed, and a baseline alone."""
    png, _ = plot_ablation(swept(tmp_path, *points))
    assert png.stat().st_size > 5000


def test_real_records(tmp_path):
    records = [
        run(condition, seed, [0.2, 0.4, 0.5 + condition.alpha]) for condition in (ZERO, aligned(0.1)) for seed in (0, 1)
    ]
    assert [panel.figure for panel in panels_of(summarise(records, {}, tmp_path))] == list(FIGURES)
