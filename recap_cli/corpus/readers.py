"""Readers of the corpora people have; each gives the same song records, or says why an entry is none."""

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recap_cli.corpus.manifest import Caption, Song
from recap_cli.errors import DataError, RecapError
from recap_cli.lyrics import clean_lyrics, read_lyrics

AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".opus", ".mp3", ".aiff", ".aif", ".m4a", ".aac", ".mp4", ".webm")
LYRICS_SUFFIXES = (".txt", ".lrc")
MANIFEST_SUFFIXES = (".csv", ".tsv", ".jsonl")
SPLIT_NAMES = {"val": "validation", "valid": "validation", "dev": "validation", "eval": "test"}


@dataclass(frozen=True)
class Rejected:
    """A song that cannot be used: its id (or line), its file, and the reason."""

    song: str
    file: str
    reason: str


def read_corpus(source: Path, audio: Path | None = None) -> Iterator[Song | Rejected]:
    """Recognise a corpus and read it.

    Args:
        source: a manifest (.csv, .tsv, .jsonl) or a folder of songs.
        audio: where audio paths of a manifest start; by default the manifest's own folder.

    Raises:
        DataError: there is nothing there, or nothing that is recognised.
    """
    if source.is_dir():
        return read_folder(source)
    if not source.is_file():
        raise DataError(f"no corpus at {source}", "give a manifest (.csv, .tsv, .jsonl) or a folder of songs")
    if source.suffix.lower() in MANIFEST_SUFFIXES:
        return read_manifest(source, audio or source.parent)
    raise DataError(
        f"{source} is not recognised as a corpus",
        f"looked for a manifest ({', '.join(MANIFEST_SUFFIXES)}) or a folder of songs with lyrics beside them",
    )


def read_folder(folder: Path) -> Iterator[Song | Rejected]:
    """Read a folder of songs: song.mp3 beside song.txt or song.lrc, optionally song.caption.txt, at any depth.

    Raises:
        DataError: there is no audio in it.
    """
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in AUDIO_SUFFIXES and path.is_file())
    if not files:
        raise DataError(f"{folder} holds no songs", f"looked for audio files: {', '.join(AUDIO_SUFFIXES)}")
    for path in files:
        name = path.relative_to(folder).as_posix()
        if not is_text(str(path)):
            yield Rejected(visible(name), visible(str(path)), "the file's name is not Unicode")
            continue
        try:
            yield Song(name, str(path), lyrics_beside(path) or "", captions_beside(path), title=path.stem)
        except RecapError as error:
            yield Rejected(name, str(path), error.message)


def lyrics_beside(audio: Path) -> str | None:
    """Read the .txt or .lrc file with the name of an audio file; None where there is none."""
    for suffix in LYRICS_SUFFIXES:
        path = audio.with_suffix(suffix)
        if path.is_file():
            return read_lyrics(path)
    return None


def captions_beside(audio: Path) -> tuple[Caption, ...]:
    """Read `song.caption.txt`, a caption a line."""
    path = audio.with_suffix(".caption.txt")
    if not path.is_file():
        return ()
    return tuple(Caption(line) for line in read_lyrics(path).splitlines() if line.strip())


def read_manifest(path: Path, audio: Path) -> Iterator[Song | Rejected]:
    """Read a manifest, a row at a time: id, audio, lyrics or lyrics_file, caption or captions.

    Optional columns: votes, split, title, artist, tags. Rows of one id are captions of one song when they follow
    each other.

    Raises:
        DataError: the file is empty, or has no column `audio`.
    """
    pending: Song | None = None
    for number, record in read_rows(path):
        song = song_from_row(record, number, path, audio)
        if isinstance(song, Song) and pending and song.id == pending.id and song.audio == pending.audio:
            pending = Song(**{**vars(pending), "captions": pending.captions + song.captions})
            continue
        if pending:
            yield pending
        pending = song if isinstance(song, Song) else None
        if isinstance(song, Rejected):
            yield song
    if pending:
        yield pending


