"""What our outputs are called and known by: folders that we made before there were markers, records, pictures."""

import json
import re
from pathlib import Path
from typing import Any

from recap_cli.files import BLOCK

DATA, EVALUATION, ABLATION = "prepared data", "an evaluation", "an ablation"
CREATOR = "recap-cli"  # in the metadata of pictures
LARGEST = 64 * BLOCK  # what is larger is none of ours
_DATASET = re.compile(r"dataset(-\d+-of-\d+)?\.json")
_UNFINISHED = re.compile(r"unfinished(-\d+-of-\d+)?\.json")
_RUN = re.compile(r".+-seed-\d+")


def read_json(path: Path) -> Any:
    """Returns what a JSON file holds; None where it is no such file, or larger than any of ours."""
    try:
        if path.is_symlink() or not path.is_file() or path.stat().st_size > LARGEST:
            return None
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None


def has_keys(value: Any, *keys: str) -> bool:
    """Whether a value is a JSON object with all of these keys."""
    return isinstance(value, dict) and all(key in value for key in keys)


def is_data_folder(folder: Path) -> bool:
    """Whether `recap prepare` filled a folder, or began to."""
    if any(has_keys(read_json(path), "recap", "fingerprint") for path in named(folder, _DATASET)):
        return True
    return (folder / "mels").is_dir() and any(isinstance(read_json(one), list) for one in named(folder, _UNFINISHED))


def is_evaluation(folder: Path) -> bool:
    """Whether `recap eval` wrote into a folder: its result, or captions with a note on how they were made."""
    found = read_json(folder / "evaluation.json")
    if has_keys(found, "made", "systems") and has_keys(found["made"], "recap"):
        return True
    return any(has_keys(read_json(path), "system", "weights", "decoding") for path in folder.glob("*.made.json"))


def is_ablation(folder: Path) -> bool:
    """Whether `recap ablate` wrote into a folder: results, or runs of arms and seeds."""
    if is_results(folder / "results.jsonl"):
        return True
    runs = [path for path in named(folder, _RUN) if path.is_dir()]
    return any(
        is_results(run / "record.jsonl") or has_keys(read_json(run / "options.json"), "recipe", "alpha") for run in runs
    )


def is_results(path: Path) -> bool:
    """Whether a file begins with a result of a sweep's run."""
    return has_keys(read_first(path), "key", "arm", "seed", "made")


def is_caption(path: Path) -> bool:
    """Whether a file holds one caption that `recap caption` wrote, and nothing else."""
    try:
        with path.open("rb") as file:
            return has_keys(read_first(path), "audio", "captions", "recap") and file.read(LARGEST).count(b"\n") == 1
    except OSError:
        return False


def is_picture(path: Path) -> bool:
    """Whether we drew a picture: it says so in its metadata (PNG, SVG, PDF)."""
    try:
        if path.stat().st_size > LARGEST:
            return False
        content = path.read_bytes()
    except OSError:
        return False
    kinds = {b"\x89PNG": f"Software\0{CREATOR}", b"%PDF": f"/Creator ({CREATOR})", b"<?xml": f"<dc:title>{CREATOR}<"}
    return any(content.startswith(start) and sign.encode() in content for start, sign in kinds.items())


def read_first(path: Path) -> Any:
    """Returns what the first line of a file of JSON lines holds; None where it holds nothing of the kind."""
    try:
        with path.open("rb") as file:
            return json.loads(file.readline(LARGEST))
    except (OSError, ValueError, RecursionError):
        return None


def named(folder: Path, pattern: re.Pattern[str]) -> list[Path]:
    """Returns the entries of a folder whose names fit a pattern, none where it cannot be read."""
    try:
        return [path for path in folder.iterdir() if pattern.fullmatch(path.name)]
    except OSError:
        return []
