"""The file of captions under `recap caption --out` and `recap eval`: a JSON line a song, one rule to resume it."""

import json
import os
import re
import stat
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from glob import escape
from hashlib import blake2b
from pathlib import Path
from typing import Any, BinaryIO, Self

import numpy as np

from recap_cli.errors import OptionError
from recap_cli.escaping import json_text
from recap_cli.files import cannot_write, locked, make_folder, open_atomically
from recap_cli.outputs import check_output_file

# Never through a link, and never waiting for the other end of a pipe.
APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
LONGEST = 1 << 24  # bytes of a line; the longest of ours has a tenth
LEFT_ALONE = "name another file; this one is left as it is"
# How a line without a failure begins; anything else is parsed in full. A million lines are read in seconds this way.
QUICK = re.compile(rb'\{"id": "([^"\\]*)", "audio": "')
FAILED = b'"error": "'
TEXT, OPEN_TEXT = re.compile(rb'"(?:[^"\\]|\\.)*"'), re.compile(rb'"(?:[^"\\]|\\.)*\\?')
LAYOUT: tuple[bytes | re.Pattern[bytes], ...] = (
    *(b'{"id": ', TEXT, b', "audio": ', TEXT),
    *(b', "caption": ', TEXT, b', "captions": ['),
)
ENOUGH = 4  # parts of the layout without which a lone torn line may be anything
FREE_SETTINGS = ("batch_size",)  # what captions do not depend on
NEW_NUMBERS = 50_000

Record = dict[str, Any]


class CaptionFile:
    """JSON lines that grow song by song and are resumed after any stop: nothing is lost, doubled or mixed.

    Every line names the model, its weights and the settings; those of the first line are the header. Captions that were
    made in another way are refused, and so is a second process that writes. When the file is opened again, a torn last
    line is cut, and the lines of failures go: these songs are tried again, and what is told is today's reason. Before
    anything changes, all lines are read and must be ours.

    Args:
        out: the file. In parts of `lines_per_file` lines it becomes `out-00000.jsonl`, `out-00001.jsonl`, ...
        made_by: `model`, `weights` and `settings`, as every line has them.
        lines_per_file: begin another part after N lines; None keeps one file.
        read_only: only find out what is done; the file stays as it is, and another process may be writing it.

    Raises:
        OptionError: it holds something else, captions made in another way, or is no place for a file.
        BusyError: another process writes it.
        DataError: the disk refuses.
    """

    def __init__(self, out: Path, made_by: Record, lines_per_file: int | None = None, read_only: bool = False) -> None:
        self.out, self.made_by, self.lines_per_file = out, made_by, lines_per_file
        self.done = SongNumbers()
        self.lines: dict[int, int] = {}  # of each part
        self.number, self.handle = 0, -1  # of the part that is written
        self.lock = ExitStack()
        check_out(out, lines_per_file)
        if read_only:
            for number, path in parts_of(out, lines_per_file):
                self.read_part(number, path)
            return
        make_folder(out.parent)
        name = os.fsencode(out.name)[:200].decode("utf-8", "ignore")
        self.lock.enter_context(locked(out.parent / f".{name}.lock", f"another process is writing {out}"))
        try:
            self.mend()
            self.open_part()
        except OSError as error:
            self.close()
            raise cannot_write(out, error) from error
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def mend(self) -> None:
        """Reads all parts, and only then drops failures and torn ends."""
        found = [(path, *self.read_part(number, path)) for number, path in parts_of(self.out, self.lines_per_file)]
        for path, failures, end in found:
            if failures:
                drop_failures(path, end)
            elif end < path.stat().st_size:
                os.truncate(path, end)

    def read_part(self, number: int, path: Path) -> tuple[int, int]:
        """Notes the songs of a part that are done; returns how many failed, and where the last whole line ends.

        Raises:
            OptionError: it holds something else, or was made in another way.
        """
        count, failures, end = 0, 0, 0
        with path.open("rb") as file:
            for line in iter(lambda: file.readline(LONGEST), b""):
                if line.endswith(b"\n"):
                    count, end = count + 1, end + len(line)
                    failures += self.read_song(line, path, count)
                elif file.read(1) or not is_torn(line, alone=count == 0):
                    raise OptionError(f"--out {path}, line {count + 1} is no caption of recap", LEFT_ALONE)
                else:
                    break
        self.lines[number] = count - failures
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
        if number == 1 and (reason := difference(record, self.made_by)):
            raise OptionError(
                f"--out {path} holds captions that were made in another way: {reason}",
                "name another file, or use the same model and settings",
            )
        if not record.get("error"):
            self.done.add(song_number(record["id"]))
        return bool(record.get("error"))

    def is_full(self) -> bool:
        """Whether the current part has all its lines."""
        return self.lines_per_file is not None and self.lines.get(self.number, 0) >= self.lines_per_file

    def open_part(self) -> None:
        """Opens the first part with room, from the current one on."""
        self.close_part()
        while self.is_full():
            self.number += 1
        check_output_file(self.current_path, "--out", (), holds_captions)
        self.handle = os.open(self.current_path, APPEND, 0o666)

    @property
    def current_path(self) -> Path:
        """The part that is written."""
        if self.lines_per_file is None:
            return self.out
        return self.out.with_name(f"{self.out.stem}-{self.number:05d}{self.out.suffix}")

    def append(self, record: Record) -> None:
        """Writes a song's line; it is on its way to the disk when this returns.

        Raises:
            DataError: the disk refuses; the file ends with a whole line then.
        """
        line = (json_text(record) + "\n").encode("utf-8", "replace")
        written = 0
        try:
            if self.is_full():
                self.open_part()
            while written < len(line):  # a write may take less than all
                written += os.write(self.handle, line[written:])
        except OSError as error:
            with suppress(OSError):
                os.ftruncate(self.handle, os.fstat(self.handle).st_size - written)
            raise cannot_write(self.current_path, error) from error
        self.lines[self.number] = self.lines.get(self.number, 0) + 1

    def close_part(self) -> None:
        """Closes the current part."""
        if self.handle >= 0:
            os.close(self.handle)
        self.handle = -1

    def close(self) -> None:
        """Closes the current part and lets others write."""
        self.close_part()
        self.lock.close()


