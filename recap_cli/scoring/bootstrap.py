"""Intervals and paired tests over songs or clusters: bootstrap, approximate randomisation, Holm's correction."""

from collections.abc import Callable, Iterator, Sequence
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
    values: np.ndarray,
    resamples: int = RESAMPLES,
    seed: int = 0,
    weights: np.ndarray | None = None,
    clusters: np.ndarray | None = None,
) -> Interval:
    """Returns the mean of one value a song [songs] with its percentile interval (Efron 1979; Koehn 2004 for texts).

    Equal seeds and numbers of songs draw equal songs, so that intervals of several metrics belong together. `weights`
    [songs] counts, for example, a song's references; None weighs all alike. `clusters` [songs] numbers, for example,
    the artists: all songs of one are drawn together, and the interval is widened, see `interval`; None draws songs.

    Raises:
        DataError: no values, one that is no number, or weights that do not fit.
    """
    values, weights = checked(values, weights, dimensions=1)
    return bootstrap_ratio(weights * values, weights, resamples, seed, clusters)


def bootstrap_ratio(
    above: np.ndarray,
    below: np.ndarray,
    resamples: int = RESAMPLES,
    seed: int = 0,
    clusters: np.ndarray | None = None,
) -> Interval:
    """Returns the sum of one value a song over the sum of another [songs] with its interval, as `bootstrap_interval`.

    Raises:
        DataError: no values, or one that is no number.
    """
    rows = np.stack([above, below], axis=1)
    draws = draw_sums(rows, resamples, seed, clusters)
    sums = rows.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return interval(float(sums[0] / sums[1]), draws[:, 0] / draws[:, 1], clusters)


def paired_difference(
    a: np.ndarray,
    b: np.ndarray,
    resamples: int = RESAMPLES,
    trials: int = TRIALS,
    seed: int = 0,
    weights: np.ndarray | None = None,
    clusters: np.ndarray | None = None,
) -> Comparison:
    """Compares two systems' values [songs] on the same songs; see `paired_differences`."""
    a, b = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    if a.shape != b.shape:
        raise DataError(f"Compared scores have shapes {a.shape} and {b.shape}", "score both systems on the same songs")
    return paired_differences(a[None] - b[None], resamples, trials, seed, weights, clusters)[0]


def paired_differences(
    differences: np.ndarray,
    resamples: int = RESAMPLES,
    trials: int = TRIALS,
    seed: int = 0,
    weights: np.ndarray | None = None,
    clusters: np.ndarray | None = None,
) -> list[Comparison]:
    """Compares many pairs of systems by the differences of their values [pairs, songs], with the same random numbers.

    The interval is a paired bootstrap. The p value is that of approximate randomisation (Noreen 1989): the two values
    of a song are swapped at random, p = (k + 1) / (trials + 1), where k trials differ at least as much as seen. Songs
    of one cluster are drawn and swapped together.

    Raises:
        DataError: there are no differences, or one is no number.
    """
    differences, weights = checked(differences, weights, dimensions=2)
    terms = cluster_sums((differences * weights).T, clusters)
    draws = draw_sums(np.column_stack([terms, cluster_sums(weights[:, None], clusters)]), resamples, seed)
    means = terms.sum(axis=0) / weights.sum()
    bounds = np.array([_just_under(float(found)) for found in terms.sum(axis=0)])
    extreme = np.zeros(len(bounds), np.int64)
    for swaps in _swaps(trials, terms.shape[0], terms.shape[1], seed):
        extreme += np.count_nonzero(np.abs((2.0 * swaps - 1.0) @ terms) >= bounds, axis=0)
    shares = draws[:, :-1] / draws[:, -1:]
    return [
        Comparison(interval(float(mean), column, clusters), (int(k) + 1) / (trials + 1))
        for mean, column, k in zip(means, shares.T, extreme, strict=True)
    ]


def summed_differences(
    score: Score,
    pairs: Sequence[tuple[np.ndarray, np.ndarray]],
    resamples: int = RESAMPLES,
    trials: int = TRIALS,
    seed: int = 0,
    clusters: np.ndarray | None = None,
) -> list[Comparison]:
    """Compares pairs of systems in a figure of summed rows [songs, columns], such as BLEU, which is no mean over songs.

    A paired bootstrap (Koehn 2004) and approximate randomisation (Riezler and Maxwell 2005) over rows; no text is
    scored again. Songs of one cluster are drawn and swapped together.

    Raises:
        DataError: the two of a pair have not the same songs.
    """
    if len({side.shape for pair in pairs for side in pair}) > 1:
        raise DataError("Compared runs have not the same number of songs", "score all on the same songs")
    summed = [tuple(cluster_sums(side, clusters) for side in pair) for pair in pairs]
    draws = [score(draw_sums(a, resamples, seed)) - score(draw_sums(b, resamples, seed)) for a, b in summed]
    totals = [(a.sum(axis=0), b.sum(axis=0)) for a, b in summed]
    seen = [float(score(a)) - float(score(b)) for a, b in totals]
    extreme = [0] * len(pairs)
    clusters_drawn, columns = summed[0][0].shape
    for swaps in _swaps(trials, clusters_drawn, columns, seed):
        for place, ((a, b), (first, second)) in enumerate(zip(summed, totals, strict=True)):
            one = first + swaps @ (b - a)
            differences = score(one) - score(first + second - one)
            extreme[place] += int(np.count_nonzero(np.abs(differences) >= abs(seen[place]) - 1e-9))
    return [
        Comparison(interval(observed, drawn, clusters), (k + 1) / (trials + 1))
        for observed, drawn, k in zip(seen, draws, extreme, strict=True)
    ]


