"""The figure of systems: dots, rings and people's level stand where they were measured, in files that are ours."""

import pytest
from test_table_one import evaluated, system

from recap_cli.outputs import is_picture
from recap_cli.report import systems_figure
from recap_cli.report.systems_figure import SystemPoint, SystemsChart, draw_points, plot_systems, systems_chart
from recap_cli.scoring.bootstrap import Interval
from recap_cli.specificity.results import ControlRow, Specificity, TextControls


def point(name: str, real: float, shuffled: float) -> SystemPoint:
    return SystemPoint(name, Interval(real, real - 1, real + 1), Interval(shuffled, shuffled - 0.5, shuffled + 0.5))


POINTS = (point("a", 10, 9), point("b", 20, 14), point("c", 15, 8))
PEOPLE = Interval(17.2, 16.3, 18.1)
CHART = SystemsChart("ROUGE-L F1 (0 to 100)", POINTS, 706, PEOPLE)


@pytest.mark.parametrize(("order", "names"), [("real", "bca"), ("specificity", "cba")])
def test_the_best_comes_first(order, names):
    chart = SystemsChart("F1", POINTS, 9, order=order)
    assert "".join(one.name for one in chart.ordered) == names


@pytest.mark.parametrize(
    ("values", "ticks"),
    [
        ((20, 14, 8), [0, 5, 10, 15, 20, 25]),  # the share that any song would get is seen
        ((0.91, 0.9, 0.92), [-0.5, 0, 0.5, 1, 1.5, 2]),  # intervals of one point below and above
        ((90, 92, 91), [89, 90, 91, 92, 93]),
        ((0, 0, 0), [-1, -0.5, 0, 0.5, 1]),
    ],
)
def test_the_axis_has_round_ends_around_all_that_is_drawn(values, ticks):
    chart = SystemsChart("F1", tuple(point("x", value, value) for value in values), 9)
    assert chart.ticks == ticks
    assert chart.ticks[0] <= min(values) and chart.ticks[-1] >= max(values)


def test_one_value_has_an_axis_too():
    level = Interval(0.0, 0.0, 0.0)
    assert SystemsChart("F1", (SystemPoint("x", level, level),), 1).ticks == [0, 0.2]


def test_marks_stand_where_they_were_measured():
    from matplotlib.figure import Figure

    axes = Figure().subplots()
    draw_points(axes, CHART, CHART.ordered)
    dots, rings = (
        collection.get_offsets().tolist() for collection in axes.collections if len(collection.get_offsets()) == 3
    )
    assert dots == [[20, 0], [15, 1], [10, 2]] and rings == [[14, 0], [8, 1], [9, 2]]
    assert [text.get_text() for text in axes.texts[1:]] == ["+6.0", "+7.0", "+1.0"]
    (band,) = axes.patches
    assert (band.get_x(), band.get_width()) == pytest.approx((16.3, 1.8))
    assert axes.get_ylim()[0] > axes.get_ylim()[1]  # the first is on top


@pytest.mark.parametrize("count", [1, 30])
def test_files_are_known_as_ours_and_equal_figures_give_equal_files(count, tmp_path):
    names = [f"a system of number {number} with a name that is much longer than most" for number in range(count)]
    chart = SystemsChart("ROUGE-L F1 (0 to 100)", tuple(point(name, 9, 8) for name in names), 7, notes=("A note.",))
    files = plot_systems(chart, tmp_path / "one")
    assert [file.name for file in files] == ["systems.png", "systems.svg"] and all(map(is_picture, files))
    again = plot_systems(chart, tmp_path / "two")
    assert [file.read_bytes() for file in files] == [file.read_bytes() for file in again]


def test_dot_and_ring_differ_in_shape_and_not_only_in_colour():
    assert systems_figure.OWN_COLOUR != systems_figure.OTHER_COLOUR
    from matplotlib.figure import Figure

    axes = Figure().subplots()
    draw_points(axes, CHART, CHART.ordered)
    dots, rings = (one.get_facecolor()[0].tolist() for one in axes.collections if len(one.get_offsets()) == 3)
    assert rings == [1, 1, 1, 1] and dots != rings


def row(name: str, kind: str, score: float, shuffled: float) -> ControlRow:
    figure = Specificity(*(Interval(one, one - 0.01, one + 0.01) for one in (score, shuffled, score - shuffled)), 0.1)
    return ControlRow(name, kind, 230 if kind == "people" else 706, 9.0, {"rougeL": figure})


def test_the_figure_is_that_of_the_controls():
    rows = [row("a", "system", 0.2, 0.14), row("people", "people", 0.17, 0.11), row("x", "constant", 0.18, 0.18)]
    controls = TextControls(rows, 706, 191, 705)
    chart = systems_chart(evaluated(system("a"), specificity=controls, sort="specificity"))
    (one,) = chart.points
    assert [one.name, one.real.mean, one.shuffled.mean, one.real.low] == ["a", *map(pytest.approx, (20, 14, 19))]
    assert chart.people.mean == pytest.approx(17) and chart.order == "specificity" and chart.songs == 706
    assert "705 shifts" in chart.notes[0] and "230 songs" in chart.notes[1] and "11.0" in chart.notes[1]
    assert systems_chart(evaluated(system("a"))) is None
    alone = systems_chart(evaluated(system("a"), specificity=TextControls(rows[:1], 706, 191, 705)))
    assert alone.people is None and len(alone.notes) == 1
