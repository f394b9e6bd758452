"""Many songs: which there are, decoded ahead of generation, captioned in batches of like length."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from recap_cli.audio.song_mel import WHOLE
from recap_cli.captioning.caption_file import SongNumbers, song_number
from recap_cli.captioning.caption_input import (
    AudioResult,
    AudioTask,
    CaptionInput,
    DecodedAudio,
    decode_songs,
    decode_task,
)
from recap_cli.captioning.captioner import NO_LYRICS, Captioner
from recap_cli.captioning.song_caption import SongCaption
from recap_cli.corpus.data_folder import is_prepared
from recap_cli.corpus.dataset import PreparedData
from recap_cli.corpus.folders import CorpusRoot, read_song, walk
from recap_cli.corpus.manifest import MANIFEST_SUFFIXES, song_from_row
from recap_cli.corpus.song import Rejected, Song
from recap_cli.errors import AudioError, ModelError, OptionError
from recap_cli.layouts.readers import read_corpus
from recap_cli.runtime.decoding import DecodingOptions, effective_settings
from recap_cli.settings import WHOLE_CORPUS, Slice
from recap_cli.tables.rows import read_rows

WINDOW_BATCHES = 4  # batches that are sorted by length together
SAME_ID = "another song has the same id"
FEW = 8  # songs that are decoded in this process, since others take seconds to start


class Catalogue:
    """The songs of a folder, a manifest, a prepared data folder, or several files, in order and read as needed.

    Args:
        sources: where they are; of several, each is an audio file or a folder.
        shard: only the songs whose id falls into this slice.
        limit: only the first N.

    Raises:
        RecapError: there is nothing, or nothing that is recognised.
    """

    def __init__(self, sources: Sequence[Path], shard: Slice = WHOLE_CORPUS, limit: int | None = None) -> None:
        self.sources, self.shard, self.limit = sources, shard, limit
        self.source = sources[0]
        self.data = PreparedData(self.source) if is_prepared(self.source) else None
        self.is_manifest = self.source.suffix.lower() in MANIFEST_SUFFIXES and not self.source.is_dir()

    def tasks(self, is_done: Callable[[int], bool] = lambda _: False) -> Iterator[AudioTask | None]:
        """Yields each song to decode once; None stands for one that is done, by the number of its id.

        Entries of one id and the same audio are one song. An id that an earlier song has with other audio is refused:
        its task has the reason.
        """
        return islice(self.rows(is_done) if self.is_manifest else self.songs(is_done), self.limit)

    def songs(self, is_done: Callable[[int], bool]) -> Iterator[AudioTask | None]:
        """Yields the songs of a folder."""
        for task in self.prepared_songs(self.data) if self.data is not None else self.files():
            if self.has(task.id):
                yield None if is_done(song_number(task.id)) else task

    def prepared_songs(self, data: PreparedData) -> Iterator[AudioTask]:
        """Yields the songs of a prepared data folder, whatever the shard."""
        for one in data.songs:
            song = one.song
            title = title_of(song)
            yield AudioTask(song.id, song.audio or song.id, song.lyrics, mel=one.mel, seconds=one.seconds, title=title)

    def files(self) -> Iterator[AudioTask]:
        """Yields the songs of audio files and folders, whatever the shard."""
        known = KnownSongs()
        for task in map(as_task, chain.from_iterable(map(self.read, self.sources))):
            meeting = known.meet(song_number(task.id), task.audio)
            if meeting == "other":
                yield AudioTask(f"{task.id} in {task.audio}", task.audio, error=task.error or SAME_ID)
            elif meeting == "new":
                yield task

    def read(self, source: Path) -> Iterator[Song | Rejected]:
        """Yields the songs of a folder, or the one of an audio file.

        The id in a folder is the path from there; of several names, the path as it is named, which tells two songs of
        the same name apart and stays the same when more songs are named the next time.
        """
        if not source.is_dir():
            yield read_song(source, os.path.normpath(source))
            return
        for found in read_corpus(source):
            if len(self.sources) == 1:
                yield found
            elif isinstance(found, Song):
                yield replace(found, id=os.path.normpath(source / found.id))
            else:
                yield replace(found, song=os.path.normpath(source / found.song))

    def rows(self, is_done: Callable[[int], bool]) -> Iterator[AudioTask | None]:
        """Yields a manifest's songs; a row that is done costs no more than its id, of a million rows a few seconds."""
        known, beside = KnownSongs(), CorpusRoot(self.source.parent)
        for number, record in read_rows(self.source, "audio"):
            audio = "" if isinstance(record, str) else str(record.get("audio") or "")
            name = str(record.get("id") or audio) if audio and not isinstance(record, str) else ""
            if name and not self.has(name):
                continue
            song = song_number(name)
            meeting = known.meet(song, audio) if name else "new"
            if meeting == "other":
                line = f"{self.source.name}, line {number}"
                yield AudioTask(line, audio, error=f"{line}: {SAME_ID}, {name[:200]}")
            elif meeting == "new" and name and is_done(song):
                yield None
            elif meeting == "new":
                found = song_from_row(record, number, self.source, beside, beside)
                task = as_task(found)
                if name or self.has(task.id):
                    yield replace(task, title=title_of(found)) if isinstance(found, Song) else task

    def has(self, name: str) -> bool:
        """Whether a song belongs to the shard."""
        return self.shard.count == 1 or song_number(name) % self.shard.count == self.shard.number - 1

    def count(self) -> int | None:
        """Returns how many songs there are, where that can be told without reading them all."""
        if self.data is not None:
            total = len(self.data.songs)
        elif not self.is_manifest:
            total = sum(sum(1 for _ in walk(one, follow=False)) if one.is_dir() else 1 for one in self.sources)
        elif self.source.suffix.lower() == ".jsonl":
            with self.source.open("rb") as file:
                total = sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(1 << 20), b""))
        else:
            return None
        share = round(total / self.shard.count)
        return share if self.limit is None else min(share, self.limit)


