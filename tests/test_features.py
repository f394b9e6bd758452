"""The cache of music states: what the frozen encoder says, kept under the encoder's own fingerprint."""

import shutil

import numpy as np
import pytest
import torch

from recap_cli.corpus.dataset import PreparedData
from recap_cli.model.config import MusicEncoderSizes
from recap_cli.model.music_encoder import MusicEncoder
from recap_cli.processor import pad_mels
from recap_cli.progress import SilentProgress
from recap_cli.workflows import features as module
from recap_cli.workflows.features import cache_features, encode_mels, encoder_fingerprint

SIZES = MusicEncoderSizes((2, 2, 2, 4, 4, 8, 8), layers=1, ffn=16)


def make_encoder(seed: int = 0) -> MusicEncoder:
    torch.manual_seed(seed)
    return MusicEncoder(SIZES).eval()


@pytest.fixture
def data(tiny_data, tmp_path) -> PreparedData:
    """A prepared folder of one's own, without features."""
    shutil.copytree(tiny_data.folder, tmp_path / "data", ignore=shutil.ignore_patterns("features", "pretrained"))
    return PreparedData(tmp_path / "data")


def test_the_cache_holds_what_the_encoder_says(data, monkeypatch):
    """Each song alone, unpadded, in float32, against the cache's fp16 from padded batches."""
    monkeypatch.setattr(module, "BATCH_SONGS", 5)
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


def test_encoding_leaves_training_behind(data):
    """BatchNorm and dropout would make a song's states depend on its neighbours."""
    encoder = make_encoder().train()
    keys = [entry.mel for entry in data.songs[:3]]
    together = {key: states.copy() for key, states in encode_mels(keys, data, encoder, "cpu")}
    for key in keys:
        ((_, alone),) = encode_mels([key], data, encoder.train(), "cpu")
        np.testing.assert_allclose(together[key], alone, atol=1e-5)
