"""What a sweep would do and how long it would take, without doing it."""

from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

import torch

from recap_cli.ablation.ablate import AblateOptions, plan_sweep, read_results, train_options
from recap_cli.ablation.runs import default_jobs
from recap_cli.progress import Progress, SilentProgress
from recap_cli.runtime.device import choose_device
from recap_cli.training.train import estimate


@dataclass(frozen=True)
class SweepPlan:
    """A sweep that is to come.

    Attributes:
        arms: each arm's name, runs and runs that are done.
        jobs: runs at a time.
        run_seconds: expected seconds of a run.
        hours: expected hours of what is left.
        basis: what the expectation rests on.
    """

    arms: list[tuple[str, int, int]]
    jobs: int
    run_seconds: float
    hours: float
    basis: str

    def to_json(self) -> dict[str, Any]:
        """The plan as plain values."""
        rows = [{"arm": name, "runs": runs, "done": done} for name, runs, done in self.arms]
        return {**asdict(self), "arms": rows}


def foresee(options: AblateOptions, progress: Progress | None = None) -> SweepPlan:
    """Name every run, and estimate the time of those that are not done.

    Finished runs of the folder tell how long one takes; without any, a few real training steps are timed.

    Raises:
        RecapError: what `ablate` would raise before its first run.
    """
    sweep = plan_sweep(options)
    done = read_results(sweep.results, sweep.key)
    todo = [task for task in sweep.tasks if task not in done]
    jobs = options.jobs or default_jobs(options.device, sweep.is_demo, max(len(todo), 1))
    arms = {task.arm: [0, 0] for task in sweep.tasks}
    for task in sweep.tasks:
        arms[task.arm][0] += 1
        arms[task.arm][1] += task in done
    known = [record.made for record in done.values() if "train_seconds" in record.made]
    if known:
        seconds = fmean(made["train_seconds"] + made["score_seconds"] for made in known)
        basis = f"{len(known)} finished run{'s' if len(known) > 1 else ''}"
    elif todo:
        threads = torch.get_num_threads()
        try:
            if choose_device(options.device) == "cpu":
                torch.set_num_threads(max(1, threads // jobs))
            expected = estimate(train_options(options, todo[-1]), progress or SilentProgress())
        finally:
            torch.set_num_threads(threads)
        seconds = 3600 * expected.hours
        basis = "a few timed training steps; pretraining, validation and scoring are not counted"
    else:
        seconds, basis = 0.0, "nothing is left"
    return SweepPlan(
        [(arm.name, runs, ready) for arm, (runs, ready) in arms.items()],
        jobs,
        seconds,
        seconds * len(todo) / jobs / 3600,
        basis,
    )
