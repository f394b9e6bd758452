"""Manifests (.csv, .tsv, .jsonl): a row a song, or a row a caption."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from recap_cli.corpus.folders import CorpusRoot
from recap_cli.corpus.song import Caption, Rejected, Song, split_name
from recap_cli.errors import DataError, RecapError
from recap_cli.escaping import is_unicode
from recap_cli.lyrics.reader import Lyrics, lyrics_of_text, read_lyrics
from recap_cli.tables.cells import is_missing, read_list, read_name, read_seconds, read_votes, shown, spelled
from recap_cli.tables.columns import RenamedColumns
from recap_cli.tables.rows import read_rows
from recap_cli.tables.text_files import Row

MANIFEST_SUFFIXES = (".csv", ".tsv", ".jsonl")
MOST_CAPTIONS = 10_000  # of one song
LONGEST_ID = 1000
TIMES = ("start_time", "end_time")  # seconds
# What --columns may say of a table of songs.
ROLES = (
    "id",
    "audio",
    "lyrics",
    "lyrics_file",
    "caption",
    "captions",
    "votes",
    "split",
    "title",
    "artist",
    "tags",
    *TIMES,
)
ROW_ERRORS = (RecapError, ValueError, TypeError, OverflowError, RecursionError)  # of a row that cannot be used
# Between tags, the strongest first; a hash counts at the beginning of a word only, as in C# minor.
_TAG_MARKS = (";", "[,，、]", r"\|", "\n", r"(?:^|\s)#")
_PAIR = re.compile(r"([^=:]+?)\s*(?:[=:](.*))?", re.DOTALL)


def read_manifest(path: Path, audio: CorpusRoot, columns: Mapping[str, str] | None = None) -> Iterator[Song | Rejected]:
    """Reads a manifest, a row at a time: id, audio, lyrics or lyrics_file, caption or captions.

    Optional columns: votes, split, title, artist, tags, and start_time and end_time where a row is about a part of
    its audio. Rows of one id that follow each other are one song.

    Args:
        path: the file.
        audio: where the audio may lie.
        columns: what a column holds and its name in the file, where that is another.

    Raises:
        DataError: the file cannot be read as a table, or has no column `audio`.
    """
    beside, named = CorpusRoot(path.parent, audio.follow_outside), RenamedColumns(columns or {})
    rows = read_rows(path, named.columns.get("audio", "audio"))
    renamed = ((number, row if isinstance(row, str) else named.apply(row)) for number, row in rows)
    yield from join_songs(song_from_row(row, number, path, audio, beside) for number, row in renamed)
    named.check(path)


def join_songs(entries: Iterator[Song | Rejected]) -> Iterator[Song | Rejected]:
    """Joins neighbouring rows of one song, which share id, audio and split."""
    first: Song | None = None
    captions: list[Caption] = []
    for entry in entries:
        if isinstance(entry, Song) and first is not None and _is_same_song(entry, first):
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


def _is_same_song(one: Song, other: Song) -> bool:
    return (one.id, one.audio, one.split, one.excerpt) == (other.id, other.audio, other.split, other.excerpt)


def song_from_row(row: Row, number: int, path: Path, audio: CorpusRoot, beside: CorpusRoot) -> Song | Rejected:
    """Returns the song of a manifest's row; `audio` and `beside` are where its audio and its lyrics files may lie."""
    line = f"{path.name}, line {number}"
    if isinstance(row, str):
        return Rejected(line, str(path), row)
    named = row.get("audio")
    if not named or (isinstance(named, str) and named.isspace()):
        return Rejected(line, str(path), "the row names no audio")
    if not isinstance(named, str):
        return Rejected(line, str(path), f"its audio is {shown(named)}, not the name of a file")
    file = audio.find(named)
    name = named
    try:
        name = read_name(row.get("id"), "id") or with_times(named, row)
        if file is None:
            return Rejected(name[:LONGEST_ID], named, f"the audio lies outside {audio.folder}")
        if len(name) > LONGEST_ID and row.get("id"):
            raise ValueError(f"its id has over {LONGEST_ID} characters")
        return song_of_fields(row, name, str(file), beside)
    except ROW_ERRORS as error:
        return Rejected(name[:LONGEST_ID], named if file is None else str(file), str(error))


