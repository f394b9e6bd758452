import math
import os
import resource
import stat
import struct
import sys
import time

import numpy as np
import pytest
import soundfile

from recap_cli.audio import ffmpeg
from recap_cli.audio.decode import read_excerpt
from recap_cli.audio.mel import log_mel
from recap_cli.audio.settings import RESAMPLERS, AudioSettings
from recap_cli.errors import AudioError, MachineError, OptionError

SHORT = AudioSettings(seconds=1.0)
FORMATS = {
    "wav": {"subtype": "PCM_16"},
    "flac": {},
    "ogg": {"format": "OGG", "subtype": "VORBIS"},
    "opus": {"format": "OGG", "subtype": "OPUS"},
    "mp3": {},
    "aiff": {},
}


def tone(seconds, rate=16000, channels=1, hertz=440.0):
    """A chirp, different in every channel and at every time; float32 [samples, channels]."""
    t = np.arange(int(seconds * rate)) / rate
    rows = [0.4 * np.sin(2 * np.pi * hertz * (1 + c) * (t + 0.05 * t**2)) for c in range(channels)]
    return np.stack(rows, axis=1).astype(np.float32)


def write(path, samples, rate=16000, **options):
    soundfile.write(path, samples, rate, **options)
    return path


def float_wav(path, samples, rate=16000):
    return write(path, samples, rate, subtype="FLOAT")


def wav_header(rate, channels, data):
    size = 2 * channels
    head = struct.pack("<IHHIIHH", 16, 1, channels, rate, rate * size & 0xFFFFFFFF, size, 16)
    return b"RIFF" + struct.pack("<I", 0xFFFFFFF0) + b"WAVEfmt " + head + b"data\xf0\xff\xff\xff" + data


def program(folder, body):
    """Put a Python script called ffmpeg into a folder."""
    script = folder / "ffmpeg"
    script.write_text(f"#!{sys.executable}\nimport pathlib, sys, time\n{body}\n")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return str(folder)


