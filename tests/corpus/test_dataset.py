"""A prepared folder, its examples, and the batches that the model takes."""

import json
import pickle
import shutil

import numpy as np
import pytest
import torch
from benchmarks import prepare_memory

from recap_cli.corpus.dataset import (
    PreparedData,
    PreparedSong,
    SongCollator,
    SongDataset,
    enough_votes,
)
from recap_cli.corpus.song import Caption, Song
from recap_cli.errors import DataError


@pytest.fixture
def copy(tiny_data, tmp_path):
    """A prepared folder of one's own, to be damaged."""
    shutil.copytree(tiny_data.folder, tmp_path / "data")
    return tmp_path / "data"


def test_the_folder_that_a_benchmark_writes_is_one(tmp_path, tiny_processor):
    """`prepare_memory.py` stands in for `recap prepare`; so it must write what is opened."""
    prepare_memory.write_prepared(tmp_path / "data", 30)
    data = PreparedData(tmp_path / "data")
    dataset = SongDataset(data.split("train"), tiny_processor, data.mels)
    assert len(dataset) == 30 and set(dataset[0]) >= {"input_ids", "labels"}


@pytest.fixture
def songs() -> list[PreparedSong]:
    captions = ((Caption("rain", 5), Caption("sad song", -1)), (), (Caption("night"),))
    return [
        PreparedSong(Song(f"s{row}", "", text, captions[row]), f"m{row}", 1.0)
        for row, text in enumerate(("the rain falls", "", "we dance all night"))
    ]


MELS = {f"m{row}": np.full((128, 3 + row), row, dtype=np.float16) for row in range(3)}
STATES = {f"m{row}": np.full((2 + row, 8), row, dtype=np.float16) for row in range(3)}


# the folder -----------------------------------------------------------------------------------------------------------


