"""The files of a data folder: whole, or as slices that a plain merge of folders joins; its lock; its unfinished state.

A whole folder has `dataset.json`, `songs.jsonl`, `captions.jsonl`, `rejected.jsonl`; slice 3 of 8 has
`dataset-3-of-8.json` and so on. The shards in `mels/` are named for their content, so slices never collide.
"""

import json
import math
import os
import re
import shlex
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from recap_cli.corpus.mel_cache import fingerprint
from recap_cli.corpus.shards import own_shards
from recap_cli.errors import DataError
from recap_cli.files import make_folder, remove_stale_partials, write_json
from recap_cli.outputs import DATA, hold_folder, is_data_folder
from recap_cli.settings import Slice

MELS = "mels"
STATES = "states"  # of the music, in place of its mels
DATASET_FILE = "dataset.json"
LARGEST = 1 << 24  # bytes of a dataset.json
KINDS = {"audio": dict, "fingerprint": str, "splits": dict, "source": str, "recap": str}  # that a dataset.json holds
COUNTS = ("sample_rate", "n_fft", "hop", "mels")  # audio settings that are whole numbers
NAMES = ("resampler", "music_encoder")  # and those that are texts, which `AudioSettings` checks
RECORDS = ("songs.jsonl", "captions.jsonl", "rejected.jsonl")
SHARED = ("audio", "excerpt", "precision", "seed", "source", "options")  # what all slices must have in common
_SLICE_FILE = re.compile(r"dataset-(\d+)-of-(\d+)\.json")


def is_prepared(folder: Path) -> bool:
    """Whether a folder holds a whole data set."""
    return (folder / DATASET_FILE).is_file() or bool(_complete_slices(folder))


def parts_of(folder: Path) -> list[Slice]:
    """Returns the parts whose files make up a folder: the whole, or all slices.

    Raises:
        DataError: the folder is missing or not finished.
    """
    if (folder / DATASET_FILE).is_file():
        return [Slice()]
    if slices := _complete_slices(folder):
        return slices
    if there := sorted(path.name for path, _, _ in _slice_files(folder)):
        raise DataError(f"{folder} holds {', '.join(there[:3])} and lacks other parts", "prepare and copy them, too")
    raise _not_prepared(folder)


def _not_prepared(folder: Path) -> DataError:
    """Returns the error of a folder without `dataset.json`; no hint sends output into a folder of songs."""
    named = shlex.quote(str(folder))
    if not os.path.lexists(folder):
        return DataError(f"no data folder {folder}", f"check the path, or make it: recap prepare SONGS --out {named}")
    if (folder / MELS).is_dir():
        hint = f"resume it: the same recap prepare command again, with --out {named}"
        return DataError(f"{folder} was not finished: it has no {DATASET_FILE}", hint)
    out = "data" if not os.path.lexists("data") else shlex.quote(f"{folder.stem}-data")
    hint = f"if it holds songs, prepare them first: recap prepare {named} --out {out}"
    return DataError(f"{folder} is no prepared data folder: it has no {DATASET_FILE}", hint)


def _slice_files(folder: Path) -> Iterator[tuple[Path, int, int]]:
    """Yields the `dataset.json` of slices, each with its number and their count."""
    for path in folder.glob("dataset-*-of-*.json"):
        if match := _SLICE_FILE.fullmatch(path.name):
            yield path, int(match[1]), int(match[2])


def _complete_slices(folder: Path) -> list[Slice]:
    """Returns the slices that make up a folder, none when they are not all there."""
    found: dict[int, set[int]] = {}
    for _, number, count in _slice_files(folder):
        found.setdefault(count, set()).add(number)
    for count, numbers in sorted(found.items()):
        if len(numbers) == count and min(numbers) == 1 and max(numbers) == count:
            return [Slice(number, count) for number in range(1, count + 1)]
    return []


# dataset.json ---------------------------------------------------------------------------------------------------------


