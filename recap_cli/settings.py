"""How a setting is declared, once: a typed field of an options dataclass with its help and its range beside it.

    lr: Annotated[float | None, Setting("Highest learning rate.", panel="Optimisation", above=0)] = None

From that line come the flag with its help, the check of its value, the options in JSON and the recipe table. Nothing
heavy is imported here: `recap train --help` reads all options.
"""

import math
import re
import types
from collections.abc import Callable, Iterator
from dataclasses import MISSING, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Literal, Union, get_args, get_origin

from recap_cli.errors import OptionError

Device = Literal["auto", "cpu", "cuda", "mps"]

# Panels of the help that several commands have.
WRITING, RESULT, MACHINE = "How it writes", "Where it goes", "The machine"

# Stands for a folder that was not named on the command line; a command puts the default in its place.
UNNAMED = Path()


@dataclass(frozen=True, repr=False)
class Setting:
    """What the command line knows of a setting beside its type and default."""

    help: str
    panel: str = ""
    flag: str | None = None  # None: made from the field's name; "": no flag, only Python sets it
    short: str = ""  # a second flag of one letter, such as -q
    argument: str = ""  # named by its place, under this word in the help
    default: str = ""  # what help calls the default, where the value does not say it
    minimum: float | None = None
    above: float | None = None  # as minimum, but this value itself is refused
    maximum: float | None = None
    read: Callable[[str], object] | None = None  # text to value, where the type does not say how
    stands_for: object = None  # the value of a flag that takes none, where it is not True

    def __repr__(self) -> str:
        """Returns the help alone: Python's `help()` shows it within signatures."""
        return repr(self.help)


@dataclass(frozen=True)
class Group:
    """Marks a field that holds further options: their flags are flags of the command, all of them or those named."""

    options: type
    names: tuple[str, ...] = ()
    panel: str = ""  # in place of the panels that they have there


@dataclass(frozen=True)
class Declared:
    """A setting as read from its declaration."""

    name: str
    kind: type  # without None; of a tuple, that of its items
    choices: tuple[str, ...]  # of a Literal
    is_many: bool
    takes_none: bool
    default: object  # MISSING where there is none
    setting: Setting

    @property
    def flag(self) -> str:
        """The flag's name; "" where there is none."""
        return f"--{self.name.replace('_', '-')}" if self.setting.flag is None else self.setting.flag

    def check(self, value: object) -> None:
        """Refuses a value that is none of the choices or out of range.

        Raises:
            OptionError: with the flag's name.
        """
        label = self.flag or self.name
        if self.choices and value not in self.choices:
            raise OptionError(f"{label} {value} is not known", f"choose one of {', '.join(self.choices)}")
        if isinstance(value, int | float) and not isinstance(value, bool) and not self.is_in_range(value):
            raise OptionError(f"{label} {value:g} is not possible", f"give {self.range}")

    def is_in_range(self, value: float) -> bool:
        """Whether a number lies in the range; what is not finite never does."""
        one = self.setting
        return (
            math.isfinite(value)
            and (one.minimum is None or value >= one.minimum)
            and (one.above is None or value > one.above)
            and (one.maximum is None or value <= one.maximum)
        )

    @property
    def range(self) -> str:
        """The range in words."""
        one = self.setting
        if one.maximum is not None:
            start = f"more than {one.above:g} and at most" if one.above is not None else f"{one.minimum or 0:g} to"
            return f"{start} {one.maximum:g}{', where 1 is all' if one.maximum == 1 else ''}"
        if one.above is not None:
            return f"a number above {one.above:g}"
        return f"{one.minimum:g} or more" if one.minimum is not None else "a finite number"


def declare(name: str, annotation: object, default: object = MISSING) -> Declared | None:
    """Returns the setting of a field or parameter; None where it is declared without one."""
    if get_origin(annotation) is not Annotated:
        return None
    kind, *notes = get_args(annotation)
    setting = next((note for note in notes if isinstance(note, Setting)), None)
    if setting is None:
        return None
    kinds = get_args(kind) if get_origin(kind) in (Union, types.UnionType) else (kind,)
    takes_none = type(None) in kinds
    kind = next(one for one in reversed(kinds) if one is not type(None))  # of `Path | tuple[Path, ...]`, the tuple
    is_many = get_origin(kind) is tuple and setting.read is None
    if is_many:
        kind = get_args(kind)[0]
    choices = get_args(kind) if get_origin(kind) is Literal else ()
    return Declared(name, str if choices else kind, choices, is_many, takes_none, default, setting)


def declared(options: type) -> Iterator[Declared]:
    """Yields the settings of an options dataclass, in order."""
    for entry in fields(options):
        found = declare(entry.name, entry.type, entry.default)
        if found is not None:
            yield found


def group_of(annotation: object) -> Group | None:
    """Returns the group that a field is marked as, if any."""
    return next((note for note in getattr(annotation, "__metadata__", ()) if isinstance(note, Group)), None)


def check_settings(options: object) -> None:
    """Refuses a value that is none of a setting's choices or out of its range; None is always allowed.

    Raises:
        OptionError: with the flag's name.
    """
    for one in declared(type(options)):
        value = getattr(options, one.name)
        if value is not None:
            for item in value if one.is_many else (value,):
                one.check(item)


def check_distinct(flag: str, values: tuple[object, ...]) -> None:
    """Refuses a list that names something twice.

    Raises:
        OptionError: it does.
    """
    for value in values:
        if values.count(value) > 1:
            raise OptionError(f"{flag} names {value} twice", "name each once")


def plain(value: object) -> object:
    """Returns options, or one of their values, as JSON takes them."""
    if is_dataclass(value) and not isinstance(value, type):
        return {entry.name: plain(getattr(value, entry.name)) for entry in fields(value)}
    return str(value) if isinstance(value, Path) else value


@dataclass(frozen=True)
class Slice:
    """The part of a corpus that one run takes: `number` from 1 to `count`; 1 of 1 is the whole.

    Together the parts are all songs, and none twice. `prepare` takes neighbours, so that parts copied together keep the
    corpus's order; `caption` goes by a hash of the id, so that a song that is added moves no other to another part.
    """

    number: int = 1
    count: int = 1

    @classmethod
    def parse(cls, text: str | None) -> "Slice":
        """Returns the slice that `3/8` names.

        Raises:
            OptionError: it names none.
        """
        found = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text or "1/1")
        if not found or not 1 <= int(found[1]) <= int(found[2]):
            raise OptionError(f"--shard {text} is no part", "give the I-th of N parts as I/N, from 1/8 to 8/8")
        return cls(int(found[1]), int(found[2]))

    @property
    def label(self) -> str:
        """Names the slice in files that only it may delete."""
        return f"{self.number}-of-{self.count}"

    def file(self, folder: Path, name: str) -> Path:
        """Returns this slice's file: `songs.jsonl` of the whole, `songs-3-of-8.jsonl` of a slice."""
        if self.count == 1:
            return folder / name
        stem, dot, suffix = name.partition(".")
        return folder / f"{stem}-{self.label}{dot}{suffix}"

    def range(self, total: int) -> tuple[int, int]:
        """Returns the first of this slice's units, and the one behind its last, out of `total`."""
        return total * (self.number - 1) // self.count, total * self.number // self.count


WHOLE_CORPUS = Slice()
