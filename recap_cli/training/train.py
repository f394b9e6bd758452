"""Trains a captioner on a prepared data folder, or times a few of its steps, on the stock Seq2SeqTrainer."""

import math
import resource
import shutil
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list
from safetensors import SafetensorError

from recap_cli.files import cannot_write, replace_atomically, write_json
from recap_cli.model.captioner import RecapForCaptioning
from recap_cli.progress import Progress, SilentProgress
from recap_cli.records import SCHEMA
from recap_cli.runtime.device import choose_device
from recap_cli.runtime.run_folder import FIGURES_FILE, begin_run, hold_run, read_figures, read_log
from recap_cli.training.build import build_model, build_trainer, choose_music, choose_verses, draw_model
from recap_cli.training.checkpoints import best_record, choose_checkpoint, load_best
from recap_cli.training.interventions import ComputedStates, Music
from recap_cli.training.options import TrainOptions
from recap_cli.training.plan import RunPlan, check_run, nothing_to_resume
from recap_cli.training.pretrain import STAND_IN_TOKENS, train_tokenizer
from recap_cli.training.trainer import RecapTrainer
from recap_cli.training.validation import Board, EpochReport

MEASURED_STEPS = 4


@dataclass(frozen=True)
class TrainResult:
    """A finished run."""

    out: Path  # its folder, a model for `from_pretrained`
    settings: dict[str, Any]
    figures: dict[str, Any]  # best validation figures, the epoch they belong to, and how many songs were used
    log: list[dict[str, Any]] = field(default_factory=list)  # one record a validation
    data: dict[str, Any] = field(default_factory=dict)  # what is known of its data
    trained: bool = True  # False when the run was finished before and nothing was done
    writes: bool = True  # whether this process is the one that writes and prints, of several
    validation_share: float = 0.0  # of the time

    def to_json(self) -> dict[str, Any]:
        """The result as plain values; its schema is `data/schemas/train.json`."""
        return {
            "schema": SCHEMA,
            "run": str(self.out),
            "settings": self.settings,
            "figures": with_id(self.figures),
            "log": list(map(with_id, self.log)),
            "validation_share": round(self.validation_share, 3),
        }


def with_id(record: dict[str, Any]) -> dict[str, Any]:
    """Returns a record whose sample names its song by `id`, as all our documents do; in logs it is `song`."""
    sample = record["sample"]
    return {**record, "sample": {"id" if name == "song" else name: value for name, value in sample.items()}}


def train(options: TrainOptions, progress: Progress | None = None) -> TrainResult:
    """Trains a run, or resumes one that was interrupted; a finished one is only read.

    Raises:
        DataError: the data folder cannot be used.
        ModelError: weights cannot be used, or the loss turned into NaN.
        OptionError: a setting is impossible, or the folder holds another run.
    """
    state = PartialState(cpu=choose_device(options.device) == "cpu")
    progress = progress if progress and state.is_main_process else SilentProgress()
    plan = check_run(options, progress)
    # The first process holds the folder for all of its run.
    with hold_run(plan.out, plan.inputs):
        with state.main_process_first():
            finished = begin_run(plan.out, plan.signed_record)
        if finished:
            figures, log = read_figures(plan.out), read_log(plan.out)
            return TrainResult(plan.out, plan.settings, figures, log, plan.data.info, False, state.is_main_process)
        return train_run(plan, progress)


def train_run(plan: RunPlan, progress: Progress) -> TrainResult:
    """Trains in a folder that is held, from its newest checkpoint where there is one."""
    state, settings = PartialState(), plan.settings
    checkpoint = find_checkpoint(plan, progress)
    if state.num_processes > 1:
        progress.say(f"{state.num_processes} processes share each step of {settings['batch_size']} captions.")
    model, processor = build_model(plan, progress)
    with state.main_process_first():
        music = choose_music(model, plan, progress)
        verses = choose_verses(model, processor, plan, progress)
    trainer = build_trainer(plan, model, processor, music, plan.out, progress, verses)
    if plan.has_more_epochs:
        epochs, count = settings["epochs"], len(trainer.train_dataset)
        progress.say(f"{count} captions are few: {epochs:g} epochs, so that the model learns to write (--epochs).")
    infonce = settings["alignment_loss"].startswith("infonce")
    if infonce and (trainer.micro_batch_tokens or plan.options.accumulate > 1):
        progress.say("InfoNCE's negatives come from each micro-batch, not from the whole batch.")
    trainer.train_from(checkpoint)
    return finish_run(trainer, plan)


def find_checkpoint(plan: RunPlan, progress: Progress) -> str | None:
    """Returns the checkpoint that an interrupted run resumes from; the first process looks for all."""
    found: list[str | None] = [None]
    if PartialState().is_main_process:
        anew = not plan.options.resume
        path = choose_checkpoint(plan.out, plan.fingerprint, plan.settings["best_by"], progress, anew)
        found = [str(path) if path else None]
    (checkpoint,) = broadcast_object_list(found)
    if plan.options.resume and checkpoint is None:  # one was whole, but the best weights up to it are lost
        raise nothing_to_resume(plan.out)
    return checkpoint


