"""`recap prepare`."""

from pathlib import Path
from typing import Annotated

import typer

import recap_cli.flags as flags
from recap_cli.console import ConsoleProgress, render, stderr_console


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
