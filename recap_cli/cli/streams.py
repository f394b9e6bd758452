"""The three standard streams, however a command was started: closed, full, gone, or in another encoding."""

import errno
import io
import os
import sys
from contextlib import suppress
from typing import Any, BinaryIO, Literal

from recap_cli.errors import MachineError

Name = Literal["stdout", "stderr"]


def settle_streams() -> None:
    """Makes the streams usable: UTF-8 whatever the locale, and no file of ours in the place of a closed one.

    A closed stream's number would go to the next file that is opened, and whatever a library then prints into it.
    """
    with suppress(OSError):
        while (handle := os.open(os.devnull, os.O_RDWR)) <= 2:
            pass
        os.close(handle)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.encoding.lower().replace("-", "") != "utf8":
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")


class Stream:
    """Writes to stdout or stderr, as they are at that moment, in UTF-8.

    Whoever reads stdout may leave (`| head`): then the command ends without a word, as others do. When stdout takes
    nothing else, that is an error. Messages that stderr does not take are lost, and the work goes on.
    """

    encoding = "utf-8"

    def __init__(self, name: Name) -> None:
        self.name: Name = name

    @property
    def inner(self) -> Any:
        """The stream itself, None where it is closed."""
        return getattr(sys, self.name)

    def write(self, text: str) -> int:
        """Writes a text and hands it on at once.

        Raises:
            MachineError: stdout is closed or full.
            SystemExit: who read stdout has left.
        """
        if self.inner is None or self.inner.closed:
            if self.name == "stdout":
                raise MachineError("stdout is closed, so the result cannot be shown", "start it without >&-")
            return len(text)
        try:
            self.write_to(self.inner, text)
        except OSError as error:
            mute(self.name)
            if self.name == "stdout":
                raise stdout_error(error) from error
        return len(text)

    @staticmethod
    def write_to(stream: Any, text: str) -> None:
        """Writes to the bytes below a text stream where there are such."""
        stream.flush()
        below: BinaryIO | None = getattr(stream, "buffer", None)
        if below is None:
            stream.write(text)
        else:
            below.write(text.encode("utf-8", "backslashreplace"))
            below.flush()

    def flush(self) -> None:
        """Does nothing: every text is handed on at once."""

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return self.inner is not None and not self.inner.closed and self.inner.isatty()

    def fileno(self) -> int:
        """Returns the number of the stream.

        Raises:
            OSError: it has none.
        """
        if self.inner is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        return int(self.inner.fileno())


def stdout_error(error: OSError) -> BaseException:
    """Returns what a failed write to stdout becomes: a silent end where the reader has left, an error otherwise."""
    if error.errno == errno.EPIPE:
        return SystemExit(1)
    return MachineError(f"cannot write to stdout: {error.strerror}", "send it elsewhere, or make room there")


def mute(name: Name) -> None:
    """Turns a stream that takes nothing into one that drops everything, so that nothing fails again at the end."""
    with suppress(OSError, ValueError, AttributeError):
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, getattr(sys, name).fileno())
        os.close(silence)


def flush_streams() -> None:
    """Hands on what libraries have written, such as help.

    Raises:
        MachineError: stdout is full.
        SystemExit: who read stdout has left.
    """
    for name in ("stderr", "stdout"):
        try:
            stream = getattr(sys, name)
            if stream is not None and not stream.closed:
                stream.flush()
        except OSError as error:
            mute("stdout" if name == "stdout" else "stderr")
            if name == "stdout":
                raise stdout_error(error) from error
