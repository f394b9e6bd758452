import itertools
import time
from math import erfc

import numpy as np
import pytest
from benchmarks.clusters import SIZES, count_alarms
from sacrebleu.metrics import BLEU, CHRF

from recap_cli.errors import DataError
from recap_cli.scoring import bootstrap
from recap_cli.scoring.bootstrap import (
    TRIALS,
    bootstrap_interval,
    cluster_sums,
    draw_sums,
    effective_samples,
    enough_trials,
    holm,
    interval,
    paired_difference,
    paired_differences,
    song_counts,
    summed_differences,
)
from recap_cli.scoring.text import SUMMED, score_songs


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
    assert bootstrap_interval(np.array([0.0, 1.0])) == bootstrap.Interval(0.5, 0.0, 1.0)


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
    monkeypatch.setattr(bootstrap, "CHUNK_CELLS", 700)
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
    assert found.difference == bootstrap.Interval(0.0, 0.0, 0.0)


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
    ("call", "message"),
    [
        (lambda: bootstrap_interval(np.array([])), "filled"),
        (lambda: bootstrap_interval(np.ones((2, 2))), "1 dimensions"),
        (lambda: bootstrap_interval(np.array([1.0, np.nan])), "not a number"),
        (lambda: bootstrap_interval(np.ones(3), weights=np.ones(2)), "weight"),
        (lambda: bootstrap_interval(np.ones(3), weights=np.array([1, 0, 1])), "weight"),
        (lambda: paired_difference(np.ones(3), np.ones(1)), "shapes"),
        (lambda: holm([0.5, 1.5]), "P values"),
        (lambda: holm([0.5, np.nan]), "P values"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(DataError, match=message):
        call()


# BLEU and chrF: against sacreBLEU on texts that are resampled and swapped one by one ----------------------------------

LINE = "the sea is wide and the road is long in a cold war of love by night"
WORDS = LINE.split()
REFERENCES = [" ".join(WORDS[row % 4 : 8 + row % 7]) for row in range(8)]
GOOD = [text if row % 3 else text.replace("sea", "lake") for row, text in enumerate(REFERENCES)]
FAIR = [" ".join(text.split()[row % 3 :][: 6 + row % 2]) for row, text in enumerate(REFERENCES)]
POOR = [" ".join(WORDS[row % 3 : 9 + row % 3]) for row in range(8)]
SACREBLEU = {"bleu": BLEU(), "chrf": CHRF()}


def compare(figure, ours, theirs, **options):
    ids = [str(row) for row in range(8)]
    sides = tuple(
        score_songs(ids, texts, [[text] for text in REFERENCES]).statistics(figure) for texts in (ours, theirs)
    )
    return summed_differences(SUMMED[figure], [sides], **options)[0]


def directly(figure, texts, rows=range(8)):
    return SACREBLEU[figure].corpus_score([texts[row] for row in rows], [[REFERENCES[row] for row in rows]]).score


@pytest.mark.parametrize("figure", ["bleu", "chrf"])
def test_draws_are_those_of_resampled_texts(figure):
    found = compare(figure, FAIR, POOR, resamples=40, trials=10, seed=3).difference
    (counts,) = song_counts(8, 40, np.random.default_rng(3))
    picked = [np.repeat(np.arange(8), row.astype(int)) for row in counts]
    draws = [directly(figure, FAIR, rows) - directly(figure, POOR, rows) for rows in picked]
    assert found.mean == pytest.approx(directly(figure, FAIR) - directly(figure, POOR))
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(draws, [0.025, 0.975])))


@pytest.mark.parametrize("figure", ["bleu", "chrf"])
def test_p_is_the_share_of_all_swaps(figure):
    """Random swaps of eight songs beside all 256 of them, scored by sacreBLEU."""
    differences = []
    for swaps in itertools.product((False, True), repeat=8):
        pairs = [(b, a) if swap else (a, b) for a, b, swap in zip(FAIR, POOR, swaps, strict=True)]
        first, second = zip(*pairs, strict=True)
        differences.append(abs(directly(figure, first) - directly(figure, second)))
    exact = np.mean(np.array(differences) >= differences[0] - 1e-9)
    found = compare(figure, FAIR, POOR).p
    assert 0.01 < exact < 0.9
    assert found == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / 10_000))


@pytest.mark.parametrize("figure", ["bleu", "chrf"])
def test_equal_and_unequal_systems(figure):
    same = compare(figure, GOOD, GOOD)
    assert (vars(same.difference), same.p) == ({"mean": 0.0, "low": 0.0, "high": 0.0}, 1.0)
    apart = compare(figure, GOOD, ["zzz"] * 8)
    assert apart.difference.low > 0
    assert apart.p < 0.02