@pytest.fixture(autouse=True)
def no_ffmpeg(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path_factory.mktemp("path")))


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("place", ["start", "middle", 1.3])
def test_every_format_gives_the_slice_of_a_full_decode(tmp_path, suffix, place):
    path = write(tmp_path / f"song.{suffix}", tone(4, channels=2), **FORMATS[suffix])
    full, rate = soundfile.read(path, dtype="float32")
    assert rate == 16000
    start = {"start": 0, "middle": (len(full) - 16000) // 2, 1.3: 20800}[place]
    excerpt = read_excerpt(path, SHORT, place)
    # A decoder that has not just been seeked rounds an MP3's last bit otherwise.
    tolerance = 1e-7 if suffix == "mp3" else 0
    assert np.abs(excerpt.samples - full[start : start + 16000].mean(axis=1)).max() <= tolerance
    assert (excerpt.start, excerpt.seconds) == (start / 16000, 1.0)
    assert (excerpt.source_rate, excerpt.channels, excerpt.warnings) == (16000, 2, ())


def test_mono_is_the_mean_of_the_channels(tmp_path):
    samples = np.stack([np.full(16000, 0.5), np.full(16000, -0.25), np.full(16000, 0.5)], axis=1)
    excerpt = read_excerpt(float_wav(tmp_path / "three.wav", samples), SHORT)
    assert excerpt.samples.dtype == np.float32
    assert np.array_equal(excerpt.samples, np.full(16000, 0.25, np.float32))


def test_random_excerpt_follows_the_seed(tmp_path):
    path = float_wav(tmp_path / "song.wav", tone(5))
    starts = [read_excerpt(path, SHORT, "random", seed).start for seed in (1, 1, 2, 3)]
    assert starts[0] == starts[1] and len(set(starts)) == 3
    assert all(0 <= start <= 4 for start in starts)


def test_a_song_shorter_than_the_window_keeps_its_length(tmp_path):
    path = float_wav(tmp_path / "song.wav", tone(3))
    for place in ("start", "middle", "random"):
        excerpt = read_excerpt(path, AudioSettings(), place)
        assert (excerpt.start, excerpt.seconds, excerpt.warnings) == (0.0, 3.0, ())


@pytest.mark.parametrize("resampler", RESAMPLERS)
def test_resampled_tone_keeps_its_pitch_and_length(tmp_path, resampler):
    pytest.importorskip(resampler)
    settings = AudioSettings(seconds=0.5, resampler=resampler)
    t = np.arange(22050) / 44100
    path = float_wav(tmp_path / "song.wav", np.sin(2 * np.pi * 1000 * t), 44100)
    samples = read_excerpt(path, settings).samples
    assert samples.dtype == np.float32 and len(samples) == settings.samples
    expected = np.sin(2 * np.pi * 1000 * np.arange(8000) / 16000)
    assert np.abs(samples - expected)[500:-500].max() < 1e-3


def test_192_khz_in_six_channels(tmp_path):
    path = write(tmp_path / "song.flac", tone(0.5, 192000, 6), 192000)
    excerpt = read_excerpt(path, AudioSettings(seconds=0.3), 0.1)
    assert (excerpt.source_rate, excerpt.channels, len(excerpt.samples)) == (192000, 6, 4800)
    assert np.isfinite(log_mel(excerpt.samples, AudioSettings())).all()


@pytest.mark.parametrize(("count", "frames"), [(3200, 13), (100, 2), (1, 2), (256, 2), (257, 2)])
def test_very_short_clips(tmp_path, count, frames):
    settings = AudioSettings()
    excerpt = read_excerpt(float_wav(tmp_path / "clip.wav", tone(1)[:count] + 0.1), settings)
    assert excerpt.seconds == count / 16000
    assert "very short" in excerpt.warnings[0]
    mel = log_mel(excerpt.samples, settings)
    assert mel.shape == (128, frames) and settings.frames(count) == frames
    padded = np.pad(excerpt.samples, (0, max(0, 257 - count)))
    assert np.array_equal(mel, log_mel(padded, settings))


def test_silence_is_a_warning(tmp_path):
    excerpt = read_excerpt(float_wav(tmp_path / "quiet.wav", np.full(32000, 9e-5)), SHORT)
    assert "silent" in excerpt.warnings[0]
    assert (log_mel(np.zeros(16000, np.float32), SHORT) == -100).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30])
def test_values_no_sound_has(tmp_path, value):
    samples = tone(1, channels=2)
    samples[500, 1] = value
    with pytest.raises(AudioError, match=r"broken.wav holds samples that are not"):
        read_excerpt(float_wav(tmp_path / "broken.wav", samples), SHORT)


def test_files_that_are_none(tmp_path):
    (tmp_path / "empty.wav").touch()
    (tmp_path / "text.wav").write_text("Somewhere over the rainbow")
    float_wav(tmp_path / "nothing.wav", np.zeros(0))
    os.mkfifo(tmp_path / "pipe.wav")
    (tmp_path / "zero.mp3").symlink_to("/dev/zero")
    (tmp_path / "folder.mp3").mkdir()
    for name in ("zeros.mp3", "zeros.wav", "zeros.m4a", "few-zeros.flac"):
        with (tmp_path / name).open("wb") as file:
            file.truncate(100 if name.startswith("few") else 1 << 30)
    began = time.process_time()
    for name, message in {
        "zero.mp3": "is a device, not",
        "folder.mp3": "is a folder, not",
        "zeros.mp3": "zeros.mp3 begins with nothing but zeros",
        "zeros.wav": "zeros.wav begins with nothing but zeros",
        "zeros.m4a": "zeros.m4a begins with nothing but zeros",
        "few-zeros.flac": "few-zeros.flac begins with nothing but zeros",
        "none.wav": "cannot be opened: No such file",
        "n\0ne.wav": "cannot be opened",
        "x" * 300: "cannot be opened",
        "": "is a folder",
        "pipe.wav": "is a device, not",
        "empty.wav": r"empty.wav is empty \(0 bytes\)",
        "text.wav": "text.wav is not audio that can be decoded",
        "nothing.wav": "nothing.wav holds no audio samples",
    }.items():
        with pytest.raises(AudioError, match=message) as caught:
            read_excerpt(tmp_path / name, SHORT)
        assert caught.value.hint and "ffmpeg" not in caught.value.hint
    assert time.process_time() - began < 5  # never searched


