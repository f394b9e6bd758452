"""Song records, their JSON lines, and splits that keep near-duplicates together."""

import json
from collections import Counter

import pytest

from recap_cli.corpus.manifest import (
    Caption,
    Song,
    assign_splits,
    read_json_lines,
    song_from_json,
    song_to_json,
    write_json_lines,
)


def songs(count: int, **fields) -> list[Song]:
    return [Song(f"s{number:04d}", "", f"words of song {number}", **fields) for number in range(count)]


def splits(given: list[Song], seed: int = 0) -> dict[str, str]:
    return {song.id: song.split for song in assign_splits(given, seed)}


def test_proportions():
    assert Counter(splits(songs(200)).values()) == {"train": 160, "validation": 20, "test": 20}
    assert Counter(splits(songs(10)).values()) == {"train": 8, "validation": 1, "test": 1}
    assert Counter(splits(songs(3)).values()) == {"train": 1, "validation": 1, "test": 1}
    assert Counter(splits(songs(2)).values()) == {"train": 2}
    assert assign_splits([], 0) == []


def test_songs_keep_their_order_and_content():
    given = songs(30, title="t", tags={"mode": "minor"})
    result = assign_splits(given, 0)
    assert [song.id for song in result] == [song.id for song in given]
    assert all(song.tags == {"mode": "minor"} and song.title == "t" for song in result)


def test_the_seed_decides():
    given = songs(100)
    assert splits(given, 1) == splits(given, 1)
    assert splits(given, 1) != splits(given, 2)


def test_order_does_not_matter_to_songs_without_duplicates():
    given = songs(50)
    assert splits(given) == splits(given[::-1])


def test_given_splits_are_kept():
    given = [Song("a", "", "one", split="test"), Song("b", "", "two", split="unseen"), *songs(40)]
    result = splits(given)
    assert result["a"] == "test"
    assert result["b"] == "unseen"
    assert Counter(result.values())["train"] == 32


@pytest.mark.parametrize("seed", range(5))
def test_the_same_lyrics_go_the_same_way(seed):
    """Case, spaces and punctuation aside; otherwise a live version in test would leak from train."""
    given = songs(60)
    given += [Song(f"live{number}", "", f"Words, of SONG\n{number}!") for number in range(0, 60, 3)]
    result = splits(given, seed)
    for number in range(0, 60, 3):
        assert result[f"live{number}"] == result[f"s{number:04d}"]
    assert set(result.values()) == {"train", "validation", "test"}


@pytest.mark.parametrize("seed", range(5))
def test_the_same_title_and_artist_go_the_same_way(seed):
    given = [Song(f"a{n}", "", f"first {n}", title=f"Song {n}", artist="Nina") for n in range(30)]
    given += [Song(f"b{n}", "", f"second {n}", title=f"song-{n}", artist="NINA") for n in range(30)]
    result = splits(given, seed)
    assert all(result[f"a{n}"] == result[f"b{n}"] for n in range(30))
    assert len(set(result.values())) == 3


def test_duplicates_chain():
    """A shares lyrics with B, and B title and artist with C: all three belong together."""
    for seed in range(20):
        chain = [
            Song("A", "", "la la la", title="One", artist="X"),
            Song("B", "", "la la la", title="Two", artist="Y"),
            Song("C", "", "other words", title="two", artist="y"),
        ]
        result = splits([*chain[:1], *songs(20), *chain[1:]], seed)
        assert result["A"] == result["B"] == result["C"]


def test_what_proves_nothing_joins_nothing():
    """No lyrics, lyrics without a letter, a title without an artist, an artist without a title."""
    given = [Song(f"i{n}", "", "") for n in range(20)]
    given += [Song(f"n{n}", "", "♪ ... ♪") for n in range(20)]
    given += [Song(f"t{n}", "", f"t {n}", title="Intro") for n in range(20)]
    given += [Song(f"x{n}", "", f"x {n}", artist="Nina") for n in range(20)]
    given += [Song(f"p{n}", "", f"p {n}", title="???", artist="!!!") for n in range(20)]
    assert Counter(splits(given).values()) == {"train": 80, "validation": 10, "test": 10}


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
    assert list(read_json_lines(path)) == records
    path.write_text('\n{"a": 1}\n\n  \n{"a": 2}')
    assert list(read_json_lines(path)) == [{"a": 1}, {"a": 2}]


def test_json_lines_appear_whole_or_not_at_all(tmp_path):
    path = tmp_path / "x.jsonl"
    write_json_lines(path, [{"old": 1}])

    def breaking():
        yield {"new": 1}
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_json_lines(path, breaking())
    assert list(read_json_lines(path)) == [{"old": 1}]
    write_json_lines(path, [{"new": 2}])
    assert list(read_json_lines(path)) == [{"new": 2}]
    assert [file.name for file in tmp_path.iterdir()] == ["x.jsonl"]
