"""`recap caption`."""

from pathlib import Path
from typing import Annotated

import typer

import recap_cli.cli.flags as flags
from recap_cli.cli.console import render, render_captions
from recap_cli.cli.defaults import begin_model_work, check_audio, read_stdin
from recap_cli.corpus.manifest import MANIFEST_SUFFIXES
from recap_cli.lyrics.reader import lyrics_of_bytes
from recap_cli.outputs import check_caption


def caption(
    audio: Annotated[Path, typer.Argument(help="Audio file, folder of songs, manifest, or prepared data folder.")],
    lyrics: Annotated[
        str | None,
        typer.Argument(help="Lyrics (.txt, .lrc, or - for stdin).", show_default="beside the audio or in its tags"),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="Run folder, hf://owner/name[@revision], or ALCAP weights.", show_default="the embedded model"
        ),
    ] = None,
    music_encoder: Annotated[Path | None, typer.Option(help="CNNSA weights, for ALCAP's model_N.pt.")] = None,
    bart: Annotated[
        str,
        typer.Option(help="The BART that ALCAP's weights came from: folder, facebook/bart-base, or hf://owner/name."),
    ] = "facebook/bart-base",
    instrumental: Annotated[bool, typer.Option("--instrumental", help="There are no lyrics.")] = False,
    excerpt: Annotated[str, typer.Option(help="start, middle, seconds, or whole: the entire song.")] = "start",
    explain: Annotated[
        Path | None, typer.Option(help="Draw what the caption looked at (.png, .svg, .pdf).", show_default="no drawing")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write JSON lines here; start it again and it goes on.")] = None,
    lines_per_file: Annotated[int | None, typer.Option(help="Begin another file after so many songs.")] = None,
    shard: Annotated[str, typer.Option(help="i/n: only the i-th of n parts, into a file of its own.")] = "1/1",
    limit: flags.Limit = None,
    jobs: Annotated[int, typer.Option(help="Processes that decode audio; 0 takes one for each core.")] = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count the songs and say how long they take.")] = False,
    beams: flags.Beams = 4,
    sample: Annotated[bool, typer.Option("--sample", help="Draw words instead of taking the likeliest.")] = False,
    top_p: Annotated[float, typer.Option(help="When drawing, from the likeliest words of this share.")] = 1.0,
    num_captions: Annotated[int, typer.Option(help="Captions a song.")] = 1,
    max_caption_tokens: Annotated[int | None, typer.Option(help="Longest caption.")] = None,
    min_caption_tokens: Annotated[int, typer.Option(help="Shortest caption.")] = 0,
    no_repeat_ngram: Annotated[int, typer.Option(help="Word groups of this size appear once; 0 allows all.")] = 0,
    batch_size: Annotated[int, typer.Option(help="Songs at a time; captions do not depend on it.")] = 32,
    seed: flags.Seed = 0,
    device: flags.Device = "auto",
    as_json: flags.AsJson = False,
    quiet: flags.Quiet = False,
) -> None:
    """Write what a song is about: one song, or all songs of a folder, a manifest or a prepared data folder."""
    check_audio(audio)
    named = (audio, lyrics if lyrics != "-" else None, model, music_encoder, bart)
    if not (audio.is_dir() or audio.suffix.lower() in MANIFEST_SUFFIXES):
        check_caption(out, explain, [Path(one) for one in named if one is not None])
    progress = begin_model_work(quiet)
    from recap_cli.captioning.caption import CaptionOptions, Tally, caption_songs, plan_captions
    from recap_cli.corpus.data_folder import Slice
    from recap_cli.runtime.decoding import DecodingOptions

    options = CaptionOptions(
        audio=audio,
        lyrics=Path(lyrics) if lyrics not in (None, "-") else None,
        lyrics_text=lyrics_of_bytes(read_stdin(), "standard input") if lyrics == "-" else None,
        instrumental=instrumental,
        model=model,
        music_encoder=music_encoder,
        bart=bart,
        excerpt=excerpt,
        decoding=DecodingOptions(
            beams,
            sample,
            top_p,
            num_captions,
            max_caption_tokens,
            no_repeat_ngram,
            seed,
            batch_size,
            min_caption_tokens,
        ),
        device=device,
        out=out,
        lines_per_file=lines_per_file,
        shard=Slice.parse(shard),
        limit=limit,
        jobs=jobs,
        explain=explain is not None,
    )
    if dry_run:
        from recap_cli.report.panels import plan_table

        plan = plan_captions(options, progress)
        render(as_json, plan, plan_table(plan))
        return
    tally = Tally()
    captions = caption_songs(options, progress, tally)
    if explain is not None:
        from recap_cli.report.attention_maps import drawn

        captions = drawn(captions, explain)
    render_captions(captions, options, as_json, progress, tally)
    if tally.failed:
        raise typer.Exit(1)
