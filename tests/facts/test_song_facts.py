"""Facts hold only what may be said."""

import pytest

from recap_cli.facts.facts import GENRES, INSTRUMENTS, THEMES, Facts
from recap_cli.facts.wordings import THEME_PHRASES


def test_the_json_has_every_fact_and_the_themes_in_their_order():
    facts = Facts("woman", "folk", ("guitar", "flute"), "gentle", "en", ("lost love", "friendship"))
    assert facts.to_json() == {
        "voice": "woman",
        "genre": "folk",
        "instruments": ["guitar", "flute"],
        "feel": "gentle",
        "language": "en",
        "themes": ["lost love", "friendship"],
    }
    empty = {"voice": None, "genre": None, "instruments": [], "feel": None, "language": None, "themes": []}
    assert Facts().to_json() == empty


@pytest.mark.parametrize(
    "wrong",
    [
        {"voice": "alto"},
        {"genre": "reggae"},  # musicnn has no such tag
        {"instruments": ("guitar", "guitar")},
        {"instruments": INSTRUMENTS[:3]},
        {"feel": "sad"},
        {"language": "English"},
        {"themes": ("love",)},
    ],
)
def test_nothing_else_is_a_fact(wrong):
    with pytest.raises(ValueError):
        Facts(**wrong)


def test_there_are_23_themes_each_with_phrases_of_its_own():
    assert len(THEMES) == 23 == len(THEME_PHRASES)
    assert all(phrases[0] == theme for theme, phrases in THEME_PHRASES.items())
    assert len({phrase for phrases in THEME_PHRASES.values() for phrase in phrases}) == 2 * 23
    assert set(THEME_PHRASES) == set(THEMES)
    assert not set(GENRES) & {"reggae", "latin"}
