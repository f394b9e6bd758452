"""A corpus becomes a data folder: read, split, decoded, resampled, cut to an excerpt, its log-mels cached."""

import os
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from recap_cli import __version__
from recap_cli.corpus.catalogue import Catalogue, disk_errors
from recap_cli.corpus.data_folder import MELS, begin, end, held, is_prepared, undo
from recap_cli.corpus.folders import is_file
from recap_cli.corpus.mel_cache import Spent, hash_file
from recap_cli.corpus.shards import drop_damaged
from recap_cli.corpus.song import Rejected
from recap_cli.demo.attributes import MUSIC_ATTRIBUTES
from recap_cli.demo.songs import DEMO_VERSION
from recap_cli.errors import BusyError, DataError
from recap_cli.preparation.mel_worker import HearingSettings, Task, hear_all
from recap_cli.preparation.options import PrepareOptions, PreparePlan, PrepareResult
from recap_cli.preparation.read_corpus import Reading, demo_settings, fill_catalogue
from recap_cli.preparation.records import count_reasons, drop_orphans, write_records
from recap_cli.progress import Progress, SilentProgress
from recap_cli.runtime.workers import Finished
from recap_cli.surroundings import cache_folder, check_cache

__all__ = ["PrepareOptions", "PreparePlan", "PrepareResult", "default_data", "demo_folder", "plan", "prepare"]

CHUNK_SONGS = 16
TRIED_SONGS = 4  # heard to foretell the time; the first one also pays for what is done once
WAIT_SECONDS = 2.0


@dataclass
class Tally:
    """What hearing has come to so far."""

    reused: int = 0
    rejected: int = 0
    warnings: Counter[str] = field(default_factory=Counter)
    shards: set[str] = field(default_factory=set)
    spent: Spent = field(default_factory=lambda: defaultdict(float))


def prepare(options: PrepareOptions, progress: Progress | None = None) -> PrepareResult:
    """Prepare a corpus; running it again does only what is new or changed.

    Raises:
        DataError: there is no corpus, nothing of it can be used, too much of it is rejected, or the disk is full.
        BusyError: another preparation is working on the folder.
    """
    progress = progress or SilentProgress()
    part, began = options.slice, time.monotonic()
    with (
        held(options.out, part, options.inputs),
        open_catalogue(options.out / "catalogue.sqlite", part.label) as catalogue,
    ):
        reading = fill_catalogue(catalogue, options, progress)
        base = begin(options.out, part)
        for name in drop_damaged(options.out / MELS):
            progress.say(f"{options.out / MELS / name} is damaged: its songs are heard again.")
        tally = hear_catalogue(catalogue, options, base, progress)
        result = finish(catalogue, options, reading, tally, time.monotonic() - began)
        drop_orphans(options.out / MELS, base, tally.shards)
        end(options.out, part)
    check_rejected(result, options)
    return result


@contextmanager
def open_catalogue(path: Path, label: str = "") -> Iterator[Catalogue]:
    """Keep a catalogue in a file for as long as it is needed.

    Raises:
        DataError: the disk refuses.
    """
    with disk_errors(path.parent):
        catalogue = Catalogue(path, label)
        try:
            yield catalogue
        finally:
            catalogue.close()


