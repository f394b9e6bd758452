"""Readers: every layout gives the same records, and every unusable entry its reason."""

import json
import os
from pathlib import Path

import pytest

from recap_cli.corpus.song import Caption, Rejected, Song
from recap_cli.errors import DataError
from recap_cli.layouts.readers import read_corpus


def put(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def read_jsonl(folder: Path, *rows: object) -> list[Song | Rejected]:
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    return list(read_corpus(put(folder / "songs.jsonl", "\n".join(lines) + "\n")))


def the_one(found: list[Song | Rejected]) -> Song | Rejected:
    assert len(found) == 1
    return found[0]


# manifests ------------------------------------------------------------------------------------------------------------


def expected(folder: Path) -> list[Song]:
    return [
        Song(
            "one",
            str(folder / "a.wav"),
            "first line\nsecond line",
            (Caption("a sad song", 3),),
            "validation",
            "Rain",
            "Nina",
            {"mode": "minor", "live": "yes"},
        ),
        Song("sub/b.wav", str(folder / "sub" / "b.wav"), "", ()),
    ]


@pytest.mark.parametrize(("suffix", "comma"), [(".csv", ","), (".tsv", "\t"), (".CSV", ",")])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_tables(tmp_path, suffix, comma, mark):
    columns = ["id", "audio", "lyrics", "caption", "votes", "split", "title", "artist", "tags"]
    first = ["one", "a.wav", '"first line\nsecond line"', "a sad song", "3", "Val", "Rain", "Nina", "mode=minor; live"]
    second = ["", "sub/b.wav", "", "", "", "", "", "", ""]
    text = mark + "\n".join(comma.join(row) for row in (columns, first, second)) + "\n"
    assert list(read_corpus(put(tmp_path / f"songs{suffix}", text))) == expected(tmp_path)


def test_json_lines(tmp_path):
    first = {
        "id": "one",
        "audio": "a.wav",
        "lyrics": "first line\nsecond line",
        "caption": "a sad song",
        "votes": 3,
        "split": "val",
        "title": "Rain",
        "artist": "Nina",
        "tags": {"mode": "minor", "live": "yes"},
    }
    assert read_jsonl(tmp_path, first, "", {"audio": "sub/b.wav"}) == expected(tmp_path)


def test_the_audio_folder(tmp_path):
    manifest = put(tmp_path / "here" / "songs.csv", "audio\nx.mp3\n")
    song = the_one(list(read_corpus(manifest, audio=tmp_path / "there")))
    assert song.audio == str(tmp_path / "there" / "x.mp3")


def test_absolute_paths_inside_the_audio_folder(tmp_path):
    song = the_one(read_jsonl(tmp_path, {"audio": str(tmp_path / "x.mp3")}))
    assert song.audio == str(tmp_path / "x.mp3")


@pytest.mark.parametrize(
    ("given", "captions"),
    [
        ({"captions": ["a", "b"]}, (Caption("a"), Caption("b"))),
        ({"captions": ["a", "b"], "votes": "2"}, (Caption("a", 2), Caption("b", 2))),
        ({"captions": [{"text": "a", "votes": 4}, {"text": "b"}]}, (Caption("a", 4), Caption("b"))),
        ({"captions": [{"text": "a", "votes": "4"}]}, (Caption("a", 4),)),
        ({"captions": {"text": "a", "votes": 4}}, (Caption("a", 4),)),
        ({"captions": '["a", "b"]'}, (Caption("a"), Caption("b"))),
        ({"caption": "a", "votes": ""}, (Caption("a"),)),
        ({"caption": "[sad] but hopeful"}, (Caption("[sad] but hopeful"),)),
        ({"captions": []}, ()),
        ({}, ()),
    ],
)
def test_captions(tmp_path, given, captions):
    song = the_one(read_jsonl(tmp_path, {"audio": "a.wav", **given}))
    assert isinstance(song, Song)
    assert song.captions == captions


@pytest.mark.parametrize(
    ("tags", "read"),
    [
        ({"mode": "minor", "bpm": 90}, {"mode": "minor", "bpm": "90"}),
        ("mode=minor;tempo=slow", {"mode": "minor", "tempo": "slow"}),
        (" live ; mode = minor ;", {"live": "yes", "mode": "minor"}),
        (["live", "loud"], {"live": "yes", "loud": "yes"}),
        (None, {}),
        ("tempo: slow, mood: sad", {"tempo": "slow", "mood": "sad"}),
        ("mood = sad, tender; tempo = slow", {"mood": "sad, tender", "tempo": "slow"}),
        ("slow, sad", {"slow": "yes", "sad": "yes"}),
        ("slow | sad", {"slow": "yes", "sad": "yes"}),
        ("#slow #sad", {"slow": "yes", "sad": "yes"}),
        ("#slow, #sad", {"slow": "yes", "sad": "yes"}),
        ("慢、悲伤", {"慢": "yes", "悲伤": "yes"}),
        ("C# minor", {"C# minor": "yes"}),
        ('["slow", "mood: sad"]', {"slow": "yes", "mood": "sad"}),
        ('{"tempo": "slow", "live": true, "by": null}', {"tempo": "slow", "live": "yes"}),
        (["tempo=slow", "#sad"], {"tempo": "slow", "sad": "yes"}),
    ],
)
def test_tags(tmp_path, tags, read):
    assert the_one(read_jsonl(tmp_path, {"audio": "a.wav", "tags": tags})).tags == read


def test_null_is_absent(tmp_path):
    """What pandas writes for empty cells must not become the text None."""
    row = dict.fromkeys(("id", "lyrics", "lyrics_file", "caption", "votes", "split", "title", "artist", "tags"))
    assert the_one(read_jsonl(tmp_path, {"audio": "a.wav", **row})) == Song("a.wav", str(tmp_path / "a.wav"), "")


def test_lyrics_files_and_clean_lyrics(tmp_path):
    put(tmp_path / "words" / "a.lrc", "[00:05.00]second\n[00:01.00]first\n")
    found = read_jsonl(
        tmp_path, {"audio": "a.wav", "lyrics_file": "words/a.lrc"}, {"audio": "b.wav", "lyrics": "[Chorus]\r\n la \r\n"}
    )
    assert [song.lyrics for song in found] == ["first\nsecond", "la"]


@pytest.mark.parametrize(
    ("given", "split"),
    [("val", "validation"), ("Valid", "validation"), ("dev", "validation"), ("eval", "test"), ("TEST", "test"),
     ("train", "train"), ("unseen", "unseen"), ("", "")],
)  # fmt: skip
def test_split_names(tmp_path, given, split):
    assert the_one(read_jsonl(tmp_path, {"audio": "a.wav", "split": given})).split == split


def test_rows_of_one_song_are_its_captions(tmp_path):
    """They must follow each other and name the same audio."""
    found = read_jsonl(
        tmp_path,
        {"id": "x", "audio": "a.wav", "caption": "one", "votes": 1},
        {"id": "x", "audio": "a.wav", "caption": "two", "votes": 2},
        {"id": "y", "audio": "b.wav", "caption": "three"},
        {"id": "y", "audio": "c.wav", "caption": "four"},
        {"id": "x", "audio": "a.wav", "caption": "five"},
    )
    assert [(song.id, song.audio[-5:], [caption.text for caption in song.captions]) for song in found] == [
        ("x", "a.wav", ["one", "two"]),
        ("y", "b.wav", ["three"]),
        ("y", "c.wav", ["four"]),
        ("x", "a.wav", ["five"]),
    ]
    assert found[0].captions[1].votes == 2


def test_a_rejected_row_stays_in_its_place(tmp_path):
    found = read_jsonl(tmp_path, {"audio": "a.wav"}, "{broken", {"audio": "b.wav"})
    assert [type(entry).__name__ for entry in found] == ["Song", "Rejected", "Song"]
    assert found[1].song == "songs.jsonl, line 2"


# rows that are rejected -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("{not json", "no JSON: "),
        ('["a.wav"]', "no JSON object"),
        ('"a.wav"', "no JSON object"),
        ("[" * 100_000, "no JSON: "),
        ({}, "the row names no audio"),
        ({"audio": ""}, "the row names no audio"),
        ({"audio": None, "id": "x"}, "the row names no audio"),
        ({"audio": "a.wav", "caption": "x", "votes": "many"}, "its votes are 'many', no number of votes"),
        ({"audio": "a.wav", "captions": [{"votes": 3}]}, "a caption has no text"),
        ({"audio": "a.wav", "captions": ["x", None]}, "a caption has no text"),
        ({"audio": "a.wav", "caption": 5}, "a caption has no text"),
        ({"audio": "a.wav", "captions": '["a", b]'}, "it looks like a list, but cannot be read as one"),
        ({"audio": "a.wav", "lyrics": ["a", "b"]}, "its lyrics are no text"),
        ({"audio": "a.wav", "lyrics_file": "gone.txt"}, "{folder}/gone.txt cannot be read: No such file"),
        ({"audio": "a.wav", "title": "\ud83d"}, "it holds half a character"),
    ],
)
def test_rejected_rows_say_why(tmp_path, row, reason):
    entry = the_one(read_jsonl(tmp_path, row))
    assert isinstance(entry, Rejected)
    assert entry.reason.startswith(reason.replace("{folder}", str(tmp_path)))
    assert entry.song == ("a.wav" if isinstance(row, dict) and row.get("audio") and "\ud83d" not in row.values()
                          else "songs.jsonl, line 1")  # fmt: skip