def read_dataset_file(folder: Path) -> dict[str, Any]:
    """Returns `dataset.json`, which exists once `recap prepare` has finished; those of slices are joined.

    Raises:
        DataError: there is none, it is damaged, or slices were prepared in different ways.
    """
    parts = [_read_part(part.file(folder, DATASET_FILE)) for part in parts_of(folder)]
    info = parts[0]
    if len(parts) == 1:
        return info
    for number, other in enumerate(parts, start=1):
        for key in SHARED:
            if other.get(key) != info.get(key):
                raise DataError(
                    f"{folder}: parts 1 and {number} differ in {key}", "prepare all of them with the same options"
                )
    names = sorted({name for part in parts for name in part["splits"]})
    info["splits"] = {name: sum(part["splits"].get(name, 0) for part in parts) for name in names}
    info["music_tags"] = sorted({tag for part in parts for tag in part.get("music_tags", ())})
    info["fingerprint"] = fingerprint([part["fingerprint"] for part in parts])
    info.pop("slice", None)
    return info


def _read_part(path: Path) -> dict[str, Any]:
    """Returns one `dataset.json`, or says how it is damaged."""
    try:
        if path.stat().st_size > LARGEST:
            raise ValueError(f"it is over {LARGEST >> 20} MB")
        info: Any = json.loads(path.read_text(encoding="utf-8"))
        if type(info) is not dict:
            raise ValueError("no JSON object")
        _check_info(info)
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is damaged: not UTF-8", "run recap prepare again") from error
    except (OSError, ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else error
        raise DataError(f"{path} is damaged: {reason}", "run recap prepare again") from error
    return info


def _check_info(info: dict[str, Any]) -> None:
    """Refuses a `dataset.json` in which something that others rely on is missing or of the wrong kind."""
    for name, kind in KINDS.items():
        if type(info.get(name)) is not kind:
            raise ValueError(f"{name} is {'missing' if name not in info else 'of the wrong kind'}")
    if not all(type(count) is int and count >= 0 for count in info["splits"].values()):
        raise ValueError("splits are no counts by name")
    for name, value in info["audio"].items():
        numbers = (int,) if name in COUNTS else (int, float)
        if name not in NAMES and (type(value) not in numbers or not math.isfinite(value)):
            raise ValueError(f"audio.{name} is no {'count' if name in COUNTS else 'number'}")
    tags = info.setdefault("music_tags", [])
    if type(tags) is not list or not all(type(tag) is str for tag in tags):
        raise ValueError("music_tags are no texts")
    if info.get("music", MELS) not in (MELS, STATES):
        raise ValueError("music is neither mels nor states")
    for name in ("demo", "real"):
        if type(info.get(name, {})) is not dict:
            raise ValueError(f"{name} is no object")


# while it is prepared -------------------------------------------------------------------------------------------------


@contextmanager
def held(folder: Path, part: Slice, inputs: Iterable[Path] = ()) -> Iterator[None]:
    """Holds a folder for one preparation of a part; others may prepare other parts of it at the same time.

    Raises:
        BusyError: another preparation of the same part holds it.
        OptionError: the folder is no data folder, or is or holds an input.
        DataError: the folder cannot be made.
    """
    lock = part.file(folder, "prepare.lock").name
    with hold_folder(folder, DATA, "recap prepare", inputs=inputs, is_ours=is_data_folder, lock=lock):
        for place in (folder, folder / MELS):
            if place.is_dir():
                remove_stale_partials(place, part.label if part.count > 1 else "")
        yield


def begin(folder: Path, part: Slice) -> tuple[str, ...]:
    """Notes which shards a preparation starts from and returns them; one that resumes takes the note of the first.

    Raises:
        DataError: the disk refuses.
    """
    mels, note = folder / MELS, part.file(folder, "unfinished.json")
    make_folder(mels)
    with suppress(OSError, ValueError, TypeError):
        base = json.loads(note.read_text(encoding="utf-8"))
        return tuple(str(name) for name in base)
    names = [path.name for path in own_shards(mels)]
    write_json(note, names, part.label)
    return tuple(names)


def undo(folder: Path, part: Slice) -> None:
    """Takes back a preparation that came to nothing, so that it leaves no trace."""
    end(folder, part)
    with suppress(OSError):  # it holds what others made
        (folder / MELS).rmdir()


def end(folder: Path, part: Slice) -> None:
    """Removes the note: the preparation is finished."""
    part.file(folder, "unfinished.json").unlink(missing_ok=True)
