"""The rows of Table 1: systems that are scored, runs that differ by seed only, and figures that a paper printed."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from recap_cli.corpus.dataset import PreparedData
from recap_cli.demo.lexicon import ATTRIBUTES, read_attributes
from recap_cli.errors import DataError
from recap_cli.evaluation.songs import SongSet
from recap_cli.progress import Progress
from recap_cli.runtime.run_folder import OPTIONS_FILE
from recap_cli.scoring.bootstrap import Interval
from recap_cli.scoring.facts import COUNTS, FACT_PARTS, facts_of
from recap_cli.scoring.seeds import seeds_interval
from recap_cli.scoring.text import HEADLINE, KEYS, TextScores, score_songs
from recap_cli.tables.cells import shown
from recap_cli.tables.rows import read_columns, read_table

FULL = "Full"
VARIANTS = {"full": FULL, "positive": "Votes > 0", "not_negative": "Votes >= 0"}
PAPER_LAYOUTS = ("alcap", "song-interpretation")  # of the paper's songs
PAPER_COLUMNS = ("variant", "model")


@dataclass(frozen=True)
class Origin:
    """What a run was trained as."""

    model: str = ""  # a row of the paper's Table 1: BART, BART-fusion or RECAP; "" where it is not known
    variant: str = ""  # the training captions, "Full" or "Votes > 0"; "" where it is not known
    seed: int | None = None
    settings: dict[str, Any] = field(default_factory=dict)  # every other setting


@dataclass(frozen=True)
class SystemScores:
    """One system's captions and their scores."""

    name: str  # the run, file or control
    captions: list[tuple[str, ...]]  # of each song, in the songs' order: one or several
    scores: TextScores
    intervals: dict[str, Interval]  # the protocol's figures, over songs
    attributes: dict[str, float]  # on demo songs, the share of captions that name each attribute correctly
    origin: Origin = field(default_factory=Origin)
    source: str = ""  # the path of the run or file, and of which control

    def to_json(self) -> dict[str, Any]:
        """The figures as plain values."""
        best, mean = self.scores.means(), self.scores.means("mean")
        words = best.pop("length")
        del mean["length"]
        return {
            "name": self.name,
            "source": self.source or self.name,
            "model": self.origin.model,
            "variant": self.origin.variant,
            "seed": self.origin.seed,
            "songs": len(self.captions),
            "captions": sum(map(len, self.captions)),
            "scores": scores_to_json(self.intervals),
            "best_reference": best,
            "mean_of_references": mean,
            "words_per_caption": words,
            "distinct_captions": self.scores.distinct,
            "copied_5grams": self.scores.copied,
            "facts": facts_to_json(self.scores.rows.facts),
            **({"tag_facts": facts_to_json(tagged)} if (tagged := self.scores.rows.tag_facts) is not None else {}),
            **({"attribute_accuracy": self.attributes} if self.attributes else {}),
        }


@dataclass(frozen=True)
class Entry:
    """A row of the table: one system, or runs that differ by their seed only."""

    systems: tuple[SystemScores, ...]
    intervals: dict[str, Interval]  # the protocol's figures; over seeds and songs where there are several runs

    @property
    def name(self) -> str:
        """The run, or the first one and the number of seeds."""
        first = self.systems[0].name
        return first if len(self.systems) == 1 else f"{first} ({len(self.systems)} seeds)"

    @property
    def origin(self) -> Origin:
        """What it was trained as."""
        return self.systems[0].origin

    def to_json(self) -> dict[str, Any]:
        """The row as plain values."""
        return {
            "name": self.name,
            "model": self.origin.model,
            "variant": self.origin.variant,
            "runs": [system.name for system in self.systems],
            "seeds": len(self.systems),
            "scores": scores_to_json(self.intervals),
        }


def scores_to_json(intervals: Mapping[str, Interval]) -> dict[str, dict[str, float]]:
    """Returns a protocol's figures as plain values, under the names of `KEYS`."""
    return {KEYS[name]: vars(found) for name, found in intervals.items()}


def facts_to_json(counts: np.ndarray) -> dict[str, float]:
    """Returns counts of facts [songs, 4] as shares and sums over songs, under the names of `COUNTS`."""
    sums = counts.sum(axis=0, dtype=float)
    found: dict[str, float] = {part: float(facts_of(sums, part)) for part in FACT_PARTS}
    return found | dict(zip(COUNTS, sums.tolist(), strict=True))


