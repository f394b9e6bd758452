"""`recap eval`."""

from pathlib import Path
from typing import Annotated

import typer

import recap_cli.cli.flags as flags
from recap_cli.cli.console import render_evaluation
from recap_cli.cli.defaults import begin_model_work, choose_data, choose_runs
from recap_cli.errors import OptionError
from recap_cli.outputs import check_evaluation


def evaluate(
    runs: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Run folders, or hf://owner/name[@revision].",
            show_default="the newest under ./runs, else the embedded model",
        ),
    ] = None,
    data: flags.Data = None,
    split: Annotated[str, typer.Option(help="Songs to score.")] = "test",
    protocol: Annotated[str, typer.Option(help="f1, or published (recall, one row a caption).")] = "f1",
    predictions: Annotated[
        list[Path] | None,
        typer.Option(help="Captions of any system (JSONL, JSON, CSV); no model is run. May be given twice."),
    ] = None,
    controls: Annotated[bool, typer.Option("--controls", help="Score wrong inputs and trivial captions too.")] = False,
    alignment: Annotated[bool, typer.Option("--alignment", help="Measure alignment and fusion attention.")] = False,
    cases: Annotated[int, typer.Option(help="Write a page of so many songs where two systems differ most.")] = 0,
    paper: Annotated[Path | None, typer.Option(help="CSV of a paper's own figures, to stand beside ours.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for captions, figures, plots and pages.")] = Path("runs/eval"),
    form: Annotated[str, typer.Option("--format", help="rich, markdown, latex, csv or json.")] = "rich",
    beams: flags.Beams = 4,
    limit: flags.Limit = None,
    device: flags.Device = "auto",
    as_json: flags.AsJson = False,
    quiet: flags.Quiet = False,
) -> None:
    """Score runs or files of captions: ROUGE, METEOR, BLEU and chrF with intervals, side by side."""
    if form not in flags.FORMATS:
        raise OptionError(f"--format {form} is not known", f"choose one of {', '.join(flags.FORMATS)}")
    files = tuple(predictions or ())
    alone = bool(files) and not runs
    check_evaluation(out, files, paper, has_models=not alone)
    progress = begin_model_work(quiet)
    from recap_cli.evaluation.evaluate import EvaluateOptions
    from recap_cli.evaluation.evaluate import evaluate as run
    from recap_cli.runtime.decoding import DecodingOptions

    options = EvaluateOptions(
        data=data if alone else choose_data(data, limit, progress),
        runs=() if alone else choose_runs(runs, progress),
        split=split,
        protocol=protocol,
        limit=limit,
        out=out,
        decoding=DecodingOptions(beams=beams),
        device=device,
        predictions=files,
        controls=controls,
        alignment=alignment,
        cases=cases,
        paper=paper,
    )
    render_evaluation(run(options, progress), out, "json" if as_json else form, progress)
