"""Figures that a paper printed, to stand beside ours: a CSV file that the reader of the paper fills in."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from recap_cli.errors import DataError
from recap_cli.tables.cells import shown
from recap_cli.tables.rows import read_columns, read_table

COLUMNS = ("variant", "model")
FIGURES = ("rouge1", "rouge2", "rougeL", "meteor")


@dataclass(frozen=True)
class PaperRow:
    """A row as printed.

    Attributes:
        variant: training captions, such as "Full".
        model: its name in the paper.
        figures: of `FIGURES`, in points as printed; what the paper leaves out is left out.
    """

    variant: str
    model: str
    figures: dict[str, float]


def read_paper_table(path: Path) -> list[PaperRow]:
    """Reads a table with the columns variant, model, rouge1, rouge2, rougeL, meteor; figures in points.

    Raises:
        DataError: the file cannot be read, or a row cannot be used; it is named by its line.
    """
    hint = f"its columns must be {', '.join(COLUMNS + FIGURES)}"
    rows = []
    if lacking := next((name for name in COLUMNS if name not in read_columns(path)), ""):
        raise DataError(f"{path} has no column {lacking}", hint)
    for line, record in read_table(path, COLUMNS[0]):
        if isinstance(record, str):
            raise DataError(f"{path}, line {line}: {record}", "mend it")
        figures = read_figures(path, line, record)
        rows.append(PaperRow(record.get("variant", ""), record.get("model", ""), figures))
    if not rows:
        raise DataError(f"{path} has no rows", hint)
    return rows


def read_figures(path: Path, line: int, record: Mapping[str, str]) -> dict[str, float]:
    """Give the figures of a row.

    Raises:
        DataError: one is no number of points.
    """
    figures = {}
    for name in FIGURES:
        cell = record.get(name.lower(), "").strip()
        if not cell:
            continue
        try:
            value = float(cell)
        except ValueError:
            value = math.nan
        if not 0 <= value <= 100:
            raise DataError(f"{path}, line {line}: {name} is {shown(cell)}, not points from 0 to 100", "mend it")
        figures[name] = value
    return figures
