"""Splits: given, frozen, by song with a seed, or as published; near-duplicates stay together."""

import json
from collections import Counter

import pytest
import torch

from recap_cli.corpus.song import Caption, Song
from recap_cli.corpus.splits import (
    SongList,
    assign_splits,
    freeze_splits,
    measure_leakage,
    publish_splits,
    row_wise_leakage,
)
from recap_cli.corpus.twins import join_kin
from recap_cli.errors import DataError


def fill(songs: list[Song]) -> SongList:
    made = SongList()
    for song in songs:
        made.add(song)
    return made


def songs(count: int, **fields) -> list[Song]:
    return [Song(f"s{number:04d}", f"{number}.mp3", f"words of song {number}", **fields) for number in range(count)]


def read(made: SongList) -> dict[str, str]:
    return {one.song.id: one.split for one in made.songs}


def splits(given: list[Song], seed: int = 0) -> dict[str, str]:
    made = fill(given)
    join_kin(made.songs)
    assign_splits(made.songs, seed)
    return read(made)


def test_proportions():
    assert Counter(splits(songs(200)).values()) == {"train": 160, "validation": 20, "test": 20}
    assert Counter(splits(songs(10)).values()) == {"train": 8, "validation": 1, "test": 1}
    assert Counter(splits(songs(3)).values()) == {"train": 1, "validation": 1, "test": 1}
    assert Counter(splits(songs(2)).values()) == {"train": 2}
    assert splits([]) == {}


def test_the_seed_decides_and_the_order_does_not():
    given = songs(100)
    assert splits(given, 1) == splits(given, 1) == splits(given[::-1], 1)
    assert splits(given, 1) != splits(given, 2)


def test_given_splits_are_kept():
    given = [Song("a", "a", "one", split="test"), Song("b", "b", "two", split="unseen"), *songs(40)]
    result = splits(given)
    assert (result["a"], result["b"]) == ("test", "unseen")
    assert Counter(result.values())["train"] == 32


@pytest.mark.parametrize("seed", range(3))
def test_near_duplicates_go_the_same_way(seed):
    """The same lyrics but for case, spaces and marks; the same title and artist likewise; and chains of these."""
    given = songs(60)
    given += [Song(f"live{n}", f"l{n}", f"Words, of SONG\n{n}!") for n in range(0, 60, 3)]
    given += [Song(f"a{n}", f"a{n}", f"first {n}", title=f"Song {n}", artist="Nina") for n in range(30)]
    given += [Song(f"b{n}", f"b{n}", f"second {n}", title=f"song-{n}", artist="NINA") for n in range(30)]
    given += [Song("A", "A", "la la la"), Song("B", "B", "La la, la!", title="Two", artist="Y")]
    given += [Song("C", "C", "other", title="two", artist="y")]
    result = splits(given, seed)
    assert all(result[f"live{n}"] == result[f"s{n:04d}"] for n in range(0, 60, 3))
    assert all(result[f"a{n}"] == result[f"b{n}"] for n in range(30))
    assert result["A"] == result["B"] == result["C"]
    assert set(result.values()) == {"train", "validation", "test"}


def test_near_duplicates_follow_a_given_split():
    """However many songs there are, none of training is left alone beside its twin of the test."""
    given = [Song(f"t{n}", f"t{n}", f"words of song {n}", split="test") for n in range(0, 60, 2)] + songs(60)
    result = splits(given)
    assert all(result[f"s{n:04d}"] == "test" for n in range(0, 60, 2))


def test_what_proves_nothing_joins_nothing():
    """No lyrics, lyrics without a letter, a title without an artist, an artist without a title."""
    given = [Song(f"i{n}", f"i{n}", "") for n in range(20)]
    given += [Song(f"n{n}", f"n{n}", "♪ ... ♪") for n in range(20)]
    given += [Song(f"t{n}", f"t{n}", f"t {n}", title="Intro") for n in range(20)]
    given += [Song(f"x{n}", f"x{n}", f"x {n}", artist="Nina") for n in range(20)]
    given += [Song(f"p{n}", f"p{n}", f"p {n}", title="???", artist="!!!") for n in range(20)]
    assert Counter(splits(given).values()) == {"train": 80, "validation": 10, "test": 10}


