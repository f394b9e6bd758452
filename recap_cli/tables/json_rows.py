"""Objects in JSON lines, or in a JSON list, one at a time and within bounds; what is none of ours is named."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from recap_cli.errors import DataError
from recap_cli.tables.cells import is_writable, shown
from recap_cli.tables.delimited import Row, column_name
from recap_cli.tables.text_files import LONGEST_LINE, numbered_lines, open_text

CHUNK = 1 << 20


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Makes an object of its pairs.

    Raises:
        ValueError: a key comes twice; a reader that takes the last one would lose the other.
    """
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {shown(next(key for key in keys if keys.count(key) > 1))} comes twice")
    return found


DECODER = json.JSONDecoder(object_pairs_hook=unique_keys)


def json_lines(path: Path) -> Iterator[tuple[int, Row]]:
    """Gives line numbers and objects of a file of JSON lines; what is no object is given as the reason.

    Raises:
        DataError: the file cannot be read.
    """
    with open_text(path) as file:
        for number, line in numbered_lines(file):
            if line is None:
                yield number, f"the line has over {LONGEST_LINE:,} characters"
            elif line.strip():
                yield number, json_row(line)


def json_row(line: str) -> Row:
    """Returns the object of a line, or what is wrong with it."""
    try:
        value = DECODER.decode(line.strip())
        return checked_object(value, may_be_torn="\\u" in line)
    except RecursionError:
        return "no JSON: it is nested too deeply"
    except ValueError as error:
        return f"no JSON: {error}"


def checked_object(value: Any, may_be_torn: bool = True) -> Row:
    """Returns an object with its keys as columns are named, or what is wrong with it.

    Args:
        value: what the JSON says.
        may_be_torn: whether it was spelled with escapes, which may stand for halves of characters.
    """
    if not isinstance(value, dict):
        return "no JSON object"
    if may_be_torn and not is_writable(json.dumps(value, ensure_ascii=False)):
        return "it holds half a character (a lone surrogate)"
    row = {column_name(key): entry for key, entry in value.items()}
    return row if len(row) == len(value) else "two of its keys differ in spaces or case only"


def without_nulls(row: Row) -> Row:
    """Leaves out what is null or NaN, by which a missing value is marked."""
    if isinstance(row, str):
        return row
    return {
        key: entry
        for key, entry in row.items()
        if entry is not None and not (isinstance(entry, float) and math.isnan(entry))
    }


def json_list(path: Path) -> Iterator[tuple[int, Row]]:
    """Gives numbers and objects of a JSON file that is one list, without ever holding the whole of it.

    Raises:
        DataError: it is no list, is cut off, or is broken; what came before was given.
    """
    with open_text(path) as file:
        text = file.read(CHUNK).lstrip()
        if not text.startswith("["):
            raise DataError(f"{path} is no JSON list", "give a list of objects")
        for number, value in enumerate(values_of_list(file, text, path), start=1):
            try:
                yield number, checked_object(value)
            except RecursionError:
                yield number, "it is nested too deeply"


def values_of_list(file: TextIO, text: str, path: Path) -> Iterator[Any]:
    """Gives the values of a list whose beginning is `text`; more is read as it is needed.

    Raises:
        DataError: it is cut off or broken, or something follows it.
    """
    place = count = 0
    place = 1
    while True:
        place = beyond(text, place, " \t\r\n")
        if place < len(text) and text[place] == "]":
            if text[place + 1 :].strip() or file.read(CHUNK).strip():
                raise DataError(f"{path} is no JSON: something follows its list", "give one list of objects")
            return
        start = beyond(text, place + (count > 0 and text[place : place + 1] == ","), " \t\r\n")
        try:
            value, end = DECODER.raw_decode(text, start)
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


def beyond(text: str, place: int, characters: str) -> int:
    """Returns the first place from `place` on that holds none of the characters."""
    while place < len(text) and text[place] in characters:
        place += 1
    return place
