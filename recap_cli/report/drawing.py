"""Tables as Rich draws them; apart from those who fill them, so that a quick command stays quick."""

from rich.markup import escape
from rich.table import Table as RichTable

from recap_cli.progress import Table


def draw(table: Table) -> RichTable:
    """Turn a plain table into a Rich one; brackets in names are no markup."""
    drawn = RichTable(
        title=escape(table.title),
        caption=escape(table.caption) or None,
        title_justify="left",
        caption_justify="left",
    )
    for position, column in enumerate(table.columns):
        # In a narrow terminal a figure is broken rather than cut off.
        drawn.add_column(escape(column), justify="left" if position == 0 else "right", overflow="fold")
    for row in table.rows:
        drawn.add_row(*map(escape, row))
    return drawn
