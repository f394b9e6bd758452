"""Hostile and damaged inputs of every kind: each is read, or refused by name; nothing crashes, hangs or eats memory.

    python tests/benchmarks/fuzz.py [--kinds audio,tables,...] [--share 1.0] [--seed 0]

Whole: 500 audio files, 300 corpora, 500 tables, 300 lyrics files, 200 tagged files, 200 model folders and 100
checkpoints; `--share .1` takes a tenth. Each kind runs in a process of its own. A hang is an input that takes over
10 s. The last line is JSON: of each kind the items, how many were read and how many refused (of corpora that were read,
songs that were rejected count, too), tracebacks, hangs, and the most memory in MB.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from fuzzing import HANG, Tally, fuzz_audio, fuzz_corpora, peak_memory

from recap_cli.errors import RecapError

COUNTS = {"audio": 500, "corpora": 300, "tables": 500, "lyrics": 300, "tags": 200, "models": 200, "checkpoints": 100}


def try_each(items: Iterator[tuple[str, Callable[[], Any]]], tally: Tally) -> None:
    """Try inputs one after the other: what gives nothing counts as refused, as what a RecapError refuses."""
    for name, read in items:
        began = time.monotonic()
        try:
            if read():
                tally.prepared += 1
            else:
                tally.refused += 1
        except RecapError as error:
            tally.refused += 1
            if not (error.message and error.hint):
                tally.crashes.append(f"{name}: refused without a word")
        except Exception as error:
            tally.crashes.append(f"{name}: {type(error).__name__}: {error}")
        if time.monotonic() - began > HANG:
            tally.hangs.append(name)
        tally.items += 1


def tables(folder: Path, count: int, seed: int) -> Iterator[tuple[str, Callable[[], Any]]]:
    from hostile_tables import hostile_tables, read_hostile

    for path in islice(hostile_tables(folder, seed), count):
        yield path.name, lambda path=path: read_hostile(path)[0]
        path.unlink()


def lyrics(folder: Path, count: int, seed: int) -> Iterator[tuple[str, Callable[[], Any]]]:
    from hostile_lyrics import hostile_lyrics

    from recap_cli.lyrics.reader import read_lyrics

    for path in hostile_lyrics(folder, seed, count):
        yield path.name, lambda path=path: read_lyrics(path).text.encode()


def tags(folder: Path, count: int, seed: int) -> Iterator[tuple[str, Callable[[], Any]]]:
    from hostile_lyrics import hostile_tags

    from recap_cli.lyrics.tags import lyrics_in_tags

    for path in hostile_tags(folder, seed, count):
        yield path.name, lambda path=path: lyrics_in_tags(path)


def models(folder: Path, count: int, seed: int) -> Iterator[tuple[str, Callable[[], Any]]]:
    from hostile_models import hostile_models

    from recap_cli import Captioner
    from recap_cli.runtime.decoding import DecodingOptions

    song = Path(__file__).parents[2] / "examples" / "songs" / "ode-to-joy.ogg"
    decoding = DecodingOptions(beams=1, max_caption_tokens=8)

    def caption(model: Path) -> str:
        return Captioner.from_pretrained(model, device="cpu").caption(song, "rain", decoding=decoding).caption or " "

    for name, model in islice(hostile_models(folder, seed), count):
        yield name, lambda model=model: caption(model)
        shutil.rmtree(model)
    if (folder / "trap").exists():
        yield "trap", lambda: 1 / 0  # a model folder ran its code


class Killed(BaseException):
    """Stands for kill -9: nothing in the package catches it."""


def interrupted_run(folder: Path) -> tuple[Path, Callable[[Path], Any]]:
    """A run of four steps that was killed before it was saved, and what goes on with a copy of it."""
    from recap_cli.preparation.prepare import PrepareOptions, prepare
    from recap_cli.training import train as module

    def kill(*arguments: Any) -> None:
        raise Killed

    def go_on(out: Path) -> Any:
        return module.train(module.TrainOptions(folder / "data", out, **options)).figures

    options = {"limit": 4, "epochs": 4, "max_caption_tokens": 10, "device": "cpu", "validate_every": 2.0}
    options["checkpoint_every"] = 1
    prepare(PrepareOptions(limit=24, jobs=1, out=folder / "data"))
    finish, module.finish_run = module.finish_run, kill
    try:
        go_on(folder / "run")
    except Killed:
        return folder / "run", go_on
    finally:
        module.finish_run = finish
    raise AssertionError("it was not killed")


def checkpoints(folder: Path, count: int, seed: int) -> Iterator[tuple[str, Callable[[], Any]]]:
    from hostile_checkpoints import copy_run, hostile_checkpoints

    from recap_cli import console_progress

    console_progress(quiet=True)  # keeps transformers from talking
    run, go_on = interrupted_run(folder)
    for number, (name, damage) in enumerate(islice(hostile_checkpoints(run, seed), count)):
        out = copy_run(run, folder / str(number))
        damage(out)
        yield name, lambda out=out: go_on(out)
        shutil.rmtree(out)


EACH = {"tables": tables, "lyrics": lyrics, "tags": tags, "models": models, "checkpoints": checkpoints}


def fuzz(kind: str, count: int, seed: int, folder: Path) -> dict[str, Any]:
    """Fuzz one kind in this process."""
    tally = Tally()
    if kind == "audio":
        fuzz_audio(folder, count, tally, seed)
    elif kind == "corpora":
        fuzz_corpora(folder, count, tally, seed)
    else:
        try_each(EACH[kind](folder, count, seed), tally)
    for line in [*tally.crashes, *tally.hangs]:
        print(f"{kind}: {line[:300]}", file=sys.stderr, flush=True)
    peak = max(tally.peak_mb, peak_memory("self"))
    return {
        "items": tally.items, "read": tally.prepared, "refused": tally.refused + tally.rejected,
        "tracebacks": len(tally.crashes), "hangs": len(tally.hangs), "peak_mb": round(peak),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kinds", default=",".join(COUNTS))
    parser.add_argument("--share", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        with tempfile.TemporaryDirectory() as name:
            count = max(1, round(COUNTS[arguments.one] * arguments.share))
            print(json.dumps(fuzz(arguments.one, count, arguments.seed, Path(name))))
        return
    print(f"settings: {vars(arguments)}", flush=True)
    figures = {}
    for kind in arguments.kinds.split(","):
        command = [
            sys.executable,
            __file__,
            "--one",
            kind,
            "--share",
            str(arguments.share),
            "--seed",
            str(arguments.seed),
        ]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=False)
        if done.returncode:
            raise SystemExit(f"{kind}: the process ended with {done.returncode}")
        figures[kind] = json.loads(done.stdout.splitlines()[-1])
        print(f"{kind}: {figures[kind]}", flush=True)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
