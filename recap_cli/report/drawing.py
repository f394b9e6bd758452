"""What Rich draws of a plain table; apart from those who fill them, so that a quick command stays quick."""

from rich.table import Table as RichTable
from rich.text import Text

from recap_cli.escaping import visible
from recap_cli.progress import Table

# With this many columns, the space around each would cost more of an 80-column terminal than it gives.
MANY_COLUMNS = 8


def draw(table: Table) -> RichTable:
    """Turns a plain table into a Rich one, whose words are only words on any console: brackets are no markup."""
    drawn = RichTable(
        title=words(table.title, "table.title"),
        caption=words(table.caption, "table.caption") if table.caption else None,
        title_justify="left",
        caption_justify="left",
        padding=(0, 1 if len(table.columns) < MANY_COLUMNS else 0),
    )
    for position, column in enumerate(table.columns):
        # In a narrow terminal a figure is broken rather than cut off.
        drawn.add_column(words(column), justify="left" if position == 0 else "right", overflow="fold")
    for row in table.rows:
        drawn.add_row(*map(words, row))
    return drawn


def words(text: str, style: str = "") -> Text:
    """Returns a text that Rich draws as it is, and in which nothing acts unseen."""
    return Text(visible(text), style)


def clock(seconds: float) -> str:
    """Returns a time in a song as people write it: 0:15, 1:02:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
