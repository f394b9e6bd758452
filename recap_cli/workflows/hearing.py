"""Processes that hear songs: each has one thread; one that dies or hangs costs the song at fault, not the run."""

import multiprocessing
import os
import signal
import sys
import time
import traceback
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerContext, SpawnContext
from typing import Any

from recap_cli.errors import DataError, RecapError
from recap_cli.workflows.listener import Heard, HearingSettings, Listener, Task
from recap_cli.workflows.threads import single_threaded

SONG_SECONDS = 300.0  # for one song; the slowest resampler takes some 40 s for ten minutes of music
STOP_SECONDS = 30.0  # for a process that is asked to keep what it has
MOST_DEATHS = 2  # of processes over one song


@dataclass
class Chunk:
    """Songs that are heard together; `told` are those whose fate is known already, `deaths` counts lost processes."""

    tasks: list[Task]
    told: set[int] = field(default_factory=set)
    deaths: Counter[int] = field(default_factory=Counter)


@dataclass(frozen=True)
class Finished:
    """A process has written a chunk's shard; its name, "" where nothing was new."""

    shard: str


@dataclass
class Worker:
    """A process, the connection to it, and what it is at."""

    process: Any
    connection: Connection
    chunk: Chunk | None = None
    done: int = 0
    since: float = 0.0

    def give(self, chunk: Chunk) -> None:
        """Send it a chunk."""
        self.chunk, self.done, self.since = chunk, 0, time.monotonic()
        with suppress(OSError):  # it has died; that is noticed when it is listened to
            self.connection.send(chunk.tasks)


def hear_all(chunks: Iterator[list[Task]], settings: HearingSettings, jobs: int) -> Iterator[Heard | Finished]:
    """Hear chunks of songs in `jobs` processes; give each song's fate as it is known, and each shard.

    When the caller stops early, by Ctrl-C say, the processes keep what they have in the cache and end.

    Raises:
        DataError: a shard cannot be written, or the processes cannot be started.
    """
    context = process_context()
    again: deque[Chunk] = deque()
    workers: list[Worker] = []

    def next_chunk() -> Chunk | None:
        if again:
            return again.popleft()
        tasks = next(chunks, None)
        return Chunk(tasks) if tasks else None

    def employ() -> None:
        while len(workers) < jobs and (chunk := next_chunk()):
            workers.append(start_worker(context, settings))
            workers[-1].give(chunk)

    try:
        employ()
        while workers:
            for worker in listen(workers):
                yield from attend(worker, workers, again)
                if worker in workers and worker.chunk is None:
                    if chunk := next_chunk():
                        worker.give(chunk)
                    else:
                        dismiss(worker, workers)
            employ()
    finally:
        stop(workers)


def listen(workers: Sequence[Worker]) -> list[Worker]:
    """Wait until processes have something to say, have died, or have been at one song for too long."""
    ready = set(wait([worker.connection for worker in workers], timeout=1.0))
    now = time.monotonic()
    return [worker for worker in workers if worker.connection in ready or now - worker.since > SONG_SECONDS]


def attend(worker: Worker, workers: list[Worker], again: deque[Chunk]) -> Iterator[Heard | Finished]:
    """Take one message of a process, or its silence."""
    chunk = worker.chunk
    assert chunk is not None
    try:
        message = worker.connection.recv() if worker.connection.poll() else "hangs"
    except (EOFError, OSError):
        message = "died"
    if isinstance(message, Heard):
        worker.done, worker.since = worker.done + 1, time.monotonic()
        if message.position not in chunk.told:
            chunk.told.add(message.position)
            yield message
    elif isinstance(message, Finished):
        worker.chunk = None
        yield message
    elif isinstance(message, RecapError):
        raise message
    elif message in ("died", "hangs"):
        workers.remove(worker)
        yield from bury(worker, chunk, again, hangs=message == "hangs")
    else:
        raise RuntimeError(f"in a process that hears songs:\n{message}")


