"""Captions of a split: each song once and in order, kept as they come, resumed after any stop."""

import json
import re
from pathlib import Path

import pytest

from recap_cli.captioning.captioner import Captioner
from recap_cli.errors import ModelError, RecapError
from recap_cli.evaluation import captions as module
from recap_cli.evaluation.captions import (
    SplitFile,
    caption_file,
    caption_split,
    weights_fingerprint,
)
from recap_cli.evaluation.predictions import FileReader
from recap_cli.files import write_json_lines
from recap_cli.progress import SilentProgress
from recap_cli.runtime.decoding import DecodingOptions

DECODING = DecodingOptions(beams=1, batch_size=2)


@pytest.fixture(scope="module")
def captioner(tiny_run):
    return Captioner.from_pretrained(tiny_run, device="cpu")


@pytest.fixture
def songs(tiny_data):
    return tiny_data.split("train")[:5]


def write(captioner, data, songs, file=None, decoding=DECODING):
    return caption_split(captioner, data, songs, decoding, SilentProgress(), file=file)


def file_of(path: Path, **settings) -> SplitFile:
    made_by = {"model": "run", "weights": "abc", "settings": {"beams": 1, "sample": False, **settings}}
    return SplitFile(path, made_by)


@pytest.fixture
def said(monkeypatch) -> list[str]:
    """What is told to the user."""
    told: list[str] = []
    monkeypatch.setattr(SilentProgress, "say", lambda self, message: told.append(message))
    return told


