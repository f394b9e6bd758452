"""Files whose headers tell another length than what follows: every place of the song is heard where it is."""

import struct

import numpy as np
import pytest
import soundfile

from recap_cli.audio.decode import read_excerpt, read_windows
from recap_cli.audio.lengths import find_layout
from recap_cli.audio.settings import AudioSettings
from recap_cli.audio.sound import open_file
from recap_cli.errors import AudioError

SETTINGS = AudioSettings(seconds=1.0, resampler="soxr")
LOW, HIGH = 440, 880  # Hz; songs begin low and end high
SEAM = 0.4  # seconds of silence that an mp3 encoder puts before and after a song, at this rate
FORMS = {
    "wav": {},
    "rf64": {"format": "RF64"},
    "w64": {"format": "W64"},
    "caf": {"format": "CAF"},
    "au": {"format": "AU"},
    "aiff": {},
    "flac": {},
    "ogg": {"format": "OGG", "subtype": "VORBIS"},
    "opus": {"format": "OGG", "subtype": "OPUS"},
    "mp3": {"bitrate_mode": "CONSTANT"},
}


def tone(seconds, hertz, rate=16000, channels=2):
    wave = 0.3 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)
    return np.repeat(wave[:, None], channels, axis=1)


def encode(path, form, *parts, rate=16000, **options):
    soundfile.write(path, np.concatenate(parts), rate, **{**FORMS[form], **options})
    return bytearray(path.read_bytes())


def song(path, form):
    """Two seconds low, four seconds high."""
    return encode(path, form, tone(2, LOW), tone(4, HIGH))


def pitch(samples):
    return int(np.abs(np.fft.rfft(samples * np.hanning(len(samples)))).argmax() * 16000 / len(samples) + 0.5)


def assert_heard(path, seconds, border, tolerance=0.1):
    """Whatever is asked for, it is the passage that is really there."""
    for place, expected in ((0.0, LOW), (border + 0.5, HIGH), (seconds - 1.1, HIGH)):
        assert pitch(read_excerpt(path, SETTINGS, place).samples) == pytest.approx(expected, abs=3)
    middle = read_excerpt(path, SETTINGS, "middle")
    assert middle.start == pytest.approx((seconds - 1) / 2, abs=tolerance) and middle.warnings == ()
    *_, last = read_windows(path, SETTINGS)
    assert last.excerpt.start + last.excerpt.seconds == pytest.approx(seconds, abs=tolerance)
    assert pitch(last.excerpt.samples) == pytest.approx(HIGH, abs=3)
    with pytest.raises(AudioError, match=rf"is {seconds:.0f}\.\d s long, no excerpt starts at 90 s"):
        read_excerpt(path, SETTINGS, 90)


@pytest.mark.parametrize("form", FORMS)
def test_an_ordinary_file_is_trusted(tmp_path, form):
    path = tmp_path / f"song.{form}"
    song(path, form)
    with open_file(path, path) as file:
        assert find_layout(path, file.frames).parts == ()
    if form != "opus":
        assert_heard(path, 6, 2)


# a recorder that died, a file over 4 GB -------------------------------------------------------------------------------


