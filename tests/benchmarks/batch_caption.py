"""Many songs: failures, resuming after kill -9, decoding beside generation, and a manifest of a million lines.

    python tests/benchmarks/batch_caption.py [--songs 500] [--damaged 20] [--overlap-songs 160] [--lines 1000000]

The folder's songs are a few rendered ones under many names; the overlap is measured on 44.1 kHz files, as most are. In
the million, a stub stands for both decoders: it costs what the reading, the bookkeeping and the writing cost. The last
line is JSON.
"""

import argparse
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import soundfile

from recap_cli.captioning import caption as module
from recap_cli.captioning.batch import BatchCaptioner
from recap_cli.captioning.caption import CaptionOptions, Tally, caption_songs
from recap_cli.captioning.caption_input import AudioTask
from recap_cli.captioning.song_caption import SongCaption
from recap_cli.demo.music import DEMO_SAMPLE_RATE
from recap_cli.demo.songs import DemoSettings, held_out_songs, render_song

RECAP = [sys.executable, "-m", "recap_cli", "caption", "--model", "demo"]
DAMAGES = (
    lambda whole: b"",
    lambda whole: b"<html>not found</html>",
    lambda whole: whole[:40],
    lambda whole: np.random.default_rng(0).bytes(5000),
    lambda whole: b"\0" * 5000,
)


def make_folder(folder: Path, songs: int, damaged: int, rate: int = DEMO_SAMPLE_RATE, distinct: int = 12) -> None:
    """Songs with their lyrics, in folders of a hundred; damaged ones among them."""
    settings = DemoSettings()
    files = []
    for song in held_out_songs(settings, distinct):
        path = folder / f"made-{len(files)}.flac"
        folder.mkdir(parents=True, exist_ok=True)
        samples = render_song(song, settings)
        if rate != DEMO_SAMPLE_RATE:
            places = np.arange(int(len(samples) * rate / DEMO_SAMPLE_RATE)) * DEMO_SAMPLE_RATE / rate
            samples = np.interp(places, np.arange(len(samples)), samples)
        soundfile.write(path, samples, rate)
        files.append((path.read_bytes(), song.lyrics))
        path.unlink()
    bad = set(np.linspace(3, songs - 2, damaged).astype(int).tolist()) if damaged else set()
    for number in range(songs):
        data, lyrics = files[number % len(files)]
        place = folder / f"{number // 100:02d}"
        place.mkdir(exist_ok=True)
        if number in bad:
            data = DAMAGES[number % len(DAMAGES)](data)
        (place / f"song {number:04d}.flac").write_bytes(data)
        (place / f"song {number:04d}.txt").write_text(f"{lyrics}\nline {number}\n", encoding="utf-8")


