"""`recap caption`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

import recap_cli.flags as flags
from recap_cli.commands.defaults import begin_model_work
from recap_cli.console import render_captions


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
