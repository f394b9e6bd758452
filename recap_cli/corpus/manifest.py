"""Song and caption records, and the JSON lines they are kept in."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
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


def read_json_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Read JSON lines one at a time; blank lines are passed over."""
    with path.open(encoding="utf-8") as file:
        for line in file:
            if line.strip():
                yield json.loads(line)
