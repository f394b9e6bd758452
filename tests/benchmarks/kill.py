"""Commands that are killed with -9 at random moments and started again end as if nobody had disturbed them.

    python tests/benchmarks/kill.py [prepare caption eval ablate] [--kills 20] [--seed 0]

Each output is killed two to six times, alone or with its processes, before it is finished; every second preparation
begins after a finished one with fewer songs. The last line is JSON: for each command the kills that met a living
process, the outputs, how many of them were equal to the undisturbed one, and records that were lost or doubled.
"""

import argparse
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

KILLS = (2, 6)  # of one output, at least and at most
QUIET = "-q"


@dataclass(frozen=True)
class Trial:
    """A command under test.

    Attributes:
        arguments: of `recap`, for an output and the number of the trial.
        content: what must be equal, of a finished output.
        records: names of its records, each of which must be there once.
        before: puts the output into the state that it starts from.
    """

    arguments: Callable[[Path, int], list[str]]
    content: Callable[[Path], Any]
    records: Callable[[Path], list[str]]
    before: Callable[[Path, int], None] = lambda out, number: None


def write_corpus(folder: Path, count: int) -> Path:
    """Short songs; every tenth has the audio of an earlier one, every twentieth is damaged."""
    folder.mkdir()
    lines = []
    for number in range(count):
        file = folder / f"{number}.wav"
        seed = number - 15 if number % 10 == 9 and number > 20 else number
        soundfile.write(file, np.random.default_rng(seed).normal(0, 0.1, 66150), 44100)
        if number % 20 == 19:
            file.write_bytes(b"no audio")
        lines.append(
            json.dumps({"id": f"s{number}", "audio": file.name, "lyrics": f"la {number}", "caption": "a song"})
        )
    path = folder / "songs.jsonl"
    path.write_text("\n".join(lines) + "\n")
    (folder / "fewer.jsonl").write_text("\n".join(lines[: count // 2]) + "\n")
    return path


def start(arguments: list[str], folder: Path) -> subprocess.Popen:
    """Starts a command in a session of its own."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", "recap_cli", *map(str, arguments), QUIET]
    return subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True, cwd=folder, env=environment
    )


def finish(arguments: list[str], folder: Path, allowed: tuple[int, ...] = (0,)) -> float:
    """Runs a command to its end and returns its seconds."""
    began = time.monotonic()
    process = start(arguments, folder)
    _, told = process.communicate()
    if process.returncode not in allowed:
        raise SystemExit(f"recap {' '.join(map(str, arguments))} ended with {process.returncode}: {told.decode()}")
    return time.monotonic() - began


def every_file(out: Path) -> dict[str, str]:
    """Names and hashes of all files."""
    return {
        str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(out.rglob("*"))
        if path.is_file()
    }


def rows_of(path: Path) -> list[dict[str, Any]]:
    """The rows of a file of JSON lines."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def without_times(out: Path) -> list[str]:
    """An ablation's results but for how long they took; the runs' own files stay out, for they name times, too."""
    rows = [{name: value for name, value in row.items() if name != "made"} for row in rows_of(out / "results.jsonl")]
    return sorted(json.dumps(row, sort_keys=True) for row in rows) + sorted(path.name for path in out.iterdir())


def captions_of(out: Path) -> Iterator[Path]:
    """The files of captions in the folder of an evaluation."""
    return (path for path in out.glob("*.jsonl") if not path.name.endswith(".scores.jsonl"))


def trials(folder: Path) -> dict[str, Trial]:
    """Sets the scene, and describes what is killed."""
    songs = write_corpus(folder / "songs", 160)
    few = write_corpus(folder / "few", 24)
    for name in ("few", "songs"):
        (folder / name / "0.txt").write_text("la la\n")
    data = folder / "data"
    finish(["prepare", "--limit", "40", "--out", data], folder)

    def prepare(out: Path, number: int, source: Path = songs) -> list[str]:
        jobs = str(1 + number % 2)
        return ["prepare", source, "--out", out, "--jobs", jobs, "--resampler", "soxr", "--max-rejected", "0.5"]

    demo = ["caption", few, "--model", "demo"]

    def grow(out: Path, number: int) -> None:
        if number % 2:
            finish(prepare(out, number, songs.with_name("fewer.jsonl")), folder)

    def sweep(out: Path, number: int) -> list[str]:
        epochs = ["--weights", "0.1", "--epochs", "1", "--limit", "40", "--device", "cpu", "--jobs", "1"]
        return ["ablate", data, *epochs, "--out", out]

    return {
        "prepare": Trial(
            prepare, every_file, lambda out: [row["song"]["id"] for row in rows_of(out / "songs.jsonl")], grow
        ),
        "caption": Trial(
            lambda out, number: [*demo, "--out", out / "c.jsonl", "--beams", "1", "--batch-size", "2"],
            lambda out: sorted((out / "c.jsonl").read_text(encoding="utf-8").splitlines()),
            lambda out: [row["id"] for row in rows_of(out / "c.jsonl")],
        ),
        "eval": Trial(
            lambda out, number: ["eval", "demo", "--data", data, "--split", "train", "--beams", "1", "--out", out],
            every_file,
            lambda out: [row["song"] for path in captions_of(out) for row in rows_of(path)],
        ),
        "ablate": Trial(
            sweep,
            without_times,
            lambda out: [f"{row['condition']} {row['seed']}" for row in rows_of(out / "results.jsonl")],
        ),
    }


def try_command(name: str, trial: Trial, folder: Path, kills: int, dice: random.Random) -> dict[str, Any]:
    """Kills a command as often as asked for, and counts what came of its outputs."""
    allowed = (0, 1) if name == "caption" else (0,)  # 1: the damaged songs failed, as they must
    expected = {}
    seconds = 0.0
    for kind in range(2 if name == "prepare" else 1):
        out = folder / f"{name}-undisturbed-{kind}"
        trial.before(out, kind)
        seconds = max(seconds, finish(trial.arguments(out, kind), folder, allowed))
        expected[kind] = (trial.content(out), Counter(trial.records(out)))
    counts = {"kills": 0, "outputs": 0, "equal": 0, "lost": 0, "doubled": 0, "seconds_undisturbed": round(seconds, 1)}
    while counts["kills"] < kills:
        number = counts["outputs"]
        out = folder / f"{name}-{number}"
        trial.before(out, number)
        for _ in range(min(dice.randint(*KILLS), kills - counts["kills"])):
            counts["kills"] += kill_once(trial.arguments(out, number), folder, dice, seconds)
        finish(trial.arguments(out, number + 1), folder, allowed)
        time.sleep(0.3)  # processes that outlived their master have ended
        content, records = expected[number % len(expected)]
        found = Counter(trial.records(out))
        counts["outputs"] += 1
        counts["equal"] += trial.content(out) == content
        counts["lost"] += (records - found).total()
        counts["doubled"] += (found - records).total()
        print(f"{name}, output {number}: {counts}", flush=True)
    return counts


def kill_once(arguments: list[str], folder: Path, dice: random.Random, seconds: float) -> bool:
    """Starts a command and kills it at a random moment; returns whether it was still alive."""
    process = start(arguments, folder)
    time.sleep(dice.uniform(0.2, 0.9 * seconds))
    alive = process.poll() is None
    if alive:
        (os.killpg if dice.random() < 0.5 else os.kill)(process.pid, signal.SIGKILL)
    process.communicate()
    return alive


def main() -> None:
    names = ("prepare", "caption", "eval", "ablate")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("commands", nargs="*", default=names, metavar="command", help=", ".join(names))
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    dice = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as place:
        known = trials(Path(place))
        found = {
            name: try_command(name, known[name], Path(place), arguments.kills, dice) for name in arguments.commands
        }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
