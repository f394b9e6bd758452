"""`recap caption`: one song, or all songs of a folder, a manifest or a prepared data folder, to captions."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from recap_cli.audio.settings import AUDIO_SUFFIXES
from recap_cli.audio.sound import check_file
from recap_cli.captioning.batch import BatchCaptioner, Catalogue
from recap_cli.captioning.caption_file import CaptionFile, check_out
from recap_cli.captioning.caption_input import AudioTask
from recap_cli.captioning.captioner import Captioner, SongCaption
from recap_cli.captioning.options import CaptionOptions
from recap_cli.corpus.folders import lyrics_beside
from recap_cli.errors import AudioError, OptionError
from recap_cli.lyrics.reader import Lyrics, lyrics_of_text, read_lyrics
from recap_cli.lyrics.tags import lyrics_in_tags
from recap_cli.progress import Progress, SilentProgress

TEXT_SUFFIXES = (".txt", ".lrc", ".srt", ".vtt", ".ttml")
TRIAL = 16  # songs that `plan_captions` captions to tell the rate


@dataclass
class Tally:
    """What became of many songs; filled while they are captioned."""

    captioned: int = 0
    failed: int = 0  # in this run; those that failed before were tried again
    reasons: dict[str, str] = field(default_factory=dict)  # of the first failures, by audio
    skipped: int = 0  # songs that have a caption from before

    def add(self, result: SongCaption) -> None:
        """Counts a result."""
        if not result.error:
            self.captioned += 1
            return
        self.failed += 1
        if len(self.reasons) < 1000:
            self.reasons[result.audio] = result.error


def caption_songs(
    options: CaptionOptions, progress: Progress | None = None, tally: Tally | None = None
) -> Iterator[SongCaption]:
    """Yields the caption of a song, or of all songs of a folder or manifest, a failed one with its reason.

    With `out`, each result of many is on disk before it is yielded, and songs that are there already are passed over.

    Raises:
        RecapError: the one song cannot be captioned, or the model or the corpus cannot be had.
    """
    progress, tally = progress or SilentProgress(), tally or Tally()
    if not options.audio.exists():
        raise AudioError(f"no audio at {options.audio}", "check the path")
    if options.is_batch:
        yield from caption_catalogue(options, progress, tally)
        return
    lyrics = find_lyrics(options)
    captioner = load_captioner(options, progress)
    result = captioner.caption(
        options.audio, lyrics, excerpt=options.excerpt, decoding=options.decoding, explain=options.explain
    )
    tally.add(result)
    yield result


def caption_catalogue(options: CaptionOptions, progress: Progress, tally: Tally) -> Iterator[SongCaption]:
    """Yields the captions of many songs."""
    check_captions_out(options)
    catalogue = Catalogue(options.audio, options.shard, options.limit)
    next(catalogue.tasks(), None)  # what holds no songs is refused before the model is loaded
    batches = batch_captioner(options, catalogue, progress)
    file = open_file(options, batches)
    try:
        progress.start("Captioning songs", catalogue.count())
        for result in batches.caption(undone(catalogue, file, tally, progress)):
            if file is not None:
                file.append(result.to_json())
            tally.add(result)
            progress.advance(note=f"{tally.failed} failed" if tally.failed else "")
            yield result
    finally:
        progress.finish()
        if file is not None:
            file.close()


def check_captions_out(options: CaptionOptions) -> None:
    """Refuses a file of captions that would destroy something or pass for a song, before the model is loaded.

    Raises:
        OptionError: it would.
    """
    out = options.shard_out
    if out is None:
        return
    inputs = (options.audio, Path(options.model or ""), options.music_encoder or Path(), Path(options.bart))
    check_out(out, options.lines_per_file, [path for path in inputs if path != Path() and path.exists()])
    if kind := kind_of_name(out):
        raise OptionError(f"--out {out} has the name of {kind}", "name a file of its own, such as captions.jsonl")


def kind_of_name(out: Path) -> str:
    """Returns what a file would be taken for when the folder is read again; "" for nothing."""
    suffix = out.suffix.lower()
    if suffix in AUDIO_SUFFIXES:
        return "a song"
    stem = out.stem.removesuffix(".caption").removesuffix(".lyrics")
    beside = suffix in TEXT_SUFFIXES and any((out.parent / f"{stem}{one}").is_file() for one in AUDIO_SUFFIXES)
    return "the texts of a song beside it" if beside else ""


def undone(catalogue: Catalogue, file: CaptionFile | None, tally: Tally, progress: Progress) -> Iterator[AudioTask]:
    """Yields the songs that have no caption yet."""
    for task in catalogue.tasks(file.done.__contains__) if file is not None else catalogue.tasks():
        if task is None:
            tally.skipped += 1
            progress.advance(note="done before")
            continue
        yield task


def load_captioner(options: CaptionOptions, progress: Progress) -> Captioner:
    """Loads the model that the options name, and says which one where they name none."""
    if options.model is None:
        progress.say(
            "No --model: captioning with the embedded model, a demonstration on made-up songs. "
            "It does not understand real ones."
        )
    return Captioner.from_pretrained(
        options.model,
        device=options.device,
        music_encoder=options.music_encoder,
        bart=options.bart,
        progress=progress,
    )


def batch_captioner(options: CaptionOptions, catalogue: Catalogue, progress: Progress) -> BatchCaptioner:
    """Returns the model with how it captions the songs of a catalogue."""
    captioner = load_captioner(options, progress)
    return BatchCaptioner(
        captioner, catalogue.data, options.decoding, options.excerpt, options.instrumental, options.jobs
    )


def open_file(options: CaptionOptions, batches: BatchCaptioner, read_only: bool = False) -> CaptionFile | None:
    """Opens the file of captions, if one is named."""
    if options.shard_out is None:
        return None
    made_by = {"model": batches.captioner.name, "weights": batches.captioner.weights, "settings": batches.settings}
    return CaptionFile(options.shard_out, made_by, options.lines_per_file, read_only)


def plan_captions(options: CaptionOptions, progress: Progress | None = None) -> dict[str, Any]:
    """Counts the songs and captions the first few to tell how long all take; nothing is written.

    Raises:
        RecapError: the model or the corpus cannot be had.
    """
    progress = progress or SilentProgress()
    catalogue = Catalogue(options.audio, options.shard, options.limit)
    batches = batch_captioner(options, catalogue, progress)
    tally, songs, unreadable, with_lyrics = Tally(), 0, 0, 0
    trial: list[AudioTask] = []
    progress.start("Counting songs")
    for task in undone(catalogue, open_file(options, batches, read_only=True), tally, progress):
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
        "source": str(options.audio),
        "songs": songs + tally.skipped,
        "done_before": tally.skipped,
        "to_caption": songs,
        "unreadable": unreadable,
        "with_lyrics": with_lyrics,
        "songs_per_hour": round(rate),
        "hours": round(songs / rate, 2) if rate else 0.0,
        "measured_on": len(trial),
    }


def find_lyrics(options: CaptionOptions) -> Lyrics | None:
    """Returns the one song's lyrics: text, a file, what lies beside the audio or in its tags; None: instrumental."""
    if options.instrumental:
        return None
    if options.lyrics_text is not None:
        given = options.lyrics_text
        return given if isinstance(given, Lyrics) else lyrics_of_text(given)
    if options.lyrics is not None:
        return read_lyrics(options.lyrics)
    check_file(options.audio)
    return lyrics_beside(options.audio) or lyrics_in_tags(options.audio) or Lyrics("")
