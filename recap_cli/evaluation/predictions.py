"""Captions of any system, and references, read from a file: JSON, CSV or TSV, in the layouts that are known."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from recap_cli.corpus.folders import CorpusRoot
from recap_cli.corpus.manifest import MOST_CAPTIONS, read_row_captions, read_row_lyrics
from recap_cli.errors import DataError
from recap_cli.escaping import is_unicode
from recap_cli.layouts.lyrics_folder import stem_of
from recap_cli.layouts.song_describer import VALID
from recap_cli.outputs import CAPTION_COLUMNS
from recap_cli.tables.cells import is_missing, read_list, read_name, shown
from recap_cli.tables.columns import parse_columns
from recap_cli.tables.rows import SEPARATORS, read_columns, read_table
from recap_cli.tables.text_files import (
    Row,
    holds_list,
    json_lines,
    json_list,
)

# What known files call what is read from them: ours; LP-MusicCaps (prediction, ground_truth; or predictions,
# true_captions, audio_id); CMI-Bench (response, correct_answer, audioid).
KNOWN = {
    "prediction": ("prediction", "predictions", "caption", "response"),
    "reference": ("references", "reference", "ground_truth", "true_captions", "correct_answer"),
    "song": ("song", "id", "song_id", "music4all_id", "track_id", "audio_id", "audioid"),
    "artist": ("artist", "artist_id"),
    "title": ("title",),
    "lyrics": ("lyrics",),
}
# In a file of references, captions are references (Song Describer, a manifest); a manifest may name audio only.
OF_REFERENCES = {**KNOWN, "reference": (*KNOWN["reference"], "captions", "caption"), "song": (*KNOWN["song"], "audio")}
MOST_SHOWN = 20  # columns in a message


@dataclass(slots=True)
class Prediction:
    """What a file says of one song."""

    noun: str  # what `number` counts: "line", or "entry" of a list
    number: int  # of its first row
    id: str  # of the song, "" where the file has none
    captions: list[str] = field(default_factory=list)  # all are scored; one may be ""; none where the song failed
    references: list[str] = field(default_factory=list)  # to compare with; none where the file has none
    lyrics: str | None = None
    error: str = ""  # why `recap caption` wrote no caption
    title: str = ""  # with the artist, where the file has them
    artist: str = ""

    @property
    def place(self) -> str:
        """Where it stands, for messages and as the name of a song without an id."""
        return f"{self.noun} {self.number}"

    def add(self, row: "Prediction", ranked: bool) -> None:
        """Adds what another row says of the song; `ranked` captions come best first, and only the first counts.

        Raises:
            ValueError: it is another song, or one with more captions than any song has.
        """
        if self.artist and row.artist and row.artist != self.artist:
            raise ValueError(f"song {self.id} is by {shown(row.artist)}, but by {shown(self.artist)} in {self.place}")
        self.captions += [] if ranked and self.captions else row.captions
        self.references += [text for text in row.references if text not in self.references]
        if max(len(self.captions), len(self.references)) > MOST_CAPTIONS:
            raise ValueError(f"song {self.id} has over {MOST_CAPTIONS:,} captions")
        self.lyrics = row.lyrics if self.lyrics is None else self.lyrics
        self.error = "" if self.captions else self.error or row.error
        self.title, self.artist = self.title or row.title, self.artist or row.artist


@dataclass(frozen=True)
class Columns:
    """What --columns names; all other columns are those of known layouts."""

    named: tuple[tuple[str, str], ...] = ()  # what a column holds, a key of `KNOWN`, and its name

    @classmethod
    def parse(cls, text: str) -> "Columns":
        """Returns what `prediction=response,song=audioid` names.

        Raises:
            OptionError: it names nothing, one thing twice, or what no file has.
        """
        return cls(parse_columns(text, KNOWN, "prediction=response,song=audioid"))


KNOWN_COLUMNS = Columns()


@dataclass(frozen=True)
class FileReader:
    """Reads files of captions and of references; at the end it knows whether all that it was told was of use."""

    columns: Columns = KNOWN_COLUMNS
    song_key: str | None = None  # a regular expression; songs are told apart by its first group
    used: set[str] = field(default_factory=set)  # names of `columns` that a file had, and the `song_key` that matched

    def read(self, path: Path, as_references: bool = False, validated: bool = False) -> list[Prediction]:
        """Returns the songs of a file, in the order of their first rows; several rows of one are put together.

        Args:
            path: JSON lines, one JSON list or object of rows (whatever its suffix), CSV or TSV.
            as_references: the file holds references: a column such as `caption` is what people wrote.
            validated: only the references that Song Describer calls valid.

        Raises:
            DataError: the file cannot be read, or a row cannot be used; it is named by its line.
        """
        songs: dict[str, Prediction] = {}
        first: Prediction | None = None
        ranked = path.suffix.lower() in SEPARATORS and set(CAPTION_COLUMNS) <= set(read_columns(path))
        for noun, number, record in self._records(path, as_references):
            place = f"{path}, {noun} {number}"
            if isinstance(record, str):
                joined = " is " if record.startswith("no JSON") else ": "
                raise DataError(f"{place}{joined}{record}", "correct it or leave it out")
            if validated and str(record.get(VALID)).lower() != "true":
                continue
            row = self._read_row(path, noun, number, record, as_references)
            first = first or row
            if bool(row.id) != bool(first.id):
                unnamed = first if row.id else row
                raise DataError(f"{path}, {unnamed.place} has no song id, though other rows have one", "add it")
            song = songs.setdefault(row.id or row.place, row)
            try:
                if song is not row:
                    song.add(row, ranked)
            except ValueError as error:
                raise DataError(f"{place}: {error}", "give each song an id of its own") from error
        rows = list(songs.values())
        if as_references:
            rows = [row for row in rows if any(text.strip() for text in row.references)]
        check_rows(path, rows, "references" if as_references else "predictions", validated)
        if rows[0].id:
            for row, key in zip(rows, self.keys([row.id for row in rows]), strict=True):
                row.id = key
        return rows

    def keys(self, names: Sequence[str]) -> list[str]:
        """Returns what tells songs apart whatever a file calls them: stems of audio files, where these differ."""
        found = [stem_of(name) for name in names]
        return found if len(set(found)) == len(set(names)) else list(names)

    def check(self) -> None:
        """Refuses a column that no file had, and a pattern that no song matched (DataError)."""
        for role, name in self.columns.named:
            if name not in self.used:
                raise DataError(f"--columns {role}={name}: no file has a column {name}", "check its spelling")
        if self.song_key is not None and self.song_key not in self.used:
            raise DataError(f"--song-key {self.song_key} matches no song of any file", "try it on one of their ids")

    def _records(self, path: Path, as_references: bool) -> Iterator[tuple[str, int, Row]]:
        """Yields the records of a file with what they are called and their numbers; a broken one is its reason."""
        if path.suffix.lower() not in SEPARATORS:
            noun, records = ("entry", json_list(path)) if holds_list(path) else ("line", json_lines(path))
            yield from ((noun, number, record) for number, record in records)
            return
        role = "reference" if as_references else "prediction"
        names = read_columns(path)
        column = self._find(str(path), role, names, as_references)
        if column is None and names:
            raise lacks_column(f"{path} has no column {role}", role, names)
        for number, record in read_table(path, column or role):
            # An empty cell is a caption without words, as "" is in JSON.
            yield "line", number, record if isinstance(record, str) else {column or role: "", **record}

    def _find(self, place: str, role: str, names: Collection[str], as_references: bool) -> str | None:
        """Returns the column of a file that holds something, one of `KNOWN`; None where it has none."""
        named = dict(self.columns.named).get(role)
        if named is not None and named in names:
            self.used.add(named)
            return named
        found = [name for name in (OF_REFERENCES if as_references else KNOWN)[role] if name in names]
        if found == ["caption", "response"]:  # people's, and a system's answer? or the other way round?
            hint = "say which holds the system's: --columns prediction=response,reference=caption"
            raise DataError(f"{place} has captions in two columns, caption and response", hint)
        return found[0] if found else None

    def _read_row(
        self, path: Path, noun: str, number: int, record: Mapping[str, Any], as_references: bool
    ) -> Prediction:
        """Returns what a row says; a DataError where it cannot be used."""
        place = f"{path}, {noun} {number}"
        try:
            found = {role: self._find(place, role, record.keys(), as_references) for role in KNOWN}
            values = {role: record[name] for role, name in found.items() if name is not None}
            song = self.song_of(values.get("song"))
            artist = read_name(values.get("artist"), "artist").strip()
            row = Prediction(noun, number, song, artist=artist if is_unicode(artist) else "")
            row.title = title_of(values.get("title"), artist if found["artist"] == "artist" else "")
            lyrics = values.get("lyrics")
            if as_references:
                row.references = references_of(found["reference"], record)
                row.lyrics = read_row_lyrics({**record, "lyrics": lyrics}, CorpusRoot(path.parent)).text or None
                return row
            row.lyrics = lyrics if isinstance(lyrics, str) and is_unicode(lyrics) else None
            if found["prediction"] is None:
                raise lacks_column(f"{place} has no prediction", "prediction", record)
            error = record.get("error")
            if isinstance(error, str) and error.strip() and not values["prediction"]:
                row.error = error
                return row
            row.captions = read_texts(found["prediction"], values["prediction"])
            if not row.captions:
                raise ValueError(f"{found['prediction']} is a list without a text")
            if found["reference"] is not None:
                row.references = read_texts(found["reference"], values["reference"])
                if not any(text.strip() for text in row.references):
                    raise ValueError(f"{found['reference']} is empty")
        except ValueError as error:
            raise DataError(f"{place}: {error}", 'give a text; "" is an empty caption') from error
        return row

    def song_of(self, value: Any) -> str:
        """Returns a song's id, cut down to what --song-key finds in it."""
        name = read_name(value, "song").strip()
        if not is_unicode(name):
            raise ValueError("the song's id holds half a character")
        match = re.search(self.song_key, name) if self.song_key is not None else None
        if match is None or not match[1]:
            return name
        self.used.add(str(self.song_key))
        return match[1]


