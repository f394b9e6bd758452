"""Memory and time of reading 20,000 rows in each layout, as `recap prepare` reads them before it decodes anything.

    python tests/benchmarks/layouts.py [--rows 20000]

A process of its own reads each corpus with its splits and near-duplicates. Audio files are there and empty. Memory is
what Linux calls VmHWM, less what it is once everything is imported. The last line is JSON.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from open_corpora import (
    SAID,
    WORDS,
    make_ace_step,
    make_audio_folder,
    make_clips,
    make_jamendo,
    make_music_caps,
    make_song_describer,
    put_audio,
    write_rows,
)

READ = """
import sys, time
from pathlib import Path
from recap_cli.preparation.options import PrepareOptions, read_columns_option
from recap_cli.preparation.read_corpus import read_songs
from recap_cli.progress import SilentProgress
import recap_cli.layouts.readers
def peak():
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) / 1024
before, began = peak(), time.perf_counter()
columns = read_columns_option(sys.argv[2]) if len(sys.argv) > 2 else ()
reading = read_songs(PrepareOptions(Path(sys.argv[1]), columns=columns), SilentProgress())
print(len(reading.songs.songs), peak() - before, time.perf_counter() - began, reading.layout)
"""


def make_manifest(folder: Path, count: int) -> Path:
    rows = [["id", "audio", "lyrics", "caption", "artist"]]
    for number in range(count):
        put_audio(folder / f"{number % 100:02}" / f"{number}.ogg", number, silent=True)
        audio = f"{number % 100:02}/{number}.ogg"
        rows.append([f"s{number}", audio, WORDS[number % 3], SAID[number % 3][0], f"artist {number % 50}"])
    return write_rows(folder / "songs.csv", rows)


MAKERS: dict[str, Callable[[Path, int], Path]] = {
    "manifest": make_manifest,
    "mtg-jamendo": make_jamendo,
    "song-describer": make_song_describer,
    "audio-folder": make_audio_folder,
    "clips": make_clips,
    "musiccaps": make_music_caps,
    "ace-step": make_ace_step,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=20_000)
    rows = parser.parse_args().rows
    figures = {}
    for name, make in MAKERS.items():
        with tempfile.TemporaryDirectory() as folder:
            columns = ["caption=text,lyrics=words"] if name == "audio-folder" else []
            command = [sys.executable, "-c", READ, str(make(Path(folder), rows)), *columns]
            found = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
        songs, megabytes, seconds, layout = int(found[0]), float(found[1]), float(found[2]), found[3]
        print(f"{name}: {songs:,} songs, {megabytes:.0f} MB, {seconds:.1f} s ({layout})", flush=True)
        figures[name] = {"songs": songs, "mb": round(megabytes, 1), "seconds": round(seconds, 1)}
    print(json.dumps({"rows": rows, **figures}))


if __name__ == "__main__":
    main()
