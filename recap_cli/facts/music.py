"""The music teacher: tag probabilities of a song's windows to what may be said of its sound, unsure facts left out."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from recap_cli.facts.facts import DATA, MOST, Guess
from recap_cli.model.musicnn import TAGS

NAMES = tuple(f"{tagger}:{tag}" for tagger, tags in TAGS.items() for tag in tags)
PLACES = {name: place for place, name in enumerate(NAMES)}
# What a song is that musicnn knows nothing of, in words for its user.
UNLIKE = {
    "short": "too short to judge",
    "steady": "silence, noise or a tone rather than music",
    "unknown": "speech, a voice alone or noise rather than music",
}
LEAST = 1e-6  # a probability, so that log odds are finite


@dataclass(frozen=True)
class MusicFacts:
    """What the music teacher makes of a song."""

    voice: Guess
    genre: Guess
    feel: Guess
    instruments: tuple[Guess, ...]  # all that may be stated, at most two, surest first
    unlike: str | None = None  # a key of UNLIKE where nothing of this should be trusted
    next_genre: Guess | None = None  # the second likeliest, never stated


@lru_cache
def thresholds() -> dict[str, Any]:
    """Returns `music_thresholds.json`: what each fact rests on, from when on it is stated, and why."""
    return dict(json.loads((DATA / "music_thresholds.json").read_text(encoding="utf-8")))


def find_music_facts(tags: np.ndarray) -> MusicFacts:
    """Returns what may be said of a song.

    Args:
        tags: probabilities of musicnn's tags in each window [windows, 100]. Windows should cover the song: its first
            15 s mislead.
    """
    unlike = find_unlike(tags)
    tags = tags[_changing(tags)]
    means = tags.mean(axis=0)
    voice = _voice(tags)
    instruments = _instruments(means)
    if voice.best == "none":
        instruments = [guess for guess in instruments if guess.best != "choir" or not voice.sure]
    if not voice.sure and any(guess.best == "choir" for guess in instruments):
        voice = Guess("sung", next(guess.confidence for guess in instruments if guess.best == "choir"), True)
    (genre, next_genre), (feel, _) = (_likeliest(thresholds()[fact], means) for fact in ("genre", "feel"))
    return MusicFacts(voice, genre, feel, tuple(instruments[:MOST]), unlike, next_genre)


def find_unlike(tags: np.ndarray) -> str | None:
    """Returns how a song is unlike all music that musicnn knows, a key of UNLIKE, or None."""
    limits = thresholds()["unlike"]
    if len(tags) < limits["windows"]:
        return "short"
    if np.median(_changes(tags)) < limits["least_change"]:
        return "steady"
    means = dict(zip(TAGS["mtt"], tags[:, len(TAGS["msd"]) :].mean(axis=0), strict=True))
    known = sum(means.values())
    instruments = sum(means[tag] for tag in limits["instruments"])
    others = known - sum(means[tag] for tag in limits["voice"])
    alone = instruments < limits["least_instruments"] and others < limits["least_others"]
    return "unknown" if known < limits["least_tags"] or alone else None


def log_odds(probabilities: np.ndarray) -> np.ndarray:
    """Returns the logits that probabilities came from."""
    probabilities = np.clip(probabilities, LEAST, 1 - LEAST)
    return np.log(probabilities) - np.log1p(-probabilities)


def _changes(tags: np.ndarray) -> np.ndarray:
    """Returns how much the log odds change from window to window [windows - 1]."""
    return np.abs(np.diff(log_odds(tags), axis=0)).mean(axis=1)


def _changing(tags: np.ndarray) -> np.ndarray:
    """Returns which windows count [windows]: of a rest, in which all are the same, only the first."""
    return np.concatenate([[True], _changes(tags) >= thresholds()["unlike"]["same"]])


def _voice(tags: np.ndarray) -> Guess:
    limits = thresholds()["voice"]
    odds = log_odds(tags)
    groups = {name: odds[:, [PLACES[tag] for tag in some]].mean(axis=1) for name, some in limits["groups"].items()}
    sung = np.max([groups["woman"], groups["man"], groups["sung"]], axis=0) - groups["none"]
    # A quarter of the song is enough: songs have introductions and solos.
    score = float(np.quantile(sung, limits["quantile"]))
    middle = (limits["sung_from"] + limits["none_to"]) / 2
    chance = _chance(2 * (score - middle))
    if score < middle:
        return Guess("none", 1 - chance, score <= limits["none_to"])
    singing = sung >= min(limits["window_sung_from"], score)
    lead = float((groups["woman"] - groups["man"])[singing].mean())
    if abs(lead) < limits["odds"]:
        return Guess("sung", chance, score >= limits["sung_from"])
    return Guess("woman" if lead > 0 else "man", chance * _chance(abs(lead)), score >= limits["sung_from"])


def _likeliest(rules: Mapping[str, Any], means: np.ndarray) -> tuple[Guess, Guess]:
    """Returns the two values with the highest scores; the first is stated where it has 1 and is well ahead."""
    scores = {value: _score(levels, means) for value, levels in rules["tags"].items()}
    best, second = sorted(scores, key=scores.__getitem__, reverse=True)[:2]
    sure = scores[best] >= 1 and scores[best] >= rules["margin"] * scores[second]
    powers = scores[best] ** 3, scores[second] ** 3
    first, next_one = (
        power / sum(powers) * min(1.0, scores[name]) for power, name in zip(powers, (best, second), strict=True)
    )
    return Guess(best, first, sure), Guess(second, next_one, False)


def _score(levels: Mapping[str, float], means: np.ndarray) -> float:
    """Returns the greatest share of its level that a tag has, averaged over the taggers."""
    greatest: dict[str, float] = {}
    for tag, level in levels.items():
        tagger = tag.partition(":")[0]
        greatest[tagger] = max(greatest.get(tagger, 0.0), float(means[PLACES[tag]]) / level)
    return sum(greatest.values()) / len(greatest)


def _instruments(means: np.ndarray) -> list[Guess]:
    """Returns the instruments that may be stated, surest first, of those that are alike only one."""
    rules = thresholds()["instruments"]
    scores = {name: _score(levels, means) for name, levels in rules["tags"].items()}
    found: list[Guess] = []
    for name in sorted(scores, key=scores.__getitem__, reverse=True):
        alike = _alike(name, rules["alike"])
        if scores[name] >= 1 and not any(guess.best in alike for guess in found):
            found.append(Guess(name, _chance(2 * scores[name] - 1), True))
    return found


def _alike(name: str, groups: Sequence[Sequence[str]]) -> Sequence[str]:
    return next((group for group in groups if name in group), ())


def _chance(odds: float) -> float:
    return float(1 / (1 + np.exp(-odds)))
