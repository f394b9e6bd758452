"""Where our outputs may go and what they are known by, so that no input and no stranger's file is ever replaced."""

import errno
import hashlib
import json
import os
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from recap_cli.errors import OptionError
from recap_cli.files import BLOCK, PARTIAL, kind_of, locked, make_folder, write_json

MARKER = ".recap.json"  # says what a folder of ours holds
LOCK = ".recap.lock"
DATA, EVALUATION, ABLATION = "prepared data", "an evaluation", "an ablation"
CREATOR = "recap-cli"  # in the metadata of pictures
CAPTION_COLUMNS = ("id", "audio", "caption", "score", "warnings", "error", "model")  # of a table of captions
CAPTION_COLUMNS_LINES = tuple(f"{mark.join(CAPTION_COLUMNS)}\n".encode() for mark in ",\t")
PICTURES = (".png", ".svg", ".pdf")
PAGES = (".html", ".htm")
LARGEST = 64 * BLOCK  # what is larger is none of ours
_DATASET = re.compile(r"dataset(-\d+-of-\d+)?\.json")
_UNFINISHED = re.compile(r"unfinished(-\d+-of-\d+)?\.json")
_RUN = re.compile(r".+-seed-\d+")
LONGEST_STEM = 60  # characters
KEPT_LETTERS = 24  # of a longer one; with 4 bytes each, a hash and two suffixes they still fit a file system

IsOurs = Callable[[Path], bool]


def never_ours(path: Path) -> bool:
    """Returns False: takes every file and folder for a stranger's."""
    return False


# places ---------------------------------------------------------------------------------------------------------------


def check_output_file(path: Path, flag: str, inputs: Iterable[Path] = (), is_ours: IsOurs = never_ours) -> None:
    """Refuses an output that would destroy something (an input, a stranger's file, a folder, a device, a link).

    Refuses a place that cannot be written, too. Nothing is written, opened for writing or truncated here.

    Args:
        path: where the output goes.
        flag: the flag that named it, for messages.
        inputs: files and folders that the same command reads.
        is_ours: whether a regular file that stands there was written by us for the same use, so that it may go.

    Raises:
        OptionError: it must not be written there.
    """
    found = _look_at(path, flag)
    for one in inputs:
        if same_place(path, one):
            raise OptionError(f"{flag} {path} is an input of this command, too", "name another file; the input stays")
    if found is not None and (kind := kind_of(found.st_mode)) != "file":
        raise OptionError(f"{flag} {path} is a {kind}, not a file to write", "name another file")
    if found is not None and found.st_size and not is_ours(path):
        raise OptionError(f"{flag} {path} is there already, and not of our making", "name another file; this one stays")
    _check_writable(path.parent, path, flag)


def check_output_folder(folder: Path, holds: str, inputs: Iterable[Path] = (), is_ours: IsOurs = never_ours) -> None:
    """Refuses a folder for our output that is not new, empty, or marked by us for the same use; writes nothing.

    Args:
        folder: what --out named.
        holds: what it will hold, such as "prepared data" or "a run"; kept in the marker.
        inputs: files and folders that the same command reads.
        is_ours: recognises a folder that we made before there were markers.

    Raises:
        OptionError: it holds something else, is an input, holds an input, or cannot be written.
    """
    for one in inputs:
        if same_place(folder, one):
            raise OptionError(f"--out {folder} is an input of this command, too", "name another; the input stays")
        if true_path(folder) in true_path(one).parents:
            raise OptionError(f"--out {folder} holds an input of this command: {one}", "name another folder")
    try:
        if _look_at(folder, "--out") is None:
            return _check_writable(folder, folder, "--out")
        if not folder.is_dir():
            raise OptionError(f"--out {folder} is no folder", "name another folder")
        # A claim that was cut off leaves its partial.
        empty = all(PARTIAL.fullmatch(path.name) for path in folder.iterdir())
    except (OSError, ValueError) as error:
        raise _unusable(folder, "--out", error) from error
    before = read_marker(folder)
    if before is None and not empty and not is_ours(folder):
        raise OptionError(f"--out {folder} is not empty, and not of our making", "name a new or empty folder")
    if before not in (None, holds):
        raise OptionError(f"--out {folder} holds {before}, not {holds}", "name another folder")
    return _check_writable(folder, folder, "--out")


def claim_folder(folder: Path, holds: str, inputs: Iterable[Path] = (), is_ours: IsOurs = never_ours) -> None:
    """Makes a folder for our output and marks it, after `check_output_folder`; a DataError where it cannot be made."""
    check_output_folder(folder, holds, inputs, is_ours)
    make_folder(folder)
    if read_marker(folder) is None:
        write_json(folder / MARKER, {"holds": holds})


