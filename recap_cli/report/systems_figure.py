"""One figure that tells it all: how close captions come to their own songs' references, and to those of other songs."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Literal

from recap_cli.escaping import figure_text, flat
from recap_cli.evaluation.evaluate import EvaluateResult
from recap_cli.report.attention_maps import find_fonts, quiet
from recap_cli.report.pictures import save_picture
from recap_cli.scoring.bootstrap import Interval
from recap_cli.scoring.text import headings
from recap_cli.specificity.results import Specificity

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Told apart without colour vision (Okabe and Ito 2008), and by shape without colour.
OWN_COLOUR, OTHER_COLOUR, WAY_COLOUR = "#0072B2", "#D55E00", "0.45"
OWN = "captions against the references of their own songs"
OTHER = "the same captions against the references of other songs"
PEOPLE = "one person's caption against the others of the song"
NOTE_LETTERS = 130
NAME_LETTERS = 36  # of a line; a longer name takes two
FROM_ZERO = 0.6  # an axis whose values begin below this share of the highest begins at 0
STEPS = (1, 2, 5, 10)
MOST_TICKS = 6


Order = Literal["real", "specificity"]


@dataclass(frozen=True)
class SystemPoint:
    """One system, in the figure's unit."""

    name: str
    real: Interval
    shuffled: Interval  # the same captions against the references of other songs

    @property
    def specificity(self) -> float:
        """What captions have of their own songs: real minus shuffled."""
        return self.real.mean - self.shuffled.mean


@dataclass(frozen=True)
class SystemsChart:
    """What the figure shows."""

    figure: str  # what is measured, with its scale: "ROUGE-L F1 (0 to 100)"
    points: tuple[SystemPoint, ...]
    songs: int
    people: Interval | None = None  # None where no song has several references
    order: Order = "real"
    notes: tuple[str, ...] = ()  # on how it was measured

    @property
    def ordered(self) -> list[SystemPoint]:
        """The points, the best first; equal ones as they came."""
        if self.order == "specificity":
            return sorted(self.points, key=lambda point: -point.specificity)
        return sorted(self.points, key=lambda point: -point.real.mean)

    @property
    def title(self) -> str:
        """What is seen, and on how many songs."""
        return f"Does a caption belong to its song? {self.figure}, {self.songs:,} songs"

    @property
    def ticks(self) -> list[float]:
        """Round values from one end of the axis to the other; the first and the last are its ends."""
        spans = [interval for point in self.points for interval in (point.real, point.shuffled)]
        spans += [self.people] if self.people is not None else []
        low, high = min(one.low for one in spans), max(one.high for one in spans)
        if 0 <= low < FROM_ZERO * high or low == high:
            low = min(low, 0.0)  # the share that any song would have got is seen
        room = (high - low) or 1.0
        power = 10.0 ** math.floor(math.log10(room / MOST_TICKS))
        step = next(step * power for step in STEPS if room / (step * power) <= MOST_TICKS)
        first, last = math.floor(low / step), math.ceil(high / step)
        return [round(number * step, 10) for number in range(first, max(last, first + 1) + 1)]


def systems_chart(result: EvaluateResult) -> SystemsChart | None:
    """Returns the figure of an evaluation; None where no captions were moved to other songs (--controls)."""
    found = result.specificity
    if found is None:
        return None

    def point(name: str, figure: Specificity) -> SystemPoint:
        return SystemPoint(name, in_points(figure.score), in_points(figure.shuffled))

    points = tuple(point(row.name, row.figures["rougeL"]) for row in found.rows if row.kind == "system")
    notes = [f"Other songs: of other artists, all {found.shifts} shifts; the bar is where 95 % of single shifts lie."]
    people = None
    for row in found.rows:
        if row.kind == "people":
            one = point(row.name, row.figures["rougeL"])
            people = one.real
            notes.append(
                f"People: on the {row.songs:,} songs with several references, each against the others; moved to other "
                f"songs {one.shuffled.mean:.1f}. They are scored against one reference less than systems, so shares of "
                "their level are in the table, on equal terms."
            )
    figure = f"{headings(result.protocol)['rougeL']} (0 to 100)"
    order: Order = "specificity" if result.sort == "specificity" else "real"
    return SystemsChart(figure, points, found.songs, people, order, tuple(notes))


