"""The contract of the one pool of processes: order, patience, time limits, deaths, and no process left behind."""

import errno
import math
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from recap_cli.errors import AudioError, DataError, LyricsError, MachineError, OptionError
from recap_cli.runtime import worker_process, workers
from recap_cli.runtime.worker_process import attempt, describe_exit, retry, tell
from recap_cli.runtime.workers import Answer, Finished, Note, Rules, work_through

SLOW = 0.3


@dataclass
class Clerk:
    """Does what each item says; writes down the processes that it is in, and what it has when a chunk ends."""

    folder: Path
    pids: tuple[int, ...] = ()

    def __post_init__(self):
        (self.folder / f"pid-{os.getpid()}").touch()
        self.kept = []

    def handle(self, item):
        word, _, rest = str(item).partition(" ")
        if word == "slow":
            time.sleep(SLOW)
        elif word == "child":
            with subprocess.Popen(["sleep", "60"]) as child:
                (self.folder / f"pid-{child.pid}").touch()
                child.wait()
        elif word == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        elif word == "exit":
            os._exit(3)
        elif word == "stop":
            os.kill(os.getpid(), signal.SIGSTOP)
        elif word == "spin":
            while True:
                pass
        elif word == "after":  # another chunk
            wait_until((self.folder / f"kept-{rest}").exists, 60)
        elif word == "note":
            tell(rest)
        elif word == "environment":
            return [os.environ.get(name, "") for name in rest.split()]
        elif word == "once":  # dies the first time
            path = self.folder / rest
            if not path.exists():
                path.touch()
                os._exit(1)
        elif word == "passing":  # fails as a network drive does, twice
            path = self.folder / rest
            path.write_text(path.read_text() + "x" if path.exists() else "x")
            if len(path.read_text()) < 3:
                raise OSError(errno.ESTALE, "Stale file handle")
        elif word == "unpicklable":
            return threading.Lock()
        elif word in ERRORS:
            raise ERRORS[word] from CAUSES.get(word)
        self.kept.append(item)
        return f"did {item}"

    def finish(self):
        if "last" in self.kept:
            os.kill(os.getpid(), signal.SIGKILL)
        (self.folder / f"kept-{'-'.join(self.kept)}").touch()
        kept, self.kept = self.kept, []
        return kept


ERRORS = {
    "damaged": AudioError("it is damaged", "fetch it again"),
    "words": LyricsError("no words"),
    "bug": KeyError("bug"),
    "memory": MemoryError(),
    "denied": MachineError("it may not be read"),
    "full": AudioError("no room in the folder for temporary files"),
    "files": MachineError(f"a.wav cannot be opened: {os.strerror(errno.EMFILE)}"),
    "option": OptionError("--excerpt foo is no place in a song", "give start"),
}
CAUSES = {
    "denied": OSError(errno.EACCES, "Permission denied"),
    "full": OSError(errno.ENOSPC, "No space left on device"),
}


def run(folder: Path, *chunks: list[str], jobs: int = 2, **rules) -> list[Answer | Finished]:
    return list(work_through(iter(chunks), partial(Clerk, folder), Rules(jobs, **{"ahead": 4, "grace": 5.0, **rules})))


def told(events) -> list[str]:
    return [event.value or event.reason for event in events if isinstance(event, Answer)]


def alive(folder: Path) -> set[int]:
    return {pid for path in folder.glob("pid-*") if is_running(pid := int(path.name.removeprefix("pid-")))}


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def wait_until(condition, seconds: float = 15.0) -> None:
    until = time.monotonic() + seconds
    while not condition() and time.monotonic() < until:
        time.sleep(0.05)
    assert condition()


@pytest.fixture(autouse=True)
def nothing_is_left(tmp_path):
    yield
    wait_until(lambda: not alive(tmp_path), 5)
    assert not [one for one in multiprocessing.active_children() if one.is_alive()]


