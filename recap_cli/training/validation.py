"""How a run is watched: figures of the validation songs and of the losses, logged; the best weights are kept."""

import re
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from accelerate import PartialState
from torch import Tensor
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from recap_cli.corpus.dataset import PreparedData, PreparedSong, SongCollator, SongDataset
from recap_cli.corpus.shards import ShardReader
from recap_cli.errors import DataError
from recap_cli.escaping import json_text, markdown_cell
from recap_cli.files import cannot_write, write_json_lines
from recap_cli.model.captioner import RecapForCaptioning
from recap_cli.processor import RecapProcessor
from recap_cli.progress import Progress
from recap_cli.runtime.decoding import DecodingOptions, generate_captions
from recap_cli.runtime.run_folder import LOG_FILE, read_log
from recap_cli.scoring.alignment import measure_alignment
from recap_cli.scoring.text import score_songs
from recap_cli.training.batches import RunningLosses, gather
from recap_cli.training.checkpoints import best_record, write_best
from recap_cli.training.interventions import Music

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

# Standard deviation times sqrt(width) below which a side counts as collapsed (VICReg looks at the same figure).
COLLAPSED = 0.2
# What an epoch's line shows behind its number: heading, width and figure of each column; 50 columns in all.
EPOCH_COLUMNS = (
    ("train", 6, "train_caption_loss"),
    ("valid", 6, "caption_loss"),
    ("align", 6, "train_alignment_loss"),
    ("own", 6, "matched_cosine"),
    ("other", 6, "mismatched_cosine"),
    ("ROUGE-L", 8, "rougeL"),
    ("METEOR", 7, "meteor"),
)
SCORES = ("rougeL", "meteor")
EPOCH_LEGEND = (
    "Below: caption loss (nats a token) in training and on validation songs, alignment loss, cosine of a song's music "
    "with its own lyrics and with other lyrics, and scores of the validation captions from 0 to 100."
)


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
        verses: ShardReader | None = None,
    ) -> None:
        self.model, self.processor, self.songs = model, processor, songs
        self.dataset = SongDataset(songs, processor, music, per_caption=False, verses=verses)
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
        progress: receives figures, sample and warnings.
        out: the run's folder; only the first process writes there.
        validation: what was measured.
        best_by: the figure that chooses the best weights.
        patience: validations without a better figure after which training stops; None never stops early.
        balance_batch: a fixed batch on which the gradients of the two losses are compared; None where there is one.
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
        run: str = "",
    ) -> None:
        self.progress, self.out, self.validation = progress, out, validation
        self.best_by, self.patience, self.balance_batch, self.run = best_by, patience, balance_batch, run
        self.alarms: set[str] = set()  # that were told: once a run is enough

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Forgets what an interrupted run logged after its checkpoint, which is trained again; names the columns."""
        if state.is_world_process_zero:
            kept = [record for record in read_log(self.out) if record["step"] <= state.global_step]
            write_json_lines(self.out / LOG_FILE, kept)
            self.progress.say(EPOCH_LEGEND)
            self.progress.say("epoch" + "".join(heading.rjust(width) for heading, width, _ in EPOCH_COLUMNS))

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
        self.progress.say(epoch_line(record))
        self.progress.say(f"caption: {record['sample']['caption']}")
        self.progress.say(f"reference: {record['sample']['reference']}")
        if not record["sample"]["caption"].strip():
            self.alarm("empty", "its caption is empty: it has not learned to write yet, and needs more songs or epochs")
        low = [side for side in ("music", "lyrics") if record.get(f"{side}_deviation", 1.0) < COLLAPSED]
        if low:
            self.alarm(
                ",".join(low),
                f"the vectors that stand for {' and '.join(low)} are nearly the same for all songs (std x sqrt(d) "
                f"below {COLLAPSED}), so alignment cannot tell songs apart: matched and other pairs differ by "
                f"{record['cosine_gap']:.3f} in cosine. After few steps that is usual; else lower --alpha",
            )

    def alarm(self, kind: str, message: str) -> None:
        """Warns of something, unless it was told before."""
        if kind not in self.alarms:
            self.alarms.add(kind)
            self.progress.warn(message)


def epoch_line(record: Mapping[str, Any]) -> str:
    """Returns an epoch's figures in 50 columns: losses in nats a token, cosines, scores from 0 to 100."""
    cells = (short(record.get(name), name).rjust(width) for _, width, name in EPOCH_COLUMNS)
    return "".join([f"{record['epoch']:<5g}", *cells])


def short(value: float | None, name: str) -> str:
    """Returns a figure in five columns at most: 10.80, 1.025, -.033, and scores in points."""
    if value is None:
        return "-"
    return f"{100 * value:.1f}" if name in SCORES else re.sub(r"^(-?)0\.", r"\1.", f"{value:.3f}")[:5]


class Board(TrainerCallback):
    """Logs every step and every validation for TensorBoard.

    Args:
        out: the run's folder; only the first process writes there.
        validation: what was measured.
        losses: the parts of the steps' loss.
        gradient_norm: returns the norm of a step's gradient before it was clipped.
    """

    def __init__(
        self, out: Path, validation: Validation, losses: RunningLosses, gradient_norm: Callable[[], Tensor | float]
    ) -> None:
        self.out, self.validation, self.losses, self.gradient_norm = out, validation, losses, gradient_norm
        self.writer: SummaryWriter | None = None
        self.ended = 0.0

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Opens the log; what an interrupted run logged after its checkpoint is dropped, as it is trained again."""
        self.ended = time.monotonic()
        if state.is_world_process_zero:
            from torch.utils.tensorboard import SummaryWriter  # an extra

            self.writer = SummaryWriter(str(self.out / "tensorboard"), purge_step=state.global_step + 1)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Logs a step: its loss and the two parts, learning rate, gradient and speed."""
        parts = self.losses.of_step()  # of all processes, which meet here
        seconds, self.ended = time.monotonic() - self.ended, time.monotonic()
        if self.writer is None:
            return
        examples = args.train_batch_size * args.gradient_accumulation_steps * args.world_size
        alpha = self.validation.model.config.alpha
        figures = {
            "loss": parts["caption_loss"] + alpha * parts.get("alignment_loss", 0.0),
            **parts,
            "learning_rate": kwargs["lr_scheduler"].get_last_lr()[0],
            "gradient_norm": float(self.gradient_norm()),
            "examples_per_second": examples / max(seconds, 1e-9),
        }
        for name, value in figures.items():
            self.writer.add_scalar(f"step/{name}", value, state.global_step)

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Logs the figures of a validation, and the sample."""
        if self.writer is None:
            return
        for name, value in kwargs["metrics"].items():
            self.writer.add_scalar(f"epoch/{name.removeprefix('eval_')}", value, state.global_step)
        sample = {name: markdown_cell(text) for name, text in self.validation.sample.items()}
        text = f"{sample['song']}: {sample['caption']}\n\nreference: {sample['reference']}"
        self.writer.add_text("sample", text, state.global_step)
        self.writer.flush()

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Closes the log."""
        if self.writer is not None:
            self.writer.close()
