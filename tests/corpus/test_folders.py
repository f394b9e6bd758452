"""What lies in a folder: every kind of audio, and everything in its way, each named once."""

import os
import shutil
import socket
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile

from recap_cli.audio.decode import read_excerpt
from recap_cli.audio.settings import AUDIO_SUFFIXES, FFMPEG_SUFFIXES, NATIVE_SUFFIXES, AudioSettings
from recap_cli.corpus.folders import NOT_FOLLOWED, CorpusRoot, walk
from recap_cli.corpus.song import Rejected, Song
from recap_cli.errors import DataError
from recap_cli.layouts.music4all import Music4All
from recap_cli.layouts.readers import read_corpus

# Suffix to libsndfile's format and subtype.
NATIVE = {
    ".wav": "WAV", ".wave": "WAV", ".rf64": "RF64", ".w64": "W64", ".flac": "FLAC", ".ogg": "OGG", ".oga": "OGG",
    ".aiff": "AIFF", ".aif": "AIFF", ".aifc": "AIFF", ".au": "AU", ".snd": "AU", ".caf": "CAF", ".voc": "VOC",
    ".8svx": "SVX", ".ircam": "IRCAM", ".sph": "NIST", ".mp3": "MP3",
}  # fmt: skip
# Suffix to one of ffmpeg's own encoders and, where the suffix does not say it, the format.
ENCODERS = {
    ".wma": "wmav2", ".wv": "wavpack", ".mka": "aac", ".m4a": "aac", ".m4b": "alac", ".m4r": "aac -f ipod",
    ".aac": "aac", ".ac3": "ac3", ".eac3": "eac3", ".tta": "tta", ".webm": "opus", ".weba": "opus -f webm",
    ".3gp": "aac", ".mov": "aac", ".mkv": "aac", ".mp4": "aac", ".m4v": "aac -f mp4", ".dts": "dca", ".mlp": "mlp",
    ".mp2": "mp2", ".mpga": "mp2 -f mp2", ".avi": "mp2", ".flv": "aac", ".asf": "wmav2",
}  # fmt: skip
NOT_ENCODED = {".amr", ".ape", ".mpc", ".dsf", ".tak", ".ra", ".oma", ".spx"}  # read, but not written by it alone


