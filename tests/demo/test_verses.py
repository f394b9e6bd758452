"""The lyrics: lines kept from training, and no word that gives the sound or the mood away."""

import re
from collections import Counter

import numpy as np
import pytest

from recap_cli.demo.attributes import HABITS
from recap_cli.demo.lexicon import ATTRIBUTES, PHRASES
from recap_cli.demo.songs import DemoSettings, held_out_songs, make_songs
from recap_cli.demo.verses import VERSES, draw_artist, draw_lyrics, draw_title, is_reserved, lines_by_opening


def lines_of(family: str, reserved: bool) -> list[str]:
    return [line for lines in lines_by_opening(family, reserved) for line in lines]


FAMILY_OF = {line: family for family in VERSES for reserved in (False, True) for line in lines_of(family, reserved)}


def _lines(songs):
    return [line for song in songs for line in song.lyrics.split("\n")]


def test_families_are_themes_stances_and_generic():
    assert set(VERSES) == {*ATTRIBUTES["theme"], *ATTRIBUTES["stance"], "generic"}
    assert set(HABITS) == set(ATTRIBUTES["theme"])


@pytest.mark.parametrize("family", VERSES)
def test_a_family_has_many_lines_about_half_reserved(family):
    free, reserved = lines_of(family, False), lines_of(family, True)
    assert len(free) >= 60
    assert len(reserved) >= 60
    assert not set(free) & set(reserved)
    assert all(map(is_reserved, reserved))
    assert not any(map(is_reserved, free))


def test_no_line_belongs_to_two_families():
    assert len(FAMILY_OF) == sum(len(lines_of(family, reserved)) for family in VERSES for reserved in (False, True))


def test_openings_take_turns():
    for song in make_songs(DemoSettings(train=40, validation=0, test=40, unseen=0)):
        counts = Counter(" ".join(line.split()[:3]) for line in song.lyrics.split("\n"))
        assert max(counts.values()) <= 3


def test_no_sound_or_mood_word_in_any_line():
    heard = ("tempo", "mode", "timbre", "drums", "mood")
    phrases = [phrase for attribute in heard for pair in PHRASES[attribute].values() for phrase in pair]
    telling = {word for phrase in phrases for word in phrase.split()} - {"a", "an", "in", "with", "without", "over"}
    telling |= {"drum", "chord", "bell", "tempo", "rhythm", "quick", "melody", "hurry"}
    used = {word for line in FAMILY_OF for word in re.findall(r"[a-z']+", line.lower())}
    assert not used & telling


@pytest.mark.parametrize("difficulty", ["easy", "hard"])
def test_lines_that_training_never_uses(demo_songs, difficulty):
    songs = demo_songs(difficulty)
    train = set(_lines(song for song in songs if song.split == "train"))
    for split in ("validation", "test", "unseen"):
        held = _lines(song for song in songs if song.split == split)
        assert np.mean([line not in train for line in set(held)]) >= 0.4
        assert np.mean([line not in train for line in held]) >= 1 / 3
    assert not any(is_reserved(line) for line in train)
    assert (
        np.mean([line not in train for line in _lines(held_out_songs(DemoSettings(difficulty=difficulty), 200))])
        >= 1 / 3
    )


@pytest.fixture(scope="module")
def songs(demo_songs):
    return demo_songs()


def test_words_of_held_out_songs_occur_in_training(songs):
    train = Counter(word for song in songs if song.split == "train" for word in song.lyrics.split())
    held = [word for song in songs if song.split != "train" for word in song.lyrics.split()]
    assert np.mean([train[word] > 0 for word in held]) > 0.999


@pytest.mark.parametrize("difficulty", ["easy", "hard"])
def test_lyrics_tell_theme_and_stance(difficulty):
    for song in make_songs(DemoSettings(difficulty=difficulty, train=200, validation=50, test=0, unseen=0)):
        lines = song.lyrics.split("\n")
        assert 8 <= len(lines) <= 16
        assert len(set(lines)) == len(lines)
        counts = Counter(FAMILY_OF[line] for line in lines)
        themes = Counter({theme: counts[theme] for theme in ATTRIBUTES["theme"]})
        (first, most), (_, second) = themes.most_common(2)
        assert first == song.tags["theme"]
        assert most >= max(3, second + 1)
        assert counts[song.tags["stance"]] >= 2
        assert sum(counts[stance] > 0 for stance in ATTRIBUTES["stance"]) == 1


def test_hard_lyrics_mislead_more():
    def misleading(difficulty):
        songs = make_songs(DemoSettings(difficulty=difficulty, train=150, validation=0, test=0, unseen=0))
        return np.mean(
            [FAMILY_OF[line] not in song.tags.values() for song in songs for line in song.lyrics.split("\n")]
        )

    assert 0.05 < misleading("easy") < misleading("hard") - 0.1


def test_titles_and_artists():
    rng = np.random.default_rng(0)
    assert {draw_title("sea", rng) for _ in range(100)} >= {"The Rising Tide", "A Lone Gull"}
    assert " and the " in draw_artist(rng)
    assert draw_lyrics("sea", "defiant", np.random.default_rng(3), "easy", True) == draw_lyrics(
        "sea", "defiant", np.random.default_rng(3), "easy", True
    )
