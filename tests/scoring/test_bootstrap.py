import itertools
import time

import numpy as np
import pytest

from recap_cli.errors import DataError, OptionError
from recap_cli.scoring import bootstrap as uncertainty
from recap_cli.scoring.bootstrap import (
    bootstrap_interval,
    draw_sums,
    holm,
    interval,
    over_seeds,
    paired_difference,
    song_counts,
    two_level_difference,
    two_level_interval,
)


def scores(songs=200, seed=0, mean=0.3):
    return np.clip(np.random.default_rng(seed).normal(mean, 0.1, size=songs), 0, 1)


def test_interval_has_the_width_theory_gives():
    values = scores(2000)
    found = bootstrap_interval(values, resamples=4000)
    half = 1.959964 * values.std() / np.sqrt(2000)
    assert found.mean == pytest.approx(values.mean())
    assert found.high - found.mean == pytest.approx(half, rel=0.08)
    assert found.mean - found.low == pytest.approx(half, rel=0.08)


def test_two_songs_by_hand():
    # Means of 0 and 1 drawn twice: 0, 1/2, 1 with chances 1/4, 1/2, 1/4.
    assert bootstrap_interval(np.array([0.0, 1.0])) == uncertainty.Interval(0.5, 0.0, 1.0)
    assert bootstrap_interval(np.array([0.0, 1.0]), level=0.4) == uncertainty.Interval(0.5, 0.5, 0.5)


def test_interval_equals_the_plain_loop():
    values = scores(31)
    counts = np.concatenate(list(song_counts(31, 500, np.random.default_rng(4))))
    assert counts.shape == (500, 31)
    assert (counts.sum(axis=1) == 31).all()
    means = [np.mean(np.repeat(values, row.astype(int))) for row in counts]
    found = bootstrap_interval(values, resamples=500, seed=4)
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(means, [0.025, 0.975])))


def test_same_seed_same_interval_and_other_seed_another():
    values = scores()
    assert bootstrap_interval(values, seed=1) == bootstrap_interval(values, seed=1)
    assert bootstrap_interval(values, seed=1) != bootstrap_interval(values, seed=2)


def test_draws_in_blocks_hold_all_draws(monkeypatch):
    monkeypatch.setattr(uncertainty, "CHUNK_CELLS", 700)
    blocks = list(song_counts(100, 30, np.random.default_rng(0)))
    assert [len(block) for block in blocks] == [7, 7, 7, 7, 2]
    assert paired_difference(scores(100), scores(100, seed=1), trials=30).p > 0


def test_weights_count_a_song_as_often():
    values, repeats = scores(50), np.arange(1, 51)
    weighted = bootstrap_interval(values, weights=repeats)
    assert weighted.mean == pytest.approx(np.repeat(values, repeats).mean())
    # A song is still one draw: resampling its captions apart would pretend to more evidence.
    assert weighted.high - weighted.low > 2 * (
        bootstrap_interval(np.repeat(values, repeats)).high - bootstrap_interval(np.repeat(values, repeats)).low
    )
    equal = bootstrap_interval(values, weights=np.full(50, 3.0))
    plain = bootstrap_interval(values)
    assert (equal.mean, equal.low, equal.high) == pytest.approx((plain.mean, plain.low, plain.high))


def test_three_thousand_songs_take_well_under_a_second():
    start = time.process_time()
    bootstrap_interval(scores(3000))
    assert time.process_time() - start < 1.0


def test_randomisation_p_is_near_the_exact_one():
    a, b = scores(10, mean=0.36), scores(10, seed=3)
    difference = a - b
    flips = np.array(list(itertools.product([-1, 1], repeat=10)))
    exact = np.mean(np.abs(flips @ difference) >= abs(difference.sum()) - 1e-12)
    found = paired_difference(a, b, trials=20_000).p
    assert 0.005 < exact < 0.9
    assert found == pytest.approx(exact, abs=0.01)


def test_p_has_its_smallest_value_when_no_swap_does_better():
    a = scores(300)
    found = paired_difference(a + 0.05, a, trials=999)
    assert found.p == 1 / 1000
    assert found.difference.mean == pytest.approx(0.05)
    assert found.difference.low == pytest.approx(0.05)


def test_equal_systems_differ_by_nothing():
    a = scores()
    found = paired_difference(a, a)
    assert found.p == 1.0
    assert found.difference == uncertainty.Interval(0.0, 0.0, 0.0)


def test_swapping_the_systems_turns_the_sign():
    a, b = scores(), scores(seed=1)
    there, back = paired_difference(a, b), paired_difference(b, a)
    assert there.p == back.p
    assert there.difference.mean == -back.difference.mean
    assert there.difference.low == pytest.approx(-back.difference.high)


def test_pairing_narrows_the_interval():
    a = scores()
    noise = np.random.default_rng(9).normal(0, 0.01, size=200)
    found = paired_difference(a, a + noise).difference
    assert found.high - found.low < 0.2 * (bootstrap_interval(a).high - bootstrap_interval(a).low)


def test_false_alarms_come_at_their_rate():
    rng = np.random.default_rng(5)
    alarms = [paired_difference(*rng.normal(size=(2, 30)), resamples=1, trials=199).p <= 0.05 for _ in range(400)]
    assert 0.025 < np.mean(alarms) < 0.08


def test_two_level_interval_with_one_seed_is_the_interval_over_songs():
    values = scores()
    one, plain = two_level_interval(values[None]), bootstrap_interval(values)
    assert (one.mean, one.low, one.high) == pytest.approx((plain.mean, plain.low, plain.high))