def read_rows(path: Path) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """Give a manifest's line numbers and rows; a row that cannot be read is given as its error."""
    try:
        with path.open(encoding="utf-8-sig", newline="", errors="replace") as file:
            if path.suffix.lower() == ".jsonl":
                yield from json_rows(file)
                return
            rows = csv.DictReader(file, delimiter="\t" if path.suffix.lower() == ".tsv" else ",")
            if "audio" not in (rows.fieldnames or ()):
                raise DataError(f"{path} has no column audio", "its first line must name the columns: id,audio,lyrics")
            for row in rows:
                yield rows.line_num, {key: value for key, value in row.items() if key and value}
    except csv.Error as error:
        raise DataError(f"{path} cannot be read as a table: {error}", "check its delimiters and quotes") from error
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}", "check the path") from error


def json_rows(lines: Iterator[str] | Any) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """Give the objects of JSON lines; what is no object is given as its error."""
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            yield number, f"no JSON: {error}"
            continue
        if not isinstance(record, dict):
            yield number, "no JSON object"
        elif not is_text(json.dumps(record, ensure_ascii=False)):
            yield number, "it holds half a character (a lone surrogate)"
        else:
            yield number, {key: value for key, value in record.items() if value is not None}


def is_text(text: str) -> bool:
    """Whether a string can be written as UTF-8; undecodable file names and broken JSON escapes cannot."""
    return visible(text) == text


def visible(text: str) -> str:
    """Replace what cannot be written as UTF-8 by question marks."""
    return text.encode("utf-8", "replace").decode("utf-8")


def song_from_row(record: dict[str, Any] | str, number: int, path: Path, audio: Path) -> Song | Rejected:
    """Make a song of a manifest's row."""
    place = f"{path.name}, line {number}"
    if isinstance(record, str):
        return Rejected(place, str(path), record)
    if not record.get("audio"):
        return Rejected(place, str(path), "the row names no audio")
    file = find_inside(audio, str(record["audio"]))
    name = str(record.get("id") or record["audio"])
    if file is None:
        return Rejected(name, str(record["audio"]), f"the audio lies outside {audio}")
    try:
        return Song(
            id=name,
            audio=str(file),
            lyrics=row_lyrics(record, path.parent),
            captions=row_captions(record),
            split=SPLIT_NAMES.get(str(record.get("split", "")).lower(), str(record.get("split", "")).lower()),
            title=str(record.get("title", "")),
            artist=str(record.get("artist", "")),
            tags=row_tags(record.get("tags")),
        )
    except (RecapError, ValueError, TypeError) as error:
        return Rejected(name, str(file), str(error))


def find_inside(folder: Path, name: str) -> Path | None:
    """Join a path of a manifest to its folder; None when it leads out of it."""
    if "\0" in name:
        return None
    file = (folder / name).resolve()
    return file if file.is_relative_to(folder.resolve()) else None


def row_lyrics(record: dict[str, Any], folder: Path) -> str:
    """Give a row's lyrics, inline or from a file beside the manifest."""
    if record.get("lyrics_file"):
        file = find_inside(folder, str(record["lyrics_file"]))
        if file is None:
            raise DataError(f"the lyrics lie outside {folder}")
        return read_lyrics(file)
    lyrics = record.get("lyrics") or ""
    if not isinstance(lyrics, str):
        raise ValueError("its lyrics are no text")
    return clean_lyrics(lyrics)


def row_captions(record: dict[str, Any]) -> tuple[Caption, ...]:
    """Give a row's captions: one text, or a list of texts or of objects with text and votes.

    Raises:
        ValueError: a caption has no text, or votes are no whole number.
    """
    given = record.get("captions") or record.get("caption") or []
    if isinstance(given, str) and given.strip().startswith("[") and given.strip().endswith("]"):
        given = json.loads(given)
    captions = []
    for entry in given if isinstance(given, list) else [given]:
        fields = entry if isinstance(entry, dict) else {"text": entry, "votes": record.get("votes")}
        text, votes = fields.get("text"), fields.get("votes")
        if not isinstance(text, str):
            raise ValueError("a caption has no text")
        captions.append(Caption(text, None if votes in (None, "") else int(votes)))
    return tuple(captions)


def row_tags(given: Any) -> dict[str, str]:
    """Give a row's tags: an object, or text such as `mode=minor;tempo=slow`."""
    if isinstance(given, dict):
        return {str(key): str(value) for key, value in given.items()}
    if isinstance(given, list):
        return {str(tag): "yes" for tag in given}
    pairs = (pair.partition("=") for pair in str(given or "").split(";") if pair.strip())
    return {key.strip(): value.strip() or "yes" for key, _, value in pairs}
