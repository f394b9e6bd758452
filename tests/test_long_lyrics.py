"""A model that reads lyrics verse by verse: trained with frozen verses, saved, and asked about long songs."""

import json
import shutil

import numpy as np
import pytest

SIZES = {"verse_layers": 1, "align_layer": 1, "fusion_layers": (1, 2)}
QUICK = {"epochs": 1, "max_caption_tokens": 12, "device": "cpu", "alpha": 0.02}
LINE = "and the river runs on to the sea"


def verse(number: int) -> str:
    return "\n".join(f"{number} {word} {LINE}" for word in ("one", "two", "three", "four"))


@pytest.fixture(scope="module")
def data(tiny_data, tmp_path_factory):
    """A copy, for the caches of these tests; a few songs have lyrics of many verses."""
    from recap_cli.corpus.dataset import PreparedData

    folder = tmp_path_factory.mktemp("verses") / "data"
    shutil.copytree(tiny_data.folder, folder)
    path = folder / "songs.jsonl"
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    for row in rows[::4]:
        row["song"]["lyrics"] += "\n\n" + "\n\n".join(map(verse, range(12)))
    rows[1]["song"]["lyrics"] = ""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return PreparedData(folder)


def train_run(data, name: str, **more):
    from recap_cli.training.train import TrainOptions, train

    return train(TrainOptions(data.folder, data.folder.parent / name, **SIZES, **QUICK, **more)).out


@pytest.fixture(scope="module")
def run(data):
    return train_run(data, "run", freeze_verses=True)


@pytest.fixture(scope="module")
def captioner(run):
    from recap_cli.captioning.captioner import Captioner

    return Captioner.from_pretrained(run, device="cpu")


@pytest.fixture(scope="module")
def decoded(captioner):
    """Three seconds of a tune."""
    from recap_cli.audio.mel import log_mel
    from recap_cli.captioning.caption_input import DecodedAudio

    times = np.arange(48000) / 16000
    mel = log_mel((0.3 * np.sin(2 * np.pi * 220 * times)).astype(np.float32), captioner.processor.audio)
    return DecodedAudio(mel, {"start": 0.0, "seconds": 3.0})


def test_training_on_cached_verses_is_training_without_a_cache(data, run, monkeypatch):
    from safetensors.torch import load_file

    from recap_cli.training import train as module

    folders = [path.name for path in (data.folder / "features").iterdir()]
    monkeypatch.setattr(module, "choose_verses", lambda *given: None)
    other = train_run(data, "uncached", freeze_verses=True)
    assert sorted(path.name for path in (data.folder / "features").iterdir()) == sorted(folders)
    ours, theirs = (load_file(folder / "model.safetensors") for folder in (run, other))
    worst = max(float((ours[name].float() - theirs[name].float()).abs().max()) for name in ours)
    assert worst < 4e-4  # a tenth of what training moved them: the cache rounds to 16 bits
    logs = [json.loads((folder / "log.jsonl").read_text("utf-8").splitlines()[-1]) for folder in (run, other)]
    assert logs[0]["train_caption_loss"] == pytest.approx(logs[1]["train_caption_loss"], abs=1e-4)
    assert logs[0]["train_alignment_loss"] == pytest.approx(logs[1]["train_alignment_loss"], abs=1e-4)


def test_frozen_layers_stay_and_those_above_learn(data, run):
    from recap_cli.model.weight_files import read_folder_weights

    after, words, part = read_folder_weights(run), "model.shared.weight", "model.encoder.layers.{}.fc1.weight"
    # Other tests may have made BARTs of other shapes; the run began from the one whose frozen words it has.
    starts = map(read_folder_weights, (data.folder / "pretrained").glob("bart*"))
    before = next(
        one for one in starts if one[words].shape == after[words].shape and (one[words] == after[words]).all()
    )
    assert (before[part.format(0)] == after[part.format(0)]).all()
    assert (before[part.format(1)] != after[part.format(1)]).any()
    config, processor = (json.loads((run / name).read_text()) for name in ("config.json", "recap_processor.json"))
    assert config["verse_layers"] == 1 and config["freeze_verses"] and not config["eight_bit"]
    assert processor["max_verses"] == 64


