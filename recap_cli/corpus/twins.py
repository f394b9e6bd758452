"""Songs whose files hold the same audio, found without reading all of them: by length, a sample, then the content."""

import hashlib
import os
import sqlite3
import stat
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from recap_cli.corpus.mel_cache import LARGEST, hash_file
from recap_cli.errors import DataError

SAMPLE = 4096  # bytes at three places of a file; songs of like length hardly ever share them
_ID3_HEADER, _ID3_FOOTER, _APE_FOOTER = 10, 128, 32


def same_audio(db: sqlite3.Connection) -> Iterator[tuple[bytes, int]]:
    """Gives a mark and a song's position for every song that shares its audio with another.

    Audio is the same where the bytes of two files are; of mp3 and FLAC, where they differ in their tags only.
    Files that are not there, or cannot be read, are left to those who decode them.

    Args:
        db: a catalogue's data base, with a table `songs`.
    """
    db.execute("CREATE TEMP TABLE lengths (length INTEGER, song INTEGER, audio TEXT)")
    rows = db.execute("SELECT position, audio FROM songs WHERE audio != ''")
    db.executemany("INSERT INTO lengths VALUES (?, ?, ?)", measured(rows))
    shared = "SELECT length FROM lengths GROUP BY length HAVING count(*) > 1"
    found = db.execute(
        f"SELECT length, song, audio FROM lengths WHERE length IN ({shared}) ORDER BY length, song"
    ).fetchall()
    db.execute("DROP TABLE lengths")
    samples: dict[bytes, list[tuple[int, str]]] = defaultdict(list)
    for _, song, audio in found:
        with suppress(OSError, ValueError):
            samples[sample(Path(audio))].append((song, audio))
    for group in samples.values():
        if len(group) > 1:
            yield from marked(group)


def measured(songs: Iterator[tuple[int, str]]) -> Iterator[tuple[int, int, str]]:
    """Gives the length of each song's audio in bytes, its position and its file."""
    for position, audio in songs:
        with suppress(OSError, ValueError):
            length = audio_length(Path(audio))
            if 0 < length <= LARGEST:
                yield length, position, audio


def marked(group: list[tuple[int, str]]) -> Iterator[tuple[bytes, int]]:
    """Gives the hash of each song's audio as a mark; files that stand in the group twice are read once."""
    known: dict[str, bytes] = {}
    for song, audio in group:
        with suppress(OSError, ValueError, DataError):
            if audio not in known:
                known[audio] = f"audio {content(Path(audio))}".encode()
            yield known[audio], song


def audio_length(path: Path) -> int:
    """Returns how many bytes of a file are audio: all but the tags of mp3 and FLAC; 0 for a pipe or a device."""
    found = os.stat(path)  # noqa: PTH116  a million of them
    if not stat.S_ISREG(found.st_mode):
        return 0
    if path.suffix.lower() not in (".mp3", ".flac"):
        return found.st_size
    first, last = audio_bounds(path)
    return last - first


def audio_bounds(path: Path) -> tuple[int, int]:
    """Returns where the audio of a file begins and ends: behind ID3v2 or FLAC's blocks, before APE and ID3v1."""
    with path.open("rb") as file:
        end = file.seek(0, 2)
        file.seek(0)
        start = file.read(_ID3_HEADER)
        if path.suffix.lower() == ".flac":
            return (flac_frames(file) if start[:4] == b"fLaC" else 0), end
        if path.suffix.lower() != ".mp3":
            return 0, end
        first = id3_size(start) if start[:3] == b"ID3" else 0
        if end - first >= _ID3_FOOTER and tail(file, end, _ID3_FOOTER)[:3] == b"TAG":
            end -= _ID3_FOOTER
        footer = tail(file, end, _APE_FOOTER) if end - first >= _APE_FOOTER else b""
        if footer[:8] == b"APETAGEX":
            has_header = footer[23] >> 7  # the top bit of the flags
            end -= int.from_bytes(footer[12:16], "little") + _APE_FOOTER * has_header
        return (first, end) if first < end else (0, file.seek(0, 2))


def id3_size(header: bytes) -> int:
    """Returns the bytes of an ID3v2 tag: its size has 7 bits a byte, and leaves header and footer out."""
    size = 0
    for byte in header[6:10]:
        size = size << 7 | byte & 0x7F
    return size + _ID3_HEADER * (2 if header[5] & 0x10 else 1)


def flac_frames(file: BinaryIO) -> int:
    """Returns where the frames of a FLAC file begin: behind its blocks of settings, tags and pictures."""
    place = 4
    for _ in range(1000):
        file.seek(place)
        header = file.read(4)
        if len(header) < 4:
            return 0
        place += 4 + int.from_bytes(header[1:], "big")
        if header[0] & 0x80:
            return place
    return 0


def tail(file: BinaryIO, end: int, size: int) -> bytes:
    """Returns the last bytes before a place."""
    file.seek(end - size)
    return file.read(size)


def sample(path: Path) -> bytes:
    """Returns a hash of the length of a file's audio and of three pieces of it."""
    first, last = audio_bounds(path)
    digest = hashlib.blake2b(str(last - first).encode(), digest_size=16)
    with path.open("rb") as file:
        for place in (first, (first + last) // 2, max(first, last - SAMPLE)):
            file.seek(place)
            digest.update(file.read(min(SAMPLE, last - place)))
    return digest.digest()


def content(path: Path) -> str:
    """Returns the hash of a file's audio; where it has no tags, the one that its mel is kept under."""
    first, last = audio_bounds(path)
    if first == 0 and last == path.stat().st_size:
        return hash_file(path)
    digest = hashlib.sha256()
    with path.open("rb") as file:
        file.seek(first)
        while first < last and (block := file.read(min(1 << 20, last - first))):
            digest.update(block)
            first += len(block)
    return digest.hexdigest()
