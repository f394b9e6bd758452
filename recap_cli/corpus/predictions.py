"""Captions of any system, read from a file: JSON lines, a JSON list or CSV."""

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recap_cli.errors import DataError

ID_COLUMNS = ("song", "id", "song_id", "music4all_id")
PREDICTION_COLUMNS = ("prediction",)
REFERENCE_COLUMNS = ("references", "reference", "ground_truth")
TABLES = {".csv": ",", ".tsv": "\t"}
# A caption of 100,000 words is a field of a table; Python's own limit is lower.
LONGEST_FIELD = 1 << 28


@dataclass(frozen=True)
class Prediction:
    """One row of a file.

    Attributes:
        place: where it stands, such as "line 3".
        id: the song's id, "" where the file has none.
        prediction: the caption, possibly empty.
        references: the captions to compare with; empty where the file has none.
        lyrics: the song's lyrics, or None.
    """

    place: str
    id: str
    prediction: str
    references: tuple[str, ...]
    lyrics: str | None


def read_predictions(path: Path) -> list[Prediction]:
    """Read a file of captions.

    Columns (keys): `prediction`; `reference`, `references` or `ground_truth`, a text or a list of texts, may be left
    out where a data folder has them; `song` or `id` and `lyrics` are optional.

    Raises:
        DataError: the file cannot be read, or a row cannot be used; it is named by its line.
    """
    rows = [read_row(path, place, record) for place, record in read_records(path)]
    if not rows:
        raise DataError(f"{path} holds no predictions", "give a row for each song")
    check_ids(path, rows)
    lacking = [row for row in rows if not row.references]
    if lacking and len(lacking) < len(rows):
        raise DataError(
            f"{path}, {lacking[0].place}: no reference, though other rows have one", "leave it out or add one"
        )
    return rows


def read_records(path: Path) -> Iterator[tuple[str, Any]]:
    """Give the records of a file, each with its place."""
    text = read_text(path)
    if path.suffix.lower() in TABLES:
        yield from read_table(path, text, TABLES[path.suffix.lower()])
    elif text.lstrip().startswith("["):
        try:
            records = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{path} is no JSON: {error}", "give a list of objects") from error
        yield from ((f"entry {number}", record) for number, record in enumerate(records, start=1))
    else:
        for number, line in enumerate(text.split("\n"), start=1):
            if line.strip():
                try:
                    yield f"line {number}", json.loads(line)
                except (ValueError, RecursionError) as error:
                    raise DataError(f"{path}, line {number} is no JSON: {error}", "mend it or leave it out") from error


def read_text(path: Path) -> str:
    """Read a file as UTF-8.

    Raises:
        DataError: it cannot be read, or its bytes are no UTF-8.
    """
    try:
        content = path.read_bytes()
        return content.decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}", "check the path") from error
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(f"{path}, line {line} is no UTF-8 text", "save the file as UTF-8") from error


def read_table(path: Path, text: str, delimiter: str) -> Iterator[tuple[str, Any]]:
    """Give the rows of a CSV or TSV file as records.

    Raises:
        DataError: a row has more or fewer cells than the heading, or the table is damaged.
    """
    before = csv.field_size_limit(LONGEST_FIELD)
    line = 1
    try:
        reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, restkey="", strict=True)
        line = reader.line_num + 1 if reader.fieldnames else 1
        for record in reader:
            if "" in record or None in record.values():
                raise DataError(f"{path}, line {line}: its cells do not fit the heading", "quote texts with commas")
            yield f"line {line}", record
            line = reader.line_num + 1
    except csv.Error as error:
        raise DataError(f"{path}, line {line}: {error}", "mend the table") from error
    finally:
        csv.field_size_limit(before)


def read_row(path: Path, place: str, record: Any) -> Prediction:
    """Make a row of a record.

    Raises:
        DataError: it cannot be used.
    """
    if not isinstance(record, dict):
        raise DataError(f"{path}, {place} is no object with names and values", "give prediction and reference")
    column = first_of(record, PREDICTION_COLUMNS)
    if column is None:
        raise DataError(f"{path}, {place} has no prediction", f"its columns are {', '.join(map(str, record))}")
    prediction = read_cell(path, place, column, record[column])
    column = first_of(record, REFERENCE_COLUMNS)
    references: tuple[str, ...] = ()
    if column is not None:
        cells = read_list(record[column])
        references = tuple(read_cell(path, place, column, cell) for cell in cells)
        if not any(text.strip() for text in references):
            raise DataError(f"{path}, {place}: {column} is empty", "leave the row out or add a reference")
    lyrics = record.get("lyrics")
    column = first_of(record, ID_COLUMNS)
    song = "" if column is None or record[column] is None else str(record[column]).strip()
    if not is_writable(song):
        raise DataError(f"{path}, {place}: the song's id holds half a character", "mend it")
    known = isinstance(lyrics, str) and is_writable(lyrics)
    return Prediction(place, song, prediction, references, lyrics if known else None)


def first_of(record: Mapping[str, Any], names: Sequence[str]) -> str | None:
    """Find the first of some columns that a record has."""
    return next((name for name in names if name in record), None)


def read_list(cell: Any) -> list[Any]:
    """Give a cell's references: a list, a JSON list in a table's cell, or one text."""
    if isinstance(cell, str) and cell.lstrip().startswith("["):
        try:
            cell = json.loads(cell)
        except (ValueError, RecursionError):
            return [cell]
    return cell if isinstance(cell, list) else [cell]


def read_cell(path: Path, place: str, column: str, cell: Any) -> str:
    """Give a cell's text.

    Raises:
        DataError: it is a number, nothing, or NaN, by which tables mark a missing text.
    """
    if not isinstance(cell, str) or cell.strip().lower() == "nan":
        raise DataError(f"{path}, {place}: {column} is {cell!r}, not a text", 'give a text; "" is an empty caption')
    if not is_writable(cell):
        raise DataError(f"{path}, {place}: {column} holds half a character", "mend its escapes such as \\ud83d")
    return cell


def is_writable(text: str) -> bool:
    """Whether a text can be written as UTF-8: JSON can spell lone halves of characters."""
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


def check_ids(path: Path, rows: Sequence[Prediction]) -> None:
    """Refuse ids that are missing in some rows, or come twice.

    Raises:
        DataError: which row.
    """
    if not any(row.id for row in rows):
        return
    places: dict[str, str] = {}
    for row in rows:
        if not row.id:
            raise DataError(f"{path}, {row.place} has no song id, though other rows have one", "add it")
        if row.id in places:
            raise DataError(
                f"{path}, {row.place}: song {row.id} comes again (first in {places[row.id]})",
                "give each song one row, with all its references as a list",
            )
        places[row.id] = row.place
