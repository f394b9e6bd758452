"""Screens held as text: what Rich draws at 50, 80 and 120 columns stands in tests/fixtures/screens.

`RECAP_WRITE_SCREENS=1 python -m pytest -n0 TEST` writes them anew; look at each before it is committed.
"""

import os
from io import StringIO
from pathlib import Path

from rich.console import Console, RenderableType

FOLDER = Path(__file__).parent / "fixtures" / "screens"
WIDTHS = (50, 80, 120)


def draw_screen(width: int, *drawn: RenderableType) -> str:
    """Returns what a terminal of that width shows, without colour and without spaces at the ends of lines."""
    still = {"get_time": lambda: 0.0}  # or a spinner would have turned on a slow machine
    console = Console(width=width, record=True, file=StringIO(), force_terminal=True, highlight=False, **still)
    for one in drawn:
        console.print(one)
    return "".join(line.rstrip() + "\n" for line in console.export_text().splitlines())


def check_screen(name: str, *drawn: RenderableType) -> None:
    """Compares what is drawn at each width with the screens that were looked at before."""
    for width in WIDTHS:
        text, file = draw_screen(width, *drawn), FOLDER / f"{name}-{width}.txt"
        if os.environ.get("RECAP_WRITE_SCREENS"):
            FOLDER.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        assert max(map(len, text.splitlines())) <= width
        assert text == file.read_text(encoding="utf-8"), f"{file.name} is drawn in another way"
