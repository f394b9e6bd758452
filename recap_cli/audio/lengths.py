"""How long a sound file really is: where its header tells another length than what follows, a file that is right.

libsndfile reads no further than the header says, and seeks by it. These functions read what is cheap to read (the
headers of frames and pages, never a sample) and return the file in parts, each of them a whole file of one format.
"""

import mmap
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from recap_cli.audio.chunks import Pieces, form_of, mended_chunks

MOST_FRAMES = 4_000_000  # of an mp3, over a day
MOST_RUNS = 1000
MOST_JUNK = 1 << 24  # bytes between frames
MOST_TRIES = 100_000  # places where a frame might begin, in what is none
TAIL = 1 << 18  # bytes at a FLAC's end that hold its last frame
MOST_PADDING = 10_000  # samples of an mp3 encoder's delay and padding, 4095 each and the decoder's
PROBES = 16  # places in a FLAC where a frame's number is looked at
SLACK = 2  # mp3 frames that a header may count more or less

# kilobits per second by MPEG version (1; 2 and 2.5), layer III
RATES = {3: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)}
RATES[2] = RATES[0] = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
HERTZ = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
MP3_FRAME = re.compile(rb"\xff[\xe2\xe3\xf2\xf3\xfa\xfb]", re.DOTALL)
FLAC_FRAME = re.compile(rb"\xff[\xf8\xf9]", re.DOTALL)


@dataclass(frozen=True)
class Layout:
    """What a file is really made of."""

    parts: tuple[Pieces, ...]  # each a file that is right about itself; none where the file's header can be trusted
    promised: int = 0  # frames that the header says, 0 where it does not


def find_layout(path: Path, claimed: int) -> Layout:
    """Returns the parts that a file, which is not empty, is really made of, and what its header promises.

    libsndfile says that it has `claimed` frames; 0 where it does not know the file, which may be an mp3 behind junk.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        start = _after_id3(data, 0)
        kind = data[start : start + 4]
        if kind == b"fLaC":
            return Layout(_flac_parts(data, start), claimed)
        if kind == b"OggS":
            return Layout(_ogg_parts(data, start), claimed)
        if form_of(data[:40]) or kind == b".snd":
            mended = mended_chunks(data)
            return Layout((mended,) if mended else (), claimed)
        first = _next_frame(data, start) if not claimed else start if MP3_FRAME.match(data, start) else None
        return Layout((), claimed) if first is None else _mp3_layout(data, first, claimed)


def _after_id3(data: mmap.mmap, start: int) -> int:
    """Returns where the ID3v2 tags that begin at an offset end."""
    while data[start : start + 3] == b"ID3" and start + 10 <= len(data):
        a, b, c, d = (byte & 0x7F for byte in data[start + 6 : start + 10])
        start += 10 + (a << 21 | b << 14 | c << 7 | d)
        start += 10 if start < len(data) and data[start : start + 3] == b"3DI" else 0
    return start


# mp3 ------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Kind:
    """What frames that follow each other have in common."""

    second: int  # byte of the header, without its last bit
    hertz: int  # number of the sample rate in `HERTZ`
    mono: bool

    @property
    def version(self) -> int:
        """3 for MPEG 1, 2 for MPEG 2, 0 for MPEG 2.5."""
        return self.second >> 3 & 3

    @property
    def samples(self) -> int:
        """Samples of a frame."""
        return 1152 if self.version == 3 else 576

    @property
    def tag(self) -> int:
        """Bytes of a frame before its Xing tag: the header and the side information."""
        return 4 + ((17 if self.mono else 32) if self.version == 3 else (9 if self.mono else 17))

    def sizes(self) -> list[int]:
        """Returns the bytes of a frame by its header's third byte without the last bit; 0 where that is none."""
        sizes = [0] * 128
        for bits in range(1, 15):
            for padding in (0, 1):
                size = self.samples // 8 * RATES[self.version][bits] * 1000 // HERTZ[self.version][self.hertz] + padding
                sizes[bits << 3 | self.hertz << 1 | padding] = size
        return sizes


@dataclass
class Run:
    """Frames of one kind that follow each other: how many, and the ranges of bytes that they fill."""

    kind: Kind
    count: int
    ranges: list[tuple[int, int]]


def _frame_kind(data: mmap.mmap, place: int) -> Kind | None:
    """Returns the kind of the frame that begins at an offset; None where none does."""
    if not MP3_FRAME.match(data, place) or place + 4 > len(data):
        return None
    second, third, fourth = data[place + 1], data[place + 2], data[place + 3]
    if third >> 4 in (0, 15) or third >> 2 & 3 == 3:
        return None
    return Kind(second | 1, third >> 2 & 3, fourth >> 6 == 3)


