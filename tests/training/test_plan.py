"""What a run needs is checked before the first minute of work, by `--dry-run`, too; and what it may write, and how."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from recap_cli.ablation.ablate import AblateOptions, ablate
from recap_cli.corpus.dataset import PreparedData
from recap_cli.errors import BusyError, DataError, ModelError, OptionError, RecapError
from recap_cli.evaluation.evaluate import EvaluateOptions, evaluate
from recap_cli.outputs import hold_folder
from recap_cli.progress import SilentProgress
from recap_cli.runtime.hub import DEMO_MODEL
from recap_cli.runtime.run_folder import A_RUN, LOCK, OPTIONS_FILE, hold_run, is_held
from recap_cli.training import train as module
from recap_cli.training.options import DEMO_ENCODER, TAGS_ENCODER
from recap_cli.training.plan import check_cache, plan_run
from recap_cli.training.train import TrainOptions, estimate, train

SMALL = {"align_layer": 1, "fusion_layers": (1, 2)}  # layers that the tiny model has
QUICK = {"limit": 4, "epochs": 1, "max_caption_tokens": 10, "device": "cpu"}


@pytest.fixture
def copy(tiny_data, tmp_path) -> Path:
    """A prepared folder of one's own, without caches."""
    shutil.copytree(tiny_data.folder, tmp_path / "data", ignore=shutil.ignore_patterns("features", "pretrained"))
    return tmp_path / "data"


@pytest.fixture
def no_work(monkeypatch):
    """Whatever begins to load or to train fails."""
    for owner, name in ((module, "build_model"), (module, "draw_model"), (module, "build_trainer")):
        monkeypatch.setattr(owner, name, None)


def rewrite(path: Path, change) -> None:
    """Change every record of JSON lines; None leaves one out."""
    records = [change(json.loads(line)) for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps(record) + "\n" for record in records if record is not None))


def splits(folder: Path) -> dict[str, str]:
    return {entry.song.id: entry.song.split for entry in PreparedData(folder).songs}


def both_refuse(options: TrainOptions) -> RecapError:
    """Give what the run raises, after making sure that its dry run says the same and that neither writes a thing."""
    said = []
    for refuse in (train, estimate):
        with pytest.raises(RecapError) as caught:
            refuse(options)
        said.append((type(caught.value), caught.value.message, caught.value.hint))
    assert said[0] == said[1]
    return caught.value


@pytest.mark.parametrize("text", ["", " ", "\u200b\n"])
@pytest.mark.parametrize(
    ("split", "message"),
    [("train", "has no captions to learn from"), ("validation", "has no captions in split 'validation'")],
)
def test_blank_captions_are_told_before_any_work(copy, tmp_path, no_work, split, message, text):
    """As folders of older versions hold them."""
    of = splits(copy)
    rewrite(
        copy / "captions.jsonl", lambda caption: {**caption, "text": text} if of[caption["song"]] == split else caption
    )
    error = both_refuse(TrainOptions(copy, tmp_path / "run", **QUICK))
    assert isinstance(error, DataError) and message in error.message
    assert not (tmp_path / "run").exists() and not (copy / "pretrained").exists()


@pytest.mark.parametrize("split", ["train", "validation"])
def test_a_split_that_is_missing(copy, tmp_path, no_work, split):
    rewrite(copy / "songs.jsonl", lambda record: None if record["song"]["split"] == split else record)
    error = both_refuse(TrainOptions(copy, tmp_path / "run", **QUICK))
    assert error.message == f"{copy} has no songs in split {split!r}"


