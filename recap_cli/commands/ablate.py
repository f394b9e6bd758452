"""`recap ablate`."""

from pathlib import Path
from typing import Annotated

import typer

import recap_cli.flags as flags
from recap_cli.commands.defaults import begin_model_work, choose_data
from recap_cli.console import render, stdout_console
from recap_cli.errors import OptionError, RecapError


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


def parse_weights(text: str) -> tuple[float, ...]:
    """Read weights such as `1e-3,2e-2,1e-1`."""
    try:
        return tuple(float(part) for part in text.split(",") if part.strip())
    except ValueError:
        raise OptionError(f"--weights {text} are not numbers", "give numbers such as 1e-3,2e-2,1e-1") from None
