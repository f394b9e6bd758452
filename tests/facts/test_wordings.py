"""Captions are natural, differ from song to song, and never say what cannot be known."""

import re
from itertools import product

import pytest

from recap_cli.facts.facts import FEELS, GENRES, INSTRUMENTS, LANGUAGES, THEMES, VOICES, Facts
from recap_cli.facts.wordings import NOTHING, music_sentences, words_sentences, write_caption

FULL = Facts("woman", "electronic", ("synthesizers", "drums"), "lively", "en", ("lost love", "friendship"))
NEVER = r"\bmajor\b|\bminor\b|\bkey\b|\bbpm\b|\btempo\b|\d|\bhappy\b|\bsad\b|\bmood\b|\bis about\b|\bare about\b"


def every_sentence():
    """Each wording with each word; of the combinations, those in which words meet."""
    for voice, genre, feel in product((None, *VOICES), (None, *GENRES), (None, *FEELS)):
        yield from music_sentences(Facts(voice, genre, (), feel))
    for voice, genre in product((None, *VOICES), (None, "electronic")):
        for sounds in (INSTRUMENTS[:2], INSTRUMENTS[-2:], *((one,) for one in INSTRUMENTS)):
            yield from music_sentences(Facts(voice, genre, sounds))
    for voice, theme in product((None, "none"), THEMES):
        yield from words_sentences(
            Facts(voice, language="en", themes=(theme, "faith" if theme != "faith" else "desire"))
        )
        yield from words_sentences(Facts(voice, themes=(theme,)))
    for language in LANGUAGES:
        yield from words_sentences(Facts(language=language))


def test_every_sentence_is_one():
    for sentence in every_sentence():
        assert re.fullmatch(r"[A-Z][A-Za-z' ,-]+\.", sentence), sentence
        assert "  " not in sentence and " ," not in sentence and " ." not in sentence
        assert not re.search(r"\ba [aeiou]|\ban [^aeiou]", sentence, re.IGNORECASE), sentence
        assert not re.search(r"\b(\w+) \1\b", sentence), sentence
        assert not re.search(NEVER, sentence.replace("are perhaps about", "")), sentence


def test_a_song_keeps_its_wording_and_songs_differ():
    captions = [write_caption(FULL, f"song {number}") for number in range(200)]
    assert captions == [write_caption(FULL, f"song {number}") for number in range(200)]
    assert len(set(captions)) > 150
    # the same on every machine: what a hash chooses does not change
    assert write_caption(FULL, "song 1") == captions[1]


def test_full_facts_make_a_caption_of_some_30_words():
    lengths = [len(write_caption(FULL, f"song {number}").split()) for number in range(300)]
    assert min(lengths) >= 18 and max(lengths) <= 45
    assert 22 <= sum(lengths) / len(lengths) <= 35


def test_the_vocabulary_is_small():
    words = {word for sentence in every_sentence() for word in re.findall(r"[a-z'-]+", sentence.lower())}
    assert len(words) < 260


def test_words_in_another_language_have_no_meaning():
    with pytest.raises(ValueError, match="French"):
        write_caption(Facts(language="fr", themes=("lost love",)), "song")
    assert "about" not in write_caption(Facts(voice="man", language="fr"), "song")


def test_where_nobody_sings_the_words_only_came_with_the_music():
    for sentence in words_sentences(Facts(voice="none", language="en", themes=("faith",))):
        assert re.search(r"came with|given for", sentence)


def test_nothing_known_is_said_to_be_so():
    assert {write_caption(Facts(), f"song {number}") for number in range(50)} == set(NOTHING)