def test_the_machine_s_faults_are_not_the_song_s(tmp_path, monkeypatch):
    path = float_wav(tmp_path / "song.wav", tone(1))
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(MachineError, match=r"song.wav may not be read"):
        read_excerpt(path, SHORT)
    monkeypatch.undo()
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.open(path, os.O_RDONLY)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, limits[1]))
    try:
        with pytest.raises(MachineError, match=r"song.wav cannot be (opened|read): Too many open files"):
            read_excerpt(path, SHORT)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert read_excerpt(path, SHORT).seconds == 1.0


@pytest.mark.parametrize(
    "header", [(0, 1), (8, 1), (10**9, 1), (4 * 10**9, 2), (16000, 0), (16000, 5000)], ids=lambda header: str(header)
)
def test_absurd_headers(tmp_path, header):
    path = tmp_path / "song.wav"
    path.write_bytes(wav_header(*header, tone(1).astype("<i2").tobytes()))
    with pytest.raises(AudioError, match=r"song.wav"):
        read_excerpt(path, SHORT)


def test_a_thousand_channels_and_a_lying_length(tmp_path):
    path = tmp_path / "song.wav"
    path.write_bytes(wav_header(44100, 1000, b"\x00\x40" * 1000 * 4410))
    excerpt = read_excerpt(path, AudioSettings(seconds=600), "middle")
    assert excerpt.channels == 1000 and excerpt.seconds == 0.1
    assert np.allclose(excerpt.samples[400:1200], 0.5, atol=0.01)


@pytest.mark.parametrize("place", ["start", "middle", "random", 3.0])
def test_a_flac_that_does_not_know_its_length(tmp_path, place):
    path = write(tmp_path / "song.flac", tone(6))
    data = bytearray(path.read_bytes())
    data[21] &= 0xF0
    data[22:26] = bytes(4)
    path.write_bytes(data)
    excerpt = read_excerpt(path, SHORT, place)
    assert excerpt.seconds == 1.0 and excerpt.start < 6 and excerpt.warnings == ()
    with pytest.raises(AudioError, match=r"song.flac is 6.0 s long"):
        read_excerpt(path, SHORT, 7.0)


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
def test_half_a_file_gives_what_is_left(tmp_path, suffix):
    path = write(tmp_path / f"song.{suffix}", tone(20, channels=2) + 0.01, **FORMATS[suffix])
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    full = read_excerpt(path, AudioSettings(seconds=20.0))
    assert 5 < full.seconds < 15
    if suffix in ("flac", "mp3"):  # their headers still promise 20 s
        assert "damaged?" in full.warnings[0]
    middle = read_excerpt(path, AudioSettings(seconds=2.0), "middle")
    assert middle.seconds == 2.0 and middle.start == pytest.approx((full.seconds - 2) / 2, abs=0.01)
    assert np.array_equal(middle.samples, full.samples[round(middle.start * 16000) :][:32000])
    with pytest.raises(AudioError, match=f"song.{suffix} is {full.seconds:.1f} s long, no excerpt starts at 18 s"):
        read_excerpt(path, SHORT, 18)


def test_a_start_past_the_end_names_the_length(tmp_path):
    path = float_wav(tmp_path / "song.wav", tone(2))
    assert read_excerpt(path, SHORT, 1.9).seconds == pytest.approx(0.1)
    for start in (2, 2.5, 1e7):
        with pytest.raises(AudioError, match=r"song.wav is 2.0 s long"):
            read_excerpt(path, SHORT, start)


@pytest.mark.parametrize("place", ["end", "", -1, math.nan, math.inf, 1e300])
def test_places_that_are_none(tmp_path, place):
    with pytest.raises(OptionError, match="--excerpt"):
        read_excerpt(tmp_path / "song.wav", SHORT, place)


