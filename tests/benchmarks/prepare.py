"""What `recap prepare` costs beside the bare work: decoding the excerpt, resampling it, and its mel.

    python tests/benchmarks/prepare.py [--songs 480] [--slow-songs 48] [--repeats 5] [--folder DIR]

Songs are 30 s of 44.1 kHz stereo mp3. The floor is the same work on the same files in a bare loop of one thread, timed
side by side. Costs are differences between a long and a short run, so process start and just-in-time compilation,
which both pay once, drop out. The last line is JSON: cost over floor with either resampler, what two jobs reach
of two independent floor processes, and the largest difference between the resamplers' mels in dB. The figures are of
wall-clock time; those that begin with cpu are of processor time, which a busy machine disturbs less.
"""

import argparse
import contextlib
import ctypes
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile

from recap_cli.audio.decode import read_excerpt
from recap_cli.audio.mel import log_mel
from recap_cli.audio.settings import AudioSettings

RATE, SECONDS, BASES, LOW_BANDS = 44100, 30, 12, 120
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
FLOOR = """
import sys, time
from recap_cli.audio.decode import read_excerpt
from recap_cli.audio.mel import log_mel
from recap_cli.audio.settings import AudioSettings
settings = AudioSettings(resampler=sys.argv[1])
files = sys.stdin.read().split()
log_mel(read_excerpt(files[0], settings).samples, settings)
print("ready", flush=True)
sys.stdin.close()
while time.time() < float(sys.argv[2]):
    time.sleep(0.001)
began, worked = time.perf_counter(), time.process_time()
for file in files:
    log_mel(read_excerpt(file, settings).samples, settings)
print(time.perf_counter() - began, time.process_time() - worked, flush=True)
"""


def write_songs(folder: Path, count: int) -> list[Path]:
    """Distinct files: a few encoded songs, each with a tag of its own at its end."""
    folder.mkdir(parents=True, exist_ok=True)
    encoded = []
    for number in range(BASES):
        random = np.random.default_rng(number)
        t = np.arange(RATE * SECONDS) / RATE
        music = sum(
            random.uniform(0.02, 0.2) * np.sin(2 * np.pi * hertz * t + random.uniform(0, 6))
            for hertz in random.uniform(60, 9000, 24)
        )
        stereo = np.stack([music, np.roll(music, 300)], axis=1) * 0.4 + random.normal(0, 0.03, (len(t), 2))
        soundfile.write(folder / "base.mp3", np.clip(stereo, -0.99, 0.99), RATE)
        encoded.append((folder / "base.mp3").read_bytes())
    (folder / "base.mp3").unlink()
    paths = []
    for number in range(count):
        tag = b"TAG" + f"song {number}".encode().ljust(125, b"\0")
        paths.append(folder / f"{number:05d}.mp3")
        paths[-1].write_bytes(encoded[number % BASES] + tag)
    return paths


def write_manifest(folder: Path, songs: list[Path]) -> Path:
    path = folder / f"songs-{len(songs)}.jsonl"
    lines = [{"id": song.stem, "audio": song.name, "lyrics": f"la {song.stem}", "caption": "a song"} for song in songs]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def adopt_orphans() -> None:
    """Become the parent of processes whose own parent ends before them, so that their processor time is seen."""
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER


def time_prepare(manifest: Path, resampler: str, jobs: int) -> np.ndarray:
    """Seconds [wall, processor] of a preparation with all its processes."""
    with tempfile.TemporaryDirectory(dir=manifest.parent) as out:
        command = [sys.executable, "-m", "recap_cli", "prepare", str(manifest), "--out", f"{out}/data", "-q", "--json"]
        began, worked = time.perf_counter(), children_time()
        subprocess.run([*command, "--resampler", resampler, "--jobs", str(jobs)], check=True, stdout=subprocess.DEVNULL)
        wall = time.perf_counter() - began
        with contextlib.suppress(ChildProcessError):
            while True:
                os.wait()
        return np.array([wall, children_time() - worked])