def set_sizes(data, form, size):
    """Write a size into a file's header and into the header of its samples; -1 is all ones."""
    name = {"aiff": b"SSND"}.get(form, b"data")
    place = data.find(name)
    four = struct.pack(">I" if form == "aiff" else "<I", size & 0xFFFFFFFF)
    if form in ("wav", "aiff"):
        data[4:8] = data[place + 4 : place + 8] = four
    elif form == "rf64":
        data[20:36] = 2 * struct.pack("<Q", size)
    elif form == "w64":
        data[place + 16 : place + 24] = struct.pack("<q", size)
    elif form == "caf":
        data[place + 4 : place + 12] = struct.pack(">q", size)
    else:
        data[8:12] = struct.pack(">I", size)
    if form == "aiff":
        place = data.find(b"COMM")
        data[place + 10 : place + 14] = struct.pack(">I", size // 4 & 0xFFFFFFFF)


@pytest.mark.parametrize("size", [0, 36, 1001, 64_000])
@pytest.mark.parametrize("form", ["wav", "rf64", "w64", "caf", "au", "aiff"])
def test_sizes_that_are_too_small(tmp_path, form, size):
    path = tmp_path / f"song.{form}"
    data = song(path, form)
    set_sizes(data, form, size)
    path.write_bytes(data)
    assert_heard(path, 6, 2)


@pytest.mark.parametrize("size", [-1, 2**31])
@pytest.mark.parametrize("form", ["wav", "aiff"])
def test_sizes_that_are_too_large(tmp_path, form, size):
    path = tmp_path / f"song.{form}"
    data = song(path, form)
    set_sizes(data, form, size)
    path.write_bytes(data)
    assert_heard(path, 6, 2)


def test_chunks_after_the_samples_are_no_samples(tmp_path):
    path = tmp_path / "song.wav"
    data = song(path, "wav")
    path.write_bytes(data + b"LIST" + struct.pack("<I", 20_000) + bytes(20_000) + b"id3 \2\0\0\0xx")
    with open_file(path, path) as file:
        assert find_layout(path, file.frames).parts == ()
    assert_heard(path, 6, 2)


# joined files ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["flac", "ogg", "opus", "mp3"])
def test_joined_files_are_one_song(tmp_path, form):
    path = tmp_path / f"song.{form}"
    path.write_bytes(encode(path, form, tone(3, LOW)) + encode(path, form, tone(4, HIGH)))
    assert_heard(path, 7, 3, SEAM if form == "mp3" else 0.1)


@pytest.mark.parametrize("form", ["ogg", "flac", "mp3"])
def test_joined_files_of_other_rates_and_channels(tmp_path, form):
    path = tmp_path / f"song.{form}"
    first = encode(path, form, tone(3, LOW))
    path.write_bytes(first + encode(path, form, tone(4, HIGH, 22050, channels=1), rate=22050))
    assert_heard(path, 7, 3)


@pytest.mark.parametrize("form", ["ogg", "flac", "mp3"])
def test_a_file_that_was_written_twice(tmp_path, form):
    path = tmp_path / f"song.{form}"
    path.write_bytes(2 * encode(path, form, tone(1.5, LOW), tone(2, HIGH)))
    assert_heard(path, 7, 1.5, SEAM if form == "mp3" else 0.1)
    assert pitch(read_excerpt(path, SETTINGS, 3.7).samples) == pytest.approx(LOW, abs=3)


@pytest.mark.parametrize("junk", ["tags", "noise", "zeros"])
def test_junk_between_the_frames_of_an_mp3(tmp_path, junk):
    path = tmp_path / "song.mp3"
    between = {
        "tags": b"TAG" + bytes(125) + b"ID3\4\0\0\0\2\0\0" + np.random.default_rng(0).bytes(2 << 14),
        "noise": np.random.default_rng(0).bytes(5000),
        "zeros": bytes(70_000),
    }[junk]
    path.write_bytes(encode(path, "mp3", tone(3, LOW)) + between + encode(path, "mp3", tone(4, HIGH)))
    assert_heard(path, 7, 3, SEAM)


def test_an_mp3_behind_junk_needs_no_ffmpeg(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    path = tmp_path / "song.mp3"
    path.write_bytes(b"\1" * 70_000 + song(path, "mp3"))
    assert_heard(path, 6, 2)


def test_an_ogg_that_lost_pages(tmp_path):
    path = tmp_path / "song.ogg"
    data = encode(path, "ogg", tone(4, LOW), tone(16, HIGH))
    path.write_bytes(data[: len(data) // 3] + data[len(data) // 2 :])
    *_, last = read_windows(path, SETTINGS)
    end = last.excerpt.start + last.excerpt.seconds
    assert last.excerpt.warnings == (f"damaged? {end:.1f} s could be decoded where the file promises 20.0 s",)
    assert read_excerpt(path, SETTINGS, "middle").start == pytest.approx((end - 1) / 2, abs=0.01)


# what the first frame says --------------------------------------------------------------------------------------------


def mp3(path, mode="VARIABLE"):
    return encode(path, "mp3", tone(2, LOW), tone(4, HIGH), bitrate_mode=mode)


def without_tag(data):
    """Cut the first frame, which holds the encoder's Xing or Info tag."""
    assert b"Xing" in data[:500] or b"Info" in data[:500]
    second = data.find(data[:2], 2)
    while data[second + 2] & 0xC != data[2] & 0xC:
        second = data.find(data[:2], second + 2)
    return data[second:]


@pytest.mark.parametrize("frames", [0, 1, 40, 100_000, 2**32 - 1])
@pytest.mark.parametrize("mode", ["VARIABLE", "CONSTANT"])
def test_a_xing_frame_that_is_wrong(tmp_path, mode, frames):
    path = tmp_path / "song.mp3"
    data = mp3(path, mode)
    tag = max(data.find(b"Xing"), data.find(b"Info"))
    data[tag + 8 : tag + 12] = struct.pack(">I", frames)
    path.write_bytes(data)
    assert_heard(path, 6, 2)


def test_a_variable_bit_rate_without_a_xing_frame(tmp_path):
    path = tmp_path / "song.mp3"
    noise = np.random.default_rng(0).normal(0, 0.1, (32000, 2))
    data = without_tag(encode(path, "mp3", noise, tone(4, HIGH), bitrate_mode="VARIABLE"))
    path.write_bytes(data)
    with open_file(path, path) as file:
        assert abs(file.frames - 6 * 16000) > 16000  # libsndfile's guess
    assert pitch(read_excerpt(path, SETTINGS, 4.9).samples) == pytest.approx(HIGH, abs=3)
    middle = read_excerpt(path, SETTINGS, "middle")
    assert middle.start == pytest.approx(2.5, abs=0.1) and middle.warnings == ()
    *_, last = read_windows(path, SETTINGS)
    assert last.excerpt.start + last.excerpt.seconds == pytest.approx(6, abs=0.2) and not last.excerpt.warnings


@pytest.mark.parametrize("total", [0, 1, 40_000, 10**9, 2**36 - 1])
def test_a_flac_that_tells_another_length(tmp_path, total):
    path = tmp_path / "song.flac"
    data = song(path, "flac")
    data[21] = data[21] & 0xF0 | total >> 32
    data[22:26] = struct.pack(">I", total & 0xFFFFFFFF)
    path.write_bytes(data)
    if total < 6 * 16000:
        assert_heard(path, 6, 2)
    assert read_excerpt(path, SETTINGS, "middle").start == pytest.approx(2.5)
    assert pitch(read_excerpt(path, SETTINGS, 4.5).samples) == pytest.approx(HIGH, abs=3)


def test_a_whole_song_is_half_an_hour_at_most(tmp_path):
    path = tmp_path / "song.flac"
    with soundfile.SoundFile(path, "w", 2000, 1) as file:
        for _ in range(40):
            file.write(np.zeros(2000 * 60))
    windows = list(read_windows(path, AudioSettings(seconds=60.0, resampler="soxr")))
    assert sum(window.excerpt.seconds - window.repeated for window in windows) == 1800
    assert "the song is longer: only its first 30 minutes were decoded" in windows[-1].excerpt.warnings
    assert read_excerpt(path, SETTINGS, 2300).start == 2300
    with soundfile.SoundFile(path, "w", 2000, 1) as file:
        for _ in range(30):
            file.write(np.zeros(2000 * 60))
    *_, last = read_windows(path, AudioSettings(seconds=60.0, resampler="soxr"))
    assert not any("longer" in text for text in last.excerpt.warnings)
