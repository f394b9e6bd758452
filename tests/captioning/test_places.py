"""What the names behind `recap caption` are taken for, and where captions may go: told before a model is loaded."""

from pathlib import Path

import pytest

from recap_cli import RecapError
from recap_cli.captioning.options import CaptionOptions
from recap_cli.captioning.places import check_captions_out, check_inputs
from recap_cli.errors import AudioError, LyricsError, OptionError


@pytest.fixture(autouse=True)
def music(tmp_path, monkeypatch) -> None:
    """Two songs with lyrics beside them, one without, and other files; nothing is decoded here."""
    monkeypatch.chdir(tmp_path)
    for name in ("a.mp3", "b.mp3", "sub/a.mp3"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_bytes(b"ID3\4\0\0\0\0\0\0\xff\xfb\x90")
    for name in ("a.txt", "b - lyrics.txt", "words.txt", "words", "song-text.md"):
        Path(name).write_text("the rain falls\nover the river\n")
    Path("songs.csv").write_text("audio\na.mp3\n")


def read(*named: str, **options) -> tuple[tuple[str, ...], str | None]:
    made = CaptionOptions(tuple(map(Path, named)), **options)
    return tuple(map(str, made.sources)), None if made.lyrics is None else str(made.lyrics)


@pytest.mark.parametrize(
    ("named", "songs", "lyrics"),
    [
        (["a.mp3"], ["a.mp3"], None),
        (["a.mp3", "words.txt"], ["a.mp3"], "words.txt"),
        (["a.mp3", "b.mp3"], ["a.mp3", "b.mp3"], None),
        (["a.mp3", "-"], ["a.mp3"], "-"),
        (["a.mp3", "words"], ["a.mp3"], "words"),  # a text, though its name does not say so
        (["a.mp3", "song-text.md"], ["a.mp3"], "song-text.md"),
        (["a.mp3", "gone.LRC"], ["a.mp3"], "gone.LRC"),
        (["words.txt", "a.mp3"], ["a.mp3"], "words.txt"),
        (["a.mp3", "b.mp3", "sub/a.mp3"], ["a.mp3", "b.mp3", "sub/a.mp3"], None),
        (["a.mp3", "./a.mp3", "sub/../a.mp3"], ["a.mp3"], None),  # the same song is captioned once
        (["a.mp3", "a.txt", "b - lyrics.txt", "b.mp3"], ["a.mp3", "b.mp3"], None),  # as of music/*
        (["sub", "b.mp3"], ["sub", "b.mp3"], None),
    ],
)
def test_songs_and_lyrics(named, songs, lyrics):
    assert read(*named) == (tuple(songs), lyrics)


def test_lyrics_have_a_flag_too():
    assert read("a.mp3", lyrics=Path("words.txt")) == (("a.mp3",), "words.txt")
    assert CaptionOptions(Path("a.mp3")).sources == CaptionOptions((Path("a.mp3"),)).sources == (Path("a.mp3"),)


@pytest.mark.parametrize(
    ("named", "lyrics", "told", "way_out"),
    [
        (["a.mp3", "a.txt", "words.txt"], None, "given twice: a.txt and words.txt", "name one"),
        (["a.mp3", "words.txt"], "a.txt", "given twice: words.txt and a.txt", "name one"),
        (["a.mp3", "words.txt", "b.mp3"], None, "words.txt cannot be the lyrics of all 2 songs", "finds its own"),
        (["a.mp3", "b.mp3", "-"], None, "- cannot be the lyrics", "leave it out"),
        (["a.mp3", "b.mp3"], "words.txt", "words.txt cannot be the lyrics", "leave it out"),
        (["words.txt"], None, "no song is named", "recap caption song.mp3 words.txt"),
        (["a.mp3", "songs.csv"], None, "songs.csv is a table of songs", "by itself"),
        (["sub"], "words.txt", "sub stands for many songs", "beside each song"),
    ],
)
def test_mistakes(named, lyrics, told, way_out):
    with pytest.raises(OptionError) as caught:
        read(*named, lyrics=Path(lyrics) if lyrics else None)
    assert told in caught.value.message and way_out in caught.value.hint


def test_what_is_not_there_is_refused():
    with pytest.raises(AudioError, match=r"no audio at x\.mp3, y\.mp3, z\.mp3 and 2 more"):
        check_inputs([*map(Path, ("x.mp3", "a.mp3", "y.mp3", "z.mp3", "w.mp3", "v.mp3"))], None)
    with pytest.raises(LyricsError, match=r"gone\.txt cannot be read"):
        check_inputs([Path("a.mp3")], Path("gone.txt"))
    check_inputs([Path("a.mp3")], Path("-"))


@pytest.mark.parametrize(
    ("named", "out", "told"),
    [
        (["a.mp3"], "x.json", ""),
        (["a.mp3"], "x.TXT", ""),
        (["a.mp3"], "x.csv", ""),
        (["a.mp3", "b.mp3"], "x.jsonl", ""),
        (["a.mp3", "b.mp3"], "x.tsv", ""),
        (["a.mp3"], "x.pdf", "end it in .json"),
        (["a.mp3"], "x", "end it in .json"),
        (["a.mp3", "b.mp3"], "x.json", "end it in .jsonl"),
        (["a.mp3", "b.mp3"], "x.txt", "end it in .jsonl"),
        (["a.mp3"], "b.txt", "the texts of a song beside it"),
        (["a.mp3"], "x.mp3", "the name of a song"),
        (["a.mp3"], "a.txt", "not of our making"),
        (["a.mp3", "b.mp3"], "b.mp3", "is an input"),
        (["a.mp3", "words.txt"], "words.txt", "is an input"),
        (["a.mp3", "b.mp3"], "songs.csv", "not of our making"),
    ],
)
def test_where_captions_go(named, out, told):
    """A file is what its name says, or is refused; nothing is replaced that we did not write."""
    options = CaptionOptions(tuple(map(Path, named)), out=Path(out))
    if not told:
        check_captions_out(options.out, options.inputs, options.is_batch)
        return
    with pytest.raises(RecapError) as caught:
        check_captions_out(options.out, options.inputs, options.is_batch)
    assert told in f"{caught.value.message} {caught.value.hint}"
