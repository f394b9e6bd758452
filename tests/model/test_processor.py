"""RecapProcessor: padding, masks, cutting, decoding, saving, and what a damaged folder says."""

import json

import numpy as np
import pytest
import torch

from recap_cli.audio.settings import AudioSettings
from recap_cli.errors import ModelError
from recap_cli.processor import IGNORED, PROCESSOR_FILE, RecapProcessor, cut, pad_mels, pad_rows, pad_states


def test_lyrics_are_padded_and_masked(tiny_processor):
    batch = tiny_processor(["rain", "the rain falls over the river"])
    ids, mask = batch["input_ids"], batch["attention_mask"]
    assert set(batch) == {"input_ids", "attention_mask"}
    assert ids.shape == mask.shape
    for row, text in enumerate(("rain", "the rain falls over the river")):
        tokens, length = tiny_processor.encode_lyrics(text)
        assert ids[row].tolist() == tokens + [1] * (ids.shape[1] - length)
        assert mask[row].tolist() == [1] * length + [0] * (ids.shape[1] - length)
        assert tokens[0] == 0
        assert tokens[-1] == 2


def test_a_batch_does_not_change_a_rows_tokens(tiny_processor):
    alone = tiny_processor(["we dance"])["input_ids"][0].tolist()
    beside = tiny_processor(["we dance", "we dance all night under the neon light"])
    assert beside["input_ids"][0][beside["attention_mask"][0] == 1].tolist() == alone


def test_an_instrumental_has_two_tokens(tiny_processor):
    assert tiny_processor.encode_lyrics("") == ([0, 2], 2)


def test_captions_become_labels(tiny_processor):
    batch = tiny_processor(["a", "b"], captions=["rain", "a song about a river of rain"])
    short, long = (tiny_processor.encode_caption(text) for text in ("rain", "a song about a river of rain"))
    assert batch["labels"].tolist() == [short + [-100] * (len(long) - len(short)), long]


def test_long_texts_are_cut_and_keep_their_closing_token(tiny_processor):
    whole = tiny_processor.tokenizer("x " * 90)["input_ids"]
    assert len(whole) > 64
    tokens, before = tiny_processor.encode_lyrics("x " * 90)
    assert tokens == [*whole[:63], 2]
    assert before == len(whole)
    assert tiny_processor.encode_caption("x " * 90) == [*whole[:31], 2]


def test_cut():
    assert cut([0, 5, 6, 2], 4) == [0, 5, 6, 2]
    assert cut([0, 5, 6, 2], 3) == [0, 5, 2]
    assert cut([0, 5, 6, 2], 1) == [2]


def test_mels_are_padded_with_silence(tiny_processor):
    mels = [np.full((128, 3), 7.0, np.float16), np.full((128, 5), -2.0, np.float32)]
    batch = tiny_processor(["a", "b"], mels)
    assert batch["mel"].dtype == torch.float32
    assert batch["mel"].shape == (2, 128, 5)
    assert batch["mel"][0, 64].tolist() == [7.0, 7.0, 7.0, -100.0, -100.0]
    assert batch["mel"][1, 127].tolist() == [-2.0] * 5
    assert batch["mel_mask"].tolist() == [[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]]


def test_silence_follows_the_audio_settings():
    batch = pad_mels([np.zeros((4, 1)), np.zeros((4, 2))], AudioSettings(mels=4, power_floor=1e-6))
    assert batch["mel"][0, 0].tolist() == [0.0, -60.0]


def test_states_are_padded_with_zeros():
    states = [np.full((2, 3), 5.0, np.float16), np.full((4, 3), 6.0, np.float16)]
    batch = pad_states(states)
    assert batch["music_states"].dtype == torch.float32
    assert batch["music_states"][0].tolist() == [[5.0] * 3] * 2 + [[0.0] * 3] * 2
    assert batch["music_states"][1].tolist() == [[6.0] * 3] * 4
    assert batch["music_mask"].tolist() == [[1, 1, 0, 0], [1, 1, 1, 1]]


def test_pad_rows():
    assert pad_rows([[1], [2, 3], []], 9).tolist() == [[1, 9], [2, 3], [9, 9]]


@pytest.mark.parametrize(
    "text", ["a slow sad song about rain", "Żółw, naïve — «été»", "雨の歌 ♪", "line one\nline two", "don't , stop ."]
)
def test_decode_gives_the_caption_back(tiny_processor, text):
    """Byte-level tokens carry any script; spaces before punctuation stay as written."""
    ids = tiny_processor.tokenizer(text)["input_ids"]
    generated = torch.tensor([[2, *ids, 1, 1, IGNORED]])
    assert tiny_processor.decode(generated) == [text]


def test_decode_many(tiny_processor):
    rows = [tiny_processor.encode_caption(text) for text in ("rain", " night ", "")]
    assert tiny_processor.decode(pad_rows(rows, 1)) == ["rain", "night", ""]


def test_saved_then_loaded(tiny_processor, tmp_path):
    tiny_processor.audio = AudioSettings(seconds=7.5, resampler="soxr")
    tiny_processor.save_pretrained(tmp_path)
    record = json.loads((tmp_path / PROCESSOR_FILE).read_text())
    assert record["max_lyrics_tokens"] == 64
    assert record["max_caption_tokens"] == 32
    assert record["audio"]["seconds"] == 7.5
    again = RecapProcessor.from_pretrained(tmp_path)
    assert again.audio == tiny_processor.audio
    assert (again.max_lyrics_tokens, again.max_caption_tokens) == (64, 32)
    texts = ["the rain falls over the river and I sing alone", "été 雨", "x " * 90, ""]
    ours, theirs = tiny_processor(texts, captions=texts), again(texts, captions=texts)
    for name in ours:
        assert torch.equal(ours[name], theirs[name]), name
    assert again.decode(theirs["labels"]) == tiny_processor.decode(ours["labels"])


def test_a_folder_without_a_processor(tmp_path):
    with pytest.raises(ModelError, match=f"has no {PROCESSOR_FILE}"):
        RecapProcessor.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    "content",
    ["", "no json", "[]", "{}", '{"audio": {"loudness": 3}, "max_lyrics_tokens": 9, "max_caption_tokens": 9}',
     '{"audio": {}, "max_lyrics_tokens": "many", "max_caption_tokens": 9}'],
)  # fmt: skip
def test_a_damaged_settings_file(tiny_processor, tmp_path, content):
    tiny_processor.save_pretrained(tmp_path)
    (tmp_path / PROCESSOR_FILE).write_text(content)
    with pytest.raises(ModelError, match=f"{tmp_path / PROCESSOR_FILE}"):
        RecapProcessor.from_pretrained(tmp_path)


@pytest.mark.parametrize("content", [None, "no json", "{}", "[]"])
def test_a_damaged_tokenizer(tiny_processor, tmp_path, content):
    tiny_processor.save_pretrained(tmp_path)
    file = tmp_path / "tokenizer.json"
    file.unlink()
    if content is not None:
        file.write_text(content)
    with pytest.raises(ModelError, match=f"tokenizer.*{tmp_path}|{tmp_path}.*tokenizer"):
        RecapProcessor.from_pretrained(tmp_path)
