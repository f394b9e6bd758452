"""The table of recipes: what every setting is in each, and who set it."""

from recap_cli.progress import Table
from recap_cli.training.recipes import RECIPE_LINES, RECIPES, RECIPES_OWN


def recipe_table() -> Table:
    """Returns every setting with its value in each recipe and who set it."""
    rows = [
        [line.setting.replace("_", "-"), *(write_value(getattr(line, name)) for name in RECIPES), line.source]
        for line in RECIPE_LINES
    ]
    return Table("Recipes", ["setting", *RECIPES, "set by"], rows)


def recipe_screen() -> Table:
    """Returns the same for a screen of 80 columns: a value that is the paper's is only marked, `real` has a note."""
    whole = recipe_table()
    rows = [
        [name, paper, *("=" if value == paper else value for value in others), source]
        for name, paper, *others, _, source in whole.rows
    ]
    own = ", ".join(f"{name} {real}" for name, paper, *_, real, _ in whole.rows if real != paper)
    note = f"=: as in the paper's recipe\nreal, of the model in the box, is the paper's but for {own}"
    return Table(whole.title, [name for name in whole.columns if name != "real"], rows, note)


def recipe_default(name: str) -> str:
    """Returns a setting's value in the recipes, in one word where they agree: "paper and alcap 512, tiny 128"."""
    recipes: dict[str, list[str]] = {}
    for recipe, settings in RECIPES.items():
        value = write_value(getattr(settings, name, RECIPES_OWN)).replace(", ", ",")
        recipes.setdefault(value, []).append(recipe)
    if len(recipes) == 1:
        return next(iter(recipes))
    return ", ".join(f"{' and '.join(names)} {value}" for value, names in recipes.items())


def recipe_markdown() -> str:
    """Returns the same table in Markdown, for the documentation."""
    table = recipe_table()
    rows = [[f"`{setting}`", *values] for setting, *values in table.rows]
    head, *body = (f"| {' | '.join(row)} |" for row in (table.columns, *rows))
    return "\n".join((head, "|---" * len(table.columns) + "|", *body))


def write_value(value: object) -> str:
    """Returns a setting's value as a person writes it: layers as 4, 5."""
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
