"""What a model hears: CNNSA an excerpt, musicnn a whole song, as librosa and the original have it."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile
from safetensors.numpy import load_file

from recap_cli.audio import song_mel
from recap_cli.audio.decode import SILENT, read_excerpt
from recap_cli.audio.mel import log_mel, log_mel_in_parts
from recap_cli.audio.settings import AudioSettings
from recap_cli.audio.song_mel import read_log_mel
from recap_cli.errors import DataError, OptionError

FIXTURES = Path(__file__).parents[1] / "fixtures"
MUSICNN = AudioSettings.of_encoder("musicnn")
HALF_PRECISION = 5e-4  # one step of float16, as a logarithm
RATE = 16000


def noise(seconds: float, rate: int = RATE) -> np.ndarray:
    return np.random.default_rng(0).uniform(-0.5, 0.5, round(seconds * rate)).astype(np.float32)


def write(path: Path, samples: np.ndarray, rate: int = RATE) -> Path:
    soundfile.write(path, samples, rate, subtype="FLOAT")
    return path


def test_the_log_mel_of_musicnn_is_librosas():
    waveforms = load_file(FIXTURES / "parity" / "mel.safetensors")["waveform"]
    for samples, wanted in zip(waveforms, np.load(FIXTURES / "musicnn" / "mel.npz")["mel"], strict=True):
        found = log_mel(samples, MUSICNN)
        assert found.shape == wanted.shape
        assert np.abs(found - wanted).max() < HALF_PRECISION  # where rounding fell to the other side
        assert np.mean(np.abs(found - wanted) > 1e-5) < 0.002


@pytest.mark.parametrize("count", [1, 255, 256, 257, 511, 512, 7000])
def test_in_parts_it_is_the_same(count):
    samples = noise(1)[:count]
    for cuts in ([count // 2], sorted([1, count // 3]), []):
        parts = np.concatenate(list(log_mel_in_parts(np.split(samples, cuts), MUSICNN)), axis=1)
        assert np.array_equal(parts, log_mel(samples, MUSICNN))
        assert parts.shape[1] == MUSICNN.frames(count)


def test_the_whole_song_is_heard_as_one(tmp_path, monkeypatch):
    monkeypatch.setattr(song_mel, "PART", 2.0)
    song = write(tmp_path / "a.wav", noise(7.3))
    heard = read_log_mel(song, MUSICNN)
    assert np.array_equal(heard.mel, log_mel(noise(7.3), MUSICNN))
    assert (heard.start, heard.seconds, heard.warnings) == (0.0, 7.3, ())
    first = read_log_mel(song, AudioSettings.of_encoder("musicnn", seconds=3.0))
    assert np.array_equal(first.mel, log_mel(noise(7.3)[: 3 * RATE], MUSICNN))


def test_parts_that_are_resampled_one_by_one_join_well(tmp_path, monkeypatch):
    times = np.arange(5 * 22050) / 22050
    samples = (0.3 * np.sin(2 * np.pi * 440 * times)).astype(np.float32)
    song = write(tmp_path / "a.wav", samples, 22050)
    in_one = read_log_mel(song, MUSICNN).mel
    monkeypatch.setattr(song_mel, "PART", 2.0)
    joined = read_log_mel(song, MUSICNN).mel
    assert joined.shape == in_one.shape
    other = np.flatnonzero(np.abs(joined - in_one).max(axis=0) > 0.01)
    assert len(other) <= 8  # frames around the two joints
    assert np.abs(joined - in_one)[10:20].max() < 0.01  # the tone itself never breaks


def test_a_song_is_silent_where_all_of_it_is(tmp_path, monkeypatch):
    monkeypatch.setattr(song_mel, "PART", 2.0)
    silence = np.zeros(5 * RATE, np.float32)
    found = read_log_mel(write(tmp_path / "a.wav", silence), MUSICNN)
    assert (found.warnings, found.mel.max()) == ((SILENT,), MUSICNN.silence)
    late = np.concatenate([silence, noise(1)])
    assert read_log_mel(write(tmp_path / "b.wav", late), MUSICNN).warnings == ()


def test_loud_sound_does_not_overflow():
    assert np.isfinite(log_mel(1e6 * noise(1), MUSICNN)).all()
    tone = np.sin(2 * np.pi * 1000 * np.arange(RATE) / RATE)  # as loud as a CD's loudest; the original gives infinity
    assert 6 < log_mel(tone, MUSICNN).max() < 7


def test_cnnsa_hears_an_excerpt(tmp_path):
    song, settings = write(tmp_path / "a.wav", noise(3)), AudioSettings(seconds=1.0)
    heard, excerpt = read_log_mel(song, settings, "middle"), read_excerpt(song, settings, "middle")
    assert np.array_equal(heard.mel, log_mel(excerpt.samples, settings))
    assert (heard.start, heard.seconds) == (1.0, 1.0)


@pytest.mark.parametrize("place", ["middle", "random", 1.5])
def test_no_place_is_named_in_a_whole_song(tmp_path, place):
    with pytest.raises(OptionError, match="which takes whole songs"):
        read_log_mel(write(tmp_path / "a.wav", noise(1)), MUSICNN, place)


def test_a_long_song_takes_little_memory(tmp_path):
    song = tmp_path / "long.wav"
    with soundfile.SoundFile(song, "w", RATE, 2) as file:
        for _ in range(6):
            file.write(np.zeros((60 * RATE, 2), np.float32))
    read_log_mel(song, AudioSettings.of_encoder("musicnn", seconds=1.0))  # imports
    tracemalloc.start()
    try:
        mel = read_log_mel(song, MUSICNN).mel
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert mel.shape == (96, 1 + 360 * RATE // 256)
    assert peak < 2 * mel.nbytes + 60e6, peak  # the log-mel, twice while it is joined, and one part


def test_settings_name_their_encoder_and_old_ones_need_not():
    assert "music_encoder" not in AudioSettings().to_json()
    assert AudioSettings.from_json(AudioSettings().to_json()) == AudioSettings.of_encoder("cnnsa") == AudioSettings()
    assert AudioSettings.from_json(MUSICNN.to_json()) == MUSICNN
    assert (MUSICNN.takes_whole_songs, MUSICNN.mels, MUSICNN.seconds, MUSICNN.silence) == (True, 96, 1800, 0)
    for change in ({"mels": 128}, {"hop": 128}, {"f_max": 7000.0}, {"music_encoder": "vgg"}, {"seconds": 1801.0}):
        with pytest.raises(DataError):
            AudioSettings.from_json({**MUSICNN.to_json(), **change})
    with pytest.raises(OptionError, match="out of range"):
        AudioSettings(seconds=601.0)
