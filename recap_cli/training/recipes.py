"""Recipes: every setting of a training, its value in each recipe, and who set it. And what studies change."""

from dataclasses import dataclass, fields
from typing import Annotated, Any, Literal, get_args

from recap_cli.errors import OptionError
from recap_cli.settings import Setting, check_settings

Recipe = Literal["paper", "alcap", "tiny", "real"]
AlignmentLoss = Literal["positive", "infonce", "infonce-symmetric", "none"]
Similarity = Literal["cosine", "dot"]
Pooling = Literal["masked", "all"]
Padding = Literal["batch", "corpus"]
FusionSharing = Literal["shared", "per-layer"]
# Those of transformers that need no other package and no settings of their own.
Optimizer = Literal["adamw_torch", "adamw_torch_fused", "adafactor", "adagrad", "rmsprop", "sgd"]
Schedule = Literal[
    "linear", "constant", "constant_with_warmup", "cosine", "cosine_with_restarts", "inverse_sqrt", "polynomial"
]
BestBy = Literal["rougeL", "meteor", "caption_loss"]
MusicGiven = Literal["own", "shuffled", "constant"]
OWN: MusicGiven = "own"
SHUFFLED: MusicGiven = "shuffled"
CONSTANT: MusicGiven = "constant"

RECIPES_OWN = "the recipe's"  # in helps, the default of a setting that a recipe sets


@dataclass(frozen=True)
class RecipeSettings:
    """One recipe. The defaults are the paper's; beside each stands who set it, for the tables of help and README."""

    bart: Annotated[str, "paper; tiny: made from the data; real: MiniLM's layers"] = "facebook/bart-base"
    alpha: Annotated[float, "paper, eq. 3"] = 0.02
    alignment_loss: Annotated[AlignmentLoss, "paper, eq. 1; alcap: public code's default"] = "positive"
    similarity: Annotated[Similarity, "paper"] = "cosine"
    temperature: Annotated[float, "public code; used by InfoNCE only"] = 0.3
    pooling: Annotated[Pooling, "ours; alcap: public code, pads pooled too"] = "masked"
    pads_in_loss: Annotated[bool, "ours; alcap: public code, pads in the caption loss"] = False
    padding: Annotated[Padding, "ours: to a batch's longest; alcap: public code, the corpus's"] = "batch"
    standardise_music: Annotated[bool, "neither has it; a setting for studies"] = False
    align_layer: Annotated[int, "public code; tiny, real: before the first fusion layer"] = 4
    fusion_layers: Annotated[tuple[int, ...], "public code; tiny: the last two layers; real: its one layer"] = (4, 5)
    fusion_scale: Annotated[float, "public code; real: ours, music counts as much as lyrics"] = 0.1
    fusion_heads: Annotated[int, "public code; real: ours"] = 1
    fusion_sharing: Annotated[FusionSharing, "public code"] = "shared"
    optimizer: Annotated[Optimizer, "ours (the paper does not say); alcap: public code"] = "adamw_torch_fused"
    adam_beta2: Annotated[float, "AdamW's default; tiny: ours, for a run of some 1,500 steps"] = 0.999
    weight_decay: Annotated[float, "ours; alcap: Adafactor's default"] = 0.01
    schedule: Annotated[Schedule, "ours; alcap: public code never steps its scheduler"] = "linear"
    warmup: Annotated[float, "ours; share of the steps"] = 0.05
    lr: Annotated[float, "paper; alcap: public code (an Adafactor rate); tiny: ours"] = 6e-5
    batch_size: Annotated[int, "paper; alcap: public code; tiny: ours"] = 48
    epochs: Annotated[float, "paper; alcap: public code; tiny: ours"] = 50
    verse_layers: Annotated[int, "paper: none; ours for MiniLM's layers"] = 0
    freeze_verses: Annotated[bool, "ours for MiniLM's layers"] = False
    max_lyrics_tokens: Annotated[int, "public code; real: ours, of a verse"] = 512
    max_caption_tokens: Annotated[int, "paper; tiny: ours"] = 512
    validation_songs: Annotated[int, "ours"] = 500
    best_by: Annotated[
        BestBy, "ours; tiny: ROUGE-L of 150 made-up songs in two wordings cannot tell late epochs apart"
    ] = "rougeL"
    beams: Annotated[int, "public code"] = 4
    sample: Annotated[bool, "ours: deterministic; alcap: public code samples with 4 beams"] = False
    top_p: Annotated[float, "alcap: public code"] = 1.0


