"""Song Describer: a row a caption that a person wrote of two minutes of a Jamendo track."""

from pathlib import Path

from recap_cli.corpus.manifest import join_songs
from recap_cli.layouts.jamendo import RENDITIONS, WITHIN
from recap_cli.layouts.source import CorpusSource, Entries, Fields, NamedAudio, needed_name, songs_of_rows
from recap_cli.tables.cells import is_missing, shown
from recap_cli.tables.rows import read_columns, read_rows

FILE = "song_describer.csv"
VALID = "is_valid_subset"
COLUMNS = frozenset(("caption_id", "track_id", "caption", "path"))


def is_table(path: Path) -> bool:
    """Whether a file is the table of captions, by the names of its columns."""
    return set(read_columns(path)) >= COLUMNS


def read_song_describer(source: CorpusSource) -> Entries:
    """Yields the songs, all in the test split: the data set was made to compare with, and its captions are few.

    A track's audio is `34/1004034.2min.mp3` though its path says `34/1004034.mp3`. With the subset "validated", a row
    whose `is_valid_subset` is False or empty brings no caption, and its song is kept without.

    Raises:
        DataError: the table cannot be read.
    """
    path = source.path / FILE if source.path.is_dir() else source.path
    audio = NamedAudio(source.root(path.parent), WITHIN, (RENDITIONS[-1], *RENDITIONS[:-1]))

    def fields_of(row: Fields) -> Fields:
        valid = read_flag(row, VALID)
        if not isinstance(row.get("caption"), str) or is_missing(row["caption"]):
            raise ValueError("it has no caption")
        return {
            "id": needed_name(row, "track_id"),
            "audio": audio.find(needed_name(row, "path")),
            "artist": row.get("artist_id"),
            "caption": [row["caption"]] if valid or source.subset != "validated" else None,
            "split": "test",
        }

    return join_songs(songs_of_rows(path, read_rows(path, "track_id"), fields_of))


def read_flag(row: Fields, column: str) -> bool:
    """Returns what a column says; empty is no. A ValueError where it is neither True nor False."""
    value = row.get(column)
    if is_missing(value):
        return False
    if str(value).strip().lower() not in ("true", "false"):
        raise ValueError(f"its {column} is {shown(value)}, neither True nor False")
    return str(value).strip().lower() == "true"