def check_rows(path: Path, rows: Sequence[Prediction], noun: str, validated: bool) -> None:
    """Refuses a file without songs, or with references for a part of them only (DataError)."""
    if not rows and validated:
        hint = f"leave --subset validated out; Song Describer's column {VALID} says which are"
        raise DataError(f"{path} holds no references that are validated", hint)
    if not rows:
        raise DataError(f"{path} holds no {noun}", f"give a row for each song; --columns {noun[:-1]}=NAME says where")
    lacking = next((row for row in rows if not row.references and not row.error), None)
    if lacking is not None and any(row.references for row in rows):
        raise DataError(f"{path}, {lacking.place}: no reference, though other rows have one", "leave it out or add one")


def lacks_column(message: str, role: str, names: Collection[str]) -> DataError:
    """Returns the error for a file that has no column for something, with those that it has."""
    told = ", ".join(shown(name)[1:-1] for name in list(names)[:MOST_SHOWN])
    return DataError(message, f"its columns are {told}; say which it is: --columns {role}=NAME")


def title_of(title: object, artist: object) -> str:
    """Returns what people call a song, as far as it is known."""
    return " \N{MIDDLE DOT} ".join(
        part.strip() for part in (title, artist) if isinstance(part, str) and part.strip() and is_unicode(part)
    )


def references_of(column: str | None, record: Mapping[str, Any]) -> list[str]:
    """Returns what people wrote in a row of a file of references; a ValueError where one is no text."""
    if column in ("captions", "caption"):
        return [caption.text for caption in read_row_captions(dict(record))]  # a list, or objects with votes
    return read_texts(column, record[column]) if column is not None else []


def read_texts(column: str, value: Any) -> list[str]:
    """Returns the texts of a cell: those of a list, in JSON's spelling or in Python's, or the one that it is.

    Raises:
        ValueError: one is a number, half a character, or a word such as nan, by which tables mark a missing text.
    """
    texts = read_list(value)
    for text in texts:
        if not isinstance(text, str) or (text and is_missing(text) and text.strip()):
            raise ValueError(f"{column} is {shown(text)}, not a text")
        if not is_unicode(text):
            raise ValueError(f"{column} holds half a character")
    return texts