class KnownSongs:
    """The songs that were met so far: an id stands for one audio file, and further rows of it are of the same song."""

    def __init__(self) -> None:
        self.ids, self.pairs = SongNumbers(), SongNumbers()
        self.last = (-1, "")

    def meet(self, number: int, audio: str) -> Literal["new", "again", "other"]:
        """Returns "again" for an id with the same audio as before, "other" for an id that another audio has.

        Args:
            number: of the song's id.
            audio: its file, however it is spelled.
        """
        if (number, audio) == self.last:  # as of the rows that are captions of one song
            return "again"
        pair = song_number(f"{number} {os.path.normpath(audio)}")
        if number in self.ids:
            return "again" if pair in self.pairs else "other"
        self.ids.add(number)
        self.pairs.add(pair)
        self.last = (number, audio)
        return "new"


def title_of(song: Song) -> str:
    """Returns what a table calls a song: "artist - title", the title alone without an artist, "" without a title."""
    return " - ".join(filter(None, (song.artist, song.title))) if song.title else ""


def as_task(found: Song | Rejected) -> AudioTask:
    """Returns the task that a reader's entry is; a rejected one keeps its reason."""
    if isinstance(found, Rejected):
        return AudioTask(found.song, found.file, error=found.reason)
    return AudioTask(found.id, found.audio, found.lyrics or None, warnings=found.warnings)


