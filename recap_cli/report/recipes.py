"""The table of recipes: what every setting is in each, and who set it."""

from recap_cli.progress import Table
from recap_cli.training.recipes import RECIPE_LINES, RECIPES


def recipe_table() -> Table:
    """Every recipe setting and who set it."""
    rows = [
        [line.setting.replace("_", "-"), *(str(getattr(line, name)) for name in RECIPES), line.source]
        for line in RECIPE_LINES
    ]
    return Table("Recipes", ["setting", *RECIPES, "set by"], rows)
