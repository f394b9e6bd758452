"""Scores of single songs: one as a row, a million as columns."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np

from recap_cli.scoring.bleu import BLEU_ORDER, CHRF_ORDER
from recap_cli.scoring.rouge import PARTS, ROUGE_TYPES, Overlap

MEASURES = (*(f"{name}.{part}" for name in ROUGE_TYPES for part in PARTS), "meteor")


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

    def to_json(self) -> dict[str, Any]:
        """The figures as plain values."""
        return {name: vars(getattr(self, name)) for name in ROUGE_TYPES} | {"meteor": self.meteor}


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
        chrf: those of chrF against its best reference, see `bleu.chrf_statistics`.
        copied: share of the caption's 5-grams that stand in the lyrics; None where no lyrics are known.
        by_characters: the song was read with our tokenizer, because its references are not mainly in Latin letters.
    """

    id: str
    best: Match
    mean: Match
    references: int
    length: int
    bleu: tuple[int, ...]
    chrf: tuple[int, ...]
    copied: float | None
    by_characters: bool

    def to_json(self) -> dict[str, Any]:
        """The row as plain values, with sentence BLEU and chrF left to their statistics."""
        return {**vars(self), "best": self.best.to_json(), "mean": self.mean.to_json()}


class SongRows(Sequence[SongScore]):
    """The scores of many songs as columns, some 300 bytes a song; a row is made when it is asked for.

    Attributes:
        ids: of the songs.
        best: `MEASURES` against the best reference of each [songs, 10].
        mean: their means over the references [songs, 10].
        references: number of references [songs].
        length: words of the prediction [songs].
        copied: share of 5-grams copied from the lyrics, NaN where no lyrics are known [songs].
        by_characters: whether it was read by characters [songs].
        bleu: BLEU's statistics [songs, 10].
        chrf: chrF's statistics [songs, 18].
    """

    def __init__(self, ids: Sequence[str]) -> None:
        count = len(ids)
        self.ids = ids
        self.best = np.zeros((count, len(MEASURES)))
        self.mean = np.zeros((count, len(MEASURES)))
        self.references = np.zeros(count, np.int32)
        self.length = np.zeros(count, np.int32)
        self.copied = np.full(count, np.nan)
        self.by_characters = np.zeros(count, bool)
        self.bleu = np.zeros((count, 2 + 2 * BLEU_ORDER), np.int32)
        self.chrf = np.zeros((count, 3 * CHRF_ORDER), np.int32)

    def put(self, place: int, row: SongScore) -> None:
        """Writes a song's row into its place."""
        self.best[place], self.mean[place] = flat(row.best), flat(row.mean)
        self.references[place], self.length[place] = row.references, row.length
        self.copied[place] = np.nan if row.copied is None else row.copied
        self.by_characters[place] = row.by_characters
        self.bleu[place], self.chrf[place] = row.bleu, row.chrf

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SongRows) and len(self) == len(other) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def __len__(self) -> int:
        return len(self.ids)

    @overload
    def __getitem__(self, place: int) -> SongScore: ...

    @overload
    def __getitem__(self, place: slice) -> list[SongScore]: ...

    def __getitem__(self, place: int | slice) -> SongScore | list[SongScore]:
        """Returns the row of a song, or of several."""
        if isinstance(place, slice):
            return [self[one] for one in range(*place.indices(len(self)))]
        copied = float(self.copied[place])
        return SongScore(
            id=self.ids[place],
            best=match_of(self.best[place].tolist()),
            mean=match_of(self.mean[place].tolist()),
            references=int(self.references[place]),
            length=int(self.length[place]),
            bleu=tuple(self.bleu[place].tolist()),
            chrf=tuple(self.chrf[place].tolist()),
            copied=None if np.isnan(copied) else copied,
            by_characters=bool(self.by_characters[place]),
        )

    def __iter__(self) -> Iterator[SongScore]:
        return (self[place] for place in range(len(self)))


def flat(match: Match) -> list[float]:
    """Returns a match's figures in the order of `MEASURES`."""
    overlaps = (match.rouge1, match.rouge2, match.rougeL)
    return [value for one in overlaps for value in (one.precision, one.recall, one.f1)] + [match.meteor]


def match_of(values: list[float]) -> Match:
    """Returns the match whose figures these are."""
    return Match(Overlap(*values[:3]), Overlap(*values[3:6]), Overlap(*values[6:9]), values[9])
