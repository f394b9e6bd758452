"""The sweep over alpha (the paper's Figure 2) with its baselines: equal in everything but what is compared."""

import json
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from recap_cli import __version__
from recap_cli.ablation.conditions import (
    BART,
    FUSION,
    LYRICS_ONLY,
    SHUFFLED,
    RunRecord,
    Task,
    read_results,
    write_results,
)
from recap_cli.ablation.measure_run import Measurement
from recap_cli.ablation.options import AblateOptions
from recap_cli.ablation.results import ALPHA_ZERO, AblateResult, summarise, write_result
from recap_cli.ablation.runs import default_jobs, run_tasks, spread
from recap_cli.captioning.captioner import Captioner
from recap_cli.corpus.dataset import PreparedData
from recap_cli.errors import DataError
from recap_cli.evaluation.captions import captioned_songs, weights_fingerprint
from recap_cli.files import hold_or_wait, make_folder, remove_stale_partials
from recap_cli.outputs import ABLATION, hold_folder, is_ablation
from recap_cli.progress import Progress, SilentProgress
from recap_cli.records import SCHEMA
from recap_cli.runtime.device import choose_device
from recap_cli.training.build import build_model, choose_music, choose_verses
from recap_cli.training.plan import plan_run
from recap_cli.training.recipes import CONSTANT, OWN
from recap_cli.training.recipes import SHUFFLED as SHUFFLED_MUSIC
from recap_cli.training.train import TrainOptions, estimate, train

RESULTS_FILE = "results.jsonl"
RECORD_FILE = "record.jsonl"


@dataclass(frozen=True)
class Sweep:
    """A sweep with what its runs share."""

    options: AblateOptions
    tasks: list[Task]
    key: dict[str, Any]  # what results must share to stand in one table
    is_demo: bool  # whether the songs are made up, so that models are small

    @property
    def results(self) -> Path:
        """Its file of finished runs."""
        return self.options.results or self.options.out / RESULTS_FILE

    def jobs(self, todo: int) -> int:
        """Returns the runs at a time, with `todo` of them left."""
        return self.options.jobs or default_jobs(self.options.device, self.is_demo, max(todo, 1))


def plan_sweep(options: AblateOptions, progress: Progress) -> Sweep:
    """Names every run of a sweep, when impossible settings of any condition have been refused.

    Raises:
        DataError: the data folder cannot be used, or lacks captions, validation songs or tags.
        OptionError: a setting is impossible.
        ModelError: a model that is named cannot be had.
    """
    data = PreparedData(options.data)
    captioned_songs(data, options.split)
    settings = TrainOptions(options.data, **options.train).settings(data.corpus)
    conditions = options.conditions(settings["alignment_loss"])
    source = None
    for condition in conditions:
        source = plan_run(train_options(options, Task(condition, 0)), progress, data, source).source
    key = {
        "data": data.fingerprint,
        "split": options.split,
        "train": options.train,
        "study": asdict(options.study),
        "limit": options.limit,
        "decoding": options.decoding.to_json(),
    }
    tasks = [Task(condition, seed) for seed in range(options.seeds) for condition in conditions]
    return Sweep(options, tasks, json.loads(json.dumps(key, default=str)), data.is_demo)


def train_options(options: AblateOptions, task: Task) -> TrainOptions:
    """Returns the options of one run: those of all runs, and what its condition and seed set."""
    condition = task.condition
    music = {LYRICS_ONLY: CONSTANT, SHUFFLED: SHUFFLED_MUSIC}.get(condition.baseline, OWN)
    own: dict[str, Any] = {"alpha": condition.alpha}
    # Baselines have no loss and no layer of their own: they take the first that is swept, or the recipe's.
    if loss := condition.loss or next(iter(options.losses), ""):
        own["alignment_loss"] = loss
    layers = options.align_layers if condition.align_layer is None else (condition.align_layer,)
    if layers:
        own["align_layer"] = layers[0]
    return TrainOptions(
        data=options.data,
        out=options.out / task.folder,
        seed=task.seed,
        pretrain_seed=task.seed,
        limit=options.limit,
        device=options.device,
        no_music=condition.baseline == BART,
        probe=condition.baseline == FUSION,
        study=replace(options.study, music=music),
        **{**options.train, **own},
    )


def ablate(options: AblateOptions, progress: Progress | None = None) -> AblateResult:
    """Trains and scores every condition and seed; runs that were finished before are not repeated.

    Raises:
        DataError: the folder holds results of other data or settings, or no run succeeded.
        OptionError: the folder holds something else than an ablation.
        BusyError: another ablation works in it.
    """
    progress = progress or SilentProgress()
    sweep = plan_sweep(options, progress)
    make_folder(sweep.results.parent)
    failed: dict[str, str] = {}
    with hold_folder(options.out, ABLATION, "recap ablate", inputs=options.inputs, is_ours=is_ablation):
        remove_stale_partials(options.out)
        done = read_results(sweep.results, sweep.key)
        todo = [task for task in sweep.tasks if task not in done]
        for task, record, reason in run_todo(sweep, todo, progress):
            if record is None:
                failed[task.name] = reason
                progress.say(f"Failed: {task.name}: {reason}")
                continue
            done[task] = record
            write_results(sweep.results, done.values())
    asked = [done[task] for task in sweep.tasks if task in done]
    if not asked:
        reason = next(iter(failed.values()), "nothing was run")
        raise DataError(f"no run succeeded: {reason}", "see the messages above")
    result = summarise(asked, failed, options.out)
    write_result(result)
    return result


