"""From records of runs to the result of a sweep: order, pairing, families, and who may be called best."""

import csv
import json
import math
from dataclasses import replace

import pytest
from make_runs import SONGS, ZERO, aligned, run, runs

from recap_cli.ablation.conditions import BART, LYRICS_ONLY, SHUFFLED, Condition
from recap_cli.ablation.results import (
    AblateResult,
    best_on_validation,
    summarise,
    write_result,
)
from recap_cli.ablation.seed_differences import SeedDifference, correct_family
from recap_cli.errors import DataError
from recap_cli.scoring.bootstrap import Interval

FIVE = (0.0, 0.01, 0.02, 0.01, 0.0)
CLEARLY = tuple(gain + 0.1 + noise for gain, noise in zip(FIVE, (0.001, 0, -0.001, 0.002, 0), strict=True))
BARELY = tuple(gain + noise for gain, noise in zip(FIVE, (0.03, -0.02, 0.01, -0.015, 0.005), strict=True))


def effect(p: float | None, seeds: int = 5) -> SeedDifference:
    return SeedDifference(Interval(0.1, 0.0, 0.2), seeds, p)


def summed(tmp_path, *groups, failed=None) -> AblateResult:
    return summarise([record for group in groups for record in group], failed or {}, tmp_path)


# order and means ------------------------------------------------------------------------------------------------------


def test_order_of_the_table(tmp_path):
    conditions = [
        aligned(0.1, "infonce"),
        aligned(0.1, layer=2),
        aligned(0.02),
        aligned(0.1),
        ZERO,
        Condition(SHUFFLED),
        aligned(1e-3),
        Condition(BART),
        Condition(LYRICS_ONLY),
    ]
    result = summed(tmp_path, *(runs(condition, [0.0]) for condition in conditions))
    assert [one.condition for one in result.conditions] == [
        Condition(BART),
        Condition(LYRICS_ONLY),
        Condition(SHUFFLED),
        ZERO,
        aligned(1e-3),
        aligned(0.02),
        aligned(0.1),
        aligned(0.1, layer=2),
        aligned(0.1, "infonce"),
    ]
    assert {name: len(conditions) for name, conditions in result.axes.items()} == {
        "positive": 3,
        "positive, layer 2": 1,
        "infonce": 1,
    }
    assert (result.base.condition, result.songs, result.seeds, result.claim) == (ZERO, 4, 1, "one seed: no claim")


def test_means_over_seeds_and_songs(tmp_path):
    more = {"measures": {"gap": 0.5, "odd": math.nan}}
    records = [run(ZERO, 0, [0.2, 0.4], **more), run(ZERO, 1, [0.4, 0.8], measures={"gap": 0.25, "odd": 1.0})]
    (one,) = summed(tmp_path, records).conditions
    assert one.seeds == (0, 1)
    assert one.figures["rougeL"].mean == pytest.approx(0.45)
    assert one.figures["rougeL"].low < 0.45 < one.figures["rougeL"].high
    assert one.figures["meteor"].mean == pytest.approx(0.225)
    assert one.attributes == {"theme": 0.75, "all": 0.5}
    assert one.measures == {"gap": 0.375}
    assert one.differences == {}


def test_intervals_of_shares_end_at_1(tmp_path):
    (one,) = summed(tmp_path, [run(ZERO, 0, [0.95, 0.97]), run(ZERO, 1, [0.99, 1.0])]).conditions
    assert one.figures["rougeL"].high == 1.0
    assert one.figures["rougeL"].low > 0.5


def test_real_songs_have_no_attributes(tmp_path):
    records = [replace(one, values={"rougeL": one.values["rougeL"]}, attributes={}) for one in runs(ZERO, FIVE)]
    (one,) = summed(tmp_path, records).conditions
    assert (list(one.figures), one.attributes) == (["rougeL"], {})


def test_a_run_that_was_done_again_counts_once(tmp_path):
    result = summed(tmp_path, [run(ZERO, 0, [0.1, 0.2])], runs(aligned(0.1), FIVE), runs(ZERO, FIVE))
    assert result.conditions[0].figures["rougeL"].mean == pytest.approx(0.508)
    assert result.conditions[1].differences["rougeL"].p == 1.0
    assert len(result.runs) == 10


# differences ----------------------------------------------------------------------------------------------------------


