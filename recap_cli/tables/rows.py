"""Rows of any table of others (.csv, .tsv, .jsonl, .json): read as they were meant, or refused by their line.

None is shifted or cut.
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn, TextIO

from recap_cli.errors import DataError
from recap_cli.tables.cells import shown
from recap_cli.tables.parquet import PARQUET, parquet_columns, parquet_rows
from recap_cli.tables.text_files import (
    LONGEST_LINE,
    Row,
    column_name,
    json_lines,
    json_list,
    json_row,
    numbered_lines,
    open_text,
)

SEPARATORS = {".csv": (",", "\t", ";"), ".tsv": ("\t", ",", ";")}
LONGEST_CELL = 1_000_000  # characters; a caption of 100,000 words has half as many
MOST_COLUMNS = 10_000
QUOTE = '"'
_SAID = re.compile(r"sep=(.)\s*", re.IGNORECASE | re.DOTALL)  # Excel's own first line
_CLASSES = str.maketrans({**dict.fromkeys("0123456789", "0"), **{chr(97 + k): "a" for k in range(26)},
                          **{chr(65 + k): "A" for k in range(26)}})  # fmt: skip


class _QuoteError(Exception):
    """A quoted cell does not end as one; `spans` says whether it takes other lines with it."""

    def __init__(self, reason: str, spans: bool) -> None:
        super().__init__(reason)
        self.spans = spans


@dataclass(frozen=True)
class _Header:
    """The names of a table's columns, and what stands between cells."""

    names: list[str]  # lower-case, without spaces around them; "" for a column without a name
    separator: str
    key: int  # the place of the column that tells rows apart, for rows that a stray quote has swallowed
    repeats: bool = False  # a row holds the last column any number of times


class _Lines:
    """The lines of a table by number, with room for those that were read too far."""

    def __init__(self, file: TextIO, path: Path) -> None:
        self.path = path
        self.numbered = numbered_lines(file)
        self.back: list[tuple[int, str | None]] = []

    def __iter__(self) -> Iterator[tuple[int, str | None]]:
        while (found := self.next()) is not None:
            yield found

    def next(self) -> tuple[int, str | None] | None:
        return self.back.pop() if self.back else next(self.numbered, None)

    def peek(self) -> str | None:
        """Returns the next line that is not blank and leaves it there; None at the end."""
        while (found := self.next()) is not None:
            if found[1] is None or found[1].strip():
                self.back.append(found)
                return found[1] or "?"
        return None


def read_columns(path: Path) -> list[str]:
    """Returns the column names of a table, or the keys of the first object of a file of JSON lines; [] for none.

    A DataError where the file cannot be opened.
    """
    if path.suffix.lower() == PARQUET:
        return parquet_columns(path)
    with open_text(path, checked=False) as file:
        if path.suffix.lower() == ".jsonl":
            first = next((json_row(line) for _, line in numbered_lines(file) if line and line.strip()), "")
            return list(first) if isinstance(first, dict) else []
        try:
            return _read_header(_Lines(file, path)).names
        except DataError:
            return []


def read_rows(path: Path, needed: str) -> Iterator[tuple[int, Row]]:
    """Yields line numbers and rows of a .csv, .tsv, .jsonl, .json (a list) or .parquet, or why a row cannot be used.

    Names of columns are lower-case, without spaces around them. Empty cells, nulls and NaN are left out. A DataError
    where the file cannot be read, is no table or list, or is a table without the column `needed`.
    """
    suffix = path.suffix.lower()
    if suffix == PARQUET:
        yield from parquet_rows(path)
    elif suffix in (".jsonl", ".json"):
        rows = json_lines(path) if suffix == ".jsonl" else json_list(path)
        yield from ((number, _without_nulls(row)) for number, row in rows)
    else:
        yield from read_table(path, needed)


def _without_nulls(row: Row) -> Row:
    if isinstance(row, str):
        return row
    return {
        key: entry
        for key, entry in row.items()
        if entry is not None and not (isinstance(entry, float) and math.isnan(entry))
    }


def read_table(
    path: Path, needed: str | tuple[str, ...], quoted: bool = True, repeats: bool = False
) -> Iterator[tuple[int, Row]]:
    """Yields line numbers and rows of a table; empty cells are left out, and so are rows of nothing but blanks.

    The separator is the one that finds the column `needed` in the header; a first line such as `sep=;` names it. A row
    must have as many cells as the header, and nothing in a column without a name (but the first: pandas' index).

    A quoted cell may hold separators and line ends, and doubled quotes. In a .csv, a quote that is not closed as one
    makes the table unreadable from there on; in a .tsv, where texts are rarely quoted, it is a letter like any other.

    A table without the column `needed` (or one of several; lower-case) is a DataError. Without `quoted`, quotes are
    letters like any other. Where the last column `repeats`, all further cells of a row are its list.
    """
    with open_text(path) as file:
        lines = _Lines(file, path)
        header = _read_header(lines, (needed,) if isinstance(needed, str) else needed)
        header = replace(header, repeats=repeats)
        for number, line in lines:
            yield from _read_line(number, line, lines, header, quoted)


