"""How a run is watched: each validation song once against all its references, after every epoch."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import Seq2SeqTrainer, TrainerCallback

from recap_cli.corpus.dataset import PreparedSong, SongCollator, SongDataset
from recap_cli.corpus.shards import ShardReader
from recap_cli.errors import ModelError
from recap_cli.model.captioner import RecapForCaptioning
from recap_cli.processor import RecapProcessor
from recap_cli.progress import Progress, Table
from recap_cli.scoring.alignment import measure_alignment
from recap_cli.scoring.text import score_songs
from recap_cli.workflows.decoding import DecodingOptions, generate_captions

# What may choose the best epoch.
BEST_METRICS = ("rougeL", "meteor", "caption_loss")
LOWER_IS_BETTER = ("caption_loss",)
EPOCH_COLUMNS = {
    "train_caption_loss": "caption loss",
    "train_alignment_loss": "alignment loss",
    "caption_loss": "validation loss",
    "cosines": "cosine matched / mismatched",
    "rougeL": "ROUGE-L",
    "meteor": "METEOR",
}


class Validation:
    """Judges a model on fixed songs: each song once, greedy, against all its references."""

    def __init__(
        self,
        model: RecapForCaptioning,
        processor: RecapProcessor,
        songs: Sequence[PreparedSong],
        music: ShardReader | None,
        kind: str,
        batch_size: int = 64,
    ) -> None:
        self.model, self.processor, self.songs = model, processor, songs
        self.dataset = SongDataset(songs, processor, music, per_caption=False)
        self.collate = SongCollator(processor, kind)
        self.batch_size = batch_size
        self.sample: dict[str, str] = {}

    def run(self) -> dict[str, float]:
        """Give the figures, and keep one song's caption beside its reference in `sample`."""
        batches = list(self.collate.batches(self.dataset, self.batch_size))
        options = DecodingOptions(beams=1, batch_size=self.batch_size)
        captions = [out.captions[0] for out in generate_captions(self.model, self.processor, batches, options)]
        references = [[caption.text for caption in entry.song.captions] for entry in self.songs]
        scores = score_songs([entry.song.id for entry in self.songs], captions, references)
        figures = {
            "rougeL": scores.headline()["rougeL"],
            "meteor": scores.headline()["meteor"],
            "distinct": len(set(captions)) / len(captions),
            **self.measure_losses(batches),
        }
        self.sample = {"song": self.songs[0].song.id, "caption": captions[0], "reference": references[0][0]}
        return figures

    @torch.inference_mode()
    def measure_losses(self, batches: Sequence[Mapping[str, Tensor]]) -> dict[str, float]:
        """Give caption loss and alignment on the validation songs.

        Raises:
            ModelError: the loss is NaN or infinite.
        """
        losses, tokens, music, lyrics = 0.0, 0, [], []
        for batch in batches:
            output = self.model(**{name: value.to(self.model.device) for name, value in batch.items()})
            count = int((batch["labels"] >= 0).sum())
            losses, tokens = losses + float(output.caption_loss) * count, tokens + count
            if output.pooled_music is not None:
                music.append(output.pooled_music.float().cpu().numpy())
                lyrics.append(output.pooled_lyrics.float().cpu().numpy())
        figures = {"caption_loss": losses / max(tokens, 1)}
        if not np.isfinite(losses):
            raise ModelError(f"the loss on the validation songs is {losses}", "try a lower --lr")
        if music and sum(map(len, music)) > 1:
            measures = measure_alignment(np.concatenate(music), np.concatenate(lyrics))
            figures |= {"matched_cosine": measures.matched, "mismatched_cosine": measures.mismatched}
        return figures


class RecapTrainer(Seq2SeqTrainer):
    """The stock trainer, with our validation in place of its evaluation loop and the two losses noted apart."""

    def __init__(self, *, validation: Validation, processor: RecapProcessor, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.validation = validation
        self.processor = processor
        self.sums: dict[str, float] = {}
        self.control: Any

    def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, **kwargs: Any) -> Any:
        """Note the parts of the loss on the way; stop where it is no number.

        Raises:
            ModelError: the loss is NaN or infinite.
        """
        loss, outputs = super().compute_loss(model, inputs, True, **kwargs)
        if not torch.isfinite(loss):
            raise ModelError(f"the loss is {float(loss.detach())} at step {self.state.global_step}", "try a lower --lr")
        for name in ("caption_loss", "alignment_loss"):
            value = getattr(outputs, name, None)
            if value is not None:
                self.sums[name] = self.sums.get(name, 0.0) + float(value.detach())
        self.sums["steps"] = self.sums.get("steps", 0) + 1
        return (loss, outputs) if return_outputs else loss

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Validate and hand the figures to the callbacks, as the stock evaluation does."""
        was_training = self.model.training
        self.model.eval()
        figures = self.validation.run()
        self.model.train(was_training)
        steps = self.sums.pop("steps", 0)
        losses = {f"train_{name}": total / steps for name, total in self.sums.items()} if steps else {}
        self.sums = {}
        metrics = {f"eval_{name}": value for name, value in {**figures, **losses}.items()}
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics


class EpochReport(TrainerCallback):
    """Writes a line to the log and shows a small table after each epoch."""

    def __init__(self, progress: Progress, log: Path, validation: Validation) -> None:
        self.progress, self.log, self.validation = progress, log, validation

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: dict[str, float], **kwargs: Any) -> None:
        """Log the epoch's figures."""
        figures = {name.removeprefix("eval_"): round(value, 5) for name, value in metrics.items()}
        record = {"epoch": round(state.epoch or 0, 2), "step": state.global_step, **figures}
        with self.log.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
        self.progress.show(epoch_table(record))
        sample = self.validation.sample
        self.progress.say(f"{sample['song']}: {sample['caption']}\n  reference: {sample['reference']}")


def epoch_table(record: Mapping[str, float]) -> Table:
    """The figures of an epoch on one row, 80 columns wide: losses in nats a token, cosines, scores from 0 to 1."""
    cells = {name: f"{value:.3f}" for name, value in record.items()}
    if "matched_cosine" in cells:
        cells["cosines"] = f"{cells['matched_cosine']} / {cells['mismatched_cosine']}"
    names = [name for name in EPOCH_COLUMNS if name in cells]
    row = [f"{record['epoch']:g}", *(cells[name] for name in names)]
    return Table("", ["epoch", *(EPOCH_COLUMNS[name] for name in names)], [row])
