"""All metrics with their intervals against rouge-score and NLTK's METEOR alone, side by side in one process.

    python tests/benchmarks/scoring.py [--pairs 2839] [--words 45] [--repeats 3] [--systems 11]

Both sides score the same made-up pairs. Theirs is the plain call of the two libraries (ROUGE-1/2/L; METEOR after
Punkt and NLTKWordTokenizer, with the packaged synonyms, which are faster than NLTK's own reader of WordNet); ours adds
BLEU, chrF, what was copied from the lyrics, and 1,000 bootstrap draws of every headline figure. Imports, the synonym
table and a warm-up are outside the clock, each side is timed in turn and the median ratio is given.

Then captions of several systems, several a song, with controls and artists (`recap eval --controls`), in `--systems`
files of 706 made-up songs and 1,106 captions each: `benchmark_ratio` is our time for all of it over that of the same
work by the libraries one by one. Theirs are METEOR, BLEU and chrF of every caption with its song and ROUGE of every
caption with every reference, which is what all shifts are made of; a small share of each is timed (`--share`) and
scaled, or theirs would take hours. The last line is JSON.
"""

import argparse
import json
import random
import resource
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from nltk.tokenize import NLTKWordTokenizer
from nltk.tokenize.punkt import PunktSentenceTokenizer
from nltk.translate.meteor_score import single_meteor_score
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics import BLEU, CHRF

from recap_cli.evaluation.evaluate import evaluate
from recap_cli.evaluation.options import EvaluateOptions
from recap_cli.files import write_json_lines
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


def make_songs(systems: int, rare: list[str], rng: random.Random) -> list[list[dict]]:
    """Returns the rows of each system's file: 706 songs of 191 artists, 1,106 references and as many captions."""
    sizes = [1] * 476 + [2] * 107 + [3] * 76 + [4] * 47
    references = [[make_text(20, rare, rng) for _ in range(size)] for size in sizes]
    artists = [f"artist {rng.randrange(191)}" for _ in sizes]
    return [
        [
            {
                "song": str(song),
                "artist": artists[song],
                "prediction": [make_text(rng.choice((11, 28, 37, 60)), rare, rng) for _ in texts],
                "references": texts,
            }
            for song, texts in enumerate(references)
        ]
        for _ in range(systems)
    ]


def time_theirs(files: list[list[dict]], share: float, rng: random.Random) -> float:
    """Returns the seconds that the libraries would take, from a share of the captions and of the pairs."""
    rouge, bleu, chrf, wordnet = RougeScorer(ROUGE_TYPES), BLEU(effective_order=True), CHRF(), load_synonyms()
    sentences, words = PunktSentenceTokenizer(), NLTKWordTokenizer()
    references = [text for row in files[0] for text in row["references"]]
    captions = [(text, row["references"]) for rows in files for row in rows for text in row["prediction"]]
    sample = rng.sample(captions, max(20, round(share * len(captions))))
    began = time.perf_counter()
    for caption, own in sample:
        for text in own:
            sides = [[w for s in sentences.tokenize(one) for w in words.tokenize(s)] for one in (text, caption)]
            single_meteor_score(*sides, wordnet=wordnet)
        bleu.sentence_score(caption, own)
        chrf.sentence_score(caption, own)
    alone = (time.perf_counter() - began) / len(sample) * len(captions)
    # People's captions and the constant one move over all songs, too.
    pairs = (len(captions) + len(references)) * len(references)
    count = max(200, round(share * share * pairs))
    began = time.perf_counter()
    for _ in range(count):
        rouge.score(rng.choice(references), rng.choice(captions)[0])
    return alone + (time.perf_counter() - began) / count * pairs


def time_ours(files: list[list[dict]]) -> float:
    """Returns the seconds of an evaluation with controls and artists, from files to figures."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder, f"system-{number}.jsonl") for number in range(len(files))]
        for path, rows in zip(paths, files, strict=True):
            write_json_lines(path, rows)
        began = time.perf_counter()
        evaluate(EvaluateOptions(None, predictions=tuple(paths), controls=True, cluster="artist"))
        return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=2839)
    parser.add_argument("--words", type=int, default=45)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--systems", type=int, default=11)
    parser.add_argument("--share", type=float, default=0.02)
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
    files = make_songs(arguments.systems, rare, rng)
    theirs, ours = time_theirs(files, arguments.share, rng), time_ours(files)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{arguments.systems} systems with controls: ours {ours:.0f} s, theirs {theirs:.0f} s, scaled; {memory:.0f} MB"
    )
    ratios = [one / other for one, other in zip(times["ours"], times["theirs"], strict=True)]
    result = {
        "time_ratio": round(statistics.median(ratios), 3),
        "ours_s": round(statistics.median(times["ours"]), 2),
        "theirs_s": round(statistics.median(times["theirs"]), 2),
        "largest_difference": max(abs(a - b) for a, b in zip(*figures, strict=True)),
        "bootstrap_1000_of_3000_s": round(bootstrap, 3),
        "benchmark_ratio": round(ours / theirs, 4),
        "benchmark_s": round(ours, 1),
        "benchmark_theirs_s_scaled": round(theirs),
        "benchmark_share_timed": arguments.share,
        "benchmark_systems": arguments.systems,
        "peak_mb": round(memory),
        "pairs": arguments.pairs,
        "words": arguments.words,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
