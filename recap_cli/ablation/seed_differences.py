"""Differences between two ways of training: paired by seed and song, corrected within a family."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from recap_cli.ablation.conditions import RunRecord
from recap_cli.evaluation.system_differences import ENOUGH_SEEDS, STARS
from recap_cli.scoring.bootstrap import Interval, bootstrap_interval, holm
from recap_cli.scoring.seeds import paired_seeds

SIGNIFICANT = 0.05


@dataclass(frozen=True)
class SeedDifference:
    """One condition minus another in one figure."""

    difference: Interval
    seeds: int  # that both were trained with; only these count
    p: float | None  # two-sided; None with one seed, which says nothing about training
    p_holm: float | None = None  # corrected within its family

    @property
    def is_significant(self) -> bool:
        """Whether the corrected p value is below 0.05."""
        return self.p_holm is not None and self.p_holm < SIGNIFICANT

    @property
    def stars(self) -> str:
        """Stars for the corrected p value; none below five seeds."""
        if self.p_holm is None or self.seeds < ENOUGH_SEEDS:
            return ""
        return next((stars for bound, stars in STARS if self.p_holm < bound), "")


def figures_of(records: Sequence[RunRecord]) -> list[str]:
    """Returns the per-song figures that all these runs have."""
    return [name for name in records[0].values if all(name in record.values for record in records)]


def table_of(records: Sequence[RunRecord], figure: str) -> np.ndarray:
    """Returns a figure of runs [seeds, songs]."""
    return np.array([record.values[figure] for record in records], dtype=float)


def compare_conditions(first: Sequence[RunRecord], second: Sequence[RunRecord]) -> dict[str, SeedDifference]:
    """Compares two conditions, runs by seed, in every per-song figure; empty where they share no seed."""
    common = {record.seed for record in first} & {record.seed for record in second}
    ours, theirs = ([record for record in side if record.seed in common] for side in (first, second))
    return {
        figure: subtract_tables(table_of(ours, figure), table_of(theirs, figure))
        for figure in (figures_of([*ours, *theirs]) if common else [])
    }


def subtract_tables(ours: np.ndarray, theirs: np.ndarray) -> SeedDifference:
    """Compares two tables [seeds, songs]; with one seed there is an interval over songs and no p."""
    if len(ours) == 1:
        return SeedDifference(bootstrap_interval(ours[0] - theirs[0]), 1, None)
    found = paired_seeds(ours, theirs)
    return SeedDifference(found.difference, len(ours), found.p)


def correct_family(family: Sequence[dict[str, SeedDifference]]) -> None:
    """Corrects the p values of a family after Holm, each figure for itself; single seeds are no part of it."""
    for figure in {figure for differences in family for figure in differences}:
        tested = [one for one in family if figure in one and one[figure].p is not None]
        corrected = holm([one[figure].p or 0.0 for one in tested])
        for one, p in zip(tested, corrected, strict=True):
            one[figure] = replace(one[figure], p_holm=float(p))
