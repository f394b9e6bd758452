"""The paper's Figure 2, scores against the weight of the alignment loss: as PNG and SVG."""

import itertools
import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from recap_cli.ablation.conditions import BART, LYRICS_ONLY, SHUFFLED
from recap_cli.ablation.results import ALPHA_ZERO, AblateResult, ConditionSummary
from recap_cli.report.pictures import save_picture
from recap_cli.scoring.bootstrap import Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PANELS = {
    "rougeL": "ROUGE-L F1 (0 to 100)",
    "meteor": "METEOR (0 to 100)",
    "attributes": "attributes named rightly (%)",
}
SHORT_NAMES = {BART: "BART, no music", LYRICS_ONLY: "constant music", SHUFFLED: "shuffled music"}
SHARED = "all share songs and seeds, so intervals may overlap though the paired differences in the table are clear"
UNEQUAL = "not all have the same seeds, so heights cannot be compared: the table has the paired differences"
AXIS_LABEL = "alpha, weight of the alignment loss (log scale)"

# Told apart without colour vision (Okabe and Ito 2008), and by marker or dashes without colour.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = "osD^vP"
DASHES = {BART: (0, (1, 2)), LYRICS_ONLY: (0, (6, 2, 1, 2)), SHUFFLED: (0, (9, 3))}

# A baseline is drawn where the points keep this share of the height; farther ones are told in words.
LEAST_SHARE = 0.4
# Between the points of two lines at the same weight, and what a label needs, as shares of the log axis.
DODGE = 0.025
LABEL_SHARE = 0.1


@dataclass(frozen=True)
class Panel:
    """One figure of merit, in points or per cent."""

    figure: str  # its name among the per-song figures
    low: float  # lower end of the scale
    high: float
    base: Interval | None  # alpha 0
    axes: dict[str, list[ConditionSummary]]  # the conditions of each line
    drawn: dict[str, Interval]  # baselines within the scale
    beyond: dict[str, Interval]


def panels_of(result: AblateResult) -> list[Panel]:
    """Lays out a panel for each figure that all conditions have."""
    return [
        lay_out(result, figure)
        for figure in PANELS
        if all(figure in one.figures for one in result.conditions) and result.conditions
    ]


def lay_out(result: AblateResult, figure: str) -> Panel:
    """Chooses a panel's scale by weights and alpha 0, and the baselines that fit on it."""
    base = result.base
    inner = [
        scale(one.figures[figure]) for one in result.conditions if one.condition.axis or one.condition == ALPHA_ZERO
    ]
    others = {
        one.condition.baseline: scale(one.figures[figure])
        for one in result.conditions
        if one.condition.baseline in SHORT_NAMES
    }
    inner = inner or list(others.values())
    low, high = min(one.low for one in inner), max(one.high for one in inner)
    room = (high - low) or 1.0
    drawn = {}
    # The nearest first: each must leave the points their share of the height.
    for name in sorted(others, key=lambda name: max(low - others[name].mean, others[name].mean - high)):
        reach = max(high, others[name].mean) - min(low, others[name].mean)
        if room >= LEAST_SHARE * reach:
            drawn[name] = others[name]
    ends = [low, high, *(one.mean for one in drawn.values())]
    return Panel(
        figure,
        min(ends),
        max(ends),
        scale(base.figures[figure]) if base is not None else None,
        result.axes,
        {name: others[name] for name in others if name in drawn},
        {name: others[name] for name in others if name not in drawn},
    )


def scale(interval: Interval) -> Interval:
    """Turns shares into points."""
    return Interval(100 * interval.mean, 100 * interval.low, 100 * interval.high)


def heading(result: AblateResult) -> str:
    """Says what stands behind the figure."""
    over = "songs" if result.seeds == 1 else "seeds and songs"
    return f"{result.songs:,} songs, {result.claim}, 95 % intervals over {over}"


