"""Finished runs of an ablation to its result: means, intervals, paired differences to alpha 0; JSON and CSV."""

import csv
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from recap_cli.ablation.conditions import BASELINES, FUSION, Condition, RunRecord, records_of
from recap_cli.ablation.seed_differences import (
    SeedDifference,
    compare_conditions,
    correct_family,
    figures_of,
    table_of,
)
from recap_cli.errors import DataError
from recap_cli.files import open_atomically, write_json
from recap_cli.model.config import ALIGNMENT_LOSSES
from recap_cli.records import SCHEMA
from recap_cli.scoring.bootstrap import Interval
from recap_cli.scoring.seeds import seeds_interval

JSON_FILE, CSV_FILE = "ablation.json", "ablation.csv"
HEADLINE_FIGURE = "rougeL"
ALPHA_ZERO = Condition(FUSION)
METHOD = (
    "differences paired by seed and song, Student's t on a two-level variance (scoring/seeds.py); p after Holm, each "
    "figure by itself: weights of the alignment loss against alpha 0 are one family, baselines (sanity check) another"
)
CSV_COLUMNS = (
    "condition", "baseline", "loss", "alpha", "align_layer", "seeds", "figure", "mean", "low", "high",
    "common_seeds", "difference", "difference_low", "difference_high", "p", "p_holm",
)  # fmt: skip


@dataclass(frozen=True)
class ConditionSummary:
    """One condition over its seeds, in ascending order."""

    condition: Condition
    seeds: tuple[int, ...]
    figures: dict[str, Interval]  # of every per-song figure, over seeds and songs; over songs with one seed
    # Of every per-song figure to alpha 0; empty for alpha 0 itself and where none shares a seed with it.
    differences: dict[str, SeedDifference] = field(default_factory=dict)
    attributes: dict[str, float] = field(default_factory=dict)  # share named rightly, mean over seeds; demo songs only
    validation: dict[str, float] = field(default_factory=dict)  # means over seeds
    measures: dict[str, float] = field(default_factory=dict)  # other figures of the test songs, means over seeds

    def to_json(self) -> dict[str, Any]:
        """The condition as plain values."""
        return {"name": self.condition.name, **asdict(self)}


@dataclass(frozen=True)
class LossContrast:
    """Two alignment losses, each at the weight that is best on the validation songs."""

    first: Condition
    second: Condition
    differences: dict[str, SeedDifference]  # first minus second; Holm over the pairs of losses, each figure for itself

    def to_json(self) -> dict[str, Any]:
        """The contrast as plain values."""
        return {"name": f"{self.first.name} minus {self.second.name}", **asdict(self)}


@dataclass(frozen=True)
class AblateResult:
    """The finished sweep."""

    out: Path
    conditions: list[ConditionSummary]  # baselines, alpha 0 last of them, then each loss and layer by weight
    songs: int  # that were scored
    signature: str  # how the figures were made
    best: Condition | None = None  # in ROUGE-L, only if it is better than alpha 0 beyond chance
    losses: list[LossContrast] = field(default_factory=list)
    key: dict[str, Any] = field(default_factory=dict)  # what all runs share
    runs: list[dict[str, Any]] = field(default_factory=list)  # condition, seed and making of each run
    failed: dict[str, str] = field(default_factory=dict)  # runs that failed, with their reasons

    @property
    def base(self) -> ConditionSummary | None:
        """Alpha 0; None where it has no finished run."""
        return next((one for one in self.conditions if one.condition == ALPHA_ZERO), None)

    @property
    def axes(self) -> dict[str, list[ConditionSummary]]:
        """The conditions of each loss and layer, by weight."""
        found: dict[str, list[ConditionSummary]] = {}
        for one in self.conditions:
            if one.condition.axis:
                found.setdefault(one.condition.axis, []).append(one)
        return found

    @property
    def seeds(self) -> int:
        """The largest number of seeds that a condition has."""
        return max(len(one.seeds) for one in self.conditions)

    @property
    def claim(self) -> str:
        """How many runs stand behind a claim."""
        counts = sorted({len(one.seeds) for one in self.conditions})
        if counts[-1] == 1:
            return "one seed: no claim"
        return f"{counts[0]} to {counts[-1]} seeds" if len(counts) > 1 else f"{counts[0]} seeds"

    @property
    def verdict(self) -> str:
        """What the sweep says about the weight."""
        compared = [one.differences for one in self.conditions if one.condition.axis and one.differences]
        if self.base is None:
            return "alpha 0 has no finished run: nothing to compare with"
        if not compared:
            return "nothing to compare with alpha 0"
        if self.best is not None:
            return f"best in ROUGE-L F1, better than alpha 0 beyond chance: {self.best.name}"
        found = [differences[HEADLINE_FIGURE] for differences in compared]
        if all(one.p is None for one in found):
            return "differences may be luck of the training: none is marked best"
        if any(one.is_significant and one.difference.mean > 0 for one in found):
            return f"none is marked best: the highest ROUGE-L F1 is that of {highest(self.conditions)[0].name}"
        return "no weight is better than alpha 0 in ROUGE-L F1 beyond chance: none is marked best"

    def to_json(self) -> dict[str, Any]:
        """The result as one strict JSON document; what is no number is null."""
        return strict(
            {
                "schema": SCHEMA,
                "songs": self.songs,
                "claim": self.claim,
                "verdict": self.verdict,
                "best": None if self.best is None else {"name": self.best.name, **asdict(self.best)},
                "conditions": [one.to_json() for one in self.conditions],
                "losses": [contrast.to_json() for contrast in self.losses],
                "signature": self.signature,
                "failed": self.failed,
                "key": self.key,
                "runs": self.runs,
            }
        )


