"""Lyrics beside a song, whatever the file is called; the same for caption and prepare."""

import os
import sys
import unicodedata

import pytest

from recap_cli.corpus import folders
from recap_cli.corpus.folders import CorpusRoot, lyrics_beside
from recap_cli.corpus.song import Rejected
from recap_cli.errors import DataError, LyricsError
from recap_cli.layouts.readers import read_corpus
from recap_cli.lyrics.reader import Lyrics


@pytest.fixture
def song(tmp_path):
    path = tmp_path / "a song.ogg"
    path.write_bytes(b"")
    return path


def put(song, suffix, text="la la"):
    path = song.with_name(song.stem + suffix)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def prepared(song):
    (found,) = read_corpus(song.parent)
    return found


@pytest.mark.parametrize(
    "suffix",
    [".txt", ".TXT", ".Txt", ".lrc", ".LRC", ".Lrc", ".lyrics.txt", ".Lyrics.TXT", "_lyrics.txt", "-lyrics.txt",
     " lyrics.txt", ".lyrics", ".srt", ".SRT", ".vtt", ".ttml", ".ogg.txt", ".ogg.lrc"],
)  # fmt: skip
def test_every_spelling_is_found(song, suffix):
    put(song, suffix)
    assert lyrics_beside(song).text == "la la" == prepared(song).lyrics


@pytest.mark.parametrize("suffix", [".caption.txt", ".txt.bak", ".json", "s.txt", ".md", ".nfo", "2.lrc"])
def test_other_files_are_no_lyrics(song, suffix):
    put(song, suffix)
    assert lyrics_beside(song) is None
    assert prepared(song).lyrics == ""


@pytest.mark.parametrize("empty", ["", "\ufeff", " \r\n\n", "[Chorus]\n", "[ti:x]\n[00:01.00]\n"])
@pytest.mark.parametrize(
    ("first", "second"), [(".txt", ".lrc"), (".TXT", ".LRC"), (".lrc", ".srt"), (".lyrics.txt", ".txt")]
)
def test_a_full_file_counts_beside_an_empty_one(song, empty, first, second):
    put(song, first, empty)
    assert lyrics_beside(song).text == ""
    put(song, second, "[00:02.00]lo\n[00:01.00]la")
    assert lyrics_beside(song).text == "la\nlo" == prepared(song).lyrics
    put(song, first, "full, too")
    assert lyrics_beside(song).text == "full, too"


def test_an_empty_file_alone_is_named(song):
    """An empty file is no instrumental: who put it there should hear of it, from prepare and from caption."""
    put(song, ".txt", " \n")
    assert lyrics_beside(song) == Lyrics("", warnings=("lyrics file is empty: a song.txt",))
    assert prepared(song).warnings == ("lyrics file is empty: a song.txt",)


def test_what_cannot_be_read_is_named(song):
    os.mkfifo(song.with_suffix(".srt"))
    with pytest.raises(LyricsError, match=r"a song\.srt is a device or a pipe"):
        lyrics_beside(song)
    song.with_suffix(".lrc").symlink_to("nowhere")
    with pytest.raises(LyricsError, match=r"a song\.lrc cannot be read: No such file"):
        lyrics_beside(song)
    put(song, ".txt", b"\x00\x01\x02\x03" * 9)
    with pytest.raises(LyricsError, match=r"a song\.txt is not text"):
        lyrics_beside(song)
    assert isinstance(prepared(song), Rejected)
    put(song, "-lyrics.txt")
    found = lyrics_beside(song)
    assert found.text == "la la" == prepared(song).lyrics
    assert any("a song.txt is not text" in warning for warning in found.warnings)


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="permissions do not bind this user")
def test_a_file_without_permission_is_named(song):
    put(song, ".txt").chmod(0)
    with pytest.raises(LyricsError, match="Permission denied"):
        lyrics_beside(song)


def test_a_folder_of_that_name_is_no_file(song):
    song.with_suffix(".txt").mkdir()
    assert lyrics_beside(song) is None
    put(song, ".lrc")
    assert lyrics_beside(song).text == "la la"


def test_a_link_out_of_the_folder_is_refused(song, tmp_path):
    music = tmp_path / "music"
    music.mkdir()
    song = song.rename(music / song.name)
    (tmp_path / "secret.txt").write_text("secret")
    song.with_suffix(".txt").symlink_to(tmp_path / "secret.txt")
    with pytest.raises(DataError, match="a link out of"):
        lyrics_beside(song, CorpusRoot(music))
    assert lyrics_beside(song, CorpusRoot(music, follow_outside=True)).text == "secret"


def test_names_that_differ_in_case_or_in_how_letters_are_composed(tmp_path):
    for name in ("Song.ogg", "Für Elise.ogg", "A.ogg", "a.ogg"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "song.LRC").write_text("of Song")
    (tmp_path / unicodedata.normalize("NFD", "Für Elise.txt")).write_text("of Elise")
    (tmp_path / "a.txt").write_text("of a")
    found = {name: lyrics_beside(tmp_path / f"{name}.ogg") for name in ("Song", "Für Elise", "A", "a")}
    assert {name: lyrics and lyrics.text for name, lyrics in found.items()} == {
        "Song": "of Song", "Für Elise": "of Elise", "A": None, "a": "of a",
    }  # fmt: skip


def test_a_folder_is_listed_once_until_it_changes(song, monkeypatch):
    put(song, ".txt", "first")
    counted = []

    class Counted(folders.LyricsFiles):
        def __init__(self, folder):
            counted.append(folder)
            super().__init__(folder)

    monkeypatch.setattr(folders, "LyricsFiles", Counted)
    folders.list_lyrics.cache_clear()
    os.utime(song.parent, (1e9, 1e9))
    assert [lyrics_beside(song).text for _ in range(5)] == ["first"] * 5
    assert len(counted) == 1
    song.with_suffix(".txt").unlink()
    put(song, ".lrc", "second")
    assert lyrics_beside(song).text == "second"  # though the folder has changed this moment
    folders.list_lyrics.cache_clear()


def test_a_guess_is_told_of_every_sidecar(song):
    put(song, ".lrc", "[00:01]луна встаёт над дальней горой".encode("cp1251"))
    assert prepared(song).lyrics == "луна встаёт над дальней горой"
    assert "guessed as Windows-1251" in prepared(song).warnings[0] == lyrics_beside(song).warnings[0]
