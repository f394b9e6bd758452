"""The stand-ins for pretrained parts: they learn, from the train split only, and are made once."""

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer, BartForConditionalGeneration, Trainer

from recap_cli.corpus.dataset import PreparedData, PreparedSong
from recap_cli.corpus.song import Caption, Song
from recap_cli.errors import DataError
from recap_cli.model.config import MusicEncoderSizes, RecapConfig
from recap_cli.model.music_encoder import MusicEncoder
from recap_cli.model.published import load_music_encoder
from recap_cli.progress import SilentProgress
from recap_cli.training.pretrain import (
    CropCollator,
    LyricsPretraining,
    MusicPretraining,
    MusicTagger,
    TaggedSongs,
    pretrain_bart,
    pretrain_music_encoder,
    tag_values,
    tiny_bart,
    train_tokenizer,
)

SIZES = MusicEncoderSizes((4, 4, 4, 8, 8, 16, 16), layers=1, ffn=32)
TAGS = ("tempo", "mode", "timbre", "drums")


@pytest.fixture
def data(tiny_data, tmp_path) -> PreparedData:
    """A prepared folder of one's own, in which nothing is pretrained."""
    shutil.copytree(tiny_data.folder, tmp_path / "data", ignore=shutil.ignore_patterns("features", "pretrained"))
    return PreparedData(tmp_path / "data")


@pytest.fixture
def losses(monkeypatch) -> list[float]:
    """The loss of every training step."""
    seen: list[float] = []
    stock = Trainer.training_step

    def watch(*arguments, **more):
        loss = stock(*arguments, **more)
        seen.append(float(loss))
        return loss

    monkeypatch.setattr(Trainer, "training_step", watch)
    return seen


# the music encoder ----------------------------------------------------------------------------------------------------


def test_the_tagger_learns(data, losses):
    """From the loss of guessing, ln 3 + ln 2 + ln 5 + ln 2 = 4.09, downwards."""
    pretrain_music_encoder(data, MusicPretraining(SIZES, epochs=40, crop_frames=(64, 80)), SilentProgress())
    assert len(losses) == 40
    assert losses[0] == pytest.approx(4.09, abs=1.0)
    assert np.mean(losses[-5:]) < 0.75 * losses[0]


def test_the_music_encoder_is_made_once_per_data_and_options(data, monkeypatch):
    options = MusicPretraining(SIZES, epochs=1, crop_frames=(32, 40))
    path = pretrain_music_encoder(data, options, SilentProgress())
    assert path.parent == data.folder / "pretrained"
    encoder, report = load_music_encoder(path)
    assert encoder.sizes == SIZES
    assert (report.missing, report.unexpected, report.unused) == ([], [], [])
    other = pretrain_music_encoder(data, MusicPretraining(SIZES, 1, crop_frames=(32, 40), seed=1), SilentProgress())
    assert other != path
    monkeypatch.setattr(Trainer, "train", None)
    assert pretrain_music_encoder(data, options, SilentProgress()) == path


def test_the_music_encoder_is_the_same_from_the_same_seed(data):
    options = MusicPretraining(SIZES, epochs=2, crop_frames=(32, 40))
    path = pretrain_music_encoder(data, options, SilentProgress())
    first = load_file(path)
    path.unlink()
    torch.rand(3)
    second = load_file(pretrain_music_encoder(data, options, SilentProgress()))
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_only_the_train_split_is_heard(data, monkeypatch):
    seen = []
    stock = TaggedSongs.__getitem__
    monkeypatch.setattr(TaggedSongs, "__getitem__", lambda self, row: seen.append(self.songs[row]) or stock(self, row))
    pretrain_music_encoder(data, MusicPretraining(SIZES, epochs=1, crop_frames=(32, 40)), SilentProgress())
    assert {entry.song.id for entry in seen} == {entry.song.id for entry in data.split("train")}


def test_tags():
    songs = [
        PreparedSong(Song(str(row), "", "", tags=tags), f"m{row}", 1.0)
        for row, tags in enumerate(({"mode": "minor", "same": "x"}, {"mode": "major", "same": "x"}, {}))
    ]
    assert tag_values(songs, ["mode", "same", "absent"]) == {"mode": ["major", "minor"]}
    with pytest.raises(DataError) as caught:
        tag_values(songs, ["same"])
    assert "no tags that differ" in caught.value.message
    assert "tempo=slow;mood=sad" in caught.value.hint and "--music-encoder" in caught.value.hint


def test_songs_without_a_tag_do_not_count(data):
    songs = data.split("train")[:2]
    untagged = PreparedSong(Song("s", "", "", tags={"mode": "minor"}), songs[0].mel, 1.0)
    tagged = TaggedSongs([*songs, untagged], data, {"tempo": ["fast", "slow"], "mode": ["major", "minor"]})
    assert tagged[2][1] == [-100, 1]
    torch.manual_seed(0)
    tagger = MusicTagger(MusicEncoder(SIZES), [2, 2]).eval()
    mel = torch.zeros(1, 128, 40)
    both, one = (float(tagger(mel, torch.tensor([labels]))["loss"].detach()) for labels in ([0, 1], [0, 0]))
    states = tagger.encoder(mel)[0].mean(dim=1)
    naive = sum(-head(states).log_softmax(-1)[0, label] for head, label in zip(tagger.heads, (0, 1), strict=True))
    assert both == pytest.approx(float(naive.detach()), abs=1e-5)
    assert one != pytest.approx(both, abs=1e-5)


