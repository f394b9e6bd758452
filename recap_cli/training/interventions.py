"""Deliberate changes to the data of a run, for controlled experiments; the prepared folder stays as it is."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from zlib import crc32

import numpy as np

from recap_cli.corpus.dataset import PreparedData, PreparedSong
from recap_cli.corpus.shards import ShardReader
from recap_cli.corpus.song import Caption
from recap_cli.training.recipes import SHUFFLED, Interventions

# Steps of the learned constant sequence: about the length of 4 s of music.
CONSTANT_STEPS = 32
# Songs whose music states decide how large "relative noise" is.
NOISE_SONGS = 100

Music = Mapping[str, np.ndarray] | ShardReader


class ComputedStates(dict[str, np.ndarray]):
    """Music states by mel key, computed each time they are asked for and never kept."""

    def __init__(self, compute: Callable[[str], np.ndarray]) -> None:
        super().__init__()
        self.compute = compute

    def __missing__(self, key: str) -> np.ndarray:
        return self.compute(key)


def change_states(music: Music, data: PreparedData, study: Interventions) -> Music:
    """Returns the music states by mel key as a run gets them."""
    if study.music == SHUFFLED:
        music = shuffle_music(music, shuffled_keys(data))
    return add_noise(music, study.music_noise, data) if study.music_noise else music


def partners(count: int, seed: int) -> list[int]:
    """Returns another song's number for each song, each used once: a random cycle through all (Sattolo 1986)."""
    order = np.random.default_rng(seed).permutation(count)
    other = np.empty(count, dtype=int)
    other[order] = np.roll(order, 1)
    return other.tolist()


def shuffled_keys(data: PreparedData) -> dict[str, str]:
    """Returns for each mel key the key of another song of its split: one fixed derangement."""
    swapped: dict[str, str] = {}
    for name in sorted(data.splits):
        keys = list(dict.fromkeys(entry.mel for entry in data.split(name)))
        swapped |= {key: keys[other] for key, other in zip(keys, partners(len(keys), seed=0), strict=True)}
    return swapped


def shuffle_music(music: Music, other: Mapping[str, str]) -> ComputedStates:
    """Returns the music states of other songs."""
    return ComputedStates(lambda key: music[other[key]])


def add_noise(music: Music, noise: float, data: PreparedData) -> ComputedStates:
    """Returns music states with Gaussian noise, the same at every reading of a song."""
    judged = [music[entry.mel] for entry in data.songs[:NOISE_SONGS]]
    deviation = noise * np.concatenate(judged).astype(np.float32).std(axis=0)

    def noisy(key: str) -> np.ndarray:
        states = music[key]
        drawn = np.random.default_rng(crc32(key.encode())).standard_normal(states.shape, dtype=np.float32)
        return (states + deviation * drawn).astype(states.dtype)

    return ComputedStates(noisy)


def exchange_captions(songs: Sequence[PreparedSong], share: float) -> list[PreparedSong]:
    """Returns the songs with a share of the captions replaced by other songs'; the draw is fixed.

    Votes stay where they were, so that `--min-votes` leaves out the same captions with and without noise.
    """
    if not share:
        return list(songs)
    random = np.random.default_rng(0)
    whole = list(songs)
    pool = [(index, caption) for index, entry in enumerate(whole) for caption in entry.song.captions]

    def draw(index: int, own: Caption) -> Caption:
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
