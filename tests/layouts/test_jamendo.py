"""MTG-Jamendo: its tables, its splits, its audio, and MulJam's lyrics of its tracks."""

from pathlib import Path

import pytest
from open_corpora import TRACKS, WORDS, make_jamendo, make_muljam, make_muljam_2

from recap_cli.corpus.song import Rejected, Song
from recap_cli.errors import DataError
from recap_cli.layouts.lyrics_folder import LyricsFolder
from recap_cli.layouts.readers import choose_layout, read_corpus
from recap_cli.preparation.options import PrepareOptions
from recap_cli.preparation.read_corpus import read_songs
from recap_cli.progress import SilentProgress


def expected(folder: Path, suffix: str = ".mp3") -> list[Song]:
    tags = (
        {"genre": "rock, pop", "instrument": "piano"},
        {"genre": "ambient", "mood/theme": "calm"},
        {"instrument": "electricguitar, drums"},
    )
    return [
        Song(str(track), str(folder / "audio" / place / f"{track}{suffix}"), "", (), split, "", artist, tags[number])
        for number, (track, place, split, artist) in enumerate(
            zip(TRACKS, ("14", "48", "34"), ("train", "validation", "test"), ("14", "7", "368880"), strict=True)
        )
    ]


@pytest.mark.parametrize("suffix", [".mp3", ".low.mp3"])
def test_tracks_with_their_splits(tmp_path, suffix):
    table = make_jamendo(tmp_path, suffix=suffix)
    assert choose_layout(table) == choose_layout(tmp_path) == choose_layout(table.parent) == "mtg-jamendo"
    assert list(read_corpus(table)) == expected(tmp_path, suffix)
    assert list(read_corpus(tmp_path)) == expected(tmp_path, suffix)
    assert list(read_corpus(table, tmp_path / "audio", "mtg-jamendo")) == expected(tmp_path, suffix)


def test_a_folder_or_a_file_of_splits(tmp_path):
    """Another split is chosen by naming its folder; of one file, its songs have its split."""
    splits = make_jamendo(tmp_path).parent / "splits" / "split-0"
    assert list(read_corpus(splits)) == expected(tmp_path)
    assert list(read_corpus(splits / "autotagging-test.tsv")) == expected(tmp_path)[2:]
    for split in ("train", "validation", "test"):
        (splits / f"autotagging-{split}.tsv").rename(splits / f"autotagging_genre-{split}.tsv")
    assert list(read_corpus(splits)) == expected(tmp_path)
    (splits / "autotagging_top50tags-train.tsv").write_bytes((splits / "autotagging_genre-train.tsv").read_bytes())
    with pytest.raises(DataError, match="splits of several tables: autotagging_genre, autotagging_top50tags"):
        read_corpus(splits)


def test_tables_without_splits_beside_them(tmp_path):
    table = make_jamendo(tmp_path, splits=False)
    table = table.rename(table.with_name("raw_30s_cleantags.tsv"))
    assert [song.split for song in read_corpus(table)] == ["", "", ""]


def test_no_audio_near(tmp_path):
    table = make_jamendo(tmp_path / "clone")
    (tmp_path / "clone" / "audio").rename(tmp_path / "elsewhere")
    with pytest.raises(DataError, match=r"autotagging.tsv names audio by paths such as 48/948.mp3") as caught:
        list(read_corpus(table))
    assert "--audio" in caught.value.hint
    assert [song.id for song in read_corpus(table, tmp_path / "elsewhere")] == [str(track) for track in TRACKS]


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("\t48/948.mp3\t31.5\tgenre---ambient\tmood/theme---calm", "", "its cells do not fit the header: 3 cells"),
        ("mood/theme---calm", "calm", "its tag 'calm' is none such as genre---rock"),
        ("48/948.mp3", "48/949.mp3", "its path '48/949.mp3' is of another track than track_0000948"),
        ("48/948.mp3", "../../948.mp3", "the audio lies outside"),
        ("track_0000948", "948", "its track_id is '948', not such as track_0000948"),
        ("track_0000948\tartist_000007", "track_0000214\tartist_000007", "its path '48/948.mp3' is of another track"),
        ("track_0000948\tartist_000007\talbum_000001\t48/948.mp3",
         "track_0000214\tartist_000007\talbum_000001\t14/214.mp3", "214 has a row already"),
        ("track_0000948\tartist_000007\talbum_000001\t48/948.mp3",
         "track_0000949\tartist_000007\talbum_000001\t49/949.mp3", "it is in none of the data set's splits"),
    ],
)  # fmt: skip
def test_damaged_rows(tmp_path, old, new, reason):
    """The others are read, and the damaged one is named by its file and line."""
    table = make_jamendo(tmp_path)
    table.write_text(table.read_text().replace(old, new))
    first, second, third = read_corpus(table)
    assert [first, third] == [expected(tmp_path)[0], expected(tmp_path)[2]]
    assert isinstance(second, Rejected) and second.reason.startswith(reason)
    assert (second.song, second.file) == ("autotagging.tsv, line 3", str(table))


