"""The sweep over alpha (the paper's Figure 2): equal in everything but the weight of the alignment loss."""

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from recap_cli.corpus.dataset import PreparedData
from recap_cli.corpus.manifest import write_json, write_json_lines
from recap_cli.errors import DataError, OptionError, RecapError
from recap_cli.progress import Progress, SilentProgress
from recap_cli.scoring.uncertainty import Interval, bootstrap_interval, two_level_difference, two_level_interval
from recap_cli.workflows.decoding import DecodingOptions
from recap_cli.workflows.evaluate import EvaluateOptions, SystemScores, evaluate
from recap_cli.workflows.train import TrainOptions, train

RESULTS_FILE = "results.jsonl"
METRICS = ("rouge1", "rouge2", "rougeL", "meteor")


@dataclass(frozen=True)
class AblateOptions:
    """What to sweep.

    Attributes:
        data: a prepared data folder.
        weights: values of alpha; 0 (BART-fusion) is always trained too, for comparison.
        seeds: runs of each weight; a seed fixes initial weights and data order for all weights.
        out: the folder of runs and results.
        split: the songs that are scored.
        train: settings that every run shares, as fields of `TrainOptions`.
        limit: only so many songs, in training and in scoring.
        decoding: how captions are written.
        device: `auto`, `cpu`, `cuda` or `mps`.
    """

    data: Path
    weights: tuple[float, ...]
    seeds: int = 1
    out: Path = Path("runs/ablation")
    split: str = "test"
    train: dict[str, Any] = field(default_factory=dict)
    limit: int | None = None
    decoding: DecodingOptions = field(default_factory=DecodingOptions)
    device: str = "auto"

    def __post_init__(self) -> None:
        if not self.weights:
            raise OptionError("--weights names no weight", "give numbers such as 1e-3,2e-2,1e-1")
        for weight in self.weights:
            if not (math.isfinite(weight) and weight >= 0):
                raise OptionError(f"--weights: {weight} is not a weight", "give numbers of 0 or more")
        if len(set(self.weights)) != len(self.weights):
            raise OptionError("--weights names a weight twice", "name each once")
        if self.seeds < 1:
            raise OptionError(f"--seeds {self.seeds} leaves no runs", "give 1 or more")

    @property
    def axis(self) -> tuple[float, ...]:
        """All weights that are trained, 0 first."""
        return (0.0, *sorted(weight for weight in self.weights if weight > 0))


@dataclass(frozen=True)
class Arm:
    """One weight over all seeds.

    Attributes:
        alpha: the weight.
        figures: mean and 95 % interval of each metric; over seeds and songs where there are several seeds.
        difference: ROUGE-L minus that of alpha 0, paired by song; None for alpha 0 itself.
        attributes: on demo songs, the mean accuracy of each attribute.
        matched: cosine of matched music and lyrics on the validation songs, mean over seeds; None for a single song.
        mismatched: the same of mismatched ones.
    """

    alpha: float
    figures: dict[str, Interval]
    difference: Interval | None
    attributes: dict[str, float]
    matched: float | None
    mismatched: float | None

    def to_json(self) -> dict[str, Any]:
        """The arm as plain values."""
        return {
            "alpha": self.alpha,
            **{name: vars(interval) for name, interval in self.figures.items()},
            "difference_to_alpha_0": vars(self.difference) if self.difference else None,
            "attribute_accuracy": self.attributes,
            "matched_cosine": self.matched,
            "mismatched_cosine": self.mismatched,
        }


@dataclass(frozen=True)
class AblateResult:
    """The finished sweep.

    Attributes:
        out: its folder.
        arms: one a weight, ascending.
        seeds: runs of each.
        songs: songs scored.
        signature: how the figures were made.
        failed: runs that failed, with their reasons.
    """

    out: Path
    arms: list[Arm]
    seeds: int
    songs: int
    signature: str
    failed: dict[str, str]

    def to_json(self) -> dict[str, Any]:
        """The result as one JSON document."""
        return {
            "seeds": self.seeds,
            "songs": self.songs,
            "signature": self.signature,
            "arms": [arm.to_json() for arm in self.arms],
            "failed": self.failed,
        }


def ablate(options: AblateOptions, progress: Progress | None = None) -> AblateResult:
    """Train and score every weight and seed; what was done before is not done again.

    Raises:
        DataError: the folder holds results of other data or settings, or too few runs succeeded.
    """
    progress = progress or SilentProgress()
    data = PreparedData(options.data)
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / RESULTS_FILE
    done = read_results(path, results_key(options, data))
    failed: dict[str, str] = {}
    plan = [(alpha, seed) for seed in range(options.seeds) for alpha in options.axis]
    for number, (alpha, seed) in enumerate(plan, start=1):
        if (alpha, seed) in done:
            continue
        progress.say(f"Run {number} of {len(plan)}: alpha {alpha:g}, seed {seed}")
        try:
            record = run_arm(options, data, alpha, seed, progress)
        except RecapError as error:
            failed[f"alpha {alpha:g}, seed {seed}"] = error.message
            progress.say(f"Failed: {error.message}")
            continue
        done[alpha, seed] = record
        write_json_lines(path, done.values())
    return summarise(options, done, failed)


