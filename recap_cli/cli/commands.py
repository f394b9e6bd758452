"""The commands: each takes its options, calls its workflow and shows the result."""

import sys
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from recap_cli.ablation.options import AblateOptions
from recap_cli.captioning.options import CaptionOptions
from recap_cli.captioning.places import check_captions_out, check_inputs
from recap_cli.cli.checks import check_ablate, check_captioner, check_evaluate, check_prepare, check_train
from recap_cli.cli.console import (
    ConsoleProgress,
    Form,
    console_progress,
    render,
    render_ablation,
    render_evaluation,
    stderr_console,
)
from recap_cli.cli.flags import Screen
from recap_cli.errors import LyricsError, RecapError
from recap_cli.evaluation.options import EvaluateOptions
from recap_cli.lyrics.reader import lyrics_of_bytes
from recap_cli.outputs import check_explain
from recap_cli.preparation.options import PrepareOptions
from recap_cli.settings import RESULT, UNNAMED, Setting
from recap_cli.training.options import START, TrainOptions

MOST_INPUT = 16 << 20  # bytes of lyrics from stdin; no song has more words

DryRun = Annotated[bool, Setting("Only tell what would be done and how long it would take; write nothing.", RESULT)]
Recipes = Annotated[bool, Setting("Show every setting of each recipe and who set it, and do nothing else.", START)]
Explain = Annotated[
    Path | None,
    Setting("Draw which lyrics lines and seconds of music each word looked at (.png, .svg or .pdf).", RESULT),
]
Format = Annotated[
    Form, Setting("How the tables are written to stdout; rich is for a terminal.", RESULT, flag="--format")
]
Details = Annotated[bool, Setting("Show every table, not only the verdicts and the systems side by side.", RESULT)]


def prepare(options: PrepareOptions, dry_run: DryRun = False, screen: Screen = Screen()) -> None:
    """Read a corpus and cache its log-mel spectrograms in a data folder.

    Without SOURCE it makes the demo corpus: made-up songs, rendered in code.
    """
    check_prepare(options)
    from recap_cli.preparation.prepare import plan
    from recap_cli.preparation.prepare import prepare as run
    from recap_cli.report.preparation import next_step, plan_table, prepare_table

    progress = ConsoleProgress(stderr_console(), screen.quiet)
    if options.corpus == "real":
        progress.say("Making songs of real lyrics and real music.")
    elif options.source is None:
        made = f"{options.difficulty} demo corpus, songs rendered in code from seed {options.seed}"
        progress.say(f"No SOURCE: making the {made}.")
    if dry_run:
        planned = plan(options, progress)
        render(screen.as_json, planned.to_json(), plan_table(planned))
        return
    result = run(options, progress)
    render(screen.as_json, result.to_json(), prepare_table(result))
    progress.say(next_step(result))


def train(options: TrainOptions, recipes: Recipes = False, dry_run: DryRun = False, screen: Screen = Screen()) -> None:
    """Train a captioner on prepared songs. Started again after an interruption, it resumes."""
    if recipes:
        show_recipes()
        return
    check_train(options)
    from recap_cli.corpus.data_folder import read_dataset_file
    from recap_cli.runtime.run_folder import hold_run

    told = ConsoleProgress(stderr_console(), screen.quiet)
    options = replace(options, data=choose_data(options.data, options.limit, told))
    options = replace(options, out=options.folder(read_dataset_file(options.data)))
    assert options.out is not None
    # Held before the libraries are loaded, so that a second training is refused at once.
    with nullcontext() if dry_run else hold_run(options.out, [options.data]):
        train_held(options, dry_run, console_progress(screen.quiet), screen.as_json)


def train_held(options: TrainOptions, dry_run: bool, progress: ConsoleProgress, as_json: bool) -> None:
    """Trains in the run's folder, which this process holds, or says how long that would take."""
    from recap_cli.report.model_card import write_model_card
    from recap_cli.report.tables import estimate_table, next_steps, train_table
    from recap_cli.training.train import estimate
    from recap_cli.training.train import train as run
    from recap_cli.training.trainer import leave_processes

    if dry_run:
        expected = estimate(options, progress)
        render(as_json, expected.to_json(), estimate_table(expected))
        return
    result = run(options, progress)
    leave_processes()
    if not result.writes:  # another process of the same training does
        return
    if result.trained or not (result.out / "README.md").exists():
        write_model_card(result)
    render(as_json, result.to_json(), train_table(result))
    for line in next_steps(result, options.data).splitlines():
        progress.say(line)


def caption(
    options: CaptionOptions, explain: Explain = None, dry_run: DryRun = False, screen: Screen = Screen()
) -> None:
    """Write what a song is about: one song, several, or all of a folder, a manifest or a prepared data folder."""
    began = time.monotonic()
    check_places(options, explain)
    check_captioner(options.model, options.music_encoder, options.bart, options.device)
    options = replace(options, explain=explain is not None)
    from recap_cli.runtime.quick_start import start_quickly

    start_quickly("recap_cli.captioning.caption")
    progress = console_progress(screen.quiet)
    from recap_cli.captioning.caption import Tally, caption_songs, plan_captions
    from recap_cli.cli.caption_screen import render_captions
    from recap_cli.report.tables import catalogue_table

    options = take_stdin(options)
    if dry_run:
        plan = plan_captions(options, progress)
        render(screen.as_json, plan, catalogue_table(plan))
        return
    tally = Tally()
    captions = caption_songs(options, progress, tally)
    if explain is not None:
        from recap_cli.report.attention_maps import drawn

        captions = drawn(captions, explain, progress)
    render_captions(captions, options, screen.as_json, progress, tally, began)
    if tally.failed:
        raise typer.Exit(1)


