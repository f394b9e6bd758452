"""A file of captions, a JSON line a song, that an interrupted run goes on with: nothing lost, doubled or mixed."""

import fcntl
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from glob import escape
from pathlib import Path
from typing import BinaryIO

from recap_cli.captioning.caption_lines import (
    FAILED,
    LEFT_ALONE,
    LONGEST,
    QUICK,
    Record,
    check_way,
    holds_captions,
    is_torn,
    read_line,
)
from recap_cli.captioning.song_numbers import SongNumbers, song_number
from recap_cli.errors import OptionError
from recap_cli.escaping import json_text
from recap_cli.files import cannot_write, make_folder, open_privately
from recap_cli.outputs import check_output_file

# Never through a link, and never waiting for the other end of a pipe.
FLAGS = os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class CaptionFile:
    """JSON lines on disk; opened again, it knows the songs that are done.

    A failure is not done: its line goes when the file is opened again, the song is tried again, and what is told is
    today's reason. A torn last line goes, too. Before anything changes, all lines are read and must be ours.

    Args:
        out: the file. In parts of `lines_per_file` lines it becomes `out-00000.jsonl`, `out-00001.jsonl`, ...
        made_by: what every line says of how it was made; a file with other captions is refused.
        lines_per_file: begin another part after so many lines; None keeps one file.
        inputs: files and folders that the same command reads.
        read_only: only find out what is done; the file stays as it is, and may be another process's.

    Raises:
        OptionError: it cannot be written, another process writes it, or it holds something else.
        DataError: the disk refuses.
    """

    def __init__(
        self,
        out: Path,
        made_by: Record,
        lines_per_file: int | None = None,
        inputs: Iterable[Path] = (),
        read_only: bool = False,
    ) -> None:
        self.out, self.made_by, self.lines_per_file = out, made_by, lines_per_file
        self.done = SongNumbers()
        self.lines: dict[int, int] = {}  # of each part
        self.number = 0
        self.handle = self.file = -1  # what holds the lock, and what is written to
        check_out(out, lines_per_file, inputs)
        if read_only:
            for part in self.parts():
                self.read_part(part)
            return
        make_folder(out.parent)
        try:
            self.handle = hold(next(iter(self.parts()), self.part(0)))
            self.begin()
        except OSError as error:
            self.close()
            raise cannot_write(out, error) from error
        except BaseException:
            self.close()
            raise

    def begin(self) -> None:
        """Reads all parts, then mends them, and opens the first that has room."""
        found = [(part, *self.read_part(part)) for part in self.parts()]
        for part, failures, end in found:
            if failures:
                self.drop_failures(part, end)
            elif end < part.stat().st_size:
                os.truncate(part, end)
        self.open_part()

    def parts(self) -> list[Path]:
        """The files that exist, in order."""
        return parts_of(self.out, self.lines_per_file)

    def part(self, number: int) -> Path:
        """The path of a part."""
        if self.lines_per_file is None:
            return self.out
        return self.out.with_name(f"{self.out.stem}-{number:05d}{self.out.suffix}")

    def number_of(self, part: Path) -> int:
        """The number of a part."""
        return 0 if self.lines_per_file is None else int(part.stem.removeprefix(f"{self.out.stem}-"))

    def read_part(self, path: Path) -> tuple[int, int]:
        """Notes the songs of a part that are done; returns how many failed, and where the last whole line ends.

        Raises:
            OptionError: it holds something else, or was made in another way.
        """
        count, failures, end = 0, 0, 0
        with path.open("rb") as file:
            for number, line in enumerate(iter(lambda: file.readline(LONGEST), b""), start=1):
                if not line.endswith(b"\n"):
                    if file.read(1) or not is_torn(line, alone=number == 1):
                        raise OptionError(f"--out {path}, line {number} is no caption of recap", LEFT_ALONE)
                    break
                failures += self.read_song(line, path, number)
                count, end = number, end + len(line)
        self.lines[self.number_of(path)] = count - failures
        return failures, end

    def read_song(self, line: bytes, path: Path, number: int) -> bool:
        """Notes a song that is done; returns whether it failed.

        Raises:
            OptionError: the line is none of ours, or was made in another way.
        """
        quick = QUICK.match(line) if number > 1 and FAILED not in line else None
        if quick is not None:
            self.done.add(song_number(quick[1].decode("utf-8", "replace")))
            return False
        record = read_line(line)
        if record is None:
            raise OptionError(f"--out {path}, line {number} is no caption of recap", LEFT_ALONE)
        if number == 1:
            check_way(record, self.made_by, path)
        if not record.get("error"):
            self.done.add(song_number(record["id"]))
        return bool(record.get("error"))

    def drop_failures(self, path: Path, end: int) -> None:
        """Writes a part anew without the lines of failures and a torn end; it is held all the while."""
        handle, partial = open_privately(path)
        try:
            with path.open("rb") as old, os.fdopen(os.dup(handle), "wb") as new:
                os.fchmod(handle, stat.S_IMODE(os.fstat(old.fileno()).st_mode))
                lock(handle, path)
                for line in whole_lines(old, end):
                    if not has_failed(line):
                        new.write(line)
                new.flush()
                os.fsync(handle)
            partial.replace(path)
        except BaseException:
            os.close(handle)
            partial.unlink(missing_ok=True)
            raise
        if path == next(iter(self.parts())):  # the lock is the first part's
            handle, self.handle = self.handle, handle
        os.close(handle)

    def open_part(self) -> None:
        """Opens the first part with room, from the current one on."""
        self.close_part()
        while self.lines_per_file is not None and self.lines.get(self.number, 0) >= self.lines_per_file:
            self.number += 1
        path = self.part(self.number)
        check_output_file(path, "--out", (), holds_captions)
        self.file = open_or_make(path)

    def append(self, record: Record) -> None:
        """Writes a song's line; it is on its way to the disk when this returns.

        Raises:
            DataError: the disk refuses; the file ends with a whole line then.
        """
        line = (json_text(record) + "\n").encode("utf-8", "replace")
        done = 0
        try:
            if self.lines_per_file is not None and self.lines.get(self.number, 0) >= self.lines_per_file:
                self.open_part()
            while done < len(line):  # a write may take less than all
                done += os.write(self.file, line[done:])
        except OSError as error:
            with suppress(OSError):
                os.ftruncate(self.file, os.fstat(self.file).st_size - done)
            raise cannot_write(self.part(self.number), error) from error
        self.lines[self.number] = self.lines.get(self.number, 0) + 1

    def close_part(self) -> None:
        """Closes the current part."""
        if self.file >= 0:
            os.close(self.file)
        self.file = -1

    def close(self) -> None:
        """Closes the current part and lets go of the file."""
        self.close_part()
        if self.handle >= 0:
            os.close(self.handle)
        self.handle = -1