# order and answers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("held", "ahead"), [(1, 1), (1, 3), (2, 8)])
def test_answers_come_in_order_whoever_is_slow(tmp_path, held, ahead):
    events = run(tmp_path, ["slow a", "b"], ["c"], ["d", "e", "f"], [], ["slow g"], ["h"], held=held, ahead=ahead)
    assert told(events) == [f"did {name}" for name in ("slow a", "b", "c", "d", "e", "f", "slow g", "h")]
    ends = [event.value for event in events if isinstance(event, Finished)]
    assert ends == [["slow a", "b"], ["c"], ["d", "e", "f"], [], ["slow g"], ["h"]]
    assert isinstance(events[2], Finished) and isinstance(events[4], Finished)


def test_no_more_is_read_than_may_be_begun(tmp_path):
    read = []

    def chunks():
        for number in range(50):
            read.append(number)
            yield [str(number)]

    events = work_through(chunks(), partial(Clerk, tmp_path), Rules(2, ahead=5, grace=5.0))
    first = next(events)
    assert first == Answer("0", "did 0") and len(read) == 5
    events.close()


def test_processes_work_while_this_one_is_busy(tmp_path):
    """As the model is: nobody takes answers for a while, and yet all that may be begun is done."""
    events = work_through(
        iter([[str(n)] for n in range(40)]), partial(Clerk, tmp_path), Rules(2, ahead=30, held=2, grace=5.0)
    )
    next(events)
    wait_until(lambda: len(list(tmp_path.glob("kept-*"))) >= 30)
    assert told(events) == [f"did {number}" for number in range(1, 40)]


def test_failures_are_answers(tmp_path):
    events = run(tmp_path, ["damaged", "a", "bug", "memory", "unpicklable", "denied"], ["words", "b"])
    assert told(events) == [
        "it is damaged", "did a", "unexpected KeyError: 'bug'", "there is not enough memory for it",
        "its answer cannot be sent: cannot pickle '_thread.lock' object", "it may not be read", "no words", "did b",
    ]  # fmt: skip
    assert [event.value for event in events if isinstance(event, Finished)] == [["a"], ["b"]]


def test_answers_come_as_they_end_where_that_is_asked_for(tmp_path):
    found = told(run(tmp_path, ["after b"], ["b"], ["c"], ordered=False, environments=({},)))
    assert sorted(found) == ["did after b", "did b", "did c"]
    assert found.index("did b") < found.index("did after b")


def test_notes_come_before_the_answer(tmp_path):
    events = run(tmp_path, ["note half of it", "a"], jobs=1)
    assert events[:2] == [Note("note half of it", "half of it"), Answer("note half of it", "did note half of it")]
    tell("outside of the pool it is for nobody")


def test_each_place_has_its_environment(tmp_path, monkeypatch):
    """One thread where none is asked for; and what this process has stays as it was."""
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    item = "environment OMP_NUM_THREADS CUDA_VISIBLE_DEVICES"
    assert told(run(tmp_path, [item], jobs=1)) == [["1", ""]]
    places = tuple({"OMP_NUM_THREADS": "2", "CUDA_VISIBLE_DEVICES": gpu} for gpu in "ab")
    events = run(tmp_path, ["slow x", item], ["slow y", item], environments=places)
    assert [answer for answer in told(events) if isinstance(answer, list)] == [["2", "a"], ["2", "b"]]
    assert os.environ["OMP_NUM_THREADS"] == "7" and "CUDA_VISIBLE_DEVICES" not in os.environ


# errors that end all --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("item", "kind", "hint"),
    [("full", MachineError, "make room"), ("files", MachineError, "make room"), ("option", OptionError, "give start")],
)
def test_the_machines_and_the_settings_faults_end_all(tmp_path, item, kind, hint):
    """And what was done before is kept and given."""
    events = work_through(iter([["a", item, "b"]]), partial(Clerk, tmp_path), Rules(1, ahead=2, grace=5.0))
    assert next(events).value == "did a"
    with pytest.raises(kind) as caught:
        list(events)
    assert caught.value.hint.startswith(hint)
    assert (tmp_path / "kept-a").exists()


class Broken(Clerk):
    def __post_init__(self):
        raise {"data": DataError("x.safetensors is damaged", "prepare again"), "bug": TypeError("bug")}[self.pids]


class Stillborn(Clerk):
    def __post_init__(self):
        os.kill(os.getpid(), signal.SIGKILL)


