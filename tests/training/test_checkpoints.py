"""Checkpoints with a missing, cut, changed or planted part: the newest whole one is resumed from, and it is said."""

import itertools
import json
import os
import pickle
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from hostile_checkpoints import copy_run, hostile_checkpoints, put
from safetensors.torch import load_file

from recap_cli.corpus.mel_cache import fingerprint
from recap_cli.errors import BusyError, DataError, ModelError, OptionError, RecapError
from recap_cli.progress import SilentProgress
from recap_cli.runtime.run_folder import LOCK, check_run_folder, hold_run, read_figures, read_log
from recap_cli.training import train as module
from recap_cli.training.checkpoints import (
    STATE_FILE,
    choose_checkpoint,
    list_checkpoints,
    open_seal,
    read_seal,
    write_seal,
)
from recap_cli.training.train import TrainOptions, TrainResult, train

ROOT = Path(__file__).parents[2]
OPTIONS = {"limit": 4, "epochs": 4, "max_caption_tokens": 10, "device": "cpu", "validate_every": 2.0}


class Killed(BaseException):
    """Stands for kill -9: nothing in the package catches it."""


def interrupt(*arguments, **more):
    raise Killed


class Told(SilentProgress):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, message: str) -> None:
        self.said.append(message)

    warn = say


@pytest.fixture(scope="module")
def whole(tiny_data, tmp_path_factory) -> TrainResult:
    """Four steps without interruption, a checkpoint at each, validated at the second and the fourth."""
    return train(
        TrainOptions(tiny_data.folder, tmp_path_factory.mktemp("whole") / "run", **OPTIONS, checkpoint_every=1)
    )


@pytest.fixture(scope="module")
def broken(tiny_data, tmp_path_factory) -> Path:
    """The same run, killed before it was saved: checkpoints 3 and 4, best weights of step 2 or 4."""
    out = tmp_path_factory.mktemp("broken") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "finish_run", interrupt)
        with pytest.raises(Killed):
            train(TrainOptions(tiny_data.folder, out, **OPTIONS, checkpoint_every=1))
    assert [path.name for path in list_checkpoints(out / "checkpoints")] == ["checkpoint-4", "checkpoint-3"]
    return out


@pytest.fixture
def out(broken, tmp_path) -> Path:
    """A copy of the interrupted run, to be damaged."""
    return copy_run(broken, tmp_path / "run")


def run_name(out: Path) -> str:
    return str(json.loads((out / "checkpoints" / "checkpoint-3" / STATE_FILE).read_text())["run"])


def choose(out: Path, name: str) -> tuple[str | None, list[str]]:
    told = Told()
    found = choose_checkpoint(out, name, "caption_loss", told)
    return found and found.name, told.said


def best_folder(out: Path) -> Path:
    (folder,) = (out / "best").iterdir()
    return folder


def resume(tiny_data, out: Path, told: SilentProgress | None = None, **more) -> TrainResult:
    return train(TrainOptions(tiny_data.folder, out, **OPTIONS, checkpoint_every=1, **more), told)


def equal(first: Path, second: Path) -> bool:
    one, other = (load_file(path / "model.safetensors") for path in (first, second))
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


# one part of the newest checkpoint ------------------------------------------------------------------------------------


def test_a_checkpoint_says_what_it_is_made_of(broken):
    folder = broken / "checkpoints" / "checkpoint-4"
    record = read_seal(folder / STATE_FILE)
    assert set(record["files"]) == {path.name for path in folder.iterdir()} - {STATE_FILE}
    assert {"model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json"} <= set(
        record["files"]
    )
    assert all(known["bytes"] == (folder / name).stat().st_size for name, known in record["files"].items())
    assert record["log"] == read_log(broken)
    assert choose(broken, run_name(broken)) == ("checkpoint-4", [f"Resuming from {folder}."])


