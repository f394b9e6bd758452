"""Train a captioner on a prepared data folder, on the stock Seq2SeqTrainer."""

import json
import math
import shutil
import time
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list
from safetensors import SafetensorError

from recap_cli import __version__
from recap_cli.corpus.dataset import PreparedData, SongCollator, SongDataset
from recap_cli.corpus.mel_cache import fingerprint
from recap_cli.corpus.shards import ShardReader
from recap_cli.errors import DataError, OptionError
from recap_cli.files import cannot_write, replace_atomically, write_json
from recap_cli.model.captioner import RecapForCaptioning
from recap_cli.processor import IGNORED, RecapProcessor
from recap_cli.progress import Progress, SilentProgress
from recap_cli.runtime.device import choose_device
from recap_cli.runtime.music_cache import cache_features
from recap_cli.runtime.run_folder import FIGURES_FILE, begin_run, hold_run, read_figures, read_log
from recap_cli.training.arguments import ProgressCallback, silence, training_arguments
from recap_cli.training.checkpoints import choose_checkpoint
from recap_cli.training.gradient_ratio import GradientBalance
from recap_cli.training.initial_model import Source, build_model, find_source
from recap_cli.training.interventions import Music
from recap_cli.training.options import TrainOptions
from recap_cli.training.requirements import check_micro_batches, check_needs, validation_songs
from recap_cli.training.trainer import RecapTrainer, optimizer_arguments
from recap_cli.training.validation import Validation
from recap_cli.training.validation_callback import EpochReport, best_record, load_best

# Tokens of a micro-batch on a CPU for models of BART's size, where smaller pieces fit its caches and waste no pads.
CPU_MICRO_BATCH_TOKENS = 2048
WIDE = 512
# Options that do not make another run of it.
NOT_OF_THE_RUN = ("out", "data", "device", "resume", "report_to")


@dataclass(frozen=True)
class TrainResult:
    """A finished run.

    Attributes:
        out: its folder, a model for `from_pretrained`.
        settings: every setting it was trained with.
        figures: best validation figures and the epoch they belong to.
        log: one record an epoch.
        data: what is known of its data.
        trained: False when the run was finished before and nothing was done.
        writes: whether this process is the one that writes and prints, of several.
        validation_share: share of the time that validation took.
    """

    out: Path
    settings: dict[str, Any]
    figures: dict[str, Any]
    log: list[dict[str, Any]] = field(default_factory=list)
    data: dict[str, Any] = field(default_factory=dict)
    trained: bool = True
    writes: bool = True
    validation_share: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """The result as plain values."""
        values = {"run": str(self.out), "settings": self.settings, "figures": self.figures, "log": self.log}
        return {**values, "validation_share": round(self.validation_share, 3)}


def train(options: TrainOptions, progress: Progress | None = None) -> TrainResult:
    """Train a run, or go on with one that was interrupted.

    Raises:
        DataError: the data folder cannot be used.
        ModelError: weights cannot be used, or the loss turned into NaN.
        OptionError: a setting is impossible, or the folder holds another run.
    """
    state = PartialState(cpu=choose_device(options.device) == "cpu")
    progress = progress if progress and state.is_main_process else SilentProgress()
    data, settings, source = look_ahead(options, progress)
    out = options.out or Path("runs") / run_name(options, settings)
    # The first process holds the folder for all of its run.
    held = hold_run(out, inputs_of(options, source)) if state.is_main_process else nullcontext()
    with held:
        with state.main_process_first():
            finished = begin_run(out, run_record(options, settings, data) | source.record)
        if finished:
            figures = read_figures(out)
            return TrainResult(out, settings, figures, read_log(out), data.info, False, state.is_main_process)
        return train_run(options, data, settings, source, out, progress)


def look_ahead(options: TrainOptions, progress: Progress) -> tuple[PreparedData, dict[str, Any], Source]:
    """Gives a run's data, settings and source, when all that can be refused beforehand has been.

    Raises:
        RecapError: the run cannot be.
    """
    data = PreparedData(options.data)
    for note in data.notes:
        progress.say(note)
    settings = options.settings(data.is_demo)
    source = find_source(settings, options.init, progress)
    check_needs(source, settings, options, data)
    return data, settings, source


def inputs_of(options: TrainOptions, source: Source) -> list[Path]:
    """Gives what a run reads, in whose place no output may go."""
    return [path for path in (options.data, source.folder, options.music_encoder) if path is not None]


