"""RecapTrainer: the stock Seq2SeqTrainer with losses that are exact on any layout, and checkpoints that are whole."""

import math
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from safetensors import SafetensorError
from torch import Tensor, distributed, nn
from transformers import (
    PrinterCallback,
    Seq2SeqTrainer,
    Seq2SeqTrainingArguments,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from recap_cli.corpus.dataset import SongDataset
from recap_cli.errors import DataError, ModelError, OptionError
from recap_cli.model.captioner import RecapForCaptioning
from recap_cli.processor import RecapProcessor
from recap_cli.progress import Progress
from recap_cli.runtime.device import choose_device
from recap_cli.runtime.run_folder import read_log
from recap_cli.training.batches import LengthGrouped, RunningLosses, gather, mark_aligned_rows, split_batch
from recap_cli.training.checkpoints import STATE_FILE, read_seal, write_seal
from recap_cli.training.validation import Validation

NO_NUMBER = "a lower --lr in another --out; the newest checkpoint is from before"


def training_arguments(
    folder: Path, batch_size: int, accumulate: int = 1, device: str = "auto", **more: Any
) -> Seq2SeqTrainingArguments:
    """Returns the Trainer's arguments that all trainings share: AdamW, linear decay, gradients clipped at 1, silent.

    Args:
        folder: where checkpoints go; nothing is written when none are asked for.
        batch_size: examples a step, over all processes and accumulated batches.
        accumulate: batches that a step is made of.
        device: auto, cpu, cuda or mps.
        **more: the Trainer's own arguments, which join these or replace them.
    """
    shared: dict[str, Any] = {
        "lr_scheduler_type": "linear",
        "warmup_steps": 0.1,  # a share of the steps
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
    }
    return Seq2SeqTrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=process_batch_size(batch_size, accumulate),
        gradient_accumulation_steps=accumulate,
        use_cpu=choose_device(device) == "cpu",
        **(shared | more),
    )


def process_batch_size(batch_size: int, accumulate: int) -> int:
    """Returns the examples that a process takes at a time.

    Raises:
        OptionError: the batch cannot be divided evenly.
    """
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    if batch_size % (processes * accumulate):
        raise OptionError(
            f"--batch-size {batch_size} cannot be shared by {processes} processes and {accumulate} accumulated batches",
            f"choose a multiple of {processes * accumulate}",
        )
    return batch_size // (processes * accumulate)


def leave_processes() -> None:
    """Ends this process's part in a distributed training; without it, a thread of the process group may abort."""
    if distributed.is_available() and distributed.is_initialized():
        PartialState().wait_for_everyone()
        distributed.destroy_process_group()


