"""Our figures are those of the libraries called directly, on pairs made by hand for the corners of tokenizers.

`caption_pairs.jsonl` holds the pairs: abbreviations, contractions, quotation marks, numbers, synonyms, inflections,
line breaks, accents, addresses, empty captions. METEOR is compared with NLTK on the full WordNet 3.0 where it is on the
machine (Debian: `wordnet-base`), and everywhere with the figures that it gave, which are in the file.
"""

import json
from pathlib import Path

import pytest
from nltk.tokenize import NLTKWordTokenizer
from nltk.tokenize.punkt import PunktSentenceTokenizer
from nltk.translate.meteor_score import single_meteor_score
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics import BLEU, CHRF

from recap_cli.scoring.text import score_songs

PAIRS = [
    json.loads(line)
    for line in (Path(__file__).parents[1] / "fixtures" / "caption_pairs.jsonl").read_text("utf-8").splitlines()
]
PREDICTIONS = [pair["prediction"] for pair in PAIRS]
REFERENCES = [pair["reference"] for pair in PAIRS]


@pytest.fixture(scope="module")
def scores():
    return score_songs([str(row) for row in range(len(PAIRS))], PREDICTIONS, [[text] for text in REFERENCES])


def test_rouge_is_that_of_rouge_score(scores):
    scorer = RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=False)
    for row, pair in zip(scores.rows, PAIRS, strict=True):
        for name, theirs in scorer.score(pair["reference"], pair["prediction"]).items():
            ours = getattr(row.best, name)
            assert (ours.precision, ours.recall, ours.f1) == pytest.approx(tuple(theirs), abs=1e-6), pair


def direct_meteor(pair, wordnet):
    parts, words = PunktSentenceTokenizer().tokenize, NLTKWordTokenizer().tokenize
    texts = (pair["reference"], pair["prediction"])
    return single_meteor_score(
        *([word for part in parts(text) for word in words(part)] for text in texts), wordnet=wordnet
    )


def test_meteor_is_that_of_nltk_with_the_full_wordnet(scores, nltk_wordnet):
    for row, pair in zip(scores.rows, PAIRS, strict=True):
        assert row.best.meteor == pytest.approx(direct_meteor(pair, nltk_wordnet), abs=1e-6), pair


def test_meteor_is_what_nltk_gave_with_the_full_wordnet(scores):
    for row, pair in zip(scores.rows, PAIRS, strict=True):
        assert row.best.meteor == pytest.approx(pair["meteor"], abs=1e-6), pair


def test_sentences_and_synonyms_matter_on_these_pairs(scores):
    """Else agreement would prove little."""
    words = NLTKWordTokenizer().tokenize
    unsplit = [single_meteor_score(words(p["reference"]), words(p["prediction"]), wordnet=NoSynonyms()) for p in PAIRS]
    assert sum(abs(row.best.meteor - other) > 0.01 for row, other in zip(scores.rows, unsplit, strict=True)) >= 8


class NoSynonyms:
    def synsets(self, word):
        return []


def test_bleu_and_chrf_are_those_of_sacrebleu(scores):
    for ours, metric in ((scores.bleu, BLEU()), (scores.chrf, CHRF())):
        assert ours == pytest.approx(metric.corpus_score(PREDICTIONS, [REFERENCES]).score, abs=1e-6)
        assert str(metric.get_signature()) in scores.signature()
