"""From audio files to mels, in this process or in several; light enough for a process that never captions."""

import errno
import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from recap_cli.audio import AudioSettings, Excerpt, log_mel, read_excerpt
from recap_cli.errors import OptionError, RecapError
from recap_cli.lyrics import Lyrics
from recap_cli.tags import lyrics_in_tags
from recap_cli.windows import read_windows
from recap_cli.workflows.threads import single_threaded

WHOLE = "whole"
# Errors of a drive or a network that pass.
PASSING = (errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EAGAIN, errno.EBUSY, errno.ECONNRESET, errno.EHOSTDOWN)
TRIES = 3
PAUSE = 0.5  # seconds before the second try, doubled before each further one


@dataclass(frozen=True)
class HeardAudio:
    """What was heard of a song.

    Attributes:
        mel: log-mel in dB [mels, frames].
        excerpt: start and length in seconds.
        warnings: what a reader of the caption should know.
        states: music states [steps, width] in place of the mel, for a whole song.
    """

    mel: np.ndarray
    excerpt: dict[str, float]
    warnings: tuple[str, ...] = ()
    states: np.ndarray | None = None


@dataclass(frozen=True)
class HearingTask:
    """A song to hear.

    Attributes:
        id: its name among many.
        audio: its file.
        lyrics: clean text; None looks into the file's tags.
        error: why it is none, for an entry that no song was made of.
        mel: the key of its mel in a prepared data folder, in place of the file.
        seconds: what that mel covers.
        warnings: about its lyrics, from where they were read.
    """

    id: str
    audio: str
    lyrics: str | None = None
    error: str = ""
    mel: str = ""
    seconds: float = 0.0
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class HearingResult:
    """A task's answer: what was heard, the lyrics that were found and what is odd with them, or the reason why not."""

    task: HearingTask
    heard: HeardAudio | None
    lyrics: str = ""
    error: str = ""
    warnings: tuple[str, ...] = ()


def hear_audio(audio: str | Path, settings: AudioSettings, excerpt: str | float) -> HeardAudio:
    """Decode one excerpt.

    Raises:
        AudioError: the audio cannot be heard.
    """
    return as_heard(read_excerpt(audio, settings, excerpt), settings)


def hear_windows(audio: str | Path, settings: AudioSettings) -> Iterator[tuple[HeardAudio, float]]:
    """Decode a whole song, a window at a time; with each, the seconds at its start that were heard before.

    Raises:
        AudioError: the audio cannot be heard.
    """
    for window in read_windows(audio, settings):
        yield as_heard(window.excerpt, settings), window.repeated


def as_heard(found: Excerpt, settings: AudioSettings) -> HeardAudio:
    """Take the mel of an excerpt, and note where it is padded."""
    excerpt = {"start": round(found.start, 3), "seconds": round(found.seconds, 3)}
    return HeardAudio(log_mel(found.samples, settings), excerpt, found.warnings)


def hear_task(task: HearingTask, hear: Callable[[str], HeardAudio]) -> HearingResult:
    """Hear a song of many. What passes is tried again, and a failure becomes the answer.

    Raises:
        OptionError: a setting cannot be used, which is no fault of the song.
    """
    if task.error:
        return HearingResult(task, None, error=task.error)
    try:
        heard = retry(lambda: hear(task.audio))
        given = None if task.lyrics is None else Lyrics(task.lyrics)
        lyrics = given or lyrics_in_tags(task.audio) or Lyrics("")
        return HearingResult(task, heard, lyrics.text, warnings=(*task.warnings, *lyrics.warnings))
    except OptionError:
        raise
    except RecapError as error:
        return HearingResult(task, None, error=error.message)
    except OSError as error:
        return HearingResult(task, None, error=f"{task.audio} cannot be read: {error.strerror or error}")


def hear_in_worker(task: HearingTask, settings: AudioSettings, excerpt: str | float) -> HearingResult:
    """Hear a song in a process of its own."""
    return hear_task(task, lambda audio: hear_audio(audio, settings, excerpt))


def retry(action: Callable[[], Any]) -> Any:
    """Do something that reads; an error of the drive or the network is tried `TRIES` times."""
    for attempt in range(TRIES):
        try:
            return action()
        except (RecapError, OSError) as error:
            if attempt + 1 == TRIES or not may_pass(error):
                raise
            time.sleep(PAUSE * 2**attempt)
    raise AssertionError("unreachable")


def may_pass(error: BaseException | None) -> bool:
    """Whether an error, or one behind it, is of the drive or the network and not of the file."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in PASSING:
            return True
        if isinstance(error, soundfile.LibsndfileError) and error.code == 2:  # "System error"
            return True
        error = error.__cause__ or error.__context__
    return False


def hear_songs(
    tasks: Iterable[HearingTask], settings: AudioSettings, excerpt: str | float, jobs: int, ahead: int
) -> Iterator[HearingResult]:
    """Hear songs in order, in `jobs` processes of one thread each, at most `ahead` of them before they are taken.

    One job hears in this process. A process that dies takes down its own song only.
    """
    if jobs <= 1:
        yield from (hear_in_worker(task, settings, excerpt) for task in tasks)
        return
    waiting: deque[tuple[HearingTask, Future[HearingResult]]] = deque()
    with single_threaded():
        pool = WorkerPool(jobs, settings, excerpt)
        try:
            for task in tasks:
                waiting.append((task, pool.submit(task)))
                while len(waiting) >= max(ahead, jobs):
                    yield pool.result(*waiting.popleft())
            while waiting:
                yield pool.result(*waiting.popleft())
        finally:
            pool.close()


class WorkerPool:
    """Processes that hear songs; where one dies, the songs that were with it are heard once more, each on its own."""

    def __init__(self, jobs: int, settings: AudioSettings, excerpt: str | float) -> None:
        self.jobs, self.how = jobs, (settings, excerpt)
        self.pool = start_pool(jobs)

    def submit(self, task: HearingTask) -> "Future[HearingResult]":
        """Queue a song."""
        try:
            return self.pool.submit(hear_in_worker, task, *self.how)
        except BrokenProcessPool:
            self.close()
            self.pool = start_pool(self.jobs)
            return self.pool.submit(hear_in_worker, task, *self.how)

    def result(self, task: HearingTask, future: "Future[HearingResult]") -> HearingResult:
        """Wait for a song."""
        try:
            return future.result()
        except BrokenProcessPool:
            try:
                with start_pool(1) as alone:
                    return alone.submit(hear_in_worker, task, *self.how).result()
            except BrokenProcessPool:
                return HearingResult(task, None, error=f"{task.audio}: the process that decoded it died")

    def close(self) -> None:
        """Drop what was not begun, and wait for the rest."""
        self.pool.shutdown(cancel_futures=True)


def start_pool(jobs: int) -> ProcessPoolExecutor:
    """Start processes that begin afresh: they share neither threads nor open files with this one."""
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(jobs, mp_context=context, initializer=follow_parent, initargs=(os.getpid(),))


def follow_parent(parent: int) -> None:
    """Leave interruptions to the parent, and end with it, even where it is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
