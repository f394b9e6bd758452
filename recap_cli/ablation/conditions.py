"""The arms of an ablation: what is trained, and the record that each run leaves."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from recap_cli.errors import OptionError

# Beside the weights, in the order of the table: what `--baselines` adds.
BART, LYRICS_ONLY, SHUFFLED, FUSION = "bart", "constant-music", "shuffled-music", "fusion"
BASELINES = {
    BART: "BART (no music)",
    LYRICS_ONLY: "constant music (same size, lyrics only)",
    SHUFFLED: "shuffled music",
    FUSION: "BART-fusion (alpha 0)",
}


@dataclass(frozen=True)
class Arm:
    """One way of training; all arms of a seed share initial weights, order of the data and steps.

    Attributes:
        baseline: a key of `BASELINES`, or "" for a weight of the alignment loss.
        alpha: the weight; 0 for baselines.
        loss: the alignment loss; "" for baselines.
        align_layer: the lyrics state that is aligned; None is the recipe's.
    """

    baseline: str = ""
    alpha: float = 0.0
    loss: str = ""
    align_layer: int | None = None

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

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> "Arm":
        """Read what `asdict` wrote."""
        return cls(**record)


@dataclass(frozen=True)
class RunRecord:
    """One finished run: a line of `results.jsonl`, enough for every table and figure.

    Attributes:
        key: what all runs of a sweep share: data, split, settings.
        arm: its arm.
        seed: its seed.
        signature: how its figures were made.
        values: figures of every song in the test songs' order [songs], from 0 to 1: `rouge1`, `rouge2`, `rougeL`
            (F1, best reference), `meteor`, `rougeL_recall`, `rougeL_mean` (F1, mean over references), `rougeL_single`
            (F1, first reference), and on demo songs `attributes` (share of the seven that the caption names rightly).
        attributes: on demo songs, the share of captions that name each attribute rightly; "all" is all at once.
        validation: figures of the best epoch on the validation songs: `rougeL`, `meteor`, `caption_loss` (nats a
            token) and, with music, `matched_cosine`, `mismatched_cosine`, `cosine_gap`.
        measures: of the test songs, one number each: `caption_loss` (nats a token),
            `caption_tokens` (tokens a caption), and with music `matched`,
            `mismatched`, `gap`, `recall_at_10`, `attention_entropy` (1 is uniform), `attention_swapped`, and on demo
            songs `music_following` (share of sound words that follow another song's music) and `unseen_attributes`.
            Those of the probe that rides in an alpha-0 run begin with `probe_`.
        made: version, threads, seconds, fingerprint of the weights.
    """

    key: dict[str, Any]
    arm: Arm
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
        """Read what `to_json` wrote.

        Raises:
            KeyError, TypeError, ValueError: it is none.
        """
        return cls(**{**record, "arm": Arm.from_json(record["arm"])})


def records_of(records: Sequence[RunRecord], arm: Arm) -> list[RunRecord]:
    """Give the runs of an arm, by seed."""
    return sorted((record for record in records if record.arm == arm), key=lambda record: record.seed)
