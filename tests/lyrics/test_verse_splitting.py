"""Where verses end: blank lines, headers, every few lines; and what was sung before is read once."""

from itertools import chain

import pytest

from recap_cli.lyrics.reader import lyrics_of_text
from recap_cli.lyrics.verses import FEW_LINES, MOST_LINES, split_lines, split_verses

CHORUS = "Rain, rain, go away\nCome again another day"


def flat(verses: list[list[str]]) -> list[str]:
    return list(chain(*verses))


def verses_of(text: str) -> list[list[str]]:
    lines = split_lines(text)
    return [[lines[row] for row in verse] for verse in split_verses(lines)]


def test_blank_lines_end_verses_and_a_chorus_is_read_once():
    again = "RAIN, rain - go away!\ncome again (another) day"
    text = f"First the sun\nThen the moon\n\n{CHORUS}\n\nNow the sea\nNow the sand\n\n\n{again}\n"
    found = [["First the sun", "Then the moon"], CHORUS.split("\n"), ["Now the sea", "Now the sand"]]
    assert verses_of(text) == found
    assert verses_of(text.replace("\n", "\r\n")) == found  # as Windows ends lines
    assert verses_of(text.replace("\n", "\r")) == found


def test_headers_end_verses_and_are_not_words():
    text = f"[Verse 1: Nina]\none\ntwo\n[Chorus]\n{CHORUS}\n(Bridge)\nthree\nfour\nOutro:\nfive\nsix"
    assert verses_of(text) == [["one", "two"], CHORUS.split("\n"), ["three", "four"], ["five", "six"]]


def test_what_the_reader_leaves_of_a_file_with_headers():
    """It takes headers out, and the blank lines before them stay."""
    text = lyrics_of_text(f"[Verse]\none\ntwo\n\n[Chorus]\n{CHORUS}\n\n[Verse]\nthree\nfour\n\n[Chorus]\n{CHORUS}").text
    assert verses_of(text) == [["one", "two"], CHORUS.split("\n"), ["three", "four"]]


def test_without_blank_lines_every_few_lines_are_a_verse_and_a_line_is_read_once():
    lines = [f"this is line {number}" for number in range(11)]
    found = verses_of("\n".join([*lines[:6], *lines[:2], *lines[6:], lines[3].upper()]))
    assert flat(found) == lines
    assert [len(verse) for verse in found] == [3, 4, 4]
    assert verses_of("a\nb\nc") == [["a", "b", "c"]]


def test_a_long_stanza_is_cut_and_a_short_one_is_not():
    short, long = [f"s{number}" for number in range(MOST_LINES)], [f"l{number}" for number in range(MOST_LINES + 1)]
    found = verses_of("\n".join([*short, "", *long]))
    assert found[0] == short
    assert flat(found[1:]) == long and max(map(len, found[1:])) <= FEW_LINES


def test_blank_lines_between_all_lines_say_nothing():
    lines = [f"line {number}" for number in range(12)]
    assert [len(verse) for verse in verses_of("\n\n".join(lines))] == [4, 4, 4]


@pytest.mark.parametrize("text", ["", "\n\n", "  \n \r\n", "[Chorus]\n\n(Verse 2)"])
def test_no_words_are_no_verse(text):
    assert verses_of(text) == []


def test_other_scripts():
    lines = ["月亮代表我的心", "你问我爱你有多深", "我爱你有几分", "我的情也真", "我的爱也真", "月亮代表我的心"]
    assert flat(verses_of("\n".join(lines))) == lines[:5]
    assert verses_of("♪\n...\nla\nli\nlo") == [["♪", "la", "li", "lo"]]  # lines without a word are alike
