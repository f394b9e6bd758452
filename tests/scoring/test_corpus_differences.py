"""Paired tests of BLEU and chrF: against sacreBLEU on texts that are resampled and swapped one by one."""

from itertools import product

import numpy as np
import pytest
from sacrebleu.metrics import BLEU, CHRF

from recap_cli.errors import DataError
from recap_cli.scoring.bootstrap import song_counts
from recap_cli.scoring.corpus_differences import summed_difference
from recap_cli.scoring.text import score_songs

LINE = "the sea is wide and the road is long in a cold war of love by night"
WORDS = LINE.split()
REFERENCES = [" ".join(WORDS[row % 4 : 8 + row % 7]) for row in range(8)]
GOOD = [text if row % 3 else text.replace("sea", "lake") for row, text in enumerate(REFERENCES)]
FAIR = [" ".join(text.split()[row % 3 :][: 6 + row % 2]) for row, text in enumerate(REFERENCES)]
POOR = [" ".join(WORDS[row % 3 : 9 + row % 3]) for row in range(8)]
SACREBLEU = {"bleu": BLEU(), "chrf": CHRF()}


def scored(texts):
    return score_songs([str(row) for row in range(len(texts))], texts, [[text] for text in REFERENCES])


def directly(figure, texts, rows=range(8)):
    return SACREBLEU[figure].corpus_score([texts[row] for row in rows], [[REFERENCES[row] for row in rows]]).score


@pytest.mark.parametrize("figure", ["bleu", "chrf"])
def test_draws_are_those_of_resampled_texts(figure):
    found = summed_difference(figure, [scored(FAIR)], [scored(POOR)], resamples=40, trials=10, seed=3).difference
    (counts,) = song_counts(8, 40, np.random.default_rng(3))
    picked = [np.repeat(np.arange(8), row.astype(int)) for row in counts]
    draws = [directly(figure, FAIR, rows) - directly(figure, POOR, rows) for rows in picked]
    assert found.mean == pytest.approx(directly(figure, FAIR) - directly(figure, POOR))
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(draws, [0.025, 0.975])))


@pytest.mark.parametrize("figure", ["bleu", "chrf"])
def test_p_is_the_share_of_all_swaps(figure):
    """Random swaps of eight songs beside all 256 of them, scored by sacreBLEU."""
    differences = []
    for swaps in product((False, True), repeat=8):
        pairs = [(b, a) if swap else (a, b) for a, b, swap in zip(FAIR, POOR, swaps, strict=True)]
        first, second = zip(*pairs, strict=True)
        differences.append(abs(directly(figure, first) - directly(figure, second)))
    exact = np.mean(np.array(differences) >= differences[0] - 1e-9)
    found = summed_difference(figure, [scored(FAIR)], [scored(POOR)]).p
    assert 0.01 < exact < 0.9
    assert found == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / 10_000))


@pytest.mark.parametrize("figure", ["bleu", "chrf"])
def test_equal_and_unequal_systems(figure):
    same = summed_difference(figure, [scored(GOOD)], [scored(GOOD)])
    assert (vars(same.difference), same.p) == ({"mean": 0.0, "low": 0.0, "high": 0.0}, 1.0)
    apart = summed_difference(figure, [scored(GOOD)], [scored(["zzz"] * 8)])
    assert apart.difference.low > 0
    assert apart.p < 0.02


def test_seeds_are_resampled_too():
    ours, theirs = [scored(GOOD), scored(FAIR)], [scored(POOR), scored(FAIR), scored(POOR)]
    found = summed_difference("chrf", ours, theirs)
    means = [np.mean([directly("chrf", texts) for texts in side]) for side in ((GOOD, FAIR), (POOR, FAIR, POOR))]
    assert found.difference.mean == pytest.approx(means[0] - means[1])
    one = summed_difference("chrf", ours[:1], theirs[:1])
    assert found.p > one.p  # seeds overlap, single runs do not
    assert found.difference.high - found.difference.low > one.difference.high - one.difference.low
    assert found == summed_difference("chrf", ours, theirs)


def test_other_songs_are_refused():
    few = score_songs(["a"], ["the sea"], [["the sea"]])
    with pytest.raises(DataError, match="not the same number of songs"):
        summed_difference("bleu", [scored(GOOD)], [few])
