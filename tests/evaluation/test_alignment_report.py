"""What alignment and attention of a run are measured from, and that each measure moves as it must."""

import numpy as np
import pytest
import torch

from recap_cli.captioning.captioner import Captioner
from recap_cli.demo.songs import DemoSettings, render_song, render_two_timbres
from recap_cli.errors import DataError
from recap_cli.evaluation import alignment_report as attention
from recap_cli.evaluation.alignment_report import (
    Attended,
    apply_probe,
    attend,
    compare_maps,
    measure_run,
    over_time,
    share_on,
    train_probe,
)
from recap_cli.evaluation.captions import music_states
from recap_cli.evaluation.pooled_vectors import PooledSongs, pool_songs, project_songs
from recap_cli.progress import SilentProgress
from recap_cli.scoring.alignment import measure_alignment

SILENT = SilentProgress()


@pytest.fixture(scope="module")
def captioner(tiny_run):
    return Captioner.from_pretrained(tiny_run, device="cpu")


@pytest.fixture(scope="module")
def music(captioner, tiny_data):
    return music_states(captioner, tiny_data, SILENT)


# pooled vectors -------------------------------------------------------------------------------------------------------


def test_pooled_sides_are_those_of_the_alignment_loss(captioner, tiny_data, music):
    """What the model's forward pools and projects in training."""
    from recap_cli.corpus.dataset import SongCollator, SongDataset

    songs = tiny_data.split("train")[:4]
    dataset = SongDataset(songs, captioner.processor, music, per_caption=False)
    (batch,) = SongCollator(captioner.processor, "states").batches(dataset, 4)
    with torch.inference_mode():
        output = captioner.model(**batch)
    projected = project_songs(captioner, pool_songs(captioner, songs, music, SILENT))
    assert projected[0] == pytest.approx(output.pooled_music.numpy(), abs=1e-5)
    assert projected[1] == pytest.approx(output.pooled_lyrics.numpy(), abs=1e-5)


def test_a_probe_learns_what_is_there_and_nothing_else(captioner):
    """A linear relation carries over to held-out songs; no relation does not."""
    config = captioner.model.config
    rng = np.random.default_rng(0)
    lyrics = rng.normal(size=(400, config.d_model)).astype(np.float32)
    mixing = rng.normal(size=(config.d_model, config.music_sizes.width))
    related = PooledSongs((lyrics @ mixing).astype(np.float32), lyrics)
    unrelated = PooledSongs(rng.permutation(related.music), lyrics)
    gaps = []
    for pooled in (related, unrelated):
        probe, loss = train_probe(captioner, PooledSongs(pooled.music[:300], pooled.lyrics[:300]))
        gaps.append(measure_alignment(*apply_probe(probe, PooledSongs(pooled.music[300:], pooled.lyrics[300:]))).gap)
    assert loss == config.alignment_loss
    assert gaps[0] > 0.8 and abs(gaps[1]) < 0.2


def test_report_of_a_run(captioner, tiny_data):
    songs = [*tiny_data.split("validation"), *tiny_data.split("test")]
    weights = [parameter.clone() for parameter in captioner.model.parameters()]
    report = measure_run("run", captioner, tiny_data, songs, SILENT)
    document = report.to_json()
    assert report.trained.pool == report.attention.songs == len(songs)
    assert 0 <= report.attention.entropy.low <= report.attention.entropy.high <= 1
    assert document["trained"]["chance"]["recall_at_1"] == pytest.approx(1 / len(songs))
    assert report.bounds.ceiling == pytest.approx(np.log(len(songs)))
    assert np.diag(report.cosines[0] @ report.cosines[1].T).mean() == pytest.approx(report.trained.matched)
    assert all(torch.equal(a, b) for a, b in zip(weights, captioner.model.parameters(), strict=True))
    assert measure_run("run", captioner, tiny_data, songs, SILENT).to_json() == document


def test_one_song_cannot_be_aligned(captioner, tiny_data):
    with pytest.raises(DataError, match="1 to measure"):
        measure_run("run", captioner, tiny_data, tiny_data.split("test")[:1], SILENT)


# attention ------------------------------------------------------------------------------------------------------------


def test_uniform_and_sharp_attention():
    states = np.ones((3, 4))
    uniform = Attended(np.full((3, 41), 1 / 41), states)
    sharp = Attended(np.eye(41)[[5, 6, 7]], states)
    figures = compare_maps(uniform, uniform)
    assert figures == pytest.approx({"entropy": 1.0, "from_uniform": 0.0, "cls": 1 / 41, "swapped": 0.0, "states": 0.0})
    figures = compare_maps(sharp, Attended(np.eye(41)[[20, 21, 22]], 2 * states))
    assert figures == pytest.approx(
        {"entropy": 0.0, "from_uniform": 40 / 41, "cls": 0.0, "swapped": 1.0, "states": 1.0}, abs=1e-9
    )


def test_time_is_compared_by_shares_of_the_song():
    """The same attention over songs of different lengths is the same; nothing is lost on the way."""
    for steps in (7, 20, 33, 100):
        spans = over_time(np.concatenate([[[0.2]], np.full((1, steps), 0.8 / steps)], axis=1))
        assert spans[0] == pytest.approx([0.2, *[0.8 / 20] * 20])
    weights = np.random.default_rng(0).dirichlet(np.ones(34), size=5)
    assert over_time(weights).sum(axis=1) == pytest.approx(np.ones(5))


def test_maps_are_those_of_each_song(captioner, tiny_data, music):
    songs = tiny_data.split("train")[:2]
    maps = [one.map for one in attend(captioner, songs, music)]
    for entry, weights in zip(songs, maps, strict=True):
        assert weights.shape == (captioner.processor.encode_lyrics(entry.song.lyrics)[1], len(music[entry.mel]))
        assert weights.sum(axis=1) == pytest.approx(np.ones(len(weights)), abs=1e-5)


def test_songs_change_their_timbre_half_way(tiny_data):
    settings = DemoSettings.from_json(tiny_data.info["demo"])
    orders = set()
    for row, entry in enumerate(tiny_data.split("train")[:6]):
        halved = render_two_timbres(entry.song, settings, np.random.default_rng(row))
        middle = len(halved.samples) // 2
        first, second = (render_song(entry.song, settings, timbre) for timbre in halved.timbres)
        assert np.array_equal(halved.samples[: middle - 500], first[: middle - 500])
        assert np.array_equal(halved.samples[middle + 500 :], second[middle + 500 :])
        assert not np.array_equal(first, second)
        orders.add(halved.timbres.index(entry.song.tags["timbre"]))
    assert orders == {0, 1}
    assert np.array_equal(
        render_song(entry.song, settings, entry.song.tags["timbre"]), render_song(entry.song, settings)
    )


def test_the_share_belongs_to_the_wanted_half():
    assert share_on(0.75, ("flute", "organ"), "flute") == [0.75]
    assert share_on(0.75, ("flute", "organ"), "organ") == [0.25]
    assert share_on(0.75, ("flute", "organ"), "bells") == share_on(0.75, ("flute", "organ"), None) == []


def test_halves_are_for_demo_songs_only(captioner, tiny_data, music, monkeypatch):
    monkeypatch.setattr(type(tiny_data), "is_demo", False)
    monkeypatch.setattr(attention, "add_halves", lambda *rest: pytest.fail("rendered"))
    report = attention.measure_attention(captioner, tiny_data, tiny_data.split("test"), music, SILENT)
    assert (report.named_half, report.named_songs) == (None, 0)