def hear_catalogue(
    catalogue: Catalogue, options: PrepareOptions, base: tuple[str, ...], progress: Progress, out: Path | None = None
) -> Tally:
    """Fill the mel cache, and note what became of each song of the slice."""
    total = catalogue.count("songs")
    chunks = -(-total // CHUNK_SONGS)
    first, last = (min(total, CHUNK_SONGS * place) for place in options.slice.range(chunks))
    keep_slice(catalogue, options, first, last)
    settings = HearingSettings(
        folder=(out or options.out) / MELS,
        base=base,
        audio=options.settings,
        place=options.place,
        seed=options.seed,
        precision=options.precision,
        demo=demo_settings(options),
        label=options.slice.label,
    )
    tally = Tally(rejected=catalogue.count("rejected"))
    progress.start("Preparing songs", last - first)
    try:
        tasks = chunk_tasks(catalogue, first, last)
        jobs = min(count_jobs(options), -(-(last - first) // CHUNK_SONGS))
        for event in hear_all(tasks, settings, jobs):
            if isinstance(event, Finished):
                tally.shards.add(event.value)
                continue
            for kind, seconds in event.spent.items():
                tally.spent[kind] += seconds
            tally.reused += event.reused
            tally.warnings.update(warning_kind(warning) for warning in event.warnings)
            if event.reason:
                tally.rejected += 1
                name, file = catalogue.db.execute(
                    "SELECT id, audio FROM songs WHERE position = ?", (event.position,)
                ).fetchone()
                catalogue.reject(Rejected(name, file, event.reason), event.position)
            else:
                catalogue.heard(event.position, event.key, event.frames)
            progress.advance(note=f"{tally.rejected} rejected" if tally.rejected else "")
    finally:
        progress.finish()
    return tally


def warning_kind(warning: str) -> str:
    """Give the kind of a warning, figures left out."""
    return "shorter than its header says: damaged?" if warning.startswith("damaged?") else warning.partition(":")[0]


def keep_slice(catalogue: Catalogue, options: PrepareOptions, first: int, last: int) -> None:
    """Leave what was rejected while reading to the slice in whose part of the corpus it stands."""
    if options.slice.number > 1:
        catalogue.db.execute("DELETE FROM rejected WHERE position < ?", (catalogue.position_of(first),))
    if options.slice.number < options.slice.count:
        catalogue.db.execute("DELETE FROM rejected WHERE position >= ?", (catalogue.position_of(last),))


def chunk_tasks(catalogue: Catalogue, first: int, last: int) -> Iterator[list[Task]]:
    """Give the songs number `first` to `last` (excluded) in chunks."""
    after = catalogue.position_of(first) - 1
    for start in range(first, last, CHUNK_SONGS):
        rows = catalogue.to_hear(after, min(CHUNK_SONGS, last - start))
        after = rows[-1][0]
        yield [Task(*row) for row in rows]


def count_jobs(options: PrepareOptions) -> int:
    """Give the number of processes: as asked for, or one for each core that this process may use."""
    if options.jobs:
        return options.jobs
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def finish(
    catalogue: Catalogue, options: PrepareOptions, reading: Reading, tally: Tally, seconds: float
) -> PrepareResult:
    """Write the records around the mels, and sum up.

    Raises:
        DataError: nothing could be prepared, or the disk refuses.
    """
    songs = catalogue.count("songs", "mel IS NOT NULL")
    reasons = count_reasons(catalogue.rejected())
    if not songs and not (options.slice.count > 1 and not tally.rejected):
        first = next((entry.reason for entry in catalogue.rejected()), "the corpus is empty")
        undo(options.out, options.slice)
        hint = "check --audio and the file's columns; --dry-run counts what is missing"
        raise DataError(f"no song could be prepared: {first}", hint)
    counted = "SELECT split, count(*) FROM songs WHERE mel IS NOT NULL GROUP BY split ORDER BY split"
    splits = dict(catalogue.db.execute(counted).fetchall())
    info = describe(catalogue, options, reading, splits)
    write_records(catalogue, options.out, options.slice, options.settings, info)
    audio = options.settings
    frames = catalogue.one("SELECT total(frames - 1) FROM songs WHERE mel IS NOT NULL")
    if instrumental := catalogue.count("songs", "mel IS NOT NULL AND lyrics = ''"):
        tally.warnings["without lyrics"] = instrumental
    captions = catalogue.one("SELECT count(*) FROM captions JOIN songs ON song = position WHERE mel IS NOT NULL")
    return PrepareResult(
        out=options.out,
        songs=songs,
        captions=captions,
        hours=frames * audio.hop / audio.sample_rate / 3600,
        splits=splits,
        rejected=catalogue.count("rejected"),
        reasons=reasons,
        reused=tally.reused,
        layout=reading.layout,
        slice=options.shard or "",
        medians=measure_medians(catalogue, audio.hop / audio.sample_rate),
        cleaned=reading.cleaned_kinds(),
        warnings=dict(sorted((tally.warnings + Counter(map(warning_kind, reading.warnings.elements()))).items())),
        leakage=reading.leakage,
        spent=dict(tally.spent),
        seconds=seconds,
        resampler=options.resampler,
    )


def measure_medians(catalogue: Catalogue, frame_seconds: float) -> dict[str, float]:
    """Give medians over what was heard: seconds and lyrics tokens of songs, their captions, and caption tokens."""
    heard, captioned = "mel IS NOT NULL", "song IN (SELECT position FROM songs WHERE mel IS NOT NULL)"
    counts = f"(SELECT count(*) AS n FROM captions WHERE {captioned} GROUP BY song)"
    return {
        "seconds": round(catalogue.median("songs", "frames - 1", heard) * frame_seconds, 2),
        "lyrics_tokens": catalogue.median("songs", "tokens", f"{heard} AND tokens > 0"),
        "captions_per_song": catalogue.median(counts, "n", "1"),
        "caption_tokens": catalogue.median("captions", "tokens", captioned),
    }


def describe(catalogue: Catalogue, options: PrepareOptions, reading: Reading, splits: dict[str, int]) -> dict[str, Any]:
    """Give what `dataset.json` says of how the folder was made; no time of day, and no number of processes."""
    demo = demo_settings(options)
    texts = options.texts
    if options.split_file is not None:
        texts["split_file"] = hash_file(options.split_file)[:16]
    info: dict[str, Any] = {
        "recap": __version__,
        "source": "demo" if demo else str(options.source),
        "layout": reading.layout,
        "audio": options.settings.to_json(),
        "excerpt": options.excerpt,
        "precision": options.precision,
        "seed": options.seed,
        "options": texts,
        "splits": splits,
        "music_tags": list(MUSIC_ATTRIBUTES) if demo else sorted(catalogue.tags),
        "cleaned": reading.cleaned_kinds(),
        "leakage": reading.leakage.to_json() if reading.leakage else None,
        "versions": library_versions(options.resampler),
    }
    if options.slice.count > 1:
        info["slice"] = options.shard
    if demo:
        info["demo"] = {"version": DEMO_VERSION, **demo.to_json()}
    return info


def library_versions(resampler: str) -> dict[str, str]:
    """Give the versions of what decodes, resamples and computes."""
    found = {}
    for name in ("numpy", "soundfile", resampler):
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # vendored by a distribution under another name
            found[name] = "unknown"
    return found


def check_rejected(result: PrepareResult, options: PrepareOptions) -> None:
    """Raise when more songs were rejected than the options allow; the folder stays usable."""
    total = result.rejected + result.songs
    if result.rejected and (options.strict or result.rejected / total > options.max_rejected):
        raise DataError(
            f"{result.rejected} of {total} songs were rejected, "
            f"see {options.slice.file(options.out, 'rejected.jsonl')}",
            "mend them, or allow more with --max-rejected",
        )


def plan(options: PrepareOptions, progress: Progress | None = None) -> PreparePlan:
    """Read the corpus, hear a few of its songs, and say what a preparation would do; nothing is written.

    Raises:
        DataError: there is no corpus, or it is damaged as a whole.
    """
    progress = progress or SilentProgress()
    with (
        tempfile.TemporaryDirectory(prefix="recap-") as name,
        open_catalogue(Path(name) / "catalogue.sqlite") as catalogue,
    ):
        reading = fill_catalogue(catalogue, options, progress)
        total = catalogue.count("songs")
        chunks = -(-total // CHUNK_SONGS)
        first, last = (min(total, CHUNK_SONGS * place) for place in options.slice.range(chunks))
        keep_slice(catalogue, options, first, last)
        missing = 0 if options.source is None else count_missing(catalogue, first, last)
        each = try_songs(catalogue, options, Path(name), first, last)
        counted = "SELECT split, count(*) FROM songs GROUP BY split ORDER BY split"
        assert reading.leakage is not None
        size = 2 if options.precision == "fp16" else 4
        audio = options.settings
        return PreparePlan(
            out=options.out,
            layout=reading.layout,
            songs=last - first,
            captions=catalogue.count("captions"),
            splits=dict(catalogue.db.execute(counted).fetchall()),
            missing=missing,
            rejected=catalogue.count("rejected"),
            reasons=count_reasons(catalogue.rejected()),
            cleaned=reading.cleaned_kinds(),
            leakage=reading.leakage,
            seconds=each * (last - first - missing) / count_jobs(options),
            gigabytes=(last - first - missing) * audio.mels * audio.frames(audio.samples) * size / 1e9,
            jobs=count_jobs(options),
        )


def count_missing(catalogue: Catalogue, first: int, last: int) -> int:
    """Count the songs whose audio file is not there."""
    return sum(not is_file(task.audio) for tasks in chunk_tasks(catalogue, first, last) for task in tasks)


def try_songs(catalogue: Catalogue, options: PrepareOptions, folder: Path, first: int, last: int) -> float:
    """Hear a few songs in a folder that is thrown away; give the seconds of work of one, 0 where none can be heard."""
    tasks = next(chunk_tasks(catalogue, first, last), [])
    found = [task for task in tasks if options.source is None or is_file(task.audio)][:TRIED_SONGS]
    settings = HearingSettings(
        folder / MELS, (), options.settings, options.place, options.seed, options.precision, demo_settings(options), ""
    )
    (folder / MELS).mkdir()
    events = hear_all(iter([found] if found else []), settings, 1)
    heard = [sum(event.spent.values()) for event in events if not isinstance(event, Finished) and not event.reason]
    later = heard[1:] or heard
    return sum(later) / len(later) if later else 0.0


def demo_folder(difficulty: str = "easy") -> Path:
    """Returns where the demo corpus is kept for commands that are given no data: in the user's cache folder.

    Raises:
        OptionError: there is no home, and RECAP_CACHE names no other place.
    """
    return cache_folder() / f"demo-{difficulty}"


def default_data(limit: int | None, progress: Progress) -> Path:
    """Give the data folder of commands that are given none, and say which it is.

    `./data` where `recap prepare` finished one, else the demo corpus in the user's cache folder, made when needed.

    Raises:
        OptionError: the cache folder cannot be used.
    """
    here = Path("data")
    if is_prepared(here):
        progress.say("No DATA: using ./data.")
        return here
    folder = demo_folder()
    if limit is not None:
        folder = folder.with_name(f"{folder.name}-limit-{limit}")
    progress.say(f"No DATA: using the demo corpus, made-up songs, in {folder}.")
    check_cache(folder)
    waited = False
    while True:
        try:
            prepare(PrepareOptions(out=folder, limit=limit), progress)
            return folder
        except BusyError:
            if not waited:
                progress.say("Another process is preparing it: waiting.")
            waited = True
            time.sleep(WAIT_SECONDS)
