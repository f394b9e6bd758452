"""Deliberate changes to the data of a run, for controlled experiments; the prepared folder stays as it is."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from zlib import crc32

import numpy as np

from recap_cli.corpus.dataset import PreparedData, PreparedSong
from recap_cli.corpus.shards import ShardReader
from recap_cli.errors import OptionError

OWN, SHUFFLED, CONSTANT = "own", "shuffled", "constant"
# Steps of the learned constant sequence: about the length of 4 s of music.
CONSTANT_STEPS = 32
# Songs whose music states say how large their noise is.
JUDGED_SONGS = 100

Music = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Study:
    """What is changed; the defaults change nothing.

    Attributes:
        music: `own`; `shuffled`: every song hears another song of its split, always the same one, in training and in
            test; `constant`: the fusion hears a learned sequence, the same for all songs (as many parameters as with
            music, and only lyrics to read).
        music_noise: standard deviation of noise on the music states, relative to theirs; the same in training and test.
        caption_noise: share of training captions that are replaced by a caption of another song.
        captioned_songs: only so many training songs keep their captions; the others count in the alignment loss alone.
    """

    music: str = OWN
    music_noise: float = 0.0
    caption_noise: float = 0.0
    captioned_songs: int | None = None

    def __post_init__(self) -> None:
        if self.music not in (OWN, SHUFFLED, CONSTANT):
            raise OptionError(f"music {self.music!r} is not known", f"choose {OWN}, {SHUFFLED} or {CONSTANT}")
        if not (math.isfinite(self.music_noise) and self.music_noise >= 0 and 0 <= self.caption_noise <= 1):
            raise OptionError("noise is out of range", "music noise is 0 or more, caption noise a share")
        if self.captioned_songs is not None and self.captioned_songs < 1:
            raise OptionError(f"{self.captioned_songs} captioned songs leave nothing to learn", "give 1 or more")

    @property
    def changes_captions(self) -> bool:
        """Whether the training captions are not those of the folder."""
        return self.caption_noise > 0 or self.captioned_songs is not None

    def training_songs(self, songs: Sequence[PreparedSong]) -> Sequence[PreparedSong]:
        """Give the training songs with the captions that are learnt from."""
        return exchange_captions(songs, self.caption_noise) if self.caption_noise else songs

    def captioned(self, songs: Sequence[PreparedSong]) -> Sequence[PreparedSong]:
        """Give the training songs that keep their captions."""
        return self.training_songs(songs)[: self.captioned_songs]

    def states(self, music: Music | ShardReader, data: PreparedData) -> Music | ShardReader:
        """Give the music states by mel key as this study hears them."""
        if self.music == SHUFFLED:
            music = ShuffledMusic(music, shuffled_keys(data))
        return NoisyMusic(music, self.music_noise, data) if self.music_noise else music


def partners(count: int, seed: int) -> list[int]:
    """Give each song another one, each used once: a random cycle through all (Sattolo 1986)."""
    order = np.random.default_rng(seed).permutation(count)
    other = np.empty(count, dtype=int)
    other[order] = np.roll(order, 1)
    return other.tolist()


def shuffled_keys(data: PreparedData) -> dict[str, str]:
    """Give for each mel key the key of another song of its split: one fixed derangement."""
    swapped: dict[str, str] = {}
    for name in sorted(data.splits):
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
