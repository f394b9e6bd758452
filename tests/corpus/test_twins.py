"""Songs with the same audio are one song when splits are made, whatever their ids, names and tags."""

import os
import shutil

import numpy as np
import pytest
import soundfile

from recap_cli.corpus import twins
from recap_cli.corpus.mel_cache import hash_file
from recap_cli.corpus.song import Song
from recap_cli.corpus.splits import SongList, assign_splits, measure_leakage
from recap_cli.corpus.twins import join_kin

ID3 = b"ID3\x04\x00\x00\x00\x00\x02\x01" + b"\x00" * 257
APE = b"APETAGEX\xd0\x07\x00\x00\x28\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00" + b"\x00" * 8


def tone(path, number, **how):
    rng = np.random.default_rng(number)
    soundfile.write(path, rng.normal(size=4000).astype("float32") / 9, 16000, **how)
    return path


def listed(paths, splits=None):
    made = SongList()
    for number, path in enumerate(paths):
        made.add(Song(f"s{number}", str(path), "", split=splits[number] if splits else ""))
    join_kin(made.songs)
    return made.songs


def groups(songs):
    found = {}
    for one in songs:
        found.setdefault(one.kin, []).append(one.song.id)
    return list(found.values())


def test_copies_under_other_names_go_to_one_split(tmp_path):
    first = [tone(tmp_path / f"{number}.wav", number) for number in range(12)]
    copies = [shutil.copy(path, tmp_path / f"{path.stem}-copy.WAV") for path in first]
    found = listed([*first, *copies])
    assert groups(found) == [[f"s{number}", f"s{number + 12}"] for number in range(12)]
    assign_splits(found, 0)
    splits = {one.song.id: one.split for one in found}
    assert all(splits[f"s{number}"] == splits[f"s{number + 12}"] for number in range(12))
    assert set(splits.values()) == {"train", "validation", "test"}
    leakage = measure_leakage(found)
    assert (leakage.near_duplicates, leakage.across) == (1.0, 0)


def test_given_splits_that_leak_are_told(tmp_path):
    first = [tone(tmp_path / f"{number}.wav", number) for number in range(3)]
    splits = ["train", "train", "train", "test", "validation"]
    found = listed([*first, shutil.copy(first[0], tmp_path / "x.wav"), first[1]], splits)
    assert measure_leakage(found).across == 2
    assert measure_leakage(found).near_duplicates == 4 / 5


@pytest.mark.parametrize(
    ("suffix", "tag"),
    [
        (".mp3", lambda content: ID3 + content),
        (".mp3", lambda content: content + b"TAG" + b"x" * 125),
        (".mp3", lambda content: content + b"item" * 2 + APE),
        (".mp3", lambda content: ID3 + content + b"item" * 2 + APE + b"TAG" + b"y" * 125),
    ],
)
def test_tags_make_no_other_song(tmp_path, suffix, tag):
    plain = tone(tmp_path / f"plain{suffix}", 0, format="MP3")
    tagged = tmp_path / f"tagged{suffix}"
    tagged.write_bytes(tag(plain.read_bytes()))
    other = tone(tmp_path / f"other{suffix}", 1, format="MP3")
    assert groups(listed([plain, tagged, other])) == [["s0", "s1"], ["s2"]]


def test_tags_of_flac_make_no_other_song(tmp_path):
    plain = tone(tmp_path / "plain.flac", 0)
    content = plain.read_bytes()
    padding = b"\x01\x00\x00\x40" + b"\x00" * 64
    (tmp_path / "tagged.flac").write_bytes(content[:42] + padding + content[42:])
    assert groups(listed([plain, tmp_path / "tagged.flac"])) == [["s0", "s1"]]


def test_the_hash_is_that_of_the_mel(tmp_path):
    path = tone(tmp_path / "a.wav", 0)
    assert twins.content(path) == hash_file(path)


def test_only_files_that_look_alike_are_read_whole(tmp_path, monkeypatch):
    read = []
    monkeypatch.setattr(twins, "content", lambda path: read.append(path.name) or hash_file(path))
    paths = [tone(tmp_path / f"{number}.wav", number) for number in range(20)]
    assert len({path.stat().st_size for path in paths}) == 1
    listed([*paths, shutil.copy(paths[3], tmp_path / "copy.wav")])
    assert sorted(read) == ["3.wav", "copy.wav"]


def test_files_that_cannot_be_read_are_left_to_the_decoder(tmp_path):
    os.mkfifo(tmp_path / "pipe.mp3")
    os.mkfifo(tmp_path / "other.mp3")
    names = [
        "pipe.mp3",
        "other.mp3",
        "none.wav",
        "x" * 300 + ".wav",
        "empty.flac",
        "empty2.flac",
        "torn.mp3",
        "torn2.mp3",
    ]
    for name in names[4:6]:
        (tmp_path / name).write_bytes(b"")
    for name, rest in zip(names[6:], (b"\x7f\x7f\x7f\x7f", b"\x7f\x7f\x7f\x7e"), strict=True):
        (tmp_path / name).write_bytes(b"ID3\x04\x00\x10" + rest)
    assert groups(listed([tmp_path / name for name in names])) == [[f"s{number}"] for number in range(len(names))]
