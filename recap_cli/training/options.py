"""What may be asked of a training: every setting of a recipe is the recipe's unless it is given."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal

from recap_cli import __version__
from recap_cli.errors import ModelError, OptionError
from recap_cli.records import corpus_of
from recap_cli.settings import MACHINE, RESULT, Device, Setting, check_settings, plain
from recap_cli.training.recipes import (
    RECIPE_OF,
    RECIPES_OWN,
    AlignmentLoss,
    BestBy,
    FusionSharing,
    Interventions,
    Optimizer,
    Padding,
    Pooling,
    Recipe,
    Schedule,
    Similarity,
    recipe_settings,
)

Precision = Literal["auto", "fp32", "bf16"]

# What --music-encoder names beside files: that of the model in the package, or one trained on the songs' tags.
DEMO_ENCODER, TAGS_ENCODER, MUSICNN = Path("demo"), Path("tags"), Path("musicnn")
NAMED_ENCODERS = (DEMO_ENCODER, TAGS_ENCODER, MUSICNN)
NOT_OF_THE_RUN = ("out", "data", "device", "resume", "report_to")
LATER = ("verse_layers", "freeze_verses")  # say nothing where they are off
DATA, START, MODEL, ALIGNMENT = "What it learns from", "What it starts from", "The model", "The alignment loss"
OPTIMISATION, VALIDATION, CAPTIONS = "Optimisation", "Validation", "Captions of the trained model"
overrides = partial(Setting, default=RECIPES_OWN)


@dataclass(frozen=True)
class TrainOptions:
    """What to train. A setting of a recipe (`recipes.RecipeSettings`) that is left at None is the recipe's."""

    data: Annotated[
        Path,
        Setting(
            "Folder that recap prepare made.", argument="DATA", default="./data, else the demo corpus of made-up songs"
        ),
    ]
    out: Annotated[
        Path | None,
        Setting(
            "Folder of the run: the model and its log. Named again, an interrupted run resumes.",
            RESULT,
            default="named after the settings, under runs/",
        ),
    ] = None
    limit: Annotated[int | None, Setting("Train on this many songs only, for a quick look.", DATA, minimum=1)] = None
    min_votes: Annotated[int | None, Setting("Leave out captions with fewer votes, if they have votes.", DATA)] = None
    max_lyrics_tokens: Annotated[
        int | None, overrides("Cut lyrics at this many tokens; with --verse-layers, each verse.", DATA, minimum=3)
    ] = None
    max_caption_tokens: Annotated[int | None, overrides("Cut captions at this many tokens.", DATA, minimum=3)] = None
    padding: Annotated[
        Padding | None,
        overrides("Pad texts to the longest of their batch, or of the corpus, as the public code does.", DATA),
    ] = None

    recipe: Annotated[
        Recipe | None,
        Setting(
            "Where all settings that you do not give come from: the paper, its public code (alcap), a tiny model for "
            "made-up songs, or the model in the box (real). recap train --recipes shows them.",
            START,
            default="tiny for the demo corpus, real for the real one, else paper",
        ),
    ] = None
    bart: Annotated[
        str | None,
        overrides(
            "Pretrained BART to start from: a folder, facebook/bart-base, hf://OWNER/NAME[@REVISION], or pretrain to "
            "make a small one from the data.",
            START,
        ),
    ] = None
    music_encoder: Annotated[
        Path | None,
        Setting(
            "Pretrained music encoder: CNNSA weights such as best_model.pth; musicnn, which comes along, for data of "
            "recap prepare --music-encoder musicnn; demo, that of the demo model; or tags, to train one on the songs' "
            "tags.",
            START,
            default="musicnn where the data are for it; else, tiny recipe only: tags for the demo corpus or from 500 "
            "tagged songs on, else demo",
        ),
    ] = None
    init: Annotated[
        Path | None,
        Setting(
            "Start from the weights of an earlier run in place of a BART: a run folder or hf://OWNER/NAME[@REVISION].",
            START,
        ),
    ] = None
    resume: Annotated[
        bool, Setting("Fail unless the run folder holds an interrupted run that can be resumed.", START)
    ] = False
    seed: Annotated[
        int,
        Setting("Seed of the new weights, the order of the songs and dropout.", START, minimum=0, maximum=2**32 - 1),
    ] = 0

    no_music: Annotated[
        bool, Setting("Leave the music out: plain BART, which reads lyrics only (a baseline of the paper).", MODEL)
    ] = False
    train_music_encoder: Annotated[
        bool, Setting("Train the music encoder too, instead of keeping it as it was pretrained.", MODEL)
    ] = False
    verse_layers: Annotated[
        int | None,
        overrides(
            "Lower encoder layers that read the lyrics verse by verse, so that no long text is cut; the layers above "
            "see one state a verse. 0 reads a text at once.",
            MODEL,
            minimum=0,
        ),
    ] = None
    freeze_verses: Annotated[
        bool | None,
        overrides(
            "Keep the layers that read verses, and all embeddings, as they were pretrained: quick to train.", MODEL
        ),
    ] = None
    fusion_layers: Annotated[
        tuple[int, ...] | None,
        overrides("Encoder layers after which the music is fused in, counted from 0, such as 4,5.", MODEL),
    ] = None
    fusion_scale: Annotated[float | None, Setting("Factor on what the fusion attention adds.", flag="")] = None
    fusion_heads: Annotated[int | None, Setting("Heads of the fusion attention.", flag="", minimum=1)] = None
    fusion_sharing: Annotated[
        FusionSharing | None, Setting("One fusion block for all fusion layers, or one a layer.", flag="")
    ] = None

    alpha: Annotated[
        float | None,
        overrides(
            "Weight of the alignment loss beside the caption loss per real token; 0 trains BART-fusion. With the alcap "
            "recipe pads dilute the caption loss, so the same alpha pulls harder there.",
            ALIGNMENT,
            minimum=0,
        ),
    ] = None
    alignment_loss: Annotated[
        AlignmentLoss | None,
        overrides(
            "How music and lyrics are aligned: positive pulls the two of a song together (paper, eq. 1); infonce also "
            "pushes other songs away, infonce-symmetric in both directions.",
            ALIGNMENT,
        ),
    ] = None
    similarity: Annotated[
        Similarity | None, Setting("How similar the two of a pair are: by cosine or dot product.", flag="")
    ] = None
    temperature: Annotated[
        float | None,
        overrides("Divides the similarities in the infonce losses: lower is stricter.", ALIGNMENT, above=0),
    ] = None
    pooling: Annotated[
        Pooling | None,
        overrides(
            "Which positions count in the mean of a text or a song: masked leaves pads out, all counts them, as the "
            "public code does.",
            ALIGNMENT,
        ),
    ] = None
    align_layer: Annotated[
        int | None,
        overrides(
            "Encoder layer, from 0, whose incoming lyrics states are aligned with the music.", ALIGNMENT, minimum=0
        ),
    ] = None
    allow_fused_alignment: Annotated[
        bool,
        Setting("Permit an --align-layer behind a fusion layer, where music has leaked into the lyrics.", ALIGNMENT),
    ] = False
    standardise_music: Annotated[
        bool | None, Setting("Centre and scale the pooled music before it is aligned.", flag="")
    ] = None
    probe: Annotated[
        bool, Setting("With alpha 0, train the projection on detached states; captions do not change.", flag="")
    ] = False
    study: Interventions = field(default_factory=Interventions)
    pretrain_seed: Annotated[int, Setting("Seed of the small BART that is made from the data.", flag="")] = 0

    batch_size: Annotated[
        int | None,
        overrides("Captions in each step, over all processes and accumulated batches.", OPTIMISATION, minimum=1),
    ] = None
    lr: Annotated[
        float | None, overrides("Highest learning rate, reached after the warmup.", OPTIMISATION, above=0)
    ] = None
    epochs: Annotated[
        float | None, overrides("Passes over the captions; 0.5 is half of one.", OPTIMISATION, above=0)
    ] = None
    warmup: Annotated[
        float | None,
        overrides("Share of the steps, from 0 to 1, in which the rate rises.", OPTIMISATION, minimum=0, maximum=1),
    ] = None
    schedule: Annotated[Schedule | None, overrides("How the learning rate changes after the warmup.", OPTIMISATION)] = (
        None
    )
    optimizer: Annotated[Optimizer | None, overrides("Optimiser, by its name in transformers.", OPTIMISATION)] = None
    weight_decay: Annotated[
        float | None, overrides("Strength of the weight decay; 0 is none.", OPTIMISATION, minimum=0)
    ] = None
    adam_beta2: Annotated[
        float | None,
        overrides(
            "How slowly AdamW forgets squared gradients: 0.98 suits short runs, 0.999 long ones.",
            OPTIMISATION,
            minimum=0,
            maximum=0.9999999,
        ),
    ] = None
    pads_in_loss: Annotated[
        bool | None, overrides("Count pads in the caption loss, as the public code does.", OPTIMISATION)
    ] = None

    validation_songs: Annotated[
        int | None, overrides("Songs that are captioned to judge each epoch.", VALIDATION, minimum=1)
    ] = None
    validate_every: Annotated[
        float | None, Setting("Epochs between two validations.", VALIDATION, default="1; more for many epochs", above=0)
    ] = None
    best_by: Annotated[BestBy | None, overrides("The figure that chooses the epoch to keep.", VALIDATION)] = None
    patience: Annotated[
        int | None,
        Setting("Stop after this many validations without a better figure.", VALIDATION, default="never", minimum=1),
    ] = None

    beams: Annotated[
        int | None,
        overrides("Beams that the trained model searches with by default; 1 is greedy.", CAPTIONS, minimum=1),
    ] = None
    sample: Annotated[
        bool | None,
        overrides("Let the trained model draw its words at random, or take the likeliest ones.", CAPTIONS),
    ] = None
    top_p: Annotated[
        float | None,
        overrides(
            "Where the trained model draws, it draws from the likeliest words that share this probability.",
            CAPTIONS,
            above=0,
            maximum=1,
        ),
    ] = None

    checkpoint_every: Annotated[
        int | None,
        Setting("Steps between checkpoints to resume from.", RESULT, default="at each validation", minimum=1),
    ] = None
    report_to: Annotated[
        Literal["tensorboard"] | None,
        Setting("Also log every step and epoch for TensorBoard, which the extra tensorboard brings.", RESULT),
    ] = None

    device: Annotated[Device, Setting("What to compute on; auto takes a GPU where there is one.", MACHINE)] = "auto"
    precision: Annotated[
        Precision, Setting("Numbers to compute with; auto takes bf16 on a GPU that has it, else fp32.", MACHINE)
    ] = "auto"
    accumulate: Annotated[
        int, Setting("Split each step into this many batches, one after the other, to save memory.", MACHINE, minimum=1)
    ] = 1
    micro_batch_tokens: Annotated[
        int | None,
        Setting(
            "Cut each batch into pieces of this many tokens, pads counted, to save memory; 0 cuts nothing.",
            MACHINE,
            # Not for InfoNCE, whose negatives come from the piece.
            default="2048 on a CPU for models of BART's size",
            minimum=0,
        ),
    ] = None
    gradient_checkpointing: Annotated[
        bool, Setting("Compute states a second time instead of keeping them: less memory, a third more time.", MACHINE)
    ] = False
    compile: Annotated[bool, Setting("Compile the model with torch.compile before training.", MACHINE)] = False

    def __post_init__(self) -> None:
        check_settings(self)
        if self.report_to == "tensorboard" and find_spec("tensorboard") is None:
            raise OptionError(
                "--report-to tensorboard: TensorBoard is not installed", "pip install 'recap-captioner[tensorboard]'"
            )
        if self.init is not None and self.bart is not None:
            raise OptionError("--init and --bart both name weights to start from", "give one of them")

    def check_encoder(self, corpus: str, encoder: str) -> None:
        """Refuses an encoder that cannot be used (OptionError), and a recipe without its encoder (ModelError).

        `corpus` is of the data, as `settings` takes it, `encoder` the music encoder that they were prepared for.
        """
        if self.train_music_encoder and corpus == "real":
            raise OptionError("--train-music-encoder: these data hold music states alone", "leave it out")
        if self.init is not None and self.music_encoder is not None:
            raise OptionError("--init brings its own music encoder", "leave --music-encoder out")
        needed = not self.no_music and self.init is None and self.music_encoder is None and encoder != "musicnn"
        if needed and self.settings(corpus)["recipe"] != "tiny":
            raise ModelError(
                "a pretrained music encoder is needed",
                "name CNNSA weights: --music-encoder best_model.pth; or prepare the data with --music-encoder musicnn, "
                "which is at hand; or train a small model: --recipe tiny",
            )

    def settings(self, corpus: str) -> dict[str, Any]:
        """Returns every recipe setting with this run's overrides, and the recipe's name; `corpus` is the data's."""
        recipe = self.recipe or RECIPE_OF[corpus]
        chosen = recipe_settings(recipe)
        own = {name: getattr(self, name) for name in chosen if getattr(self, name) is not None}
        return {"recipe": recipe, **chosen, **own}

    def record(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Returns what makes the run, on data with this `dataset.json`; what else differs may change meanwhile."""
        own = {name: plain(value) for name, value in vars(self).items() if name not in NOT_OF_THE_RUN}
        settings = self.settings(corpus_of(data))
        record = {"recap": __version__, **own, **settings, "data_fingerprint": data["fingerprint"]}
        # Runs of before these settings are found again.
        record = {name: value for name, value in record.items() if value or name not in LATER}
        return dict(json.loads(json.dumps(record)))

    def folder(self, data: Mapping[str, Any]) -> Path:
        """Returns the folder that is named, or one named after all that makes the run, so that it resumes."""
        if self.out is not None:
            return self.out
        from recap_cli.corpus.mel_cache import fingerprint

        corpus = corpus_of(data)
        settings = self.settings(corpus)
        name = corpus or re.sub(r"[^\w.-]+", "-", self.data.resolve().name)[:24].strip("-.")
        name += f"-{self.recipe}" if settings["recipe"] != RECIPE_OF[corpus] else ""
        name += "-no-music" if self.no_music else f"-alpha{settings['alpha']:g}"
        if not self.no_music and settings["alignment_loss"] != "positive":
            name += f"-{settings['alignment_loss']}"
        told = (f"-{flag}{getattr(self, flag):g}" for flag in ("limit", "epochs", "seed") if getattr(self, flag))
        return Path("runs") / f"{name}{''.join(told)}-{fingerprint(self.record(data))[:4]}"
