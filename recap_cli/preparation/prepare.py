"""A corpus becomes a data folder: read, split, decoded, resampled, cut to an excerpt, its log-mels cached."""

import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median

from recap_cli.corpus.data_folder import MELS, begin, end, held, is_prepared, undo
from recap_cli.corpus.folders import is_file
from recap_cli.corpus.mel_cache import Spent
from recap_cli.corpus.shards import drop_damaged
from recap_cli.corpus.song import Rejected
from recap_cli.corpus.splits import ListedSong, SongList
from recap_cli.demo.attributes import MUSIC_ATTRIBUTES
from recap_cli.demo.songs import DEMO_VERSION
from recap_cli.errors import BusyError, DataError
from recap_cli.files import hash_file
from recap_cli.preparation.cleaning import count_tokens
from recap_cli.preparation.mel_worker import AudioTask, MelResult, MelSettings, make_mels
from recap_cli.preparation.options import PrepareOptions
from recap_cli.preparation.read_corpus import Reading, demo_settings, read_songs
from recap_cli.preparation.records import Record, count_reasons, drop_orphans, folder_record, write_records
from recap_cli.preparation.results import PreparePlan, PrepareResult
from recap_cli.progress import Progress, SilentProgress
from recap_cli.settings import Slice
from recap_cli.surroundings import cache_folder, check_cache, count_cores

__all__ = ["PrepareOptions", "PreparePlan", "PrepareResult", "default_data", "demo_folder", "plan", "prepare"]

CHUNK_SONGS = 16
TRIED_SONGS = 4  # decoded to foretell the time; the first one also pays for what is done once
WAIT_SECONDS = 2.0
LONGEST = 10_000  # characters of a reason that are kept


@dataclass
class Part:
    """The entries of a slice of the corpus, in order; a song whose audio cannot be used has its reason."""

    entries: list[ListedSong | Rejected]

    @property
    def songs(self) -> list[ListedSong]:
        """All songs."""
        return [entry for entry in self.entries if isinstance(entry, ListedSong)]

    @property
    def prepared(self) -> list[ListedSong]:
        """The songs that have a mel."""
        return [song for song in self.songs if song.mel]

    @property
    def rejected(self) -> list[Rejected]:
        """What cannot be used, and why."""
        found = (
            Rejected(one.song.id, one.song.audio, one.reason) if isinstance(one, ListedSong) else one
            for one in self.entries
        )
        return [Rejected(one.song, one.file[:LONGEST], one.reason[:LONGEST]) for one in found if one.reason]


@dataclass
class Tally:
    """What making the mels has come to so far."""

    reused: int = 0
    warnings: Counter[str] = field(default_factory=Counter)
    shards: set[str] = field(default_factory=set)
    spent: Spent = field(default_factory=lambda: defaultdict(float))


def prepare(options: PrepareOptions, progress: Progress | None = None) -> PrepareResult:
    """Prepares a corpus; running it again does only what is new or changed.

    Raises:
        DataError: there is no corpus, nothing of it can be used, too much of it is rejected, or the disk is full.
        BusyError: another preparation is working on the folder.
    """
    progress = progress or SilentProgress()
    mels, began = options.out / MELS, time.monotonic()
    with held(options.out, options.slice, options.inputs):
        if options.corpus == "real":
            from recap_cli.preparation.real_corpus import music_options, prepare_real  # with torch

            begin(options.out, options.slice)
            music = [prepare(one, progress).out for one in music_options(options)]
            return prepare_real(options, music, progress)
        reading = read_songs(options, progress)
        part = choose_part(reading.songs, options.slice)
        base = begin(options.out, options.slice)
        for name in drop_damaged(mels):
            progress.say(f"{mels / name} is damaged: its songs are prepared again.")
        tally = fill_mel_cache(part, mel_settings(options, mels, base), count_jobs(options), progress)
        result = finish(part, options, reading, tally, time.monotonic() - began)
        drop_orphans(mels, base, tally.shards)
        end(options.out, options.slice)
    check_rejected(result, options)
    return result


