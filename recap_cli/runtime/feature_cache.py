"""What frozen encoders say of a data folder, computed once and memory-mapped: music states, and states of verses."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from recap_cli.corpus.dataset import PreparedData, PreparedSong
from recap_cli.corpus.mel_cache import fingerprint
from recap_cli.corpus.shards import SHARD_SONGS, ShardReader, ShardWriter, drop_damaged
from recap_cli.files import hold_or_wait
from recap_cli.model.frozen_encoder import FrozenMusicEncoder
from recap_cli.model.lyrics_encoder import LyricsEncoder
from recap_cli.model.music_encoder import MusicEncoder
from recap_cli.model.musicnn import Musicnn
from recap_cli.processor import cut_verses, verse_key
from recap_cli.progress import Progress

BATCH_SONGS = 32  # on a GPU
BATCH_VERSES = 512
SHARD_VERSES = 4096  # 6 MB
REMEDY = "start again: it is made anew"


@dataclass(frozen=True)
class Features:
    """What a cache is to hold, and how to say so."""

    shapes: Mapping[str, Sequence[int]]  # by key
    what: str  # is encoded
    unit: str  # what a key stands for
    shard: int | None = None  # keys of a shard, where not as many as of songs


def cache_features(
    data: PreparedData,
    encoder: MusicEncoder | Musicnn,
    progress: Progress,
    device: str = "cpu",
    songs: Sequence[PreparedSong] | None = None,
) -> ShardReader:
    """Returns the music states [steps, width] of all songs, or of some, by mel key, in fp16.

    What is missing is computed; data of music states alone have all.

    The cache lies in the data folder under the fingerprint of the encoder's weights, so another encoder never finds it.
    It is written a shard at a time: what an interrupted call has finished is found by the next one. Where several
    processes ask for the same cache, one computes and the others wait for it.

    Raises:
        DataError: the cache cannot be written, or a mel cannot be read.
    """
    if data.states is not None:
        return data.states
    wanted = (entry.mel for entry in (data.songs if songs is None else songs))
    shapes = {key: states_shape(key, data, encoder) for key in wanted}

    def encode(keys: list[str]) -> Iterator[tuple[str, np.ndarray]]:
        keys.sort(key=lambda key: (data.mels.shapes[key][1], data.mels.files[key]))
        for done, (key, states) in enumerate(encode_mels(keys, data, encoder, device)):
            yield key, states.astype(np.float16)
            if done % SHARD_SONGS == 0:
                data.mels.opened.clear()  # pages of a map that were read count as our memory

    return fill_cache(
        data.folder, encoder_fingerprint(encoder), Features(shapes, "the music", "songs"), encode, progress
    )


def cache_verses(
    folder: Path, encoder: LyricsEncoder, songs: Iterable[Sequence[int]], progress: Progress, device: str = "cpu"
) -> ShardReader:
    """Returns the state [width] of each verse of all songs by its key, in float32.

    It is kept in a data folder as music states are, under the fingerprint of the layers that read verses, which have to
    be frozen. A verse that several songs have is read once.

    Args:
        folder: the data folder.
        encoder: reads the verses.
        songs: the tokens of their lyrics.
        progress: where long work is reported.
        device: to compute on.

    Raises:
        DataError: the cache cannot be written.
    """
    verses = {verse_key(ids): ids for song in songs for ids in cut_verses(song)}
    width = encoder.config.d_model

    def encode(keys: list[str]) -> Iterator[tuple[str, np.ndarray]]:
        keys.sort(key=lambda key: (len(verses[key]), key))
        frozen = deepcopy(encoder).float().eval().to(device)
        for start in range(0, len(keys), BATCH_VERSES):
            some = keys[start : start + BATCH_VERSES]
            with torch.inference_mode():
                states = frozen.pool_verses([torch.tensor(verses[key], device=device) for key in some])
            yield from zip(some, states.cpu().numpy(), strict=True)

    features = Features({key: [width] for key in verses}, "the lyrics", "verses", SHARD_VERSES)
    return fill_cache(folder, verse_fingerprint(encoder), features, encode, progress)


def fill_cache(
    folder: Path,
    name: str,
    features: Features,
    encode: Callable[[list[str]], Iterable[tuple[str, np.ndarray]]],
    progress: Progress,
) -> ShardReader:
    """Returns the cache of a data folder under a name; what it lacks is encoded."""
    folder = folder / "features" / name
    with hold_or_wait(folder, progress, f"Another process encodes {features.what} of this data folder"):
        for damaged in drop_damaged(folder):
            progress.say(f"{folder / damaged} was damaged; its {features.unit} are encoded again.")
        known = ShardReader(folder, remedy=REMEDY)
        odd = {key for key, shape in features.shapes.items() if key in known and known.shapes[key] != shape}
        if odd:
            path = known.files[min(odd)]
            progress.say(f"{path} holds states of another shape; {len(odd)} {features.unit} are encoded again.")
        keys = [key for key in features.shapes if key not in known or key in odd]
        if not keys:
            return known
        progress.start(f"Encoding {features.what}", len(keys))
        writer = ShardWriter(folder, features.shard)
        try:
            for key, states in encode(keys):
                writer.add(key, states)
                progress.advance()
        finally:  # Ctrl-C loses nothing
            writer.close()
        progress.finish()
        return ShardReader(folder, remedy=REMEDY)


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
    sizes = asdict(encoder.sizes) if isinstance(encoder, MusicEncoder) else "musicnn"
    return fingerprint([sizes, hash_weights(encoder)])


def verse_fingerprint(encoder: LyricsEncoder) -> str:
    """Returns a short name for the layers that read verses: what shapes them and every weight."""
    config = encoder.config
    return fingerprint(
        ["verses", config.encoder_attention_heads, config.activation_function, hash_weights(encoder.verse_parts)]
    )


def hash_weights(module: nn.Module) -> str:
    """Returns a hash of a module's weights, in the order of their names."""
    digest = hashlib.sha256()
    for _, tensor in sorted(module.state_dict().items()):
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
