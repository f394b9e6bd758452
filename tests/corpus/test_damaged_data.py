"""Prepared folders that were damaged, edited or made by older versions: told by file and line before any work."""

import json
import os
import shutil

import numpy as np
import pytest

from recap_cli.corpus.dataset import PreparedData
from recap_cli.corpus.shards import write_shard
from recap_cli.corpus.song import shows_nothing
from recap_cli.errors import DataError, RecapError


@pytest.fixture
def copy(tiny_data, tmp_path):
    """A prepared folder of one's own, to be damaged."""
    shutil.copytree(tiny_data.folder, tmp_path / "data", ignore=shutil.ignore_patterns("features", "pretrained"))
    return tmp_path / "data"


def change_line(path, number, **values):
    """Set values in one line, from 1; a dotted name reaches into the song, and `...` takes the key away."""
    lines = path.read_text().splitlines()
    record = json.loads(lines[number - 1])
    for name, value in values.items():
        inner, _, key = name.rpartition("__")
        target = record[inner] if inner else record
        if value is ...:
            del target[key]
        else:
            target[key] = value
    lines[number - 1] = json.dumps(record)
    path.write_text("\n".join(lines) + "\n")


SONG_DAMAGE = {
    "no song": {"song": ...},
    "song is text": {"song": "a song"},
    "song is null": {"song": None},
    "no mel": {"mel": ...},
    "mel is a list": {"mel": ["a"]},
    "mel is null": {"mel": None},
    "no seconds": {"seconds": ...},
    "seconds is text": {"seconds": "15"},
    "seconds is NaN": {"seconds": float("nan")},
    "seconds is negative": {"seconds": -1},
    "seconds is true": {"seconds": True},
    "seconds is a list": {"seconds": [15]},
    "no id": {"song__id": ...},
    "empty id": {"song__id": ""},
    "id is a number": {"song__id": 7},
    "id is null": {"song__id": None},
    "split is a list": {"song__split": ["train"]},
    "split is null": {"song__split": None},
    "lyrics is null": {"song__lyrics": None},
    "lyrics is a list": {"song__lyrics": ["la", "la"]},
    "half a character": {"song__lyrics": "la \ud83d la"},
    "half a character in the id": {"song__id": "\udc80"},
    "title is a number": {"song__title": 1},
    "tags is a list": {"song__tags": ["slow"]},
    "a tag is a number": {"song__tags": {"tempo": 120}},
    "a tag is a list": {"song__tags": {"tempo": ["slow"]}},
    "captions in the song": {"song__captions": []},
}


@pytest.mark.parametrize("values", SONG_DAMAGE.values(), ids=SONG_DAMAGE)
def test_a_damaged_song_is_named_by_line(copy, values):
    change_line(copy / "songs.jsonl", 5, **values)
    with pytest.raises(DataError, match=f"{copy / 'songs.jsonl'} line 5 is damaged: ") as caught:
        PreparedData(copy)
    assert caught.value.hint == "run recap prepare again"


CAPTION_DAMAGE = {
    "no song": {"song": ...},
    "song is a number": {"song": 3},
    "text is null": {"text": None},
    "text is a list": {"text": ["slow"]},
    "half a character": {"text": "\ud83d"},
    "votes is text": {"votes": "3"},
    "votes is a fraction": {"votes": 1.5},
    "votes is true": {"votes": True},
    "votes is huge": {"votes": 10**30},
}


@pytest.mark.parametrize("values", CAPTION_DAMAGE.values(), ids=CAPTION_DAMAGE)
def test_a_damaged_caption_is_named_by_line(copy, values):
    change_line(copy / "captions.jsonl", 3, **values)
    with pytest.raises(DataError, match=f"{copy / 'captions.jsonl'} line 3 is damaged: "):
        PreparedData(copy)


@pytest.mark.parametrize("name", ["songs.jsonl", "captions.jsonl"])
@pytest.mark.parametrize(
    "line", [b"\xff\xfe{", b"[" * 100_000, b'{"song":' * 20_000, b"null", b"NaN", b'"text"', b"{} {}", b"{'a': 1}"]
)
def test_lines_that_are_no_records(copy, name, line):
    content = (copy / name).read_bytes()
    (copy / name).write_bytes(b"\n\n" + line + b"\n" + content)  # blank lines count, as an editor counts them
    with pytest.raises(DataError, match=f"{copy / name} line 3 is damaged: "):
        PreparedData(copy)


def test_a_cut_file_is_told(copy):
    for name in ("songs.jsonl", "captions.jsonl"):
        content = (copy / name).read_bytes()
        (copy / name).write_bytes(content[:-20])
        with pytest.raises(DataError, match=f"{name} line {content.count(10)} is damaged"):
            PreparedData(copy)
        (copy / name).write_bytes(content)


def test_an_id_that_comes_twice(copy):
    lines = (copy / "songs.jsonl").read_text().splitlines()
    (copy / "songs.jsonl").write_text("\n".join([*lines, lines[1]]))
    with pytest.raises(DataError) as caught:
        PreparedData(copy)
    path = copy / "songs.jsonl"
    name = json.loads(lines[1])["song"]["id"]
    assert caught.value.message == f"{path} line {len(lines) + 1}: id {name!r} stands in {path} line 2, too"