def enough_trials(comparisons: int) -> int:
    """Returns how many random swaps a family of comparisons needs: Holm's correction multiplies the least p by all.

    With 200 swaps a comparison the least corrected p is 0.005.
    """
    return max(TRIALS, 200 * comparisons)


def cluster_sums(rows: np.ndarray, clusters: np.ndarray | None) -> np.ndarray:
    """Returns rows [songs, columns] summed within each cluster [clusters, columns]; None makes each song its own."""
    if clusters is None:
        return rows
    _, numbers = np.unique(clusters, return_inverse=True)
    sums = np.zeros((numbers.max() + 1, rows.shape[1]))
    np.add.at(sums, numbers, rows)
    return sums


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


def interval(figure: float, draws: np.ndarray, clusters: np.ndarray | None = None) -> Interval:
    """Returns a figure with the percentile interval of its bootstrap draws [resamples].

    Draws of few samples spread too little. Where `clusters` [songs] were drawn, the interval is the expanded percentile
    interval (Hesterberg 2015): as much wider as Student's t is with that many samples.
    """
    tail = (1 - LEVEL) / 2
    if clusters is not None:
        from scipy.special import ndtr, stdtrit

        samples = effective_samples(clusters)
        freedom = max(samples - 1, 1.0)
        tail = float(ndtr(stdtrit(freedom, tail) * np.sqrt(samples / freedom)))
    low, high = np.quantile(draws, [tail, 1 - tail])
    return Interval(figure, float(low), float(high))


def effective_samples(clusters: np.ndarray) -> float:
    """Returns how many clusters of equal size would tell as much as those of some songs [songs] (Kish 1965).

    Of 49 artists of whom two have a quarter of the songs, it is 20.
    """
    sizes = np.unique(clusters, return_counts=True)[1]
    return float(sizes.sum() ** 2 / (sizes**2).sum())


def song_counts(songs: int, resamples: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Draws songs with replacement: how often each song came up, in blocks of draws [block, songs].

    Summed rows of a draw are `counts @ rows`; this is all a bootstrap of any figure made from summed rows needs.
    """
    for block in _blocks(resamples, songs):
        picks = rng.integers(0, songs, size=(block, songs)) + songs * np.arange(block)[:, None]
        yield np.bincount(picks.ravel(), minlength=block * songs).reshape(block, songs).astype(float)


def draw_sums(
    rows: np.ndarray, resamples: int = RESAMPLES, seed: int = 0, clusters: np.ndarray | None = None
) -> np.ndarray:
    """Returns the sums [resamples, columns] of bootstrap samples of rows [songs, columns], or of clusters of them.

    All columns see the same songs, and so do all calls with equal seeds and numbers of songs.

    Raises:
        DataError: no rows, or a value that is no number.
    """
    rows = cluster_sums(checked(rows.T, None, dimensions=2)[0].T, clusters)
    blocks = song_counts(len(rows), resamples, np.random.default_rng(seed))
    return np.concatenate([counts @ rows for counts in blocks])


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


def _swaps(trials: int, songs: int, columns: int, seed: int) -> Iterator[np.ndarray]:
    """Draws which songs are swapped, 0 or 1, in blocks of trials [block, songs]; sums of `columns` are as large."""
    rng = np.random.default_rng(seed)
    for block in _blocks(trials, max(songs, columns)):
        yield rng.integers(0, 2, size=(block, songs), dtype=np.int8).astype(float)


def _just_under(observed: float) -> float:
    """Returns the bound for "at least as much", below the observed amount by more than the rounding of a sum."""
    return abs(observed) * (1 - 1e-9) - 1e-12


def _blocks(draws: int, songs: int) -> Iterator[int]:
    """Splits a number of draws into block sizes of bounded memory."""
    size = max(1, CHUNK_CELLS // songs)
    for start in range(0, draws, size):
        yield min(size, draws - start)
