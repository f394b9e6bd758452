"""The one pool of processes, under `prepare`, `caption` and `ablate`, with one contract:

answers come in the order of the items, or as they end where that is asked for; a passing error of a disk or a network
is tried again; an item has a time limit; a process that dies or hangs costs the item it was at; Ctrl-C and a dying
parent leave no process behind.
"""

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, Pipe, wait
from typing import Any

from recap_cli.errors import DataError, MachineError, RecapError
from recap_cli.runtime.device import thread_variables
from recap_cli.runtime.worker_process import Work, WorkerProcess, describe_exit, kill, process_context, start_process

ITEM_SECONDS = 300.0  # for one item; the slowest resampler takes some 40 s for ten minutes of music
START_SECONDS = 120.0  # for a process to load what it needs
STOP_SECONDS = 30.0  # for a process that is asked to keep what it has
MOST_DEATHS = 2  # of processes over one item
LATE = 5.0  # seconds after which this process must have been stopped itself


@dataclass(frozen=True)
class Answer:
    """What became of an item: a value, or the reason why there is none."""

    item: Any
    value: Any = None
    reason: str = ""


@dataclass(frozen=True)
class Finished:
    """What `finish` gave for a chunk; it comes behind the answers of the chunk's items."""

    value: Any


@dataclass(frozen=True)
class Note:
    """A few words that a process told of the item it is at; it comes before the item's answer."""

    item: Any
    text: str


@dataclass(frozen=True)
class Rules:
    """How a pool works."""

    jobs: int  # processes
    ahead: int  # chunks that are begun before the first of them is taken
    held: int = 1  # chunks that a process has at a time: with 2 it never waits for this process, which may be busy
    seconds: float = field(default_factory=lambda: ITEM_SECONDS)  # for one item; math.inf sets no limit
    grace: float = STOP_SECONDS  # seconds for processes to keep what they have when all is stopped
    ordered: bool = True  # else answers come as they end
    # Environment variables of the process in each place, the first again behind the last. With any, a process loads
    # its libraries itself, which takes seconds; without, it has one numerical thread.
    environments: tuple[Mapping[str, str], ...] = ()


@dataclass
class Chunk:
    """Items that one process does; `left` numbers those to do, `told` those that were answered."""

    items: Sequence[Any]
    left: list[int]
    told: set[int] = field(default_factory=set)
    deaths: Counter[int] = field(default_factory=Counter)
    events: deque[Answer | Finished] = field(default_factory=deque)
    complete: bool = False


@dataclass
class Worker:
    """A process, the connection to it, its chunks, and since when it is at the item number `done` of the first."""

    process: WorkerProcess
    connection: Connection
    since: float
    place: int
    chunks: deque[Chunk] = field(default_factory=deque)
    done: int = 0
    ready: bool = False


def work_through(
    chunks: Iterable[Sequence[Any]], make: Callable[[], Work], rules: Rules
) -> Iterator[Answer | Finished | Note]:
    """Does chunks of items in processes; yields each item's answer in order, and what each chunk gave at its end.

    When the caller stops early, by Ctrl-C say, the processes keep what they have and end.

    Args:
        chunks: read in this thread, as they are needed.
        make: makes what a process does; it must be picklable.
        rules: how.

    Raises:
        OptionError: of an item; and any RecapError of `make` and `finish`.
        MachineError: the machine is at its limits.
        DataError: processes die before they begin, or at the end of a chunk.
    """
    pool, rest = Pool(make, rules), iter(chunks)
    waiting: deque[Chunk] = deque()
    try:
        while True:
            while len(waiting) < max(rules.ahead, 1) and (items := next(rest, None)) is not None:
                waiting.append(pool.submit(items))
            if not waiting:
                return
            yield from pool.events(waiting[0])
            waiting.popleft()
    finally:
        pool.close()


