"""One process of the pool: how it starts and ends, and what it does, with patience for errors that pass."""

import errno
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext, ForkServerProcess, SpawnContext, SpawnProcess
from multiprocessing.reduction import ForkingPickler
from typing import Any, Protocol, TypeVar

import soundfile

from recap_cli.errors import MachineError, OptionError, RecapError
from recap_cli.runtime.device import environment

# Errors of a drive or a network that pass.
PASSING = (errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EAGAIN, errno.EBUSY, errno.ECONNRESET, errno.EHOSTDOWN)
EXHAUSTED = (errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE)  # of the machine, whatever the file
SYSTEM_ERROR = 2  # of libsndfile
TRIES = 3
PAUSE = 0.5  # seconds before the second try, doubled before each further one
END_SECONDS = 30.0  # for the system to end a process

Context = SpawnContext | ForkServerContext
WorkerProcess = SpawnProcess | ForkServerProcess
Value = TypeVar("Value")
_work_giver: Connection | None = None  # in a process of the pool, the connection to the one who gives the work


class Work(Protocol):
    """What a process does; it is made anew in each."""

    def handle(self, item: Any) -> Any:
        """Does one item. Its errors fail the item; an OptionError and a machine at its limits end all."""

    def finish(self) -> Any:
        """Ends a chunk, or what there is of it when all is stopped: a place to keep results."""


# starting processes ---------------------------------------------------------------------------------------------------


def process_context(make: Callable[[], Work], fresh: bool = False) -> Context:
    """Returns how processes start: from a server that has imported what they need, where there is one.

    Args:
        make: makes what they do.
        fresh: each loads its libraries itself, and so with an environment of its own.
    """
    if fresh or "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, getattr(getattr(make, "func", make), "__module__", __name__)])
    return context


def start_process(
    context: Context, make: Callable[[], Work], variables: Mapping[str, str]
) -> tuple[WorkerProcess, Connection]:
    """Starts a process with some environment variables; returns it and the connection to it."""
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(theirs, make), daemon=True)
    with environment(variables), without_main():
        process.start()
    theirs.close()
    return process, ours


@contextmanager
def without_main() -> Iterator[None]:
    """Keeps new processes from running the caller's script again, which they have no use for."""
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


def kill(process: WorkerProcess, patience: float = 0.0) -> int | None:
    """Ends a process and those that it began, such as a decoder's; returns its exit code."""
    process.join(patience)
    code = process.exitcode
    if (code is None or code < 0) and process.pid is not None:
        with suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
    if code is None:
        process.kill()
        process.join(END_SECONDS)
        code = process.exitcode
    return code


def describe_exit(code: int | None) -> str:
    """Returns how a process ended, in words."""
    if code is None or code >= 0:
        return f"ended with code {code}"
    name = signal.Signals(-code).name if -code in {one.value for one in signal.Signals} else str(-code)
    return f"was killed ({name}{', out of memory?' if name == 'SIGKILL' else ''})"


# in the processes -----------------------------------------------------------------------------------------------------


def serve(connection: Connection, make: Callable[[], Work]) -> None:
    """Does the chunks that come, until none come; runs in a process of its own, in a group of its own."""
    global _work_giver
    _work_giver = connection
    with suppress(OSError):
        os.setpgid(0, 0)  # so that what it begins ends with it, and Ctrl-C is for the one who gives the work
    follow_parent()
    mute_libraries()
    with suppress(EOFError, OSError):  # the other side has gone
        try:
            work = make()
            connection.send(("ready",))
            do_chunks(connection, work)
        except RecapError as error:
            connection.send(("fatal", error))
        except (EOFError, OSError):
            raise
        except Exception:
            connection.send(("broken", traceback.format_exc()))


def tell(note: str) -> None:
    """Sends a few words on the item at hand to the one who gives the work; does nothing outside of the pool."""
    if _work_giver is not None:
        with suppress(OSError):  # the other side has gone, and this process is about to
            _work_giver.send(("note", note))


