"""Lyrics in ID3v2 tags: only frames that may hold them are read, and no frame unfolds to more than its bound.

mutagen reads a whole tag, pictures and all, and inflates compressed frames whatever their size: 2 MB of a stranger's
file took 6.5 GB. So frames are walked by their headers here, and pictures are passed over unread.
"""

import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

LARGEST_FRAME = 2_000_000  # bytes: 1 MB of lyrics in UTF-16
LARGEST_TAG = 64_000_000  # bytes of a tag that must be read as a whole because it is unsynchronised
MOST_FRAMES = 20_000
NAMES = {"ULT": "USLT", "SLT": "SYLT", "TXX": "TXXX", "USLT": "USLT", "SYLT": "SYLT", "TXXX": "TXXX"}
LYRICS_TYPE = 1  # of SYLT; others are chords, trivia, events


class TooLargeError(ValueError):
    """A tag or a frame that holds more than lyrics can."""


@dataclass(frozen=True)
class TaggedText:
    """A text under a tag's name."""

    key: str  # such as `LYRICS`; `SYLT` for lyrics with times
    parts: tuple[bytes, ...]  # each is in the encoding, and may begin with a mark of its own
    encoding: str = ""  # as the tag says, "" where it says none
    joint: str = "\n"  # what stands between the parts


@dataclass(frozen=True)
class _Header:
    version: int
    unsynchronised: bool
    extended: bool
    size: int


def _read_header(data: bytes) -> _Header | None:
    """Reads the ten bytes before a tag; None where they are none."""
    if len(data) < 10 or data[:3] != b"ID3" or not 2 <= data[3] <= 4:
        return None
    return _Header(data[3], bool(data[5] & 0x80), data[3] > 2 and bool(data[5] & 0x40), _synchsafe(data[6:10]))


def tag_length(data: bytes) -> int:
    """Returns the bytes that a tag with this header takes; 0 where there is none."""
    header = _read_header(data)
    return 0 if header is None else header.size + (20 if data[5] & 0x10 else 10)


def id3_texts(file: BinaryIO, start: int = 0) -> Iterator[TaggedText]:
    """Yields the texts of a tag that may be lyrics, in its order.

    A TooLargeError where a frame with lyrics is larger than any lyrics, or there are more frames than any tag has.
    """
    file.seek(start)
    header = _read_header(file.read(10))
    if header is None:
        return
    begin, end = start + 10, start + 10 + header.size
    if header.unsynchronised and header.version < 4:
        if header.size > LARGEST_TAG:
            raise TooLargeError("its tag is too large to be read")
        file, begin = io.BytesIO(file.read(header.size).replace(b"\xff\0", b"\xff")), 0
        end = len(file.getvalue())
    for name, flags, data in _frames(file, begin, end, header):
        text = _TEXTS[NAMES[name]](_plain(data, flags, header))
        if text is not None:
            yield text


def _frames(file: BinaryIO, begin: int, end: int, header: _Header) -> Iterator[tuple[str, int, bytes]]:
    """Yields name, flags and bytes of the frames that may hold lyrics; the others stay unread."""
    at, length = begin + _extended_length(file, begin, header), 6 if header.version == 2 else 10
    for _ in range(MOST_FRAMES):
        name, size, flags = _frame_header(file, at, end, header)
        at += length
        if not name or at + size > end:
            return
        if name in NAMES:
            if size > LARGEST_FRAME:
                raise TooLargeError("its lyrics are too large")
            file.seek(at)
            yield name, flags, file.read(size)
        at += size
    raise TooLargeError("its tag has too many frames")


def _extended_length(file: BinaryIO, begin: int, header: _Header) -> int:
    if not header.extended:
        return 0
    file.seek(begin)
    data = file.read(4)
    if len(data) < 4 or data.isalnum():  # some set the flag and write no such header
        return 0
    return _synchsafe(data) if header.version == 4 else 4 + int.from_bytes(data, "big")


def _frame_header(file: BinaryIO, at: int, end: int, header: _Header) -> tuple[str, int, int]:
    """Returns a frame's name, size and flags; "" at the padding or the end."""
    file.seek(at)
    data = file.read(6 if header.version == 2 else 10)
    name = data[: 3 if header.version == 2 else 4]
    if at >= end or len(data) < 6 or not (name.isalnum() and name.isascii() and name.upper() == name):
        return "", 0, 0
    if header.version == 2:
        return name.decode(), int.from_bytes(data[3:6], "big"), 0
    if len(data) < 10:
        return "", 0, 0
    size, flags = struct.unpack(">IH", data[4:])
    if header.version == 4 and size > 127:
        size = _size_of_v24(file, at + 10, data[4:8], end)
    return name.decode(), size, flags