def test_prepared_data(tiny_data):
    assert len(tiny_data.songs) == 24
    assert {name: len(tiny_data.split(name)) for name in ("train", "validation", "test", "unseen")} == {
        "train": 17,
        "validation": 2,
        "test": 3,
        "unseen": 2,
    }
    assert tiny_data.is_demo
    assert tiny_data.fingerprint == json.loads((tiny_data.folder / "dataset.json").read_text())["fingerprint"]
    assert tiny_data.audio.seconds == 15.0
    entry = tiny_data.songs[0]
    assert entry.song.id == "demo-easy-000000"
    assert len(entry.song.captions) == 5
    assert entry.song.tags["mode"] in ("major", "minor")
    mel = tiny_data.mels[entry.mel]
    assert mel.dtype == np.float16
    assert mel.shape == (128, round(entry.seconds * 16000) // 256 + 1)


def test_a_split_that_is_not_there(tiny_data):
    with pytest.raises(DataError, match="has no songs in split 'hidden'") as caught:
        tiny_data.split("hidden")
    assert caught.value.hint == "its splits are test, train, unseen, validation"


def test_folders_that_are_not_prepared(tmp_path):
    with pytest.raises(DataError, match=r"no data folder .*data$") as caught:
        PreparedData(tmp_path / "data")
    assert f"--out {tmp_path / 'data'}" in caught.value.hint
    (tmp_path / "data" / "mels").mkdir(parents=True)
    with pytest.raises(DataError, match="data was not finished"):
        PreparedData(tmp_path / "data")


@pytest.mark.parametrize("content", ["", "{", "[]", "3", "{}", '{"audio": {}, "fingerprint": "x"}'])
def test_damaged_dataset_file(copy, content):
    (copy / "dataset.json").write_text(content)
    with pytest.raises(DataError, match=r"dataset\.json is damaged"):
        PreparedData(copy)


def test_dataset_file_of_another_version(copy):
    info = json.loads((copy / "dataset.json").read_text())
    info["audio"]["loudness"] = -14
    (copy / "dataset.json").write_text(json.dumps(info))
    with pytest.raises(DataError, match="audio settings: unknown loudness"):
        PreparedData(copy)


@pytest.mark.parametrize("name", ["songs.jsonl", "captions.jsonl"])
@pytest.mark.parametrize("line", ["{", "[]", "{}", '{"song": {"id": "x", "colour": "red"}, "mel": "m", "seconds": 1}'])
def test_damaged_records(copy, name, line):
    with (copy / name).open("a") as file:
        file.write(line + "\n")
    number = len((copy / name).read_text().splitlines())
    with pytest.raises(DataError, match=f"{copy / name} line {number} is damaged"):
        PreparedData(copy)


@pytest.mark.parametrize("name", ["songs.jsonl", "captions.jsonl"])
def test_missing_records(copy, name):
    (copy / name).unlink()
    with pytest.raises(DataError, match=f"{copy} is damaged"):
        PreparedData(copy)


def test_missing_mels(copy):
    for shard in (copy / "mels").iterdir():
        shard.unlink()
    with pytest.raises(DataError, match="lacks the music of 24 songs, such as demo-easy-000000") as caught:
        PreparedData(copy)
    assert caught.value.hint == "run recap prepare again"


def test_it_travels_to_other_processes(tiny_data):
    entry = tiny_data.songs[3]
    again = pickle.loads(pickle.dumps(tiny_data))  # noqa: S301
    assert np.array_equal(again.mels[entry.mel], tiny_data.mels[entry.mel])
    assert again.songs == tiny_data.songs


def test_captions_in_any_order(copy, tiny_data):
    lines = (copy / "captions.jsonl").read_text().splitlines()
    stranger = json.dumps({"song": "nobody", "text": "x", "votes": None})
    (copy / "captions.jsonl").write_text("\n".join([stranger, *lines[::-1]]))
    data = PreparedData(copy)
    for ours, theirs in zip(data.songs, tiny_data.songs, strict=True):
        assert ours.song.captions == theirs.song.captions[::-1]
    assert data.notes == [f"{copy}: 1 captions of songs that it does not hold are passed over."]


def test_examples_of_a_prepared_folder(tiny_data, tiny_processor):
    """Captions by song and number, with their tokens counted; examples travel to other processes."""
    songs = tiny_data.split("train")
    dataset = SongDataset(songs, tiny_processor, tiny_data.mels)
    assert dataset.rows == [(song, place) for song in range(17) for place in range(5)]
    voted = [place for place, caption in enumerate(songs[0].song.captions) if caption.votes >= 4]
    assert [place for song, place in SongDataset(songs, tiny_processor, None, min_votes=4).rows if song == 0] == voted
    assert dataset.has_captions() and not SongDataset(songs, tiny_processor, None, min_votes=99).has_captions()
    examples = [dataset[row] for row in range(len(dataset))]
    assert dataset.lengths().tolist() == [[len(one["input_ids"]), len(one["labels"])] for one in examples]
    again = pickle.loads(pickle.dumps(dataset))  # noqa: S301
    assert again[7]["labels"] == dataset[7]["labels"] == tiny_processor.encode_caption(songs[1].song.captions[2].text)
    assert np.array_equal(again[7]["music"], tiny_data.mels[songs[1].mel])


# examples -------------------------------------------------------------------------------------------------------------


def test_a_row_for_each_caption(tiny_processor, songs):
    dataset = SongDataset(songs, tiny_processor, MELS)
    assert len(dataset) == 3
    assert [dataset[row]["song_ids"] for row in range(3)] == [0, 0, 2]
    assert [dataset[row]["labels"] for row in range(3)] == [
        tiny_processor.encode_caption(text) for text in ("rain", "sad song", "night")
    ]
    assert dataset[2]["input_ids"] == tiny_processor.encode_lyrics("we dance all night")[0]
    assert dataset[2]["music"] is MELS["m2"]


def test_a_row_for_each_song(tiny_processor, songs):
    """With its first caption; a song without captions has an empty one, since it can still be captioned."""
    dataset = SongDataset(songs, tiny_processor, MELS, per_caption=False)
    assert [dataset[row]["song_ids"] for row in range(3)] == [0, 1, 2]
    texts = tiny_processor.decode(SongCollator(tiny_processor, "")([dataset[row] for row in range(3)])["labels"])
    assert texts == ["rain", "", "night"]


def test_without_music(tiny_processor, songs):
    example = SongDataset(songs, tiny_processor, None)[0]
    assert set(example) == {"input_ids", "labels", "song_ids"}


@pytest.mark.parametrize(("least", "labels"), [(None, 3), (-1, 3), (0, 2), (5, 2), (6, 1)])
def test_votes(tiny_processor, songs, least, labels):
    assert len(SongDataset(songs, tiny_processor, None, min_votes=least)) == labels


def test_enough_votes():
    assert enough_votes(Caption("x", 3), 3)
    assert not enough_votes(Caption("x", 2), 3)
    assert enough_votes(Caption("x", None), 3)
    assert enough_votes(Caption("x", -9), None)


# batches --------------------------------------------------------------------------------------------------------------


def collate(processor, songs, music, kind: str) -> dict[str, torch.Tensor]:
    dataset = SongDataset(songs, processor, music)
    return SongCollator(processor, kind)([dataset[row] for row in range(len(dataset))])


def test_batch_with_mels(tiny_processor, songs):
    batch = collate(tiny_processor, songs, MELS, "mel")
    assert set(batch) == {"input_ids", "attention_mask", "labels", "song_ids", "mel", "mel_mask"}
    assert batch["song_ids"].tolist() == [0, 0, 2]
    assert batch["mel"].shape == (3, 128, 5)
    assert batch["mel_mask"].sum(dim=1).tolist() == [3, 3, 5]
    assert batch["mel"][0, 0].tolist() == [0.0, 0.0, 0.0, -100.0, -100.0]
    longest = max(len(tiny_processor.encode_caption(text)) for text in ("rain", "sad song", "night"))
    assert batch["labels"].shape == (3, longest)
    assert (batch["labels"][0] == -100).sum() == longest - len(tiny_processor.encode_caption("rain"))


def test_batch_with_states(tiny_processor, songs):
    batch = collate(tiny_processor, songs, STATES, "states")
    assert set(batch) == {"input_ids", "attention_mask", "labels", "song_ids", "music_states", "music_mask"}
    assert batch["music_states"].shape == (3, 4, 8)
    assert batch["music_states"].dtype == torch.float32
    assert batch["music_mask"].tolist() == [[1, 1, 0, 0], [1, 1, 0, 0], [1, 1, 1, 1]]


def test_batch_without_music(tiny_processor, songs):
    assert set(collate(tiny_processor, songs, None, "")) == {"input_ids", "attention_mask", "labels"}


def test_the_model_takes_every_batch(tiny_model, tiny_processor, tiny_data):
    """Prepared songs through dataset and collator; mels and their cached states give the same loss."""
    chosen = tiny_data.split("test")
    states = {}
    with torch.no_grad():
        for entry in chosen:
            mel = torch.from_numpy(tiny_data.mels[entry.mel].astype(np.float32))[None]
            states[entry.mel] = tiny_model.model.encoder.music_encoder(mel)[0][0].numpy()
        heard = tiny_model(**collate(tiny_processor, chosen, tiny_data.mels, "mel"))
        cached = tiny_model(**collate(tiny_processor, chosen, states, "states"))
        silent = tiny_model(**collate(tiny_processor, chosen, None, ""))
    assert heard.logits.shape[0] == 15
    torch.testing.assert_close(heard.loss, cached.loss, atol=1e-4, rtol=0)
    torch.testing.assert_close(heard.alignment_loss, cached.alignment_loss, atol=1e-4, rtol=0)
    assert silent.alignment_loss is None
    assert abs(float(silent.caption_loss) - float(heard.caption_loss)) > 1e-5
