"""What a demo song is made of: how its seven attributes are drawn, and the best guess from half of them."""

from collections.abc import Mapping
from math import prod
from typing import NamedTuple

import numpy as np

from recap_cli.demo.lexicon import ATTRIBUTES

MUSIC_ATTRIBUTES = ("tempo", "mode", "timbre", "drums")


class Habits(NamedTuple):
    """What songs on a theme usually sound like."""

    mode: str
    tempo: str
    timbre: str
    drums: str


HABITS = {
    "romance": Habits("major", "moderate", "guitar", "without"),
    "parting": Habits("minor", "slow", "flute", "without"),
    "road": Habits("major", "fast", "guitar", "with"),
    "sea": Habits("major", "slow", "flute", "without"),
    "childhood": Habits("minor", "moderate", "bells", "without"),
    "war": Habits("minor", "slow", "trumpet", "with"),
    "city": Habits("minor", "fast", "trumpet", "with"),
    "work": Habits("major", "moderate", "organ", "with"),
}

# The chance of the habitual value; the other values share the rest equally.
HABIT_STRENGTH = {"mode": 0.70, "tempo": 0.50, "timbre": 0.40, "drums": 0.65}

# Theme -> mode -> mood. Themes come in pairs with equal rows, so that a held-out pair can be inferred from its twin.
MOODS = {
    "romance": {"major": "joyful", "minor": "tender"},
    "childhood": {"major": "joyful", "minor": "tender"},
    "parting": {"major": "wistful", "minor": "sombre"},
    "war": {"major": "wistful", "minor": "sombre"},
    "road": {"major": "hopeful", "minor": "restless"},
    "work": {"major": "hopeful", "minor": "restless"},
    "sea": {"major": "restless", "minor": "wistful"},
    "city": {"major": "restless", "minor": "wistful"},
}

# Theme and mode pairs that occur in the split `unseen` only.
UNSEEN_PAIRS = (("road", "minor"), ("war", "major"))


def chances(attribute: str, theme: str) -> dict[str, float]:
    """Returns the probability of each value of a sound attribute in songs on a theme, held-out pairs excluded."""
    values = ATTRIBUTES[attribute]
    strength = HABIT_STRENGTH[attribute]
    habit = getattr(HABITS[theme], attribute)
    weights = {value: strength if value == habit else (1 - strength) / (len(values) - 1) for value in values}
    if attribute == "mode":
        weights = {mode: 0.0 if (theme, mode) in UNSEEN_PAIRS else weight for mode, weight in weights.items()}
    total = sum(weights.values())
    return {value: weight / total for value, weight in weights.items()}


def draw_attributes(rng: np.random.Generator, unseen: bool = False) -> dict[str, str]:
    """Returns the seven attributes of one song: with `unseen`, of a held-out pair of theme and mode, else of any other.

    The stream should be used for nothing else, so that no other choice can move the attributes.
    """
    theme, mode = UNSEEN_PAIRS[rng.integers(len(UNSEEN_PAIRS))] if unseen else (_draw(rng, ATTRIBUTES["theme"]), None)
    stance = _draw(rng, ATTRIBUTES["stance"])
    sound = {attribute: _draw_sound(rng, attribute, theme) for attribute in MUSIC_ATTRIBUTES}
    sound["mode"] = mode or sound["mode"]
    return {"theme": theme, "stance": stance, **sound, "mood": MOODS[theme][sound["mode"]]}


def _draw(rng: np.random.Generator, values: tuple[str, ...]) -> str:
    return values[rng.integers(len(values))]


def _draw_sound(rng: np.random.Generator, attribute: str, theme: str) -> str:
    weights = chances(attribute, theme)
    return list(weights)[rng.choice(len(weights), p=list(weights.values()))]


def guess_from_lyrics(known: Mapping[str, str]) -> dict[str, str]:
    """Returns the likeliest value of every attribute when only theme and stance are known."""
    theme = known["theme"]
    guess = {"theme": theme, "stance": known["stance"]}
    for attribute in MUSIC_ATTRIBUTES:
        weights = chances(attribute, theme)
        guess[attribute] = max(weights, key=weights.__getitem__)
    # The two moods of a theme differ, so the likeliest mood is that of the likeliest mode.
    return {**guess, "mood": MOODS[theme][guess["mode"]]}


def guess_from_music(known: Mapping[str, str]) -> dict[str, str]:
    """Returns the likeliest value of every attribute when only the sound, all of `MUSIC_ATTRIBUTES`, is known."""
    # A sound that training never pairs with any theme cannot occur: every mode has habitual themes.
    themes = {
        theme: prod(chances(attribute, theme)[known[attribute]] for attribute in MUSIC_ATTRIBUTES)
        for theme in ATTRIBUTES["theme"]
    }
    moods = dict.fromkeys(ATTRIBUTES["mood"], 0.0)
    for theme, weight in themes.items():
        moods[MOODS[theme][known["mode"]]] += weight
    sound = {attribute: known[attribute] for attribute in MUSIC_ATTRIBUTES}
    return {
        "theme": max(themes, key=themes.__getitem__),
        "stance": ATTRIBUTES["stance"][0],
        **sound,
        "mood": max(moods, key=moods.__getitem__),
    }
