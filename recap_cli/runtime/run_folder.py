"""Run folders: which run is where, whether it is finished, and what it logged."""

import json
import math
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeGuard

from recap_cli.errors import DataError, OptionError
from recap_cli.files import locked, write_json
from recap_cli.outputs import MARKER, check_output_folder, hold_folder, true_path

FIGURES_FILE = "figures.json"
OPTIONS_FILE = "options.json"
LOG_FILE = "log.jsonl"
A_RUN = "a run"  # as its folder's marker says
LOCK = ".train.lock"
REMEDY = "delete the run's folder, or choose another --out"
LARGEST = 1 << 24  # bytes of a JSON document of a run
# Figures that each validation finds, whatever the recipe; the best epoch is chosen by one of them.
ALWAYS_LOGGED = ("rougeL", "meteor", "caption_loss")
SAMPLE_KEYS = ("song", "caption", "reference")
_held: set[Path] = set()  # folders that this process holds


@contextmanager
def hold_run(out: Path, inputs: Iterable[Path]) -> Iterator[None]:
    """Claims a run's folder, and holds it for this process alone until it ends, however it ends.

    Within a process that holds it, and in the further processes of a distributed training, nothing happens.

    Raises:
        BusyError: another process trains there.
        DataError: the folder cannot be made.
        OptionError: the folder holds something else, or is an input.
    """
    if is_held(out):
        yield
        return
    with hold_folder(out, A_RUN, "recap train", inputs=inputs, is_ours=is_run, lock=LOCK):
        _held.add(true_path(out))
        try:
            yield
        finally:
            _held.remove(true_path(out))


def is_held(out: Path) -> bool:
    """Whether this process holds a run's folder, or the first one of its distributed training does."""
    return true_path(out) in _held or os.environ.get("RANK", "0") != "0"  # as torchrun sets it


def check_run_folder(out: Path, record: dict[str, Any], inputs: Iterable[Path]) -> bool:
    """Refuses what `hold_run` and `begin_run` refuse, writes nothing, and returns whether the run is finished there.

    Raises:
        BusyError, DataError, OptionError: as they do.
    """
    check_output_folder(out, A_RUN, inputs=inputs, is_ours=is_run)
    if not is_held(out) and (out / LOCK).exists():
        with locked(out / LOCK, f"another recap train is working on {out}"):
            pass
    return check_options(out, record) and (out / FIGURES_FILE).is_file()


def is_run(folder: Path) -> bool:
    """Whether a folder holds a run from before folders were marked."""
    try:
        return "recap" in read_document(folder / OPTIONS_FILE)
    except DataError:
        return False


def begin_run(out: Path, record: dict[str, Any]) -> bool:
    """Writes what makes a run into its folder; returns whether the very same run is finished there.

    Raises:
        DataError: a file of the run is damaged, or the disk refuses.
        OptionError: the folder holds a run of other settings.
    """
    if check_options(out, record):
        return (out / FIGURES_FILE).is_file()
    write_json(out / OPTIONS_FILE, record)
    return False


def check_options(out: Path, record: dict[str, Any]) -> bool:
    """Whether a folder holds the very same run, begun or finished.

    Raises:
        DataError: its options are damaged.
        OptionError: it holds another run.
    """
    path = out / OPTIONS_FILE
    begun = [] if not out.is_dir() else [entry for entry in out.iterdir() if entry != path and counts(entry)]
    if not path.exists() and begun:
        raise DataError(f"{out} holds a run that lost its {OPTIONS_FILE}", "delete the folder, or choose another --out")
    if not path.exists():
        return False
    before = read_document(path)
    changed = sorted(name for name in {*before, *record} if before.get(name) != record.get(name))
    if changed and begun:
        raise OptionError(
            f"{out} holds a run with other settings ({', '.join(changed[:4])})", "choose another folder with --out"
        )
    return not changed


def counts(path: Path) -> bool:
    """Whether something in a run's folder says that work was done: not our marker, nor what is empty."""
    return path.name != MARKER and not path.name.endswith(".partial") and not is_empty(path)


def is_empty(path: Path) -> bool:
    """Whether a path is an empty file, or a folder with nothing but such in it; what cannot be read is not."""
    try:
        if path.is_dir() and not path.is_symlink():
            return all(is_empty(entry) for entry in path.iterdir())
        return path.lstat().st_size == 0
    except OSError:
        return False


def read_document(path: Path) -> dict[str, Any]:
    """Returns a JSON object that a run keeps.

    Raises:
        DataError: it is missing or damaged.
    """
    try:
        if not path.is_file():
            raise ValueError("it is no file" if path.exists() else "it is missing")
        if path.stat().st_size > LARGEST:
            raise ValueError(f"it is over {LARGEST >> 20} MB")
        found = json.loads(path.read_bytes())
        if type(found) is not dict:
            raise ValueError("no JSON object")
    except (OSError, ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else getattr(error, "strerror", None) or error
        raise DataError(f"{path} is damaged: {reason}", REMEDY) from error
    return found


def read_figures(out: Path) -> dict[str, Any]:
    """Returns the figures of a finished run.

    Raises:
        DataError: they, or the weights beside them, are damaged.
    """
    path = out / FIGURES_FILE
    figures = read_document(path)
    best, sample = figures.get("best"), figures.get("sample")
    if type(best) is not dict or not is_record({**best, "sample": sample}) or type(figures.get("steps")) is not int:
        raise DataError(f"{path} is damaged: no figures of a best epoch", REMEDY)
    check_weights(out / "model.safetensors")
    return figures


def check_weights(path: Path) -> None:
    """Refuses weights that are missing or cut; their header alone is read.

    Raises:
        DataError: they are.
    """
    from safetensors import SafetensorError, safe_open

    try:
        if not path.is_file():
            raise ValueError("it is missing")
        with safe_open(path, "numpy"):
            pass
    except (OSError, ValueError, SafetensorError) as error:
        raise DataError(f"{path} is damaged: {error}", REMEDY) from error


def read_log(out: Path) -> list[dict[str, Any]]:
    """Returns a run's log, one record an epoch.

    An epoch that was trained again counts once, what is no record not at all.
    """
    records = {record["step"]: record for record in read_records(out / LOG_FILE)}
    return list(records.values())


def read_records(path: Path) -> Iterator[dict[str, Any]]:
    """Yields a log's records, and passes over lines that are none."""
    if not path.is_file():
        return
    with path.open("rb") as file:
        for line in file:
            try:
                record = json.loads(line) if len(line) < LARGEST else None
            except (ValueError, RecursionError):
                record = None
            if is_record(record):
                yield record


def is_record(record: Any) -> TypeGuard[dict[str, Any]]:
    """Whether a value is the record of a validation, with the figures that all of them have."""
    if type(record) is not dict:
        return False
    numbers = {name: value for name, value in record.items() if name != "sample"}
    sample = record.get("sample")
    return (
        all(type(value) is float or (type(value) is int and abs(value) < 2**53) for value in numbers.values())
        and all(math.isfinite(numbers.get(name, math.nan)) for name in ("epoch", "step", *ALWAYS_LOGGED))
        and type(record["step"]) is int
        and type(sample) is dict
        and all(type(sample.get(name)) is str for name in SAMPLE_KEYS)
    )


def newest_run(folder: Path) -> Path | None:
    """Returns the run below a folder that was finished last; None where there is none."""
    found = [*folder.glob(f"*/{FIGURES_FILE}"), *folder.glob(f"*/*/{FIGURES_FILE}")]
    return max(found, key=lambda path: path.stat().st_mtime).parent if found else None
