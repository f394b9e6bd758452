"""The trainer: losses and gradients that no layout changes, batches, micro-batches and checkpoints."""

import json
import os
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from forked import Forker
from safetensors.torch import load_file
from torch.distributed import run as distributed_run

from recap_cli.corpus.dataset import SongCollator
from recap_cli.errors import DataError, ModelError, OptionError
from recap_cli.model.captioner import RecapForCaptioning
from recap_cli.model.config import RecapConfig
from recap_cli.progress import SilentProgress
from recap_cli.training.batches import LengthGrouped, RunningLosses, group_order, mark_aligned_rows, split_batch
from recap_cli.training.build import build_model
from recap_cli.training.checkpoints import STATE_FILE, read_seal, write_seal
from recap_cli.training.plan import plan_run
from recap_cli.training.pretrain import LyricsPretraining, pretrain_bart, tiny_bart
from recap_cli.training.train import TrainOptions, train
from recap_cli.training.trainer import ProgressCallback, RecapTrainer, training_arguments
from recap_cli.training.validation import measure_gradients

ROOT = Path(__file__).parents[2]
ROWS = 12


class Examples(torch.utils.data.Dataset):
    """Twelve captions of five songs, all lengths unequal."""

    def __init__(self, width: int) -> None:
        random = np.random.default_rng(5)
        self.rows = []
        for row in range(ROWS):
            song = row % 5
            music = np.random.default_rng(song).standard_normal((4 + song, width), dtype=np.float32)
            lyrics = np.random.default_rng(100 + song).integers(5, 40, 6 + 3 * song).tolist()
            labels = random.integers(5, 40, 3 + row).tolist()
            self.rows.append({"input_ids": lyrics, "labels": labels, "song_ids": song, "music": music})

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, row: int) -> dict:
        return self.rows[row]

    def lengths(self) -> np.ndarray:
        return np.array([(len(row["input_ids"]), len(row["labels"])) for row in self.rows])


@pytest.fixture
def model(tiny_config) -> RecapForCaptioning:
    tiny_config.dropout = tiny_config.attention_dropout = tiny_config.activation_dropout = 0.0
    tiny_config.alpha = 0.5
    torch.manual_seed(0)
    return RecapForCaptioning(tiny_config).double()


def gradients(model, processor, folder, budget: int = 0, **arguments) -> tuple[float, dict[str, torch.Tensor]]:
    """One step over all twelve rows; give the logged loss parts and the gradients at its end."""
    model.zero_grad()
    settings = {"seed": 0, "data_seed": 0, "learning_rate": 0.0, "num_train_epochs": 1, "max_grad_norm": 0.0}
    settings["device"] = "cpu"
    trainer = RecapTrainer(
        model=model,
        args=training_arguments(folder, **settings, **arguments),
        train_dataset=Examples(model.config.music_sizes.width),
        data_collator=DoubleCollator(processor, "states"),
        validation=None,
        processor=processor,
        micro_batch_tokens=budget,
    )
    found = {}

    def keep(optimizer, *rest):
        found.update({name: one.grad.clone() for name, one in model.named_parameters() if one.grad is not None})

    trainer.create_optimizer()
    trainer.optimizer.register_step_pre_hook(keep)
    trainer.train()
    return trainer.losses.to_json()["sums"], found


class DoubleCollator(SongCollator):
    def __call__(self, examples):
        batch = super().__call__(examples)
        return {**batch, "music_states": batch["music_states"].double()}


LAYOUTS = {
    "accumulated": {"batch_size": ROWS, "accumulate": 3},
    "micro-batches": {"batch_size": ROWS, "budget": 40},
    "both": {"batch_size": ROWS, "accumulate": 2, "budget": 60},
    "checkpointing": {"batch_size": ROWS, "gradient_checkpointing": True},
}


@pytest.mark.parametrize("loss", ["positive", "none"])
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_no_layout_changes_losses_or_gradients(model, tiny_processor, tmp_path, layout, loss):
    model.config.alignment_loss = model.alignment.loss = loss
    losses, whole = gradients(model, tiny_processor, tmp_path, batch_size=ROWS)
    parts, cut = gradients(model, tiny_processor, tmp_path, **layout)
    assert parts == pytest.approx(losses, rel=1e-9)
    assert whole.keys() == cut.keys() and len(whole) > 20
    for name, value in whole.items():
        assert torch.allclose(cut[name], value, rtol=1e-7, atol=1e-13), name


