"""Scores of single songs: one as a row, a million as columns."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

import numpy as np

from recap_cli.scoring.bleu import BLEU_ORDER, CHRF_ORDER, bleu_statistics, chrf_statistics
from recap_cli.scoring.cider import ORDERS, SIGMA, CiderReferences
from recap_cli.scoring.facts import COUNTS, count_pairs, load_lexicon, read_facts, taggable
from recap_cli.scoring.meaning import Encoder, MeaningReferences
from recap_cli.scoring.meteor import meteor
from recap_cli.scoring.rouge import (
    PARTS,
    ROUGE_TYPES,
    Overlap,
    copied_share,
    count_words,
    is_other_script,
    rouge,
    rouge_tokens,
    tokens_of_any_script,
)

MEASURES = (*(f"{name}.{part}" for name in ROUGE_TYPES for part in PARTS), "meteor")


@dataclass(frozen=True)
class Match:
    """A prediction against one reference, or summed up over several; all from 0 to 1."""

    rouge1: Overlap
    rouge2: Overlap
    rougeL: Overlap  # noqa: N815 - the name rouge-score gives it
    meteor: float

    def to_json(self) -> dict[str, Any]:
        """The figures as plain values."""
        return {name: vars(getattr(self, name)) for name in ROUGE_TYPES} | {"meteor": self.meteor}


@dataclass(frozen=True)
class SongScore:
    """The row of one song; corpus figures and bootstraps are made from rows alone.

    Where a song has several captions, it is their mean, counts for BLEU and chrF too.
    """

    id: str
    best: Match  # for each measure the best reference, by F1 for ROUGE (its precision and recall come along)
    mean: Match  # mean over the references
    references: int
    length: float  # words of the prediction; a character is a word in scripts without spaces
    bleu: tuple[float, ...]  # see `bleu.bleu_statistics`
    chrf: tuple[float, ...]  # see `bleu.chrf_statistics`
    copied: float | None  # share of the caption's 5-grams that stand in the lyrics; None where no lyrics are known
    by_characters: bool  # read with our tokenizer, because the references are not mainly in Latin letters
    # What is found with the references of all songs, or in tables of all captions; see `score_together`.
    cider: float = 0.0  # CIDEr-D, from 0 to 10
    facts: tuple[float, ...] = (0.0,) * len(COUNTS)  # see `facts.COUNTS`
    tag_facts: tuple[float, ...] | None = None  # the same against uploaders' tags, where asked for
    meaning: tuple[float, float] | None = None  # cosine to the best reference and mean over them, where asked for

    def to_json(self) -> dict[str, Any]:
        """The row as plain values, with sentence BLEU and chrF left to their statistics."""
        return {
            "id": self.id,
            "best_reference": self.best.to_json(),
            "mean_of_references": self.mean.to_json(),
            "references": self.references,
            "words": self.length,
            "bleu_counts": self.bleu,
            "chrf_counts": self.chrf,
            "copied_5grams": self.copied,
            "by_characters": self.by_characters,
            "cider_0_10": self.cider,
            "facts_counts": self.facts,
            **({"tag_facts_counts": self.tag_facts} if self.tag_facts is not None else {}),
            **({"meaning_cosine": self.meaning[0], "meaning_mean_cosine": self.meaning[1]} if self.meaning else {}),
        }


class SongRows:
    """The scores of many songs as columns, some 300 bytes a song; a row is made when it is asked for."""

    def __init__(self, ids: Sequence[str]) -> None:
        count = len(ids)
        self.ids = ids
        self.best = np.zeros((count, len(MEASURES)))  # against the best reference of each [songs, measures]
        self.mean = np.zeros((count, len(MEASURES)))  # over the references [songs, measures]
        self.references = np.zeros(count, np.int32)
        self.captions = np.ones(count, np.int32)  # of which each row is the mean
        self.length = np.zeros(count, np.int32)
        self.copied = np.full(count, np.nan)  # NaN where no lyrics are known
        self.by_characters = np.zeros(count, bool)
        self.bleu = np.zeros((count, 2 + 2 * BLEU_ORDER), np.int32)
        self.chrf = np.zeros((count, 3 * CHRF_ORDER), np.int32)
        self.cider = np.zeros(count)
        self.facts = np.zeros((count, len(COUNTS)), np.int16)
        # Where asked for only: [songs, 4] as facts, and [songs, 2].
        self.tag_facts: np.ndarray | None = None
        self.meaning: np.ndarray | None = None

    def put(self, place: int, row: SongScore) -> None:
        """Writes a song's row into its place."""
        self.best[place], self.mean[place] = _flat(row.best), _flat(row.mean)
        self.references[place], self.length[place] = row.references, row.length
        self.copied[place] = np.nan if row.copied is None else row.copied
        self.by_characters[place] = row.by_characters
        self.bleu[place], self.chrf[place] = row.bleu, row.chrf
        self.cider[place], self.facts[place] = row.cider, row.facts

    def averaged(self, ids: Sequence[str], counts: Sequence[int]) -> "SongRows":
        """Returns a row a song: the mean of the rows of its captions, which follow each other here.

        Args:
            ids: the songs.
            counts: how many captions each of them has.
        """
        found = SongRows(ids)
        starts = np.cumsum(counts, dtype=np.intp) - np.array(counts, np.intp)
        for name in ("best", "mean", "length", "copied", "bleu", "chrf", "cider", "facts", "tag_facts", "meaning"):
            if (values := getattr(self, name)) is not None:
                sums = np.add.reduceat(values, starts, axis=0, dtype=float)
                setattr(found, name, (sums.T / counts).T)
        found.captions[:] = counts
        found.references, found.by_characters = self.references[starts], self.by_characters[starts]
        return found

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, place: int) -> SongScore:
        copied = float(self.copied[place])
        return SongScore(
            id=self.ids[place],
            best=_match_of(self.best[place].tolist()),
            mean=_match_of(self.mean[place].tolist()),
            references=int(self.references[place]),
            length=self.length[place].item(),
            bleu=tuple(self.bleu[place].tolist()),
            chrf=tuple(self.chrf[place].tolist()),
            copied=None if np.isnan(copied) else copied,
            by_characters=bool(self.by_characters[place]),
            cider=float(self.cider[place]),
            facts=tuple(self.facts[place].tolist()),
            tag_facts=None if self.tag_facts is None else tuple(self.tag_facts[place].tolist()),
            meaning=None if self.meaning is None else tuple(self.meaning[place].tolist()),
        )

    def __iter__(self) -> Iterator[SongScore]:
        return (self[place] for place in range(len(self)))


