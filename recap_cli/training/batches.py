"""How examples become steps: batches of like lengths, micro-batches under a token budget, each song counted once.

And what the steps cost: the parts of their loss, over all processes.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from accelerate import PartialState
from accelerate.utils import gather_object
from torch import Tensor
from torch.utils.data import Sampler

from recap_cli.processor import IGNORED

# Batches are formed within random groups of this many, so that examples meet in other batches each epoch.
GROUP_BATCHES = 49
# Tensors of a batch that are cut to a micro-batch's own length, by the mask that says which positions are real.
MASKS = {"input_ids": "attention_mask", "music_states": "music_mask", "verse_states": "verse_mask"}

Value = TypeVar("Value")


def group_order(lengths: np.ndarray, batch_size: int, random: np.random.Generator) -> list[int]:
    """Returns the order of an epoch, in which each batch holds examples of like lengths.

    A random group of `GROUP_BATCHES` batches is sorted by lyrics length and cut into strips, each strip sorted by
    caption length and cut into batches; then the batches are shuffled.

    Args:
        lengths: lyrics and caption tokens of each example [examples, 2].
        batch_size: examples a step, over all processes.
        random: decides groups and order.
    """
    batches: list[np.ndarray] = []
    everyone = random.permutation(len(lengths))
    for start in range(0, len(everyone), GROUP_BATCHES * batch_size):
        group = everyone[start : start + GROUP_BATCHES * batch_size]
        group = group[np.argsort(-lengths[group, 0], kind="stable")]
        count = -(-len(group) // batch_size)
        strip = batch_size * max(1, round(count**0.5))
        for first in range(0, len(group), strip):
            rows = group[first : first + strip]
            rows = rows[np.argsort(-lengths[rows, 1], kind="stable")]
            batches += [rows[place : place + batch_size] for place in range(0, len(rows), batch_size)]
    whole = [rows for rows in batches if len(rows) == batch_size]
    order = [whole[place] for place in random.permutation(len(whole))]
    # Smaller batches come last: in the middle they would shift the borders of all that follow.
    rest = [rows for rows in batches if len(rows) < batch_size]
    return np.concatenate([*order, *rest]).tolist() if batches else []


class LengthGrouped(Sampler[int]):
    """Yields the examples of an epoch in `group_order`, decided by seed and epoch and nothing else."""

    def __init__(self, lengths: np.ndarray, batch_size: int, seed: int) -> None:
        self.lengths, self.batch_size, self.seed = lengths, batch_size, seed
        self.epoch = 0

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        return iter(group_order(self.lengths, self.batch_size, np.random.default_rng([self.seed, self.epoch])))


def split_batch(batch: Mapping[str, Tensor], budget: int) -> list[dict[str, Tensor]]:
    """Cuts a batch into micro-batches of at most `budget` tokens: lyrics, captions and pads.

    A micro-batch is padded to its own longest lyrics and caption. A single row may be larger; 0 cuts nothing.
    """
    if budget <= 0 or "labels" not in batch:
        return [dict(batch)]
    lyrics = batch["attention_mask"].sum(dim=1)
    captions = (batch["labels"] != IGNORED).sum(dim=1)
    order = torch.argsort(lyrics + captions, descending=True, stable=True).tolist()
    parts: list[list[int]] = []
    longest = (0, 0)
    for row in order:
        sizes = (max(longest[0], int(lyrics[row])), max(longest[1], int(captions[row])))
        if parts and (len(parts[-1]) + 1) * sum(sizes) <= budget:
            parts[-1].append(row)
            longest = sizes
        else:
            parts.append([row])
            longest = (int(lyrics[row]), int(captions[row]))
    return [take_rows(batch, torch.tensor(rows, device=lyrics.device)) for rows in parts]


def take_rows(batch: Mapping[str, Tensor], rows: Tensor) -> dict[str, Tensor]:
    """Returns some rows of a batch, each tensor cut to the longest of them."""
    part = {name: value[rows] for name, value in batch.items()}
    longest = int((part["labels"] != IGNORED).sum(dim=1).max())
    part["labels"] = part["labels"][:, : max(longest, 1)]
    for name, mask in MASKS.items():
        if name in part:
            longest = int(part[mask].sum(dim=1).max())
            part[name], part[mask] = part[name][:, :longest], part[mask][:, :longest]
    return part


def mark_aligned_rows(
    batches: Sequence[dict[str, Tensor]], gather: Callable[[Tensor], tuple[list[Tensor], int]] | None = None
) -> int:
    """Marks the first row of every song of a step (`aligned_rows`), and returns the step's number of songs.

    Args:
        batches: the batches that this process gives to the step, with `song_ids` [rows].
        gather: returns the song numbers of every process and this one's place; None for a single process.
    """
    own = torch.cat([batch["song_ids"] for batch in batches])
    parts, rank = gather(own) if gather else ([own], 0)
    seen: set[int] = set()
    for place, ids in enumerate(parts):
        first = []
        for song in ids.tolist():
            first.append(song not in seen)
            seen.add(song)
        if place == rank:
            marks = torch.tensor(first, dtype=torch.bool)
    for batch, mark in zip(batches, marks.split([len(batch["song_ids"]) for batch in batches]), strict=True):
        batch["aligned_rows"] = mark
    return len(seen)


def gather(value: Value) -> list[Value]:
    """Returns the values of all processes, in their order."""
    return list(gather_object([value]))


class RunningLosses:
    """The parts of the training loss since the last validation, summed over steps."""

    def __init__(self) -> None:
        self.steps = 0
        self.sums: dict[str, Tensor | float] = {}
        self.before: dict[str, Tensor | float] = {}  # the sums when `of_step` was last called

    def add(self, outputs: Any) -> None:
        """Adds the parts of a micro-batch; over a step they add up to its loss."""
        for name in ("caption_loss", "alignment_loss"):
            value = getattr(outputs, name, None)
            if value is not None:
                self.sums[name] = self.sums.get(name, 0.0) + value.detach().double()

    def of_step(self) -> dict[str, float]:
        """Returns the parts of the last step's loss; every process must call this after each step."""
        shares = gather({name: float(total - self.before.get(name, 0.0)) for name, total in self.sums.items()})
        self.before = dict(self.sums)
        return {name: sum(share[name] for share in shares) for name in shares[0]}

    def to_json(self) -> dict[str, Any]:
        """The sums over all processes as plain values; every process must call this at the same time."""
        shares = gather({name: float(value) for name, value in self.sums.items()})
        return {"steps": self.steps, "sums": {name: sum(share[name] for share in shares) for name in shares[0]}}

    def restore(self, record: dict[str, Any]) -> None:
        """Resumes from the sums of a checkpoint: the first process takes them all, so that they count once."""
        first = PartialState().process_index == 0
        self.steps = record["steps"]
        self.sums = {name: value if first else 0.0 for name, value in record["sums"].items()}
        self.before = dict(self.sums)

    def take(self) -> dict[str, float]:
        """Returns the means per step over all processes, and starts from zero."""
        shares = gather({f"train_{name}": float(total) / max(self.steps, 1) for name, total in self.sums.items()})
        self.steps, self.sums, self.before = 0, {}, {}
        return {name: sum(share[name] for share in shares) for name in shares[0]}