def test_damaged_splits(tmp_path):
    """A row of theirs that cannot be read would move a track: nothing is guessed."""
    table = make_jamendo(tmp_path)
    path = table.parent / "splits" / "split-0" / "autotagging-test.tsv"
    for text, reason in (("track_0000948\ta\tb\t48/948.mp3\t3.0\tgenre---rock", "948 is in validation, too"),
                         ("track_0000949", "its cells do not fit the header")):  # fmt: skip
        path.write_text(f"{path.read_text()}{text}\n")
        with pytest.raises(DataError, match=f"autotagging-test.tsv, line 3: {reason}"):
            list(read_corpus(table))
        path.write_text("\n".join(path.read_text().split("\n")[:2]) + "\n")


# lyrics ---------------------------------------------------------------------------------------------------------------


class Told(SilentProgress):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


@pytest.mark.parametrize("make", [make_muljam, make_muljam_2])
def test_lyrics_of_muljam(tmp_path, make):
    """By the numbers of tracks; how many there are is said, and how many are of other songs."""
    table, lyrics, told = make_jamendo(tmp_path / "mtg"), make(tmp_path / "words"), Told()
    (lyrics / "55.txt").write_text("of a song that is not here")
    songs = read_songs(PrepareOptions(table, lyrics=lyrics), told).songs.songs
    expected = WORDS if make is make_muljam else (WORDS[0].upper(), WORDS[1].upper(), WORDS[2].replace("\n", " "))
    assert [one.song.lyrics for one in songs] == list(expected)
    assert [line for line in told.lines if str(lyrics) in line] == [
        f"{lyrics} has the lyrics of 3 songs here, and 1 of others."
    ]


def test_one_table_of_lyrics(tmp_path):
    lyrics = LyricsFolder.open(make_muljam_2(tmp_path) / "preconstructed-split" / "train.meta")
    assert lyrics.read_all({"948", "1004034"}) == {"948": WORDS[1].upper()}


def test_lyrics_of_none_of_the_songs(tmp_path):
    table = make_jamendo(tmp_path / "mtg")
    (tmp_path / "words").mkdir()
    with pytest.raises(DataError, match="has no lyrics of the 3 songs") as caught:
        read_songs(PrepareOptions(table, lyrics=tmp_path / "words"), SilentProgress())
    assert "214.json" in caught.value.hint
    with pytest.raises(DataError, match="--lyrics: no folder"):
        LyricsFolder.open(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (",2.5,4.5,", ",soon,4.5,", "line 2: its start is 'soon', no time in seconds"),
        (",2.5,4.5,", ",inf,4.5,", "line 2: its start is 'inf', no time in seconds"),
        (",14/214.low.mp3,en,0.0", ",,en,0.0", "line 3: it has no file"),
        (",en,0.0,2.0,THE KETTLE", ",en,THE KETTLE", "line 3: its cells do not fit the header"),
    ],
)
def test_damaged_tables_of_lyrics(tmp_path, old, new, reason):
    """Lyrics with a line missing would be taken for whole, so such a table is refused."""
    path = make_muljam_2(tmp_path) / "preconstructed-split" / "train.meta"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(DataError, match=f"train.meta, {reason}"):
        LyricsFolder.open(tmp_path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ('{"output": 7}', "it has no text under output"),
        ("{", "no JSON: "),
        ('{"reasons": "x"}', "no text under output"),
    ],
)
def test_damaged_files_of_lyrics(tmp_path, content, reason):
    """Such a song is rejected, the others are prepared."""
    table, lyrics = make_jamendo(tmp_path / "mtg"), make_muljam(tmp_path / "words")
    (lyrics / "train" / "948.json").write_text(content)
    entries = read_songs(PrepareOptions(table, lyrics=lyrics), SilentProgress()).songs.entries
    assert [isinstance(entry, Rejected) for entry in entries].count(True) == 1
    (rejected,) = (entry for entry in entries if isinstance(entry, Rejected))
    assert rejected.song == "948" and "948.json holds no lyrics" in rejected.reason and reason in rejected.reason