def test_the_step_is_the_mean_over_its_tokens_and_songs(model, tiny_processor, tmp_path):
    losses, _ = gradients(model, tiny_processor, tmp_path, batch_size=ROWS, accumulate=4)
    rows = Examples(model.config.music_sizes.width).rows
    each = [model.eval()(**DoubleCollator(tiny_processor, "states")([row])) for row in rows]
    tokens = [len(row["labels"]) for row in rows]
    caption = sum(float(one.caption_loss.detach()) * count for one, count in zip(each, tokens, strict=True))
    assert losses["caption_loss"] == pytest.approx(caption / sum(tokens), rel=1e-9)
    assert losses["alignment_loss"] == pytest.approx(
        sum(float(one.alignment_loss.detach()) for one in each[:5]) / 5, rel=1e-9
    )


def test_infonce_takes_its_negatives_from_the_micro_batch(model, tiny_processor, tmp_path):
    model.config.alignment_loss = model.alignment.loss = "infonce"
    whole, _ = gradients(model, tiny_processor, tmp_path, batch_size=ROWS)
    cut, _ = gradients(model, tiny_processor, tmp_path, batch_size=ROWS, accumulate=ROWS)
    assert whole["alignment_loss"] > 0.1
    assert cut["alignment_loss"] == pytest.approx(0.0, abs=1e-9)  # a song alone has no negatives
    assert cut["caption_loss"] == pytest.approx(whole["caption_loss"], rel=1e-9)


def torchrun(arguments: list[str], forker: Forker, folder: Path, _) -> "subprocess.CompletedProcess[str]":
    """The launcher itself, in a process that begins two others."""
    environment = {"OMP_NUM_THREADS": "1", "PYTHON_EXEC": str(forker.stand_in(folder))}  # what torchrun calls Python
    launcher = ["--standalone", "--nproc-per-node", "2", "-m", "recap_cli"]
    return forker.run(*launcher, *arguments, module="torch.distributed.run", env=environment)


