"""Training: what a run starts from, learns, writes, and how it resumes after a kill."""

import json
import math
import shutil
import sys
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForSeq2SeqLM

from recap_cli.captioning.captioner import Captioner
from recap_cli.corpus.dataset import PreparedData
from recap_cli.corpus.shards import ShardReader, write_shard
from recap_cli.errors import DataError, ModelError, OptionError
from recap_cli.evaluation.evaluate import caption_split
from recap_cli.model.config import RecapConfig
from recap_cli.processor import RecapProcessor
from recap_cli.progress import SilentProgress
from recap_cli.runtime.decoding import DecodingOptions
from recap_cli.runtime.device import choose_device
from recap_cli.runtime.hub import DEMO_MODEL
from recap_cli.runtime.run_folder import newest_run, read_log
from recap_cli.settings import declared
from recap_cli.training import build as builder
from recap_cli.training import options as option_module
from recap_cli.training import plan as plan_module
from recap_cli.training import pretrain as pretrain_module
from recap_cli.training import train as module
from recap_cli.training.build import build_model
from recap_cli.training.checkpoints import list_checkpoints
from recap_cli.training.options import DEMO_ENCODER, TAGS_ENCODER
from recap_cli.training.plan import plan_run
from recap_cli.training.pretrain import (
    LyricsPretraining,
    MusicPretraining,
    pretrain_bart,
    pretrain_music_encoder,
    tiny_bart,
)
from recap_cli.training.recipes import RECIPE_LINES, RECIPES, recipe_settings
from recap_cli.training.train import TrainOptions, TrainResult, train
from recap_cli.training.trainer import ProgressCallback, RecapTrainer
from recap_cli.training.validation import (
    EPOCH_COLUMNS,
    EPOCH_LEGEND,
    EpochReport,
    Validation,
    epoch_line,
    validation_songs,
)

QUICK = {"limit": 4, "epochs": 1, "max_lyrics_tokens": 64, "max_caption_tokens": 10, "device": "cpu"}
MUSIC = "model.encoder.music_encoder."


class Killed(BaseException):
    """Stands for kill -9: nothing in the package catches it."""


def run(data: PreparedData, out: Path, **options) -> TrainResult:
    return train(TrainOptions(**{"data": data.folder, "out": out, **QUICK, **options}))


def weights(out: Path) -> dict[str, torch.Tensor]:
    return load_file(out / "model.safetensors")


def equal(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


def start(data: PreparedData, **options) -> dict[str, torch.Tensor]:
    """The weights before the first step."""
    chosen = TrainOptions(data.folder, device="cpu", **options)
    model, _ = build_model(plan_run(chosen, SilentProgress(), data), SilentProgress())
    return model.state_dict()


def pretrained_music(data: PreparedData, limit: int | None = None) -> Path:
    return pretrain_music_encoder(data, MusicPretraining(RecapConfig.tiny(5).music_sizes), SilentProgress(), limit)


# recipes --------------------------------------------------------------------------------------------------------------


def test_every_recipe_setting_is_an_option_that_overrides_it():
    names = {field.name: field for field in fields(TrainOptions)}
    for line in RECIPE_LINES:
        assert names[line.setting].default is None
        other = {"float": 0.5, "int": 7, "bool": True, "str": "other"}.get(type(line.tiny).__name__, (0,))
        (declaration,) = (one for one in declared(TrainOptions) if one.name == line.setting)
        other = {"optimizer": "sgd", "schedule": "cosine"}.get(line.setting, other)
        other = declaration.choices[-1] if declaration.choices else other
        settings = TrainOptions(Path("data"), **{line.setting: other}).settings("demo")
        assert settings[line.setting] == other
        rest = {name: value for name, value in settings.items() if name not in (line.setting, "recipe")}
        assert rest == {other.setting: other.tiny for other in RECIPE_LINES if other.setting != line.setting}
        assert line.source
    assert len({line.setting for line in RECIPE_LINES}) == len(RECIPE_LINES)


def test_values_of_the_paper_and_of_the_public_code():
    paper, alcap = recipe_settings("paper"), recipe_settings("alcap")
    assert (paper["lr"], paper["batch_size"], paper["epochs"], paper["alpha"]) == (6e-5, 48, 50, 0.02)
    assert (paper["alignment_loss"], paper["align_layer"], paper["fusion_layers"]) == ("positive", 4, (4, 5))
    assert (alcap["alignment_loss"], alcap["temperature"], alcap["pooling"]) == ("infonce", 0.3, "all")
    assert (alcap["lr"], alcap["batch_size"], alcap["epochs"], alcap["pads_in_loss"]) == (5e-5, 26, 20, True)


def test_demo_data_take_the_tiny_recipe_and_others_the_papers():
    options = TrainOptions(Path("data"))
    assert options.settings("demo")["recipe"] == "tiny"
    assert options.settings("")["recipe"] == "paper"
    assert TrainOptions(Path("data"), recipe="alcap").settings("demo")["recipe"] == "alcap"
    with pytest.raises(OptionError, match="--recipe large is not known") as caught:
        TrainOptions(Path("data"), recipe="large").settings("demo")
    assert caught.value.hint == f"choose one of {', '.join(RECIPES)}"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "--batch-size 0 is not possible"),
        ({"epochs": math.nan}, "--epochs nan is not possible"),
        ({"lr": -1.0}, "--lr -1 is not possible"),
        ({"limit": 0}, "--limit 0 is not possible"),
        ({"validation_songs": 0}, "--validation-songs 0 is not possible"),
        ({"best_by": "luck"}, "--best-by luck is not known"),
        ({"max_lyrics_tokens": 2}, "--max-lyrics-tokens 2 is not possible"),
        ({"max_caption_tokens": 1}, "--max-caption-tokens 1 is not possible"),
        ({"beams": 0}, "--beams 0 is not possible"),
        ({"weight_decay": math.nan}, "--weight-decay nan is not possible"),
        ({"warmup": -1.0}, "--warmup -1 is not possible"),
        ({"adam_beta2": 3.0}, "--adam-beta2 3 is not possible"),
        ({"top_p": 9.0}, "--top-p 9 is not possible"),
        ({"seed": -1}, "--seed -1 is not possible"),
        ({"optimizer": "luck"}, "--optimizer luck is not known"),
        ({"schedule": "luck"}, "--schedule luck is not known"),
    ],
)
def test_impossible_options(options, message):
    with pytest.raises(OptionError) as caught:
        TrainOptions(Path("data"), **options)
    assert caught.value.message == message


