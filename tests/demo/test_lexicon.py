"""The lexicon: captions state what they should, and are read back without an error."""

from itertools import pairwise, permutations, product

import numpy as np
import pytest

from recap_cli.demo.lexicon import (
    ATTRIBUTES,
    PHRASES,
    SENTENCES,
    read_attributes,
    with_article,
    write_caption,
)
from recap_cli.demo.songs import GOLD_VOTES, DemoSettings, make_songs


@pytest.mark.parametrize("difficulty", ["easy", "hard"])
def test_every_caption_reads_back(demo_songs, difficulty):
    """Those with many votes as the song is, the others as a song of one or two others; every third song."""
    for song in demo_songs(difficulty)[::3]:
        for caption in song.captions:
            stated = read_attributes(caption.text)
            assert None not in stated.values()
            assert stated == song.tags or caption.votes < GOLD_VOTES


def test_every_phrase_in_every_template_reads_back():
    usual = {attribute: values[0] for attribute, values in ATTRIBUTES.items()}
    for attribute, values in PHRASES.items():
        for value in values:
            for seed in range(20):
                caption = write_caption({**usual, attribute: value}, np.random.default_rng(seed))
                assert read_attributes(caption) == {**usual, attribute: value}


def test_no_phrase_occurs_in_another_value_s_phrase():
    phrases = [(a, v, p) for a, values in PHRASES.items() for v, pair in values.items() for p in pair]
    for (attribute, value, phrase), (_, _, other) in permutations(phrases, 2):
        if not any(phrase in same for same in PHRASES[attribute][value] if same != phrase):
            assert phrase not in other


def test_two_phrases_and_two_templates_each():
    assert all(len(set(pair)) == 2 for values in PHRASES.values() for pair in values.values())
    assert all(len(set(templates)) == 2 for templates in SENTENCES)
    assert {a: len(values) for a, values in ATTRIBUTES.items()} == {
        "theme": 8,
        "stance": 3,
        "tempo": 3,
        "mode": 2,
        "timbre": 5,
        "drums": 2,
        "mood": 6,
    }


def test_a_caption_literally():
    attributes = {
        "theme": "sea",
        "stance": "defiant",
        "tempo": "slow",
        "mode": "minor",
        "timbre": "organ",
        "drums": "without",
        "mood": "wistful",
    }
    rng = np.random.default_rng(0)
    captions = {write_caption(attributes, rng) for _ in range(8000)}
    assert (
        "A rebellious narrator sings of a sailor's life. It is an unhurried piece in a minor key, led by an organ "
        "without drums. Overall it feels nostalgic." in captions
    )
    assert 1000 < len(captions) <= 2**10


def test_captions_put_the_right_article():
    for attributes in product(ATTRIBUTES["tempo"], ATTRIBUTES["timbre"]):
        usual = {attribute: values[0] for attribute, values in ATTRIBUTES.items()}
        tempo, timbre = attributes
        for seed in range(20):
            words = write_caption({**usual, "tempo": tempo, "timbre": timbre}, np.random.default_rng(seed)).split()
            for article, word in pairwise(words):
                if article.lower() in ("a", "an"):
                    assert article.lower() == ("an" if word[0] in "aeiou" else "a")


def test_with_article():
    assert with_article("unhurried") == "an unhurried"
    assert with_article("slow") == "a slow"


@pytest.mark.parametrize(
    ("caption", "attribute", "value"),
    [
        ("", "mood", None),
        ("The mood is joyful. Overall it feels happy.", "mood", "joyful"),
        ("The mood is joyful. Overall it feels sombre.", "mood", None),
        ("IT IS A FAST\n  PIECE", "tempo", "fast"),
        ("steadfast", "tempo", None),
        ("led by pipe organ", "timbre", "organ"),
        ("A sailor’s life", "theme", "sea"),
        ("a song in a  Minor key with minor chords", "mode", "minor"),
        ("led by a flute, then by bells", "timbre", None),
    ],
)
def test_reading_other_texts(caption, attribute, value):
    assert read_attributes(caption)[attribute] == value


def test_caption_length_is_about_28_words():
    songs = make_songs(DemoSettings(train=300, validation=0, test=0, unseen=0))
    lengths = [len(caption.text.split()) for song in songs for caption in song.captions]
    assert 27 <= np.mean(lengths) <= 30
    assert min(lengths) >= 22
    assert max(lengths) <= 36