@dataclass(frozen=True)
class BatchCaptioner:
    """Captions the songs of a catalogue with one model.

    Raises:
        ModelError: prepared mels were made with other audio settings than the model's.
        OptionError: prepared data are asked for another excerpt.
    """

    captioner: Captioner
    data: PreparedData | None  # the prepared data folder whose mels stand for the audio
    decoding: DecodingOptions
    excerpt: str | float = "start"  # `start`, `middle`, seconds or `whole`
    instrumental: bool = False  # the songs have no lyrics, none are looked for
    jobs: int = 0  # processes that decode; 1 decodes in this one, 0 takes one for each core
    any_sound: bool = False  # also caption what is unlike the music that the model knows

    def __post_init__(self) -> None:
        if self.data is None:
            return
        self.captioner.check_audio(self.data)
        if self.excerpt != "start":
            raise OptionError(
                f"--excerpt {self.excerpt} cannot be had of {self.data.folder}: recap prepare chose the excerpts",
                "name the folder of the audio files, or leave --excerpt out",
            )

    def caption(self, tasks: Iterable[AudioTask]) -> Iterator[SongCaption]:
        """Yields the captions of songs, batch by batch; a failed one is answered with its reason.

        The first batch comes as soon as it can; after it, songs of like length are taken together, a few batches at a
        time. Captions do not depend on it.
        """
        songs = map(self.as_input, self.decode(tasks))
        reach = self.decoding.batch_size
        while window := list(islice(songs, reach)):
            yield from self.caption_window(window)
            reach = WINDOW_BATCHES * self.decoding.batch_size

    def decode(self, tasks: Iterable[AudioTask]) -> Iterator[AudioResult]:
        """Yields decoded songs in order, ahead of generation where there are several jobs."""
        if self.instrumental:
            tasks = (replace(task, lyrics="", warnings=()) for task in tasks)
        if self.data is not None:
            yield from (decode_task(task, partial(self.prepared, self.data, task)) for task in tasks)
        elif self.excerpt == WHOLE:  # needs the model, and keeps no more than a few windows
            yield from (decode_task(task, partial(self.captioner.decode_audio, excerpt=WHOLE)) for task in tasks)
        else:
            tasks = iter(tasks)
            first = list(islice(tasks, FEW))
            jobs = (self.jobs or os.cpu_count() or 1) if len(first) == FEW else 1
            audio = self.captioner.processor.audio
            # a whole song's mel has megabytes, and becomes states as soon as it is taken
            ahead = 2 * jobs if audio.takes_whole_songs else WINDOW_BATCHES * self.decoding.batch_size
            yield from decode_songs(chain(first, tasks), audio, self.excerpt, jobs, ahead)

    @staticmethod
    def prepared(data: PreparedData, task: AudioTask, _audio: str) -> DecodedAudio:
        """Returns a song's mel, or its music states, from the prepared data folder."""
        excerpt = {"seconds": round(task.seconds, 3)}
        if data.states is not None:
            no_mel = np.zeros((data.audio.mels, 0), np.float32)
            return DecodedAudio(no_mel, excerpt, states=data.states[task.mel].astype(np.float32))
        return DecodedAudio(data.mels[task.mel], excerpt)

    def as_input(self, result: AudioResult) -> CaptionInput | SongCaption:
        """Returns the song to be captioned, or its failure."""
        task = result.task
        if result.decoded is None:
            return self.failure(task, result.error)
        decoded = self.captioner.encode_song(result.decoded)
        try:
            unlike = self.captioner.check_music(task.audio, decoded, self.any_sound)
        except AudioError as error:
            return self.failure(task, error.message)
        missing = () if self.instrumental or result.lyrics.strip() else (NO_LYRICS,)
        warnings = (*result.warnings, *missing, *unlike)
        return CaptionInput(task.audio, result.lyrics, decoded, warnings, task.id, self.named_excerpt, title=task.title)

    def failure(self, task: AudioTask, reason: str) -> SongCaption:
        """Returns the line of a song that has no caption."""
        return SongCaption(
            task.audio,
            captions=[],
            scores=[],
            model=self.captioner.name,
            excerpt={},
            settings=self.settings,
            error=reason,
            id=task.id,
            weights=self.captioner.weights,
            title=task.title,
        )

    @property
    def named_excerpt(self) -> str | float:
        """The excerpt, as each line says it."""
        return "prepared" if self.data is not None else self.excerpt

    @property
    def settings(self) -> dict[str, Any]:
        """How captions are generated, as each line says it."""
        made = effective_settings(self.decoding, self.captioner.model, self.captioner.processor)
        return {**made, "excerpt": self.named_excerpt}

    def caption_window(self, window: list[CaptionInput | SongCaption]) -> Iterator[SongCaption]:
        """Yields the captions of some songs in batches of like length; failures come with the first."""
        failures = [(place, one) for place, one in enumerate(window) if isinstance(one, SongCaption)]
        songs = [(place, one) for place, one in enumerate(window) if isinstance(one, CaptionInput)]
        songs.sort(key=lambda song: (len(song[1].lyrics), song[1].decoded.mel.shape[1]))
        size = self.decoding.batch_size
        for start in range(0, max(len(songs), 1), size):
            batch = sorted(songs[start : start + size], key=lambda song: song[0])
            captions = self.caption_batch([song for _, song in batch]) if batch else []
            done = [*zip((place for place, _ in batch), captions, strict=True), *(failures if start == 0 else [])]
            yield from (caption for _, caption in sorted(done, key=lambda pair: pair[0]))

    def caption_batch(self, songs: list[CaptionInput]) -> list[SongCaption]:
        """Returns the captions of one batch.

        Raises:
            ModelError: the device has too little memory for it.
        """
        try:
            return self.captioner.generate(songs, self.decoding)
        except torch.OutOfMemoryError as error:
            raise ModelError(
                f"{len(songs)} songs at a time need more memory than there is", "lower --batch-size"
            ) from error
