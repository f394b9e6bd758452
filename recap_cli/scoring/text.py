"""Captions and references to rows per song, rows to corpus figures: ROUGE-1/2/L, METEOR, BLEU and the signature."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial
from importlib.metadata import version
from itertools import zip_longest
from statistics import fmean
from types import SimpleNamespace
from typing import Any

import numpy as np

from recap_cli.errors import DataError, OptionError
from recap_cli.progress import Progress, SilentProgress
from recap_cli.scoring.synonyms import WORDNET_VERSION, load_synonyms
from recap_cli.scoring.uncertainty import LEVEL, RESAMPLES, Interval, interval, song_counts

ROUGE_TYPES = ("rouge1", "rouge2", "rougeL")
ROUGE_STEMMING = False
PARTS = ("precision", "recall", "f1")
METRICS = (*(f"{rouge}.{part}" for rouge in ROUGE_TYPES for part in PARTS), "meteor", "length")

# NLTK's defaults; METEOR 1.5 has others, and gives other figures.
METEOR_SETTINGS = {"alpha": 0.9, "beta": 3.0, "gamma": 0.5}
BLEU_ORDER = 4

# Letters by script: rouge-score keeps [a-z0-9] only, so that Japanese or Russian would score 0 against itself.
LATIN = re.compile("[a-zA-Z\u00c0-\u024f\u1e00-\u1eff]+")
# Thai to Tibetan, Burmese, Khmer, kana, ideographs, Hangul: no spaces, or none that part words.
SPACELESS = (
    "\u0e01-\u0fbc\u1000-\u109f\u1100-\u11ff\u1780-\u17dd\u3005-\u3007\u3041-\u3096\u30a1-\u30fa\u30fc-\u30ff"
    "\u3105-\u318e\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3\uf900-\ufaff\uff66-\uff9d\U00020000-\U0003ffff"
)
# Greek, Cyrillic, Armenian, Hebrew, Arabic, the scripts of India, Georgian, Ethiopic; their punctuation left out.
SPACED = (
    "\u0370-\u0556\u0561-\u0588\u05d0-\u05ea\u0620-\u0669\u066e-\u06d3\u06d5-\u06ff\u0750-\u077f"
    "\u0900-\u0963\u0966-\u0df3\u10a0-\u10ff\u1200-\u135a"
)
OTHER = re.compile(f"[{SPACELESS}]|[{SPACED}]+")
TOKEN = re.compile(f"[a-z0-9]+|[{SPACELESS}]|[{SPACED}]+")
WORD = re.compile(rf"[{SPACELESS}]|[^\s{SPACELESS}]+")


@dataclass(frozen=True)
class Overlap:
    """One ROUGE measure of a prediction, each part from 0 to 1.

    Attributes:
        precision: share of the prediction's n-grams (or words in order) that the reference has.
        recall: share of the reference's that the prediction has.
        f1: harmonic mean of the two; in a mean over references, the mean of their F1.
    """

    precision: float
    recall: float
    f1: float


@dataclass(frozen=True)
class Match:
    """A prediction against one reference, or summed up over several; all from 0 to 1.

    Attributes:
        rouge1: words.
        rouge2: pairs of words.
        rougeL: longest common subsequence.
        meteor: METEOR as NLTK computes it.
    """

    rouge1: Overlap
    rouge2: Overlap
    rougeL: Overlap  # noqa: N815 - the name rouge-score gives it
    meteor: float


@dataclass(frozen=True)
class SongScore:
    """The row of one song; corpus figures and bootstraps are made from rows alone.

    Attributes:
        id: the song's id.
        best: for each measure the best reference, by F1 for ROUGE (its precision and recall come along).
        mean: mean over the references.
        references: number of references.
        length: words of the prediction; a character is a word in scripts without spaces.
        bleu: sacreBLEU's sufficient statistics: prediction length, reference length, 4 matched and 4 total n-grams.
        by_characters: the song was read with our tokenizer, because its references are not mainly in Latin letters.
    """

    id: str
    best: Match
    mean: Match
    references: int
    length: int
    bleu: tuple[int, ...]
    by_characters: bool


@dataclass(frozen=True)
class Protocol:
    """What a headline figure is.

    Attributes:
        part: part of ROUGE in the headline.
        over: "best" reference of each song, or "captions": each pair of prediction and reference is a row.
        words: the same for the signature.
    """

    part: str
    over: str
    words: str


PROTOCOLS = {
    "f1": Protocol("f1", "best", "F1, best of"),
    # What ALCAP's public code scores: ROUGE recall, each caption of a song apart.
    "published": Protocol("recall", "captions", "recall, one row for each of"),
}


@dataclass(frozen=True)
class TextScores:
    """Scores of one system's captions on a set of songs.

    Attributes:
        rows: one row per song, in the order given.
        bleu: corpus BLEU of sacreBLEU over all references, 0 to 100.
        bleu_signature: sacreBLEU's own signature.
        distinct: share of captions that differ from one another, 1 when no two are equal.
    """

    rows: list[SongScore]
    bleu: float
    bleu_signature: str
    distinct: float

    def values(self, metric: str, over: str = "best") -> np.ndarray:
        """Give one metric of every song [songs].

        Args:
            metric: one of `METRICS`; "rouge1" alone means "rouge1.f1".
            over: "best" or "mean" of a song's references; a mean over "captions" is the mean over songs of "mean" with
                `weights("captions")`.

        Raises:
            OptionError: an unknown metric or way.
        """
        metric = f"{metric}.f1" if metric in ROUGE_TYPES else metric
        if metric not in METRICS or over not in ("best", "mean", "captions"):
            raise OptionError(f"There is no score {metric!r} over {over!r}.", f"Scores: {', '.join(METRICS)}.")
        if metric == "length":
            return np.array([row.length for row in self.rows], dtype=float)
        matches = [row.best if over == "best" else row.mean for row in self.rows]
        if metric == "meteor":
            return np.array([match.meteor for match in matches])
        rouge, part = metric.split(".")
        return np.array([getattr(getattr(match, rouge), part) for match in matches])

    def weights(self, over: str = "best") -> np.ndarray:
        """Give the weight of each song [songs] in a corpus mean: its number of references over "captions", else 1."""
        return np.array([row.references if over == "captions" else 1 for row in self.rows], dtype=float)

    def means(self, over: str = "best") -> dict[str, float]:
        """Give the corpus mean of every metric in `METRICS`, over "best", "mean" or "captions"."""
        return {name: float(np.average(self.values(name, over), weights=self.weights(over))) for name in METRICS}

    def headline(self, protocol: str = "f1") -> dict[str, float]:
        """Give the figures of a protocol: rouge1, rouge2, rougeL and meteor from 0 to 1, bleu from 0 to 100.

        Raises:
            OptionError: an unknown protocol.
        """
        chosen = protocol_named(protocol)
        means = self.means(chosen.over)
        figures = {rouge: means[f"{rouge}.{chosen.part}"] for rouge in ROUGE_TYPES}
        return {**figures, "meteor": means["meteor"], "bleu": self.bleu}

    def bleu_statistics(self) -> np.ndarray:
        """Give sacreBLEU's sufficient statistics [songs, 10]; `bleu_of` turns any sum of them into BLEU."""
        return np.array([row.bleu for row in self.rows], dtype=float)

    def bleu_interval(self, resamples: int = RESAMPLES, seed: int = 0, level: float = LEVEL) -> Interval:
        """Give corpus BLEU with its bootstrap interval: rows resampled, then summed; no text is scored again."""
        statistics = self.bleu_statistics()
        blocks = song_counts(len(statistics), resamples, np.random.default_rng(seed))
        return interval(self.bleu, np.concatenate([bleu_of(counts @ statistics) for counts in blocks]), level)

    def signature(self, protocol: str = "f1") -> str:
        """Say in one line how the figures of a protocol were made.

        Raises:
            OptionError: an unknown protocol.
        """
        counts = sorted({row.references for row in self.rows})
        several = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
        noun = "reference" if counts == [1] else "references"
        parts = [
            f"rouge-score {version('rouge-score')}, {'Porter stemming' if ROUGE_STEMMING else 'no stemming'}, "
            f"{protocol_named(protocol).words} {several} {noun}",
            f"METEOR 2005 ({', '.join(f'{name} {value:g}' for name, value in METEOR_SETTINGS.items())}), "
            f"NLTK {version('nltk')}, WordNet {WORDNET_VERSION} synonyms, Punkt sentences + NLTKWordTokenizer",
            f"sacreBLEU {self.bleu_signature}",
        ]
        by_characters = sum(row.by_characters for row in self.rows)
        if by_characters:
            parts.append(
                f"{by_characters} of {len(self.rows)} songs not in Latin letters: one token per character in scripts "
                "without spaces, for all metrics"
            )
        return "; ".join(parts)