@pytest.mark.parametrize(
    "name", ["../a.wav", "sub/../../a.wav", "/etc/passwd", "x/../../../../etc/passwd", "a\0b.wav", "link/a.wav"]
)
@pytest.mark.parametrize("column", ["audio", "lyrics_file"])
def test_paths_that_lead_out_are_refused(tmp_path, name, column):
    """Above the folder, absolute, or through a link; the file beyond exists, so only the check can refuse it."""
    folder = tmp_path / "corpus"
    put(tmp_path / "a.wav", "secret")
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path)
    row = {"id": "x", "audio": name} if column == "audio" else {"id": "x", "audio": "a.wav", "lyrics_file": name}
    entry = the_one(read_jsonl(folder, row))
    noun = "audio lies" if column == "audio" else "lyrics lie"
    assert isinstance(entry, Rejected)
    assert (entry.song, entry.reason) == ("x", f"the {noun} outside {folder}")


def test_damaged_csv_rows(tmp_path):
    """Too few cells, too many cells, no audio."""
    text = 'id,audio,caption\nshort\nx,a.wav,good,more,"and more"\n,,lonely\ny,b.wav,last\n'
    found = list(read_corpus(put(tmp_path / "songs.csv", text)))
    assert [(entry.song, entry.reason) for entry in found if isinstance(entry, Rejected)] == [
        ("songs.csv, line 2", "its cells do not fit the header: 1 cell for 3 columns"),
        (
            "songs.csv, line 3",
            "its cells do not fit the header: 5 cells for 3 columns: a text with commas must stand in quotes",
        ),
        ("songs.csv, line 4", "the row names no audio"),
    ]
    assert [song.id for song in found if isinstance(song, Song)] == ["y"]


