"""The theme teacher: vectors of a song's verses to scores of the 23 themes, and which of them may be stated."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from recap_cli.facts.facts import DATA, MOST, THEMES, Guess

TEACHER = DATA / "theme_teacher.safetensors"


def song_vector(verses: np.ndarray) -> np.ndarray:
    """Returns one vector for a song [width]: the mean direction of its verses' states.

    Weighting verses by their lengths made the teacher no better.

    Args:
        verses: the states of its verses [verses, width], as `LyricsEncoder.pool_verses` returns them.
    """
    mean: np.ndarray = (verses / np.linalg.norm(verses, axis=1, keepdims=True)).mean(axis=0)
    return mean


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


def guess_themes(verses: np.ndarray) -> tuple[Guess, ...]:
    """Returns the two likeliest themes of a song by the states of its verses [verses, width]."""
    teacher = load_theme_teacher()
    return teacher.guesses(teacher.scores(song_vector(verses)[None])[0])


@lru_cache
def load_theme_teacher(path: Path = TEACHER) -> ThemeTeacher:
    """Returns the teacher that `tests/make_theme_teacher.py` made."""
    arrays = load_file(path)
    least, slope, intercept = (float(figure) for figure in arrays["figures"])
    return ThemeTeacher(arrays["weights"], arrays["bias"], least, slope, intercept)
