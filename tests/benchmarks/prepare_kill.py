"""Runs that are killed with -9 at random moments and started again end with the very bytes of an undisturbed run.

    python tests/benchmarks/prepare_kill.py [--runs 20] [--songs 320] [--seed 0]

Half of the runs have one job, half have two; each is killed one to three times, alone or with its processes, the first
time from a fresh folder or after a finished run with fewer songs. The last line is JSON.
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
from pathlib import Path

import numpy as np
import soundfile


def write_corpus(folder: Path, count: int) -> Path:
    """Short songs; every tenth has the audio of an earlier one, every twentieth is damaged."""
    lines = []
    for number in range(count):
        file = folder / f"{number}.wav"
        samples = np.random.default_rng(number - 15 if number % 10 == 9 and number > 20 else number).normal(
            0, 0.1, 66150
        )
        soundfile.write(file, samples, 44100)
        if number % 20 == 19:
            file.write_bytes(b"no audio")
        lines.append(
            json.dumps({"id": f"s{number}", "audio": file.name, "lyrics": f"la {number}", "caption": "a song"})
        )
    path = folder / "songs.jsonl"
    path.write_text("\n".join(lines) + "\n")
    (folder / "fewer.jsonl").write_text("\n".join(lines[: count // 2]) + "\n")
    return path


def start(manifest: Path, out: Path, jobs: int) -> subprocess.Popen:
    command = [sys.executable, "-m", "recap_cli", "prepare", str(manifest), "--out", str(out), "--jobs", str(jobs)]
    options = ["--resampler", "soxr", "--max-rejected", "0.5", "-q", "--json"]
    return subprocess.Popen([*command, *options], stdout=subprocess.DEVNULL, start_new_session=True)


def content(out: Path) -> dict[str, str]:
    return {
        str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(out.rglob("*"))
        if path.is_file()
    }


def finish(manifest: Path, out: Path, jobs: int) -> float:
    began = time.monotonic()
    if start(manifest, out, jobs).wait() != 0:
        raise SystemExit(f"a run with {jobs} jobs failed")
    return time.monotonic() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--songs", type=int, default=320)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    print(f"settings: {vars(arguments)}", flush=True)
    dice = random.Random(arguments.seed)
    equal = kills = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        manifest = write_corpus(folder, arguments.songs)
        seconds = finish(manifest, folder / "fresh", 1)
        finish(folder / "fewer.jsonl", folder / "grown", 2)
        finish(manifest, folder / "grown", 1)
        expected = {"fresh": content(folder / "fresh"), "grown": content(folder / "grown")}
        for run in range(arguments.runs):
            jobs, kind, out = 1 + run % 2, ("fresh", "grown")[run // 2 % 2], folder / f"run-{run}"
            if kind == "grown":
                finish(folder / "fewer.jsonl", out, jobs)
            moments = []
            for _ in range(dice.randint(1, 3)):
                process = start(manifest, out, jobs)
                moments.append(round(dice.uniform(0.3, 1.05 * seconds), 3))
                time.sleep(moments[-1])
                if process.poll() is None:
                    kills += 1
                    (os.killpg if dice.random() < 0.5 else os.kill)(process.pid, signal.SIGKILL)
                process.wait()
            finish(manifest, out, 3 - jobs)
            time.sleep(0.3)  # processes that outlived their master have ended
            same = content(out) == expected[kind]
            equal += same
            print(
                f"run {run}: {kind}, {jobs} jobs, killed at {moments} s: {'equal' if same else 'DIFFERENT'}", flush=True
            )
            if not same:
                ours, theirs = content(out), expected[kind]
                print("  ", sorted({*ours, *theirs} - {key for key in ours if ours[key] == theirs.get(key)}))
    print(
        json.dumps({"runs": arguments.runs, "equal": equal, "kills": kills, "seconds_undisturbed": round(seconds, 2)})
    )


if __name__ == "__main__":
    main()
