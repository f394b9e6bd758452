"""The runs of a sweep in processes of their own: records, failures, deaths, and an end with the parent."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from recap_cli.ablation.conditions import FUSION, Condition, RunRecord
from recap_cli.ablation.runs import Task, default_jobs, run_tasks, spread
from recap_cli.errors import ModelError
from recap_cli.progress import SilentProgress

ROOT = Path(__file__).parents[2]
TASKS = [Task(Condition(FUSION), 0), *(Task(Condition("", alpha, "positive"), 0) for alpha in (0.1, 0.2, 0.3, 0.4))]


def work(sweep, task: Task, progress) -> RunRecord:
    """A run that ends as its weight says; `sweep` is a folder to leave traces in."""
    (Path(sweep) / f"{task.condition.alpha:g}-{os.getpid()}").touch()
    progress.start("Training", 2)
    progress.advance()
    if task.condition.alpha == 0.1:
        raise ModelError("the loss is nan at step 3")
    if task.condition.alpha == 0.2:
        raise ZeroDivisionError("a bug")
    if task.condition.alpha == 0.3:
        os.kill(os.getpid(), signal.SIGKILL)
    if task.condition.alpha == 9:
        time.sleep(60)
    made = {"threads": os.environ["OMP_NUM_THREADS"], "process": os.getpid()}
    return RunRecord({"sweep": 1}, task.condition, task.seed, "made up", {"rougeL": [0.5]}, made=made)


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    return {
        task: (record, reason) for task, record, reason in run_tasks(work, folder, TASKS, 3, "cpu", SilentProgress())
    }


def test_every_task_ends_with_a_record_or_a_reason(ended):
    assert ended.keys() == set(TASKS)
    for alpha in (0.0, 0.4):
        record, reason = next(end for task, end in ended.items() if task.condition.alpha == alpha)
        assert (record.condition.alpha, record.values, reason) == (alpha, {"rougeL": [0.5]}, "")
        assert record.made["process"] != os.getpid()
        assert record.made["threads"] == str(max(1, (os.cpu_count() or 1) // 3))


def test_failures_have_their_reasons(ended):
    reasons = {task.condition.alpha: reason for task, (record, reason) in ended.items() if record is None}
    assert reasons == {
        0.1: "the loss is nan at step 3",
        0.2: "unexpected ZeroDivisionError: a bug",
        0.3: "its process was killed (SIGKILL, out of memory?)",
    }


def test_runs_end_with_a_parent_that_is_killed(tmp_path):
    code = (
        "from test_runs import *\n"
        f"tasks = [Task(Condition('', 9.0, 'positive'), seed) for seed in range(2)]\n"
        f"list(run_tasks(work, {str(tmp_path)!r}, tasks, 2, 'cpu', SilentProgress()))\n"
    )
    guard = f"if __name__ == '__main__':\n{''.join('    ' + line + chr(10) for line in code.splitlines()[1:])}"
    script = tmp_path / "parent.py"
    script.write_text(code.splitlines()[0] + "\n" + guard)
    path = f"{ROOT}:{ROOT / 'tests' / 'ablation'}"
    parent = subprocess.Popen([sys.executable, script], env={**os.environ, "PYTHONPATH": path}, cwd=tmp_path)
    deadline = time.monotonic() + 60
    while len(found := list(tmp_path.glob("9-*"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.2)
    assert len(found) == 2
    parent.kill()
    parent.wait()
    children = [int(path.name.partition("-")[2]) for path in found]
    while any(is_alive(child) for child in children) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not any(is_alive(child) for child in children)


def is_alive(process: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return (Path("/proc") / str(process) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_jobs_by_default():
    assert default_jobs("cpu", small=False, tasks=5) == 1
    assert default_jobs("cpu", small=True, tasks=1) == 1
    assert default_jobs("cpu", small=True, tasks=100) == min(os.cpu_count() or 1, 8)


def test_runs_at_work_together_are_of_different_seeds():
    conditions = [Condition("", weight, "positive") for weight in (0.0, 0.1)]
    tasks = [Task(condition, seed) for seed in range(3) for condition in conditions]
    alone = spread(tasks, 1)
    assert alone == tasks
    pairs = spread(tasks, 2)
    assert [(task.condition.alpha, task.seed) for task in pairs] == [
        (0.0, 0),
        (0.0, 1),
        (0.1, 0),
        (0.1, 1),
        (0.0, 2),
        (0.1, 2),
    ]
