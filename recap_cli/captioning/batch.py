"""Many songs: which there are, heard ahead of the writing, written in batches of like length."""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any

import torch

from recap_cli.captioning.caption_input import WHOLE, HeardAudio, HearingResult, HearingTask, hear_songs, hear_task
from recap_cli.captioning.captioner import NO_LYRICS, Captioner, HeardSong, SongCaption
from recap_cli.captioning.song_numbers import NEW, OTHER, MetSongs, song_number
from recap_cli.corpus.data_folder import DATASET_FILE
from recap_cli.corpus.dataset import PreparedData
from recap_cli.corpus.folders import CorpusRoot, walk
from recap_cli.corpus.manifest import song_from_row
from recap_cli.corpus.readers import read_corpus
from recap_cli.corpus.song import Rejected, Song
from recap_cli.errors import ModelError, OptionError
from recap_cli.runtime.decoding import DecodingOptions, effective_settings
from recap_cli.settings import WHOLE_CORPUS, Slice
from recap_cli.tables.rows import read_rows

WINDOW_BATCHES = 4  # batches that are sorted by length together
SAME_ID = "another song has the same id"
FEW = 8  # songs that are heard in this process, since others take seconds to begin


class Catalogue:
    """The songs of a folder, a manifest or a prepared data folder, in order and read as they are needed.

    Args:
        source: where they are.
        shard: only the songs whose id falls into this slice.
        limit: only so many.

    Raises:
        RecapError: there is nothing, or nothing that is recognised.
    """

    def __init__(self, source: Path, shard: Slice = WHOLE_CORPUS, limit: int | None = None) -> None:
        self.source, self.shard, self.limit = source, shard, limit
        self.data = PreparedData(source) if (source / DATASET_FILE).is_file() else None

    def tasks(self, is_done: Callable[[int], bool] = lambda _: False) -> Iterator[HearingTask | None]:
        """Yields each song to hear once; None stands for one that is done, by the number of its id.

        Entries of one id and the same audio are one song. An id that an earlier song has with other audio is refused:
        its task has the reason.
        """
        return islice(self.entries(is_done), self.limit)

    def entries(self, is_done: Callable[[int], bool]) -> Iterator[HearingTask | None]:
        """Yields the songs, whatever the limit."""
        if self.data is None and not self.source.is_dir():
            yield from self.rows(is_done)
            return
        for task in self.songs():
            if self.has(task.id):
                yield None if is_done(song_number(task.id)) else task

    def songs(self) -> Iterator[HearingTask]:
        """Yields the songs of a folder, whatever the shard."""
        if self.data is not None:
            for one in self.data.songs:
                song = one.song
                yield HearingTask(song.id, song.audio or song.id, song.lyrics, mel=one.mel, seconds=one.seconds)
            return
        met = MetSongs()
        for found in read_corpus(self.source):
            task = as_task(found)
            meeting = met.meet(song_number(task.id), task.audio)
            if meeting == OTHER:
                yield HearingTask(f"{task.id} in {task.audio}", task.audio, error=task.error or SAME_ID)
            elif meeting == NEW:
                yield task

    def rows(self, is_done: Callable[[int], bool]) -> Iterator[HearingTask | None]:
        """Yields a manifest's songs; a row that is done costs no more than its id, of a million rows a few seconds."""
        met, beside = MetSongs(), CorpusRoot(self.source.parent)
        for number, record in read_rows(self.source, "audio"):
            audio = "" if isinstance(record, str) else str(record.get("audio") or "")
            name = str(record.get("id") or audio) if audio and not isinstance(record, str) else ""
            if name and not self.has(name):
                continue
            meeting = met.meet(song := song_number(name), audio) if name else NEW
            if meeting == OTHER:
                line = f"{self.source.name}, line {number}"
                yield HearingTask(line, audio, error=f"{line}: {SAME_ID}, {name[:200]}")
            elif meeting == NEW and name and is_done(song):
                yield None
            elif meeting == NEW:
                task = as_task(song_from_row(record, number, self.source, beside, beside))
                if name or self.has(task.id):
                    yield task

    def has(self, name: str) -> bool:
        """Whether a song belongs to the shard."""
        return self.shard.count == 1 or song_number(name) % self.shard.count == self.shard.number - 1

    def count(self) -> int | None:
        """How many songs there are, where that can be told without reading them all."""
        if self.data is not None:
            total = len(self.data.songs)
        elif self.source.is_dir():
            total = sum(1 for _ in walk(self.source, follow=False))
        elif self.source.suffix.lower() == ".jsonl":
            with self.source.open("rb") as file:
                total = sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(1 << 20), b""))
        else:
            return None
        share = round(total / self.shard.count)
        return share if self.limit is None else min(share, self.limit)


def as_task(found: Song | Rejected) -> HearingTask:
    """Turn what a reader gives into a task; a rejected entry keeps its reason."""
    if isinstance(found, Rejected):
        return HearingTask(found.song, found.file, error=found.reason)
    return HearingTask(found.id, found.audio, found.lyrics or None, warnings=found.warnings)


