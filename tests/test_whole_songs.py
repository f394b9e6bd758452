"""A model that hears whole songs: prepared for musicnn, trained on frozen tags, saved, and asked for captions."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

RATE = 16000
SECONDS = (4.0, 7.0, 9.5, 2.0, 12.0, 6.0)  # 1, 2, 3, 1, 4 and 2 windows of 3 s
WINDOWS = [1, 2, 3, 1, 4, 2]
QUICK = {"epochs": 1, "max_caption_tokens": 10, "device": "cpu", "recipe": "tiny"}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    """A manifest of songs of several lengths, without tags."""
    folder = tmp_path_factory.mktemp("songs")
    rows = []
    for number, seconds in enumerate(SECONDS):
        times = np.arange(round(seconds * RATE)) / RATE
        tune = 0.3 * np.sin(2 * np.pi * 110 * (number + 1) * times) * (1 + np.sin(2 * np.pi * number * times)) / 2
        soundfile.write(folder / f"{number}.wav", tune, RATE)
        split = "validation" if number == 3 else "train"
        texts = {"lyrics": f"line {number} of a river", "caption": f"a song about river {number}"}
        rows.append({"id": f"s{number}", "audio": f"{number}.wav", "split": split, **texts})
    (folder / "songs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@pytest.fixture(scope="module")
def data(corpus):
    from recap_cli.corpus.dataset import PreparedData
    from recap_cli.preparation.prepare import PrepareOptions, prepare

    out = corpus.parent / "whole-songs-data"
    prepare(PrepareOptions(corpus / "songs.jsonl", music_encoder="musicnn", jobs=1, out=out))
    return PreparedData(out)


@pytest.fixture(scope="module")
def run(data) -> Path:
    """A run on them; the data say which music encoder it is."""
    from recap_cli.training.train import TrainOptions, train

    return train(TrainOptions(data.folder, data.folder.parent / "whole-songs-run", **QUICK)).out


@pytest.fixture(scope="module")
def captioner(run):
    from recap_cli.captioning.captioner import Captioner

    return Captioner.from_pretrained(run, device="cpu")


def states_of(run_data, key: str) -> np.ndarray:
    from recap_cli.corpus.shards import ShardReader

    (folder,) = (run_data.folder / "features").iterdir()
    return ShardReader(folder)[key]


def test_all_of_a_song_is_prepared(data):
    assert data.audio.music_encoder == "musicnn"
    assert [data.mels.shapes[one.mel] for one in data.songs] == [[96, 1 + int(one * RATE) // 256] for one in SECONDS]
    assert [one.seconds for one in data.songs] == pytest.approx(SECONDS, abs=0.02)


def test_the_run_has_the_packaged_encoder_and_the_states_it_gives(data, captioner):
    from safetensors.torch import load_file

    from recap_cli.model.musicnn import WEIGHTS

    encoder = captioner.model.model.encoder.music_encoder
    assert captioner.model.config.music_encoder == "musicnn"
    assert all((value == encoder.state_dict()[name]).all() for name, value in load_file(WEIGHTS).items())
    assert [states_of(data, one.mel).shape for one in data.songs] == [(count, 100) for count in WINDOWS]


@pytest.mark.parametrize("excerpt", ["start", "whole"])
def test_captioning_hears_what_training_heard(corpus, data, captioner, excerpt):
    decoded = captioner.decode_audio(corpus / "4.wav", excerpt)
    assert decoded.excerpt == {"start": 0.0, "seconds": 12.0}
    assert decoded.mel.shape == (96, 0)
    assert np.abs(decoded.states - states_of(data, data.songs[4].mel)).max() < 2e-3  # cached in half precision


def test_one_song_and_many_give_the_same_caption(corpus, data, captioner):
    from recap_cli.captioning.batch import BatchCaptioner, Catalogue
    from recap_cli.runtime.decoding import DecodingOptions

    alone = captioner.caption(corpus / "2.wav", "line 2 of a river")
    assert alone.excerpt == {"start": 0.0, "seconds": 9.5}
    assert not [text for text in captioner.caption(corpus / "4.wav", "a").warnings if "short" in text]
    assert [text for text in captioner.caption(corpus / "1.wav", "a").warnings if text.startswith("short")]
    for source, prepared in ((corpus / "songs.jsonl", None), (data.folder, data)):
        found = BatchCaptioner(captioner, prepared, DecodingOptions(batch_size=3), jobs=1)
        rows = {one.id: one for one in found.caption(Catalogue([source]).tasks())}
        assert len(rows) == len(SECONDS)
        assert not [one.error for one in rows.values() if one.error]
        assert rows["s2"].captions == alone.captions
        assert rows["s2"].scores == pytest.approx(alone.scores, abs=1e-3)


def test_no_place_in_the_song_is_asked_for(corpus, captioner):
    from recap_cli.errors import OptionError
    from recap_cli.preparation.prepare import PrepareOptions

    with pytest.raises(OptionError, match="takes whole songs"):
        captioner.caption(corpus / "2.wav", "a", excerpt="middle")
    with pytest.raises(OptionError, match="takes whole songs"):
        PrepareOptions(music_encoder="musicnn", excerpt="middle")


def test_the_attention_map_has_a_column_for_each_window(corpus, captioner):
    explained = captioner.explain(captioner.make_input(corpus / "4.wav", "one line\nanother line"), "a sad song")
    assert explained.seconds == pytest.approx([0.0, 2.992, 5.984, 8.976], abs=0.1)
    assert explained.music is not None and explained.music.attention.shape == (3, 4)
    assert explained.music.attention.sum(axis=1) == pytest.approx([1, 1, 1], abs=1e-3)


def test_the_model_saves_and_loads(captioner, tmp_path):
    from recap_cli.captioning.captioner import Captioner

    captioner.model.save_pretrained(tmp_path)
    captioner.processor.save_pretrained(tmp_path)
    again = Captioner.from_pretrained(tmp_path, device="cpu")
    assert again.weights == captioner.weights
    assert again.processor.audio == captioner.processor.audio


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("config.json", {"music_encoder": "cnnsa"}, "lacks|does not fit"),
        ("config.json", {"music_encoder": "vgg"}, "music_encoder"),
        ("recap_processor.json", {"audio": {}}, "is for cnnsa, the model has musicnn"),
        ("recap_processor.json", {"audio": {"music_encoder": "musicnn"}}, "not those of musicnn"),
    ],
)
def test_a_folder_whose_parts_do_not_fit_is_refused(run, tmp_path, file, change, message):
    from recap_cli.captioning.load_model import load_model
    from recap_cli.errors import ModelError

    shutil.copytree(run, tmp_path / "run")
    path = tmp_path / "run" / file
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(ModelError, match=message):
        load_model(tmp_path / "run")


def test_encoder_and_data_must_fit(data, tiny_data, run, tmp_path):
    from recap_cli.errors import ModelError
    from recap_cli.progress import SilentProgress
    from recap_cli.training.plan import plan_run
    from recap_cli.training.train import TrainOptions

    def plan(folder: Path, **options):
        return plan_run(TrainOptions(folder, **{**QUICK, **options}), SilentProgress())

    assert plan(data.folder, music_encoder=Path("musicnn")).encoder_kind == "musicnn"
    assert plan(data.folder, init=run).encoder_kind == "musicnn"
    assert plan(tiny_data.folder).encoder_kind == "cnnsa"
    with pytest.raises(ModelError) as caught:
        plan(tiny_data.folder, music_encoder=Path("musicnn"))
    assert "recap prepare --music-encoder musicnn" in caught.value.hint
    (tmp_path / "best_model.pth").write_bytes(b"")
    with pytest.raises(ModelError) as caught:
        plan(data.folder, music_encoder=tmp_path / "best_model.pth")
    assert "recap prepare --music-encoder cnnsa" in caught.value.hint
    with pytest.raises(ModelError):
        plan(tiny_data.folder, init=run)


def test_the_encoder_can_be_trained_along(data, tmp_path):
    from safetensors.torch import load_file

    from recap_cli.model.musicnn import WEIGHTS
    from recap_cli.training.train import TrainOptions, train

    more = {"train_music_encoder": True, "limit": 2, "batch_size": 1}
    out = train(TrainOptions(data.folder, tmp_path / "run", **more, **QUICK)).out
    saved, packaged = load_file(out / "model.safetensors"), load_file(WEIGHTS)
    moved = [name for name, value in packaged.items() if (saved[f"model.encoder.music_encoder.{name}"] != value).any()]
    assert len(moved) > len(packaged) / 2
