"""The whole road as the README types it: prepare, train, caption, eval, ablate, in a fresh folder."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import soundfile

from recap_cli.cli.app import main
from recap_cli.demo.music import DEMO_SAMPLE_RATE
from recap_cli.demo.songs import DemoSettings, held_out_songs, render_song

ROOT = Path(__file__).parents[1]
SMALL = ("--limit", "24", "--epochs", "1")


@pytest.fixture
def fresh(tmp_path, monkeypatch) -> Path:
    """An empty folder with an empty cache, and a song with its lyrics in a folder of their own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RECAP_CACHE", str(tmp_path / "cache"))
    (tmp_path / "song").mkdir()
    settings = DemoSettings()
    song = next(held_out_songs(settings, 1))
    soundfile.write(tmp_path / "song" / "song.wav", render_song(song, settings), DEMO_SAMPLE_RATE)
    (tmp_path / "song" / "lyrics.txt").write_text(song.lyrics)
    return tmp_path


def test_the_five_commands(fresh, capsys):
    def recap(*arguments: str) -> tuple[str, str]:
        code = main(list(arguments))
        out, err = capsys.readouterr()
        assert code == 0, err
        return out, err

    out, err = recap("prepare", "--limit", "24", "--jobs", "1")
    assert "No SOURCE: making the easy demo corpus" in err
    assert "test 3, train 17, unseen 2, validation 2" in out
    assert (fresh / "data" / "dataset.json").is_file()

    out, err = recap("train", "--alpha", "0.02", *SMALL)
    assert "No DATA: using ./data." in err
    (run,) = Path("runs").glob("demo-alpha0.02-*")
    assert f"Trained {run}" in " ".join(out.split())
    assert f"recap caption song.mp3 --model {run}" in err and f"recap eval {run} --data data" in err
    assert json.loads((run / "figures.json").read_text())["steps"] == 4

    out, err = recap("caption", "song/song.wav", "song/lyrics.txt")
    assert "No --model: captioning with the embedded model" in err
    assert len(out.split()) > 15
    out, err = recap("caption", "song/song.wav", "song/lyrics.txt", "--model", str(run), "--max-caption-tokens", "9")
    assert (out.count("\n"), err.count("No --model")) == (1, 0)

    out, err = recap("eval", "--limit", "24", "--json")
    assert f"No RUN: scoring {run}." in err
    document = json.loads(out)
    assert [system["source"] for system in document["systems"]] == [str(run)]
    assert document["systems"][0]["songs"] == 3

    out, err = recap("ablate", "--weights", "1e-3,2e-2,1e-1", *SMALL, "--jobs", "1")
    assert "Run 4 of 4: alpha 0.1, positive, seed 0" in err
    assert "one seed: no claim" in out
    document = json.loads((fresh / "runs" / "ablation" / "ablation.json").read_text())
    assert [one["condition"]["alpha"] for one in document["conditions"]] == [0.0, 0.001, 0.02, 0.1]
    assert (fresh / "runs" / "ablation" / "figure2.png").read_bytes().startswith(b"\x89PNG")
    out, err = recap("ablate", "--weights", "1e-3,2e-2,1e-1", *SMALL)  # done before, so nothing is trained
    assert "Run " not in err

    names = {"data", "runs", "song", "cache"}
    assert {path.name for path in fresh.iterdir()} <= names  # nothing is left elsewhere


def test_an_ablation_survives_two_kills(fresh, tiny_data):
    """Two runs at a time, killed after the first and after the second result: same table, and no run done twice."""
    call = [sys.executable, "-m", "recap_cli", "ablate", str(tiny_data.folder), "--weights", "0.02,0.1"]
    call += ["--limit", "4", "--epochs", "1", "--jobs", "2", "--quiet"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    results = fresh / "killed" / "results.jsonl"

    def lines() -> list[str]:
        return results.read_text(encoding="utf-8").splitlines() if results.is_file() else []

    trained = {}
    for least in (1, 2):
        process = subprocess.Popen([*call, "--out", "killed"], env=environment, stdout=subprocess.DEVNULL)
        while process.poll() is None and len(lines()) < least:
            time.sleep(0.05)
        process.kill()
        assert process.wait() == -signal.SIGKILL
        trained |= {path: path.stat().st_mtime_ns for path in results.parent.glob("*/record.jsonl")}
    last = subprocess.run([*call, "--out", "killed"], env=environment, capture_output=True, text=True)
    whole = subprocess.run([*call, "--out", "whole"], env=environment, capture_output=True, text=True)
    assert (last.returncode, whole.returncode) == (0, 0), last.stderr + whole.stderr
    assert last.stdout == whole.stdout
    assert len(lines()) == 3
    assert len(trained) >= 2
    assert all(path.stat().st_mtime_ns == before for path, before in trained.items())


@pytest.mark.slow
def test_the_owners_calls():
    """All five as typed, each in a process of its own, by the benchmark that times them."""
    command = [sys.executable, str(ROOT / "tests" / "benchmarks" / "owner_calls.py"), "--limit", "24"]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("-- exit code 0,") == 5
    times = json.loads(done.stdout.splitlines()[-1])
    assert {"prepare_s", "train_s", "caption_s", "eval_s", "ablate_s"} <= times.keys()
    assert all(times[name] > 0 for name in times if name.endswith("_s"))
    assert times["limit"] == 24


@pytest.mark.slow
def test_a_run_from_published_weights_survives_kill_9():
    """The paper's recipe trains, validates, is killed, goes on and finishes, by the benchmark for the real size."""
    command = [sys.executable, str(ROOT / "tests" / "benchmarks" / "paper_run.py"), "--tiny", "--device", "cpu"]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert (found["steps"], found["validated_before_the_kill"], found["validations"]) == (4, 1, 2)
    assert found["went_on"] and found["finished_run_is_kept"] and found["tiny"]
