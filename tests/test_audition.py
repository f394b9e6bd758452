"""Audio heard ahead: in order, in one process or two, with patience for what passes."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from recap_cli.audio import AudioSettings, log_mel, read_excerpt
from recap_cli.errors import AudioError, OptionError
from recap_cli.workflows import audition
from recap_cli.workflows.audition import HearingTask, hear_audio, hear_songs, hear_task, retry

SETTINGS = AudioSettings(seconds=0.5)


@pytest.fixture
def tasks(tmp_path) -> list[HearingTask]:
    """Four songs; the third is none."""
    found = []
    for number in range(4):
        path = tmp_path / f"{number}.wav"
        soundfile.write(path, np.random.default_rng(number).uniform(-0.5, 0.5, 16000), 16000)
        found.append(HearingTask(path.name, str(path), f"lyrics {number}"))
    (tmp_path / "2.wav").write_text("no audio")
    return [*found, HearingTask("row 9", "", error="the row names no audio")]


@pytest.mark.parametrize("jobs", [1, 2])
def test_songs_come_in_order(tasks, jobs):
    results = list(hear_songs(tasks, SETTINGS, "middle", jobs, ahead=2))
    assert [result.task for result in results] == tasks
    assert [result.lyrics for result in results] == ["lyrics 0", "lyrics 1", "", "lyrics 3", ""]
    assert [bool(result.error) for result in results] == [False, False, True, False, True]
    mel = log_mel(read_excerpt(tasks[3].audio, SETTINGS, "middle").samples, SETTINGS)
    assert np.array_equal(results[3].heard.mel, mel)
    assert results[3].heard.excerpt == {"start": 0.25, "seconds": 0.5}


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_setting_that_cannot_be_used_is_no_fault_of_the_songs(tasks, jobs):
    with pytest.raises(OptionError, match="--excerpt foo is no place in a song"):
        list(hear_songs(tasks, SETTINGS, "foo", jobs, ahead=2))


def die(task, settings, excerpt):
    if task.lyrics == "lyrics 1":
        os._exit(1)
    return audition.HearingResult(task, None, task.lyrics or "")


def test_a_process_that_dies_takes_one_song_with_it(tasks, monkeypatch):
    """As a decoder does that a damaged file brings down."""
    monkeypatch.setattr(audition, "hear_in_worker", die)
    results = list(hear_songs(tasks, SETTINGS, "start", 2, ahead=3))
    assert [result.task for result in results] == tasks
    assert [result.lyrics for result in results] == ["lyrics 0", "", "lyrics 2", "lyrics 3", ""]
    assert results[1].error == f"{tasks[1].audio}: the process that decoded it died"


@pytest.fixture
def naps(monkeypatch) -> list[float]:
    found: list[float] = []
    monkeypatch.setattr(audition.time, "sleep", found.append)
    return found


def fails(times: int, error: Exception):
    """Something that fails so many times."""
    calls = []

    def action():
        calls.append(1)
        if len(calls) <= times:
            try:
                raise error
            except OSError as cause:
                raise AudioError("x.wav cannot be opened") from cause
        return "heard"

    return action


def test_what_passes_is_tried_again(naps, tasks):
    assert retry(fails(2, OSError(errno.EIO, "I/O error"))) == "heard"
    assert naps == [0.5, 1.0]
    with pytest.raises(AudioError):
        retry(fails(3, OSError(errno.ESTALE, "Stale file handle")))
    naps.clear()
    with pytest.raises(AudioError):
        retry(fails(1, FileNotFoundError(errno.ENOENT, "No such file")))
    assert naps == []
    action = fails(1, OSError(errno.EIO, "I/O error"))
    heard = hear_task(tasks[0], lambda audio: action() and hear_audio(audio, SETTINGS, "start"))
    assert heard.heard is not None and not heard.error
    lost = hear_task(tasks[0], lambda audio: Path("/nowhere").read_bytes())
    assert lost.error == f"{tasks[0].audio} cannot be read: No such file or directory"
