"""The demo corpus: the same songs from the same seed, whatever the counts, and statistics one can learn from."""

import dataclasses
from collections import Counter

import numpy as np
import pytest

from recap_cli.corpus.song import Song
from recap_cli.demo.attributes import UNSEEN_PAIRS
from recap_cli.demo.lexicon import ATTRIBUTES, read_attributes
from recap_cli.demo.music import DEMO_SAMPLE_RATE
from recap_cli.demo.songs import (
    DemoSettings,
    held_out_songs,
    lyrics_only_oracle,
    make_songs,
    music_only_oracle,
    render_song,
)
from recap_cli.errors import DataError, OptionError

TINY = DemoSettings(train=8, validation=2, test=2, unseen=1)


@pytest.fixture(scope="module")
def songs(demo_songs):
    return demo_songs()


def test_a_tiny_corpus():
    songs = list(make_songs(TINY))
    assert Counter(song.split for song in songs) == {"train": 8, "validation": 2, "test": 2, "unseen": 1}
    first = songs[0]
    assert first.id == "demo-easy-000000"
    assert first.audio == ""
    assert first.title
    assert first.artist
    assert len(first.captions) == 5
    assert list(first.tags) == list(ATTRIBUTES)
    assert songs == list(make_songs(TINY))


def test_a_song_does_not_depend_on_the_counts():
    few = {song.id: song for song in make_songs(TINY)}
    many = {song.id: song for song in make_songs(DemoSettings(train=20, validation=3, test=30, unseen=4))}
    assert set(few) < set(many)
    assert all(many[name] == song for name, song in few.items())
    other = dataclasses.replace(TINY, train=50)
    song = few["demo-easy-000003"]
    np.testing.assert_array_equal(render_song(song, TINY), render_song(song, other))


def test_held_out_songs_are_others_and_of_the_test_kind(songs):
    further = list(held_out_songs(TINY, 30))
    assert not {song.id for song in further} & {song.id for song in songs}
    assert all(song.split == "test" for song in further)
    assert not any((song.tags["theme"], song.tags["mode"]) in UNSEEN_PAIRS for song in further)
    assert further[:10] == list(held_out_songs(TINY, 10))
    assert render_song(further[0], TINY).any()


def test_seeds_and_difficulties_differ_as_they_should():
    easy = list(make_songs(TINY))
    seeded = list(make_songs(dataclasses.replace(TINY, seed=1)))
    assert all(one.lyrics != other.lyrics for one, other in zip(easy, seeded, strict=True))
    settings = dataclasses.replace(TINY, difficulty="hard")
    hard = list(make_songs(settings))
    assert [song.tags for song in hard] == [song.tags for song in easy]
    assert not {song.id for song in hard} & {song.id for song in easy}
    assert not np.array_equal(render_song(hard[0], settings), render_song(easy[0], TINY))


def test_ids_and_order(songs):
    assert len({song.id for song in songs}) == len(songs) == 1880
    assert [song.split for song in songs] == sorted(
        (song.split for song in songs), key=["train", "validation", "test", "unseen"].index
    )


def test_held_out_pairs_occur_in_unseen_only(songs):
    for song in songs:
        assert ((song.tags["theme"], song.tags["mode"]) in UNSEEN_PAIRS) == (song.split == "unseen")


def test_combinations_are_many():
    further = held_out_songs(DemoSettings(), 1000)
    assert len({tuple(song.tags.values()) for song in further}) > 550


def test_noise_falls_as_votes_rise(songs):
    wrong = {"poor": [], "doubtful": [], "gold": []}
    for song in songs:
        for caption in song.captions:
            stated = read_attributes(caption.text)
            errors = sum(stated[attribute] != value for attribute, value in song.tags.items())
            assert errors <= 2
            wrong["poor" if caption.votes <= 0 else "doubtful" if caption.votes <= 3 else "gold"].append(errors > 0)
    assert np.mean(wrong["poor"]) == pytest.approx(0.3, abs=0.04)
    assert np.mean(wrong["doubtful"]) == pytest.approx(0.1, abs=0.03)
    assert not any(wrong["gold"])


def test_votes(songs):
    trained = [caption.votes for song in songs if song.split == "train" for caption in song.captions]
    assert set(trained) == set(range(-2, 13))
    assert all(caption.votes >= 4 for song in songs if song.split != "train" for caption in song.captions)


def test_default_corpus_stays_small(songs):
    # Lengths follow the settings, so 300 songs tell the size of all.
    seconds = [len(render_song(song, DemoSettings())) / DEMO_SAMPLE_RATE for song in songs[::6]]
    assert min(seconds) >= 4
    assert max(seconds) <= 8
    frames = np.mean([1 + value * DEMO_SAMPLE_RATE // 256 for value in seconds])
    text = sum(len(song.lyrics) + sum(len(caption.text) for caption in song.captions) for song in songs)
    assert len(songs) * frames * 128 * 2 + text < 190e6


@pytest.mark.parametrize("difficulty", ["easy", "hard"])
def test_audio_is_sound_and_varied_in_level(difficulty):
    settings = DemoSettings(difficulty=difficulty, train=25, validation=0, test=0, unseen=0)
    peaks = []
    for song in make_songs(settings):
        samples = render_song(song, settings)
        assert samples.dtype == np.float32
        assert np.isfinite(samples).all()
        assert np.sqrt(np.mean(samples**2)) > 0.01
        peaks.append(float(np.abs(samples).max()))
    assert max(peaks) < 1
    assert max(peaks) > 1.5 * min(peaks)


def test_oracles_know_their_side_and_no_more():
    songs = list(held_out_songs(DemoSettings(), 400))

    def accuracy(oracle):
        return {a: np.mean([oracle(song)[a] == song.tags[a] for song in songs]) for a in ATTRIBUTES}

    lyrics, music = accuracy(lyrics_only_oracle), accuracy(music_only_oracle)
    assert lyrics["theme"] == lyrics["stance"] == 1
    assert all(music[attribute] == 1 for attribute in ("tempo", "mode", "timbre", "drums"))
    assert 0.7 < lyrics["mood"] < 0.85
    assert music["mood"] < 0.6
    assert lyrics["timbre"] < 0.5
    assert music["theme"] < 0.5


@pytest.mark.parametrize(
    "changes", [{"difficulty": "medium"}, {"seed": -1}, {"train": -1}, {"test": 100_001}, {"unseen": -3}]
)
def test_settings_check_themselves(changes):
    with pytest.raises(OptionError) as caught:
        DemoSettings(**changes)
    assert caught.value.hint


def test_settings_as_json():
    settings = DemoSettings(seed=3, difficulty="hard", train=5)
    assert DemoSettings.from_json(settings.to_json()) == settings
    with pytest.raises(DataError, match="another version"):
        DemoSettings.from_json({**settings.to_json(), "version": 0})


@pytest.mark.parametrize("name", ["", "real-song-12", "demo-easy-x", "demo-easy-999999", "demo"])
def test_only_demo_songs_can_be_rendered(name):
    with pytest.raises(DataError, match="not the id"):
        render_song(Song(id=name, audio="", lyrics=""), TINY)
