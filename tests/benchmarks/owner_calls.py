"""The five calls exactly as a user types them, in a fresh folder with an empty cache, timed.

    python tests/benchmarks/owner_calls.py [--limit N] [--folder NEW]

`--limit N` adds `--limit N` to the calls that take it, and one epoch, for a quick look; `--folder` names a new folder
that is kept.
The last line is JSON: seconds a call.
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import soundfile

from recap_cli.demo.music import DEMO_SAMPLE_RATE
from recap_cli.demo.songs import DemoSettings, held_out_songs, render_song

CALLS = {
    "prepare": "recap prepare",
    "train": "recap train --alpha 0.02",
    "caption": "recap caption song.wav lyrics.txt",
    "eval": "recap eval",
    "ablate": "recap ablate --weights 1e-3,2e-2,1e-1",
}
QUICK = {"train": ("--epochs", "1"), "ablate": ("--epochs", "1", "--jobs", "1")}


def write_song(folder: Path) -> None:
    """A folder that holds just the two files of the caption call."""
    folder.mkdir()
    settings = DemoSettings()
    song = next(held_out_songs(settings, 1))
    soundfile.write(folder / "song.wav", render_song(song, settings), DEMO_SAMPLE_RATE)
    (folder / "lyrics.txt").write_text(song.lyrics, encoding="utf-8")


def run(call: str, folder: Path, limit: int | None) -> float:
    words = shlex.split(call)
    command = [str(Path(sys.executable).parent / "recap"), *words[1:]]
    if limit is not None and words[1] != "caption":
        command += ["--limit", str(limit), *QUICK.get(words[1], ())]
    print(f"$ {call}", flush=True)
    began = time.monotonic()
    done = subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    seconds = time.monotonic() - began
    print(done.stdout.rstrip())
    print(f"-- exit code {done.returncode}, {seconds:.1f} s\n", flush=True)
    if done.returncode != 0:
        sys.exit(f"{call} failed")
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--limit", type=int)
    parser.add_argument("--folder", type=Path)
    arguments = parser.parse_args()
    times = {}
    with tempfile.TemporaryDirectory() as name:
        folder = (arguments.folder or Path(name)).resolve()
        folder.mkdir(parents=True, exist_ok=arguments.folder is None)
        os.environ["RECAP_CACHE"] = str(folder / "cache")
        write_song(folder / "song")
        for verb, call in CALLS.items():
            place = folder / "song" if verb == "caption" else folder
            times[f"{verb}_s"] = round(run(call, place, arguments.limit), 1)
    print(json.dumps({**times, "limit": arguments.limit, "cores": os.cpu_count()}))


if __name__ == "__main__":
    main()