def results_key(options: AblateOptions, data: PreparedData) -> dict[str, Any]:
    """What results must share to stand in one table."""
    key = {
        "data": data.fingerprint,
        "split": options.split,
        "train": options.train,
        "limit": options.limit,
        "decoding": options.decoding.to_json(),
    }
    return json.loads(json.dumps(key, default=str))


def read_results(path: Path, key: dict[str, Any]) -> dict[tuple[float, int], dict[str, Any]]:
    """Read finished runs; a torn last line is passed over and its run is done again.

    Raises:
        DataError: they are results of other data or settings.
    """
    done = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else []:
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if record["key"] != key:
            raise DataError(
                f"{path} holds results of other data or settings", "choose another folder with --out, or delete it"
            )
        done[record["alpha"], record["seed"]] = record
    return done


def run_arm(options: AblateOptions, data: PreparedData, alpha: float, seed: int, progress: Progress) -> dict[str, Any]:
    """Train and score one weight with one seed; give its record."""
    run = train(
        TrainOptions(
            data=options.data,
            out=options.out / f"alpha-{alpha:g}-seed-{seed}",
            alpha=alpha,
            seed=seed,
            limit=options.limit,
            device=options.device,
            **options.train,
        ),
        progress,
    )
    scored = evaluate(
        EvaluateOptions(
            options.data,
            (run.out,),
            options.split,
            limit=options.limit,
            decoding=options.decoding,
            device=options.device,
        ),
        progress,
    )
    system = scored.systems[0]
    best = run.figures["best"]
    return {
        "key": results_key(options, data),
        "alpha": alpha,
        "seed": seed,
        "run": run.out.name,
        "signature": scored.signature,
        "values": song_values(system),
        "attributes": system.attributes,
        "matched": best.get("matched_cosine"),
        "mismatched": best.get("mismatched_cosine"),
    }


def song_values(system: SystemScores) -> dict[str, list[float]]:
    """Give each metric's figure for every song."""
    names = {metric: metric if metric == "meteor" else f"{metric}.f1" for metric in METRICS}
    return {metric: [round(float(value), 6) for value in system.scores.values(name)] for metric, name in names.items()}


def summarise(
    options: AblateOptions, done: dict[tuple[float, int], dict[str, Any]], failed: dict[str, str]
) -> AblateResult:
    """Turn the runs' records into one arm a weight.

    Raises:
        DataError: no weight was trained with every seed.
    """
    runs = {
        alpha: [done[alpha, seed] for seed in range(options.seeds) if (alpha, seed) in done] for alpha in options.axis
    }
    whole = {alpha: records for alpha, records in runs.items() if len(records) == options.seeds}
    if not whole:
        reason = next(iter(failed.values()), "nothing was run")
        raise DataError(f"no weight could be trained: {reason}", "see the messages above")
    arms = [summarise_arm(alpha, records, whole.get(0.0)) for alpha, records in whole.items()]
    first = next(iter(whole.values()))[0]
    songs = len(first["values"]["rougeL"])
    result = AblateResult(options.out, arms, options.seeds, songs, first["signature"], failed)
    write_json(options.out / "ablation.json", result.to_json())
    return result


def summarise_arm(alpha: float, records: list[dict[str, Any]], base: list[dict[str, Any]] | None) -> Arm:
    """Summarise the runs of one weight and compare them with alpha 0."""
    tables = {metric: np.array([record["values"][metric] for record in records]) for metric in METRICS}
    names = records[0]["attributes"]
    difference = None
    if base is not None and alpha > 0:
        reference = np.array([record["values"]["rougeL"] for record in base])
        difference = difference_of(tables["rougeL"], reference)
    return Arm(
        alpha=alpha,
        figures={metric: interval_of(table) for metric, table in tables.items()},
        difference=difference,
        attributes={name: float(np.mean([record["attributes"][name] for record in records])) for name in names},
        matched=mean_of([record["matched"] for record in records]),
        mismatched=mean_of([record["mismatched"] for record in records]),
    )


def mean_of(values: list[float | None]) -> float | None:
    """The mean of the runs' figures; None where a run has none."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if len(known) == len(values) else None


def interval_of(table: np.ndarray) -> Interval:
    """The mean of [seeds, songs] with its interval: over songs, and over seeds too where there are several."""
    return bootstrap_interval(table[0]) if len(table) == 1 else two_level_interval(table)


def difference_of(table: np.ndarray, reference: np.ndarray) -> Interval:
    """The mean difference of two [seeds, songs] with its interval."""
    if len(table) == 1:
        return bootstrap_interval(table[0] - reference[0])
    return two_level_difference(table, reference).difference
