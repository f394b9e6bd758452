"""`recap ablate`."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

import recap_cli.cli.flags as flags
from recap_cli.cli.console import render
from recap_cli.cli.defaults import begin_model_work, choose_data, read_layers
from recap_cli.errors import OptionError, RecapError
from recap_cli.outputs import ABLATION, check_output_folder, is_ablation


def ablate(
    data: Annotated[
        Path | None, typer.Argument(help="Prepared data folder.", show_default="./data, else the demo corpus")
    ] = None,
    weights: Annotated[
        str, typer.Option(help="Values of alpha, such as 1e-3,2e-2,1e-1; 0 is always trained, too.")
    ] = "1e-3,2e-2,1e-1",
    seeds: Annotated[
        int, typer.Option(help="Runs of each arm; a seed gives all arms the same start and the same order.")
    ] = 1,
    baselines: Annotated[
        bool,
        typer.Option(
            "--baselines",
            help="Also train BART (no music), shuffled music (a fixed derangement in training and test) and constant "
            "music (as many parameters as RECAP, and only lyrics to read).",
        ),
    ] = False,
    alignment_losses: Annotated[
        str | None,
        typer.Option(
            help="Losses, each swept over all weights: positive,infonce,infonce-symmetric.", show_default="the recipe's"
        ),
    ] = None,
    align_layers: Annotated[
        str | None,
        typer.Option(help="Lyrics states that are aligned, each swept over all weights.", show_default="the recipe's"),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder of runs and results; started again, the sweep goes on there.")] = (
        Path("runs/ablation")
    ),
    split: Annotated[str, typer.Option(help="Songs to score.")] = "test",
    recipe: Annotated[str | None, typer.Option(help="paper, alcap or tiny.")] = None,
    bart: Annotated[
        str | None, typer.Option(help="BART to start from: folder, facebook/bart-base, or hf://owner/name[@revision].")
    ] = None,
    music_encoder: Annotated[Path | None, typer.Option(help="Pretrained CNNSA weights.")] = None,
    epochs: Annotated[float | None, typer.Option(help="Passes over the captions.")] = None,
    jobs: Annotated[
        int | None,
        typer.Option(help="Runs at a time.", show_default="one a GPU; on a CPU one a core for demo data, else one"),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the runs and their expected time.")] = False,
    limit: flags.Limit = None,
    device: flags.Device = "auto",
    as_json: flags.AsJson = False,
    quiet: flags.Quiet = False,
) -> None:
    """Train and score several weights of the alignment loss (the paper's Figure 2)."""
    sweep = parse_weights(weights)
    layers = read_layers("--align-layers", align_layers) or ()
    losses = tuple(part.strip() for part in (alignment_losses or "").split(",") if part.strip())
    inputs = [path for path in (data, music_encoder) if path is not None]
    check_output_folder(out, ABLATION, inputs=inputs, is_ours=is_ablation)
    progress = begin_model_work(quiet)
    from recap_cli.ablation.ablate import AblateOptions, foresee
    from recap_cli.ablation.ablate import ablate as run
    from recap_cli.ablation.conditions import BASELINES
    from recap_cli.report.figure_two import plot_ablation
    from recap_cli.report.tables import ablate_table, losses_table, measures_tables, sweep_table

    shared = {"recipe": recipe, "bart": bart, "music_encoder": music_encoder, "epochs": epochs}
    options = AblateOptions(
        data=data or Path(),
        weights=sweep,
        losses=losses,
        align_layers=layers,
        baselines=tuple(BASELINES) if baselines else (),
        seeds=seeds,
        out=out,
        split=split,
        train={name: value for name, value in shared.items() if value is not None},
        limit=limit,
        device=device,
        jobs=jobs,
    )
    options = replace(options, data=choose_data(data, limit, progress))
    if dry_run:
        plan = foresee(options, progress)
        render(as_json, plan.to_json(), sweep_table(plan))
        return
    result = run(options, progress)
    files = plot_ablation(result)
    versus = losses_table(result)
    tables = [*([versus] if versus else []), *measures_tables(result)]
    render(as_json, result.to_json(), ablate_table(result), *tables)
    if not as_json:
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
