"""From an audio file to what the music encoder hears: song.wav -> excerpt -> mono -> 16 kHz -> log-mel."""

import functools
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, Self

import numpy as np

from recap_cli.audio.downmix import mix_down
from recap_cli.audio.ffmpeg import UNPLAYABLE
from recap_cli.audio.passages import Passage, Request, decode_passage
from recap_cli.audio.sound import SOURCE_RATES, check_file
from recap_cli.errors import AudioError, DataError, ModelError, OptionError
from recap_cli.records import check_fields, one_of, real, whole

RESAMPLERS = ("resampy", "soxr")
PLACES = ("start", "middle", "random")

LENGTHS = (0.1, 600.0)  # seconds an excerpt may have
# What a file of settings may say.
RULES = {
    "sample_rate": whole(*SOURCE_RATES),
    "seconds": real(*LENGTHS),
    "n_fft": whole(2, 65_536),
    "hop": whole(1, 65_536),
    "mels": whole(1, 1024),
    "f_min": real(0.0, 1e6),
    "f_max": real(0.0, 1e6),
    "power_floor": real(1e-30, 1.0),
    "resampler": one_of(RESAMPLERS),
}
LARGEST_SPECTRUM = 1 << 26  # frames of an excerpt times samples in a window, for a GB of memory
SILENCE = 1e-4  # peak, -80 dBFS
LOUDEST = 2.0**31  # beyond integer samples that somebody stored as floats there is only damage
_NOTHING = np.zeros(0, np.float32)


