"""Manifests (.csv, .tsv, .jsonl): a row a song, or a row a caption."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from recap_cli.corpus.manifest import Caption, Rejected, Song, split_name
from recap_cli.corpus.places import Place
from recap_cli.corpus.rows import Row, read_rows
from recap_cli.errors import DataError, RecapError
from recap_cli.lyrics import Lyrics, lyrics_of_text, read_lyrics

MANIFEST_SUFFIXES = (".csv", ".tsv", ".jsonl")
MOST_CAPTIONS = 10_000  # of one song
LARGEST_VOTES = 2**31
LONGEST_ID = 1000


def read_manifest(path: Path, audio: Place) -> Iterator[Song | Rejected]:
    """Read a manifest, a row at a time: id, audio, lyrics or lyrics_file, caption or captions.

    Optional columns: votes, split, title, artist, tags. Rows of one id that follow each other are one song.

    Raises:
        DataError: the file cannot be read as a table, or has no column `audio`.
    """
    beside = Place(path.parent, audio.follow_outside)
    songs = (song_from_row(row, number, path, audio, beside) for number, row in read_rows(path, "audio"))
    yield from join_songs(songs)


def join_songs(entries: Iterator[Song | Rejected]) -> Iterator[Song | Rejected]:
    """Join neighbouring rows of one song; they share id, audio and split."""
    first: Song | None = None
    captions: list[Caption] = []
    for entry in entries:
        if isinstance(entry, Song) and first is not None and same_song(entry, first):
            if len(captions) + len(entry.captions) <= MOST_CAPTIONS:
                captions += entry.captions
                continue
            entry = Rejected(entry.id, entry.audio, f"the song has over {MOST_CAPTIONS:,} captions")
        elif first is not None:
            yield replace(first, captions=tuple(captions))
            first = None
        if isinstance(entry, Song):
            first, captions = entry, list(entry.captions)
        else:
            yield entry
    if first is not None:
        yield replace(first, captions=tuple(captions))


def same_song(one: Song, other: Song) -> bool:
    """Whether two rows are of one song."""
    return (one.id, one.audio, one.split) == (other.id, other.audio, other.split)


def song_from_row(row: Row, number: int, path: Path, audio: Place, beside: Place) -> Song | Rejected:
    """Make a song of a manifest's row."""
    line = f"{path.name}, line {number}"
    if isinstance(row, str):
        return Rejected(line, str(path), row)
    if not row.get("audio"):
        return Rejected(line, str(path), "the row names no audio")
    file = audio.find(str(row["audio"]))
    name = str(row.get("id") or row["audio"])
    if file is None:
        return Rejected(name[:LONGEST_ID], str(row["audio"]), f"the audio lies outside {audio.folder}")
    try:
        if len(name) > LONGEST_ID and row.get("id"):
            raise ValueError(f"its id has over {LONGEST_ID} characters")
        lyrics = row_lyrics(row, beside)
        return Song(
            id=name,
            audio=str(file),
            lyrics=lyrics.text,
            captions=row_captions(row),
            split=split_name(row.get("split")),
            title=str(row.get("title", "")),
            artist=str(row.get("artist", "")),
            tags=row_tags(row.get("tags")),
            warnings=lyrics.warnings,
        )
    except (RecapError, ValueError, TypeError, OverflowError, RecursionError) as error:
        return Rejected(name[:LONGEST_ID], str(file), str(error))


def row_lyrics(row: dict[str, Any], beside: Place) -> Lyrics:
    """Give a row's lyrics, inline or from a file beside the manifest."""
    if row.get("lyrics_file"):
        file = beside.find(str(row["lyrics_file"]))
        if file is None:
            raise DataError(f"the lyrics lie outside {beside.folder}")
        return read_lyrics(file)
    lyrics = row.get("lyrics") or ""
    if not isinstance(lyrics, str):
        raise ValueError("its lyrics are no text")
    return lyrics_of_text(lyrics)


def row_captions(row: dict[str, Any]) -> tuple[Caption, ...]:
    """Give a row's captions: one text, or a list of texts or of objects with text and votes.

    Raises:
        ValueError: a caption has no text, or votes are no whole number.
    """
    given = row.get("captions") or row.get("caption") or []
    if isinstance(given, str) and given.strip().startswith("[") and given.strip().endswith("]"):
        given = json_list(given) if row.get("captions") else json_list(given, given)
    entries = given if isinstance(given, list) else [given]
    if len(entries) > MOST_CAPTIONS:
        raise ValueError(f"the song has over {MOST_CAPTIONS:,} captions")
    return tuple(row_caption(entry, row) for entry in entries)


def json_list(text: str, otherwise: Any = None) -> Any:
    """Read a list that stands in a cell; `otherwise` is what a text in brackets that is no list stands for."""
    try:
        return json.loads(text)
    except ValueError:
        if otherwise is None:
            raise
        return otherwise


def row_caption(entry: Any, row: dict[str, Any]) -> Caption:
    """Make one caption."""
    fields = entry if isinstance(entry, dict) else {"text": entry, "votes": row.get("votes")}
    text, votes = fields.get("text"), fields.get("votes")
    if not isinstance(text, str):
        raise ValueError("a caption has no text")
    if votes in (None, ""):
        return Caption(text)
    if abs(int(votes)) > LARGEST_VOTES:
        raise ValueError("its votes are no number of votes")
    return Caption(text, int(votes))


def row_tags(given: Any) -> dict[str, str]:
    """Give a row's tags: an object, or text such as `mode=minor;tempo=slow`."""
    if isinstance(given, dict):
        return {str(key): str(value) for key, value in given.items()}
    if isinstance(given, list):
        return {str(tag): "yes" for tag in given}
    pairs = (pair.partition("=") for pair in str(given or "").split(";") if pair.strip())
    return {key.strip(): value.strip() or "yes" for key, _, value in pairs}
