"""BLEU and chrF: statistics of each song whose sums become corpus figures, as sacreBLEU computes them."""

from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from sacrebleu.metrics import BLEU

BLEU_ORDER = 4
CHRF_ORDER = 6
CHRF_BETA = 2


@cache
def _sacrebleu(effective_order: bool = False) -> "BLEU":
    """Returns sacreBLEU's BLEU; `force` keeps it from writing warnings about tokenised text."""
    from sacrebleu.metrics import BLEU

    return BLEU(effective_order=effective_order, max_ngram_order=BLEU_ORDER, force=True)


def bleu_statistics(prediction: str, references: Sequence[str]) -> tuple[int, ...]:
    """Returns sacreBLEU's sufficient statistics of one song: both lengths, 4 matched and 4 total n-grams."""
    score = _sacrebleu(effective_order=True).sentence_score(prediction, references)
    return (score.sys_len, score.ref_len, *score.counts, *score.totals)


def bleu_of(sums: np.ndarray) -> np.ndarray:
    """Turns statistics summed over songs [..., 10] into BLEU from 0 to 100 [...].

    The formula of sacreBLEU (Post 2018) with its default "exp" smoothing: the k-th n-gram order without a match counts
    1 / 2^k matches.
    """
    length, reference = sums[..., 0], sums[..., 1]
    matched, total = sums[..., 2 : 2 + BLEU_ORDER], sums[..., 2 + BLEU_ORDER :]
    unmatched = np.cumsum(matched == 0, axis=-1)
    precisions = np.where(matched > 0, matched, 0.5**unmatched) / np.maximum(total, 1)
    brevity = np.exp(np.minimum(0.0, 1 - reference / np.maximum(length, 1)))
    scores = 100 * brevity * np.exp(np.log(precisions).mean(axis=-1))
    return np.where((matched[..., 0] > 0) & (total > 0).all(axis=-1), scores, 0.0)


def chrf_statistics(prediction: str, references: Sequence[str]) -> tuple[int, ...]:
    """Returns the statistics of one song's chrF (Popovic 2015) against its best reference [18].

    For each order from 1 to 6 the prediction's, the reference's and the matched character n-grams.
    """
    said = _character_ngrams(prediction)
    rows = []
    for reference in references:
        meant = _character_ngrams(reference)
        row: list[int] = []
        for ours, theirs in zip(said, meant, strict=True):
            matched = sum(min(ours[gram], theirs[gram]) for gram in ours.keys() & theirs.keys())
            # As sacreBLEU: an order without n-grams in the reference counts for neither side.
            row += [ours.total() if theirs else 0, theirs.total(), matched]
        rows.append(tuple(row))
    return max(rows, key=lambda row: float(chrf_of(np.array(row)))) if len(rows) > 1 else rows[0]


def _character_ngrams(text: str) -> list[Counter[str]]:
    """Counts the character n-grams of each order, white space left out."""
    text = "".join(text.split())
    return [Counter([text[i : i + n] for i in range(len(text) - n + 1)]) for n in range(1, CHRF_ORDER + 1)]


def chrf_of(sums: np.ndarray) -> np.ndarray:
    """Turns statistics summed over songs [..., 18] into chrF from 0 to 100 [...].

    It is the F score of precision and recall, each averaged over orders.
    """
    counts = sums.reshape(*sums.shape[:-1], CHRF_ORDER, 3).astype(float)
    said, meant, matched = counts[..., 0], counts[..., 1], counts[..., 2]
    counted = (said > 0) & (meant > 0)
    orders = np.maximum(counted.sum(axis=-1), 1)
    precision = np.where(counted, matched / np.maximum(said, 1), 0.0).sum(axis=-1) / orders
    recall = np.where(counted, matched / np.maximum(meant, 1), 0.0).sum(axis=-1) / orders
    below = CHRF_BETA**2 * precision + recall
    return 100 * (1 + CHRF_BETA**2) * precision * recall / np.where(below > 0, below, 1.0)


def sacrebleu_signatures(reference_counts: Sequence[int]) -> tuple[str, str]:
    """Returns sacreBLEU's own signatures of BLEU and chrF for songs with these numbers of references."""
    from sacrebleu.metrics import CHRF

    few, many = min(reference_counts), max(reference_counts)
    # The signature depends on nothing but the numbers of references: None stands for one that a song lacks.
    streams = [["a", "a" if row < few else None] for row in range(many)]
    metrics = (_sacrebleu(), CHRF(CHRF_ORDER, 0, CHRF_BETA))
    for metric in metrics:
        metric.corpus_score(["a", "a"], streams)
    bleu, chrf = (str(metric.get_signature()) for metric in metrics)
    return bleu, chrf
