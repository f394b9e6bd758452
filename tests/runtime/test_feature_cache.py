"""The cache of music states: what the frozen encoder says, kept under the encoder's own fingerprint."""

import os
import shutil
import signal
import threading
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from recap_cli.corpus import shards
from recap_cli.corpus.dataset import PreparedData
from recap_cli.corpus.shards import ShardReader
from recap_cli.errors import DataError
from recap_cli.files import hold_or_wait
from recap_cli.model.config import MusicEncoderSizes
from recap_cli.model.music_encoder import MusicEncoder
from recap_cli.processor import pad_mels
from recap_cli.progress import SilentProgress
from recap_cli.runtime import feature_cache as module
from recap_cli.runtime.feature_cache import cache_features, encode_mels, encoder_fingerprint

SIZES = MusicEncoderSizes((2, 2, 2, 4, 4, 8, 8), layers=1, ffn=16)


def make_encoder(seed: int = 0) -> MusicEncoder:
    torch.manual_seed(seed)
    return MusicEncoder(SIZES).eval()


@pytest.fixture
def data(tiny_data, tmp_path) -> PreparedData:
    """A prepared folder of one's own, without features."""
    shutil.copytree(tiny_data.folder, tmp_path / "data", ignore=shutil.ignore_patterns("features", "pretrained"))
    return PreparedData(tmp_path / "data")


def test_the_cache_holds_what_the_encoder_says(data):
    """Each song through the plain encoder in float32, against the cache's fp16."""
    encoder = make_encoder()
    cached = cache_features(data, encoder, SilentProgress())
    assert len(cached.files) == 24
    lengths = set()
    for entry in data.songs:
        batch = pad_mels([data.mels[entry.mel]], data.audio)
        with torch.inference_mode():
            direct = encoder(**batch)[0][0].numpy()
        states = cached[entry.mel]
        assert states.dtype == np.float16
        assert states.shape == direct.shape
        np.testing.assert_allclose(states.astype(np.float32), direct, rtol=2e-3, atol=2e-3)
        lengths.add(len(states))
    assert len(lengths) > 5  # songs of many lengths, or padding would not be tested
    first, second = (cached[entry.mel][0].astype(float) for entry in data.songs[:2])
    assert np.abs(first - second).max() > 0.01


def test_a_second_call_computes_nothing(data, monkeypatch):
    before = cache_features(data, make_encoder(), SilentProgress())
    monkeypatch.setattr(module, "encode_mels", None)
    again = cache_features(data, make_encoder(), SilentProgress())
    assert again.files == before.files


def test_only_what_is_missing_is_computed(data, monkeypatch):
    cache_features(data, make_encoder(), SilentProgress())
    (folder,) = (data.folder / "features").iterdir()
    whole = data.songs
    data.songs = whole[:10]
    shutil.rmtree(folder)
    cache_features(data, make_encoder(), SilentProgress())
    data.songs = whole
    asked = []

    def watch(keys, *rest):
        asked.extend(keys)
        return encode_mels(keys, *rest)

    monkeypatch.setattr(module, "encode_mels", watch)
    assert len(cache_features(data, make_encoder(), SilentProgress()).files) == 24
    assert sorted(asked) == sorted(entry.mel for entry in whole[10:])


def test_another_encoder_finds_nothing(data):
    first = cache_features(data, make_encoder(0), SilentProgress())
    second = cache_features(data, make_encoder(1), SilentProgress())
    assert first.folder != second.folder
    key = data.songs[0].mel
    assert not np.array_equal(first[key], second[key])


def test_every_weight_counts_in_the_fingerprint():
    encoder = make_encoder()
    name = encoder_fingerprint(encoder)
    assert name == encoder_fingerprint(make_encoder())
    for key, value in encoder.state_dict().items():
        kept = value.clone()
        value.add_(1)
        assert encoder_fingerprint(encoder) != name, key
        value.copy_(kept)
    assert encoder_fingerprint(encoder) == name
    encoder.sizes = MusicEncoderSizes(SIZES.channels, SIZES.layers, heads=4, ffn=SIZES.ffn)
    assert encoder_fingerprint(encoder) != name


class Mels(dict):
    """Mels of given lengths by name, as a shard reader has them."""

    def __init__(self, lengths: dict[str, int]) -> None:
        super().__init__({key: np.full((128, length), length, np.float16) for key, length in lengths.items()})
        self.shapes = {key: [128, length] for key, length in lengths.items()}


