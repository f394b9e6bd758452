"""From decoded channels to a log-mel spectrogram: mixed to mono, resampled, Fourier windows, mel bands, logarithm."""

import functools
import math
from collections.abc import Iterable, Iterator

import numpy as np

from recap_cli.audio.settings import AudioSettings
from recap_cli.errors import AudioError, OptionError

CANCELLED = 0.2  # of two channels' energy left in their sum; 1 where they have nothing in common, 2 where equal
LONGEST_CANCELLED = 0.1  # of the passage's time
LOUD = 0.1  # of the passage's mean energy, below which a moment says nothing
MOST_CHANNELS = 16  # that are compared with each other; more are no recording of music
FEW = 7  # columns, up to which NumPy adds a row from left to right
ZERO_CROSSINGS, ROLL_OFF, KAISER_BETA = 50, 0.91734737, 12.9846  # of resampy's kaiser_best
MIN_PHASES, MOST_PHASES = 128, 2000  # samples that a row gives; a rate that has little in common with ours needs more
STEP = 8192  # frames that are looked at together
CANCELLING = "the channels cancel each other: mixed without channel {}"


def mix_down(channels: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """Returns float32 `[frames, channels]` as one channel, and what a user should know of it.

    It is the mean of the channels. Where two of them are nearly opposite, so that less than a fifth of their energy is
    left in their sum (a correlation below -0.8), for the whole passage or a tenth of its time, that mean would be
    silence or what a lossy coder left over; there the quieter of the two is left out of the mean, with a warning.
    """
    count = channels.shape[1]
    with np.errstate(invalid="ignore", over="ignore"):
        dropped = _cancelling(channels) if 1 < count <= MOST_CHANNELS else []
        if not dropped:
            return _mean_of(channels), ()
        kept = [number for number in range(count) if number not in dropped]
        names = " and ".join(str(number + 1) for number in sorted(dropped))
        return _mean_of(channels[:, kept]), (CANCELLING.format(names),)


def _mean_of(channels: np.ndarray) -> np.ndarray:
    """Returns `channels.mean(axis=1)` to the bit; a few long columns are added much faster than many short rows."""
    count = channels.shape[1]
    if count > FEW:
        return channels.mean(axis=1)
    total = channels[:, 0] + np.float32(0)  # NumPy begins with 0, too, which turns -0 into 0
    for number in range(1, count):
        total += channels[:, number]
    return total / np.float32(count) if count > 1 else total


def _cancelling(channels: np.ndarray) -> list[int]:
    """Returns the channels to leave out, so that no two are left that cancel each other; damaged samples leave none."""
    products = _energy_products(channels)
    energies = np.diagonal(products, axis1=1, axis2=2)
    pairs = energies[:, :, None] + energies[:, None, :]
    little = pairs + 2 * products < CANCELLED * pairs
    loud = pairs > LOUD * energies.sum(axis=1).mean()
    for_long = (little & loud).mean(axis=0) >= LONGEST_CANCELLED
    total, whole = products.sum(axis=0), pairs.sum(axis=0)
    in_all = (whole + 2 * total < CANCELLED * whole) & (whole > LOUD * np.trace(total))
    opposite = for_long | in_all
    dropped: list[int] = []
    for number in np.argsort(np.diagonal(total), kind="stable"):  # the quietest goes first
        others = [other for other in np.flatnonzero(opposite[number]) if other not in dropped]
        if others:
            dropped.append(int(number))
    return dropped


def _energy_products(channels: np.ndarray) -> np.ndarray:
    """Returns each moment's sums of products of two channels, float32 `[moments, channels, channels]`."""
    whole = len(channels) // STEP * STEP
    moments = channels[:whole].reshape(-1, STEP, channels.shape[1])
    rest = channels[whole:]
    return np.concatenate([moments.transpose(0, 2, 1) @ moments, (rest.T @ rest)[None]])


def resample(samples: np.ndarray, source_rate: int, settings: AudioSettings) -> np.ndarray:
    """Returns mono samples `[samples]` at the settings' rate, float32; samples already there pass unchanged.

    They are `[samples * sample_rate / source_rate]`, none where that is less than one.

    Raises:
        OptionError: `--resampler soxr` without the package soxr.
    """
    samples = np.asarray(samples, np.float32)
    if source_rate == settings.sample_rate:
        return samples
    if len(samples) * settings.sample_rate < source_rate:
        return np.zeros(0, np.float32)
    phases = settings.sample_rate // math.gcd(source_rate, settings.sample_rate)
    if settings.resampler == "polyphase" and phases <= MOST_PHASES:
        return _resample_in_phases(samples, source_rate, settings.sample_rate)
    if settings.resampler != "soxr":
        import resampy

        return resampy.resample(samples, source_rate, settings.sample_rate, filter="kaiser_best")
    try:
        import soxr
    except ImportError as error:
        raise OptionError(
            "--resampler soxr needs the package soxr", 'in the folder of the program: pip install ".[fast]"'
        ) from error
    return soxr.resample(samples, source_rate, settings.sample_rate, quality="HQ")


def _resample_in_phases(samples: np.ndarray, source_rate: int, rate: int) -> np.ndarray:
    """Resamples as one product of matrices; a row is a piece of the song after which output and input meet again."""
    weights, step, half = _phases(source_rate, rate)
    count = len(samples) * rate // source_rate
    rows = -(-count // weights.shape[1])
    padded = np.pad(samples, (half, half + step))
    pieces = np.lib.stride_tricks.sliding_window_view(padded, len(weights))[: rows * step : step]
    return (np.ascontiguousarray(pieces) @ weights).reshape(-1)[:count]


@functools.lru_cache(maxsize=4)
def _phases(source_rate: int, rate: int) -> tuple[np.ndarray, int, int]:
    """Returns weights [samples in, samples out] of a row, the samples between rows, and those before the first output.

    They are those of resampy's kaiser_best, exact where it interpolates a table.
    """
    common = math.gcd(source_rate, rate)
    several = -(-MIN_PHASES * common // rate)
    count, step = several * rate // common, several * source_rate // common
    half = math.ceil(ZERO_CROSSINGS * max(1.0, source_rate / rate))
    cutoff = ROLL_OFF * min(1.0, rate / source_rate)
    distance = np.arange(step + 2 * half)[:, None] - half - np.arange(count) * source_rate / rate
    window = np.i0(KAISER_BETA * np.sqrt(np.maximum(0, 1 - (distance / half) ** 2))) / np.i0(KAISER_BETA)
    weights = np.where(np.abs(distance) < half, cutoff * np.sinc(cutoff * distance) * window, 0)
    return _frozen(weights), step, half


@functools.cache
def hann_window(settings: AudioSettings) -> np.ndarray:
    """Returns the periodic Hann window, float32 `[n_fft]`, read-only (torch.hann_window's default)."""
    angles = np.arange(settings.n_fft, dtype=np.float32) * np.float32(2 * np.pi / settings.n_fft)
    return _frozen(0.5 - 0.5 * np.cos(angles.astype(np.float64)).astype(np.float32))


@functools.cache
def mel_filterbank(settings: AudioSettings) -> np.ndarray:
    """Returns triangular filters on the HTK mel scale, 2595 log10(1 + f / 700), peak 1 and not normalised.

    float32 `[n_fft // 2 + 1, mels]`, read-only; torchaudio's `melscale_fbanks(norm=None)` bit for bit. Those of musicnn
    are librosa's: on Slaney's scale, each of area 1.
    """
    if settings.takes_whole_songs:
        return _slaney_filterbank(settings)
    bins = np.linspace(0, settings.sample_rate // 2, settings.n_fft // 2 + 1).astype(np.float32)
    low, high = (np.float32(2595 * math.log10(1 + f / 700)) for f in (settings.f_min, settings.f_max))
    # torch steps from both ends, in float32: one other bit in a corner moves a narrow filter by 1e-5.
    step, index = float((high - low) / np.float32(settings.mels + 1)), np.arange(settings.mels + 2)
    points = np.where(index < len(index) // 2, low + index * step, high - index[::-1] * step).astype(np.float32)
    powers = 10 ** (points / np.float32(2595)).astype(np.float64)
    corners = np.float32(700) * (powers.astype(np.float32) - np.float32(1))
    distance, widths = corners[None, :] - bins[:, None], np.diff(corners)
    return _frozen(np.maximum(0, np.minimum(-distance[:, :-2] / widths[:-1], distance[:, 2:] / widths[1:])))


def _slaney_filterbank(settings: AudioSettings) -> np.ndarray:
    """Returns filters as even in Hz as 3 mels in 200 up to 1 kHz, then 27 mels in a factor of 6.4."""
    linear, break_mel, factor = 200 / 3, 15.0, math.log(6.4) / 27
    high = break_mel + math.log(settings.f_max / 1000) / factor
    mels = np.linspace(0, high, settings.mels + 2)
    corners = np.where(mels < break_mel, linear * mels, 1000 * np.exp(factor * (mels - break_mel)))
    bins = np.linspace(0, settings.sample_rate / 2, settings.n_fft // 2 + 1)
    distance, widths = corners[None, :] - bins[:, None], np.diff(corners)
    peaks = np.maximum(0, np.minimum(-distance[:, :-2] / widths[:-1], distance[:, 2:] / widths[1:]))
    return _frozen(peaks * 2 / (corners[2:] - corners[:-2]))


def _frozen(values: np.ndarray) -> np.ndarray:
    """Returns the values as float32 that no caller can change: they are shared through a cache."""
    values = values.astype(np.float32)
    values.setflags(write=False)
    return values


def mel_power(samples: np.ndarray, settings: AudioSettings) -> np.ndarray:
    """Returns the power in each mel band: torchaudio's MelSpectrogram, centred, reflect-padded, power 2.

    Reflection needs n_fft // 2 + 1 samples (257); a shorter clip is first padded to that with zeros at its end. For
    musicnn both ends are padded with zeros, as librosa does.

    Args:
        samples: mono `[samples]` at the settings' rate; none is an AudioError.
        settings: the signal constants.

    Returns:
        float32 `[mels, frames]` with frames = `settings.frames(samples)`.
    """
    if not len(samples):
        raise AudioError("there are no audio samples to analyse", "is the audio file empty?")
    half = settings.n_fft // 2
    # float64: quiet bands beside loud ones keep their decibels, whichever NumPy does the transform.
    padded = np.pad(np.asarray(samples, np.float64), (0, max(0, half + 1 - len(samples))))
    return _band_power(np.pad(padded, half, mode="constant" if settings.takes_whole_songs else "reflect"), settings)


def _band_power(signal: np.ndarray, settings: AudioSettings) -> np.ndarray:
    """Returns the power in each mel band of each whole Fourier window of a signal, float32 `[mels, frames]`."""
    frames = np.lib.stride_tricks.sliding_window_view(signal, settings.n_fft)[:: settings.hop]
    spectrum = np.fft.rfft(frames * hann_window(settings))
    power = (spectrum.real**2 + spectrum.imag**2) @ mel_filterbank(settings)
    return np.ascontiguousarray(power.T, np.float32)


def log_mel(samples: np.ndarray, settings: AudioSettings) -> np.ndarray:
    """Returns what the music encoder takes, in decibels: 10 log10(max(mel power, power_floor)), no top_db.

    Takes and refuses what `mel_power` does; float32 `[mels, frames]`, `[128, 938]` for 15 s. Silence is -100. For
    musicnn it is log10(10000 power + 1), `[96, frames]`, and silence 0.
    """
    return _logarithm(mel_power(samples, settings), settings)


def _logarithm(power: np.ndarray, settings: AudioSettings) -> np.ndarray:
    if settings.takes_whole_songs:
        # Rounded as in the original, which went on in half precision, where sound as loud as any CD's overflows.
        rounded = np.minimum(power, np.finfo(np.float16).max).astype(np.float16)
        return np.log10(10000 * rounded.astype(np.float32) + 1)
    power = np.maximum(power, settings.power_floor)
    return (10 * np.log10(power, dtype=np.float64)).astype(np.float32)


def log_mel_in_parts(parts: Iterable[np.ndarray], settings: AudioSettings) -> Iterator[np.ndarray]:
    """Yields the log-mel of samples that come in parts, for musicnn: joined, what `log_mel` makes of them together."""
    half, total = settings.n_fft // 2, 0
    rest = np.zeros(half)
    for part in parts:
        total += len(part)
        rest = np.concatenate([rest, part])
        if frames := max(0, (len(rest) - settings.n_fft) // settings.hop + 1):
            yield _logarithm(_band_power(rest, settings), settings)
            rest = rest[frames * settings.hop :]
    rest = np.pad(rest, (0, max(0, half + 1 - total) + half))
    yield _logarithm(_band_power(rest, settings), settings)
