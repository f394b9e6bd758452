"""What `recap caption` costs beyond importing what it needs, on a 16 kHz song with the embedded model.

    python tests/benchmarks/cold_start.py [--repeats 7]

The command and a bare import of torch and BART run in turn; times are medians of wall seconds and of CPU seconds, which
a busy machine disturbs less. Peak memory is the command's. The last line is JSON.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import soundfile

from recap_cli.demo.music import DEMO_SAMPLE_RATE
from recap_cli.demo.songs import DemoSettings, held_out_songs, render_song

IMPORT = [sys.executable, "-c", "import torch; from transformers import BartForConditionalGeneration"]


def run(command: list[str]) -> tuple[float, float, float]:
    """Give wall seconds, CPU seconds and peak megabytes of a command."""
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    if status != 0:
        sys.exit(f"{command} failed")
    peak = usage.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)
    return seconds, usage.ru_utime + usage.ru_stime, peak


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        audio, lyrics, settings = Path(name) / "song.wav", Path(name) / "song.txt", DemoSettings()
        song = next(held_out_songs(settings, 1))
        soundfile.write(audio, render_song(song, settings), DEMO_SAMPLE_RATE)
        lyrics.write_text(song.lyrics, encoding="utf-8")
        command = [str(Path(sys.executable).parent / "recap"), "caption", str(audio)]
        run(IMPORT), run(command)  # files into the system's cache
        imports, captions = [], []
        for _ in range(arguments.repeats):
            imports.append(run(IMPORT))
            captions.append(run(command))
            print(f"import {imports[-1][0]:.2f} s, caption {captions[-1][0]:.2f} s", flush=True)
    (import_s, import_cpu, _), (caption_s, caption_cpu, peak) = (
        tuple(statistics.median(column) for column in zip(*rows, strict=True)) for rows in (imports, captions)
    )
    ratio = statistics.median(mine[0] / theirs[0] for mine, theirs in zip(captions, imports, strict=True))
    figures = {
        "time_ratio": round(ratio, 3),
        "cpu_ratio": round(caption_cpu / import_cpu, 3),
        "peak_mb": round(peak),
        "import_s": round(import_s, 2),
        "caption_s": round(caption_s, 2),
        "cores": os.cpu_count(),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
