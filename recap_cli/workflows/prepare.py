"""A corpus becomes a data folder: decoded, resampled, cut to an excerpt, its log-mels cached."""

import math
import multiprocessing
import os
import sys
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from recap_cli import __version__
from recap_cli.audio import AudioSettings
from recap_cli.corpus.attributes import MUSIC_ATTRIBUTES
from recap_cli.corpus.demo import DEMO_VERSION, DemoSettings, make_songs
from recap_cli.corpus.manifest import Song, assign_splits, song_to_json, write_json, write_json_lines
from recap_cli.corpus.mels import fingerprint, hash_file, hear_demo, hear_file, mel_key
from recap_cli.corpus.readers import Rejected, read_corpus
from recap_cli.corpus.shards import ShardReader, ShardWriter
from recap_cli.errors import AudioError, DataError, OptionError, RecapError
from recap_cli.progress import Progress, SilentProgress

CHUNK_SONGS = 16
PRECISIONS = {"fp16": np.float16, "fp32": np.float32}


@dataclass(frozen=True)
class PrepareOptions:
    """What to prepare and how.

    Attributes:
        source: a corpus for `read_corpus`; None is the demo corpus.
        out: the data folder.
        audio: where a manifest's audio paths start.
        difficulty: `easy` or `hard`, of the demo corpus.
        excerpt: `start`, `middle`, `random` (seeded by song) or seconds.
        seconds: length of the excerpt.
        resampler: `resampy` or `soxr`.
        precision: type of the cached mels, `fp16` or `fp32`.
        jobs: processes; 0 takes one for each core.
        limit: only about so many songs.
        seed: of the demo corpus, of splits and of random excerpts.
        min_votes: leave out captions with fewer votes.
        strict: fail when any song is rejected.
        max_rejected: fail when more than this share is rejected.
    """

    source: Path | None = None
    out: Path = Path("data")
    audio: Path | None = None
    difficulty: str = "easy"
    excerpt: str = "start"
    seconds: float = 15.0
    resampler: str = "resampy"
    precision: str = "fp16"
    jobs: int = 0
    limit: int | None = None
    seed: int = 0
    min_votes: int | None = None
    strict: bool = False
    max_rejected: float = 0.05

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise OptionError(f"--precision {self.precision} is not known", f"choose one of {', '.join(PRECISIONS)}")
        if self.jobs < 0:
            raise OptionError(f"--jobs {self.jobs} is negative", "0 takes one process for each core")
        if self.limit is not None and self.limit < 1:
            raise OptionError(f"--limit {self.limit} leaves no songs", "give a number of 1 or more")
        if not (math.isfinite(self.max_rejected) and 0 <= self.max_rejected <= 1):
            raise OptionError(f"--max-rejected {self.max_rejected} is no share", "give a number from 0 to 1")
        self.place, self.settings  # noqa: B018  checks --excerpt, --seconds and --resampler

    @property
    def place(self) -> str | float:
        """The excerpt's place: a word, or seconds."""
        if self.excerpt in ("start", "middle", "random"):
            return self.excerpt
        try:
            seconds = float(self.excerpt)
        except ValueError:
            seconds = math.nan
        if not (math.isfinite(seconds) and seconds >= 0):
            raise OptionError(f"--excerpt {self.excerpt} is not known", "give start, middle, random or seconds")
        return seconds

    @property
    def settings(self) -> AudioSettings:
        """The signal settings."""
        return AudioSettings(seconds=self.seconds, resampler=self.resampler)


@dataclass(frozen=True)
class PrepareResult:
    """What a data folder holds now.

    Attributes:
        out: the folder.
        songs: number of songs prepared.
        captions: number of their captions.
        hours: hours of audio in the mels.
        splits: songs a split.
        rejected: songs left out, with their reasons.
        reused: mels that were there already.
    """

    out: Path
    songs: int
    captions: int
    hours: float
    splits: dict[str, int]
    rejected: list[Rejected]
    reused: int

    def to_json(self) -> dict[str, Any]:
        """The result as plain values."""
        return {**vars(self), "out": str(self.out), "rejected": [vars(entry) for entry in self.rejected]}


@dataclass(frozen=True)
class Task:
    """One song to hear, with all that a worker needs."""

    song: Song
    audio: AudioSettings
    place: str | float
    seed: int
    precision: str
    demo: DemoSettings | None


@dataclass
class Heard:
    """A worker's answer: the song with its mel (None when the cache has it already), or the reason against it."""

    song: Song
    key: str = ""
    mel: np.ndarray | None = None
    reason: str = ""


@dataclass
class Tally:
    """What has been prepared so far."""

    songs: list[tuple[Song, str]] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    reused: int = 0


