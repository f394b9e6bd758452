"""Finished runs of an ablation to its result: means, intervals, paired differences to alpha 0; JSON and CSV."""

import csv
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from recap_cli.ablation.conditions import BASELINES, FUSION, Arm, RunRecord, records_of
from recap_cli.ablation.seed_differences import Effect, compare, correct, figures_of, table_of
from recap_cli.errors import DataError
from recap_cli.files import open_atomically, write_json
from recap_cli.model.config import ALIGNMENT_LOSSES
from recap_cli.scoring.bootstrap import Interval
from recap_cli.scoring.seeds import seeds_interval

JSON_FILE, CSV_FILE = "ablation.json", "ablation.csv"
HEADLINE_FIGURE = "rougeL"
ALPHA_ZERO = Arm(FUSION)
METHOD = (
    "differences paired by seed and song, Student's t on a two-level variance (scoring/seeds.py); p after Holm, each "
    "figure by itself: weights of the alignment loss against alpha 0 are one family, baselines (sanity check) another"
)
CSV_COLUMNS = (
    "arm", "baseline", "loss", "alpha", "align_layer", "seeds", "figure", "mean", "low", "high",
    "common_seeds", "difference", "difference_low", "difference_high", "p", "p_holm",
)  # fmt: skip


@dataclass(frozen=True)
class ArmSummary:
    """One arm over its seeds.

    Attributes:
        arm: the arm.
        seeds: the seeds it has, ascending.
        figures: mean and interval of every per-song figure, over seeds and songs; over songs with one seed.
        effects: of every per-song figure the difference to alpha 0; empty for alpha 0 itself and where none shares a
            seed with it.
        attributes: on demo songs, the share of captions that name each attribute rightly, mean over seeds.
        validation: figures of the validation songs, means over seeds.
        measures: other figures of the test songs, means over seeds.
    """

    arm: Arm
    seeds: tuple[int, ...]
    figures: dict[str, Interval]
    effects: dict[str, Effect] = field(default_factory=dict)
    attributes: dict[str, float] = field(default_factory=dict)
    validation: dict[str, float] = field(default_factory=dict)
    measures: dict[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The arm as plain values."""
        return {"name": self.arm.name, **asdict(self)}


@dataclass(frozen=True)
class LossContrast:
    """Two alignment losses, each at the weight that is best on the validation songs.

    Attributes:
        first: the arm of one loss.
        second: the arm of the other.
        effects: first minus second in every per-song figure; Holm over the pairs of losses, each figure for itself.
    """

    first: Arm
    second: Arm
    effects: dict[str, Effect]

    def to_json(self) -> dict[str, Any]:
        """The contrast as plain values."""
        return {"name": f"{self.first.name} minus {self.second.name}", **asdict(self)}


@dataclass(frozen=True)
class AblateResult:
    """The finished sweep.

    Attributes:
        out: its folder.
        arms: in the order of the table: baselines, alpha 0 last of them, then each loss and layer by weight.
        songs: songs scored.
        signature: how the figures were made.
        best: the arm that is best in ROUGE-L, only if it is better than alpha 0 beyond chance.
        losses: losses against each other.
        key: what all runs share.
        runs: arm, seed and making of each run.
        failed: runs that failed, with their reasons.
    """

    out: Path
    arms: list[ArmSummary]
    songs: int
    signature: str
    best: Arm | None = None
    losses: list[LossContrast] = field(default_factory=list)
    key: dict[str, Any] = field(default_factory=dict)
    runs: list[dict[str, Any]] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)

    @property
    def base(self) -> ArmSummary | None:
        """Alpha 0; None where it has no finished run."""
        return next((one for one in self.arms if one.arm == ALPHA_ZERO), None)

    @property
    def axes(self) -> dict[str, list[ArmSummary]]:
        """The arms of each loss and layer, by weight."""
        found: dict[str, list[ArmSummary]] = {}
        for one in self.arms:
            if one.arm.axis:
                found.setdefault(one.arm.axis, []).append(one)
        return found

    @property
    def seeds(self) -> int:
        """The largest number of seeds that an arm has."""
        return max(len(one.seeds) for one in self.arms)

    @property
    def claim(self) -> str:
        """How many runs stand behind a claim."""
        counts = sorted({len(one.seeds) for one in self.arms})
        if counts[-1] == 1:
            return "one seed: no claim"
        return f"{counts[0]} to {counts[-1]} seeds" if len(counts) > 1 else f"{counts[0]} seeds"

    @property
    def verdict(self) -> str:
        """What the sweep says about the weight."""
        compared = [one.effects for one in self.arms if one.arm.axis and one.effects]
        if self.base is None:
            return "alpha 0 has no finished run: nothing to compare with"
        if not compared:
            return "nothing to compare with alpha 0"
        if self.best is not None:
            return f"best in ROUGE-L F1, better than alpha 0 beyond chance: {self.best.name}"
        found = [effects[HEADLINE_FIGURE] for effects in compared]
        if all(effect.p is None for effect in found):
            return "differences may be luck of the training: none is marked best"
        if any(effect.is_significant and effect.difference.mean > 0 for effect in found):
            return f"none is marked best: the highest ROUGE-L F1 is that of {highest(self.arms)[0].name}"
        return "no weight is better than alpha 0 in ROUGE-L F1 beyond chance: none is marked best"

    def to_json(self) -> dict[str, Any]:
        """The result as one strict JSON document; what is no number is null."""
        return strict(
            {
                "songs": self.songs,
                "claim": self.claim,
                "verdict": self.verdict,
                "best": None if self.best is None else {"name": self.best.name, **asdict(self.best)},
                "arms": [one.to_json() for one in self.arms],
                "losses": [contrast.to_json() for contrast in self.losses],
                "signature": self.signature,
                "failed": self.failed,
                "key": self.key,
                "runs": self.runs,
            }
        )


def summarise(records: Sequence[RunRecord], failed: Mapping[str, str], out: Path) -> AblateResult:
    """Turn the runs' records into the result of the sweep; of an arm and seed that come twice the last counts.

    Raises:
        DataError: there are none, or they were scored on other songs.
    """
    if not records:
        reason = next(iter(failed.values()), "nothing was run")
        raise DataError(f"no run has finished: {reason}", "see the messages above")
    records = list({(record.arm, record.seed): record for record in records}.values())
    counts = {len(values) for record in records for values in record.values.values()}
    if len(counts) > 1:
        raise DataError(f"the runs in {out} were scored on {sorted(counts)} songs", "delete the odd ones out")
    arms = [summarise_arm(arm, records) for arm in table_order({record.arm for record in records})]
    for family in ([one for one in arms if one.arm.axis], [one for one in arms if not one.arm.axis]):
        correct([one.effects for one in family])
    return AblateResult(
        out=out,
        arms=arms,
        songs=counts.pop(),
        signature="; ".join([*dict.fromkeys(record.signature for record in records), METHOD]),
        best=find_best(arms),
        losses=compare_losses(arms, records),
        key=records[0].key,
        runs=[
            {"arm": one.arm.name, "seed": record.seed, **record.made}
            for one in arms
            for record in records_of(records, one.arm)
        ],
        failed=dict(failed),
    )


def table_order(arms: set[Arm]) -> list[Arm]:
    """Sort arms: baselines as `BASELINES` has them, then each loss and layer by ascending weight."""
    baselines, losses = list(BASELINES), list(ALIGNMENT_LOSSES)

    def place(arm: Arm) -> tuple[int, int, str, int, float]:
        if arm.baseline:
            return (0, baselines.index(arm.baseline), "", 0, 0.0)
        known = losses.index(arm.loss) if arm.loss in losses else len(losses)
        return (1, known, arm.loss, -1 if arm.align_layer is None else arm.align_layer, arm.alpha)

    return sorted(arms, key=place)


def summarise_arm(arm: Arm, records: Sequence[RunRecord]) -> ArmSummary:
    """Summarise the runs of one arm and compare them with alpha 0; p values are not yet corrected."""
    own = records_of(records, arm)
    return ArmSummary(
        arm=arm,
        seeds=tuple(record.seed for record in own),
        figures={figure: share_interval(table_of(own, figure)) for figure in figures_of(own)},
        effects={} if arm == ALPHA_ZERO else compare(own, records_of(records, ALPHA_ZERO)),
        attributes=mean_over([record.attributes for record in own]),
        validation=mean_over([record.validation for record in own]),
        measures=mean_over([record.measures for record in own]),
    )


def share_interval(values: np.ndarray) -> Interval:
    """Give the mean of shares [seeds, songs] with its interval, which ends at 0 and 1."""
    found = seeds_interval(values)
    return Interval(found.mean, max(found.low, 0.0), min(found.high, 1.0))


def highest(arms: Sequence[ArmSummary]) -> tuple[Arm, Effect | None]:
    """Find the arm of the highest ROUGE-L, and what it has over alpha 0.

    Arms are ranked by their paired difference to alpha 0, so that other seeds than another's bring no luck.
    """
    compared = [(one.arm, one.effects[HEADLINE_FIGURE]) for one in arms if HEADLINE_FIGURE in one.effects]
    arm, effect = max(compared, key=lambda pair: pair[1].difference.mean, default=(ALPHA_ZERO, None))
    return (arm, effect) if effect is not None and effect.difference.mean > 0 else (ALPHA_ZERO, None)


def find_best(arms: Sequence[ArmSummary]) -> Arm | None:
    """Find the arm to mark: the highest, if it is a weight of the loss and better than alpha 0 beyond chance."""
    arm, effect = highest(arms)
    return arm if arm.axis and effect is not None and effect.is_significant else None


def compare_losses(arms: Sequence[ArmSummary], records: Sequence[RunRecord]) -> list[LossContrast]:
    """Compare the losses, each at the weight that the validation songs favour: the test songs choose nothing."""
    by_loss: dict[str, list[Arm]] = {}
    for one in arms:
        if one.arm.axis:
            by_loss.setdefault(one.arm.loss, []).append(one.arm)
    chosen = [arm for own in by_loss.values() if (arm := best_on_validation(own, records)) is not None]
    found = []
    for number, first in enumerate(chosen):
        for second in chosen[number + 1 :]:
            effects = compare(records_of(records, first), records_of(records, second))
            found += [LossContrast(first, second, effects)] if effects else []
    correct([contrast.effects for contrast in found])
    return found


def best_on_validation(arms: Sequence[Arm], records: Sequence[RunRecord]) -> Arm | None:
    """Choose the arm with the best mean ROUGE-L on the validation songs, over the seeds that all of them have.

    The smaller weight wins a tie. Arms that share no seed are judged by all seeds they have.
    """
    scores: dict[Arm, dict[int, float]] = {}
    for arm in arms:
        own = {record.seed: record.validation.get(HEADLINE_FIGURE, math.nan) for record in records_of(records, arm)}
        if all(map(math.isfinite, own.values())):
            scores[arm] = own
    common = set.intersection(*map(set, scores.values())) if scores else set()

    def mean_score(arm: Arm) -> float:
        return float(np.mean([score for seed, score in scores[arm].items() if not common or seed in common]))

    return max(scores, key=mean_score, default=None)


def mean_over(runs: Sequence[dict[str, float]]) -> dict[str, float]:
    """Average figures over runs; one that a run lacks is left out."""
    names = [name for name in runs[0] if all(is_number(run.get(name)) for run in runs)]
    return {name: float(np.mean([run[name] for run in runs])) for name in names}


def is_number(value: Any) -> bool:
    """Whether a value is a finite number."""
    return isinstance(value, int | float) and math.isfinite(value)


def strict(value: Any) -> Any:
    """Replace numbers that JSON does not know by None."""
    if isinstance(value, Mapping):
        return {str(name): strict(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [strict(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def csv_rows(result: AblateResult) -> Iterator[list[Any]]:
    """Give the rows of the CSV file: an arm and a figure each."""
    for one in result.arms:
        arm = one.arm
        layer = "" if arm.align_layer is None else arm.align_layer
        head = [arm.name, arm.baseline, arm.loss, f"{arm.alpha:g}", layer, len(one.seeds)]
        for figure, found in one.figures.items():
            effect = one.effects.get(figure)
            compared = [""] * 6
            if effect is not None:
                ps = ["" if p is None else f"{p:.6g}" for p in (effect.p, effect.p_holm)]
                compared = [str(effect.seeds), *decimals(effect.difference), *ps]
            yield [*head, figure, *decimals(found), *compared]


def decimals(interval: Interval) -> list[str]:
    """Write a mean and its interval."""
    return [f"{value:.6f}" for value in (interval.mean, interval.low, interval.high)]


def write_result(result: AblateResult) -> list[Path]:
    """Write `ablation.json` and `ablation.csv` into the sweep's folder; give the files.

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