def choose_part(songs: SongList, part: Slice) -> Part:
    """Returns the entries of a slice: whole chunks of songs, and what was rejected among them."""
    places = [place for place, entry in enumerate(songs.entries) if isinstance(entry, ListedSong)]
    chunks = part.range(-(-len(places) // CHUNK_SONGS))
    first, last = (
        places[CHUNK_SONGS * chunk] if CHUNK_SONGS * chunk < len(places) else len(songs.entries) for chunk in chunks
    )
    return Part(songs.entries[first if part.number > 1 else 0 : last if part.number < part.count else None])


def mel_settings(options: PrepareOptions, folder: Path, base: tuple[str, ...]) -> MelSettings:
    """Returns what a process needs to know to make mels into a folder."""
    return MelSettings(
        folder=folder,
        base=base,
        audio=options.settings,
        excerpt=options.place,
        seed=options.seed,
        precision=options.precision,
        demo=demo_settings(options),
        label=options.slice.label,
    )


def count_jobs(options: PrepareOptions) -> int:
    """Returns the number of processes: as asked for, or one for each core that this process may use."""
    return options.jobs or count_cores()


def chunks_of(songs: Sequence[ListedSong]) -> list[list[AudioTask]]:
    """Returns the songs as tasks, in chunks."""
    tasks = [AudioTask(number, one.song.id, one.song.audio, one.song.excerpt) for number, one in enumerate(songs)]
    return [tasks[start : start + CHUNK_SONGS] for start in range(0, len(tasks), CHUNK_SONGS)]


def fill_mel_cache(part: Part, settings: MelSettings, jobs: int, progress: Progress) -> Tally:
    """Makes the mels that are missing; notes each song's mel, or why it has none."""
    songs, rejected, tally = part.songs, len(part.rejected), Tally()
    chunks = chunks_of(songs)
    progress.start("Preparing songs", len(songs))
    try:
        for event in make_mels(chunks, settings, min(jobs, len(chunks))):
            if isinstance(event, str):
                tally.shards.add(event)
                continue
            for kind, seconds in event.spent.items():
                tally.spent[kind] += seconds
            tally.reused += event.reused
            tally.warnings.update(warning_kind(warning) for warning in event.warnings)
            song = songs[event.number]
            song.mel, song.frames, song.reason = event.key, event.frames, event.reason
            rejected += bool(event.reason)
            progress.advance(note=f"{rejected} rejected" if rejected else "")
    finally:
        progress.finish()
    return tally


def warning_kind(warning: str) -> str:
    """Returns the kind of a warning, figures left out."""
    return "shorter than its header says: damaged?" if warning.startswith("damaged?") else warning.partition(":")[0]


def finish(part: Part, options: PrepareOptions, reading: Reading, tally: Tally, seconds: float) -> PrepareResult:
    """Writes the records around the mels, and sums up.

    Raises:
        DataError: nothing could be prepared, or the disk refuses.
    """
    songs, rejected, audio = part.prepared, part.rejected, options.settings
    # A slice of a small corpus may be empty.
    if not songs and (rejected or options.slice.count == 1):
        reason = rejected[0].reason if rejected else "the corpus is empty"
        undo(options.out, options.slice)
        hint = "check --audio and the file's columns; --dry-run counts what is missing"
        raise DataError(f"no song could be prepared: {reason}", hint)
    splits = count_splits(songs)
    write_records(songs, rejected, options.out, options.slice, audio, describe(options, reading, splits))
    if instrumental := sum(not one.song.lyrics for one in songs):
        tally.warnings["without lyrics"] = instrumental
    return PrepareResult(
        out=options.out,
        songs=len(songs),
        captions=sum(len(one.captions) for one in songs),
        hours=sum(one.frames - 1 for one in songs) * audio.hop / audio.sample_rate / 3600,
        splits=splits,
        rejected=len(rejected),
        reasons=count_reasons(rejected),
        reused=tally.reused,
        layout=reading.layout,
        slice=options.shard or "",
        medians=measure_medians(songs, audio.hop / audio.sample_rate),
        cleaned=reading.cleaned_kinds(),
        warnings=dict(sorted((tally.warnings + Counter(map(warning_kind, reading.warnings.elements()))).items())),
        leakage=reading.leakage,
        spent=dict(tally.spent),
        seconds=seconds,
        resampler=audio.resampler,
    )


def count_splits(songs: Sequence[ListedSong]) -> dict[str, int]:
    """Returns the number of songs in each split."""
    return dict(sorted(Counter(song.split for song in songs).items()))


def measure_medians(songs: Sequence[ListedSong], frame_seconds: float) -> dict[str, float]:
    """Returns medians, 0 of nothing: seconds and lyrics tokens of songs, their captions, and caption tokens."""

    def middle(values: list[int]) -> float:
        return float(median(values)) if values else 0.0

    return {
        "seconds": round(middle([one.frames - 1 for one in songs]) * frame_seconds, 2),
        "lyrics_tokens": middle([count for one in songs if (count := count_tokens(one.song.lyrics))]),
        "captions_per_song": middle([len(one.captions) for one in songs if one.captions]),
        "caption_tokens": middle([count_tokens(caption.text) for one in songs for caption in one.captions]),
    }


def describe(options: PrepareOptions, reading: Reading, splits: dict[str, int]) -> Record:
    """Returns what `dataset.json` says of how the folder was made; no time of day, and no number of processes."""
    demo, info = demo_settings(options), folder_record(options, reading.layout, splits)
    if options.split_file is not None:
        info["options"]["split_file"] = hash_file(options.split_file)[:16]
    tags = {tag for song in reading.songs.songs for tag in song.song.tags}
    info |= {
        "music_tags": list(MUSIC_ATTRIBUTES) if demo else sorted(tags),
        "cleaned": reading.cleaned_kinds(),
        "leakage": reading.leakage.to_json(),
        "versions": library_versions(options.settings.resampler),
    }
    if options.slice.count > 1:
        info["slice"] = options.shard
    if demo:
        info["demo"] = {"version": DEMO_VERSION, **demo.to_json()}
    return info


def library_versions(resampler: str) -> dict[str, str]:
    """Returns the versions of what decodes, resamples and computes."""
    found = {}
    for name in ("numpy", "soundfile", *({resampler} - {"polyphase"})):
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # vendored by a distribution under another name
            found[name] = "unknown"
    return found


def check_rejected(result: PrepareResult, options: PrepareOptions) -> None:
    """Refuses (DataError) a result with more rejected songs than the options allow; the folder stays usable."""
    total = result.rejected + result.songs
    if result.rejected and (options.strict or result.rejected / total > options.max_rejected):
        raise DataError(
            f"{result.rejected} of {total} songs were rejected, "
            f"see {options.slice.file(options.out, 'rejected.jsonl')}",
            "repair or remove them, or allow more with --max-rejected",
        )


def plan(options: PrepareOptions, progress: Progress | None = None) -> PreparePlan:
    """Reads the corpus, decodes a few of its songs, and returns what a preparation would do; nothing is written.

    Raises:
        DataError: there is no corpus, or it is damaged as a whole.
    """
    reading = read_songs(options, progress or SilentProgress())
    part, audio, jobs = choose_part(reading.songs, options.slice), options.settings, count_jobs(options)
    songs = part.songs
    there = [one for one in songs if options.source is None or is_file(one.song.audio)]
    size = 2 if options.precision == "fp16" else 4
    return PreparePlan(
        out=options.out,
        layout=reading.layout,
        songs=len(songs),
        captions=sum(len(one.captions) for one in reading.songs.songs),
        splits=count_splits(reading.songs.songs),
        missing=len(songs) - len(there),
        rejected=len(part.rejected),
        reasons=count_reasons(part.rejected),
        cleaned=reading.cleaned_kinds(),
        leakage=reading.leakage,
        seconds=seconds_of_one(there[:TRIED_SONGS], options) * len(there) / jobs,
        gigabytes=len(there) * audio.mels * audio.frames(audio.samples) * size / 1e9,
        jobs=jobs,
    )


def seconds_of_one(songs: Sequence[ListedSong], options: PrepareOptions) -> float:
    """Returns the seconds of work of a song, from mels of a few that are thrown away; 0 where none can be decoded."""
    with tempfile.TemporaryDirectory(prefix="recap-") as name:
        events = make_mels(chunks_of(songs), mel_settings(options, Path(name), ()), 1)
        seconds = [sum(event.spent.values()) for event in events if isinstance(event, MelResult) and not event.reason]
    later = seconds[1:] or seconds
    return sum(later) / len(later) if later else 0.0


def demo_folder(difficulty: str = "easy") -> Path:
    """Returns where the demo corpus is kept for commands that are given no data: in the user's cache folder.

    Raises:
        OptionError: there is no home, and RECAP_CACHE names no other place.
    """
    return cache_folder() / f"demo-{difficulty}"


def default_data(limit: int | None, progress: Progress) -> Path:
    """Returns the data folder of commands that are given none, and says which it is.

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
