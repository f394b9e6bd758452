"""Pooled music and unfused lyrics of many songs, as a model's alignment sees them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from recap_cli.captioning.captioner import Captioner
from recap_cli.corpus.dataset import PreparedSong, SongCollator, SongDataset
from recap_cli.corpus.shards import ShardReader
from recap_cli.model.alignment import pool
from recap_cli.progress import Progress
from recap_cli.scoring.alignment import Sides

BATCH_SONGS = 32


@dataclass(frozen=True)
class PooledSongs:
    """Pooled vectors before the projection of the alignment."""

    music: np.ndarray | None  # [songs, music width]; None for a model without music
    lyrics: np.ndarray  # [songs, lyrics width]

    @property
    def sides(self) -> list[np.ndarray]:
        """The sides that there are."""
        return [self.lyrics] if self.music is None else [self.music, self.lyrics]


@torch.inference_mode()
def pool_songs(
    captioner: Captioner,
    songs: Sequence[PreparedSong],
    music: Mapping[str, np.ndarray] | ShardReader | None,
    progress: Progress,
) -> PooledSongs:
    """Pools music states and the lyrics state that is aligned, as the model's pooling has it.

    `music` holds music states by mel key; None for a model without music.
    """
    model = captioner.model
    masked = model.config.pooling == "masked"
    dataset = SongDataset(songs, captioner.processor, music, per_caption=False)
    collate = SongCollator(captioner.processor, "states" if music is not None else "")
    sounds, words = [], []
    progress.start("Pooling music and lyrics", len(songs))
    for batch in collate.batches(dataset, BATCH_SONGS):
        inputs = encoder_inputs(batch, model.device)
        encoded = model.model.encoder(**inputs)
        state = encoded.last_hidden_state if encoded.unfused_state is None else encoded.unfused_state
        words.append(pool(state, encoded.state_mask if masked else None).float().cpu().numpy())
        if music is not None:
            mask = inputs["music_mask"] if masked else None
            sounds.append(pool(inputs["music_states"], mask).float().cpu().numpy())
        progress.advance(len(words[-1]))
    progress.finish()
    return PooledSongs(np.concatenate(sounds) if sounds else None, np.concatenate(words))


def encoder_inputs(batch: Mapping[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    """Returns the part of a batch that the encoder takes, on its device."""
    return {name: value.to(device) for name, value in batch.items() if name not in ("labels", "song_ids")}


@torch.inference_mode()
def project_songs(captioner: Captioner, pooled: PooledSongs) -> Sides:
    """Returns both sides after the model's projection [songs, narrower width]."""
    alignment = captioner.model.alignment
    assert alignment is not None and pooled.music is not None
    sides = (torch.from_numpy(side).to(captioner.model.device) for side in (pooled.music, pooled.lyrics))
    music, lyrics = alignment.project(*sides)
    return music.float().cpu().numpy(), lyrics.float().cpu().numpy()