def test_difference_is_paired_by_seed(tmp_path):
    """Each seed gains the same .1, so the difference is sure though the seeds are far apart."""
    apart = (0.0, 0.1, 0.2)
    result = summed(tmp_path, runs(ZERO, apart), runs(aligned(0.02), [0.1 + gain for gain in apart]))
    found = result.conditions[1].differences["rougeL"]
    assert (found.difference.low, found.difference.high) == pytest.approx((0.1, 0.1))
    assert result.conditions[1].figures["rougeL"].low < result.conditions[0].figures["rougeL"].high
    assert set(result.conditions[1].differences) == {"rougeL", "meteor", "attributes"}
    assert (found.seeds, found.p < 1e-6) == (3, True)


def test_unequal_seeds_are_compared_on_the_common_ones(tmp_path):
    """Seeds 1 and 3 are common; alpha 0 has two seeds more, which would change the difference."""
    songs = [0.2, 0.5]
    base = [run(ZERO, seed, [one + gain for one in songs]) for seed, gain in ((0, 0.3), (1, 0.1), (2, 0.3), (3, 0.2))]
    other = [run(aligned(0.1), seed, [one + 0.25 for one in songs]) for seed in (3, 1, 7)]
    result = summed(tmp_path, base, other)
    found = result.conditions[1].differences["rougeL"]
    assert (found.seeds, result.conditions[1].seeds) == (2, (1, 3, 7))
    assert found.difference.mean == pytest.approx(0.1)
    assert result.claim == "3 to 4 seeds"


def test_one_common_seed_gives_no_p(tmp_path):
    result = summed(tmp_path, runs(ZERO, FIVE), runs(aligned(0.02), CLEARLY[:1]), runs(aligned(0.1), CLEARLY))
    alone, whole = (one.differences["rougeL"] for one in result.conditions[1:])
    assert (alone.p, alone.p_holm, alone.stars, alone.is_significant) == (None, None, "", False)
    assert alone.difference.mean == pytest.approx(0.101)
    assert whole.p == whole.p_holm  # a family of one


def test_no_common_seed_gives_no_difference(tmp_path):
    result = summed(tmp_path, [run(ZERO, 0, SONGS)], [run(aligned(0.02), 1, SONGS)])
    assert result.conditions[1].differences == {}
    assert result.verdict == "nothing to compare with alpha 0"


def test_without_alpha_0(tmp_path):
    result = summed(tmp_path, runs(aligned(0.02), FIVE), runs(Condition(BART), FIVE))
    assert (result.base, result.best) == (None, None)
    assert [one.differences for one in result.conditions] == [{}, {}]
    assert result.verdict == "alpha 0 has no finished run: nothing to compare with"


# families -------------------------------------------------------------------------------------------------------------


def test_holm_within_a_figure():
    """Sorted .005 x 3, .01 x 2, .04 x 1; METEOR is a family of its own, and a single seed is in none."""
    family = [
        {"rougeL": effect(0.01), "meteor": effect(0.03)},
        {"rougeL": effect(0.005), "meteor": effect(0.02)},
        {"rougeL": effect(0.04)},
        {"rougeL": effect(None, seeds=1)},
    ]
    correct_family(family)
    assert [effects["rougeL"].p_holm for effects in family] == [
        pytest.approx(0.02),
        pytest.approx(0.015),
        pytest.approx(0.04),
        None,
    ]
    assert [effects["meteor"].p_holm for effects in family[:2]] == pytest.approx([0.04, 0.04])
    assert [effects["rougeL"].stars for effects in family] == ["*", "*", "*", ""]


def test_no_stars_below_five_seeds():
    assert replace(effect(0.0001, seeds=4), p_holm=0.0001).stars == ""
    assert replace(effect(0.0001, seeds=5), p_holm=0.0001).stars == "***"
    assert replace(effect(0.005), p_holm=0.005).stars == "**"
    assert replace(effect(0.05), p_holm=0.05).stars == ""


def test_baselines_are_another_family(tmp_path):
    conditions = (Condition(BART), Condition(SHUFFLED), aligned(0.02), aligned(0.1), aligned(0.1, "infonce"))
    result = summed(tmp_path, runs(ZERO, FIVE), *(runs(condition, BARELY) for condition in conditions))
    factors = {
        one.condition: one.differences["rougeL"].p_holm / one.differences["rougeL"].p
        for one in result.conditions
        if one.condition != ZERO
    }
    assert all(
        one.differences["rougeL"].p == result.conditions[0].differences["rougeL"].p
        for one in result.conditions
        if one.differences
    )
    p = result.conditions[0].differences["rougeL"].p
    assert factors == {condition: pytest.approx(min(2 if condition.baseline else 3, 1 / p)) for condition in conditions}
    assert result.signature.startswith("made up; differences paired by seed and song")
    assert "one family, baselines (sanity check) another" in result.signature