def _size_of_v24(file: BinaryIO, after: int, size: bytes, end: int) -> int:
    """Returns a size that should be synchsafe; old iTunes wrote plain numbers, after which the next frame follows."""
    plain, safe = int.from_bytes(size, "big"), _synchsafe(size)
    if max(size) > 127:
        return plain
    for length in (safe, plain):
        file.seek(after + length)
        name = file.read(4)
        if after + length == end or (after + length < end and (name[:1] == b"\0" or name.isalnum())):
            return length
    return safe


def _synchsafe(data: bytes) -> int:
    return sum((byte & 0x7F) << (7 * power) for power, byte in enumerate(reversed(data)))


def _plain(data: bytes, flags: int, header: _Header) -> bytes:
    """Returns a frame's content, out of the wrappings that its flags tell; b"" for an encrypted one."""
    if header.version == 3:
        packed, encrypted, grouped, sized = (bool(flags & bit) for bit in (0x80, 0x40, 0x20, 0x80))
        data = data[4 * sized + grouped :]
    else:
        packed, encrypted, grouped, sized = (bool(flags & bit) for bit in (0x08, 0x04, 0x40, 0x01))
        inner = data[grouped + 4 * (sized or packed) :]
        data = data[grouped:] if packed and not sized and data[grouped : grouped + 1] == b"x" else inner
        if header.version == 4 and (header.unsynchronised or flags & 0x02):
            data = data.replace(b"\xff\0", b"\xff")
    if encrypted:
        return b""
    return _inflate(data) if packed else data


def _inflate(data: bytes) -> bytes:
    """Returns inflated bytes; b"" where they are damaged.

    Raises:
        TooLargeError: they are more than `LARGEST_FRAME`; no more than that is ever held.
    """
    stream = zlib.decompressobj()
    try:
        plain = stream.decompress(data, LARGEST_FRAME + 1)
    except zlib.error:
        return b""
    if len(plain) > LARGEST_FRAME:
        raise TooLargeError("its lyrics inflate to more than 2 MB")
    return plain


# texts of frames ------------------------------------------------------------------------------------------------------


def _uslt(data: bytes) -> TaggedText | None:
    encoding, rest = _encoding(data), data[4:]
    _, text = _split(rest, encoding)
    return TaggedText("USLT", (text,), encoding)


def _txxx(data: bytes) -> TaggedText | None:
    encoding = _encoding(data)
    name, text = _split(data[1:], encoding)
    key = name.decode(encoding if encoding.startswith("utf-16") else "latin-1", "replace").strip("\0")
    return TaggedText(key, (text,), encoding)


def _sylt(data: bytes) -> TaggedText | None:
    """Reads lyrics with times; lines, or syllables where line ends are among them."""
    if len(data) < 6 or data[5] != LYRICS_TYPE:
        return None
    encoding = _encoding(data)
    _, rest = _split(data[6:], encoding)
    parts = []
    at = 0
    while at < len(rest):
        end, after = _terminator(rest, encoding, at)
        parts.append(rest[at:end])
        at = after + 4
    ends = any(b"\n" in part for part in parts[1:])
    return TaggedText("SYLT", tuple(parts), encoding, "" if ends else "\n")


def _encoding(data: bytes) -> str:
    return {0: "latin-1", 1: "utf-16", 2: "utf-16-be", 3: "utf-8"}.get(data[0] if data else 3, "")


def _terminator(data: bytes, encoding: str, start: int) -> tuple[int, int]:
    """Returns where a text ends and where the next thing begins."""
    mark = b"\0\0" if encoding.startswith("utf-16") else b"\0"
    end = data.find(mark, start)
    while end >= 0 and (end - start) % len(mark):
        end = data.find(mark, end + 1)
    return (len(data), len(data)) if end < 0 else (end, end + len(mark))


def _split(data: bytes, encoding: str) -> tuple[bytes, bytes]:
    end, after = _terminator(data, encoding, 0)
    return data[:end], data[after:]


_TEXTS = {"USLT": _uslt, "SYLT": _sylt, "TXXX": _txxx}
