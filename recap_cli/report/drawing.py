"""What Rich draws of a plain table; apart from those who fill them, so that a quick command stays quick."""

import re
from collections.abc import Iterable, Sequence

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.padding import Padding
from rich.table import Table as RichTable
from rich.text import Text

from recap_cli.escaping import visible
from recap_cli.progress import Table

# A figure with its interval, unit or stars: 12.5 [10.2, 15.7], <.0001 ***, 4,096, 14.9 s, 61 %, 3/8.
_FIGURES = re.compile(r"[-+<>±~*0-9.,:/%×()\[\]\s]*(e[-+]\d+)?( ?[A-Za-z]{1,3})?")
# Scripts without spaces between words, such as Chinese, may be broken anywhere.
_WORD = re.compile(r"[^\s\u2e80-\u9fff\uac00-\ud7ff\uff00-\uffef]+")

Rows = Sequence[Sequence[str]]


class Drawn:
    """A table as a console of any width can show it: no word torn, no name cut.

    It is drawn as a grid where its columns fit, if need be with intervals below their figures, else as a block of
    "name: value" lines for each row. Words are only words: brackets are no markup.
    """

    def __init__(self, table: Table) -> None:
        self.table = table

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yields the title, the grid or the blocks, and the caption, for the width at hand."""
        table, width = self.table, options.max_width
        whole = [table.columns, *table.rows]
        stacked = [[cell.replace(" [", "\n[") for cell in row] for row in whole]
        attempts = ((whole, 1), (stacked, 1), (stacked, 0))
        grids = (fit_grid(rows, width, padding) for rows, padding in attempts)
        body: RenderableType = next((one for one in grids if one is not None), None) or Group(*blocks(table))
        if table.title:
            yield words(table.title, "table.title")
        yield body
        if table.caption:
            yield notes(table.caption)


def draw(table: Table) -> Drawn:
    """Returns what any console draws of a table; see `Drawn`."""
    return Drawn(table)


def notes(caption: str) -> RenderableType:
    """Returns the notes under a table; each of several begins with a dot and hangs behind it."""
    lines = caption.split("\n")
    if len(lines) == 1:
        return words(caption, "table.caption")
    listed = RichTable.grid(padding=(0, 1, 0, 0))
    for line in lines:
        listed.add_row(words("\N{MIDDLE DOT}", "table.caption"), words(line, "table.caption"))
    return listed


def fit_grid(rows: Rows, width: int, padding: int) -> RichTable | None:
    """Returns a grid of rows, the headings first, in which no word is torn; None where it needs more than `width`."""
    columns = list(zip(*rows, strict=True))
    are_figures = [is_figures(column[1:]) for column in columns]
    frame = 1 + len(columns) * (1 + 2 * padding)
    least = [
        max(longest_word(column[:1]), longest_line(column[1:])) if figures else longest_word(column)
        for column, figures in zip(columns, are_figures, strict=True)
    ]
    if sum(least) + frame > width:
        return None
    widths = share_width(least, [longest_line(column) for column in columns], width - frame)
    grid = RichTable(show_header=any(rows[0]), padding=(0, padding), box=box.HEAVY_HEAD if any(rows[0]) else box.SQUARE)
    for column, size, figures in zip(columns, widths, are_figures, strict=True):
        grid.add_column(words(column[0]), width=size, justify="right" if figures else "left", overflow="fold")
    for row in rows[1:]:
        grid.add_row(*map(words, row))
    return grid


def share_width(least: Sequence[int], most: Sequence[int], total: int) -> list[int]:
    """Returns a width for each column, between its least and its most; space is given where it is narrowest."""
    widths = list(least)
    for _ in range(total - sum(least)):
        wanting = [place for place, size in enumerate(widths) if size < most[place]]
        if not wanting:
            break
        widths[min(wanting, key=lambda place: widths[place])] += 1
    return widths


def blocks(table: Table) -> Iterable[RenderableType]:
    """Yields a block of lines for each row, headed by its first cell; of properties, a line each."""
    names = [" ".join(name.split()) for name in table.columns]
    for number, row in enumerate(table.rows):
        head, *cells = (" ".join(cell.split()) for cell in row)
        if not any(names):
            yield words(": ".join(part for part in (head, *cells) if part))
            continue
        if number:
            yield Text()
        yield words(f"{names[0]}: {head}" if names[0] else head, "bold")
        for name, cell in zip(names[1:], cells, strict=True):
            if cell:
                yield Padding(words(f"{name}: {cell}" if name else cell), (0, 0, 0, 2))
    if any(names) and table.caption:
        yield Text()


def is_figures(cells: Iterable[str]) -> bool:
    """Whether a column holds figures, which stand to the right; empty cells do not count."""
    filled = [cell for cell in cells if cell.strip()]
    return bool(filled) and all(_FIGURES.fullmatch(cell) and re.search(r"\d", cell) for cell in filled)


def longest_line(cells: Iterable[str]) -> int:
    """Returns the columns that the longest line of some cells takes."""
    return max((cell_len(visible(line)) for cell in cells for line in cell.split("\n")), default=0)


def longest_word(cells: Iterable[str]) -> int:
    """Returns the columns that the longest word of some cells takes; 2 at least, for a letter of any script."""
    return max((cell_len(word) for cell in cells for word in _WORD.findall(visible(cell))), default=2)


def words(text: str, style: str = "") -> Text:
    """Returns a text that Rich draws as it is, and in which nothing acts unseen."""
    return Text(visible(text), style)


def clock(seconds: float) -> str:
    """Returns a time in a song as people write it: 0:15, 1:02:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
