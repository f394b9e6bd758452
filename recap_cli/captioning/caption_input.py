"""From audio files to mels, in this process or in several; light enough for a process that never captions."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from recap_cli.audio.decode import read_windows
from recap_cli.audio.mel import log_mel
from recap_cli.audio.settings import AudioSettings
from recap_cli.audio.song_mel import envelope_of, read_log_mel
from recap_cli.errors import AudioError
from recap_cli.lyrics.reader import Lyrics
from recap_cli.lyrics.tags import lyrics_in_tags
from recap_cli.runtime.worker_process import attempt
from recap_cli.runtime.workers import Answer, Rules, work_through

STOP_SECONDS = 1.0  # for processes to end: there is nothing that they keep


@dataclass(frozen=True)
class DecodedAudio:
    """The part of a song that a caption is made from."""

    mel: np.ndarray  # log-mel in dB [mels, frames]
    excerpt: dict[str, float]  # start and length in seconds
    warnings: tuple[str, ...] = ()
    states: np.ndarray | None = None  # music states [steps, width] in place of the mel, for a whole song
    envelope: np.ndarray | None = None  # greatest absolute sample of each `ENVELOPE_STEP`, for pictures


@dataclass(frozen=True)
class CaptionInput:
    """A song that is ready to be captioned."""

    audio: str
    lyrics: str  # clean text, "" where there are none
    decoded: DecodedAudio
    warnings: tuple[str, ...] = ()  # about its lyrics
    id: str = ""
    excerpt: str | float = "start"  # that was asked for
    seconds: float = 0.0  # it took to decode
    lyrics_from: str = ""
    title: str = ""  # with the artist, where a table names them


@dataclass(frozen=True)
class AudioTask:
    """A song to decode."""

    id: str  # its name among many
    audio: str  # its file
    lyrics: str | None = None  # clean text; None looks into the file's tags
    error: str = ""  # for an entry that no song was made of, the reason
    mel: str = ""  # the key of its mel in a prepared data folder, in place of the file
    seconds: float = 0.0  # what that mel covers
    warnings: tuple[str, ...] = ()  # about its lyrics, from where they were read
    title: str = ""  # with the artist, where a table names them


@dataclass(frozen=True)
class AudioResult:
    """A task's answer: its audio, the lyrics that were found and what is odd with them, or the reason why not."""

    task: AudioTask
    decoded: DecodedAudio | None
    lyrics: str = ""
    error: str = ""
    warnings: tuple[str, ...] = ()


def decode_audio(audio: str | Path, settings: AudioSettings, excerpt: str | float) -> DecodedAudio:
    """Returns the log-mel of one excerpt, or of the whole song as the settings have it.

    Raises:
        AudioError: the audio cannot be decoded.
        OptionError: the settings do not know this excerpt.
    """
    found = read_log_mel(audio, settings, excerpt)
    place = place_of(found.start, found.seconds)
    return DecodedAudio(found.mel, place, found.warnings, envelope=found.envelope)


def decode_windows(audio: str | Path, settings: AudioSettings) -> Iterator[tuple[DecodedAudio, float]]:
    """Yields a whole song window by window; with each, the seconds at its start that the one before holds, too.

    Raises:
        AudioError: the audio cannot be decoded.
    """
    for window in read_windows(audio, settings):
        found = window.excerpt
        mel = log_mel(found.samples, settings)
        place, envelope = place_of(found.start, found.seconds), envelope_of(found.samples, settings)
        yield DecodedAudio(mel, place, found.warnings, envelope=envelope), window.repeated


def place_of(start: float, seconds: float) -> dict[str, float]:
    """Returns start and length as a caption's record has them."""
    return {"start": round(start, 3), "seconds": round(seconds, 3)}


def decode_task(task: AudioTask, decode: Callable[[str], DecodedAudio]) -> AudioResult:
    """Decodes a song of many: an error that may pass is tried again, and a failure becomes the answer.

    Raises:
        MachineError: the machine is at its limits, which is no fault of the song.
        OptionError: a setting cannot be used, nor is that.
    """
    found, reason = attempt(lambda: decode_song(task, decode))
    return found or AudioResult(task, None, error=reason)


def decode_song(task: AudioTask, decode: Callable[[str], DecodedAudio]) -> AudioResult:
    """Decodes a song and looks for its lyrics where none are given.

    Raises:
        RecapError: it cannot be decoded.
    """
    if task.error:
        raise AudioError(task.error)
    try:
        decoded = decode(task.audio)
        given = None if task.lyrics is None else Lyrics(task.lyrics)
        lyrics = given or lyrics_in_tags(task.audio) or Lyrics("")
    except OSError as error:
        raise AudioError(f"{task.audio} cannot be read: {error.strerror or error}") from error
    return AudioResult(task, decoded, lyrics.text, warnings=(*task.warnings, *lyrics.warnings))


@dataclass(frozen=True)
class DecodeAhead:
    """What a process of the pool does."""

    settings: AudioSettings
    excerpt: str | float

    def handle(self, task: AudioTask) -> AudioResult:
        """Decodes a song; errors as of `decode_song`."""
        return decode_song(task, lambda audio: decode_audio(audio, self.settings, self.excerpt))

    def finish(self) -> None:
        """Keeps nothing."""


def decode_songs(
    tasks: Iterable[AudioTask], settings: AudioSettings, excerpt: str | float, jobs: int, ahead: int
) -> Iterator[AudioResult]:
    """Decodes songs in order, in `jobs` processes of one thread each, at most `ahead` of them before they are taken.

    One job decodes in this process. With several, one that dies or hangs costs its own song only.

    Raises:
        MachineError: the machine is at its limits, which is no fault of the song.
        OptionError: a setting cannot be used, nor is that.
    """
    if jobs <= 1:
        yield from (decode_task(task, partial(decode_audio, settings=settings, excerpt=excerpt)) for task in tasks)
        return
    rules = Rules(jobs, max(ahead, jobs), held=2, grace=STOP_SECONDS)
    for event in work_through(([task] for task in tasks), partial(DecodeAhead, settings, excerpt), rules):
        if isinstance(event, Answer):
            yield event.value or AudioResult(event.item, None, error=event.reason)