@pytest.mark.parametrize(
    ("options", "message", "hint"),
    [
        ({"alpha": -1.0}, "--alpha -1 is not possible", "give 0 or more"),
        ({"alpha": math.nan}, "--alpha nan is not possible", "give 0 or more"),
        ({"fusion_layers": (9,)}, "--fusion-layers 9 is out of range", "the encoder's layers are 0 to 2"),
        ({"align_layer": 5}, "--align-layer 5 is out of range", "states that can be aligned are 0 to 3"),
        (
            {"align_layer": 2},
            "--align-layer 2 lies behind fusion layer 1, where music has leaked into the lyrics",
            "choose an earlier layer, or --allow-fused-alignment for a study",
        ),
        (
            {"alignment_loss": "best"},
            "--alignment-loss best is not known",
            "choose one of positive, infonce, infonce-symmetric, none",
        ),
    ],
)
def test_impossible_models(tiny_data, tmp_path, options, message, hint):
    with pytest.raises(OptionError) as caught:
        run(tiny_data, tmp_path / "run", **options)
    assert (caught.value.message, caught.value.hint) == (message, hint)


# a run ----------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole(tiny_data, tmp_path_factory) -> TrainResult:
    """Two epochs of three steps, without interruption."""
    return run(tiny_data, tmp_path_factory.mktemp("whole") / "run", limit=10, epochs=2)


