"""The runs of a sweep, one after another or several at a time in processes of their own."""

import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from recap_cli.ablation.conditions import RunRecord, Task
from recap_cli.errors import DataError, OptionError, RecapError
from recap_cli.progress import Progress, SilentProgress
from recap_cli.runtime.device import choose_device, thread_variables
from recap_cli.runtime.worker_process import tell
from recap_cli.runtime.workers import Answer, Note, Rules, work_through

MOST_JOBS = 8

RunTask = Callable[[Any, Task, Progress], RunRecord]  # does one run of a sweep


def default_jobs(device: str, small: bool, tasks: int) -> int:
    """Returns the number of runs at a time: one a GPU; on a CPU one a core for small models, one for large ones."""
    where = choose_device(device)
    cores = min(os.cpu_count() or 1, MOST_JOBS) if where == "cpu" and small else 1
    return max(1, min(count_gpus() if where == "cuda" else cores, tasks))


def count_gpus() -> int:
    """Returns the number of NVIDIA GPUs; only here is torch needed, which a process of its own loads with its run."""
    import torch

    return torch.cuda.device_count()


def spread(tasks: Sequence[Task], jobs: int) -> list[Task]:
    """Returns runs in an order in which those at work at one time have different seeds.

    So none waits for another's pretraining.
    """
    conditions = list(dict.fromkeys(task.condition for task in tasks))
    return sorted(tasks, key=lambda task: (task.seed // jobs, conditions.index(task.condition), task.seed))


def run_tasks(
    work: RunTask, sweep: Any, tasks: Sequence[Task], jobs: int, device: str, progress: Progress
) -> Iterator[tuple[Task, RunRecord | None, str]]:
    """Does runs; yields each as it ends, with its record or with the reason why it failed, which stops no other.

    Several jobs are processes with their share of the cores, and each its own GPU where there are several.

    Raises:
        MachineError: the machine is at its limits, as when the disk is full.
    """
    if jobs == 1:
        for number, task in enumerate(tasks, start=1):
            progress.say(f"Run {number} of {len(tasks)}: {task.name}")
            try:
                yield task, work(sweep, task, progress), ""
            except RecapError as error:
                yield task, None, error.message
        return
    rules = Rules(jobs, len(tasks), seconds=math.inf, grace=0.0, ordered=False, environments=environments(jobs, device))
    states: dict[Task, str] = {}
    progress.start(f"{len(tasks)} runs, {jobs} at a time", len(tasks))
    for event in work_through(([task] for task in tasks), partial(RunWorker, work, sweep), rules):
        if isinstance(event, Note):
            if event.item not in states:
                progress.say(f"Run {tasks.index(event.item) + 1} of {len(tasks)}: {event.item.name}")
            states[event.item] = event.text
            progress.advance(0, "; ".join(states.values()))
        elif isinstance(event, Answer):
            states.pop(event.item, None)
            progress.advance(note="; ".join(states.values()))
            yield event.item, event.value, event.reason
    progress.finish()


def environments(jobs: int, device: str) -> tuple[Mapping[str, str], ...]:
    """Returns the environment of each process: its share of the cores, and a GPU of its own where there are several."""
    threads = thread_variables(max(1, (os.cpu_count() or 1) // jobs))
    gpus = count_gpus() if choose_device(device) == "cuda" else 0
    if gpus < 2:
        return (threads,)
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    shown = given.split(",") if given else map(str, range(gpus))
    return tuple({**threads, "CUDA_VISIBLE_DEVICES": one} for one in shown)


@dataclass(frozen=True)
class RunWorker:
    """Does runs in a process of its own."""

    work: RunTask
    sweep: Any

    def handle(self, task: Task) -> RunRecord:
        """Does a run.

        Raises:
            RecapError: it fails.
        """
        tell("starting")
        try:
            return self.work(self.sweep, task, ToldProgress())
        except OptionError as error:  # of what lies in this run's folder, say: the pool would end all for it
            raise DataError(error.message, error.hint) from error

    def finish(self) -> None:
        """Keeps nothing: a run keeps its record itself."""


class ToldProgress(SilentProgress):
    """Tells the process that began this one how far a run is, once a second at the most.

    Lines and tables stay here: the run's log has what matters.
    """

    task, done, total, told = "", 0, 0, 0.0

    def start(self, task: str, total: int | None = None, done: int = 0) -> None:
        """Begins a task."""
        self.task, self.done, self.total = task, done, total or 0

    def advance(self, count: int = 1, note: str = "") -> None:
        """Says how far the task is."""
        self.done += count
        if time.monotonic() - self.told >= 1:
            self.told = time.monotonic()
            share = f" {100 * self.done // self.total} %" if self.total else ""
            tell(f"{self.task.split()[0].lower()}{share}")
