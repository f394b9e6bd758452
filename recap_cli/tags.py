"""Lyrics inside an audio file: ID3 (mp3, wav, aiff), Vorbis comments (flac, ogg, opus) and MP4 atoms."""

from pathlib import Path
from typing import Any

VORBIS_KEYS = ("lyrics", "unsyncedlyrics", "unsynced lyrics")
MP4_KEYS = ("\xa9lyr", "----:com.apple.iTunes:LYRICS", "----:com.apple.iTunes:UNSYNCEDLYRICS")
ASF_KEYS = ("WM/Lyrics",)
LARGEST = 1_000_000  # characters; long songs have some 20,000


def lyrics_in_tags(path: str | Path) -> str | None:
    """Read the lyrics in an audio file's tags, as they stand there; time stamps and section tags are not undone.

    Returns:
        The text, or None where there is none, the file has no tags, or they cannot be read: a song is not refused
        for its tags.
    """
    import mutagen

    try:
        found = mutagen.File(path)
        tags = None if found is None else found.tags
        text = None if tags is None else next((text for text in tagged_texts(tags) if text.strip()), None)
    except Exception:  # damaged tags fail in many ways, and the audio may be sound all the same
        return None
    return None if text is None or len(text) > LARGEST else text


def tagged_texts(tags: Any) -> list[str]:
    """Give every text that a file's tags call lyrics, the likeliest first."""
    if hasattr(tags, "getall"):  # ID3
        spoken = [str(frame.text) for frame in tags.getall("USLT")]
        timed = ["\n".join(line for line, _ in frame.text) for frame in tags.getall("SYLT")]
        named = [
            str(frame.text[0]) for frame in tags.getall("TXXX") if frame.desc.lower() in VORBIS_KEYS and frame.text
        ]
        return spoken + timed + named
    return [text for key in (*VORBIS_KEYS, *MP4_KEYS, *ASF_KEYS) for text in values_of(tags, key)]


def values_of(tags: Any, key: str) -> list[str]:
    """Give the texts under one key; a key that this kind of tags cannot have holds none."""
    try:
        values = tags[key]
    except (KeyError, ValueError):  # ValueError: Vorbis comments know ASCII keys only
        return []
    values = values if isinstance(values, list) else [values]
    return [bytes(value).decode("utf-8", "replace") if isinstance(value, bytes) else str(value) for value in values]