def train_run(
    options: TrainOptions, data: PreparedData, settings: dict[str, Any], source: Source, out: Path, progress: Progress
) -> TrainResult:
    """Train in a folder that is held, from its newest checkpoint where there is one."""
    state = PartialState()
    run = fingerprint(run_record(options, settings, data))
    checkpoint = find_checkpoint(out, run, settings["best_by"], options, progress)
    if state.num_processes > 1:
        progress.say(f"{state.num_processes} processes share each step of {settings['batch_size']} captions.")
    model, processor = build_model(source, options, settings, data, progress)
    with state.main_process_first():
        music, kind = choose_music(model, data, options, progress)
    trainer = build_trainer(model, processor, options, settings, data, out, progress, music, kind)
    if (trainer.micro_batch_tokens or options.accumulate > 1) and settings["alignment_loss"].startswith("infonce"):
        progress.say("InfoNCE's negatives come from each micro-batch, not from the whole batch.")
    silence(trainer).train_from(checkpoint)
    return finish_run(trainer, out, settings, data)


def find_checkpoint(out: Path, run: str, best_by: str, options: TrainOptions, progress: Progress) -> str | None:
    """Find where an interrupted run goes on; the first process looks for all.

    Raises:
        OptionError: `--resume` was asked for and there is nothing to go on with.
    """
    found: list[str | None] = [None]
    if PartialState().is_main_process:
        path = choose_checkpoint(out, run, partial(best_record, best_by=best_by), progress, anew=not options.resume)
        found = [str(path) if path else None]
    (checkpoint,) = broadcast_object_list(found)
    if options.resume and checkpoint is None:
        raise OptionError(f"--resume: {out} holds no checkpoint to go on with", "leave --resume out to begin")
    return checkpoint


def run_name(options: TrainOptions, settings: Mapping[str, Any]) -> str:
    """Name a run after what sets it apart."""
    if options.no_music:
        return f"{settings['recipe']}-bart-seed-{options.seed}"
    loss = "" if settings["alignment_loss"] == "positive" else f"-{settings['alignment_loss']}"
    return f"{settings['recipe']}-alpha-{settings['alpha']:g}{loss}-seed-{options.seed}"


def run_record(options: TrainOptions, settings: Mapping[str, Any], data: PreparedData) -> dict[str, Any]:
    """What makes a run: it is written to `options.json` and compared before a run goes on."""
    own = {name: value for name, value in options.to_json().items() if name not in NOT_OF_THE_RUN}
    record = {"recap": __version__, **own, **settings, "data_fingerprint": data.fingerprint}
    return json.loads(json.dumps(record))


def build_trainer(
    model: RecapForCaptioning,
    processor: RecapProcessor,
    options: TrainOptions,
    settings: Mapping[str, Any],
    data: PreparedData,
    out: Path,
    progress: Progress,
    music: Music | ShardReader | None,
    kind: str,
) -> RecapTrainer:
    """Set up the Trainer with its data, validation and callbacks."""
    songs = options.study.training_songs(data.split("train")[: options.limit])
    captioned = options.study.captioned_songs
    dataset = SongDataset(songs, processor, music, min_votes=options.min_votes, captioned=captioned)
    if not dataset.has_captions():
        raise DataError(f"{data.folder} has no captions to learn from", "the train split needs captions")
    collate = choose_collator(dataset, processor, kind, settings)
    optimizer = optimizer_arguments(settings["optimizer"], settings["lr"])
    arguments = trainer_arguments(options, settings, len(dataset), out, **optimizer["args"])
    validation = Validation(model, processor, validation_songs(data, settings, options), music, kind)
    balance = None
    if model.alignment is not None and not model.config.constant_music and settings["alignment_loss"] != "none":
        balance = GradientBalance(model, collate([dataset[row] for row in range(min(len(dataset), 16))]))
    run = fingerprint(run_record(options, settings, data))
    report = EpochReport(
        progress,
        out,
        validation,
        settings["best_by"],
        options.patience,
        balance,
        options.report_to == "tensorboard",
        run,
    )
    return RecapTrainer(
        model=model,
        args=arguments,
        train_dataset=dataset,
        eval_dataset=validation.dataset,
        data_collator=collate,
        callbacks=[ProgressCallback(progress, "Training"), report],
        validation=validation,
        processor=processor,
        run=run,
        micro_batch_tokens=choose_micro_batch_tokens(model, options, settings),
        **optimizer["trainer"],
    )


def choose_collator(
    dataset: SongDataset, processor: RecapProcessor, kind: str, settings: Mapping[str, Any]
) -> SongCollator:
    """Pad as the recipe does: to each batch's longest, or to the corpus's longest as the public code."""
    longest = dataset.lengths().max(axis=0).tolist() if settings["padding"] == "corpus" else (0, 0)
    padding = processor.tokenizer.pad_token_id if settings["pads_in_loss"] else IGNORED
    return SongCollator(processor, kind, padding, (int(longest[0]), int(longest[1])))


