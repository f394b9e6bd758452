"""Rows of any table of others, read by one rule: .csv, .tsv, JSON lines, or a JSON list."""

from collections.abc import Iterator
from pathlib import Path

from recap_cli.errors import DataError
from recap_cli.tables.delimited import Lines, Row, read_header, read_table
from recap_cli.tables.json_rows import json_lines, json_list, json_row, without_nulls
from recap_cli.tables.text_files import numbered_lines, open_text

__all__ = ["Row", "read_columns", "read_json_list", "read_rows"]


def read_columns(path: Path) -> list[str]:
    """Returns the column names of a table, or the keys of the first object of a file of JSON lines; [] for none.

    Raises:
        DataError: the file cannot be opened.
    """
    with open_text(path, checked=False) as file:
        if path.suffix.lower() == ".jsonl":
            first = next((json_row(line) for _, line in numbered_lines(file) if line and line.strip()), "")
            return list(first) if isinstance(first, dict) else []
        try:
            return read_header(Lines(file, path)).names
        except DataError:
            return []


def read_rows(path: Path, needed: str) -> Iterator[tuple[int, Row]]:
    """Gives line numbers and rows of a .csv, .tsv or .jsonl; a row that cannot be used is given as the reason.

    Names of columns are lower-case, without spaces around them. Empty cells, nulls and NaN are left out.

    Args:
        path: the file.
        needed: a column without which a table is none of ours.

    Raises:
        DataError: the file cannot be read, is no table, or lacks the column.
    """
    if path.suffix.lower() == ".jsonl":
        yield from ((number, without_nulls(row)) for number, row in json_lines(path))
    else:
        yield from read_table(path, needed)


def read_json_list(path: Path) -> Iterator[tuple[int, Row]]:
    """Gives numbers and objects of a JSON file that is one list, nulls and NaN left out.

    Raises:
        DataError: it cannot be read, is no list, or is damaged.
    """
    yield from ((number, without_nulls(row)) for number, row in json_list(path))