class Pool:
    """Processes, and the thread that attends to them while this one is busy."""

    def __init__(self, make: Callable[[], Work], rules: Rules) -> None:
        self.make, self.rules = make, rules
        self.context = process_context(make, fresh=bool(rules.environments))
        self.environments = rules.environments or (thread_variables(1),)
        self.pending: deque[Chunk] = deque()
        self.workers: list[Worker] = []
        self.changed = threading.Condition()
        self.news: deque[Answer | Finished | Note] = deque()  # events whose order does not matter
        self.error: BaseException | None = None
        self.failed_starts = 0
        self.stopping = False
        self.bell, self.rope = Pipe(duplex=False)  # wakes the thread
        self.thread = threading.Thread(target=self.attend, name="recap-workers", daemon=True)

    # in the caller's thread -------------------------------------------------------------------------------------------

    def submit(self, items: Sequence[Any]) -> Chunk:
        """Queues a chunk."""
        chunk = Chunk(items, list(range(len(items))))
        self.pending.append(chunk)
        if not self.thread.ident:
            self.thread.start()
        self.rope.send_bytes(b".")
        return chunk

    def events(self, chunk: Chunk) -> Iterator[Answer | Finished | Note]:
        """Yields a chunk's events as they come, and what else there is to tell meanwhile.

        Raises:
            RecapError: all is over.
        """
        while True:
            with self.changed:
                self.changed.wait_for(lambda: self.news or chunk.events or chunk.complete or self.error is not None)
            over, error = chunk.complete, self.error  # what is told up to here is yielded first
            for told in (self.news, chunk.events):
                while told:
                    yield told.popleft()
            if over:
                return
            if error is not None:
                raise error

    def close(self) -> None:
        """Ends all processes."""
        self.stopping = True
        try:
            if self.thread.ident:
                with suppress(OSError):  # the thread has ended
                    self.rope.send_bytes(b".")
                self.thread.join(self.rules.grace + 2 * LATE)
        finally:
            for worker in self.workers:
                kill(worker.process)
            self.rope.close()

    # in the thread ----------------------------------------------------------------------------------------------------

    def attend(self) -> None:
        """Gives work to processes and takes their answers, until all is stopped."""
        try:
            while not self.stopping:
                self.employ()
                self.listen()
        except OSError as error:
            reason = f"worker processes cannot be started: {error.strerror or error}"
            self.fail(MachineError(reason, "lower --jobs, then start it again: nothing is lost"))
        except BaseException as error:  # of whatever kind: the caller waits for it
            self.fail(error)
        finally:
            self.stop()

    def fail(self, error: BaseException) -> None:
        """Ends all with an error, which the caller is to see."""
        with self.changed:
            self.error = error
            self.changed.notify_all()

    def tell(self, chunk: Chunk, event: Answer | Finished | Note, complete: bool = False) -> None:
        """Passes an event on to the caller."""
        with self.changed:
            if self.rules.ordered and not isinstance(event, Note):
                chunk.events.append(event)
            else:
                self.news.append(event)
            chunk.complete = complete
            self.changed.notify_all()

    def employ(self) -> None:
        """Gives chunks to processes that have none, starts processes, and then gives some to have at hand."""
        for held in range(1, self.rules.held + 1):
            for worker in self.workers:
                if self.pending and len(worker.chunks) < held:
                    self.give(worker, self.pending.popleft())
            while held == 1 and self.pending and len(self.workers) < self.rules.jobs:
                chunk = self.pending.popleft()
                self.give(self.hire(), chunk)

    def hire(self) -> Worker:
        """Starts a process in the first place that is free."""
        place = min(set(range(self.rules.jobs)) - {worker.place for worker in self.workers})
        variables = self.environments[place % len(self.environments)]
        process, connection = start_process(self.context, self.make, variables)
        self.workers.append(Worker(process, connection, time.monotonic(), place))
        return self.workers[-1]

    def give(self, worker: Worker, chunk: Chunk) -> None:
        """Sends a process a chunk."""
        if not worker.chunks:
            worker.done, worker.since = 0, time.monotonic()
        worker.chunks.append(chunk)
        with suppress(OSError):  # it has died; that is noticed when it is listened to
            worker.connection.send([(place, chunk.items[place]) for place in chunk.left])

    def listen(self) -> None:
        """Waits until processes have something to say, have died, or have been at one item for too long."""
        began = time.monotonic()
        ready = wait([self.bell, *(worker.connection for worker in self.workers)], timeout=0.2)
        late = time.monotonic() - began
        while self.bell.poll():
            self.bell.recv_bytes()
        for worker in list(self.workers):
            if late > LATE:  # this process was stopped, as by Ctrl-Z, and the others with it
                worker.since += late
            if worker.connection in ready:
                self.take(worker)
            elif worker.chunks and time.monotonic() - worker.since > self.limit(worker):
                self.bury(worker, hangs=True)

    def limit(self, worker: Worker) -> float:
        """Returns the seconds that a process may be silent."""
        return self.rules.seconds if worker.ready else max(self.rules.seconds, START_SECONDS)

    def take(self, worker: Worker) -> None:
        """Takes one message of a process, or its end."""
        try:
            kind, *rest = worker.connection.recv()
        except (EOFError, OSError):
            self.bury(worker)
            return
        if kind == "note":  # no sign that it does not hang: the item's time runs on
            chunk = worker.chunks[0]
            self.tell(chunk, Note(chunk.items[chunk.left[worker.done]], rest[0]))
            return
        worker.since = time.monotonic()
        if kind == "ready":
            worker.ready, self.failed_starts = True, 0
        elif kind == "answer":
            worker.done += 1
            self.answer(worker.chunks[0], *rest)
        elif kind == "finished":
            worker.done = 0
            self.tell(worker.chunks.popleft(), Finished(rest[0]), complete=True)
        else:
            raise rest[0] if isinstance(rest[0], RecapError) else RuntimeError(f"in a process of its own:\n{rest[0]}")

    def answer(self, chunk: Chunk, place: int, value: Any, reason: str) -> None:
        """Passes an item's answer on, the first one that comes."""
        if place not in chunk.told:
            chunk.told.add(place)
            self.tell(chunk, Answer(chunk.items[place], value, reason))

    def bury(self, worker: Worker, hangs: bool = False) -> None:
        """Gives a lost process's chunks to another; the item it was at fails where it hung or it is not the first time.

        Raises:
            DataError: processes die before they begin, or at the end of a chunk.
        """
        self.workers.remove(worker)
        cause = describe_exit(kill(worker.process, STOP_SECONDS if not hangs else 0.0))
        worker.connection.close()
        if not worker.ready:
            self.failed_starts += 1
            if self.failed_starts > MOST_DEATHS:
                raise DataError(f"a worker process {cause}", "is there enough memory?")
        elif worker.chunks:
            reason = f"it took over {self.limit(worker):g} s" if hangs else ""
            self.blame(worker.chunks[0], worker.done, reason, cause)
        for chunk in reversed(worker.chunks):
            if chunk.left:
                self.pending.appendleft(chunk)
            else:
                self.tell(chunk, Finished(None), complete=True)

    def blame(self, chunk: Chunk, done: int, reason: str, cause: str) -> None:
        """Counts a death; where it is one too many, the item at fault has its answer and is left out."""
        place = chunk.left[done] if done < len(chunk.left) else -1
        chunk.deaths[place] += 1
        if not reason and chunk.deaths[place] < MOST_DEATHS:
            return
        if place < 0:
            raise DataError(f"the process that keeps the results {cause}", "is there enough memory and disk?")
        chunk.left.remove(place)
        self.answer(chunk, place, None, reason or f"its process {cause}")

    def stop(self) -> None:
        """Asks processes to keep what they have and to end; makes them end."""
        for worker in self.workers:
            with suppress(OSError):
                worker.connection.send("stop")
        until = time.monotonic() + self.rules.grace
        for worker in self.workers:
            # What a process still says is taken, so that it does not wait for us.
            with suppress(EOFError, OSError):
                while worker.connection.poll(max(0.0, until - time.monotonic())):
                    worker.connection.recv_bytes()
            worker.process.join(max(0.0, until - time.monotonic()))
        for worker in self.workers:
            kill(worker.process)
            worker.connection.close()
        self.workers.clear()