def prepare(options: PrepareOptions, progress: Progress | None = None) -> PrepareResult:
    """Prepare a corpus; running it again does only what is new or changed.

    Raises:
        DataError: there is no corpus, nothing of it can be used, or too much of it is rejected.
    """
    progress = progress or SilentProgress()
    demo = demo_settings(options) if options.source is None else None
    entries = list(read_entries(options, demo))
    songs = assign_splits([entry for entry in entries if isinstance(entry, Song)], options.seed)
    options.out.mkdir(parents=True, exist_ok=True)
    tally = Tally(rejected=[entry for entry in entries if isinstance(entry, Rejected)])
    tasks = [Task(song, options.settings, options.place, options.seed, options.precision, demo) for song in songs]
    hear_all(tasks, options, tally, progress)
    result = write_folder(options, demo, tally)
    check_rejected(result, options)
    return result


def demo_settings(options: PrepareOptions) -> DemoSettings:
    """The demo corpus that the options ask for; `limit` shrinks every split alike."""
    whole = DemoSettings(seed=options.seed, difficulty=options.difficulty)
    if options.limit is None:
        return whole
    total = whole.train + whole.validation + whole.test + whole.unseen
    counts = {
        name: max(2, round(getattr(whole, name) * options.limit / total)) for name in ("validation", "test", "unseen")
    }
    train = max(2, options.limit - sum(counts.values()))
    return DemoSettings(seed=options.seed, difficulty=options.difficulty, train=train, **counts)


def read_entries(options: PrepareOptions, demo: DemoSettings | None) -> Iterator[Song | Rejected]:
    """Give the corpus's songs, each id once, captions filtered by votes."""
    if demo is not None or options.source is None:
        yield from (filter_votes(song, options.min_votes) for song in make_songs(demo or DemoSettings()))
        return
    seen: set[str] = set()
    for entry in read_corpus(options.source, options.audio):
        if options.limit is not None and len(seen) >= options.limit:
            return
        if isinstance(entry, Song) and entry.id in seen:
            yield Rejected(entry.id, entry.audio, "another song has the same id")
        elif isinstance(entry, Song):
            seen.add(entry.id)
            yield filter_votes(entry, options.min_votes)
        else:
            yield entry


def filter_votes(song: Song, min_votes: int | None) -> Song:
    """Leave out captions with fewer votes.

    Raises:
        DataError: the captions have no votes.
    """
    if min_votes is None:
        return song
    if any(caption.votes is None for caption in song.captions):
        raise DataError(f"--min-votes: the captions of {song.id} have no votes", "leave --min-votes out")
    return Song(**{**vars(song), "captions": tuple(c for c in song.captions if (c.votes or 0) >= min_votes)})


def hear_all(tasks: list[Task], options: PrepareOptions, tally: Tally, progress: Progress) -> None:
    """Fill the mel cache and the tally; what is done stays done when this is interrupted."""
    folder = options.out / "mels"
    writer = ShardWriter(folder)
    known = frozenset(ShardReader(folder).files)
    progress.start("Preparing songs", len(tasks))
    try:
        for heard in hear_chunks(tasks, known, options.jobs or os.cpu_count() or 1):
            if heard.reason:
                tally.rejected.append(Rejected(heard.song.id, heard.song.audio, heard.reason))
            else:
                tally.songs.append((heard.song, heard.key))
                tally.reused += heard.mel is None
            if heard.mel is not None:
                writer.add(heard.key, heard.mel)
            progress.advance(note=f"{len(tally.rejected)} rejected" if tally.rejected else "")
    finally:
        writer.close()
        progress.finish()


def hear_chunks(tasks: list[Task], known: frozenset[str], jobs: int) -> Iterator[Heard]:
    """Hear songs in order, in `jobs` processes of one thread each; only a few chunks are in flight."""
    chunks = [tasks[start : start + CHUNK_SONGS] for start in range(0, len(tasks), CHUNK_SONGS)]
    if jobs == 1 or len(chunks) < 2:
        for task in tasks:
            yield hear(task, known)
        return
    waiting: deque[Future[list[Heard]]] = deque()
    with single_threaded(), worker_pool(min(jobs, len(chunks))) as pool:
        for chunk in chunks:
            waiting.append(pool.submit(hear_chunk, chunk, known))
            if len(waiting) > 2 * jobs:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()


