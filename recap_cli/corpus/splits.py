"""Who goes to train, validation and test: given splits, frozen ones, by song with a seed, or as published."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recap_cli.corpus.catalogue import STEP, Catalogue
from recap_cli.corpus.song import SPLITS, split_name
from recap_cli.corpus.twins import same_audio
from recap_cli.errors import DataError
from recap_cli.escaping import is_unicode
from recap_cli.tables.cells import is_missing, read_name, shown
from recap_cli.tables.rows import read_rows
from recap_cli.tables.text_files import DECODER, open_text

PUBLISHED_SEED = 42
PUBLISHED_SHARE = 0.9


@dataclass(frozen=True)
class Leakage:
    """What near-duplicates and row-wise splits would carry from training to the tests.

    Attributes:
        near_duplicates: share of the songs that have a near-duplicate.
        row_wise: share of the held-out captions whose song, or a near-duplicate, would also be in training if
            captions were split 90/10 row by row; the expectation over all such splits.
        across: songs in validation or test that are, or are near-duplicates of, a song in training.
    """

    near_duplicates: float
    row_wise: float
    across: int

    def to_json(self) -> dict[str, Any]:
        """The figures as plain values."""
        return {**vars(self), "near_duplicates": round(self.near_duplicates, 4), "row_wise": round(self.row_wise, 4)}


def join_kin(catalogue: Catalogue) -> None:
    """Gives near-duplicates a common `kin`: the same audio, title and artist, or lyrics, or copies of one song."""
    db = catalogue.db
    db.execute("CREATE TEMP TABLE copies AS SELECT position FROM songs WHERE kin != position")
    db.execute("CREATE TEMP TABLE marks (mark BLOB, song INTEGER)")
    db.execute("CREATE INDEX temp.marks_by_mark ON marks (mark)")
    rows = db.execute("SELECT position, title, artist, lyrics FROM songs ORDER BY position")
    for position, title, artist, lyrics in rows:
        marks = ((mark, position) for mark in duplicate_marks(title, artist, lyrics))
        db.executemany("INSERT INTO marks VALUES (?, ?)", marks)
    db.executemany("INSERT INTO marks VALUES (?, ?)", same_audio(db))
    parents: dict[int, int] = {}

    def find(song: int) -> int:
        while parents.setdefault(song, song) != song:
            parents[song] = parents[parents[song]]
            song = parents[song]
        return song

    def unite(one: int, other: int) -> None:
        first, second = sorted((find(one), find(other)))
        parents[second] = first

    shared = "SELECT mark FROM marks GROUP BY mark HAVING count(*) > 1"
    first: tuple[bytes, int] = (b"", 0)
    for mark, song in db.execute(f"SELECT mark, song FROM marks WHERE mark IN ({shared}) ORDER BY mark, song"):
        if mark == first[0]:
            unite(first[1], song)
        else:
            first = (mark, song)
    for song, kin in db.execute("SELECT position, kin FROM songs WHERE kin != position"):
        unite(song, kin)
    db.executemany("UPDATE songs SET kin = ? WHERE position = ?", ((find(song), song) for song in list(parents)))
    db.execute("DROP TABLE marks")
    db.execute("CREATE INDEX songs_by_kin ON songs (kin)")


def duplicate_marks(title: str, artist: str, lyrics: str) -> Iterator[bytes]:
    """Give short marks that near-duplicates of a song share with it."""
    title, artist, lyrics = simplify(title), simplify(artist), simplify(lyrics)
    if title and artist:
        yield digest(f"title {title} / {artist}")
    if lyrics:
        yield digest(f"lyrics {lyrics}")


def digest(text: str) -> bytes:
    """Shorten a text to 8 bytes."""
    return hashlib.sha256(text.encode("utf-8", "replace")).digest()[:8]


def simplify(text: str) -> str:
    """Keep letters and digits only, in lower case."""
    return "".join(character for character in text.casefold() if character.isalnum())


def assign_splits(catalogue: Catalogue, seed: int) -> None:
    """Give a split to every song that has none: 80 % train, 10 % validation, 10 % test.

    Near-duplicates go the same way: with one whose split is given, or else together. The seed and the ids decide,
    not the order of the songs.
    """
    db = catalogue.db
    db.execute(
        "UPDATE songs SET split = (SELECT given.split FROM songs AS given WHERE given.kin = songs.kin AND "
        "given.split != '' ORDER BY given.position LIMIT 1) WHERE split = '' AND kin IN "
        "(SELECT kin FROM songs WHERE split != '')"
    )
    db.execute("CREATE TEMP TABLE ranks (kin INTEGER PRIMARY KEY, rank BLOB)")
    db.create_function("rank", 1, lambda name: digest(f"{seed} {name}"), deterministic=True)
    db.execute("INSERT INTO ranks SELECT kin, rank(min(id)) FROM songs WHERE split = '' GROUP BY kin")
    groups = catalogue.count("ranks")
    tenth = max(1, round(groups / 10)) if groups >= 3 else 0
    for split, first, count in (("test", 0, tenth), ("validation", tenth, tenth), ("train", 2 * tenth, groups)):
        chosen = "SELECT kin FROM ranks ORDER BY rank, kin LIMIT ? OFFSET ?"
        values = (split, count, first)
        db.execute(f"UPDATE songs SET split = ? WHERE split = '' AND kin IN ({chosen})", values)
    db.execute("DROP TABLE ranks")


def freeze_splits(catalogue: Catalogue, path: Path) -> tuple[int, int]:
    """Give songs the splits that a file names for their ids.

    Returns:
        How many songs it froze, and how many ids it names that the corpus lacks.

    Raises:
        DataError: the file cannot be read, or an id has no split.
    """
    named = frozen = 0
    catalogue.db.execute("CREATE TEMP TABLE given (id TEXT PRIMARY KEY, split TEXT)")
    for song, split in read_split_file(path):
        before = catalogue.one("SELECT split FROM given WHERE id = ?", song)
        if before not in (None, split):
            raise DataError(f"--split-file {path} puts {song} into {before} and into {split}", "leave one of them out")
        if before is None:
            named += 1
            catalogue.db.execute("INSERT INTO given VALUES (?, ?)", (song, split))
            changed = catalogue.db.execute("UPDATE songs SET split = ? WHERE id = ?", (split, song))
            frozen += changed.rowcount
    catalogue.db.execute("DROP TABLE given")
    if not named:
        raise DataError(f"--split-file {path} names no songs", "its rows have an id and a split")
    return frozen, named - frozen


def read_split_file(path: Path) -> Iterator[tuple[str, str]]:
    """Read ids with their splits: a table or JSON lines with id and split, a prepared folder's songs.jsonl, or JSON.

    Raises:
        DataError: the file cannot be read, or an id has no split.
    """
    if path.suffix.lower() == ".json":
        yield from read_split_lists(path)
        return
    if path.suffix.lower() not in (".csv", ".tsv", ".jsonl"):
        hint = "give .csv, .tsv or .jsonl with id and split, songs.jsonl of a prepared folder, or .json"
        raise DataError(f"--split-file {path} is none", hint)
    for number, row in read_rows(path, "id"):
        record = row.get("song", row) if isinstance(row, dict) else row
        try:
            if not isinstance(record, dict):
                raise ValueError(record if isinstance(record, str) else "its song is no object")
            yield split_pair(record.get("id"), record.get("split"))
        except ValueError as error:
            hint = "mend the line"
            raise DataError(f"--split-file {path}, line {number} has no id and split: {error}", hint) from error


def split_pair(song: Any, split: Any) -> tuple[str, str]:
    """Returns an id and its split as we write it.

    Raises:
        ValueError: one is missing or no text.
    """
    name, split = read_name(song, "id"), "" if is_missing(split) else split_name(read_name(split, "split"))
    if not name or not split or len(split) > 100 or not is_unicode(name + split):
        raise ValueError(f"id {shown(name)}, split {shown(split)}")
    return name, split


def read_split_lists(path: Path) -> Iterator[tuple[str, str]]:
    """Reads `{"train": [ids], "test": [ids]}`."""
    with open_text(path) as file:
        try:
            lists = DECODER.decode(file.read().strip())
            if not all(isinstance(songs, list) for songs in lists.values()):
                raise ValueError("a split is no list of ids")
            pairs = [split_pair(song, split) for split, songs in lists.items() for song in songs]
        except (ValueError, RecursionError, AttributeError) as error:
            hint = '{"train": [ids], "validation": [ids], "test": [ids]}'
            raise DataError(f"--split-file {path} cannot be read: {error}", hint) from error
    yield from pairs


def publish_splits(catalogue: Catalogue) -> None:
    """Split captions row by row, 90/10, as BART-fusion's public code does: `random_split` of all rows, seed 42.

    A song whose captions fall on both sides is kept in both, its copy in validation as `id@validation`; songs given
    for the test stay there. With this split the validation has songs of the training: it is for comparisons only.
    """
    import torch

    db = catalogue.db
    rows = "FROM captions JOIN songs ON song = position WHERE split != 'test'"
    count = int(catalogue.one(f"SELECT count(*) {rows}"))
    order = torch.randperm(count, generator=torch.Generator().manual_seed(PUBLISHED_SEED))
    held = torch.zeros(count, dtype=torch.bool)
    held[order[int(count * PUBLISHED_SHARE) :]] = True
    db.execute("CREATE TEMP TABLE held (row INTEGER PRIMARY KEY)")
    numbers = enumerate(db.execute(f"SELECT captions.row {rows} ORDER BY captions.row"))
    db.executemany("INSERT INTO held VALUES (?)", ((row[0],) for place, row in numbers if held[place]))
    db.execute("UPDATE songs SET split = 'train' WHERE split != 'test'")
    touched = "SELECT DISTINCT song FROM captions WHERE row IN (SELECT row FROM held)"
    for (song,) in db.execute(f"{touched} ORDER BY song").fetchall():
        others = catalogue.one("SELECT 1 FROM captions WHERE song = ? AND row NOT IN (SELECT row FROM held)", song)
        if others is None:
            db.execute("UPDATE songs SET split = 'validation' WHERE position = ?", (song,))
            continue
        copy = catalogue.copy_song(song, "validation")
        db.execute("UPDATE captions SET song = ? WHERE song = ? AND row IN (SELECT row FROM held)", (copy, song))
    db.execute("DROP TABLE held")


def measure_leakage(catalogue: Catalogue) -> Leakage:
    """Measure what a row-wise split would have leaked, and what these splits do."""
    db = catalogue.db
    # A song's copy for another split is no near-duplicate; those made since stand between the steps of positions.
    originals = f"position NOT IN (SELECT position FROM copies) AND position % {STEP} = 0"
    alike = f"SELECT count(*) n FROM songs WHERE {originals} GROUP BY kin HAVING n > 1"
    twins = int(catalogue.one(f"SELECT total(n) FROM ({alike})"))
    counted = "SELECT count(*) n FROM captions JOIN songs ON song = position GROUP BY kin"
    sizes = db.execute(f"SELECT n, count(*) FROM ({counted}) GROUP BY n").fetchall()
    held = f"split IN ('{SPLITS[1]}', '{SPLITS[2]}')"
    across = catalogue.count("songs", f"{held} AND kin IN (SELECT kin FROM songs WHERE split = '{SPLITS[0]}')")
    return Leakage(twins / max(1, catalogue.count("songs")), row_wise_leakage(sizes), across)


def row_wise_leakage(sizes: list[tuple[int, int]]) -> float:
    """Give the expected share of held-out rows whose song is in training, too, when 10 % of the rows are held out.

    Args:
        sizes: pairs of a number of captions and how many songs have it.
    """
    total = sum(size * songs for size, songs in sizes)
    held = total - int(total * PUBLISHED_SHARE)
    leaked = 0.0
    for size, songs in sizes:
        alone = 1.0  # the chance that all other rows of the song are held out with one of them
        for other in range(size - 1):
            alone *= max(0, held - 1 - other) / (total - 1 - other)
        leaked += songs * size * (1 - alone)
    return leaked / total if total else 0.0
