"""Deliberate changes to the data of a run, for controlled experiments; the prepared folder stays as it is."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any
from zlib import crc32

import numpy as np

from recap_cli.corpus.dataset import PreparedData, PreparedSong
from recap_cli.corpus.shards import ShardReader

# Steps of the learned constant sequence: about the length of 4 s of music.
CONSTANT_STEPS = 32
# Songs whose music states say how large their noise is.
JUDGED_SONGS = 100

Music = Mapping[str, np.ndarray]


def change_states(
    music: Music | ShardReader, data: PreparedData, *, is_shuffled: bool, noise: float
) -> Music | ShardReader:
    """Returns the music states by mel key as a run gets them."""
    if is_shuffled:
        music = ShuffledMusic(music, shuffled_keys(data))
    return NoisyMusic(music, noise, data) if noise else music


def partners(count: int, seed: int) -> list[int]:
    """Give each song another one, each used once: a random cycle through all (Sattolo 1986)."""
    order = np.random.default_rng(seed).permutation(count)
    other = np.empty(count, dtype=int)
    other[order] = np.roll(order, 1)
    return other.tolist()


def shuffled_keys(data: PreparedData) -> dict[str, str]:
    """Give for each mel key the key of another song of its split: one fixed derangement."""
    swapped: dict[str, str] = {}
    for name in sorted(data.split_names):
        keys = list(dict.fromkeys(entry.mel for entry in data.split(name)))
        swapped |= {key: keys[other] for key, other in zip(keys, partners(len(keys), seed=0), strict=True)}
    return swapped


class ShuffledMusic(Mapping[str, np.ndarray]):
    """Music states of other songs."""

    def __init__(self, music: Music | ShardReader, other: dict[str, str]) -> None:
        self.music, self.other = music, other

    def __getitem__(self, key: str) -> np.ndarray:
        return self.music[self.other[key]]

    def __iter__(self) -> Iterator[str]:
        return iter(self.other)

    def __len__(self) -> int:
        return len(self.other)


class NoisyMusic(Mapping[str, np.ndarray]):
    """Music states with Gaussian noise; a song's noise is always the same."""

    def __init__(self, music: Music | ShardReader, noise: float, data: PreparedData) -> None:
        self.music, self.keys_of = music, [entry.mel for entry in data.songs]
        judged = [music[key] for key in self.keys_of[:JUDGED_SONGS]]
        self.deviation = noise * np.concatenate(judged).astype(np.float32).std(axis=0)

    def __getitem__(self, key: str) -> np.ndarray:
        states = self.music[key]
        noise = np.random.default_rng(crc32(key.encode())).standard_normal(states.shape, dtype=np.float32)
        return (states + self.deviation * noise).astype(states.dtype)

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys_of)

    def __len__(self) -> int:
        return len(self.keys_of)


def exchange_captions(songs: Sequence[PreparedSong], share: float) -> list[PreparedSong]:
    """Replace a share of the captions by those of other songs; votes stay with the place, and the draw is fixed."""
    random = np.random.default_rng(0)
    whole = list(songs)
    pool = [(index, caption) for index, entry in enumerate(whole) for caption in entry.song.captions]

    def draw(index: int, own: Any) -> Any:
        if random.random() >= share or len(whole) < 2:
            return own
        other = pool[int(random.integers(len(pool)))]
        while other[0] == index:
            other = pool[int(random.integers(len(pool)))]
        return replace(own, text=other[1].text)

    return [
        replace(entry, song=replace(entry.song, captions=tuple(draw(index, one) for one in entry.song.captions)))
        for index, entry in enumerate(whole)
    ]
