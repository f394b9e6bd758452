"""Text files of others: ordinary files in UTF-8 or marked UTF-16, checked as a whole before the first line is used."""

import codecs
import io
import shlex
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from recap_cli.errors import DataError
from recap_cli.files import kind_of

LONGEST_LINE = 4_000_000  # characters; the longest songs with all their captions have 1/10
BLOCK = 1 << 20
UTF_8 = "utf-8"
MARKS = (
    (codecs.BOM_UTF8, UTF_8),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


@contextmanager
def open_text(path: Path, checked: bool = True) -> Iterator[TextIO]:
    r"""Opens a text file of others; its lines end in `\n`, however they end in the file.

    Args:
        path: an ordinary file; a device, a pipe or a folder is refused, and never waited for.
        checked: look through the whole file first, so that no line is used of a file that cannot be read to its end.

    Raises:
        DataError: it cannot be read, or holds bytes that are no text; the line is named, and what converts the file.
    """
    mark, encoding = find_encoding(path)
    if checked:
        check_text(path, mark, encoding)
    try:
        with path.open("rb") as file:
            file.seek(len(mark))
            with io.TextIOWrapper(file, encoding, "strict" if checked else "replace", newline=None) as text:
                yield text
    except OSError as error:
        raise cannot_read(path, error) from error
    except UnicodeDecodeError as error:  # it has changed since it was checked
        raise DataError(f"{path} has changed while it was read", "start it again") from error


def cannot_read(path: Path, error: Exception) -> DataError:
    """Says why a file cannot be read."""
    return DataError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}", "check the path")


def find_encoding(path: Path) -> tuple[bytes, str]:
    """Returns the mark a file begins with, and its encoding; UTF-8 where there is no mark.

    Raises:
        DataError: it cannot be read, is no ordinary file, or is in UTF-32.
    """
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            raise DataError(f"cannot read {path}: it is a {kind_of(mode)}, not a file", "name an ordinary file")
        with path.open("rb") as file:
            start = file.read(4)
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        raise cannot_read(path, error) from error
    mark, encoding = next((pair for pair in MARKS if start.startswith(pair[0])), (b"", UTF_8))
    if encoding == "utf-32":
        raise DataError(f"{path}, line 1 is no UTF-8 text, but UTF-32", convert(path, "UTF-32"))
    return mark, encoding


def check_text(path: Path, mark: bytes, encoding: str) -> None:
    """Reads a file once from end to end, a block at a time.

    Raises:
        DataError: a line holds bytes that are none of its encoding, or a null character, which no text has.
    """
    # As a text file would count lines: a carriage return at the end of a block waits for what follows it.
    decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder(encoding)(), translate=True)
    line = 1
    try:
        with path.open("rb") as file:
            file.seek(len(mark))
            ended = False
            while not ended:
                block = file.read(BLOCK)
                ended = not block
                text = decoder.decode(block, final=ended)
                refuse_null(path, mark, text, line)
                line += text.count("\n")
    except OSError as error:
        raise cannot_read(path, error) from error
    except UnicodeDecodeError as error:
        good = error.object[: error.start].decode(encoding, "ignore").replace("\r\n", "\n").replace("\r", "\n")
        refuse_null(path, mark, good, line)
        line += good.count("\n")
        name = "WINDOWS-1252" if encoding == UTF_8 else "UTF-16"
        noun = "UTF-8" if encoding == UTF_8 else "UTF-16"
        raise DataError(f"{path}, line {line} is no {noun} text", convert(path, name)) from error


def refuse_null(path: Path, mark: bytes, text: str, line: int) -> None:
    """Refuses a null character; `line` is the number of the text's first line.

    Raises:
        DataError: there is one.
    """
    if "\0" in text:
        line += text.count("\n", 0, text.index("\0"))
        hint = convert(path, guess_wide(path, mark))
        raise DataError(f"{path}, line {line} holds a null character: is it text?", hint)


def guess_wide(path: Path, mark: bytes) -> str:
    """Returns the likely encoding of a file with null characters: of UTF-16 without a mark, every other byte is one."""
    with path.open("rb") as file:
        start = file.read(64)
    return "UTF-16BE" if not mark and start.startswith(b"\0") else "UTF-16LE"


def convert(path: Path, encoding: str) -> str:
    """Returns the command that makes UTF-8 of a file, for a hint."""
    new = path.with_name(f"{path.stem}.utf8{path.suffix}")
    return (
        f"save it as UTF-8, where it is in {encoding} by: "
        f"iconv -f {encoding} -t UTF-8 {shlex.quote(str(path))} > {shlex.quote(str(new))}"
    )


def numbered_lines(file: TextIO) -> Iterator[tuple[int, str | None]]:
    """Gives lines by number, without their ends; None for one that is longer than any of a real table."""
    number = 0
    while line := file.readline(LONGEST_LINE):
        number += 1
        if len(line) < LONGEST_LINE or line.endswith("\n"):
            yield number, line.removesuffix("\n")
            continue
        while (rest := file.readline(LONGEST_LINE)) and not rest.endswith("\n"):
            pass
        yield number, None
