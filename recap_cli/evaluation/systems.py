"""Systems that are scored: one caption a song, their rows and intervals, and runs that differ by seed only."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from recap_cli.demo.lexicon import ATTRIBUTES, read_attributes
from recap_cli.evaluation.captions import SongSet
from recap_cli.outputs import file_stem
from recap_cli.progress import Progress
from recap_cli.runtime.run_folder import OPTIONS_FILE
from recap_cli.scoring.bootstrap import Interval, interval, over_seeds
from recap_cli.scoring.text import TextScores, score_songs

FULL = "Full"
VARIANTS = {"full": FULL, "positive": "Votes > 0", "not_negative": "Votes >= 0"}


@dataclass(frozen=True)
class Origin:
    """What a run was trained as.

    Attributes:
        model: the row of the paper's Table 1: BART, BART-fusion or RECAP; "" where it is not known.
        variant: the training captions, "Full" or "Votes > 0"; "" where it is not known.
        seed: of the training.
        settings: every other setting.
    """

    model: str = ""
    variant: str = ""
    seed: int | None = None
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class SystemScores:
    """One system's captions and their scores.

    Attributes:
        name: the run, file or control.
        captions: one a song, in the songs' order.
        scores: rows and corpus figures.
        intervals: the protocol's figures with 95 % bootstrap intervals over songs.
        attributes: on demo songs, the share of captions that name each attribute correctly.
        origin: what it was trained as.
        source: the path of the run or file, and of which control.
    """

    name: str
    captions: list[str]
    scores: TextScores
    intervals: dict[str, Interval]
    attributes: dict[str, float]
    origin: Origin = field(default_factory=Origin)
    source: str = ""

    @property
    def stem(self) -> str:
        """What its files are called: its own name whatever the other systems are called."""
        return file_stem(self.source or self.name)

    def to_json(self) -> dict[str, Any]:
        """The figures as plain values."""
        return {
            "run": self.name,
            "source": self.source or self.name,
            "model": self.origin.model,
            "variant": self.origin.variant,
            "seed": self.origin.seed,
            "songs": len(self.captions),
            **{name: vars(found) for name, found in self.intervals.items()},
            "all": self.scores.means(),
            "mean_over_references": self.scores.means("mean"),
            "distinct_captions": self.scores.distinct,
            "copied_5grams": self.scores.copied,
            **({"attribute_accuracy": self.attributes} if self.attributes else {}),
        }


@dataclass(frozen=True)
class Entry:
    """A row of the table: one system, or runs that differ by their seed only.

    Attributes:
        systems: the runs; several are seeds of one training.
        intervals: the protocol's figures; over seeds, then songs, where there are several.
    """

    systems: tuple[SystemScores, ...]
    intervals: dict[str, Interval]

    @property
    def name(self) -> str:
        """The run, or the first one and the number of seeds."""
        first = self.systems[0].name
        return first if len(self.systems) == 1 else f"{first} ({len(self.systems)} seeds)"

    @property
    def origin(self) -> Origin:
        """What it was trained as."""
        return self.systems[0].origin

    def table(self, figure: str, protocol: str) -> np.ndarray:
        """Give one figure of every seed and song [seeds, songs]."""
        return np.array([system.scores.headline_values(figure, protocol) for system in self.systems])

    def mean(self, values: Sequence[float | None]) -> float | None:
        """Average a figure of each run; None where a run lacks it."""
        known = [value for value in values if value is not None]
        return float(np.mean(known)) if len(known) == len(self.systems) else None

    def to_json(self) -> dict[str, Any]:
        """The row as plain values."""
        return {
            "name": self.name,
            "model": self.origin.model,
            "variant": self.origin.variant,
            "runs": [system.name for system in self.systems],
            "seeds": len(self.systems),
            **{name: vars(found) for name, found in self.intervals.items()},
        }


def score_system(
    name: str,
    captions: list[str],
    songs: SongSet,
    protocol: str,
    progress: Progress,
    origin: Origin | None = None,
    source: str = "",
) -> SystemScores:
    """Score a system's captions."""
    scores = score_songs(songs.ids, captions, songs.references, progress, songs.lyrics)
    attributes = attribute_accuracy(songs.tags, captions) if songs.tags else {}
    return SystemScores(name, captions, scores, scores.intervals(protocol), attributes, origin or Origin(), source)


def attribute_accuracy(tags: Sequence[dict[str, str]], captions: Sequence[str]) -> dict[str, float]:
    """Give the share of captions that name each attribute of their demo song correctly, and all of them."""
    return share_right(tags, [read_attributes(caption) for caption in captions])


def share_right(truth: Sequence[dict[str, str]], said: Sequence[Any]) -> dict[str, float]:
    """Give the share of songs whose attribute was said rightly, for each attribute and for all at once."""
    pairs = list(zip(truth, said, strict=True))
    shares = {name: sum(right[name] == one[name] for right, one in pairs) / len(pairs) for name in ATTRIBUTES}
    shares["all"] = sum(all(right[name] == one[name] for name in ATTRIBUTES) for right, one in pairs) / len(pairs)
    return shares


def read_origin(run: Path) -> Origin:
    """Read from a run's options what it was trained as; nothing is known of a model without them."""
    try:
        record = json.loads((run / OPTIONS_FILE).read_text(encoding="utf-8"))
        seed = record.pop("seed")
        aligned = record["alpha"] > 0 and record["alignment_loss"] != "none"
        model = "BART" if record["no_music"] else "RECAP" if aligned else "BART-fusion"
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return Origin()
    votes = record.get("min_votes")
    variant = VARIANTS.get(str(record.get("variant")), FULL)
    if votes is not None:
        variant = "Votes > 0" if votes == 1 else f"Votes >= {votes}"
    return Origin(model, variant, seed, record)


def group_seeds(systems: Sequence[SystemScores], protocol: str) -> list[Entry]:
    """Put runs that differ by nothing but their seed into one row, in the order of their first runs.

    A seed that comes twice makes a row of its own: the same run is no second seed.
    """
    groups: dict[str, list[SystemScores]] = {}
    for number, system in enumerate(systems):
        origin = system.origin
        key = json.dumps([origin.settings, 0], sort_keys=True) if origin.settings else f"system {number}"
        if any(other.origin.seed == origin.seed for other in groups.get(key, [])):
            key = f"system {number}"
        groups.setdefault(key, []).append(system)
    return [Entry(tuple(runs), group_intervals(runs, protocol)) for runs in groups.values()]


def group_intervals(runs: Sequence[SystemScores], protocol: str) -> dict[str, Interval]:
    """Give the intervals of runs that are seeds of one training: seeds resampled, then songs."""
    if len(runs) == 1:
        return runs[0].intervals
    draws = [run.scores.draws(protocol) for run in runs]
    figures = [run.scores.headline(protocol) for run in runs]
    return {
        name: interval(
            float(np.mean([one[name] for one in figures])), over_seeds(np.array([one[name] for one in draws]))
        )
        for name in figures[0]
    }