@pytest.mark.parametrize(("device", "sizes"), [("cpu", [1, 1, 1, 1, 1, 1]), ("meta", [2, 1, 1, 2])])
def test_songs_are_encoded_with_their_likes(monkeypatch, device, sizes):
    """One by one on a CPU; elsewhere in batches of one length, so that nothing is padded. All songs, in order."""
    calls = []

    class Watcher:
        def __init__(self, encoder, device):
            self.on_cpu = device == "cpu"

        def __call__(self, mels):
            calls.append(len(mels))
            return mels[:, :3, :1]

    monkeypatch.setattr(module, "FrozenMusicEncoder", Watcher)
    monkeypatch.setattr(module, "BATCH_SONGS", 2)
    lengths = {"a": 5, "b": 5, "c": 5, "d": 9, "e": 12, "f": 12}
    given = list(encode_mels(list(lengths), SimpleNamespace(mels=Mels(lengths)), make_encoder(), device))
    assert [key for key, _ in given] == list(lengths)
    assert [states[0, 0] for _, states in given] == list(lengths.values())
    assert calls == sizes


def test_company_and_order_do_not_matter(data):
    """To the last bit: a run that is resumed holds what an uninterrupted one holds."""
    keys = [entry.mel for entry in data.songs[:4]]
    together = {key: states.copy() for key, states in encode_mels(keys, data, make_encoder(), "cpu")}
    for key in reversed(keys):
        ((_, alone),) = encode_mels([key], data, make_encoder(), "cpu")
        assert np.array_equal(alone, together[key])


def test_two_songs_with_one_mel_are_encoded_once(data, monkeypatch):
    data.songs = [data.songs[0], data.songs[1], data.songs[0]]
    asked = []
    monkeypatch.setattr(module, "encode_mels", lambda keys, *rest: asked.extend(keys) or [])
    cache_features(data, make_encoder(), SilentProgress())
    assert sorted(asked) == sorted({entry.mel for entry in data.songs})


def test_kill_9_loses_one_shard_at_most(data, monkeypatch):
    """After ten songs in shards of four, eight are kept and the rest gives what an uninterrupted call gives."""
    whole = cache_features(data, make_encoder(), SilentProgress())
    expected = {key: whole[key].copy() for key in whole.files}
    shutil.rmtree(whole.folder)

    class Killer(SilentProgress):
        left = 10

        def advance(self, count: int = 1, note: str = "") -> None:
            self.left -= count
            if not self.left:
                os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(shards, "SHARD_SONGS", 4)
    child = os.fork()
    if not child:  # whatever happens there, no test goes on in it
        try:
            cache_features(data, make_encoder(), Killer())
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert len(ShardReader(whole.folder).files) == 8
    resumed = cache_features(data, make_encoder(), SilentProgress())
    assert set(resumed.files) == set(expected)
    assert all(np.array_equal(resumed[key], expected[key]) for key in expected)


def test_an_interruption_keeps_what_is_done(data):
    class Interrupter(SilentProgress):
        left = 3

        def advance(self, count: int = 1, note: str = "") -> None:
            self.left -= count
            if not self.left:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache_features(data, make_encoder(), Interrupter())
    (folder,) = (data.folder / "features").iterdir()
    assert len(ShardReader(folder).files) == 3


class Listener(SilentProgress):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.heard = threading.Event()

    def say(self, message: str) -> None:
        self.said.append(message)
        self.heard.set()


def test_a_damaged_shard_is_made_again(data):
    whole = cache_features(data, make_encoder(), SilentProgress())
    expected = {key: whole[key].copy() for key in whole.files}
    (shard,) = set(whole.files.values())
    shard.write_bytes(shard.read_bytes()[:-5])
    progress = Listener()
    again = cache_features(data, make_encoder(), progress)
    assert [f"{shard} was damaged; its songs are encoded again."] == progress.said
    assert all(np.array_equal(again[key], expected[key]) for key in expected)


def test_a_second_process_waits_and_computes_nothing(data, monkeypatch):
    """As the ranks of one training do."""
    encoder, progress, found = make_encoder(), Listener(), []
    folder = data.folder / "features" / encoder_fingerprint(encoder)
    waiting = threading.Thread(target=lambda: found.append(cache_features(data, encoder, progress)))
    with hold_or_wait(folder, SilentProgress(), "Another process"):
        waiting.start()
        assert progress.heard.wait(10)
        assert not found
        writer = shards.ShardWriter(folder)
        for entry in data.songs:
            writer.add(entry.mel, np.zeros(module.states_shape(entry.mel, data, encoder), np.float16))
        writer.close()
        monkeypatch.setattr(module, "encode_mels", None)
    waiting.join(10)
    assert progress.said == ["Another process encodes the music of this data folder; waiting for it."]
    assert len(found[0].files) == 24


def test_a_folder_that_cannot_be_written(data):
    (data.folder / "features").write_text("in the way")
    with pytest.raises(DataError, match="cannot write") as caught:
        cache_features(data, make_encoder(), SilentProgress())
    assert str(data.folder / "features") in caught.value.message


def test_encoding_leaves_training_behind(data):
    """BatchNorm and dropout would make a song's states depend on its neighbours."""
    encoder = make_encoder()
    keys = [entry.mel for entry in data.songs[:3]]
    together = {key: states.copy() for key, states in encode_mels(keys, data, encoder, "cpu")}
    for key, states in encode_mels(keys, data, encoder.train(), "cpu"):
        assert np.array_equal(states, together[key])
    assert encoder.training
