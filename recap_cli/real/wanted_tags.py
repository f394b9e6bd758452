"""Which tags the music of a made-up pair should have: voices, genres, instruments and feels that real songs have."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from recap_cli.facts.music import PLACES, log_odds, thresholds

# How often a voice is wanted. Most songs with words are sung; `sung` is a voice that may be a woman's or a man's.
VOICES = {"woman": 0.3, "man": 0.3, "sung": 0.12, "none": 0.13, "": 0.15}
GENRE_SHARE, FEEL_SHARE = 0.85, 0.7  # of pairs for which one is wanted
INSTRUMENT_COUNTS = (0.4, 0.35, 0.25)  # none, one, two
# Mean probabilities of tags, from and to.
LOW, HIGH, BETWEEN = (0.003, 0.04), (0.15, 0.7), (0.08, 0.2)
# Of the level from which a fact counts in full: of what is wanted, and of what is not.
WANTED, UNWANTED = (0.8, 2.5), (0.1, 0.8)

Tags = dict[str, float]  # wanted mean probabilities by names of tags


def draw_voice(random: np.random.Generator) -> str:
    """Returns the voice to want, "" for that of the music as it is."""
    return str(random.choice(list(VOICES), p=list(VOICES.values())))


def voice_tags(voice: str, random: np.random.Generator) -> Tags:
    """Returns the tags of windows with a voice: `woman`, `man`, `sung` or `none`."""
    groups: Mapping[str, list[str]] = thresholds()["voice"]["groups"]
    ranges = {
        "woman": {"woman": HIGH, "man": LOW, "sung": HIGH, "none": LOW},
        "man": {"woman": LOW, "man": HIGH, "sung": HIGH, "none": LOW},
        "sung": {"woman": BETWEEN, "man": BETWEEN, "sung": HIGH, "none": LOW},
        "none": {"woman": LOW, "man": LOW, "sung": LOW, "none": HIGH},
    }[voice]
    # One draw a group: tags of a group say the same.
    return {tag: level for name, some in ranges.items() for level in (_within(some, random),) for tag in groups[name]}


def draw_sound(tags: np.ndarray, random: np.random.Generator) -> Tags:
    """Returns the tags of a genre, of instruments and of a feel, where they are wanted.

    Args:
        tags: of the windows as they are [windows, 100]. On average those of the voice stay, and those of what is not
            wanted stay or are lowered.
        random: of the pair.
    """
    rules = thresholds()
    # The mean of log odds, which is what is moved.
    means = 1 / (1 + np.exp(-log_odds(tags).mean(axis=0)))
    wanted = {tag: float(means[PLACES[tag]]) for some in rules["voice"]["groups"].values() for tag in some}
    if random.random() < GENRE_SHARE:
        wanted |= _choose(rules["genre"], 1, means, random)
    count = int(random.choice(len(INSTRUMENT_COUNTS), p=INSTRUMENT_COUNTS))
    if count or random.random() < 0.5:
        wanted |= _choose(rules["instruments"], count, means, random)
    if random.random() < FEEL_SHARE:
        wanted |= _choose(rules["feel"], 1, means, random)
    return wanted


def _choose(rules: Mapping[str, Any], count: int, means: np.ndarray, random: np.random.Generator) -> Tags:
    """Returns the tags of `count` values that are drawn, and of all others, which do not rise with them."""
    levels: Mapping[str, Mapping[str, float]] = rules["tags"]
    names = list(levels)
    chosen = {names[place] for place in random.choice(len(names), count, replace=False)}
    wanted: Tags = {}
    for name, tags in levels.items():
        if name not in chosen:
            most = _within(UNWANTED, random)
            wanted |= {tag: min(float(means[PLACES[tag]]), most * level) for tag, level in tags.items()}
    for name in sorted(chosen):
        share = _within(WANTED, random)
        wanted |= {tag: min(0.95, levels[name][tag] * share) for tag in _one_a_tagger(levels[name], random)}
    return wanted


def _one_a_tagger(tags: Iterable[str], random: np.random.Generator) -> list[str]:
    """Returns one tag of each tagger that knows the value."""
    by_tagger: dict[str, list[str]] = {}
    for tag in tags:
        by_tagger.setdefault(tag.partition(":")[0], []).append(tag)
    return [some[int(random.integers(len(some)))] for some in by_tagger.values()]


def _within(some: tuple[float, float], random: np.random.Generator) -> float:
    return float(random.uniform(*some))