# frozen ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x.csv", "id,split\ns0001,test\ns0003,dev\nz,train\n"),
        ("x.tsv", "split\tid\ntest\ts0001\nvalidation\ts0003\ntrain\tz\n"),
        ("x.jsonl", '{"id": "s0001", "split": "test"}\n{"id": "s0003", "split": "val"}\n{"id": "z", "split": "train"}'),
        ("songs.jsonl", "".join(json.dumps({"song": {"id": name, "split": split}, "mel": "m"}) + "\n" for name, split in
                                (("s0001", "test"), ("s0003", "validation"), ("z", "train")))),
        ("x.json", '{"test": ["s0001"], "dev": ["s0003"], "train": ["z"]}'),
    ],
)  # fmt: skip
def test_split_files(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    made = fill(songs(5))
    assert freeze_splits(made, tmp_path / name) == (2, 1)
    assert read(made) == {"s0000": "", "s0001": "test", "s0002": "", "s0003": "validation", "s0004": ""}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.csv", "id,part\ns1,test\n", "line 2 has no id and split"),
        ("x.csv", "id,split\n", "names no songs"),
        ("x.csv", "song,split\n", "has no column id"),
        ("x.jsonl", "3\n", "line 1 has no id and split"),
        ("x.json", "[1]", "cannot be read"),
        ("x.json", '{"test": 3}', "cannot be read"),
        ("x.txt", "s1 test", "is of another kind"),
        ("gone.csv", None, "cannot read"),
    ],
)
def test_split_files_that_are_none(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=message):
        freeze_splits(fill(songs(2)), tmp_path / name)


# as published ---------------------------------------------------------------------------------------------------------


def test_the_published_split_is_random_split_of_all_rows():
    """Row by row, 90/10, seed 42, by torch's own function; songs of the test are left out of it."""
    given = [Song(f"s{n}", f"{n}", f"la {n}", tuple(Caption(f"c{n}-{k}") for k in range(3))) for n in range(33)]
    given.insert(5, Song("t", "t", "tests", (Caption("t"),), split="test"))
    made = fill(given)
    join_kin(made.songs)
    publish_splits(made)
    rows = [f"c{n}-{k}" for n in range(33) for k in range(3)]
    parts = torch.utils.data.random_split(rows, [89, 10], generator=torch.Generator().manual_seed(42))
    for name, part in zip(("train", "validation"), parts, strict=True):
        found = [caption.text for song in made.songs if song.split == name for caption in song.captions]
        assert sorted(found) == sorted(part)
    assert read(made)["t"] == "test"
    copies = [name for name in read(made) if name.endswith("@validation")]
    assert copies and all(read(made)[name.removesuffix("@validation")] == "train" for name in copies)
    assert measure_leakage(made.songs).across == len(copies)
    names = list(read(made))
    assert all(names[names.index(name) - 1] == name.removesuffix("@validation") for name in copies)


def test_the_published_split_counts_rows_in_the_order_of_the_corpus():
    """A song whose rows stand apart, and whose id with a split is taken, is parted all the same."""
    given = [Song(f"s{n % 10}", f"{n % 10}", "la", (Caption(f"c{n}"),)) for n in range(40)]
    given += [Song(f"s{n}@validation", f"other {n}", "la") for n in range(10)]
    made = fill(given)
    publish_splits(made)
    _, held = torch.utils.data.random_split(range(40), [36, 4], generator=torch.Generator().manual_seed(42))
    found = [caption.text for song in made.songs if song.split == "validation" for caption in song.captions]
    assert sorted(found) == sorted(f"c{row}" for row in held)
    assert len(read(made)) == len(made.songs)


# leakage --------------------------------------------------------------------------------------------------------------


def test_row_wise_leakage():
    """Against the plain count over all ways to hold out 2 of 5 rows, as 10 % of so few would be none."""
    assert row_wise_leakage([]) == 0
    assert row_wise_leakage([(1, 1000)]) == 0
    assert row_wise_leakage([(1000, 1)]) == 1.0
    assert row_wise_leakage([(2, 10)]) == pytest.approx(18 / 19)  # 2 of 20 are held out: alone unless both are the pair
    generator = torch.Generator().manual_seed(0)
    owners = torch.tensor([0] * 5 + [1] * 2 + [2] + [3] * 12)
    leaks = []
    for _ in range(3000):
        order = torch.randperm(20, generator=generator)
        train = set(owners[order[:18]].tolist())
        leaks.append(sum(int(owner) in train for owner in owners[order[18:]]) / 2)
    assert row_wise_leakage([(5, 1), (2, 1), (1, 1), (12, 1)]) == pytest.approx(sum(leaks) / 3000, abs=0.015)


def test_leakage():
    given = [
        *songs(8),
        Song("live", "live.mp3", "words of song 3"),
        Song("s0001", "1.mp3", "x", (Caption("y"),), "test"),
    ]
    made = fill(given)
    join_kin(made.songs)
    leakage = measure_leakage(made.songs)
    assert leakage.near_duplicates == pytest.approx(2 / 10)
    assert leakage.across == 0  # none is in training yet
    for song in made.songs:
        song.split = song.split or "train"
    assert measure_leakage(made.songs).across == 1