def bury(worker: Worker, chunk: Chunk, again: deque[Chunk], hangs: bool) -> Iterator[Heard]:
    """Give a lost process's chunk to another; the song it was at is rejected when that is not the first time.

    Raises:
        DataError: processes die before they hear anything or while they write.
    """
    if hangs:
        worker.process.kill()
    worker.process.join(STOP_SECONDS)
    code = worker.process.exitcode
    cause = f"the process that read it {describe_exit(code)}"
    if worker.done >= len(chunk.tasks):
        chunk.deaths[-1] += 1
        if chunk.deaths[-1] >= MOST_DEATHS:
            raise DataError(f"the process that writes mels {describe_exit(code)}", "is there enough memory and disk?")
    else:
        task = chunk.tasks[worker.done]
        chunk.deaths[task.position] += 1
        if hangs or chunk.deaths[task.position] >= MOST_DEATHS:
            chunk.tasks = [other for other in chunk.tasks if other is not task]
            yield Heard(task.position, reason=f"reading it took over {SONG_SECONDS:g} s" if hangs else cause)
    if chunk.tasks:
        again.append(chunk)


def describe_exit(code: int | None) -> str:
    """Say how a process ended."""
    if code is None or code >= 0:
        return f"ended with code {code}"
    name = signal.Signals(-code).name if -code in {one.value for one in signal.Signals} else str(-code)
    return f"was killed ({name}{', out of memory?' if name == 'SIGKILL' else ''})"


def start_worker(context: SpawnContext | ForkServerContext, settings: HearingSettings) -> Worker:
    """Start a process that hears songs."""
    ours, theirs = context.Pipe()
    process = context.Process(target=work, args=(theirs, settings), daemon=True)
    with single_threaded(), without_main():
        process.start()
    theirs.close()
    return Worker(process, ours, since=time.monotonic())


def dismiss(worker: Worker, workers: list[Worker]) -> None:
    """Let a process end that has nothing more to do."""
    workers.remove(worker)
    worker.connection.close()
    worker.process.join(STOP_SECONDS)


def stop(workers: list[Worker]) -> None:
    """Ask processes to keep what they have and to end; make them end."""
    for worker in workers:
        with suppress(OSError):
            worker.connection.send("stop")
    until = time.monotonic() + STOP_SECONDS
    try:
        for worker in workers:
            drain(worker, until)
            worker.process.join(max(0.1, until - time.monotonic()))
    finally:
        for worker in workers:
            worker.process.kill()
            worker.connection.close()


def drain(worker: Worker, until: float) -> None:
    """Take what a process still says, so that it does not wait for us."""
    with suppress(EOFError, OSError):
        while worker.connection.poll(max(0.0, until - time.monotonic())):
            worker.connection.recv()


def work(connection: Connection, settings: HearingSettings) -> None:
    """Hear the chunks that come, until none come; runs in a process of its own."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the one who gives the work
    mute_libraries()
    with suppress(EOFError, OSError):  # the other side has gone
        try:
            listener = Listener(settings)
            while isinstance(tasks := connection.recv(), list):
                for task in tasks:
                    connection.send(listener.hear(task))
                    if connection.poll() and connection.recv() == "stop":
                        listener.save()
                        return
                connection.send(Finished(listener.save()))
        except RecapError as error:
            connection.send(error)
        except (EOFError, OSError):
            raise
        except Exception:
            connection.send(traceback.format_exc())


def mute_libraries() -> None:
    """Keep decoders, which comment on damaged files, from writing into the progress; our errors travel another way."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)


def process_context() -> SpawnContext | ForkServerContext:
    """How processes start: from a server that has imported what they need, where there is one."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([Listener.__module__, __name__])
    return context


@contextmanager
def without_main() -> Iterator[None]:
    """Keep new processes from running the caller's script again, which they have no use for."""
    main = sys.modules["__main__"]
    spec, file = getattr(main, "__spec__", None), getattr(main, "__file__", None)
    main.__spec__ = None
    if file is not None:
        del main.__file__
    try:
        yield
    finally:
        main.__spec__ = spec
        if file is not None:
            main.__file__ = file