@pytest.mark.parametrize("frozen", [True, False])
def test_layers_that_read_verses_learn_unless_they_are_frozen(tiny_config, frozen):
    import torch

    from recap_cli.model.captioner import RecapForCaptioning

    config = type(tiny_config)(**{**tiny_config.to_dict(), **SIZES, "freeze_verses": frozen, "dropout": 0.5})
    model = RecapForCaptioning(config)
    tokens = torch.tensor([[0, 5, 6, 2, 0, 7, 2], [0, 8, 9, 10, 2, 1, 1]])
    given = {"input_ids": tokens, "music_states": torch.rand(2, 4, config.music_width), "labels": tokens[:, :4]}
    model(**given).loss.backward()
    encoder = model.model.encoder
    assert (encoder.layers[0].fc1.weight.grad is None) == frozen
    assert (model.lm_head.weight.grad is None) == frozen  # the words have one table
    assert encoder.layers[1].fc1.weight.grad.abs().max() > 0
    states = [encoder.read_verses(tokens, None)[0] for _ in range(2)]
    assert torch.equal(*states) == frozen  # dropout
    if frozen:  # what was read once stands for the tokens
        verses, mask = encoder.read_verses(tokens, None)
        model.eval()
        cached = model(**given, verse_states=verses, verse_mask=mask)
        assert torch.equal(cached.logits, model(**given).logits)


def generate(captioner, decoded, lyrics: str, **more):
    from recap_cli.captioning.caption_input import CaptionInput
    from recap_cli.runtime.decoding import DecodingOptions

    return captioner.generate([CaptionInput("x.wav", lyrics, decoded)], DecodingOptions(), **more)[0]


def test_the_last_verse_of_long_lyrics_is_read(captioner, decoded):
    """1,400 tokens, where the model's positions end at 512: the states of the song change with its last words."""
    lyrics = "\n\n".join(map(verse, range(30)))
    other = lyrics.rpartition("\n\n")[0] + "\n\nnow we dance\nall night long"
    found, changed = (generate(captioner, decoded, text) for text in (lyrics, other))
    assert found.lyrics_tokens > 1400 and not [text for text in found.warnings if text.startswith("lyrics cut")]
    assert found.scores != changed.scores


def test_what_is_longer_is_said_to_be_cut(captioner, decoded):
    found = generate(captioner, decoded, "\n\n".join(map(verse, range(70))))
    assert [text for text in found.warnings if text.startswith("lyrics cut at 64 verses: they have 70")]


def test_no_lyrics_one_endless_line_and_another_script_are_read(captioner, decoded):
    processor = captioner.processor
    assert len(processor.read_verses("")) == 1 and len(processor.read_verses("")[0].ids) == 2
    endless = processor.read_verses("love " * 2000)
    assert len(endless) > 2 and max(len(one.ids) for one in endless) <= processor.max_lyrics_tokens
    assert sum(len(one.ids) - 2 for one in endless) == len(processor._encode("love " * 2000)) - 2
    for lyrics in ("", "love " * 2000, "月亮代表我的心\n" * 3, "</s><s> sly </s>"):
        assert generate(captioner, decoded, lyrics).captions
    assert len(processor.read_verses("<s> one <s> verse")) == 1
    assert processor.encode_lyrics("<s> one <s> verse")[0].count(processor.tokenizer.bos_token_id) == 1


def test_lines_of_a_verse_share_a_look(captioner, decoded):
    lyrics = f"{verse(1)}\n\n{verse(2)}\n\n{verse(1)}"
    looks = generate(captioner, decoded, lyrics, explain=True).explanation
    assert looks.lines == f"{verse(1)}\n{verse(2)}".split("\n")  # the third is the first again
    assert looks.lyrics.attention.sum(axis=1) == pytest.approx(1)
    assert looks.lyrics.even == pytest.approx(1 / 8)
    for half in np.split(looks.lyrics.attention, 2, axis=1):
        assert half == pytest.approx(np.repeat(half[:, :1], 4, axis=1))
    assert looks.music.attention.sum(axis=1) == pytest.approx(1)
    assert generate(captioner, decoded, "", explain=True).explanation.lyrics is None