def test_two_level_interval_equals_the_plain_loop():
    values = np.random.default_rng(0).normal(size=(3, 20))
    songs = np.concatenate(list(song_counts(20, 400, np.random.default_rng(7)))).astype(int)
    seeds = np.random.default_rng([7, 1]).multinomial(3, [1 / 3] * 3, size=400)
    means = [
        np.mean(np.repeat(np.repeat(values, seed_row, axis=0), song_row, axis=1))
        for seed_row, song_row in zip(seeds, songs, strict=True)
    ]
    found = two_level_interval(values, resamples=400, seed=7)
    assert found.mean == pytest.approx(values.mean())
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(means, [0.025, 0.975])))


def test_seeds_that_disagree_widen_the_interval():
    songs = scores(1000)
    agree = np.tile(songs, (5, 1))
    disagree = agree + np.array([-0.04, -0.02, 0.0, 0.02, 0.04])[:, None]
    narrow, wide = two_level_interval(agree), two_level_interval(disagree)
    assert wide.high - wide.low > 3 * (narrow.high - narrow.low)
    # The seeds' mean deviates by sqrt(.0008 / 5) = .01265, plus the songs' .0032.
    assert wide.high - wide.low == pytest.approx(2 * 1.96 * np.hypot(0.01265, 0.0032), rel=0.1)


def test_sums_of_a_draw_see_the_same_songs_in_every_column():
    values = scores(50)
    sums = draw_sums(np.column_stack([values, 2 * values, np.ones(50)]), resamples=200, seed=4)
    assert sums.shape == (200, 3)
    assert sums[:, 1] == pytest.approx(2 * sums[:, 0])
    assert set(sums[:, 2]) == {50.0}
    found = interval(values.mean(), sums[:, 0] / 50)
    assert vars(found) == pytest.approx(vars(bootstrap_interval(values, 200, seed=4)))
    with pytest.raises(DataError):
        draw_sums(np.array([[np.nan]]))


def test_draws_of_each_seed_become_two_level_draws():
    """For means over songs both ways are the same bootstrap."""
    values = np.stack([scores(60, seed) for seed in range(3)])
    draws = draw_sums(values.T, resamples=300).T / 60
    assert vars(interval(values.mean(), over_seeds(draws))) == pytest.approx(vars(two_level_interval(values, 300)))


def test_weights_count_in_two_level_differences():
    """A song of weight 2 counts as two songs in the difference."""
    a, b = np.stack([scores(40, 1), scores(40, 2)]), np.stack([scores(40, 3)])
    weights = np.ones(40)
    weights[:5] = 2
    doubled = [np.concatenate([side, side[:, :5]], axis=1) for side in (a, b)]
    found = two_level_difference(a, b, weights=weights)
    assert found.difference.mean == pytest.approx(two_level_difference(*doubled).difference.mean)
    assert found.difference.low < found.difference.mean < found.difference.high
    plain = two_level_difference(a, b)
    assert vars(two_level_difference(a, b, weights=np.full(40, 3.0)).difference) == pytest.approx(
        vars(plain.difference)
    )


def test_two_level_difference_sees_a_large_effect_and_no_absent_one():
    rng = np.random.default_rng(3)
    songs = scores(300)
    a, b = (songs + rng.normal(0, 0.005, size=(n, 1)) + rng.normal(0, 0.02, size=(n, 300)) for n in (5, 4))
    same, better = two_level_difference(a, b), two_level_difference(a + 0.05, b)
    assert same.p > 0.05
    assert same.difference.low < 0 < same.difference.high
    assert better.p == 1 / 1001
    assert better.difference.low > 0
    assert better.difference.mean == pytest.approx(a.mean() - b.mean() + 0.05)


def test_two_level_difference_keeps_songs_paired():
    values = np.random.default_rng(1).normal(size=(1, 100))
    found = two_level_difference(values + 0.5, values)
    assert (found.difference.low, found.difference.high) == pytest.approx((0.5, 0.5))
    assert two_level_difference(values, values).p == 1.0


@pytest.mark.parametrize(
    ("p", "adjusted"),
    [
        # Sorted .005 x 4, .01 x 3, .03 x 2, .04 x 1, each at least as large as the one before.
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),
        ([0.5, 0.6], [1.0, 1.0]),
        ([0.02], [0.02]),
        ([], []),
    ],
)
def test_holm_by_hand(p, adjusted):
    assert list(holm(p)) == pytest.approx(adjusted)


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda: bootstrap_interval(np.array([])), DataError, "filled"),
        (lambda: bootstrap_interval(np.ones((2, 2))), DataError, "1 dimensions"),
        (lambda: bootstrap_interval(np.array([1.0, np.nan])), DataError, "not a number"),
        (lambda: bootstrap_interval(np.ones(3), weights=np.ones(2)), DataError, "weight"),
        (lambda: bootstrap_interval(np.ones(3), weights=np.array([1, 0, 1])), DataError, "weight"),
        (lambda: bootstrap_interval(np.ones(3), level=1.0), OptionError, "coverage"),
        (lambda: bootstrap_interval(np.ones(3), resamples=0), OptionError, "at least 1"),
        (lambda: paired_difference(np.ones(3), np.ones(1)), DataError, "shapes"),
        (lambda: paired_difference(np.ones(3), np.ones(3), trials=0), OptionError, "at least 1"),
        (lambda: two_level_interval(np.ones(3)), DataError, "2 dimensions"),
        (lambda: two_level_difference(np.ones((2, 3)), np.ones((2, 4))), DataError, "3 and 4 songs"),
        (lambda: holm([0.5, 1.5]), DataError, "P values"),
        (lambda: holm([0.5, np.nan]), DataError, "P values"),
        (lambda: interval(0.0, np.zeros(3), level=0.0), OptionError, "coverage"),
    ],
)
def test_bad_input_is_named(call, kind, message):
    with pytest.raises(kind, match=message):
        call()