def _mp3_runs(data: mmap.mmap, place: int) -> list[Run]:
    """Returns the runs of frames from an offset on; what lies between frames is passed over."""
    runs: list[Run] = []
    found: int | None = place
    while found is not None and (kind := _frame_kind(data, found)) and len(runs) < MOST_RUNS:
        end, count = _walk_frames(data, found, kind)
        if runs and runs[-1].kind == kind:
            runs[-1].count += count
            runs[-1].ranges.append((found, end))
        else:
            runs.append(Run(kind, count, [(found, end)]))
        found = _next_frame(data, end) if count else None
    return runs


def _walk_frames(data: mmap.mmap, place: int, kind: Kind, most: int = MOST_FRAMES) -> tuple[int, int]:
    """Returns where a run of frames of one kind ends, and how many they are."""
    # Local names: this loop sees every frame of every mp3.
    sizes, second, mono, end, count = kind.sizes(), kind.second, kind.mono, len(data) - 4, 0
    while place < end and data[place] == 255 and data[place + 1] | 1 == second:
        size = sizes[data[place + 2] >> 1]
        if not size or (data[place + 3] >= 192) is not mono or place + size > end + 4 or count >= most:
            break
        place += size
        count += 1
    return place, count


def _next_frame(data: mmap.mmap, place: int) -> int | None:
    """Returns where the next frame begins that two others of its kind follow."""
    start = _after_id3(data, place)
    for tries, found in enumerate(MP3_FRAME.finditer(data, start, start + MOST_JUNK)):
        kind = _frame_kind(data, found.start())
        if kind and _walk_frames(data, found.start(), kind, most=3)[1] == 3:
            return found.start()
        if tries > MOST_TRIES:
            return None
    return None


def _mp3_layout(data: mmap.mmap, place: int, claimed: int) -> Layout:
    """Returns the runs of one format, each behind a frame that tells its length, where the file does not tell it."""
    runs = _mp3_runs(data, place)
    if sum(run.count for run in runs) < 3:
        return Layout((), claimed)
    if claimed and len(runs) == len(runs[0].ranges) == 1 and _tells_its_length(data, runs[0], claimed):
        return Layout((), claimed)
    tag, said = _length_tag(data, runs[0])
    return Layout(tuple(_mended_run(data, run) for run in runs), said * runs[0].kind.samples if tag else 0)


def _tells_its_length(data: mmap.mmap, run: Run, claimed: int) -> bool:
    """Whether the frames are as many as the Xing or VBRI frame says, or, where there is none, as libsndfile guesses."""
    samples = run.kind.samples
    tag, said = _length_tag(data, run)
    if not tag:
        return abs(claimed - run.count * samples) <= SLACK * samples
    # an encoder's delay and padding are no part of the song
    return 0 <= run.count - said <= SLACK and -MOST_PADDING <= claimed - run.count * samples <= samples


def _length_tag(data: mmap.mmap, run: Run) -> tuple[int, int]:
    """Returns where a run's Xing or Info tag begins and the frames that it says; (0, 0) where there is none."""
    tag = run.ranges[0][0] + run.kind.tag
    if data[tag : tag + 4] in (b"Xing", b"Info") and tag + 16 <= len(data):
        flags, frames = struct.unpack_from(">II", data, tag + 4)
        return tag, frames if flags & 1 else 0
    return 0, 0


def _mended_run(data: mmap.mmap, run: Run) -> Pieces:
    """Returns a run of frames as a file that says how many they are."""
    tag, _ = _length_tag(data, run)
    (first, end), *others = run.ranges
    flags = struct.unpack_from(">I", data, tag + 4)[0] if tag else 0
    if flags & 3 != 3:  # a new first frame; an old one without numbers is decoded as 26 ms of silence
        return _new_first_frame(run), *run.ranges
    size = sum(end - begin for begin, end in run.ranges)
    # with the old frame goes what it says of the encoder's delay
    return (first, tag + 8), struct.pack(">II", run.count - 1, size), (tag + 16, end), *others


def _new_first_frame(run: Run) -> bytes:
    """Returns a silent frame that says how many frames follow."""
    kind, third = run.kind, 9 << 4 | run.kind.hertz << 2
    head = bytes((0xFF, kind.second, third, 0xC0 if kind.mono else 0)).ljust(kind.tag, b"\0")
    content = head + b"Xing" + struct.pack(">II", 1, run.count)
    return content.ljust(kind.sizes()[third >> 1], b"\0")


# Ogg ------------------------------------------------------------------------------------------------------------------


