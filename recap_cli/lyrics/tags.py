"""Lyrics inside an audio file: ID3, APEv2 and Lyrics3 tags, Vorbis comments, MP4 atoms, ASF attributes."""

import io
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from recap_cli.errors import LyricsError
from recap_cli.lyrics.id3 import TaggedText, TooLargeError, id3_texts, tag_length
from recap_cli.lyrics.reader import Lyrics, lyrics_of_bytes, lyrics_of_text

LARGEST = 1_000_000  # bytes; long songs have some 20,000
LARGEST_COMMENTS = 32_000_000  # bytes of Vorbis comments or an APE tag, pictures included
MOST_READS = 100_000  # of one file's tags; ten hours in fragments take some 60,000
MOST_CHUNKS = 10_000
LONGEST_TITLE = 200  # characters
MOST_COMMENTS = 20_000
# LYRICS, UNSYNCEDLYRICS, "Unsynced lyrics", SYNCEDLYRICS, LYRICS-ENG, WM/Lyrics, but neither LYRICIST nor LYRICS_URL.
_LYRICS_KEY = re.compile(
    r"(?:wm/|----:[\w.]+:)?(un)?(sync(?:ed|hronized|hronised)?)?[ _-]?lyrics?(?:[-_:](?!url|by)[a-z]{2,3})?", re.I
)
_ID3_KEYS = {"USLT": 0, "SYLT": 1}
UNREAD = "tags whose lyrics were left out"


def lyrics_in_tags(path: str | Path) -> Lyrics | None:
    """Returns the lyrics in an audio file's tags as clean text; plain ones go before those with times.

    With a warning and no text where there are some that cannot be read. None where there are none, the file has no
    tags, or they are damaged: a song is not refused for its tags. Time and memory are bounded: pictures stay unread,
    compressed frames are inflated up to the size of lyrics.
    """
    path = Path(path)
    found: list[tuple[int, TaggedText]] = []
    problems: list[str] = []
    try:
        if not path.is_file():  # a pipe would be waited for
            return None
        with path.open("rb") as file:
            for texts in _readers_of(file):
                _read_into(found, problems, texts)
    except (OSError, ValueError):
        return None
    for _, text in sorted(found, key=lambda pair: pair[0]):
        try:
            lyrics = _as_lyrics(text, f"{path}, tag {text.key}")
        except LyricsError as error:
            problems.append(error.message)
            continue
        if lyrics.text:
            return replace(lyrics, source=f"its tag {text.key}")
    return Lyrics("", tuple(f"{UNREAD}: {problem}" for problem in problems[:1])) if problems else None


def title_in_tags(path: str | Path) -> str:
    """Returns "artist - title" from an audio file's tags, the title alone without an artist, "" without a title."""
    import mutagen

    try:
        with Path(path).open("rb") as file:
            tags = mutagen.File(_BoundedFile(file), easy=True) or {}
            # a WAV or AIFF file has its ID3 frames under their own names only
        keys = (("artist", "TPE1"), ("title", "TIT2"))
        artist, title = (" ".join(str((tags.get(key) or tags.get(id3) or [""])[0]).split()) for key, id3 in keys)
    except Exception:  # as damaged tags fail, in many ways
        return ""
    return (f"{artist} - {title}" if artist else title)[:LONGEST_TITLE] if title else ""


def _read_into(found: list[tuple[int, TaggedText]], problems: list[str], texts: Iterator[TaggedText]) -> None:
    """Collects the texts that are lyrics, with their rank; damaged tags end the list."""
    try:
        for text in texts:
            key = _LYRICS_KEY.fullmatch(text.key)
            rank = _ID3_KEYS.get(text.key, None if key is None else 2 + bool(key[2] and not key[1]))
            if rank is not None and any(map(bytes.strip, text.parts)):
                found.append((rank, text))
    except TooLargeError as error:
        problems.append(str(error))
    except Exception:  # damaged tags fail in many ways, and the audio may be sound all the same
        return


