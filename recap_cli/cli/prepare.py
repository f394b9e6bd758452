"""`recap prepare`."""

from pathlib import Path
from typing import Annotated

import typer

import recap_cli.cli.flags as flags
from recap_cli.cli.console import ConsoleProgress, render, stderr_console

Source = Annotated[
    Path | None,
    typer.Argument(
        help="Manifest (.csv, .tsv, .jsonl), Song Interpretation Dataset (.json), folder of ALCAP's CSVs, "
        "Music4All, or folder of songs.",
        show_default="the demo corpus",
    ),
]
Layout = Annotated[
    str | None,
    typer.Option(help="manifest, folder, song-interpretation, alcap or music4all.", show_default="recognised"),
]

Metadata = Annotated[Path | None, typer.Option(help="Music4All's id_information.csv.", show_default="beside the audio")]
FollowOutside = Annotated[
    bool, typer.Option("--follow-outside", help="Follow paths and links out of the audio folder.")
]
CleanCaptions = Annotated[bool, typer.Option("--clean-captions", help="Take a scraper's debris out of captions.")]
SplitFile = Annotated[Path | None, typer.Option(help="Freezes ids: table or JSON lines of id and split, or JSON.")]
PublishedSplit = Annotated[
    bool, typer.Option("--published-split", help="Row by row, 90/10, as BART-fusion: leaks, to compare.")
]


def prepare(
    source: Source = None,
    audio: Annotated[Path | None, typer.Option(help="Where audio paths start, or Music4All's audios.")] = None,
    out: Annotated[Path, typer.Option(help="The data folder to fill.")] = Path("data"),
    layout: Layout = None,
    metadata: Metadata = None,
    follow_outside: FollowOutside = False,
    variant: Annotated[str | None, typer.Option(help="ALCAP's files: full, not_negative or positive.")] = None,
    min_votes: Annotated[int | None, typer.Option(help="Leave out captions with fewer votes.")] = None,
    clean_captions: CleanCaptions = False,
    newlines: Annotated[str, typer.Option(help="Of lyrics: keep, or semicolon as BART-fusion.")] = "keep",
    instrumentals: Annotated[str, typer.Option(help="Songs without lyrics: keep or reject.")] = "keep",
    split_file: SplitFile = None,
    published_split: PublishedSplit = False,
    resplit: Annotated[bool, typer.Option("--resplit", help="Forget given splits, split by song.")] = False,
    difficulty: Annotated[str, typer.Option(help="Of the demo corpus: easy or hard.")] = "easy",
    test_songs: Annotated[
        int | None, typer.Option(help="Songs to judge by, of the demo corpus.", show_default="250")
    ] = None,
    excerpt: Annotated[str, typer.Option(help="start, middle, random or seconds.")] = "start",
    seconds: Annotated[float, typer.Option(help="Length of the excerpt.")] = 15.0,
    resampler: Annotated[str, typer.Option(help="resampy (kaiser_best) or soxr (extra `fast`).")] = "resampy",
    precision: Annotated[str, typer.Option(help="Of the cached mels: fp16 or fp32.")] = "fp16",
    jobs: Annotated[int, typer.Option(help="Processes; 0 is one for each core.")] = 0,
    shard: Annotated[str | None, typer.Option(help="Only slice i/n, for job arrays.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Fail when any song is rejected.")] = False,
    max_rejected: Annotated[float, typer.Option(help="Fail when a larger share is rejected.")] = 0.05,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done; write nothing.")] = False,
    limit: flags.Limit = None,
    seed: flags.Seed = 0,
    as_json: flags.AsJson = False,
    quiet: flags.Quiet = False,
) -> None:
    """Read a corpus and cache its log-mel spectrograms."""
    from recap_cli.preparation.prepare import PrepareOptions, plan
    from recap_cli.preparation.prepare import prepare as run
    from recap_cli.report.tables import plan_table, prepare_table

    progress = ConsoleProgress(stderr_console(), quiet)
    if source is None:
        progress.say(f"No SOURCE: making the {difficulty} demo corpus, songs rendered in code from seed {seed}.")
    options = PrepareOptions(
        source=source, out=out, audio=audio, layout=layout, metadata=metadata, follow_outside=follow_outside,
        variant=variant, difficulty=difficulty, test_songs=test_songs, excerpt=excerpt, seconds=seconds,
        resampler=resampler, precision=precision, jobs=jobs, limit=limit, seed=seed, min_votes=min_votes,
        split_file=split_file, published_split=published_split, resplit=resplit, clean_captions=clean_captions,
        newlines=newlines, instrumentals=instrumentals, shard=shard, strict=strict, max_rejected=max_rejected,
        dry_run=dry_run,
    )  # fmt: skip
    if dry_run:
        planned = plan(options, progress)
        render(as_json, planned.to_json(), plan_table(planned))
        return
    result = run(options, progress)
    render(as_json, result.to_json(), prepare_table(result))
