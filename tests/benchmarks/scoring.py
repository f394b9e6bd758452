"""All metrics with their intervals against rouge-score and NLTK's METEOR alone, side by side in one process.

    python tests/benchmarks/scoring.py [--pairs 2839] [--words 45] [--repeats 3]

Both sides score the same made-up pairs. Theirs is the plain call of the two libraries (ROUGE-1/2/L; METEOR after
Punkt and NLTKWordTokenizer, with the packaged synonyms, which are faster than NLTK's own reader of WordNet); ours adds
BLEU, chrF, what was copied from the lyrics, and 1,000 bootstrap draws of every headline figure. Imports, the synonym
table and a warm-up are outside the clock, each side is timed in turn and the median ratio is given. The last line is
JSON.
"""

import argparse
import json
import random
import statistics
import time

import numpy as np
from nltk.tokenize import NLTKWordTokenizer
from nltk.tokenize.punkt import PunktSentenceTokenizer
from nltk.translate.meteor_score import single_meteor_score
from rouge_score.rouge_scorer import RougeScorer

from recap_cli.scoring.bootstrap import bootstrap_interval
from recap_cli.scoring.meteor import load_synonyms, meteor_tokens
from recap_cli.scoring.rouge import ROUGE_TYPES
from recap_cli.scoring.text import score_songs

OFTEN = "the a of and to in is it that about this song he she his her with for on from as by who life love"


def vocabulary(size: int, rng: random.Random) -> list[str]:
    """One-word names of WordNet, so that stems and synonyms have to be looked up."""
    synonyms = load_synonyms()
    names = sorted({name for index in synonyms._synsets.values() for name in index if name.isalpha()})
    return rng.sample(names, size)


def make_text(words: int, rare: list[str], rng: random.Random) -> str:
    """Sentences of about 15 words, half of them frequent ones."""
    often = OFTEN.split()
    chosen = [rng.choice(often) if rng.random() < 0.5 else rng.choice(rare) for _ in range(words)]
    for place in range(14, words, 15):
        chosen[place] += "."
    return " ".join(chosen).capitalize()


def score_theirs(predictions: list[str], references: list[str]) -> tuple[float, float]:
    scorer = RougeScorer(ROUGE_TYPES, use_stemmer=False)
    sentences, words, wordnet = PunktSentenceTokenizer(), NLTKWordTokenizer(), load_synonyms()
    rouge_l, meteor = [], []
    for prediction, reference in zip(predictions, references, strict=True):
        rouge_l.append(scorer.score(reference, prediction)["rougeL"].fmeasure)
        tokens = [[w for s in sentences.tokenize(text) for w in words.tokenize(s)] for text in (reference, prediction)]
        meteor.append(single_meteor_score(*tokens, wordnet=wordnet))
    return statistics.fmean(rouge_l), statistics.fmean(meteor)


def score_ours(predictions: list[str], references: list[str]) -> tuple[float, float]:
    meteor_tokens.cache_clear()  # nothing remembered from the round before
    ids = [str(row) for row in range(len(predictions))]
    scores = score_songs(ids, predictions, [[text] for text in references], lyrics=references)
    found = scores.intervals()
    return found["rougeL"].mean, found["meteor"].mean


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=2839)
    parser.add_argument("--words", type=int, default=45)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    rng = random.Random(0)
    rare = vocabulary(4000, rng)
    predictions, references = (
        [make_text(arguments.words, rare, rng) for _ in range(arguments.pairs)] for _ in range(2)
    )
    print(f"{arguments.pairs} pairs of {arguments.words} words, {arguments.repeats} rounds, one process")
    score_theirs(predictions[:20], references[:20]), score_ours(predictions[:20], references[:20])
    times = {"theirs": [], "ours": []}
    for _ in range(arguments.repeats):
        figures = []
        for name, score in (("theirs", score_theirs), ("ours", score_ours)):
            began = time.perf_counter()
            figures.append(score(predictions, references))
            times[name].append(time.perf_counter() - began)
        print("  ".join(f"{name} {seconds[-1]:.2f} s" for name, seconds in times.items()), flush=True)
    began = time.perf_counter()
    bootstrap_interval(np.random.default_rng(0).random(3000), resamples=1000)
    bootstrap = time.perf_counter() - began
    ratios = [ours / theirs for ours, theirs in zip(times["ours"], times["theirs"], strict=True)]
    result = {
        "time_ratio": round(statistics.median(ratios), 3),
        "ours_s": round(statistics.median(times["ours"]), 2),
        "theirs_s": round(statistics.median(times["theirs"]), 2),
        "largest_difference": max(abs(a - b) for a, b in zip(*figures, strict=True)),
        "bootstrap_1000_of_3000_s": round(bootstrap, 3),
        "pairs": arguments.pairs,
        "words": arguments.words,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