def _as_lyrics(text: TaggedText, name: str) -> Lyrics:
    """Returns a tagged text as clean lyrics; a LyricsError where it is over 1 MB, or no text."""
    if sum(map(len, text.parts)) > 2 * LARGEST:
        raise LyricsError(f"{name} is over 1 MB, too long for lyrics")
    if not text.encoding.startswith("utf-16"):
        # A tag that says Latin-1 often holds the bytes of another encoding, which is told by the bytes.
        declared = text.encoding if text.encoding == "latin-1" else ""
        joined = text.joint.encode().join(part.rstrip(b"\0") for part in text.parts)
        return lyrics_of_bytes(joined, name, declared)
    parts = []
    for part in text.parts:
        marked = part[:2] in (b"\xff\xfe", b"\xfe\xff")
        encoding = "utf-16" if marked else text.encoding if text.encoding != "utf-16" else "utf-16-le"
        parts.append(part[: len(part) // 2 * 2].decode(encoding, "replace").rstrip("\0"))
    return lyrics_of_text(text.joint.join(parts))


def _readers_of(file: BinaryIO) -> Iterator[Iterator[TaggedText]]:
    """Yields what reads each kind of tag that a file may have, told by its first bytes and its last."""
    head = file.read(64)
    after = tag_length(head)
    if after:
        yield id3_texts(file)
        file.seek(after)
        head = file.read(64)
    for mark, reader in _CONTAINERS:
        if mark.match(head):
            yield reader(file, after)
    yield _ape_texts(file)
    yield _lyrics3_texts(file)


class _BoundedFile:
    """A file for mutagen, which may read too much: past N bytes or calls, reading is a TooLargeError."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.reads, self.bytes = file, MOST_READS, LARGEST_COMMENTS

    def read(self, size: int = -1) -> bytes:
        data = self.file.read(min(size, self.bytes + 1) if size >= 0 else self.bytes + 1)
        self.reads, self.bytes = self.reads - 1, self.bytes - len(data)
        if self.reads < 0 or self.bytes < 0:
            raise TooLargeError("its tags are too large to be read")
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        return self.file.seek(offset, whence)

    def tell(self) -> int:
        return self.file.tell()


# RIFF and AIFF, DSF: an ID3 tag in a chunk ----------------------------------------------------------------------------


def _chunk_texts(file: BinaryIO, start: int) -> Iterator[TaggedText]:
    file.seek(start)
    order = "big" if file.read(4) == b"FORM" else "little"
    at = start + 12
    for _ in range(MOST_CHUNKS):
        file.seek(at)
        head = file.read(8)
        if len(head) < 8:
            return
        if head[:4].lower() in (b"id3 ", b"id3\0"):
            yield from id3_texts(file, at + 8)
        size = int.from_bytes(head[4:], order)  # type: ignore[arg-type]
        at += 8 + size + size % 2


def _dsf_texts(file: BinaryIO, start: int) -> Iterator[TaggedText]:
    file.seek(start + 20)
    if at := int.from_bytes(file.read(8), "little"):
        yield from id3_texts(file, start + at)


# Vorbis comments: FLAC, and Ogg with Vorbis, Opus, Speex, Theora or FLAC ----------------------------------------------


def _flac_texts(file: BinaryIO, start: int) -> Iterator[TaggedText]:
    """Yields the comments of a FLAC file; its pictures and tables stay unread."""
    at = start + 4
    for _ in range(MOST_CHUNKS):
        file.seek(at)
        head = file.read(4)
        size = int.from_bytes(head[1:], "big")
        if len(head) == 4 and head[0] & 0x7F == 4:
            yield from _comments(file.read(size))
        if len(head) < 4 or head[0] & 0x80:
            return
        at += 4 + size


def _ogg_texts(file: BinaryIO, start: int) -> Iterator[TaggedText]:
    """Yields the comments of the first stream, which are its second packet."""
    from mutagen.ogg import OggPage

    file.seek(start)
    bounded = _BoundedFile(file)
    serial, packet, number = None, io.BytesIO(), 0
    while number < 2:
        page = OggPage(bounded)
        serial = page.serial if serial is None else serial
        if page.serial != serial:
            continue
        for place, part in enumerate(page.packets):
            if number == 1:
                packet.write(part)
            number += place + 1 < len(page.packets) or page.complete
            if number > 1:
                break
    data = packet.getvalue()
    yield from _comments(data[next((len(mark) for mark in _COMMENT_MARKS if data.startswith(mark)), 0) :])


_COMMENT_MARKS = (b"\x03vorbis", b"OpusTags", b"\x81theora")


def _comments(data: bytes) -> Iterator[TaggedText]:
    """Yields Vorbis comments: a vendor, a number of comments, then `KEY=text` in UTF-8, each after its length."""
    if data[:1] in (b"\x84", b"\x04") and data[1:4] == (len(data) - 4).to_bytes(3, "big"):  # FLAC in Ogg
        data = data[4:]
    at = 8 + int.from_bytes(data[:4], "little")
    for _ in range(MOST_COMMENTS):
        if at + 4 > len(data):
            return
        size = int.from_bytes(data[at : at + 4], "little")
        key, mark, text = data[at + 4 : at + 4 + min(size, 100)].partition(b"=")
        if mark and _LYRICS_KEY.fullmatch(name := key.decode("ascii", "replace")):
            text = data[at + 5 + len(key) : at + 4 + size]
            yield TaggedText(name, (text,), "utf-8")
        at += 4 + size


# MP4 and ASF ----------------------------------------------------------------------------------------------------------


def _mp4_texts(file: BinaryIO, start: int) -> Iterator[TaggedText]:
    from mutagen.mp4 import Atoms

    file.seek(start)
    for atom in Atoms(_BoundedFile(file)).path(b"moov", b"udta", b"meta", b"ilst")[-1].children:
        if atom.name not in (b"\xa9lyr", b"----"):
            continue
        if atom.length > 2 * LARGEST:
            raise TooLargeError("its lyrics are too large")
        parts = dict(_atom_parts(atom.read(file)[1]))
        key = "lyrics" if atom.name == b"\xa9lyr" else parts.get(b"name", b"")[4:].decode("utf-8", "replace")
        yield TaggedText(key, (parts.get(b"data", b"")[8:],), "utf-8")


def _atom_parts(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 0
    while at + 8 <= len(data):
        size = max(8, int.from_bytes(data[at : at + 4], "big"))
        yield data[at + 4 : at + 8], data[at + 8 : at + size]
        at += size


def _asf_texts(file: BinaryIO, start: int) -> Iterator[TaggedText]:
    from mutagen.asf import ASF

    file.seek(start)
    for key, value in ASF(_BoundedFile(file)).tags:
        if _LYRICS_KEY.fullmatch(key):
            yield TaggedText(key, (str(value).encode("utf-8", "replace"),), "utf-8")


# at the end of any file: APEv2, Lyrics3 -------------------------------------------------------------------------------


def _ape_texts(file: BinaryIO) -> Iterator[TaggedText]:
    """Yields the texts of an APEv2 tag: at the end, before an ID3v1 tag there, or at the start."""
    end = file.seek(0, io.SEEK_END)
    for at in (end - 32, end - 160, end - 160 - _lyrics3_length(file, end), 0):
        if at < 0 or file.seek(at) != at or (head := file.read(32))[:8] != b"APETAGEX":
            continue
        size, count = (int.from_bytes(head[place : place + 4], "little") for place in (12, 16))
        if size > LARGEST_COMMENTS:
            raise TooLargeError("its tags are too large to be read")
        file.seek(at + 32 if head[23] & 0x20 else max(0, at + 32 - size))
        yield from _ape_items(file.read(size), count)
        return


def _ape_items(data: bytes, count: int) -> Iterator[TaggedText]:
    """Yields an APEv2 tag's text items: length, flags, key and a null character, text in UTF-8."""
    at = 0
    for _ in range(min(count, MOST_COMMENTS)):
        size, flags = (int.from_bytes(data[at + place : at + place + 4], "little") for place in (0, 4))
        end = data.find(b"\0", at + 8, at + 8 + 256)
        if end < 0:
            return
        if not flags & 0x06:
            yield TaggedText(data[at + 8 : end].decode("latin-1"), (data[end + 1 : end + 1 + size],), "utf-8")
        at = end + 1 + size


def _lyrics3_length(file: BinaryIO, end: int) -> int:
    """Returns the bytes of a Lyrics3v2 tag before an ID3v1 tag; 0 where there is none."""
    if end < 128 + 15:
        return 0
    file.seek(end - 128 - 15)
    tail = file.read(18)
    digits = tail[:6]
    return int(digits) + 15 if tail[6:] == b"LYRICS200TAG" and digits.isdigit() else 0


def _lyrics3_texts(file: BinaryIO) -> Iterator[TaggedText]:
    """Yields the lyrics of a Lyrics3v2 tag: fields of a name, five digits and a text in Latin-1."""
    end = file.seek(0, io.SEEK_END)
    length = _lyrics3_length(file, end)
    if not length or length > LARGEST or length + 128 > end:
        return
    file.seek(end - 128 - length)
    data, at = file.read(length - 15), 11
    while at + 8 <= len(data) and data[at + 3 : at + 8].isdigit():
        size = int(data[at + 3 : at + 8])
        if data[at : at + 3] == b"LYR":
            yield TaggedText("LYRICS", (data[at + 8 : at + 8 + size],), "latin-1")
        at += 8 + size


_Reader = Callable[[BinaryIO, int], Iterator[TaggedText]]
_CONTAINERS: tuple[tuple[re.Pattern[bytes], _Reader], ...] = (
    (re.compile(rb"RIFF|RF64|FORM", re.DOTALL), _chunk_texts),
    (re.compile(rb"DSD "), _dsf_texts),
    (re.compile(rb"fLaC"), _flac_texts),
    (re.compile(rb"OggS"), _ogg_texts),
    (re.compile(rb".{4}(?:ftyp|moov|free|skip|wide|mdat|pnot)", re.DOTALL), _mp4_texts),
    (re.compile(rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11"), _asf_texts),
)
