"""Rows of tables, JSON lines and JSON lists, read one at a time and within bounds, whatever the file holds."""

import csv
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from recap_cli.corpus.manifest import is_text
from recap_cli.errors import DataError

LONGEST = 4_000_000  # characters of a line or an item; the longest songs with all their captions have 1/10
LONGEST_CELL = 1_000_000  # an open quote would otherwise swallow the rest of a table
CHUNK = 1 << 20

Row = dict[str, Any] | str


@contextmanager
def open_text(path: Path) -> Iterator[TextIO]:
    """Open a text file of others: UTF-8, with or without its mark, damaged bytes replaced.

    Raises:
        DataError: it cannot be opened or read.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="", errors="replace") as file:
            yield file
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}", "check the path") from error


def read_columns(path: Path) -> list[str]:
    """Give the column names of a table, or the keys of the first object of a file of JSON lines."""
    with open_text(path) as file:
        line = file.readline(LONGEST)
    if path.suffix.lower() == ".jsonl":
        try:
            first = json.loads(line or "{}")
        except (ValueError, RecursionError):
            return []
        return list(first) if isinstance(first, dict) else []
    return next(csv.reader([line], delimiter=delimiter(path)), [])


def delimiter(path: Path) -> str:
    """Give what separates the cells: tabs in a .tsv."""
    return "\t" if path.suffix.lower() == ".tsv" else ","


def read_rows(path: Path, needed: str) -> Iterator[tuple[int, Row]]:
    """Give line numbers and rows of a .csv, .tsv or .jsonl; a row that cannot be read is given as its error.

    Args:
        path: the file.
        needed: a column without which a table is none of ours.

    Raises:
        DataError: the file cannot be read, is no table, or lacks the column.
    """
    with open_text(path) as file:
        if path.suffix.lower() == ".jsonl":
            yield from json_rows(file)
        else:
            yield from table_rows(file, path, delimiter(path), needed)


def table_rows(file: TextIO, path: Path, separator: str, needed: str, quoted: bool = True) -> Iterator[tuple[int, Row]]:
    """Give line numbers and rows of a table, empty cells left out.

    Raises:
        DataError: it is no table, or lacks the column `needed`.
    """
    before = csv.field_size_limit(LONGEST_CELL)
    line = 0
    try:
        lines = bounded_lines(file, path)
        rows = (
            csv.DictReader(lines, delimiter=separator)
            if quoted
            else csv.DictReader(lines, delimiter=separator, quoting=csv.QUOTE_NONE)
        )
        if needed not in (rows.fieldnames or ()):
            hint = f"its first line must name the columns: id,{needed},lyrics"
            raise DataError(f"{path} has no column {needed}", hint.replace("id,music4all_id", "music4all_id"))
        for row in rows:
            line = rows.line_num
            yield line, {key: value for key, value in row.items() if key and value}
    except csv.Error as error:
        where = f" after line {line}" if line else ""
        raise DataError(f"{path} cannot be read as a table{where}: {error}", "check delimiters and quotes") from error
    finally:
        csv.field_size_limit(before)


def bounded_lines(file: TextIO, path: Path) -> Iterator[str]:
    """Give lines.

    Raises:
        DataError: one is longer than any of a real table.
    """
    while line := file.readline(LONGEST):
        if len(line) == LONGEST and not line.endswith("\n"):
            raise DataError(f"{path} has a line of over {LONGEST:,} characters", "is it a table at all?")
        yield line


def json_rows(file: TextIO) -> Iterator[tuple[int, Row]]:
    """Give the objects of JSON lines; what is no object, or too long, is given as its error."""
    number = 0
    while line := file.readline(LONGEST):
        number += 1
        if len(line) == LONGEST and not line.endswith("\n"):
            while (rest := file.readline(LONGEST)) and not rest.endswith("\n"):
                pass
            yield number, f"the line has over {LONGEST:,} characters"
        elif line.strip():
            yield number, json_row(line)


def json_row(line: str) -> Row:
    """Give the object of a line, or what is wrong with it."""
    try:
        return checked_object(json.loads(line))
    except (ValueError, RecursionError) as error:
        return f"no JSON: {error}"


def checked_object(value: Any) -> Row:
    """Give an object without its nulls, or what is wrong with it."""
    if not isinstance(value, dict):
        return "no JSON object"
    if not is_text(json.dumps(value, ensure_ascii=False)):
        return "it holds half a character (a lone surrogate)"
    return {key: entry for key, entry in value.items() if entry is not None}


def list_items(path: Path) -> Iterator[tuple[int, Row]]:
    """Give numbers and objects of a JSON file that is one list, without ever holding the whole of it.

    Raises:
        DataError: it is no list, is cut off, or is broken; what came before was given.
    """
    with open_text(path) as file:
        text = file.read(CHUNK).lstrip()
        if not text.startswith("["):
            raise DataError(f"{path} is no JSON list", "the Song Interpretation Dataset is a list of objects")
        for number, value in enumerate(values_of_list(file, text, path), start=1):
            yield number, checked_object(value)


def values_of_list(file: TextIO, text: str, path: Path) -> Iterator[Any]:
    """Give the values of a list whose beginning is `text`; more is read as it is needed."""
    decoder, place, count = json.JSONDecoder(), 1, 0
    while True:
        place = beyond(text, place, " \t\r\n")
        if place < len(text) and text[place] == "]":
            return
        start = beyond(text, place + (count > 0 and text[place : place + 1] == ","), " \t\r\n")
        try:
            value, end = decoder.raw_decode(text, start)
        except (ValueError, RecursionError) as error:
            reason, end = str(error), len(text)
        else:
            reason = ""
        if not reason and (end < len(text) or text[end - 1] in '}]"'):  # a number may go on
            place, count = end, count + 1
            yield value
            continue
        more = file.read(CHUNK) if len(text) - place < LONGEST else ""
        if not more:
            raise DataError(f"{path} is damaged after item {count}: {reason or 'it is cut off'}", "fetch it again")
        text, place = text[place:] + more, 0


def beyond(text: str, place: int, characters: str) -> int:
    """Give the first place from `place` on that holds none of the characters."""
    while place < len(text) and text[place] in characters:
        place += 1
    return place
