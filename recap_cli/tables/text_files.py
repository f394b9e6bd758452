"""Text files of others, and the JSON in them: ordinary files in UTF-8 or marked UTF-16, read within bounds.

A file is checked as a whole before its first line is used.
"""

import codecs
import io
import json
import re
import shlex
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from recap_cli.errors import DataError
from recap_cli.escaping import is_unicode
from recap_cli.files import BLOCK, kind_of
from recap_cli.tables.cells import shown

Row = dict[str, Any] | str  # the fields by name, or why they cannot be used

LONGEST_LINE = 4_000_000  # characters; the longest songs with all their captions have 1/10
CHUNK = 1 << 20  # characters of a JSON list that are read at once
_NO_NAME = "\u200b\ufeff\u00a0"  # invisible around names that were copied from pages
_SPACES = " \t\r\n"  # of JSON
# A JSON object of rows by their numbers, as pandas and LP-MusicCaps write them, in place of a list.
_NUMBERED = re.compile(r'\{\s*"\d+"\s*:\s*\{')
# How files begin that are no text: Ogg, WAV, FLAC, MP3, PNG, JPEG, PDF, zip, gzip, Parquet.
NO_TEXT = (
    b"OggS", b"RIFF", b"fLaC", b"ID3", b"\xff\xfb", b"\x89PNG", b"\xff\xd8", b"%PDF", b"PK\3\4", b"\x1f\x8b",
    b"PAR1",
)  # fmt: skip
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

    A device, a pipe or a folder is refused, and never waited for.

    Args:
        path: the file.
        checked: look through the whole file first, so that no line is used of a file that cannot be read to its end.

    Raises:
        DataError: it cannot be read, or holds bytes that are no text; the line is named, and what converts the file.
    """
    mark, encoding = _find_encoding(path)
    if checked:
        _check_text(path, mark, encoding)
    try:
        with path.open("rb") as file:
            file.seek(len(mark))
            with io.TextIOWrapper(file, encoding, "strict" if checked else "replace", newline=None) as text:
                yield text
    except OSError as error:
        raise _cannot_read(path, error) from error
    except UnicodeDecodeError as error:  # it has changed since it was checked
        raise DataError(f"{path} has changed while it was read", "start it again") from error


def _cannot_read(path: Path, error: Exception) -> DataError:
    return DataError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}", "check the path")


def _find_encoding(path: Path) -> tuple[bytes, str]:
    """Returns the mark a file begins with, and its encoding; UTF-8 where there is no mark."""
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            raise DataError(f"cannot read {path}: it is a {kind_of(mode)}, not a file", "name an ordinary file")
        with path.open("rb") as file:
            start = file.read(4)
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        raise _cannot_read(path, error) from error
    mark, encoding = next((pair for pair in MARKS if start.startswith(pair[0])), (b"", UTF_8))
    if encoding == "utf-32":
        raise DataError(f"{path}, line 1 is no UTF-8 text, but UTF-32", _convert(path, "UTF-32"))
    return mark, encoding


def _check_text(path: Path, mark: bytes, encoding: str) -> None:
    """Refuses a file with bytes that are none of its encoding, or a null character, which no text has."""
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
                _refuse_null(path, mark, text, line)
                line += text.count("\n")
    except OSError as error:
        raise _cannot_read(path, error) from error
    except UnicodeDecodeError as error:
        good = error.object[: error.start].decode(encoding, "ignore").replace("\r\n", "\n").replace("\r", "\n")
        _refuse_null(path, mark, good, line)
        line += good.count("\n")
        _refuse_other(path)
        name = "WINDOWS-1252" if encoding == UTF_8 else "UTF-16"
        noun = "UTF-8" if encoding == UTF_8 else "UTF-16"
        raise DataError(f"{path}, line {line} is no {noun} text", _convert(path, name)) from error


def _refuse_null(path: Path, mark: bytes, text: str, line: int) -> None:
    """Refuses a null character; `line` is the number of the text's first line."""
    if "\0" in text:
        line += text.count("\n", 0, text.index("\0"))
        _refuse_other(path)
        with path.open("rb") as file:
            start = file.read(64)
        # In UTF-16 without a mark, every other byte of an English text is null.
        wide = "UTF-16BE" if not mark and start.startswith(b"\0") else "UTF-16LE"
        raise DataError(f"{path}, line {line} holds a null character: is it text?", _convert(path, wide))


def _refuse_other(path: Path) -> None:
    """Refuses audio, pictures and archives, for which no encoding is the cure."""
    with path.open("rb") as file:
        if file.read(16).startswith(NO_TEXT):
            raise DataError(f"{path} is no text but audio, a picture or an archive", "check the path")


def _convert(path: Path, encoding: str) -> str:
    """Returns the command that makes UTF-8 of a file, for a hint."""
    new = path.with_name(f"{path.stem}.utf8{path.suffix}")
    return (
        f"save it as UTF-8, where it is in {encoding} by: "
        f"iconv -f {encoding} -t UTF-8 {shlex.quote(str(path))} > {shlex.quote(str(new))}"
    )


def numbered_lines(file: TextIO) -> Iterator[tuple[int, str | None]]:
    """Yields lines by number, without their ends; None for one that is longer than any of a real table."""
    number = 0
    while line := file.readline(LONGEST_LINE):
        number += 1
        if len(line) < LONGEST_LINE or line.endswith("\n"):
            yield number, line.removesuffix("\n")
            continue
        while (rest := file.readline(LONGEST_LINE)) and not rest.endswith("\n"):
            pass
        yield number, None