@dataclass(frozen=True)
class Writer:
    """Captions the songs of a catalogue with one model.

    Attributes:
        captioner: the model.
        data: the prepared data folder whose mels stand for the audio, if there is one.
        decoding: how captions are written.
        excerpt: `start`, `middle`, seconds or `whole`.
        instrumental: the songs have no lyrics, none are looked for.
        jobs: processes that hear songs; 1 hears in this one, 0 takes one for each core.

    Raises:
        ModelError: prepared mels were made with other audio settings than the model's.
        OptionError: prepared data are to be heard elsewhere.
    """

    captioner: Captioner
    data: PreparedData | None
    decoding: DecodingOptions
    excerpt: str | float = "start"
    instrumental: bool = False
    jobs: int = 0

    def __post_init__(self) -> None:
        if self.data is None:
            return
        model, processor = self.captioner.model, self.captioner.processor
        if model.config.use_music and processor.audio != self.data.audio:
            raise ModelError(
                f"{self.captioner.name} was trained on audio prepared in another way than {self.data.folder}",
                "prepare the data with the model's settings, see recap_processor.json",
            )
        if self.excerpt != "start":
            raise OptionError(
                f"--excerpt {self.excerpt} cannot be heard in {self.data.folder}: recap prepare chose what is heard",
                "name the folder of the audio files, or leave --excerpt out",
            )

    def write(self, tasks: Iterable[HearingTask]) -> Iterator[SongCaption]:
        """Caption songs, batch by batch; a failed one is answered with its reason.

        The first batch comes as soon as it can; after it, songs of like length are taken together, a few batches at a
        time. Captions do not depend on it.
        """
        results = iter(self.hear(tasks))
        reach = self.decoding.batch_size
        while window := list(islice(results, reach)):
            yield from self.write_window([self.take(result) for result in window])
            reach = WINDOW_BATCHES * self.decoding.batch_size

    def hear(self, tasks: Iterable[HearingTask]) -> Iterator[HearingResult]:
        """Hear songs in order, ahead of the writing where there are several jobs."""
        if self.instrumental:
            tasks = (HearingTask(task.id, task.audio, "", task.error, task.mel, task.seconds) for task in tasks)
        if self.data is not None:
            yield from (hear_task(task, partial(self.prepared, task)) for task in tasks)
        elif self.excerpt == WHOLE:  # needs the model, and keeps no more than a few windows
            yield from (hear_task(task, partial(self.captioner.hear_audio, excerpt=WHOLE)) for task in tasks)
        else:
            tasks = iter(tasks)
            first = list(islice(tasks, FEW))
            jobs = (self.jobs or os.cpu_count() or 1) if len(first) == FEW else 1
            ahead = WINDOW_BATCHES * self.decoding.batch_size
            yield from hear_songs(chain(first, tasks), self.captioner.processor.audio, self.excerpt, jobs, ahead)

    def prepared(self, task: HearingTask, _audio: str) -> HeardAudio:
        """Take a song's mel from the prepared data folder."""
        assert self.data is not None
        return HeardAudio(self.data.mels[task.mel], {"seconds": round(task.seconds, 3)})

    def take(self, result: HearingResult) -> HeardSong | SongCaption:
        """Turn what was heard into a song to be captioned, or into its failure."""
        task = result.task
        if result.heard is None:
            return SongCaption(
                task.audio,
                [],
                [],
                self.captioner.name,
                {},
                self.settings,
                error=result.error,
                id=task.id,
                weights=self.captioner.weights,
            )
        missing = () if self.instrumental or result.lyrics.strip() else (NO_LYRICS,)
        warnings = (*result.warnings, *missing)
        return HeardSong(task.audio, result.lyrics, result.heard, warnings, task.id, self.place)

    @property
    def place(self) -> str | float:
        """The excerpt, as each line says it."""
        return "prepared" if self.data is not None else self.excerpt

    @property
    def settings(self) -> dict[str, Any]:
        """How captions are written, as each line says it."""
        made = effective_settings(self.decoding, self.captioner.model, self.captioner.processor)
        return {**made, "excerpt": self.place}

    def write_window(self, window: list[HeardSong | SongCaption]) -> Iterator[SongCaption]:
        """Caption some songs in batches of like length; failures come with the first."""
        failures = [(place, one) for place, one in enumerate(window) if isinstance(one, SongCaption)]
        songs = [(place, one) for place, one in enumerate(window) if isinstance(one, HeardSong)]
        songs.sort(key=lambda song: (len(song[1].lyrics), song[1].heard.mel.shape[1]))
        size = self.decoding.batch_size
        for start in range(0, max(len(songs), 1), size):
            batch = sorted(songs[start : start + size], key=lambda song: song[0])
            written = self.write_batch([song for _, song in batch]) if batch else []
            done = [*zip((place for place, _ in batch), written, strict=True), *(failures if start == 0 else [])]
            yield from (caption for _, caption in sorted(done, key=lambda pair: pair[0]))

    def write_batch(self, songs: list[HeardSong]) -> list[SongCaption]:
        """Caption one batch.

        Raises:
            ModelError: the device has too little memory for it.
        """
        try:
            return self.captioner.write(songs, self.decoding)
        except torch.OutOfMemoryError as error:
            raise ModelError(
                f"{len(songs)} songs at a time need more memory than there is", "lower --batch-size"
            ) from error
