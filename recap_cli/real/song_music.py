"""The music of a made-up song: windows of a track, moved to the tags that are wanted."""

from collections.abc import Sequence

import numpy as np

from recap_cli.facts.music import log_odds
from recap_cli.real.music_windows import TagMover, Track, choose_windows
from recap_cli.real.wanted_tags import draw_sound, draw_voice, voice_tags

WINDOWS = (4, 75)  # 12 s to nearly 4 min
UNMOVED = 0.15  # share of songs whose music stays as it was
SUNG = (0.35, 1.0)  # share of windows in which somebody sings
MOST_NOISE = 0.6  # on the log odds of a window: windows that were moved differ too little from each other
FEW_PARTS = 4  # in which singing goes on, between which it pauses


def make_music(tracks: Sequence[Track], mover: TagMover, random: np.random.Generator) -> np.ndarray:
    """Returns music states [windows, 100] of a song, in fp16."""
    track = tracks[int(random.integers(len(tracks)))]
    units = choose_windows(track.units, int(random.integers(*WINDOWS)), random).astype(np.float64)
    if random.random() > UNMOVED:
        units = add_voice(units, mover, random)
        units = mover.move(units, draw_sound(mover.tags(units), random))
    odds = log_odds(mover.tags(units))
    odds += random.uniform(0, MOST_NOISE) * random.standard_normal(odds.shape)
    return (1 / (1 + np.exp(-odds))).astype(np.float16)


def add_voice(units: np.ndarray, mover: TagMover, random: np.random.Generator) -> np.ndarray:
    """Returns windows with a voice in some of them, in none, or with that of the music as it is."""
    voice = draw_voice(random)
    if not voice:
        return units
    sung = np.full(len(units), voice != "none") & draw_sung(len(units), random)
    for windows, what in ((sung, voice), (~sung, "none")):
        if windows.any():
            units[windows] = mover.move(units[windows], voice_tags(what, random))
    return units


def draw_sung(windows: int, random: np.random.Generator) -> np.ndarray:
    """Returns in which windows somebody sings [windows]: parts of a song between an introduction and solos."""
    edges = np.sort(random.choice(windows, min(windows, 2 * FEW_PARTS), replace=False))
    sung = np.zeros(windows, bool)
    share = random.uniform(*SUNG)
    for start, stop in zip(edges, [*edges[1:], windows], strict=True):
        sung[start:stop] = random.random() < share
    return sung
