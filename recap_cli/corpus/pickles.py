"""The Song Interpretation Dataset's pickle, read without running anything of it.

It holds objects of the dataclass `LyricsCommentData` (music4all_id, songmeanings_id, lyrics, comment), whose module
users do not have. A pickle is a program, so only the few instructions that plain data and this dataclass need are
carried out, by the standard library's reader in Python: it has no table that a made-up index could blow up.
"""

import pickle
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from typing import Any

from recap_cli.corpus.manifest import is_text
from recap_cli.corpus.rows import LONGEST, Row
from recap_cli.errors import DataError

CLASS_NAME = "LyricsCommentData"
MODULES = ("mymodel.LyricsCommentData", "LyricsCommentData", "__main__")
FIELDS = ("music4all_id", "songmeanings_id", "lyrics", "comment")
IGNORED_FIELDS = ("audio_path",)  # set by a method of the public class
DEEPEST = 4

# Plain data, memory of what came before, one class and its fields.
ALLOWED = (
    "PROTO", "FRAME", "STOP", "MARK", "POP", "POP_MARK", "NONE", "NEWTRUE", "NEWFALSE",
    "INT", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT",
    "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8",
    "EMPTY_LIST", "LIST", "APPEND", "APPENDS", "EMPTY_DICT", "DICT", "SETITEM", "SETITEMS",
    "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3",
    "GET", "BINGET", "LONG_BINGET", "PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE",
    "GLOBAL", "STACK_GLOBAL", "NEWOBJ", "BUILD",
)  # fmt: skip


class Interpretation:
    """Stands for the public dataclass: it keeps the known fields and has no behaviour."""

    def __setstate__(self, state: Any) -> None:
        """Take the fields.

        Raises:
            UnpicklingError: there are others.
        """
        if not isinstance(state, dict) or set(state) - set(FIELDS) - set(IGNORED_FIELDS):
            raise pickle.UnpicklingError(f"an object of {CLASS_NAME} with unknown fields")
        if not all(value is None or isinstance(value, str | int) for value in state.values()):
            raise pickle.UnpicklingError(f"a field of {CLASS_NAME} is neither text nor number")
        self.fields = {key: state[key] for key in FIELDS if key in state}


class BoundedFile:
    """Reads that promise more than the file holds are refused before memory is reserved for them."""

    def __init__(self, file: BufferedReader, size: int) -> None:
        self.file, self.size = file, size

    def read(self, count: int) -> bytes:
        """Give exactly `count` bytes."""
        if count > min(self.size - self.file.tell(), LONGEST):
            raise EOFError("it is cut off, or an entry claims to be too long")
        return self.file.read(count)

    def readline(self) -> bytes:
        """Give a line."""
        return self.file.readline(LONGEST)

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer."""
        return self.file.readinto(buffer)


class RestrictedUnpickler(pickle._Unpickler):
    """Knows the allowed instructions only, and one class."""

    dispatch = {  # noqa: RUF012  the base class looks instructions up here
        getattr(pickle, name)[0]: pickle._Unpickler.dispatch[getattr(pickle, name)[0]] for name in ALLOWED
    }

    def find_class(self, module: str, name: str) -> type:
        """Give the stand-in of the one class.

        Raises:
            UnpicklingError: any other name is asked for.
        """
        if name == CLASS_NAME and module in MODULES:
            return Interpretation
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is not plain data")


def read_pickle(path: Path) -> Iterator[tuple[int, Row]]:
    """Give numbers and fields of a pickle's objects.

    Raises:
        DataError: it is damaged, no such pickle, or asks for anything but this data.
    """
    try:
        with path.open("rb") as file:
            bounded = BoundedFile(file, path.stat().st_size)
            whole = RestrictedUnpickler(bounded, encoding="utf-8").load()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}", "check the path") from error
    except KeyError as error:
        raise refused(path, f"instruction {error} is not one of plain data") from error
    except Exception as error:  # whatever nonsense the instructions add up to
        raise refused(path, str(error) or type(error).__name__) from error
    try:
        for number, entry in enumerate(objects(whole, path.stat().st_size), start=1):
            yield number, entry_fields(entry)
    except pickle.UnpicklingError as error:
        raise refused(path, str(error)) from error


def refused(path: Path, reason: str) -> DataError:
    """Say why a pickle is not read."""
    return DataError(f"{path} is refused: {reason}", "use the JSON release, a pickle can carry anything")


def objects(whole: Any, most: int) -> Iterator[Any]:
    """Give the objects within lists, tuples and dictionaries.

    Args:
        whole: what the pickle held.
        most: visits; a list that holds itself many times over would never end.

    Raises:
        UnpicklingError: there are more.
    """
    waiting, visits = [(whole, 0)], 0
    while waiting:
        value, depth = waiting.pop()
        visits += 1
        if isinstance(value, dict) and "music4all_id" not in value:
            value = list(value.values())
        if not (isinstance(value, list | tuple) and depth < DEEPEST):
            yield value
            continue
        if visits + len(value) > most:
            raise pickle.UnpicklingError("it holds itself")
        visits += len(value) // 2
        waiting += [(entry, depth + 1) for entry in reversed(value)]


def entry_fields(entry: Any) -> Row:
    """Give one object's fields, or what is wrong with it."""
    fields = getattr(entry, "fields", None) if isinstance(entry, Interpretation) else entry
    if not isinstance(fields, dict):
        return f"it is no {CLASS_NAME}"
    if not all(value is None or isinstance(value, str | int) for value in fields.values()):
        return "a field is neither text nor number"
    if not all(is_text(str(value)) for value in fields.values()):
        return "it holds half a character (a lone surrogate)"
    return {str(key): value for key, value in fields.items() if value is not None}
