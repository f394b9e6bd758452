"""`recap caption`: one song or many, from files, a folder, a manifest or a prepared data folder, to captions."""

import shlex
import time
from collections.abc import Iterator
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from recap_cli.audio.sound import check_file
from recap_cli.captioning.batch import BatchCaptioner, Catalogue
from recap_cli.captioning.caption_file import CaptionFile
from recap_cli.captioning.caption_input import AudioTask
from recap_cli.captioning.caption_table import CaptionTable
from recap_cli.captioning.captioner import Captioner
from recap_cli.captioning.options import CaptionOptions
from recap_cli.captioning.places import TABLES, check_captions_out, check_inputs
from recap_cli.captioning.song_caption import SongCaption
from recap_cli.corpus.folders import lyrics_beside
from recap_cli.lyrics.reader import Lyrics, lyrics_of_words, read_lyrics
from recap_cli.lyrics.tags import lyrics_in_tags
from recap_cli.progress import Progress, SilentProgress
from recap_cli.records import SCHEMA
from recap_cli.runtime.hub import DEMO, DEMO_MODEL, packaged_model
from recap_cli.runtime.run_folder import newest_run

MOST_TOLD = 1000  # reasons and kinds of warnings that are remembered
DEMO_NOTE = "a demonstration on made-up songs. It does not understand real ones."
TRIAL = 16  # songs that `plan_captions` captions to tell the rate


@dataclass(frozen=True)
class Warned:
    """How many songs there is one kind of warning about, and the first of them."""

    songs: int
    audio: str
    detail: str  # of the first


@dataclass
class Tally:
    """What became of many songs; filled while they are captioned."""

    captioned: int = 0
    failed: int = 0  # in this run; those that failed before were tried again
    reasons: dict[str, str] = field(default_factory=dict)  # of the first failures, by audio
    skipped: int = 0  # songs that have a caption from before
    warnings: dict[str, Warned] = field(default_factory=dict)  # by kind, which is what stands before the colon
    loaded_at: float = field(default=0.0, compare=False)  # when the model was there, by `time.monotonic`

    def add(self, result: SongCaption) -> None:
        """Counts a result."""
        for text in result.warnings:
            kind, _, detail = text.partition(": ")
            if (known := self.warnings.get(kind)) is not None:
                self.warnings[kind] = replace(known, songs=known.songs + 1)
            elif len(self.warnings) < MOST_TOLD:
                self.warnings[kind] = Warned(1, result.audio, detail)
        if not result.error:
            self.captioned += 1
            return
        self.failed += 1
        if len(self.reasons) < MOST_TOLD:
            self.reasons[result.audio] = result.error


def caption_songs(
    options: CaptionOptions,
    progress: Progress | None = None,
    tally: Tally | None = None,
    *,
    captioner: Captioner | None = None,
) -> Iterator[SongCaption]:
    """Yields the captions of a song, or of many, a failed one of many with its reason.

        for song in caption_songs(CaptionOptions((Path("a.mp3"), Path("b.mp3")))):
            print(song.audio, song.caption or song.error)

    With `out`, each result of many is written before it is yielded, and songs that are in it already are passed over.

    Args:
        options: the songs and how they are captioned.
        progress: what is told of how far it is.
        tally: what is counted in it: songs, failures, warnings.
        captioner: a model that is loaded already, in place of the one that the options name.

    Raises:
        RecapError: the one song cannot be captioned, or the model or the corpus cannot be had.
    """
    progress, tally = progress or SilentProgress(), tally or Tally()
    check_inputs(options.sources, options.lyrics)
    if options.is_batch:
        yield from caption_catalogue(options, progress, tally, captioner)
        return
    lyrics = find_lyrics(options)
    captioner = captioner or load_captioner(options, progress)
    tally.loaded_at = time.monotonic()
    result = captioner.caption(
        options.sources[0],
        lyrics,
        excerpt=options.excerpt,
        decoding=options.decoding,
        explain=options.explain,
        any_sound=options.any_sound,
    )
    tally.add(result)
    yield result


def caption_catalogue(
    options: CaptionOptions, progress: Progress, tally: Tally, captioner: Captioner | None = None
) -> Iterator[SongCaption]:
    """Yields the captions of many songs."""
    check_captions_out(options.shard_out, options.inputs, options.is_batch, options.lines_per_file)
    catalogue = Catalogue(options.sources, options.shard, options.limit)
    next(catalogue.tasks(), None)  # what holds no songs is refused before the model is loaded
    batches = batch_captioner(options, catalogue, captioner or load_captioner(options, progress))
    tally.loaded_at = time.monotonic()
    with open_file(options, batches) as file, ExitStack() as stack:
        stack.callback(progress.finish)
        progress.start("Captioning songs", catalogue.count())
        for result in batches.caption(undone(catalogue, file, tally, progress)):
            if file is not None:
                file.append(result.to_json())
            tally.add(result)
            progress.advance(note=f"{tally.failed} failed" if tally.failed else "")
            yield result


