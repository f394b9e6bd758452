"""Demo songs whose lead instrument changes half-way: the same notes, two timbres."""

from dataclasses import dataclass

import numpy as np

from recap_cli.corpus.song import Song
from recap_cli.demo.lexicon import ATTRIBUTES
from recap_cli.demo.songs import DemoSettings, render_song
from recap_cli.demo.synthesis import DEMO_SAMPLE_RATE

CROSSFADE = 0.05


@dataclass(frozen=True)
class HalvedSong:
    """A demo song in two timbres.

    Attributes:
        song: the song; its tags are those of the first half.
        samples: at `DEMO_SAMPLE_RATE` [samples].
        timbres: of the first and the second half.
    """

    song: Song
    samples: np.ndarray
    timbres: tuple[str, str]


def render_halves(song: Song, settings: DemoSettings, rng: np.random.Generator) -> HalvedSong:
    """Play a demo song with its own instrument in one half and another one in the other; chance decides which is first.

    Args:
        song: a song of the demo corpus.
        settings: the corpus's.
        rng: chooses the other instrument and the order.
    """
    own = song.tags["timbre"]
    others = [timbre for timbre in ATTRIBUTES["timbre"] if timbre != own]
    pair = [own, others[rng.integers(len(others))]]
    if rng.random() < 0.5:
        pair.reverse()
    first, second = (render_song(song, settings, timbre) for timbre in pair)
    fade = round(CROSSFADE * DEMO_SAMPLE_RATE)
    gain = np.clip((np.arange(len(first)) - len(first) // 2) / fade + 0.5, 0.0, 1.0).astype(np.float32)
    return HalvedSong(song, first * (1 - gain) + second * gain, (pair[0], pair[1]))