@pytest.mark.parametrize(
    "change",
    [
        lambda record: {**record, "song": {**record["song"], "tags": {}}},
        lambda record: {**record, "song": {**record["song"], "tags": {"tempo": "slow", "mode": "minor"}}},
        lambda record: {**record, "song": {**record["song"], "tags": {"other": record["song"]["id"]}}},
    ],
    ids=["none", "all alike", "of other names"],
)
def test_songs_without_tags_cannot_pretrain_a_music_encoder(copy, tmp_path, no_work, change):
    """Refused where that is asked for; unasked, the encoder in the package is taken."""
    rewrite(copy / "songs.jsonl", change)
    options = TrainOptions(copy, tmp_path / "run", **QUICK)
    error = both_refuse(replace(options, music_encoder=TAGS_ENCODER))
    assert "no tags that differ" in error.message and "--music-encoder" in error.hint
    assert plan_run(options, SilentProgress()).music_encoder == DEMO_ENCODER


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"batch_size": 10, "accumulate": 3}, OptionError, "cannot be shared by 1 processes"),
        ({"music_encoder": Path("none.pth")}, ModelError, "no weights file none.pth"),
        ({"min_votes": 99}, DataError, "has no captions with 99 votes or more to learn from"),
        ({"resume": True}, OptionError, "holds no checkpoint to resume from"),
        ({"music_encoder": Path("text.pth")}, ModelError, "text.pth"),
        ({"music_encoder": Path("other.safetensors")}, ModelError, "other.safetensors holds no music encoder"),
        ({"init": DEMO_MODEL, "music_encoder": Path("demo")}, OptionError, "brings its own music encoder"),
        ({"init": Path("nowhere")}, ModelError, "--init: no folder nowhere"),
        ({"bart": "nowhere"}, ModelError, "--bart: no folder nowhere"),
        ({"bart": str(DEMO_MODEL)}, ModelError, "holds no BART"),
        ({"recipe": "paper", "bart": "pretrain"}, OptionError, "out of range"),
        ({"recipe": "paper", "bart": "pretrain", **SMALL}, ModelError, "a pretrained music encoder is needed"),
        ({"align_layer": 2}, OptionError, "lies behind fusion layer 1"),
        ({"device": "tpu"}, OptionError, "--device tpu"),
        ({"device": "mps" if sys.platform != "darwin" else "cuda"}, OptionError, "is not available here"),
    ],
)
def test_other_refusals_come_as_early(tiny_data, tmp_path, no_work, monkeypatch, options, kind, message):
    monkeypatch.chdir(tmp_path)
    Path("text.pth").write_text("weights")
    save_file({"a": torch.zeros(2)}, "other.safetensors")
    with pytest.raises(kind) as caught:
        raise both_refuse(TrainOptions(tiny_data.folder, tmp_path / "run", **{**QUICK, **options}))
    assert message in caught.value.message


def test_a_damaged_checkpoint_or_result_is_told_by_the_dry_run_too(tiny_run, tiny_data, tmp_path, no_work):
    options = TrainOptions(tiny_data.folder, tmp_path / "run", epochs=1, max_caption_tokens=16, device="cpu")
    shutil.copytree(tiny_run, options.out)
    (options.out / "model.safetensors").write_bytes(b"cut")
    assert "model.safetensors is damaged" in both_refuse(options).message
    (options.out / "figures.json").unlink()
    (options.out / "checkpoints" / "checkpoint-3").mkdir(parents=True)
    (options.out / "checkpoints" / "checkpoint-3" / "recap_state.json").write_text("{}")
    assert "no checkpoint to resume from" in both_refuse(replace(options, resume=True)).message


def test_a_read_only_data_folder(tmp_path, monkeypatch):
    """Refused where a cache must be made in it; taken as it is where an earlier run has made it."""
    data = tmp_path / "data"
    data.mkdir()
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # tests may run as root, whom no mode stops
    for name in ("features", "pretrained"):
        with pytest.raises(DataError, match=f"cannot write into {data / name}: {data} is read-only"):
            check_cache(data, name)
        (data / name).mkdir()
        with pytest.raises(DataError, match=f"cannot write into {data / name}: {data / name} is read-only"):
            check_cache(data, name)
        (data / name / "made-before").mkdir()
        check_cache(data, name)


# where a run may go ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["data", "mels", "above", "file", "pipe", "link to a file", "letters", "device"])
def test_a_run_never_goes_where_something_else_is(copy, tmp_path, no_work, place):
    (tmp_path / "file").write_text("dear")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "options.json").write_text('{"paper": "A4"}')
    places = {
        "data": copy, "mels": copy / "mels", "above": tmp_path, "file": tmp_path / "file", "pipe": tmp_path / "pipe",
        "link to a file": tmp_path / "link", "letters": tmp_path / "letters", "device": Path("/dev/null"),
    }  # fmt: skip
    before = sorted(tmp_path.rglob("*"))
    error = both_refuse(TrainOptions(copy, places[place], **QUICK))
    assert isinstance(error, OptionError)
    assert sorted(tmp_path.rglob("*")) == before and (tmp_path / "file").read_text() == "dear"


def test_a_run_of_before_the_markers_is_known_by_its_options(tiny_run, tiny_data, tmp_path):
    out = tmp_path / "run"
    shutil.copytree(tiny_run, out, ignore=shutil.ignore_patterns(".recap.json"))
    options = {"epochs": 1, "max_caption_tokens": 16, "device": "cpu"}
    assert not train(TrainOptions(tiny_data.folder, out, **options)).trained
    with pytest.raises(OptionError, match="holds a run with other settings"):
        train(TrainOptions(tiny_data.folder, out, **options, seed=3))
    assert json.loads((out / ".recap.json").read_text()) == {"holds": "a run"}