def test_songs_of_one_batch_do_not_depend_on_each_other(captioner, decoded):
    from recap_cli.captioning.caption_input import CaptionInput
    from recap_cli.runtime.decoding import DecodingOptions

    texts = [verse(1), "\n\n".join(map(verse, range(9))), ""]
    songs = [CaptionInput("x.wav", text, decoded) for text in texts]
    together = captioner.generate(songs, DecodingOptions())
    alone = [captioner.generate([song], DecodingOptions())[0] for song in songs]
    assert [one.caption for one in together] == [one.caption for one in alone]
    assert [one.scores[0] for one in together] == pytest.approx([one.scores[0] for one in alone], abs=1e-4)
    slow = captioner.model.generate(**captioner.make_batch(songs[:2]), num_beams=4, max_length=12, fast=False)
    fast = captioner.model.generate(**captioner.make_batch(songs[:2]), num_beams=4, max_length=12)
    assert slow.tolist() == fast.tolist()


def test_evaluation_reads_frozen_verses_from_the_cache(data, captioner, monkeypatch):
    from recap_cli.evaluation.captions import caption_split
    from recap_cli.evaluation.controls import swap_lyrics
    from recap_cli.progress import SilentProgress
    from recap_cli.runtime.decoding import DecodingOptions

    songs = data.songs[:6]
    swapped = [swap_lyrics(song, other) for song, other in zip(songs, reversed(songs), strict=True)]
    captions = caption_split(captioner, data, songs, DecodingOptions(), SilentProgress())
    monkeypatch.setattr(captioner.model.model.encoder, "read_verses", None)
    assert caption_split(captioner, data, songs, DecodingOptions(), SilentProgress()) == captions
    assert len(caption_split(captioner, data, swapped, DecodingOptions(), SilentProgress())) == 6


def test_verses_are_pooled_before_the_music_is_fused_in(data, captioner):
    import torch

    from recap_cli.evaluation.captions import music_states
    from recap_cli.evaluation.pooled_vectors import pool_songs
    from recap_cli.progress import SilentProgress

    songs = data.songs[:3]
    pooled = pool_songs(captioner, songs, music_states(captioner, data, SilentProgress()), SilentProgress())
    for song, row in zip(songs, pooled.lyrics, strict=True):
        verses = [torch.tensor(one.ids) for one in captioner.processor.read_verses(song.song.lyrics)]
        with torch.inference_mode():
            states = captioner.model.model.encoder.pool_verses(verses)
        assert row == pytest.approx(states.mean(dim=0).numpy(), abs=1e-5)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"verse_layers": 4}, "--verse-layers 4"),
        ({"verse_layers": 2, "align_layer": 1}, "--align-layer"),
        (
            {"verse_layers": 2, "align_layer": 2, "fusion_layers": (1, 2), "allow_fused_alignment": True},
            "--fusion-layers",
        ),
        ({"verse_layers": 0, "freeze_verses": True}, "--freeze-verses"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(data, tmp_path, more, message):
    from recap_cli.errors import OptionError
    from recap_cli.progress import SilentProgress
    from recap_cli.training.options import TrainOptions
    from recap_cli.training.plan import plan_run

    with pytest.raises(OptionError) as caught:
        plan_run(TrainOptions(data.folder, tmp_path / "run", **{**SIZES, **QUICK, **more}), SilentProgress())
    assert message in caught.value.message


def test_a_processor_of_another_model_is_refused(run, tmp_path):
    from recap_cli.captioning.load_model import load_folder
    from recap_cli.errors import ModelError

    shutil.copytree(run, tmp_path / "run")
    path = tmp_path / "run" / "recap_processor.json"
    path.write_text(
        json.dumps({name: one for name, one in json.loads(path.read_text()).items() if name != "max_verses"})
    )
    with pytest.raises(ModelError) as caught:
        load_folder(tmp_path / "run")
    assert "verse" in caught.value.message


def test_a_run_of_before_has_the_same_record(data):
    from recap_cli.training.options import TrainOptions

    record = TrainOptions(data.folder).record(data.info)
    assert not {"verse_layers", "freeze_verses"} & set(record)
    assert TrainOptions(data.folder, **SIZES, freeze_verses=True).record(data.info)["freeze_verses"]