def score_songs(
    ids: Sequence[str],
    predictions: Sequence[str],
    references: Sequence[Sequence[str]],
    progress: Progress | None = None,
) -> TextScores:
    """Score one caption per song against the song's references.

    Args:
        ids: unique ids [songs].
        predictions: one caption per song [songs]; an empty one scores 0.
        references: captions of each song [songs][references]; blank ones are left out.
        progress: where to report; None reports to nobody.

    Raises:
        DataError: no songs, lists of different lengths, an id that comes twice, or a song without references.
    """
    kept = [[text for text in texts if text.strip()] for texts in references]
    _check_songs(ids, predictions, kept)
    progress = progress or SilentProgress()
    progress.start("Scoring captions", len(ids))
    scorer = _Scorer()
    rows = []
    for song, prediction, texts in zip(ids, predictions, kept, strict=True):
        rows.append(scorer.row(song, prediction, texts))
        progress.advance()
    progress.finish()
    bleu, bleu_signature = _corpus_bleu(rows, predictions, kept)
    return TextScores(rows, bleu, bleu_signature, len(set(predictions)) / len(predictions))


def bleu_of(sums: np.ndarray) -> np.ndarray:
    """Turn summed statistics into BLEU, many sums at once.

    The formula of sacreBLEU (Post 2018) with its default "exp" smoothing: the k-th n-gram order without a match counts
    1 / 2^k matches.

    Args:
        sums: statistics as in `SongScore.bleu`, summed over songs [..., 10].

    Returns:
        BLEU from 0 to 100 [...].
    """
    length, reference = sums[..., 0], sums[..., 1]
    matched, total = sums[..., 2 : 2 + BLEU_ORDER], sums[..., 2 + BLEU_ORDER :]
    unmatched = np.cumsum(matched == 0, axis=-1)
    precisions = np.where(matched > 0, matched, 0.5**unmatched) / np.maximum(total, 1)
    brevity = np.exp(np.minimum(0.0, 1 - reference / np.maximum(length, 1)))
    scores = 100 * brevity * np.exp(np.log(precisions).mean(axis=-1))
    return np.where((matched[..., 0] > 0) & (total > 0).all(axis=-1), scores, 0.0)