def test_a_dry_run_says_that_a_folder_is_busy_or_taken(tiny_data, tmp_path, no_work):
    out = tmp_path / "run"
    options = TrainOptions(tiny_data.folder, out, **QUICK)
    with hold_folder(out, A_RUN, "recap train", lock=LOCK):  # as another process holds it
        error = both_refuse(options)
    assert isinstance(error, BusyError) and error.message == f"another recap train is working on {out}"
    assert not (out / LOCK).exists() and not out.exists()
    out.mkdir()
    (out / OPTIONS_FILE).write_text('{"recap": "0", "seed": 7}')
    (out / "checkpoints" / "checkpoint-1").mkdir(parents=True)
    (out / "checkpoints" / "checkpoint-1" / "model.safetensors").write_bytes(b"x")
    assert "holds a run with other settings" in both_refuse(options).message


def test_a_process_holds_a_run_once_and_its_helpers_do_not(tmp_path, monkeypatch):
    """Within the process that holds a folder nothing more is taken; torchrun's further processes never hold one."""
    out = tmp_path / "run"
    with hold_run(out, []):
        with hold_run(out, []):
            assert is_held(out)
        assert is_held(out) and (out / LOCK).exists()
        with pytest.raises(BusyError), hold_folder(out, A_RUN, "recap train", lock=LOCK):
            pass
    assert not is_held(out) and not out.exists()
    monkeypatch.setenv("RANK", "1")
    with hold_run(out, []):
        assert not out.exists()


def test_a_second_training_is_refused_before_the_libraries_are_loaded(tiny_data, tmp_path):
    """Whatever the first is doing; a process that died holds nothing."""
    out = tmp_path / "run"
    words = ["train", str(tiny_data.folder), "--out", str(out)]
    ask = f"import sys\nfrom recap_cli.cli.app import main\ncode = main({words})\nprint(code, 'torch' in sys.modules)"
    with hold_folder(out, A_RUN, "recap train", lock=LOCK):
        found = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=False)
    assert found.stdout.split() == ["1", "False"]
    assert "another recap train is working on" in found.stderr


def test_everything_a_run_writes_has_the_modes_that_the_umask_leaves(copy, tmp_path, monkeypatch, quick_pretraining):
    """Also in the data folder: what is pretrained and the music states; nothing is left half-written."""
    seen = {}
    stock = module.finish_run

    def look(trainer, plan):
        seen.update({path.relative_to(plan.out): path.stat().st_mode & 0o077 for path in plan.out.rglob("*")})
        return stock(trainer, plan)

    monkeypatch.setattr(module, "finish_run", look)
    before = os.umask(0o077)
    try:
        out = train(TrainOptions(copy, tmp_path / "run", **QUICK)).out
    finally:
        os.umask(before)
    written = [path for folder in (out, copy / "pretrained", copy / "features") for path in folder.rglob("*")]
    assert len(seen) > 10 and len(written) > 10
    assert not [path for path in written if path.stat().st_mode & 0o077]
    assert not [path for path in seen if seen[path]]
    assert not [path for path in written if "partial" in path.name]
    os.umask(0o022)
    try:
        out = train(TrainOptions(copy, tmp_path / "other", **{**QUICK, "seed": 1})).out
    finally:
        os.umask(before)
    assert (out / "model.safetensors").stat().st_mode & 0o777 == 0o644


# eval and ablate ------------------------------------------------------------------------------------------------------


def test_a_test_split_without_captions_is_told_at_once(copy, tiny_run, monkeypatch):
    of = splits(copy)
    rewrite(
        copy / "captions.jsonl", lambda caption: {**caption, "text": " "} if of[caption["song"]] == "test" else caption
    )
    for name in ("score_run", "run_tasks"):
        owner = f"recap_cli.{'evaluation.evaluate' if name == 'score_run' else 'ablation.ablate'}.{name}"
        monkeypatch.setattr(owner, None)
    for refuse in (
        lambda: evaluate(EvaluateOptions(copy, (tiny_run,))),
        lambda: ablate(AblateOptions(copy, (0.1,), out=copy.parent / "sweep")),
    ):
        with pytest.raises(DataError, match=f"split 'test' of {copy} has no captions to compare with"):
            refuse()
    assert not (copy.parent / "sweep").exists()