@dataclass(frozen=True)
class AudioSettings:
    """Every constant of the signal path; the defaults are CNNSA's (Won et al., 2019), 15 s as in the paper.

    A value that cannot be used is an OptionError that names its flag.

    Attributes:
        sample_rate: Hz the model hears.
        seconds: length of the excerpt.
        n_fft: samples in a Fourier window, even.
        hop: samples between frames.
        mels: mel bands.
        f_min: lowest frequency of the mel scale in Hz.
        f_max: highest frequency of the mel scale in Hz.
        power_floor: mel power below which everything counts as silence.
        resampler: "resampy" (kaiser_best) or "soxr" (HQ; needs the extra `fast`).
    """

    sample_rate: int = 16000
    seconds: float = 15.0
    n_fft: int = 512
    hop: int = 256
    mels: int = 128
    f_min: float = 0.0
    f_max: float = 8000.0
    power_floor: float = 1e-10
    resampler: str = "resampy"

    def __post_init__(self) -> None:
        if not LENGTHS[0] <= self.seconds <= LENGTHS[1]:
            raise OptionError(f"--seconds {self.seconds:g} is out of range", "Give {} to {} seconds.".format(*LENGTHS))
        if self.resampler not in RESAMPLERS:
            raise OptionError(f"--resampler {self.resampler} is unknown", f"Choose {' or '.join(RESAMPLERS)}.")
        framed = self.n_fft >= 2 and self.n_fft % 2 == 0 and 0 < self.hop <= self.n_fft
        banded = self.mels >= 1 and 0 <= self.f_min < self.f_max <= self.sample_rate / 2 and self.power_floor > 0
        if not (framed and banded):
            rule = "n_fft is even, hop <= n_fft, mels >= 1, 0 <= f_min < f_max <= sample_rate / 2, power_floor > 0."
            values = ", ".join(f"{name} {getattr(self, name):g}" for name in RULES if name in rule)
            raise OptionError(f"the audio settings do not fit together: {values}", rule)
        if self.seconds * self.sample_rate / self.hop * self.n_fft > LARGEST_SPECTRUM:
            raise OptionError(f"hop {self.hop} makes too many frames of {self.seconds:g} s", "Give a larger one.")

    @property
    def samples(self) -> int:
        """Samples in a full window at `sample_rate`."""
        return round(self.seconds * self.sample_rate)

    def frames(self, samples: int) -> int:
        """Give the frames `log_mel` makes of so many samples: 1 + samples // hop, very short clips padded first."""
        return 1 + max(samples, self.n_fft // 2 + 1) // self.hop

    def to_json(self) -> dict[str, Any]:
        """Give the settings as plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> Self:
        """Make settings from `to_json`'s values: a missing key defaults, an unknown key or bad value is a DataError."""
        unknown = set(record) - set(RULES)
        if names := ", ".join(sorted(unknown)):
            raise DataError(f"audio settings: unknown {names}", "Was it written by a newer version?")
        try:
            return cls(**check_fields(record, RULES, "audio settings"))
        except ModelError as error:
            raise DataError(error.message, "The file is damaged or was edited.") from error
        except OptionError as error:
            raise DataError(f"audio settings: {error}", "The file is damaged or was edited.") from error


@dataclass(frozen=True)
class Excerpt:
    """The passage of a song that the model hears.

    Attributes:
        samples: mono float32 `[samples]` at the settings' sample rate, at most one window; nominal range -1 to 1.
        start: where it starts in the file, in seconds.
        seconds: its real length, shorter than the window where the song ends.
        source_rate: Hz of the file.
        channels: channels of the file.
        warnings: what a user should know though the excerpt is usable; a few words each, without the file's name.
        resampling: seconds of work that resampling took.
    """

    samples: np.ndarray
    start: float
    seconds: float
    source_rate: int
    channels: int
    warnings: tuple[str, ...] = ()
    resampling: float = 0.0


def read_excerpt(path: str | Path, settings: AudioSettings, excerpt: str | float = "start", seed: int = 0) -> Excerpt:
    """Decode one excerpt of an audio file, mix it to mono and resample it; the rest of the file stays unread.

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
    place = excerpt_place(excerpt)
    request = Request(Path(path), settings.seconds, 0.0 if place == "start" else place, seed)
    check_file(request.path)
    passage = decode_passage(request)
    mono, cancelled = mix_down(passage.samples)
    if not np.abs(mono).max(initial=0) <= LOUDEST:
        raise AudioError(f"{path} holds samples that are not numbers or not finite", "Export the file again.")
    began = perf_counter()
    samples = resample(mono, passage.rate, settings)[: settings.samples]
    if not len(samples):
        raise AudioError(f"{path} holds no audio samples", UNPLAYABLE)
    start, seconds, took = passage.start / passage.rate, len(samples) / settings.sample_rate, perf_counter() - began
    warnings = (*_warnings(passage, samples, settings), *cancelled)
    return Excerpt(samples, start, seconds, passage.rate, passage.channels, warnings, took)


def excerpt_place(excerpt: str | float, words: tuple[str, ...] = PLACES) -> str | float:
    """Returns where in a song an excerpt starts, as `--excerpt` says it: one of `words`, or seconds.

    Raises:
        OptionError: it is neither.
    """
    if excerpt in words:
        return excerpt
    try:
        start = float(excerpt)
    except ValueError:
        start = math.nan
    if not 0 <= start < 1e9:
        raise OptionError(f"--excerpt {excerpt} is no place in a song", f"give {', '.join(words)}, or seconds from 0")
    return start


def _warnings(passage: Passage, samples: np.ndarray, settings: AudioSettings) -> tuple[str, ...]:
    found, decoded, promised = [], len(passage.samples) / passage.rate, passage.promised / passage.rate
    if promised - decoded > 0.1:
        found.append(f"damaged? {decoded:.1f} s could be decoded where the file promises {promised:.1f} s")
    if np.abs(samples).max() < SILENCE:
        found.append("silent: the excerpt peaks below -80 dBFS")
    if len(samples) < min(settings.sample_rate, settings.samples):
        found.append(f"very short: {len(samples) / settings.sample_rate:.2f} s of audio")
    return tuple(found)


def resample(samples: np.ndarray, source_rate: int, settings: AudioSettings) -> np.ndarray:
    """Bring mono samples `[samples]` to the settings' rate, float32; samples already there pass unchanged.

    Returns:
        float32 `[samples * sample_rate / source_rate]`, empty where that is less than one sample.

    Raises:
        OptionError: `--resampler soxr` without the package soxr.
    """
    samples = np.asarray(samples, np.float32)
    if source_rate == settings.sample_rate:
        return samples
    if len(samples) * settings.sample_rate < source_rate:
        return _NOTHING
    if settings.resampler == "resampy":
        import resampy

        return resampy.resample(samples, source_rate, settings.sample_rate, filter="kaiser_best")
    try:
        import soxr
    except ImportError as error:
        raise OptionError(
            "--resampler soxr needs the package soxr", 'in the folder of the program: pip install ".[fast]"'
        ) from error
    return soxr.resample(samples, source_rate, settings.sample_rate, quality="HQ")


@functools.cache
def hann_window(settings: AudioSettings) -> np.ndarray:
    """Give the periodic Hann window, float32 `[n_fft]`, read-only (torch.hann_window's default)."""
    angles = np.arange(settings.n_fft, dtype=np.float32) * np.float32(2 * np.pi / settings.n_fft)
    return _frozen(0.5 - 0.5 * np.cos(angles.astype(np.float64)).astype(np.float32))


@functools.cache
def mel_filterbank(settings: AudioSettings) -> np.ndarray:
    """Give triangular filters on the HTK mel scale, 2595 log10(1 + f / 700), peak 1 and not normalised.

    float32 `[n_fft // 2 + 1, mels]`, read-only; torchaudio's `melscale_fbanks(norm=None)` bit for bit.
    """
    bins = np.linspace(0, settings.sample_rate // 2, settings.n_fft // 2 + 1).astype(np.float32)
    low, high = (np.float32(2595 * math.log10(1 + f / 700)) for f in (settings.f_min, settings.f_max))
    # torch steps from both ends, in float32: one other bit in a corner moves a narrow filter by 1e-5.
    step, index = float((high - low) / np.float32(settings.mels + 1)), np.arange(settings.mels + 2)
    points = np.where(index < len(index) // 2, low + index * step, high - index[::-1] * step).astype(np.float32)
    powers = 10 ** (points / np.float32(2595)).astype(np.float64)
    corners = np.float32(700) * (powers.astype(np.float32) - np.float32(1))
    distance, widths = corners[None, :] - bins[:, None], np.diff(corners)
    return _frozen(np.maximum(0, np.minimum(-distance[:, :-2] / widths[:-1], distance[:, 2:] / widths[1:])))


def _frozen(values: np.ndarray) -> np.ndarray:
    """Give the values as float32 that no caller can change: they are shared through a cache."""
    values = values.astype(np.float32)
    values.setflags(write=False)
    return values


def mel_power(samples: np.ndarray, settings: AudioSettings) -> np.ndarray:
    """Measure the power in each mel band: torchaudio's MelSpectrogram, centred, reflect-padded, power 2.

    Reflection needs n_fft // 2 + 1 samples (257); a shorter clip is first padded to that with zeros at its end.

    Args:
        samples: mono `[samples]` at the settings' rate; none is an AudioError.
        settings: the signal constants.

    Returns:
        float32 `[mels, frames]` with frames = `settings.frames(samples)`.
    """
    if not len(samples):
        raise AudioError("there are no audio samples to analyse", "Is the audio file empty?")
    half = settings.n_fft // 2
    # float64: quiet bands beside loud ones keep their decibels, whichever NumPy does the transform.
    padded = np.pad(np.asarray(samples, np.float64), (0, max(0, half + 1 - len(samples))))
    signal = np.pad(padded, half, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(signal, settings.n_fft)[:: settings.hop]
    spectrum = np.fft.rfft(frames * hann_window(settings))
    power = (spectrum.real**2 + spectrum.imag**2) @ mel_filterbank(settings)
    return np.ascontiguousarray(power.T, np.float32)


def log_mel(samples: np.ndarray, settings: AudioSettings) -> np.ndarray:
    """Give what the music encoder hears, in decibels: 10 log10(max(mel power, power_floor)), no top_db.

    Takes and refuses what `mel_power` does; float32 `[mels, frames]`, `[128, 938]` for 15 s. Silence is -100.
    """
    power = np.maximum(mel_power(samples, settings), settings.power_floor)
    return (10 * np.log10(power, dtype=np.float64)).astype(np.float32)