def parts_of(out: Path, lines_per_file: int | None) -> list[tuple[int, Path]]:
    """Returns the files that exist under a name, with their numbers and in order."""
    if lines_per_file is None:
        return [(0, out)] if os.path.lexists(out) else []
    stem = f"{out.stem}-"
    found = ((path.stem.removeprefix(stem), path) for path in out.parent.glob(f"{escape(stem)}*{escape(out.suffix)}"))
    return sorted((int(number), path) for number, path in found if number.isdecimal())


def check_out(out: Path, lines_per_file: int | None, inputs: Iterable[Path] = ()) -> None:
    """Refuses a file of captions that would destroy something; nothing is written.

    Args:
        out: the file.
        lines_per_file: as of `CaptionFile`.
        inputs: files and folders that the same command reads.

    Raises:
        OptionError: it, or one of its parts, is an input, a folder, a link, a device, or holds something else.
    """
    inputs = list(inputs)
    for _, path in parts_of(out, lines_per_file) or [(0, out)]:
        check_output_file(path, "--out", inputs, holds_captions)


def drop_failures(path: Path, end: int) -> None:
    """Writes a part anew without the lines of failures and without what follows `end`; its permissions stay."""
    with path.open("rb") as old, open_atomically(path, "wb") as new:
        os.fchmod(new.fileno(), stat.S_IMODE(os.fstat(old.fileno()).st_mode))
        new.writelines(line for line in whole_lines(old, end) if not has_failed(line))
        new.flush()
        os.fsync(new.fileno())  # the old captions go with the old file


def whole_lines(file: BinaryIO, end: int) -> Iterator[bytes]:
    """Yields a file's lines up to a place."""
    while end > 0:
        line = file.readline(LONGEST)
        end -= len(line)
        yield line


def has_failed(line: bytes) -> bool:
    """Whether a line of ours says that its song failed."""
    if QUICK.match(line) and FAILED not in line:
        return False
    return bool((read_line(line) or {}).get("error"))


