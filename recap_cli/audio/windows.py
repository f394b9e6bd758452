"""A whole song as windows of the length that a model was trained on, decoded in order, with bounded memory."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recap_cli.audio.decode import LOUDEST, SILENCE, AudioSettings, Excerpt, resample
from recap_cli.audio.downmix import mix_down
from recap_cli.audio.ffmpeg import UNPLAYABLE
from recap_cli.audio.passages import MOST_VALUES
from recap_cli.audio.sound import Opened, Source, check_file, open_in_order, read_blocks
from recap_cli.errors import AudioError

SPAN = 1800.0  # seconds of a song that are heard at most
NOT_ALL = f"the song is longer: only its first {SPAN / 60:.0f} minutes were heard"
SILENT = "silent: the excerpt peaks below -80 dBFS"


@dataclass(frozen=True)
class Window:
    """One window of a song.

    Attributes:
        excerpt: what is heard.
        repeated: seconds at its start that the window before holds, too; more than 0 in the last window only.
    """

    excerpt: Excerpt
    repeated: float = 0.0


def read_windows(path: str | Path, settings: AudioSettings) -> Iterator[Window]:
    """Yields a song from start to end, a window of `settings.seconds` at a time, up to the first half hour.

    A short rest is never a window of its own: the last window is moved back until it is full, and says how much of it
    was heard before. Only a song that is shorter than one window gives a short one. The last window also says what was
    not heard.

    Raises:
        AudioError: the file is missing, empty, damaged, or no audio.
        MachineError: it may not be read, or needs ffmpeg.
    """
    path = Path(path)
    check_file(path)
    with open_in_order(path, SPAN + 1) as opened:
        yield from cut_windows(opened, path, settings)


def cut_windows(opened: Opened, path: Path, settings: AudioSettings) -> Iterator[Window]:
    """Yields the windows of what is decoded."""
    source, rate = opened.source, opened.source.samplerate
    length = round(settings.seconds * rate)
    windows = cut_samples(source, length, round(SPAN * rate))
    before, samples, done = None, next(windows, None), 0
    if samples is None:
        raise AudioError(f"{path} holds no audio samples", UNPLAYABLE)
    while samples is not None:
        following = next(windows, None)
        repeated = length - len(samples) if before is not None else 0
        heard = samples if before is None else np.concatenate([before[len(before) - repeated :], samples])
        done += len(samples)
        warnings = lost_part(opened, done) if following is None else ()
        yield Window(as_excerpt(heard, done - len(heard), source, path, settings, warnings), repeated / rate)
        before, samples = samples, following


def cut_samples(source: Source, length: int, limit: int) -> Iterator[np.ndarray]:
    """Yields `length` frames at a time, float32 [frames, channels], fewer at the end, `limit` frames in all."""
    mixed = length * source.channels > MOST_VALUES
    pending: list[np.ndarray] = []
    for block in read_blocks(source, limit):
        with np.errstate(invalid="ignore", over="ignore"):
            pending.append(block.mean(axis=1, keepdims=True) if mixed else block)
        if sum(map(len, pending)) >= length:
            samples = np.concatenate(pending)
            while len(samples) >= length:
                yield samples[:length]
                samples = samples[length:]
            pending = [samples] if len(samples) else []
    if pending:
        yield np.concatenate(pending)


def as_excerpt(
    samples: np.ndarray,
    start: int,
    source: Source,
    path: Path,
    settings: AudioSettings,
    warnings: tuple[str, ...] = (),
) -> Excerpt:
    """Returns decoded samples [frames, channels] as one channel at the settings' rate."""
    mono, cancelled = mix_down(samples)
    warnings = (*warnings, *cancelled)
    if not np.abs(mono).max(initial=0) <= LOUDEST:
        raise AudioError(f"{path} holds samples that are not numbers or not finite", "Export the file again.")
    heard = resample(mono, source.samplerate, settings)[: settings.samples]
    if not len(heard):
        raise AudioError(f"{path} holds no audio samples", UNPLAYABLE)
    rate = settings.sample_rate
    if np.abs(heard).max() < SILENCE:
        warnings = (*warnings, SILENT)
    if len(heard) < min(rate, settings.samples):
        warnings = (*warnings, f"very short: {len(heard) / rate:.2f} s of audio")
    return Excerpt(heard, start / source.samplerate, len(heard) / rate, source.samplerate, source.channels, warnings)


def lost_part(opened: Opened, decoded: int) -> tuple[str, ...]:
    """Returns a warning where the song goes on, or where less could be decoded than the header promises."""
    rate = opened.source.samplerate
    if decoded >= round(SPAN * rate):
        return (NOT_ALL,) if len(opened.source.read_block(1)) else ()
    seconds, promised = decoded / rate, opened.promised / rate
    if promised - seconds > 0.1:
        return (f"damaged? {seconds:.1f} s could be decoded where the file promises {promised:.1f} s",)
    return ()
