"""The theme teacher: vectors of a song's verses to scores of the 23 themes, and which of them may be stated."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from recap_cli.facts.facts import DATA, MOST, THEMES, Guess

TEACHER = DATA / "theme_teacher.safetensors"
VERSE_WORDS = 60  # at most, unless a line has more
_SOUND = re.compile(r"\W+")


def split_verses(lyrics: str) -> list[str]:
    """Returns lyrics in portions of whole lines, up to 60 words each; a line that comes again is left out."""
    lines: dict[str, str] = {}
    for line in lyrics.splitlines():
        lines.setdefault(_SOUND.sub(" ", line.lower()).strip(), line.strip())
    verses: list[list[str]] = []
    words = VERSE_WORDS
    for line in (line for key, line in lines.items() if key):
        words += len(line.split())
        if words > VERSE_WORDS:
            verses.append([])
            words = len(line.split())
        verses[-1].append(line)
    return ["\n".join(verse) for verse in verses]


def song_vector(vectors: np.ndarray, words: Sequence[int]) -> np.ndarray:
    """Returns one vector for a song [width]: the mean direction of its verses' vectors, long verses counting more.

    Args:
        vectors: sentence vectors of the verses [verses, width].
        words: how many words each verse has.
    """
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.average(units, axis=0, weights=words)


@dataclass(frozen=True)
class ThemeTeacher:
    """A linear map from song vectors to scores, which are near the share of readers' labels at 0 and 1."""

    weights: np.ndarray  # [width, themes]
    bias: np.ndarray  # [themes]
    least: float  # the score from which a theme is stated
    slope: float  # of the log odds that a theme is right, by its score
    intercept: float

    def scores(self, songs: np.ndarray) -> np.ndarray:
        """Returns the scores [songs, themes] of song vectors [songs, width]."""
        return songs @ self.weights + self.bias

    def confidence(self, scores: np.ndarray) -> np.ndarray:
        """Returns how often themes with such scores were among a reader's, from 0 to 1."""
        return 1 / (1 + np.exp(-(self.slope * scores + self.intercept)))

    def guesses(self, scores: np.ndarray) -> tuple[Guess, ...]:
        """Returns the two likeliest themes of one song by its scores [themes], the likelier first."""
        names, confidence = tuple(THEMES), self.confidence(scores)
        best = np.argsort(-scores, kind="stable")[:MOST]
        return tuple(Guess(names[one], float(confidence[one]), bool(scores[one] >= self.least)) for one in best)

    def save(self, path: Path) -> None:
        """Writes the teacher to a file."""
        figures = np.array([self.least, self.slope, self.intercept], np.float32)
        arrays = {"weights": self.weights, "bias": self.bias, "figures": figures}
        save_file({name: np.ascontiguousarray(array, np.float32) for name, array in arrays.items()}, path)


def load_theme_teacher(path: Path = TEACHER) -> ThemeTeacher:
    """Returns the teacher that `tests/make_theme_teacher.py` made."""
    arrays = load_file(path)
    least, slope, intercept = (float(figure) for figure in arrays["figures"])
    return ThemeTeacher(arrays["weights"], arrays["bias"], least, slope, intercept)
