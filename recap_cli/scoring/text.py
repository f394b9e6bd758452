"""Captions and references to corpus figures with their intervals, and the signature that says how."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import chain
from typing import Literal

import numpy as np

from recap_cli.errors import DataError, OptionError
from recap_cli.progress import Progress, SilentProgress
from recap_cli.scoring.bleu import bleu_of, chrf_of, sacrebleu_signatures
from recap_cli.scoring.bootstrap import RESAMPLES, Interval, Score, cluster_sums, draw_sums, interval
from recap_cli.scoring.facts import facts_of
from recap_cli.scoring.meteor import METEOR_SETTINGS, WORDNET_VERSION
from recap_cli.scoring.rouge import ROUGE_TYPES
from recap_cli.scoring.song_scores import MEASURES, Judges, SongRows, score_song, score_together


def mean_of(sums: np.ndarray) -> np.ndarray:
    """Turns a value and a 1 summed over songs [..., 2] into the mean [...]."""
    return sums[..., 0] / np.maximum(sums[..., 1], 1)


METRICS = (*MEASURES, "length")
# The figures of the paper's Table 1, from 0 to 1.
HEADLINE = ("rouge1", "rouge2", "rougeL", "meteor")
# Corpus figures made from summed statistics; the last three are there where they are asked for.
SUMMED: dict[str, Score] = {
    "bleu": bleu_of,
    "chrf": chrf_of,
    "cider": mean_of,
    "facts": facts_of,
    "tag_facts": facts_of,
    "meaning": mean_of,
    "meaning_mean": mean_of,
}
# What JSON and CSV call the figures: all of them are from 0 to 1, but those that say otherwise; cosines from -1 to 1.
KEYS = {
    **{name: name for name in HEADLINE},
    "bleu": "bleu_0_100",
    "chrf": "chrf_0_100",
    "cider": "cider_0_10",
    "facts": "facts_f1",
    "tag_facts": "tag_facts_f1",
    "meaning": "meaning_cosine",
    "meaning_mean": "meaning_mean_cosine",
    # Means of songs' F1, of captions that are moved to other songs.
    "facts_by_song": "facts_f1_by_song",
    "tag_facts_by_song": "tag_facts_f1_by_song",
}
HEADINGS = {
    "rouge1": "ROUGE-1",
    "rouge2": "ROUGE-2",
    "rougeL": "ROUGE-L",
    "meteor": "METEOR",
    "bleu": "BLEU",
    "chrf": "chrF",
    "cider": "CIDEr-D",
    "facts": "facts",
    "tag_facts": "facts by tags",
    "meaning": "meaning",
    "meaning_mean": "meaning, mean",
}

# How a corpus mean is taken: over each song's best reference, the mean of its references, or every pair of prediction
# and reference alike.
Over = Literal["best", "mean", "captions"]


@dataclass(frozen=True)
class Protocol:
    """What a headline figure is: the part of ROUGE, and over which pairs of caption and reference."""

    name: str
    part: Literal["f1", "recall"]
    over: Over
    words: str  # the same for the signature
    aim: str  # the same below a table

    def metric(self, figure: str) -> str:
        """Returns the name of the per-song score behind a figure of `HEADLINE`."""
        return figure if figure == "meteor" else f"{figure}.{self.part}"


PROTOCOLS = {
    "f1": Protocol("f1", "f1", "best", "F1, best of", "F1 over the best reference"),
    # What ALCAP's public code scores: ROUGE recall, each caption of a song apart.
    "published": Protocol(
        "published", "recall", "captions", "recall, one row for each of", "recall over every reference caption"
    ),
}


def protocol_named(name: str) -> Protocol:
    """Returns a protocol of `PROTOCOLS`.

    Raises:
        OptionError: there is none of this name.
    """
    if name not in PROTOCOLS:
        raise OptionError(f"--protocol {name} is not known", f"choose one of {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]


def headings(protocol: str) -> dict[str, str]:
    """Returns what people call the headline figures, the part of ROUGE named."""
    part = {"f1": "F1"}.get(protocol_named(protocol).part, "recall")
    return {name: f"{words} {part}" if name in ROUGE_TYPES else words for name, words in HEADINGS.items()}


@dataclass(frozen=True)
class TextScores:
    """Scores of one system's captions on a set of songs."""

    rows: SongRows  # one a song, in the order given
    bleu: float  # sacreBLEU's corpus BLEU over all references, 0 to 100
    chrf: float  # sacreBLEU's corpus chrF, 0 to 100
    sacrebleu_signatures: tuple[str, str]
    distinct: float  # share of captions that differ from one another, 1 when no two are equal
    clusters: np.ndarray | None = None  # songs that are drawn together have one number [songs]; None: each alone
    notes: tuple[str, ...] = ()  # how CIDEr-D, facts and meaning were made

    @property
    def figures(self) -> tuple[str, ...]:
        """The figures that there are: those of `HEADLINE`, and of `SUMMED` what was asked for."""
        absent = ["tag_facts"] if self.rows.tag_facts is None else []
        absent += ["meaning", "meaning_mean"] if self.rows.meaning is None else []
        return (*HEADLINE, *(name for name in SUMMED if name not in absent))

    @property
    def summed(self) -> tuple[str, ...]:
        """The figures of `SUMMED` that there are."""
        return self.figures[len(HEADLINE) :]

    @property
    def copied(self) -> float | None:
        """Mean share of 5-grams copied from the lyrics; None where no lyrics are known."""
        known = self.rows.copied[~np.isnan(self.rows.copied)]
        return float(known.mean()) if len(known) else None

    def values(self, metric: str, over: Over = "best") -> np.ndarray:
        """Returns one metric of `METRICS` for every song [songs]; "rouge1" alone means "rouge1.f1".

        A mean over "captions" is the mean over songs of "mean" with `weights("captions")`.

        Raises:
            OptionError: an unknown metric.
        """
        metric = f"{metric}.f1" if metric in ROUGE_TYPES else metric
        if metric not in METRICS:
            raise OptionError(f"There is no score {metric!r}", f"scores: {', '.join(METRICS)}")
        if metric == "length":
            return self.rows.length.astype(float)
        table = self.rows.best if over == "best" else self.rows.mean
        return table[:, MEASURES.index(metric)].copy()

    def weights(self, over: Over = "best") -> np.ndarray:
        """Returns the weight of each song [songs] in a corpus mean: over "captions" its references, else 1."""
        return self.rows.references.astype(float) if over == "captions" else np.ones(len(self.rows))

    def means(self, over: Over = "best") -> dict[str, float]:
        """Returns the corpus mean of every metric in `METRICS`."""
        return {name: float(np.average(self.values(name, over), weights=self.weights(over))) for name in METRICS}

    def headline(self, protocol: str = "f1") -> dict[str, float]:
        """Returns a protocol's figures: those of `HEADLINE`, and those of `SUMMED`, for which protocols are alike."""
        chosen = protocol_named(protocol)
        means = self.means(chosen.over)
        sums = {name: self.statistics(name).sum(axis=0) for name in self.summed}
        return {
            **{name: means[chosen.metric(name)] for name in HEADLINE},
            **{name: float(SUMMED[name](total)) for name, total in sums.items()},
        }

    def headline_values(self, figure: str, protocol: str = "f1") -> np.ndarray:
        """Returns one figure of `HEADLINE` for every song [songs]."""
        chosen = protocol_named(protocol)
        return self.values(chosen.metric(figure), chosen.over)

    def statistics(self, figure: str) -> np.ndarray:
        """Returns the statistics of a figure of `SUMMED` [songs, columns], which turns any sum of them into a score."""
        column = {"meaning": 0, "meaning_mean": 1}.get(figure)
        values = np.asarray(getattr(self.rows, figure if column is None else "meaning"), float)
        if column is not None:
            values = values[:, column]
        return values if values.ndim == 2 else np.stack([values, np.ones(len(values))], axis=1)

    def shares(self, figure: str, protocol: str = "f1") -> np.ndarray:
        """Returns each song's share [songs] in any headline figure, or each cluster's; their plain mean is the figure.

        Of a plain mean these are the songs' values. Of a weighted mean and of BLEU and chrF they are its linear part
        (the jackknife's, Efron 1982): the figure plus n - 1 times what it loses without the song. So a test that
        knows means only can be had of every figure.
        """
        if figure in HEADLINE:
            weights = self.weights(protocol_named(protocol).over)
            values = self.headline_values(figure, protocol)
            mean = np.average(values, weights=weights)
            parts = cluster_sums((weights * (values - mean) / weights.mean())[:, None], self.clusters)[:, 0]
            return mean + parts * len(parts) / len(weights)
        rows = cluster_sums(self.statistics(figure), self.clusters)
        total = rows.sum(axis=0)
        losses = SUMMED[figure](total) - SUMMED[figure](total - rows)
        return SUMMED[figure](total) + (len(rows) - 1) * (losses - losses.mean())

    def draws(self, protocol: str = "f1", resamples: int = RESAMPLES, seed: int = 0) -> dict[str, np.ndarray]:
        """Returns bootstrap draws [resamples] of every headline figure.

        Rows are resampled and summed once for all figures; no text is scored again. Equal seeds and numbers of songs
        draw equal songs.
        """
        weights = self.weights(protocol_named(protocol).over)
        parts = {name: self.statistics(name) for name in self.summed}
        edges = np.cumsum([1 + len(HEADLINE), *(part.shape[1] for part in parts.values())])
        table = np.empty((len(self.rows), edges[-1]))  # filled in place: of a million songs it has 260 MB
        table[:, 0] = weights
        for column, name in enumerate(HEADLINE, start=1):
            table[:, column] = weights * self.headline_values(name, protocol)
        for start, part in zip(edges, parts.values(), strict=False):
            table[:, start : start + part.shape[1]] = part
        sums = draw_sums(table, resamples, seed, self.clusters)
        means = {name: sums[:, column] / sums[:, 0] for column, name in enumerate(HEADLINE, start=1)}
        pieces = np.split(sums, edges[:-1], axis=1)[1:]
        return means | {name: SUMMED[name](piece) for name, piece in zip(parts, pieces, strict=True)}

    def intervals(self, protocol: str = "f1", resamples: int = RESAMPLES, seed: int = 0) -> dict[str, Interval]:
        """Returns every headline figure with its bootstrap interval over songs."""
        draws = self.draws(protocol, resamples, seed)
        return {name: interval(figure, draws[name], self.clusters) for name, figure in self.headline(protocol).items()}

    def signature(self, protocol: str = "f1") -> str:
        """Says in one line how the figures of a protocol were made."""
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
            *self.notes,
        ]
        if self.rows.captions.max() > 1:
            least, most = self.rows.captions.min(), self.rows.captions.max()
            parts.append(f"{f'{least} to ' if least < most else ''}{most} captions a song, each scored, their mean")
        by_characters = int(self.rows.by_characters.sum())
        if by_characters:
            parts.append(
                f"{by_characters} of {len(self.rows)} songs not in Latin letters: one token per character in scripts "
                "without spaces, for all metrics"
            )
        return "; ".join(parts)