def _ogg_parts(data: mmap.mmap, place: int) -> tuple[Pieces, ...]:
    """Returns a chain's links; the whole file where pages are missing; none where it is one stream without gaps."""
    starts, beginning, gaps = [place], True, False
    numbers: dict[int, int] = {}
    while place + 27 <= len(data) and len(starts) < MOST_RUNS:
        if data[place : place + 4] != b"OggS":
            gaps, place = True, data.find(b"OggS", place)
            if place < 0:
                break
            continue
        flags, (serial, number), segments = (
            data[place + 5],
            struct.unpack_from("<II", data, place + 14),
            data[place + 26],
        )
        if flags & 2 and not beginning:
            starts.append(place)
            numbers.clear()
        beginning = bool(flags & 2)
        gaps |= number != numbers.get(serial, number)
        numbers[serial] = number + 1
        place += 27 + segments + sum(data[place + 27 : place + 27 + segments])
    if len(starts) == 1:
        return (((0, len(data)),),) if gaps else ()
    return tuple((link,) for link in pairwise([*starts, len(data)]))


# FLAC -----------------------------------------------------------------------------------------------------------------


def _flac_parts(data: mmap.mmap, start: int) -> tuple[Pieces, ...]:
    """Returns each stream of joined files, and one whose header tells another end than its last frame, endless."""
    if len(data) < start + 42:
        return ()
    total = int.from_bytes(data[start + 21 : start + 26], "big") & (1 << 36) - 1
    if total and _flac_end(data, start) == total and _in_order(data, start):
        return ()
    starts = [start]
    while (place := data.find(b"fLaC\0\0\0\x22", starts[-1] + 4)) >= 0 and len(starts) < MOST_RUNS:
        starts.append(place)
    return tuple(
        ((begin, begin + 21), bytes((data[begin + 21] & 0xF0, 0, 0, 0, 0)), (begin + 26, end))
        for begin, end in pairwise([*starts, len(data)])
        if begin + 42 < end
    )


def _flac_end(data: mmap.mmap, start: int) -> int:
    """Returns the sample after a FLAC's last frame, by that frame's header; -1 where none is found."""
    ends = list(_frame_ends(data, start, max(start + 42, len(data) - TAIL), len(data)))
    return next((end for end in reversed(ends) if end >= 0), -1)


def _in_order(data: mmap.mmap, start: int) -> bool:
    """Whether frames here and there are numbered upwards, as in one stream; to look for a second one takes longer."""
    step, last = (len(data) - start) // PROBES, 0
    for place in range(start + step, len(data), max(step, 1)):
        ends = _frame_ends(data, start, place, place + (TAIL >> 2))
        end = next((end for end in ends if end >= 0), last)
        if end < last:
            return False
        last = end
    return True


def _frame_ends(data: mmap.mmap, start: int, first: int, last: int) -> Iterator[int]:
    """Yields the sample after each frame that may begin in a range of bytes; -1 where none begins."""
    block = struct.unpack_from(">H", data, start + 8)[0]
    for found in FLAC_FRAME.finditer(data, first, min(last, len(data))):
        yield _frame_end(data[found.start() : found.start() + 16], block)


def _frame_end(head: bytes, block: int) -> int:
    """Returns the sample after the frame that these 16 bytes begin, the longest header; -1 where they begin none.

    `block` has the samples of every frame but the last, where frames are numbered.
    """
    if len(head) < 6 or head[2] >> 4 == 0 or head[2] & 15 == 15 or head[3] & 1:
        return -1
    extra = 0 if head[4] < 0x80 else (head[4] ^ 0xFF).bit_length()
    extra = 0 if extra == 0 else 7 - extra  # bytes that follow the number's first
    number = head[4] & (0x7F if not extra else 0x3F >> extra)
    for byte in head[5 : 5 + extra]:
        number = number << 6 | byte & 0x3F
    place, code, rate = 5 + extra, head[2] >> 4, head[2] & 15
    width = {6: 1, 7: 2}.get(code, 0)
    samples = int.from_bytes(head[place : place + width], "big") + 1
    if not width:
        samples = 192 if code == 1 else 576 << code - 2 if code < 6 else 256 << code - 8
    place += width + {12: 1, 13: 2, 14: 2}.get(rate, 0)
    if place >= len(head) or _crc8(head[:place]) != head[place]:
        return -1
    return (number if head[1] & 1 else number * block) + samples


def _crc8(content: bytes) -> int:
    """Returns the checksum of a FLAC frame's header (polynomial 7)."""
    value = 0
    for byte in content:
        value ^= byte
        for _ in range(8):
            value = value << 1 ^ (0x107 if value & 0x80 else 0)
    return value
