"""Captions moved to other songs: every pair that may meet is met once, and no other."""

import numpy as np
import pytest

from recap_cli.specificity.moving import LEAST_GROUP, ONE_GROUP, Group, Songs, SongValues, people_table, split_songs


def songs(references, artists=None, lyrics=None, weights=None, clusters=None, by_song=()):
    count = len(references)
    return Songs(
        references,
        np.arange(count) if artists is None else np.array(artists),
        np.ones(count) if weights is None else np.array(weights, float),
        [None] * count if lyrics is None else lyrics,
        clusters,
        by_song,
    )


def same_letter(captions, sets):
    """1 where a reference of the set begins as the caption does: a figure that a reader can follow."""
    found = [[float(any(text[:1] == caption[:1] for text in texts)) for texts in sets] for caption in captions]
    return {"rougeL": np.array(found).reshape(len(captions), len(sets))}


def values_of(table, artists, rows=None, weights=None):
    """What is found in a table of all songs against all [songs, songs]."""
    group = Group(songs([["x"]] * len(artists), artists, weights=weights), np.arange(len(artists)), [])
    found = SongValues()
    rows = np.arange(len(artists)) if rows is None else np.array(rows)
    found.add(rows, table[rows], group, np.arange(len(artists)))
    return found


def test_each_caption_meets_the_songs_of_other_artists_only():
    """By hand: songs 0 and 1 are of one artist, so 0 meets 2 and 3."""
    table = np.arange(16.0).reshape(4, 4)
    found = values_of(table, [7, 7, 8, 9])
    assert found.own[0].tolist() == [0, 5, 10, 15]
    assert found.moved[0].tolist() == [(2 + 3) / 2, (6 + 7) / 2, (8 + 9 + 11) / 3, (12 + 13 + 14) / 3]
    # Shift 1 takes 0 to 1 (barred), 1 to 2, 2 to 3, 3 to 0; shift 3 takes 1 to 0 (barred).
    assert found.shifted().tolist() == pytest.approx([(6 + 11 + 12) / 3, (2 + 7 + 8 + 13) / 4, (3 + 9 + 14) / 3])


def test_a_mean_of_all_shifts_is_the_mean_of_all_pairs():
    rng = np.random.default_rng(0)
    table, artists = rng.random((40, 40)), np.arange(40)
    found = values_of(table, artists)
    assert found.shifted().mean() == pytest.approx(found.moved[0].mean())
    assert found.moved[0].mean() == pytest.approx((table.sum() - np.trace(table)) / (40 * 39))


def test_songs_weigh_as_they_are_asked_to():
    found = values_of(np.array([[0.0, 0.2], [0.8, 0.0]]), [0, 1], weights=[3, 1])
    assert found.shifted().tolist() == pytest.approx([(3 * 0.2 + 0.8) / 4])


def test_one_artist_is_moved_within_its_songs():
    found = values_of(np.array([[0.0, 2.0], [4.0, 0.0]]), [5, 5])
    assert found.moved[0].tolist() == [2, 4]


def test_songs_without_captions_are_met_and_do_not_move():
    found = values_of(np.arange(9.0).reshape(3, 3), [0, 1, 2], rows=[0, 2])
    assert found.own[0].tolist() == [0, 8] and found.moved[0].tolist() == [1.5, 6.5]


def test_pairs_that_must_not_meet_are_left_out():
    table = np.array([[1.0, np.nan, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]])
    assert values_of(table, [0, 1, 2]).moved[0].tolist() == [3, 5, 7.5]


def test_many_songs_are_moved_within_groups_of_more_than_200():
    assert [part.tolist() for part in split_songs(4)] == [[0, 1, 2, 3]]
    for count in (ONE_GROUP + 1, 5000):
        parts = split_songs(count)
        assert sorted(np.concatenate(parts).tolist()) == list(range(count))
        assert min(map(len, parts)) >= LEAST_GROUP > 200 and all((np.diff(part) > 0).all() for part in parts)


def test_several_captions_count_with_their_mean_or_their_best():
    group = Group(songs([["a"], ["b"]]), np.arange(2), [same_letter])
    captions = {0: ("a1", "b1", "c1", "a2"), 1: ("b1",)}
    assert group.tables(captions, takes_best=False)["rougeL"].tolist() == [[0.5, 0.25], [0, 1]]
    assert group.tables(captions, takes_best=True)["rougeL"].tolist() == [[1, 1], [0, 1]]


def test_blocks_change_nothing(monkeypatch):
    group = Group(songs([["a"], ["b"], ["a", "b"]]), np.arange(3), [same_letter])
    captions = {0: ("a", "b", "c"), 1: ("b",), 2: ("c", "b")}
    whole = group.tables(captions, takes_best=False)["rougeL"]
    monkeypatch.setattr("recap_cli.specificity.moving.BLOCK", 1)
    assert (group.tables(captions, takes_best=False)["rougeL"] == whole).all() and whole.any()


def test_people_meet_the_others_of_their_song():
    """Song 0 has a, a, b: a meets (a, b), a meets (a, b), b meets (a, a); with song 1, sets of one."""
    group = Group(songs([["a", "a2", "b"], ["b", "c"], ["a"]]), np.arange(3), [same_letter])
    texts = {row: (text,) for row, text in enumerate(["a", "a2", "b", "b", "c", "a"])}
    table = group.tables(texts, takes_best=False)["rougeL"]
    found = people_table(table, np.array([0, 0, 0, 1, 1, 2]), group)
    # Song 0's captions against (b) and (c): a 0 and 0, a2 0 and 0, b 1 and 0.
    assert found[0].tolist() == pytest.approx([2 / 3, 1 / 6])
    # Song 1's: b against (a2, b), (a, b), (a, a2), c against the same; with its own song nothing is alike.
    assert found[1].tolist() == pytest.approx([(2 / 3 + 0) / 2, 0])
