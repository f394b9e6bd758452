"""Differences between systems: paired tests on the same songs, corrected within their family."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from recap_cli.evaluation.systems import Entry
from recap_cli.scoring.bootstrap import Comparison, holm, paired_difference, two_level_difference
from recap_cli.scoring.corpus_differences import summed_difference
from recap_cli.scoring.protocols import HEADLINE, protocol_named
from recap_cli.scoring.text import SUMMED

# Below so many seeds a side the two-level p value is too small to be starred, see `two_level_difference`.
ENOUGH_SEEDS = 5
STARS = ((0.001, "***"), (0.01, "**"), (0.05, "*"))


@dataclass(frozen=True)
class Contrast:
    """A later system against the first, in one figure.

    Attributes:
        name: the later system.
        figure: one of `HEADLINE`, from 0 to 1, or of `SUMMED`, from 0 to 100.
        comparison: later minus first, with its interval and two-sided p value.
        p_holm: the p value, corrected for all contrasts of the table.
        seeds: seeds of the two sides.
    """

    name: str
    figure: str
    comparison: Comparison
    p_holm: float
    seeds: tuple[int, int]

    @property
    def is_between_trainings(self) -> bool:
        """Whether seeds were resampled: the claim is about two trainings, not about two models."""
        return max(self.seeds) > 1

    @property
    def stars(self) -> str:
        """Stars for the corrected p value; none where too few seeds make it too small."""
        if self.is_between_trainings and min(self.seeds) < ENOUGH_SEEDS:
            return ""
        return next((stars for bound, stars in STARS if self.p_holm < bound), "")

    def to_json(self) -> dict[str, Any]:
        """The contrast as plain values."""
        return {
            "name": self.name,
            "figure": self.figure,
            "difference": vars(self.comparison.difference),
            "p": self.comparison.p,
            "p_holm": self.p_holm,
            "seeds": list(self.seeds),
        }


def compare_entries(entries: Sequence[Entry], protocol: str) -> list[Contrast]:
    """Compare every later entry with the first, in every headline figure; all of them are one family.

    Single runs: paired bootstrap and approximate randomisation over songs. Runs of several seeds: seeds resampled, then
    songs, so that pairs of song and seed never count as independent.
    """
    first = entries[0]
    weights = first.systems[0].scores.weights(protocol_named(protocol).over)
    found: list[tuple[Entry, str, Comparison]] = []
    for entry in entries[1:]:
        for figure in HEADLINE:
            ours, theirs = entry.table(figure, protocol), first.table(figure, protocol)
            if len(ours) == len(theirs) == 1:
                comparison = paired_difference(ours[0], theirs[0], weights=weights)
            else:
                comparison = two_level_difference(ours, theirs, weights=weights)
            found.append((entry, figure, comparison))
        later, earlier = ([system.scores for system in one.systems] for one in (entry, first))
        found += [(entry, figure, summed_difference(figure, later, earlier)) for figure in SUMMED]
    corrected = holm([comparison.p for _, _, comparison in found])
    return [
        Contrast(entry.name, figure, comparison, float(p), (len(entry.systems), len(first.systems)))
        for (entry, figure, comparison), p in zip(found, corrected, strict=True)
    ]