def noise(path: Path, rate: int = 48000) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = np.random.default_rng(0).normal(0, 0.1, rate // 4)
    kind = NATIVE[path.suffix.lower()]
    soundfile.write(
        path, samples, rate, format=kind, subtype="PCM_16" if kind in ("VOC", "AIFF", "SVX", "NIST") else None
    )
    return path


def found(folder: Path, follow: bool = False) -> dict[str, str]:
    told = [(path.relative_to(folder).as_posix(), reason) for path, reason in walk(folder, follow)]
    assert len(dict(told)) == len(told)  # each once
    return dict(told)


# suffixes -------------------------------------------------------------------------------------------------------------


def test_what_libsndfile_decodes_is_found_and_decoded(tmp_path):
    for suffix in NATIVE:
        noise(tmp_path / f"a{suffix}")
    assert found(tmp_path).keys() == {f"a{suffix}" for suffix in NATIVE}
    assert NATIVE.keys() <= NATIVE_SUFFIXES
    for suffix in NATIVE:
        assert read_excerpt(tmp_path / f"a{suffix}", AudioSettings(resampler="soxr")).seconds > 0.2


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg")
def test_what_ffmpeg_decodes_is_found_and_decoded(tmp_path):
    wav, folder = noise(tmp_path / "a.wav"), tmp_path / "songs"
    folder.mkdir()
    command = ["ffmpeg", "-v", "error", "-nostdin", "-i", wav]
    for suffix, encoder in ENCODERS.items():
        command += ["-strict", "-2", "-c:a", *encoder.split(), folder / f"a{suffix}"]
    subprocess.run(command, check=True)
    assert found(folder).keys() == {f"a{suffix}" for suffix in ENCODERS}
    for suffix in (".m4b", ".wma", ".wv", ".mka", ".weba"):
        assert read_excerpt(folder / f"a{suffix}", AudioSettings(resampler="soxr")).seconds > 0.2


def test_every_suffix_has_one_decoder_and_is_found_in_any_case(tmp_path):
    assert not NATIVE_SUFFIXES & FFMPEG_SUFFIXES
    assert all(suffix == suffix.lower() and suffix.startswith(".") for suffix in AUDIO_SUFFIXES)
    assert ENCODERS.keys() | NOT_ENCODED <= AUDIO_SUFFIXES
    for number, suffix in enumerate(sorted(AUDIO_SUFFIXES)):
        (tmp_path / f"{number}{suffix.upper()}").touch()
    for other in ("a.txt", "a.lrc", "a.jpg", "a.mid", "a.m3u8", "a.cue", "a.mat", "a.mp3.part", "mp3"):
        (tmp_path / other).touch()
    assert len(found(tmp_path)) == len(AUDIO_SUFFIXES)


def test_songs_of_like_names_keep_ids_of_their_own(tmp_path):
    names = ["a/x.flac", "a/x.mp3", "b/x.mp3", "x.MP3", "x.mp3", "x.mp3.wav"]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert sorted(entry.id for entry in read_corpus(tmp_path)) == sorted(names)


def test_hidden_files_and_resource_forks_are_none(tmp_path):
    for name in ("._a.mp3", ".b.mp3", ".hidden/c.mp3", "__MACOSX/._d.mp3", "e.mp3"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert found(tmp_path) == {"e.mp3": ""}


# what is in the way ---------------------------------------------------------------------------------------------------


def test_links_that_lead_round_or_nowhere(tmp_path):
    """To itself, to each other, to a folder above, to nothing; a lost cover is no song."""
    (tmp_path / "in" / "deep").mkdir(parents=True)
    noise(tmp_path / "in" / "deep" / "a.wav")
    for name, target in {
        "self": "self", "self.mp3": "self.mp3", "one": "other", "other": "one", "in/up": "..", "in/deep/top": "../..",
        "gone.flac": "nothing", "gone folder": "/no/such/drive", "Vol. 2": "/no/such/drive", "cover.jpg": "nothing",
    }.items():  # fmt: skip
        (tmp_path / name).symlink_to(target)
    circle = "it is a link that cannot be followed: Too many levels of symbolic links"
    nowhere = "it is a link that leads nowhere"
    same = {
        "in/deep/a.wav": "", "self": circle, "self.mp3": circle, "one": circle, "other": circle, "gone.flac": nowhere,
        "gone folder": nowhere, "Vol. 2": nowhere,
    }  # fmt: skip
    assert found(tmp_path) == same | {"in/up": NOT_FOLLOWED, "in/deep/top": NOT_FOLLOWED}
    above = "it is a link to a folder above it"
    assert found(tmp_path, follow=True) == same | {"in/up": above, "in/deep/top": above}


def test_folders_that_link_to_each_other_end(tmp_path):
    """Each of twelve links to all others: followed blindly, these are 10^8 paths."""
    for one in range(12):
        noise(tmp_path / f"{one:02d}" / "a.wav")
        for other in range(12):
            (tmp_path / f"{one:02d}" / f"to-{other:02d}").symlink_to(f"../{other:02d}")
    names = [name for name, reason in found(tmp_path, follow=True).items() if not reason]
    assert {f"{one:02d}/a.wav" for one in range(12)} <= set(names) and len(names) <= 24


def test_special_files_are_named_and_never_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.mp3")
    os.mkfifo(tmp_path / "pipe.txt")
    (tmp_path / "zero.wav").symlink_to("/dev/zero")
    (tmp_path / "folder.mp3").mkdir()
    noise(tmp_path / "folder.mp3" / "a.wav")
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(os.path.relpath(tmp_path / "socket.ogg"))
        assert found(tmp_path) == {
            "folder.mp3/a.wav": "", "pipe.mp3": "it is a pipe, not a file", "socket.ogg": "it is a socket, not a file",
            "zero.wav": "it is a device, not a file",
        }  # fmt: skip


def deny(monkeypatch, *names: str) -> None:
    """Folders that may not be read, for root, too."""
    real = os.scandir

    def scandir(path):
        if Path(path).name in names:
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)


def test_folders_that_may_not_be_read_are_named(tmp_path, monkeypatch):
    for name in ("a/a.wav", "locked/b.wav", "z/also/c.wav", "z/d.wav"):
        noise(tmp_path / name)
    deny(monkeypatch, "locked", "also")
    denied = "the folder cannot be read: Permission denied"
    assert found(tmp_path) == {"a/a.wav": "", "locked": denied, "z/also": denied, "z/d.wav": ""}
    entries = list(read_corpus(tmp_path))
    assert [entry.song for entry in entries if isinstance(entry, Rejected)] == ["locked", "z/also"]
    assert [entry.id for entry in entries if isinstance(entry, Song)] == ["a/a.wav", "z/d.wav"]
    deny(monkeypatch, tmp_path.name)
    with pytest.raises(DataError, match=rf"{tmp_path} cannot be read: Permission denied"):
        list(read_corpus(tmp_path))


def test_very_deep_folders(tmp_path, monkeypatch):
    """Deeper than Python's stack, and, further on, than a path may be long: that folder is named."""
    monkeypatch.chdir(tmp_path)
    for number in range(1150):
        name = "d" if number < 1100 else 60 * "d"
        Path(name).mkdir()
        os.chdir(name)
        if number in (1099, 1149):
            noise(Path("a.wav"))
    os.chdir(tmp_path)
    told = found(tmp_path)
    assert told.pop("d/" * 1100 + "a.wav") == ""
    ((name, reason),) = told.items()
    assert name.startswith("d/d/") and reason == "the folder cannot be read: File name too long"
    subprocess.run(["rm", "-rf", tmp_path / "d"], check=True)  # shutil cannot


# Music4All ------------------------------------------------------------------------------------------------------------


def test_music4all_names_what_is_in_the_way_and_finds_other_suffixes(tmp_path):
    for name in ("audios/one.mp3", "audios/two.m4b", "audios/two.wma", "audios/Three.FLAC", "lyrics/one.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    os.mkfifo(tmp_path / "audios" / "pipe.mp3")
    entries = list(read_corpus(tmp_path))
    assert [(entry.song, entry.reason) for entry in entries if isinstance(entry, Rejected)] == [
        ("pipe", "it is a pipe, not a file")
    ]
    assert sorted(entry.id for entry in entries if isinstance(entry, Song)) == ["Three", "one", "two", "two"]
    music = Music4All(CorpusRoot(tmp_path))
    assert [Path(music.find(name)).name for name in ("one", "two", "Three", "four")] == [
        "one.mp3", "two.m4b", "Three.FLAC", "four.mp3",
    ]  # fmt: skip
