"""The synthesiser and the example songs it plays: levels, lengths, and attributes that can be heard."""

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from recap_cli.demo.attributes import MOODS
from recap_cli.demo.lexicon import ATTRIBUTES
from recap_cli.demo.music import (
    DEMO_SAMPLE_RATE,
    SCALES,
    TEMPI,
    TIMBRES,
    TONICS,
    Score,
    compose,
    drum,
    pitch,
    render,
    roughen,
    tone,
    triad,
)
from recap_cli.demo.verses import VERSES, lines_by_opening
from recap_cli.errors import OptionError

EXAMPLES = Path(__file__).parents[2] / "examples"


def _score(**changes):
    settings = {"lead": ((72, 1.0), (None, 1.0), (76, 2.0)), "chords": (((67, 72, 76), 4.0),), "tempo": 120.0}
    return Score(**{**settings, "timbre": "organ", "drums": False, **changes})


def _spectrum(samples):
    return np.abs(np.fft.rfft(samples)) ** 2, np.fft.rfftfreq(len(samples), 1 / DEMO_SAMPLE_RATE)


def _share_above(samples, hertz):
    power, frequencies = _spectrum(samples)
    return power[frequencies > hertz].sum() / power.sum()


def _pulse(samples, lags):
    """Give the lag in seconds at which rises of energy repeat best."""
    hop = 160
    frames = np.abs(samples[: len(samples) // hop * hop]).reshape(-1, hop).max(axis=1)
    rises = np.maximum(0, np.diff(frames))
    rises = rises - rises.mean()
    shifts = [round(lag * DEMO_SAMPLE_RATE / hop) for lag in lags]
    strength = [np.max([np.dot(rises[:-s], rises[s:]) for s in (shift - 1, shift, shift + 1)]) for shift in shifts]
    return lags[int(np.argmax(strength))]


@pytest.mark.parametrize("timbre", ATTRIBUTES["timbre"])
@pytest.mark.parametrize("drums", [False, True])
def test_render_shape_and_level(timbre, drums):
    samples = render(_score(timbre=timbre, drums=drums), peak=0.7)
    assert samples.dtype == np.float32
    assert samples.shape == (round(2.06 * DEMO_SAMPLE_RATE),)
    assert np.isfinite(samples).all()
    assert np.abs(samples).max() == pytest.approx(0.7, rel=1e-5)


def test_render_cuts_and_fills_to_the_length_asked_for():
    assert len(render(_score(), seconds=1.0)) == DEMO_SAMPLE_RATE
    long = render(_score(), seconds=4.0)
    assert len(long) == 4 * DEMO_SAMPLE_RATE
    assert not long[3 * DEMO_SAMPLE_RATE :].any()


def test_render_plays_silence_and_repeats_itself():
    assert not render(_score(lead=((None, 4.0),), chords=())).any()
    np.testing.assert_array_equal(render(_score()), render(_score()))


@pytest.mark.parametrize("changes", [{"timbre": "kazoo"}, {"tempo": 0.0}])
def test_impossible_scores(changes):
    with pytest.raises(OptionError):
        _score(**changes)


@pytest.mark.parametrize("timbre", TIMBRES)
def test_tone_has_its_pitch(timbre):
    power, frequencies = _spectrum(tone(timbre, 81)[: DEMO_SAMPLE_RATE // 2])
    near = np.abs(frequencies - 880) < 20
    assert power[near].sum() / power[frequencies < 1500].sum() > 0.9


def test_cached_sounds_are_read_only():
    for sound in (tone("flute", 72), drum("kick"), drum("snare"), drum("hat")):
        with pytest.raises(ValueError, match="read-only"):
            sound[0] = 1.0


def test_scales_and_chords():
    assert [pitch(72, "minor", step) for step in range(8)] == [72, 74, 75, 77, 79, 80, 82, 84]
    assert triad(72, "major", 0) == (67, 72, 76)
    assert triad(72, "minor", 0) == (67, 72, 75)


def test_no_two_keys_share_their_notes():
    keys = [frozenset((tonic + step) % 12 for step in scale) for tonic in TONICS for scale in SCALES.values()]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize("mode", SCALES)
def test_compositions(mode):
    for seed in range(30):
        score = compose(mode, "fast", "flute", True, 5.0, np.random.default_rng(seed))
        beats = sum(length for _, length in score.lead)
        assert beats == sum(length for _, length in score.chords)
        assert beats * 60 / score.tempo >= 5.0
        assert abs(score.tempo / TEMPI["fast"] - 1) <= 0.04
        notes = [midi for midi, _ in score.lead] + [midi for chord, _ in score.chords for midi in chord]
        assert any({(note - tonic) % 12 for note in notes} <= set(SCALES[mode]) for tonic in TONICS)
        assert min(midi for midi, _ in score.lead) >= 72


@pytest.mark.parametrize("timbre", ATTRIBUTES["timbre"])
def test_the_pulse_tells_the_tempo(timbre):
    beats = {tempo: 60 / bpm for tempo, bpm in TEMPI.items()}
    for tempo in TEMPI:
        found = []
        for seed in range(5):
            score = compose("major", tempo, timbre, False, 8.0, np.random.default_rng(seed))
            exact = [beat * TEMPI[tempo] / score.tempo for beat in beats.values()]
            found.append(list(beats)[exact.index(_pulse(render(score, 8.0), exact))])
        assert found.count(tempo) >= 4


def test_drums_add_high_and_low_sound():
    for seed in range(5):
        plain, drummed = (
            render(compose("major", "moderate", "flute", drums, 5.0, np.random.default_rng(seed)), 5.0)
            for drums in (False, True)
        )
        assert _share_above(drummed, 5000) > 2 * _share_above(plain, 5000)
        assert 1 - _share_above(drummed, 200) > 10 * (1 - _share_above(plain, 200))


def test_timbres_differ_in_brightness():
    bright = {timbre: _share_above(tone(timbre, 76)[:8000], 2000) for timbre in ATTRIBUTES["timbre"]}
    assert bright["trumpet"] > bright["organ"] > bright["guitar"] > bright["flute"]


def test_the_third_tells_the_mode():
    for tonic in TONICS:
        for mode, other in (("major", "minor"), ("minor", "major")):
            samples = render(_score(lead=((None, 4.0),), chords=((triad(tonic, mode, 0), 4.0),)))
            power, frequencies = _spectrum(samples)
            thirds = {name: 440 * 2 ** ((tonic + SCALES[name][2] - 69) / 12) for name in (mode, other)}
            level = {name: power[np.abs(frequencies - hertz) < 6].sum() for name, hertz in thirds.items()}
            assert level[mode] > 10 * level[other]


def test_roughen_keeps_length_and_peak_and_adds_noise():
    clean = render(_score(), seconds=3.0, peak=0.6)
    rough = roughen(clean, np.random.default_rng(0))
    assert rough.shape == clean.shape
    assert rough.dtype == np.float32
    assert np.abs(rough).max() == pytest.approx(0.6, rel=1e-5)
    assert np.abs(rough[-4000:-1000]).mean() > 0.001
    np.testing.assert_array_equal(rough, roughen(clean, np.random.default_rng(0)))


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("make_songs_example", EXAMPLES / "make_songs.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_example_songs_are_what_the_script_writes(script, tmp_path):
    script.write_songs(tmp_path)
    songs = EXAMPLES / "songs"
    table = json.loads((songs / "attributes.json").read_text())
    assert table == json.loads((tmp_path / "attributes.json").read_text())
    assert sum(file.stat().st_size for file in songs.iterdir()) < 400_000
    for name in table:
        assert (songs / f"{name}.txt").read_text() == (tmp_path / f"{name}.txt").read_text()
        kept, rate = soundfile.read(songs / f"{name}.ogg", dtype="float32")
        again, _ = soundfile.read(tmp_path / f"{name}.ogg", dtype="float32")
        assert rate == DEMO_SAMPLE_RATE
        assert kept.ndim == 1
        assert 12 <= len(kept) / rate <= 15
        np.testing.assert_allclose(kept, again, atol=0.05)


def test_example_songs_suit_the_demo_corpus(script):
    pool = {
        line
        for family in VERSES
        for reserved in (False, True)
        for lines in lines_by_opening(family, reserved)
        for line in lines
    }
    words = {word for line in pool for word in line.split()}
    for example in script.EXAMPLES:
        attributes = example.attributes()
        assert attributes["mood"] == MOODS[attributes["theme"]][attributes["mode"]]
        assert all(attributes[attribute] in values for attribute, values in ATTRIBUTES.items())
        lines = example.lyrics.split("\n")
        assert 10 <= len(lines) <= 14
        assert not set(lines) & pool
        assert np.mean([word.strip(",") in words for word in example.lyrics.split()]) > 0.9
    assert len({example.attributes()["mood"] for example in script.EXAMPLES}) == 3