def summarise(records: Sequence[RunRecord], failed: Mapping[str, str], out: Path) -> AblateResult:
    """Turns the runs' records into the result of the sweep; of a condition and seed that come twice the last counts.

    Raises:
        DataError: there are none, or they were scored on other songs.
    """
    if not records:
        reason = next(iter(failed.values()), "nothing was run")
        raise DataError(f"no run has finished: {reason}", "see the messages above")
    records = list({(record.condition, record.seed): record for record in records}.values())
    counts = {len(values) for record in records for values in record.values.values()}
    if len(counts) > 1:
        raise DataError(f"the runs in {out} were scored on {sorted(counts)} songs", "delete the odd ones out")
    conditions = [
        summarise_condition(one, records) for one in sorted({record.condition for record in records}, key=table_place)
    ]
    # Baselines are a sanity check and must not dilute the weights' family.
    correct_family([one.differences for one in conditions if one.condition.axis])
    correct_family([one.differences for one in conditions if not one.condition.axis])
    return AblateResult(
        out=out,
        conditions=conditions,
        songs=counts.pop(),
        signature="; ".join([*dict.fromkeys(record.signature for record in records), METHOD]),
        best=find_best(conditions),
        losses=compare_losses(conditions, records),
        key=records[0].key,
        runs=[
            {"condition": one.condition.name, "seed": record.seed, **record.made}
            for one in conditions
            for record in records_of(records, one.condition)
        ],
        failed=dict(failed),
    )


def table_place(condition: Condition) -> tuple[int, int, str, int, float]:
    """Sorts conditions: baselines as `BASELINES` has them, then each loss and layer by ascending weight."""
    if condition.baseline:
        return (0, list(BASELINES).index(condition.baseline), "", 0, 0.0)
    loss, layer = condition.loss, condition.align_layer
    known = ALIGNMENT_LOSSES.index(loss) if loss in ALIGNMENT_LOSSES else len(ALIGNMENT_LOSSES)
    return (1, known, loss, -1 if layer is None else layer, condition.alpha)


def summarise_condition(condition: Condition, records: Sequence[RunRecord]) -> ConditionSummary:
    """Summarises a condition's runs and compares them with alpha 0; p values are not yet corrected."""
    own, base = records_of(records, condition), records_of(records, ALPHA_ZERO)
    return ConditionSummary(
        condition=condition,
        seeds=tuple(record.seed for record in own),
        figures={figure: share_interval(table_of(own, figure)) for figure in figures_of(own)},
        differences={} if condition == ALPHA_ZERO else compare_conditions(own, base),
        attributes=mean_over([record.attributes for record in own]),
        validation=mean_over([record.validation for record in own]),
        measures=mean_over([record.measures for record in own]),
    )


def share_interval(values: np.ndarray) -> Interval:
    """Returns the mean of shares [seeds, songs] with its interval, which ends at 0 and 1."""
    found = seeds_interval(values)
    return Interval(found.mean, max(found.low, 0.0), min(found.high, 1.0))


