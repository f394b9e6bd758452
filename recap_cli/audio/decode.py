"""From an audio file to mono samples: one excerpt, or a whole song as windows, in bounded memory."""

import math
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np
import soundfile

from recap_cli.audio.ffmpeg import UNPLAYABLE
from recap_cli.audio.lengths import find_layout
from recap_cli.audio.mel import mix_down, resample
from recap_cli.audio.settings import WHOLE_SONG, AudioSettings, read_place
from recap_cli.audio.sound import (
    REFUSED,
    UNKNOWN_FRAMES,
    AudioReader,
    Opened,
    Source,
    check_file,
    open_file,
    open_in_order,
    read_blocks,
)
from recap_cli.errors import AudioError

SILENCE = 1e-4  # peak, -80 dBFS
SILENT = "silent: the excerpt peaks below -80 dBFS"
LOUDEST = 2.0**31  # beyond integer samples that somebody stored as floats there is only damage
LEAD_FRAMES = 32_768  # decoded and dropped after a seek: an MP3 frame leans on those before it
LONGEST = 4 * 3600  # seconds that are decoded to find a place in a song whose header is wrong
MOST_VALUES = 2**26  # samples of all channels that a passage may hold before it is mixed
MOST_KEPT = 2**24  # samples of all channels of a song that need not be decoded twice
NOT_ALL = f"the song is longer: only its first {WHOLE_SONG / 60:.0f} minutes were decoded"


@dataclass(frozen=True)
class Excerpt:
    """A passage of a song as the model takes it."""

    samples: np.ndarray  # mono float32 [samples] at the settings' rate, at most one window; nominal range -1 to 1
    start: float  # where it starts in the file, in seconds
    seconds: float  # its real length, shorter than the window where the song ends
    source_rate: int  # Hz of the file
    channels: int  # of the file
    warnings: tuple[str, ...] = ()  # what a user should know, a few words each, without the file's name
    resampling: float = 0.0  # seconds of work that resampling took


@dataclass(frozen=True)
class Window:
    """One window of a song, and how many seconds at its start the window before holds, too (only in the last one)."""

    excerpt: Excerpt
    repeated: float = 0.0


@dataclass(frozen=True)
class _Passage:
    """What was decoded, at the source's rate."""

    samples: np.ndarray  # float32 [frames, channels]; [frames, 1] where so many were mixed on the way
    start: int  # its first frame
    rate: int  # Hz
    channels: int  # of the file
    promised: int = 0  # frames that the header says it has, 0 where it says nothing


@dataclass(frozen=True)
class _Request:
    """Which passage to read: `place` is "middle", "random", or the second at which it starts."""

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


def read_excerpt(path: str | Path, settings: AudioSettings, excerpt: str | float = "start", seed: int = 0) -> Excerpt:
    """Returns one excerpt of an audio file, mixed to mono and resampled; the rest of the file stays unread.

    To the sample: the passage is source frames `[s, s + ceil(seconds * rate))` with s = round(start * rate), mixed as
    the mean of the channels, resampled, and cut to `settings.samples`. A song that ends earlier gives fewer samples.
    Formats that libsndfile does not know go through ffmpeg where it is installed, up to the first half hour.

    Args:
        path: the audio file.
        settings: the signal constants.
        excerpt: "start", "middle", "random", or the second at which it starts.
        seed: decides the place of a "random" excerpt.

    Raises:
        AudioError: the file is missing, empty, damaged, no audio, needs ffmpeg, or ends before the excerpt starts.
        OptionError: `excerpt` is none of these, or the resampler is not installed.
    """
    place = read_place(excerpt)
    request = _Request(Path(path), settings.seconds, 0.0 if place == "start" else place, seed)
    check_file(request.path)
    passage = _decode_passage(request)
    lost = _damage(passage.promised, len(passage.samples), passage.rate)
    return _as_excerpt(passage, request.path, settings, lost)


