"""The picture of an explanation: there, of the right kind, and honest in its words."""

import pytest

from recap_cli.captioning.captioner import SongCaption
from recap_cli.captioning.explain import AttentionMap, Explanation
from recap_cli.errors import DataError, OptionError
from recap_cli.escaping import figure_text
from recap_cli.outputs import check_explain, is_picture
from recap_cli.report.pictures import draw_explanation, drawn, headline


def explanation(lines: int = 3, words: int = 4, music: bool = True) -> Explanation:
    rows = [f"line {number} of $5 {'and more ' * (number % 9)}" for number in range(lines)]
    seconds = [10.0 + second for second in range(15)]
    sound = AttentionMap(rows, [f"{second:g} s" for second in seconds], [[1 / 15] * 15] * lines, 6.8, 6.9)
    said = AttentionMap([f"word{number}" for number in range(words)], rows, [[1 / lines] * lines] * words, 4.0, 7.0)
    return Explanation("word0 word1", sound if music else None, seconds, 0.1, said, said)


def caption(**changes) -> SongCaption:
    fields = {"audio": "a [b] $x.wav", "captions": ["c"], "scores": [None], "model": "m", "excerpt": {}, "settings": {}}
    return SongCaption(**{**fields, **changes})


def test_pictures(tmp_path):
    for name, mark in (("map.png", b"\x89PNG"), ("map.svg", b"<?xml"), ("new/map.pdf", b"%PDF")):
        draw_explanation(explanation(), "a $x.wav", tmp_path / name)
        assert (tmp_path / name).read_bytes().startswith(mark)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["map.png", "map.svg", "new"]


def test_words_can_be_read_in_the_picture(tmp_path):
    draw_explanation(explanation(60, 120), "song.wav", tmp_path / "map.svg")
    draw_explanation(explanation(1, 1, music=False), "song.wav", tmp_path / "deaf.svg")
    text = (tmp_path / "map.svg").read_text()
    for words in ("time in the song", "0:10", "word119", "(+20 more)", "NEARLY UNIFORM", "spread 4.00 bits"):
        assert f"<!-- {words}" in text or words in text
    assert "time in the song" not in (tmp_path / "deaf.svg").read_text()


def test_the_headline_says_what_says_little():
    assert "NEARLY UNIFORM" in headline("Looks", AttentionMap([], [], [], 6.8, 6.9))
    assert headline("Looks", AttentionMap([], [], [], 4, 6.9)).splitlines() == [
        "Looks",
        "spread 4.00 bits; looking everywhere alike is 6.90",
    ]
    assert figure_text("$x^2$") == r"\$x^2\$"


def test_captions_pass_and_are_drawn(tmp_path):
    songs = [caption(explanation=explanation()), caption()]
    assert list(drawn(iter(songs), tmp_path / "map.png")) == songs
    assert (tmp_path / "map.png").is_file()
    with pytest.raises(OptionError, match=r"map\.txt is no picture"):
        check_explain(tmp_path / "map.txt", [])
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="cannot write"):
        list(drawn(iter(songs), tmp_path / "file" / "map.png"))


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf", ".PNG"])
def test_a_picture_is_known_as_ours_by_its_content(tmp_path, suffix):
    from matplotlib import pyplot

    ours, foreign = tmp_path / f"map{suffix}", tmp_path / f"foreign{suffix}"
    draw_explanation(explanation(), "song.ogg", ours)
    pyplot.figure().savefig(foreign, format=suffix[1:].lower())
    pyplot.close("all")
    assert is_picture(ours)
    assert not is_picture(foreign)
    draw_explanation(explanation(), "song.ogg", tmp_path / f"again{suffix}")
    assert (tmp_path / f"again{suffix}").read_bytes() == ours.read_bytes()
