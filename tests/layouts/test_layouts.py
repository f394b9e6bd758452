"""The committed corpora: every layout is recognised, gives the same songs, and says what does not fit."""

from pathlib import Path

import pytest

from recap_cli.corpus.song import Rejected, Song
from recap_cli.errors import DataError, OptionError
from recap_cli.layouts.readers import LAYOUTS, choose_layout, read_corpus

CORPORA = Path(__file__).parents[1] / "fixtures" / "corpora"
AUDIOS = CORPORA / "music4all" / "audios"
LAYOUT_OF = {
    "manifest/songs.csv": "manifest",
    "manifest/songs.tsv": "manifest",
    "manifest/songs.jsonl": "manifest",
    "folder": "folder",
    "song-interpretation/dataset.json": "song-interpretation",
    "alcap": "alcap",
    "alcap/df_full.csv": "song-interpretation",
    "music4all": "music4all",
}
TEXTS = {
    "Rain": ("the rain falls\nover the river",
             ["A song about rain and patience.", "To me it says: wait.linkNo Replies"]),
    "Night Bus": ("last bus home\n\nI sing alone", ["Someone rides home & thinks.",
                  "I was movedand cried. link3 RepliesLog in to replyThere was an error."]),
    "Tides": ("INSTRUMENTAL", ["No words, only water."]),
}  # fmt: skip


def read(name: str, **options) -> list[Song | Rejected]:
    audio = AUDIOS if LAYOUT_OF.get(name, "") in ("song-interpretation", "alcap") else None
    return list(read_corpus(CORPORA / name, audio, **options))


@pytest.mark.parametrize(("name", "layout"), LAYOUT_OF.items())
def test_recognised(name, layout):
    assert choose_layout(CORPORA / name) == layout
    assert read(name) == read(name, layout=layout)
    assert set(LAYOUT_OF.values()) <= set(LAYOUTS)


@pytest.mark.parametrize("name", [name for name in LAYOUT_OF if not name.startswith(("alcap", "music4all"))])
def test_every_layout_gives_the_same_songs(name):
    songs = read(name)
    assert {song.title: (song.lyrics, [caption.text for caption in song.captions]) for song in songs} == TEXTS
    assert all(Path(song.audio).is_file() for song in songs)


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl"])
def test_manifests_agree_on_everything(suffix):
    """Inline lyrics or files, a row a caption or a row a song."""
    songs = read(f"manifest/songs.{suffix}")
    assert songs == read("manifest/songs.csv")
    assert [caption.votes for caption in songs[0].captions] == [3, 2]
    assert (songs[1].id, songs[1].artist, songs[1].tags) == ("song-1", "The Owls", {"mode": "minor"})


def test_titles_and_artists_come_from_music4all():
    songs = read("song-interpretation/dataset.json")
    assert (songs[0].id, songs[0].artist) == ("0a1b2c3d4e5f6g7h", "Nina")
    assert songs[0].audio == str(AUDIOS / "0a1b2c3d4e5f6g7h.mp3")


def test_alcap():
    """Its splits are row by row: the first song stands in train and in validation."""
    songs = read("alcap")
    assert [(song.title, song.split, len(song.captions)) for song in songs] == [
        ("Rain", "train", 1), ("Night Bus", "train", 1), ("Rain", "validation", 1), ("Tides", "test", 1),
    ]  # fmt: skip
    assert [(song.title, song.split) for song in read("alcap", variant="positive")] == [
        ("Rain", "train"), ("Rain", "validation"), ("Tides", "test"),
    ]  # fmt: skip


def test_alcap_without_train_and_val(tmp_path):
    for name in ("df_full.csv", "df_test.csv"):
        (tmp_path / name).write_bytes((CORPORA / "alcap" / name).read_bytes())
    songs = list(read_corpus(tmp_path, AUDIOS))
    assert [(song.title, song.split, len(song.captions)) for song in songs] == [
        ("Rain", "", 2), ("Night Bus", "", 2), ("Tides", "test", 1),
    ]  # fmt: skip
    with pytest.raises(DataError, match=r"lacks df_positive_train\.csv"):
        list(read_corpus(tmp_path, AUDIOS, variant="positive"))


def test_music4all():
    """Its tables are separated by tabs and have bare quotes; there are no captions."""
    songs = read("music4all")
    assert {song.title: song.lyrics for song in songs} == {title: lyrics for title, (lyrics, _) in TEXTS.items()}
    assert all(song.captions == () and song.artist for song in songs)


