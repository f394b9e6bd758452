"""How the theme teacher is fitted: ridge regression on labels by reading, with similarity to the wordings beside."""

from collections.abc import Iterator, Sequence

import numpy as np

from recap_cli.facts.themes import ThemeTeacher

# The penalty and the weight of the similarities were chosen by cross-validation on the labels to learn from: right
# among the first two in .714 of stated songs, in .699 to .706 at half and twice of either.
PENALTY = 3.0
SIMILARITY = 1.5
FOLDS = 10
STATED = 0.6  # of songs that were not learnt from: for so many a theme is stated


def fit_theme_teacher(
    songs: np.ndarray, labels: np.ndarray, groups: Sequence[str], wordings: np.ndarray, seed: int = 0
) -> ThemeTeacher:
    """Returns a teacher fitted to labelled songs; from when on it states a theme is found by cross-validation.

    Args:
        songs: song vectors [songs, width].
        labels: 1 where a song has a theme [songs, themes].
        groups: songs of one group, such as twins, are never in two folds [songs].
        wordings: the mean direction of each theme's wordings [themes, width].
        seed: of the folds.
    """
    held_out = cross_validate(songs, labels, groups, wordings, seed)
    slope, intercept = fit_logistic(held_out.ravel(), labels.ravel())
    least = float(np.quantile(held_out.max(axis=1), 1 - STATED))
    return ThemeTeacher(*fit_linear(songs, labels, wordings), least, slope, intercept)


def cross_validate(
    songs: np.ndarray, labels: np.ndarray, groups: Sequence[str], wordings: np.ndarray, seed: int = 0
) -> np.ndarray:
    """Returns scores of songs by teachers that did not see them [songs, themes]; see `fit_theme_teacher`."""
    scores = np.zeros_like(labels)
    for held_out in folds(groups, seed):
        weights, bias = fit_linear(songs[~held_out], labels[~held_out], wordings)
        scores[held_out] = songs[held_out] @ weights + bias
    return scores


def folds(groups: Sequence[str], seed: int = 0) -> Iterator[np.ndarray]:
    """Yields which songs are held out [songs], each once and with its group."""
    names = sorted(set(groups))
    fold = dict(zip(names, np.random.default_rng(seed).permutation(len(names)) % FOLDS, strict=True))
    chosen = np.array([fold[group] for group in groups])
    for number in range(min(FOLDS, len(names))):
        yield chosen == number


def fit_linear(songs: np.ndarray, labels: np.ndarray, wordings: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the weights [width, themes] and summands [themes] of a ridge regression.

    Its inputs are the vectors and the similarities to the wordings, which are linear in the vectors themselves: they
    change only which weights are cheap. So the two are one map in the end.
    """
    mean = songs.mean(axis=0)
    centred = songs - mean
    similarities = centred @ wordings.T
    spread = np.maximum(similarities.std(axis=0), 1e-9)
    size = np.sqrt((centred**2).sum(axis=1).mean())
    beside = SIMILARITY / np.sqrt(len(wordings)) * wordings.T / spread
    inputs = np.concatenate([np.eye(songs.shape[1]) / size, beside], axis=1)
    known = centred @ inputs
    rate = labels.mean(axis=0)
    found = np.linalg.solve(known.T @ known + PENALTY * np.eye(known.shape[1]), known.T @ (labels - rate))
    weights = inputs @ found
    return weights, rate - mean @ weights


def fit_logistic(scores: np.ndarray, right: np.ndarray, steps: int = 30) -> tuple[float, float]:
    """Returns slope and intercept of the log odds of `right` by the scores (Newton's method, a trace of a penalty)."""
    inputs = np.stack([scores, np.ones_like(scores)], axis=1)
    found = np.zeros(2)
    for _ in range(steps):
        chances = 1 / (1 + np.exp(-inputs @ found))
        curvature = inputs.T @ (inputs * (chances * (1 - chances))[:, None]) + 1e-3 * np.eye(2)
        found += np.linalg.solve(curvature, inputs.T @ (right - chances) - 1e-3 * found)
    return float(found[0]), float(found[1])