def test_an_initializer_that_fails_ends_all(tmp_path):
    rules = Rules(2, ahead=4, grace=5.0)
    with pytest.raises(DataError, match=r"x\.safetensors is damaged"):
        list(work_through(iter([["a"], ["b"]]), partial(Broken, tmp_path, "data"), rules))
    with pytest.raises(RuntimeError, match="TypeError: bug"):
        list(work_through(iter([["a"], ["b"]]), partial(Broken, tmp_path, "bug"), rules))
    with pytest.raises(DataError, match=r"a worker process was killed \(SIGKILL"):
        list(work_through(iter([["a"], ["b"]]), partial(Stillborn, tmp_path), rules))


def test_a_process_that_dies_while_it_keeps_results_is_told(tmp_path):
    with pytest.raises(DataError, match="the process that keeps the results was killed"):
        run(tmp_path, ["a", "last"])


# patience -------------------------------------------------------------------------------------------------------------


def test_a_process_tries_a_passing_error_again(tmp_path):
    assert told(run(tmp_path, ["passing drive", "a"])) == ["did passing drive", "did a"]


@pytest.fixture
def naps(monkeypatch) -> list[float]:
    found: list[float] = []
    monkeypatch.setattr(worker_process.time, "sleep", found.append)
    return found


def fails(times: int, error: Exception):
    """Something that fails so many times."""
    calls = []

    def action():
        calls.append(1)
        if len(calls) <= times:
            try:
                raise error
            except OSError as cause:
                raise AudioError("x.wav cannot be opened") from cause
        return "heard"

    return action


def test_what_passes_is_tried_again(naps):
    assert retry(fails(2, OSError(errno.EIO, "I/O error"))) == "heard"
    assert naps == [0.5, 1.0]
    with pytest.raises(AudioError):
        retry(fails(3, OSError(errno.ESTALE, "Stale file handle")))
    naps.clear()
    with pytest.raises(AudioError):
        retry(fails(1, FileNotFoundError(errno.ENOENT, "No such file")))
    assert naps == []
    assert attempt(fails(1, OSError(errno.ETIMEDOUT, "Connection timed out"))) == ("heard", "")
    assert attempt(fails(9, OSError(errno.EIO, "I/O error"))) == (None, "x.wav cannot be opened")


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE])
def test_what_the_machine_lacks_is_told_as_such(naps, code):
    with pytest.raises(MachineError, match=r"x\.wav cannot be opened") as caught:
        attempt(fails(9, OSError(code, os.strerror(code))))
    assert "start it again: nothing is lost" in caught.value.hint and naps == []


@pytest.mark.parametrize("code", [errno.EACCES, errno.EPERM, errno.ENOENT, errno.EISDIR])
def test_what_one_file_lacks_is_its_own(naps, code):
    """Permission, too: it is tried again when all is started again."""
    assert attempt(fails(9, OSError(code, os.strerror(code)))) == (None, "x.wav cannot be opened")


def test_processes_that_cannot_be_started_are_told(tmp_path, monkeypatch):
    def refuse(*arguments):
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(workers, "start_process", refuse)
    with pytest.raises(MachineError, match="worker processes cannot be started: Too many open files"):
        run(tmp_path, ["a"])


# deaths and time limits -----------------------------------------------------------------------------------------------


def test_a_death_costs_its_own_item_and_only_the_second_one(tmp_path):
    events = run(tmp_path, ["a", "die", "b"], ["once x", "c"], ["exit"], ["d"])
    assert told(events) == [
        "did a", "its process was killed (SIGKILL, out of memory?)", "did b", "did once x", "did c",
        "its process ended with code 3", "did d",
    ]  # fmt: skip
    ends = [event.value for event in events if isinstance(event, Finished)]
    assert ends[:2] == [["a", "b"], ["once x", "c"]] and ends[3] == ["d"]


@pytest.mark.parametrize("held", [1, 2])
def test_all_processes_hang_and_the_rest_goes_on(tmp_path, held):
    """Stopped as by SIGSTOP, or in a loop that hears no signal: given up after the limit, the first time."""
    events = run(tmp_path, ["stop"], ["spin"], ["a"], ["stop 2", "b"], ["c"], seconds=1.0, held=held)
    late = "it took over 1 s"
    assert told(events) == [late, late, "did a", late, "did b", "did c"]


