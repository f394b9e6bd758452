"""What ffmpeg decodes: the one file that it is given, in order, through a pipe that nothing outlives."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from recap_cli.audio.decode import read_excerpt, read_windows
from recap_cli.audio.ffmpeg import FfmpegReader, is_for_ffmpeg
from recap_cli.audio.settings import AudioSettings
from recap_cli.errors import AudioError, MachineError

SETTINGS = AudioSettings(resampler="soxr")
FILES = Path(__file__).parents[1] / "fixtures" / "audio"
needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed")


@pytest.fixture
def sound(tmp_path):
    path = tmp_path / "secret.wav"
    soundfile.write(path, 0.3 * np.sin(np.arange(3 * 16000) / 5), 16000)
    return path


def convert(source, target, *options):
    subprocess.run(["ffmpeg", "-v", "error", "-i", source, *options, f"file:{target}"], check=True)
    return target


@needs_ffmpeg
def test_a_song_after_half_an_hour():
    song = FILES / "31-minutes.m4a"
    late = read_excerpt(song, SETTINGS, 1860)
    assert late.start == 1860 and late.seconds == pytest.approx(3, abs=0.1) and np.abs(late.samples).max() > 0.5
    assert read_excerpt(song, SETTINGS, "middle").start == pytest.approx((1863 - 15) / 2, abs=0.1)
    *_, last = read_windows(song, SETTINGS)
    assert "the song is longer: only its first 30 minutes were decoded" in last.excerpt.warnings
    with pytest.raises(AudioError, match=r"is 1863.0 s long"):
        read_excerpt(song, SETTINGS, 1900)


@needs_ffmpeg
def test_every_place_is_the_slice_of_all(sound, tmp_path):
    path = convert(sound, tmp_path / "song.m4a")
    with FfmpegReader(path) as reader:
        whole = np.concatenate(read_all(reader))
    settings = AudioSettings(seconds=0.5)
    for place in ("start", "middle", 1.25):
        excerpt = read_excerpt(path, settings, place)
        first = round(excerpt.start * 16000)
        assert np.array_equal(excerpt.samples, whole[first : first + 8000, 0])


def read_all(reader):
    blocks = []
    while len(block := reader.read_block(8192)):
        blocks.append(block)
    return blocks


def test_what_needs_ffmpeg_is_known_by_its_content(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MachineError, match=r"m4a-named.mp3: this format needs ffmpeg"):
        read_excerpt(FILES / "m4a-named.mp3", SETTINGS)
    beginnings = {
        "matroska": b"\x1a\x45\xdf\xa3" + bytes(60),
        "wma": b"\x30\x26\xb2\x75\x8e\x66" + bytes(60),
        "aac": b"\xff\xf1\x50\x80" + bytes(60),
        "aac behind a tag": b"ID3\4\0\0\0\0\0\5hello\xff\xf1\x50\x80" + bytes(60),
        "WavPack": b"wvpk" + bytes(60),
        "Monkey's Audio": b"MAC " + bytes(60),
        "AMR": b"#!AMR\n" + bytes(60),
        "ATRAC in a WAV": b"RIFF\xff\0\0\0WAVEfmt \x20\0\0\0\x70\2" + bytes(60),
    }
    for content in beginnings.values():
        (tmp_path / "song.mp3").write_bytes(content)
        for read in (lambda path: read_excerpt(path, SETTINGS), lambda path: list(read_windows(path, SETTINGS))):
            with pytest.raises(MachineError, match=r"song.mp3: this format needs ffmpeg"):
                read(tmp_path / "song.mp3")
    (tmp_path / "text.mp3").write_text("no audio at all")
    assert not is_for_ffmpeg(tmp_path / "text.mp3")
    with pytest.raises(AudioError, match=r"text.mp3 is not audio"):
        read_excerpt(tmp_path / "text.mp3", SETTINGS)


PLAYLISTS = {
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nsecret.ts\n#EXT-X-ENDLIST\n",
    "hls by its whole name": "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nfile://{folder}/secret.ts\n#EXT-X-ENDLIST\n",
    "hls map": '#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXT-X-MAP:URI="secret.m4a"\n#EXTINF:9,\nsecret.m4a\n',
    "ffconcat": "ffconcat version 1.0\nfile secret.wav\n",
    "ffconcat by its whole name": "ffconcat version 1.0\nfile 'file:{folder}/secret.wav'\n",
    "dash": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
    'mediaPresentationDuration="PT3S" profiles="urn:mpeg:dash:profile:isoff-main:2011"><Period><AdaptationSet '
    'mimeType="audio/mp4"><Representation id="1" bandwidth="128000"><BaseURL>secret.m4a</BaseURL></Representation>'
    "</AdaptationSet></Period></MPD>",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\n",
    "m3u": "#EXTM3U\nsecret.wav\n",
    "asx": '<asx version="3.0"><entry><ref href="file:{folder}/secret.wav"/></entry></asx>',
}


@needs_ffmpeg
def test_no_list_makes_it_read_another_file(sound, tmp_path):
    convert(sound, tmp_path / "secret.ts")
    convert(sound, tmp_path / "secret.m4a", "-movflags", "frag_keyframe+empty_moov")
    for number, (name, text) in enumerate(PLAYLISTS.items()):
        path = tmp_path / f"{name}.{'m4a' if number % 2 else 'mp3'}"
        path.write_text(text.replace("{folder}", str(tmp_path)))
        with pytest.raises(AudioError, match="is not audio that can be decoded"):
            read_excerpt(path, SETTINGS)


@needs_ffmpeg
def test_a_name_is_a_name(sound, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    content = convert(sound, tmp_path / "song.m4a").read_bytes()
    for name in ("-i.m4a", "a:b.m4a", "http:x.m4a", "a%03d.m4a", "concat:secret.wav|secret.wav", "pipe:0.m4a", "*.m4a"):
        Path(name).write_bytes(content)
        assert read_excerpt(name, SETTINGS).seconds == pytest.approx(3, abs=0.1)


@needs_ffmpeg
def test_a_full_or_missing_folder_for_temporary_files_does_not_matter(sound, tmp_path, monkeypatch):
    path = convert(sound, tmp_path / "song.m4a")
    monkeypatch.setenv("TMPDIR", "/nowhere")
    monkeypatch.setattr("tempfile.tempdir", "/nowhere")
    assert read_excerpt(path, SETTINGS, "middle").seconds == pytest.approx(3, abs=0.1)


def script(folder, body):
    file = folder / "ffmpeg"
    file.write_text(f"#!{sys.executable}\nimport os, pathlib, struct, sys, time\n{body}\n")
    file.chmod(0o755)


HEADER = "sys.stdout.buffer.write(struct.pack('>4sIIIII', b'.snd', 24, 0xFFFFFFFF, 6, 16000, 1)); sys.stdout.flush()\n"


def test_it_ends_when_nobody_listens_any_more(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    endless = "while True: sys.stdout.buffer.write(bytes(1 << 16))"
    script(tmp_path, f"pathlib.Path({str(tmp_path / 'pid')!r}).write_text(str(os.getpid()))\n{HEADER}{endless}")
    (tmp_path / "song.m4a").write_bytes(b"ftypM4A")
    assert read_excerpt(tmp_path / "song.m4a", SETTINGS).seconds == 15
    assert not is_alive(int((tmp_path / "pid").read_text()))
    windows = read_windows(tmp_path / "song.m4a", SETTINGS)
    next(windows)
    pid = int((tmp_path / "pid").read_text())
    assert is_alive(pid)
    windows.close()
    assert not is_alive(pid)


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_it_ends_with_us(tmp_path):
    """Where we are killed, its pipe breaks."""
    endless = "while True: sys.stdout.buffer.write(bytes(1 << 16)); sys.stdout.flush()"
    script(tmp_path, f"pathlib.Path({str(tmp_path / 'pid')!r}).write_text(str(os.getpid()))\n{HEADER}{endless}")
    code = "import os, signal; from pathlib import Path; from recap_cli.audio.ffmpeg import FfmpegReader\n"
    code += "FfmpegReader(Path('song.m4a')).read_block(10); os.kill(os.getpid(), signal.SIGKILL)"
    subprocess.run([sys.executable, "-c", code], env={**os.environ, "PATH": str(tmp_path)}, check=False)
    pid = int((tmp_path / "pid").read_text())
    until = time.monotonic() + 5
    while is_alive(pid) and time.monotonic() < until:
        time.sleep(0.05)
    assert not is_alive(pid)


def test_one_that_cannot_be_started_is_the_machine_s_fault(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "ffmpeg").write_text("#!/nowhere/at/all\n")
    (tmp_path / "ffmpeg").chmod(0o755)
    (tmp_path / "song.m4a").write_bytes(b"ftypM4A")
    with pytest.raises(MachineError, match=r"song.m4a: ffmpeg could not be started"):
        read_excerpt(tmp_path / "song.m4a", SETTINGS)


@pytest.mark.parametrize(("rate", "channels"), [(0, 1), (16000, 0), (16000, 5000), (2**31, 2)])
def test_a_header_that_cannot_be(tmp_path, monkeypatch, rate, channels):
    monkeypatch.setenv("PATH", str(tmp_path))
    body = (
        f"sys.stdout.buffer.write(struct.pack('>4sIIIII', b'.snd', 24, 0xFFFFFFFF, 6, {rate}, {channels}) + bytes(999))"
    )
    script(tmp_path, body)
    (tmp_path / "song.m4a").write_bytes(b"ftypM4A")
    with pytest.raises(AudioError, match=r"song.m4a (claims a sample rate|is not audio)"):
        read_excerpt(tmp_path / "song.m4a", SETTINGS)
