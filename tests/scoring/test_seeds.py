"""Few seeds, many songs: the right variance, Student's t, and false alarms at their rate."""

import numpy as np
import pytest

from recap_cli.errors import DataError
from recap_cli.scoring.bootstrap import bootstrap_interval
from recap_cli.scoring.seeds import mean_variance, paired_seeds, seeds_interval, unpaired_seeds


def crossed(rng, seeds: int, songs: int, of_seeds: float, of_songs: float, rest: float = 1.0) -> np.ndarray:
    """Values [seeds, songs] of mean 0 with effects of the given standard deviations."""
    return (
        of_seeds * rng.normal(size=(seeds, 1))
        + of_songs * rng.normal(size=songs)
        + rest * rng.normal(size=(seeds, songs))
    )


def test_by_hand():
    """Two seeds, two songs: the seeds' means are 1 and 3, those of the songs 1.5 and 2.5, nothing is left.

    Variances of the mean: 1 of seeds, .25 of songs, together 1.25, with 1.25 ** 2 / (1 ** 2 + .25 ** 2) = 1.4706
    degrees of freedom; the density of that t integrates to 97.5 % below 6.1881.
    """
    values = np.array([[0.5, 1.5], [2.5, 3.5]])
    variance, degrees = mean_variance(values)
    assert (variance, degrees) == pytest.approx((1.25, 1.25**2 / (1 + 0.25**2)))
    found = paired_seeds(values, np.zeros((2, 2)))
    assert found.difference.mean == 2
    assert found.difference.high == pytest.approx(2 + 6.18811 * 1.25**0.5, rel=1e-5)
    assert found.difference.low == pytest.approx(2 - 6.18811 * 1.25**0.5, rel=1e-5)
    assert found.p == pytest.approx(0.258532, rel=1e-5)


def test_the_same_for_all_songs_is_a_t_test_over_seeds():
    from scipy import stats

    a, b = np.array([0.51, 0.55, 0.53, 0.58]), np.array([0.50, 0.52, 0.53, 0.53])
    found = paired_seeds(np.tile(a[:, None], 7), np.tile(b[:, None], 7))
    known = stats.ttest_rel(a, b)
    reach = known.confidence_interval()
    assert found.p == pytest.approx(known.pvalue)
    assert (found.difference.low, found.difference.high) == pytest.approx((reach.low, reach.high))


def test_variance_is_that_of_two_level_draws_without_what_they_count_thrice():
    """Draw 3 of 4 seeds and 11 of 12 songs with replacement, again and again."""
    rng = np.random.default_rng(0)
    values = crossed(rng, 4, 12, 0.5, 1.5)
    draws = [values[rng.integers(0, 4, 3)][:, rng.integers(0, 12, 11)].mean() for _ in range(40_000)]
    centred = values - values.mean(axis=0) - values.mean(axis=1)[:, None] + values.mean()
    rest = np.sum(centred**2) / (3 * 11) / 48
    assert np.var(draws) == pytest.approx(mean_variance(values)[0] + 2 * rest, rel=0.03)


@pytest.mark.parametrize(("of_seeds", "of_songs"), [(0.3, 0.2), (0.0, 1.0), (0.0, 0.0)])
def test_variance_is_right_on_average(of_seeds, of_songs):
    rng = np.random.default_rng(1)
    found = [mean_variance(crossed(rng, 5, 40, of_seeds, of_songs))[0] for _ in range(600)]
    true = of_seeds**2 / 5 + of_songs**2 / 40 + 1 / 200
    # Where nothing but the rest varies, the larger of two estimates is a little too large.
    assert true * 0.93 < np.mean(found) < true * (1.1 if of_seeds or of_songs else 1.5)


