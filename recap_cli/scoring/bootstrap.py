"""Intervals and paired tests over songs: bootstrap, approximate randomisation, and Holm's correction."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from recap_cli.errors import DataError

RESAMPLES = 1000
TRIALS = 10_000
LEVEL = 0.95

# Random numbers are drawn for this many cells at a time: 32 MB, whatever the number of songs.
CHUNK_CELLS = 4_000_000

# Turns summed rows [..., columns] into figures [...], as BLEU and chrF are made.
Score = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Interval:
    """A figure with the ends of its 95 % interval, in the unit of the values."""

    mean: float  # the figure on all songs, not the middle of the draws
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """Two systems on the same songs: first minus second, with a two-sided p value, never 0."""

    difference: Interval
    p: float


def bootstrap_interval(
    values: np.ndarray, resamples: int = RESAMPLES, seed: int = 0, weights: np.ndarray | None = None
) -> Interval:
    """Returns the mean of one value a song [songs] with its percentile interval (Efron 1979; Koehn 2004 for texts).

    Equal seeds and numbers of songs draw equal songs, so that intervals of several metrics belong together. `weights`
    [songs] counts, for example, a song's references; None weighs all alike.

    Raises:
        DataError: no values, one that is no number, or weights that do not fit.
    """
    values, weights = checked(values, weights, dimensions=1)
    blocks = song_counts(len(values), resamples, np.random.default_rng(seed))
    draws = [counts @ (weights * values) / (counts @ weights) for counts in blocks]
    return interval(float(np.average(values, weights=weights)), np.concatenate(draws))


def paired_difference(
    a: np.ndarray,
    b: np.ndarray,
    resamples: int = RESAMPLES,
    trials: int = TRIALS,
    seed: int = 0,
    weights: np.ndarray | None = None,
) -> Comparison:
    """Compares two systems' values [songs] on the same songs.

    The interval is a paired bootstrap. The p value is that of approximate randomisation (Noreen 1989): the two values
    of a song are swapped at random, p = (k + 1) / (trials + 1), where k trials differ at least as much as seen.

    Raises:
        DataError: the two differ in shape, are empty or hold a value that is no number.
    """
    a, b = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    if a.shape != b.shape:
        raise DataError(f"Compared scores have shapes {a.shape} and {b.shape}", "score both systems on the same songs")
    found = bootstrap_interval(a - b, resamples, seed, weights)
    terms = (a - b) * (1.0 if weights is None else weights)
    bound = _just_under(float(terms.sum()))
    extreme = 0
    for swaps in _swaps(trials, len(terms), seed):
        extreme += int(np.count_nonzero(np.abs((2.0 * swaps - 1.0) @ terms) >= bound))
    return Comparison(found, (extreme + 1) / (trials + 1))


def summed_difference(
    score: Score, a: np.ndarray, b: np.ndarray, resamples: int = RESAMPLES, trials: int = TRIALS, seed: int = 0
) -> Comparison:
    """Compares two systems in a figure of summed rows [songs, columns], such as BLEU, which is no mean over songs.

    A paired bootstrap (Koehn 2004) and approximate randomisation (Riezler and Maxwell 2005) over rows; no text is
    scored again.

    Raises:
        DataError: the two have not the same songs.
    """
    if a.shape != b.shape:
        raise DataError("Compared runs have not the same number of songs", "score all on the same songs")
    total, change = a.sum(axis=0), b - a
    both = total + b.sum(axis=0)
    observed = float(score(total)) - float(score(both - total))
    draws = score(draw_sums(a, resamples, seed)) - score(draw_sums(b, resamples, seed))
    bound = abs(observed) - 1e-9
    extreme = 0
    for swaps in _swaps(trials, len(a), seed):
        first = total + swaps @ change
        extreme += int(np.count_nonzero(np.abs(score(first) - score(both - first)) >= bound))
    return Comparison(interval(observed, draws), (extreme + 1) / (trials + 1))


def holm(p_values: np.ndarray | list[float]) -> np.ndarray:
    """Returns p values adjusted for several comparisons (Holm 1979), in the order given, none above 1.

    Raises:
        DataError: a value that is no probability.
    """
    p = np.asarray(p_values, dtype=float)
    if p.ndim != 1 or not np.all((p >= 0) & (p <= 1)):
        raise DataError(f"P values must be a list of numbers from 0 to 1, not {p_values}")
    order = np.argsort(p, kind="stable")
    steps = p[order] * np.arange(len(p), 0, -1)
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted


def interval(figure: float, draws: np.ndarray) -> Interval:
    """Returns a figure with the percentile interval of its bootstrap draws [resamples]."""
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(figure, float(low), float(high))


def song_counts(songs: int, resamples: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Draws songs with replacement: how often each song came up, in blocks of draws [block, songs].

    Summed rows of a draw are `counts @ rows`; this is all a bootstrap of any figure made from summed rows needs.
    """
    for block in _blocks(resamples, songs):
        picks = rng.integers(0, songs, size=(block, songs)) + songs * np.arange(block)[:, None]
        yield np.bincount(picks.ravel(), minlength=block * songs).reshape(block, songs).astype(float)


def draw_sums(rows: np.ndarray, resamples: int = RESAMPLES, seed: int = 0) -> np.ndarray:
    """Returns the sums [resamples, columns] of bootstrap samples of rows [songs, columns].

    All columns see the same songs, and so do all calls with equal seeds and numbers of songs.

    Raises:
        DataError: no rows, or a value that is no number.
    """
    rows, _ = checked(rows.T, None, dimensions=2)
    blocks = song_counts(rows.shape[1], resamples, np.random.default_rng(seed))
    return np.concatenate([counts @ rows.T for counts in blocks])


def checked(values: np.ndarray, weights: np.ndarray | None, dimensions: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns values [..., songs] and song weights [songs] as floats.

    Raises:
        DataError: they are empty, of other dimensions, no numbers, or do not fit each other.
    """
    values = np.asarray(values, dtype=float)
    if values.ndim != dimensions or values.size == 0:
        raise DataError(f"Scores must be a filled array of {dimensions} dimensions, not of shape {values.shape}")
    if not np.isfinite(values).all():
        raise DataError("Scores hold a value that is not a number", "look for the song that could not be scored")
    weights = np.ones(values.shape[-1]) if weights is None else np.asarray(weights, dtype=float)
    if weights.shape != values.shape[-1:] or not (np.isfinite(weights) & (weights > 0)).all():
        raise DataError("Each song needs one weight above 0", "leave the weights out for equal weights")
    return values, weights


def _swaps(trials: int, songs: int, seed: int) -> Iterator[np.ndarray]:
    """Draws which songs are swapped, 0 or 1, in blocks of trials [block, songs]."""
    rng = np.random.default_rng(seed)
    for block in _blocks(trials, songs):
        yield rng.integers(0, 2, size=(block, songs), dtype=np.int8).astype(float)


def _just_under(observed: float) -> float:
    """Returns the bound for "at least as much", below the observed amount by more than the rounding of a sum."""
    return abs(observed) * (1 - 1e-9) - 1e-12


def _blocks(draws: int, songs: int) -> Iterator[int]:
    """Splits a number of draws into block sizes of bounded memory."""
    size = max(1, CHUNK_CELLS // songs)
    for start in range(0, draws, size):
        yield min(size, draws - start)
