"""Uploaders' tags in the layouts that are about, and what scores captions on other songs beside ROUGE."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from make_scores import Lengths

from recap_cli.errors import DataError
from recap_cli.evaluation.judges import find_judges, pair_scorers, read_tag_table, song_scorers
from recap_cli.evaluation.songs import SongSet
from recap_cli.progress import SilentProgress
from recap_cli.scoring.cider import CiderReferences
from recap_cli.scoring.facts import facts_of
from recap_cli.scoring.song_scores import Judges
from recap_cli.scoring.text import score_songs

SONGS = SongSet(
    ["7", "8", "9"],
    [["A slow rock song.", "Rock with a piano."], ["Fast techno.", " "], ["A sad cello, no drums."]],
    [None] * 3,
    [],
)
CAPTIONS = ["Slow rock.", "Techno at a fast tempo.", "Sad cello music without drums."]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("ours.tsv", "track_id\ttags\n7\tgenre---rock,instrument---piano\n8\tgenre---pop\n"),
        (
            "mtg.tsv",
            "TRACK_ID\tARTIST_ID\tALBUM_ID\tPATH\tDURATION\tTAGS\n"
            "track_0000007\tartist_1\talbum_2\t07/7.mp3\t99.1\tgenre---rock\tinstrument---piano\n"
            "track_0000008\tartist_1\talbum_2\t08/8.mp3\t99.1\tgenre---pop\n",
        ),
        ("table.csv", 'title,id,tags\nx,7,"genre---rock,instrument---piano"\ny,8,genre---pop\n'),
        ("rows.csv", "song;tag\r\n7;genre---rock\r\n7;instrument---piano\r\n8;genre---pop\r\n9;mood/theme---x\r\n"),
    ],
)
def test_layouts_of_tags(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text, newline="")
    assert read_tag_table(path) == {"7": {"rock", "piano"}, "8": {"pop"}}


@pytest.mark.parametrize("text", ["", "track_id\ttags\n", "track_id\ttags\n7\trock\n", "genre---rock"])
def test_tables_without_tags_are_refused(tmp_path, text):
    (tmp_path / "tags.tsv").write_text(text)
    with pytest.raises(DataError, match=r"no tags such as genre---rock"):
        read_tag_table(tmp_path / "tags.tsv")


def test_songs_without_tags_are_counted_and_other_songs_refused(tmp_path):
    said = []
    progress = SilentProgress()
    progress.say = said.append
    options = SimpleNamespace(tags=tmp_path / "tags.tsv", embedding=None)
    options.tags.write_text("song\ttags\n7\tgenre---rock\n")
    assert find_judges(SONGS, options, progress) == Judges(None, {"7": frozenset({"rock"})})
    assert "no tags of 2 of the 3 songs" in said[0]
    options.tags.write_text("song\ttags\n77\tgenre---rock\n")
    with pytest.raises(DataError, match="tags of none of the songs, such as 7"):
        find_judges(SONGS, options, progress)


def test_scores_on_other_songs_are_those_of_the_real_ones_moved():
    songs = replace(SONGS, judges=Judges(Lengths()))
    sets = [[text for text in texts if text.strip()] for texts in SONGS.references]
    tables = {}
    for scorer in pair_scorers(songs):
        tables |= scorer(CAPTIONS, sets)
        # The same again from what is remembered, and other sets after it.
        assert all(np.array_equal(table, tables[name]) for name, table in scorer(CAPTIONS, [*sets]).items())
        for name, table in scorer(CAPTIONS, [sets[0][:1], *sets]).items():
            assert table[:, 1:] == pytest.approx(tables[name])
    assert set(tables) == {"cider", "facts_by_song", "meaning"}
    own = score_songs(SONGS.ids, CAPTIONS, SONGS.references, judges=songs.judges)
    assert tables["cider"].diagonal() == pytest.approx(own.rows.cider)
    assert tables["meaning"].diagonal() == pytest.approx(own.rows.meaning[:, 0], abs=1e-6)
    assert tables["facts_by_song"].tolist()[0] == pytest.approx([4 / 5, 0, 0])
    assert tables["facts_by_song"][2, 2] == 1


def test_facts_by_tags_are_scored_on_other_songs_too():
    """Figures on its own song are those of the song's row; of a song without tags nothing is known."""
    tags = {"7": frozenset({"rock", "piano"}), "9": frozenset({"sad", "drums"})}
    (by_tags,) = song_scorers(replace(SONGS, judges=Judges(tag_facts=tags)))
    found = by_tags(CAPTIONS)["tag_facts_by_song"]
    own = score_songs(SONGS.ids, CAPTIONS, SONGS.references, judges=Judges(tag_facts=tags)).rows.tag_facts
    assert found[[0, 2], [0, 2]] == pytest.approx(facts_of(own)[[0, 2]])
    assert found[0, 0] == 0.5, "rock of rock and slow, and of rock and piano"
    assert found[0, 2] == 0 < found[2, 2] and np.isnan(found[:, 1]).all()
    assert song_scorers(SONGS) == []


def test_sets_with_one_reference_less_keep_the_weights_of_all():
    sets = [["a slow song", "a sad song"], ["a fast song"], ["a fast rock song"]]
    whole = CiderReferences(sets)
    fewer = whole.weighing([["a slow song"], ["a sad song"], *sets])
    found = fewer.matrix(["a slow sad song", "fast rock"])
    assert found[:, :2].mean(axis=1) == pytest.approx(found[:, 2])
    assert found[:, 2:] == pytest.approx(whole.matrix(["a slow sad song", "fast rock"]))
    assert found[1, 4] > 0 == found[1, 0]