@pytest.mark.parametrize(("seeds", "low", "high"), [(3, 0.03, 0.08), (5, 0.03, 0.08), (8, 0.03, 0.08)])
def test_false_alarms_come_at_their_rate_where_seeds_differ(seeds, low, high):
    rng = np.random.default_rng(2)
    zero = np.zeros((seeds, 50))
    alarms = [paired_seeds(crossed(rng, seeds, 50, 1, 0.3), zero).p < 0.05 for _ in range(600)]
    assert low < np.mean(alarms) < high


@pytest.mark.parametrize("seeds", [5, 8])
def test_false_alarms_come_at_their_rate_where_songs_differ(seeds):
    rng = np.random.default_rng(3)
    zero = np.zeros((seeds, 50))
    alarms = [paired_seeds(crossed(rng, seeds, 50, 0, 3), zero).p < 0.05 for _ in range(600)]
    assert 0.03 < np.mean(alarms) < 0.08


@pytest.mark.parametrize(("seeds", "of_seeds"), [(3, 0.05), (5, 0.2)])
def test_interval_of_one_arm_covers_the_truth(seeds, of_seeds):
    rng = np.random.default_rng(4)
    found = [seeds_interval(crossed(rng, seeds, 50, of_seeds, 1, 0.5)) for _ in range(400)]
    assert 0.89 < np.mean([one.low < 0 < one.high for one in found]) < 0.985
    # Narrower by far than 4.3 or 2.8 standard errors of the songs, where the songs' variance is nearly all.
    assert np.mean([one.high - one.low for one in found]) < 2 * 3.3 * (of_seeds**2 / seeds + 1 / 50) ** 0.5


def test_pairing_takes_away_what_seeds_and_songs_share():
    rng = np.random.default_rng(5)
    common = crossed(rng, 5, 200, 0.05, 0.2, 0.0)
    a, b = common + 0.01 + 0.02 * rng.normal(size=(5, 200)), common + 0.02 * rng.normal(size=(5, 200))
    found = paired_seeds(a, b)
    assert 0 < found.difference.low < 0.01 < found.difference.high < 0.02
    assert found.p < 0.01
    shuffled = paired_seeds(a, b[::-1])
    assert shuffled.difference.mean == pytest.approx(found.difference.mean)
    assert shuffled.p > 0.1
    back = paired_seeds(b, a)
    assert back.p == found.p
    assert back.difference.low == pytest.approx(-found.difference.high)


def test_one_seed_is_a_bootstrap_over_songs():
    rng = np.random.default_rng(6)
    values = rng.random((1, 30))
    assert seeds_interval(values) == bootstrap_interval(values[0])


def test_without_any_spread():
    same = np.full((3, 4), 0.5)
    assert paired_seeds(same, same).p == 1.0
    better = paired_seeds(same + 0.25, same)
    assert 0 < better.p < 1e-6
    assert (better.difference.low, better.difference.high) == (0.25, 0.25)
    assert seeds_interval(same).low == 0.5
    assert paired_seeds(np.array([[0.1], [0.2]]), np.zeros((2, 1))).p == pytest.approx(1 - 2 / np.pi * np.arctan(3))


# seeds that are not shared --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("equal_variances", [False, True])
def test_songs_that_are_all_alike_leave_the_t_tests_of_scipy(equal_variances):
    """Welch's of two sides with several runs; Student's of one run against several."""
    from scipy import stats

    a = np.array([0.51, 0.55, 0.53, 0.58])
    b = np.array([0.41]) if equal_variances else np.array([0.47, 0.50, 0.42])
    known = stats.ttest_ind(a, b, equal_var=equal_variances)
    reach = known.confidence_interval()
    for ours, theirs, sign in ((a, b, 1), (b, a, -1)):
        found = unpaired_seeds(np.tile(ours[:, None], 7), np.tile(theirs[:, None], 7))
        assert found.p == pytest.approx(known.pvalue)
        ends = sorted((sign * reach.low, sign * reach.high))
        assert (found.difference.low, found.difference.high) == pytest.approx(ends)
    assert found.p < 0.06


