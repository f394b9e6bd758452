"""The Song Interpretation Dataset as JSON, and ALCAP's CSV files: rows of music4all_id, lyrics, comment."""

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from recap_cli.corpus.manifest import LONGEST_ID, join_songs
from recap_cli.corpus.music4all import Music4All
from recap_cli.corpus.song import Caption, Rejected, Song, split_name
from recap_cli.errors import DataError, LyricsError
from recap_cli.escaping import is_unicode
from recap_cli.lyrics.reader import LARGEST, Lyrics, lyrics_of_text
from recap_cli.tables.cells import is_missing
from recap_cli.tables.rows import read_rows
from recap_cli.tables.text_files import Row

ID_COLUMN = "music4all_id"
VARIANTS = ("full", "not_negative", "positive")


def read_interpretations(path: Path, music: Music4All) -> Iterator[Song | Rejected]:
    """Gives the songs of the public JSON (a list of objects), or of a table or JSON lines with the same columns.

    Raises:
        DataError: the file is damaged, or no such data.
    """
    yield from interpretation_songs(read_rows(path, ID_COLUMN), path, music)


def read_alcap(folder: Path, music: Music4All, variant: str | None) -> Iterator[Song | Rejected]:
    """Read ALCAP's folder: `df_{variant}_train.csv`, `df_{variant}_val.csv` and `df_test.csv`, or `df_full.csv`.

    Raises:
        DataError: a file is missing or damaged.
    """
    chosen = variant or "full"
    names = {f"df_{chosen}_train.csv": "train", f"df_{chosen}_val.csv": "validation", "df_test.csv": "test"}
    if not (folder / f"df_{chosen}_train.csv").is_file() and (folder / f"df_{chosen}.csv").is_file():
        names = {f"df_{chosen}.csv": "", "df_test.csv": "test"}
    missing = [name for name in names if not (folder / name).is_file()]
    if len(missing) == len(names) or f"df_{chosen}_val.csv" in missing or f"df_{chosen}_train.csv" in missing:
        raise DataError(f"{folder} lacks {missing[0]}", f"--variant is {chosen}; there are {', '.join(VARIANTS)}")
    for name, split in names.items():
        if name not in missing:
            yield from interpretation_songs(read_rows(folder / name, ID_COLUMN), folder / name, music, split)


def interpretation_songs(
    rows: Iterator[tuple[int, Row]], path: Path, music: Music4All, split: str = ""
) -> Iterator[Song | Rejected]:
    """Make songs of rows; rows of one song that follow each other are joined."""
    return join_songs(interpretation_song(row, number, path, music, split) for number, row in rows)


def interpretation_song(row: Row, number: int, path: Path, music: Music4All, split: str) -> Song | Rejected:
    """Make a song with one caption of a row."""
    place = f"{path.name}, row {number}"
    if isinstance(row, str):
        return Rejected(place, str(path), row)
    song, lyrics, comment = row.get(ID_COLUMN), row.get("lyrics", ""), row.get("comment", "")
    if not isinstance(song, str) or not song or len(song) > LONGEST_ID or not is_unicode(song):
        return Rejected(place, str(path), f"it has no {ID_COLUMN}")
    if not isinstance(lyrics, str) or not isinstance(comment, str):
        return Rejected(place, str(path), "its lyrics or its comment are no text")
    if len(lyrics) > LARGEST:
        return Rejected(place, str(path), "its lyrics have over 1 MB")
    lyrics, comment = ("" if is_missing(text) else text for text in (lyrics, comment))
    file = music.find(song)
    if file is None:
        return Rejected(song, song, f"the audio lies outside {music.audios.folder}")
    title, artist = music.names.get(song, ("", ""))
    captions = (Caption(comment),) if comment.strip() else ()
    given = row.get("split")
    split = split or ("" if is_missing(given) else split_name(given))
    try:
        words = cleaned(lyrics)
    except LyricsError as error:
        return Rejected(song, file, error.message)
    return Song(song, file, words.text, captions, split, title, artist, warnings=words.warnings)


@lru_cache(maxsize=64)
def cleaned(lyrics: str) -> Lyrics:
    """Clean lyrics; the rows of one song repeat them."""
    return lyrics_of_text(lyrics)