def _as_excerpt(passage: _Passage, path: Path, settings: AudioSettings, warnings: tuple[str, ...]) -> Excerpt:
    """Returns a passage as one channel at the settings' rate, with what a user should know of it."""
    mono, cancelled = mix_down(passage.samples)
    if not np.abs(mono).max(initial=0) <= LOUDEST:  # NaN is not smaller, either
        raise AudioError(f"{path} holds samples that are not numbers or not finite", "export the file again")
    began = perf_counter()
    samples = resample(mono, passage.rate, settings)[: settings.samples]
    took, seconds = perf_counter() - began, len(samples) / settings.sample_rate
    if not len(samples):
        raise AudioError(f"{path} holds no audio samples", UNPLAYABLE)
    if np.abs(samples).max() < SILENCE:
        warnings = (*warnings, SILENT)
    if len(samples) < min(settings.sample_rate, settings.samples):
        warnings = (*warnings, f"very short: {seconds:.2f} s of audio")
    start = passage.start / passage.rate
    return Excerpt(samples, start, seconds, passage.rate, passage.channels, (*warnings, *cancelled), took)


def _damage(promised: int, decoded: int, rate: int) -> tuple[str, ...]:
    """Returns a warning where less could be decoded than the header promises, both in frames."""
    if (promised - decoded) / rate <= 0.1:
        return ()
    return (f"damaged? {decoded / rate:.1f} s could be decoded where the file promises {promised / rate:.1f} s",)


# one passage: by a seek where the header can be trusted, else decoded in order ----------------------------------------


def _decode_passage(request: _Request) -> _Passage:
    try:
        file = open_file(request.path, request.path)
    except REFUSED:
        return _decode_in_order(request)
    with file:
        # From the start on, a header that is wrong shows as a read that ends too early.
        if request.place != 0 and find_layout(request.path, file.frames).parts:
            return _decode_in_order(request)
        _refuse_late(request, file.frames, file.samplerate)
        passage = _seek_and_read(request, file)
    return passage if _is_right(request, passage, file.frames) else _decode_in_order(request)


def _is_right(request: _Request, passage: _Passage, claimed: int) -> bool:
    """Whether a passage that was read by the header is the one that was asked for, to its last frame."""
    found = len(passage.samples)
    if request.place == 0:
        return found == request.frames(passage.rate) or not find_layout(request.path, claimed).parts
    # A named place depends on the length, so a short read there means that the place was wrong, too.
    return found >= (1 if isinstance(request.place, float) else max(1, passage.promised))


def _seek_and_read(request: _Request, file: AudioReader) -> _Passage:
    """Returns the passage where the header's length and its seeks put it."""
    rate, claimed = file.samplerate, file.frames
    start, wanted = request.start(claimed, rate), request.frames(rate)
    samples = np.zeros((0, file.channels), np.float32)
    with suppress(soundfile.SoundFileError):
        if start:
            file.seek(max(0, start - LEAD_FRAMES))
            file.read(min(start, LEAD_FRAMES), dtype="float32")
        samples = _gather(file, wanted)
    return _Passage(samples, start, rate, file.channels, _promise(claimed, start, wanted))


def _promise(claimed: int, start: int, wanted: int) -> int:
    """Returns how many of the wanted frames the header says there are; none where it does not know its length."""
    return 0 if claimed >= UNKNOWN_FRAMES else max(0, min(wanted, claimed - start))


def _gather(source: Source, frames: int) -> np.ndarray:
    """Returns the next frames [frames, channels], or [frames, 1] where they would not fit in memory."""
    width = 1 if frames * source.channels > MOST_VALUES else source.channels
    return np.concatenate([np.zeros((0, width), np.float32), *_blocks(source, frames, frames)])


def _blocks(source: Source, frames: int, held: int) -> Iterator[np.ndarray]:
    """Yields N frames in blocks, mixed to one channel where `held` frames of all channels would not fit in memory."""
    for block in read_blocks(source, frames):
        if held * source.channels <= MOST_VALUES:
            yield block
            continue
        with np.errstate(invalid="ignore", over="ignore"):
            mixed = block.mean(axis=1, keepdims=True)
        yield mixed


