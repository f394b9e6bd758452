"""The shape of our JSON documents, and records that strangers wrote: read within bounds, checked field by field."""

import json
import math
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, NoReturn

from recap_cli.errors import ModelError

# At the top of each JSON document that a user reads, and of its JSON Schema in `data/schemas`. It grows when a key
# changes its name or its meaning, not when one is added.
SCHEMA = 1
MEGABYTE = 1 << 20
SHOWN = 60  # characters of a wrong value in a message
CONFIG_FILE = "config.json"  # of a model folder
CHOOSE_ANOTHER = "copy the model folder again, or choose another"


def read_schema(command: str) -> dict[str, Any]:
    """Returns the JSON Schema of what a command writes with --json, by the command's name."""
    file = resources.files("recap_cli") / "data" / "schemas" / f"{command}.json"
    return dict(json.loads(file.read_text(encoding="utf-8")))


@dataclass(frozen=True)
class Rule:
    """What a field may hold, in words for messages and as a test."""

    wanted: str
    holds: Callable[[object], bool]


def whole(low: int, high: int) -> Rule:
    """Returns the rule for whole numbers from `low` to `high`; True and 2.0 are none."""
    return Rule(f"a whole number from {low} to {high}", lambda value: type(value) is int and low <= value <= high)


def real(low: float, high: float) -> Rule:
    """Returns the rule for finite numbers from `low` to `high`; True is none."""

    def holds(value: object) -> bool:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        # Compared before it is made a float: JSON knows whole numbers that no float can hold.
        return low <= value <= high and math.isfinite(value)

    return Rule(f"a number from {low:g} to {high:g}", holds)


def yes_or_no() -> Rule:
    """Returns the rule for true and false."""
    return Rule("true or false", lambda value: isinstance(value, bool))


def one_of(choices: tuple[str, ...]) -> Rule:
    """Returns the rule for one of some words."""
    return Rule(f"one of {', '.join(choices)}", lambda value: isinstance(value, str) and value in choices)


def or_none(rule: Rule) -> Rule:
    """Returns the rule for fields that may be null, too."""
    return Rule(f"{rule.wanted}, or null", lambda value: value is None or rule.holds(value))


def list_of(rule: Rule, low: int, high: int) -> Rule:
    """Returns the rule for a list of `low` to `high` values, all of which follow a rule."""

    def holds(value: object) -> bool:
        return isinstance(value, list) and low <= len(value) <= high and all(map(rule.holds, value))

    count = f"{low}" if low == high else f"{low} to {high}"
    return Rule(f"a list of {count} values, each {rule.wanted}", holds)


def check_regular(path: Path, most: int) -> None:
    """Refuses, with a ModelError, what is no regular file (a pipe would be waited for) or has over `most` bytes."""
    try:
        found = path.stat()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ModelError(f"{path} cannot be read: {reason}", CHOOSE_ANOTHER) from error
    if not stat.S_ISREG(found.st_mode):
        raise ModelError(f"{path} is no regular file", CHOOSE_ANOTHER)
    if found.st_size > most:
        raise ModelError(f"{path} has {found.st_size} bytes, more than the {most} such a file may have", CHOOSE_ANOTHER)


def read_record(path: Path, most: int = MEGABYTE) -> dict[str, Any]:
    """Returns the JSON object in a file of at most `most` bytes.

    Raises:
        ModelError: there is no such file, or it holds something else; NaN and Infinity are no JSON.
    """
    check_regular(path, most)
    try:
        record = json.loads(path.read_bytes().decode("utf-8-sig"), parse_constant=_refuse_constant)
    except (OSError, ValueError, RecursionError, MemoryError) as error:  # ValueError: also what is no UTF-8
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)[:160]
        raise ModelError(f"{path} cannot be read as JSON: {reason}", CHOOSE_ANOTHER) from error
    if not isinstance(record, dict):
        raise ModelError(f"{path} holds no JSON object", CHOOSE_ANOTHER)
    return record


def read_model_record(folder: Path) -> dict[str, Any]:
    """Returns what a model folder's config says, whose `model_type` is recap or bart; its fields are not checked yet.

    Raises:
        ModelError: there is none, it is another model's, or it names code.
    """
    path = folder / CONFIG_FILE
    if not is_there(path):
        raise ModelError(f"{folder} holds no model: it has no {CONFIG_FILE}", "name a run folder of recap train")
    record = read_record(path)
    refuse_code(record, path)
    kind = record.get("model_type")
    if kind not in ("recap", "bart"):
        named = f"a {kind[:40]}" if isinstance(kind, str) and kind else "an unknown"
        raise ModelError(f"{folder} holds {named} model, not a RECAP model or a BART", CHOOSE_ANOTHER)
    return record


def is_there(path: Path) -> bool:
    """Whether there is anything under a name, a broken link too."""
    return path.exists() or path.is_symlink()


def refuse_code(record: dict[str, Any], path: Path) -> None:
    """Refuses settings that name Python code of the folder or of the hub."""
    for name in ("auto_map", "custom_generate", "custom_pipelines"):
        if record.get(name):
            raise ModelError(
                f"{path} names code of its own ({name}), and code of a model folder is never run",
                "choose a model that needs none",
            )


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def check_fields(record: Mapping[str, Any], rules: Mapping[str, Rule], where: str) -> dict[str, Any]:
    """Returns the fields of a record that have a rule; a field may be absent, and one without a rule is left out.

    A field that breaks its rule is a ModelError that names the file, `where`.
    """
    for name, rule in rules.items():
        if name in record and not rule.holds(record[name]):
            raise ModelError(f"{where}: {name} is {show(record[name])}, not {rule.wanted}", CHOOSE_ANOTHER)
    return {name: record[name] for name in rules if name in record}


def show(value: object) -> str:
    """Returns a value of a record for a message, cut short."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else f"a list of {len(value)}"
    try:
        text = json.dumps(value)
    except (ValueError, TypeError):  # a whole number of thousands of digits
        text = "a value that cannot be written"
    return text if len(text) <= SHOWN else text[:SHOWN] + "..."


def corpus_of(info: Mapping[str, Any]) -> str:
    """Returns which corpus with a recipe of its own a `dataset.json` is of: `demo`, `real`, or "" for none."""
    return next((name for name in ("demo", "real") if name in info), "")