class ProgressCallback(TrainerCallback):
    """Reports the Trainer's steps to a Progress."""

    def __init__(self, progress: Progress, task: str) -> None:
        self.progress = progress
        self.task = task
        self.began, self.first = 0.0, 0

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Opens the bar."""
        self.began, self.first = time.monotonic(), state.global_step
        self.progress.start(self.task, state.max_steps, state.global_step)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Moves the bar by one step."""
        seconds = max(time.monotonic() - self.began, 1e-6)
        examples = args.train_batch_size * args.gradient_accumulation_steps * args.world_size
        rate = (state.global_step - self.first) * examples / seconds
        epoch = min(int(state.epoch or 0) + 1, state.num_train_epochs)
        self.progress.advance(note=f"epoch {epoch}/{state.num_train_epochs}, {rate:.0f} examples/s")

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Closes the bar."""
        self.progress.finish()


class RecapTrainer(Seq2SeqTrainer):
    """Trains a captioner.

    L_cap is the mean over the label tokens of the whole step and L_contrast the mean over its songs, whether the step
    is one batch, several accumulated ones, cut into micro-batches, or spread over processes. InfoNCE's negatives come
    from the micro-batch, over all processes.

    Args:
        validation: stands in for the stock evaluation.
        processor: saved beside the model.
        micro_batch_tokens: budget of `split_batch`; 0 cuts nothing.
        optimizer_class: an optimiser's class and settings, in place of the one that the arguments name.
        run: fingerprint of the run's options, which seals its checkpoints.
        **arguments: the stock trainer's.
    """

    model: RecapForCaptioning
    train_dataset: SongDataset

    def __init__(
        self,
        *,
        validation: Validation,
        processor: RecapProcessor,
        micro_batch_tokens: int = 0,
        optimizer_class: tuple[type[torch.optim.Optimizer], dict[str, Any]] | None = None,
        run: str = "",
        **arguments: Any,
    ) -> None:
        super().__init__(**arguments)
        # Losses are the whole step's already; transformers 5.4 would have accelerate divide them once more.
        self.accelerator.gradient_accumulation_steps = 1
        self.optimizer_cls_and_kwargs = optimizer_class
        self.validation, self.processor = validation, processor
        self.micro_batch_tokens, self.run = micro_batch_tokens, run
        self.losses = RunningLosses()
        self.began = time.monotonic()
        self.songs_in_step: int | None = None
        self.gradient_norm: Tensor | float = 0.0  # of the last step, before clipping; stays on its device
        self.sampler: LengthGrouped | None = None
        self.remove_callback(PrinterCallback)  # a Progress reports instead
        self.add_callback(EpochOrder(self))

    def _get_train_sampler(self, train_dataset: Any = None) -> LengthGrouped:
        size = self.args.train_batch_size * self.args.gradient_accumulation_steps * self.args.world_size
        self.sampler = LengthGrouped(self.train_dataset.lengths(), size, self.args.seed)
        return self.sampler

    def get_batch_samples(self, epoch_iterator: Any, num_batches: int, device: torch.device) -> Any:
        """Collects a step's batches; counts its label tokens, as the stock trainer does, and its songs."""
        batches, tokens = super().get_batch_samples(epoch_iterator, num_batches, device)
        self.losses.steps += 1
        self.songs_in_step = None
        if batches and "song_ids" in batches[0]:
            self.songs_in_step = mark_aligned_rows(batches, lambda own: (gather(own.cpu()), self.args.process_index))
        return batches, tokens

    def training_step(self, model: nn.Module, inputs: dict[str, Any], num_items_in_batch: Any = None) -> Tensor:
        """Runs a batch forward and backward, in micro-batches under the token budget."""
        parts = split_batch(inputs, self.micro_batch_tokens)
        total = torch.zeros((), device=self.args.device)
        for place, part in enumerate(parts, start=1):
            last = place == len(parts)
            with nullcontext() if last else self.accelerator.no_sync(model):
                total += super().training_step(model, part, num_items_in_batch)
        return total

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """Notes the parts of the loss on the way; stops where it is no number."""
        if self.songs_in_step is not None:
            inputs = {**inputs, "num_songs_in_batch": self.songs_in_step}
        loss, outputs = super().compute_loss(model, inputs, True, num_items_in_batch)
        if not torch.isfinite(loss):
            raise ModelError(f"the loss is {float(loss.detach())} at step {self.state.global_step}", NO_NUMBER)
        self.losses.add(outputs)
        return (loss, outputs) if return_outputs else loss

    def _clip_grad_norm(self, model: nn.Module) -> Any:
        """Clips as the stock trainer does; a probe's projection is left out, so that captions do not depend on it."""
        if self.model.config.alignment_probe:
            own = [one for name, one in self.model.named_parameters() if not name.startswith("alignment.")]
            norm = self.accelerator.clip_grad_norm_(own, self.args.max_grad_norm)
        else:
            norm = super()._clip_grad_norm(model)
        self.gradient_norm = norm
        return norm

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Validates and hands the figures to the callbacks, as the stock evaluation does; stops at NaN."""
        was_training = self.model.training
        self.model.eval()
        figures = self.validation.run()
        self.model.train(was_training)
        if not math.isfinite(loss := figures["caption_loss"]):
            raise ModelError(f"the loss on the validation songs is {loss} at step {self.state.global_step}", NO_NUMBER)
        figures |= self.losses.take()
        metrics = {f"eval_{name}": value for name, value in figures.items()}
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """Writes a checkpoint; its last file seals it.

        Raises:
            DataError: the disk refuses; the checkpoint before it stays.
            ModelError: a weight is NaN or infinite, so that nothing could resume from here.
        """
        step, output = self.state.global_step, Path(str(self.args.output_dir))
        if not all(bool(torch.isfinite(one).all()) for one in self.model.parameters()):
            raise ModelError(f"a weight is no number any more at step {step}", NO_NUMBER)
        folder = output / f"checkpoint-{step}"
        try:
            super()._save_checkpoint(model, trial)
            losses = self.losses.to_json()  # processes meet here, so all have written their parts
            if self.args.should_save:
                write_seal(folder, self.run, step, losses, read_log(output.parent))
        except DataError:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        except (OSError, SafetensorError, RuntimeError) as error:
            shutil.rmtree(folder, ignore_errors=True)
            reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
            reason = "it could not be written whole" if "unexpected pos" in reason else reason  # as torch says it
            raise DataError(f"cannot write {folder}: {reason}", "is the disk full? start again to resume") from error

    def train_from(self, checkpoint: str | None) -> None:
        """Trains from the beginning, or from a whole checkpoint.

        Raises:
            ModelError: the checkpoint is of another architecture, or the GPU's memory is too small.
        """
        if checkpoint is not None:
            with loading(checkpoint, STATE_FILE):
                self.losses.restore(read_seal(Path(checkpoint) / STATE_FILE)["losses"])
            with loading(checkpoint, "trainer_state.json"):
                TrainerState.load_from_json(str(Path(checkpoint) / "trainer_state.json"))
        try:
            self.train(resume_from_checkpoint=checkpoint)
        except torch.OutOfMemoryError as error:
            raise ModelError(
                f"{self.args.train_batch_size} captions at a time need more memory than the GPU has",
                "--micro-batch-tokens 8192, --accumulate 2 or --gradient-checkpointing in another --out",
            ) from error

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        with loading(resume_from_checkpoint, "model.safetensors"):
            super()._load_from_checkpoint(resume_from_checkpoint, model)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        with loading(checkpoint, "optimizer.pt or scheduler.pt"):
            super()._load_optimizer_and_scheduler(checkpoint)

    def _load_rng_state(self, checkpoint: str | None) -> None:
        with loading(checkpoint, "rng_state.pth"):
            super()._load_rng_state(checkpoint)


@contextmanager
def loading(checkpoint: str | None, name: str) -> Iterator[None]:
    """Says which part of a checkpoint does not fit the run, though its seal is whole.

    The Trainer reads what torch pickled with `weights_only`, so that a part that someone planted runs no code.
    """
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        if checkpoint is None:
            raise
        hint = "delete the run's folder, or choose another --out"
        if "size mismatch" in str(error):
            raise ModelError(f"{checkpoint} is of another architecture", hint) from error
        reason = str(error).partition("\n")[0]
        raise ModelError(f"{checkpoint}: {name} cannot be loaded: {reason}", hint) from error


class EpochOrder(TrainerCallback):
    """Tells the sampler which epoch it is, also where a run resumes in the middle of one."""

    def __init__(self, trainer: RecapTrainer) -> None:
        self.trainer = trainer

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Sets the sampler's epoch."""
        if self.trainer.sampler is not None:
            # A resumed epoch is a fraction that rounding may leave just below the whole number.
            self.trainer.sampler.epoch = int((state.epoch or 0) + 1e-6)
