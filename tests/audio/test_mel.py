"""From channels to log-mel: stereo that cancels, every other downmix the mean to the bit, and the mel's formula."""

import math
import sys

import numpy as np
import pytest
import soundfile

from recap_cli.audio.decode import read_excerpt, read_windows
from recap_cli.audio.mel import hann_window, log_mel, mel_filterbank, mel_power, mix_down, resample
from recap_cli.audio.settings import AudioSettings
from recap_cli.errors import AudioError, OptionError

RATE = 16000
SETTINGS = AudioSettings(seconds=4.0)
random = np.random.default_rng(0)
SONG, OTHER = (random.normal(0, 0.1, (2, 4 * RATE)) * np.abs(np.sin(np.arange(4 * RATE) / 3000))).astype(np.float32)
SILENT = np.zeros_like(SONG)
BASS = 0.3 * np.sin(2 * np.pi * 80 * np.arange(4 * RATE) / RATE).astype(np.float32)


MUSICNN = AudioSettings.of_encoder("musicnn")
TUNE = np.sum([0.1 / n * np.sin(2 * np.pi * 220 * n * np.arange(4 * RATE) / RATE) for n in range(1, 12)], axis=0)


def correlated(amount):
    return (amount * SONG + np.sqrt(1 - amount**2) * OTHER).astype(np.float32)


def late(share):
    """The song, opposite in a share of its time."""
    turn = round(len(SONG) * (1 - share))
    return np.concatenate([SONG[:turn], -SONG[turn:]])


def loudness(samples):
    return 10 * np.log10(np.mean(np.square(samples, dtype=np.float64)) + 1e-20)


CANCELS = {
    "opposite": [SONG, -SONG],
    "another gain": [SONG, -0.6 * SONG],
    "nearly opposite": [SONG, correlated(-0.9)],
    "a third of the time": [SONG, late(0.33)],
    "bass": [BASS + 0.2 * SONG, -BASS + 0.2 * SONG],
    "a constant and the song": [SONG, 0.001 - SONG],
    "a pair of six": [SONG, -SONG, SILENT, SILENT, SILENT, SILENT],
    "a pair of six with another centre": [SONG, -SONG, 0.8 * OTHER, SILENT, SILENT, SILENT],
}
ORDINARY = {
    "equal": [SONG, SONG],
    "unrelated": [SONG, OTHER],
    "one side only": [SONG, SILENT],
    "wide": [SONG, correlated(-0.6)],
    "nearly too wide": [SONG, correlated(-0.75)],
    "a moment": [SONG, late(0.04)],
    "less of it": [SONG, -0.3 * SONG],
    "silent": [SILENT, SILENT],
    "six unrelated": [SONG, OTHER, correlated(0.3), SILENT, OTHER[::-1], SONG[::-1]],
    "mono": [SONG],
    "twenty": [SONG, -SONG] * 10,
}


@pytest.mark.parametrize("name", CANCELS)
def test_channels_that_cancel_are_heard(name):
    channels = np.stack(CANCELS[name], axis=1)
    mono, warnings = mix_down(channels)
    assert len(warnings) == 1 and warnings[0].startswith("the channels cancel each other: mixed without channel ")
    assert mono.dtype == np.float32 and mono.shape == (len(SONG),)
    assert loudness(mono) > loudness(channels[:, 0]) - 20 * np.log10(len(CANCELS[name])) + 1


@pytest.mark.parametrize("name", ORDINARY)
def test_every_other_is_the_mean_to_the_bit(name):
    channels = np.stack(ORDINARY[name], axis=1)
    mono, warnings = mix_down(channels)
    assert warnings == () and mono.tobytes() == channels.mean(axis=1).tobytes()


@pytest.mark.parametrize("count", [1, 2, 3, 5, 7, 8, 9])
def test_the_mean_is_numpys(count):
    channels = (random.normal(0, 1, (10_000, count)) * 10.0 ** random.integers(-8, 3, (10_000, count))).astype("f")
    channels[0] = -0.0
    assert mix_down(channels)[0].tobytes() == channels.mean(axis=1).tobytes()


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e30])
def test_damaged_samples_stay_so(value):
    channels = np.stack([SONG, -SONG], axis=1)
    channels[100, 0] = value
    assert not np.abs(mix_down(channels)[0]).max() <= 1e6