def highest(conditions: Sequence[ConditionSummary]) -> tuple[Condition, SeedDifference | None]:
    """Returns the condition of the highest ROUGE-L, and its difference to alpha 0.

    Conditions are ranked by their paired difference to alpha 0, so that lucky seeds which others lack do not count.
    """
    compared = [(one.condition, one.differences.get(HEADLINE_FIGURE)) for one in conditions]
    better = [(one, found) for one, found in compared if found is not None and found.difference.mean > 0]
    return max(better, key=lambda pair: pair[1].difference.mean, default=(ALPHA_ZERO, None))


def find_best(conditions: Sequence[ConditionSummary]) -> Condition | None:
    """Returns the condition to mark: the highest, if it is a weight of the loss and better beyond chance."""
    condition, found = highest(conditions)
    return condition if condition.axis and found is not None and found.is_significant else None


def compare_losses(conditions: Sequence[ConditionSummary], records: Sequence[RunRecord]) -> list[LossContrast]:
    """Compares the losses, each at the weight that the validation songs favour: the test songs choose nothing."""
    by_loss: dict[str, list[Condition]] = {}
    for one in conditions:
        if one.condition.axis:
            by_loss.setdefault(one.condition.loss, []).append(one.condition)
    chosen = [best for own in by_loss.values() if (best := best_on_validation(own, records)) is not None]
    found = []
    for number, first in enumerate(chosen):
        for second in chosen[number + 1 :]:
            differences = compare_conditions(records_of(records, first), records_of(records, second))
            found += [LossContrast(first, second, differences)] if differences else []
    correct_family([contrast.differences for contrast in found])
    return found


def best_on_validation(conditions: Sequence[Condition], records: Sequence[RunRecord]) -> Condition | None:
    """Returns the condition with the best mean ROUGE-L on the validation songs, over the seeds that all of them have.

    The smaller weight wins a tie. Conditions that share no seed are judged by all seeds they have.
    """
    scores: dict[Condition, dict[int, float]] = {}
    for one in conditions:
        own = {record.seed: record.validation.get(HEADLINE_FIGURE, math.nan) for record in records_of(records, one)}
        if all(map(math.isfinite, own.values())):
            scores[one] = own
    common = set.intersection(*map(set, scores.values())) if scores else set()

    def mean_score(one: Condition) -> float:
        return float(np.mean([score for seed, score in scores[one].items() if not common or seed in common]))

    return max(scores, key=mean_score, default=None)


def mean_over(runs: Sequence[dict[str, float]]) -> dict[str, float]:
    """Averages figures over runs; one that a run lacks, or that is no number there, is left out."""
    names = [name for name in runs[0] if all(is_number(run.get(name)) for run in runs)]
    return {name: float(np.mean([run[name] for run in runs])) for name in names}


def is_number(value: object) -> bool:
    """Whether a value is a finite number."""
    return isinstance(value, int | float) and math.isfinite(value)


def strict(value: Any) -> Any:
    """Replaces numbers that JSON does not know by None."""
    if isinstance(value, Mapping):
        return {str(name): strict(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [strict(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def csv_rows(result: AblateResult) -> Iterator[list[str]]:
    """Yields the rows of the CSV file: a condition and a figure each."""
    for one in result.conditions:
        condition = one.condition
        layer = "" if condition.align_layer is None else str(condition.align_layer)
        head = [condition.name, condition.baseline, condition.loss, f"{condition.alpha:g}", layer, str(len(one.seeds))]
        for figure, found in one.figures.items():
            versus = one.differences.get(figure)
            compared = [""] * 6
            if versus is not None:
                ps = ["" if p is None else f"{p:.6g}" for p in (versus.p, versus.p_holm)]
                compared = [str(versus.seeds), *decimals(versus.difference), *ps]
            yield [*head, figure, *decimals(found), *compared]


def decimals(interval: Interval) -> list[str]:
    """Writes a mean and its interval."""
    return [f"{value:.6f}" for value in (interval.mean, interval.low, interval.high)]


def write_result(result: AblateResult) -> list[Path]:
    """Writes `ablation.json` and `ablation.csv` into the sweep's folder, and returns the files.

    Raises:
        DataError: the disk refuses.
    """
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([CSV_COLUMNS, *csv_rows(result)])
    files = [result.out / JSON_FILE, result.out / CSV_FILE]
    write_json(files[0], result.to_json())
    with open_atomically(files[1]) as file:
        file.write(text.getvalue())
    return files
