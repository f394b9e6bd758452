"""The `recap` command: five verbs that parse, call a workflow and render; errors become words here."""

import os
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any

import typer

import recap_cli.flags as flags
from recap_cli import __version__
from recap_cli.console import (
    ConsoleProgress,
    render,
    render_captions,
    stderr_console,
    stdout_console,
    write_line,
)
from recap_cli.errors import OptionError, RecapError

app = typer.Typer(
    name="recap",
    help="RECAP: what a song is about, from its audio and its lyrics.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

# click's class, or that of the copy of click which newer versions of Typer bring along.
UsageError: Any = typer.BadParameter.__bases__[0]


def show_version(wanted: bool) -> None:
    """Print the version and stop."""
    if wanted:
        write_line(f"recap {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """RECAP: what a song is about, from its audio and its lyrics."""


@app.command()
def prepare(
    source: Annotated[
        Path | None,
        typer.Argument(help="Manifest (.csv, .tsv, .jsonl) or folder of songs.", show_default="the demo corpus"),
    ] = None,
    audio: Annotated[Path | None, typer.Option(help="Where a manifest's audio paths start.")] = None,
    out: Annotated[Path, typer.Option(help="The data folder to fill.")] = Path("data"),
    difficulty: Annotated[str, typer.Option(help="Of the demo corpus: easy or hard.")] = "easy",
    excerpt: Annotated[str, typer.Option(help="start, middle, random or seconds.")] = "start",
    seconds: Annotated[float, typer.Option(help="Length of the excerpt.")] = 15.0,
    resampler: Annotated[str, typer.Option(help="resampy (kaiser_best) or soxr (extra `fast`).")] = "resampy",
    precision: Annotated[str, typer.Option(help="Of the cached mels: fp16 or fp32.")] = "fp16",
    jobs: Annotated[int, typer.Option(help="Processes; 0 is one for each core.")] = 0,
    min_votes: Annotated[int | None, typer.Option(help="Leave out captions with fewer votes.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Fail when any song is rejected.")] = False,
    max_rejected: Annotated[float, typer.Option(help="Fail when a larger share is rejected.")] = 0.05,
    limit: flags.Limit = None,
    seed: flags.Seed = 0,
    as_json: flags.AsJson = False,
    quiet: flags.Quiet = False,
) -> None:
    """Read a corpus and cache its log-mel spectrograms."""
    from recap_cli.report.tables import prepare_table
    from recap_cli.workflows.prepare import PrepareOptions
    from recap_cli.workflows.prepare import prepare as run

    progress = ConsoleProgress(stderr_console(), quiet)
    if source is None:
        progress.say(f"No SOURCE: making the {difficulty} demo corpus, songs rendered in code from seed {seed}.")
    options = PrepareOptions(
        source, out, audio, difficulty, excerpt, seconds, resampler, precision, jobs, limit, seed,
        min_votes, strict, max_rejected,
    )  # fmt: skip
    result = run(options, progress)
    render(as_json, result.to_json(), prepare_table(result))


@app.command()
def train(
    data: Annotated[
        Path | None, typer.Argument(help="Prepared data folder.", show_default="./data, else the demo corpus")
    ] = None,
    alpha: flags.Alpha = None,
    out: Annotated[Path | None, typer.Option(help="Run folder.", show_default="runs/ and the settings")] = None,
    recipe: flags.Recipe = None,
    recipes: Annotated[bool, typer.Option("--recipes", help="Show every recipe setting and who set it.")] = False,
    bart: flags.Bart = None,
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
    fusion_scale: flags.FusionScale = None,
    fusion_heads: flags.FusionHeads = None,
    fusion_sharing: flags.FusionSharing = None,
    optimizer: flags.Optimizer = None,
    adam_beta2: flags.AdamBeta2 = None,
    schedule: flags.Schedule = None,
    warmup: flags.Warmup = None,
    beams: flags.SavedBeams = None,
    sample: flags.SavedSample = None,
    top_p: flags.SavedTopP = None,
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
    from recap_cli.report.pages import write_model_card
    from recap_cli.report.tables import train_table
    from recap_cli.workflows.train import TrainOptions
    from recap_cli.workflows.train import train as run

    chosen = {option.name: given[option.name] for option in fields(TrainOptions)}
    chosen |= {"data": choose_data(data, limit, progress), "fusion_layers": parse_layers(fusion_layers)}
    options = TrainOptions(**chosen)
    result = run(options, progress)
    if result.trained:
        write_model_card(result)
    render(as_json, result.to_json(), train_table(result))


@app.command()
def caption(
    audio: Annotated[Path, typer.Argument(help="Audio file, folder of songs, or manifest.")],
    lyrics: Annotated[
        str | None, typer.Argument(help="Lyrics (.txt, .lrc, or - for stdin).", show_default="beside the audio")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Run folder, hub id or ALCAP weights.", show_default="the embedded model")
    ] = None,
    music_encoder: Annotated[Path | None, typer.Option(help="CNNSA weights, for ALCAP's model_N.pt.")] = None,
    bart: Annotated[str, typer.Option(help="The BART that ALCAP's weights came from.")] = "facebook/bart-base",
    instrumental: Annotated[bool, typer.Option("--instrumental", help="There are no lyrics.")] = False,
    excerpt: Annotated[str, typer.Option(help="start, middle or seconds.")] = "start",
    out: Annotated[Path | None, typer.Option(help="Write JSON lines here.")] = None,
    beams: flags.Beams = 4,
    sample: Annotated[bool, typer.Option("--sample", help="Draw words instead of taking the likeliest.")] = False,
    num_captions: Annotated[int, typer.Option(help="Captions a song.")] = 1,
    max_caption_tokens: Annotated[int | None, typer.Option(help="Longest caption.")] = None,
    no_repeat_ngram: Annotated[int, typer.Option(help="Word groups of this size appear once; 0 allows all.")] = 0,
    seed: flags.Seed = 0,
    device: flags.Device = "auto",
    as_json: flags.AsJson = False,
    quiet: flags.Quiet = False,
) -> None:
    """Write what a song is about."""
    progress = begin_model_work(quiet)
    from recap_cli.workflows.caption import CaptionOptions, caption_songs
    from recap_cli.workflows.decoding import DecodingOptions

    from_stdin = sys.stdin.buffer.read().decode("utf-8", "replace") if lyrics == "-" else None
    options = CaptionOptions(
        audio=audio,
        lyrics=Path(lyrics) if lyrics not in (None, "-") else None,
        lyrics_text=from_stdin,
        instrumental=instrumental,
        model=model,
        music_encoder=music_encoder,
        bart=bart,
        excerpt=excerpt,
        decoding=DecodingOptions(beams, sample, 1.0, num_captions, max_caption_tokens, no_repeat_ngram, seed),
        device=device,
    )
    failed = render_captions(caption_songs(options, progress), options, out, as_json, progress)
    if failed:
        raise typer.Exit(1)


@app.command("eval")
def evaluate(
    runs: Annotated[
        list[Path] | None,
        typer.Argument(help="Run folders.", show_default="the newest under ./runs, else the embedded model"),
    ] = None,
    data: flags.Data = None,
    split: Annotated[str, typer.Option(help="Songs to score.")] = "test",
    protocol: Annotated[str, typer.Option(help="f1, or published (recall, one row a caption).")] = "f1",
    out: Annotated[Path | None, typer.Option(help="Folder for the captions, as JSON lines.")] = None,
    beams: flags.Beams = 4,
    limit: flags.Limit = None,
    device: flags.Device = "auto",
    as_json: flags.AsJson = False,
    quiet: flags.Quiet = False,
) -> None:
    """Score runs: ROUGE, METEOR and BLEU with intervals; on demo songs attribute accuracy too."""
    progress = begin_model_work(quiet)
    from recap_cli.report import tables
    from recap_cli.workflows.decoding import DecodingOptions
    from recap_cli.workflows.evaluate import EvaluateOptions
    from recap_cli.workflows.evaluate import evaluate as run

    options = EvaluateOptions(
        data=choose_data(data, limit, progress),
        runs=choose_runs(runs, progress),
        split=split,
        protocol=protocol,
        limit=limit,
        out=out,
        decoding=DecodingOptions(beams=beams),
        device=device,
    )
    result = run(options, progress)
    render(
        as_json,
        result.to_json(),
        tables.evaluate_table(result),
        tables.attribute_table(result),
        tables.comparison_table(result),
    )


@app.command()
def ablate(
    data: Annotated[
        Path | None, typer.Argument(help="Prepared data folder.", show_default="./data, else the demo corpus")
    ] = None,
    weights: Annotated[str, typer.Option(help="Values of alpha, such as 1e-3,2e-2,1e-1.")] = "1e-3,2e-2,1e-1",
    seeds: Annotated[int, typer.Option(help="Runs of each weight.")] = 1,
    out: Annotated[Path, typer.Option(help="Folder of runs and results.")] = Path("runs/ablation"),
    split: Annotated[str, typer.Option(help="Songs to score.")] = "test",
    recipe: Annotated[str | None, typer.Option(help="paper, alcap or tiny.")] = None,
    bart: Annotated[str | None, typer.Option(help="BART to start from: folder or hub id.")] = None,
    music_encoder: Annotated[Path | None, typer.Option(help="Pretrained CNNSA weights.")] = None,
    alignment_loss: Annotated[str | None, typer.Option(help="positive, infonce or infonce-symmetric.")] = None,
    epochs: Annotated[float | None, typer.Option(help="Passes over the captions.")] = None,
    limit: flags.Limit = None,
    device: flags.Device = "auto",
    as_json: flags.AsJson = False,
    quiet: flags.Quiet = False,
) -> None:
    """Train and score several weights of the alignment loss (the paper's Figure 2)."""
    sweep = parse_weights(weights)
    progress = begin_model_work(quiet)
    from recap_cli.report.plots import plot_ablation, sketch_ablation
    from recap_cli.report.tables import ablate_table
    from recap_cli.workflows.ablate import AblateOptions
    from recap_cli.workflows.ablate import ablate as run

    shared = {
        "recipe": recipe, "bart": bart, "music_encoder": music_encoder, "alignment_loss": alignment_loss,
        "epochs": epochs,
    }  # fmt: skip
    options = AblateOptions(
        data=choose_data(data, limit, progress),
        weights=sweep,
        seeds=seeds,
        out=out,
        split=split,
        train={name: value for name, value in shared.items() if value is not None},
        limit=limit,
        device=device,
    )
    result = run(options, progress)
    files = plot_ablation(result)
    render(as_json, result.to_json(), ablate_table(result))
    if not as_json:
        stdout_console().print(sketch_ablation(result), highlight=False)
        progress.say(f"Figure: {', '.join(map(str, files))}")
    if result.failed:
        raise RecapError(
            f"{len(result.failed)} runs failed: {'; '.join(f'{k}: {v}' for k, v in result.failed.items())}",
            "start the same command again to go on",
        )


def show_recipes() -> None:
    """Show every recipe setting and who set it."""
    begin_model_work(quiet=True)
    from recap_cli.report.tables import draw, recipe_table

    stdout_console().print(draw(recipe_table()))


def begin_model_work(quiet: bool) -> ConsoleProgress:
    """Keep the libraries from talking, and give the progress."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from transformers.utils import logging

    logging.disable_progress_bar()
    return ConsoleProgress(stderr_console(), quiet)


def choose_data(data: Path | None, limit: int | None, progress: ConsoleProgress) -> Path:
    """Say and give the data folder that is used when none is named."""
    from recap_cli.workflows.prepare import default_data

    return data if data is not None else default_data(limit, progress)


def choose_runs(runs: list[Path] | None, progress: ConsoleProgress) -> tuple[Path, ...]:
    """Say and give the run that is scored when none is named; none stands for the embedded model."""
    if runs:
        return tuple(runs)
    from recap_cli.workflows.runs import newest_run

    found = newest_run(Path("runs"))
    progress.say(f"No RUN: scoring {found or 'the embedded model'}.")
    return (found,) if found else ()


def parse_layers(text: str | None) -> tuple[int, ...] | None:
    """Read layers such as `4,5`."""
    if text is None:
        return None
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise OptionError(f"--fusion-layers {text} names no layers", "give numbers such as 4,5") from None


def parse_weights(text: str) -> tuple[float, ...]:
    """Read weights such as `1e-3,2e-2,1e-1`."""
    try:
        return tuple(float(part) for part in text.split(",") if part.strip())
    except ValueError:
        raise OptionError(f"--weights {text} are not numbers", "give numbers such as 1e-3,2e-2,1e-1") from None


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the one place where errors become words and exit codes.

    Returns:
        0 done, 1 a RecapError, 2 usage, 130 interrupted.
    """
    try:
        code = app(args=arguments, standalone_mode=False)
    except RecapError as error:
        complain(error)
        return 1
    except UsageError as error:
        error.show()
        return 2
    except (typer.Abort, KeyboardInterrupt):
        code = 130
    except SystemExit as end:  # the reader of a pipe has left, and Typer or Rich have muted stdout
        return end.code if isinstance(end.code, int) else 1
    if code == 130:  # newer versions of Typer turn the interruption into its exit code
        print("\ninterrupted; start the same command again to go on", file=sys.stderr)  # noqa: T201
    return code if isinstance(code, int) else 0


def complain(error: RecapError) -> None:
    """Say what was wrong and what to try, a line each."""
    print(f"recap: {one_line(error.message)}", file=sys.stderr)  # noqa: T201
    print(f"try: {one_line(error.hint or 'recap COMMAND --help')}", file=sys.stderr)  # noqa: T201


def one_line(text: str) -> str:
    """Keep a message on one line, control characters shown as spaces."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
