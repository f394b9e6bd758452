"""Made-up songs: real lyrics paired with real music, each with a caption of what the teachers find in both."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from recap_cli.facts.facts import Facts
from recap_cli.facts.known import join_facts
from recap_cli.facts.music import find_music_facts
from recap_cli.facts.wordings import write_caption
from recap_cli.real.music_windows import TagMover, Track
from recap_cli.real.song_lyrics import LyricsPool
from recap_cli.real.song_music import make_music


@dataclass(frozen=True)
class Pair:
    """A made-up song."""

    id: str
    states: np.ndarray  # of its music [windows, 100], in fp16
    lyrics: str
    facts: Facts
    caption: str


def make_pairs(
    split: str, count: int, tracks: Sequence[Track], lyrics: LyricsPool, mover: TagMover, seed: int
) -> Iterator[Pair]:
    """Yields the made-up songs of a split; music that the teacher would not judge is drawn again.

    The n-th song is the same however many are made.
    """
    for number in range(count):
        # Not by `hash`, which differs from process to process.
        random = np.random.default_rng([seed, number, *split.encode()])
        states = make_music(tracks, mover, random)
        while (music := find_music_facts(states.astype(np.float32))).unlike:
            states = make_music(tracks, mover, random)
        words = lyrics.draw(random)
        facts = join_facts(music, words.language, words.themes).facts
        song = f"{split}-{number:06d}"
        yield Pair(song, states, words.text, facts, write_caption(facts, f"{seed}:{song}"))
