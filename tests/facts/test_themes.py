"""The theme teacher learns from labels, states only what is sure, and never sees the songs that judge."""

import os
from pathlib import Path

import numpy as np
import pytest

from recap_cli.facts.facts import THEMES
from recap_cli.facts.theme_fit import cross_validate, fit_linear, fit_logistic, fit_theme_teacher, folds
from recap_cli.facts.theme_labels import (
    TWINS,
    LabelledSong,
    accepted_matrix,
    keep_out,
    label_matrix,
    read_judge,
    read_labels,
)
from recap_cli.facts.themes import guess_themes, load_theme_teacher, song_vector
from recap_cli.real.song_lyrics import read_tracks_lyrics
from recap_cli.real.verse_states import VerseReader

WIDTH = 40


@pytest.fixture(scope="module")
def made_up():
    """Songs whose vectors lean towards the direction of their theme, one in five with none."""
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(len(THEMES), WIDTH))
    chosen = rng.integers(len(THEMES), size=600)
    labels = np.eye(len(THEMES))[chosen] * (rng.random(600) > 0.2)[:, None]
    songs = labels @ directions * 0.5 + rng.normal(size=(600, WIDTH))
    return songs, labels, [str(number) for number in range(600)], directions


def first_right(scores, labels):
    has = labels.sum(axis=1) > 0
    return labels[has][np.arange(has.sum()), scores[has].argmax(axis=1)].mean()


def test_songs_that_were_held_out_are_told(made_up):
    songs, labels, groups, directions = made_up
    held_out = cross_validate(songs, labels, groups, directions)
    assert first_right(held_out, labels) > 0.6
    nonsense = cross_validate(songs, labels[::-1], groups, directions)
    assert first_right(nonsense, labels[::-1]) < 0.15


def test_the_wordings_help_where_labels_are_few(made_up):
    songs, labels, _, directions = made_up
    few, rest = slice(0, 60), slice(60, None)
    right = []
    for wordings in (directions, np.random.default_rng(1).normal(size=directions.shape)):
        weights, bias = fit_linear(songs[few], labels[few], wordings)
        right.append(first_right(songs[rest] @ weights + bias, labels[rest]))
    assert right[0] > right[1] + 0.1


def test_a_theme_is_stated_for_the_surer_songs(made_up):
    songs, labels, groups, directions = made_up
    teacher = fit_theme_teacher(songs, labels, groups, directions)
    held_out = cross_validate(songs, labels, groups, directions)
    assert np.mean(held_out.max(axis=1) >= teacher.least) == pytest.approx(0.6, abs=0.01)
    guesses = teacher.guesses(np.where(np.arange(len(THEMES)) == 3, teacher.least + 0.1, teacher.least - 0.1))
    assert [guess.value for guess in guesses] == [list(THEMES)[3], None]
    assert guesses[0].confidence > guesses[1].confidence


def test_a_teacher_comes_back_from_its_file(made_up, tmp_path):
    songs, labels, groups, directions = made_up
    teacher = fit_theme_teacher(songs, labels, groups, directions)
    teacher.save(tmp_path / "teacher.safetensors")
    again = load_theme_teacher(tmp_path / "teacher.safetensors")
    np.testing.assert_allclose(again.scores(songs), teacher.scores(songs), atol=1e-5)
    assert again.least == pytest.approx(teacher.least)
    np.testing.assert_allclose(again.confidence(songs[:, 0]), teacher.confidence(songs[:, 0]), atol=1e-5)


def test_twins_are_held_out_together():
    groups = ["a", "b", "a", "c", "d", "b", *(str(number) for number in range(40))]
    held = np.array(list(folds(groups)))
    assert (held.sum(axis=0) == 1).all()
    assert (held[:, 0] == held[:, 2]).all() and (held[:, 1] == held[:, 5]).all()


def test_confidence_is_the_share_that_was_right():
    rng = np.random.default_rng(0)
    scores = rng.normal(size=20_000)
    right = rng.random(20_000) < 1 / (1 + np.exp(-(2 * scores - 1)))
    assert fit_logistic(scores, right.astype(float)) == pytest.approx((2, -1), abs=0.1)


def test_verses_count_alike_however_long_their_vectors_are():
    vectors = np.array([[2.0, 0.0], [0.0, 5.0]])
    np.testing.assert_allclose(song_vector(vectors), [0.5, 0.5])


def test_labels_are_of_real_themes_and_the_judge_is_kept_apart():
    labels, judge = read_labels(), read_judge()
    assert (len(labels), len(judge)) == (1196, 160)
    learnt, kept = {song.track for song in labels}, keep_out()
    assert len(learnt) == len(labels)
    assert not learnt & kept and {song.track for song in judge} <= kept
    assert "1210695" in kept  # the same song as 1054399, which judges
    assert label_matrix(labels).sum(axis=0).min() >= 10
    assert (accepted_matrix(judge) >= label_matrix(judge)).all()
    assert {song.group for song in labels if song.track in TWINS[0]} == {TWINS[0][0]}


def test_a_label_says_none_where_words_have_no_theme():
    none = [song for song in read_labels() if not song.themes]
    assert 150 < len(none) < 250
    assert isinstance(none[0], LabelledSong) and label_matrix(none).sum() == 0


def test_the_shipped_teacher_has_all_themes():
    teacher = load_theme_teacher()
    assert teacher.weights.shape == (384, len(THEMES)) and teacher.bias.shape == (len(THEMES),)
    assert 0.2 < teacher.least < 0.4 and teacher.slope > 0
    assert teacher.confidence(np.array([teacher.least]))[0] < teacher.confidence(np.array([0.5]))[0]


@pytest.mark.skipif(
    "RECAP_REAL_DIR" not in os.environ or "RECAP_VERSES_DIR" not in os.environ,
    reason="RECAP_REAL_DIR and RECAP_VERSES_DIR (a folder of tests/make_minilm.py) name no folders",
)
def test_themes_of_songs_that_judge_are_right():
    judge = {song.track: song for song in read_judge()}
    texts = read_tracks_lyrics(Path(os.environ["RECAP_REAL_DIR"]) / "muljam.jsonl.gz")
    lyrics = {track: text for track, text in texts.items() if track in judge}
    reader = VerseReader.from_folder(Path(os.environ["RECAP_VERSES_DIR"]))
    stated, right = [], []
    for track, text in lyrics.items():
        guesses = guess_themes(reader.read(text))
        stated.append(guesses[0].sure)
        right.append(any(guess.best in (*judge[track].accepted, *judge[track].themes) for guess in guesses))
    assert len(right) == len(judge) and np.mean(right) >= 0.8
    assert np.mean(stated) >= 0.5
    assert np.mean(np.array(right)[np.array(stated)]) >= 0.88
