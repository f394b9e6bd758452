"""Controls: the wrong input reaches the model and nothing else changes; a use is claimed only with its interval."""

import numpy as np
import pytest

from recap_cli.captioning.captioner import Captioner
from recap_cli.corpus.dataset import PreparedSong
from recap_cli.corpus.song import Caption, Song
from recap_cli.errors import DataError
from recap_cli.evaluation import controls as module
from recap_cli.evaluation.captions import caption_split, music_states
from recap_cli.evaluation.controls import (
    OTHER_LYRICS,
    OTHER_MUSIC,
    Control,
    ControlReport,
    RunUnderTest,
    ZeroStates,
    best_caption,
    control_captions,
    nearest_captions,
    run_controls,
)
from recap_cli.evaluation.songs import SongSet
from recap_cli.evaluation.systems import score_system
from recap_cli.progress import SilentProgress
from recap_cli.runtime.decoding import DecodingOptions
from recap_cli.scoring.bootstrap import Comparison, Interval
from recap_cli.training.interventions import partners

SILENT = SilentProgress()
GREEDY = DecodingOptions(beams=1)


@pytest.fixture(scope="module")
def test(tiny_data, tiny_run):
    captioner = Captioner.from_pretrained(tiny_run, device="cpu")
    songs = tiny_data.split("test")
    scored = SongSet.from_prepared(songs, True)
    captions = caption_split(captioner, tiny_data, songs, GREEDY, SILENT)
    system = score_system("run", captions, scored, "f1", SILENT)
    return RunUnderTest(captioner, system, tiny_data, songs, scored, "test", "f1", GREEDY, None, tiny_run)


def test_every_song_gets_another_one():
    for count in (2, 3, 50):
        other = partners(count, seed=1)
        assert sorted(other) == list(range(count))
        assert all(row != partner for row, partner in enumerate(other))
    assert partners(50, 1) == partners(50, 1) != partners(50, 2)


def test_what_each_control_changes(test, monkeypatch):
    """Another's mel key or lyrics, states of zero; the song's id, references and place stay."""
    seen = []

    def look(captioner, data, songs, decoding, progress, music=None, file=None):
        seen.append((songs, music))
        return ["x"] * len(songs)

    monkeypatch.setattr(module, "caption_split", look)
    monkeypatch.setattr(module, "nearest_captions", lambda test, *rest: ["near"] * len(test.songs))
    captions = dict(control_captions(test, SILENT))
    other = [test.songs[row] for row in partners(3, 0)]
    (music, _), (silent, zeros), (lyrics, _) = seen
    assert [entry.mel for entry in music] == [entry.mel for entry in other]
    assert [entry.song for entry in music] == [entry.song for entry in test.songs]
    assert list(silent) == list(test.songs) and not zeros[test.songs[0].mel].any()
    assert [entry.song.lyrics for entry in lyrics] == [entry.song.lyrics for entry in other]
    assert [entry.mel for entry in lyrics] == [entry.mel for entry in test.songs]
    assert [entry.song.id for entry in lyrics] == [entry.song.id for entry in test.songs]
    assert len(captions) == 7
    assert captions["lyrics copied as the caption"][0] == test.songs[0].song.lyrics.replace("\n", " ")


def test_a_run_without_music_has_no_music_controls(test, monkeypatch):
    monkeypatch.setattr(module, "music_states", lambda *rest: None)
    monkeypatch.setattr(module, "caption_split", lambda captioner, data, songs, *rest: ["x"] * len(songs))
    monkeypatch.setattr(module, "nearest_captions", lambda test, *rest: ["near"] * len(test.songs))
    report = run_controls(test, SILENT)
    assert OTHER_MUSIC not in [control.name for control in report.controls]
    assert report.verdicts[0] == "does not take the music"


def test_controls_of_a_real_run(test):
    report = run_controls(test, SILENT)
    for control in report.controls:
        found = control.differences["rougeL"].difference
        assert found.mean == pytest.approx(
            test.system.intervals["rougeL"].mean - control.system.intervals["rougeL"].mean
        )
        assert len(control.system.captions) == 3
    assert report.to_json()["verdicts"] == report.verdicts


def test_the_demo_model_ranks_its_controls_as_it_must(tiny_data):
    """Other music takes the sound words and leaves the theme; other lyrics take the theme and leave the sound words."""
    captioner = Captioner.from_pretrained("demo", device="cpu")
    songs = tiny_data.split("train")[:12]
    scored = SongSet.from_prepared(songs, True)
    captions = caption_split(captioner, tiny_data, songs, GREEDY, SILENT)
    system = score_system("demo", captions, scored, "f1", SILENT)
    test = RunUnderTest(captioner, system, tiny_data, songs, scored, "train", "f1", GREEDY, None, None)
    found = {control.name: control.system.attributes for control in run_controls(test, SILENT).controls}

    def lost(control, *names):
        return np.mean([system.attributes[name] - found[control][name] for name in names])

    sound = ("tempo", "mode", "timbre", "drums")
    assert lost(OTHER_MUSIC, *sound) > 0.2 > lost(OTHER_MUSIC, "theme")
    assert lost(OTHER_LYRICS, "theme") > 0.2 > lost(OTHER_LYRICS, *sound)


def test_zero_states_keep_their_shapes(test):
    music = music_states(test.captioner, test.data, SILENT)
    zeros = ZeroStates(music)
    key = test.songs[0].mel
    assert zeros[key].shape == music[key].shape and not zeros[key].any() and music[key].any()
    assert set(zeros) == set(music.files) and len(zeros) == len(music.files)


def test_one_song_cannot_be_swapped(test):
    alone = RunUnderTest(**{**vars(test), "songs": test.songs[:1]})
    with pytest.raises(DataError, match="only one"):
        run_controls(alone, SILENT)


def song(number, *captions, lyrics="x"):
    return PreparedSong(Song(f"s{number}", "", lyrics, tuple(map(Caption, captions)), "train"), f"m{number}", 1.0)


def test_the_best_single_caption_is_the_most_central_one():
    """A song's own captions do not vote for themselves, or the long one would win."""
    training = [song(row, "a song of love and the sea", f"word{row} other{row}") for row in range(6)]
    training += [song(7, "zebra", "zebra crossing the road")]
    assert best_caption(training, seed=0) == "a song of love and the sea"
    assert best_caption([song(1, "only one")], seed=0) == "only one"


def test_training_songs_find_themselves(test):
    """Asked for its own training songs, the nearest one is the song itself."""
    training = test.data.split("train")
    asked = RunUnderTest(**{**vars(test), "songs": training[3:8]})
    music = music_states(test.captioner, test.data, SILENT)
    found = nearest_captions(asked, training, music, SILENT)
    assert found == [entry.song.captions[0].text for entry in training[3:8]]


def report_of(low):
    difference = Comparison(Interval(low + 0.02, low, low + 0.04), 0.5)
    return ControlReport("run", [Control(name, None, {"rougeL": difference}) for name in (OTHER_MUSIC, OTHER_LYRICS)])


@pytest.mark.parametrize(
    ("low", "begins"),
    [(0.001, "uses the music:"), (0.0, "is not shown to use the music:"), (-0.5, "is not shown to use")],
)
def test_a_use_is_claimed_only_if_the_interval_excludes_nothing(low, begins):
    verdicts = report_of(low).verdicts
    assert verdicts[0].startswith(begins)
    assert np.char.startswith(verdicts[1], begins.replace("music", "lyrics"))