# who is best ----------------------------------------------------------------------------------------------------------


def test_best_is_marked_when_it_is_better_beyond_chance(tmp_path):
    result = summed(tmp_path, runs(ZERO, FIVE), runs(aligned(0.02), CLEARLY), runs(aligned(0.1), BARELY))
    assert result.best == aligned(0.02)
    assert result.verdict == "best in ROUGE-L F1, better than alpha 0 beyond chance: alpha 0.02, positive"


def test_none_is_best_by_chance(tmp_path):
    result = summed(tmp_path, runs(ZERO, FIVE), runs(aligned(0.02), BARELY))
    assert result.conditions[1].figures["rougeL"].mean > result.conditions[0].figures["rougeL"].mean
    assert result.best is None
    assert result.verdict == "no weight is better than alpha 0 in ROUGE-L F1 beyond chance: none is marked best"


def test_worse_beyond_chance_is_not_best(tmp_path):
    result = summed(tmp_path, runs(ZERO, CLEARLY), runs(aligned(0.02), FIVE))
    assert result.conditions[1].differences["rougeL"].is_significant
    assert (result.best, "no weight is better" in result.verdict) == (None, True)


def test_correction_counts_for_best(tmp_path):
    """p = .02 alone, .06 among three weights."""
    noise = (0.012, 0.03, 0.006, 0.024, 0.009)
    better = [gain + extra for gain, extra in zip(FIVE, noise, strict=True)]
    alone = summed(tmp_path, runs(ZERO, FIVE), runs(aligned(0.02), better))
    assert 0.017 < alone.conditions[1].differences["rougeL"].p < 0.05
    assert alone.best == aligned(0.02)
    many = [runs(aligned(alpha), BARELY) for alpha in (0.001, 0.1)]
    assert summed(tmp_path, runs(ZERO, FIVE), runs(aligned(0.02), better), *many).best is None


def test_a_baseline_is_never_marked(tmp_path):
    higher = [gain + 0.1 for gain in CLEARLY]
    result = summed(tmp_path, runs(ZERO, FIVE), runs(aligned(0.02), CLEARLY), runs(Condition(SHUFFLED), higher))
    assert result.best is None
    assert result.verdict == "none is marked best: the highest ROUGE-L F1 is that of shuffled music"


def test_one_seed_claims_nothing(tmp_path):
    result = summed(tmp_path, runs(ZERO, [0.0]), runs(aligned(0.02), [0.3]))
    assert (result.best, result.claim) == (None, "one seed: no claim")
    assert result.verdict == "differences may be luck of the training: none is marked best"


# losses ---------------------------------------------------------------------------------------------------------------


def test_losses_meet_at_their_best_validation_weight(tmp_path):
    """On the test songs .1 and .001 would be the best weights; the validation songs say .02 and .1."""
    result = summed(
        tmp_path,
        runs(ZERO, FIVE),
        runs(aligned(0.02), FIVE, validation=0.6),
        runs(aligned(0.1), CLEARLY, validation=0.5),
        runs(aligned(0.001, "infonce"), CLEARLY, validation=0.5),
        runs(aligned(0.1, "infonce"), BARELY, validation=0.6),
    )
    (contrast,) = result.losses
    assert (contrast.first, contrast.second) == (aligned(0.02), aligned(0.1, "infonce"))
    found = contrast.differences["rougeL"]
    assert found.difference.mean == pytest.approx(-0.002)
    assert (found.seeds, found.p) == (5, found.p_holm)
    assert 0.05 < found.p <= 1


def test_three_losses_are_three_pairs(tmp_path):
    losses = ("infonce-symmetric", "infonce", "positive")
    result = summed(tmp_path, *(runs(aligned(0.1, loss), FIVE) for loss in losses))
    pairs = [(contrast.first.loss, contrast.second.loss) for contrast in result.losses]
    assert pairs == [("positive", "infonce"), ("positive", "infonce-symmetric"), ("infonce", "infonce-symmetric")]


def test_validation_is_judged_on_common_seeds():
    """Weight .1 has a lucky seed more, and .5 has no figure."""
    records = [
        *runs(aligned(0.02), FIVE[:2], validation=0.6),
        *runs(aligned(0.1), FIVE[:2], validation=0.5),
        run(aligned(0.1), 7, SONGS, validation=0.99),
        run(aligned(0.5), 0, SONGS, validation=math.nan),
    ]
    assert best_on_validation([aligned(0.02), aligned(0.1), aligned(0.5)], records) == aligned(0.02)
    assert best_on_validation([aligned(0.5)], records) is None