def song_of_fields(row: dict[str, Any], name: str, audio: str, beside: CorpusRoot) -> Song:
    """Returns the song of a row whose id and audio are known; one of `ROW_ERRORS` where a field cannot be used."""
    lyrics = read_row_lyrics(row, beside)
    split = row.get("split")
    return Song(
        id=name,
        audio=audio,
        lyrics=lyrics.text,
        captions=read_row_captions(row),
        split="" if is_missing(split) else split_name(read_name(split, "split")),
        title=read_name(row.get("title"), "title"),
        artist=read_name(row.get("artist"), "artist"),
        tags=_tags(row.get("tags")),
        warnings=lyrics.warnings,
        excerpt=read_times(row),
    )


def read_times(row: dict[str, Any]) -> tuple[float, float | None] | None:
    """Returns the part of its audio that a row is about, by `start_time` and `end_time`; None where it has neither."""
    start, end = (read_seconds(row.get(name), name) for name in TIMES)
    if start is None and end is None:
        return None
    if end is not None and end <= (start or 0.0):
        raise ValueError(f"its end_time {end:g} is not behind its start_time {start or 0:g}")
    return start or 0.0, end


def with_times(name: str, row: dict[str, Any]) -> str:
    """Returns the name of a row without an id: its audio's, with the times where it is about a part."""
    times = read_times(row)
    return name if times is None else f"{name}@{times[0]:g}-{'' if times[1] is None else format(times[1], 'g')}"


def read_row_lyrics(row: dict[str, Any], beside: CorpusRoot) -> Lyrics:
    """Returns a row's lyrics, inline or from a file beside the manifest."""
    named = row.get("lyrics_file")
    if not is_missing(named):
        file = beside.find(str(named))
        if file is None:
            raise DataError(f"the lyrics lie outside {beside.folder}")
        return read_lyrics(file)
    lyrics = row.get("lyrics")
    if is_missing(lyrics):
        return Lyrics("")
    if not isinstance(lyrics, str) or isinstance(spelled(lyrics), list):
        raise ValueError("its lyrics are no text")
    return lyrics_of_text(lyrics)


def read_row_captions(row: dict[str, Any]) -> tuple[Caption, ...]:
    """Returns a row's captions: a text, or a list of texts or of objects with text and votes, in JSON or as a cell."""
    several, one = (_entries(row.get(name)) for name in ("captions", "caption"))
    found = [_caption(entry, row) for entry in several]
    known = {caption.text for caption in found}
    found += [caption for caption in (_caption(entry, row) for entry in one) if caption.text not in known]
    if len(found) > MOST_CAPTIONS:
        raise ValueError(f"the song has over {MOST_CAPTIONS:,} captions")
    return tuple(found)


def _entries(given: object) -> list[Any]:
    """Returns the entries of a list, of an object with a text, or of a cell that spells one; a blank cell is one."""
    if is_missing(given) and not (isinstance(given, str) and given.isspace()):
        return []
    found = spelled(given) if isinstance(given, str) else given
    return [found] if isinstance(found, dict) else read_list(given)


def _caption(entry: object, row: dict[str, Any]) -> Caption:
    fields = entry if isinstance(entry, dict) else {"text": entry, "votes": row.get("votes")}
    text = fields.get("text")
    if not isinstance(text, str) or (text.strip() and is_missing(text)):
        raise ValueError("a caption has no text")
    if not is_unicode(text):
        raise ValueError("a caption holds half a character")
    return Caption(text, read_votes(fields.get("votes")))


def _tags(given: object) -> dict[str, str]:
    """Returns a row's tags by name, in any of the spellings that people use; a bare word such as `slow` is "yes".

    `tempo=slow;mood=sad`, `tempo: slow, mood: sad`, `slow, sad`, `slow | sad`, `#slow #sad`, a list of such, an object.
    """
    if is_missing(given):
        return {}
    found = spelled(given) if isinstance(given, str) else given
    if isinstance(found, dict):
        return {str(key).strip(): _tag(value) for key, value in found.items() if value is not None}
    tags = read_list(found) if isinstance(found, list) else _split_tags(_tag(given))
    pairs = (_PAIR.fullmatch(_tag(tag).strip().lstrip("#")) for tag in tags)
    return {pair[1]: (pair[2] or "").strip() or "yes" for pair in pairs if pair is not None}


def _split_tags(text: str) -> list[str]:
    """Splits a text at the strongest mark that it holds, so that `mood=sad, tender; tempo=slow` are two tags."""
    mark = next((mark for mark in _TAG_MARKS if re.search(mark, text)), None)
    return re.split(mark, text) if mark else [text]


def _tag(value: object) -> str:
    """Returns a tag's name or value, or refuses a list, an object, or half a character."""
    if not isinstance(value, str | int | float) or not is_unicode(str(value)):
        raise ValueError(f"a tag is {shown(value)}, not a text")
    return "yes" if value is True else str(value)
