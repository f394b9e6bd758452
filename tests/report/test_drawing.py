"""Tables on consoles of any width: no word torn, no name cut, figures to the right, words to the left."""

import re

import pytest
from screens import WIDTHS, check_screen, draw_screen

from recap_cli.progress import Table
from recap_cli.report.drawing import draw, is_figures

NAMES = ("BART (no music)", "runs/a-name-of-thirty-letters-or-so", "alpha 0.1, infonce-symmetric")
SCORES = Table(
    "Scores of systems with a title that is longer than a narrow screen",
    ["system", "songs", "ROUGE-L F1", "METEOR", "BLEU", "words a caption", "distinct"],
    [[name, "1,200", "12.5 [10.2, 15.7]", "-0.3 [-1.2, +0.6]", "8.4", "14.9", "61 %"] for name in NAMES],
    "95 % intervals over songs; p corrected after Holm, each figure by itself",
)
PROPERTIES = Table(
    "Prepared data",
    ["", ""],
    [["songs", "24"], ["splits", "test 3, train 17"], ["where the time went", "resampling 85 %, decoding 10 %"]],
    "a note",
)


def test_screens():
    check_screen("drawing", draw(SCORES), draw(PROPERTIES))


def pieces(table: Table) -> set[str]:
    """Every word of a table, and every interval as one."""
    cells = [table.title, table.caption, *table.columns, *(cell for row in table.rows for cell in row)]
    return {piece for cell in cells for piece in re.findall(r"\[[^\]]*\]|[^\s\[\]]+", cell)}


@pytest.mark.parametrize("width", [*range(36, 130, 7), 220])
@pytest.mark.parametrize("table", [SCORES, PROPERTIES])
def test_no_word_is_torn_at_any_width(table, width):
    lines = draw_screen(width, draw(table)).splitlines()
    assert max(map(len, lines)) <= width
    assert not {piece for piece in pieces(table) if not any(piece in line for line in lines)}


@pytest.mark.parametrize("width", WIDTHS)
def test_a_word_longer_than_the_screen_is_broken_and_not_cut(width):
    name = "x" * 300
    text = draw_screen(width, draw(Table("t", ["file", "songs"], [[name, "3"]])))
    assert text.count("x") == 300 and "songs: 3" in text


def test_what_does_not_fit_becomes_lines_headed_by_the_first_cell():
    text = draw_screen(40, draw(Table("", ["run", *"abcdefgh"], [["r", *["12.5\n[10.2, 15.7]"] * 8]] * 2)))
    assert text.splitlines()[:2] == ["run: r", "  a: 12.5 [10.2, 15.7]"]
    assert text.count("\n\n") == 1


def test_properties_have_no_heading():
    first, second, *_ = draw_screen(80, draw(PROPERTIES)).splitlines()
    assert first == "Prepared data" and "─" in second and "┏" not in second


def test_words_of_other_scripts_may_be_broken():
    text = draw_screen(50, draw(Table("t", ["title", "songs"], [["雨" * 60, "3"]])))
    assert text.count("雨") == 60 and "│" in text


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["12.5 [10.2, 15.7]", ""], True),
        (["<.0001\n***", "1.0000"], True),
        (["14.9 s", "61 %", "4,096", "3 (2)", "1e-05", "+0.3"], True),
        (["facebook/bart-base", "0.02"], False),
        (["fp16"], False),
        (["4 of 5 songs"], False),
        (["", " "], False),
        (["---"], False),
    ],
)
def test_columns_of_figures_are_told_from_words(cells, expected):
    assert is_figures(cells) is expected
