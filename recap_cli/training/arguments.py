"""What every training shares: the Trainer's arguments and a callback that reports to a Progress."""

import os
import time
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from torch import distributed
from transformers import PrinterCallback, Seq2SeqTrainingArguments, Trainer, TrainerCallback

from recap_cli.errors import OptionError
from recap_cli.progress import Progress
from recap_cli.runtime.device import choose_device


def training_arguments(
    folder: Path,
    *,
    seed: int,
    batch_size: int,
    lr: float,
    epochs: float,
    warmup: float = 0.1,
    device: str = "auto",
    accumulate: int = 1,
    **more: Any,
) -> Seq2SeqTrainingArguments:
    """Arguments of the Trainer for recap's runs: AdamW, linear decay, gradients clipped at 1, silent.

    Args:
        folder: where checkpoints go; nothing is written when none are asked for.
        seed: of the order of examples and of dropout.
        batch_size: examples a step, over all processes and accumulated batches.
        lr: the highest learning rate.
        epochs: passes over the data.
        warmup: share of the steps in which the rate rises.
        device: auto, cpu, cuda or mps.
        accumulate: batches that a step is made of.
        **more: further arguments of the Trainer.

    Raises:
        OptionError: the batch cannot be shared out evenly.
    """
    share = check_shares(batch_size, accumulate)
    settings: dict[str, Any] = {
        "output_dir": str(folder),
        "seed": seed,
        "data_seed": seed,
        "per_device_train_batch_size": share,
        "gradient_accumulation_steps": accumulate,
        "learning_rate": lr,
        "num_train_epochs": epochs,
        "warmup_steps": warmup,
        "lr_scheduler_type": "linear",
        "weight_decay": 0.01,
        "max_grad_norm": 1.0,
        "eval_strategy": "no",
        "save_strategy": "no",
        "logging_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "remove_unused_columns": False,
        "label_names": ["labels"],
        "dataloader_pin_memory": torch.cuda.is_available(),
        "use_cpu": choose_device(device) == "cpu",
    }
    return Seq2SeqTrainingArguments(**{**settings, **more})


def check_shares(batch_size: int, accumulate: int) -> int:
    """Returns the examples that a process takes at a time.

    Raises:
        OptionError: the batch cannot be shared out evenly.
    """
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    if batch_size % (processes * accumulate):
        raise OptionError(
            f"--batch-size {batch_size} cannot be shared by {processes} processes and {accumulate} accumulated batches",
            f"choose a multiple of {processes * accumulate}",
        )
    return batch_size // (processes * accumulate)


def leave_processes() -> None:
    """Part from the other processes in order; one that just ends may abort in a thread of its process group."""
    if distributed.is_available() and distributed.is_initialized():
        PartialState().wait_for_everyone()
        distributed.destroy_process_group()


class ProgressCallback(TrainerCallback):
    """Reports the Trainer's steps to a Progress; the first process does."""

    def __init__(self, progress: Progress, task: str) -> None:
        self.progress = progress
        self.task = task
        self.began, self.first = 0.0, 0

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Open the bar."""
        self.began, self.first = time.monotonic(), state.global_step
        self.progress.start(self.task, state.max_steps)
        if state.global_step:
            self.progress.advance(state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Move the bar by one step."""
        seconds = max(time.monotonic() - self.began, 1e-6)
        examples = args.train_batch_size * args.gradient_accumulation_steps * args.world_size
        rate = (state.global_step - self.first) * examples / seconds
        epoch = min(int(state.epoch or 0) + 1, state.num_train_epochs)
        self.progress.advance(note=f"epoch {epoch}/{state.num_train_epochs}, {rate:.0f} examples/s")

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Close the bar."""
        self.progress.finish()


def silence(trainer: Trainer) -> Trainer:
    """Take out the Trainer's own printing; ours reports instead."""
    trainer.remove_callback(PrinterCallback)
    return trainer
