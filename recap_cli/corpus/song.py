"""Songs and captions, and their lines in `songs.jsonl` and `captions.jsonl`, read strictly: nothing is guessed."""

import json
import math
import unicodedata
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

SPLITS = ("train", "validation", "test")
SPLIT_NAMES = {"val": "validation", "valid": "validation", "dev": "validation", "eval": "test"}
TEXTS = ("id", "audio", "lyrics", "split", "title", "artist")
LARGEST_VOTE = 2**53
# Letters and signs without any ink: Braille's empty cell and Hangul's fillers.
EMPTY_SIGNS = frozenset("\u2800\u3164\u115f\u1160\uffa0")


@dataclass(frozen=True)
class Caption:
    """One text that says what a song is about."""

    text: str
    votes: int | None = None  # readers' votes for it, None where the corpus has none
    made: bool = False  # by a template of the song's tags: nothing to compare with


@dataclass(frozen=True)
class Song:
    """One song as every reader gives it."""

    id: str  # unique in its corpus
    audio: str  # path of the audio file; "" where the corpus renders its audio
    lyrics: str  # clean, a line a line; "" for an instrumental
    captions: tuple[Caption, ...] = ()
    split: str = ""  # one of `SPLITS`, another name a corpus gives (the demo has `unseen`), or "" for "not decided"
    title: str = ""
    artist: str = ""
    tags: dict[str, str] = field(default_factory=dict)  # attribute to value, for example {"mode": "minor"}
    warnings: tuple[str, ...] = ()  # what was odd with its texts while they were read; not kept
    # Seconds at which it begins and ends in its audio, None for "as long as the excerpt is"; None: it is all of it.
    excerpt: tuple[float, float | None] | None = None


@dataclass(frozen=True)
class Rejected:
    """A song that cannot be used: its id (or line), its file, and the reason."""

    song: str
    file: str
    reason: str


def split_name(given: object) -> str:
    """Returns a split's name as we write it: `val` and `dev` are `validation`, `eval` is `test`."""
    name = str(given or "").strip().lower()
    return SPLIT_NAMES.get(name, name)


def is_unicode(text: str) -> bool:
    """Whether a string can be written as UTF-8; undecodable file names and broken JSON escapes cannot."""
    return visible(text) == text


def visible(text: str) -> str:
    """Returns a text with question marks for what cannot be written as UTF-8."""
    return text.encode("utf-8", "replace").decode("utf-8")


def shows_nothing(text: str) -> bool:
    """Whether a text is invisible: spaces, control and format characters, lone marks, signs without ink."""
    if text[:1].isascii() and text[:1].isalnum():
        return False  # nearly every caption
    return all(sign in EMPTY_SIGNS or unicodedata.category(sign)[0] in "ZCM" for sign in text)


# JSON lines -----------------------------------------------------------------------------------------------------------


def song_to_json(song: Song) -> dict[str, Any]:
    """Returns a song as plain JSON values, captions left out (they live in `captions.jsonl`)."""
    record = asdict(song)
    del record["captions"], record["warnings"]
    if song.excerpt is None:
        del record["excerpt"]
    return record


def song_from_json(record: dict[str, Any], captions: Iterable[Caption] = ()) -> Song:
    """Returns the song of `song_to_json`'s values, with its captions."""
    excerpt = record.get("excerpt")
    fields = record if excerpt is None else {**record, "excerpt": tuple(excerpt)}
    return Song(**fields, captions=tuple(captions))


def caption_to_json(song: str, caption: Caption) -> dict[str, Any]:
    """Returns a song's caption as plain JSON values."""
    made = {"made": True} if caption.made else {}
    return {"song": song, "text": caption.text, "votes": caption.votes, **made}


def read_song_line(line: bytes) -> tuple[Song, str, float]:
    """Returns the song of a line of `songs.jsonl`, without captions, the key of its mel, and the mel's seconds.

    Raises:
        ValueError: a value is missing, unknown or of the wrong kind.
    """
    record = _read_object(line)
    song, mel = record.get("song"), record.get("mel")
    seconds: Any = record.get("seconds")
    if type(song) is not dict:
        raise ValueError("song is no object")
    _check_song(song)
    if type(mel) is not str:
        raise ValueError("mel is no text")
    if not (type(seconds) in (int, float) and 0 <= seconds < math.inf):
        raise ValueError("seconds is no length")
    return song_from_json(song), mel, seconds


def _check_song(song: dict[str, Any]) -> None:
    for name in TEXTS:
        if type(song.get(name, None if name in ("id", "audio", "lyrics") else "")) is not str:
            raise ValueError(f"song.{name} is no text")
    if not song["id"]:
        raise ValueError("song.id is empty")
    _check_excerpt(song.get("excerpt"))
    if unknown := song.keys() - {*TEXTS, "tags", "excerpt"}:
        raise ValueError(f"song has the unknown key {min(unknown)!r}")
    tags = song.get("tags", {})
    if type(tags) is not dict or not all(type(value) is str for value in tags.values()):
        raise ValueError("song.tags are no texts by name")


def _check_excerpt(excerpt: Any) -> None:
    """Refuses what is no pair of seconds, the second of them later or null."""
    if excerpt is None:
        return
    start, end = excerpt if type(excerpt) is list and len(excerpt) == 2 else (-1.0, None)
    last = math.inf if end is None else end
    if not (isinstance(start, int | float) and isinstance(last, int | float) and 0 <= start < last):
        raise ValueError("song.excerpt is no part of a song")


def read_caption_line(line: bytes) -> tuple[str, Caption]:
    """Returns the song's id and the caption of a line of `captions.jsonl`.

    Raises:
        ValueError: a value is missing or of the wrong kind.
    """
    record = _read_object(line)
    for name in ("song", "text"):
        if type(record.get(name)) is not str:
            raise ValueError(f"{name} is no text")
    votes = record.get("votes")
    if votes is not None and (type(votes) is not int or abs(votes) > LARGEST_VOTE):
        raise ValueError("votes is no count")
    if type(record.get("made", False)) is not bool:
        raise ValueError("made is neither true nor false")
    return record["song"], Caption(record["text"], votes, record.get("made", False))


def _read_object(line: bytes) -> dict[str, Any]:
    """Returns a line's JSON object, or refuses what is none or holds text that UTF-8 cannot write."""
    try:
        text = line.decode()
        record = json.loads(text)
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 at byte {error.start + 1}") from error
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if type(record) is not dict:
        raise ValueError("no JSON object")
    # Half a pair of surrogates, which no tokenizer takes; a quick look spares most lines the second coding.
    if "\\ud" in text.lower() and not is_unicode(json.dumps(record, ensure_ascii=False)):
        raise ValueError("half a character, as \\ud83d alone is")
    return record
