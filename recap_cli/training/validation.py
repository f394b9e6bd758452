"""How a run is watched: figures of the validation songs and of the losses, logged; the best weights are kept."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from accelerate import PartialState
from accelerate.utils import gather_object
from torch import Tensor
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from recap_cli.corpus.dataset import PreparedData, PreparedSong, SongCollator, SongDataset
from recap_cli.errors import DataError
from recap_cli.escaping import json_text
from recap_cli.files import cannot_write, write_json_lines
from recap_cli.model.captioner import RecapForCaptioning
from recap_cli.processor import RecapProcessor
from recap_cli.progress import Progress, Table
from recap_cli.runtime.decoding import DecodingOptions, generate_captions
from recap_cli.runtime.run_folder import LOG_FILE, read_log
from recap_cli.scoring.alignment import measure_alignment
from recap_cli.scoring.text import score_songs
from recap_cli.training.checkpoints import best_record, write_best
from recap_cli.training.interventions import Music

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

# Standard deviation times sqrt(width) below which a side counts as collapsed (VICReg looks at the same figure).
COLLAPSED = 0.2
EPOCH_COLUMNS = {
    "train_caption_loss": "caption loss",
    "train_alignment_loss": "alignment loss",
    "caption_loss": "validation loss",
    "cosines": "cosine matched / mismatched",
    "gradient_ratio": "gradient ratio",
    "rougeL": "ROUGE-L",
    "meteor": "METEOR",
}
Value = TypeVar("Value")


def validation_songs(data: PreparedData, most: int) -> list[PreparedSong]:
    """Returns the songs that every epoch is judged by: the same ones for every run on this data, at most `most`.

    Raises:
        DataError: no validation song has a caption.
    """
    captioned = [entry for entry in data.split("validation") if entry.song.captions]
    if not captioned:
        raise DataError(f"{data.folder} has no captions in split 'validation'", "a best epoch cannot be chosen")
    chosen = np.random.default_rng(0).permutation(len(captioned))[: min(len(captioned), most)]
    return [captioned[index] for index in sorted(chosen)]


def gather(value: Value) -> list[Value]:
    """Returns the values of all processes, in their order."""
    return list(gather_object([value]))


class Validation:
    """Judges a model on fixed songs: each song once, decoded greedily, against all its references.

    Several processes share the songs among them; each song is captioned by one and scored once.
    """

    def __init__(
        self,
        model: RecapForCaptioning,
        processor: RecapProcessor,
        songs: Sequence[PreparedSong],
        music: Music | None,
        kind: str,
        batch_size: int = 64,
    ) -> None:
        self.model, self.processor, self.songs = model, processor, songs
        self.dataset = SongDataset(songs, processor, music, per_caption=False)
        self.collate = SongCollator(processor, kind)
        self.batch_size = batch_size
        self.sample: dict[str, str] = {}
        self.seconds = 0.0

    def run(self) -> dict[str, float]:
        """Returns the figures, and keeps one song's caption beside its reference in `sample`."""
        began, state = time.monotonic(), PartialState()
        own = range(state.process_index, len(self.songs), state.num_processes)
        batches = [
            self.collate([self.dataset[row] for row in own[start : start + self.batch_size]])
            for start in range(0, len(own), self.batch_size)
        ]
        options = DecodingOptions(beams=1, batch_size=self.batch_size)
        decoded = [out.captions[0] for out in generate_captions(self.model, self.processor, batches, options)]
        figures = self.score(gather((decoded, self.measure_losses(batches))))
        self.seconds += time.monotonic() - began
        return figures

    def score(self, parts: Sequence[tuple[list[str], dict[str, Any]]]) -> dict[str, float]:
        """Joins the captions and losses of all processes, and scores them."""
        captions = [""] * len(self.songs)
        for rank, (decoded, _) in enumerate(parts):
            captions[rank :: len(parts)] = decoded
        references = [[caption.text for caption in entry.song.captions] for entry in self.songs]
        scores = score_songs([entry.song.id for entry in self.songs], captions, references)
        self.sample = {"song": self.songs[0].song.id, "caption": captions[0], "reference": references[0][0]}
        return {
            "rougeL": scores.headline()["rougeL"],
            "meteor": scores.headline()["meteor"],
            "distinct": len(set(captions)) / len(captions),
            **summarise_losses([losses for _, losses in parts]),
        }

    @torch.inference_mode()
    def measure_losses(self, batches: Sequence[Mapping[str, Tensor]]) -> dict[str, Any]:
        """Sums the caption loss, and collects both pooled sides, over this process's songs."""
        found: dict[str, Any] = {"loss": 0.0, "tokens": 0, "music": [], "lyrics": []}
        for batch in batches:
            inputs = {name: value.to(self.model.device) for name, value in batch.items()}
            output = self.model(**inputs, full_logits=False)
            count = int((batch["labels"] >= 0).sum())
            found["loss"] += float(output.caption_loss) * count
            found["tokens"] += count
            if output.pooled_music is not None:
                found["music"].append(output.pooled_music.float().cpu().numpy())
                found["lyrics"].append(output.pooled_lyrics.float().cpu().numpy())
        return found