PARTS = ("model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json", "config.json")
HARMS = {
    "missing": (lambda path: path.unlink(), "{name} is missing"),
    "empty": (lambda path: put(path, b""), "{name} has 0 of"),
    "cut": (lambda path: put(path, path.read_bytes()[:-1]), "{name} has "),
    "longer": (lambda path: put(path, path.read_bytes() + b"\0"), "{name} has "),
    "flipped": (lambda path: put(path, path.read_bytes()[:-3] + b"~~~"), "{name} holds other bytes"),
    "of another checkpoint": (
        lambda path: put(path, path.read_bytes()[:9] + bytes([path.read_bytes()[9] ^ 1]) + path.read_bytes()[10:]),
        "{name} holds other bytes",
    ),
    "a folder": (lambda path: (path.unlink(), path.mkdir()), "{name} is no file"),
    "a pipe": (lambda path: (path.unlink(), os.mkfifo(path)), "{name} is no file"),
    "a link to nowhere": (lambda path: (path.unlink(), path.symlink_to("nowhere")), "{name} is missing"),
    "an endless file": (lambda path: (path.unlink(), path.symlink_to("/dev/zero")), "{name} is no file"),
}


@pytest.mark.parametrize("harm", HARMS.values(), ids=HARMS)
@pytest.mark.parametrize("name", PARTS)
def test_a_damaged_part_is_named_and_the_checkpoint_before_it_taken(out, name, harm):
    change, message = harm
    folder = out / "checkpoints" / "checkpoint-4"
    change(folder / name)
    found, (said, goes) = choose(out, run_name(out))
    assert found == "checkpoint-3"
    assert said.startswith(f"checkpoint-4 is skipped: {folder} is damaged: {message.format(name=name)}")
    assert goes == f"Resuming from {out / 'checkpoints' / 'checkpoint-3'}."
    assert sorted(path.name for path in (out / "checkpoints").iterdir()) == ["checkpoint-3", "damaged-checkpoint-4"]


