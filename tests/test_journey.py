"""The whole road as the README types it: prepare, train, caption, eval, ablate, in a fresh folder; and kills on it."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from benchmarks import owner_calls, paper_run
from forked import Forked, Forker

from recap_cli.ablation.conditions import RunRecord
from recap_cli.cli.app import main


@pytest.fixture
def typed(forker: Forker) -> Callable[..., SimpleNamespace]:
    """Makes what stands for `subprocess`: calls of `recap` are forked, their stderr is kept in `told`."""

    def words(command: list[str]) -> list[str]:
        begin = ["-m", "recap_cli"] if command[1] == "-m" else []
        assert command[1 : 1 + len(begin)] == begin and (begin or Path(command[0]).name == "recap")
        return command[1 + len(begin) :]

    def run(command: list[str], cwd: Path | None = None, **streams) -> "subprocess.CompletedProcess[str]":
        done = forker.run(*words(command), cwd=cwd)
        told.append(done.stderr)
        if streams.get("check"):
            done.check_returncode()
        return done

    def begin(command: list[str], **streams) -> Forked:
        return forker.start(*words(command))

    told: list[str] = []
    return SimpleNamespace(run=run, Popen=begin, DEVNULL=None, PIPE=None, told=told)


def call(module, monkeypatch, capsys, *arguments: object) -> tuple[dict, str]:
    """Runs a benchmark; returns its figures, and what it printed before them."""
    monkeypatch.setattr(sys, "argv", [module.__file__, *map(str, arguments)])
    module.main()
    *shown, figures = capsys.readouterr().out.splitlines()
    return json.loads(figures), "\n".join(shown)


@pytest.mark.slow
def test_the_five_commands(tmp_path, typed, monkeypatch, capsys):
    """All five as typed, each in a process of its own, by the benchmark that times them."""
    monkeypatch.setattr(owner_calls, "subprocess", typed)
    times, shown = call(owner_calls, monkeypatch, capsys, "--limit", 12, "--folder", tmp_path / "new")
    fresh = tmp_path / "new"
    assert shown.count("-- exit code 0,") == 5
    assert all(times[f"{verb}_s"] > 0 for verb in ("prepare", "train", "caption", "eval", "ablate"))
    assert times["limit"] == 12
    prepared, trained, captioned, scored, compared = typed.told
    printed = dict(zip(owner_calls.CALLS, shown.split("$ recap ")[1:], strict=True))

    assert "No SOURCE: making the easy demo corpus" in prepared
    assert "test 2, train 6, unseen 2, validation 2" in printed["prepare"]
    assert (fresh / "data" / "dataset.json").is_file()

    assert "No DATA: using ./data." in trained
    (run,) = (fresh / "runs").glob("demo-alpha0.02-*")
    name = f"runs/{run.name}"
    assert f"Trained {name}" in " ".join(printed["train"].split())
    assert f"recap caption song.mp3 --model {name}" in trained and f"recap eval {name} --data data" in trained
    assert json.loads((run / "figures.json").read_text())["steps"] == 2

    assert "No --model: captioning with the embedded model" in captioned
    assert len(printed["caption"].split()) > 25

    assert f"No RUN: scoring {name}." in scored

    assert "Run 4 of 4: alpha 0.1, positive, seed 0" in compared
    assert "one seed: no claim" in printed["ablate"]
    document = json.loads((fresh / "runs" / "ablation" / "ablation.json").read_text())
    assert [one["condition"]["alpha"] for one in document["conditions"]] == [0.0, 0.001, 0.02, 0.1]
    assert (fresh / "runs" / "ablation" / "figure2.png").read_bytes().startswith(b"\x89PNG")
    assert {path.name for path in fresh.iterdir()} <= {"data", "runs", "song", "cache"}  # nothing is left elsewhere

    # What the benchmark does not show, and again what is done
    def recap(*arguments: str) -> tuple[str, str]:
        assert main(list(arguments)) == 0
        return capsys.readouterr()

    monkeypatch.chdir(fresh)
    out, err = recap("caption", "song/song.wav", "song/lyrics.txt", "--model", str(run), "--max-caption-tokens", "9")
    assert (out.count("\n"), err.count("No --model")) == (1, 0)
    out, err = recap("eval", name, "--limit", "12", "--json")
    (system,) = json.loads(out)["systems"]
    assert (system["source"], system["songs"]) == (name, 2)
    out, err = recap("ablate", "--weights", "1e-3,2e-2,1e-1", "--limit", "12", "--epochs", "1")
    assert "Run " not in err  # nothing is trained


@pytest.mark.slow
def test_an_ablation_survives_two_kills(forker, tiny_data, tmp_path, capsys, monkeypatch):
    """Killed after its first result, with two runs at a time, and after its second: same table, no run done twice."""
    monkeypatch.chdir(tmp_path)
    command = ["ablate", str(tiny_data.folder), "--weights", "0.02,0.1", "--limit", "4", "--epochs", "1", "-q"]
    results = tmp_path / "killed" / "results.jsonl"

    def records(folder: str) -> dict[str, RunRecord]:
        path = tmp_path / folder / "results.jsonl"
        lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
        found = [RunRecord.from_json(json.loads(line)) for line in lines]
        assert len(found) == len({record.condition for record in found})
        return {record.condition.name: record for record in found}

    trained = {}
    for least, jobs in ((1, "2"), (2, "1")):
        process = forker.start(*command, "--out", "killed", "--jobs", jobs)
        while process.poll() is None and len(records("killed")) < least:
            time.sleep(0.02)
        process.kill()
        assert process.wait() == -signal.SIGKILL
        trained |= {path: path.stat().st_mtime_ns for path in results.parent.glob("*/record.jsonl")}
        assert all(record.made["threads"] == 1 for record in records("killed").values())  # its share of the cores
    assert len(trained) >= 2
    tables = []
    for folder in ("killed", "whole"):
        assert main([*command, "--out", folder, "--jobs", "1"]) == 0
        tables.append(capsys.readouterr().out)
    assert tables[0] == tables[1]
    assert all(path.stat().st_mtime_ns == before for path, before in trained.items())
    killed, whole = records("killed"), records("whole")
    assert len(killed) == 3 and killed.keys() == whole.keys()
    for name, record in killed.items():
        assert record.values.keys() == whole[name].values.keys()
        assert record.measures == pytest.approx(whole[name].measures, abs=0.05)


@pytest.mark.slow
def test_a_run_from_published_weights_survives_kill_9(typed, monkeypatch, capsys):
    """The paper's recipe trains, validates, is killed, resumes and finishes, by the benchmark for the real size."""
    monkeypatch.setattr(paper_run, "subprocess", typed)
    found, _ = call(paper_run, monkeypatch, capsys, "--tiny", "--device", "cpu")
    assert (found["steps"], found["validated_before_the_kill"], found["validations"]) == (4, 1, 2)
    assert found["went_on"] and found["finished_run_is_kept"] and found["tiny"]
    assert typed.told[1].count("reference: ") == 1  # the first validation was not done again