def test_an_item_may_have_no_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(workers, "ITEM_SECONDS", 0.1)
    assert told(run(tmp_path, ["slow"], seconds=math.inf)) == ["did slow"]
    assert told(run(tmp_path, ["stop"])) == ["it took over 0.1 s"]


def test_the_limit_is_of_an_item_and_not_of_a_chunk(tmp_path):
    assert told(run(tmp_path, ["slow"] * 5, seconds=1.0, jobs=1)) == ["did slow"] * 5


def test_a_stop_of_this_process_is_held_against_nobody(tmp_path, monkeypatch):
    """After Ctrl-Z, an hour may have passed that the others did not have."""
    monkeypatch.setattr(workers, "LATE", 0.5)
    real, naps = workers.wait, []

    def wait(*arguments, **options):
        found = real(*arguments, **options)
        if (tmp_path / "begun").exists() and not naps:
            naps.append(time.sleep(2.0))
            return []
        return found

    def chunks():
        yield ["a"]
        (tmp_path / "begun").touch()
        yield ["slow b"]

    monkeypatch.setattr(workers, "wait", wait)
    events = work_through(chunks(), partial(Clerk, tmp_path), Rules(1, ahead=1, seconds=1.5, grace=5.0))
    assert told(events) == ["did a", "did slow b"] and naps


# nothing is left behind -----------------------------------------------------------------------------------------------


def test_who_stops_early_keeps_what_was_done_and_leaves_no_process(tmp_path):
    events = work_through(iter([["a", "slow b", "c"], ["d"]]), partial(Clerk, tmp_path), Rules(1, 4, grace=5.0))
    assert next(events).value == "did a"
    events.close()
    assert not alive(tmp_path)
    kept = {path.name for path in tmp_path.glob("kept-*")}
    assert kept in ({"kept-a"}, {"kept-a-slow b"})  # the second may have been begun, or not yet


SCRIPT = """
import sys
from functools import partial
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_workers import Clerk
from recap_cli.runtime.workers import Rules, work_through
if __name__ == "__main__":
    chunks = iter([["a"], *[[item] for item in {items!r}]])
    try:
        for event in work_through(chunks, partial(Clerk, Path({folder!r})), Rules(2, 9, held=2, grace=1.0)):
            print(event, flush=True)
    except KeyboardInterrupt:
        sys.exit(130)
"""


def start(folder: Path, *items: str) -> subprocess.Popen:
    """A program of its own, in the group that a terminal would send its signals to; at work when this returns."""
    code = SCRIPT.format(tests=str(Path(__file__).parent), items=items, folder=str(folder))
    path = folder / "script.py"
    path.write_text(code)
    heed = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # whatever the tests were started with
    process = subprocess.Popen(
        [sys.executable, path], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True, text=True,
        preexec_fn=heed,
    )  # fmt: skip
    assert "did a" in process.stdout.readline()
    return process


@pytest.mark.parametrize("signals", [[signal.SIGINT], [signal.SIGKILL], [signal.SIGTERM]])
def test_however_the_parent_ends_no_process_is_left(tmp_path, signals):
    """One is in a decoder of its own, one in a loop, and Ctrl-C goes to the whole group."""
    process = start(tmp_path, "child", "spin")
    wait_until(lambda: len(alive(tmp_path)) >= 3)
    for number in signals:
        if number == signal.SIGINT:
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)
    code = process.wait(20)
    assert code == (130 if signals == [signal.SIGINT] else -signals[0])
    wait_until(lambda: not alive(tmp_path))
    process.stdout.close()


def test_stopped_processes_end_with_a_parent_that_is_killed(tmp_path):
    process = start(tmp_path, "stop", "stop")
    wait_until(lambda: len(alive(tmp_path)) >= 2)
    time.sleep(0.3)
    process.kill()
    process.wait()
    wait_until(lambda: not alive(tmp_path))
    process.stdout.close()


def test_exits_in_words():
    assert describe_exit(-9) == "was killed (SIGKILL, out of memory?)"
    assert describe_exit(-11) == "was killed (SIGSEGV)"
    assert describe_exit(3) == "ended with code 3"
    assert describe_exit(None) == "ended with code None"
