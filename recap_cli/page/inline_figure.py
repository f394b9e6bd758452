"""The figure of systems as SVG within a page: real text, the page's colours, and as wide as the window.

Places are per cent of the width, so that words keep their size on a phone; a picture would shrink them.
"""

from collections.abc import Callable

from recap_cli.escaping import html_text
from recap_cli.evaluation.options import shorten
from recap_cli.report.systems_figure import OTHER, OWN, PEOPLE, SystemPoint, SystemsChart
from recap_cli.scoring.bootstrap import Interval

ROW, TOP, BOTTOM = 44, 4, 30  # pixels
EDGE = 2.0  # per cent of the width, for marks at the ends of the axis


def inline_figure(chart: SystemsChart) -> str:
    """Returns the figure as HTML, its legend and a text for those who hear the page with it."""
    points, ticks = chart.ordered, chart.ticks
    height = TOP + ROW * len(points) + BOTTOM
    low, high = ticks[0], ticks[-1]

    def place(value: float) -> str:
        return f"{EDGE + (100 - 2 * EDGE) * (value - low) / (high - low):.2f}%"

    foot = height - BOTTOM
    grid = "".join(
        f'<line class="grid" x1="{place(tick)}" x2="{place(tick)}" y1="{TOP}" y2="{foot}"/>'
        f'<text class="quiet" x="{place(tick)}" y="{foot + 18}" text-anchor="middle">{tick:g}</text>'
        for tick in ticks
    )
    people = ""
    if chart.people is not None:
        start, middle, end = (place(value) for value in (chart.people.low, chart.people.mean, chart.people.high))
        width = f"{float(end[:-1]) - float(start[:-1]):.2f}%"
        people = (
            f'<rect class="band" x="{start}" width="{width}" y="{TOP}" height="{foot - TOP}"/>'
            f'<line class="people" x1="{middle}" x2="{middle}" y1="{TOP}" y2="{foot}"/>'
        )
    rows = "\n".join(row(point, TOP + ROW * number, place) for number, point in enumerate(points))
    return f"""<figure>
<svg role="img" aria-labelledby="chart-title chart-text" width="100%" height="{height}">
<title id="chart-title">{html_text(chart.title)}</title><desc id="chart-text">{html_text(tell(chart))}</desc>
{grid}{people}
{rows}
</svg>
<figcaption>{legend(chart)}</figcaption>
</figure>"""


def row(point: SystemPoint, top: int, place: Callable[[float], str]) -> str:
    """One system: its name and figures in a line of text, dot and ring below it."""
    middle = top + 30

    def reach(interval: Interval, kind: str) -> str:
        ends = f'x1="{place(interval.low)}" x2="{place(interval.high)}"'
        return f'<line class="{kind} reach" {ends} y1="{middle}" y2="{middle}"/>'

    real, other = place(point.real.mean), place(point.shuffled.mean)
    figures = f"{point.real.mean:.1f} own, {point.specificity:+.1f}"
    return (
        f'<text x="0" y="{top + 16}">{html_text(shorten(point.name))}</text>'
        f'<text class="quiet" x="100%" y="{top + 16}" text-anchor="end">{figures}</text>'
        f'<line class="way" x1="{other}" x2="{real}" y1="{middle}" y2="{middle}"/>'
        f"{reach(point.shuffled, 'other')}{reach(point.real, 'own')}"
        f'<circle class="other" cx="{other}" cy="{middle}" r="5"/><circle class="own" cx="{real}" cy="{middle}" r="5"/>'
    )


def legend(chart: SystemsChart) -> str:
    """Says what the marks are, as HTML."""
    marks = {
        f"{OWN}, with 95 % interval": '<line class="own reach" x1="1" x2="21" y1="7" y2="7"/>'
        '<circle class="own" cx="11" cy="7" r="5"/>',
        OTHER: '<circle class="other" cx="11" cy="7" r="5"/>',
    }
    if chart.people is not None:
        marks[f"{PEOPLE}: {chart.people.mean:.1f}"] = (
            '<rect class="band" x="1" width="20" height="14"/><line class="people" x1="11" x2="11" y1="0" y2="14"/>'
        )
    lines = "".join(
        f'<li><svg width="22" height="14" aria-hidden="true">{drawn}</svg>{html_text(words)}</li>'
        for words, drawn in marks.items()
    )
    notes = "".join(f'<p class="note">{html_text(note)}</p>' for note in (f"Across: {chart.figure}.", *chart.notes))
    return f'<ul class="legend">{lines}</ul>{notes}'


def tell(chart: SystemsChart) -> str:
    """Says the figure in words."""
    told = [
        f"{point.name}: {point.real.mean:.1f} on its own songs, {point.shuffled.mean:.1f} on other songs"
        for point in chart.ordered
    ]
    people = [f"People: {chart.people.mean:.1f}"] if chart.people is not None else []
    return ". ".join([*told, *people]) + "."
