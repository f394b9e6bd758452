"""The flags of all commands: name, type and help of each, written once."""

from pathlib import Path
from typing import Annotated

import typer

# What `recap eval --format` takes.
FORMATS = ("rich", "markdown", "latex", "csv", "json")

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, only warnings and errors.")]
AsJson = Annotated[bool, typer.Option("--json", help="Results as JSON.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]
Seed = Annotated[int, typer.Option(help="Fixes everything that is drawn.")]
Limit = Annotated[int | None, typer.Option(help="Only so many songs, for a quick look.")]
Data = Annotated[
    Path | None,
    typer.Option(help="Prepared data folder.", show_default="./data, else the demo corpus"),
]
Beams = Annotated[int, typer.Option(help="Width of the beam search; 1 is greedy.")]

# Settings of a training; one that is left out comes from the recipe.
Alpha = Annotated[
    float | None,
    typer.Option(
        help="Weight of the alignment loss; 0 is BART-fusion. It weighs against a caption loss per real token; the "
        "public code's (alcap) is diluted by pads, so its alpha pulls 1 / (share of real tokens) times as hard."
    ),
]
Recipe = Annotated[
    str | None, typer.Option(help="paper, alcap or tiny.", show_default="tiny for demo data, else paper")
]
Bart = Annotated[
    str | None, typer.Option(help="BART to start from: folder, facebook/bart-base, or hf://owner/name[@revision].")
]
MusicEncoder = Annotated[Path | None, typer.Option(help="Pretrained CNNSA weights.")]
TrainMusicEncoder = Annotated[bool, typer.Option("--train-music-encoder", help="Train it end to end.")]
NoMusic = Annotated[bool, typer.Option("--no-music", help="Lyrics only: the BART baseline.")]
AlignmentLoss = Annotated[str | None, typer.Option(help="positive, infonce, infonce-symmetric or none.")]
Temperature = Annotated[float | None, typer.Option(help="Of InfoNCE.")]
Pooling = Annotated[str | None, typer.Option(help="masked, or all (pads too, as the public code).")]
AlignLayer = Annotated[int | None, typer.Option(help="The lyrics state that enters this layer is aligned.")]
FusionLayers = Annotated[str | None, typer.Option(help="Encoder layers followed by fusion, such as 4,5.")]
AllowFusedAlignment = Annotated[bool, typer.Option("--allow-fused-alignment", help="For a study.")]
BatchSize = Annotated[int | None, typer.Option(help="Captions a step.")]
Lr = Annotated[float | None, typer.Option(help="Highest learning rate.")]
Epochs = Annotated[float | None, typer.Option(help="Passes over the captions.")]
MaxLyricsTokens = Annotated[int | None, typer.Option(help="Longer lyrics are cut.")]
MaxCaptionTokens = Annotated[int | None, typer.Option(help="Longer captions are cut.")]
MinVotes = Annotated[int | None, typer.Option(help="Learn from captions with as many votes.")]
ValidationSongs = Annotated[int | None, typer.Option(help="Songs that each epoch is judged by.")]
BestBy = Annotated[str | None, typer.Option(help="What chooses the best epoch: rougeL, meteor, caption_loss.")]
Similarity = Annotated[str | None, typer.Option(help="Of a pair in the alignment loss: cosine or dot.")]
Init = Annotated[
    Path | None, typer.Option(help="Start from an earlier run's weights: folder or hf://owner/name[@revision].")
]
Resume = Annotated[bool, typer.Option("--resume", help="Demand an interrupted run to go on with.")]
Precision = Annotated[str, typer.Option(help="auto (bf16 on a GPU that has it), fp32 or bf16.")]
Accumulate = Annotated[int, typer.Option(help="Batches that a step is made of, for less memory.")]
MicroBatchTokens = Annotated[
    int | None,
    typer.Option(help="Cut batches into pieces of so many tokens; 0 cuts nothing.", show_default="2048 on a CPU"),
]
GradientCheckpointing = Annotated[
    bool, typer.Option("--gradient-checkpointing", help="Less memory, a third more time.")
]
Compile = Annotated[bool, typer.Option("--compile", help="Let torch compile the model.")]
ValidateEvery = Annotated[float, typer.Option(help="Epochs between validations.")]
CheckpointEvery = Annotated[
    int | None, typer.Option(help="Steps between checkpoints.", show_default="at each validation")
]
Patience = Annotated[int | None, typer.Option(help="Stop after so many validations without a better figure.")]
ReportTo = Annotated[str | None, typer.Option(help="tensorboard.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say how long it would take, and how much memory.")]
Padding = Annotated[str | None, typer.Option(help="To the longest of a batch, or of the corpus (public code).")]
StandardiseMusic = Annotated[bool | None, typer.Option(help="Centre and scale pooled music before aligning.")]
WeightDecay = Annotated[float | None, typer.Option(help="Of the optimiser.")]
PadsInLoss = Annotated[bool | None, typer.Option(help="Count pads in the caption loss, as the public code.")]
FusionScale = Annotated[float | None, typer.Option(help="Factor on what the fusion adds.")]
FusionHeads = Annotated[int | None, typer.Option(help="Heads of the fusion attention.")]
FusionSharing = Annotated[str | None, typer.Option(help="shared, or per-layer.")]
Optimizer = Annotated[str | None, typer.Option(help="A name that the Trainer knows, such as adamw_torch.")]
AdamBeta2 = Annotated[float | None, typer.Option(help="Memory of squared gradients.")]
Schedule = Annotated[str | None, typer.Option(help="linear, constant or another of the Trainer's.")]
Warmup = Annotated[float | None, typer.Option(help="Share of the steps in which the rate rises.")]
SavedBeams = Annotated[int | None, typer.Option(help="Saved with the model for generation.")]
SavedSample = Annotated[bool | None, typer.Option(help="Saved with the model for generation.")]
SavedTopP = Annotated[float | None, typer.Option(help="Saved with the model for generation.")]

# For controlled experiments: what `recap ablate` sets, see `workflows/studies.py`.
STUDIES = "For studies"
PretrainSeed = Annotated[int, typer.Option(help="Of the stand-in BART of the tiny recipe.", rich_help_panel=STUDIES)]
Probe = Annotated[
    bool,
    typer.Option("--probe", help="With alpha 0, train the projection on detached states.", rich_help_panel=STUDIES),
]
Music = Annotated[
    str,
    typer.Option(
        help="What a song hears: own, shuffled (another song's), or constant (a learned sequence).",
        rich_help_panel=STUDIES,
    ),
]
MusicNoise = Annotated[
    float, typer.Option(help="Noise on the music states, relative to theirs.", rich_help_panel=STUDIES)
]
CaptionNoise = Annotated[
    float, typer.Option(help="Share of training captions of other songs.", rich_help_panel=STUDIES)
]
CaptionedSongs = Annotated[
    int | None,
    typer.Option(
        help="Only so many songs keep their captions; the others count in the alignment loss alone.",
        rich_help_panel=STUDIES,
    ),
]
