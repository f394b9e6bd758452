"""All songs and captions of a corpus while it is prepared: on disk, so that memory does not grow with the corpus."""

import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from recap_cli.corpus.cleaning import count_tokens
from recap_cli.corpus.song import Caption, Rejected, Song
from recap_cli.files import cannot_write, open_privately

SCHEMA = """
CREATE TABLE songs (position INTEGER PRIMARY KEY, id TEXT UNIQUE, audio TEXT, lyrics TEXT, split TEXT, title TEXT,
    artist TEXT, tags TEXT, tokens INTEGER, kin INTEGER, mel TEXT, frames INTEGER);
CREATE TABLE captions (row INTEGER PRIMARY KEY, song INTEGER, text TEXT, votes INTEGER, tokens INTEGER);
CREATE TABLE rejected (position INTEGER PRIMARY KEY, song TEXT, file TEXT, reason TEXT);
CREATE INDEX captions_of_song ON captions (song);
"""
STEP = 2  # between positions of songs; a song's copy for another split goes in between
CACHE_KIB = 2048
MOST_TAGS = 100
LONGEST_CAPTION = 100_000  # characters
LONGEST_REASON = 10_000
SONG_COLUMNS = "position, id, audio, lyrics, split, title, artist, tags"


class Catalogue:
    """Songs in the order of the corpus, their captions, what was heard of them, and what was rejected.

    Args:
        path: what its private file is called after; the file lives as long as the preparation.
        label: whose it is, where several prepare parts of one folder.
    """

    def __init__(self, path: Path, label: str = "") -> None:
        handle, self.path = open_privately(path, label)
        os.close(handle)
        self.position = 0
        self.songs = 0
        self.tags: set[str] = set()
        # Without sqlite's own locks, which network file systems often lack: the folder is locked as a whole.
        self.db = sqlite3.connect(f"{self.path.resolve().as_uri()}?nolock=1", isolation_level=None, uri=True)
        for setting in ("journal_mode = OFF", "synchronous = OFF", f"cache_size = -{CACHE_KIB}", "temp_store = FILE"):
            self.db.execute(f"PRAGMA {setting}")
        self.db.executescript(SCHEMA)
        self.db.execute("BEGIN")

    def close(self) -> None:
        """Drop everything."""
        self.db.close()
        self.path.unlink(missing_ok=True)

    def one(self, query: str, *values: Any) -> Any:
        """Give the first value of a query's first row, None where there is no row."""
        row = self.db.execute(query, values).fetchone()
        return row[0] if row else None

    def count(self, table: str, where: str = "1") -> int:
        """Count rows."""
        return int(self.one(f"SELECT count(*) FROM {table} WHERE {where}"))

    # filling ----------------------------------------------------------------------------------------------------------

    def add(self, song: Song) -> None:
        """Take a song; of one that is known already, in the same audio, the captions.

        A song that comes in two splits, as row-wise splits have it, is kept once in each.
        """
        if reason := unfit(song):
            self.reject(Rejected(song.id[:200], song.audio, reason))
            return
        found = self.db.execute("SELECT position, audio, split FROM songs WHERE id = ?", (song.id,)).fetchone()
        if found and found[1] != song.audio:
            self.reject(Rejected(song.id, song.audio, "another song has the same id"))
            return
        if found and found[2] != song.split:
            copy = copy_id(song.id, song.split)
            position = self.one("SELECT position FROM songs WHERE id = ?", copy)
            self.add_captions(position or self.insert(song, copy, kin=found[0]), song)
        else:
            self.add_captions(found[0] if found else self.insert(song, song.id), song)

    def insert(self, song: Song, name: str, kin: int | None = None) -> int:
        """Write a song's row; give its position. `kin` is the position of a song that it is a copy of."""
        self.position += STEP
        self.songs += 1
        tags = json.dumps(song.tags, ensure_ascii=False)
        self.tags.update(song.tags)
        row = (self.position, name, song.audio, song.lyrics, song.split, song.title, song.artist, tags)
        self.db.execute(
            f"INSERT INTO songs ({SONG_COLUMNS}, tokens, kin) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*row, count_tokens(song.lyrics), kin or self.position),
        )
        return self.position

    def add_captions(self, position: int, song: Song) -> None:
        """Write a song's captions."""
        self.db.executemany(
            "INSERT INTO captions (song, text, votes, tokens) VALUES (?, ?, ?, ?)",
            ((position, one.text, one.votes, count_tokens(one.text)) for one in song.captions),
        )

    def reject(self, entry: Rejected, position: int | None = None) -> None:
        """Note what cannot be used and why; `position` is that of a song that was added."""
        if position is None:
            self.position += STEP
            position = self.position
        fields = (entry.song, entry.file[:LONGEST_REASON], entry.reason[:LONGEST_REASON])
        self.db.execute("INSERT OR REPLACE INTO rejected VALUES (?, ?, ?, ?)", (position, *fields))

    def copy_song(self, position: int, split: str) -> int:
        """Copy a song's row for another split, without its captions; give the copy's position."""
        self.db.execute(
            f"INSERT INTO songs ({SONG_COLUMNS}, tokens, kin) SELECT position + 1, id || ?, audio, lyrics, ?, title, "
            "artist, tags, tokens, kin FROM songs WHERE position = ?",
            (copy_id("", split), split, position),
        )
        return position + 1

    # what was heard ---------------------------------------------------------------------------------------------------

    def to_hear(self, after: int, count: int) -> list[tuple[int, str, str]]:
        """Give position, id and audio of the next songs behind a position, in order."""
        query = "SELECT position, id, audio FROM songs WHERE position > ? ORDER BY position LIMIT ?"
        return self.db.execute(query, (after, count)).fetchall()

    def position_of(self, number: int) -> int:
        """Give the position of song `number`, counted from 0; one before the first for -1."""
        found = self.one("SELECT position FROM songs ORDER BY position LIMIT 1 OFFSET ?", max(0, number))
        return -1 if number < 0 or found is None else int(found)

    def heard(self, position: int, mel: str, frames: int) -> None:
        """Note a song's mel."""
        self.db.execute("UPDATE songs SET mel = ?, frames = ? WHERE position = ?", (mel, frames, position))

    def prepared(self) -> Iterator[tuple[int, Song, str, int]]:
        """Give position, song (without its captions), mel and frames of all that was heard, in order."""
        query = f"SELECT {SONG_COLUMNS}, mel, frames FROM songs WHERE mel IS NOT NULL ORDER BY position"
        for position, name, audio, lyrics, split, title, artist, tags, mel, frames in self.db.execute(query):
            song = Song(name, audio, lyrics, (), split, title, artist, json.loads(tags))
            yield position, song, mel, frames

    def captions(self) -> Iterator[tuple[str, str, int | None]]:
        """Give song id, text and votes of the captions of all that was heard, in order."""
        yield from self.db.execute(
            "SELECT id, text, votes FROM songs JOIN captions ON song = position WHERE mel IS NOT NULL "
            "ORDER BY position, row"
        )

    def rejected(self) -> Iterator[Rejected]:
        """Give what was rejected, in order."""
        for row in self.db.execute("SELECT song, file, reason FROM rejected ORDER BY position"):
            yield Rejected(*row)

    def median(self, table: str, column: str, where: str) -> float:
        """Give a column's median, 0 where there are no rows."""
        count = self.count(table, where)
        if not count:
            return 0.0
        query = f"SELECT {column} FROM {table} WHERE {where} ORDER BY {column} LIMIT ? OFFSET ?"
        middle = self.db.execute(query, (2 - count % 2, (count - 1) // 2)).fetchall()
        return float(sum(row[0] for row in middle) / len(middle))


def copy_id(name: str, split: str) -> str:
    """Name a song's copy in a further split."""
    return f"{name}@{split or 'other'}"


def unfit(song: Song) -> str:
    """Say why a record cannot be kept; "" when it can."""
    if not song.id:
        return "it has no id"
    if any(len(caption.text) > LONGEST_CAPTION for caption in song.captions):
        return f"a caption has over {LONGEST_CAPTION:,} characters"
    if len(song.tags) > MOST_TAGS or sum(len(key) + len(value) for key, value in song.tags.items()) > LONGEST_CAPTION:
        return f"it has over {MOST_TAGS} tags, or endless ones"
    if max(len(song.split), len(song.title), len(song.artist)) > 1000:
        return "its split, title or artist has over 1,000 characters"
    return ""


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn the data base's errors into ours: in practice a full disk.

    Raises:
        DataError: the disk refuses.
    """
    try:
        yield
    except sqlite3.OperationalError as error:
        raise cannot_write(path, error) from error


def caption_record(song: str, text: str, votes: int | None) -> dict[str, Any]:
    """Give a line of `captions.jsonl`."""
    return {"song": song, **vars(Caption(text, votes))}