def accelerate(arguments: list[str], forker: Forker, _, monkeypatch) -> "subprocess.CompletedProcess[str]":
    """What `accelerate launch` hands to torchrun's code, which would begin two processes with this environment."""
    from accelerate.commands.launch import launch_command, launch_command_parser

    handed = []
    monkeypatch.setattr(distributed_run, "run", lambda given: handed.append((given, dict(os.environ))))
    launcher = ["--multi_gpu", "--num_processes", "2", "--main_process_port", "0", "-m", "recap_cli"]
    launch_command(launch_command_parser().parse_args([*launcher, *arguments]))
    ((given, environment),) = handed
    assert (given.module, given.training_script) == (True, "recap_cli") and str(given.nproc_per_node) == "2"
    with socket.create_server(("localhost", 0)) as free:
        port = free.getsockname()[1]
    environment |= {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": str(port)}
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        ranks = [{"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(2)]
        begun = [
            forker.start(*given.training_script_args, env=environment | rank, stdout=out, stderr=err) for rank in ranks
        ]
        codes = [process.wait() for process in begun]
        texts = [stream.read() for stream in (out, err) if stream.seek(0) == 0]
    return subprocess.CompletedProcess(arguments, max(codes, key=abs), *texts)


@pytest.fixture(scope="module")
def sober_bart(tiny_data, tmp_path_factory) -> Path:
    """The tiny recipe's BART without dropout, whose draws no two layouts share."""
    folder = tmp_path_factory.mktemp("bart") / "bart"
    shutil.copytree(
        pretrain_bart(tiny_data, LyricsPretraining(tiny_bart(RecapConfig.tiny(5))), SilentProgress()), folder
    )
    config = json.loads((folder / "config.json").read_text())
    config |= {"dropout": 0.0, "attention_dropout": 0.0, "activation_dropout": 0.0}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize(
    ("launch", "loss", "accumulate"), [(torchrun, "positive", 5), (accelerate, "infonce-symmetric", 1)]
)
def test_two_processes_learn_what_one_learns(
    tiny_data, sober_bart, tmp_path, forker, monkeypatch, launch, loss, accumulate
):
    """One step by plain gradient descent: losses and gradients to 1e-5, each validation song once, one log."""
    options = {"alignment_loss": loss, "alpha": 0.5, "lr": 10.0, "optimizer": "sgd", "schedule": "constant"}
    options |= {"weight_decay": 0.0, "warmup": 0.0, "bart": str(sober_bart), "max_caption_tokens": 20}
    options |= {"limit": 10, "batch_size": 50, "epochs": 1, "device": "cpu"}
    one = train(TrainOptions(tiny_data.folder, tmp_path / "one", **options))
    flags = [str(word) for name, value in options.items() for word in (f"--{name.replace('_', '-')}", value)]
    flags += ["--accumulate", str(accumulate), "--out", str(tmp_path / "two"), "--json"]
    done = launch(["train", str(tiny_data.folder), *flags], forker, tmp_path, monkeypatch)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stderr.count("2 processes share each step of 50 captions.") == 1
    assert len(done.stdout.splitlines()) == len((tmp_path / "two" / "log.jsonl").read_text().splitlines()) == 1
    (two,) = json.loads(done.stdout)["log"]
    sample = one.log[0]["sample"]
    assert two["sample"] == {"id": sample["song"], **{name: sample[name] for name in ("caption", "reference")}}
    for figure in (
        "train_caption_loss",
        "train_alignment_loss",
        "caption_loss",
        "matched_cosine",
        "rougeL",
        "distinct",
    ):
        assert two[figure] == pytest.approx(one.log[0][figure], rel=1e-5, abs=1e-5), figure
    chosen = TrainOptions(tiny_data.folder, **options)
    before = build_model(plan_run(chosen, SilentProgress(), tiny_data), SilentProgress())[0].state_dict()
    moved, other = (
        {name: value.double() - before[name] for name, value in load_file(tmp_path / run / "model.safetensors").items()}
        for run in ("one", "two")
    )
    whole = torch.cat([step.flatten() for step in moved.values()]).norm()
    assert whole > 1
    for name, step in moved.items():
        assert (other[name] - step).norm() <= 1e-5 * step.norm() + 1e-6 * whole, name


# batches --------------------------------------------------------------------------------------------------------------


def test_every_example_once_an_epoch_in_another_order():
    lengths = np.random.default_rng(0).integers(1, 300, (1003, 2))
    sampler = LengthGrouped(lengths, 8, seed=1)
    first = list(sampler)
    assert sorted(first) == list(range(1003)) and len(sampler) == 1003
    assert first == list(sampler) == group_order(lengths, 8, np.random.default_rng([1, 0]))
    sampler.epoch = 1
    assert sorted(sampler) == list(range(1003)) and list(sampler) != first


def test_batches_hold_like_lengths():
    lengths = np.random.default_rng(0).integers(1, 300, (2000, 2))

    def waste(order):
        batches = [lengths[order[start : start + 8]] for start in range(0, 2000, 8)]
        padded = sum(8 * rows.max(axis=0) for rows in batches)
        return 1 - lengths.sum(axis=0) / padded

    grouped, mixed = waste(group_order(lengths, 8, np.random.default_rng(0))), waste(list(range(2000)))
    assert (mixed > 0.35).all() and (grouped < 0.15).all()


def test_no_examples_have_no_order():
    assert group_order(np.zeros((0, 2), int), 8, np.random.default_rng(0)) == []


def test_a_batch_is_cut_under_its_budget(tiny_processor):
    batch = SongCollator(tiny_processor, "states")(Examples(8).rows)
    parts = split_batch(batch, 60)
    assert len(parts) > 2
    for part in parts:
        rows = len(part["labels"])
        assert rows == 1 or rows * (part["input_ids"].shape[1] + part["labels"].shape[1]) <= 60
        assert part["attention_mask"].sum(dim=1).max() == part["input_ids"].shape[1]
        assert (part["labels"] != -100).sum(dim=1).max() == part["labels"].shape[1]
    tokens = sorted(tuple(row[row != -100].tolist()) for part in parts for row in part["labels"])
    assert tokens == sorted(tuple(row["labels"]) for row in Examples(8).rows)
    assert len(split_batch(batch, 0)) == 1
    assert len(split_batch(batch, 1)) == ROWS


def test_each_song_of_a_step_counts_once():
    batches = [{"song_ids": torch.tensor(ids)} for ids in ([3, 1, 3], [1, 2])]
    assert mark_aligned_rows(batches) == 3
    assert [batch["aligned_rows"].tolist() for batch in batches] == [[True, True, False], [False, True]]
    other = torch.tensor([2, 7])
    assert mark_aligned_rows(batches, lambda own: ([other, own], 1)) == 4
    assert [batch["aligned_rows"].tolist() for batch in batches] == [[True, True, False], [False, False]]


def test_a_batch_that_cannot_be_shared_out():
    with pytest.raises(OptionError, match="--batch-size 10 cannot be shared by 1 processes and 3 accumulated batches"):
        training_arguments(Path("runs"), 10, accumulate=3)


def test_the_gradient_balance_by_hand(model, tiny_processor):
    """The ratio grows with alpha; both gradients are those of the two losses, one at a time."""
    batch = DoubleCollator(tiny_processor, "states")(Examples(model.config.music_sizes.width).rows)
    measured = measure_gradients(model, batch)
    shared = dict(model.model.encoder.layers[0].named_parameters()) | {"tokens": model.model.shared.weight}
    found = []
    for name in ("alignment_loss", "caption_loss"):
        model.zero_grad()
        getattr(model.eval()(**batch), name).backward()
        found.append({key: one.grad.clone() for key, one in model.named_parameters() if one.grad is not None})
    both = found[0].keys() & found[1].keys()
    assert {f"model.encoder.layers.0.{key}" for key in shared if key != "tokens"} <= both
    assert not any("decoder.layers" in key or "projection" in key for key in both)
    align, caption = (torch.cat([grads[key].flatten() for key in sorted(both)]) for grads in found)
    assert measured["gradient_ratio"] == pytest.approx(0.5 * float(align.norm() / caption.norm()), rel=1e-9)
    cosine = float(torch.nn.functional.cosine_similarity(align, caption, dim=0))
    assert measured["gradient_cosine"] == pytest.approx(cosine, rel=1e-9)


# checkpoints ----------------------------------------------------------------------------------------------------------


def test_a_full_disk_at_a_checkpoint(tiny_data, tmp_path, monkeypatch):
    """Said in two lines; the run resumes from the checkpoint before it."""
    stock = RecapTrainer._save_optimizer_and_scheduler
    options = {"limit": 10, "epochs": 1, "max_caption_tokens": 10, "device": "cpu", "checkpoint_every": 1}

    def refuse(self, folder):
        if self.state.global_step == 2:
            raise OSError(28, "No space left on device")
        stock(self, folder)

    with monkeypatch.context() as patch:
        patch.setattr(RecapTrainer, "_save_optimizer_and_scheduler", refuse)
        with pytest.raises(DataError) as caught:
            train(TrainOptions(tiny_data.folder, tmp_path / "run", **options))
    folder = tmp_path / "run" / "checkpoints" / "checkpoint-2"
    assert caught.value.message == f"cannot write {folder}: No space left on device"
    assert caught.value.hint == "is the disk full? start again to resume"
    assert [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()] == ["checkpoint-1"]
    steps = []
    monkeypatch.setattr(
        ProgressCallback, "on_step_end", lambda self, args, state, *rest, **kw: steps.append(state.global_step)
    )
    assert train(TrainOptions(tiny_data.folder, tmp_path / "run", **options, resume=True)).figures["steps"] == 3
    assert steps == [2, 3]


def test_a_checkpoint_holds_the_losses_of_all_processes(monkeypatch):
    """The first process takes them over, so that their sum over the processes is right again."""
    owner = "recap_cli.training.batches"
    losses = RunningLosses()
    losses.steps, losses.sums = 4, {"caption_loss": 1.0}
    with monkeypatch.context() as patch:
        patch.setattr(f"{owner}.gather", lambda share: [share, {"caption_loss": 2.0}])
        record = losses.to_json()
    assert record == {"steps": 4, "sums": {"caption_loss": 3.0}}
    for rank, expected in ((0, 0.75), (1, 0.0)):
        monkeypatch.setattr(f"{owner}.PartialState", lambda rank=rank: SimpleNamespace(process_index=rank))
        losses.restore(record)
        assert losses.take() == {"train_caption_loss": expected}


def interrupt(*arguments, **more):
    raise KeyboardInterrupt


def test_a_checkpoint_of_another_architecture(tiny_data, tmp_path):
    from safetensors.torch import load_file, save_file

    options = {"limit": 10, "epochs": 1, "max_caption_tokens": 10, "device": "cpu", "checkpoint_every": 1}
    with pytest.raises(KeyboardInterrupt), pytest.MonkeyPatch.context() as patch:
        patch.setattr(RecapTrainer, "evaluate", interrupt)
        train(TrainOptions(tiny_data.folder, tmp_path / "run", **options))
    path = next((tmp_path / "run" / "checkpoints").glob("checkpoint-*/model.safetensors"))
    tensors = load_file(path)
    tensors["model.decoder.layers.0.fc1.weight"] = torch.zeros(3, 3)
    save_file(tensors, path, {"format": "pt"})
    seal = read_seal(path.parent / STATE_FILE)  # as if it had been written so
    write_seal(path.parent, seal["run"], seal["step"], seal["losses"], seal["log"])
    with pytest.raises(ModelError) as caught:
        train(TrainOptions(tiny_data.folder, tmp_path / "run", **options))
    assert caught.value.message == f"{path.parent} is of another architecture"
    assert caught.value.hint == "delete the run's folder, or choose another --out"