def test_other_songs_are_refused():
    with pytest.raises(DataError, match="not the same number of songs"):
        summed_differences(SUMMED["bleu"], [(np.ones((3, 10)), np.ones((2, 10)))])


# clusters -------------------------------------------------------------------------------------------------------------


def test_songs_of_one_cluster_count_as_one():
    """Ten copies of every song under one number say no more than the songs alone."""
    values, copies = scores(30), np.repeat(scores(30), 10)
    clusters = np.repeat(np.arange(30), 10)
    alone = bootstrap_interval(values, clusters=np.arange(30))
    together = bootstrap_interval(copies, clusters=clusters)
    assert vars(together) == pytest.approx(vars(alone))
    assert bootstrap_interval(copies).high - bootstrap_interval(copies).low < 0.5 * (alone.high - alone.low)
    noise = scores(30, seed=1)
    alone, together = (
        paired_difference(values, noise, clusters=np.arange(30)),
        paired_difference(copies, np.repeat(noise, 10), clusters=clusters),
    )
    assert together.p == alone.p and vars(together.difference) == pytest.approx(vars(alone.difference))
    assert paired_difference(copies, np.repeat(noise, 10)).p < alone.p


def test_few_clusters_make_intervals_wider():
    """As much as Student's t asks for: the ends are those of 95.8 % of the draws for 49 alike (Hesterberg 2015)."""
    draws = np.arange(1_000_001.0)
    found = interval(0.0, draws, np.repeat(np.arange(49), 3))
    z = 2.0106 * (49 / 48) ** 0.5  # 0.975 of Student's t with 48 degrees of freedom
    assert found.low == pytest.approx(1e6 * 0.5 * erfc(z / 2**0.5), rel=1e-3)
    assert found.low + found.high == pytest.approx(1e6)
    many = interval(0.0, draws, np.arange(10_000))
    assert many.low == pytest.approx(interval(0.0, draws).low, rel=1e-3)
    assert effective_samples(np.repeat(np.arange(49), 3)) == pytest.approx(49)
    assert effective_samples(np.repeat(np.arange(len(SIZES)), SIZES)) == pytest.approx(20.4, abs=0.1)
    one = interval(0.0, draws, np.zeros(7))
    assert (one.low, one.high) == pytest.approx((0, 1e6)), "one artist says nothing of others"


def test_numbers_of_clusters_may_be_any():
    values = scores(6)
    expected = bootstrap_interval(values, clusters=np.array([0, 0, 1, 1, 2, 2]))
    assert bootstrap_interval(values, clusters=np.array([-7, -7, 3, 3, 90, 90])) == expected
    rows = np.arange(12.0).reshape(6, 2)
    assert cluster_sums(rows, np.array([5, 1, 5, 1, 5, 2])).tolist() == [[8, 10], [10, 11], [12, 15]]


def test_summed_figures_swap_clusters():
    """One cluster has two ways only: as it is, or with the systems exchanged; both differ as much as seen."""
    rng = np.random.default_rng(0)
    sides = tuple(rng.integers(1, 9, size=(2, 20, 10)).astype(float))
    (found,) = summed_differences(SUMMED["bleu"], [sides], trials=99, clusters=np.zeros(20))
    assert found.p == 1.0 and found.difference.low == pytest.approx(found.difference.high)


def test_many_pairs_at_once_are_those_one_by_one():
    rng = np.random.default_rng(3)
    systems, clusters = rng.normal(size=(4, 40)), rng.integers(0, 12, size=40)
    found = paired_differences(systems[1:] - systems[0], clusters=clusters)
    for system, one in zip(systems[1:], found, strict=True):
        alone = paired_difference(system, systems[0], clusters=clusters)
        assert one.p == alone.p and vars(one.difference) == pytest.approx(vars(alone.difference))


def test_more_comparisons_get_more_swaps():
    """Holm multiplies the least p by their number, which must leave room for 0.01."""
    assert enough_trials(1) == enough_trials(6) == TRIALS
    assert 330 / (enough_trials(330) + 1) < 0.01


def test_false_alarms_by_artist_come_at_their_rate_and_by_song_far_more_often():
    """A small share of `tests/benchmarks/clusters.py`."""
    alarms = count_alarms(runs=300, shared=0.5, trials=199, resamples=1)
    assert 0.02 <= alarms["by_artist"] <= 0.08
    assert alarms["by_song"] > 0.15
