"""Captions of any system, read from a file: JSON lines, a JSON list, CSV or TSV, or what `recap caption` wrote."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recap_cli.errors import DataError
from recap_cli.escaping import is_unicode
from recap_cli.tables.cells import is_missing, read_list, read_name, shown
from recap_cli.tables.rows import SEPARATORS, read_table
from recap_cli.tables.text_files import Row, json_lines, json_list, open_text

ID_COLUMNS = ("song", "id", "song_id", "music4all_id")
PREDICTION_COLUMNS = ("prediction", "caption")
ARTIST_COLUMNS = ("artist", "artist_id")
REFERENCE_COLUMNS = ("references", "reference", "ground_truth")


@dataclass(frozen=True, slots=True)
class Prediction:
    """One row of a file."""

    noun: str  # what `number` counts: "line", or "entry" of a list
    number: int
    id: str  # of the song, "" where the file has none
    captions: tuple[str, ...]  # one or several, all of which are scored; one may be empty; none where the song failed
    references: tuple[str, ...]  # to compare with; empty where the file has none
    lyrics: str | None
    error: str = ""  # why `recap caption` wrote no caption
    title: str = ""  # with the artist, where the file has them
    artist: str = ""

    @property
    def place(self) -> str:
        """Where it stands, for messages and as the name of a song without an id."""
        return f"{self.noun} {self.number}"


def read_predictions(path: Path) -> list[Prediction]:
    """Reads a file of captions.

    Columns (keys): `prediction`, or `caption` as `recap caption` writes it; `reference`, `references` or
    `ground_truth`, a text or a list of texts, may be left out where a data folder has them; `song` or `id` and
    `lyrics` are optional. A row with an `error` and no caption is a song that failed.

    Raises:
        DataError: the file cannot be read, or a row cannot be used; it is named by its line.
    """
    rows: list[Prediction] = []
    places: dict[str, int] = {}
    noun = "line"
    for noun, number, record in read_records(path):
        place = f"{path}, {noun} {number}"
        if isinstance(record, str):
            joined = " is " if record.startswith("no JSON") else ": "
            raise DataError(f"{place}{joined}{record}", "correct it or leave it out")
        row = read_row(place, noun, number, record)
        if rows and bool(row.id) != bool(rows[0].id):
            unnamed = row if not row.id else rows[0]
            raise DataError(f"{path}, {unnamed.place} has no song id, though other rows have one", "add it")
        if row.id and places.setdefault(row.id, number) != number:
            raise DataError(
                f"{place}: song {shown(row.id)[1:-1]} comes again (first in {noun} {places[row.id]})",
                "give each song one row, with all its references as a list",
            )
        rows.append(row)
    if not rows:
        raise DataError(f"{path} holds no predictions", "give a row for each song")
    lacking = next((row for row in rows if not row.references and not row.error), None)
    if lacking is not None and any(row.references for row in rows):
        raise DataError(f"{path}, {lacking.place}: no reference, though other rows have one", "leave it out or add one")
    return rows


def read_records(path: Path) -> Iterator[tuple[str, int, Row]]:
    """Yields the records of a file with what they are called and their numbers; a broken one is yielded as the reason.

    Raises:
        DataError: the file cannot be read.
    """
    if path.suffix.lower() in SEPARATORS:
        for number, record in read_table(path, PREDICTION_COLUMNS):
            # An empty cell is a caption without words, as "" is in JSON.
            yield "line", number, record if isinstance(record, str) else {PREDICTION_COLUMNS[-1]: "", **record}
    elif begins_list(path):
        yield from (("entry", number, record) for number, record in json_list(path))
    else:
        yield from (("line", number, record) for number, record in json_lines(path))


def begins_list(path: Path) -> bool:
    """Whether the first character of a file, spaces left out, opens a list; JSON lines are objects.

    Raises:
        DataError: the file cannot be opened.
    """
    with open_text(path, checked=False) as file:
        while text := file.read(1 << 16):
            if text.strip():
                return text.lstrip().startswith("[")
    return False


def read_row(place: str, noun: str, number: int, record: Mapping[str, Any]) -> Prediction:
    """Returns the row of a record.

    Raises:
        DataError: it cannot be used.
    """
    try:
        song = read_name(record.get(first_of(record, ID_COLUMNS) or ""), "song").strip()
        if not is_unicode(song):
            raise ValueError("the song's id holds half a character")
        error = record.get("error")
        column = first_of(record, PREDICTION_COLUMNS)
        if column is None:
            names = ", ".join(shown(name)[1:-1] for name in list(record)[:20])
            raise DataError(f"{place} has no prediction", f"its columns are {names}")
        if isinstance(error, str) and error.strip() and not record[column]:
            return Prediction(noun, number, song, (), (), None, error)
        texts = read_texts(column, record[column])
        if not texts:
            raise ValueError(f"{column} is a list without a text")
        references = read_references(record)
    except ValueError as error:
        hint = 'give a text; "" is an empty caption'
        raise DataError(f"{place}: {error}", hint) from error
    lyrics = record.get("lyrics")
    known = isinstance(lyrics, str) and is_unicode(lyrics)
    title = title_of(record.get("title"), record.get("artist"))
    artist = read_artist(record)
    return Prediction(noun, number, song, texts, references, lyrics if known else None, title=title, artist=artist)


def title_of(title: object, artist: object) -> str:
    """Returns what people call a song, as far as it is known."""
    return " \N{MIDDLE DOT} ".join(
        part.strip() for part in (title, artist) if isinstance(part, str) and part.strip() and is_unicode(part)
    )


def read_artist(record: Mapping[str, Any]) -> str:
    """Returns the artist that a row names, "" for none; songs of one artist are not independent."""
    found = read_name(record.get(first_of(record, ARTIST_COLUMNS) or ""), "artist").strip()
    return found if is_unicode(found) else ""


def first_of(record: Mapping[str, Any], names: Sequence[str]) -> str | None:
    """Returns the first of some columns that a record has."""
    return next((name for name in names if name in record), None)


def read_references(record: Mapping[str, Any]) -> tuple[str, ...]:
    """Returns the references of a row, () where it has no such column.

    Raises:
        ValueError: they are empty, or one is no text.
    """
    column = first_of(record, REFERENCE_COLUMNS)
    if column is None:
        return ()
    found = read_texts(column, record[column])
    if not any(text.strip() for text in found):
        raise ValueError(f"{column} is empty")
    return found


def read_texts(column: str, value: Any) -> tuple[str, ...]:
    """Returns the texts of a cell: those of a list, in JSON's spelling or in Python's, or the one that it is.

    Raises:
        ValueError: one is a number, half a character, or a word such as nan, by which tables mark a missing text.
    """
    texts = tuple(read_list(value))
    for text in texts:
        if not isinstance(text, str) or (text and is_missing(text) and text.strip()):
            raise ValueError(f"{column} is {shown(text)}, not a text")
        if not is_unicode(text):
            raise ValueError(f"{column} holds half a character")
    return texts
