"""The runs of a sweep, one after another or several at a time in processes of their own."""

import multiprocessing
import os
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

import torch

from recap_cli.ablation.conditions import RunRecord, Task
from recap_cli.errors import RecapError
from recap_cli.progress import Progress, Table
from recap_cli.runtime.device import choose_device, limited_threads
from recap_cli.runtime.worker_process import follow_parent

MOST_JOBS = 8
Finished = tuple[Task, RunRecord | None, str]


def default_jobs(device: str, small: bool, tasks: int) -> int:
    """Give the number of runs at a time: one a GPU; on a CPU one a core for small models, and one for large ones."""
    where = choose_device(device)
    cores = min(os.cpu_count() or 1, MOST_JOBS) if where == "cpu" and small else 1
    most = torch.cuda.device_count() if where == "cuda" else cores
    return max(1, min(most, tasks))


def spread(tasks: Sequence[Task], jobs: int) -> list[Task]:
    """Order runs so that those at work at one time are of different seeds: none waits for another's pretraining."""
    arms = list(dict.fromkeys(task.condition for task in tasks))
    return sorted(tasks, key=lambda task: (task.seed // jobs, arms.index(task.condition), task.seed))


def run_tasks(
    work: Callable[[Any, Task, Progress], RunRecord],
    sweep: Any,
    tasks: Sequence[Task],
    jobs: int,
    device: str,
    progress: Progress,
) -> Iterator[Finished]:
    """Run tasks; give each as it ends, with its record or with the reason why it failed.

    With several jobs, each task has a process of its own with its share of the cores, and its own GPU where there are
    several. A task that fails does not stop the others.

    Args:
        work: does one task.
        sweep: handed to it.
        tasks: what to do, in order.
        jobs: tasks at a time.
        device: where they run.
        progress: where to report.
    """
    if jobs == 1:
        for number, task in enumerate(tasks, start=1):
            progress.say(f"Run {number} of {len(tasks)}: {task.name}")
            try:
                yield task, work(sweep, task, progress), ""
            except RecapError as error:
                yield task, None, error.message
        return
    yield from Crew(work, sweep, jobs, device, progress).run(tasks)


@dataclass
class Worker:
    """A process at work.

    Attributes:
        task: its task.
        process: the process.
        connection: what it says.
        place: its number among those at work.
        state: a few words on how far it is.
    """

    task: Task
    process: BaseProcess
    connection: Connection
    place: int
    state: str = "starting"


class Crew:
    """Several processes at a time, each with one task."""

    def __init__(self, work: Callable[..., RunRecord], sweep: Any, jobs: int, device: str, progress: Progress) -> None:
        self.work, self.sweep, self.jobs, self.progress = work, sweep, jobs, progress
        self.gpus = torch.cuda.device_count() if choose_device(device) == "cuda" else 0
        self.workers: list[Worker] = []

    def run(self, tasks: Sequence[Task]) -> Iterator[Finished]:
        """Run all tasks."""
        waiting = list(enumerate(tasks, start=1))
        self.progress.start(f"{len(tasks)} runs, {self.jobs} at a time", len(tasks))
        try:
            while waiting or self.workers:
                while waiting and len(self.workers) < self.jobs:
                    number, task = waiting.pop(0)
                    self.progress.say(f"Run {number} of {len(tasks)}: {task.name}")
                    self.begin(task)
                for finished in self.listen():
                    self.progress.advance(note=self.note())
                    yield finished
        finally:
            for worker in self.workers:
                worker.process.kill()
        self.progress.finish()

    def begin(self, task: Task) -> None:
        """Start a process for a task."""
        place = min(set(range(self.jobs)) - {worker.place for worker in self.workers})
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe(duplex=False)
        before = os.environ.get("CUDA_VISIBLE_DEVICES")
        if self.gpus > 1:
            shown = before.split(",") if before else [str(number) for number in range(self.gpus)]
            os.environ["CUDA_VISIBLE_DEVICES"] = shown[place % len(shown)]
        process = context.Process(target=work_alone, args=(self.work, self.sweep, task, theirs), daemon=False)
        try:
            with limited_threads(max(1, (os.cpu_count() or 1) // self.jobs)):
                process.start()
        finally:
            if before is not None:
                os.environ["CUDA_VISIBLE_DEVICES"] = before
            elif self.gpus > 1:
                os.environ.pop("CUDA_VISIBLE_DEVICES")
        theirs.close()
        self.workers.append(Worker(task, process, ours, place))

    def listen(self) -> Iterator[Finished]:
        """Hear what the processes say; give the tasks that ended."""
        for connection in wait([worker.connection for worker in self.workers], timeout=5):
            worker = next(one for one in self.workers if one.connection is connection)
            try:
                kind, value = worker.connection.recv()
            except EOFError:
                worker.process.join()
                kind, value = "failed", f"its process ended with exit code {worker.process.exitcode}"
            if kind == "state":
                worker.state = value
                self.progress.advance(0, self.note())
                continue
            self.workers.remove(worker)
            worker.process.join()
            record = RunRecord.from_json(value) if kind == "record" else None
            yield worker.task, record, "" if record else value

    def note(self) -> str:
        """Say in a few words how far all are."""
        return "; ".join(worker.state for worker in self.workers)


class PipeProgress:
    """Reports to the process that began this one, once a second at the most."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.task, self.done, self.total, self.told = "", 0, 0, 0.0

    def start(self, task: str, total: int | None = None) -> None:
        """Begin a task."""
        self.task, self.done, self.total = task, 0, total or 0

    def advance(self, count: int = 1, note: str = "") -> None:
        """Say how far the task is."""
        self.done += count
        if time.monotonic() - self.told >= 1:
            self.told = time.monotonic()
            share = f" {100 * self.done // self.total} %" if self.total else ""
            self.connection.send(("state", f"{self.task.split()[0].lower()}{share}"))

    def finish(self) -> None:
        """End the task; the next one says more."""

    def say(self, message: str) -> None:
        """Keep a line to itself: the run's log has what matters."""

    def warn(self, message: str) -> None:
        """Keep a warning to itself: the figures of the run say the same."""

    def show(self, table: Table) -> None:
        """Keep a table to itself."""


def work_alone(work: Callable[..., RunRecord], sweep: Any, task: Task, connection: Connection) -> None:
    """Do a task in a process of its own and send its record, or why it failed."""
    follow_parent()
    try:
        connection.send(("record", work(sweep, task, PipeProgress(connection)).to_json()))
    except RecapError as error:
        connection.send(("failed", error.message))
    except Exception as error:
        traceback.print_exc()
        connection.send(("failed", f"{type(error).__name__}: {error}"))