@contextmanager
def hold_folder(
    folder: Path,
    holds: str,
    work: str,
    inputs: Iterable[Path] = (),
    is_ours: IsOurs = never_ours,
    lock: str = LOCK,
) -> Iterator[None]:
    """Claims a folder as `claim_folder` does and holds it alone; where nothing came of it, it is as it was.

    A second process gets a BusyError that names `work`, the command that holds it, such as "recap eval". Commands that
    share a folder in parts each have a `lock` of their own name.
    """
    made = [path for path in (folder, *folder.parents) if not os.path.lexists(path)]
    claim_folder(folder, holds, inputs, is_ours)
    try:
        with locked(folder / lock, f"another {work} is working on {folder}"):
            yield
    finally:
        with suppress(OSError):
            if [path.name for path in folder.iterdir()] == [MARKER]:
                (folder / MARKER).unlink()
            for path in made:
                path.rmdir()  # refused where it holds something


def read_marker(folder: Path) -> str | None:
    """Returns what a folder's marker says it holds; None where there is no marker that we wrote."""
    found = read_json(folder / MARKER)
    holds = found.get("holds") if isinstance(found, dict) else None
    return holds if isinstance(holds, str) else None


def _look_at(path: Path, flag: str) -> os.stat_result | None:
    """Returns what the disk says of a path, links not followed; None where nothing is there."""
    try:
        return path.lstat()
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:  # a file stands above it, or its name is none
        raise _unusable(path, flag, error) from error


def _unusable(path: Path, flag: str, error: Exception) -> OptionError:
    reason = getattr(error, "strerror", None) or error
    return OptionError(f"{flag} {path} cannot be written: {reason}", "name another place")


def _check_writable(folder: Path, path: Path, flag: str) -> None:
    """Refuses a folder in which nothing can be made; where it is missing, the nearest one above it counts."""
    try:
        while not os.path.lexists(folder) and folder != folder.parent:
            folder = folder.parent
        if not folder.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, f"{folder} is no folder")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, f"{folder} is read-only")
    except (OSError, ValueError) as error:
        raise _unusable(path, flag, error) from error


def same_place(one: Path, other: Path) -> bool:
    """Whether two paths lead to the same file or folder, by any spelling or link."""
    try:
        return one.samefile(other)
    except (OSError, ValueError):
        return true_path(one) == true_path(other)


def true_path(path: Path) -> Path:
    """Returns a path without links and dots; as it is where that cannot be found out."""
    try:
        return path.resolve()
    except (OSError, ValueError, RuntimeError):
        return path


def check_evaluation(
    out: Path, names: Sequence[str], predictions: Sequence[Path], inputs: Sequence[Path], has_models: bool
) -> None:
    """Refuses a folder that is not for evaluations, or that holds an input that they would replace (OptionError).

    `names` are those of the systems. `inputs` are further files that are read. `has_models` says that models' captions
    are written there, too, under names that depend on the data.
    """
    check_output_folder(out, EVALUATION, is_ours=is_evaluation)
    written = {"evaluation.json", "tables.md", "report.html", "systems.png", "systems.svg"}
    written |= set(score_files(names))
    for path in (*predictions, *inputs):
        place = true_path(path)
        if place.parent == true_path(out) and (has_models or place.name in written):
            raise OptionError(
                f"--out {out} holds an input that this evaluation would write over: {path}",
                "name another folder with --out, or copy the file elsewhere",
            )


def check_explain(explain: Path, inputs: Sequence[Path]) -> None:
    """Refuses a picture of an unknown format, or where something would be lost (OptionError)."""
    if explain.suffix.lower() not in PICTURES:
        raise OptionError(f"--explain {explain} is not a picture file", f"end its name in {', '.join(PICTURES)}")
    check_output_file(explain, "--explain", inputs, is_picture)


def check_report(report: Path, inputs: Sequence[Path] = ()) -> None:
    """Refuses a page of another format, or where something would be lost (OptionError)."""
    if report.suffix.lower() not in PAGES:
        raise OptionError(f"--report {report} is not a page", f"end its name in {' or '.join(PAGES)}")
    check_output_file(report, "--report", inputs, is_page)


# names ----------------------------------------------------------------------------------------------------------------


def file_stem(name: str) -> str:
    """Returns a file name for any text: short, and another one for every other text, also where case is ignored.

    A plain lower-case text names itself; of any other, the last letters stay before a hash of it.
    """
    clean = "".join(letter if letter.isalnum() or letter in "._" else "-" for letter in plain_name(name)).strip("-._")
    if name and clean == name and len(name) <= LONGEST_STEM and name.isascii():
        return name
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return "-".join(part for part in (clean[-KEPT_LETTERS:].strip("-._"), digest) if part)