@pytest.mark.parametrize("level", [0.0, 0.3, 0.6, 0.9])
@pytest.mark.parametrize(
    ("suffix", "options"), [("ogg", {}), ("mp3", {}), ("opus", {"format": "OGG", "subtype": "OPUS"})]
)
def test_opposite_channels_after_a_lossy_coder(tmp_path, suffix, options, level):
    path = tmp_path / f"song.{suffix}"
    soundfile.write(path, np.stack([TUNE, -TUNE], axis=1), RATE, compression_level=level, **options)
    decoded, _ = soundfile.read(path)
    heard = read_excerpt(path, SETTINGS)
    (window,) = read_windows(path, SETTINGS)
    if loudness(decoded) < -60:  # the coder itself left nothing
        pytest.skip("silent file")
    for excerpt in (heard, window.excerpt):
        assert loudness(excerpt.samples) > loudness(TUNE) - 3
        assert any(text.startswith("the channels cancel") for text in excerpt.warnings)


def test_resample_edges():
    same = np.ones(5, np.float32)
    assert resample(same, 16000, AudioSettings(seconds=1.0)) is same
    assert len(resample(np.ones(2, np.float32), 44100, AudioSettings(seconds=1.0))) == 0


def test_soxr_that_is_not_installed_names_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "soxr", None)
    with pytest.raises(OptionError, match="--resampler soxr") as caught:
        resample(np.ones(100, np.float32), 8000, AudioSettings(resampler="soxr"))
    assert ".[fast]" in caught.value.hint


def test_log_mel_equals_the_formula_written_out():
    settings = AudioSettings()
    samples = SONG[:1600]
    padded = np.concatenate([samples[256:0:-1], samples, samples[-2:-258:-1]]).astype(np.float64)
    for frame in (0, 3, 6):
        windowed = padded[frame * 256 : frame * 256 + 512] * hann_window(settings)
        angle = -2j * np.pi * np.outer(np.arange(257), np.arange(512)) / 512
        power = np.abs(np.exp(angle) @ windowed) ** 2 @ mel_filterbank(settings)
        assert np.allclose(mel_power(samples, settings)[:, frame], power, rtol=1e-5, atol=1e-9)
        expected = 10 * np.log10(np.maximum(power, 1e-10))
        assert np.allclose(log_mel(samples, settings)[:, frame], expected, atol=1e-3)


def test_mel_of_a_pure_tone_peaks_in_its_band():
    settings = AudioSettings()
    mel = log_mel(np.sin(2 * np.pi * 3000 * np.arange(16000) / 16000), settings)
    band = 2595 * math.log10(1 + 3000 / 700) / (2595 * math.log10(1 + 8000 / 700)) * 129 - 1
    assert mel.dtype == np.float32 and mel.flags.c_contiguous
    assert np.abs(mel[:, 5:-5].argmax(axis=0) - band).max() <= 1


def test_cached_filters_cannot_be_changed():
    for shared in (hann_window(AudioSettings(seconds=1.0)), mel_filterbank(AudioSettings(seconds=1.0))):
        with pytest.raises(ValueError, match="read-only"):
            shared[0] = 1


def test_no_samples_have_no_mel():
    with pytest.raises(AudioError, match="no audio samples"):
        log_mel(np.zeros(0, np.float32), AudioSettings(seconds=1.0))


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 48_000])
def test_resampling_in_phases_is_resampys_best(rate):
    samples = np.random.default_rng(1).normal(0, 0.1, rate).astype(np.float32)
    found, wanted = resample(samples, rate, MUSICNN), resample(samples, rate, AudioSettings())
    assert found.dtype == np.float32
    assert found.shape == wanted.shape == (RATE,)
    assert np.abs(found - wanted).max() < 1e-3 * np.abs(wanted).max()


@pytest.mark.parametrize(("count", "left"), [(1, 0), (2, 0), (3, 1), (441, 160), (442, 160), (50_000, 18_140)])
def test_resampling_in_phases_leaves_as_many_samples_as_time(count, left):
    found = resample(np.ones(count, np.float32), 44_100, MUSICNN)
    assert len(found) == left
    assert count < 1000 or np.abs(found[1000:-1000] - 1).max() < 1e-4