def _read_header(lines: _Lines, needed: tuple[str, ...] = ()) -> _Header:
    """Returns the header of a table that has one of the columns `needed` and names none twice, else a DataError."""
    path, name = lines.path, needed[0] if needed else ""
    hint = f"its first line must name the columns: id,{name},lyrics"
    lacking = DataError(f"{path} has no column {name}", hint.replace("id,music4all_id", "music4all_id"))
    separators: tuple[str, ...] = SEPARATORS.get(path.suffix.lower(), SEPARATORS[".csv"])
    first = lines.next()
    if first is not None and (said := _SAID.fullmatch(first[1] or "")):
        separators, first = (said[1],), lines.next()
    while first is not None and first[1] is not None and not first[1].strip():
        first = lines.next()
    if first is None or first[1] is None:
        raise lacking
    found = [_Header(_header_names(first[1], separator), separator, 0) for separator in separators]
    header = next((one for one in found if set(needed) & set(one.names)), max(found, key=lambda one: len(one.names)))
    if len(header.names) > MOST_COLUMNS:
        raise DataError(f"{path} has {len(header.names):,} columns", f"{MOST_COLUMNS:,} are allowed: is it a table?")
    if needed and not set(needed) & set(header.names):
        raise lacking
    name, count = Counter(name for name in header.names if name).most_common(1)[0] if any(header.names) else ("", 0)
    if count > 1:
        raise DataError(f"{path} has {count} columns {shown(name)}", "keep one of them, or give them other names")
    keys = [header.names.index(name) for name in ("audio", "id", "song", "music4all_id") if name in header.names]
    return _Header(header.names, header.separator, keys[0] if keys else 0)


def _header_names(line: str, separator: str) -> list[str]:
    """Returns the names in a header, as rows are asked for them."""
    if line.count(separator) >= MOST_COLUMNS:
        return [""] * (line.count(separator) + 1)
    try:
        cells = _split_cells(line, separator, None)
    except _QuoteError:
        cells = line.split(separator)
    return [column_name(cell) for cell in cells]


def _read_line(
    number: int, line: str | None, lines: _Lines, header: _Header, quoted: bool
) -> Iterator[tuple[int, Row]]:
    """Yields the row that begins in a line, if there is one."""
    if line is None:
        yield number, f"the line has over {LONGEST_LINE:,} characters"
        return
    separator = header.separator
    if line.count(separator) > MOST_COLUMNS and QUOTE not in line:
        yield number, _wrong_count(line.count(separator) + 1, header)
    elif not quoted or QUOTE not in line:
        if (row := _make_row(line.split(separator), header)) is not None:
            yield number, row
    elif (row := _read_quoted(number, line, lines, header)) is not None:
        yield number, row


def _make_row(cells: list[str], header: _Header) -> Row | None:
    """Returns the fields of a row, or what is wrong with it; None where it is empty."""
    names = header.names
    if header.repeats and len(cells) >= len(names) - 1:
        return _make_long_row(cells, header)
    if len(cells) != len(names):
        return _wrong_count(len(cells), header) if any(cell.strip() for cell in cells) else None
    row = {name: text for name, cell in zip(names, cells, strict=True) if (text := cell.strip() or cell) and name}
    if any(len(text) > LONGEST_CELL for text in row.values()):
        return f"a cell has over {LONGEST_CELL:,} characters"
    if "" in names:
        for place, (name, cell) in enumerate(zip(names, cells, strict=True)):
            if not name and place and cell.strip():
                return f"column {place + 1} holds {shown(cell.strip())}, but has no name"
    return row or None


def _make_long_row(cells: list[str], header: _Header) -> Row | None:
    """Returns the fields of a row whose last column repeats, from not at all to any number of times."""
    *names, last = header.names
    row = _make_row(cells[: len(names)], replace(header, names=names, repeats=False))
    found = [text for cell in cells[len(names) :] if (text := cell.strip())]
    if any(len(text) > LONGEST_CELL for text in found):
        return f"a cell has over {LONGEST_CELL:,} characters"
    return {**row, last: found} if isinstance(row, dict) and found else row


