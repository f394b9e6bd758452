"""The picture of an explanation: there, of the right kind, and its words can be read."""

from html import unescape
from pathlib import Path
from textwrap import wrap

import numpy as np
import pytest

from recap_cli.captioning.explain import Explanation, Looks
from recap_cli.captioning.song_caption import SongCaption
from recap_cli.errors import DataError, OptionError
from recap_cli.outputs import check_explain, is_picture
from recap_cli.report.attention_maps import (
    NOTE,
    WHOLE,
    draw_explanation,
    drawn,
    find_fonts,
    in_steps,
    shortened,
    strongest,
)

EXAMPLES = Path(__file__).parents[2] / "examples"


class Told:
    """What a progress was told."""

    def __init__(self):
        self.said, self.warned = [], []

    def say(self, text):
        self.said.append(text)

    def warn(self, text):
        self.warned.append(text)


def looks(words: int, places: int) -> Looks:
    attention = np.random.default_rng(0).dirichlet(np.ones(places), words)
    return Looks(attention, np.full(places, 1 / places), 0.1)


def song(lines: list[str], words: list[str], seconds: float = 12.5, **changes) -> SongCaption:
    starts = [10.0 + second for second in range(int(np.ceil(seconds)))]
    lyrics = looks(len(words), len(lines)) if lines and words else None
    music = looks(len(words), len(starts)) if starts and words else None
    found = Explanation(words, lines, starts, lyrics, music, np.abs(np.sin(np.arange(seconds * 20))))
    fields = {"audio": "a [b] $x.wav", "captions": [" ".join(words)], "scores": [None], "model": "m", "settings": {}}
    fields |= {"excerpt": {"start": 10.0, "seconds": seconds}, "explanation": found}
    return SongCaption(**{**fields, **changes})


LINES = [f"line {number} of $5 {'and more ' * (number % 9)}" for number in range(3)]
WORDS = ["a", "song", "about", "rain"]


def test_pictures(tmp_path):
    for name, mark in (("map.png", b"\x89PNG"), ("map.svg", b"<?xml"), ("new/map.pdf", b"%PDF")):
        assert draw_explanation(song(LINES, WORDS), tmp_path / name) == ""
        assert (tmp_path / name).read_bytes().startswith(mark)
        assert (tmp_path / name).stat().st_size < 150_000
    assert sorted(path.name for path in tmp_path.iterdir()) == ["map.png", "map.svg", "new"]


def texts(song: SongCaption, tmp_path) -> str:
    draw_explanation(song, tmp_path / "map.svg")
    return (tmp_path / "map.svg").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("drawn_song", "there", "absent"),
    [
        (song(LINES, WORDS), ("time in the song", "0:10", "0:22", "loudness", "whole caption", "of $5", "twice"), ()),
        (song([f"line {n}" for n in range(300)], WORDS), ("the 40 lines of 300 that counted most",), ()),
        (song(LINES, [f"word{n}" for n in range(90)]), ("the 50 words of 90 that differ most",), ()),
        (song([], ["one"]), ("time in the song", "the caption looked at"), ("lines of the lyrics",)),  # an instrumental
        (song(LINES, ["one", "two"], 0.0), ("lines of the lyrics",), ("time in the song",)),  # a model without music
        (song([], [], 0.0), (), ("looked at more",)),  # an empty caption
        (song(LINES, WORDS, 700.5), ("1:00", "10:00", ", 5 s in one column"), ()),  # a whole song
        (song(["雨が降る " * 30, "x" * 400], WORDS), ("x" * 59 + "…",), ("x" * 60,)),
    ],
    ids=["song", "300 lines", "90 words", "instrumental", "no music", "nothing", "whole song", "long words"],
)
def test_words_can_be_read_in_the_picture(drawn_song, there, absent, tmp_path):
    text = texts(drawn_song, tmp_path)
    assert [words for words in there if words not in text] == []
    assert [words for words in absent if words in text] == []


