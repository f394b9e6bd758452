"""Music states of all songs of a data folder, computed once by the frozen music encoder and memory-mapped."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import deepcopy
from dataclasses import asdict
from itertools import groupby
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from recap_cli.corpus.dataset import PreparedData, PreparedSong
from recap_cli.corpus.mel_cache import fingerprint
from recap_cli.corpus.shards import SHARD_SONGS, ShardReader, ShardWriter, drop_damaged
from recap_cli.files import hold_or_wait
from recap_cli.model.frozen_encoder import FrozenMusicEncoder
from recap_cli.model.music_encoder import MusicEncoder
from recap_cli.model.musicnn import Musicnn
from recap_cli.progress import Progress

BATCH_SONGS = 32  # on a GPU
REMEDY = "start again: it is made anew"


def cache_features(
    data: PreparedData,
    encoder: MusicEncoder | Musicnn,
    progress: Progress,
    device: str = "cpu",
    songs: Sequence[PreparedSong] | None = None,
) -> ShardReader:
    """Returns the music states [steps, width] of all songs, or of some, by mel key, in fp16.

    What is missing is computed.

    The cache lies in the data folder under the fingerprint of the encoder's weights, so another encoder never finds it.
    It is written a shard at a time: what an interrupted call has finished is found by the next one. Where several
    processes ask for the same cache, one computes and the others wait for it.

    Raises:
        DataError: the cache cannot be written, or a mel cannot be read.
    """
    folder = data.folder / "features" / encoder_fingerprint(encoder)
    with hold_or_wait(folder, progress, "Another process encodes the music of this data folder"):
        for name in drop_damaged(folder):
            progress.say(f"{folder / name} was damaged; its songs are encoded again.")
        known = ShardReader(folder, remedy=REMEDY)
        wanted = dict.fromkeys(entry.mel for entry in (data.songs if songs is None else songs))
        odd = {key for key in wanted if key in known and known.shapes[key] != states_shape(key, data, encoder)}
        if odd:
            path = known.files[min(odd)]
            progress.say(f"{path} holds states of another shape; {len(odd)} songs are encoded again.")
        keys = [key for key in wanted if key not in known or key in odd]
        if not keys:
            return known
        keys.sort(key=lambda key: (data.mels.shapes[key][1], data.mels.files[key]))
        progress.start("Encoding the music", len(keys))
        write_states(folder, encode_mels(keys, data, encoder, device), data, progress)
        progress.finish()
        return ShardReader(folder, remedy=REMEDY)


def write_states(
    folder: Path, encoded: Iterable[tuple[str, np.ndarray]], data: PreparedData, progress: Progress
) -> None:
    """Adds music states to the cache in `folder`, as they are computed from the mels of `data`."""
    writer = ShardWriter(folder)
    try:
        for done, (key, states) in enumerate(encoded):
            writer.add(key, states.astype(np.float16))
            progress.advance()
            if done % SHARD_SONGS == 0:
                data.mels.opened.clear()  # pages of a map that were read count as our memory
    finally:  # Ctrl-C loses nothing
        writer.close()


def states_shape(key: str, data: PreparedData, encoder: MusicEncoder | Musicnn) -> list[int]:
    """Returns the shape of a mel's music states."""
    return [encoder.steps(data.mels.shapes[key][1]), encoder.width]


def encode_mels(
    keys: Sequence[str], data: PreparedData, encoder: MusicEncoder | Musicnn, device: str
) -> Iterator[tuple[str, np.ndarray]]:
    """Yields key and music states [steps, width] of mels; those of one length that follow each other go together.

    `encoder` stays as and where it is, in training or not.
    """
    frozen = freeze(encoder, device)
    size = 1 if torch.device(device).type == "cpu" else BATCH_SONGS
    for _, run in groupby(keys, key=lambda key: data.mels.shapes[key][1]):
        same_length = list(run)
        for start in range(0, len(same_length), size):
            chosen = same_length[start : start + size]
            mels = np.stack([data.mels[key] for key in chosen]).astype(np.float32)
            yield from zip(chosen, frozen(torch.from_numpy(mels)).cpu().numpy(), strict=True)


def freeze(encoder: MusicEncoder | Musicnn, device: str) -> Callable[[Tensor], Tensor]:
    """Returns what gives the states of mels of one length, by a copy of the encoder in eval mode."""
    if isinstance(encoder, MusicEncoder):
        return FrozenMusicEncoder(encoder, device)
    frozen = deepcopy(encoder).float().eval().to(device)
    return torch.inference_mode()(lambda mels: frozen(mels.to(device))[0])


def encoder_fingerprint(encoder: MusicEncoder | Musicnn) -> str:
    """Returns a short name for a music encoder: its sizes and every weight."""
    digest = hashlib.sha256()
    for _, tensor in sorted(encoder.state_dict().items()):
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    sizes = asdict(encoder.sizes) if isinstance(encoder, MusicEncoder) else "musicnn"
    return fingerprint([sizes, digest.hexdigest()])
