"""Figures that a paper printed, to stand beside ours: a CSV file that the reader of the paper fills in."""

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from recap_cli.errors import DataError

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
    """Read a CSV file with the columns variant, model, rouge1, rouge2, rougeL, meteor; figures in points.

    Raises:
        DataError: the file cannot be read, or a row cannot be used; it is named by its line.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            lacking = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
            if lacking:
                raise DataError(
                    f"{path} has no column {lacking[0]}", f"its columns must be {', '.join(COLUMNS + FIGURES)}"
                )
            rows = [
                PaperRow(record["variant"] or "", record["model"] or "", read_figures(path, reader.line_num, record))
                for record in reader
            ]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"cannot read {path}: {error}", "give a CSV file in UTF-8") from error
    if not rows:
        raise DataError(f"{path} has no rows", f"its columns must be {', '.join(COLUMNS + FIGURES)}")
    return rows


def read_figures(path: Path, line: int, record: Mapping[str, str | None]) -> dict[str, float]:
    """Give the figures of a row.

    Raises:
        DataError: one is no number of points.
    """
    figures = {}
    for name in FIGURES:
        cell = (record.get(name) or "").strip()
        if not cell:
            continue
        try:
            value = float(cell)
        except ValueError:
            value = math.nan
        if not 0 <= value <= 100:
            raise DataError(f"{path}, line {line}: {name} is {cell!r}, not points from 0 to 100", "mend it")
        figures[name] = value
    return figures