INFO_DAMAGE = {
    "no audio": {"audio": ...},
    "audio is null": {"audio": None},
    "audio is a list": {"audio": []},
    "mels is text": {"audio__mels": "128"},
    "mels is a fraction": {"audio__mels": 128.5},
    "hop is true": {"audio__hop": True},
    "rate is null": {"audio__sample_rate": None},
    "seconds is NaN": {"audio__seconds": float("nan")},
    "floor is infinite": {"audio__power_floor": float("inf")},
    "resampler is a list": {"audio__resampler": []},
    "no fingerprint": {"fingerprint": ...},
    "fingerprint is a number": {"fingerprint": 3},
    "splits is a list": {"splits": ["train"]},
    "splits hold text": {"splits": {"train": "17"}},
    "splits hold less than nothing": {"splits": {"train": -1}},
    "no source": {"source": ...},
    "source is null": {"source": None},
    "no version": {"recap": ...},
    "tags are text": {"music_tags": "tempo"},
    "tags are numbers": {"music_tags": [1]},
    "demo is text": {"demo": "yes"},
}


@pytest.mark.parametrize("values", INFO_DAMAGE.values(), ids=INFO_DAMAGE)
def test_a_damaged_dataset_file_names_its_key(copy, values):
    path = copy / "dataset.json"
    path.write_text(json.dumps(json.loads(path.read_text())))
    change_line(path, 1, **values)
    (name,) = values
    with pytest.raises(DataError) as caught:
        PreparedData(copy)
    assert caught.value.message.startswith(str(path)) and name.rpartition("__")[2] in caught.value.message


@pytest.mark.parametrize(
    "content", [b"\xff\xfe", b"[" * 100_000, b'{"a":' * 50_000, b"\0" * 100, b" " * (1 << 24) + b"{}"]
)
def test_a_dataset_file_of_junk(copy, content):
    (copy / "dataset.json").write_bytes(content)
    with pytest.raises(DataError, match=r"dataset\.json is damaged: "):
        PreparedData(copy)


def test_what_is_no_file_is_never_waited_for(copy):
    for name in ("songs.jsonl", "captions.jsonl", "dataset.json"):
        (copy / name).rename(copy / "aside")
        for make in (os.mkfifo, os.mkdir):
            make(copy / name)
            with pytest.raises(DataError):
                PreparedData(copy)
            (copy / name).unlink() if make is os.mkfifo else (copy / name).rmdir()
        (copy / "aside").rename(copy / name)
    assert PreparedData(copy).notes == []


def test_slices_without_end_are_not_counted_through(copy):
    (copy / "dataset.json").rename(copy / f"dataset-1-of-{10**15}.json")
    with pytest.raises(DataError, match="lacks other parts"):
        PreparedData(copy)


def rewrite_mel(folder, change):
    """Change the first song's mel; give its id and the one shard that holds all now."""
    data = PreparedData(folder)
    arrays = {key: data.mels[key] for key in data.mels.files}
    entry = data.songs[0]
    arrays[entry.mel] = change(arrays[entry.mel])
    for path in (folder / "mels").iterdir():
        path.unlink()
    write_shard(folder / "mels" / "all.safetensors", arrays)
    return entry


MEL_DAMAGE = {
    "one row": lambda mel: mel[0],
    "other bands": lambda mel: mel[:64],
    "turned": lambda mel: mel.T,
    "no frames": lambda mel: mel[:, :0],
    "too long": lambda mel: np.tile(mel, 10),
    "a batch": lambda mel: mel[None],
}


@pytest.mark.parametrize("change", MEL_DAMAGE.values(), ids=MEL_DAMAGE)
def test_a_mel_of_another_shape(copy, change):
    entry = rewrite_mel(copy, change)
    with pytest.raises(DataError, match=rf"all\.safetensors: the mel of {entry.song.id} has the shape"):
        PreparedData(copy)


def test_a_mel_that_is_no_number(copy):
    entry = rewrite_mel(copy, lambda mel: np.where(np.arange(mel.shape[1]) == 7, np.nan, mel).astype(np.float16))
    with pytest.raises(DataError, match=rf"all\.safetensors is damaged: {entry.mel} holds NaN or infinity"):
        PreparedData(copy).mels[entry.mel]


# blank captions -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["", " ", "\n\t", "\u200b\u200b", "\ufeff", "\u3000", "\u00ad", "\u2800", "\u3164", "\0", "\u0301"]
)
def test_texts_that_show_nothing(text):
    assert shows_nothing(text)


@pytest.mark.parametrize("text", ["a", " .", "雨", "🎵", "\u200ba", "é", "0"])
def test_texts_that_show_something(text):
    assert not shows_nothing(text)


def test_blank_captions_of_an_older_prepare_are_passed_over_and_told(copy, tiny_data):
    first = tiny_data.songs[0].song
    for line, text in ((1, " "), (2, "\u200b")):
        change_line(copy / "captions.jsonl", line, text=text)
    data = PreparedData(copy)
    assert data.notes == [f"{copy}: 2 captions with nothing in them are passed over."]
    assert data.songs[0].song.captions == first.captions[2:]


def test_random_damage_is_told_or_harmless(copy, tiny_data):
    """A cut, a flipped bit or a lost piece in any file: a RecapError that names the folder, or the songs as before."""
    random = np.random.default_rng(0)
    files = sorted(path for path in copy.rglob("*") if path.is_file() and path.stat().st_size)
    told = 0
    for _ in range(60):
        path = files[int(random.integers(len(files)))]
        content = path.read_bytes()
        place = int(random.integers(min(len(content), 2000)))
        how = random.integers(4)
        if how == 0:
            changed = content[:place]
        elif how == 1:
            changed = content[:place] + content[place + 40 :]
        elif how == 2:
            changed = content[:place] + bytes([content[place] ^ (1 << int(random.integers(8)))]) + content[place + 1 :]
        else:
            changed = content[:place] + random.bytes(40) + content[place + 40 :]
        path.write_bytes(changed)
        try:
            data = PreparedData(copy)
            for entry in data.songs:
                data.mels[entry.mel]
        except RecapError as error:
            told += 1
            assert str(copy) in error.message
        path.write_bytes(content)
    assert told > 20
    assert PreparedData(copy).songs == tiny_data.songs