# manifests that are none ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", ["", "\n", "id,file\nx,a.wav\n", "audio|lyrics\na.wav|la\n"])
def test_a_table_without_audio_column(tmp_path, content):
    with pytest.raises(DataError, match=r"songs\.csv has no column audio") as caught:
        list(read_corpus(put(tmp_path / "songs.csv", content)))
    assert "id,audio,lyrics" in caught.value.hint


def test_a_table_with_an_endless_cell(tmp_path):
    entry = the_one(list(read_corpus(put(tmp_path / "songs.csv", "audio\n" + "x" * 2_000_000))))
    assert entry == Rejected("songs.csv, line 2", str(tmp_path / "songs.csv"), "a cell has over 1,000,000 characters")


@pytest.mark.parametrize("content", ["", "\n\n"])
def test_empty_json_lines(tmp_path, content):
    assert list(read_corpus(put(tmp_path / "songs.jsonl", content))) == []


def test_what_is_no_corpus(tmp_path):
    with pytest.raises(DataError, match="no corpus at"):
        read_corpus(tmp_path / "nowhere.csv")
    with pytest.raises(DataError, match=r"songs\.xlsx is not recognised as a corpus") as caught:
        read_corpus(put(tmp_path / "songs.xlsx", "x"))
    assert ".csv, .tsv, .jsonl" in caught.value.hint


