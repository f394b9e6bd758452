"""From audio files to mels, in this process or in several; light enough for a process that never captions."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from recap_cli.audio.decode import Excerpt, read_excerpt, read_windows
from recap_cli.audio.mel import log_mel
from recap_cli.audio.settings import AudioSettings
from recap_cli.errors import AudioError
from recap_cli.lyrics.reader import Lyrics
from recap_cli.lyrics.tags import lyrics_in_tags
from recap_cli.runtime.worker_process import attempt
from recap_cli.runtime.workers import Answer, Rules, work_through

WHOLE = "whole"
STOP_SECONDS = 1.0  # for processes to end: there is nothing that they keep


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
    """Hears a song of many. What passes is tried again, and a failure becomes the answer.

    Raises:
        MachineError: the machine is at its limits, which is no fault of the song.
        OptionError: a setting cannot be used, nor is that.
    """
    found, reason = attempt(lambda: hear_song(task, hear))
    return found or HearingResult(task, None, error=reason)


def hear_song(task: HearingTask, hear: Callable[[str], HeardAudio]) -> HearingResult:
    """Hears a song and looks for its lyrics where none are given.

    Raises:
        RecapError: it cannot be heard.
    """
    if task.error:
        raise AudioError(task.error)
    try:
        heard = hear(task.audio)
        given = None if task.lyrics is None else Lyrics(task.lyrics)
        lyrics = given or lyrics_in_tags(task.audio) or Lyrics("")
    except OSError as error:
        raise AudioError(f"{task.audio} cannot be read: {error.strerror or error}") from error
    return HearingResult(task, heard, lyrics.text, warnings=(*task.warnings, *lyrics.warnings))


@dataclass(frozen=True)
class Hearing:
    """What a process does that hears songs ahead."""

    settings: AudioSettings
    excerpt: str | float

    def handle(self, task: HearingTask) -> HearingResult:
        """Hears a song.

        Raises:
            RecapError: it cannot be heard.
        """
        return hear_song(task, lambda audio: hear_audio(audio, self.settings, self.excerpt))

    def finish(self) -> None:
        """Keeps nothing."""


def hear_songs(
    tasks: Iterable[HearingTask], settings: AudioSettings, excerpt: str | float, jobs: int, ahead: int
) -> Iterator[HearingResult]:
    """Hears songs in order, in `jobs` processes of one thread each, at most `ahead` of them before they are taken.

    One job hears in this process. With several, one that dies or hangs costs its own song only.

    Raises:
        MachineError: the machine is at its limits, which is no fault of the song.
        OptionError: a setting cannot be used, nor is that.
    """
    if jobs <= 1:
        yield from (hear_task(task, partial(hear_audio, settings=settings, excerpt=excerpt)) for task in tasks)
        return
    rules = Rules(jobs, max(ahead, jobs), held=2, grace=STOP_SECONDS)
    for event in work_through(([task] for task in tasks), partial(Hearing, settings, excerpt), rules):
        if isinstance(event, Answer):
            yield event.value or HearingResult(event.item, None, error=event.reason)