def choose_micro_batch_tokens(model: RecapForCaptioning, options: TrainOptions, settings: Mapping[str, Any]) -> int:
    """Give the token budget of a micro-batch; 0 leaves batches whole.

    Raises:
        OptionError: InfoNCE gathers from all processes, which must meet in every micro-batch.
    """
    infonce = settings["alignment_loss"].startswith("infonce")
    if options.micro_batch_tokens and infonce:
        check_micro_batches()
    if options.micro_batch_tokens is not None:
        return options.micro_batch_tokens
    apart = settings["pads_in_loss"] or infonce
    small = choose_device(options.device) != "cpu" or model.config.d_model < WIDE
    return 0 if apart or small else CPU_MICRO_BATCH_TOKENS


def trainer_arguments(options: TrainOptions, settings: Mapping[str, Any], examples: int, out: Path, **more: Any) -> Any:
    """Translate options and recipe into the Trainer's arguments."""
    steps = math.ceil(examples / settings["batch_size"])
    validate = max(1, round(steps * options.validate_every))
    device = choose_device(options.device)
    half = device == "cuda" and torch.cuda.is_bf16_supported() if options.precision == "auto" else None
    return training_arguments(
        out / "checkpoints",
        seed=options.seed,
        batch_size=settings["batch_size"],
        lr=settings["lr"],
        epochs=settings["epochs"],
        warmup=settings["warmup"],
        device=options.device,
        accumulate=options.accumulate,
        adam_beta2=settings["adam_beta2"],
        weight_decay=settings["weight_decay"],
        lr_scheduler_type=settings["schedule"],
        bf16=options.precision == "bf16" if half is None else half,
        torch_compile=options.compile,
        eval_strategy="steps",
        eval_steps=validate,
        save_strategy="steps",
        save_steps=options.checkpoint_every or validate,
        save_total_limit=2,
        ddp_find_unused_parameters=settings["alpha"] == 0 or settings["alignment_loss"] == "none",
        **({"gradient_checkpointing": True} if options.gradient_checkpointing else {}),
        **more,
    )


def choose_music(
    model: RecapForCaptioning, data: PreparedData, options: TrainOptions, progress: Progress
) -> tuple[Music | ShardReader | None, str]:
    """Give the music of a run: cached states of a frozen encoder, mels for a trained one, or nothing.

    With `standardise_music`, the training songs' pooled states give mean and deviation.
    """
    encoder = model.model.encoder.music_encoder
    if encoder is None:
        return None, ""
    if options.train_music_encoder:
        return data.mels, "mel"
    states = options.study.states(cache_features(data, encoder, progress, choose_device(options.device)), data)
    if model.alignment is not None and model.config.standardise_music:
        pooled = [states[entry.mel].mean(axis=0, dtype=np.float32) for entry in data.split("train")]
        model.alignment.fit_standard(torch.from_numpy(np.stack(pooled)))
    return states, "states"


def finish_run(trainer: RecapTrainer, out: Path, settings: dict[str, Any], data: PreparedData) -> TrainResult:
    """Save the best model with its processor; `figures.json` comes last and says that the run is finished.

    Raises:
        DataError: the disk refuses; started again, the run is saved from its last checkpoint.
    """
    log = read_log(out)
    best = best_record(log, settings["best_by"])
    state = PartialState()
    figures = {
        "best": {name: value for name, value in best.items() if name != "sample"},
        "sample": best["sample"],
        "steps": trainer.state.global_step,
    }
    share = trainer.validation.seconds / max(time.monotonic() - trainer.began, 1e-9)
    result = TrainResult(out, settings, figures, log, data.info, True, state.is_main_process, share)
    if not state.is_main_process:
        return result
    load_best(trainer.model, out, trainer.run, best["step"])
    trainer.model.generation_config.num_beams = settings["beams"]
    if settings["sample"]:
        trainer.model.generation_config.update(do_sample=True, top_p=settings["top_p"])
    weights = out / "model.safetensors"
    try:
        trainer.model.save_pretrained(out)
        with replace_atomically(weights) as whole:  # safetensors writes for its owner only; the umask decides
            weights.replace(whole)
        trainer.processor.save_pretrained(out)
    except (OSError, SafetensorError) as error:
        weights.unlink(missing_ok=True)
        raise cannot_write(out, error) from error
    write_json(out / FIGURES_FILE, figures)
    for folder in ("checkpoints", "best"):
        shutil.rmtree(out / folder, ignore_errors=True)
    return result