def test_a_run_folder(whole, tiny_data):
    assert sorted(path.name for path in whole.out.iterdir()) == [
        ".recap.json",
        "config.json",
        "figures.json",
        "generation_config.json",
        "log.jsonl",
        "model.safetensors",
        "options.json",
        "recap_processor.json",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    options = json.loads((whole.out / "options.json").read_text())
    assert (options["alpha"], options["seed"], options["limit"], options["epochs"]) == (0.02, 0, 10, 2)
    assert options["fusion_layers"] == [1, 2]
    assert options["recipe"] == "tiny"
    assert options["data_fingerprint"] == tiny_data.fingerprint
    # A run that reads lyrics as the paper does says nothing of verses, as before there were any.
    assert {line.setting for line in RECIPE_LINES} - {"verse_layers", "freeze_verses"} < options.keys()
    assert not {"out", "data", "device"} & options.keys()
    assert json.loads((whole.out / "generation_config.json").read_text())["num_beams"] == 4


def test_the_log_has_a_record_an_epoch(whole):
    assert [record["epoch"] for record in whole.log] == [1.0, 2.0]
    assert [record["step"] for record in whole.log] == [3, 6]
    assert whole.figures["steps"] == 6
    names = {"caption_loss", "train_caption_loss", "train_alignment_loss", "matched_cosine", "mismatched_cosine"}
    assert all(names | {"rougeL", "meteor", "distinct"} < record.keys() for record in whole.log)
    assert whole.log[1]["train_caption_loss"] < whole.log[0]["train_caption_loss"]
    best = min(whole.log, key=lambda record: record["caption_loss"])
    assert {**whole.figures["best"], "sample": whole.figures["sample"]} == best
    assert set(whole.figures["sample"]) == {"song", "caption", "reference"}


def test_the_logged_losses_are_those_of_the_steps(tiny_data, tmp_path, monkeypatch):
    """Summed over the micro-steps of an epoch and divided by their number."""
    seen = []
    stock = RecapTrainer.compute_loss

    def watch(self, model, inputs, return_outputs=False, **kwargs):
        loss, outputs = stock(self, model, inputs, return_outputs=True, **kwargs)
        seen.append([float(one.detach()) for one in (outputs.caption_loss, outputs.alignment_loss, loss)])
        return loss

    monkeypatch.setattr(RecapTrainer, "compute_loss", watch)
    (record,) = run(tiny_data, tmp_path / "run", batch_size=10, alpha=0.5).log
    assert len(seen) == 2
    assert record["train_caption_loss"] == pytest.approx(sum(one for one, _, _ in seen) / 2, abs=1e-4)
    assert record["train_alignment_loss"] == pytest.approx(sum(one for _, one, _ in seen) / 2, abs=1e-4)
    assert all(total == pytest.approx(caption + 0.5 * aligned) for caption, aligned, total in seen)


def test_the_saved_model_is_a_hugging_face_model(whole, tiny_data):
    loaded = AutoModelForSeq2SeqLM.from_pretrained(whole.out)
    processor = RecapProcessor.from_pretrained(whole.out)
    ours = Captioner.from_pretrained(whole.out, device="cpu")
    songs, decoding = tiny_data.split("train")[:3], DecodingOptions(beams=2)
    captions = [
        caption_split(captioner, tiny_data, songs, decoding, SilentProgress())
        for captioner in (ours, Captioner(loaded, processor, "auto"))
    ]
    assert captions[0] == captions[1]
    assert equal(dict(loaded.state_dict()), dict(ours.model.state_dict()))
    assert processor.max_caption_tokens == 10


def test_a_finished_run_is_not_trained_again(whole, tiny_data, monkeypatch):
    monkeypatch.setattr(module, "build_model", None)
    again = run(tiny_data, whole.out, limit=10, epochs=2)
    assert not again.trained
    assert (again.figures, again.log) == (whole.figures, whole.log)


@pytest.mark.parametrize(
    ("change", "names"), [({"lr": 1e-4}, "lr"), ({"seed": 1}, "seed"), ({"alpha": 0.0, "epochs": 3}, "alpha, epochs")]
)
def test_a_folder_of_other_settings_is_refused(whole, tiny_data, change, names):
    with pytest.raises(OptionError) as caught:
        run(tiny_data, whole.out, **{"limit": 10, "epochs": 2, **change})
    assert caught.value.message == f"{whole.out} holds a run with other settings ({names})"
    assert caught.value.hint == "choose another folder with --out"


def test_a_folder_that_cannot_be_made(tiny_data, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OptionError, match=r"--out .*file/run cannot be written: Not a directory"):
        run(tiny_data, tmp_path / "file" / "run")


# interruption ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("step", "every", "found"), [(2, None, None), (4, None, 3), (2, 1, 1), (6, 2, 4)])
def test_a_killed_run_resumes_and_ends_alike(whole, tiny_data, tmp_path, monkeypatch, step, every, found):
    """It resumes from the last checkpoint, in the middle of an epoch too: bit for bit the same model and log."""
    stock = ProgressCallback.on_step_end
    options = {"limit": 10, "epochs": 2, "checkpoint_every": every}

    def die(self, args, state, control, **kwargs):
        stock(self, args, state, control, **kwargs)
        if self.task == "Training" and state.global_step == step:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(ProgressCallback, "on_step_end", die)
        with pytest.raises(Killed):
            run(tiny_data, tmp_path / "run", **options)
    assert not (tmp_path / "run" / "figures.json").exists()
    checkpoints = list_checkpoints(tmp_path / "run" / "checkpoints")
    assert (checkpoints[0].name if checkpoints else None) == (found and f"checkpoint-{found}")
    steps = []
    monkeypatch.setattr(
        ProgressCallback, "on_step_end", lambda self, args, state, control, **kw: steps.append(state.global_step)
    )
    result = run(tiny_data, tmp_path / "run", **options)
    assert steps == list(range((found or 0) + 1, 7))
    assert result.trained
    assert equal(weights(result.out), weights(whole.out))
    assert result.log == whole.log
    assert result.figures == whole.figures
    assert not (result.out / "checkpoints").exists() and not (result.out / "best").exists()


def test_checkpoints_are_few(tiny_data, tmp_path, monkeypatch):
    """At most two are kept."""
    seen = []
    stock = RecapTrainer._save_checkpoint

    def watch(self, *arguments):
        stock(self, *arguments)
        seen.append(sorted(path.name for path in Path(self.args.output_dir).iterdir()))

    monkeypatch.setattr(RecapTrainer, "_save_checkpoint", watch)
    run(tiny_data, tmp_path / "run", limit=10, checkpoint_every=1)
    assert seen == [["checkpoint-1"], ["checkpoint-1", "checkpoint-2"], ["checkpoint-2", "checkpoint-3"]]


def test_early_stopping(tiny_data, tmp_path, monkeypatch):
    """With a patience of two, the third validation without a better figure is not reached."""
    losses = iter([3.0, 2.0, 2.5, 2.2, 1.0])

    def judge(self):
        self.sample = {"song": "s", "caption": "c", "reference": "r"}
        return {"rougeL": 0.1, "meteor": 0.1, "caption_loss": next(losses)}

    monkeypatch.setattr(Validation, "run", judge)
    result = run(tiny_data, tmp_path / "run", epochs=5, patience=2)
    assert [record["caption_loss"] for record in result.log] == [3.0, 2.0, 2.5, 2.2]
    assert result.figures["best"]["step"] == 2 and result.figures["steps"] == 4


def test_validation_between_epochs(tiny_data, tmp_path):
    """Every third of an epoch of three steps, and after the last step wherever that falls."""
    result = run(tiny_data, tmp_path / "run", limit=10, validate_every=0.67)
    assert [record["step"] for record in result.log] == [2, 3]


def test_starting_from_a_run(whole, tiny_data, tmp_path):
    result = run(tiny_data, tmp_path / "run", init=whole.out, lr=1e-12, alpha=0.3)
    before, after = weights(whole.out), weights(result.out)
    assert all(torch.allclose(after[key].float(), before[key].float(), atol=1e-6) for key in before)
    assert json.loads((result.out / "config.json").read_text())["alpha"] == 0.3
    with pytest.raises(ModelError, match=r"--bart: .* holds no BART"):
        run(tiny_data, tmp_path / "other", bart=str(whole.out))
    with pytest.raises(OptionError, match="--init and --bart both name weights"):
        TrainOptions(Path("data"), init=whole.out, bart="pretrain")


def test_a_run_of_other_audio_settings(whole, tiny_data, tmp_path):
    shutil.copytree(whole.out, tmp_path / "other")
    path = tmp_path / "other" / "recap_processor.json"
    settings = json.loads(path.read_text())
    settings["audio"]["resampler"] = "soxr"
    path.write_text(json.dumps(settings))
    with pytest.raises(ModelError, match=r"was trained with other audio settings than .*: resampler"):
        run(tiny_data, tmp_path / "run", init=tmp_path / "other")


@pytest.mark.parametrize(("setting", "value", "named"), [("mels", 96, False), ("hop", 200, True)])
def test_data_that_the_music_encoder_was_not_trained_for(tiny_data, tmp_path, setting, value, named):
    """Any encoder has its number of mel bands; published weights have every other constant of the signal path, too."""
    shutil.copytree(tiny_data.folder, tmp_path / "data")
    info = json.loads((tmp_path / "data" / "dataset.json").read_text())
    info["audio"][setting] = value
    (tmp_path / "data" / "dataset.json").write_text(json.dumps(info))
    if setting == "mels":
        for path in (tmp_path / "data" / "mels").iterdir():
            write_shard(path, {key: mel[:value].numpy() for key, mel in load_file(path).items()})
    weights = {"music_encoder": pretrained_music(tiny_data)} if named else {}
    with pytest.raises(ModelError) as caught:
        run(PreparedData(tmp_path / "data"), tmp_path / "run", **weights)
    data = tmp_path / "data"
    assert caught.value.message == f"the music encoder was trained with other audio settings than {data}: {setting}"
    assert caught.value.hint == "prepare the data with recap prepare's own settings"
    assert not (tmp_path / "run").exists()


def test_infonce_says_where_its_negatives_come_from(tiny_data, tmp_path):
    said: list[str] = []

    class Told(SilentProgress):
        def say(self, message: str) -> None:
            said.append(message)

    options = TrainOptions(
        tiny_data.folder, tmp_path / "run", **{**QUICK, "batch_size": 10}, accumulate=2, alignment_loss="infonce"
    )
    train(options, Told())
    assert any("InfoNCE's negatives come from each micro-batch" in message for message in said)


def test_standardised_music(tiny_data, tmp_path):
    """The saved figures are those of the training songs' pooled music states, and the model loads with them."""
    copy = shutil.copytree(tiny_data.folder, tmp_path / "data", ignore=shutil.ignore_patterns("features"))
    result = run(PreparedData(copy), tmp_path / "run", limit=10, standardise_music=True)
    model = AutoModelForSeq2SeqLM.from_pretrained(result.out)
    (folder,) = (copy / "features").iterdir()
    states = ShardReader(folder)
    pooled = torch.stack(
        [torch.from_numpy(states[entry.mel]).float().mean(dim=0) for entry in tiny_data.split("train")]
    )
    assert torch.allclose(model.alignment.music_mean, pooled.mean(dim=0), atol=1e-5)
    assert torch.allclose(model.alignment.music_deviation, pooled.std(dim=0), rtol=1e-4)
    scaled = model.alignment.standardise(pooled)
    assert float(scaled.mean(dim=0).abs().max()) < 1e-4 and torch.allclose(scaled.std(dim=0), torch.ones(1), atol=1e-3)


def test_the_log_tells_of_the_alignment(whole):
    names = {"cosine_gap", "music_deviation", "lyrics_deviation", "gradient_ratio", "gradient_cosine"}
    for record in whole.log:
        assert names < record.keys()
        assert record["cosine_gap"] == pytest.approx(record["matched_cosine"] - record["mismatched_cosine"], abs=2e-5)
        assert 0 < record["gradient_ratio"] < 10 and -1 <= record["gradient_cosine"] <= 1


@pytest.mark.parametrize(
    ("music", "lyrics", "words"),
    [(0.1, 0.9, "music"), (0.1, 0.19, "music and lyrics"), (0.3, 0.9, None)],
)
def test_a_collapse_is_said(tmp_path, music, lyrics, words):
    warned: list[str] = []

    class Told(SilentProgress):
        def warn(self, message: str) -> None:
            warned.append(message)

    figures = {"music_deviation": music, "lyrics_deviation": lyrics, "cosine_gap": 0.002, "rougeL": 0.1}
    sample = {"song": "s", "caption": "c", "reference": "r"}
    EpochReport(Told(), tmp_path, None, "rougeL").show({"epoch": 1.0, "step": 3, **figures, "sample": sample})
    assert len(warned) == bool(words)
    assert not words or (f"stand for {words} are" in warned[0] and "below 0.2" in warned[0] and "0.002" in warned[0])


def test_an_empty_sample_is_alarming(tmp_path):
    """A run whose captions are empty ends like any other, so its epochs say it."""
    warned: list[str] = []
    told = SimpleNamespace(say=lambda text: None, warn=warned.append)
    record = {"epoch": 1.0, "step": 3, "rougeL": 0.0, "sample": {"song": "s", "caption": " ", "reference": "r"}}
    report = EpochReport(told, tmp_path, None, "rougeL")
    for _ in range(3):
        report.show(record)
    assert len(warned) == 1 and "caption is empty" in warned[0]


def test_bf16_and_gradient_checkpointing(tiny_data, tmp_path):
    result = run(tiny_data, tmp_path / "run", precision="bf16", gradient_checkpointing=True)
    assert math.isfinite(result.log[0]["caption_loss"])
    assert weights(result.out)["model.shared.weight"].dtype == torch.float32


# what is told ---------------------------------------------------------------------------------------------------------


class Told(SilentProgress):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, message: str) -> None:
        self.said.append(message)


