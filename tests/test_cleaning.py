"""Texts as prepare keeps them."""

from collections import Counter

import pytest

from recap_cli.corpus.cleaning import clean_caption, count_tokens, plain_lyrics


@pytest.mark.parametrize(
    ("text", "clean", "kind"),
    [
        ("It is about loss.linkNo RepliesLog in to replyThere was an error.", "It is about loss.", "page footers"),
        ("It is about loss. link3 RepliesLog in to reply", "It is about loss.", "page footers"),
        ("It is about loss.linkno replies", "It is about loss.", "page footers"),
        ("It is about losslinkno", "It is about loss", "glued page words"),
        ("It is about loss replyther", "It is about loss", "glued page words"),
        ("I was movedand cried", "I was moved and cried", "words glued together"),
        ("one<br />two <i>three</i>", "one two three", "HTML tags"),
        ("rock &amp; roll", "rock & roll", "HTML entities"),
        ("see http://example.org/x for more", "see for more", "web addresses"),
        ("linkNo Replies", "", "page footers"),
    ],
)
def test_debris(text, clean, kind):
    found = Counter()
    assert clean_caption(text, found) == clean
    assert {key for key, count in found.items() if count} == {kind}


@pytest.mark.parametrize(
    "text",
    ["There is a link; no replies needed.", "I log in to reply to you", "they moved and cried", "a < b and c > d",
     "the missing link", "Reply there, he said: no replies came"],
)  # fmt: skip
def test_what_people_write_stays(text):
    found = Counter()
    assert clean_caption(text, found) == text
    assert not any(found.values())


@pytest.mark.parametrize(
    "lyrics", ["INSTRUMENTAL", "[Instrumental]", "Instrumental.", "~ instrumental ~", "This song is instrumental", ""]
)
def test_no_lyrics(lyrics):
    assert plain_lyrics(lyrics, "keep") == ""


def test_lyrics():
    assert plain_lyrics("instrumental in my demise", "keep") == "instrumental in my demise"
    assert plain_lyrics("one\n\ntwo", "keep") == "one\n\ntwo"
    assert plain_lyrics("one\n\ntwo", "semicolon") == "one;;two"


def test_tokens():
    assert count_tokens("It's sad, isn't it?") == 10
    assert count_tokens("") == 0
