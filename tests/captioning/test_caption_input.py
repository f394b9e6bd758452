"""Audio decoded ahead: in order, in one process or two, with patience for what passes."""

import errno
import os
import signal
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile

from recap_cli.audio.decode import read_excerpt
from recap_cli.audio.mel import log_mel
from recap_cli.audio.settings import AudioSettings
from recap_cli.captioning import caption_input as module
from recap_cli.captioning.caption_input import AudioTask, decode_audio, decode_song, decode_songs, decode_task
from recap_cli.errors import MachineError, OptionError
from recap_cli.runtime import workers

SETTINGS = AudioSettings(seconds=0.5)


@pytest.fixture
def tasks(tmp_path) -> list[AudioTask]:
    """Four songs; the third is none."""
    found = []
    for number in range(4):
        path = tmp_path / f"{number}.wav"
        soundfile.write(path, np.random.default_rng(number).uniform(-0.5, 0.5, 16000), 16000)
        found.append(AudioTask(path.name, str(path), f"lyrics {number}"))
    (tmp_path / "2.wav").write_text("no audio")
    return [*found, AudioTask("row 9", "", error="the row names no audio")]


@pytest.mark.parametrize("jobs", [1, 2])
def test_songs_come_in_order(tasks, jobs):
    results = list(decode_songs(tasks, SETTINGS, "middle", jobs, ahead=2))
    assert [result.task for result in results] == tasks
    assert [result.lyrics for result in results] == ["lyrics 0", "lyrics 1", "", "lyrics 3", ""]
    assert [bool(result.error) for result in results] == [False, False, True, False, True]
    mel = log_mel(read_excerpt(tasks[3].audio, SETTINGS, "middle").samples, SETTINGS)
    assert np.array_equal(results[3].decoded.mel, mel)
    assert results[3].decoded.excerpt == {"start": 0.25, "seconds": 0.5}


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_setting_that_cannot_be_used_is_no_fault_of_the_songs(tasks, jobs):
    with pytest.raises(OptionError, match="--excerpt foo is no place in a song"):
        list(decode_songs(tasks, SETTINGS, "foo", jobs, ahead=2))


def lost(task, decode):
    if task.lyrics == "lyrics 1":
        os.kill(os.getpid(), signal.SIGKILL)
    if task.lyrics == "lyrics 3":
        os.kill(os.getpid(), signal.SIGSTOP)
    return decode_song(task, decode)


@dataclass(frozen=True)
class Ill(module.DecodeAhead):
    """Dies over one song, as a decoder does that a damaged file brings down, and hangs at another."""

    def handle(self, task):
        return lost(task, lambda audio: decode_audio(audio, self.settings, self.excerpt))


def test_a_process_that_dies_or_hangs_takes_one_song_with_it(tasks, monkeypatch):
    monkeypatch.setattr(module, "DecodeAhead", Ill)
    monkeypatch.setattr(workers, "ITEM_SECONDS", 1.0)
    results = list(decode_songs(tasks, SETTINGS, "start", 2, ahead=3))
    assert [result.task for result in results] == tasks
    assert [result.error for result in results] == [
        "", "its process was killed (SIGKILL, out of memory?)",
        f"{tasks[2].audio} is not audio that can be decoded", "it took over 1 s", "the row names no audio",
    ]  # fmt: skip
    assert results[0].decoded is not None


def full(audio, *rest, **others):
    raise OSError(errno.ENOSPC, f"there is no room to decode {audio}")


def test_the_machines_faults_are_no_fault_of_the_songs(tasks, monkeypatch):
    monkeypatch.setattr(module, "decode_audio", full)
    with pytest.raises(MachineError, match="no room to decode"):
        list(decode_songs(tasks, SETTINGS, "start", 1, ahead=2))


def test_reasons_name_the_file(tasks):
    lost = decode_task(tasks[0], lambda audio: Path("/nowhere").read_bytes())
    assert lost.error == f"{tasks[0].audio} cannot be read: No such file or directory"