def score_system(
    name: str,
    captions: Sequence[str | tuple[str, ...]],
    songs: SongSet,
    protocol: str,
    progress: Progress,
    origin: Origin | None = None,
    source: str = "",
) -> SystemScores:
    """Scores a system's captions, one or several a song."""
    several = [(one,) if isinstance(one, str) else one for one in captions]
    scores = score_songs(songs.ids, several, songs.references, progress, songs.lyrics, songs.clusters, songs.judges)
    attributes = {}
    if songs.tags:
        tags = [truth for truth, said in zip(songs.tags, several, strict=True) for _ in said]
        attributes = attribute_accuracy(tags, [caption for said in several for caption in said])
    return SystemScores(name, several, scores, scores.intervals(protocol), attributes, origin or Origin(), source)


def attribute_accuracy(tags: Sequence[dict[str, str]], captions: Sequence[str]) -> dict[str, float]:
    """Returns the share of captions that name each attribute of their demo song correctly, and all of them."""
    return share_right(tags, [read_attributes(caption) for caption in captions])


def share_right(truth: Sequence[dict[str, str]], said: Sequence[Mapping[str, str | None]]) -> dict[str, float]:
    """Returns the share of songs whose attribute was said rightly, for each attribute and for all at once."""
    pairs = list(zip(truth, said, strict=True))
    shares = {name: sum(right[name] == one[name] for right, one in pairs) / len(pairs) for name in ATTRIBUTES}
    shares["all"] = sum(all(right[name] == one[name] for name in ATTRIBUTES) for right, one in pairs) / len(pairs)
    return shares


def read_origin(run: Path, data: PreparedData | None = None) -> Origin:
    """Reads from a run's options what it was trained as; nothing is known of a model without them.

    Where it was trained on the folder `data`, that says which of the paper's captions it saw.
    """
    try:
        record = json.loads((run / OPTIONS_FILE).read_text(encoding="utf-8"))
        seed = record.pop("seed")
        aligned = record["alpha"] > 0 and record["alignment_loss"] != "none"
        model = "BART" if record["no_music"] else "RECAP" if aligned else "BART-fusion"
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return Origin()
    made = dict(record)
    if data is not None and record.get("data_fingerprint") == data.fingerprint:
        made |= data.info.get("options", {})
        if data.info.get("layout") in PAPER_LAYOUTS:
            made["variant"] = made.get("variant") or "full"
    return Origin(model, name_variant(made), seed, record)


def name_variant(made: Mapping[str, Any]) -> str:
    """Returns what the paper calls the training captions; "" where they are not its own."""
    votes = made.get("min_votes")
    if votes is not None:
        return "Votes > 0" if votes == 1 else f"Votes >= {votes}"
    return VARIANTS.get(str(made.get("variant")), "")


def group_seeds(systems: Sequence[SystemScores], protocol: str) -> list[Entry]:
    """Puts runs that differ by nothing but their seed into one row, in the order of their first runs.

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
    """Returns the intervals of runs that are seeds of one training: over seeds and songs."""
    if len(runs) == 1:
        return runs[0].intervals
    return {
        figure: seeds_interval(np.array([run.scores.shares(figure, protocol) for run in runs]))
        for figure in runs[0].scores.figures
    }


@dataclass(frozen=True)
class PaperRow:
    """A row as a paper printed it; the reader of the paper fills in the file."""

    variant: str  # training captions, such as "Full"
    model: str  # its name in the paper
    figures: dict[str, float]  # of `HEADLINE`, in points; what the paper leaves out is left out

    def to_json(self) -> dict[str, Any]:
        """The row as plain values, the scores from 0 to 1 as ours."""
        scores = {name: round(points / 100, 6) for name, points in self.figures.items()}
        return {"variant": self.variant, "model": self.model, "scores": scores}


def read_paper_table(path: Path) -> list[PaperRow]:
    """Reads a table with the columns variant, model, rouge1, rouge2, rougeL, meteor; figures in points.

    Raises:
        DataError: the file cannot be read, or a row cannot be used; it is named by its line.
    """
    hint = f"its columns must be {', '.join(PAPER_COLUMNS + HEADLINE)}"
    rows = []
    if lacking := next((name for name in PAPER_COLUMNS if name not in read_columns(path)), ""):
        raise DataError(f"{path} has no column {lacking}", hint)
    for line, record in read_table(path, PAPER_COLUMNS[0]):
        if isinstance(record, str):
            raise DataError(f"{path}, line {line}: {record}", "correct it")
        cells = {name: record.get(name.lower(), "").strip() for name in HEADLINE}
        figures = {name: read_points(f"{path}, line {line}: {name}", cell) for name, cell in cells.items() if cell}
        rows.append(PaperRow(record.get("variant", ""), record.get("model", ""), figures))
    if not rows:
        raise DataError(f"{path} has no rows", hint)
    return rows


def read_points(place: str, cell: str) -> float:
    """Returns the number of a cell.

    Raises:
        DataError: it is no number of points.
    """
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 100:
        raise DataError(f"{place} is {shown(cell)}, not points from 0 to 100", "correct it")
    return value
