"""The attributes: how they are drawn, which pairs are held out, and what half of them tell."""

from collections import Counter
from itertools import product

import numpy as np
import pytest

from recap_cli.demo.attributes import (
    HABIT_STRENGTH,
    HABITS,
    MOODS,
    MUSIC_ATTRIBUTES,
    UNSEEN_PAIRS,
    chances,
    draw_attributes,
    guess_from_lyrics,
    guess_from_music,
)
from recap_cli.demo.lexicon import ATTRIBUTES

SEEN_PAIRS = [pair for pair in product(MOODS, ATTRIBUTES["mode"]) if pair not in UNSEEN_PAIRS]


@pytest.fixture(scope="module")
def drawn():
    return [draw_attributes(np.random.default_rng(seed)) for seed in range(3000)]


def test_mode_always_changes_the_mood_and_moods_are_shared():
    assert all(row["major"] != row["minor"] for row in MOODS.values())
    themes = {mood: {theme for theme, row in MOODS.items() if mood in row.values()} for mood in ATTRIBUTES["mood"]}
    assert all(len(names) >= 2 for names in themes.values())


def test_moods_of_held_out_pairs_are_learnt_elsewhere():
    seen = {MOODS[theme][mode] for theme, mode in SEEN_PAIRS}
    assert seen == set(ATTRIBUTES["mood"])
    # Another theme with the same row shows what the held-out mode would do.
    for theme, mode in UNSEEN_PAIRS:
        assert any(MOODS[twin] == MOODS[theme] and (twin, mode) in SEEN_PAIRS for twin in MOODS if twin != theme)


def test_drawn_attributes_follow_the_habits(drawn):
    counts = Counter(song["theme"] for song in drawn)
    assert all(abs(count / len(drawn) - 1 / 8) < 0.03 for count in counts.values())
    stances = Counter(song["stance"] for song in drawn)
    assert all(abs(count / len(drawn) - 1 / 3) < 0.04 for count in stances.values())
    for attribute, strength in HABIT_STRENGTH.items():
        habitual = [
            song[attribute] == getattr(HABITS[song["theme"]], attribute)
            for song in drawn
            if attribute != "mode" or song["theme"] not in dict(UNSEEN_PAIRS)
        ]
        assert abs(np.mean(habitual) - strength) < 0.04


def test_every_value_is_common(drawn):
    for attribute, values in ATTRIBUTES.items():
        counts = Counter(song[attribute] for song in drawn)
        assert set(counts) == set(values)
        assert min(counts.values()) > 0.5 * len(drawn) / len(values)


def test_held_out_pairs(drawn):
    assert not any((song["theme"], song["mode"]) in UNSEEN_PAIRS for song in drawn)
    unseen = [draw_attributes(np.random.default_rng(seed), unseen=True) for seed in range(100)]
    assert {(song["theme"], song["mode"]) for song in unseen} == set(UNSEEN_PAIRS)
    assert all(song["mood"] == MOODS[song["theme"]][song["mode"]] for song in [*drawn, *unseen])


def test_chances_add_up():
    for attribute, theme in product(MUSIC_ATTRIBUTES, ATTRIBUTES["theme"]):
        assert sum(chances(attribute, theme).values()) == pytest.approx(1)
    assert chances("mode", "road") == {"major": 1.0, "minor": 0.0}


def test_guesses_literally():
    known = {
        "theme": "city",
        "stance": "grateful",
        "tempo": "slow",
        "mode": "minor",
        "timbre": "flute",
        "drums": "with",
    }
    assert guess_from_lyrics(known) == {
        "theme": "city",
        "stance": "grateful",
        "tempo": "fast",
        "mode": "minor",
        "timbre": "trumpet",
        "drums": "with",
        "mood": "wistful",
    }
    heard = guess_from_music({**known, "drums": "without"})
    assert (heard["theme"], heard["mood"], heard["timbre"]) == ("parting", "sombre", "flute")


def test_no_fixed_answer_beats_the_guesses(drawn):
    """Each guess is the commonest truth among many songs that look alike to the guesser."""
    for guess, seen in ((guess_from_lyrics, ("theme", "stance")), (guess_from_music, MUSIC_ATTRIBUTES)):
        right = {
            attribute: np.mean([guess(song)[attribute] == song[attribute] for song in drawn]) for attribute in drawn[0]
        }
        common = {a: max(Counter(song[a] for song in drawn).values()) / len(drawn) for a in drawn[0]}
        assert all(right[attribute] == 1 for attribute in seen)
        assert all(right[attribute] >= common[attribute] - 0.04 for attribute in right)
        assert right["mood"] < 0.85