def test_m4a_without_ffmpeg_names_the_command(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("song.m4a", "song.raw"):
        (tmp_path / name).write_bytes(b"\x00\x00\x00\x20ftypM4A " * 10)
        with pytest.raises(MachineError, match=f"{name}: this format needs ffmpeg") as caught:
            read_excerpt(name, SHORT)
        assert f'ffmpeg -i "{name}" "song.wav"' in caught.value.hint
    (tmp_path / "a$(b).m4a").write_bytes(b"ftyp")
    with pytest.raises(MachineError) as caught:
        read_excerpt("a$(b).m4a", SHORT)
    assert "ffmpeg -i 'a$(b).m4a' 'a$(b).wav'" in caught.value.hint


@pytest.mark.parametrize(("place", "start"), [("start", 0), ("middle", 1.5), (2.25, 2.25)])
def test_m4a_through_ffmpeg(tmp_path, monkeypatch, place, start):
    samples = tone(4, channels=2)
    decoded = write(tmp_path / "decoded.au", samples, subtype="FLOAT")
    log = tmp_path / "arguments"
    body = f"pathlib.Path({str(log)!r}).write_text(chr(10).join(sys.argv[1:]))\n"
    body += f"sys.stdout.buffer.write(pathlib.Path({str(decoded)!r}).read_bytes())"
    monkeypatch.setenv("PATH", program(tmp_path, body))
    path = tmp_path / "-a song; $(x).m4a"
    path.write_bytes(b"ftypM4A")
    excerpt = read_excerpt(path, SHORT, place)
    assert excerpt.start == start and excerpt.channels == 2
    first = round(start * 16000)
    assert np.array_equal(excerpt.samples, samples[first : first + 16000].mean(axis=1))
    arguments = log.read_text().split("\n")
    assert f"file:{path}" in arguments and "-nostdin" in arguments
    assert arguments[arguments.index("-protocol_whitelist") + 1] == "file"
    allowed = set(arguments[arguments.index("-format_whitelist") + 1].split(","))
    assert {"mov", "matroska", "asf"} <= allowed
    assert not allowed & {
        "hls",
        "dash",
        "concat",
        "sdp",
        "rtsp",
        "image2",
        "lavfi",
        "imf",
        "srt",
        "tedcaptions",
        "data",
    }


@pytest.mark.parametrize("body", ["sys.exit(1)", "print('no sound')", "pass"])
def test_ffmpeg_that_fails(tmp_path, monkeypatch, body):
    monkeypatch.setenv("PATH", program(tmp_path, body))
    for name in ("text.wav", "text.m4a"):
        (tmp_path / name).write_text("Somewhere over the rainbow")
        with pytest.raises(AudioError, match=f"{name} is not audio that can be decoded"):
            read_excerpt(tmp_path / name, SHORT)


def test_ffmpeg_that_hangs(tmp_path, monkeypatch):
    monkeypatch.setattr(ffmpeg, "TIMEOUT", 0.2)
    monkeypatch.setenv("PATH", program(tmp_path, "time.sleep(60)"))
    (tmp_path / "song.m4a").write_bytes(b"ftypM4A")
    with pytest.raises(AudioError, match=r"ffmpeg took over 0.2 s"):
        read_excerpt(tmp_path / "song.m4a", SHORT)


def test_what_decoders_print_of_odd_files_stays_inside(tmp_path, capfd):
    """Of junk that is called mp3, and of an mp3 with junk inside; stderr is the caller's again afterwards."""
    soundfile.write(tmp_path / "odd.mp3", tone(3.0, 16000), 16000)
    whole = (tmp_path / "odd.mp3").read_bytes()
    (tmp_path / "odd.mp3").write_bytes(whole[: len(whole) // 2] + b"junk" * 300 + whole[len(whole) // 2 :])
    (tmp_path / "junk.mp3").write_text("junk\n" * 9)
    with pytest.raises(AudioError):
        read_excerpt(tmp_path / "junk.mp3", SHORT)
    read_excerpt(tmp_path / "odd.mp3", AudioSettings(seconds=3.0))
    assert capfd.readouterr().err == ""
    os.write(2, b"still here")
    assert capfd.readouterr().err == "still here"
