"""Texts as prepare keeps them."""

from collections import Counter
from time import process_time

import pytest

from recap_cli.preparation.cleaning import clean_caption, count_tokens, plain_lyrics


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


PIECES = [
    " ", "\t", "\n", "\u00a0", "repl", "reply ", "no ", "no replies ", "link", "link ", "linkno", "1",
    "log ", "log in to reply ", "replyther", "there was an error ", "movedand", "moved", "<", "<br", "<p ",
    "<a>", "http://", "www.", "&", "&#", "&#1", "&amp;", "&amp", "instrumental ", "_", "é", "\u0301", ".",
]  # fmt: skip


@pytest.mark.parametrize("piece", PIECES)
def test_hostile_captions_take_time_by_their_length(piece):
    """40,000 spaces after "repl" took 102 s."""
    for start in ("repl", "log in to reply http <a &# movedand"):
        for end in ("", "repl"):
            text = start + piece * (20_000 // len(piece)) + end
            began = process_time()
            clean_caption(text, Counter())
            plain_lyrics(text, "keep")
            count_tokens(text)
            assert process_time() - began < 1


def test_bounded_patterns_still_find_debris_among_spaces_and_digits():
    for text, clean in (
        ("It is sad." + " " * 30_000 + "link" + " " * 9 + "No Replies Log in to reply" + "\n" * 500, "It is sad."),
        ("sad linkno   replies and more", "sad and more"),
        ("sad 123456 Replies Log in to reply There was an error.", "sad"),
        ("sad &#" + "9" * 9000 + "; song", "sad &#" + "9" * 9000 + "; song"),
        ("sad &#39;song&#x27; &quot;&eacute;&amp", "sad 'song' \"é&"),
    ):
        assert clean_caption(text, Counter()) == clean
