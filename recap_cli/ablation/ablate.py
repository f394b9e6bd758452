"""The sweep over alpha (the paper's Figure 2) with its baselines: equal in everything but what is compared."""

import errno
import json
import os
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from recap_cli import __version__
from recap_cli.ablation.conditions import BART, FUSION, LYRICS_ONLY, SHUFFLED, Arm, RunRecord
from recap_cli.ablation.measure_run import Measurement
from recap_cli.ablation.options import AblateOptions
from recap_cli.ablation.results import AblateResult, summarise, write_result
from recap_cli.ablation.runs import Task, default_jobs, run_tasks, spread
from recap_cli.captioning.captioner import Captioner
from recap_cli.corpus.dataset import PreparedData
from recap_cli.errors import DataError
from recap_cli.evaluation.captions import captioned_songs, weights_fingerprint
from recap_cli.files import make_folder, remove_stale_partials, write_json_lines
from recap_cli.locks import hold_folder
from recap_cli.outputs import ABLATION, is_ablation
from recap_cli.progress import Progress, SilentProgress
from recap_cli.runtime.device import choose_device
from recap_cli.runtime.exclusive_folder import claim_cache
from recap_cli.training.initial_model import build_model, find_source
from recap_cli.training.options import CONSTANT, OWN
from recap_cli.training.options import SHUFFLED as SHUFFLED_MUSIC
from recap_cli.training.requirements import check_needs
from recap_cli.training.train import TrainOptions, choose_music, train

RESULTS_FILE = "results.jsonl"
RECORD_FILE = "record.jsonl"


@dataclass(frozen=True)
class Sweep:
    """A sweep with what its runs share.

    Attributes:
        options: what was asked for.
        tasks: every run.
        key: what results must share to stand in one table.
        is_demo: whether the songs are made up, so that models are small.
    """

    options: AblateOptions
    tasks: list[Task]
    key: dict[str, Any]
    is_demo: bool

    @property
    def results(self) -> Path:
        """Its file of finished runs."""
        return self.options.results or self.options.out / RESULTS_FILE


def plan_sweep(options: AblateOptions, progress: Progress | None = None) -> Sweep:
    """Name every run of a sweep.

    Raises:
        DataError: the data folder cannot be used.
        OptionError: a setting is impossible.
    """
    data = PreparedData(options.data)
    captioned_songs(data, options.split)
    settings = TrainOptions(options.data, **options.train).settings(data.is_demo)
    arms = options.arms(settings["alignment_loss"])
    check_arms(options, arms, data, progress)
    tasks = [Task(arm, seed) for seed in range(options.seeds) for arm in arms]
    key = {
        "data": data.fingerprint,
        "split": options.split,
        "train": options.train,
        "study": asdict(options.study),
        "limit": options.limit,
        "decoding": options.decoding.to_json(),
    }
    return Sweep(options, tasks, json.loads(json.dumps(key, default=str)), data.is_demo)


def check_arms(options: AblateOptions, arms: list[Arm], data: PreparedData, progress: Progress | None) -> None:
    """Find impossible settings of any arm, and what its run would lack, before the first run.

    Raises:
        DataError: the data lack captions, validation songs or tags.
        OptionError: a setting is impossible.
        ModelError: a model that is named cannot be had.
    """
    source = None
    for arm in arms:
        chosen = train_options(options, Task(arm, 0))
        settings = chosen.settings(data.is_demo)
        source = source or find_source(settings, chosen.init, progress)
        check_needs(source, settings, chosen, data)


def ablate(options: AblateOptions, progress: Progress | None = None) -> AblateResult:
    """Train and score every arm and seed; what was done before is not done again.

    Raises:
        DataError: the folder holds results of other data or settings, or no run succeeded.
        OptionError: the folder holds something else than an ablation.
        BusyError: another ablation works in it.
    """
    progress = progress or SilentProgress()
    sweep = plan_sweep(options, progress)
    make_folder(sweep.results.parent)
    with hold_folder(options.out, ABLATION, "recap ablate", inputs=options.inputs, is_ours=is_ablation):
        remove_stale_partials(options.out)
        done = read_results(sweep.results, sweep.key)
        todo = [task for task in sweep.tasks if task not in done]
        failed: dict[str, str] = {}
        if todo:
            jobs = options.jobs or default_jobs(options.device, sweep.is_demo, len(todo))
            if jobs > 1:
                make_shared(options, todo[0].seed, progress)
            todo.sort(key=spread(sweep.tasks, jobs).index)
            for task, record, reason in run_tasks(run_task, sweep, todo, jobs, options.device, progress):
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


