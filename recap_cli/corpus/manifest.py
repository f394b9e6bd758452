"""Song and caption records, and the JSON lines they are kept in."""

import json
import random
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Caption:
    """One text that says what a song is about.

    Attributes:
        text: the caption.
        votes: readers' votes for it, None where the corpus has none.
    """

    text: str
    votes: int | None = None


@dataclass(frozen=True)
class Song:
    """One song as every reader gives it.

    Attributes:
        id: unique in its corpus.
        audio: path of the audio file; empty where the corpus renders its audio.
        lyrics: clean lyrics text, lines separated by newlines; empty for an instrumental.
        captions: all captions of the song, possibly none.
        split: one of `SPLITS`, another name a corpus gives (the demo has `unseen`), or "" for "not decided".
        title: the title, or "".
        artist: the artist, or "".
        tags: attribute name to value, for example {"mode": "minor"}.
    """

    id: str
    audio: str
    lyrics: str
    captions: tuple[Caption, ...] = ()
    split: str = ""
    title: str = ""
    artist: str = ""
    tags: dict[str, str] = field(default_factory=dict)


def song_to_json(song: Song) -> dict[str, Any]:
    """Give a song as plain JSON values, captions left out (they live in `captions.jsonl`)."""
    record = asdict(song)
    del record["captions"]
    return record


def song_from_json(record: dict[str, Any], captions: Iterable[Caption] = ()) -> Song:
    """Make a song from `song_to_json`'s values and its captions."""
    return Song(**record, captions=tuple(captions))


def write_json_lines(path: Path, records: Iterable[dict[str, Any]]) -> None:
    """Write records as JSON lines, atomically: the file appears whole or not at all."""
    partial = path.with_name(path.name + ".partial")
    with partial.open("w", encoding="utf-8") as file:
        for record in records:
            file.write(json.dumps(record, ensure_ascii=False) + "\n")
    partial.replace(path)


def write_json(path: Path, value: Any) -> None:
    """Write a JSON document, atomically."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    partial.replace(path)


def read_json_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Read JSON lines one at a time; blank lines are passed over."""
    with path.open(encoding="utf-8") as file:
        for line in file:
            if line.strip():
                yield json.loads(line)


def assign_splits(songs: list[Song], seed: int) -> list[Song]:
    """Give a split to every song that has none: 80 % train, 10 % validation, 10 % test.

    Songs with the same lyrics, or the same title and artist, go the same way.
    """
    parents: dict[str, str] = {}

    def find(key: str) -> str:
        while parents.setdefault(key, key) != key:
            key = parents[key]
        return key

    open_songs = [song for song in songs if not song.split]
    for song in open_songs:
        for key in duplicate_keys(song):
            parents[find(key)] = find(song.id)
    groups = sorted({find(song.id) for song in open_songs})
    random.Random(seed).shuffle(groups)
    tenth = max(1, round(len(groups) / 10)) if len(groups) >= 3 else 0
    split_of = {
        group: "test" if place < tenth else "validation" if place < 2 * tenth else "train"
        for place, group in enumerate(groups)
    }
    return [song if song.split else replace(song, split=split_of[find(song.id)]) for song in songs]


def duplicate_keys(song: Song) -> list[str]:
    """Keys that near-duplicates of a song share with it."""
    keys = [song.id]
    title, artist, lyrics = simplify(song.title), simplify(song.artist), simplify(song.lyrics)
    if title and artist:
        keys.append(f"title {title} / {artist}")
    if lyrics:
        keys.append(f"lyrics {lyrics}")
    return keys


def simplify(text: str) -> str:
    """Keep letters and digits only, in lower case."""
    return "".join(character for character in text.casefold() if character.isalnum())
