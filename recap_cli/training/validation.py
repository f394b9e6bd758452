"""How a run is watched: each validation song once against all its references, after every epoch."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, distributed

from recap_cli.corpus.dataset import PreparedSong, SongCollator, SongDataset
from recap_cli.corpus.shards import ShardReader
from recap_cli.model.captioner import RecapForCaptioning
from recap_cli.processor import RecapProcessor
from recap_cli.progress import Table
from recap_cli.runtime.decoding import DecodingOptions, generate_captions
from recap_cli.scoring.alignment import measure_alignment
from recap_cli.scoring.text import score_songs

# Figures that choose the best epoch by their smallest value.
LOWER_IS_BETTER = ("caption_loss",)
EPOCH_COLUMNS = {
    "train_caption_loss": "caption loss",
    "train_alignment_loss": "alignment loss",
    "caption_loss": "validation loss",
    "cosines": "cosine matched / mismatched",
    "gradient_ratio": "gradient ratio",
    "rougeL": "ROUGE-L",
    "meteor": "METEOR",
}


class Validation:
    """Judges a model on fixed songs: each song once, greedy, against all its references.

    Several processes share the songs among them; each song is captioned by one and scored once.
    """

    def __init__(
        self,
        model: RecapForCaptioning,
        processor: RecapProcessor,
        songs: Sequence[PreparedSong],
        music: Mapping[str, np.ndarray] | ShardReader | None,
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
        """Give the figures, and keep one song's caption beside its reference in `sample`."""
        began = time.monotonic()
        own = range(process()[0], len(self.songs), process()[1])
        batches = [
            self.collate([self.dataset[row] for row in own[start : start + self.batch_size]])
            for start in range(0, len(own), self.batch_size)
        ]
        options = DecodingOptions(beams=1, batch_size=self.batch_size)
        written = [out.captions[0] for out in generate_captions(self.model, self.processor, batches, options)]
        captions = self.in_order(gather((written, self.measure_losses(batches))))
        self.seconds += time.monotonic() - began
        return captions

    def in_order(self, parts: Sequence[tuple[list[str], dict[str, Any]]]) -> dict[str, float]:
        """Join what the processes found, and score it."""
        captions = [""] * len(self.songs)
        for rank, (written, _) in enumerate(parts):
            captions[rank :: len(parts)] = written
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
        """Sum the caption loss, and collect both pooled sides, on this process's songs."""
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
    """Give caption loss and alignment over the validation songs of all processes; a loss that is no number, alone."""
    loss = sum(part["loss"] for part in parts)
    figures = {"caption_loss": loss / max(sum(part["tokens"] for part in parts), 1)}
    if not np.isfinite(loss):
        return figures
    music = [rows for part in parts for rows in part["music"]]
    lyrics = [rows for part in parts for rows in part["lyrics"]]
    if sum(map(len, music)) > 1:
        measures = measure_alignment(np.concatenate(music), np.concatenate(lyrics))
        figures |= {
            "matched_cosine": measures.matched,
            "mismatched_cosine": measures.mismatched,
            "cosine_gap": measures.gap,
            "music_deviation": measures.music.deviation,
            "lyrics_deviation": measures.lyrics.deviation,
        }
    return figures


def process() -> tuple[int, int]:
    """This process's number and how many there are."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


def gather(value: Any) -> list[Any]:
    """Give the values of all processes, in their order."""
    if process()[1] == 1:
        return [value]
    parts: list[Any] = [None] * process()[1]
    distributed.all_gather_object(parts, value)
    return parts


def epoch_table(record: Mapping[str, float]) -> Table:
    """The figures of an epoch on one row, 80 columns wide: losses in nats a token, cosines, scores from 0 to 1."""
    cells = {name: f"{value:.3f}" for name, value in record.items() if isinstance(value, float)}
    if "matched_cosine" in cells:
        cells["cosines"] = f"{cells['matched_cosine']} / {cells['mismatched_cosine']}"
    names = [name for name in EPOCH_COLUMNS if name in cells]
    row = [f"{record['epoch']:g}", *(cells[name] for name in names)]
    return Table("", ["epoch", *(EPOCH_COLUMNS[name] for name in names)], [row])