def test_an_epoch_is_a_line_of_fixed_columns(whole, tiny_data, tmp_path):
    """At most 50 columns wide, each figure below its name; the sample and its reference stand below."""
    told = Told()
    train(TrainOptions(tiny_data.folder, tmp_path / "run", **{**QUICK, "limit": 10, "epochs": 2}), told)
    place = told.said.index("epoch train valid align   own other ROUGE-L METEOR")
    assert told.said[place - 1] == EPOCH_LEGEND
    lines = told.said[place + 1 :]
    for record, line, caption, reference in zip(whole.log, lines[::3], lines[1::3], lines[2::3], strict=True):
        assert len(line) == len(told.said[place]) == 50
        figures = [float(cell) for cell in line.split()]
        wanted = [record[name] * (100 if name in ("rougeL", "meteor") else 1) for _, _, name in EPOCH_COLUMNS]
        assert figures == pytest.approx([record["epoch"], *wanted], abs=0.06)
        assert caption.split(": ", 1)[1].strip() == record["sample"]["caption"].strip()
        assert reference.endswith(record["sample"]["reference"])
    assert epoch_line({"epoch": 12.5, "train_caption_loss": 10.8043, "rougeL": 1.0, "matched_cosine": -0.0334}) == (
        "12.5  10.80     -     - -.033     -   100.0      -"
    )