def summarise_losses(parts: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Returns caption loss and alignment over the songs of all processes; only the loss where that is no number."""
    loss = sum(part["loss"] for part in parts)
    figures = {"caption_loss": loss / max(sum(part["tokens"] for part in parts), 1)}
    music = [rows for part in parts for rows in part["music"]]
    lyrics = [rows for part in parts for rows in part["lyrics"]]
    if np.isfinite(loss) and sum(map(len, music)) > 1:
        measures = measure_alignment(np.concatenate(music), np.concatenate(lyrics))
        figures |= {
            "matched_cosine": measures.matched,
            "mismatched_cosine": measures.mismatched,
            "cosine_gap": measures.gap,
            "music_deviation": measures.music.deviation,
            "lyrics_deviation": measures.lyrics.deviation,
        }
    return figures


class RunningLosses:
    """The parts of the training loss since the last validation, summed over steps."""

    def __init__(self) -> None:
        self.steps = 0
        self.sums: dict[str, Tensor | float] = {}

    def add(self, outputs: Any) -> None:
        """Adds the parts of a micro-batch; over a step they add up to its loss."""
        for name in ("caption_loss", "alignment_loss"):
            value = getattr(outputs, name, None)
            if value is not None:
                self.sums[name] = self.sums.get(name, 0.0) + value.detach().double()

    def to_json(self) -> dict[str, Any]:
        """The sums over all processes as plain values; every process must call this at the same time."""
        shares = gather({name: float(value) for name, value in self.sums.items()})
        return {"steps": self.steps, "sums": {name: sum(share[name] for share in shares) for name in shares[0]}}

    def restore(self, record: dict[str, Any]) -> None:
        """Resumes from the sums of a checkpoint: the first process takes them all, so that they count once."""
        first = PartialState().process_index == 0
        self.steps = record["steps"]
        self.sums = {name: value if first else 0.0 for name, value in record["sums"].items()}

    def take(self) -> dict[str, float]:
        """Returns the means per step over all processes, and starts from zero."""
        shares = gather({f"train_{name}": float(total) / max(self.steps, 1) for name, total in self.sums.items()})
        self.steps, self.sums = 0, {}
        return {name: sum(share[name] for share in shares) for name in shares[0]}


def measure_gradients(model: RecapForCaptioning, batch: Mapping[str, Tensor]) -> dict[str, float]:
    """Returns how strongly the alignment loss pulls beside the caption loss, over the parameters that both reach.

    `gradient_ratio` is ||alpha g_align|| / ||g_cap||, `gradient_cosine` the cosine of the two gradients. Dropout is
    off, and no gradient is kept.
    """
    was_training = model.training
    model.eval()
    with torch.enable_grad():
        output = model(**{key: value.to(model.device) for key, value in batch.items()}, full_logits=False)
        wanted = [one for one in model.parameters() if one.requires_grad]
        aligned = torch.autograd.grad(output.alignment_loss, wanted, retain_graph=True, allow_unused=True)
        captioned = torch.autograd.grad(output.caption_loss, wanted, allow_unused=True)
    model.train(was_training)
    pairs = [(a, c) for a, c in zip(aligned, captioned, strict=True) if a is not None and c is not None]
    dot = sum(float((a.double() * c.double()).sum()) for a, c in pairs)
    align = sum(float(a.double().square().sum()) for a, _ in pairs) ** 0.5
    caption = sum(float(c.double().square().sum()) for _, c in pairs) ** 0.5
    return {
        "gradient_ratio": model.config.alpha * align / caption if caption else 0.0,
        "gradient_cosine": dot / (align * caption) if align and caption else 0.0,
    }


class EpochReport(TrainerCallback):
    """Logs and shows the figures of each validation, and keeps the best weights.

    Args:
        progress: receives table, sample and warnings.
        out: the run's folder; only the first process writes there.
        validation: what was measured.
        best_by: the figure that chooses the best weights.
        patience: validations without a better figure after which training stops; None never stops early.
        balance_batch: a fixed batch on which the gradients of the two losses are compared; None where there is one.
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
        balance_batch: Mapping[str, Tensor] | None = None,
        board: bool = False,
        run: str = "",
    ) -> None:
        self.progress, self.out, self.validation = progress, out, validation
        self.best_by, self.patience, self.balance_batch, self.run = best_by, patience, balance_batch, run
        self.board = open_board(out) if board and PartialState().is_main_process else None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Forgets what an interrupted run logged after its checkpoint; it is trained again."""
        if state.is_world_process_zero:
            kept = [record for record in read_log(self.out) if record["step"] <= state.global_step]
            write_json_lines(self.out / LOG_FILE, kept)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Validates and saves after the last step, too, wherever the others fall."""
        control.should_evaluate |= state.global_step == state.max_steps
        control.should_save |= state.global_step == state.max_steps

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Logs the figures, keeps the best weights, and stops when they no longer improve.

        Raises:
            DataError: the disk refuses.
        """
        figures = {name.removeprefix("eval_"): round(value, 5) for name, value in kwargs["metrics"].items()}
        if self.balance_batch is not None:
            measured = measure_gradients(self.validation.model, self.balance_batch)
            figures |= {name: round(value, 6) for name, value in measured.items()}
        record = {"epoch": round(state.epoch or 0, 2), "step": state.global_step, **figures}
        record["sample"] = self.validation.sample
        log = [*(entry for entry in read_log(self.out) if entry["step"] < state.global_step), record]
        control.should_training_stop |= self.is_patience_over(log)
        if not state.is_world_process_zero:
            return
        # Weights first: a log never names a best step whose weights are not there.
        if best_record(log, self.best_by) is record:
            write_best(self.validation.model.save_pretrained, self.out, self.run, state.global_step)
        try:
            with (self.out / LOG_FILE).open("a", encoding="utf-8") as file:
                file.write(json_text(record) + "\n")
        except OSError as error:
            raise cannot_write(self.out / LOG_FILE, error) from error
        self.show(record)

    def is_patience_over(self, log: list[dict[str, Any]]) -> bool:
        """Whether the best record lies `patience` validations back."""
        best = best_record(log, self.best_by)["step"]
        return self.patience is not None and sum(record["step"] > best for record in log) >= self.patience

    def show(self, record: dict[str, Any]) -> None:
        """Shows the figures, the sample and what is alarming."""
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


def open_board(out: Path) -> "SummaryWriter":
    """Opens a TensorBoard writer in the run's folder; the library is loaded only here, as it need not be there."""
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(out / "tensorboard"))


def epoch_table(record: Mapping[str, Any]) -> Table:
    """Returns an epoch's figures on one row of 80 columns: losses in nats a token, cosines, scores from 0 to 1."""
    cells = {name: f"{value:.3f}" for name, value in record.items() if isinstance(value, float)}
    if "matched_cosine" in cells:
        cells["cosines"] = f"{cells['matched_cosine']} / {cells['mismatched_cosine']}"
    names = [name for name in EPOCH_COLUMNS if name in cells]
    row = [f"{record['epoch']:g}", *(cells[name] for name in names)]
    return Table("", ["epoch", *(EPOCH_COLUMNS[name] for name in names)], [row])