def make_shared(options: AblateOptions, seed: int, progress: Progress) -> None:
    """Make what runs share, with all cores: stand-ins that are pretrained, and music features."""
    data = PreparedData(options.data)
    chosen = train_options(options, Task(Arm(FUSION), seed))
    settings = chosen.settings(data.is_demo)
    model, _ = build_model(find_source(settings, chosen.init, progress), chosen, settings, data, progress)
    choose_music(model, data, chosen, progress)


def write_results(path: Path, records: Iterable[RunRecord]) -> None:
    """Write finished runs, atomically."""
    write_json_lines(path, [record.to_json() for record in records])


def read_results(path: Path, key: dict[str, Any]) -> dict[Task, RunRecord]:
    """Read finished runs; a torn last line is passed over and its run is done again.

    Raises:
        DataError: they are results of other data or settings, or the file is none of ours.
    """
    done = {}
    for number, line in enumerate(read_lines(path), start=1):
        try:
            record = RunRecord.from_json(json.loads(line))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            if line.startswith('{"key": ') and not line.endswith("\n"):
                continue
            raise DataError(
                f"{path}, line {number} is no result of an ablation",
                "choose another folder with --out; this file stays",
            ) from error
        if record.key != key:
            raise DataError(
                f"{path} holds results of other data or settings", "choose another folder with --out, or delete it"
            )
        done[Task(record.arm, record.seed)] = record
    return done


def read_lines(path: Path) -> list[str]:
    """Returns the lines of a file with their ends; none where there is no file.

    Raises:
        DataError: it cannot be read as text.
    """
    if not os.path.lexists(path):
        return []
    try:
        if not path.is_file():
            raise OSError(errno.EINVAL, "no file")
        return path.read_text(encoding="utf-8").splitlines(keepends=True)
    except (OSError, UnicodeError) as error:
        raise DataError(
            f"{path} is no file of results: {getattr(error, 'strerror', None) or error}", "choose another with --out"
        ) from error


def run_task(sweep: Sweep, task: Task, progress: Progress) -> RunRecord:
    """Train and score one arm with one seed; a run that another call finished is not done again."""
    options = sweep.options
    folder = options.out / task.folder
    with claim_cache(folder, progress, f"Another process works in {folder}"):
        done = read_results(folder / RECORD_FILE, sweep.key)
        if task in done:
            return done[task]
        began = time.monotonic()
        chosen = train_options(options, task)
        run = train(chosen, progress)
        trained = time.monotonic()
        record = measure_task(sweep, task, chosen, progress)
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


def train_options(options: AblateOptions, task: Task) -> TrainOptions:
    """Give the options of one run: those of all runs, and what its arm and seed set."""
    arm = task.arm
    music = {LYRICS_ONLY: CONSTANT, SHUFFLED: SHUFFLED_MUSIC}.get(arm.baseline, OWN)
    own: dict[str, Any] = {"alpha": arm.alpha}
    if not arm.baseline:
        own |= {"alignment_loss": arm.loss}
    elif options.losses:
        own |= {"alignment_loss": options.losses[0]}
    layer = arm.align_layer if arm.align_layer is not None else next(iter(options.align_layers), None)
    own |= {} if layer is None else {"align_layer": layer}
    return TrainOptions(
        data=options.data,
        out=options.out / task.folder,
        seed=task.seed,
        pretrain_seed=task.seed,
        limit=options.limit,
        device=options.device,
        no_music=arm.baseline == BART,
        probe=arm.baseline == FUSION,
        study=replace(options.study, music=music),
        **{**options.train, **own},
    )


def measure_task(sweep: Sweep, task: Task, chosen: TrainOptions, progress: Progress) -> RunRecord:
    """Score a finished run on the songs of the sweep."""
    options = sweep.options
    assert chosen.out is not None
    data = PreparedData(options.data)
    songs = captioned_songs(data, options.split)
    captioner = Captioner.from_pretrained(chosen.out, device=options.device)
    subject = Measurement(captioner, data, songs[: options.limit], options.decoding, chosen.study, progress)
    scores, values, attributes = subject.score()
    return RunRecord(
        key=sweep.key,
        arm=task.arm,
        seed=task.seed,
        signature=scores.signature(),
        values=values,
        attributes={name: round(value, 5) for name, value in attributes.items()},
        measures=subject.measure(),
    )