def do_chunks(connection: Connection, work: Work) -> None:
    """Answers for each item and each chunk; told to stop, keeps what there is."""
    inbox: deque[Any] = deque()

    def told_to_stop() -> bool:
        while connection.poll():
            inbox.append(connection.recv())
        return "stop" in inbox

    while True:
        chunk = inbox.popleft() if inbox else connection.recv()
        if chunk == "stop":
            return
        for place, item in chunk:
            connection.send_bytes(packed(place, *do_item(work, item)))
            if told_to_stop():
                work.finish()
                return
        connection.send(("finished", work.finish()))


def do_item(work: Work, item: Any) -> tuple[Any, str]:
    """Returns what `attempt` makes of an item; before an error that ends all, keeps what there is of the chunk."""
    try:
        return attempt(lambda: work.handle(item))
    except RecapError:
        with suppress(RecapError, OSError):
            work.finish()
        raise


def packed(place: int, value: Any, reason: str) -> Any:
    """Returns an answer as bytes; one that cannot travel is a failure of its item."""
    try:
        return ForkingPickler.dumps(("answer", place, value, reason))
    except Exception as error:
        return ForkingPickler.dumps(("answer", place, None, f"its answer cannot be sent: {error}"))


def follow_parent() -> None:
    """Leaves interruptions to the parent, and ends with it, even where it is killed.

    What this process began ends, too, where it leads a group of its own.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    # A process of the fork server holds it open, as if it were to start others. Let go, the server ends with the
    # parent, and the system then ends even those of its processes that are stopped.
    server: Any = forkserver._forkserver
    if (held := getattr(server, "_forkserver_alive_fd", None)) is not None:
        server._forkserver_alive_fd = None
        os.close(held)

    def watch() -> None:
        if parent is not None:
            parent.join()
            if os.getpgrp() == os.getpid():
                os.killpg(0, signal.SIGKILL)
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def mute_libraries() -> None:
    """Keeps decoders, which comment on damaged files, out of the progress; our errors travel another way."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)


# patience, in this process or another ---------------------------------------------------------------------------------


def attempt(action: Callable[[], Value]) -> tuple[Value | None, str]:
    """Does something to an item; returns its value and "", or None and the reason why it failed.

    What passes is tried again. No file of others may stop the run, and a defect of ours shows among the reasons.

    Raises:
        MachineError: the machine is at its limits (disk, open files), so that no item would fare better now.
        OptionError: a setting cannot be used.
    """
    try:
        return retry(action), ""
    except OptionError:
        raise
    except Exception as error:
        reason = error.message if isinstance(error, RecapError) else f"unexpected {type(error).__name__}: {error}"
        if is_exhausted(error):
            raise MachineError(reason, "make room for the machine, then start it again: nothing is lost") from error
        # Memory may be too short for this item only, and for each run again: the others go on.
        return None, "there is not enough memory for it" if isinstance(error, MemoryError) else reason


def retry(action: Callable[[], Value]) -> Value:
    """Does something that reads; after an error of the drive or the network again, `TRIES` times in all."""
    for again in range(TRIES - 1):
        try:
            return action()
        except (RecapError, OSError) as error:
            if not may_pass(error):
                raise
            time.sleep(PAUSE * 2**again)
    return action()


def may_pass(error: BaseException) -> bool:
    """Whether an error, or one behind it, is of the drive or the network and not of the file."""
    return any(
        (isinstance(one, OSError) and one.errno in PASSING)
        or (isinstance(one, soundfile.LibsndfileError) and one.code == SYSTEM_ERROR)
        for one in causes(error)
    )


def is_exhausted(error: Exception) -> bool:
    """Whether an error, or one behind it, says that the machine is at its limits."""
    found = any(isinstance(one, OSError) and one.errno in EXHAUSTED for one in causes(error))
    # libsndfile does not pass the error on, only its words
    return found or (isinstance(error, MachineError) and any(os.strerror(one) in error.message for one in EXHAUSTED))


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yields an error and those behind it."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
