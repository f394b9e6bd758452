"""What a training would take: a few of its real steps, timed, on weights drawn at random."""

import resource
import statistics
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import TrainerCallback, set_seed

from recap_cli.corpus.dataset import PreparedData
from recap_cli.errors import OptionError
from recap_cli.model.captioner import RecapForCaptioning
from recap_cli.model.config import RecapConfig
from recap_cli.model.music_encoder import TIME_STRIDE
from recap_cli.processor import RecapProcessor
from recap_cli.progress import Progress, SilentProgress
from recap_cli.runtime.device import choose_device
from recap_cli.runtime.run_folder import check_run_folder
from recap_cli.training.arguments import silence
from recap_cli.training.checkpoints import list_checkpoints
from recap_cli.training.initial_model import Source, recap_config
from recap_cli.training.options import TrainOptions
from recap_cli.training.pretrain import train_tokenizer
from recap_cli.training.train import build_trainer, inputs_of, look_ahead, run_name, run_record
from recap_cli.training.validation_callback import EpochReport

MEASURED_STEPS = 4


@dataclass(frozen=True)
class Estimate:
    """What a training would take.

    Attributes:
        examples: captions to learn from.
        steps: optimiser steps in all.
        parameters: parameters that are trained.
        step_seconds: median seconds of a step.
        hours: of all steps, validation not counted.
        memory_gb: peak memory in GB, of the process on a CPU, of the card on a GPU.
        device: where it was measured.
        measured: steps that were measured.
    """

    examples: int
    steps: int
    parameters: int
    step_seconds: float
    hours: float
    memory_gb: float
    device: str
    measured: int

    def to_json(self) -> dict[str, Any]:
        """The estimate as plain values."""
        return asdict(self)


class RandomStates:
    """Stands for cached music states: right in shape, drawn at random."""

    def __init__(self, data: PreparedData, width: int) -> None:
        self.shapes, self.width = data.mels.shapes, width

    def __getitem__(self, key: str) -> np.ndarray:
        """Give [1 + steps, width] for a mel's key."""
        steps = 1 + -(-self.shapes[key][1] // TIME_STRIDE)
        return np.random.default_rng(0).standard_normal((steps, self.width), dtype=np.float32)


class StepTimer(TrainerCallback):
    """Notes when each step began and ended."""

    def __init__(self) -> None:
        self.began, self.seconds = 0.0, list[float]()

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Start the clock."""
        self.began = time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Stop it."""
        self.seconds.append(time.monotonic() - self.began)


def estimate(options: TrainOptions, progress: Progress | None = None) -> Estimate:
    """Time a few steps of a training without loading weights, encoding music or writing anything.

    Raises:
        RecapError: what `train` would raise.
    """
    data, settings, source = look_ahead(options, progress or SilentProgress())
    out = options.out or Path("runs") / run_name(options, settings)
    check_run_folder(out, run_record(options, settings, data) | source.record, inputs_of(options, source))
    if options.resume and not list_checkpoints(out / "checkpoints"):
        raise OptionError(f"--resume: {out} holds no checkpoint to go on with", "leave --resume out to begin")
    model, processor = draw_model(source, options, settings, data)
    kind = "" if options.no_music else "mel" if options.train_music_encoder else "states"
    music: Any = {"": None, "mel": data.mels}.get(kind, RandomStates(data, model.config.music_sizes.width))
    timer = StepTimer()
    with tempfile.TemporaryDirectory() as folder:
        trainer = build_trainer(model, processor, options, settings, data, Path(folder), SilentProgress(), music, kind)
        steps = -(-len(trainer.train_dataset) // settings["batch_size"])
        trainer.args.max_steps = min(MEASURED_STEPS, steps)
        trainer.args.eval_strategy = trainer.args.save_strategy = "no"
        trainer.remove_callback(EpochReport)
        trainer.add_callback(timer)
        silence(trainer).train()
    seconds = statistics.median(timer.seconds[1:] or timer.seconds)
    total = int(np.ceil(steps * settings["epochs"]))
    device = choose_device(options.device)
    return Estimate(
        examples=len(trainer.train_dataset),
        steps=total,
        parameters=sum(one.numel() for one in model.parameters() if one.requires_grad),
        step_seconds=seconds,
        hours=seconds * total / 3600,
        memory_gb=peak_memory(device) / 1e9,
        device=device,
        measured=len(timer.seconds),
    )


def draw_model(
    source: Source, options: TrainOptions, settings: dict[str, Any], data: PreparedData
) -> tuple[RecapForCaptioning, RecapProcessor]:
    """Draw a model of the run's size at random; the stand-in BART's tokenizer is made of the data."""
    tokenizer = source.tokenizer or train_tokenizer(data.split("train"), 1600)
    tiny = RecapConfig.tiny(len(tokenizer)).music_sizes
    full = RecapConfig().music_sizes
    sizes = source.config.music_sizes if source.is_run else tiny if settings["recipe"] == "tiny" else full
    config = recap_config(source.config, settings, options, None if options.no_music else sizes)
    if source.tokenizer is None:
        config.vocab_size = len(tokenizer)
    set_seed(options.seed)
    limit = config.max_position_embeddings
    lengths = (min(settings[name], limit) for name in ("max_lyrics_tokens", "max_caption_tokens"))
    return RecapForCaptioning(config), RecapProcessor(tokenizer, data.audio, *lengths)


def peak_memory(device: str) -> int:
    """Bytes at the peak: of the process, or of the card."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
