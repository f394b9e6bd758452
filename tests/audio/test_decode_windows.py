"""A whole song in windows: nothing left out, nothing alone that is too short, and no more than a window in memory."""

import tracemalloc

import numpy as np
import pytest
import soundfile

from recap_cli.audio.decode import read_excerpt, read_windows
from recap_cli.audio.settings import AudioSettings
from recap_cli.errors import AudioError

SETTINGS = AudioSettings(seconds=1.0)
RATE = 16000


def noise(path, seconds, rate=RATE):
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, round(seconds * rate)).astype(np.float32)
    soundfile.write(path, samples, rate, subtype="FLOAT")
    return path, samples


@pytest.mark.parametrize(
    ("seconds", "starts", "repeated"),
    [(3.0, [0, 1, 2], 0.0), (3.25, [0, 1, 2, 2.25], 0.75), (0.4, [0], 0.0), (1.0, [0], 0.0), (1.9, [0, 0.9], 0.1)],
)
def test_windows_cover_the_song(tmp_path, seconds, starts, repeated):
    path, samples = noise(tmp_path / "song.wav", seconds)
    windows = list(read_windows(path, SETTINGS))
    assert [window.excerpt.start for window in windows] == pytest.approx(starts)
    assert [window.repeated for window in windows[:-1]] == [0.0] * (len(windows) - 1)
    assert windows[-1].repeated == pytest.approx(repeated)
    new = [window.excerpt.samples[round(window.repeated * RATE) :] for window in windows]
    assert np.array_equal(np.concatenate(new), samples)
    assert all(len(window.excerpt.samples) == RATE for window in windows) or seconds < 1


def test_a_window_is_the_excerpt_that_starts_there(tmp_path):
    path, _ = noise(tmp_path / "song.wav", 3.3, rate=22050)
    for window in read_windows(path, SETTINGS):
        alone = read_excerpt(path, SETTINGS, window.excerpt.start)
        assert np.allclose(window.excerpt.samples, alone.samples, atol=1e-6)


def test_memory_does_not_grow_with_the_song(tmp_path):
    peaks = []
    for seconds in (20, 120):
        path, _ = noise(tmp_path / "song.wav", seconds)
        tracemalloc.start()
        assert sum(1 for _ in read_windows(path, SETTINGS)) == seconds
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0] < 4e6


def test_what_cannot_be_heard(tmp_path):
    (tmp_path / "text.wav").write_text("no audio")
    (tmp_path / "empty.wav").touch()
    soundfile.write(tmp_path / "none.wav", np.zeros(0), RATE)
    for name, message in (
        ("text.wav", "is not audio that can be decoded"),
        ("empty.wav", "is empty"),
        ("none.wav", "holds no audio samples"),
        ("nothing.wav", "cannot be opened"),
    ):
        with pytest.raises(AudioError, match=rf"{name} {message}"):
            list(read_windows(tmp_path / name, SETTINGS))


def test_a_damaged_song_says_what_is_lost(tmp_path):
    path, _ = noise(tmp_path / "song.wav", 3.0)
    data = path.read_bytes()
    flac = tmp_path / "song.flac"
    soundfile.write(flac, np.random.default_rng(0).uniform(-0.5, 0.5, 48000), RATE)
    flac.write_bytes(flac.read_bytes()[: len(data) // 3])
    last = list(read_windows(flac, SETTINGS))[-1]
    assert any(text.startswith("damaged? ") for text in last.excerpt.warnings)


def test_a_song_that_breaks_off_at_the_end_of_a_window(tmp_path):
    soundfile.write(tmp_path / "song.flac", np.random.default_rng(0).uniform(-0.5, 0.5, 3 * RATE), RATE)
    data = bytearray((tmp_path / "song.flac").read_bytes())
    data[22:26] = (9 * RATE).to_bytes(4, "big")
    (tmp_path / "song.flac").write_bytes(data)
    windows = list(read_windows(tmp_path / "song.flac", SETTINGS))
    assert len(windows) == 3
    assert windows[-1].excerpt.warnings == ("damaged? 3.0 s could be decoded where the file promises 9.0 s",)