def protocol_named(name: str) -> Protocol:
    """Find a protocol by its name in `PROTOCOLS`.

    Raises:
        OptionError: there is none of this name.
    """
    if name not in PROTOCOLS:
        raise OptionError(f"There is no protocol {name!r}.", f"Protocols: {', '.join(PROTOCOLS)}.")
    return PROTOCOLS[name]


def tokens_of_any_script(text: str) -> list[str]:
    """Part a text into words as rouge-score does, words of other scripts, and characters of `SPACELESS` scripts."""
    return TOKEN.findall(text.lower())


class _Scorer:
    """The metrics' objects, made once for many songs."""

    def __init__(self) -> None:
        from nltk.stem.porter import PorterStemmer
        from nltk.tokenize import NLTKWordTokenizer
        from nltk.tokenize.punkt import PunktSentenceTokenizer
        from nltk.translate.meteor_score import single_meteor_score
        from rouge_score.rouge_scorer import RougeScorer

        self._rouge = RougeScorer(ROUGE_TYPES, use_stemmer=ROUGE_STEMMING)
        self._rouge_by_characters = RougeScorer(ROUGE_TYPES, tokenizer=SimpleNamespace(tokenize=tokens_of_any_script))
        self._sentences, self._words = PunktSentenceTokenizer(), NLTKWordTokenizer()
        # Captions repeat their words, and stemming is most of METEOR's time.
        stemmer = SimpleNamespace(stem=cache(PorterStemmer().stem))
        self._meteor = partial(single_meteor_score, stemmer=stemmer, wordnet=load_synonyms(), **METEOR_SETTINGS)
        self._bleu = _bleu(effective_order=True)

    def row(self, song: str, prediction: str, references: list[str]) -> SongScore:
        """Score one prediction against its references."""
        by_characters = is_other_script(references)
        matches = self._matches(prediction, references, by_characters)
        hypothesis, *spaced = _for_bleu([prediction, *references], by_characters)
        bleu = self._bleu.sentence_score(hypothesis, spaced)
        return SongScore(
            id=song,
            best=_best(matches),
            mean=_mean(matches),
            references=len(references),
            length=len(WORD.findall(prediction)),
            bleu=(bleu.sys_len, bleu.ref_len, *bleu.counts, *bleu.totals),
            by_characters=by_characters,
        )

    def _matches(self, prediction: str, references: list[str], by_characters: bool) -> list[Match]:
        """Compare a prediction with each of its references."""
        scorer = self._rouge_by_characters if by_characters else self._rouge
        prediction_tokens = self._meteor_tokens(prediction, by_characters)
        matches = []
        for reference in references:
            rouge = scorer.score(reference, prediction)
            rouge1, rouge2, rouge_l = (Overlap(*map(float, rouge[name])) for name in ROUGE_TYPES)
            meteor = self._meteor(self._meteor_tokens(reference, by_characters), prediction_tokens)
            matches.append(Match(rouge1, rouge2, rouge_l, float(meteor)))
        return matches

    def _meteor_tokens(self, text: str, by_characters: bool) -> list[str]:
        """Part a text as NLTK's `word_tokenize` does, which would need a download for its sentences."""
        if by_characters:
            return tokens_of_any_script(text)
        return [word for sentence in self._sentences.tokenize(text) for word in self._words.tokenize(sentence)]