# What the paper does not say is filled in, and the source says so.
PAPER = RecipeSettings()
# The public code, with its departures from the paper.
ALCAP = RecipeSettings(
    alignment_loss="infonce", pooling="all", pads_in_loss=True, padding="corpus",
    optimizer="adafactor", weight_decay=0.0, schedule="constant", warmup=0.0,
    lr=5e-5, batch_size=26, epochs=20, sample=True, top_p=0.92,
)  # fmt: skip
# For the demo corpus on two cores.
TINY = RecipeSettings(
    bart="pretrain", align_layer=1, fusion_layers=(1, 2), adam_beta2=0.98, warmup=0.1,
    lr=2e-3, batch_size=24, epochs=4, max_caption_tokens=128, validation_songs=150, best_by="caption_loss",
)  # fmt: skip
# For the corpus of real lyrics and real music: MiniLM's layers read verses, one layer above them sees the song.
REAL = RecipeSettings(
    bart="minilm", verse_layers=3, freeze_verses=True, align_layer=3, fusion_layers=(3,), fusion_scale=1.0,
    fusion_heads=4, adam_beta2=0.98, warmup=0.1, lr=1e-3, batch_size=32, epochs=4, max_lyrics_tokens=128,
    max_caption_tokens=64, validation_songs=200, best_by="caption_loss",
)  # fmt: skip
RECIPES: dict[Recipe, RecipeSettings] = {"paper": PAPER, "alcap": ALCAP, "tiny": TINY, "real": REAL}
# By the corpus that data are of, see `records.corpus_of`.
RECIPE_OF: dict[str, Recipe] = {"demo": "tiny", "real": "real", "": "paper"}


@dataclass(frozen=True)
class RecipeLine:
    """One setting in all recipes: a row of the tables."""

    setting: str  # the field of TrainOptions that overrides it
    paper: Any
    alcap: Any
    tiny: Any
    real: Any
    source: str  # the paper, the public code or this project


RECIPE_LINES = tuple(
    RecipeLine(
        one.name,
        getattr(PAPER, one.name),
        getattr(ALCAP, one.name),
        getattr(TINY, one.name),
        getattr(REAL, one.name),
        get_args(one.type)[1],
    )
    for one in fields(RecipeSettings)
)


def recipe_settings(name: str) -> dict[str, Any]:
    """Returns a recipe's value for every setting.

    Raises:
        OptionError: there is no such recipe.
    """
    for known, recipe in RECIPES.items():
        if known == name:
            return dict(vars(recipe))
    raise OptionError(f"--recipe {name} is not known", f"choose one of {', '.join(RECIPES)}")


@dataclass(frozen=True)
class Interventions:
    """Deliberate changes to the data of a run, for controlled experiments; the defaults change nothing."""

    music: Annotated[
        MusicGiven,
        Setting(
            "The music that a song is given: its own; shuffled, another song's of its split, always the same one, in "
            "training and in test; or constant, a learned sequence that is the same for all songs.",
            flag="",
        ),
    ] = OWN
    music_noise: Annotated[
        float, Setting("Standard deviation of noise on the music states, relative to theirs.", flag="", minimum=0)
    ] = 0.0
    caption_noise: Annotated[
        float, Setting("Share of training captions that are another song's.", flag="", minimum=0, maximum=1)
    ] = 0.0
    captioned_songs: Annotated[
        int | None,
        Setting("Training songs with captions; the others count in the alignment loss alone.", flag="", minimum=1),
    ] = None

    def __post_init__(self) -> None:
        check_settings(self)
