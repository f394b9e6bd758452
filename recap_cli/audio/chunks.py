"""Sound files made of chunks whose sizes may be wrong: a recorder that died wrote none, a large file does not fit."""

import mmap
import struct
from collections.abc import Iterator
from dataclasses import dataclass

Pieces = tuple[bytes | tuple[int, int], ...]  # a file with parts replaced: new bytes, or a range of the old ones

MOST_CHUNKS = 10_000


@dataclass(frozen=True)
class Form:
    """How a kind of file lays out its chunks."""

    first: int  # offset of the first chunk
    name: int  # bytes of a chunk's name
    size: str  # struct format of a chunk's size
    data: bytes  # name of the chunk that holds the samples
    whole: int  # offset of the size of the whole file, -1 where there is none
    itself: bool = False  # the size counts the chunk's name and size, too
    align: int = 2  # chunks begin at a multiple of N bytes

    @property
    def head(self) -> int:
        """Bytes before a chunk's content."""
        return self.name + struct.calcsize(self.size)


RIFF = Form(12, 4, "<I", b"data", 4)
AIFF = Form(12, 4, ">I", b"SSND", 4)
W64 = Form(40, 16, "<q", b"data\xf3\xac\xd3\x11\x8c\xd1\x00\xc0\x4f\x8e\xdb\x8a", 16, itself=True, align=8)
CAF = Form(8, 4, ">q", b"data", -1, align=1)
TO_THE_END = b"\xff" * 4  # a size that says so, where sizes have four bytes


@dataclass(frozen=True)
class Chunk:
    """A chunk's name, where its content begins, and how long it claims to be."""

    name: bytes
    start: int
    size: int


def form_of(data: bytes | mmap.mmap) -> Form | None:
    """Returns how a file that begins with these bytes lays out its chunks."""
    kind = data[8:12]
    if data[:4] in (b"RIFF", b"RF64", b"BW64") and kind == b"WAVE":
        return RIFF
    if data[:4] == b"FORM" and kind in (b"AIFF", b"AIFC"):
        return AIFF
    if data[:16] == b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00":
        return W64
    return CAF if data[:4] == b"caff" else None


def chunks(data: bytes | mmap.mmap, form: Form, start: int) -> Iterator[Chunk]:
    """Yields the chunks from an offset on, as far as their names and sizes can be true."""
    for _ in range(MOST_CHUNKS):
        if start + form.head > len(data):
            return
        name = bytes(data[start : start + form.name])
        (size,) = struct.unpack_from(form.size, data, start + form.name)
        size -= form.head if form.itself else 0
        if not (name[:4].isascii() and name[:4].decode("ascii", "replace").isprintable()) or size < -1:
            return
        yield Chunk(name, start + form.head, size)
        start += form.head + max(size, 0)
        start += -start % form.align


def mended_chunks(data: bytes | mmap.mmap) -> Pieces | None:
    """Returns the file with its samples going on to its end, where what the header says cannot be true; else None.

    It cannot be true where the samples are said to end, or to be none, and what follows is not a row of chunks.
    """
    if data[:4] == b".snd":
        offset, size = struct.unpack(">II", data[4:12].ljust(8, b"\0"))
        return ((0, 8), TO_THE_END, (12, len(data))) if offset + size < len(data) else None
    form = form_of(data)
    if form is None:
        return None
    sound = next((chunk for chunk in chunks(data, form, form.first) if chunk.name == form.data), None)
    if sound is None or _is_whole(data, form, sound):
        return None
    return (*_with_open_end(data, form, sound),)


def _is_whole(data: bytes | mmap.mmap, form: Form, sound: Chunk) -> bool:
    """Whether the samples end at the file's end, beyond it, or before a row of chunks that ends with the file."""
    size = _ds64_size(data) if form is RIFF and sound.size == 0xFFFFFFFF else sound.size
    if size < 0 and form is CAF:  # "to the end", which libsndfile does not know
        return False
    if size < 0 or sound.start + size >= len(data) - 8:
        return True
    after = sound.start + size
    after += -after % form.align
    end = after
    for chunk in chunks(data, form, after):
        end = chunk.start + max(chunk.size, 0)
        if end > len(data):
            return False
    return end > after and end >= len(data) - 8


def _ds64_size(data: bytes | mmap.mmap) -> int:
    """Returns the size of the samples that a file over 4 GB keeps in a chunk of its own; -1 for none."""
    if data[:4] not in (b"RF64", b"BW64") or data[12:16] != b"ds64" or len(data) < 44:
        return -1
    return int(struct.unpack_from("<Q", data, 28)[0])


def _with_open_end(data: bytes | mmap.mmap, form: Form, sound: Chunk) -> Iterator[bytes | tuple[int, int]]:
    """Yields the pieces of the file with sizes that reach to its end."""
    rest, place = len(data) - sound.start, sound.start - struct.calcsize(form.size)
    long = struct.pack(form.size, rest + form.head * form.itself) if form.size[1] == "q" else TO_THE_END
    changes = {place: long}
    if form.whole >= 0:
        changes[form.whole] = struct.pack("<q", len(data)) if form is W64 else TO_THE_END
    if data[:4] in (b"RF64", b"BW64") and data[12:16] == b"ds64":
        changes[20] = struct.pack("<QQ", len(data) - 8, rest)
    if form is AIFF and (common := next((c for c in chunks(data, form, form.first) if c.name == b"COMM"), None)):
        changes[common.start + 2] = TO_THE_END
    done = 0
    for offset in sorted(changes):
        yield done, offset
        yield changes[offset]
        done = offset + len(changes[offset])
    yield done, len(data)
