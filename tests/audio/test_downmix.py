"""Stereo that cancels is heard; every other downmix is the mean, to the bit."""

import numpy as np
import pytest
import soundfile

from recap_cli.audio.decode import read_excerpt, read_windows
from recap_cli.audio.mel import mix_down
from recap_cli.audio.settings import AudioSettings

RATE = 16000
SETTINGS = AudioSettings(seconds=4.0)
random = np.random.default_rng(0)
SONG, OTHER = (random.normal(0, 0.1, (2, 4 * RATE)) * np.abs(np.sin(np.arange(4 * RATE) / 3000))).astype(np.float32)
SILENT = np.zeros_like(SONG)
BASS = 0.3 * np.sin(2 * np.pi * 80 * np.arange(4 * RATE) / RATE).astype(np.float32)


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
    assert len(warnings) == 1 and warnings[0].startswith("the channels cancel each other: heard without channel ")
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