def test_metadata_can_be_named(tmp_path):
    table = tmp_path / "names.csv"
    table.write_text("id\tartist\tsong\n0a1b2c3d4e5f6g7h\tSomeone\tSomething\n")
    songs = list(read_corpus(CORPORA / "song-interpretation" / "dataset.json", AUDIOS, metadata=table))
    assert [(song.title, song.artist) for song in songs] == [("Something", "Someone"), ("", ""), ("", "")]


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("manifest/songs.csv", {"variant": "full"}, "--variant picks among ALCAP's files"),
        ("folder", {"metadata": CORPORA / "music4all" / "id_information.csv"}, "--metadata is Music4All's table"),
        ("alcap", {"metadata": CORPORA / "nowhere.csv"}, "nowhere.csv"),
        ("folder", {"layout": "manifest"}, "--layout manifest does not fit .*folder, a folder"),
        ("manifest/songs.csv", {"layout": "alcap"}, "--layout alcap does not fit .*songs.csv, a file"),
        ("manifest/songs.csv", {"layout": "zip"}, "--layout zip is unknown"),
    ],
)
def test_options_that_do_not_fit(name, options, message):
    with pytest.raises(OptionError, match=message) as caught:
        read(name, **options)
    assert caught.value.hint


def test_ids_without_audio(tmp_path):
    """Songs are named by ids, so the audio must be named, too; a song whose file is missing is found out later."""
    source = tmp_path / "dataset.json"
    source.write_bytes((CORPORA / "song-interpretation" / "dataset.json").read_bytes())
    with pytest.raises(OptionError, match="no audio lies beside it") as caught:
        read_corpus(source)
    assert "--audio" in caught.value.hint
    (tmp_path / "audios").mkdir()
    assert Path(next(read_corpus(source)).audio).name == "0a1b2c3d4e5f6g7h.mp3"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is no JSON list"),
        ('{"a": 1}', "is no JSON list"),
        ('[{"music4all_id": "a"}', "is damaged after item 1: "),
        ('[{"music4all_id": "a"} {"music4all_id": "b"}]', None),
        ('[{"music4all_id": "a"}, {"music4all_id": ]', "is damaged after item 1"),
        ("[" * 100_000, "is damaged after item 0"),
    ],
)
def test_damaged_lists(tmp_path, content, message):
    source = tmp_path / "dataset.json"
    source.write_text(content)
    if message is None:
        assert len(list(read_corpus(source, AUDIOS))) == 2
        return
    with pytest.raises(DataError, match=message):
        list(read_corpus(source, AUDIOS))


def test_lists_are_read_in_pieces(tmp_path, monkeypatch):
    """Objects that straddle the pieces come out whole."""
    monkeypatch.setattr("recap_cli.tables.text_files.CHUNK", 7)
    assert [song.title for song in read("song-interpretation/dataset.json")] == list(TEXTS)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("3", "no JSON object"),
        ("{}", "it has no music4all_id"),
        ('{"music4all_id": 7}', "it has no music4all_id"),
        ('{"music4all_id": "a", "comment": 7}', "its lyrics or its comment are no text"),
        ('{"music4all_id": "a", "lyrics": "\\ud800"}', "it holds half a character"),
        ('{"music4all_id": "../../../etc/passwd", "comment": "x"}', "the audio lies outside"),
    ],
)
def test_rejected_rows(tmp_path, row, reason):
    source = tmp_path / "dataset.json"
    source.write_text(f"[{row}]")
    (entry,) = read_corpus(source, AUDIOS)
    assert isinstance(entry, Rejected) and entry.reason.startswith(reason)


def test_links_out_of_a_folder(tmp_path):
    """Neither audio, nor lyrics, nor folders are followed out of it unless asked."""
    inside, outside = tmp_path / "songs", tmp_path / "elsewhere"
    inside.mkdir(), outside.mkdir()
    for name in ("a.wav", "b.wav", "c.wav", "secret.txt"):
        (outside / name).write_text("secret")
    (inside / "a.wav").symlink_to(outside / "a.wav")
    (inside / "b.wav").write_text("")
    (inside / "b.txt").symlink_to(outside / "secret.txt")
    (inside / "more").symlink_to(outside)
    (inside / "gone.wav").symlink_to(outside / "gone.wav")
    (inside / "round").symlink_to(inside)
    (inside / ".hidden.wav").write_text("")
    reasons = {entry.song: entry.reason for entry in read_corpus(inside) if isinstance(entry, Rejected)}
    assert reasons == {
        "a.wav": f"it is a link out of {inside}",
        "b.wav": f"{inside / 'b.txt'} is a link out of {inside}",
        "gone.wav": "it is a link that leads nowhere",
        "more": "it is a link to a folder, which --follow-outside follows",
        "round": "it is a link to a folder, which --follow-outside follows",
    }
    followed = [entry.id for entry in read_corpus(inside, follow_outside=True) if isinstance(entry, Song)]
    assert followed == ["a.wav", "b.wav", "more/a.wav", "more/b.wav", "more/c.wav"]


def test_manifests_follow_paths_when_asked(tmp_path):
    (tmp_path / "in").mkdir()
    source = tmp_path / "in" / "songs.jsonl"
    source.write_text('{"audio": "../a.wav"}\n')
    (entry,) = read_corpus(source)
    assert isinstance(entry, Rejected)
    (entry,) = read_corpus(source, follow_outside=True)
    assert Path(entry.audio).resolve() == (tmp_path / "a.wav").resolve()
