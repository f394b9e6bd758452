"""Captions and references to rows per song, rows to corpus figures, and the signature that says how."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from importlib.metadata import version
from itertools import repeat
from statistics import fmean
from types import SimpleNamespace
from typing import Any

import numpy as np

from recap_cli.errors import DataError, OptionError
from recap_cli.progress import Progress, SilentProgress
from recap_cli.scoring.bleu import bleu_of, bleu_statistics, chrf_of, chrf_statistics, sacrebleu_signatures
from recap_cli.scoring.bootstrap import LEVEL, RESAMPLES, Interval, draw_sums, interval
from recap_cli.scoring.protocols import HEADLINE, protocol_named
from recap_cli.scoring.rouge import COPIED_WORDS, PARTS, ROUGE_TYPES, Overlap, copied_share, rouge
from recap_cli.scoring.song_scores import MEASURES, Match, SongRows, SongScore
from recap_cli.scoring.synonyms import WORDNET_VERSION, load_synonyms
from recap_cli.scoring.tokens import count_words, is_other_script, meteor_tokens, rouge_tokens, tokens_of_any_script

METRICS = (*MEASURES, "length")
# Corpus figures from 0 to 100, made from summed statistics.
SUMMED = {"bleu": bleu_of, "chrf": chrf_of}

# NLTK's defaults; METEOR 1.5 has others, and gives other figures.
KEPT_WORDS = 100_000  # whose stems and synonyms are kept; captions repeat their words
METEOR_SETTINGS = {"alpha": 0.9, "beta": 3.0, "gamma": 0.5}


@dataclass(frozen=True)
class TextScores:
    """Scores of one system's captions on a set of songs.

    Attributes:
        rows: one row per song, in the order given.
        bleu: corpus BLEU of sacreBLEU over all references, 0 to 100.
        chrf: corpus chrF of sacreBLEU, 0 to 100.
        sacrebleu_signatures: sacreBLEU's own signatures of the two.
        distinct: share of captions that differ from one another, 1 when no two are equal.
    """

    rows: SongRows
    bleu: float
    chrf: float
    sacrebleu_signatures: tuple[str, str]
    distinct: float

    @property
    def copied(self) -> float | None:
        """Mean share of 5-grams copied from the lyrics; None where no lyrics are known."""
        known = self.rows.copied[~np.isnan(self.rows.copied)]
        return float(known.mean()) if len(known) else None

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
            return self.rows.length.astype(float)
        table = self.rows.best if over == "best" else self.rows.mean
        return table[:, MEASURES.index(metric)].copy()

    def weights(self, over: str = "best") -> np.ndarray:
        """Give the weight of each song [songs] in a corpus mean: its number of references over "captions", else 1."""
        return self.rows.references.astype(float) if over == "captions" else np.ones(len(self.rows))

    def means(self, over: str = "best") -> dict[str, float]:
        """Give the corpus mean of every metric in `METRICS`, over "best", "mean" or "captions"."""
        return {name: float(np.average(self.values(name, over), weights=self.weights(over))) for name in METRICS}

    def headline(self, protocol: str = "f1") -> dict[str, float]:
        """Give the figures of a protocol: rouge1, rouge2, rougeL and meteor from 0 to 1, bleu and chrf from 0 to 100.

        Raises:
            OptionError: an unknown protocol.
        """
        chosen = protocol_named(protocol)
        means = self.means(chosen.over)
        return {**{name: means[chosen.metric(name)] for name in HEADLINE}, "bleu": self.bleu, "chrf": self.chrf}

    def headline_values(self, figure: str, protocol: str = "f1") -> np.ndarray:
        """Give one figure of `HEADLINE` for every song [songs]."""
        chosen = protocol_named(protocol)
        return self.values(chosen.metric(figure), chosen.over)

    def statistics(self, figure: str) -> np.ndarray:
        """Give the statistics of "bleu" [songs, 10] or "chrf" [songs, 18]; `SUMMED` turns any sum into a score."""
        return {"bleu": self.rows.bleu, "chrf": self.rows.chrf}[figure].astype(float)

    def draws(self, protocol: str = "f1", resamples: int = RESAMPLES, seed: int = 0) -> dict[str, np.ndarray]:
        """Give bootstrap draws [resamples] of every headline figure.

        Rows are resampled and summed once for all figures; no text is scored again. Equal seeds and numbers of songs
        draw equal songs.
        """
        weights = self.weights(protocol_named(protocol).over)
        parts = {"bleu": self.rows.bleu, "chrf": self.rows.chrf}
        edges = np.cumsum([1 + len(HEADLINE), *(part.shape[1] for part in parts.values())])
        table = np.empty((len(self.rows), edges[-1]))  # filled in place: of a million songs it has 260 MB
        table[:, 0] = weights
        for column, name in enumerate(HEADLINE, start=1):
            table[:, column] = weights * self.headline_values(name, protocol)
        for start, part in zip(edges, parts.values(), strict=False):
            table[:, start : start + part.shape[1]] = part
        sums = draw_sums(table, resamples, seed)
        means = {name: sums[:, column] / sums[:, 0] for column, name in enumerate(HEADLINE, start=1)}
        pieces = np.split(sums, edges[:-1], axis=1)[1:]
        return means | {name: SUMMED[name](piece) for name, piece in zip(parts, pieces, strict=True)}

    def intervals(
        self, protocol: str = "f1", resamples: int = RESAMPLES, seed: int = 0, level: float = LEVEL
    ) -> dict[str, Interval]:
        """Give every headline figure with its bootstrap interval over songs."""
        figures = self.headline(protocol)
        draws = self.draws(protocol, resamples, seed)
        return {name: interval(figures[name], draws[name], level) for name in figures}

    def signature(self, protocol: str = "f1") -> str:
        """Say in one line how the figures of a protocol were made.

        Raises:
            OptionError: an unknown protocol.
        """
        counts = np.unique(self.rows.references).tolist()
        several = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
        noun = "reference" if counts == [1] else "references"
        chosen = protocol_named(protocol)
        parts = [
            f"protocol {chosen.name}: ROUGE as rouge-score {version('rouge-score')}, no stemming, "
            f"{chosen.words} {several} {noun}",
            f"METEOR 2005 ({', '.join(f'{name} {value:g}' for name, value in METEOR_SETTINGS.items())}), "
            f"NLTK {version('nltk')}, WordNet {WORDNET_VERSION} synonyms, Punkt sentences + NLTKWordTokenizer",
            *(f"sacreBLEU {signature}" for signature in self.sacrebleu_signatures),
        ]
        by_characters = int(self.rows.by_characters.sum())
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
    lyrics: Sequence[str | None] | None = None,
) -> TextScores:
    """Score one caption per song against the song's references.

    Args:
        ids: unique ids [songs].
        predictions: one caption per song [songs]; an empty one scores 0.
        references: captions of each song [songs][references]; blank ones are left out.
        progress: where to report; None reports to nobody.
        lyrics: the lyrics of each song [songs], for the share that was copied; None where they are not known.

    Raises:
        DataError: no songs, lists of different lengths, an id that comes twice, or a song without references.
    """
    kept = [
        texts if all(text.strip() for text in texts) else [text for text in texts if text.strip()]
        for texts in references
    ]
    _check_songs(ids, predictions, kept)
    progress = progress or SilentProgress()
    progress.start("Scoring captions", len(ids))
    rows = SongRows(ids)
    sung = repeat(None) if lyrics is None else lyrics
    songs = zip(ids, predictions, kept, sung, strict=lyrics is not None)
    for place, (song, prediction, texts, words) in enumerate(songs):
        rows.put(place, score_song(song, prediction, texts, words))
        progress.advance()
    progress.finish()
    bleu = float(bleu_of(rows.bleu.sum(axis=0, dtype=float)))
    chrf = float(chrf_of(rows.chrf.sum(axis=0, dtype=float)))
    signatures = sacrebleu_signatures([int(rows.references.min()), int(rows.references.max())])
    return TextScores(rows, bleu, chrf, signatures, len(set(predictions)) / len(predictions))


def score_song(song: str, prediction: str, references: Sequence[str], lyrics: str | None = None) -> SongScore:
    """Score one prediction against its references."""
    by_characters = is_other_script(references)
    said = rouge_tokens(prediction, by_characters)
    matches = [_match(said, prediction, reference, by_characters) for reference in references]
    # sacreBLEU's own tokenizer knows no words where a script has no spaces.
    texts = [" ".join(tokens_of_any_script(t)) if by_characters else t for t in (prediction, *references)]
    return SongScore(
        id=song,
        best=_best(matches),
        mean=_mean(matches),
        references=len(references),
        length=count_words(prediction),
        bleu=bleu_statistics(texts[0], texts[1:]),
        chrf=chrf_statistics(texts[0], texts[1:]),
        copied=None if lyrics is None else copied_share(said, rouge_tokens(lyrics, by_characters), COPIED_WORDS),
        by_characters=by_characters,
    )


def _match(said: Sequence[str], prediction: str, reference: str, by_characters: bool) -> Match:
    """Compare a prediction, parted and whole, with one reference."""
    hypothesis = meteor_tokens(prediction, by_characters)
    meteor = float(_meteor()(meteor_tokens(reference, by_characters), hypothesis))
    return Match(*rouge(rouge_tokens(reference, by_characters), said), meteor)


@cache
def _meteor() -> Any:
    """Returns NLTK's METEOR; stems and synonyms are most of its time, so that they are kept."""
    from nltk.stem.porter import PorterStemmer
    from nltk.translate.meteor_score import single_meteor_score

    stemmer = SimpleNamespace(stem=lru_cache(KEPT_WORDS)(PorterStemmer().stem))
    wordnet = SimpleNamespace(synsets=lru_cache(KEPT_WORDS)(load_synonyms().joined_synsets))
    return partial(single_meteor_score, stemmer=stemmer, wordnet=wordnet, **METEOR_SETTINGS)


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


def _check_songs(ids: Sequence[str], predictions: Sequence[str], references: Sequence[Sequence[str]]) -> None:
    """Refuse songs that cannot be scored."""
    if not len(ids) == len(predictions) == len(references):
        raise DataError(
            f"There are {len(ids)} ids, {len(predictions)} predictions and {len(references)} lists of references.",
            "Give one prediction and one list of references for each song.",
        )
    if not ids:
        raise DataError("There are no captions to score.")
    if len(set(ids)) < len(ids):
        song = Counter(ids).most_common(1)[0][0]
        raise DataError(f"Song {song} comes more than once.", "Give each song one row with all its references.")
    for song, texts in zip(ids, references, strict=True):
        if not texts:
            raise DataError(f"Song {song} has no reference caption.", "Leave it out, or add a reference.")