def _wrong_count(count: int, header: _Header) -> str:
    cells = "1 cell" if count == 1 else f"{count:,} cells"
    more = ": a text with commas must stand in quotes" if count > len(header.names) and header.separator == "," else ""
    return f"its cells do not fit the header: {cells} for {len(header.names)} columns{more}"


def _read_quoted(number: int, line: str, lines: _Lines, header: _Header) -> Row | None:
    """Returns the row that begins in a line with a quote; where it ends is for the quotes to say."""
    taken: list[tuple[int, str | None]] = []

    def following() -> str | None:
        found = lines.next()
        if found is not None:
            taken.append(found)
        return found[1] if found is not None else None

    try:
        cells = _split_cells(line, header.separator, following)
        if taken and (other := _swallowed_row(cells, taken, header)):
            raise _QuoteError(f"the quote that opens here swallows line {other}, a row of its own", spans=True)
        return _make_row(cells, header)
    except _QuoteError as error:
        literal = line.split(header.separator)
        if header.separator == "\t":
            lines.back += reversed(taken)
            return _literal_row(literal, lines, header, str(error)) if error.spans else _make_row(literal, header)
        if error.spans or taken:
            _stop_at_quote(lines.path, number, error)
        balanced = all(cell.count(QUOTE) % 2 == 0 for cell in literal)
        return _make_row(literal, header) if balanced else str(error)


def _stop_at_quote(path: Path, number: int, error: _QuoteError) -> NoReturn:
    raise DataError(
        f"{path}, line {number}: {error}",
        'close the quote; a quote that belongs to the text is doubled, and its cell quoted: "said ""yes"""',
    ) from error


def _literal_row(cells: list[str], lines: _Lines, header: _Header, reason: str) -> Row | None:
    """Returns a row of a .tsv whose quotes are letters, unless the next line does not look like a row, either."""
    after = lines.peek()
    if after is not None and after.count(header.separator) + 1 != len(header.names) and len(cells) == len(header.names):
        return reason
    return _make_row(cells, header)


def _split_cells(line: str, separator: str, following: Callable[[], str | None] | None) -> list[str]:
    """Returns the cells of a row that begins with `line`, or raises a _QuoteError.

    `following` returns the next line, None at the end; it is None where a row must end with its line.
    """
    cells: list[str] = []
    place, spans = 0, False
    while True:
        if line[place : place + 1] == QUOTE:
            cell, end_line, place = _quoted_cell(line, place + 1, following)
            spans, line = spans or end_line is not line, end_line
            while line[place : place + 1] == " ":
                place += 1
            if line[place : place + 1] not in ("", separator):
                raise _QuoteError("a quoted text goes on behind its closing quote", spans)
            end = line.find(separator, place)
        else:
            end = line.find(separator, place)
            cell = line[place:] if end < 0 else line[place:end]
        cells.append(cell)
        if end < 0:
            return cells
        place = end + 1


def _quoted_cell(line: str, place: int, following: Callable[[], str | None] | None) -> tuple[str, str, int]:
    """Returns a quoted cell's text, the line it ends in, and the place behind its closing quote."""
    parts: list[str] = []
    size = 0
    while True:
        end = line.find(QUOTE, place)
        if end >= 0:
            parts.append(line[place:end])
            if line[end + 1 : end + 2] != QUOTE:
                return "".join(parts), line, end + 1
            parts.append(QUOTE)
            place = end + 2
            continue
        parts += (line[place:], "\n")
        size += len(line) - place + 1
        more = following() if following is not None else None
        if more is None or size > LONGEST_CELL:
            raise _QuoteError("a quote opens here that is never closed", spans=True)
        line, place = more, 0


def _swallowed_row(cells: list[str], taken: list[tuple[int, str | None]], header: _Header) -> int:
    """Returns the number of a line within a quoted cell that looks like a row of its own; 0 where none does.

    It has as many cells as the header, and what tells rows apart looks alike: the suffix of a file, or letters and
    digits in the same places. A line of lyrics with just as many commas does not.
    """
    if len(cells) <= header.key or len(header.names) < 2:
        return 0
    mine = _key_shape(cells[header.key])
    for number, line in taken:
        others = (line or "").split(header.separator)
        if len(others) == len(header.names) and _key_shape(others[header.key]) == mine:
            return number
    return 0


def _key_shape(key: str) -> str:
    """Returns what keys of one table have in common: a file's suffix, or else where letters and digits stand."""
    key = key.strip()
    stem, dot, suffix = key.rpartition(".")
    return suffix.lower() if stem and dot and suffix.isalnum() and len(suffix) <= 5 else key.translate(_CLASSES)
