"""Records of runs that nobody trained, for tests of what is made of them."""

from collections.abc import Sequence
from typing import Any

from recap_cli.ablation.conditions import FUSION, Condition, RunRecord

ZERO = Condition(FUSION)
SONGS = (0.2, 0.5, 0.6, 0.7)


def aligned(alpha: float, loss: str = "positive", layer: int | None = None) -> Condition:
    return Condition(alpha=alpha, loss=loss, align_layer=layer)


def run(condition: Condition, seed: int, rouge: Sequence[float], validation: float = 0.5, **more: Any) -> RunRecord:
    """A run with these ROUGE-L values; METEOR is half of them, attributes are all right."""
    values = {"rougeL": list(rouge), "meteor": [one / 2 for one in rouge], "attributes": [1.0] * len(rouge)}
    return RunRecord(
        **{
            "key": {"data": "abc123", "split": "test"},
            "condition": condition,
            "seed": seed,
            "signature": "made up",
            "values": values,
            "attributes": {"theme": 0.75, "all": 0.5},
            "validation": {"rougeL": validation},
            "measures": {"matched": 0.8125, "mismatched": 0.25},
            "made": {"version": "0.1.0", "seconds": 12.5},
            **more,
        }
    )


def runs(condition: Condition, gains: Sequence[float], validation: float = 0.5, **more: Any) -> list[RunRecord]:
    """Runs of seeds 0, 1, ...: songs of their own difficulty, each seed better by its gain."""
    return [run(condition, seed, [one + gain for one in SONGS], validation, **more) for seed, gain in enumerate(gains)]
