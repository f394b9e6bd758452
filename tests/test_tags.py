"""Lyrics in the tags of every kind of file, and a word for none."""

import mutagen
import numpy as np
import pytest
import soundfile
from mutagen.id3 import SYLT, TXXX, USLT

from recap_cli.tags import lyrics_in_tags

TEXT = "Hola, señor\n雨が降る 🎵"


@pytest.fixture
def song(tmp_path):
    def write(name):
        path = tmp_path / name
        form = {"format": "OGG", "subtype": "OPUS"} if path.suffix == ".opus" else {}
        soundfile.write(path, np.zeros(1600), 16000, **form)
        return path

    return write


@pytest.mark.parametrize("suffix", ["mp3", "wav", "aiff"])
def test_id3(song, suffix):
    path = song(f"song.{suffix}")
    assert lyrics_in_tags(path) is None
    for frame in (
        TXXX(encoding=3, desc="LYRICS", text=[TEXT]),
        SYLT(encoding=3, lang="eng", format=2, type=1, desc="", text=[(line, 0) for line in TEXT.split("\n")]),
        USLT(encoding=3, lang="spa", desc="", text=TEXT),
    ):
        file = mutagen.File(path)
        file.tags is None and file.add_tags()
        file.tags.clear()
        file.tags.add(frame)
        file.save()
        assert lyrics_in_tags(path) == TEXT


@pytest.mark.parametrize("suffix", ["flac", "ogg", "opus"])
@pytest.mark.parametrize("key", ["LYRICS", "unsyncedlyrics"])
def test_vorbis_comments(song, suffix, key):
    path = song(f"song.{suffix}")
    assert lyrics_in_tags(path) is None
    file = mutagen.File(path)
    file[key] = TEXT
    file.save()
    assert lyrics_in_tags(path) == TEXT


def test_mp4(monkeypatch, tmp_path):
    """No encoder for m4a is at hand, so the tags alone are made."""
    tags = mutagen.mp4.MP4Tags()
    tags["\xa9lyr"] = [TEXT]
    monkeypatch.setattr(mutagen, "File", lambda path: type("File", (), {"tags": tags}))
    assert lyrics_in_tags(tmp_path / "song.m4a") == TEXT
    tags.clear()
    tags["----:com.apple.iTunes:LYRICS"] = [mutagen.mp4.MP4FreeForm(TEXT.encode())]
    assert lyrics_in_tags(tmp_path / "song.m4a") == TEXT


def test_no_lyrics_are_no_error(song, tmp_path):
    (tmp_path / "text.mp3").write_text("no audio")
    (tmp_path / "cut.mp3").write_bytes(b"ID3\x04\x00\x00\x7f\x7f\x7f\x7fUSLT")
    for path in (tmp_path / "text.mp3", tmp_path / "cut.mp3", tmp_path / "nothing.mp3"):
        assert lyrics_in_tags(path) is None
    path = song("blank.flac")
    file = mutagen.File(path)
    file["LYRICS"] = "  \n"
    file.save()
    assert lyrics_in_tags(path) is None
