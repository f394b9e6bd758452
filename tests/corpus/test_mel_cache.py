"""The log-mel cache's keys, and log-mels of files and demo songs."""

import hashlib
from dataclasses import fields

import numpy as np
import pytest
import soundfile

from recap_cli.audio.settings import AudioSettings
from recap_cli.corpus.mel_cache import fingerprint, hash_file, log_mel_of_file, mel_key
from recap_cli.demo.songs import DemoSettings, log_mel_of_demo_song, make_songs
from recap_cli.errors import AudioError, DataError

OTHER_AUDIO = {
    "sample_rate": 22050,
    "seconds": 14.0,
    "n_fft": 1024,
    "hop": 200,
    "mels": 64,
    "f_min": 20.0,
    "f_max": 7000.0,
    "power_floor": 1e-9,
    "resampler": "soxr",
}
GIVEN = {"content": "abc", "audio": AudioSettings(), "excerpt": "start", "seed": 0, "precision": "fp16"}


def test_every_audio_setting_changes_the_key():
    """A setting that is added later must be added here, and to the key."""
    assert {*OTHER_AUDIO, "music_encoder"} == {field.name for field in fields(AudioSettings)}
    keys = {mel_key(**GIVEN)}
    for name, value in OTHER_AUDIO.items():
        keys.add(mel_key(**{**GIVEN, "audio": AudioSettings(**{name: value})}))
    keys.add(mel_key(**{**GIVEN, "audio": AudioSettings.of_encoder("musicnn", 15.0, "resampy")}))
    assert len(keys) == 2 + len(OTHER_AUDIO)


@pytest.mark.parametrize(
    "change",
    [{"content": "abd"}, {"excerpt": "middle"}, {"excerpt": "random"}, {"excerpt": 3.0}, {"precision": "fp32"}],
)
def test_everything_else_changes_the_key(change):
    assert mel_key(**{**GIVEN, **change}) != mel_key(**GIVEN)


def test_the_seed_counts_for_random_excerpts_only():
    for place, same in (("start", True), ("middle", True), (3.0, True), ("random", False)):
        keys = {mel_key(**{**GIVEN, "excerpt": place, "seed": seed}) for seed in (1, 2)}
        assert (len(keys) == 1) == same


def test_the_key_is_stable():
    """Written down: another value would orphan every cache in the field."""
    assert mel_key(**GIVEN) == "7b33dd036c61aeb1"
    assert fingerprint(["a", {"b": 1}]) == hashlib.sha256(b'["a", {"b": 1}]').hexdigest()[:16]
    assert fingerprint({"b": 1, "a": 2}) == fingerprint({"a": 2, "b": 1})
    assert fingerprint([1, 2]) != fingerprint([2, 1])
    assert fingerprint("雨") == hashlib.sha256('"雨"'.encode()).hexdigest()[:16]


def test_hash_file(tmp_path):
    content = bytes(range(256)) * 5000  # more than one block
    (tmp_path / "a.wav").write_bytes(content)
    assert hash_file(tmp_path / "a.wav") == hashlib.sha256(content).hexdigest()
    with pytest.raises(DataError, match=r"cannot read .*b\.wav: No such file"):
        hash_file(tmp_path / "b.wav")


def test_log_mel_of_file(tmp_path):
    """2 s at 16 kHz: 126 frames of 128 bands, loudest where the tone is."""
    time = np.arange(32000) / 16000
    soundfile.write(tmp_path / "a.wav", 0.5 * np.sin(2 * np.pi * 1000 * time), 16000)
    mel, seconds = log_mel_of_file(tmp_path / "a.wav", AudioSettings(), "start", 0)
    assert mel.shape == (128, 126)
    assert mel.dtype == np.float32
    assert seconds == 2.0
    assert 43 <= int(mel.mean(axis=1).argmax()) <= 45  # 1000 Hz is 1000 of 2840 mel: band 45 of 129 edges
    half, seconds = log_mel_of_file(tmp_path / "a.wav", AudioSettings(seconds=1.0), "middle", 0)
    assert half.shape == (128, 63)
    assert seconds == 1.0


def test_log_mel_of_file_that_is_no_audio(tmp_path):
    (tmp_path / "a.wav").write_text("no audio")
    with pytest.raises(AudioError, match=r"a\.wav"):
        log_mel_of_file(tmp_path / "a.wav", AudioSettings(), "start", 0)


def test_log_mel_of_demo_song():
    settings = DemoSettings(train=2, validation=0, test=0, unseen=0)
    one, other = make_songs(settings)
    mel, seconds = log_mel_of_demo_song(one, settings, AudioSettings(seconds=3.0))
    assert mel.shape == (128, 188)
    assert seconds == 3.0
    again, _ = log_mel_of_demo_song(one, settings, AudioSettings(seconds=3.0))
    assert np.array_equal(mel, again)
    assert not np.array_equal(mel, log_mel_of_demo_song(other, settings, AudioSettings(seconds=3.0))[0])
    whole, seconds = log_mel_of_demo_song(one, settings, AudioSettings())
    assert 4.0 <= seconds <= 8.0
    assert whole.shape[1] == 1 + int(seconds * 16000) // 256
