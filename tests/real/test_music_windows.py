"""Windows of real music are moved to tags that are wanted, and stay windows that musicnn could have heard."""

import numpy as np
import pytest
import torch

from recap_cli.facts.music import PLACES
from recap_cli.model.musicnn import load_musicnn
from recap_cli.real.music_windows import TagMover, choose_windows, find_units


@pytest.fixture(scope="module")
def windows():
    return torch.rand(6, 96, 187, generator=torch.Generator().manual_seed(0)) * 4


@pytest.fixture(scope="module")
def units(windows):
    return find_units(load_musicnn(), windows)


@pytest.fixture(scope="module")
def mover():
    return TagMover(load_musicnn())


def test_the_last_layer_gives_the_tags_of_the_model(windows, units, mover):
    states, _ = load_musicnn()(torch.cat(list(windows), dim=1)[None])
    assert np.abs(mover.tags(units) - states[0].detach().numpy()).max() < 2e-3  # units are kept in fp16


def test_wanted_tags_come_and_others_move_less(units, mover):
    wanted = {"mtt:female": 0.6, "mtt:no vocals": 0.02, "msd:folk": 0.5}
    before, after = (mover.tags(one).mean(axis=0) for one in (units, mover.move(units, wanted)))
    for tag, level in wanted.items():
        place = PLACES[tag]
        assert abs(after[place] - level) < 0.6 * abs(before[place] - level), tag
    others = [place for tag, place in PLACES.items() if tag not in wanted]
    assert np.abs(after - before)[others].mean() < 0.1


def test_moved_units_are_none_that_a_relu_cannot_give(units, mover):
    assert mover.move(units, {"mtt:female": 0.9, "msd:metal": 0.9}).min() >= 0
    assert np.array_equal(mover.move(units, {}), np.maximum(units.astype(np.float64), 0))


def test_windows_follow_each_other_and_come_again():
    units = np.arange(5)[:, None]
    assert choose_windows(units, 8, np.random.default_rng(0))[:, 0].tolist() == [0, 1, 2, 3, 4, 0, 1, 2]
    some = choose_windows(units, 3, np.random.default_rng(1))[:, 0]
    assert np.all(np.diff(some) == 1)
