"""Every wording of every combination of facts is read back as what was written."""

import re
from itertools import combinations, permutations, product

import pytest

from recap_cli.facts.facts import FEELS, GENRES, INSTRUMENTS, LANGUAGES, THEMES, VOICES, Facts
from recap_cli.facts.lexicon import read_facts
from recap_cli.facts.wordings import NOTHING, music_sentences, words_sentences, write_caption

ANY_VOICE = (None, *VOICES)


def stated(sentence):
    """What a sentence states, without what it does not."""
    return {name: value for name, value in read_facts(sentence).to_json().items() if value}


def written(facts):
    return {name: value for name, value in facts.to_json().items() if value}


@pytest.mark.parametrize("voice", ANY_VOICE)
@pytest.mark.parametrize("genre", [None, *GENRES])
def test_voice_genre_and_feel_come_back(voice, genre):
    for feel, sounds in product((None, *FEELS), ((), ("drums",), ("guitar", "harp"))):
        facts = Facts(voice, genre, sounds, feel)
        for sentence in music_sentences(facts):
            assert stated(sentence) == written(facts), sentence


@pytest.mark.parametrize("voice", ANY_VOICE)
def test_instruments_come_back_in_their_order(voice):
    for sounds in (*((one,) for one in INSTRUMENTS), *permutations(INSTRUMENTS, 2)):
        facts = Facts(voice, "rock", sounds)
        for sentence in music_sentences(facts):
            assert stated(sentence) == {
                **({"voice": voice} if voice else {}),
                "genre": "rock",
                "instruments": [*sounds],
            }


@pytest.mark.parametrize("voice", ["none", "man"])
@pytest.mark.parametrize("language", ["en", None])
def test_themes_come_back_in_their_order(voice, language):
    names = (*THEMES,)
    pairs = ((one, names[(place + step) % len(names)]) for place, one in enumerate(names) for step in (1, 5, -1))
    for themes in (*((one,) for one in names), *pairs):
        facts = Facts(voice, None, (), None, language, themes)
        for sentence in words_sentences(facts):
            assert stated(sentence) == {**({"language": language} if language else {}), "themes": [*themes]}


@pytest.mark.parametrize("voice", ANY_VOICE)
def test_every_language_comes_back(voice):
    for language in LANGUAGES:
        for sentence in words_sentences(Facts(voice, language=language)):
            assert stated(sentence) == {"language": language}


def test_captions_of_both_sentences_come_back():
    """Each way in which facts may be there or not, in the wordings of some songs."""
    values = {
        "voice": "woman",
        "genre": "hip-hop",
        "instruments": ("choir", "synthesizers"),
        "feel": "loud",
        "language": "en",
        "themes": ("work and daily life", "city and night life"),
    }
    seen = 0
    for count in range(len(values) + 1):
        for names in combinations(values, count):
            facts = Facts(**{name: values[name] for name in names})
            for song in range(20):
                assert read_facts(write_caption(facts, f"song {song}")) == facts
                seen += 1
    assert seen == 20 * 2**6


@pytest.mark.parametrize(
    "text",
    [
        "",
        *NOTHING,
        "This caption names nothing that could be known.",
        "I stand on a rock and the metal is cold; the folk in this country pop in.",
        "She plays the strings of her heart.",
        "The man in the street met a woman.",
        "The narrator fell in love and sings of friendship, of Christmas and of faith.",
        "An English friend came by.",
        "The narrator looks back on a loud party in France.",
        "A voice of reason.",
    ],
)
def test_what_is_not_stated_is_not_read(text):
    assert read_facts(text) == Facts()


def test_a_theme_takes_no_word_for_an_instrument_or_a_genre():
    text = "The lyrics are in English, and they could be about music itself, or perhaps a rock song with guitar."
    assert read_facts(text) == Facts(language="en", themes=("music itself",))


def test_what_is_stated_twice_differently_is_not_read():
    text = "This is a gentle folk song. This is a loud metal song. A woman sings. A man sings."
    assert read_facts(text) == Facts()
    assert read_facts("A track without singing. Someone sings.").voice is None
    assert read_facts("The words are in English. The words are in French.").language is None


def test_case_and_spacing_do_not_matter():
    caption = "A  WOMAN’S voice is\nheard in this soft Jazz Track."
    assert read_facts(caption) == Facts(voice="woman", genre="jazz", feel="gentle")


def test_only_the_first_two_are_taken():
    caption = "It sounds like a track with guitar, piano and drums. It may be about desire, faith and friendship."
    assert read_facts(caption) == Facts(instruments=("guitar", "piano"), themes=("desire", "faith"))


def test_no_sentence_of_words_could_be_one_of_music():
    """What is read of one sentence does not depend on the other."""
    heard = Facts("man", "pop", ("piano",), "lively")
    assert not any(re.search(r"\babout\b|\bwords\b|\blyrics\b", sentence) for sentence in music_sentences(heard))