def rows_of(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_captions_do_not_depend_on_the_batch(captioner, tiny_data, songs):
    one, two = (DecodingOptions(beams=2, batch_size=size) for size in (32, 2))
    assert write(captioner, tiny_data, songs, None, one) == write(captioner, tiny_data, songs, None, two)
    assert write(captioner, tiny_data, songs[::-1], None, two) == write(captioner, tiny_data, songs, None, one)[::-1]


def test_captions_are_kept_beside_their_references(captioner, tiny_data, songs, tmp_path):
    file = file_of(tmp_path / "new" / "run.jsonl")
    captions = write(captioner, tiny_data, songs, file)
    rows = rows_of(file.path)
    assert [(row["id"], row["caption"], row["references"]) for row in rows] == [
        (entry.song.id, text, [caption.text for caption in entry.song.captions])
        for entry, text in zip(songs, captions, strict=True)
    ]
    assert all(file.made_by.items() <= row.items() for row in rows)
    assert [row.captions for row in FileReader().read(file.path)] == [[text] for text in captions], (
        "eval --predictions reads it"
    )


@pytest.fixture
def generated(monkeypatch):
    """Counts the songs that are given to the model, and can stop it before a batch."""
    counts = {"songs": 0, "stop_after": None}
    real = module.generate_captions

    def count(model, processor, batches, options):
        for batch in batches:
            if counts["stop_after"] is not None and counts["songs"] >= counts["stop_after"]:
                raise KeyboardInterrupt
            counts["songs"] += len(batch["input_ids"])
            yield from real(model, processor, [batch], options)

    monkeypatch.setattr(module, "generate_captions", count)
    return counts


def test_an_interrupted_run_is_resumed(captioner, tiny_data, songs, tmp_path, generated):
    straight = write(captioner, tiny_data, songs)
    generated.update(songs=0, stop_after=4)
    file = file_of(tmp_path / "run.jsonl")
    with pytest.raises(KeyboardInterrupt):
        write(captioner, tiny_data, songs, file)
    assert len(rows_of(file.path)) == 4
    generated.update(songs=0, stop_after=None)
    with file.path.open("a") as lines:
        lines.write('{"id": "demo')  # torn by a kill
    assert write(captioner, tiny_data, songs, file) == straight
    assert generated["songs"] == 1
    assert [row["id"] for row in rows_of(file.path)] == [entry.song.id for entry in songs]
    assert write(captioner, tiny_data, songs, file) == straight
    assert generated["songs"] == 1


def test_drawn_captions_are_all_drawn_again(captioner, tiny_data, songs, tmp_path, generated, said):
    """Words are drawn from the seed of a batch, so a part of the songs would get others than in one go."""
    drawn = DecodingOptions(beams=1, batch_size=2, sample=True)
    straight = write(captioner, tiny_data, songs, None, drawn)
    file = caption_file(tmp_path, "run", None, tiny_data, "train", drawn)
    generated.update(songs=0, stop_after=2)
    with pytest.raises(KeyboardInterrupt):
        write(captioner, tiny_data, songs, file, drawn)
    generated.update(songs=0, stop_after=None)
    assert write(captioner, tiny_data, songs, file, drawn) == straight
    assert generated["songs"] == 5 and "interrupted" in said[0]
    assert write(captioner, tiny_data, songs, file, drawn) == straight and generated["songs"] == 5


def test_fewer_songs_are_read_and_more_are_added(captioner, tiny_data, songs, tmp_path, generated):
    file = file_of(tmp_path / "run.jsonl")
    few = write(captioner, tiny_data, songs[:4], file)
    assert write(captioner, tiny_data, songs[:2], file) == few[:2]
    assert generated["songs"] == 4
    assert write(captioner, tiny_data, songs, file)[:4] == few
    assert generated["songs"] == 5
    assert len(rows_of(file.path)) == 5


def test_captions_made_in_another_way_are_made_anew_and_it_is_said(
    captioner, tiny_data, songs, tmp_path, generated, said
):
    path = tmp_path / "run.jsonl"
    write(captioner, tiny_data, songs, file_of(path))
    write(captioner, tiny_data, songs, file_of(path, beams=2))
    assert generated["songs"] == 10
    assert len(said) == 1 and str(path) in said[0] and "beams 1, now 2" in said[0]


def test_captions_of_earlier_versions_are_made_anew_and_it_is_said(captioner, tiny_data, songs, tmp_path, said):
    """Their lines did not say how they were made."""
    file = file_of(tmp_path / "run.test.jsonl")
    write_json_lines(file.path, [{"song": songs[0].song.id, "prediction": "x", "references": ["y"]}])
    captions = write(captioner, tiny_data, songs, file)
    assert [row["caption"] for row in rows_of(file.path)] == captions
    assert [path.name for path in tmp_path.iterdir()] == ["run.test.jsonl"]
    assert len(said) == 1 and str(file.path) in said[0]


def test_weights_data_and_decoding_name_the_captions(tiny_data, tiny_run, tmp_path):
    file = caption_file(tmp_path, "runs/a", tiny_run, tiny_data, "test", DECODING)
    assert re.fullmatch(r"runs-a-[0-9a-f]{8}\.test\.jsonl", file.path.name)
    settings = file.made_by["settings"]
    assert (settings["data"], settings["split"], settings["beams"]) == (tiny_data.fingerprint, "test", 1)
    embedded = caption_file(tmp_path, "runs/a", None, tiny_data, "test", DECODING)
    assert embedded.made_by["weights"] != file.made_by["weights"]
    assert caption_file(None, "runs/a", None, tiny_data, "test", DECODING) is None


def test_other_partners_make_other_captions(captioner, tiny_data, songs, tmp_path, generated, said):
    """With fewer songs each gets another one's music: captions of the same song's id are not the same control."""
    for partners, generations in ((["a", "b"], 2), (["a", "b"], 2), (["b", "a"], 4)):
        file = caption_file(tmp_path, "run, music of another song", None, tiny_data, "train", DECODING, partners)
        write(captioner, tiny_data, songs[:2], file)
        assert generated["songs"] == generations
    assert len(said) == 1 and "partners" in said[0]


def test_weights_are_hashed_whatever_their_size(tiny_run, tmp_path, monkeypatch):
    """The bound on songs is none on models."""
    before = weights_fingerprint(tiny_run)
    monkeypatch.setattr("recap_cli.corpus.mel_cache.LARGEST", 1)
    assert weights_fingerprint(tiny_run) == before
    (tmp_path / "model.safetensors").symlink_to("nowhere")
    with pytest.raises(ModelError, match="cannot be read"):
        weights_fingerprint(tmp_path)


def test_folders_that_cannot_be_written(captioner, tiny_data, songs, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RecapError, match="cannot be written"):
        write(captioner, tiny_data, songs, file_of(tmp_path / "file" / "run.jsonl"))


def test_no_two_systems_and_splits_share_a_file(tiny_data, tmp_path):
    pairs = [("x", "a.b"), ("x.a", "b"), ("x", "scores"), ("x", "Test"), ("x", "test"), ("x", "a-b"), ("x/a", "b")]
    paths = [caption_file(tmp_path, name, None, tiny_data, split, DECODING).path for name, split in pairs]
    assert len({path.name.casefold() for path in paths}) == len(pairs)
    assert not [path for path in paths if path.name.endswith(".scores.jsonl")]
