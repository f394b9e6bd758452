"""Differences between systems: paired tests corrected within their family, and the songs where two differ most."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from recap_cli.evaluation.songs import SongSet
from recap_cli.evaluation.systems import Entry, SystemScores
from recap_cli.scoring.bootstrap import Comparison, holm, paired_difference, summed_difference
from recap_cli.scoring.seeds import ENOUGH_SEEDS, STARS, paired_seeds, unpaired_seeds
from recap_cli.scoring.text import HEADINGS, HEADLINE, KEYS, SUMMED, protocol_named

# Two runs on their songs; runs of the same seeds; runs of other seeds; one run against several.
TestName = Literal["songs", "paired seeds", "Welch", "Student"]
Runs = Sequence[SystemScores]
MOST_TOLD = 4  # systems of which every figure is told in words


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

    @property
    def sign(self) -> str:
        """Says + where the later system is better beyond chance, - where it is worse, else nothing."""
        return ("+" if self.comparison.difference.mean > 0 else "-") if self.stars else ""

    def to_json(self) -> dict[str, Any]:
        """The contrast as plain values."""
        return {
            "name": self.name,
            "figure": KEYS[self.figure],
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


def tell_best(entries: Sequence[Entry], heading: str) -> list[str]:
    """Says in a line who has the highest ROUGE-L, which `heading` names."""
    highest = max(entry.intervals["rougeL"].mean for entry in entries)
    best = [entry for entry in entries if entry.intervals["rougeL"].mean == highest]
    found = [100 * value for value in vars(best[0].intervals["rougeL"]).values()]
    figure = f"{found[0]:.1f} [{found[1]:.1f}, {found[2]:.1f}] on {len(best[0].systems[0].captions):,} songs."
    if len(entries) == 1:
        return [f"{best[0].name}: {heading} {figure}"]
    return [f"Best in {heading}: {' and '.join(entry.name for entry in best)}, {figure}"]


def tell_differences(entries: Sequence[Entry], contrasts: Sequence[Contrast], heading: str) -> list[str]:
    """Says which differences to the first system are beyond chance: in all figures, or of many systems in ROUGE-L."""
    if not contrasts:
        return []
    first = entries[0].name
    if len(entries) <= MOST_TOLD:
        lines = [tell_figures(entry.name, first, contrasts) for entry in entries[1:]]
    else:
        found = {one.name: one.sign for one in contrasts if one.figure == "rougeL"}
        kinds = {"+": f"Better than {first}", "-": f"Worse than {first}", "": f"Not shown to differ from {first}"}
        sides = {words: [name for name, sign in found.items() if sign == kind] for kind, words in kinds.items()}
        lines = [f"{words} in {heading}: {', '.join(names)}." for words, names in sides.items() if names]
    if all(one.test == "songs" for one in contrasts):
        lines.append("These tests compare single runs or files, not the ways in which they were made.")
    elif any(one.test != "songs" and min(one.seeds) < ENOUGH_SEEDS for one in contrasts):
        lines.append(f"With fewer than {ENOUGH_SEEDS} seeds a side nothing is claimed of a way of training.")
    return lines


def tell_figures(name: str, first: str, contrasts: Sequence[Contrast]) -> str:
    """Says in which figures a later system is better or worse than the first beyond chance."""
    own = [one for one in contrasts if one.name == name]
    kinds = {"+": "better in", "-": "worse in", "": "no difference shown in"}
    parts = []
    for kind, words in kinds.items():
        figures = [HEADINGS[one.figure] for one in own if one.sign == kind]
        every = "every figure" if kind else "any figure"
        told = every if len(figures) == len(own) else ", ".join(figures)
        parts += [f"{words} {told}"] if figures else []
    return f"{name} against {first}: {'; '.join(parts)}."


@dataclass(frozen=True)
class Case:
    """One song, and the two systems whose captions are shown."""

    id: str  # of the song
    title: str  # with the artist; "" where it is not known
    lyrics: str | None  # None where they are not known
    references: Sequence[str]
    names: tuple[str, str]
    captions: tuple[str, str]
    scores: tuple[dict[str, float], dict[str, float]]  # every figure of `HEADLINE`, from 0 to 1
    difference: float  # second minus first in ROUGE-L


@dataclass(frozen=True)
class CaseStudy:
    """The songs on which systems differ most, the largest difference first."""

    names: tuple[str, ...]  # the systems that were compared
    cases: list[Case]
    songs: int  # they were chosen from
    ties: int  # songs on which all captions are equal
    protocol: str

    def to_json(self) -> dict[str, Any]:
        """The study as plain values, texts left to the page."""
        return {"systems": list(self.names), "ids": [case.id for case in self.cases], "equal_captions": self.ties}


def choose_cases(systems: Sequence[SystemScores], songs: SongSet, protocol: str, count: int) -> CaseStudy:
    """Chooses the songs on which the best and the worst of some systems are furthest apart in ROUGE-L.

    Songs with equal differences keep their order, and so do the two systems of a song.
    """
    tables = [{name: one.scores.headline_values(name, protocol) for name in HEADLINE} for one in systems]
    values = np.array([table["rougeL"] for table in tables])  # [systems, songs]
    cases = []
    for song in map(int, np.argsort(-np.ptp(values, axis=0), kind="stable")[:count]):
        low, high = int(values[:, song].argmin()), int(values[:, song].argmax())
        a, b = sorted((low, high)) if low != high else (0, 1)
        first, second = (" / ".join(dict.fromkeys(systems[one].captions[song])) for one in (a, b))
        scores = [{name: float(figures[song]) for name, figures in tables[one].items()} for one in (a, b)]
        cases.append(
            Case(
                id=songs.ids[song],
                title=songs.titles[song] if songs.titles else "",
                lyrics=songs.lyrics[song],
                references=songs.references[song],
                names=(systems[a].name, systems[b].name),
                captions=(first, second),
                scores=(scores[0], scores[1]),
                difference=float(values[b, song] - values[a, song]),
            )
        )
    ties = sum(len(set(captions)) == 1 for captions in zip(*(one.captions for one in systems), strict=True))
    return CaseStudy(tuple(one.name for one in systems), cases, len(songs.ids), ties, protocol)