# files ----------------------------------------------------------------------------------------------------------------


def test_json(tmp_path):
    broken = {"measures": {"gap": math.nan}, "made": {"version": "0.1.0", "seconds": math.inf}}
    result = summed(
        tmp_path,
        runs(ZERO, FIVE),
        runs(aligned(0.02), CLEARLY, **broken),
        runs(aligned(0.02, "infonce", 2), CLEARLY),
        failed={"alpha 0.1, positive, seed 3": "the loss is nan at step 3"},
    )
    files = write_result(result)
    assert [file.name for file in files] == ["ablation.json", "ablation.csv"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ablation.csv", "ablation.json"]
    text = files[0].read_text()
    document = json.loads(text)
    assert document == json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert "NaN" not in text and "Infinity" not in text
    assert document["key"] == {"data": "abc123", "split": "test"}
    assert document["failed"] == {"alpha 0.1, positive, seed 3": "the loss is nan at step 3"}
    assert document["runs"][0] == {"condition": "BART-fusion (alpha 0)", "seed": 0, "version": "0.1.0", "seconds": 12.5}
    assert document["runs"][5] == {"condition": "alpha 0.02, positive", "seed": 0, "version": "0.1.0", "seconds": None}
    assert len(document["runs"]) == 15
    zero, positive, _ = document["conditions"]
    assert (zero["differences"], zero["seeds"]) == ({}, [0, 1, 2, 3, 4])
    assert positive["condition"] == {"baseline": "", "alpha": 0.02, "loss": "positive", "align_layer": None}
    assert positive["differences"]["rougeL"]["difference"]["mean"] == pytest.approx(0.1004)
    assert document["best"]["name"].startswith("alpha 0.02")
    assert document["losses"][0]["name"] == "alpha 0.02, positive minus alpha 0.02, infonce, layer 2"


def test_csv(tmp_path):
    result = summed(
        tmp_path, runs(ZERO, [0.0]), runs(aligned(0.02, layer=2), CLEARLY[:3]), runs(Condition(BART), [0.1])
    )
    with write_result(result)[1].open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["condition"], row["figure"]) for row in rows[3:]] == [
        (condition, figure)
        for condition in ("BART-fusion (alpha 0)", "alpha 0.02, positive, layer 2")
        for figure in ("rougeL", "meteor", "attributes")
    ]
    bart, zero, swept = rows[0], rows[3], rows[6]
    assert (bart["baseline"], bart["loss"], bart["alpha"], bart["align_layer"], bart["seeds"]) == (
        "bart", "", "0", "", "1",
    )  # fmt: skip
    assert (bart["mean"], bart["difference"], bart["common_seeds"], bart["p"]) == ("0.600000", "0.100000", "1", "")
    assert (zero["difference"], zero["p_holm"]) == ("", "")
    assert (swept["baseline"], swept["loss"], swept["align_layer"], swept["seeds"]) == ("", "positive", "2", "3")
    assert (swept["mean"], swept["difference"], swept["common_seeds"]) == ("0.610000", "0.101000", "1")
    assert float(swept["low"]) < 0.61 < float(swept["high"])


def test_p_in_csv(tmp_path):
    result = summed(tmp_path, runs(ZERO, FIVE), runs(aligned(0.02), BARELY))
    found = result.conditions[1].differences["rougeL"]
    row = write_result(result)[1].read_text().splitlines()[4].split(",")
    assert [float(cell) for cell in row[-2:]] == pytest.approx([found.p, found.p], rel=1e-4)


def test_a_full_disk_leaves_nothing_half_written(tmp_path):
    result = replace(summed(tmp_path, runs(ZERO, FIVE)), out=tmp_path / "gone")
    with pytest.raises(DataError, match=r"cannot write .*ablation.json"):
        write_result(result)


@pytest.mark.parametrize(
    ("records", "failed", "message"),
    [
        ([], {"alpha 0.1, seed 0": "no memory"}, "no run has finished: no memory"),
        ([], {}, "no run has finished: nothing was run"),
        ([run(ZERO, 0, [0.5]), run(ZERO, 1, [0.5, 0.5])], {}, r"scored on \[1, 2\] songs"),
    ],
)
def test_what_cannot_be_summarised(tmp_path, records, failed, message):
    with pytest.raises(DataError, match=message) as caught:
        summarise(records, failed, tmp_path)
    assert caught.value.hint
