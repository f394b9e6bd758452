"""Made-up songs of real lyrics and music: the same each time, with captions that say what the teachers find."""

import dataclasses

import numpy as np
import pytest
from small_minilm import make_small_minilm

from recap_cli.facts.lexicon import read_facts
from recap_cli.facts.music import find_music_facts
from recap_cli.model.musicnn import load_musicnn
from recap_cli.real.music_windows import TagMover, Track
from recap_cli.real.pairs import make_pairs
from recap_cli.real.song_lyrics import LyricsPool, cut_song, draw_verses, read_words, split_songs
from recap_cli.real.verse_states import VerseReader

ENGLISH = "I was walking down the road with you\nand all of the time that we had was gone\n\n" * 2
MORE = "When the night is over you will be with me\nand there is nothing that we have to say\n\nso it is what it was"
SPANISH = "No sé por qué te vas de mi lado\ny ya no tengo nada que decir\n\nporque el amor que tú me das es así"


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    return VerseReader.from_folder(make_small_minilm(tmp_path_factory.mktemp("minilm")))


@pytest.fixture(scope="module")
def pairs(reader):
    random = np.random.default_rng(0)
    tracks = [Track(str(number), np.maximum(random.normal(0.3, 0.5, (30, 400)), 0)) for number in range(4)]
    pool = LyricsPool([cut_song(*song, reader) for song in (("1", ENGLISH), ("2", MORE), ("3", SPANISH))], reader)
    mover = TagMover(load_musicnn())
    return lambda count: list(make_pairs("train", count, tracks, pool, mover, 7))


def test_a_song_does_not_depend_on_how_many_are_made(pairs):
    some, more = pairs(3), pairs(12)
    for one, other in zip(some, more, strict=False):
        assert (one.id, one.lyrics, one.caption) == (other.id, other.lyrics, other.caption)
        assert np.array_equal(one.states, other.states)


def test_captions_say_what_the_teachers_find(pairs):
    found = pairs(40)
    for pair in found:
        facts = read_facts(pair.caption)
        assert (facts.voice, facts.genre, facts.feel) == (pair.facts.voice, pair.facts.genre, pair.facts.feel)
        assert facts.themes == pair.facts.themes and facts.language == pair.facts.language
        music = find_music_facts(pair.states.astype(np.float32))
        assert music.unlike is None and music.voice.value == pair.facts.voice
    assert len({pair.facts.voice for pair in found}) >= 3 and len({pair.facts.genre for pair in found}) >= 4


def test_no_theme_of_words_that_are_not_read(reader, pairs):
    words = read_words(reader, SPANISH)
    assert words.language is not None and words.language.value == "es" and words.themes == ()
    for pair in pairs(40):
        if "amor" in pair.lyrics or not pair.lyrics:
            assert dataclasses.replace(pair.facts, themes=()) == pair.facts


def test_verses_follow_each_other_and_a_chorus_is_there_once(reader):
    song = cut_song("1", ENGLISH + MORE, reader)
    assert song.verses[0].startswith("I was walking") and len(song.verses) == len(set(song.verses))
    text = "\n\n".join(song.verses)
    for seed in range(10):
        assert draw_verses([song], np.random.default_rng(seed)) in text


def test_songs_that_judge_are_never_learnt_from():
    songs = [(str(number), "la") for number in range(200)]
    splits = split_songs(songs, frozenset(("7", "9")), np.random.default_rng(0))
    assert {track for track, _ in splits["test"]} == {"7", "9"}
    assert len(splits["train"]) + len(splits["validation"]) == 198 and 2 < len(splits["validation"]) < 25


def test_verses_are_read_the_same_alone_and_in_a_folder(reader, tmp_path):
    from recap_cli.progress import SilentProgress

    alone = reader.read(MORE)
    reader.fill([ENGLISH, MORE], tmp_path, SilentProgress())
    assert np.allclose(reader.read(MORE), alone, atol=1e-4)