@contextmanager
def worker_pool(jobs: int) -> Iterator[ProcessPoolExecutor]:
    """A process pool that drops what it has not begun when the work is interrupted."""
    pool = ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn"))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def single_threaded() -> Iterator[None]:
    """Let child processes start with one numerical thread each."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


def hear_chunk(tasks: Iterable[Task], known: frozenset[str]) -> list[Heard]:
    """Hear some songs; runs in a worker."""
    return [hear(task, known) for task in tasks]


def hear(task: Task, known: frozenset[str]) -> Heard:
    """Make a song's mel unless the cache has it; a song that cannot be heard is answered with the reason."""
    song = task.song
    try:
        if task.demo is not None:
            content = f"demo {DEMO_VERSION} {task.demo.seed} {task.demo.difficulty} {song.id}"
        else:
            if not Path(song.audio).is_file():
                raise AudioError(f"no audio file {song.audio}")
            content = hash_file(Path(song.audio))
        seed = int(fingerprint([task.seed, song.id])[:8], 16)
        key = mel_key(content, task.audio, task.place, seed, task.precision)
        if key in known:
            return Heard(song, key)
        if task.demo is not None:
            mel, _ = hear_demo(song, task.demo, task.audio)
        else:
            mel, _ = hear_file(Path(song.audio), task.audio, task.place, seed)
        return Heard(song, key, mel.astype(PRECISIONS[task.precision]))
    except RecapError as error:
        return Heard(song, reason=error.message)
    except OSError as error:  # a name that is too long, a disk that fails
        return Heard(song, reason=f"cannot read {song.audio[:200]}: {error.strerror or error}")


def write_folder(options: PrepareOptions, demo: DemoSettings | None, tally: Tally) -> PrepareResult:
    """Write the records around the mels; `dataset.json` comes last and says that the folder is finished."""
    if not tally.songs:
        reasons = Counter(entry.reason for entry in tally.rejected).most_common(1)
        raise DataError(f"no song could be prepared: {reasons[0][0] if reasons else 'the corpus is empty'}", "")
    settings = options.settings
    shapes = ShardReader(options.out / "mels").shapes
    seconds = {key: (shapes[key][1] - 1) * settings.hop / settings.sample_rate for _, key in tally.songs}
    songs = [{"song": song_to_json(song), "mel": key, "seconds": round(seconds[key], 3)} for song, key in tally.songs]
    captions = [
        {"song": song.id, "text": caption.text, "votes": caption.votes}
        for song, _ in tally.songs
        for caption in song.captions
    ]
    (options.out / "dataset.json").unlink(missing_ok=True)
    write_json_lines(options.out / "songs.jsonl", songs)
    write_json_lines(options.out / "captions.jsonl", captions)
    write_json_lines(options.out / "rejected.jsonl", [vars(entry) for entry in tally.rejected])
    splits = dict(sorted(Counter(song.split for song, _ in tally.songs).items()))
    info: dict[str, Any] = {
        "recap": __version__,
        "source": "demo" if demo else str(options.source),
        "audio": settings.to_json(),
        "excerpt": options.excerpt,
        "precision": options.precision,
        "seed": options.seed,
        "splits": splits,
        "music_tags": list(MUSIC_ATTRIBUTES) if demo else sorted({tag for song, _ in tally.songs for tag in song.tags}),
        "fingerprint": fingerprint([songs, captions, settings.to_json()]),
    }
    if demo:
        info["demo"] = {"version": DEMO_VERSION, **demo.to_json()}
    write_json(options.out / "dataset.json", info)
    hours = sum(seconds[key] for _, key in tally.songs) / 3600
    return PrepareResult(options.out, len(songs), len(captions), hours, splits, tally.rejected, tally.reused)


def check_rejected(result: PrepareResult, options: PrepareOptions) -> None:
    """Raise when more songs were rejected than the options allow; the folder stays usable."""
    share = len(result.rejected) / (len(result.rejected) + result.songs)
    if (options.strict and result.rejected) or share > options.max_rejected:
        raise DataError(
            f"{len(result.rejected)} of {len(result.rejected) + result.songs} songs were rejected, "
            f"see {options.out / 'rejected.jsonl'}",
            "mend them, or allow more with --max-rejected",
        )


def demo_folder(difficulty: str = "easy") -> Path:
    """Where the demo corpus is kept for commands that are given no data: the user's cache folder."""
    if "RECAP_CACHE" in os.environ:
        return Path(os.environ["RECAP_CACHE"]) / f"demo-{difficulty}"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "recap-cli" / f"demo-{difficulty}"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "recap-cli" / f"demo-{difficulty}"


def default_data(limit: int | None, progress: Progress) -> Path:
    """Give the data folder of commands that are given none, and say which it is.

    `./data` where `recap prepare` finished one, else the demo corpus in the user's cache folder, made when needed.
    """
    here = Path("data")
    if (here / "dataset.json").is_file():
        progress.say("No DATA: using ./data.")
        return here
    folder = demo_folder()
    if limit is not None:
        folder = folder.with_name(f"{folder.name}-limit-{limit}")
    progress.say(f"No DATA: using the demo corpus, made-up songs, in {folder}.")
    prepare(PrepareOptions(out=folder, limit=limit), progress)
    return folder
