"""Music states of all songs of a data folder, computed once by the frozen music encoder and memory-mapped."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict

import numpy as np
import torch

from recap_cli.corpus.dataset import PreparedData
from recap_cli.corpus.mels import fingerprint
from recap_cli.corpus.shards import ShardReader, ShardWriter
from recap_cli.model.music_encoder import MusicEncoder
from recap_cli.processor import pad_mels
from recap_cli.progress import Progress

BATCH_SONGS = 32


def cache_features(data: PreparedData, encoder: MusicEncoder, progress: Progress, device: str = "cpu") -> ShardReader:
    """Give the music states [1 + steps, width] of every song by mel key, in fp16, computing what is missing.

    The cache lies in the data folder under the fingerprint of the encoder's weights, so another encoder never finds it.
    """
    folder = data.folder / "features" / encoder_fingerprint(encoder)
    known = ShardReader(folder)
    keys = [entry.mel for entry in data.songs if entry.mel not in known]
    if keys:
        progress.start("Encoding the music", len(keys))
        writer = ShardWriter(folder)
        for key, states in encode_mels(sorted(keys, key=lambda key: data.mels.shapes[key][1]), data, encoder, device):
            writer.add(key, states.astype(np.float16))
            progress.advance()
        writer.close()
        progress.finish()
    return ShardReader(folder)


def encode_mels(
    keys: Sequence[str], data: PreparedData, encoder: MusicEncoder, device: str
) -> Iterator[tuple[str, np.ndarray]]:
    """Encode mels in batches, in eval mode; give key and music states [1 + steps, width]."""
    encoder = encoder.eval().to(device)
    for start in range(0, len(keys), BATCH_SONGS):
        chosen = keys[start : start + BATCH_SONGS]
        batch = pad_mels([data.mels[key] for key in chosen], data.audio)
        with torch.inference_mode():
            states, mask = encoder(batch["mel"].to(device), batch["mel_mask"].to(device))
        for key, rows, steps in zip(chosen, states.cpu().numpy(), mask.sum(dim=1).tolist(), strict=True):
            yield key, rows[:steps]


def encoder_fingerprint(encoder: MusicEncoder) -> str:
    """A short name for a music encoder: its sizes and every weight."""
    digest = hashlib.sha256()
    for _, tensor in sorted(encoder.state_dict().items()):
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return fingerprint([asdict(encoder.sizes), digest.hexdigest()])
