"""Run folders: which run is where, whether it is finished, and what it logged."""

import json
import shutil
from pathlib import Path
from typing import Any

from recap_cli.errors import OptionError
from recap_cli.files import make_folder, write_json

FIGURES_FILE = "figures.json"
OPTIONS_FILE = "options.json"
LOG_FILE = "log.jsonl"
# The last file of a checkpoint; one without it was not written to its end.
STATE_FILE = "recap_state.json"


def claim_folder(out: Path, record: dict[str, Any]) -> bool:
    """Take a folder for a run; say whether the very same run is finished there.

    Raises:
        DataError: the folder cannot be made.
        OptionError: the folder holds something else.
    """
    path = out / OPTIONS_FILE
    if path.is_file():
        before = json.loads(path.read_text(encoding="utf-8"))
        changed = sorted(name for name in {*before, *record} if before.get(name) != record.get(name))
        begun = [entry for entry in out.iterdir() if entry != path and not is_empty(entry)]
        if changed and begun:
            raise OptionError(
                f"{out} holds a run with other settings ({', '.join(changed[:4])})", "choose another folder with --out"
            )
        if not changed:
            return (out / FIGURES_FILE).is_file()
    elif out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise OptionError(f"{out} is not empty and holds no run", "choose another folder with --out")
    make_folder(out)
    write_json(path, record)
    return False


def is_empty(path: Path) -> bool:
    """Whether a path is an empty file, or a folder with nothing but such in it."""
    return all(is_empty(entry) for entry in path.iterdir()) if path.is_dir() else path.stat().st_size == 0


def newest_checkpoint(folder: Path) -> str | None:
    """Find the newest whole checkpoint of an interrupted run."""
    found = {checkpoint_step(path): path for path in folder.glob("checkpoint-*") if (path / STATE_FILE).is_file()}
    found.pop(None, None)
    return str(found[max(found, key=lambda step: step or 0)]) if found else None


def clear_torn_checkpoints(folder: Path) -> None:
    """Delete checkpoints that a kill left half-written."""
    for path in folder.glob("checkpoint-*"):
        if path.is_dir() and not (path / STATE_FILE).is_file():
            shutil.rmtree(path, ignore_errors=True)


def checkpoint_step(path: Path) -> int | None:
    """The step of a checkpoint's folder; None where its name has none."""
    step = path.name.partition("-")[2]
    return int(step) if step.isdecimal() else None


def read_log(out: Path) -> list[dict[str, Any]]:
    """Read a run's log, one record an epoch; an epoch that was trained again counts once, a torn line not at all."""
    path = out / LOG_FILE
    records = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else []:
        try:
            record = json.loads(line)
        except ValueError:
            continue
        records[record["step"]] = record
    return list(records.values())


def newest_run(folder: Path) -> Path | None:
    """Find the run below a folder that was finished last; None where there is none."""
    found = [*folder.glob(f"*/{FIGURES_FILE}"), *folder.glob(f"*/*/{FIGURES_FILE}")]
    return max(found, key=lambda path: path.stat().st_mtime).parent if found else None