class FakeWriter:
    """Stands in for TensorBoard's writer: keeps what it is given."""

    made: ClassVar[list["FakeWriter"]] = []

    def __init__(self, folder: str, purge_step: int | None = None) -> None:
        self.folder, self.purge_step, self.ended = folder, purge_step, False
        self.scalars: dict[str, list[tuple[int, float]]] = {}
        self.texts: list[tuple[int, str]] = []
        FakeWriter.made.append(self)

    def add_scalar(self, name: str, value: float, step: int) -> None:
        self.scalars.setdefault(name, []).append((step, float(value)))

    def add_text(self, name: str, text: str, step: int) -> None:
        self.texts.append((step, text))

    def flush(self) -> None:
        pass

    def close(self) -> None:
        self.ended = True


def test_tensorboard_gets_every_step_and_epoch(whole, tiny_data, tmp_path, monkeypatch):
    """Each step's loss and its parts, rate, gradient and speed, on average as logged; training is the same."""
    monkeypatch.setattr(option_module, "find_spec", lambda name: True)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", SimpleNamespace(SummaryWriter=FakeWriter))
    FakeWriter.made.clear()
    result = run(tiny_data, tmp_path / "run", limit=10, epochs=2, report_to="tensorboard")
    (board,) = FakeWriter.made
    assert equal(weights(result.out), weights(whole.out)) and result.log == whole.log
    assert (board.folder, board.purge_step, board.ended) == (str(tmp_path / "run" / "tensorboard"), 1, True)
    steps = {name: values for name, values in board.scalars.items() if name.startswith("step/")}
    names = ("loss", "caption_loss", "alignment_loss", "learning_rate", "gradient_norm", "examples_per_second")
    assert set(steps) == {f"step/{name}" for name in names}
    assert all([step for step, _ in values] == list(range(1, 7)) for values in steps.values())
    values = {name: [value for _, value in steps[f"step/{name}"]] for name in names}
    assert all(value > 0 for name in ("loss", "gradient_norm", "examples_per_second") for value in values[name])
    for name in ("caption_loss", "alignment_loss"):
        means = [sum(values[name][first : first + 3]) / 3 for first in (0, 3)]
        assert means == pytest.approx([record[f"train_{name}"] for record in result.log], abs=1e-4)
    both = zip(values["caption_loss"], values["alignment_loss"], strict=True)
    assert values["loss"] == pytest.approx([caption + 0.02 * aligned for caption, aligned in both])
    assert board.scalars["epoch/rougeL"] == [
        (record["step"], pytest.approx(record["rougeL"], abs=1e-5)) for record in result.log
    ]
    assert [step for step, _ in board.texts] == [3, 6]
    assert all("reference:" in text for _, text in board.texts)