def children_time() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def time_floor(songs: list[Path], resampler: str, processes: int) -> np.ndarray:
    """Seconds [wall of the slowest, processor of all] of processes that share the songs and begin together, warm."""
    start = time.time() + 4 + (6 if resampler == "resampy" else 0)
    running = []
    for number in range(processes):
        process = subprocess.Popen(
            [sys.executable, "-c", FLOOR, resampler, str(start)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, **ONE_THREAD},
        )  # fmt: skip
        process.stdin.write("\n".join(map(str, songs[number::processes])))
        process.stdin.close()
        process.stdin = None
        running.append(process)
    outputs = [process.communicate()[0].split() for process in running]
    if time.time() < start:
        raise SystemExit("a floor process died")
    return np.array([max(float(words[-2]) for words in outputs), sum(float(words[-1]) for words in outputs)])


def measure_cost(songs: list[Path], short: int, resampler: str, jobs: int) -> tuple[np.ndarray, np.ndarray]:
    """Seconds [wall, processor] a song of a preparation with so many jobs, and of as many floor processes."""
    folder = songs[0].parent
    first = time_prepare(write_manifest(folder, songs[:short]), resampler, jobs)
    whole = time_prepare(write_manifest(folder, songs), resampler, jobs)
    floor = time_floor(songs, resampler, jobs)
    return (whole - first) / (len(songs) - short), floor / len(songs)


def resampler_difference(songs: list[Path]) -> tuple[float, float]:
    """Largest difference in dB: anywhere, and up to 6.8 kHz but for the outer frames."""
    worst = below = 0.0
    for song in songs[:BASES]:
        mels = []
        for resampler in ("resampy", "soxr"):
            settings = AudioSettings(resampler=resampler)
            mels.append(log_mel(read_excerpt(song, settings).samples, settings))
        difference = np.abs(mels[0] - mels[1])
        worst, below = max(worst, float(difference.max())), max(below, float(difference[:LOW_BANDS, 4:-4].max()))
    return worst, below


def repeat(name: str, songs: list[Path], short: int, resampler: str, jobs: int, repeats: int) -> np.ndarray:
    """Ratios of a preparation to the floor, median of the repeats [wall, processor]."""
    ratios = []
    for _ in range(repeats):
        ours, floor = measure_cost(songs, short, resampler, jobs)
        ratios.append(ours / floor)
        told = (f"{1000 * a:.2f} / {1000 * b:.2f} = {a / b:.3f}" for a, b in zip(ours, floor, strict=True))
        print(f"{name}, ms a song over floor: wall {next(told)}, processor {next(told)}", flush=True)
    return np.median(ratios, axis=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--songs", type=int, default=480)
    parser.add_argument("--slow-songs", type=int, default=48)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--slow-repeats", type=int, default=3)
    parser.add_argument("--parts", default="soxr,resampy,two", help="which figures to measure")
    parser.add_argument("--folder", type=Path)
    arguments = parser.parse_args()
    print(f"settings: {vars(arguments)}, {os.cpu_count()} cores", flush=True)
    adopt_orphans()
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as name:
        songs = write_songs(arguments.folder or Path(name), arguments.songs)
        parts = arguments.parts.split(",")
        if "soxr" in parts:
            ratio = repeat("soxr, one job", songs[: arguments.songs // 2], 16, "soxr", 1, arguments.repeats)
            figures["cost_over_floor_soxr"], figures["cpu_over_floor_soxr"] = ratio
        if "resampy" in parts:
            slow = songs[: arguments.slow_songs]
            ratio = repeat("resampy, one job", slow, 16, "resampy", 1, arguments.slow_repeats)
            figures["cost_over_floor_resampy"], figures["cpu_over_floor_resampy"] = ratio
        if "two" in parts:
            ratio = repeat("soxr, two jobs", songs, 32, "soxr", 2, arguments.repeats)
            figures["two_job_efficiency"], figures["cpu_two_job_efficiency"] = 1 / ratio
        figures["resampler_db"], figures["resampler_db_to_7khz"] = resampler_difference(songs)
    print(json.dumps({key: round(float(value), 4) for key, value in figures.items()}))


if __name__ == "__main__":
    main()
