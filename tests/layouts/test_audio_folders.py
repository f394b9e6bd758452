"""Audio with metadata files, clips of longer files, and MusicCaps."""

import builtins
import json
import sys
import types
from pathlib import Path

import pytest
from open_corpora import SAID, WORDS, make_audio_folder, make_clips, make_music_caps

from recap_cli.corpus.data_folder import MELS
from recap_cli.corpus.dataset import PreparedData
from recap_cli.corpus.song import Caption, Rejected, Song, read_song_line
from recap_cli.errors import DataError, OptionError
from recap_cli.layouts.readers import choose_layout, read_corpus
from recap_cli.preparation.options import PrepareOptions
from recap_cli.preparation.prepare import prepare

COLUMNS = {"caption": "text", "lyrics": "words"}


def expected(folder: Path) -> list[Song]:
    names = ("test/clips/2.ogg", "train/clips/0.ogg", "validation/clips/1.ogg")
    return [
        Song(name, str(folder / name), WORDS[number], tuple(map(Caption, SAID[number])), name.split("/")[0], "",
             f"artist {number}")
        for name, number in zip(names, (2, 0, 1), strict=True)
    ]  # fmt: skip


# Hugging Face's AudioFolder -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_an_audio_folder(tmp_path, suffix):
    make_audio_folder(tmp_path, suffix=suffix)
    assert choose_layout(tmp_path) == "audio-folder"
    assert list(read_corpus(tmp_path, columns=COLUMNS)) == expected(tmp_path)
    assert list(read_corpus(tmp_path, layout="audio-folder", columns=COLUMNS)) == expected(tmp_path)
    (song,) = read_corpus(tmp_path / "test" / f"metadata{suffix}", columns=COLUMNS)
    assert (song.id, song.audio) == ("clips/2.ogg", expected(tmp_path)[0].audio)


def test_audio_that_no_row_names(tmp_path):
    """It is told, and so is a column that no file has."""
    make_audio_folder(tmp_path)
    (tmp_path / "train" / "clips" / "extra.ogg").touch()
    found = list(read_corpus(tmp_path, columns=COLUMNS))
    assert found[:3] == expected(tmp_path)
    extra = str(tmp_path / "train" / "clips" / "extra.ogg")
    assert found[3:] == [Rejected("train/clips/extra.ogg", extra, "no metadata file names it")]
    with pytest.raises(DataError, match=r"--columns caption=txt: .* has no column txt"):
        list(read_corpus(tmp_path, columns={"caption": "txt"}))
    with pytest.raises(DataError, match="has no metadata file"):
        (tmp_path / "empty").mkdir()
        list(read_corpus(tmp_path / "empty", layout="audio-folder"))


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("clips/0.ogg,", ",", "it has no audio"),
        ("clips/0.ogg,", "../../../0.ogg,", "the audio lies outside"),
        (",artist 0", ",artist 0,more", "its cells do not fit the header: 5 cells for 4 columns"),
    ],
)
def test_damaged_metadata(tmp_path, old, new, reason):
    make_audio_folder(tmp_path)
    table = tmp_path / "train" / "metadata.csv"
    text = table.read_text()
    assert old in text
    table.write_text(text.replace(old, new, 1))
    rejected = [one for one in read_corpus(tmp_path, columns=COLUMNS) if isinstance(one, Rejected)]
    assert (rejected[0].song, rejected[0].file) == ("metadata.csv, line 2", str(table))
    assert rejected[0].reason.startswith(reason)


def test_parquet_without_its_package(tmp_path, monkeypatch):
    (tmp_path / "metadata.parquet").write_bytes(b"PAR1")
    real = builtins.__import__

    def lacking(name, *args, **named):
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return real(name, *args, **named)

    monkeypatch.setattr(builtins, "__import__", lacking)
    with pytest.raises(DataError, match=r"metadata\.parquet is a Parquet file") as told:
        list(read_corpus(tmp_path))
    assert "pip install pyarrow" in told.value.hint


def test_parquet_rows(tmp_path, monkeypatch):
    """With a stand-in for the package, which need not be installed here: batches, nulls, and what is damaged."""
    rows = [{"file_name": "a.ogg", "text": "one", "words": None}, {"file_name": "b.ogg", "text": float("nan")}]

    class ParquetFile:
        def __init__(self, path):
            self.schema_arrow = types.SimpleNamespace(names=["file_name", "text", "words"])

        def iter_batches(self, batch_size):
            yield types.SimpleNamespace(to_pylist=lambda: rows)
            raise OSError("corrupt page")

    module = types.ModuleType("pyarrow.parquet")
    module.ParquetFile = ParquetFile
    monkeypatch.setitem(sys.modules, "pyarrow", types.ModuleType("pyarrow"))
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", module)
    (tmp_path / "metadata.parquet").touch()
    found = read_corpus(tmp_path / "metadata.parquet", columns={"caption": "text"})
    assert next(found).captions == (Caption("one"),)
    with pytest.raises(DataError, match=r"metadata\.parquet is damaged after row 2: corrupt page"):
        list(found)


