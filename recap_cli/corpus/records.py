"""Lines of `songs.jsonl` and `captions.jsonl`, read strictly: a ValueError says what is wrong, nothing is guessed."""

import json
import math
import unicodedata
from typing import Any

DECODER = json.JSONDecoder()
TEXTS = ("id", "audio", "lyrics", "split", "title", "artist")
SONG_KEYS = {*TEXTS, "tags"}
LARGEST_VOTE = 2**53
# Letters and signs without any ink: Braille's empty cell and Hangul's fillers.
EMPTY_SIGNS = frozenset("\u2800\u3164\u115f\u1160\uffa0")


def is_blank(text: str) -> bool:
    """Whether a text shows nothing: spaces, control and format characters, lone marks, signs without ink."""
    if text[:1].isascii() and text[:1].isalnum():
        return False  # nearly every caption
    return all(sign in EMPTY_SIGNS or unicodedata.category(sign)[0] in "ZCM" for sign in text)


def read_song_record(line: bytes) -> dict[str, Any]:
    """Returns a line of `songs.jsonl`: song, mel and seconds.

    Raises:
        ValueError: a value is missing or of the wrong kind.
    """
    record = read_object(line)
    song, mel = record.get("song"), record.get("mel")
    seconds: Any = record.get("seconds")
    if type(song) is not dict:
        raise ValueError("song is no object")
    check_song(song)
    if type(mel) is not str:
        raise ValueError("mel is no text")
    if not (type(seconds) in (int, float) and 0 <= seconds < math.inf):
        raise ValueError("seconds is no length")
    return record


def check_song(song: dict[str, Any]) -> None:
    """Refuses a song that is not as `song_to_json` writes it.

    Raises:
        ValueError: a value is missing, unknown or of the wrong kind.
    """
    for name in TEXTS:
        if type(song.get(name, None if name in ("id", "audio", "lyrics") else "")) is not str:
            raise ValueError(f"song.{name} is no text")
    if not song["id"]:
        raise ValueError("song.id is empty")
    if not song.keys() <= SONG_KEYS:
        raise ValueError(f"song has the unknown key {min(song.keys() - SONG_KEYS)!r}")
    tags = song.get("tags", {})
    if type(tags) is not dict or not all(type(value) is str for value in tags.values()):
        raise ValueError("song.tags are no texts by name")


def read_caption_record(line: bytes) -> dict[str, Any]:
    """Returns a line of `captions.jsonl`: song, text and votes.

    Raises:
        ValueError: a value is missing or of the wrong kind.
    """
    record = read_object(line)
    for name in ("song", "text"):
        if type(record.get(name)) is not str:
            raise ValueError(f"{name} is no text")
    votes = record.get("votes")
    if votes is not None and (type(votes) is not int or abs(votes) > LARGEST_VOTE):
        raise ValueError("votes is no count")
    return record


def read_object(line: bytes) -> dict[str, Any]:
    """Returns a line's JSON object.

    Raises:
        ValueError: it is none, or holds text that UTF-8 cannot write.
    """
    try:
        text = line.decode()
        record: Any = DECODER.decode(text)
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 at byte {error.start + 1}") from error
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if type(record) is not dict:
        raise ValueError("no JSON object")
    if "\\ud" in text.lower():  # half a pair of surrogates, which no tokenizer takes
        try:
            json.dumps(record, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise ValueError("half a character, as \\ud83d alone is") from error
    return record