def evaluate(
    options: EvaluateOptions, form: Format = "rich", details: Details = False, screen: Screen = Screen()
) -> None:
    """Score runs or files of captions side by side: ROUGE, METEOR, BLEU and chrF with intervals."""
    check_evaluate(options, options.out or options.default_out)
    progress = console_progress(screen.quiet)
    from recap_cli.evaluation.evaluate import evaluate as run

    options = name_inputs(options, progress)
    options = replace(options, out=options.out or options.default_out)
    result = run(options, progress)
    render_evaluation(result, options, "json" if screen.as_json else form, details, progress)


def ablate(options: AblateOptions, dry_run: DryRun = False, screen: Screen = Screen()) -> None:
    """Train and score several weights of the alignment loss, and compare them (the paper's Figure 2)."""
    check_ablate(options)
    progress = console_progress(screen.quiet)
    from recap_cli.ablation.ablate import ablate as run
    from recap_cli.ablation.ablate import foresee
    from recap_cli.report.tables import sweep_table

    options = replace(options, data=choose_data(options.data, options.limit, progress))
    if dry_run:
        plan = foresee(options, progress)
        render(screen.as_json, plan.to_json(), sweep_table(plan))
        return
    result = run(options, progress)
    render_ablation(result, screen.as_json, progress)
    if result.failed:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in result.failed.items())
        raise RecapError(f"{len(result.failed)} runs failed: {reasons}", "start the same command again to resume")


def doctor(screen: Screen = Screen()) -> None:
    """Tell what a bug report needs: versions, devices, programs, fonts, folders, and whether anything is broken."""
    progress = console_progress(screen.quiet)
    from recap_cli.cli.doctor import examine

    progress.start("Looking at this machine")
    report = examine()
    progress.finish()
    render(screen.as_json, report.to_json(), *report.tables())
    if report.broken:
        names, hints = ", ".join(report.broken), "; ".join(dict.fromkeys(report.broken.values()))
        raise RecapError(f"broken: {names}", hints)
    progress.say("Nothing that recap needs is broken.")


def show_recipes() -> None:
    """Shows every recipe setting and who set it."""
    from recap_cli.report.recipes import recipe_screen

    render(False, {}, recipe_screen())


def choose_data(data: Path, limit: int | None, progress: ConsoleProgress) -> Path:
    """Returns the data folder that is used, and says which where none is named."""
    from recap_cli.preparation.prepare import default_data

    return default_data(limit, progress) if data is UNNAMED else data


def name_inputs(options: EvaluateOptions, progress: ConsoleProgress) -> EvaluateOptions:
    """Returns the options with the data and the run that are used, and says which where none are named."""
    if options.predictions and not options.runs:  # without a model
        return replace(options, data=None if options.data is UNNAMED else options.data)
    assert options.data is not None
    options = replace(options, data=choose_data(options.data, options.limit, progress))
    if options.runs:
        return options
    from recap_cli.runtime.run_folder import newest_run

    found = newest_run(Path("runs"))
    progress.say(f"No RUN: scoring {found or 'the embedded model'}.")
    return replace(options, runs=(found,) if found else ())


def check_places(options: CaptionOptions, explain: Path | None) -> None:
    """Refuses songs and lyrics that are not there, and places where captions or a picture would destroy something.

    Raises:
        AudioError, LyricsError: they are not there.
        OptionError: another place is needed.
        OSError: a path cannot be looked at.
    """
    check_inputs(options.sources, options.lyrics)
    if explain is not None:
        check_explain(explain, [*options.inputs, *([options.out] if options.out else [])])
    check_captions_out(options.shard_out, options.inputs, options.is_batch, options.lines_per_file)


def take_stdin(options: CaptionOptions) -> CaptionOptions:
    """Returns the options with the lyrics that are piped in, where LYRICS is -."""
    if options.lyrics != Path("-"):
        return options
    return replace(options, lyrics=None, lyrics_text=lyrics_of_bytes(read_stdin(), "standard input"))


def read_stdin() -> bytes:
    """Returns what is piped in.

    Raises:
        LyricsError: stdin is closed, cannot be read, or does not end.
    """
    if sys.stdin is None or sys.stdin.closed:
        raise LyricsError("stdin is closed, so no lyrics come from it", "pipe them in, or name a file")
    try:
        words = sys.stdin.buffer.read(MOST_INPUT + 1)
    except OSError as error:
        raise LyricsError(f"stdin cannot be read: {error.strerror}", "pipe lyrics in, or name a file") from error
    if len(words) > MOST_INPUT:
        raise LyricsError(f"stdin gives more than {MOST_INPUT >> 20} MiB of lyrics", "pipe in one song's lyrics")
    return bytes(words)
