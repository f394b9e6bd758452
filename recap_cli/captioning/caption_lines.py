"""Lines of captions on disk: which are ours, whole or torn, and how they were made."""

import json
import re
from pathlib import Path
from typing import Any

from recap_cli.errors import OptionError

LONGEST = 1 << 24  # bytes of a line; the longest of ours has a tenth
LEFT_ALONE = "name another file; this one is left as it is"
# The beginning of a line without a failure, as `CaptionFile` writes it; anything else is parsed in full.
QUICK = re.compile(rb'\{"id": "([^"\\]*)", "audio": "')
FAILED = b'"error": "'
TEXT, OPEN_TEXT = re.compile(rb'"(?:[^"\\]|\\.)*"'), re.compile(rb'"(?:[^"\\]|\\.)*\\?')
LAYOUT: tuple[bytes | re.Pattern[bytes], ...] = (
    *(b'{"id": ', TEXT, b', "audio": ', TEXT),
    *(b', "caption": ', TEXT, b', "captions": ['),
)
ENOUGH = 4  # parts of the layout without which a lone torn line may be anything
SAME = ("model", "weights")  # what all lines of a file have in common, beside the settings
FREE_SETTINGS = ("batch_size",)  # what captions do not depend on

Record = dict[str, Any]


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


def holds_captions(path: Path) -> bool:
    """Whether a file begins as `CaptionFile` writes it; nothing but its first line is read."""
    try:
        with path.open("rb") as file:
            line = file.readline(LONGEST)
    except OSError:
        return False
    return read_line(line) is not None if line.endswith(b"\n") else not line or is_torn(line, alone=True)


def check_way(found: Record, made_by: Record, path: Path) -> None:
    """Refuses captions that were made in another way.

    Raises:
        OptionError: they were.
    """
    if reason := difference(found, made_by):
        raise OptionError(
            f"--out {path} holds captions that were made in another way: {reason}",
            "name another file, or use the same model and settings",
        )


def difference(found: Record, wanted: Record) -> str:
    """Names the first thing that two ways of making captions do not share; "" where there is none."""
    for name in SAME:
        if found.get(name) != wanted.get(name):
            return f"{name} {found.get(name)}, now {wanted.get(name)}"
    for name in {**found["settings"], **wanted["settings"]}:
        if name not in FREE_SETTINGS and found["settings"].get(name) != wanted["settings"].get(name):
            flag = name.replace("_", "-")
            return f"{flag} {found['settings'].get(name)}, now {wanted['settings'].get(name)}"
    return ""