# parts of files -------------------------------------------------------------------------------------------------------


def test_clips(tmp_path):
    """Each row is a song, and its excerpt is that of the row."""
    clips = make_clips(tmp_path)
    assert choose_layout(clips) == "manifest"
    songs = list(read_corpus(clips))
    assert [(song.id, song.excerpt) for song in songs] == [
        ("concert.ogg@0-0.2", (0.0, 0.2)), ("concert.ogg@0.2-0.4", (0.2, 0.4)),
        ("concert.ogg@0.4-0.6", (0.4, pytest.approx(0.6))),
    ]  # fmt: skip
    renamed = tmp_path / "renamed.jsonl"
    renamed.write_text(clips.read_text().replace('"audio"', '"path"').replace("start_time", "from"))
    assert list(read_corpus(renamed, columns={"audio": "path", "start_time": "from"})) == songs


@pytest.mark.parametrize("encoder", ["cnnsa", "musicnn"])
def test_clips_are_prepared(tmp_path, encoder):
    """One mel a clip, as long as the clip, and all of one file in one split; kept, and read again."""
    options = PrepareOptions(
        make_clips(tmp_path), music_encoder=encoder, resampler="polyphase", out=tmp_path / "data", jobs=1
    )
    assert prepare(options).songs == 3
    data = PreparedData(tmp_path / "data")
    assert [song.song.excerpt for song in data.songs] == [(0.0, 0.2), (0.2, 0.4), (0.4, pytest.approx(0.6))]
    assert len({song.mel for song in data.songs}) == 3 and len(data.splits) == 1
    assert all(0.15 < song.seconds < 0.25 for song in data.songs)
    assert len(list((tmp_path / "data" / MELS).iterdir())) == 1


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"start_time": "soon"}, "its start_time is 'soon', no time in seconds"),
        ({"start_time": 3, "end_time": 3}, "its end_time 3 is not behind its start_time 3"),
        ({"end_time": -1}, "its end_time is -1, no time in seconds"),
    ],
)
def test_damaged_times(tmp_path, row, reason):
    (tmp_path / "clips.jsonl").write_text(json.dumps({"audio": "a.ogg", **row}) + "\n")
    (found,) = read_corpus(tmp_path / "clips.jsonl")
    assert isinstance(found, Rejected) and found.reason == reason


@pytest.mark.parametrize("excerpt", [[1], [2, 1], [-1, None], ["a", 2], 3])
def test_damaged_excerpts_in_a_data_folder(excerpt):
    line = {"song": {"id": "a", "audio": "a", "lyrics": "", "excerpt": excerpt}, "mel": "m", "seconds": 1}
    with pytest.raises(ValueError, match="excerpt"):
        read_song_line(json.dumps(line).encode())


# MusicCaps ------------------------------------------------------------------------------------------------------------


def test_music_caps(tmp_path):
    table = make_music_caps(tmp_path)
    names = ("-0_made-up00000", "-0_made-up00001_30_40", "[-0_made-up00002]-[30-40]")
    songs = [
        Song(f"-0_made-up{number:05}", str(tmp_path / "clips" / f"{name}.wav"), "", (Caption(SAID[number][0]),),
             "test" if number == 1 else "train", tags={"aspects": f"aspect {number}, tinny, wide"})
        for number, name in enumerate(names)
    ]  # fmt: skip
    assert choose_layout(table) == "musiccaps"
    assert list(read_corpus(table)) == list(read_corpus(table, tmp_path / "clips", "musiccaps")) == songs
    (tmp_path / "clips").rename(tmp_path / "elsewhere")
    with pytest.raises(DataError, match="no folder of them lies beside it"):
        list(read_corpus(table))
    with pytest.raises(OptionError, match="--columns names the columns"):
        read_corpus(table, columns=COLUMNS)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (",30,40,", ",40,30,", "its times are 40 to 30, no part of a video"),
        ("['aspect 0', 'tinny, wide']", "['aspect 0', 'tinny", "it looks like a list, but cannot be read as one"),
        (",4,False,False", ",4,False,perhaps", "its is_audioset_eval is 'perhaps', neither True nor False"),
        ("-0_made-up00000,", ",", "it has no ytid"),
    ],
)
def test_damaged_music_caps(tmp_path, old, new, reason):
    table = make_music_caps(tmp_path)
    assert old in table.read_text()
    table.write_text(table.read_text().replace(old, new, 1))
    first, *others = read_corpus(table)
    assert isinstance(first, Rejected) and first.reason.startswith(reason)
    assert (first.song, first.file) == ("musiccaps-public.csv, line 2", str(table))
    assert [song.split for song in others] == ["test", "train"]