def test_tensorboard_events_can_be_read_back(tiny_data, tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    out = run(tiny_data, tmp_path / "run", report_to="tensorboard").out
    events = accumulator.EventAccumulator(str(out / "tensorboard")).Reload()
    assert {"step/loss", "step/gradient_norm", "epoch/rougeL"} <= set(events.Tags()["scalars"])


def test_tensorboard_that_is_not_there(monkeypatch):
    monkeypatch.setattr(option_module, "find_spec", lambda name: None)
    with pytest.raises(OptionError, match="TensorBoard is not installed") as caught:
        TrainOptions(Path("data"), report_to="tensorboard")
    assert "[tensorboard]" in caught.value.hint


# own songs ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def own_songs(tiny_data, tmp_path) -> Path:
    """A prepared folder that is not the demo corpus's, without tags and caches."""
    folder = tmp_path / "own"
    shutil.copytree(tiny_data.folder, folder, ignore=shutil.ignore_patterns("features", "pretrained"))
    info = json.loads((folder / "dataset.json").read_text())
    del info["demo"]
    (folder / "dataset.json").write_text(json.dumps({**info, "music_tags": [], "source": "music"}))
    return folder


def test_own_songs_train_offline_without_tags(own_songs, tmp_path):
    """The frozen music encoder is that of the model in the package; the texts' tokenizer is made of their own words."""
    told = Told()
    options = TrainOptions(own_songs, tmp_path / "run", recipe="tiny", epochs=1, max_caption_tokens=10, device="cpu")
    out = train(options, told).out
    assert any("demo model in the package" in line for line in told.said)
    ours, packaged = weights(out), load_file(DEMO_MODEL / "model.safetensors")
    assert all(torch.equal(ours[key], value) for key, value in packaged.items() if key.startswith(MUSIC))
    assert json.loads((out / "options.json").read_text())["music_encoder"] == "demo"
    assert [path.name[:4] for path in (own_songs / "pretrained").iterdir()] == ["bart"]


def test_which_music_encoder_is_taken(own_songs, tiny_data, monkeypatch):
    """Tags for made-up songs and where many songs have tags, else the encoder in the package; a name always wins."""

    def chosen(data, **options):
        return plan_run(TrainOptions(data, device="cpu", recipe="tiny", **options), SilentProgress()).music_encoder

    assert chosen(own_songs) == DEMO_ENCODER
    assert chosen(tiny_data.folder) == TAGS_ENCODER
    assert chosen(tiny_data.folder, limit=1) == DEMO_ENCODER  # one song has nothing that differs
    assert chosen(tiny_data.folder, music_encoder=DEMO_ENCODER) == DEMO_ENCODER
    assert chosen(own_songs, no_music=True) is None
    info = json.loads((own_songs / "dataset.json").read_text())
    (own_songs / "dataset.json").write_text(json.dumps({**info, "music_tags": ["mode", "tempo"]}))
    assert chosen(own_songs) == DEMO_ENCODER
    assert chosen(own_songs, music_encoder=TAGS_ENCODER) == TAGS_ENCODER
    monkeypatch.setattr(plan_module, "ENOUGH_TAGGED", 10)
    assert chosen(own_songs) == TAGS_ENCODER


def test_few_captions_of_ones_own_take_more_epochs(own_songs, tiny_data):
    """A hundred steps at least, judged ten times; not where --epochs is given, and never on made-up songs."""

    def plan(data, **options):
        found = plan_run(TrainOptions(data, device="cpu", recipe="tiny", **options), SilentProgress())
        assert found.record["epochs"] == found.settings["epochs"]
        return found.settings["epochs"], found.validate_every

    assert plan(own_songs) == (25, 2.5)  # 85 captions are 4 steps
    assert plan(own_songs, limit=4) == (100, 10)
    assert plan(own_songs, epochs=3) == (3, 1)
    assert plan(own_songs, validate_every=5) == (25, 5)
    assert plan(tiny_data.folder) == plan(tiny_data.folder, limit=4) == (4, 1)


def test_a_resumed_run_tells_which_steps_were_done_before():
    """So that the rate counts only those of this run."""
    seen = []
    progress = SimpleNamespace(start=lambda *arguments: seen.append(arguments))
    ProgressCallback(progress, "Training").on_train_begin(None, SimpleNamespace(global_step=4, max_steps=6), None)
    assert seen == [("Training", 6, 4)]


def test_a_quick_look_works_on_its_songs_alone(tiny_data, tmp_path, monkeypatch):
    """With --limit, stand-ins are pretrained on the limited songs, and no other song's music is encoded."""
    folder = tmp_path / "data"
    shutil.copytree(tiny_data.folder, folder, ignore=shutil.ignore_patterns("features", "pretrained"))
    seen: dict[str, list[str]] = {}
    for name in ("train_tagger", "write_bart"):
        stock = getattr(pretrain_module, name)

        def watch(*arguments, name=name, stock=stock):
            seen[name] = [entry.song.id for entry in arguments[2]]
            return stock(*arguments)

        monkeypatch.setattr(pretrain_module, name, watch)
    result = run(PreparedData(folder), tmp_path / "run", limit=6)
    wanted = [entry.song.id for entry in tiny_data.split("train")[:6]]
    assert seen == {"train_tagger": wanted, "write_bart": wanted}
    (features,) = (folder / "features").iterdir()
    used = [*tiny_data.split("train")[:6], *tiny_data.split("validation")]
    assert set(ShardReader(features).shapes) == {entry.mel for entry in used}
    assert result.figures["used"] == {"train": 6, "captions": 30, "validation": 2}


def test_a_compiled_run(tiny_data, tmp_path, monkeypatch):
    """Traced as torch compiles it, but not handed to a C++ compiler: the same model comes out, under the same keys."""
    stock = builder.training_arguments

    def trace_only(*places, **arguments):
        return stock(*places, **arguments, **({"torch_compile_backend": "eager"} if arguments["torch_compile"] else {}))

    monkeypatch.setattr(builder, "training_arguments", trace_only)
    plain, compiled = (run(tiny_data, tmp_path / str(flag), compile=flag) for flag in (False, True))
    for figure in ("train_caption_loss", "train_alignment_loss", "caption_loss", "matched_cosine"):
        assert compiled.log[0][figure] == pytest.approx(plain.log[0][figure], rel=1e-4), figure
    assert weights(compiled.out).keys() == weights(plain.out).keys()


def test_the_public_codes_recipe(tiny_data, tmp_path, monkeypatch):
    """Adafactor as the public code sets it; captions padded to the corpus's longest, and pads counted in the loss."""
    seen = []
    stock = RecapTrainer.compute_loss

    def watch(self, model, inputs, return_outputs=False, **kwargs):
        seen.append((tuple(inputs["labels"].shape), int((inputs["labels"] == -100).sum()), self.optimizer, kwargs))
        return stock(self, model, inputs, return_outputs, **kwargs)

    monkeypatch.setattr(RecapTrainer, "compute_loss", watch)
    sizes = {"bart": "pretrain", "fusion_layers": (1, 2), "align_layer": 1, "batch_size": 10, "validation_songs": 2}
    music = pretrained_music(tiny_data)
    result = run(tiny_data, tmp_path / "run", limit=6, recipe="alcap", music_encoder=music, **sizes)
    (shapes, pads, optimizer, counts) = seen[0]
    assert {shape for shape, *_ in seen} == {(10, 10)} and pads == 0
    assert int(counts["num_items_in_batch"]) == shapes[0] * shapes[1]
    inner = getattr(optimizer, "optimizer", optimizer)
    assert type(inner).__name__ == "Adafactor"
    group = inner.param_groups[0]
    assert (group["scale_parameter"], group["relative_step"], group["lr"]) == (True, False, 5e-5)
    saved = json.loads((result.out / "generation_config.json").read_text())
    assert (saved["num_beams"], saved["do_sample"], saved["top_p"]) == (4, True, 0.92)


def test_a_dry_run_writes_nothing(tiny_data, tmp_path):
    from recap_cli.training.train import estimate

    before = sorted(tiny_data.folder.rglob("*"))
    expected = estimate(TrainOptions(tiny_data.folder, tmp_path / "run", limit=10, device="cpu", epochs=2))
    assert (expected.examples, expected.steps, expected.measured) == (50, 6, 3)
    assert expected.hours == pytest.approx(6 * expected.step_seconds / 3600) and expected.step_seconds > 0
    assert 0.1 < expected.memory_gb < 50
    assert not (tmp_path / "run").exists() and sorted(tiny_data.folder.rglob("*")) == before


def test_a_kill_between_training_and_the_last_file(whole, tiny_data, tmp_path, monkeypatch):
    def die(*arguments):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(module, "finish_run", die)
        with pytest.raises(Killed):
            run(tiny_data, tmp_path / "run", limit=10, epochs=2)
    assert equal(weights(run(tiny_data, tmp_path / "run", limit=10, epochs=2).out), weights(whole.out))


def test_a_full_disk_at_the_last_file(whole, tiny_data, tmp_path, monkeypatch):
    """No half-written model stays, and the run started again is saved from its checkpoint."""

    def refuse(*arguments):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(RecapProcessor, "save_pretrained", refuse)
        with pytest.raises(DataError, match=r"cannot write .*/run: No space left on device"):
            run(tiny_data, tmp_path / "run", limit=10, epochs=2)
    assert not (tmp_path / "run" / "model.safetensors").exists()
    again = run(tiny_data, tmp_path / "run", limit=10, epochs=2)
    assert again.figures == whole.figures and equal(weights(again.out), weights(whole.out))


def test_a_torn_checkpoint_and_a_torn_log(tmp_path):
    for name in ("checkpoint-3", "checkpoint-12", "checkpoint-20", "checkpoint-tmp"):
        (tmp_path / name).mkdir()
    for name in ("checkpoint-3", "checkpoint-12", "checkpoint-tmp"):
        (tmp_path / name / "recap_state.json").write_text("{}")
    assert [path.name for path in list_checkpoints(tmp_path)] == ["checkpoint-20", "checkpoint-12", "checkpoint-3"]
    sample = {"song": "s", "caption": "c", "reference": "r"}
    figures = {"epoch": 1.0, "rougeL": 0.1, "meteor": 0.1, "caption_loss": 2.0, "sample": sample}
    records = [{"step": step, "x": x, **figures} for step, x in ((3, 1), (6, 2), (3, 5))]
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records) + '{"st')
    assert read_log(tmp_path) == [records[2], records[1]]


