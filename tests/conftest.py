"""What the tests share: a quiet, offline environment, a tiny model and processor, a small prepared corpus, WordNet.

Torch is imported only by the fixtures that need it.
"""

import fcntl
import gc
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from forked import Forker
from make_synonyms import wordnet_folder

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["OMP_NUM_THREADS"] = "1"  # torch reads it on import
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ.pop("NO_COLOR", None)

TEXTS = (
    "the rain falls over the river and I sing alone",
    "we dance all night under the neon light",
    "a slow sad song about a river of rain",
    "a bright song about dancing all night",
)
SIZES = {
    "d_model": 16,
    "encoder_layers": 3,
    "decoder_layers": 1,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 32,
    "decoder_ffn_dim": 32,
    "max_position_embeddings": 128,
    "music_channels": (2, 2, 2, 4, 4, 8, 8),
    "music_layers": 1,
    "music_ffn": 16,
    "init_std": 0.3,  # a small model on standard weights hardly moves its logits
}


# Files whose single tests take half a minute and more: begun first, they do not keep one worker busy at the end.
LONG = (
    "test_journey.py",
    "test_published_journey.py",
    "test_architecture.py",
    "test_examples.py",
    "test_trainer.py",
    "test_experiment.py",
)


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: item.path.name not in LONG)


def pytest_collection_finish():
    """Spares the collector what stays: libraries and thousands of tests, which each training looks through else."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def cache_folder(tmp_path_factory) -> Path:
    """Keep what commands cache for the user out of the user's home."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RECAP_CACHE", str(folder))
        yield folder


@pytest.fixture(autouse=True)
def same_environment(cache_folder) -> Iterator[None]:
    """Undo what a command in this process sets for good, such as the folders for caches where there is no home."""
    before = dict(os.environ)
    yield
    if dict(os.environ) != before:
        os.environ.clear()
        os.environ.update(before)


@pytest.fixture(scope="session")
def tiny_tokenizer():
    from recap_cli.corpus.dataset import PreparedSong
    from recap_cli.corpus.song import Caption, Song
    from recap_cli.training.pretrain import train_tokenizer

    songs = [
        PreparedSong(Song(f"song-{row}", "", TEXTS[row], (Caption(TEXTS[row + 2]),)), f"mel-{row}", 1.0)
        for row in range(2)
    ]
    return train_tokenizer(songs, vocab_size=300)


@pytest.fixture
def tiny_processor(tiny_tokenizer):
    from recap_cli.audio.settings import AudioSettings
    from recap_cli.processor import RecapProcessor

    return RecapProcessor(tiny_tokenizer, AudioSettings(), max_lyrics_tokens=64, max_caption_tokens=32)


@pytest.fixture
def tiny_config(tiny_tokenizer):
    """A fresh config, which a test may change."""
    from recap_cli.model.config import RecapConfig

    return RecapConfig.tiny(len(tiny_tokenizer), **SIZES)


@pytest.fixture
def tiny_model(tiny_config):
    """A fresh model on fixed random weights, in eval mode."""
    import torch

    from recap_cli.model.captioner import RecapForCaptioning

    torch.manual_seed(0)
    return RecapForCaptioning(tiny_config).eval()


@pytest.fixture(scope="session")
def forker(cache_folder) -> Iterator[Forker]:
    """Commands in processes of their own, without the seconds that loading torch takes."""
    with Forker() as forker:
        yield forker


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory):
    """A prepared demo corpus of 24 songs; tests only read it."""
    from recap_cli.corpus.dataset import PreparedData
    from recap_cli.preparation.prepare import PrepareOptions, prepare

    own = tmp_path_factory.getbasetemp() / "tiny"
    if "PYTEST_XDIST_WORKER" not in os.environ:
        prepare(PrepareOptions(limit=24, jobs=1, out=own / "data"))
        return PreparedData(own / "data")
    # The first of several test processes prepares and pretrains, and each has a copy.
    shared = own.parents[1] / "tiny"
    with shared.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not shared.exists():
            prepare(PrepareOptions(limit=24, jobs=1, out=shared / "data"))
            train_tiny(shared)
    shutil.copytree(shared, own)
    return PreparedData(own / "data")


@pytest.fixture(scope="session")
def tiny_run(tiny_data):
    """A finished run of one epoch on the prepared corpus; tests only read it."""
    return train_tiny(tiny_data.folder.parent)


def train_tiny(folder: Path) -> Path:
    """Trains the run beside the data, unless it was."""
    from recap_cli.training.train import TrainOptions, train

    return train(TrainOptions(folder / "data", folder / "run", epochs=1, max_caption_tokens=16, device="cpu")).out


@pytest.fixture
def quick_pretraining(monkeypatch):
    """Stand-ins learn for a step or two, where a test wants some and not good ones."""
    from dataclasses import replace

    from recap_cli.training import pretrain

    stock = pretrain.fit

    def fit(model, dataset, collate, folder, options, *rest, **more):
        stock(model, dataset, collate, folder, replace(options, epochs=0.1), *rest, **more)

    monkeypatch.setattr(pretrain, "fit", fit)


@pytest.fixture(scope="session")
def demo_songs():
    """Makes the whole demo corpus of a difficulty, once."""
    from functools import cache

    from recap_cli.demo.songs import DemoSettings, make_songs

    return cache(lambda difficulty="easy": tuple(make_songs(DemoSettings(difficulty=difficulty))))


@pytest.fixture(scope="module")
def nltk_wordnet(tmp_path_factory):
    """NLTK's reader on WordNet's files, which it only takes from inside `nltk.data.path`."""
    import nltk
    from nltk.corpus.reader.wordnet import WordNetCorpusReader

    source = wordnet_folder()
    if source is None:
        pytest.skip("WordNet 3.0 is not on this machine")
    root = tmp_path_factory.mktemp("nltk_data")
    folder = root / "corpora" / "wordnet"
    folder.mkdir(parents=True)
    for pattern in ("data.*", "index.*", "*.exc", "cntlist.rev"):
        for file in source.glob(pattern):
            shutil.copy(file, folder)
    # Sense keys and names of lexicographer files play no part in METEOR, but the reader wants the files.
    (folder / "index.sense").touch()
    (folder / "lexnames").write_text("".join(f"{number:02d}\tlex{number}\t1\n" for number in range(45)))
    nltk.data.path.insert(0, str(root))
    try:
        yield WordNetCorpusReader(nltk.data.find("corpora/wordnet"), None)
    finally:
        nltk.data.path.remove(str(root))