def parts_of(out: Path, lines_per_file: int | None) -> list[Path]:
    """Returns the files that exist under a name, in order."""
    if lines_per_file is None:
        return [out] if os.path.lexists(out) else []
    numbered = out.parent.glob(f"{escape(out.stem)}-[0-9]*{escape(out.suffix)}")
    return sorted(part for part in numbered if part.stem.removeprefix(f"{out.stem}-").isdecimal())


def check_out(out: Path, lines_per_file: int | None, inputs: Iterable[Path] = ()) -> None:
    """Refuses a file of captions that would destroy something; nothing is written.

    Raises:
        OptionError: it, or one of its parts, is an input, a folder, a link, a device, or holds something else.
    """
    inputs = list(inputs)
    for path in parts_of(out, lines_per_file) or [out]:
        check_output_file(path, "--out", inputs, holds_captions)


def hold(path: Path) -> int:
    """Opens a file, made where it is missing, and holds it alone; returns its handle.

    Raises:
        OptionError: another process holds it.
        OSError: the disk refuses.
    """
    while True:
        handle = open_or_make(path)
        try:
            lock(handle, path)
            if os.path.samestat(os.fstat(handle), path.lstat()):
                return handle
        except FileNotFoundError:
            pass
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)  # another process has just replaced it


def open_or_make(path: Path) -> int:
    """Opens a file to add to it, never through a link; returns its handle."""
    while True:
        try:
            return os.open(path, FLAGS)
        except FileNotFoundError:
            with suppress(FileExistsError):
                return os.open(path, FLAGS | os.O_CREAT | os.O_EXCL, 0o666)


def lock(handle: int, path: Path) -> None:
    """Holds an open file alone.

    Raises:
        OptionError: another process holds it.
    """
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise OptionError(f"another process is writing {path}", "wait for it, or name another file") from error
    except OSError:  # a file system without locks
        return


def has_failed(line: bytes) -> bool:
    """Whether a line of ours says that its song failed."""
    if QUICK.match(line) and FAILED not in line:
        return False
    return bool((read_line(line) or {}).get("error"))


def whole_lines(file: BinaryIO, end: int) -> Iterator[bytes]:
    """Yields a file's lines up to a place."""
    while end > 0:
        line = file.readline(LONGEST)
        end -= len(line)
        yield line