def test_crops_lie_inside_each_song():
    """A mel that holds its own frame numbers shows where a crop came from."""
    mels = [np.tile(np.arange(frames, dtype=np.float16), (128, 1)) for frames in (50, 90, 300)]
    collate = CropCollator((20, 40), seed=0)
    widths, starts = set(), set()
    for _ in range(30):
        batch = collate([(mel, [row]) for row, mel in enumerate(mels)])
        crops = batch["mel"]
        assert crops.dtype == torch.float32
        assert batch["labels"].tolist() == [[0], [1], [2]]
        widths.add(crops.shape[2])
        for row, mel in enumerate(mels):
            first = int(crops[row, 0, 0])
            starts.add(first)
            assert crops[row, 5].tolist() == list(range(first, first + crops.shape[2]))
            assert first + crops.shape[2] <= mel.shape[1]
    assert min(widths) >= 20 and max(widths) < 40 and len(widths) > 5
    assert len(starts) > 20
    short = collate([(mels[0][:, :9], [0]), (mels[1], [0])])
    assert short["mel"].shape == (2, 128, 9)


# the lyrics model -----------------------------------------------------------------------------------------------------


@pytest.fixture
def small() -> LyricsPretraining:
    config = tiny_bart(RecapConfig.tiny(5, d_model=16, encoder_layers=2, fusion_layers=(1,), encoder_ffn_dim=32))
    return LyricsPretraining(config, vocab_size=400, epochs=3, batch_size=10, lr=1e-2)


def test_the_lyrics_model_learns_and_is_made_once(data, losses, small, monkeypatch):
    folder = pretrain_bart(data, small, SilentProgress())
    assert np.mean(losses[-4:]) < 0.75 * losses[0]
    assert losses[0] == pytest.approx(np.log(400), abs=1.0)
    model = BartForConditionalGeneration.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert model.config.vocab_size == len(tokenizer) == 400
    assert (model.config.d_model, model.config.encoder_layers) == (16, 2)
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]
    monkeypatch.setattr(Trainer, "train", None)
    assert pretrain_bart(data, small, SilentProgress()) == folder
    other = LyricsPretraining(**{**vars(small), "seed": 1})
    with pytest.raises(TypeError):  # other options are another model, which would be trained
        pretrain_bart(data, other, SilentProgress())


def test_a_lyrics_model_that_was_half_written_is_made_again(data, small, monkeypatch, quick_pretraining):
    """The folder appears whole or not at all."""
    save = BartForConditionalGeneration.save_pretrained

    def die(self, folder, **more):
        save(self, folder, **more)
        (folder / "model.safetensors").unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(BartForConditionalGeneration, "save_pretrained", die)
        with pytest.raises(KeyboardInterrupt):
            pretrain_bart(data, small, SilentProgress())
    BartForConditionalGeneration.from_pretrained(pretrain_bart(data, small, SilentProgress()))


def test_a_plain_bart_of_the_tiny_sizes():
    config = tiny_bart(RecapConfig.tiny(5))
    assert (config["d_model"], config["encoder_layers"], config["decoder_layers"]) == (64, 3, 1)
    assert not [name for name in config if "music" in name or "fusion" in name or name in ("alpha", "vocab_size")]
    json.dumps(config)


# the tokenizer --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "the rain falls",
        "two\nlines\n\nand a gap",
        "héllo wörld",
        "雨が降る",
        "🎵🎸 sing! 👩‍🎤",
        " spaces  kept ",
        "<b>&amp;</b>",
        "",
    ],
)
def test_any_text_comes_back_from_the_tokenizer(tiny_tokenizer, text):
    ids = tiny_tokenizer(text)["input_ids"]
    assert (ids[0], ids[-1]) == (0, 2)
    assert 3 not in ids  # nothing is unknown to bytes
    assert tiny_tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False) == text


def test_special_tokens_are_barts(tiny_tokenizer):
    names = ("bos_token_id", "pad_token_id", "eos_token_id", "unk_token_id", "mask_token_id")
    assert [getattr(tiny_tokenizer, name) for name in names] == [0, 1, 2, 3, 4]
    assert (tiny_tokenizer.cls_token_id, tiny_tokenizer.sep_token_id) == (0, 2)


def test_the_tokenizer_learns_from_lyrics_and_captions():
    song = Song("s", "", "zebra zebra zebra zebra", (Caption("quokka quokka quokka quokka"),))
    tokenizer = train_tokenizer([PreparedSong(song, "", 1.0)], vocab_size=300)
    assert len(tokenizer(" zebra quokka")["input_ids"]) < 8
    assert len(tokenizer(" wombat")["input_ids"]) == 9
    again = train_tokenizer([PreparedSong(song, "", 1.0)], vocab_size=300)
    assert again.get_vocab() == tokenizer.get_vocab()
