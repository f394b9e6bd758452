"""Commands in processes of their own, forked from one that has loaded torch, so that a start takes no ten seconds.

    with Forker() as forker:
        forker.run("eval", "run", "--json")

A forked command is as good as a fresh one but for the imports, and is killed and interrupted like any other. A program
that begins Python processes of its own is given `stand_in` for Python, which has `-m recap_cli` forked likewise.
"""

import gc
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import suppress
from importlib import import_module
from multiprocessing.connection import Client, Connection
from multiprocessing.reduction import recv_handle, send_handle
from pathlib import Path

ROOT = Path(__file__).parents[1]
LOADED = ("recap_cli.cli.app", "recap_cli.cli.commands", "recap_cli.ablation.ablate", "recap_cli.evaluation.evaluate")


class Forked:
    """A command at work; `returncode` is negative where a signal ended it, as in `subprocess`."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.pid: int = connection.recv()
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Returns the exit code, or None while it is at work."""
        if self.returncode is None and self.connection.poll():
            self.returncode = self.connection.recv()
        return self.returncode

    def wait(self, timeout: float = 300) -> int:
        """Waits for the end; returns the exit code."""
        if self.returncode is None and not self.connection.poll(timeout):
            raise subprocess.TimeoutExpired("recap", timeout)
        code = self.poll()
        assert code is not None
        return code

    def send_signal(self, number: int) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def ask(address: str, streams: list[int], *wanted: object) -> Forked:
    """Asks the process that loaded the libraries for a command."""
    connection = Client(address)
    connection.send(wanted)
    for stream in streams:
        send_handle(connection, stream, None)
    return Forked(connection)


STAND_IN = """
import os, sys
sys.path.insert(0, {folder!r})
from forked import ask
assert sys.argv[1:4] == ["-u", "-m", "recap_cli"], sys.argv
sys.exit(ask({address!r}, [0, 1, 2], "recap_cli", sys.argv[4:], dict(os.environ), os.getcwd(), False).wait())
"""


class Forker:
    """The process that loads the libraries, begun when it is first needed."""

    def __init__(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.address = f"{self.folder.name}/socket"
        self.server: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Forker":
        return self

    def __exit__(self, *error: object) -> None:
        if self.server is not None:
            self.server.communicate()
        self.folder.cleanup()

    def start(
        self,
        *arguments,
        module="recap_cli",
        env=None,
        cwd=None,
        stdin=None,
        stdout=None,
        stderr=None,
        new_session=False,
    ) -> Forked:
        """Starts `recap`, or another module, with these arguments; streams have a handle, or are None for nowhere."""
        if self.server is None:
            command = [sys.executable, __file__, self.address]
            environment = {**os.environ, "PYTHONPATH": str(ROOT)}
            self.server = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            assert self.server.stdout.readline() == b"ready\n"
        environment = {**os.environ, "PYTHONPATH": str(ROOT), **(env or {})}
        words = [str(one) for one in arguments]
        with Path(os.devnull).open("r+b") as nowhere:
            streams = [(stream or nowhere).fileno() for stream in (stdin, stdout, stderr)]
            return ask(self.address, streams, module, words, environment, str(cwd or Path.cwd()), new_session)

    def stand_in(self, folder: Path) -> Path:
        """Writes a program that is called as Python is, `-u -m recap_cli ...`, and has that forked."""
        path = folder / "python"
        path.write_text(
            f"#!{sys.executable}\n{STAND_IN.format(folder=str(Path(__file__).parent), address=self.address)}"
        )
        path.chmod(0o755)
        return path

    def run(self, *arguments, timeout: float = 300, **more) -> "subprocess.CompletedProcess[str]":
        """Runs a command to its end."""
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
            code = self.start(*arguments, stdout=out, stderr=err, **more).wait(timeout)
            texts = [stream.read() for stream in (out, err) if stream.seek(0) == 0]
        return subprocess.CompletedProcess(arguments, code, *texts)


def serve(address: str) -> str:
    """Forks for each call, until the tests have ended; returns in the process of a command only, what it is to run."""
    for name in LOADED:
        import_module(name)
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen()
    print("ready", flush=True)
    while True:
        if sys.stdin in select.select([listener, sys.stdin], [], [])[0]:
            sys.exit()
        connection = Connection(listener.accept()[0].detach())
        if not os.fork():
            break
        connection.close()
    # A keeper, since only a parent learns how a command ends.
    listener.close()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    module, arguments, environment, folder, new_session = connection.recv()
    streams = [recv_handle(connection) for _ in range(3)]
    if command := os.fork():
        for stream in streams:
            os.close(stream)
        connection.send(command)
        _, status = os.waitpid(command, 0)
        with suppress(OSError):  # nobody asks any more
            connection.send(os.waitstatus_to_exitcode(status))
        os._exit(0)
    connection.close()
    for place, stream in enumerate(streams):
        os.dup2(stream, place)
        os.close(stream)
    if new_session:
        os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # whatever the tests were started with
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.argv = ["recap", *arguments]
    return module


if __name__ == "__main__":
    runpy.run_module(serve(sys.argv[1]), run_name="__main__", alter_sys=True)
