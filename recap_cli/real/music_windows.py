"""Windows of real music before musicnn's last layer, and moved ones: music that sounds of other tags.

Songs with singing, and many genres, are scarce among music that may be had offline. So the tags of real windows are
moved to wanted ones: the least change of the last hidden units that gives the tags their wanted log odds, found
by the pseudo-inverse of the last layer's rows. All other tags follow as the layer has learnt them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch

from recap_cli.corpus.dataset import PreparedData
from recap_cli.facts.music import PLACES, log_odds
from recap_cli.model.musicnn import TAGS, UNITS, WINDOWS_AT_ONCE, Musicnn, cut
from recap_cli.progress import Progress
from recap_cli.runtime.feature_cache import Features, encoder_fingerprint, fill_cache

TAGS_EACH = 50  # of a tagger
STEPS, GAIN = 16, 1.9  # towards wanted tags: a gain of 2 is the most that stays stable
MOST_WINDOWS = 20  # of a track, spread over it


@dataclass(frozen=True)
class Track:
    """A track of real music."""

    key: str  # of its mel
    units: np.ndarray  # of the taggers' last hidden layers in each window [windows, 400]


class TagMover:
    """Moves windows of music towards tags.

    Args:
        encoder: whose last layers give the tags.
    """

    def __init__(self, encoder: Musicnn) -> None:
        layers = [encoder.tagger(name).out for name in TAGS]
        self.weights = [layer.weight.detach().numpy().astype(np.float64) for layer in layers]
        self.biases = [layer.bias.detach().numpy().astype(np.float64) for layer in layers]

    def tags(self, units: np.ndarray) -> np.ndarray:
        """Returns the probabilities of all tags [windows, 100] of hidden units [windows, 400]."""
        halves = np.split(units.astype(np.float64), [UNITS], axis=1)
        odds = [half @ weight.T + bias for half, weight, bias in zip(halves, self.weights, self.biases, strict=True)]
        return 1 / (1 + np.exp(-np.concatenate(odds, axis=1)))

    def move(self, units: np.ndarray, wanted: Mapping[str, float]) -> np.ndarray:
        """Returns windows [windows, 400] in which some tags have on average nearly the wanted probabilities.

        Hidden units stay at 0 or above, as they are behind a ReLU: what that takes back is asked for again.

        Args:
            units: of windows [windows, 400].
            wanted: probabilities of tags, by their names in `NAMES`.
        """
        places = [PLACES[name] for name in wanted]
        goal = log_odds(np.array(list(wanted.values()), np.float64))
        halves = [[row for row, place in enumerate(places) if place // TAGS_EACH == half] for half in range(len(TAGS))]
        ways = [
            np.linalg.pinv(weight[[places[row] % TAGS_EACH for row in rows]]) if rows else None
            for weight, rows in zip(self.weights, halves, strict=True)
        ]
        moved = units.astype(np.float64)
        for _ in range(STEPS if wanted else 0):
            lacking = GAIN * (goal - log_odds(self.tags(moved)).mean(axis=0)[places])
            for half, (way, rows) in enumerate(zip(ways, halves, strict=True)):
                if way is not None:
                    moved[:, half * UNITS : (half + 1) * UNITS] += way @ lacking[rows]
            moved = np.maximum(moved, 0)
        return moved


def read_tracks(data: PreparedData, encoder: Musicnn, progress: Progress) -> list[Track]:
    """Returns the tracks of a prepared folder of music, in the order of their keys; what is found stays in the folder.

    Raises:
        DataError: the folder is damaged, or cannot take what is found.
    """
    steps = {one.mel: min(MOST_WINDOWS, encoder.steps(data.mels.shapes[one.mel][1])) for one in data.songs}

    def encode(keys: list[str]) -> Iterator[tuple[str, np.ndarray]]:
        for key in keys:
            windows = cut(torch.from_numpy(data.mels[key].astype(np.float32)), data.mels.shapes[key][1])
            chosen = np.linspace(0, len(windows) - 1, steps[key]).round().astype(int)
            yield key, find_units(encoder, torch.stack([windows[place] for place in chosen]))

    features = Features({key: [count, 2 * UNITS] for key, count in steps.items()}, "the music", "tracks")
    kept = fill_cache(data.folder, f"units-{encoder_fingerprint(encoder)}", features, encode, progress)
    return [Track(key, kept[key]) for key in sorted(steps)]


def find_units(encoder: Musicnn, windows: torch.Tensor) -> np.ndarray:
    """Returns the hidden units [windows, 400] of windows [windows, 96 mels, 187 frames], in fp16."""
    with torch.inference_mode():
        taggers = [encoder.tagger(name) for name in TAGS]
        parts = [torch.cat([one.represent(some) for one in taggers], dim=1) for some in windows.split(WINDOWS_AT_ONCE)]
    return torch.cat(parts).numpy().astype(np.float16)


def choose_windows(units: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
    """Returns `count` windows of a track in their order, from a random one on; those of a short track come again."""
    start = random.integers(max(1, len(units) - count + 1))
    return units[(start + np.arange(count)) % len(units)]
