"""Songs that are heard for a data folder: content hash, cache, decode, resample, mel, and a shard for each chunk."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from time import perf_counter

import numpy as np

from recap_cli.audio.settings import AudioSettings
from recap_cli.corpus.mel_cache import Spent, fingerprint, hash_file, log_mel_of_file, mel_key
from recap_cli.corpus.shards import ShardReader, own_shards, write_shard
from recap_cli.corpus.song import Song
from recap_cli.demo.songs import DEMO_VERSION, DemoSettings, log_mel_of_demo_song
from recap_cli.errors import AudioError
from recap_cli.runtime.workers import Finished, Rules, work_through

PRECISIONS = {"fp16": np.float16, "fp32": np.float32}


@dataclass(frozen=True)
class HearingSettings:
    """All that decides a song's mel and where it is kept.

    Attributes:
        folder: the folder of shards.
        base: names of the shards that were there before this preparation; their mels are not made again. Others are
            what an interrupted run left: taken over, but written again as an uninterrupted run writes them.
        audio: the signal settings.
        place: the excerpt, a word or seconds.
        seed: of random excerpts.
        precision: type of the cached mels.
        demo: the demo corpus, whose songs are rendered; None where songs are files.
        label: of the slice, for files that only it may delete.
    """

    folder: Path
    base: tuple[str, ...]
    audio: AudioSettings
    place: str | float
    seed: int
    precision: str
    demo: DemoSettings | None
    label: str


@dataclass(frozen=True)
class Task:
    """One song to hear: its place in the corpus, its id and its file."""

    position: int
    song: str
    audio: str


@dataclass
class Heard:
    """What became of a song.

    Attributes:
        position: its place in the corpus.
        key: of its mel; "" when it was rejected.
        frames: of its mel.
        reused: the mel was there already.
        reason: why it was rejected.
        warnings: what a user should know of a song that was heard now.
        spent: seconds of work by kind.
    """

    position: int
    key: str = ""
    frames: int = 0
    reused: bool = False
    reason: str = ""
    warnings: list[str] = field(default_factory=list)
    spent: Spent = field(default_factory=lambda: defaultdict(float))


class Listener:
    """Hears chunks of songs and writes a shard for each.

    A shard is named for its keys, and holds what of its chunk was not in the base: so a chunk gives the same file
    whoever hears it, whenever, and however often the work was interrupted before.
    """

    def __init__(self, settings: HearingSettings) -> None:
        self.settings = settings
        settings.folder.mkdir(parents=True, exist_ok=True)
        base = set(settings.base)
        names = [path.name for path in own_shards(settings.folder)]
        self.known = ShardReader(settings.folder, [name for name in names if name in base])
        self.loose = ShardReader(settings.folder, [name for name in names if name not in base])
        self.pending: dict[str, np.ndarray | None] = {}

    def handle(self, task: Task) -> Heard:
        """Makes a song's mel unless the cache has it.

        Raises:
            RecapError: it cannot be heard.
        """
        heard = Heard(task.position)
        try:
            self.fill(heard, task)
        except OSError as error:  # a name that is too long, a disk that fails
            raise AudioError(f"cannot read {task.audio[:200]}: {error.strerror or error}") from error
        return heard

    def fill(self, heard: Heard, task: Task) -> None:
        """Hash, look up, and make the mel if need be."""
        settings = self.settings
        seed = int(fingerprint([settings.seed, task.song])[:8], 16)
        began = perf_counter()
        content = self.content(task)
        key = mel_key(content, settings.audio, settings.place, seed, settings.precision)
        heard.spent["hashing"] += perf_counter() - began
        if key in self.known or key in self.loose:
            heard.frames, heard.reused = (self.known if key in self.known else self.loose).shapes[key][1], True
            if key not in self.known:
                self.pending.setdefault(key, None)
        elif (made := self.pending.get(key)) is not None:
            heard.frames = made.shape[1]
        else:
            mel = self.make(task, seed, heard).astype(PRECISIONS[settings.precision])
            heard.frames = mel.shape[1]
            self.pending[key] = mel
        heard.key = key

    def content(self, task: Task) -> str:
        """Name what is heard: the file's content, or the recipe of a rendered song."""
        demo = self.settings.demo
        if demo is not None:
            return f"demo {DEMO_VERSION} {demo.seed} {demo.difficulty} {task.song}"
        if not Path(task.audio).is_file():
            raise AudioError(f"no audio file {task.audio}")
        return hash_file(Path(task.audio))

    def make(self, task: Task, seed: int, heard: Heard) -> np.ndarray:
        """Give the log-mel [mels, frames] of a song."""
        settings = self.settings
        if settings.demo is not None:
            began = perf_counter()
            mel, _ = log_mel_of_demo_song(Song(task.song, "", ""), settings.demo, settings.audio)
            heard.spent["rendering and mels"] += perf_counter() - began
            return mel
        audio, place = settings.audio, settings.place
        mel, _ = log_mel_of_file(Path(task.audio), audio, place, seed, heard.spent, heard.warnings)
        return mel

    def finish(self) -> str:
        """Write the pending mels as a shard, unless it is there; give its name, "" when there are none.

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


def hear_all(chunks: Iterator[list[Task]], settings: HearingSettings, jobs: int) -> Iterator[Heard | Finished]:
    """Hears chunks of songs in `jobs` processes; yields each song's fate, in order, and each chunk's shard.

    When the caller stops early, by Ctrl-C say, the processes keep what they have in the cache and end.

    Raises:
        MachineError: the machine is at its limits, which is no song's fault.
        DataError: a shard cannot be written, or the processes cannot be started.
    """
    rules = Rules(jobs, ahead=2 * jobs + 2)
    for event in work_through(chunks, partial(Listener, settings), rules):
        if isinstance(event, Finished):
            yield event
        else:
            yield event.value or Heard(event.item.position, reason=event.reason)
