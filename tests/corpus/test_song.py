"""Song records as JSON."""

import json

from recap_cli.corpus.song import Caption, Song, song_from_json, song_to_json


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