def kill_and_resume(folder: Path, out: Path, at: int) -> dict[str, Any]:
    """Start, kill -9 once some lines are there, tear the last line, start again."""
    command = [*RECAP, str(folder), "--out", str(out), "--quiet"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and (not out.exists() or out.read_bytes().count(b"\n") < at):
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    before = out.read_bytes()
    whole = before[: before.rfind(b"\n") + 1]
    with out.open("ab") as file:
        file.write(b'{"id": "half a li')
    done = subprocess.run(command, capture_output=True, text=True)
    after = out.read_bytes()
    records = [json.loads(line) for line in after.splitlines()]
    ids = {record["id"] for record in records}
    return {
        "lines_at_kill": whole.count(b"\n"),
        "captions": sum(bool(record["caption"]) for record in records),
        "reasons": sum(bool(record.get("error")) for record in records),
        "doubled": len(records) - len(ids),
        "rewritten": not after.startswith(whole),
        "exit_code": done.returncode,
        "listed": sum("warning:" in line for line in done.stderr.splitlines()),
    }


def cpu_of_children() -> float:
    """CPU seconds of all processes that this one has waited for, and theirs."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def overlap(folder: Path) -> dict[str, float]:
    """Seconds of the command on the same songs with one job and with two, from its start to its end.

    CPU seconds stand beside them: on a busy machine they tell what two jobs cost more, and the wall clock tells little.
    """
    times, work = [], []
    for jobs in (1, 2):
        out = folder.parent / f"overlap-{jobs}.jsonl"
        command = [*RECAP, str(folder), "--jobs", str(jobs), "--out", str(out), "--quiet"]
        began, before = time.perf_counter(), cpu_of_children()
        subprocess.run(command, check=True)
        times.append(time.perf_counter() - began)
        work.append(cpu_of_children() - before)
        print(f"jobs {jobs}: {times[-1]:.1f} s, CPU {work[-1]:.1f} s", flush=True)
    one, two = ((folder.parent / f"overlap-{jobs}.jsonl").read_text() for jobs in (1, 2))
    assert sorted(one.splitlines()) == sorted(two.splitlines())
    return {
        "overlap_speedup": round(times[0] / times[1], 2),
        "serial_s": round(times[0], 1),
        "two_jobs_s": round(times[1], 1),
        "serial_cpu_s": round(work[0], 1),
        "two_jobs_cpu_s": round(work[1], 1),
    }


class StubCaptioner(BatchCaptioner):
    """Stands for both decoders, and for the model's own settings."""

    @property
    def settings(self) -> dict[str, Any]:
        return {}

    def caption(self, tasks: Iterable[AudioTask]) -> Iterator[SongCaption]:
        for task in tasks:
            text = f"a caption of {len(task.lyrics or '')} characters of lyrics " * 4
            excerpt = {"start": 0.0, "seconds": 15.0}
            yield SongCaption(task.audio, [text], [-0.2], "stub", excerpt, self.settings, 10, id=task.id)


def caption_million(manifest: Path, out: Path, stop: int) -> None:
    """Caption a manifest with the stub, up to `stop` new lines."""
    module.BatchCaptioner = StubCaptioner  # type: ignore[misc]
    module.load_captioner = lambda options, progress: SimpleNamespace(name="stub", weights="")  # type: ignore
    tally = Tally()
    for _ in caption_songs(CaptionOptions(manifest, out=out), tally=tally):
        if tally.captioned == stop:
            os.kill(os.getpid(), signal.SIGKILL)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)
    print(json.dumps({"peak_mb": peak, "captioned": tally.captioned, "skipped": tally.skipped}))


def million(folder: Path, lines: int) -> dict[str, Any]:
    """A manifest of so many lines: killed near its end, resumed; memory is highest when every line is known."""
    manifest, out = folder / "million.jsonl", folder / "million-captions.jsonl"
    with manifest.open("w", encoding="utf-8") as file:
        for number in range(lines):
            row = {"id": f"{number:07d}", "audio": f"{number % 1000:03d}/{number:07d}.mp3", "lyrics": "la la la " * 20}
            file.write(json.dumps(row) + "\n")
    command = [sys.executable, __file__, "--stub", str(manifest), str(out), "--stop"]
    subprocess.run([*command, str(lines - lines // 100)], check=False)
    began = time.perf_counter()
    done = subprocess.run([*command, "-1"], check=True, stdout=subprocess.PIPE, text=True)
    seconds = time.perf_counter() - began
    found = json.loads(done.stdout.splitlines()[-1])
    with out.open("rb") as file:
        ids = {line[8:15] for line in file}
    assert len(ids) == lines == found["captioned"] + found["skipped"]
    return {"million_mb": round(found["peak_mb"]), "million_resume_s": round(seconds, 1), "lines": lines}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--songs", type=int, default=500)
    parser.add_argument("--damaged", type=int, default=20)
    parser.add_argument("--overlap-songs", type=int, default=160)
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--stub", type=Path, nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--stop", type=int, default=-1, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.stub:
        caption_million(*arguments.stub, arguments.stop)
        return
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_folder(folder / "songs", arguments.songs, arguments.damaged)
        figures |= kill_and_resume(folder / "songs", folder / "captions.jsonl", arguments.songs // 4)
        print(figures, flush=True)
        make_folder(folder / "overlap", arguments.overlap_songs, 0, rate=44_100)
        figures |= overlap(folder / "overlap")
        figures |= million(folder, arguments.lines)
    print(json.dumps({**figures, "cores": os.cpu_count()}))


if __name__ == "__main__":
    main()