def in_points(share: Interval) -> Interval:
    """Returns a share from 0 to 1 as points."""
    return Interval(100 * share.mean, 100 * share.low, 100 * share.high)


def plot_systems(chart: SystemsChart, out: Path) -> list[Path]:
    """Draws the figure into a folder, and returns the files, PNG and SVG.

    Raises:
        DataError: the disk refuses.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    points = chart.ordered
    names = ["\n".join(wrap(flat(point.name), NAME_LETTERS)[:2]) or "-" for point in points]
    rows = sum(1 + 0.5 * name.count("\n") for name in names)
    notes = [line for note in chart.notes for line in wrap(flat(note), NOTE_LETTERS)]
    fonts, _ = find_fonts("".join(names))
    files = [out / "systems.png", out / "systems.svg"]
    with quiet(), rc_context({"font.family": fonts, "font.size": 9}):
        figure = Figure((8.0, 2.1 + 0.32 * rows + 0.15 * len(notes)), layout="constrained")
        axes = figure.subplots()
        draw_points(axes, chart, points)
        axes.set_yticks(range(len(points)), [figure_text(name) for name in names])
        axes.set_title(figure_text(flat(chart.title)), fontsize=10, loc="left", x=0, pad=22)
        handles, labels = axes.get_legend_handles_labels()
        # The notes are the legend's title: matplotlib keeps no room for a text of the figure beside an outside legend.
        told = "\n".join(map(figure_text, notes)) or None
        figure.legend(
            handles,
            labels,
            loc="outside lower left",
            frameon=False,
            fontsize=8,
            title=told,
            title_fontsize=8,
            alignment="left",
        )
        axes.set_xlabel(figure_text(chart.figure))
        for file in files:
            save_picture(figure, file, 200)
    return files


def draw_points(axes: "Axes", chart: SystemsChart, points: Sequence[SystemPoint]) -> None:
    """Draws a row for each system, the first on top, and people's level across all."""
    places = range(len(points))
    if chart.people is not None:
        axes.axvspan(chart.people.low, chart.people.high, color="0.5", alpha=0.18, linewidth=0, zorder=0)
        axes.axvline(chart.people.mean, color="0.25", linestyle=(0, (5, 3)), linewidth=1, zorder=1)
    real, shuffled = [point.real for point in points], [point.shuffled for point in points]
    means = [[one.mean for one in side] for side in (shuffled, real)]
    axes.hlines(places, *means, color=WAY_COLOUR, linewidth=1.3, zorder=2)
    for side, colour in ((shuffled, OTHER_COLOUR), (real, OWN_COLOUR)):
        ends = [one.low for one in side], [one.high for one in side]
        axes.hlines(places, *ends, color=colour, alpha=0.35, linewidth=6, zorder=3)
    axes.scatter(means[1], places, s=46, color=OWN_COLOUR, zorder=5, label=f"{OWN}, with 95 % interval")
    axes.scatter(
        means[0], places, s=46, facecolor="white", edgecolor=OTHER_COLOUR, linewidth=1.8, zorder=4, label=OTHER
    )
    if chart.people is not None:
        axes.plot([], [], color="0.25", linestyle=(0, (5, 3)), linewidth=1, label=f"{PEOPLE}: {chart.people.mean:.1f}")
    ticks = chart.ticks
    margin = 0.02 * (ticks[-1] - ticks[0])
    axes.set_xlim(ticks[0] - margin, ticks[-1] + margin)
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_ylim(len(points) - 0.4, -0.6)
    axes.grid(axis="x", color="0.9", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(axis="y", length=0)
    for edge in ("top", "right", "left"):
        axes.spines[edge].set_visible(False)
    axes.text(1.01, 1.0, "own minus\nother songs", transform=axes.transAxes, fontsize=8, va="bottom")
    across = axes.get_yaxis_transform()
    for place, point in enumerate(points):
        axes.text(1.01, place, f"{point.specificity:+.1f}", transform=across, va="center")