@dataclass(frozen=True)
class Judges:
    """What captions are scored by where it is asked for."""

    encoder: Encoder | None = None  # of sentences
    tag_facts: Mapping[str, frozenset[str]] = field(default_factory=dict)  # what uploaders' tags state, by song


def score_song(song: str, prediction: str, references: Sequence[str], lyrics: str | None = None) -> SongScore:
    """Scores one prediction against its references."""
    by_characters = is_other_script(references)
    said = rouge_tokens(prediction, by_characters)
    matches = [
        Match(*rouge(rouge_tokens(reference, by_characters), said), meteor(reference, prediction, by_characters))
        for reference in references
    ]
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
        copied=None if lyrics is None else copied_share(said, rouge_tokens(lyrics, by_characters)),
        by_characters=by_characters,
    )


def score_together(
    rows: SongRows, captions: Sequence[str], references: Sequence[Sequence[str]], owners: np.ndarray, judges: Judges
) -> tuple[str, ...]:
    """Fills in the figures that are found for all captions at once, and returns how they were made.

    Args:
        rows: a row a caption.
        captions: the captions.
        references: those of each song [songs][references].
        owners: the number of each caption's song [captions].
        judges: what else they are scored by.
    """
    rows.cider[:] = CiderReferences(references).scores(captions, owners)
    said = [read_facts(caption) for caption in captions]
    known = [frozenset().union(*map(read_facts, texts)) for texts in references]
    rows.facts[:] = count_pairs(said, [known[place] for place in owners])
    notes = [
        f"CIDEr-D of 1 to {ORDERS} PTB words, sigma {SIGMA:g}, n-grams weighed by the references of these "
        f"{len(references):,} songs",
        f"facts: {load_lexicon().name}, summed over songs",
    ]
    if judges.tag_facts:
        tagged = [judges.tag_facts.get(song, frozenset()) for song in rows.ids]
        # A song without tags counts for nothing, and a fact for which there is no tag neither.
        judged = [facts & taggable() if tags else frozenset() for facts, tags in zip(said, tagged, strict=True)]
        rows.tag_facts = count_pairs(judged, tagged)
        notes.append(f"facts by uploaders' tags, which {len(set(rows.ids) & judges.tag_facts.keys()):,} songs have")
    if judges.encoder is not None:
        rows.meaning = MeaningReferences(judges.encoder, references).scores(captions, owners)
        notes.append(judges.encoder.signature)
    return tuple(notes)


def _best(matches: list[Match]) -> Match:
    """Takes the best reference of each measure, the first of equals."""
    rouge1, rouge2, rouge_l = (
        max((getattr(match, name) for match in matches), key=lambda overlap: overlap.f1) for name in ROUGE_TYPES
    )
    return Match(rouge1, rouge2, rouge_l, max(match.meteor for match in matches))


def _mean(matches: list[Match]) -> Match:
    """Averages each measure over the references."""
    return _match_of([fmean(values) for values in zip(*map(_flat, matches), strict=True)])


def _flat(match: Match) -> list[float]:
    """Returns a match's figures in the order of `MEASURES`."""
    overlaps = (match.rouge1, match.rouge2, match.rougeL)
    return [value for one in overlaps for value in (one.precision, one.recall, one.f1)] + [match.meteor]


def _match_of(values: list[float]) -> Match:
    """Returns the match whose figures these are."""
    return Match(Overlap(*values[:3]), Overlap(*values[3:6]), Overlap(*values[6:9]), values[9])