def read_line(line: bytes) -> Record | None:
    """Returns the record of a line of captions; None for anything else."""
    try:
        record = json.loads(line)
        texts = [record[name] for name in ("id", "audio", "caption", "model")]
        lists = [record[name] for name in ("captions", "scores", "warnings")]
        fits = isinstance(record["settings"], dict) and isinstance(record.get("error", ""), str)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    fits = fits and all(isinstance(text, str) for text in texts) and all(isinstance(one, list) for one in lists)
    return record if fits else None


def read_captions(path: Path) -> dict[str, str]:
    """Returns the captions of a file that `CaptionFile` has opened before, by song."""
    with path.open("rb") as file:
        records = [record for line in file if (record := read_line(line)) is not None]
    return {record["id"]: record["caption"] for record in records}


def reach(torn: bytes) -> int | None:
    """Returns how many parts of a line's layout a torn line has begun; None where it is no beginning of one."""
    place = 0
    for number, part in enumerate(LAYOUT, start=1):
        if isinstance(part, bytes):
            rest = torn[place : place + len(part)]
            if rest != part[: len(rest)]:
                return None
            place += len(part)
        elif found := part.match(torn, place):
            place = found.end()
        else:
            return number if OPEN_TEXT.fullmatch(torn, place) or place == len(torn) else None
        if place >= len(torn):
            return number
    return len(LAYOUT)


def is_torn(tail: bytes, alone: bool) -> bool:
    """Whether what stands behind the last line end is the beginning of a line of ours, never finished.

    Args:
        tail: the bytes; zeros at their end are what a file system leaves that lost power.
        alone: there is no whole line before it, so that the line itself must tell that it is ours.
    """
    reached = reach(tail.rstrip(b"\0"))
    return reached is not None and (not alone or reached >= ENOUGH)


def first_line(path: Path) -> bytes:
    """Returns a file's first line, b"" where there is none."""
    try:
        with path.open("rb") as file:
            return file.readline(LONGEST)
    except OSError:
        return b""


def holds_captions(path: Path) -> bool:
    """Whether a file begins as `CaptionFile` writes it; nothing but its first line is read."""
    line = first_line(path)
    return read_line(line) is not None if line.endswith(b"\n") else not line or is_torn(line, alone=True)


def why_not_resumed(path: Path, made_by: Record) -> str:
    """Returns why a file cannot be resumed by what `made_by` names; "" where it can, or where there is none."""
    record = read_line(first_line(path))
    if record is not None:
        return difference(record, made_by)
    return "" if holds_captions(path) else "its lines are no captions of this version"


def difference(found: Record, wanted: Record) -> str:
    """Returns the first thing that two ways of making captions do not share, both named; "" where there is none."""
    for name in ("model", "weights"):
        if found.get(name) != wanted.get(name):
            return f"{name} {found.get(name)}, now {wanted.get(name)}"
    for name in {**found["settings"], **wanted["settings"]}:
        before, now = found["settings"].get(name), wanted["settings"].get(name)
        if name not in FREE_SETTINGS and before != now:
            return f"{name.replace('_', '-')} {before}, now {now}"
    return ""


def song_number(name: str) -> int:
    """Returns 64 bits of a hash of a song's id, so that a million songs take little memory."""
    return int.from_bytes(blake2b(name.encode("utf-8", "replace"), digest_size=8).digest())


class SongNumbers:
    """A set of 64-bit numbers in little more than 8 bytes each: a few new ones, and a sorted array of the others."""

    def __init__(self) -> None:
        self.sorted = np.zeros(0, np.uint64)
        self.new: set[int] = set()

    def add(self, number: int) -> None:
        """Takes a number in."""
        self.new.add(number)
        if len(self.new) >= NEW_NUMBERS:
            self.sorted = np.union1d(self.sorted, np.fromiter(self.new, np.uint64, len(self.new)))
            self.new = set()

    def __contains__(self, number: int) -> bool:
        if number in self.new:
            return True
        place = int(np.searchsorted(self.sorted, np.uint64(number)))
        return place < len(self.sorted) and int(self.sorted[place]) == number

    def __iter__(self) -> Iterator[int]:
        yield from map(int, self.sorted)
        yield from (number for number in self.new if number not in self.sorted)
