"""RecapTrainer: the stock Seq2SeqTrainer with losses that are exact on any layout, and checkpoints that are whole."""

import math
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor
from transformers import Adafactor, Seq2SeqTrainer, TrainerCallback, TrainerState

from recap_cli.errors import DataError, ModelError
from recap_cli.processor import RecapProcessor
from recap_cli.runtime.run_folder import read_log
from recap_cli.training.batches import LengthGrouped, mark_aligned_rows, split_batch
from recap_cli.training.checkpoints import STATE_FILE, read_seal, write_seal
from recap_cli.training.validation import Validation, gather, process

NO_NUMBER = "a lower --lr in another --out; the newest checkpoint is from before"


class RunningLosses:
    """The parts of the loss since the last validation, summed over steps."""

    def __init__(self) -> None:
        self.steps = 0
        self.sums: dict[str, Tensor | float] = {}

    def add(self, outputs: Any) -> None:
        """Note the parts of a micro-batch; over a step they add up to its loss."""
        for name in ("caption_loss", "alignment_loss"):
            value = getattr(outputs, name, None)
            if value is not None:
                self.sums[name] = self.sums.get(name, 0.0) + value.detach().double()

    def to_json(self) -> dict[str, Any]:
        """The sums as plain values, over all processes, which meet here."""
        shares = gather({name: float(value) for name, value in self.sums.items()})
        return {"steps": self.steps, "sums": {name: sum(share[name] for share in shares) for name in shares[0]}}

    def restore(self, record: dict[str, Any]) -> None:
        """Go on from the sums of a checkpoint, which the first process takes over."""
        first = process()[0] == 0
        self.steps = record["steps"]
        self.sums = {name: value if first else 0.0 for name, value in record["sums"].items()}

    def take(self) -> dict[str, float]:
        """Give the means per step and begin anew."""
        means = {f"train_{name}": float(value) / max(self.steps, 1) for name, value in self.sums.items()}
        self.steps, self.sums = 0, {}
        return means


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

    def __init__(
        self,
        *,
        validation: Validation,
        processor: RecapProcessor,
        micro_batch_tokens: int = 0,
        optimizer_class: tuple[Any, dict[str, Any]] | None = None,
        run: str = "",
        **arguments: Any,
    ) -> None:
        super().__init__(**arguments)
        self.optimizer_cls_and_kwargs = optimizer_class
        self.validation, self.processor = validation, processor
        self.micro_batch_tokens, self.run = micro_batch_tokens, run
        self.losses = RunningLosses()
        self.began = time.monotonic()
        self.songs_in_step: int | None = None
        self.sampler: LengthGrouped | None = None
        self.control: Any
        self.add_callback(EpochOrder(self))

    def _get_train_sampler(self, train_dataset: Any = None) -> LengthGrouped:
        size = self.args.train_batch_size * self.args.gradient_accumulation_steps * self.args.world_size
        self.sampler = LengthGrouped(self.train_dataset.lengths(), size, self.args.seed)
        return self.sampler

    def get_batch_samples(self, epoch_iterator: Any, num_batches: int, device: torch.device) -> Any:
        """Collect a step's batches; count its label tokens, as the stock trainer does, and its songs."""
        batches, tokens = super().get_batch_samples(epoch_iterator, num_batches, device)
        self.losses.steps += 1
        self.songs_in_step = None
        if batches and "song_ids" in batches[0]:
            self.songs_in_step = mark_aligned_rows(batches, lambda own: (gather(own.cpu()), self.args.process_index))
        return batches, tokens

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> Tensor:
        """Run a batch forward and backward, in micro-batches under the token budget."""
        parts = split_batch(inputs, self.micro_batch_tokens)
        total = torch.zeros((), device=self.args.device)
        for place, part in enumerate(parts, start=1):
            last = place == len(parts)
            with nullcontext() if last else self.accelerator.no_sync(model):
                total += super().training_step(model, part, num_items_in_batch)
        return total

    def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, **kwargs: Any) -> Any:
        """Note the parts of the loss on the way; stop where it is no number.

        Raises:
            ModelError: the loss is NaN or infinite.
        """
        if self.songs_in_step is not None:
            inputs = {**inputs, "num_songs_in_batch": self.songs_in_step}
        loss, outputs = super().compute_loss(model, inputs, True, **kwargs)
        if not torch.isfinite(loss):
            raise ModelError(f"the loss is {float(loss.detach())} at step {self.state.global_step}", NO_NUMBER)
        self.losses.add(outputs)
        return (loss, outputs) if return_outputs else loss

    def _clip_grad_norm(self, model: Any) -> Any:
        """Clip as the stock trainer does; a probe's projection is left out, so that captions do not depend on it."""
        if not self.model.config.alignment_probe:
            return super()._clip_grad_norm(model)
        own = [one for name, one in self.model.named_parameters() if not name.startswith("alignment.")]
        return self.accelerator.clip_grad_norm_(own, self.args.max_grad_norm)

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Validate and hand the figures to the callbacks, as the stock evaluation does.

        Raises:
            ModelError: the loss is NaN or infinite.
        """
        was_training = self.model.training
        self.model.eval()
        figures = self.validation.run()
        self.model.train(was_training)
        if not math.isfinite(loss := figures["caption_loss"]):
            raise ModelError(f"the loss on the validation songs is {loss} at step {self.state.global_step}", NO_NUMBER)
        shares = gather(self.losses.take())  # the processes' shares of each step's loss add up to it
        figures |= {name: sum(share[name] for share in shares) for name in shares[0]}
        metrics = {f"eval_{name}": value for name, value in figures.items()}
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """Write a checkpoint; its last file seals it.

        Raises:
            DataError: the disk refuses; the checkpoint before it stays.
            ModelError: a weight is NaN or infinite, so that nothing could go on from here.
        """
        if not all(bool(torch.isfinite(one).all()) for one in self.model.parameters()):
            raise ModelError(f"a weight is no number any more at step {self.state.global_step}", NO_NUMBER)
        folder = Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}"
        try:
            super()._save_checkpoint(model, trial)
            losses = self.losses.to_json()  # every process has written its part by then
            if self.args.should_save:
                step = self.state.global_step
                write_seal(folder, self.run, step, losses, read_log(Path(self.args.output_dir).parent))
        except DataError:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        except (OSError, SafetensorError, RuntimeError) as error:
            shutil.rmtree(folder, ignore_errors=True)
            reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
            reason = "it could not be written whole" if "unexpected pos" in reason else reason  # as torch says it
            raise DataError(f"cannot write {folder}: {reason}", "is the disk full? start again to go on") from error

    def train_from(self, checkpoint: str | None) -> None:
        """Train, from the start or from a whole checkpoint.

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

    Raises:
        ModelError: it cannot be loaded.
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
    """Tells the sampler which epoch it is, also where a run goes on in the middle of one."""

    def __init__(self, trainer: RecapTrainer) -> None:
        self.trainer = trainer

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Set the sampler's epoch."""
        if self.trainer.sampler is not None:
            self.trainer.sampler.epoch = int((state.epoch or 0) + 1e-6)


def optimizer_arguments(name: str, lr: float) -> dict[str, Any]:
    """How the Trainer is told its optimiser; the public code's Adafactor scales its rate by each parameter's size."""
    if name != "adafactor":
        return {"args": {"optim": name}, "trainer": {}}
    settings = {"lr": lr, "relative_step": False, "scale_parameter": True, "warmup_init": False}
    return {"args": {}, "trainer": {"optimizer_class": (Adafactor, settings)}}
