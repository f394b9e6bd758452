"""Near-duplicates of a corpus: songs with the same title and artist, the same lyrics, or the same audio.

Audio is compared without reading all of it: by length, then by a sample, then by the content.
"""

import hashlib
import os
import re
import stat
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from recap_cli.corpus.mel_cache import LARGEST, hash_file
from recap_cli.corpus.splits import ListedSong, short_hash
from recap_cli.errors import DataError

SAMPLE = 4096  # bytes at three places of a file; songs of like length hardly ever share them
_MARKS = re.compile(r"[\W_]+")
_ID3_HEADER, _ID3_FOOTER, _APE_FOOTER = 10, 128, 32


def join_kin(songs: Sequence[ListedSong]) -> None:
    """Gives near-duplicates, and copies of one song, the same `kin`: the number of the first of them."""
    parents = list(range(len(songs)))
    first: dict[bytes, int] = {}

    def root(number: int) -> int:
        while parents[number] != number:
            parents[number] = parents[parents[number]]
            number = parents[number]
        return number

    def mark(number: int, sign: bytes) -> None:
        one, other = sorted((root(number), root(first.setdefault(sign, number))))
        parents[other] = one

    for number, song in enumerate(songs):
        for sign in duplicate_marks(song):
            mark(number, sign)
    for number, content in same_audio([song.song.audio for song in songs]):
        mark(number, short_hash(f"audio {content}"))
    for number, song in enumerate(songs):
        song.kin = root(number)


def duplicate_marks(listed: ListedSong) -> Iterator[bytes]:
    """Yields short marks that a song shares with its near-duplicates and copies."""
    song = listed.song
    yield short_hash(f"song {listed.original or song.id}")
    title, artist, lyrics = simplify(song.title), simplify(song.artist), simplify(song.lyrics)
    if title and artist:
        yield short_hash(f"title {title} / {artist}")
    if lyrics:
        yield short_hash(f"lyrics {lyrics}")


def simplify(text: str) -> str:
    """Returns letters and digits only, in lower case."""
    return _MARKS.sub("", text.casefold())


def same_audio(files: Sequence[str]) -> Iterator[tuple[int, str]]:
    """Yields the number of each file that shares its audio with another, and the hash of that audio.

    Audio is the same where the bytes of two files are; of mp3 and FLAC, where they differ in their tags only.
    Files that are not there, or cannot be read, are left to those who decode them.
    """
    lengths: dict[int, list[int]] = defaultdict(list)
    for number, file in enumerate(files):
        with suppress(OSError, ValueError):
            if file and 0 < (length := audio_length(Path(file))) <= LARGEST:
                lengths[length].append(number)
    samples: dict[bytes, list[int]] = defaultdict(list)
    for number in shared(lengths.values()):
        with suppress(OSError, ValueError):
            samples[sample(Path(files[number]))].append(number)
    known: dict[str, str] = {}  # files that stand in the corpus twice are read once
    for number in shared(samples.values()):
        file = files[number]
        with suppress(OSError, ValueError, DataError):
            if file not in known:
                known[file] = content(Path(file))
            yield number, known[file]


def shared(groups: Iterable[list[int]]) -> Iterator[int]:
    """Yields the members of groups that have more than one."""
    for group in groups:
        yield from group if len(group) > 1 else ()


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
