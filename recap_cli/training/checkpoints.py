"""Checkpoints: sealed with the names, sizes and hashes of their files, and the newest whole one found again.

A seal is written last. A run never resumes from what no seal vouches for: it falls back to the checkpoint before, and
says so.
"""

import json
import math
import shutil
import stat
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_model

from recap_cli.corpus.mel_cache import fingerprint
from recap_cli.errors import DataError, ModelError
from recap_cli.files import cannot_write, hash_file, write_json, write_json_lines
from recap_cli.model.captioner import RecapForCaptioning
from recap_cli.progress import Progress
from recap_cli.runtime.run_folder import LOG_FILE, is_record, read_log

STATE_FILE = "recap_state.json"
WEIGHTS = "model.safetensors"
# What the Trainer resumes from, besides the random state of each process.
NEEDED = (WEIGHTS, "optimizer.pt", "scheduler.pt", "trainer_state.json")
# Kinds of files that the Trainer would read, so that none may stand there that it did not write.
READ = (".bin", ".json", ".pt", ".pth", ".safetensors")
LARGEST = 1 << 26  # bytes of a seal, which holds the log: some 80,000 validations
TRAIN_AGAIN = "delete the run's folder and train again"
# Figures that choose the best epoch by their smallest value.
LOWER_IS_BETTER = ("caption_loss",)


def write_seal(folder: Path, run: str, step: int, losses: Mapping[str, Any], log: Sequence[Any] = ()) -> None:
    """Writes the last file of a checkpoint or of the best weights: what the folder holds when it is whole.

    `run` is the fingerprint of the run's options, so that no other run's checkpoint passes for one of it; `losses` are
    the parts of the loss since the last validation, `log` the records of all validations so far.
    """
    files = {
        path.name: {"bytes": path.stat().st_size, "sha256": hash_file(path)}
        for path in sorted(folder.iterdir())
        if path.name != STATE_FILE
    }
    record = {"step": step, "run": run, "losses": dict(losses), "log": list(log), "files": files}
    write_json(folder / STATE_FILE, {**record, "seal": fingerprint(record)})


def open_seal(folder: Path, run: str, step: int, needed: Sequence[str] = NEEDED) -> list[dict[str, Any]]:
    """Checks every byte of a sealed folder, and returns the records of all validations up to its step.

    Raises:
        ModelError: it is not whole, or is of another run or step; the message names what is wrong.
    """
    try:
        if folder.is_symlink():
            raise ValueError("it is a link")
        record = read_seal(folder / STATE_FILE)
        if record["run"] != run:
            raise ValueError("it is of a run with other settings")
        if record["step"] != step:
            raise ValueError(f"it is of step {record['step']}")
        if missing := [name for name in needed if name not in record["files"]]:
            raise ValueError(f"{missing[0]} is missing")
        for name, known in record["files"].items():
            check_part(folder, name, known)
        for path in folder.iterdir():
            if path.name not in (*record["files"], STATE_FILE) and (path.suffix in READ or path.is_dir()):
                raise ValueError(f"{path.name} was not written with it")
    except (OSError, ValueError) as error:
        reason = f"it cannot be read: {error.strerror}" if isinstance(error, OSError) else error
        raise ModelError(f"{folder} is damaged: {reason}", TRAIN_AGAIN) from error
    return list(record["log"])


def read_seal(path: Path) -> dict[str, Any]:
    """Returns the record of a seal.

    Raises:
        OSError, ValueError: it cannot be read, is missing, or is not as it was written.
    """
    if not path.is_file():
        raise ValueError(f"{path.name} is missing")
    try:
        if path.stat().st_size > LARGEST:
            raise ValueError("it is too large")
        record = json.loads(path.read_bytes())
        seal = record.pop("seal")
        if seal != fingerprint(record):
            raise ValueError("it was changed")
        if not is_seal(record):  # a stranger can compute a fingerprint, too
            raise ValueError("a value is of the wrong kind")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{path.name} is damaged") from error
    return dict(record)


def is_seal(record: dict[str, Any]) -> bool:
    """Whether every value of a seal is of the right kind."""
    losses, files = record["losses"], record["files"]
    sums = losses.get("sums", {})
    return (
        type(record["step"]) is int
        and type(losses.get("steps", 0)) is int
        and all(type(value) is float and math.isfinite(value) for value in sums.values())
        and all(type(one["bytes"]) is int and type(one["sha256"]) is str for one in files.values())
        and all(is_record(one) for one in record["log"])
    )


def check_part(folder: Path, name: str, known: Mapping[str, Any]) -> None:
    """Refuses a file that is missing, cut or changed.

    Raises:
        OSError, ValueError: it is, or it cannot be read.
    """
    path = folder / name
    if Path(name).name != name or not path.exists():
        raise ValueError(f"{name} is missing")
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise ValueError(f"{name} is no file")
    if found.st_size != known["bytes"]:
        raise ValueError(f"{name} has {found.st_size:,} of {known['bytes']:,} bytes")
    if hash_file(path) != known["sha256"]:
        raise ValueError(f"{name} holds other bytes than were written")


