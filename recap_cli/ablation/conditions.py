"""The conditions of an ablation: what is trained, the record that each run leaves, and the file of records."""

import errno
import json
import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from recap_cli.errors import DataError, OptionError
from recap_cli.files import write_json_lines

# Beside the weights, in the order of the table: what `--baselines` adds.
BART, LYRICS_ONLY, SHUFFLED, FUSION = "bart", "constant-music", "shuffled-music", "fusion"
BASELINES = {
    BART: "BART (no music)",
    LYRICS_ONLY: "constant music (same size, lyrics only)",
    SHUFFLED: "shuffled music",
    FUSION: "BART-fusion (alpha 0)",
}


@dataclass(frozen=True)
class Condition:
    """One way of training; all conditions of a seed share initial weights, order of the data and steps."""

    baseline: str = ""  # a key of `BASELINES`, or "" for a weight of the alignment loss
    alpha: float = 0.0  # 0 for baselines
    loss: str = ""  # the alignment loss; "" for baselines
    align_layer: int | None = None  # the lyrics state that is aligned; None is the recipe's

    def __post_init__(self) -> None:
        if self.baseline and self.baseline not in BASELINES:
            raise OptionError(f"{self.baseline} is no baseline", f"there are {', '.join(BASELINES)}")
        if not (math.isfinite(self.alpha) and self.alpha >= 0):
            raise OptionError(f"{self.alpha} is not a weight", "give a number of 0 or more")

    @property
    def name(self) -> str:
        """What the table calls it."""
        if self.baseline:
            return BASELINES[self.baseline]
        layer = "" if self.align_layer is None else f", layer {self.align_layer}"
        return f"alpha {self.alpha:g}, {self.loss}{layer}"

    @property
    def axis(self) -> str:
        """The line of Figure 2 that it is a point of: its loss, and its layer where one was asked for; "" for none."""
        return "" if self.baseline else self.name.partition(", ")[2]

    @property
    def folder(self) -> str:
        """The beginning of its runs' folders."""
        layer = "" if self.align_layer is None else f"-layer-{self.align_layer}"
        return self.baseline or f"alpha-{self.alpha:g}-{self.loss}{layer}"


@dataclass(frozen=True)
class Task:
    """One run: a condition and a seed."""

    condition: Condition
    seed: int

    @property
    def name(self) -> str:
        """What messages call it."""
        return f"{self.condition.name}, seed {self.seed}"

    @property
    def folder(self) -> str:
        """Its folder below the sweep's."""
        return f"{self.condition.folder}-seed-{self.seed}"


@dataclass(frozen=True)
class RunRecord:
    """One finished run: a line of `results.jsonl`, enough for every table and figure.

    Attributes:
        key: what all runs of a sweep share: data, split, settings.
        condition: what was trained.
        seed: its seed.
        signature: how its figures were made.
        values: figures of every song in the test songs' order [songs], from 0 to 1: `rouge1`, `rouge2`, `rougeL`
            (F1, best reference), `meteor`, `rougeL_recall`, `rougeL_mean` (F1, mean over references), `rougeL_single`
            (F1, first reference), and on demo songs `attributes` (share of the seven that the caption names rightly).
        attributes: on demo songs, the share of captions that name each attribute rightly; "all" is all at once.
        validation: figures of the best epoch on the validation songs: `rougeL`, `meteor`, `caption_loss` (nats a
            token) and, with music, `matched_cosine`, `mismatched_cosine`, `cosine_gap`.
        measures: of the test songs, one number each: `caption_loss` (nats a token), `caption_tokens` (tokens a
            caption), and with music `matched`, `mismatched`, `gap`, `recall_at_10`, `attention_entropy` (1 is uniform),
            `attention_swapped`, and on demo songs `music_following` (share of sound words that follow another song's
            music) and `unseen_attributes`. Those of the probe in an alpha-0 run begin with `probe_`.
        made: version, threads, seconds, fingerprint of the weights.
    """

    key: dict[str, Any]
    condition: Condition
    seed: int
    signature: str
    values: dict[str, list[float]]
    attributes: dict[str, float] = field(default_factory=dict)
    validation: dict[str, float] = field(default_factory=dict)
    measures: dict[str, float] = field(default_factory=dict)
    made: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The record as plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> "RunRecord":
        """Reads what `to_json` wrote, or an earlier version, which called the condition `arm`.

        Raises:
            KeyError, TypeError, ValueError, OptionError: it is none.
        """
        rest = dict(record)
        condition = rest.pop("arm" if "arm" in rest else "condition")
        return cls(condition=Condition(**condition), **rest)


def records_of(records: Sequence[RunRecord], condition: Condition) -> list[RunRecord]:
    """Returns the runs of a condition, by seed."""
    return sorted((record for record in records if record.condition == condition), key=lambda record: record.seed)


# the file of finished runs --------------------------------------------------------------------------------------------


def write_results(path: Path, records: Iterable[RunRecord]) -> None:
    """Writes finished runs, atomically."""
    write_json_lines(path, [record.to_json() for record in records])


def read_results(path: Path, key: dict[str, Any]) -> dict[Task, RunRecord]:
    """Returns the finished runs of a file, none where there is no file.

    Raises:
        DataError: they are results of other data or settings, or the file is none of ours.
    """
    done = {}
    for number, line in enumerate(read_lines(path), start=1):
        try:
            record = RunRecord.from_json(json.loads(line))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OptionError) as error:
            if line.startswith('{"key": ') and not line.endswith("\n"):
                continue  # torn by a kill of an earlier version, which appended lines; its run is repeated
            raise DataError(
                f"{path}, line {number} is no result of an ablation",
                "choose another folder with --out; this file stays",
            ) from error
        if record.key != key:
            raise DataError(
                f"{path} holds results of other data or settings", "choose another folder with --out, or delete it"
            )
        done[Task(record.condition, record.seed)] = record
    return done


def read_lines(path: Path) -> list[str]:
    """Returns the lines of a file with their ends; none where there is no file.

    Raises:
        DataError: it cannot be read as text.
    """
    if not os.path.lexists(path):
        return []
    try:
        if not path.is_file():
            raise OSError(errno.EINVAL, "no file")
        return path.read_text(encoding="utf-8").splitlines(keepends=True)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{path} is no file of results: {reason}", "choose another with --out") from error
