"""Song and caption records, and the JSON files they are kept in."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

SPLITS = ("train", "validation", "test")
SPLIT_NAMES = {"val": "validation", "valid": "validation", "dev": "validation", "eval": "test"}


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
        warnings: what was odd with its texts while they were read; not kept.
    """

    id: str
    audio: str
    lyrics: str
    captions: tuple[Caption, ...] = ()
    split: str = ""
    title: str = ""
    artist: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Rejected:
    """A song that cannot be used: its id (or line), its file, and the reason."""

    song: str
    file: str
    reason: str


def split_name(given: Any) -> str:
    """Give a split's name as we write it: `val` and `dev` are `validation`, `eval` is `test`."""
    name = str(given or "").strip().lower()
    return SPLIT_NAMES.get(name, name)


def song_to_json(song: Song) -> dict[str, Any]:
    """Give a song as plain JSON values, captions left out (they live in `captions.jsonl`)."""
    record = asdict(song)
    del record["captions"], record["warnings"]
    return record


def song_from_json(record: dict[str, Any], captions: Iterable[Caption] = ()) -> Song:
    """Make a song from `song_to_json`'s values and its captions."""
    return Song(**record, captions=tuple(captions))


def read_json_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Read JSON lines one at a time; blank lines are passed over."""
    with path.open(encoding="utf-8") as file:
        for line in file:
            if line.strip():
                yield json.loads(line)
