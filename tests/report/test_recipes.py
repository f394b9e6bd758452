"""The recipe table: one row a setting, and the same in the documentation."""

from pages import PAGES, blocks

from recap_cli.report.recipes import recipe_markdown, recipe_table
from recap_cli.training.recipes import RECIPE_LINES


def test_each_setting_has_a_row():
    table = recipe_table()
    assert [row[0] for row in table.rows] == [line.setting.replace("_", "-") for line in RECIPE_LINES]
    rows = {row[0]: row[1:] for row in table.rows}
    assert rows["fusion-layers"][:4] == ["4, 5", "4, 5", "1, 2", "3"]
    assert rows["lr"][:3] == ["6e-05", "5e-05", "0.002"]


def test_the_documentation_has_the_same_table():
    assert [text.strip() for page in PAGES for text in blocks(page, "recipes")] == [recipe_markdown()]