def plot_ablation(result: AblateResult) -> list[Path]:
    """Draws Figure 2 into the sweep's folder, and returns the files, PNG and SVG.

    Raises:
        DataError: the disk refuses.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    panels = panels_of(result)
    size = (max(6.4, 3.7 * len(panels)), 5.0)
    figure, grid = pyplot.subplots(1, len(panels), figsize=size, layout="constrained", squeeze=False)
    for axes, panel in zip(grid[0], panels, strict=True):
        draw_panel(axes, panel)
    title = "Quality of captions against the weight of the alignment loss"
    columns = 36 + 32 * len(panels)
    caution = SHARED if len({one.seeds for one in result.conditions}) == 1 else UNEQUAL
    told = [line for text in (heading(result), result.verdict, caution) for line in fold(text, columns)]
    figure.suptitle("\n".join([title, *told]), fontsize=10)
    handles, labels = grid[0][0].get_legend_handles_labels()
    for axes in grid[0][1:]:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            if label not in labels:
                handles, labels = [*handles, handle], [*labels, label]
    figure.legend(handles, labels, loc="outside lower center", ncols=min(len(labels), len(panels) + 1), frameon=False)
    files = [result.out / "figure2.png", result.out / "figure2.svg"]
    for file in files:
        save_picture(figure, file, 150)
    pyplot.close(figure)
    return files


def draw_panel(axes: "Axes", panel: Panel) -> None:
    """Draws one figure of merit: a line for each loss and layer, alpha 0 and the baselines across."""
    if panel.base is not None:
        axes.axhspan(panel.base.low, panel.base.high, color="0.5", alpha=0.15, linewidth=0)
        axes.axhline(panel.base.mean, color="0.35", linestyle="--", label="alpha 0 (BART-fusion) and its interval")
    for name, found in panel.drawn.items():
        axes.axhline(found.mean, color="0.2", linewidth=0.9, linestyle=DASHES[name], label=SHORT_NAMES[name])
    weights = sorted({one.condition.alpha for conditions in panel.axes.values() for one in conditions})
    for number, (name, conditions) in enumerate(panel.axes.items()):
        # A little beside each other, so that no interval hides another.
        shift = 10 ** (DODGE * decades(weights) * (number - (len(panel.axes) - 1) / 2))
        draw_line(axes, panel.figure, name, conditions, number, shift)
    margin = 0.06 * (panel.high - panel.low) or 1.0
    axes.set_ylim(panel.low - margin, panel.high + margin)
    axes.ticklabel_format(axis="y", useOffset=False)  # 100, not 0 under a +1e2
    axes.set_title(PANELS[panel.figure], fontsize=10)
    # A name is not parted from its value: lines break at plain spaces only.
    told = ", ".join(
        f"{SHORT_NAMES[name]} {found.mean:.1f}".replace(" ", "\N{NO-BREAK SPACE}")
        for name, found in panel.beyond.items()
    )
    beyond = fold(f"beyond the scale: {told}", 48) if told else []
    axes.set_xlabel("\n".join([AXIS_LABEL, *beyond]), fontsize=9)
    mark_weights(axes, weights)


def draw_line(
    axes: "Axes", figure: str, name: str, conditions: Sequence[ConditionSummary], number: int, shift: float
) -> None:
    """Draws the weights of one loss and layer, each times `shift`."""
    points = [scale(one.figures[figure]) for one in conditions]
    reach = [[p.mean - p.low for p in points], [p.high - p.mean for p in points]]
    axes.errorbar(
        [one.condition.alpha * shift for one in conditions],
        [point.mean for point in points],
        yerr=reach,
        color=COLOURS[number % len(COLOURS)],
        marker=MARKERS[number % len(MARKERS)],
        markersize=5,
        linewidth=1.3,
        elinewidth=1,
        capsize=3,
        label=f"alignment: {name}",
    )


def mark_weights(axes: "Axes", weights: Sequence[float]) -> None:
    """Labels the weights on a log axis, wide enough for them and the lines beside each other."""
    axes.minorticks_off()
    if not weights:
        axes.set_xticks([])
        return
    axes.set_xscale("log")
    margin = 10 ** (0.1 * decades(weights))
    axes.set_xlim(weights[0] / margin, weights[-1] * margin)
    axes.set_xticks(weights, [f"{weight:g}" for weight in weights], fontsize=9)
    axes.minorticks_off()
    steps = [math.log10(after / before) for before, after in itertools.pairwise(weights)]
    if steps and min(steps) < LABEL_SHARE * decades(weights):
        axes.tick_params(axis="x", rotation=90)


def decades(weights: Sequence[float]) -> float:
    """Returns the length of a log axis, one decade at least."""
    return max(math.log10(weights[-1] / weights[0]), 1.0)


def fold(text: str, width: int) -> list[str]:
    """Breaks a text into lines."""
    return textwrap.wrap(text, max(width, 20))
