"""Song records and their JSON lines."""

import json

import pytest

from recap_cli.corpus.song import Caption, Song, song_from_json, song_to_json
from recap_cli.files import write_json_lines


def read_lines(path):
    return [json.loads(line) for line in path.read_text().splitlines() if line.strip()]


def test_json_round_trip():
    song = Song(
        "id-1",
        "/music/a.mp3",
        "line one\nline «two»",
        (Caption("sad", 3), Caption("雨")),
        "train",
        "Title",
        "Artist",
        {"mode": "minor"},
    )
    record = json.loads(json.dumps(song_to_json(song)))
    assert record == {
        "id": "id-1",
        "audio": "/music/a.mp3",
        "lyrics": "line one\nline «two»",
        "split": "train",
        "title": "Title",
        "artist": "Artist",
        "tags": {"mode": "minor"},
    }
    assert song_from_json(record, [Caption("sad", 3), Caption("雨")]) == song


def test_json_lines(tmp_path):
    path = tmp_path / "x.jsonl"
    records = [{"text": "雨\nand\u2028more"}, {"number": 1.5}, {}]
    write_json_lines(path, records)
    assert path.read_bytes().count(b"\n") == 3
    assert "雨".encode() in path.read_bytes()
    assert list(read_lines(path)) == records
    path.write_text('\n{"a": 1}\n\n  \n{"a": 2}')
    assert list(read_lines(path)) == [{"a": 1}, {"a": 2}]


def test_json_lines_appear_whole_or_not_at_all(tmp_path):
    path = tmp_path / "x.jsonl"
    write_json_lines(path, [{"old": 1}])

    def breaking():
        yield {"new": 1}
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_json_lines(path, breaking())
    assert list(read_lines(path)) == [{"old": 1}]
    write_json_lines(path, [{"new": 2}])
    assert list(read_lines(path)) == [{"new": 2}]
    assert [file.name for file in tmp_path.iterdir()] == ["x.jsonl"]