SEALS = {
    "cut": lambda text: text[: len(text) // 2],
    "empty": lambda text: "",
    "of an older version": lambda text: json.dumps({"losses": json.loads(text)["losses"]}),
    "other losses": lambda text: text.replace('"steps": ', '"steps": 1'),
    "fewer files": lambda text: json.dumps({**json.loads(text), "files": {}}),
    "other log": lambda text: text.replace('"epoch": 4', '"epoch": 5'),
    "a list": lambda text: "[1, 2]",
    "nested": lambda text: "[" * 100_000,
    "not text": lambda text: '{"seal": null}',
    "huge": lambda text: text + " " * (1 << 26),
}


@pytest.mark.parametrize("change", SEALS.values(), ids=SEALS)
def test_a_damaged_seal_is_none(out, change):
    path = out / "checkpoints" / "checkpoint-4" / STATE_FILE
    name, before = run_name(out), path.read_text()
    assert change(before) != before
    put(path, change(before).encode())
    found, said = choose(out, name)
    assert found == "checkpoint-3"
    assert said[0] == f"checkpoint-4 is skipped: {path.parent} is damaged: {STATE_FILE} is damaged."


def test_a_seal_that_is_whole_but_says_nonsense(out):
    """As a stranger may write it: every value is checked, too."""
    folder, name = out / "checkpoints" / "checkpoint-4", run_name(out)
    true = read_seal(folder / STATE_FILE)
    for values in (
        {"step": "4"}, {"losses": []}, {"losses": {"steps": "4"}}, {"losses": {"steps": 4, "sums": {"a": "b"}}},
        {"losses": {"steps": 4, "sums": [1]}}, {"log": 3}, {"log": [{}]}, {"log": [{**true["log"][0], "step": None}]},
    ):  # fmt: skip
        record = {**true, **values}
        put(folder / STATE_FILE, json.dumps({**record, "seal": fingerprint(record)}).encode())
        with pytest.raises(ModelError, match=f"{STATE_FILE} is damaged"):
            open_seal(folder, name, 4)


def test_a_whole_checkpoint_in_the_place_of_another(out):
    """Under another step's name, or of a run with other settings."""
    name = run_name(out)
    shutil.rmtree(out / "checkpoints" / "checkpoint-4")
    shutil.copytree(out / "checkpoints" / "checkpoint-3", out / "checkpoints" / "checkpoint-9")
    found, said = choose(out, name)
    assert found == "checkpoint-3" and "checkpoint-9 is damaged: it is of step 3" in said[0]
    found, said = choose(out, "another run")
    assert found is None and "it is of a run with other settings" in said[0]


@pytest.mark.parametrize("name", ["pytorch_model.bin", "optimizer.bin", "rng_state_3.pth", "scaler.pt", "a/"])
def test_a_part_that_the_trainer_would_read_and_did_not_write(out, name):
    path = out / "checkpoints" / "checkpoint-4" / name
    path.mkdir() if name.endswith("/") else path.write_bytes(b"x")
    found, said = choose(out, run_name(out))
    assert found == "checkpoint-3" and f"{path.name} was not written with it" in said[0]


def test_what_nobody_reads_does_no_harm(out):
    (out / "checkpoints" / "checkpoint-4" / ".DS_Store").write_bytes(b"x")
    (out / "checkpoints" / "checkpoint-99").write_bytes(b"no folder")
    (out / "checkpoints" / "checkpoint-07").mkdir()
    (out / "checkpoints" / "checkpoint-" / "x").mkdir(parents=True)
    assert choose(out, run_name(out))[0] == "checkpoint-4"


def test_the_states_of_several_processes_count(out):
    """What two processes wrote is sealed, and one that is lost is missed."""
    folder, name = out / "checkpoints" / "checkpoint-4", run_name(out)
    seal = read_seal(folder / STATE_FILE)
    (folder / "rng_state.pth").rename(folder / "rng_state_0.pth")
    shutil.copy(folder / "rng_state_0.pth", folder / "rng_state_1.pth")
    (folder / STATE_FILE).unlink()
    write_seal(folder, name, 4, seal["losses"], seal["log"])
    assert choose(out, name)[0] == "checkpoint-4"
    (folder / "rng_state_1.pth").unlink()
    found, said = choose(out, name)
    assert found == "checkpoint-3" and "rng_state_1.pth is missing" in said[0]


def test_links_and_half_written_checkpoints_go(out, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "letter").write_text("dear")
    (out / "checkpoints" / "checkpoint-8").symlink_to(tmp_path / "elsewhere")
    (out / "checkpoints" / "checkpoint-7").mkdir()
    (out / "checkpoints" / "checkpoint-7" / "model.safetensors").write_bytes(b"half")
    found, said = choose(out, run_name(out))
    assert found == "checkpoint-4" and len(said) == 3
    assert sorted(path.name for path in (out / "checkpoints").iterdir()) == ["checkpoint-3", "checkpoint-4"]
    assert (tmp_path / "elsewhere" / "letter").read_text() == "dear"


# the best weights and the log -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("harm", ["missing", "cut", "flipped"])
def test_best_weights_come_from_the_checkpoint_of_their_step(out, broken, harm):
    path = best_folder(out) / "model.safetensors"
    assert path.parent.name == "step-4"
    before = load_file(path)
    HARMS[harm][0](path)
    assert choose(out, run_name(out))[0] == "checkpoint-4"
    again = load_file(path)
    assert all(torch.equal(again[key], before[key]) for key in again)


def test_without_best_weights_a_run_resumes_from_before_them(out):
    """The log of checkpoint 4 names step 2 as best, and its weights are gone; checkpoint 3 knows no better."""
    name, folder = run_name(out), out / "checkpoints" / "checkpoint-4"
    seal = read_seal(folder / STATE_FILE)
    seal["log"][0]["caption_loss"] = 0.0
    (folder / STATE_FILE).unlink()
    write_seal(folder, name, 4, seal["losses"], seal["log"])
    shutil.rmtree(out / "best")
    found, said = choose(out, name)
    assert found is None
    assert [line for line in said if "the weights of the best step are gone" in line and "step-2" in line]
    assert said[-1] == f"No checkpoint of {out} is whole: training starts again from the beginning."


@pytest.mark.parametrize(
    "line", ["", "{", "[" * 50_000, '{"step": "4"}', '{"step": null}', '{"step": 4}', "\ufeff", "7"]
)
def test_a_damaged_log_is_put_back(out, broken, line):
    put(out / "log.jsonl", (line + "\n" + line).encode("utf-8", "replace") + b"\n\xff\n")
    assert read_log(out) == []
    found, said = choose(out, run_name(out))
    assert found == "checkpoint-4"
    assert said[0] == f"{out / 'log.jsonl'} was damaged and is restored as it was at step 4."
    assert read_log(out) == read_log(broken)


def test_a_log_keeps_unusual_line_ends_in_its_captions(out):
    record = {**read_log(out)[0], "sample": {"song": "a\u2028b", "caption": "c\u0085d", "reference": "e"}}
    put(out / "log.jsonl", (json.dumps(record, ensure_ascii=False) + "\n").encode())
    assert read_log(out) == [record]


# whole runs -----------------------------------------------------------------------------------------------------------


def test_a_run_with_a_damaged_checkpoint_ends_as_if_nothing_had_been(tiny_data, whole, out):
    (out / "checkpoints" / "checkpoint-4" / "optimizer.pt").unlink()
    told = Told()
    result = resume(tiny_data, out, told)
    assert equal(result.out, whole.out) and result.log == whole.log
    assert sum("optimizer.pt is missing" in line for line in told.said) == 1
    assert not (out / "checkpoints").exists()


def test_a_run_without_a_whole_checkpoint_begins_again(tiny_data, whole, out):
    """With `--resume` it is refused, and what is there stays."""
    for path in list_checkpoints(out / "checkpoints"):
        put(path / "model.safetensors", b"")
    with pytest.raises(OptionError) as caught:
        resume(tiny_data, out, resume=True)
    assert caught.value.message == f"--resume: {out} holds no checkpoint to resume from"
    assert sorted(path.name for path in (out / "checkpoints").iterdir()) == [
        "checkpoint-3",
        "checkpoint-4",
    ]
    result = resume(tiny_data, out)
    assert equal(result.out, whole.out) and result.log == whole.log


class Evil:
    def __reduce__(self):
        return os.system, ("touch ran",)


@pytest.mark.parametrize("part", ["optimizer.pt", "rng_state.pth"])
def test_a_planted_part_runs_no_code(tiny_data, out, monkeypatch, tmp_path, part):
    """Even where the seal was written anew, as only someone may who can write into the folder."""
    monkeypatch.chdir(tmp_path)
    folder, name = out / "checkpoints" / "checkpoint-3", run_name(out)
    seal = read_seal(folder / STATE_FILE)
    (folder / part).unlink()
    with zipfile.ZipFile(folder / part, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(Evil()))
        archive.writestr("archive/version", "3\n")
        archive.writestr("archive/byteorder", "little")
    assert choose(out, name)[0] == "checkpoint-4"
    shutil.rmtree(out / "checkpoints" / "checkpoint-4")
    (folder / STATE_FILE).unlink()
    write_seal(folder, name, 3, seal["losses"], seal["log"])
    with pytest.raises(ModelError, match="cannot be loaded") as caught:
        resume(tiny_data, out)
    assert caught.value.message.startswith(str(folder)) and "\n" not in caught.value.message
    assert not (tmp_path / "ran").exists()


def test_a_hundred_damages(broken, tmp_path):
    """Each run resumes from a whole checkpoint, or says why not; nothing hangs, and no bytes are used but ours."""
    name, ends = run_name(broken), {}
    whole = {path.name: read_seal(path / STATE_FILE) for path in (broken / "checkpoints").iterdir()}
    for number, (what, damage) in enumerate(itertools.islice(hostile_checkpoints(broken, 0), 100)):
        out = copy_run(broken, tmp_path / str(number))
        damage(out)
        try:
            found, said = choose(out, name)
        except RecapError as error:
            ends.setdefault("told", []).append((what, error.message))
            continue
        ends.setdefault(found, []).append(what)
        if found is not None:
            assert read_seal(out / "checkpoints" / found / STATE_FILE) == whole[found], what
        assert found == "checkpoint-4" or any("is skipped" in line for line in said), what
        shutil.rmtree(out)
    assert len(ends["checkpoint-3"]) > 10 and len(ends["checkpoint-4"]) > 10


# a finished run -------------------------------------------------------------------------------------------------------


JUNK = [
    b"",
    b"{",
    b"[]",
    b"null",
    b"\xff\xfe",
    b"[" * 100_000,
    b'{"best": 3, "steps": 4}',
    b'{"best": {}, "sample": {}}',
]


@pytest.mark.parametrize("content", JUNK)
def test_damaged_figures_are_told(whole, tmp_path, tiny_data, content):
    out = copy_run(whole.out, tmp_path / "run")
    put(out / "figures.json", content)
    with pytest.raises(DataError) as caught:
        resume(tiny_data, out)
    assert caught.value.message.startswith(f"{out / 'figures.json'} is damaged: ")
    assert caught.value.hint == "delete the run's folder, or choose another --out"


@pytest.mark.parametrize("content", JUNK[:6])
def test_damaged_options_are_told(whole, out, tiny_data, content):
    put(out / "options.json", content)
    with pytest.raises(DataError, match=f"{out / 'options.json'} is damaged: "):
        resume(tiny_data, out)
    (out / "options.json").unlink()
    with pytest.raises(DataError, match=f"{out} holds a run that lost its options.json"):
        resume(tiny_data, out)


@pytest.mark.parametrize("content", [None, b"", b"half", b"\xff" * 100])
def test_lost_weights_of_a_finished_run_are_told(whole, tmp_path, content):
    out = copy_run(whole.out, tmp_path / "run")
    (out / "model.safetensors").unlink()
    if content is not None:
        (out / "model.safetensors").write_bytes(content)
    with pytest.raises(DataError, match=r"model\.safetensors is damaged: "):
        read_figures(out)


def test_a_finished_run_with_a_junk_log_shows_what_is_left(whole, tmp_path, tiny_data):
    out = copy_run(whole.out, tmp_path / "run")
    put(out / "log.jsonl", b'[1]\n{"step": []}\n\xff\n' + b"[" * 99_999 + b"\n" + (out / "log.jsonl").read_bytes())
    result = resume(tiny_data, out)
    assert not result.trained and result.log == whole.log


# one process at a time ------------------------------------------------------------------------------------------------


def test_a_second_run_in_a_folder_is_refused(tiny_data, out):
    """At once, while another process trains; when that one dies, however, the folder is free."""
    code = (
        "import sys, time; from pathlib import Path; from recap_cli.runtime.run_folder import hold_run\n"
        "with hold_run(Path(sys.argv[1]), []):\n    print('held', flush=True)\n    time.sleep(60)"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(out)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    try:
        assert holder.stdout.readline() == b"held\n"
        for refused in (lambda: resume(tiny_data, out), lambda: check_run_folder(out, read_options(out), [])):
            with pytest.raises(BusyError) as caught:
                refused()
            assert caught.value.message == f"another recap train is working on {out}"
    finally:
        holder.kill()
        holder.wait()
    assert (out / LOCK).exists()
    with hold_run(out, []):
        pass
    assert not (out / LOCK).exists()


def read_options(out: Path) -> dict:
    return json.loads((out / "options.json").read_text())
