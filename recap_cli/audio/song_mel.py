"""The log-mel of a file, of one excerpt or of the whole song, in bounded memory."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter

import numpy as np

from recap_cli.audio.decode import SILENT, Excerpt, read_excerpt, read_windows
from recap_cli.audio.mel import log_mel, log_mel_in_parts
from recap_cli.audio.settings import AudioSettings
from recap_cli.errors import OptionError

WHOLE = "whole"
PART = 30.0  # seconds of a whole song that are held at a time
ENVELOPE_STEP = 0.05  # seconds


@dataclass(frozen=True)
class SongMel:
    """A log-mel and where in the file it comes from."""

    mel: np.ndarray  # float32 [mels, frames]
    start: float  # seconds into the file
    seconds: float  # its length
    envelope: np.ndarray  # greatest absolute sample of each `ENVELOPE_STEP`, for pictures
    warnings: tuple[str, ...] = ()  # what a user should know, a few words each, without the file's name
    decoding: float = 0.0  # seconds of work
    resampling: float = 0.0
    analysing: float = 0.0


def read_log_mel(
    path: str | Path,
    settings: AudioSettings,
    excerpt: str | float = "start",
    seed: int = 0,
    is_clip: bool = False,
) -> SongMel:
    """Returns the log-mel of a file, of the excerpt or of the whole song as the settings have it.

    Where the file is more than the song, `is_clip`, the excerpt is the whole song.

    Raises:
        AudioError: the file is missing, empty, damaged, no audio, or ends before the excerpt starts.
        OptionError: the excerpt is none, or a place is named where the whole song is taken.
    """
    if settings.takes_whole_songs and not is_clip:
        return _read_whole_song(path, settings, excerpt)
    began = perf_counter()
    found = read_excerpt(path, settings, excerpt, seed)
    read = perf_counter()
    mel = log_mel(found.samples, settings)
    took = (read - began - found.resampling, found.resampling, perf_counter() - read)
    envelope = envelope_of(found.samples, settings)
    return SongMel(mel, found.start, found.seconds, envelope, found.warnings, *took)


def _read_whole_song(path: str | Path, settings: AudioSettings, excerpt: str | float) -> SongMel:
    """Returns the log-mel of a song from its start on, as if it had been analysed in one piece."""
    if excerpt not in ("start", WHOLE):
        raise OptionError(
            f"--excerpt {excerpt} does not fit {settings.music_encoder}, which takes whole songs",
            "leave --excerpt out",
        )
    began, read = perf_counter(), _Parts()
    mel = np.concatenate(list(log_mel_in_parts(read.samples_of(path, settings), settings)), axis=1)
    seconds, resampling = read.samples / settings.sample_rate, sum(part.resampling for part in read.parts)
    warnings = dict.fromkeys(text for part in read.parts for text in part.warnings if text != SILENT)
    if all(SILENT in part.warnings for part in read.parts):
        warnings[SILENT] = None
    took = (read.reading - resampling, resampling, perf_counter() - began - read.reading)
    return SongMel(mel, 0.0, seconds, np.concatenate(read.envelopes), tuple(warnings), *took)


def envelope_of(samples: np.ndarray, settings: AudioSettings) -> np.ndarray:
    """Returns the greatest absolute sample of each `ENVELOPE_STEP`."""
    steps = range(0, len(samples), round(ENVELOPE_STEP * settings.sample_rate))
    return np.asarray(np.maximum.reduceat(np.abs(samples), steps))


@dataclass
class _Parts:
    """The parts of a song that have been read, without their samples."""

    parts: list[Excerpt] = field(default_factory=list)
    envelopes: list[np.ndarray] = field(default_factory=list)
    samples: int = 0
    reading: float = 0.0  # seconds of work

    def samples_of(self, path: str | Path, settings: AudioSettings) -> Iterator[np.ndarray]:
        """Yields a song's samples part by part, as many as the settings allow."""
        windows = read_windows(path, replace(settings, seconds=min(PART, settings.seconds)))
        began = perf_counter()
        for window in windows:
            known = round(window.repeated * settings.sample_rate)  # that the part before held, too
            samples = window.excerpt.samples[known:][: settings.samples - self.samples]
            self.parts.append(replace(window.excerpt, samples=samples[:0]))
            if len(samples):
                self.envelopes.append(envelope_of(samples, settings))
            self.samples += len(samples)
            self.reading += perf_counter() - began
            yield samples
            if self.samples >= settings.samples:
                return
            began = perf_counter()