def test_formulas_stay_text_and_matplotlib_stays_silent(tmp_path, recwarn, caplog):
    hostile = ["$\\frac{1}{0}$ x^2 \\alpha", "$$", "^_^ \\", "\U0001f469\u200d\U0001f3a4", "\u0e81\ua840"]
    for name in ("map.png", "map.svg", "map.pdf"):
        draw_explanation(song(hostile, ["$x$", "x^2"]), tmp_path / name)
    assert "$\\frac{1}{0}$ x^2 \\alpha" in (tmp_path / "map.svg").read_text(encoding="utf-8")
    assert [str(one.message) for one in recwarn] == [] and caplog.records == []


def test_fonts_are_looked_for_only_where_letters_are_missing(monkeypatch):
    from matplotlib import font_manager

    assert find_fonts("plain words, ünder and שלום") == (["DejaVu Sans"], "")
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda: [])
    assert find_fonts("雨が雨\n") == (["DejaVu Sans"], "が雨")


def test_what_is_told_beside_the_picture(tmp_path, monkeypatch):
    """What stands out, what could not be drawn, and the file; after the caption was shown, not before."""
    monkeypatch.setattr("recap_cli.report.attention_maps.find_fonts", lambda _: (["DejaVu Sans"], "雨"))
    songs, told = [song(LINES, WORDS), song([], [], explanation=None)], Told()
    passing = drawn(iter(songs), tmp_path / "map.png", told)
    assert next(passing) is songs[0] and told.said == []
    assert list(passing) == [songs[1]]
    *looks, last = told.said
    assert last == f"Written: {tmp_path / 'map.png'}"
    assert looks and all("times the average look" in look for look in looks)
    assert len(told.warned) == 1 and "雨" in told.warned[0]
    with pytest.raises(OptionError, match=r"map\.txt is not a picture"):
        check_explain(tmp_path / "map.txt", [])
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="cannot write"):
        list(drawn(iter(songs), tmp_path / "file" / "map.png", told))


def test_what_counts_most_is_drawn():
    """A faint look does not win by its ratio, and order stays."""
    attention = np.array([[0.5, 0.46, 0.04, 0.0], [0.5, 0.14, 0.04, 0.32]])
    found = Looks(attention, np.full(4, 0.25), 0.0)
    assert strongest(found, 2, axis=1) == [1, 3]
    assert strongest(found, 9, axis=0) == [0, 1]
    joined = in_steps(found, 3)
    assert joined.attention == pytest.approx(np.array([[1, 0], [0.68, 0.32]])) and joined.even.tolist() == [0.75, 0.25]


def test_lines_are_cut_behind_a_word():
    assert shortened("the rain  falls\non me", 60) == "the rain falls on me"
    assert shortened("the rain falls on me", 12) == "the rain…"
    assert shortened("雨" * 40, 20) == "雨" * 9 + "…"


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf", ".PNG"])
def test_a_picture_is_known_as_ours_by_its_content(tmp_path, suffix):
    from matplotlib import pyplot

    ours, foreign = tmp_path / f"map{suffix}", tmp_path / f"foreign{suffix}"
    draw_explanation(song(LINES, WORDS), ours)
    pyplot.figure().savefig(foreign, format=suffix[1:].lower())
    pyplot.close("all")
    assert is_picture(ours)
    assert not is_picture(foreign)
    draw_explanation(song(LINES, WORDS), tmp_path / f"again{suffix}")
    assert (tmp_path / f"again{suffix}").read_bytes() == ours.read_bytes()


def test_the_guides_picture_says_what_a_new_one_would_say():
    """The picture in `examples` was made by the command beside it, with the words of today."""
    text = unescape((EXAMPLES / "explain.svg").read_text(encoding="utf-8"))
    lines = (EXAMPLES / "songs" / "ode-to-joy.txt").read_text().splitlines()
    words = [
        *filter(None, lines),
        *["This", "song", "about", "a", "factory", "job", "is", "defiant", "in", "spirit."],
        "ode-to-joy.ogg",
    ]
    assert [one for one in (*words, WHOLE, "twice", *wrap(NOTE, 160)) if f">{one}<" not in text] == []
    assert (EXAMPLES / "explain.svg").stat().st_size < 150_000
