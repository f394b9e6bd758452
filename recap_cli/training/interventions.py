"""Deliberate changes to the data of a run, for controlled experiments; the prepared folder stays as it is."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from zlib import crc32

import numpy as np

from recap_cli.corpus.dataset import PreparedData, PreparedSong
from recap_cli.corpus.shards import ShardReader
from recap_cli.corpus.song import Caption
from recap_cli.errors import OptionError

OWN, SHUFFLED, CONSTANT = "own", "shuffled", "constant"
# Steps of the learned constant sequence: about the length of 4 s of music.
CONSTANT_STEPS = 32
# Songs whose music states decide how large "relative noise" is.
NOISE_SONGS = 100

Music = Mapping[str, np.ndarray] | ShardReader


@dataclass(frozen=True)
class Interventions:
    """What is changed; the defaults change nothing.

    Attributes:
        music: `own`; `shuffled`: every song gets the music of another song of its split, always the same one, in
            training and in test; `constant`: the fusion attends to a learned sequence, the same for all songs (as many
            parameters as with music, but only lyrics to read).
        music_noise: standard deviation of noise on the music states, relative to theirs; the same in training and test.
        caption_noise: share of training captions that are replaced by a caption of another song.
        captioned_songs: this many training songs keep their captions, the others count in the alignment loss alone;
            None is all of them.
    """

    music: str = OWN
    music_noise: float = 0.0
    caption_noise: float = 0.0
    captioned_songs: int | None = None

    def __post_init__(self) -> None:
        if self.music not in (OWN, SHUFFLED, CONSTANT):
            raise OptionError(f"music {self.music!r} is not known", f"choose {OWN}, {SHUFFLED} or {CONSTANT}")
        if not (math.isfinite(self.music_noise) and self.music_noise >= 0 and 0 <= self.caption_noise <= 1):
            raise OptionError("noise is out of range", "music noise is 0 or more, caption noise a share from 0 to 1")
        if self.captioned_songs is not None and self.captioned_songs < 1:
            raise OptionError(f"{self.captioned_songs} captioned songs leave nothing to learn", "give 1 or more")

    @property
    def changes_captions(self) -> bool:
        """Whether the training captions are not those of the folder."""
        return self.caption_noise > 0 or self.captioned_songs is not None

    def training_songs(self, songs: Sequence[PreparedSong]) -> Sequence[PreparedSong]:
        """Returns the training songs with the captions that are learned from."""
        return exchange_captions(songs, self.caption_noise) if self.caption_noise else songs

    def states(self, music: Music, data: PreparedData) -> Music:
        """Returns the music states by mel key as the model gets them."""
        if self.music == SHUFFLED:
            music = shuffle_music(music, shuffled_keys(data))
        return add_noise(music, self.music_noise, data) if self.music_noise else music


class ComputedStates(dict[str, np.ndarray]):
    """Music states by mel key, computed each time they are asked for and never kept."""

    def __init__(self, compute: Callable[[str], np.ndarray]) -> None:
        super().__init__()
        self.compute = compute

    def __missing__(self, key: str) -> np.ndarray:
        return self.compute(key)


def partners(count: int, seed: int) -> list[int]:
    """Returns another song's number for each song, each used once: a random cycle through all (Sattolo 1986)."""
    order = np.random.default_rng(seed).permutation(count)
    other = np.empty(count, dtype=int)
    other[order] = np.roll(order, 1)
    return other.tolist()


def shuffled_keys(data: PreparedData) -> dict[str, str]:
    """Returns for each mel key the key of another song of its split: one fixed derangement."""
    swapped: dict[str, str] = {}
    for name in sorted(data.split_names):
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
