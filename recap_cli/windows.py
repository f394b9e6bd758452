"""A whole song as windows of the length that a model was trained on, decoded in order, with bounded memory."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from recap_cli.audio import (
    LOUDEST,
    NATIVE_SUFFIXES,
    REFUSED,
    SILENCE,
    SOURCE_RATES,
    UNKNOWN_FRAMES,
    AudioReader,
    AudioSettings,
    Excerpt,
    check_file,
    mono_blocks,
    resample,
)
from recap_cli.errors import AudioError
from recap_cli.ffmpeg import SPAN, UNPLAYABLE, ffmpeg_is_there, wav_by_ffmpeg

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
    """Decode a song from start to end, a window of `settings.seconds` at a time.

    A short rest is never a window of its own: the last window is moved back until it is full, and says how much of it
    was heard before. Only a song that is shorter than one window gives a short one.

    Raises:
        AudioError: the file is missing, empty, damaged, no audio, or needs ffmpeg.
    """
    path = Path(path)
    check_file(path)
    with ExitStack() as stack:
        try:
            file = stack.enter_context(AudioReader(path))
        except REFUSED as error:
            if path.suffix.lower() in NATIVE_SUFFIXES and not ffmpeg_is_there():
                raise AudioError(f"{path} is not audio that can be decoded", UNPLAYABLE) from error
            file = open_wav(stack, path)
        if not SOURCE_RATES[0] <= file.samplerate <= SOURCE_RATES[1]:
            raise AudioError(f"{path} claims a sample rate of {file.samplerate} Hz", "Is it damaged?")
        yield from cut_windows(file, path, settings)


def open_wav(stack: ExitStack, path: Path) -> AudioReader:
    """Open the WAV that ffmpeg makes of a file."""
    try:
        return stack.enter_context(AudioReader(stack.enter_context(wav_by_ffmpeg(path))))
    except soundfile.SoundFileError as error:
        raise AudioError(f"{path} is not audio that can be decoded", UNPLAYABLE) from error


def cut_windows(file: AudioReader, path: Path, settings: AudioSettings) -> Iterator[Window]:
    """Cut what is decoded into windows."""
    rate, length = file.samplerate, round(settings.seconds * file.samplerate)
    before, pending, done = np.zeros(0, np.float32), np.zeros(0, np.float32), 0
    for block in mono_blocks(file, UNKNOWN_FRAMES):
        pending = np.concatenate([pending, block])
        while len(pending) >= length:
            before, pending = pending[:length], pending[length:]
            yield Window(as_excerpt(before, done, file, path, settings))
            done += length
    if not len(pending):
        if not done:
            raise AudioError(f"{path} holds no audio samples", UNPLAYABLE)
        return
    repeated = length - len(pending) if done else 0
    last = np.concatenate([before[len(before) - repeated :], pending])
    warnings = lost_part(file, done + len(pending))
    yield Window(as_excerpt(last, done - repeated, file, path, settings, warnings), repeated / rate)


def as_excerpt(
    samples: np.ndarray,
    start: int,
    file: AudioReader,
    path: Path,
    settings: AudioSettings,
    warnings: tuple[str, ...] = (),
) -> Excerpt:
    """Bring decoded samples to the settings' rate."""
    if not np.abs(samples).max(initial=0) <= LOUDEST:
        raise AudioError(f"{path} holds samples that are not numbers or not finite", "Export the file again.")
    heard = resample(samples, file.samplerate, settings)[: settings.samples]
    if not len(heard):
        raise AudioError(f"{path} holds no audio samples", UNPLAYABLE)
    rate = settings.sample_rate
    if np.abs(heard).max() < SILENCE:
        warnings = (*warnings, SILENT)
    if len(heard) < min(rate, settings.samples):
        warnings = (*warnings, f"very short: {len(heard) / rate:.2f} s of audio")
    return Excerpt(heard, start / file.samplerate, len(heard) / rate, file.samplerate, file.channels, warnings)


def lost_part(file: AudioReader, decoded: int) -> tuple[str, ...]:
    """Warn where less could be decoded than the header promises, or where ffmpeg was stopped."""
    seconds, promised = decoded / file.samplerate, file.frames / file.samplerate
    if file.frames < UNKNOWN_FRAMES and promised - seconds > 0.1:
        return (f"damaged? {seconds:.1f} s could be decoded where the file promises {promised:.1f} s",)
    return (f"only the first {seconds / 60:.0f} minutes were heard",) if abs(seconds - SPAN) < 1 else ()
