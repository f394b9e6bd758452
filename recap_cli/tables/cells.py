"""What a cell or a JSON value says: a text, nothing, or a list, in JSON's spelling or in Python's."""

import json
import math
import re
from collections.abc import Iterator
from typing import Any

# By which pandas, R, SQL and spreadsheets mark a missing text; looked for in texts such as lyrics and captions only,
# since a song may be called "None".
MISSING = ("", "nan", "none", "null", "na", "n/a", "<na>", "#n/a")
SHOWN = 60

_QUOTED = r"""(?:'[^'\\]*(?:\\.[^'\\]*)*'|"[^"\\]*(?:\\.[^"\\]*)*")"""
_TOKEN = re.compile(
    rf"(?P<text>[uU]?(?:{_QUOTED}))"
    r"|(?P<number>[-+]?\d{1,300}(?:\.\d{0,300})?(?:[eE][-+]?\d{1,3})?)"
    r"|(?P<word>None|True|False|null|true|false|nan|NaN)"
    r"|(?P<mark>[\[\](){},:])",
    re.DOTALL,
)
_SPACE = re.compile(r"\s*")
_OPENED = re.compile(r"[\[{]\s*[uU]?['\"{\[]|[\[{]\s*[\]}]|\[\s*(?:None|nan|NaN|null)\s*[,\]]")
_TUPLE = re.compile(rf"\(\s*[uU]?{_QUOTED}\s*,\s*(?:\)|[uU]?['\"])", re.DOTALL)
# Where a list or an object goes wrong, it was one: its first text is followed by a mark, by nothing, or never closed.
_BROKEN = re.compile(
    rf"[\[({{\s]+[uU]?(?:{_QUOTED}\s*(?:[,:'\"\]}}]|$)|'[^'\\]*(?:\\.[^'\\]*)*$|\"[^\"\\]*(?:\\.[^\"\\]*)*$)", re.DOTALL
)
_WORDS = {"None": "null", "null": "null", "True": "true", "true": "true", "False": "false", "false": "false",
          "nan": "NaN", "NaN": "NaN"}  # fmt: skip
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|x[0-9a-fA-F]{2}|[0-7]{1,3}|.)", re.DOTALL)
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "v": "\v", "a": "\a", "\n": ""}


def is_missing(value: Any) -> bool:
    """Whether a value stands for a text that is not there: null, NaN, or a word by which tables mark it."""
    if isinstance(value, str):
        return len(value) < 20 and value.strip().lower() in MISSING
    return value is None or (isinstance(value, float) and math.isnan(value))


def is_blank(text: str) -> bool:
    """Whether a text says nothing: it has no letter and no digit of any script."""
    return not any(letter.isalnum() for letter in text)


def shown(value: Any) -> str:
    """Returns a value for a message, cut short."""
    text = value[: SHOWN + 1] if isinstance(value, str) else value
    text = repr(text) if isinstance(value, str | int | float | bool | None) else f"a {type(value).__name__}"
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def read_list(value: Any) -> list[Any]:
    """Returns the entries of a list; of a text, those of the list that it spells, or the text itself.

    Read are JSON's spelling (`["a", "b"]`), Python's (`['a', "it's"]`, tuples, None) and numpy's (`['a' 'b']`). A text
    that merely begins with a bracket, such as "[Verse] la la", is a text. Lists within a list are joined to it.

    Raises:
        ValueError: a list is cut off, or is none that can be read.
    """
    found = spelled(value) if isinstance(value, str) else None
    return list(_flat(value if found is None else found))


def _flat(value: Any, depth: int = 0) -> Iterator[Any]:
    """Yields the entries of lists within lists, and of texts that spell lists."""
    found = spelled(value) if isinstance(value, str) else value
    if not isinstance(found, list):
        yield value
        return
    if depth > 3:
        raise ValueError("it holds lists within lists within lists")
    for entry in found:
        yield from _flat(entry, depth + 1)


def spelled(text: str) -> Any:
    """Returns the list or object that a text spells, None where it is a plain text.

    Raises:
        ValueError: it begins as a list does and is cut off, or cannot be read.
    """
    text = text.strip()
    if not (_OPENED.match(text) or _TUPLE.match(text)):
        return None
    for spelling in (str, _to_json):
        try:
            return json.loads(spelling(text))
        except _PlainTextError:
            return None
        except (ValueError, RecursionError):
            continue
    if _BROKEN.match(text):
        raise ValueError(f"it looks like a list, but cannot be read as one: {shown(text)}")
    return None


class _PlainTextError(Exception):
    """Words follow the closing bracket: no list, but a text that begins with one."""


def _to_json(text: str) -> str:
    """Returns Python's spelling of a list in JSON's; a ValueError or a _PlainTextError where it is none."""
    written: list[str] = []
    depth = place = 0
    before = ""
    while place < len(text):
        token = _TOKEN.match(text, place)
        if token is None:
            raise ValueError("it holds what is neither text nor number")
        kind, found = str(token.lastgroup), token.group()
        if kind != "mark" or found in "[({":
            if before == "value":  # numpy writes no commas
                written.append(",")
        elif found in "])}" and written[-1:] == [","]:
            written.pop()
        depth += (found in "[({") - (found in "])}") if kind == "mark" else 0
        written.append(_json_token(kind, found))
        before = "value" if kind != "mark" or found in "])}" else "mark"
        place = _SPACE.match(text, token.end()).end()  # type: ignore[union-attr]
        if depth <= 0 and place < len(text):
            raise _PlainTextError
    if depth:
        raise ValueError("it is cut off")
    return "".join(written)


def _json_token(kind: str, found: str) -> str:
    if kind == "mark":
        return {"(": "[", ")": "]"}.get(found, found)
    if kind == "word":
        return _WORDS[found]
    if kind == "number":
        return found.lstrip("+").rstrip(".")
    return json.dumps(_ESCAPE.sub(_unescape, found.lstrip("uU")[1:-1]))


def _unescape(found: re.Match[str]) -> str:
    code = found[1]
    if code[0] in "uUx" and len(code) > 1:
        return chr(min(int(code[1:], 16), 0x10FFFF))
    if code[0] in "01234567":
        return chr(int(code, 8))
    return _ESCAPED.get(code, code)


def read_name(value: Any, noun: str) -> str:
    """Returns an id, title or other name, a text or a whole number, "" for none; a ValueError for anything else."""
    if is_missing(value) and not isinstance(value, str):
        return ""
    if isinstance(value, str):
        return value if value.strip() else ""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise ValueError(f"its {noun} is {shown(value)}, not a text")


def read_votes(value: Any) -> int | None:
    """Returns a whole number of votes, None where there is none, else a ValueError; pandas writes `3` as `3.0`."""
    if is_missing(value):
        return None
    try:
        votes = _number(value)
        if not votes.is_integer() or abs(votes) > 2**31:
            raise ValueError
    except (ValueError, OverflowError) as error:
        raise ValueError(f"its votes are {shown(value)}, no number of votes") from error
    return int(votes)


def read_seconds(value: Any, noun: str) -> float | None:
    """Returns a time in seconds, None where there is none, else a ValueError: it is negative, endless or no number."""
    if is_missing(value):
        return None
    try:
        seconds = _number(value)
        if not 0 <= seconds < 1e9:
            raise ValueError
    except (ValueError, OverflowError) as error:
        raise ValueError(f"its {noun} is {shown(value)}, no time in seconds") from error
    return seconds


def _number(value: Any) -> float:
    """Returns what a cell says as a number; a ValueError where it is none, an OverflowError where it is too long."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError
    return float(value)