def choose_checkpoint(out: Path, run: str, best_by: str, progress: Progress, anew: bool = True) -> Path | None:
    """Returns the newest whole checkpoint, with the log as it was then; None where training starts from the beginning.

    What a kill left half-written is deleted, and what is damaged is set aside, so that the Trainer does not count it
    among the checkpoints it keeps; `progress` is told why. `best_by` is the figure that chooses the best weights;
    without `anew` the caller has something else to say where no checkpoint is whole.
    """
    found = list_checkpoints(out / "checkpoints")
    for path in found:
        try:
            log = open_seal(path, run, checkpoint_step(path))
            keep_best(out, run, log, checkpoint_step(path), best_by)
        except ModelError as error:
            put_away(path)
            progress.warn(f"{path.name} is skipped: {error.message}.")
            continue
        restore_log(out, log, checkpoint_step(path), progress)
        progress.say(f"Resuming from {path}.")
        return path
    if found and anew:
        progress.warn(f"No checkpoint of {out} is whole: training starts again from the beginning.")
    return None


def has_checkpoint(out: Path, run: str) -> bool:
    """Whether a run can be resumed: one of its checkpoints is whole."""
    for path in list_checkpoints(out / "checkpoints"):
        with suppress(ModelError):
            open_seal(path, run, checkpoint_step(path))
            return True
    return False


def list_checkpoints(folder: Path) -> list[Path]:
    """Returns the checkpoints of a run, newest first, whole or not."""
    found = (path for path in folder.glob("checkpoint-*") if path.is_dir() and checkpoint_step(path) >= 0)
    return sorted(found, key=checkpoint_step, reverse=True)


def checkpoint_step(path: Path) -> int:
    """Returns the step of a checkpoint's folder; -1 where its name has none."""
    step = path.name.partition("-")[2]
    return int(step) if step.isascii() and step.isdecimal() and len(step) < 16 and str(int(step)) == step else -1


def put_away(path: Path) -> None:
    """Deletes a half-written checkpoint, or a link in the place of one; renames a damaged one, for a look at it."""
    try:
        if path.is_symlink():
            path.unlink()
        elif not (path / STATE_FILE).exists():
            shutil.rmtree(path)
        else:
            aside = path.with_name(f"damaged-{path.name}")
            shutil.rmtree(aside, ignore_errors=True)
            path.replace(aside)
    except OSError as error:
        raise cannot_write(path, error) from error


def restore_log(out: Path, log: Sequence[dict[str, Any]], step: int, progress: Progress) -> None:
    """Puts the log back as it was at a checkpoint; what came later is trained again."""
    kept = [record for record in read_log(out) if record["step"] <= step]
    if json.dumps(kept) != json.dumps(log):  # as text, since NaN does not equal itself
        progress.warn(f"{out / LOG_FILE} was damaged and is restored as it was at step {step}.")
    write_json_lines(out / LOG_FILE, log)


# the best weights -----------------------------------------------------------------------------------------------------


def best_record(log: Sequence[dict[str, Any]], best_by: str) -> dict[str, Any]:
    """Returns the record with the best figure, the earliest of equals."""
    choose = min if best_by in LOWER_IS_BETTER else max
    return choose(log, key=lambda record: record[best_by])


def keep_best(out: Path, run: str, log: Sequence[dict[str, Any]], until: int, best_by: str) -> None:
    """Makes sure that the best weights up to a checkpoint are there, for they may stay the best ones.

    Where they are lost they are taken from the checkpoint of their step. Later best weights may have replaced them;
    resumed training reaches those again, so that nothing is lacking then.

    Raises:
        ModelError: they are gone or damaged.
    """
    if not log:
        return
    step = int(best_record(log, best_by)["step"])
    kept = [checkpoint_step(path) for path in (out / "best").glob("step-*")]
    if any(is_best(out, run, one) for one in kept if one == step or one > until):
        return
    checkpoint = out / "checkpoints" / f"checkpoint-{step}"
    if not checkpoint.is_dir():
        open_best(out, run, step)  # says what is wrong with them
    open_seal(checkpoint, run, step)
    write_best(lambda folder: shutil.copyfile(checkpoint / WEIGHTS, folder / WEIGHTS), out, run, step)


def open_best(out: Path, run: str, step: int) -> Path:
    """Checks the best weights, and returns their file.

    Raises:
        ModelError: they are gone or damaged.
    """
    folder = out / "best" / f"step-{step}"
    if not folder.is_dir():
        raise ModelError(f"the weights of the best step are gone: {folder / WEIGHTS}", TRAIN_AGAIN)
    open_seal(folder, run, step, (WEIGHTS,))
    return folder / WEIGHTS


def is_best(out: Path, run: str, step: int) -> bool:
    """Whether whole best weights of a step are there."""
    try:
        return open_best(out, run, step).is_file()
    except ModelError:
        return False


def load_best(model: RecapForCaptioning, out: Path, run: str, step: int) -> None:
    """Loads the best weights into the model.

    Raises:
        ModelError: they are not there, or damaged.
    """
    path = open_best(out, run, step)
    try:
        load_model(model, path, strict=False)
    except (OSError, RuntimeError, SafetensorError) as error:
        raise ModelError(f"{path} cannot be loaded: {error}", TRAIN_AGAIN) from error


def write_best(save: Callable[[Path], object], out: Path, run: str, step: int) -> None:
    """Keeps the weights of the best step so far, which `save` writes; those before go only when these are whole.

    Raises:
        DataError: the disk refuses.
    """
    folder, partial = out / "best" / f"step-{step}", out / "best" / "partial"
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        save(partial)
        write_seal(partial, run, step, {})
        shutil.rmtree(folder, ignore_errors=True)
        partial.replace(folder)
    except Exception as error:  # safetensors has an error class of its own
        shutil.rmtree(partial, ignore_errors=True)
        reason = error.message if isinstance(error, DataError) else error
        raise DataError(f"cannot write {folder}: {reason}", "is the disk full? start again to resume") from error
    for older in (out / "best").iterdir():
        if older != folder:
            with suppress(OSError):
                shutil.rmtree(older)
