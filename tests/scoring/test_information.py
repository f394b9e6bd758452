"""Bounds on information: they must enclose what is known in closed form, and stop at their ceilings."""

import numpy as np
import pytest

from recap_cli.errors import DataError
from recap_cli.scoring.information import bound_information, club_bound, infonce_bound


def correlated(songs, rho, width=4, seed=0):
    """Pairs of Gaussians, each dimension correlated by rho: I = -width / 2 * log(1 - rho^2)."""
    rng = np.random.default_rng(seed)
    music = rng.normal(size=(songs, width))
    return music, rho * music + np.sqrt(1 - rho**2) * rng.normal(size=(songs, width))


def split(music, lyrics, fitted):
    return music[:fitted], lyrics[:fitted], music[fitted:], lyrics[fitted:]


def bound(fit_music, fit_lyrics, music, lyrics):
    fitting = fit_music, fit_lyrics
    return bound_information(fitting, fitting, (music, lyrics))


@pytest.mark.parametrize("rho", [0.5, 0.8])
def test_bounds_enclose_the_truth(rho):
    """Unit vectors keep part of the information, so CLUB is checked on the vectors as they are too."""
    truth = -2 * np.log(1 - rho**2)
    parts = split(*correlated(3000, rho), 2000)
    found = bound(*parts)
    assert 0.1 < found.infonce < truth
    assert club_bound(*parts, 4) > truth
    assert found.club > found.infonce
    assert (found.pool, found.fitted, found.components) == (1000, 2000, 4)


def test_independent_sides_share_nothing():
    rng = np.random.default_rng(1)
    found = bound(*split(rng.normal(size=(1500, 8)), rng.normal(size=(1500, 8)), 1000))
    assert found.infonce == pytest.approx(0.0, abs=0.02)
    assert found.club == pytest.approx(0.0, abs=0.1)


def test_ceiling_is_log_n_however_much_is_shared():
    music = np.random.default_rng(2).normal(size=(164, 16))
    found = bound(*split(music, music, 100))
    assert found.ceiling == pytest.approx(np.log(64))
    assert 0.9 * found.ceiling < found.infonce <= found.ceiling
    assert found.club > found.ceiling


def test_infonce_is_the_loss_written_out():
    music, lyrics = correlated(30, 0.7)
    unit = [side / np.linalg.norm(side, axis=1)[:, None] for side in (music, lyrics)]
    scores = [[float(a @ b) / 0.25 for b in unit[1]] for a in unit[0]]
    loss = np.mean([np.log(sum(np.exp(row))) - row[k] for k, row in enumerate(scores)])
    assert infonce_bound(*unit, 0.25) == pytest.approx(np.log(30) - loss)


def test_club_of_shuffled_pairs_falls():
    parts = split(*correlated(60, 0.6, width=2), 40)
    shuffled = parts[3][np.random.default_rng(3).permutation(20)]
    assert club_bound(*parts[:3], shuffled, 2) < club_bound(*parts, 2)


def test_collapsed_vectors_share_nothing():
    music, _ = correlated(50, 0.5)
    constant = np.ones((50, 4))
    found = bound(*split(music, constant, 30))
    assert found.infonce == pytest.approx(0.0, abs=1e-9)
    assert abs(found.club) < 1e-6


def test_a_temperature_from_songs_that_were_learnt_by_heart_is_too_low():
    """Training songs whose pairs are equal choose a sharp temperature, which the held-out songs contradict."""
    fitting, held_out = correlated(200, 0.999, seed=1), correlated(200, 0.4, seed=2)
    by_heart = bound_information(fitting, fitting, held_out)
    apart = bound_information(fitting, correlated(200, 0.4, seed=3), held_out)
    assert by_heart.temperature < apart.temperature
    assert by_heart.infonce < 0 < apart.infonce


def test_too_few_songs():
    music, lyrics = correlated(3, 0.5)
    with pytest.raises(DataError, match="at least two songs"):
        bound(*split(music, lyrics, 2))
