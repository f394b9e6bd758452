"""The memory of `recap prepare` over a large corpus, and a large prepared folder that opens at once.

    python tests/benchmarks/prepare_memory.py [--few 2000] [--many 20000] [--captions 300000] [--folder DIR]

The first figure is the peak memory of the main process of `recap prepare` over distinct songs of 1 s, many against
few: it holds the texts of all songs, and is to stay under 300 MB at 20,000. The others are the time and the memory,
on top of the imports, that it takes to open a folder with so many captions for training: the folder, its examples,
and the first example of every thousand read, so that the mapped text has been touched. Memory is what Linux calls
VmHWM: unlike ru_maxrss, it owes nothing to the process that started this one. The last line is JSON.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile

from recap_cli import __version__
from recap_cli.audio.settings import AudioSettings
from recap_cli.corpus.mel_cache import fingerprint
from recap_cli.corpus.shards import write_shard

RATE, CAPTIONS_PER_SONG, LYRICS_WORDS, CAPTION_WORDS = 16000, 15, 260, 90
TEXT = "rain river night bus home sing alone again the a of and into water light slow my your heart road"
WORDS = TEXT.split(" ")

PREPARE = """
import sys
from pathlib import Path
from recap_cli.cli.app import main
code = main(["prepare", *sys.argv[1:]])
print(int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) / 1024)
sys.exit(code)
"""
OPEN = """
import sys, time
from pathlib import Path
from recap_cli.audio.settings import AudioSettings
from recap_cli.corpus.dataset import PreparedData, SongDataset
from recap_cli.training.train import train
from recap_cli.processor import RecapProcessor
from recap_cli.runtime.hub import DEMO_MODEL
processor = RecapProcessor.from_pretrained(DEMO_MODEL)
def peak():
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) / 1024
before, began = peak(), time.perf_counter()
data = PreparedData(Path(sys.argv[1]))
dataset = SongDataset(data.split("train"), processor, data.mels)
for row in range(0, len(dataset), 1000):
    dataset[row]
print(time.perf_counter() - began, peak() - before, len(dataset))
"""


def write_corpus(folder: Path, count: int) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    lines = []
    for number in range(count):
        file = folder / f"{number:05d}.wav"
        if not file.exists():
            soundfile.write(file, random.normal(0, 0.1, RATE), RATE)
        lyrics = f"{number} " + " ".join(random.choice(WORDS, LYRICS_WORDS))
        captions = [f"{place} " + " ".join(random.choice(WORDS, CAPTION_WORDS)) for place in range(3)]
        names = {"title": f"title {number}", "artist": f"artist {number % 500}"}
        lines.append(
            json.dumps({"id": f"s{number}", "audio": file.name, "lyrics": lyrics, "captions": captions, **names})
        )
    path = folder / f"songs-{count}.jsonl"
    path.write_text("\n".join(lines) + "\n")
    return path


def measure_peak(manifest: Path, out: Path) -> float:
    began = time.monotonic()
    command = [sys.executable, "-c", PREPARE, str(manifest), "--out", str(out), "-q", "--json"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    peak = float(done.stdout.split()[-1])
    print(f"{manifest.name}: {peak:.1f} MB at the most, {time.monotonic() - began:.0f} s", flush=True)
    return peak


def write_prepared(folder: Path, captions: int) -> None:
    """A finished folder, written directly: mels of one frame, texts of typical length."""
    (folder / "mels").mkdir(parents=True)
    random = np.random.default_rng(1)
    songs = captions // CAPTIONS_PER_SONG
    with (folder / "songs.jsonl").open("w") as song_file, (folder / "captions.jsonl").open("w") as caption_file:
        for start in range(0, songs, 16):
            keys = [f"{number:016x}" for number in range(start, min(songs, start + 16))]
            name = fingerprint(keys)
            write_shard(folder / "mels" / f"{name}.safetensors", {key: np.zeros((128, 1), np.float16) for key in keys})
            for key in keys:
                song = {"id": key, "audio": f"{key}.mp3", "lyrics": " ".join(random.choice(WORDS, LYRICS_WORDS)),
                        "split": "train", "title": "", "artist": "", "tags": {}}  # fmt: skip
                song_file.write(json.dumps({"song": song, "mel": key, "seconds": 15.0}) + "\n")
                for _ in range(CAPTIONS_PER_SONG):
                    text = " ".join(random.choice(WORDS, CAPTION_WORDS))
                    caption_file.write(json.dumps({"song": key, "text": text, "votes": 1}) + "\n")
    info = {"audio": AudioSettings().to_json(), "fingerprint": "x", "splits": {"train": songs}, "music_tags": [],
            "source": "made up", "recap": __version__}  # fmt: skip
    (folder / "dataset.json").write_text(json.dumps(info))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--few", type=int, default=2000)
    parser.add_argument("--many", type=int, default=20000)
    parser.add_argument("--captions", type=int, default=300_000)
    parser.add_argument("--folder", type=Path)
    arguments = parser.parse_args()
    print(f"settings: {vars(arguments)}", flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = arguments.folder or Path(name)
        few = measure_peak(write_corpus(folder / "songs", arguments.few), Path(name) / "few")
        many = measure_peak(write_corpus(folder / "songs", arguments.many), Path(name) / "many")
        write_prepared(Path(name) / "prepared", arguments.captions)
        opened = [sys.executable, "-c", OPEN, str(Path(name) / "prepared")]
        runs = [subprocess.run(opened, check=True, capture_output=True, text=True).stdout.split() for _ in range(3)]
        seconds, megabytes, rows = sorted(runs, key=lambda words: float(words[-3]))[1][-3:]
        print(f"{rows} captions open in {float(seconds):.2f} s and {float(megabytes):.0f} MB", flush=True)
    figures = {
        "memory_ratio_20k_2k": round(many / few, 4), "peak_mb_few": round(few, 1), "peak_mb_many": round(many, 1),
        "open_seconds": round(float(seconds), 2), "open_mb": round(float(megabytes), 1),
    }  # fmt: skip
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
