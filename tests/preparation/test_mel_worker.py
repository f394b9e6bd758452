"""Songs heard in processes for a data folder: what they answer, and what stays when they die, hang or are stopped."""

import errno
import multiprocessing
import os
import signal

import numpy as np
import pytest
import soundfile

from recap_cli.audio.mel import log_mel, resample
from recap_cli.audio.settings import AudioSettings
from recap_cli.corpus.mel_cache import fingerprint
from recap_cli.corpus.shards import ShardReader
from recap_cli.errors import DataError, MachineError
from recap_cli.preparation import mel_worker
from recap_cli.preparation.mel_worker import AudioTask, MelResult, MelSettings, MelWorker, make_mels
from recap_cli.runtime import workers


@pytest.fixture
def settings(tmp_path) -> MelSettings:
    return make_settings(tmp_path)


def make_settings(tmp_path, **changes) -> MelSettings:
    audio = AudioSettings(seconds=1.0, resampler="soxr")
    given = {
        "folder": tmp_path / "mels",
        "base": (),
        "audio": audio,
        "excerpt": "start",
        "seed": 0,
        "precision": "fp32",
    }
    return MelSettings(**{**given, "demo": None, "label": "1-of-1", **changes})


@pytest.fixture
def tasks(tmp_path) -> list[AudioTask]:
    random = np.random.default_rng(0)
    for number in range(6):
        soundfile.write(tmp_path / f"{number}.wav", random.normal(0, 0.1, 16000), 16000)
    return [AudioTask(number, f"s{number}", str(tmp_path / f"{number}.wav")) for number in range(6)]


def numbers(events) -> list[int]:
    return sorted(event.number for event in events if isinstance(event, MelResult))


def test_songs_are_heard_once_each(settings, tasks):
    events = list(make_mels(iter([tasks[:3], tasks[3:]]), settings, 2))
    assert numbers(events) == list(range(6))
    heard = {event.number: event for event in events if isinstance(event, MelResult)}
    shards = {event for event in events if isinstance(event, str)}
    assert shards == {path.name for path in settings.folder.iterdir()}
    mels = ShardReader(settings.folder)
    assert all(mels[event.key].shape == (128, event.frames) for event in heard.values())
    assert not any(event.reused or event.reason for event in heard.values())
    assert all(set(event.spent) == {"hashing", "decoding", "resampling", "mels"} for event in heard.values())


class Ill(MelWorker):
    """Dies over one song, hangs at another, and meets a full disk at a third."""

    def handle(self, task):
        if task.id == "s0":
            os.kill(os.getpid(), signal.SIGKILL)
        if task.id == "s1":
            os.kill(os.getpid(), signal.SIGSTOP)
        if task.id == "s5":
            raise OSError(errno.ENOSPC, "there is no room in /tmp")
        return super().handle(task)


def test_processes_that_die_or_hang_cost_one_song_each(settings, tasks, monkeypatch):
    """A worker killed twice over the same song costs that song, as does one that is stopped; the rest is heard."""
    monkeypatch.setattr(mel_worker, "MelWorker", Ill)
    monkeypatch.setattr(workers, "ITEM_SECONDS", 1.0)
    events = list(make_mels(iter([tasks[:5]]), settings, 1))
    assert [event.number for event in events[:-1]] == list(range(5))
    reasons = {event.number: event.reason for event in events[:-1] if event.reason}
    assert reasons == {
        0: "its process was killed (SIGKILL, out of memory?)",
        1: "it took over 1 s",
    }
    assert len(ShardReader(settings.folder).files) == 3


def test_a_full_disk_is_no_songs_fault_and_what_was_heard_stays(settings, tasks, monkeypatch):
    monkeypatch.setattr(mel_worker, "MelWorker", Ill)
    with pytest.raises(MachineError, match="no room") as caught:
        list(make_mels(iter([tasks[2:]]), settings, 1))
    assert caught.value.hint.startswith("make room")
    assert len(ShardReader(settings.folder).files) == 3


def test_stopping_early_keeps_what_was_heard(settings, tasks):
    """And a later run gives the shard that it would have given anyway, taking over what there is."""
    events = make_mels(iter([tasks]), settings, 1)
    assert isinstance(next(events), MelResult)
    events.close()
    assert not multiprocessing.active_children()
    kept = ShardReader(settings.folder)
    assert len(kept.files) >= 1
    again = list(make_mels(iter([tasks]), settings, 1))
    assert sum(event.reused for event in again if isinstance(event, MelResult)) == len(kept.files)
    (name,) = {event for event in again if isinstance(event, str)}
    keys = sorted(event.key for event in again if isinstance(event, MelResult))
    assert name == f"{fingerprint(keys)}.safetensors"
    assert sorted(key for key, _ in ShardReader(settings.folder, [name]).shapes.items()) == keys


def test_an_error_of_a_process_is_raised_here(settings, tasks):
    settings.folder.mkdir()
    (settings.folder / "00000.safetensors").write_bytes(b"no shard")
    with pytest.raises(DataError, match=r"00000\.safetensors is damaged"):
        list(make_mels(iter([tasks]), settings, 1))


# which passage is heard -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [16000, 44100])
@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg"])
@pytest.mark.parametrize("place", ["start", "middle", "random", 1.25])
def test_the_excerpt_is_the_documented_one_to_the_sample(tmp_path, rate, suffix, place):
    """Source frames [s, s + ceil(seconds * rate)): 0; half of what is left over; drawn by the song; or the second."""
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, np.random.default_rng(1).normal(0, 0.1, (3 * rate + 77, 2)), rate)
    work = MelWorker(make_settings(tmp_path, excerpt=place, seed=5))
    heard = work.handle(AudioTask(0, "song 7", str(path)))
    source, _ = soundfile.read(path, dtype="float32", always_2d=True)
    spare = len(source) - rate
    seed = int(fingerprint([5, "song 7"])[:8], 16)
    drawn = int(np.random.default_rng(seed).integers(0, spare, endpoint=True))
    start = {"start": 0, "middle": spare // 2, "random": drawn, 1.25: round(1.25 * rate)}[place]
    audio = work.settings.audio
    samples = resample(source[start : start + rate].mean(axis=1), rate, audio)[: audio.samples]
    assert np.array_equal(work.pending[heard.key], log_mel(samples, audio))
