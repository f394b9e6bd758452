"""MTG-Jamendo: tables of tracks with tags, audio in a hundred folders, and splits in tables of their own."""

import re
from collections import defaultdict
from pathlib import Path

from recap_cli.corpus.folders import is_file
from recap_cli.corpus.song import SPLITS
from recap_cli.errors import DataError
from recap_cli.layouts.source import (
    CorpusSource,
    Entries,
    Fields,
    NamedAudio,
    SeenRows,
    lacks_audio,
    needed_name,
    songs_of_rows,
)
from recap_cli.tables.cells import shown
from recap_cli.tables.rows import read_columns, read_table

COLUMNS = frozenset(("track_id", "artist_id", "path", "tags"))
BASE = "autotagging"  # the table that all splits were drawn from
TABLES = (f"{BASE}.tsv", "raw_30s_cleantags_50artists.tsv", "raw_30s_cleantags.tsv", "raw_30s.tsv")
SPLIT_FOLDER = Path("splits", "split-0")  # beside the tables; the others are chosen by naming them
RENDITIONS = ("", ".low", ".2min")  # 48/948.mp3, the small 48/948.low.mp3, and Song Describer's two minutes
WITHIN = ("", "audio/", "audio/audio/", "raw_30s/audio/", "raw_30s/audio-low/")
_NUMBER = re.compile(r"(?:track|artist)_0*(\d+)")
_SPLIT = re.compile(r"-(train|validation|test)$")
_TAG = re.compile(r"([a-z/]+)---(.+)")


def is_table(path: Path) -> bool:
    """Whether a file is one of the tables, by the names of its columns."""
    return path.suffix.lower() == ".tsv" and set(read_columns(path)) >= COLUMNS


def find_tables(folder: Path) -> list[Path]:
    """Returns the tables that stand for a folder: a clone of the data set, its `data`, or one of its split folders.

    Raises:
        DataError: it holds the splits of several tables.
    """
    for name in (f"{place}{table}" for place in ("", "data/") for table in TABLES):
        if is_file(folder / name):
            return [folder / name]
    families = sorted({_SPLIT.sub("", path.stem) for path in folder.glob("*-t*.tsv") if _SPLIT.search(path.stem)})
    if len(families) > 1 and BASE not in families:
        hint = f"name one file, such as {families[0]}-train.tsv"
        raise DataError(f"{folder} holds the splits of several tables: {', '.join(families)}", hint)
    family = BASE if BASE in families else "".join(families)
    return [path for split in SPLITS if is_file(path := folder / f"{family}-{split}.tsv")]


def is_folder(folder: Path) -> bool:
    """Whether a folder holds the tables."""
    return any(is_table(path) for path in find_tables(folder)[:1])


def read_jamendo(source: CorpusSource) -> Entries:
    """Yields the tracks of a table or folder, with its own splits where they are there.

    A track's id is its number, as in Song Describer and MulJam: 948 of `track_0000948`. Tags are kept by their
    category: `{"genre": "pop, rock", "instrument": "piano"}`.

    Raises:
        DataError: there is no table, or a table of splits cannot be read, or there is no audio near it.
    """
    tables = find_tables(source.path) if source.path.is_dir() else [source.path]
    if not tables:
        raise DataError(f"{source.path} holds no table of MTG-Jamendo", f"looked for {', '.join(TABLES)}")
    audio = NamedAudio(source.root(audio_beside(source)), WITHIN, RENDITIONS)
    seen = SeenRows()
    for path in tables:
        yield from _read_table(path, audio, seen)


def audio_beside(source: CorpusSource) -> Path | None:
    """Returns the folder near a table with folders such as 48; None where audio is named."""
    if source.audio is not None:
        return None
    near = (source.folder, *source.folder.parents[:3])
    for folder in (folder / within for folder in near for within in WITHIN):
        if any((folder / f"{number:02}").is_dir() for number in range(100)):
            return folder
    raise lacks_audio(source, "48/948.mp3")


def _read_table(path: Path, audio: NamedAudio, seen: SeenRows) -> Entries:
    """Yields the tracks of one table."""
    own = _SPLIT.search(path.stem)
    splits = {} if own else read_splits(path)

    def fields_of(row: Fields) -> Fields:
        track, named = track_number(row), needed_name(row, "path")
        if re.split(r"[/.]", named)[-2:-1] != [track]:
            raise ValueError(f"its path {shown(named)} is of another track than {row['track_id']}")
        seen.add(track)
        split = own[1] if own else splits.get(track, "")
        if splits and not split:
            raise ValueError("it is in none of the data set's splits, which lack some rare tags")
        artist = _NUMBER.fullmatch(str(row.get("artist_id", "")))
        return {
            "id": track,
            "audio": audio.find(named),
            "artist": artist[1] if artist else row.get("artist_id"),
            "split": split,
            "tags": read_tags(row.get("tags", [])),
        }

    return songs_of_rows(path, read_table(path, "track_id", quoted=False, repeats=True), fields_of)


def track_number(row: Fields) -> str:
    """Returns the number of a row's track; a ValueError where it has none."""
    name = needed_name(row, "track_id")
    number = _NUMBER.fullmatch(name)
    if number is None:
        raise ValueError(f"its track_id is {shown(name)}, not such as track_0000948")
    return number[1]


def read_splits(table: Path) -> dict[str, str]:
    """Returns the split of each track by number, from the tables of splits beside a table; empty where there are none.

    Raises:
        DataError: one of them cannot be read, or has a row that cannot.
    """
    folder = table.parent / SPLIT_FOLDER
    family = next((name for name in (table.stem, BASE) if is_file(folder / f"{name}-train.tsv")), BASE)
    found: dict[str, str] = {}
    for split in SPLITS:
        path = folder / f"{family}-{split}.tsv"
        if not is_file(path):
            continue
        for number, row in read_table(path, "track_id", quoted=False, repeats=True):
            try:
                track = track_number(row) if isinstance(row, dict) else ""
                reason = row if isinstance(row, str) else f"{track} is in {found[track]}, too" if track in found else ""
            except ValueError as error:
                reason = str(error)
            if reason:
                raise DataError(f"{path}, line {number}: {reason}", "fetch the file again")
            found[track] = split
    return found


def read_tags(given: list[str]) -> dict[str, str]:
    """Returns tags such as `genre---rock` by category, several with commas between; a ValueError where one has none."""
    tags: dict[str, list[str]] = defaultdict(list)
    for text in given:
        tag = _TAG.fullmatch(text)
        if tag is None:
            raise ValueError(f"its tag {shown(text)} is none such as genre---rock")
        if tag[2] not in tags[tag[1]]:
            tags[tag[1]].append(tag[2])
    return {category: ", ".join(values) for category, values in tags.items()}