def finish_run(trainer: RecapTrainer, plan: RunPlan) -> TrainResult:
    """Saves the best model with its processor; `figures.json` comes last and says that the run is finished.

    Raises:
        DataError: the disk refuses; started again, the run is saved from its last checkpoint.
    """
    out, settings, log = plan.out, plan.settings, read_log(plan.out)
    best, learned = best_record(log, settings["best_by"]), trainer.train_dataset
    figures = {
        "best": {name: value for name, value in best.items() if name != "sample"},
        "sample": best["sample"],
        "steps": trainer.state.global_step,
        "used": {
            "train": len(learned.songs),
            "captions": sum(place >= 0 and song < learned.captioned for song, place in learned.rows),
            "validation": len(trainer.validation.songs),
        },
    }
    share = trainer.validation.seconds / max(time.monotonic() - trainer.began, 1e-9)
    writes = PartialState().is_main_process
    if writes:
        load_best(trainer.model, out, trainer.run, best["step"])
        save_model(trainer, out, settings)
        write_json(out / FIGURES_FILE, figures)
        for folder in ("checkpoints", "best"):
            shutil.rmtree(out / folder, ignore_errors=True)
    return TrainResult(out, settings, figures, log, plan.data.info, True, writes, share)


def save_model(trainer: RecapTrainer, out: Path, settings: dict[str, Any]) -> None:
    """Saves the model as `from_pretrained` reads it, with the recipe's decoding as its default.

    Raises:
        DataError: the disk refuses; no half-written weights stay.
    """
    generation = trainer.model.generation_config
    assert generation is not None
    generation.num_beams = settings["beams"]
    if settings["sample"]:
        generation.update(do_sample=True, top_p=settings["top_p"])
    weights = out / "model.safetensors"
    try:
        trainer.model.save_pretrained(out)
        with replace_atomically(weights) as whole:  # safetensors writes for its owner only; the umask decides
            weights.replace(whole)
        trainer.processor.save_pretrained(out)
    except (OSError, SafetensorError) as error:
        weights.unlink(missing_ok=True)
        raise cannot_write(out, error) from error


# a dry run ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Estimate:
    """What a training would take."""

    out: str  # its run folder
    music_encoder: str  # where the encoder comes from
    examples: int  # captions to learn from
    steps: int  # optimiser steps in all
    parameters: int  # that are trained
    step_seconds: float  # median
    hours: float  # of all steps, validation not counted
    memory_gb: float  # at the peak, of the process on a CPU, of the card on a GPU
    device: str  # where it was measured
    measured: int  # steps that were measured

    def to_json(self) -> dict[str, Any]:
        """The estimate as plain values."""
        return {"schema": SCHEMA, "dry_run": True, **asdict(self)}


def estimate(options: TrainOptions, progress: Progress | None = None) -> Estimate:
    """Times a few steps of a training on weights drawn at random; encodes no music and writes nothing.

    Raises:
        RecapError: what `train` would raise.
    """
    plan = check_run(options, progress or SilentProgress())
    tokenizer = plan.source.tokenizer or train_tokenizer(plan.data.split("train"), STAND_IN_TOKENS)
    model, processor = draw_model(plan, tokenizer)
    clock = StepClock()
    with tempfile.TemporaryDirectory() as folder:
        music = random_music(plan, model)
        trainer = build_trainer(plan, model, processor, music, Path(folder), clock)
        examples = len(trainer.train_dataset)
        steps = math.ceil(examples / plan.settings["batch_size"])
        trainer.args.max_steps = min(MEASURED_STEPS, steps)
        trainer.args.eval_strategy = trainer.args.save_strategy = "no"
        for told in (EpochReport, Board):
            trainer.remove_callback(told)
        trainer.train()
    steps_taken = np.diff(clock.times)
    seconds = float(np.median(steps_taken[1:] if len(steps_taken) > 1 else steps_taken))  # the first one warms up
    total = math.ceil(steps * plan.settings["epochs"])
    device = choose_device(options.device)
    return Estimate(
        out=str(plan.out),
        music_encoder=plan.encoder_words,
        examples=examples,
        steps=total,
        parameters=sum(one.numel() for one in model.parameters() if one.requires_grad),
        step_seconds=seconds,
        hours=seconds * total / 3600,
        memory_gb=peak_memory(device) / 1e9,
        device=device,
        measured=len(steps_taken),
    )


def random_music(plan: RunPlan, model: RecapForCaptioning) -> Music | None:
    """Returns what stands for a run's music: mels, states that the data have, or random ones [steps, width]."""
    if plan.data.states is not None and plan.music_kind:
        return plan.data.states
    shapes, encoder = plan.data.mels.shapes, model.model.encoder.music_encoder

    def draw(key: str) -> np.ndarray:
        steps = encoder.steps(shapes[key][1])
        return np.random.default_rng(0).standard_normal((steps, encoder.width), dtype=np.float32)

    return {"": None, "mel": plan.data.mels, "states": ComputedStates(draw)}[plan.music_kind]


class StepClock(SilentProgress):
    """Notes when training began and when each step ended."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def start(self, task: str, total: int | None = None, done: int = 0) -> None:
        """Notes the beginning."""
        self.times.append(time.monotonic())

    def advance(self, count: int = 1, note: str = "") -> None:
        """Notes the end of a step."""
        self.times.append(time.monotonic())


def peak_memory(device: str) -> int:
    """Returns bytes at the peak: of the process, or of the card."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