@pytest.mark.parametrize("name", ["dataset.pkl", "dataset.PICKLE", "songs.p"])
def test_a_pickle_is_not_read(tmp_path, name):
    """It is a program: what this one would do when it is loaded, it does not do."""
    trap = tmp_path / "made"
    put(tmp_path / name, f"cos\nmkdir\n(V{trap}\ntR.")
    with pytest.raises(DataError, match="pickles are not read: they can run code") as caught:
        read_corpus(tmp_path / name)
    assert "JSON release" in caught.value.hint
    assert not trap.exists()


# folders --------------------------------------------------------------------------------------------------------------


def test_folder_of_songs(tmp_path):
    """Audio at any depth, lyrics and captions beside it under the same name, other files ignored."""
    put(tmp_path / "b.mp3", b"")
    put(tmp_path / "b.txt", "[Verse 1]\nla la\n")
    put(tmp_path / "b.caption.txt", "a happy song\n\nanother caption\n")
    put(tmp_path / "album" / "a.FLAC", b"")
    put(tmp_path / "album" / "a.lrc", "[00:02.00]two\n[00:01.00]one")
    put(tmp_path / "album" / "c.wav", b"")
    put(tmp_path / "cover.jpg", b"")
    put(tmp_path / "notes.txt", "no song")
    (tmp_path / "folder.wav").mkdir()
    assert list(read_corpus(tmp_path)) == [
        Song("album/a.FLAC", str(tmp_path / "album" / "a.FLAC"), "one\ntwo", title="a"),
        Song("album/c.wav", str(tmp_path / "album" / "c.wav"), "", title="c"),
        Song(
            "b.mp3", str(tmp_path / "b.mp3"), "la la", (Caption("a happy song"), Caption("another caption")), title="b"
        ),
    ]


def test_txt_comes_before_lrc(tmp_path):
    put(tmp_path / "a.wav", b"")
    put(tmp_path / "a.txt", "from the text")
    put(tmp_path / "a.lrc", "[00:01.00]from the lrc")
    assert the_one(list(read_corpus(tmp_path))).lyrics == "from the text"


def test_a_song_with_unreadable_lyrics_is_rejected(tmp_path):
    put(tmp_path / "a.wav", b"")
    put(tmp_path / "a.txt", b"\x00\x01\x02\x03" * 9)
    put(tmp_path / "b.wav", b"")
    rejected, song = read_corpus(tmp_path)
    assert (rejected.song, rejected.file) == ("a.wav", str(tmp_path / "a.wav"))
    assert "a.txt is not text" in rejected.reason
    assert song.id == "b.wav"


def test_a_file_name_that_is_not_unicode_is_rejected(tmp_path):
    """Its record could not be written as UTF-8."""
    try:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/bad\xff.wav")).touch()
    except OSError:
        pytest.skip("this file system takes Unicode names only")
    entry = the_one(list(read_corpus(tmp_path)))
    assert entry == Rejected("bad\\xff.wav", str(tmp_path / "bad\\xff.wav"), "the file's name is not Unicode")


def test_a_folder_without_songs(tmp_path):
    put(tmp_path / "notes.txt", "no song")
    with pytest.raises(DataError, match="holds no songs") as caught:
        list(read_corpus(tmp_path))
    assert ".flac" in caught.value.hint
