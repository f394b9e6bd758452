"""Tables as Rich draws them; apart from those who fill them, so that a quick command stays quick."""

from rich.markup import escape
from rich.table import Table as RichTable

from recap_cli.progress import Table

# From so many columns on, the space around each would cost more of an 80-column terminal than it gives.
MANY_COLUMNS = 8


def draw(table: Table) -> RichTable:
    """Turn a plain table into a Rich one; brackets in names are no markup."""
    drawn = RichTable(
        title=escape(table.title),
        caption=escape(table.caption) or None,
        title_justify="left",
        caption_justify="left",
        padding=(0, 1 if len(table.columns) < MANY_COLUMNS else 0),
    )
    for position, column in enumerate(table.columns):
        # In a narrow terminal a figure is broken rather than cut off.
        drawn.add_column(escape(column), justify="left" if position == 0 else "right", overflow="fold")
    for row in table.rows:
        drawn.add_row(*map(escape, row))
    return drawn