def undone(
    catalogue: Catalogue, file: CaptionFile | CaptionTable | None, tally: Tally, progress: Progress
) -> Iterator[AudioTask]:
    """Yields the songs that have no caption yet."""
    for task in catalogue.tasks(file.done.__contains__) if isinstance(file, CaptionFile) else catalogue.tasks():
        if task is None:
            tally.skipped += 1
            progress.advance(note="done before")
            continue
        yield task


def load_captioner(options: CaptionOptions, progress: Progress) -> Captioner:
    """Loads the model that the options name, and says which one where they name none, or the demo model."""
    if packaged := packaged_model(options.model):
        told = "No --model: captioning with the embedded model" if options.model is None else f"--model {DEMO}"
        is_demo = packaged.path == DEMO_MODEL
        told += f"{',' if options.model is None else ':'} {DEMO_NOTE}" if is_demo else "."
        progress.say(told)
    if options.model is None and (trained := newest_run(Path("runs"))):
        progress.say(f"To caption with what was trained here: --model {shlex.quote(str(trained))}")
    return Captioner.from_pretrained(
        options.model,
        device=options.device,
        music_encoder=options.music_encoder,
        bart=options.bart,
        progress=progress,
    )


def batch_captioner(options: CaptionOptions, catalogue: Catalogue, captioner: Captioner) -> BatchCaptioner:
    """Returns the model with how it captions the songs of a catalogue."""
    return BatchCaptioner(
        captioner,
        catalogue.data,
        options.decoding,
        options.excerpt,
        options.instrumental,
        options.jobs,
        options.any_sound,
    )


def open_file(
    options: CaptionOptions, batches: BatchCaptioner, read_only: bool = False
) -> "CaptionFile | CaptionTable | nullcontext[None]":
    """Returns the file of captions, to be entered; if none is named, one that is entered as None."""
    if options.shard_out is None or (read_only and options.shard_out.suffix.lower() in TABLES):
        return nullcontext()
    if options.shard_out.suffix.lower() in TABLES:
        return CaptionTable(options.shard_out)
    made_by = {"model": batches.captioner.name, "weights": batches.captioner.weights, "settings": batches.settings}
    return CaptionFile(options.shard_out, made_by, options.lines_per_file, read_only)


def plan_captions(options: CaptionOptions, progress: Progress | None = None) -> dict[str, Any]:
    """Counts the songs and captions the first few to tell how long all take; nothing is written.

    Raises:
        RecapError: the model or the corpus cannot be had.
    """
    progress = progress or SilentProgress()
    check_inputs(options.sources, options.lyrics)
    catalogue = Catalogue(options.sources, options.shard, options.limit)
    batches = batch_captioner(options, catalogue, load_captioner(options, progress))
    tally, songs, unreadable, with_lyrics = Tally(), 0, 0, 0
    trial: list[AudioTask] = []
    progress.start("Counting songs")
    with open_file(options, batches, read_only=True) as file:
        for task in undone(catalogue, file, tally, progress):
            songs += 1
            unreadable += bool(task.error)
            with_lyrics += bool(task.lyrics)
            trial += [task] if len(trial) < TRIAL and not task.error else []
    progress.start("Captioning some to tell the rate", len(trial))
    began = time.monotonic()
    for _ in replace(batches, jobs=1).caption(trial):
        progress.advance()
    rate = 3600 * len(trial) / (time.monotonic() - began) if trial else 0.0
    progress.finish()
    return {
        "source": options.named,
        "songs": songs + tally.skipped,
        "done_before": tally.skipped,
        "to_caption": songs,
        "unreadable": unreadable,
        "with_lyrics": with_lyrics,
        "songs_per_hour": round(rate),
        "hours": round(songs / rate, 2) if rate else 0.0,
        "measured_on": len(trial),
        "schema": SCHEMA,
        "dry_run": True,
    }


def find_lyrics(options: CaptionOptions) -> Lyrics | None:
    """Returns the one song's lyrics: text, a file, what lies beside the audio or in its tags; None: instrumental."""
    if options.instrumental:
        return None
    if options.lyrics_text is not None:
        given = options.lyrics_text
        return given if isinstance(given, Lyrics) else lyrics_of_words(given)
    if options.lyrics is not None:
        return read_lyrics(options.lyrics)
    audio = options.sources[0]
    check_file(audio)
    beside = lyrics_beside(audio) or Lyrics("")
    tagged = None if beside.text else lyrics_in_tags(audio)
    return replace(tagged, warnings=(*beside.warnings, *tagged.warnings)) if tagged else beside
