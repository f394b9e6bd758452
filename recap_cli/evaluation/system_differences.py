"""Differences between systems: paired tests corrected within their family, and the songs where two differ most."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Literal

import numpy as np

from recap_cli.evaluation.songs import SongSet
from recap_cli.evaluation.systems import Entry, SystemScores
from recap_cli.scoring.bootstrap import TRIALS, Comparison, enough_trials, holm, paired_differences, summed_differences
from recap_cli.scoring.seeds import ENOUGH_SEEDS, STARS, paired_seeds, unpaired_seeds
from recap_cli.scoring.text import HEADINGS, HEADLINE, KEYS, SUMMED, protocol_named

# Two runs on their songs; runs of the same seeds; runs of other seeds; one run against several.
TestName = Literal["songs", "paired seeds", "Welch", "Student"]
Runs = Sequence[SystemScores]
MOST_TOLD = 4  # systems of which every figure is told in words


@dataclass(frozen=True)
class Contrast:
    """A system against another, in one figure."""

    name: str  # the system
    against: str  # the other one
    figure: str  # of `HEADLINE` or `SUMMED`
    comparison: Comparison  # the system minus the other
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
        """Says + where the system is better beyond chance, - where it is worse, else nothing."""
        return ("+" if self.comparison.difference.mean > 0 else "-") if self.stars else ""

    def to_json(self) -> dict[str, Any]:
        """The contrast as plain values."""
        return {
            "name": self.name,
            "against": self.against,
            "figure": KEYS[self.figure],
            "difference": vars(self.comparison.difference),
            "p": self.comparison.p,
            "p_holm": self.p_holm,
            "seeds": list(self.seeds),
            "test": self.test,
        }


def choose_pairs(entries: Sequence[Entry], against: str) -> list[tuple[Entry, Entry]]:
    """Returns which rows are compared: every other one with the one named, the first, the best, or all with all.

    Args:
        entries: the rows.
        against: "" for the first, "best" for the one with the highest ROUGE-L, "all", or the name of a run.
    """
    if against == "all":
        return [(later, earlier) for place, earlier in enumerate(entries) for later in entries[place + 1 :]]
    chosen = entries[0]
    if against == "best":
        chosen = max(entries, key=lambda entry: entry.intervals["rougeL"].mean)
    elif against:
        chosen = next(entry for entry in entries if against in [run.name for run in entry.systems])
    return [(entry, chosen) for entry in entries if entry is not chosen]


def compare_entries(entries: Sequence[Entry], protocol: str, against: str = "") -> list[Contrast]:
    """Compares pairs of rows, see `choose_pairs`, in every headline figure; all of them are one family.

    One run a side: paired bootstrap and approximate randomisation over songs, or over artists. Several: the tests of
    `scoring.seeds`, for which seeds and songs both are samples.
    """
    pairs = choose_pairs(entries, against)
    sides = [choose_test(ours.systems, theirs.systems) for ours, theirs in pairs]
    trials = trials_of(pairs)
    found: list[Contrast] = []
    for figure in entries[0].systems[0].scores.figures:
        singles = [(ours[0], theirs[0]) for test, ours, theirs in sides if test == "songs"]
        compared = iter(compare_single_runs(singles, figure, protocol, trials) if singles else ())
        for (one, other), (test, ours, theirs) in zip(pairs, sides, strict=True):
            comparison = next(compared) if test == "songs" else compare_seeds(test, ours, theirs, figure, protocol)
            seeds = (len(ours), len(theirs))
            found.append(Contrast(one.name, other.name, figure, comparison, 1.0, seeds, test))
    corrected = holm([contrast.comparison.p for contrast in found])
    found = [replace(contrast, p_holm=float(p)) for contrast, p in zip(found, corrected, strict=True)]
    places = {(one.name, other.name): place for place, (one, other) in enumerate(pairs)}
    return sorted(found, key=lambda contrast: places[contrast.name, contrast.against])


def trials_of(pairs: Sequence[tuple[Entry, Entry]]) -> int:
    """Returns how many random swaps the tests of some pairs of rows need."""
    return enough_trials(sum(len(one.systems[0].scores.figures) for one, _ in pairs))


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


def compare_seeds(test: TestName, ours: Runs, theirs: Runs, figure: str, protocol: str) -> Comparison:
    """Compares two sides of several runs in one headline figure: ours minus theirs."""
    a, b = (np.array([run.scores.shares(figure, protocol) for run in side]) for side in (ours, theirs))
    return paired_seeds(a, b) if test == "paired seeds" else unpaired_seeds(a, b)


def compare_single_runs(
    pairs: Sequence[tuple[SystemScores, SystemScores]], figure: str, protocol: str, trials: int = TRIALS
) -> list[Comparison]:
    """Compares pairs of systems in one headline figure, the first minus the second, all with the same random swaps."""
    scores = [(one.scores, other.scores) for one, other in pairs]
    clusters = scores[0][0].clusters
    if figure in SUMMED:
        rows = [(one.statistics(figure), other.statistics(figure)) for one, other in scores]
        return summed_differences(SUMMED[figure], rows, trials=trials, clusters=clusters)
    differences = [
        one.headline_values(figure, protocol) - other.headline_values(figure, protocol) for one, other in scores
    ]
    weights = scores[0][0].weights(protocol_named(protocol).over)
    return paired_differences(np.array(differences), trials=trials, weights=weights, clusters=clusters)


def tell_best(entries: Sequence[Entry], heading: str) -> list[str]:
    """Says in a line who has the highest ROUGE-L, which `heading` names."""
    highest = max(entry.intervals["rougeL"].mean for entry in entries)
    best = [entry for entry in entries if entry.intervals["rougeL"].mean == highest]
    found = [100 * value for value in vars(best[0].intervals["rougeL"]).values()]
    songs = len(best[0].systems[0].captions)
    figure = f"{found[0]:.1f} [{found[1]:.1f}, {found[2]:.1f}] on {songs:,} songs."
    if songs == 1:  # of which there is no interval
        figure = f"{found[0]:.1f} on 1 song."
    if len(entries) == 1:
        return [f"{best[0].name}: {heading} {figure}"]
    return [f"Best in {heading}: {' and '.join(entry.name for entry in best)}, {figure}"]


def tell_differences(entries: Sequence[Entry], contrasts: Sequence[Contrast], heading: str) -> list[str]:
    """Says which differences are beyond chance: in all figures, or of many systems in ROUGE-L."""
    if not contrasts:
        return []
    others = list(dict.fromkeys(one.against for one in contrasts))
    if len(entries) <= MOST_TOLD:
        pairs = dict.fromkeys((one.name, one.against) for one in contrasts)
        lines = [tell_figures(*pair, contrasts) for pair in pairs]
    elif len(others) > 1:
        lines = tell_all_pairs(entries, contrasts, heading)
    else:
        found = {one.name: one.sign for one in contrasts if one.figure == "rougeL"}
        kinds = {"+": f"Better than {others[0]}", "-": f"Worse than {others[0]}"}
        kinds[""] = f"Not shown to differ from {others[0]}"
        sides = {words: [name for name, sign in found.items() if sign == kind] for kind, words in kinds.items()}
        lines = [f"{words} in {heading}: {', '.join(names)}." for words, names in sides.items() if names]
    if all(one.test == "songs" for one in contrasts):
        lines.append("These tests compare single runs or files, not the ways in which they were made.")
    elif any(one.test != "songs" and min(one.seeds) < ENOUGH_SEEDS for one in contrasts):
        lines.append(f"With fewer than {ENOUGH_SEEDS} seeds a side nothing is claimed of a way of training.")
    return lines


def tell_all_pairs(entries: Sequence[Entry], contrasts: Sequence[Contrast], heading: str) -> list[str]:
    """Says how many pairs of systems differ beyond chance, and which neighbours in the ranking do not."""
    pairs = {frozenset((one.name, one.against)): one.sign for one in contrasts if one.figure == "rougeL"}
    ranked = [entry.name for entry in sorted(entries, key=lambda entry: -entry.intervals["rougeL"].mean)]
    alike = [f"{one} and {other}" for one, other in pairwise(ranked) if not pairs[frozenset((one, other))]]
    lines = [f"{sum(map(bool, pairs.values()))} of {len(pairs)} pairs differ beyond chance in {heading}."]
    return [*lines, f"Neighbours not shown to differ: {', '.join(alike)}."] if alike else lines


def tell_figures(name: str, other: str, contrasts: Sequence[Contrast]) -> str:
    """Says in which figures a system is better or worse than another beyond chance."""
    own = [one for one in contrasts if (one.name, one.against) == (name, other)]
    kinds = {"+": "better in", "-": "worse in", "": "no difference shown in"}
    parts = []
    for kind, words in kinds.items():
        figures = [HEADINGS[one.figure] for one in own if one.sign == kind]
        every = "every figure" if kind else "any figure"
        told = every if len(figures) == len(own) else ", ".join(figures)
        parts += [f"{words} {told}"] if figures else []
    return f"{name} against {other}: {'; '.join(parts)}."


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
