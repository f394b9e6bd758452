"""What a process of `recap prepare` does: hash a song, look for its mel, else decode and make it; a shard a chunk."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from time import perf_counter

import numpy as np

from recap_cli.audio.settings import LENGTHS, AudioSettings
from recap_cli.corpus.mel_cache import Spent, fingerprint, hash_file, log_mel_of_file, mel_key
from recap_cli.corpus.shards import ShardReader, own_shards, write_shard
from recap_cli.corpus.song import Song
from recap_cli.demo.songs import DEMO_VERSION, DemoSettings, log_mel_of_demo_song
from recap_cli.errors import AudioError
from recap_cli.runtime.workers import Answer, Finished, Rules, work_through

PRECISIONS = {"fp16": np.float16, "fp32": np.float32}


@dataclass(frozen=True)
class MelSettings:
    """All that decides a song's mel and where it is kept."""

    folder: Path  # of shards
    # Names of the shards that were there before this preparation; their mels are not made again. Others are what an
    # interrupted run left: taken over, but written again as an uninterrupted run writes them.
    base: tuple[str, ...]
    audio: AudioSettings
    excerpt: str | float
    seed: int  # of random excerpts
    precision: str
    demo: DemoSettings | None  # whose songs are rendered; None where songs are files
    label: str = ""  # of the slice, for files that only it may delete


@dataclass(frozen=True)
class AudioTask:
    """One song whose mel is wanted: its number among all, its id and its file."""

    number: int
    id: str
    audio: str
    excerpt: tuple[float, float | None] | None = None  # the part of the file that it is; None: all of it


@dataclass
class MelResult:
    """What became of a task."""

    number: int
    key: str = ""  # of the mel; "" when the song was rejected
    frames: int = 0
    reused: bool = False
    reason: str = ""  # why it was rejected
    warnings: list[str] = field(default_factory=list)  # what a user should know of a song that was decoded now
    spent: Spent = field(default_factory=lambda: defaultdict(float))


class MelWorker:
    """Makes the mels of chunks of songs and writes a shard for each chunk.

    A shard is named for its keys, and holds what of its chunk was not in the base: so a chunk gives the same file
    whoever works on it, whenever, and however often the work was interrupted before.
    """

    def __init__(self, settings: MelSettings) -> None:
        self.settings = settings
        settings.folder.mkdir(parents=True, exist_ok=True)
        base = set(settings.base)
        names = [path.name for path in own_shards(settings.folder)]
        self.known = ShardReader(settings.folder, [name for name in names if name in base])
        self.loose = ShardReader(settings.folder, [name for name in names if name not in base])
        self.pending: dict[str, np.ndarray | None] = {}  # None: it is taken from a loose shard

    def handle(self, task: AudioTask) -> MelResult:
        """Makes a song's mel unless the cache has it.

        Raises:
            RecapError: the song cannot be used.
        """
        result = MelResult(task.number)
        try:
            self.fill(result, task)
        except OSError as error:  # a name that is too long, a disk that fails
            raise AudioError(f"cannot read {task.audio[:200]}: {error.strerror or error}") from error
        return result

    def fill(self, result: MelResult, task: AudioTask) -> None:
        """Hashes the song, looks its mel up, and makes it if need be."""
        settings = self.settings
        seed = int(fingerprint([settings.seed, task.id])[:8], 16)
        began = perf_counter()
        key = mel_key(self.content(task), *self.part_of(task), seed, settings.precision)
        result.spent["hashing"] += perf_counter() - began
        if key in self.known or key in self.loose:
            result.frames, result.reused = (self.known if key in self.known else self.loose).shapes[key][1], True
            if key not in self.known:
                self.pending.setdefault(key, None)
        elif (made := self.pending.get(key)) is not None:
            result.frames = made.shape[1]
        else:
            mel = self.make(task, seed, result).astype(PRECISIONS[settings.precision])
            result.frames = mel.shape[1]
            self.pending[key] = mel
        result.key = key

    def part_of(self, task: AudioTask) -> tuple[AudioSettings, str | float]:
        """Returns the signal settings and the place of a song's excerpt: what its row says of it counts first."""
        settings = self.settings
        if task.excerpt is None:
            return settings.audio, settings.excerpt
        start, end = task.excerpt
        seconds = settings.audio.seconds if end is None else min(settings.audio.seconds, max(LENGTHS[0], end - start))
        return replace(settings.audio, seconds=seconds), float(start)

    def content(self, task: AudioTask) -> str:
        """Returns what names the audio: the hash of the file, or the recipe of a rendered song."""
        demo = self.settings.demo
        if demo is not None:
            return f"demo {DEMO_VERSION} {demo.seed} {demo.difficulty} {task.id}"
        if not Path(task.audio).is_file():
            raise AudioError(f"no audio file {task.audio}")
        return hash_file(Path(task.audio))

    def make(self, task: AudioTask, seed: int, result: MelResult) -> np.ndarray:
        """Returns the log-mel [mels, frames] of a song."""
        settings = self.settings
        if settings.demo is None:
            file = Path(task.audio)
            audio, place = self.part_of(task)
            is_clip = task.excerpt is not None
            mel, _ = log_mel_of_file(file, audio, place, seed, result.spent, result.warnings, is_clip)
        else:
            began = perf_counter()
            mel, _ = log_mel_of_demo_song(Song(task.id, "", ""), settings.demo, settings.audio)
            result.spent["rendering and mels"] += perf_counter() - began
        return mel

    def finish(self) -> str:
        """Writes the pending mels as a shard, unless it is there; returns its name, "" when there are none.

        Raises:
            DataError: the disk refuses.
        """
        if not self.pending:
            return ""
        path = self.settings.folder / f"{fingerprint(sorted(self.pending))}.safetensors"
        if not path.exists():
            arrays = {key: self.loose[key] if mel is None else mel for key, mel in self.pending.items()}
            write_shard(path, arrays, self.settings.label)
        self.pending = {}
        return path.name


def make_mels(chunks: Iterable[list[AudioTask]], settings: MelSettings, jobs: int) -> Iterator[MelResult | str]:
    """Makes mels in `jobs` processes; yields each song's result, in order, and each chunk's shard by name.

    When the caller stops early, by Ctrl-C say, the processes keep what they have in the cache and end.

    Raises:
        MachineError: the machine is at its limits, which is no song's fault.
        DataError: a shard cannot be written, or the processes cannot be started.
    """
    for event in work_through(chunks, partial(MelWorker, settings), Rules(jobs, ahead=2 * jobs + 2)):
        if isinstance(event, Answer):
            yield event.value or MelResult(event.item.number, reason=event.reason)
        elif isinstance(event, Finished):
            yield event.value
