"""Recipes: every training setting, its value in each recipe, and who set it."""

from dataclasses import dataclass
from typing import Any

from recap_cli.errors import OptionError

RECIPES = ("paper", "alcap", "tiny")


@dataclass(frozen=True)
class RecipeLine:
    """One setting in all recipes.

    Attributes:
        setting: the field of `TrainOptions` that overrides it.
        paper: value of the paper's experiment; what the paper does not say is filled in and marked in `source`.
        alcap: value of the public code, compatibility settings included.
        tiny: value for the demo corpus on two cores.
        source: who set the values: the paper, the public code or this project.
    """

    setting: str
    paper: Any
    alcap: Any
    tiny: Any
    source: str


RECIPE_LINES = (
    RecipeLine("bart", "facebook/bart-base", "facebook/bart-base", "pretrain", "paper; tiny: made from the data"),
    RecipeLine("alpha", 0.02, 0.02, 0.02, "paper, eq. 3"),
    RecipeLine("alignment_loss", "positive", "infonce", "positive", "paper, eq. 1; alcap: public code's default"),
    RecipeLine("similarity", "cosine", "cosine", "cosine", "paper"),
    RecipeLine("temperature", 0.3, 0.3, 0.3, "public code; used by InfoNCE only"),
    RecipeLine("pooling", "masked", "all", "masked", "ours; alcap: public code, pads pooled too"),
    RecipeLine("pads_in_loss", False, True, False, "ours; alcap: public code, pads in the caption loss"),
    RecipeLine("padding", "batch", "corpus", "batch", "ours: to a batch's longest; alcap: public code, the corpus's"),
    RecipeLine("standardise_music", False, False, False, "neither has it; a setting for studies"),
    RecipeLine("align_layer", 4, 4, 1, "public code; tiny: before the first fusion layer"),
    RecipeLine("fusion_layers", (4, 5), (4, 5), (1, 2), "public code; tiny: the last two layers"),
    RecipeLine("fusion_scale", 0.1, 0.1, 0.1, "public code"),
    RecipeLine("fusion_heads", 1, 1, 1, "public code"),
    RecipeLine("fusion_sharing", "shared", "shared", "shared", "public code"),
    RecipeLine(
        "optimizer",
        "adamw_torch_fused",
        "adafactor",
        "adamw_torch_fused",
        "ours (the paper does not say); alcap: public code",
    ),
    RecipeLine("adam_beta2", 0.999, 0.999, 0.98, "AdamW's default; tiny: ours, for a run of some 1,500 steps"),
    RecipeLine("weight_decay", 0.01, 0.0, 0.01, "ours; alcap: Adafactor's default"),
    RecipeLine("schedule", "linear", "constant", "linear", "ours; alcap: public code never steps its scheduler"),
    RecipeLine("warmup", 0.05, 0.0, 0.1, "ours; share of the steps"),
    RecipeLine("lr", 6e-5, 5e-5, 2e-3, "paper; alcap: public code (an Adafactor rate); tiny: ours"),
    RecipeLine("batch_size", 48, 26, 24, "paper; alcap: public code; tiny: ours"),
    RecipeLine("epochs", 50, 20, 4, "paper; alcap: public code; tiny: ours"),
    RecipeLine("max_lyrics_tokens", 512, 512, 512, "public code"),
    RecipeLine("max_caption_tokens", 512, 512, 128, "paper; tiny: ours"),
    RecipeLine("validation_songs", 500, 500, 150, "ours"),
    RecipeLine(
        "best_by",
        "rougeL",
        "rougeL",
        "caption_loss",
        "ours; tiny: ROUGE-L of 150 made-up songs in two wordings cannot tell late epochs apart",
    ),
    RecipeLine("beams", 4, 4, 4, "public code"),
    RecipeLine("sample", False, True, False, "ours: deterministic; alcap: public code samples with 4 beams"),
    RecipeLine("top_p", 1.0, 0.92, 1.0, "alcap: public code"),
)


def recipe_settings(name: str) -> dict[str, Any]:
    """Give a recipe's value for every setting.

    Raises:
        OptionError: there is no such recipe.
    """
    if name not in RECIPES:
        raise OptionError(f"--recipe {name} is not known", f"choose one of {', '.join(RECIPES)}")
    return {line.setting: getattr(line, name) for line in RECIPE_LINES}
