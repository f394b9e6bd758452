"""`recap train`."""

from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

import recap_cli.cli.flags as flags
from recap_cli.cli.console import render, stdout_console
from recap_cli.cli.defaults import begin_model_work, choose_data, read_layers


class TrainCommand(TyperCommand):
    """The command with the table of recipes at the foot of its help."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help."""
        super().format_help(ctx, formatter)
        show_recipes()


def train(
    data: Annotated[
        Path | None, typer.Argument(help="Prepared data folder.", show_default="./data, else the demo corpus")
    ] = None,
    alpha: flags.Alpha = None,
    out: Annotated[Path | None, typer.Option(help="Run folder.", show_default="runs/ and the settings")] = None,
    recipe: flags.Recipe = None,
    recipes: Annotated[bool, typer.Option("--recipes", help="Show every recipe setting and who set it.")] = False,
    bart: flags.Bart = None,
    init: flags.Init = None,
    resume: flags.Resume = False,
    dry_run: flags.DryRun = False,
    music_encoder: flags.MusicEncoder = None,
    train_music_encoder: flags.TrainMusicEncoder = False,
    no_music: flags.NoMusic = False,
    alignment_loss: flags.AlignmentLoss = None,
    temperature: flags.Temperature = None,
    pooling: flags.Pooling = None,
    align_layer: flags.AlignLayer = None,
    fusion_layers: flags.FusionLayers = None,
    allow_fused_alignment: flags.AllowFusedAlignment = False,
    batch_size: flags.BatchSize = None,
    lr: flags.Lr = None,
    epochs: flags.Epochs = None,
    max_lyrics_tokens: flags.MaxLyricsTokens = None,
    max_caption_tokens: flags.MaxCaptionTokens = None,
    min_votes: flags.MinVotes = None,
    validation_songs: flags.ValidationSongs = None,
    best_by: flags.BestBy = None,
    similarity: flags.Similarity = None,
    pads_in_loss: flags.PadsInLoss = None,
    padding: flags.Padding = None,
    standardise_music: flags.StandardiseMusic = None,
    fusion_scale: flags.FusionScale = None,
    fusion_heads: flags.FusionHeads = None,
    fusion_sharing: flags.FusionSharing = None,
    optimizer: flags.Optimizer = None,
    adam_beta2: flags.AdamBeta2 = None,
    weight_decay: flags.WeightDecay = None,
    schedule: flags.Schedule = None,
    warmup: flags.Warmup = None,
    beams: flags.SavedBeams = None,
    sample: flags.SavedSample = None,
    top_p: flags.SavedTopP = None,
    precision: flags.Precision = "auto",
    accumulate: flags.Accumulate = 1,
    micro_batch_tokens: flags.MicroBatchTokens = None,
    gradient_checkpointing: flags.GradientCheckpointing = False,
    compile: flags.Compile = False,
    validate_every: flags.ValidateEvery = 1.0,
    checkpoint_every: flags.CheckpointEvery = None,
    patience: flags.Patience = None,
    report_to: flags.ReportTo = None,
    pretrain_seed: flags.PretrainSeed = 0,
    probe: flags.Probe = False,
    music: flags.Music = "own",
    music_noise: flags.MusicNoise = 0.0,
    caption_noise: flags.CaptionNoise = 0.0,
    captioned_songs: flags.CaptionedSongs = None,
    limit: flags.Limit = None,
    seed: flags.Seed = 0,
    device: flags.Device = "auto",
    as_json: flags.AsJson = False,
    quiet: flags.Quiet = False,
) -> None:
    """Train a captioner; an interrupted run goes on when started again."""
    given = dict(locals())
    if recipes:
        show_recipes()
        return
    progress = begin_model_work(quiet)
    from recap_cli.report.model_card import write_model_card
    from recap_cli.report.tables import estimate_table, train_table
    from recap_cli.training.interventions import Interventions
    from recap_cli.training.options import TrainOptions
    from recap_cli.training.train import estimate
    from recap_cli.training.train import train as run
    from recap_cli.training.trainer import leave_processes

    chosen = {option.name: given[option.name] for option in fields(TrainOptions) if option.name != "study"}
    chosen |= {
        "data": choose_data(data, limit, progress),
        "fusion_layers": read_layers("--fusion-layers", fusion_layers),
    }
    chosen |= {"study": Interventions(music, music_noise, caption_noise, captioned_songs)}
    options = TrainOptions(**chosen)
    if dry_run:
        expected = estimate(options, progress)
        render(as_json, expected.to_json(), estimate_table(expected))
        return
    result = run(options, progress)
    leave_processes()
    if not result.writes:
        return
    if result.trained or not (result.out / "README.md").exists():
        write_model_card(result)
    render(as_json, result.to_json(), train_table(result))


def show_recipes() -> None:
    """Show every recipe setting and who set it."""
    from recap_cli.report.drawing import draw
    from recap_cli.report.tables import recipe_table

    stdout_console().print(draw(recipe_table()))
