"""What happens after each validation: log, table, best weights, TensorBoard, early stopping."""

from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from recap_cli.errors import ModelError
from recap_cli.escaping import json_text
from recap_cli.files import cannot_write, write_json_lines
from recap_cli.model.captioner import RecapForCaptioning
from recap_cli.progress import Progress
from recap_cli.runtime.run_folder import LOG_FILE, read_log
from recap_cli.training.checkpoints import open_best, write_best
from recap_cli.training.gradient_ratio import GradientBalance
from recap_cli.training.validation import LOWER_IS_BETTER, Validation, epoch_table, process

# Standard deviation times sqrt(width) below which a side counts as collapsed (VICReg looks at the same figure).
COLLAPSED = 0.2


class EpochReport(TrainerCallback):
    """Logs and shows the figures of each validation, and keeps the best weights.

    Args:
        progress: receives table, sample and warnings.
        out: the run's folder; only the first process writes there.
        validation: what was measured.
        best_by: the figure that chooses the best weights.
        patience: validations without a better figure after which training stops; None never stops early.
        balance: measures the gradients of the two losses; None where there is only one.
        board: also write TensorBoard events.
        run: fingerprint of the run's options, which seals the best weights.
    """

    def __init__(
        self,
        progress: Progress,
        out: Path,
        validation: Validation,
        best_by: str,
        patience: int | None = None,
        balance: GradientBalance | None = None,
        board: bool = False,
        run: str = "",
    ) -> None:
        self.progress, self.out, self.validation = progress, out, validation
        self.best_by, self.patience, self.balance, self.run = best_by, patience, balance, run
        self.board = open_board(out) if board and process()[0] == 0 else None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Forget what an interrupted run logged after its checkpoint; it is trained again."""
        if state.is_world_process_zero:
            kept = [record for record in read_log(self.out) if record["step"] <= state.global_step]
            write_json_lines(self.out / LOG_FILE, kept)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Validate after the last step, too, wherever validation falls."""
        control.should_evaluate |= state.global_step == state.max_steps
        control.should_save |= state.global_step == state.max_steps

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: dict[str, float], **kwargs: Any) -> None:
        """Log the figures, keep the best weights, and stop when they no longer improve.

        Raises:
            DataError: the disk refuses.
        """
        figures = {name.removeprefix("eval_"): round(value, 5) for name, value in metrics.items()}
        if self.balance is not None:
            figures |= {name: round(value, 6) for name, value in self.balance.measure().items()}
        record = {"epoch": round(state.epoch or 0, 2), "step": state.global_step, **figures}
        record["sample"] = self.validation.sample
        if not state.is_world_process_zero:
            control.should_training_stop |= self.is_patience_over([*read_log(self.out), record])
            return
        before = [entry for entry in read_log(self.out) if entry["step"] < state.global_step]
        if best_record([*before, record], self.best_by) is record:
            write_best(self.validation.model.save_pretrained, self.out, self.run, state.global_step)
        try:
            with (self.out / LOG_FILE).open("a", encoding="utf-8") as file:
                file.write(json_text(record) + "\n")
        except OSError as error:
            raise cannot_write(self.out / LOG_FILE, error) from error
        self.show(record)
        control.should_training_stop |= self.is_patience_over([*before, record])

    def is_patience_over(self, log: list[dict[str, Any]]) -> bool:
        """Whether the best record lies `patience` validations back."""
        steps = sorted({record["step"] for record in log})
        best = best_record(log, self.best_by)["step"]
        return self.patience is not None and len([step for step in steps if step > best]) >= self.patience

    def show(self, record: dict[str, Any]) -> None:
        """Show the figures, the sample and what is alarming."""
        self.progress.show(epoch_table(record))
        sample = record["sample"]
        self.progress.say(f"{sample['song']}: {sample['caption']}")
        self.progress.say(f"  reference: {sample['reference']}")
        low = [side for side in ("music", "lyrics") if record.get(f"{side}_deviation", 1.0) < COLLAPSED]
        if low:
            self.progress.warn(
                f"the pooled {' and '.join(low)} {'has' if low == ['music'] else 'have'} collapsed (std x sqrt(d) "
                f"below {COLLAPSED}); matched and mismatched pairs differ by {record['cosine_gap']:.3f} in cosine"
            )
        if self.board is not None:
            for name, value in record.items():
                if isinstance(value, float):
                    self.board.add_scalar(name, value, record["step"])
            self.board.flush()


def best_record(log: list[dict[str, Any]], best_by: str) -> dict[str, Any]:
    """Give the record with the best figure, the earliest of equals."""
    choose = min if best_by in LOWER_IS_BETTER else max
    return choose(log, key=lambda record: record[best_by])


def load_best(model: RecapForCaptioning, out: Path, run: str, step: int) -> None:
    """Put the best weights back into the model.

    Raises:
        ModelError: they are not there, or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_model

    path = open_best(out, run, step)
    try:
        load_model(model, path, strict=False)
    except (OSError, RuntimeError, SafetensorError) as error:
        raise ModelError(f"{path} cannot be loaded: {error}", "delete the run's folder and train again") from error


def open_board(out: Path) -> Any:
    """Open a TensorBoard writer in the run's folder."""
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(out / "tensorboard"))