def is_other_script(references: Sequence[str]) -> bool:
    """Say whether a song's references have more words in other letters than in Latin ones, a character being a word.

    The references alone decide, so that two systems are read alike.
    """
    text = " ".join(references)
    return len(OTHER.findall(text)) > len(LATIN.findall(text))


def _best(matches: list[Match]) -> Match:
    """Take the best reference of each measure, the first of equals."""
    rouge1, rouge2, rouge_l = (
        max((getattr(match, name) for match in matches), key=lambda overlap: overlap.f1) for name in ROUGE_TYPES
    )
    return Match(rouge1, rouge2, rouge_l, max(match.meteor for match in matches))


def _mean(matches: list[Match]) -> Match:
    """Average each measure over the references."""
    rouge1, rouge2, rouge_l = (
        Overlap(*(fmean(getattr(getattr(match, name), part) for match in matches) for part in PARTS))
        for name in ROUGE_TYPES
    )
    return Match(rouge1, rouge2, rouge_l, fmean(match.meteor for match in matches))


def _bleu(effective_order: bool = False) -> Any:
    """Make sacreBLEU's metric; `force` keeps it from writing warnings about tokenised text."""
    from sacrebleu.metrics import BLEU

    return BLEU(effective_order=effective_order, max_ngram_order=BLEU_ORDER, force=True)


def _for_bleu(texts: list[str], by_characters: bool) -> list[str]:
    """Set spaces where sacreBLEU's own tokenizer knows no words."""
    return [" ".join(tokens_of_any_script(text)) for text in texts] if by_characters else texts


def _corpus_bleu(rows: list[SongScore], predictions: Sequence[str], references: list[list[str]]) -> tuple[float, str]:
    """Give sacreBLEU's corpus BLEU and signature; songs with fewer references are padded with None."""
    songs = zip(rows, predictions, references, strict=True)
    spaced = [_for_bleu([prediction, *texts], row.by_characters) for row, prediction, texts in songs]
    hypotheses, *streams = zip_longest(*spaced)
    metric = _bleu()
    score = metric.corpus_score(hypotheses, streams)
    return float(score.score), str(metric.get_signature())


def _check_songs(ids: Sequence[str], predictions: Sequence[str], references: list[list[str]]) -> None:
    """Refuse songs that cannot be scored."""
    if not len(ids) == len(predictions) == len(references):
        raise DataError(
            f"There are {len(ids)} ids, {len(predictions)} predictions and {len(references)} lists of references.",
            "Give one prediction and one list of references for each song.",
        )
    if not ids:
        raise DataError("There are no captions to score.")
    song, count = Counter(ids).most_common(1)[0]
    if count > 1:
        raise DataError(f"Song {song} comes more than once.", "Give each song one row with all its references.")
    for song, texts in zip(ids, references, strict=True):
        if not texts:
            raise DataError(f"Song {song} has no reference caption.", "Leave it out, or add a reference.")
