"""What the teachers found becomes facts, with their confidence; what is unsure or cannot be known stays out."""

import pytest

from recap_cli.facts.facts import Facts, Guess
from recap_cli.facts.known import join_facts
from recap_cli.facts.lexicon import read_facts
from recap_cli.facts.music import MusicFacts
from recap_cli.facts.wordings import write_caption

MUSIC_FACTS = MusicFacts(
    voice=Guess("woman", 0.912, True),
    genre=Guess("folk", 0.61, False),
    feel=Guess("gentle", 0.8, True),
    instruments=(Guess("guitar", 0.77, True),),
)
THEMES = (Guess("lost love", 0.5, True), Guess("friendship", 0.1, False))
ENGLISH = Guess("en", 1.0, True)


def test_sure_guesses_are_facts_and_the_others_are_left_out():
    known = join_facts(MUSIC_FACTS, ENGLISH, THEMES)
    assert known.facts == Facts("woman", None, ("guitar",), "gentle", "en", ("lost love",))
    assert known.confidence() == {
        "voice": 0.91, "genre": None, "instruments": [0.77], "feel": 0.8, "language": 1.0, "themes": [0.5],
    }  # fmt: skip
    assert known.left_out() == {"genre": (MUSIC_FACTS.genre,), "themes": (THEMES[1],)}
    assert set(known.confidence()) == set(known.facts.to_json())


@pytest.mark.parametrize("language", [Guess("fr", 1.0, True), Guess("en", 0.6, False), None])
def test_only_english_words_have_themes(language):
    known = join_facts(MUSIC_FACTS, language, THEMES)
    assert known.facts.themes == () and "themes" not in known.left_out()
    assert "about" not in write_caption(known.facts, "song")


def test_without_lyrics_there_is_no_theme_and_without_music_no_voice():
    assert join_facts(MUSIC_FACTS).facts == Facts("woman", None, ("guitar",), "gentle")
    assert join_facts(None, ENGLISH, THEMES).facts == Facts(language="en", themes=("lost love",))
    assert join_facts(None).facts == Facts()


def test_of_a_sound_that_is_no_music_nothing_is_said():
    noise = MusicFacts(MUSIC_FACTS.voice, MUSIC_FACTS.genre, MUSIC_FACTS.feel, MUSIC_FACTS.instruments, unlike="steady")
    assert join_facts(noise).facts == Facts() and join_facts(noise).left_out() == {}


def test_what_is_known_can_be_written_and_read():
    facts = join_facts(MUSIC_FACTS, ENGLISH, THEMES).facts
    assert read_facts(write_caption(facts, "song")) == facts
