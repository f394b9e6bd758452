"""The music teacher states what the tags say clearly, abstains else, and knows what is no music."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from recap_cli.audio.mel import log_mel
from recap_cli.audio.settings import AudioSettings
from recap_cli.facts.facts import FEELS, GENRES, INSTRUMENTS
from recap_cli.facts.music import NAMES, UNLIKE, find_music_facts, find_unlike, thresholds
from recap_cli.model.musicnn import load_musicnn

WINDOWS = 12


def tags(seed=0, windows=WINDOWS, **stated):
    """Probabilities of a made-up song: all tags low and restless, some as stated (`mtt__no_vocal` is mtt:no vocal)."""
    rng = np.random.default_rng(seed)
    odds = rng.normal(-3.6, 0.7, size=(windows, len(NAMES)))
    for name, value in stated.items():
        place = NAMES.index(name.replace("__", ":").replace("_", " "))
        odds[:, place] = np.log(value / (1 - value)) + rng.normal(0, 0.05, size=windows)
    return 1 / (1 + np.exp(-odds))


WOMAN = {f"mtt__{name}": 0.4 for name in ("female", "woman", "female_vocal", "female_voice", "vocal", "singing")}
MAN = {f"mtt__{name}": 0.4 for name in ("male", "man", "male_vocal", "male_voice", "vocal", "singing")}
NOBODY = {"mtt__no_vocals": 0.3, "mtt__no_vocal": 0.3, "mtt__no_voice": 0.3, "msd__instrumental": 0.4}
MUSIC = {"mtt__guitar": 0.4, "mtt__drums": 0.3}


@pytest.mark.parametrize(("stated", "voice"), [(WOMAN, "woman"), (MAN, "man"), (NOBODY, "none"), (WOMAN | MAN, "sung")])
def test_who_sings(stated, voice):
    heard = find_music_facts(tags(**MUSIC, **stated))
    assert heard.voice.value == voice
    assert 0.5 < heard.voice.confidence <= 1
    assert heard.unlike is None


def test_a_quarter_of_a_song_is_enough_for_its_singer():
    song = np.concatenate([tags(**MUSIC, **NOBODY), tags(1, **MUSIC, **NOBODY), tags(2, **MUSIC, **MAN)])
    assert find_music_facts(song).voice.value == "man"


def test_between_singing_and_none_nothing_is_stated():
    assert (
        find_music_facts(
            tags(**MUSIC, mtt__vocal=0.08, mtt__vocals=0.08, mtt__singing=0.08, mtt__voice=0.08)
        ).voice.value
        is None
    )


@pytest.mark.parametrize(
    ("stated", "genre"),
    [
        ({"msd__metal": 0.8, "msd__heavy_metal": 0.2, "mtt__metal": 0.4, "mtt__rock": 0.3}, "metal"),
        ({"msd__hip-hop": 0.5}, "hip-hop"),
        ({"msd__jazz": 0.3, "mtt__classical": 0.5}, "classical"),  # to the other tagger orchestras are jazz
        ({"msd__folk": 0.5}, "folk"),
        ({"msd__folk": 0.3, "msd__country": 0.3, "mtt__country": 0.18}, None),  # two are as likely
        ({"msd__rock": 0.1}, None),
    ],
)
def test_a_genre_is_stated_where_it_is_clear(stated, genre):
    assert find_music_facts(tags(**stated, mtt__guitar=0.3)).genre.value == genre


def test_at_most_two_instruments_and_one_of_those_that_are_alike():
    heard = find_music_facts(tags(mtt__strings=0.5, mtt__violin=0.4, mtt__cello=0.3, mtt__piano=0.35, mtt__flute=0.3))
    assert [guess.best for guess in heard.instruments] == ["strings", "piano"]
    assert find_music_facts(tags(mtt__slow=0.2)).instruments == ()


def test_a_choir_sings():
    heard = find_music_facts(tags(mtt__choir=0.8, mtt__choral=0.7, mtt__slow=0.3, mtt__classical=0.3))
    assert (heard.voice.value, [guess.best for guess in heard.instruments]) == ("sung", ["choir"])
    assert (
        find_music_facts(tags(mtt__choir=0.8, mtt__choral=0.7, mtt__guitar=0.4, **NOBODY)).instruments[0].best
        == "guitar"
    )


@pytest.mark.parametrize(
    ("stated", "feel"),
    [({"mtt__slow": 0.4, "mtt__quiet": 0.3}, "gentle"), ({"mtt__fast": 0.5}, "lively"), ({"mtt__loud": 0.5}, "loud")],
)
def test_the_feel_of_the_sound(stated, feel):
    assert find_music_facts(tags(**stated, mtt__guitar=0.3)).feel.value == feel


def test_rests_do_not_count():
    """Silence has tags too: guitar and rock."""
    rest = np.repeat(tags(5, 1, mtt__guitar=0.9, msd__rock=0.9), 40, axis=0)
    song = tags(mtt__piano=0.4, mtt__slow=0.3, **WOMAN)
    heard = find_music_facts(np.concatenate([rest, song]))
    assert [guess.best for guess in heard.instruments] == ["piano"]
    assert (heard.voice.value, heard.genre.value) == ("woman", None)


def test_what_is_short_steady_or_unknown_is_said_to_be_so():
    music = tags(**MUSIC, mtt__slow=0.3)
    assert find_unlike(music) is None
    assert find_unlike(music[:2]) == "short"
    assert find_unlike(np.repeat(music[:1], WINDOWS, axis=0)) == "steady"
    assert find_unlike(tags(mtt__male=0.2, mtt__voice=0.2) * 0.5) == "unknown"
    # with an echo all tags of the voice are strong, but there are no instruments
    none = {f"mtt__{name}": 0.01 for name in thresholds()["unlike"]["instruments"]}
    assert find_unlike(tags(**MAN, **none)) == "unknown"
    assert find_unlike(tags(**MAN, **none | {"mtt__guitar": 0.4})) is None
    assert set(UNLIKE) == {"short", "steady", "unknown"}


def test_the_thresholds_fit_the_facts_and_the_tags():
    rules = thresholds()
    assert set(rules["genre"]["tags"]) == set(GENRES)
    assert set(rules["instruments"]["tags"]) == set(INSTRUMENTS)
    assert set(rules["feel"]["tags"]) == set(FEELS)
    assert all(len(rule["why"]) > 10 for rule in rules.values())
    tagged = [
        tag for fact in ("genre", "instruments", "feel") for levels in rules[fact]["tags"].values() for tag in levels
    ]
    assert set(tagged) | {tag for some in rules["voice"]["groups"].values() for tag in some} <= set(NAMES)


@pytest.fixture(scope="module")
def musicnn():
    return load_musicnn()


def sounds(seconds=9):
    rng, rate = np.random.default_rng(0), 16000
    time = np.arange(seconds * rate) / rate
    return {
        "silence": np.zeros_like(time),
        "noise": rng.normal(size=time.size) * 0.2,
        "tone": 0.4 * np.sin(2 * np.pi * 440 * time),
        "hum": 0.3 * np.sign(np.sin(2 * np.pi * 50 * time)),
        "clicks": ((np.arange(time.size) % 8000) < 30) * 0.8,
    }


@pytest.mark.parametrize("name", sorted(sounds()))
def test_noise_tones_and_silence_are_no_music(musicnn, name):
    mel = log_mel(sounds()[name].astype(np.float32), AudioSettings.of_encoder("musicnn"))
    with torch.no_grad():
        states, _ = musicnn(torch.from_numpy(mel)[None])
    assert find_unlike(states[0].numpy()) == "steady"


@pytest.mark.skipif("RECAP_REAL_DIR" not in os.environ, reason="RECAP_REAL_DIR names no folder with debian_states.npz")
def test_game_music_is_heard_as_what_it_is():
    """75 tracks: nearly all without singing, four of them metal, none unlike music."""
    states = np.load(Path(os.environ["RECAP_REAL_DIR"]) / "debian_states.npz")
    found = {
        file: find_music_facts(np.concatenate([states[f"msd_{number}"], states[f"mtt_{number}"]], axis=1))
        for number, file in enumerate(states["files"])
    }
    voices = [heard.voice.value for heard in found.values()]
    assert voices.count("none") >= 60 and voices.count("sung") <= 1  # a choir
    assert not {"woman", "man"} & set(voices)
    assert {heard.genre.value for file, heard in found.items() if file.endswith("song.ogg")} == {"metal"}
    others = [heard.genre.value for file, heard in found.items() if not file.endswith("song.ogg")]
    assert set(others) <= {"electronic", "ambient", "classical", "rock", None}
    assert sum(genre is not None for genre in others) >= 35
    assert not any(heard.unlike for heard in found.values())