def _decode_in_order(request: _Request) -> _Passage:
    """Returns the passage, decoded from the start: neither the header's length nor any seek is trusted."""
    measured = None if isinstance(request.place, float) else _measure(request)
    if isinstance(measured, _Passage):
        return measured
    end = request.place + request.seconds + 1 if isinstance(request.place, float) else None
    with open_in_order(request.path, end) as opened:
        source, rate = opened.source, opened.source.samplerate
        start, wanted = request.start(0, rate) if measured is None else measured, request.frames(rate)
        length = sum(map(len, read_blocks(source, min(start, LONGEST * rate))))
        _refuse_endless(request, length, rate)
        samples = _gather(source, wanted if length == start else 0)
        if not len(samples):
            _refuse_late(request, length, rate)
        return _Passage(samples, start, rate, source.channels, _promise(opened.promised, start, wanted))


def _measure(request: _Request) -> int | _Passage:
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
        _refuse_endless(request, length, rate)
        start, wanted = request.start(length, rate), request.frames(rate)
        if not kept:
            return start
        samples = np.concatenate(kept)[start : start + wanted]
        return _Passage(samples, start, rate, source.channels, _promise(opened.promised, start, wanted))


def _refuse_late(request: _Request, length: int, rate: int) -> None:
    """Refuses a place that is not within the song."""
    if length and request.start(length, rate) >= length:
        start = request.start(length, rate) / rate
        message = f"{request.path} is {length / rate:.1f} s long, no excerpt starts at {start:g} s"
        raise AudioError(message, "choose an earlier --excerpt")


def _refuse_endless(request: _Request, length: int, rate: int) -> None:
    """Refuses a file that tells nothing true of its length and is longer than we decode to find it out."""
    if length >= LONGEST * rate:
        hours = LONGEST // 3600
        raise AudioError(f"{request.path} is over {hours} hours long, and its header does not say how long", "cut it")


# a whole song ---------------------------------------------------------------------------------------------------------


def read_windows(path: str | Path, settings: AudioSettings) -> Iterator[Window]:
    """Yields a song from start to end, a window of `settings.seconds` at a time, up to the first half hour.

    A short rest is never a window of its own: the last window is moved back until it is full, and says how much of it
    the one before held. Only a song that is shorter than one window gives a short one. The last window also says what
    was left out.

    Raises:
        AudioError: the file is missing, empty, damaged, or no audio.
        MachineError: it may not be read, or needs ffmpeg.
    """
    path = Path(path)
    check_file(path)
    with open_in_order(path, WHOLE_SONG + 1) as opened:
        yield from _windows(opened, path, settings)


def _windows(opened: Opened, path: Path, settings: AudioSettings) -> Iterator[Window]:
    source, rate = opened.source, opened.source.samplerate
    length = round(settings.seconds * rate)
    cuts = _cut(source, length, round(WHOLE_SONG * rate))
    before, samples, done = None, next(cuts, None), 0
    if samples is None:
        raise AudioError(f"{path} holds no audio samples", UNPLAYABLE)
    while samples is not None:
        following = next(cuts, None)
        repeated = length - len(samples) if before is not None else 0
        full = samples if before is None else np.concatenate([before[len(before) - repeated :], samples])
        done += len(samples)
        passage = _Passage(full, done - len(full), rate, source.channels)
        warnings = _lost_part(opened, done) if following is None else ()
        yield Window(_as_excerpt(passage, path, settings, warnings), repeated / rate)
        before, samples = samples, following


def _cut(source: Source, length: int, limit: int) -> Iterator[np.ndarray]:
    """Yields `length` frames at a time, float32 [frames, channels], fewer at the end, `limit` frames in all."""
    pending: list[np.ndarray] = []
    for block in _blocks(source, limit, length):
        pending.append(block)
        if sum(map(len, pending)) >= length:
            samples = np.concatenate(pending)
            while len(samples) >= length:
                yield samples[:length]
                samples = samples[length:]
            pending = [samples] if len(samples) else []
    if pending:
        yield np.concatenate(pending)


def _lost_part(opened: Opened, decoded: int) -> tuple[str, ...]:
    """Returns a warning where the song goes on, or where less could be decoded than the header promises."""
    rate = opened.source.samplerate
    if decoded >= round(WHOLE_SONG * rate):
        return (NOT_ALL,) if len(opened.source.read_block(1)) else ()
    return _damage(opened.promised, decoded, rate)