def test_the_newest_finished_run(tmp_path):
    import os

    assert newest_run(tmp_path / "runs") is None
    for age, name in enumerate(("ablation/alpha-0-seed-0", "last", "unfinished", "first")):
        (tmp_path / "runs" / name).mkdir(parents=True)
        file = tmp_path / "runs" / name / ("options.json" if name == "unfinished" else "figures.json")
        file.write_text("{}")
        os.utime(file, (1000 - age, 1000 - age) if name != "last" else (2000, 2000))
    assert newest_run(tmp_path / "runs") == tmp_path / "runs" / "last"


@pytest.mark.parametrize(
    ("batch_size", "message"),
    [(10, "the loss is nan at step 1"), (24, "the loss on the validation songs is nan at step 1")],
)
def test_a_loss_that_is_no_number_stops_the_run(tiny_data, tmp_path, batch_size, message):
    with pytest.raises(ModelError) as caught:
        run(tiny_data, tmp_path / "run", lr=1e30, schedule="constant", batch_size=batch_size)
    hint = "a lower --lr in another --out; the newest checkpoint is from before"
    assert (caught.value.message, caught.value.hint) == (message, hint)
    assert not (tmp_path / "run" / "figures.json").exists()


def test_too_little_memory_is_an_error_with_a_way_out(tiny_data, tmp_path, monkeypatch):
    def fail(*arguments, **named):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr(RecapTrainer, "compute_loss", fail)
    with pytest.raises(ModelError, match="10 captions at a time need more memory") as caught:
        run(tiny_data, tmp_path / "run", batch_size=10)
    assert "--gradient-checkpointing" in caught.value.hint


def test_weights_that_are_no_numbers_are_not_kept(whole, tiny_data, tmp_path, monkeypatch):
    """The last good checkpoint stays, and the run can resume from it."""
    stock = ProgressCallback.on_step_end
    options = {"limit": 10, "epochs": 2, "checkpoint_every": 1}

    def spoil(self, args, state, control, **kwargs):
        stock(self, args, state, control, **kwargs)
        if self.task == "Training" and state.global_step == 2:
            kwargs["model"].model.shared.weight.data[3] = math.nan

    with monkeypatch.context() as patch:
        patch.setattr(ProgressCallback, "on_step_end", spoil)
        with pytest.raises(ModelError, match="a weight is no number any more at step 2"):
            run(tiny_data, tmp_path / "run", **options)
    assert [path.name for path in list_checkpoints(tmp_path / "run" / "checkpoints")] == ["checkpoint-1"]
    assert equal(weights(run(tiny_data, tmp_path / "run", **options).out), weights(whole.out))


# the best epoch -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("best_by", "epoch"), [("rougeL", 1), ("caption_loss", 2)])
def test_the_best_epoch_is_kept(tiny_data, tmp_path, monkeypatch, best_by, epoch):
    kept = []
    figures = iter([(0.5, 2.5), (0.1, 1.0), (0.3, 3.0)])

    def judge(self):
        kept.append({key: value.clone() for key, value in self.model.state_dict().items()})
        self.sample = {"song": "s", "caption": "c", "reference": "r"}
        return dict(zip(("rougeL", "caption_loss"), next(figures), strict=True), meteor=0.1)

    monkeypatch.setattr(Validation, "run", judge)
    result = run(tiny_data, tmp_path / "run", epochs=3, best_by=best_by)
    assert result.figures["best"]["epoch"] == epoch
    saved = weights(result.out)
    same = [all(torch.equal(saved[key], one[key]) for key in saved) for one in kept]
    assert same == [number == epoch for number in (1, 2, 3)]


def test_validation_songs_are_fixed_and_counted(tiny_data):
    def chosen(**options):
        plan = plan_run(TrainOptions(tiny_data.folder, **options), SilentProgress(), tiny_data)
        return [entry.song.id for entry in validation_songs(tiny_data, plan.validation_count)]

    every = [entry.song.id for entry in tiny_data.split("validation")]
    assert chosen(validation_songs=150) == every
    assert chosen(validation_songs=1) == chosen(validation_songs=1, seed=5)
    assert len(chosen(validation_songs=1)) == 1
    assert len(chosen(validation_songs=150, limit=1)) == 1


# what is trained ------------------------------------------------------------------------------------------------------


def test_the_music_encoder_is_left_as_it_was_pretrained(tiny_data, whole):
    pretrained = load_file(pretrained_music(tiny_data, limit=10))
    after = weights(whole.out)
    assert len(pretrained) > 50
    assert all(torch.equal(after[MUSIC + key], value) for key, value in pretrained.items())
    before = start(tiny_data, max_caption_tokens=10)
    assert not torch.equal(before["model.encoder.fusion.0.norm.weight"], after["model.encoder.fusion.0.norm.weight"])


