"""Differences in BLEU and chrF: figures of summed rows, compared as means over songs are."""

from collections.abc import Sequence

import numpy as np

from recap_cli.errors import DataError
from recap_cli.scoring.bootstrap import (
    CHUNK_CELLS,
    RESAMPLES,
    TRIALS,
    Comparison,
    draw_sums,
    interval,
    over_seeds,
)
from recap_cli.scoring.text import SUMMED, TextScores


def summed_difference(
    figure: str,
    ours: Sequence[TextScores],
    theirs: Sequence[TextScores],
    resamples: int = RESAMPLES,
    trials: int = TRIALS,
    seed: int = 0,
) -> Comparison:
    """Compare two systems in a figure that is no mean over songs; several runs a side are seeds of one training.

    One run a side: a paired bootstrap (Koehn 2004) and approximate randomisation (Riezler and Maxwell 2005) over the
    songs' statistics, as sacreBLEU makes them; no text is scored again. Several: the two-level bootstrap of
    `uncertainty.two_level_difference`, whose p is too small for few seeds.

    Args:
        figure: "bleu" or "chrf".
        ours: the first side's runs.
        theirs: the second side's, on the same songs.
        resamples: number of bootstrap draws.
        trials: number of random swaps of the test.
        seed: of the random draws.

    Returns:
        First minus second in points, 0 to 100.

    Raises:
        DataError: other songs on the two sides.
        OptionError: `resamples` or `trials` below 1.
    """
    sides = [[scores.statistics(figure) for scores in side] for side in (ours, theirs)]
    if len({rows.shape for side in sides for rows in side}) > 1:
        raise DataError("Compared runs have not the same number of songs.", "Score all on the same songs.")
    score = SUMMED[figure]
    a, b = (np.array([score(draw_sums(rows, resamples, seed)) for rows in side]) for side in sides)
    observed = [float(np.mean([score(rows.sum(axis=0)) for rows in side])) for side in sides]
    difference = observed[0] - observed[1]
    if len(ours) == len(theirs) == 1:
        found = interval(difference, a[0] - b[0])
        return Comparison(found, _swap_p(figure, sides[0][0], sides[1][0], trials, seed))
    draws = over_seeds(a, seed) - over_seeds(b, seed + 1)  # seeds of the two sides are drawn apart
    extreme = int(np.count_nonzero(np.abs(draws - difference) >= abs(difference) - 1e-9))
    return Comparison(interval(difference, draws), (extreme + 1) / (resamples + 1))


def _swap_p(figure: str, a: np.ndarray, b: np.ndarray, trials: int, seed: int) -> float:
    """Swap the two systems' rows [songs, columns] of random songs; count swaps that differ as much as seen."""
    score, rng = SUMMED[figure], np.random.default_rng(seed)
    total, change = a.sum(axis=0), b - a
    both = total + b.sum(axis=0)
    bound = abs(float(score(total) - score(both - total))) - 1e-9
    extreme, block = 0, max(1, CHUNK_CELLS // len(a))
    for start in range(0, trials, block):
        swaps = rng.integers(0, 2, size=(min(block, trials - start), len(a)), dtype=np.int8)
        first = total + swaps.astype(float) @ change
        extreme += int(np.count_nonzero(np.abs(score(first) - score(both - first)) >= bound))
    return (extreme + 1) / (trials + 1)