def score_songs(
    ids: Sequence[str],
    predictions: Sequence[str | tuple[str, ...]],
    references: Sequence[Sequence[str]],
    progress: Progress | None = None,
    lyrics: Sequence[str | None] | None = None,
    clusters: np.ndarray | None = None,
    judges: Judges | None = None,
) -> TextScores:
    """Scores one caption a song, or several, against the song's references; a song's row is the mean of its captions.

    Args:
        ids: unique ids [songs].
        predictions: captions [songs], or several of each [songs][captions]; an empty one scores 0.
        references: captions of each song [songs][references]; blank ones are left out.
        progress: where to report; None reports to nobody.
        lyrics: the lyrics of each song [songs], for the share that was copied; None where they are not known.
        clusters: numbers of the songs' artists [songs], for intervals; None takes songs as independent.
        judges: what else they are scored by.

    Raises:
        DataError: no songs, lists of different lengths, an id that comes twice, or a song without references.
    """
    kept = [
        texts if all(text.strip() for text in texts) else [text for text in texts if text.strip()]
        for texts in references
    ]
    _check_songs(ids, predictions, kept)
    progress = progress or SilentProgress()
    said = [(one,) if isinstance(one, str) else one for one in predictions]
    owners = [place for place, captions in enumerate(said) for _ in captions]
    progress.start("Scoring captions", len(owners))
    rows = SongRows([ids[place] for place in owners])
    for row, (place, caption) in enumerate(zip(owners, chain.from_iterable(said), strict=True)):
        rows.put(row, score_song(ids[place], caption, kept[place], lyrics[place] if lyrics is not None else None))
        progress.advance()
    progress.finish()
    notes = score_together(rows, list(chain.from_iterable(said)), kept, np.array(owners), judges or Judges())
    if len(owners) > len(ids):
        rows = rows.averaged(ids, [len(captions) for captions in said])
    bleu = float(bleu_of(rows.bleu.sum(axis=0, dtype=float)))
    chrf = float(chrf_of(rows.chrf.sum(axis=0, dtype=float)))
    signatures = sacrebleu_signatures([int(rows.references.min()), int(rows.references.max())])
    return TextScores(rows, bleu, chrf, signatures, len(set(chain.from_iterable(said))) / len(owners), clusters, notes)


def _check_songs(
    ids: Sequence[str], predictions: Sequence[str | tuple[str, ...]], references: Sequence[Sequence[str]]
) -> None:
    """Refuses songs that cannot be scored."""
    if not len(ids) == len(predictions) == len(references):
        raise DataError(
            f"There are {len(ids)} ids, {len(predictions)} predictions and {len(references)} lists of references",
            "give one prediction and one list of references for each song",
        )
    if not ids:
        raise DataError("There are no captions to score")
    if len(set(ids)) < len(ids):
        song = Counter(ids).most_common(1)[0][0]
        raise DataError(f"Song {song} comes more than once", "give each song one row with all its references")
    for song, texts in zip(ids, references, strict=True):
        if not texts:
            raise DataError(f"Song {song} has no reference caption", "leave it out, or add a reference")
    if () in predictions:
        raise DataError(f"Song {ids[predictions.index(())]} has no caption", "leave it out, or add one")