def test_training_the_music_encoder_end_to_end(tiny_data, tmp_path):
    result = run(tiny_data, tmp_path / "run", train_music_encoder=True, batch_size=10)
    assert result.figures["steps"] == 2
    before, after = load_file(pretrained_music(tiny_data, limit=4)), weights(result.out)
    changed = {key for key, value in before.items() if not torch.equal(after[MUSIC + key], value)}
    assert {"blocks.0.conv_1.weight", "layers.1.linear1.weight", "input_norm.running_mean"} < changed
    assert json.loads((result.out / "config.json").read_text())["train_music_encoder"] is True


def test_the_lyrics_only_baseline(tiny_data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = train(TrainOptions(tiny_data.folder, no_music=True, **QUICK))
    assert result.out.match("runs/demo-no-music-limit4-epochs1-*")
    assert json.loads((result.out / "config.json").read_text())["use_music"] is False
    assert not [key for key in weights(result.out) if "music" in key or "fusion" in key or "alignment" in key]
    assert not {"train_alignment_loss", "matched_cosine"} & result.log[0].keys()
    assert Captioner.from_pretrained(result.out, device="cpu").model.model.encoder.music_encoder is None


def test_alpha_0_aligns_nothing(tiny_data, tmp_path):
    """The alignment projection gets no gradient at alpha 0, and some otherwise; the loss is measured all the same."""
    fresh = start(tiny_data, alpha=0.0)["alignment.projection.weight"]
    zero = run(tiny_data, tmp_path / "zero", alpha=0.0, batch_size=10)
    some = run(tiny_data, tmp_path / "some", alpha=0.1, batch_size=10)
    assert torch.equal(weights(zero.out)["alignment.projection.weight"], fresh)
    assert not torch.equal(weights(some.out)["alignment.projection.weight"], fresh)
    assert zero.log[0]["train_alignment_loss"] > 0


def test_limit_and_votes(tiny_data, tmp_path):
    """Five captions a song, 24 a step: 4 songs are one step, 10 are three; votes leave captions out."""
    assert run(tiny_data, tmp_path / "four").figures["steps"] == 1
    songs = tiny_data.split("train")[:10]
    kept = sum(caption.votes >= 6 for entry in songs for caption in entry.song.captions)
    voted = run(tiny_data, tmp_path / "voted", limit=10, min_votes=6, batch_size=1, epochs=0.4)
    assert voted.figures["steps"] == math.ceil(0.4 * kept)
    with pytest.raises(DataError, match="has no captions with 100 votes or more to learn from"):
        run(tiny_data, tmp_path / "none", min_votes=100)


def test_what_a_run_starts_from(tiny_data):
    """Named weights are taken over; the seed decides what is new, nothing else."""
    default = start(tiny_data)
    sizes = tiny_bart(RecapConfig.tiny(5))
    bart = pretrain_bart(tiny_data, LyricsPretraining(sizes), SilentProgress())
    assert equal(start(tiny_data, bart=str(bart), music_encoder=pretrained_music(tiny_data)), default)
    plain = load_file(bart / "model.safetensors")
    assert torch.equal(default["model.decoder.layers.0.fc1.weight"], plain["model.decoder.layers.0.fc1.weight"])
    other = start(tiny_data, seed=1)
    new = {key for key in default if not torch.equal(default[key], other[key])}
    assert new and all("fusion" in key or key.startswith("alignment.") for key in new)


def test_weights_that_cannot_be_had(tiny_data, tmp_path):
    """Said before any long work, and the folder stays free for another try."""
    with pytest.raises(ModelError) as caught:
        run(tiny_data, tmp_path / "run", recipe="paper", bart="pretrain", fusion_layers=(1, 2), align_layer=1)
    assert caught.value.message == "a pretrained music encoder is needed"
    assert "--music-encoder best_model.pth" in caught.value.hint
    with pytest.raises(ModelError, match="nowhere"):
        run(tiny_data, tmp_path / "run", bart=str(tmp_path / "nowhere"), no_music=True)
    with pytest.raises(ModelError, match=r"no weights file .*none\.pth"):
        run(tiny_data, tmp_path / "run", music_encoder=tmp_path / "none.pth")
    assert run(tiny_data, tmp_path / "run").trained


def test_a_run_folder_is_named_after_all_that_changes_the_training():
    """Readable first, then a hash: so a second trial gets a folder of its own, and the same command finds its run."""
    demo, own = {"fingerprint": "a1", "demo": {}}, {"fingerprint": "b2"}

    def name(info=demo, **options):
        return TrainOptions(**{"data": Path("music/My Songs"), **options}).folder(info).as_posix()

    readable = {
        name(): "runs/demo-alpha0.02-",
        name(limit=300): "runs/demo-alpha0.02-limit300-",
        name(alpha=1e-3, seed=2, alignment_loss="infonce", epochs=0.5): "runs/demo-alpha0.001-infonce-epochs0.5-seed2-",
        name(no_music=True, recipe="paper"): "runs/demo-paper-no-music-",
        name(own, recipe="tiny"): "runs/My-Songs-",
    }
    assert all(found.startswith(start) for found, start in readable.items())
    others = ({"lr": 1e-4}, {"min_votes": 2}, {"music_encoder": Path("demo")}, {"patience": 3})
    names = [*readable, name({**demo, "fingerprint": "c3"}), *(name(**one) for one in others)]
    assert len(set(names)) == len(names)
    assert name() == name(device="cpu", report_to=None, resume=True, data=Path("b"))
    assert name(out=Path("x")) == "x"


def test_devices():
    assert choose_device("cpu") == "cpu"
    assert choose_device("auto") in ("cpu", "cuda", "mps")
    with pytest.raises(OptionError, match="--device tpu is not available here"):
        choose_device("tpu")
