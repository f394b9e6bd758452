"""`recap eval`."""

from pathlib import Path
from typing import Annotated

import typer

import recap_cli.flags as flags
from recap_cli.commands.defaults import begin_model_work, choose_data, choose_runs
from recap_cli.console import render


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