def score_files(names: Iterable[str]) -> list[str]:
    """Returns what the files of systems' scores are called: after the systems, each in its own way."""
    stems: list[str] = []
    for name in names:
        while (stem := file_stem(name)) in stems:  # a control of a run can be called as a file of captions is
            name += "\n"
        stems.append(stem)
    return [f"{stem}.scores.jsonl" for stem in stems]


def split_stem(split: str) -> str:
    """Returns a split's part of a file name: without a dot, and never that of the scores."""
    return file_stem(split.replace(".", "\n") + "\n" * (split == "scores"))


def plain_name(name: str) -> str:
    """Returns a name without what a reader may overlook: case, and the form of accents."""
    return unicodedata.normalize("NFC", name).casefold()


# what we wrote --------------------------------------------------------------------------------------------------------


def is_data_folder(folder: Path) -> bool:
    """Whether `recap prepare` filled a folder, or began to."""
    if any(_has_keys(read_json(path), "recap", "fingerprint") for path in _named(folder, _DATASET)):
        return True
    return (folder / "mels").is_dir() and any(isinstance(read_json(one), list) for one in _named(folder, _UNFINISHED))


def is_evaluation(folder: Path) -> bool:
    """Whether `recap eval` wrote into a folder: its result, or captions with a note on how they were made."""
    found = read_json(folder / "evaluation.json")
    if _has_keys(found, "made", "systems") and _has_keys(found["made"], "recap"):
        return True
    return any(_has_keys(read_json(path), "system", "weights", "decoding") for path in folder.glob("*.made.json"))


def is_ablation(folder: Path) -> bool:
    """Whether `recap ablate` wrote into a folder: results, or runs of conditions and seeds."""
    if is_results(folder / "results.jsonl"):
        return True
    runs = [path for path in _named(folder, _RUN) if path.is_dir()]
    return any(
        is_results(run / "record.jsonl") or _has_keys(read_json(run / "options.json"), "recipe", "alpha")
        for run in runs
    )


def is_results(path: Path) -> bool:
    """Whether a file begins with a result of a sweep's run."""
    first = _read_first(path)
    # Earlier versions called the condition an arm.
    return any(_has_keys(first, "key", name, "seed", "made") for name in ("condition", "arm"))


def is_caption(path: Path) -> bool:
    """Whether a file is one caption that `recap caption` wrote, or its table of captions, and nothing else."""
    if _read_small(path).startswith(CAPTION_COLUMNS_LINES):
        return True
    return len(_read_small(path).splitlines()) == 1 and _has_keys(_read_first(path), "audio", "captions", "recap")


def is_picture(path: Path) -> bool:
    """Whether we drew a picture: it says so in its metadata (PNG, SVG, PDF)."""
    content = _read_small(path)
    kinds = {b"\x89PNG": f"Software\0{CREATOR}", b"%PDF": f"/Creator ({CREATOR})", b"<?xml": f"<dc:title>{CREATOR}<"}
    return any(content.startswith(start) and sign.encode() in content for start, sign in kinds.items())


def is_page(path: Path) -> bool:
    """Whether we wrote a page: its head says so."""
    content = _read_small(path)
    return content.startswith(b"<!DOCTYPE html>") and f'<meta name="generator" content="{CREATOR}">'.encode() in content


def read_json(path: Path) -> Any:
    """Returns what a JSON file holds; None where it is no such file, or larger than any of ours."""
    try:
        return None if path.is_symlink() or not path.is_file() else json.loads(_read_small(path).decode())
    except (OSError, ValueError, RecursionError):
        return None


def _read_small(path: Path) -> bytes:
    """Returns a file's bytes; none where it cannot be read, or is larger than any of ours."""
    try:
        return path.read_bytes() if path.stat().st_size <= LARGEST else b""
    except OSError:
        return b""


def _read_first(path: Path) -> Any:
    """Returns what the first line of a file of JSON lines holds; None where it holds nothing of the kind."""
    try:
        with path.open("rb") as file:
            return json.loads(file.readline(LARGEST))
    except (OSError, ValueError, RecursionError):
        return None


def _has_keys(value: Any, *keys: str) -> bool:
    return isinstance(value, dict) and all(key in value for key in keys)


def _named(folder: Path, pattern: re.Pattern[str]) -> list[Path]:
    """Returns the entries of a folder whose names fit a pattern, none where it cannot be read."""
    try:
        return [path for path in folder.iterdir() if pattern.fullmatch(path.name)]
    except OSError:
        return []