def run_todo(sweep: Sweep, todo: list[Task], progress: Progress) -> Iterator[tuple[Task, RunRecord | None, str]]:
    """Yields each run as it ends, with its record or the reason why it failed."""
    if not todo:
        return
    options, jobs = sweep.options, sweep.jobs(len(todo))
    if jobs > 1:
        make_shared(train_options(options, Task(ALPHA_ZERO, todo[0].seed)), progress)
    order = spread(sweep.tasks, jobs)
    yield from run_tasks(run_task, sweep, sorted(todo, key=order.index), jobs, options.device, progress)


def make_shared(options: TrainOptions, progress: Progress) -> None:
    """Makes what runs share, with all cores: stand-ins that are pretrained, and states of music and verses."""
    plan = plan_run(options, progress)
    model, processor = build_model(plan, progress)
    choose_music(model, plan, progress)
    choose_verses(model, processor, plan, progress)


def run_task(sweep: Sweep, task: Task, progress: Progress) -> RunRecord:
    """Trains and scores one condition with one seed; a run that another call finished is not repeated."""
    options = sweep.options
    folder = options.out / task.folder
    with hold_or_wait(folder, progress, f"Another process works in {folder}"):
        done = read_results(folder / RECORD_FILE, sweep.key)
        if task in done:
            return done[task]
        began = time.monotonic()
        run = train(train_options(options, task), progress)
        trained = time.monotonic()
        record = measure_task(sweep, task, run.out, progress)
        best = {name: value for name, value in run.figures["best"].items() if isinstance(value, int | float)}
        made = {
            "recap": __version__,
            "torch": torch.__version__,
            "threads": torch.get_num_threads(),
            "device": choose_device(options.device),
            "weights": weights_fingerprint(run.out),
            "train_seconds": round(trained - began, 1),
            "score_seconds": round(time.monotonic() - trained, 1),
        }
        record = replace(record, validation=best, made=made)
        write_results(folder / RECORD_FILE, [record])
    return record


def measure_task(sweep: Sweep, task: Task, run: Path, progress: Progress) -> RunRecord:
    """Scores a finished run on the songs of the sweep."""
    options = sweep.options
    data = PreparedData(options.data)
    songs = captioned_songs(data, options.split)[: options.limit]
    captioner = Captioner.from_pretrained(run, device=options.device)
    interventions = train_options(options, task).study
    subject = Measurement(captioner, data, songs, options.decoding, interventions, progress)
    scores, values, attributes = subject.score()
    return RunRecord(
        key=sweep.key,
        condition=task.condition,
        seed=task.seed,
        signature=scores.signature(),
        values=values,
        attributes={name: round(value, 5) for name, value in attributes.items()},
        measures=subject.measure(),
    )


# a dry run ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SweepPlan:
    """A sweep that is to come."""

    conditions: list[tuple[str, int, int]]  # each one's name, runs, and runs that are done
    jobs: int  # runs at a time
    run_seconds: float  # expected, of a run
    hours: float  # expected, of what is left
    basis: str  # what the expectation rests on

    def to_json(self) -> dict[str, Any]:
        """The plan as plain values."""
        rows = [{"condition": name, "runs": runs, "done": done} for name, runs, done in self.conditions]
        rest = {name: value for name, value in asdict(self).items() if name != "conditions"}
        return {"schema": SCHEMA, "dry_run": True, "conditions": rows, **rest}


def foresee(options: AblateOptions, progress: Progress | None = None) -> SweepPlan:
    """Returns every run, and the expected time of those that are not done.

    Finished runs of the folder tell how long one takes; without any, a few real training steps are timed.

    Raises:
        RecapError: what `ablate` would raise before its first run.
    """
    progress = progress or SilentProgress()
    sweep = plan_sweep(options, SilentProgress())
    done = read_results(sweep.results, sweep.key)
    todo = [task for task in sweep.tasks if task not in done]
    jobs = sweep.jobs(len(todo))
    known = [record.made for record in done.values() if "train_seconds" in record.made]
    seconds, basis = 0.0, "nothing is left"
    if known:
        seconds = fmean(made["train_seconds"] + made["score_seconds"] for made in known)
        basis = f"{len(known)} finished run{'s' if len(known) > 1 else ''}"
    elif todo:
        seconds = time_run(train_options(options, todo[-1]), jobs, progress)
        basis = "a few timed training steps; pretraining, validation and scoring are not counted"
    runs = Counter(task.condition for task in sweep.tasks)
    ready = Counter(task.condition for task in sweep.tasks if task in done)
    rows = [(condition.name, count, ready[condition]) for condition, count in runs.items()]
    return SweepPlan(rows, jobs, seconds, seconds * len(todo) / jobs / 3600, basis)


def time_run(options: TrainOptions, jobs: int, progress: Progress) -> float:
    """Returns the expected seconds of a run, timed on the share of the cores that it will have."""
    threads = torch.get_num_threads()
    try:
        if choose_device(options.device) == "cpu":
            torch.set_num_threads(max(1, threads // jobs))
        return 3600 * estimate(options, progress).hours
    finally:
        torch.set_num_threads(threads)