# JSON lines, and JSON lists -------------------------------------------------------------------------------------------


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Makes an object of its pairs; a key that comes twice is a ValueError, since one of its values would be lost."""
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {shown(next(key for key in keys if keys.count(key) > 1))} comes twice")
    return found


DECODER = json.JSONDecoder(object_pairs_hook=_unique_keys)


def json_lines(path: Path) -> Iterator[tuple[int, Row]]:
    """Yields line numbers and objects of a file of JSON lines, or why one cannot be used; DataErrors as `open_text`."""
    with open_text(path) as file:
        for number, line in numbered_lines(file):
            if line is None:
                yield number, f"the line has over {LONGEST_LINE:,} characters"
            elif line.strip():
                yield number, json_row(line)


def column_name(text: str) -> str:
    """Returns a column's or key's name in lower case, without what is invisible around it."""
    return text.strip().strip(_NO_NAME).strip().lower()


def json_row(line: str) -> Row:
    """Returns the object of a line, or what is wrong with it."""
    try:
        value = DECODER.decode(line.strip())
        return _checked_object(value, may_be_torn="\\u" in line)
    except RecursionError:
        return "no JSON: it is nested too deeply"
    except ValueError as error:
        return f"no JSON: {error}"


def _checked_object(value: Any, may_be_torn: bool = True) -> Row:
    """Returns an object with its keys as columns are named, or what is wrong with it.

    Only JSON with escapes, `may_be_torn`, can hold halves of characters.
    """
    if not isinstance(value, dict):
        return "no JSON object"
    if may_be_torn and not is_unicode(json.dumps(value, ensure_ascii=False)):
        return "it holds half a character (a lone surrogate)"
    row = {column_name(key): entry for key, entry in value.items()}
    return row if len(row) == len(value) else "two of its keys differ in spaces or case only"


def holds_list(path: Path) -> bool:
    """Whether a file is one JSON list of rows, or one object of numbered rows, whatever its suffix says.

    Raises:
        DataError: the file cannot be opened.
    """
    with open_text(path, checked=False) as file:
        while text := file.read(1 << 16):
            if start := text.lstrip():
                return start.startswith("[") or _NUMBERED.match(start) is not None
    return False


def json_list(path: Path) -> Iterator[tuple[int, Row]]:
    """Yields numbers and objects of a JSON file that `holds_list`, without ever holding the whole of it.

    A DataError where it is no list, is cut off, or is broken; what came before was given.
    """
    with open_text(path) as file:
        text = file.read(CHUNK).lstrip()
        if not text.startswith("[") and not _NUMBERED.match(text):
            raise DataError(f"{path} is no JSON list", "give a list of objects")
        for number, value in enumerate(_values_of_list(file, text, path), start=1):
            try:
                yield number, _checked_object(value)
            except RecursionError:
                yield number, "it is nested too deeply"


def json_list_under(path: Path, key: str) -> Iterator[tuple[int, Row]]:
    """Yields numbers and objects of the list under a key of a file's one JSON object; errors as `json_list`."""
    with open_text(path) as file:
        text = file.read(CHUNK)
        while (start := find_list(text, key)) is None and len(text) < LONGEST_LINE and (more := file.read(CHUNK)):
            text += more
        if start is None:
            raise DataError(f"{path} is no JSON object with a list {key}", "fetch it again")
        for number, value in enumerate(_values_of_list(file, text[start:], path, inner=True), start=1):
            yield number, _checked_object(value)


def find_list(text: str, key: str) -> int | None:
    """Returns where the list under a key begins in the text of an object, None where it does not."""
    found = re.search(rf'"{key}"\s*:\s*\[', text) if text.lstrip().startswith("{") else None
    return None if found is None else found.end() - 1


def _values_of_list(file: TextIO, text: str, path: Path, inner: bool = False) -> Iterator[Any]:
    """Yields the values of a list or object whose beginning is `text`; more is read as it is needed.

    Nothing may follow it but, where it is an `inner` one, the rest of its object.
    """
    place, count, closing = 1, 0, "]" if text[0] == "[" else "}"
    while True:
        place = _beyond_spaces(text, place)
        if place < len(text) and text[place] == closing:
            if inner and not (text[place + 1 :] + file.read()).rstrip().endswith("}"):
                raise DataError(f"{path} is no JSON: it is cut off behind its list", "fetch it again")
            if not inner and (text[place + 1 :].strip() or file.read(CHUNK).strip()):
                raise DataError(f"{path} is no JSON: something follows its list", "give one list of objects")
            return
        start = _beyond_spaces(text, place + (count > 0 and text[place : place + 1] == ","))
        try:
            value, end = DECODER.raw_decode(text, start if closing == "]" else _behind_key(text, start))
        except RecursionError:
            reason, end = "it is nested too deeply", len(text)
        except ValueError as error:
            reason, end = str(error), len(text)
        else:
            reason = ""
        if not reason and (end < len(text) or text[end - 1] in '}]"'):  # a number may go on
            place, count = end, count + 1
            yield value
            continue
        more = file.read(CHUNK) if len(text) - place < LONGEST_LINE else ""
        if not more:
            raise DataError(
                f"{path} is no JSON: it is damaged after item {count}: {reason or 'it is cut off'}", "fetch it again"
            )
        text, place = text[place:] + more, 0


def _behind_key(text: str, place: int) -> int:
    """Returns where the value behind a key of an object begins; a ValueError where there is none (yet)."""
    _, end = DECODER.raw_decode(text, place)
    end = _beyond_spaces(text, end)
    if text[end : end + 1] != ":":
        raise ValueError("its key has no value")
    return _beyond_spaces(text, end + 1)


def _beyond_spaces(text: str, place: int) -> int:
    while place < len(text) and text[place] in _SPACES:
        place += 1
    return place