def test_welch_by_hand():
    """Means of the runs 1 and 3 against 0, 1 and 2: variances of the mean 1 and 1/3, (4/3)^2 / (1/1 + (1/3)^2 / 2)."""
    a, b = np.tile([[1.0], [3.0]], 2), np.tile([[0.0], [1.0], [2.0]], 2)
    found = unpaired_seeds(a, b)
    degrees = (4 / 3) ** 2 / (1 + 1 / 18)
    assert degrees == pytest.approx(1.684211)
    # 97.5 % of Student's t with 1.684211 degrees of freedom lie below 5.17623.
    assert found.difference.mean == 1
    assert found.difference.high == pytest.approx(1 + 5.17623 * (4 / 3) ** 0.5, rel=1e-4)


def test_songs_are_a_sample_too():
    """Runs that agree on every song: what is left is the paired test of their difference over songs."""
    from scipy import stats

    rng = np.random.default_rng(7)
    songs, other = rng.normal(size=(2, 60))
    found = unpaired_seeds(np.tile(songs, (3, 1)), np.tile(songs + 0.2 * other, (4, 1)))
    known = stats.ttest_rel(songs, songs + 0.2 * other)
    assert found.p == pytest.approx(known.pvalue)
    assert found.difference.high == pytest.approx(known.confidence_interval().high)


@pytest.mark.parametrize(("ours", "theirs"), [(3, 3), (5, 5), (3, 8), (1, 5)])
@pytest.mark.parametrize(("of_seeds", "of_songs"), [(1.0, 0.3), (0.1, 1.0), (0.0, 1.0)])
def test_false_alarms_come_at_their_rate_where_no_seed_is_shared(ours, theirs, of_seeds, of_songs):
    rng = np.random.default_rng(8)

    def alarm() -> bool:
        common = rng.normal(size=50)  # what makes a song hard for both
        a, b = (common + crossed(rng, seeds, 50, of_seeds, of_songs, 0.5) for seeds in (ours, theirs))
        return unpaired_seeds(a, b).p < 0.05

    assert 0.02 < np.mean([alarm() for _ in range(500)]) < 0.085


def test_welch_where_one_side_varies_three_times_as_much():
    rng = np.random.default_rng(9)
    sides = ((crossed(rng, 8, 50, 1, 0.3), crossed(rng, 4, 50, 3, 0.3)) for _ in range(600))
    assert 0.03 < np.mean([unpaired_seeds(a, b).p < 0.05 for a, b in sides]) < 0.08


def test_a_large_effect_is_seen():
    rng = np.random.default_rng(10)
    a, b = crossed(rng, 5, 100, 0.05, 0.2, 0.1), crossed(rng, 4, 100, 0.05, 0.2, 0.1)
    found = unpaired_seeds(a + 1, b)
    assert found.p < 0.001
    assert found.difference.low > 0.5
    back = unpaired_seeds(b, a + 1)
    assert (back.p, back.difference.low) == pytest.approx((found.p, -found.difference.high))


def test_equal_runs_differ_by_nothing():
    same = np.full((3, 4), 0.5)
    assert unpaired_seeds(same, same[:2]).p == 1.0
    assert 0 < unpaired_seeds(same + 0.25, same[:2]).p < 1e-6


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: paired_seeds(np.ones((2, 3)), np.ones((3, 3))), "shapes"),
        (lambda: paired_seeds(np.ones((2, 3)), np.ones((2, 4))), "shapes"),
        (lambda: paired_seeds(np.ones((1, 3)), np.ones((1, 3))), "two or more seeds"),
        (lambda: unpaired_seeds(np.ones((2, 3)), np.ones((2, 4))), "shapes"),
        (lambda: unpaired_seeds(np.ones((1, 3)), np.ones((1, 3))), "shapes"),
        (lambda: seeds_interval(np.ones(3)), "2 dimensions"),
        (lambda: seeds_interval(np.full((2, 2), np.nan)), "not a number"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(DataError) as caught:
        call()
    assert message in f"{caught.value.message} {caught.value.hint}"
