"""The songs that are scored, and the captions of a file in their order."""

import pytest

from recap_cli.errors import DataError
from recap_cli.evaluation.predictions import read_predictions
from recap_cli.evaluation.songs import SongSet, match_predictions
from recap_cli.files import write_json_lines
from recap_cli.progress import SilentProgress

SONGS = SongSet(["a", "b"], [["x"], ["y", "z"]], [None, None], [])


@pytest.fixture
def said(monkeypatch) -> list[str]:
    """What is told to the user."""
    told: list[str] = []
    monkeypatch.setattr(SilentProgress, "say", lambda self, message: told.append(message))
    return told


def match(tmp_path, *rows):
    write_json_lines(tmp_path / "p.jsonl", rows)
    path = tmp_path / "p.jsonl"
    return match_predictions(path, read_predictions(path), SONGS, SilentProgress())


def test_predictions_are_put_in_order_by_id(tmp_path):
    rows = [{"id": "b", "prediction": "2"}, {"id": "c", "prediction": "3"}, {"id": "a", "prediction": "1"}]
    assert match(tmp_path, *rows) == [("1",), ("2",)]
    with pytest.raises(DataError, match="lacks 1 of the 2 songs, such as b"):
        match(tmp_path, *rows[1:])


def test_other_references_are_told_of(tmp_path, said):
    match(tmp_path, {"id": "a", "prediction": "1", "reference": "x"}, {"id": "b", "prediction": "2", "reference": "z"})
    assert said == []
    match(tmp_path, {"id": "a", "prediction": "1", "reference": "x"}, {"id": "b", "prediction": "2", "reference": "w"})
    assert len(said) == 1
    assert "has other references for 1 songs; all systems are scored on the same, not these" in said[0]


def test_rows_without_ids_are_known_by_their_references(tmp_path):
    rows = [{"prediction": "1", "reference": "x"}, {"prediction": "2", "references": ["y", "z"]}]
    assert match(tmp_path, *rows) == [("1",), ("2",)]
    with pytest.raises(DataError, match="references in line 1 are not those"):
        match(tmp_path, *rows[::-1])
    with pytest.raises(DataError, match="1 rows for 2 songs"):
        match(tmp_path, rows[0])


def test_songs_keep_their_artists(tmp_path):
    row = {"prediction": "x", "reference": "x"}
    write_json_lines(tmp_path / "p.jsonl", [{"id": "a", "artist_id": 7, **row}, {"id": "b", "artist_id": "", **row}])
    songs = SongSet.from_predictions(tmp_path / "p.jsonl", read_predictions(tmp_path / "p.jsonl"))
    assert songs.artists == ["7", ""] and songs.without({"b"}).artists == ["7"]
