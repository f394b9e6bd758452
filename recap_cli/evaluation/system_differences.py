"""Differences between systems: paired tests corrected within their family, and the songs where two differ most."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from recap_cli.evaluation.captions import SongSet
from recap_cli.evaluation.systems import Entry, SystemScores
from recap_cli.scoring.bootstrap import Comparison, holm, paired_difference, summed_difference
from recap_cli.scoring.seeds import ENOUGH_SEEDS, STARS, paired_seeds, unpaired_seeds
from recap_cli.scoring.text import HEADLINE, SUMMED, protocol_named

# Two runs on their songs; runs of the same seeds; runs of other seeds; one run against several.
TestName = Literal["songs", "paired seeds", "Welch", "Student"]
Runs = Sequence[SystemScores]


@dataclass(frozen=True)
class Contrast:
    """A later system against the first, in one figure."""

    name: str  # the later system
    figure: str  # of `HEADLINE`, from 0 to 1, or of `SUMMED`, from 0 to 100
    comparison: Comparison  # later minus first
    p_holm: float  # corrected for all contrasts of the table
    seeds: tuple[int, int]  # of the two sides, those that were compared
    test: TestName

    @property
    def stars(self) -> str:
        """Stars for the corrected p value; of tests over seeds only where both sides have enough of them."""
        if self.test != "songs" and min(self.seeds) < ENOUGH_SEEDS:
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
            "test": self.test,
        }


def compare_entries(entries: Sequence[Entry], protocol: str) -> list[Contrast]:
    """Compares every later entry with the first, in every headline figure; all of them are one family.

    One run a side: paired bootstrap and approximate randomisation over songs. Several: the tests of `scoring.seeds`,
    for which seeds and songs both are samples.
    """
    found = []
    for entry in entries[1:]:
        test, ours, theirs = choose_test(entry.systems, entries[0].systems)
        for figure in (*HEADLINE, *SUMMED):
            comparison = compare_runs(test, ours, theirs, figure, protocol)
            found.append(Contrast(entry.name, figure, comparison, 1.0, (len(ours), len(theirs)), test))
    corrected = holm([contrast.comparison.p for contrast in found])
    return [replace(contrast, p_holm=float(p)) for contrast, p in zip(found, corrected, strict=True)]


def choose_test(ours: Runs, theirs: Runs) -> tuple[TestName, Runs, Runs]:
    """Returns how two sides are compared, and the runs of each that are.

    Where two or more seeds are shared, only runs of these count, in the order of their seeds.
    """
    if len(ours) == len(theirs) == 1:
        return "songs", ours, theirs
    sides = [{run.origin.seed: run for run in side if run.origin.seed is not None} for side in (ours, theirs)]
    common = sorted(sides[0].keys() & sides[1].keys())
    if len(common) > 1:
        return "paired seeds", [sides[0][seed] for seed in common], [sides[1][seed] for seed in common]
    return ("Student" if 1 in (len(ours), len(theirs)) else "Welch"), ours, theirs


def compare_runs(test: TestName, ours: Runs, theirs: Runs, figure: str, protocol: str) -> Comparison:
    """Compares two sides in one headline figure: ours minus theirs."""
    if test != "songs":
        a, b = (np.array([run.scores.shares(figure, protocol) for run in side]) for side in (ours, theirs))
        return paired_seeds(a, b) if test == "paired seeds" else unpaired_seeds(a, b)
    first, second = ours[0].scores, theirs[0].scores
    if figure in SUMMED:
        return summed_difference(SUMMED[figure], first.statistics(figure), second.statistics(figure))
    return paired_difference(
        first.headline_values(figure, protocol),
        second.headline_values(figure, protocol),
        weights=first.weights(protocol_named(protocol).over),
    )


@dataclass(frozen=True)
class Case:
    """One song, captioned by two systems."""

    song: str  # its id
    lyrics: str | None  # None where they are not known
    references: Sequence[str]
    captions: tuple[str, str]
    scores: tuple[dict[str, float], dict[str, float]]  # every figure of `HEADLINE`, from 0 to 1
    difference: float  # second minus first in ROUGE-L


@dataclass(frozen=True)
class CaseStudy:
    """The songs on which two systems differ most, the largest difference first."""

    names: tuple[str, str]
    cases: list[Case]
    songs: int  # they were chosen from
    ties: int  # songs on which the two captions are equal
    protocol: str
    signature: str  # how scores were made

    def to_json(self) -> dict[str, Any]:
        """The study as plain values, texts left to the page."""
        return {"runs": list(self.names), "songs": [case.song for case in self.cases], "equal_captions": self.ties}


def choose_cases(
    first: SystemScores, second: SystemScores, songs: SongSet, protocol: str, count: int, signature: str
) -> CaseStudy:
    """Chooses the songs with the largest difference in ROUGE-L, either way; equal ones by their order."""
    tables = [{name: one.scores.headline_values(name, protocol) for name in HEADLINE} for one in (first, second)]
    differences = tables[1]["rougeL"] - tables[0]["rougeL"]
    cases = []
    for row in map(int, np.argsort(-np.abs(differences), kind="stable")[:count]):
        scores = [{name: float(values[row]) for name, values in table.items()} for table in tables]
        cases.append(
            Case(
                song=songs.ids[row],
                lyrics=songs.lyrics[row],
                references=songs.references[row],
                captions=(first.captions[row], second.captions[row]),
                scores=(scores[0], scores[1]),
                difference=float(differences[row]),
            )
        )
    ties = sum(a == b for a, b in zip(first.captions, second.captions, strict=True))
    return CaseStudy((first.name, second.name), cases, len(songs.ids), ties, protocol, signature)
