"""Which passage of a song is read, and how: by a seek where the header can be trusted, else decoded in order."""

import math
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from recap_cli.audio.lengths import find_layout
from recap_cli.audio.sound import REFUSED, UNKNOWN_FRAMES, AudioReader, Source, open_file, open_in_order, read_blocks
from recap_cli.errors import AudioError

LEAD_FRAMES = 32_768  # decoded and dropped after a seek: an MP3 frame leans on those before it
LONGEST = 4 * 3600  # seconds that are decoded to find a place in a song whose header is wrong
MOST_VALUES = 2**26  # samples of all channels that a passage may hold before it is mixed
MOST_KEPT = 2**24  # samples of all channels of a song that need not be decoded twice


@dataclass(frozen=True)
class Request:
    """Which passage to read, and the path that messages name.

    Attributes:
        path: the file.
        seconds: length of the passage.
        place: "middle", "random", or the second at which it starts.
        seed: decides a random place.
    """

    path: Path
    seconds: float
    place: str | float
    seed: int

    def frames(self, rate: int) -> int:
        """Returns the passage's length in frames."""
        return math.ceil(self.seconds * rate)

    def start(self, length: int, rate: int) -> int:
        """Returns the first frame of the passage in a source of `length` frames."""
        if isinstance(self.place, float):
            return round(self.place * rate)
        spare = max(0, length - self.frames(rate))
        if self.place == "middle":
            return spare // 2
        return int(np.random.default_rng(self.seed).integers(0, spare, endpoint=True))


@dataclass(frozen=True)
class Passage:
    """What was decoded, at the source's rate.

    Attributes:
        samples: float32 [frames, channels]; [frames, 1] where there were so many that they were mixed on the way.
        start: its first frame.
        rate: Hz.
        channels: of the file.
        promised: frames that the header says the passage has, 0 where it says nothing.
    """

    samples: np.ndarray
    start: int
    rate: int
    channels: int
    promised: int


def decode_passage(request: Request) -> Passage:
    """Seeks and reads where the header can be trusted; decodes in order where it cannot."""
    try:
        file = open_file(request.path, request.path)
    except REFUSED:
        return decode_in_order(request)
    with file:
        # From the start on, a header that is wrong shows as a read that ends too early.
        if request.place != 0 and find_layout(request.path, file.frames).parts:
            return decode_in_order(request)
        refuse_late(request, file.frames, file.samplerate)
        passage = seek_and_read(request, file)
    return passage if is_right(request, passage, file.frames) else decode_in_order(request)


def is_right(request: Request, passage: Passage, claimed: int) -> bool:
    """Whether a passage that was read by the header is the one that was asked for, to its last frame."""
    found = len(passage.samples)
    if request.place == 0:
        return found == request.frames(passage.rate) or not find_layout(request.path, claimed).parts
    # A named place depends on the length, so a short read there means that the place was wrong, too.
    return found >= (1 if isinstance(request.place, float) else max(1, passage.promised))


def seek_and_read(request: Request, file: AudioReader) -> Passage:
    """Trusts the header's length and its seeks."""
    rate, claimed = file.samplerate, file.frames
    start, wanted = request.start(claimed, rate), request.frames(rate)
    samples = np.zeros((0, file.channels), np.float32)
    with suppress(soundfile.SoundFileError):
        if start:
            file.seek(max(0, start - LEAD_FRAMES))
            file.read(min(start, LEAD_FRAMES), dtype="float32")
        samples = gather(file, wanted)
    return Passage(samples, start, rate, file.channels, promise(claimed, start, wanted))


def promise(claimed: int, start: int, wanted: int) -> int:
    """Returns how many of the wanted frames the header says there are; none where it does not know its length."""
    return 0 if claimed >= UNKNOWN_FRAMES else max(0, min(wanted, claimed - start))


def gather(source: Source, frames: int) -> np.ndarray:
    """Returns the next frames [frames, channels]; so many values that memory would suffer are mixed to [frames, 1]."""
    many = frames * source.channels > MOST_VALUES
    width = 1 if many else source.channels
    with np.errstate(invalid="ignore", over="ignore"):
        blocks = [block.mean(axis=1, keepdims=True) if many else block for block in read_blocks(source, frames)]
    return np.concatenate([np.zeros((0, width), np.float32), *blocks])


def decode_in_order(request: Request) -> Passage:
    """Decodes from the start, trusting neither the header's length nor any seek; the length is what was decoded."""
    measured = None if isinstance(request.place, float) else measure(request)
    if isinstance(measured, Passage):
        return measured
    end = request.place + request.seconds + 1 if isinstance(request.place, float) else None
    with open_in_order(request.path, end) as opened:
        source, rate = opened.source, opened.source.samplerate
        start, wanted = request.start(0, rate) if measured is None else measured, request.frames(rate)
        length = sum(map(len, read_blocks(source, min(start, LONGEST * rate))))
        refuse_endless(request, length, rate)
        samples = gather(source, wanted if length == start else 0)
        if not len(samples):
            refuse_late(request, length, rate)
        return Passage(samples, start, rate, source.channels, promise(opened.promised, start, wanted))


def refuse_late(request: Request, length: int, rate: int) -> None:
    """Refuses a place that is not within the song."""
    if length and request.start(length, rate) >= length:
        start = request.start(length, rate) / rate
        message = f"{request.path} is {length / rate:.1f} s long, no excerpt starts at {start:g} s"
        raise AudioError(message, "Choose an earlier --excerpt.")


def refuse_endless(request: Request, length: int, rate: int) -> None:
    """Refuses a file that tells nothing true of its length and is longer than we decode to find it out."""
    if length >= LONGEST * rate:
        hours = LONGEST // 3600
        raise AudioError(f"{request.path} is over {hours} hours long, and its header does not say how long", "Cut it.")


def measure(request: Request) -> int | Passage:
    """Returns the first frame of a named place by decoding it all; the passage itself where the song fits in memory."""
    with open_in_order(request.path) as opened:
        source, rate = opened.source, opened.source.samplerate
        kept: list[np.ndarray] = [np.zeros((0, source.channels), np.float32)]
        length = 0
        for block in read_blocks(source, LONGEST * rate):
            length += len(block)
            if kept and length * source.channels <= MOST_KEPT:
                kept.append(block)
            else:
                kept = []
        refuse_endless(request, length, rate)
        start, wanted = request.start(length, rate), request.frames(rate)
        if not kept:
            return start
        samples = np.concatenate(kept)[start : start + wanted]
        return Passage(samples, start, rate, source.channels, promise(opened.promised, start, wanted))
