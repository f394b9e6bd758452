"""A file of captions, a JSON line a song, that an interrupted run goes on with: nothing lost, doubled or rewritten."""

import fcntl
import json
import re
from collections.abc import Iterator
from glob import escape
from hashlib import blake2b
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from recap_cli.errors import OptionError

# The beginning of a line without a failure, as `append` writes it; anything else is parsed in full.
QUICK = re.compile(rb'\{"id": "([^"\\]*)", "audio": "')
FAILED = b'"error": "'
NEW_NUMBERS = 50_000
BEGIN = b'{"id": "'
LEFT_ALONE = "name another file; this one is left as it is"
TAIL = 1 << 16  # bytes read at a time when looking for the end of the last whole line
SAME = ("model", "weights")  # what all lines of a file have in common, beside the settings
FREE_SETTINGS = ("batch_size",)  # what captions do not depend on


class CaptionFile:
    """JSON lines on disk; opened again, it repairs a torn last line and knows the songs that are done.

    Args:
        out: the file. In parts of `lines_per_file` lines it becomes `out-00000.jsonl`, `out-00001.jsonl`, ...
        made_by: what every line says of how it was made; a file with other captions is refused.
        lines_per_file: begin another part after so many lines; None keeps one file.

    Raises:
        OptionError: it cannot be written, another process writes it, or it holds something else.
    """

    def __init__(self, out: Path, made_by: dict[str, Any], lines_per_file: int | None = None) -> None:
        self.out, self.made_by, self.lines_per_file = out, made_by, lines_per_file
        self.done = SongNumbers()
        self.failed: dict[str, str] = {}
        self.failures = self.lines = 0
        self.file: BinaryIO | None = None
        try:
            out.parent.mkdir(parents=True, exist_ok=True)
            # opened last part first, so that a file in use is found before anything is read
            self.number = max(len(self.parts()) - 1, 0)
            self.open_part()
            for part in self.parts():
                self.read_part(part)
        except OSError as error:
            self.close()
            raise cannot_write(out, error) from error
        except OptionError:
            self.close()
            raise

    def parts(self) -> list[Path]:
        """The files that exist, in order."""
        return self.parts_of(self.out, self.lines_per_file)

    @staticmethod
    def parts_of(out: Path, lines_per_file: int | None) -> list[Path]:
        """The files that exist under a name, in order."""
        if lines_per_file is None:
            return [out] if out.exists() else []
        numbered = out.parent.glob(f"{escape(out.stem)}-[0-9]*{escape(out.suffix)}")
        return sorted(part for part in numbered if part.stem.removeprefix(f"{out.stem}-").isdecimal())

    def part(self, number: int) -> Path:
        """The path of a part."""
        if self.lines_per_file is None:
            return self.out
        return self.out.with_name(f"{self.out.stem}-{number:05d}{self.out.suffix}")

    def open_part(self) -> None:
        """Open the current part to write behind its last whole line."""
        path = self.part(self.number)
        self.file = path.open("ab+", buffering=0)
        try:
            fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise OptionError(f"another process is writing {path}", "wait for it, or name another file") from error
        self.file.seek(0)
        if not BEGIN.startswith(self.file.read(len(BEGIN))):
            raise OptionError(f"--out {path} holds something else than captions", LEFT_ALONE)
        cut_torn_line(self.file)

    def read_part(self, path: Path) -> None:
        """Note the songs of a part that are done."""
        self.lines = 0
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                self.lines += 1
                quick = QUICK.match(line) if number > 1 and FAILED not in line else None
                if quick is not None:
                    self.done.add(song_number(quick[1].decode("utf-8", "replace")))
                    continue
                record = self.check_line(line, path, number)
                self.done.add(song_number(record["id"]))
                if record.get("error"):
                    self.note_failure(record["audio"], record["error"])

    def check_line(self, line: bytes, path: Path, number: int) -> dict[str, Any]:
        """Read a line that is there already.

        Raises:
            OptionError: it is none of ours, or was made in another way.
        """
        try:
            record: dict[str, Any] = json.loads(line)
            found = {name: record.get(name) for name in SAME} | {"settings": dict(record["settings"])}
            record["id"] + record["audio"]  # both are texts
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise OptionError(f"--out {path}, line {number} is no caption of recap", LEFT_ALONE) from error
        if number == 1 and self.comparable(found) != self.comparable(self.made_by):
            raise OptionError(
                f"--out {path} holds captions that were made in another way: {difference(found, self.made_by)}",
                "name another file, or use the same model and settings",
            )
        return record

    def comparable(self, made_by: dict[str, Any]) -> dict[str, Any]:
        """Leave out what captions do not depend on."""
        settings = {key: value for key, value in made_by["settings"].items() if key not in FREE_SETTINGS}
        return {**{name: made_by.get(name) for name in SAME}, "settings": settings}

    def append(self, record: dict[str, Any]) -> None:
        """Write a song's line; it is on its way to the disk when this returns.

        Raises:
            OptionError: the disk refuses.
        """
        assert self.file is not None
        try:
            if self.lines_per_file is not None and self.lines >= self.lines_per_file:
                self.file.close()
                self.number, self.lines = self.number + 1, 0
                self.open_part()
            line = (json.dumps(record, ensure_ascii=False) + "\n").encode("utf-8", "replace")
            while line:  # an unbuffered write may take less than all
                line = line[self.file.write(line) :]
        except OSError as error:
            raise cannot_write(self.part(self.number), error) from error
        self.lines += 1
        self.done.add(song_number(record["id"]))
        if record.get("error"):
            self.note_failure(record["audio"], record["error"])

    def note_failure(self, audio: str, reason: str) -> None:
        """Count a failure; the first ones are kept for the list at the end."""
        self.failures += 1
        if len(self.failed) < 1000:
            self.failed[audio] = reason

    def close(self) -> None:
        """Close the current part."""
        if self.file is not None:
            self.file.close()


class SongNumbers:
    """A set of 64-bit numbers in little more than 8 bytes each: a few new ones, and a sorted array of the others."""

    def __init__(self) -> None:
        self.sorted = np.zeros(0, np.uint64)
        self.new: set[int] = set()

    def add(self, number: int) -> None:
        """Take a number in."""
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


def song_number(name: str) -> int:
    """A number for a song's id: 64 bits of a hash, so that a million songs take little memory."""
    return int.from_bytes(blake2b(name.encode("utf-8", "replace"), digest_size=8).digest())


def cut_torn_line(file: BinaryIO) -> None:
    """Cut off what stands behind the last line end, the beginning of a line that was never finished."""
    end = file.seek(0, 2)
    place = end
    while place > 0:
        size = min(TAIL, place)
        place -= size
        file.seek(place)
        found = file.read(size).rfind(b"\n")
        if found >= 0:
            place += found + 1
            break
    if place < end:
        file.truncate(place)
    file.seek(0, 2)


def difference(found: dict[str, Any], wanted: dict[str, Any]) -> str:
    """Name the first thing that two ways of making captions do not share."""
    for name in SAME:
        if found.get(name) != wanted.get(name):
            return f"{name} {found.get(name)}, now {wanted.get(name)}"
    both = {**found["settings"], **wanted["settings"]}
    for name in both:
        if name not in FREE_SETTINGS and found["settings"].get(name) != wanted["settings"].get(name):
            flag = name.replace("_", "-")
            return f"{flag} {found['settings'].get(name)}, now {wanted['settings'].get(name)}"
    return "settings"


def cannot_write(path: Path, error: OSError) -> OptionError:
    """Say that a file cannot be written."""
    return OptionError(f"--out {path} cannot be written: {error.strerror}", "name another file")
