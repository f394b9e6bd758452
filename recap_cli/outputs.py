"""What our outputs are called, and what they are known by, so that nothing else is ever replaced."""

import hashlib
import json
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from recap_cli.errors import OptionError
from recap_cli.files import BLOCK, check_output_file, check_output_folder, true_path

DATA, EVALUATION, ABLATION = "prepared data", "an evaluation", "an ablation"
CREATOR = "recap-cli"  # in the metadata of pictures
PICTURES = (".png", ".svg", ".pdf")
LARGEST = 64 * BLOCK  # what is larger is none of ours
_DATASET = re.compile(r"dataset(-\d+-of-\d+)?\.json")
_UNFINISHED = re.compile(r"unfinished(-\d+-of-\d+)?\.json")
_RUN = re.compile(r".+-seed-\d+")
LONGEST_STEM = 60  # characters
KEPT_LETTERS = 24  # of a longer one; with 4 bytes each, a hash and two suffixes they still fit a file system
LONGEST_NAME = 48


def file_stem(name: str) -> str:
    """Returns a file name for any text: short, and another one for every other text, also where case is ignored.

    A plain lower-case text names itself; of any other, the last letters stay before a hash of it.
    """
    found = unicodedata.normalize("NFC", name).casefold()
    clean = "".join(letter if letter.isalnum() or letter in "._" else "-" for letter in found).strip("-._")
    if name and clean == name and len(name) <= LONGEST_STEM and name.isascii():
        return name
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return "-".join(part for part in (clean[-KEPT_LETTERS:].strip("-._"), digest) if part)


def split_stem(split: str) -> str:
    """Returns a split's part of a file name: without a dot, and never that of the scores."""
    return file_stem(split.replace(".", "\n") + "\n" * (split == "scores"))


def name_systems(sources: Sequence[str]) -> list[str]:
    """Returns a short name for each path: the last folders that tell it from the others, never the whole of a long one.

    Names that differ by case or by the form of their accents only are told apart by a number.
    """
    parts = [Path(source).parts or (".",) for source in sources]
    names: list[str] = []
    taken: set[str] = set()
    for one in parts:
        lengths = range(1, len(one) + 1)
        alone = (n for n in lengths if sum(alike(tail(one, n), tail(other, n)) for other in parts) == 1)
        count = next(alone, 1)
        name, number = tail(one, count), 2
        while plain_form(name) in taken:
            name, number = f"{tail(one, count)} ({number})", number + 1
        taken.add(plain_form(name))
        names.append(name)
    return names


def tail(parts: Sequence[str], count: int) -> str:
    """Returns the last parts of a path, shortened in the middle where they are long."""
    text = "/".join(parts[-count:]).replace("//", "/")
    half = LONGEST_NAME // 2 - 2
    return text if len(text) <= LONGEST_NAME else f"{text[:half]}...{text[-half:]}"


def plain_form(name: str) -> str:
    """Returns a name without what a reader may overlook: case, and the form of accents."""
    return unicodedata.normalize("NFC", name).casefold()


def alike(one: str, other: str) -> bool:
    """Whether a reader may take one name for the other."""
    return plain_form(one) == plain_form(other)


def check_evaluation(out: Path, predictions: Sequence[Path], paper: Path | None, has_models: bool) -> None:
    """Refuses a folder that is not for evaluations, or in which an input of this one would be written over.

    Args:
        out: the folder.
        predictions: files with captions.
        paper: a table with a paper's figures.
        has_models: whether models write captions there.

    Raises:
        OptionError: another folder is needed.
    """
    check_output_folder(out, EVALUATION, is_ours=is_evaluation)
    written = {"evaluation.json", "cases.html"}
    written |= {f"{file_stem(str(path))}.scores.jsonl" for path in predictions}
    for path in (*predictions, *([paper] if paper else [])):
        place = true_path(path)
        if place.parent == true_path(out) and (has_models or place.name in written):
            raise OptionError(
                f"--out {out} holds an input that this evaluation would write over: {path}",
                "name another folder with --out, or copy the file elsewhere",
            )


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
        lines = path.read_bytes().splitlines() if path.stat().st_size <= LARGEST else []
    except OSError:
        return False
    return len(lines) == 1 and has_keys(read_first(path), "audio", "captions", "recap")


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


def check_caption(out: Path | None, explain: Path | None, inputs: Sequence[Path]) -> None:
    """Refuses places for one song's caption and picture where something would be lost.

    Args:
        out: where the caption goes; None is stdout.
        explain: where the picture goes, if anywhere.
        inputs: files and folders that the command reads.

    Raises:
        OptionError: another place is needed, or the picture has no known format.
    """
    if explain is not None:
        if explain.suffix.lower() not in PICTURES:
            raise OptionError(f"--explain {explain} is no picture", f"end it in {', '.join(PICTURES)}")
        check_output_file(explain, "--explain", inputs, is_picture)
    if out is not None:
        check_output_file(out, "--out", [*inputs, *([explain] if explain else [])], is_caption)


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
