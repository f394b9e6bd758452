"""What a preparation came to, or would come to."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recap_cli.records import SCHEMA

if TYPE_CHECKING:
    from recap_cli.corpus.splits import Leakage


@dataclass(frozen=True)
class PrepareResult:
    """What a data folder holds now."""

    out: Path
    songs: int
    captions: int
    hours: float  # of audio in the mels
    splits: dict[str, int]  # songs a split
    rejected: int
    reasons: dict[str, int]  # why songs were rejected
    reused: int  # mels that were there already
    layout: str = ""
    slice: str = ""
    medians: dict[str, float] = field(default_factory=dict)
    cleaned: dict[str, int] = field(default_factory=dict)
    warnings: dict[str, int] = field(default_factory=dict)
    leakage: "Leakage | None" = None
    spent: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    resampler: str = "resampy"

    def to_json(self) -> dict[str, Any]:
        """Returns the result as plain values."""
        leakage = self.leakage.to_json() if self.leakage is not None else None
        rest = {name: value for name, value in vars(self).items() if name != "spent"}
        return {"schema": SCHEMA, **rest, "out": str(self.out), "leakage": leakage, "spent_seconds": self.spent}


@dataclass(frozen=True)
class PreparePlan:
    """What a preparation would do."""

    out: Path
    layout: str
    songs: int
    captions: int
    splits: dict[str, int]
    missing: int
    rejected: int
    reasons: dict[str, int]
    cleaned: dict[str, int]
    leakage: "Leakage"
    seconds: float
    gigabytes: float
    jobs: int

    def to_json(self) -> dict[str, Any]:
        """Returns the plan as plain values."""
        return {
            "schema": SCHEMA,
            "dry_run": True,
            **vars(self),
            "out": str(self.out),
            "leakage": self.leakage.to_json(),
        }
