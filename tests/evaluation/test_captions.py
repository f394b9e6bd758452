"""Captions of a split: each song once and in order, kept as they come, taken up again after any stop."""

import json
import re
from pathlib import Path

import pytest

from recap_cli.captioning.caption import Captioner
from recap_cli.errors import DataError
from recap_cli.evaluation import captions as module
from recap_cli.evaluation.captions import (
    CaptionFile,
    SongSet,
    caption_file,
    caption_split,
    match_predictions,
)
from recap_cli.evaluation.predictions import read_predictions
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


def rows_of(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_captions_do_not_depend_on_the_batch(captioner, tiny_data, songs):
    one, two = (DecodingOptions(beams=2, batch_size=size) for size in (32, 2))
    assert write(captioner, tiny_data, songs, None, one) == write(captioner, tiny_data, songs, None, two)
    assert write(captioner, tiny_data, songs[::-1], None, two) == write(captioner, tiny_data, songs, None, one)[::-1]


def test_captions_are_kept_beside_their_references(captioner, tiny_data, songs, tmp_path):
    file = CaptionFile(tmp_path / "new" / "run.jsonl", {"system": "run"})
    captions = write(captioner, tiny_data, songs, file)
    assert rows_of(file.path) == [
        {"song": entry.song.id, "prediction": text, "references": [caption.text for caption in entry.song.captions]}
        for entry, text in zip(songs, captions, strict=True)
    ]
    assert json.loads(file.note.read_text()) == {"system": "run"}
    assert not file.partial.exists()


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


def test_an_interrupted_run_goes_on_where_it_was(captioner, tiny_data, songs, tmp_path, generated):
    straight = write(captioner, tiny_data, songs)
    generated.update(songs=0, stop_after=4)
    file = CaptionFile(tmp_path / "run.jsonl", {})
    with pytest.raises(KeyboardInterrupt):
        write(captioner, tiny_data, songs, file)
    assert not file.path.exists()
    assert len(rows_of(file.partial)) == 4
    generated.update(songs=0, stop_after=None)
    assert write(captioner, tiny_data, songs, file) == straight
    assert generated["songs"] == 1
    assert [row["song"] for row in rows_of(file.path)] == [entry.song.id for entry in songs]
    assert write(captioner, tiny_data, songs, file) == straight
    assert generated["songs"] == 1


@pytest.mark.parametrize("torn", ['{"song": "demo', "[1]", '{"song": "other", "prediction": "x"}', '{"song": 1}'])
def test_damaged_rows_are_written_again(captioner, tiny_data, songs, tmp_path, generated, torn):
    file = CaptionFile(tmp_path / "run.jsonl", {})
    straight = write(captioner, tiny_data, songs, file)
    lines = file.path.read_text().splitlines()
    file.partial.write_text("\n".join([*lines[:3], torn]))
    file.path.unlink()
    generated["songs"] = 0
    assert write(captioner, tiny_data, songs, file) == straight
    assert generated["songs"] == 3, "the batch of the third row is formed again"
    assert file.path.read_text().splitlines() == lines


def test_fewer_songs_are_read_and_more_are_added(captioner, tiny_data, songs, tmp_path, generated):
    file = CaptionFile(tmp_path / "run.jsonl", {})
    few = write(captioner, tiny_data, songs[:4], file)
    assert write(captioner, tiny_data, songs[:2], file) == few[:2]
    assert generated["songs"] == 4
    assert write(captioner, tiny_data, songs, file)[:4] == few
    assert generated["songs"] == 5
    assert len(rows_of(file.path)) == 5


def test_captions_made_in_another_way_are_not_taken(captioner, tiny_data, songs, tmp_path, generated):
    write(captioner, tiny_data, songs, CaptionFile(tmp_path / "run.jsonl", {"beams": 1}))
    write(captioner, tiny_data, songs, CaptionFile(tmp_path / "run.jsonl", {"beams": 2}))
    assert generated["songs"] == 10


def test_weights_data_and_decoding_name_the_captions(tiny_data, tiny_run, tmp_path):
    file = caption_file(tmp_path, "runs/a", tiny_run, tiny_data, "test", DECODING)
    assert re.fullmatch(r"runs-a-[0-9a-f]{8}\.test\.jsonl", file.path.name)
    assert (file.made["data"], file.made["decoding"]["beams"]) == (tiny_data.fingerprint, 1)
    embedded = caption_file(tmp_path, "runs/a", None, tiny_data, "test", DECODING)
    assert embedded.made["weights"] != file.made["weights"]
    assert caption_file(None, "runs/a", None, tiny_data, "test", DECODING) is None


def test_folders_that_cannot_be_written(captioner, tiny_data, songs, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot write"):
        write(captioner, tiny_data, songs, CaptionFile(tmp_path / "file" / "run.jsonl", {}))


def test_no_two_systems_and_splits_share_a_file(tiny_data, tmp_path):
    pairs = [("x", "a.b"), ("x.a", "b"), ("x", "scores"), ("x", "Test"), ("x", "test"), ("x", "a-b"), ("x/a", "b")]
    paths = [caption_file(tmp_path, name, None, tiny_data, split, DECODING).path for name, split in pairs]
    assert len({path.name.casefold() for path in paths}) == len(pairs)
    assert not [path for path in paths if path.name.endswith(".scores.jsonl")]


# files of captions ----------------------------------------------------------------------------------------------------


SONGS = SongSet(["a", "b"], [["x"], ["y", "z"]], [None, None], [])


def match(tmp_path, *rows):
    write_json_lines(tmp_path / "p.jsonl", rows)
    path = tmp_path / "p.jsonl"
    return match_predictions(path, read_predictions(path), SONGS, SilentProgress())


def test_predictions_are_put_in_order_by_id(tmp_path):
    rows = [{"id": "b", "prediction": "2"}, {"id": "c", "prediction": "3"}, {"id": "a", "prediction": "1"}]
    assert match(tmp_path, *rows) == ["1", "2"]
    with pytest.raises(DataError, match="lacks 1 of the 2 songs, such as b"):
        match(tmp_path, *rows[1:])


def test_other_references_are_told_of(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(SilentProgress, "say", lambda self, message: said.append(message))
    match(tmp_path, {"id": "a", "prediction": "1", "reference": "x"}, {"id": "b", "prediction": "2", "reference": "z"})
    assert said == []
    match(tmp_path, {"id": "a", "prediction": "1", "reference": "x"}, {"id": "b", "prediction": "2", "reference": "w"})
    assert len(said) == 1
    assert "has other references for 1 songs; all systems are scored on the same, not these" in said[0]


def test_rows_without_ids_are_known_by_their_references(tmp_path):
    rows = [{"prediction": "1", "reference": "x"}, {"prediction": "2", "references": ["y", "z"]}]
    assert match(tmp_path, *rows) == ["1", "2"]
    with pytest.raises(DataError, match="references in line 1 are not those"):
        match(tmp_path, *rows[::-1])
    with pytest.raises(DataError, match="1 rows for 2 songs"):
        match(tmp_path, rows[0])
