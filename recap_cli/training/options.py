"""What may be asked of a training: every setting is a recipe's unless it is given."""

import math
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from recap_cli.errors import OptionError
from recap_cli.training.interventions import Interventions
from recap_cli.training.recipes import recipe_settings

# What may choose the best epoch.
BEST_METRICS = ("rougeL", "meteor", "caption_loss")
PRECISIONS = ("auto", "fp32", "bf16")
PADDINGS = ("batch", "corpus")
# Lowest and highest value of settings that are no plain counts.
RANGES = {
    "weight_decay": (0.0, math.inf),
    "warmup": (0.0, 1.0),
    "adam_beta2": (0.0, 0.9999999),
    "top_p": (0.0, 1.0),
    "seed": (0, 2**32 - 1),
}


@dataclass(frozen=True)
class TrainOptions:
    """What to train. A setting left at None comes from the recipe, see `recipes.RECIPE_LINES`.

    Attributes:
        data: the prepared data folder.
        out: the run's folder; None names it after the settings, under `runs`.
        recipe: `paper`, `alcap` or `tiny`; None takes `tiny` for demo data and `paper` for any other.
        music_encoder: published CNNSA weights; None pretrains one on the tags (tiny recipe only).
        no_music: leave the music out: plain BART, the lyrics-only baseline.
        train_music_encoder: train the music encoder end to end instead of freezing it.
        allow_fused_alignment: permit an alignment layer behind a fusion layer.
        min_votes: leave out training captions with fewer votes.
        limit: train on so many songs only.
        seed: of initial weights, order and dropout.
        device: `auto`, `cpu`, `cuda` or `mps`.
        init: a run whose weights are the start, in place of a BART.
        resume: demand that there is an interrupted run to go on with.
        precision: `fp32`, `bf16` (autocast), or `auto`: bf16 on a GPU that has it.
        accumulate: batches that a step is made of, for less memory.
        micro_batch_tokens: a batch is cut into pieces of so many tokens, pads counted; 0 leaves it whole, None cuts
            models of BART's size on a CPU, except for InfoNCE, whose negatives come from the piece.
        gradient_checkpointing: compute states again in the backward pass, for less memory.
        compile: let torch compile the model.
        validate_every: epochs between validations.
        checkpoint_every: steps between checkpoints; None makes one at each validation.
        patience: stop after so many validations without a better figure.
        report_to: `tensorboard`, or nothing.
        pretrain_seed: of the stand-in BART that the tiny recipe pretrains.
        probe: with alpha 0, train the projection on detached states; captions do not change by it.
        study: changes to the data, for controlled experiments.
    """

    data: Path
    out: Path | None = None
    recipe: str | None = None
    music_encoder: Path | None = None
    no_music: bool = False
    train_music_encoder: bool = False
    allow_fused_alignment: bool = False
    min_votes: int | None = None
    limit: int | None = None
    seed: int = 0
    device: str = "auto"
    init: Path | None = None
    resume: bool = False
    precision: str = "auto"
    accumulate: int = 1
    micro_batch_tokens: int | None = None
    gradient_checkpointing: bool = False
    compile: bool = False
    validate_every: float = 1.0
    checkpoint_every: int | None = None
    patience: int | None = None
    report_to: str | None = None
    pretrain_seed: int = 0
    probe: bool = False
    study: Interventions = field(default_factory=Interventions)
    bart: str | None = None
    alpha: float | None = None
    alignment_loss: str | None = None
    similarity: str | None = None
    temperature: float | None = None
    pooling: str | None = None
    pads_in_loss: bool | None = None
    padding: str | None = None
    standardise_music: bool | None = None
    align_layer: int | None = None
    fusion_layers: tuple[int, ...] | None = None
    fusion_scale: float | None = None
    fusion_heads: int | None = None
    fusion_sharing: str | None = None
    optimizer: str | None = None
    adam_beta2: float | None = None
    weight_decay: float | None = None
    schedule: str | None = None
    warmup: float | None = None
    lr: float | None = None
    batch_size: int | None = None
    epochs: float | None = None
    max_lyrics_tokens: int | None = None
    max_caption_tokens: int | None = None
    validation_songs: int | None = None
    best_by: str | None = None
    beams: int | None = None
    sample: bool | None = None
    top_p: float | None = None

    def __post_init__(self) -> None:
        numbers = (
            "batch_size",
            "epochs",
            "lr",
            "limit",
            "validation_songs",
            "accumulate",
            "validate_every",
            "patience",
            "beams",
        )
        for flag in (*numbers, "checkpoint_every"):
            value = getattr(self, flag)
            if value is not None and not (math.isfinite(value) and value > 0):
                raise OptionError(f"--{flag.replace('_', '-')} {value} is not possible", "give a number above 0")
        self._check_ranges()
        choices = {"best_by": BEST_METRICS, "precision": PRECISIONS, "padding": PADDINGS, "report_to": ("tensorboard",)}
        for flag, known in choices.items():
            value = getattr(self, flag)
            if value is not None and value not in known:
                raise OptionError(
                    f"--{flag.replace('_', '-')} {value} is not known", f"choose one of {', '.join(known)}"
                )
        self._check_library_names()
        if self.micro_batch_tokens is not None and self.micro_batch_tokens < 0:
            raise OptionError(f"--micro-batch-tokens {self.micro_batch_tokens} is negative", "0 cuts nothing")
        if self.init is not None and self.bart is not None:
            raise OptionError("--init and --bart both name weights to start from", "give one of them")
        for flag in ("max_lyrics_tokens", "max_caption_tokens"):
            value = getattr(self, flag)
            if value is not None and value < 3:
                raise OptionError(f"--{flag.replace('_', '-')} {value} leaves no room for text", "give 3 or more")

    def _check_ranges(self) -> None:
        for flag, (low, high) in RANGES.items():
            value = getattr(self, flag)
            if value is not None and not (math.isfinite(value) and low <= value <= high):
                words = f"a number from {low:g} to {high:g}" if high < math.inf else f"a number of {low:g} or more"
                raise OptionError(f"--{flag.replace('_', '-')} {value} is not possible", f"give {words}")

    def _check_library_names(self) -> None:
        if self.report_to == "tensorboard" and find_spec("tensorboard") is None:
            raise OptionError("--report-to tensorboard: TensorBoard is not installed", "pip install tensorboard")
        if self.optimizer is None and self.schedule is None:
            return
        from transformers.trainer_utils import SchedulerType
        from transformers.training_args import OptimizerNames

        for flag, names in (("optimizer", OptimizerNames), ("schedule", SchedulerType)):
            value, known = getattr(self, flag), [name.value for name in names]
            if value is not None and value not in known:
                raise OptionError(f"--{flag} {value} is not known", f"the Trainer knows {', '.join(known[:6])}, ...")

    def settings(self, demo: bool) -> dict[str, Any]:
        """Give every recipe setting with this run's overrides, and the recipe's name."""
        recipe = self.recipe or ("tiny" if demo else "paper")
        chosen = recipe_settings(recipe)
        own = {name: getattr(self, name) for name in chosen if getattr(self, name) is not None}
        return {"recipe": recipe, **chosen, **own}

    def to_json(self) -> dict[str, Any]:
        """The options as plain values."""
        values = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        return {name: plain(value) for name, value in values.items()}


def plain(value: Any) -> Any:
    """Turn an option into what JSON knows."""
    if isinstance(value, Path):
        return str(value)
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
