"""Case study: the songs on which two systems differ most."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from recap_cli.evaluation.captions import SongSet
from recap_cli.evaluation.systems import SystemScores
from recap_cli.scoring.protocols import HEADLINE


@dataclass(frozen=True)
class Case:
    """One song, captioned by two systems.

    Attributes:
        song: its id.
        lyrics: its lyrics, None where they are not known.
        references: its captions.
        captions: those of the two systems.
        scores: every headline figure of the two, from 0 to 1.
        difference: second minus first in ROUGE-L.
    """

    song: str
    lyrics: str | None
    references: Sequence[str]
    captions: tuple[str, str]
    scores: tuple[dict[str, float], dict[str, float]]
    difference: float


@dataclass(frozen=True)
class CaseStudy:
    """The songs on which two systems differ most, the largest difference first.

    Attributes:
        names: the two systems.
        cases: the songs.
        songs: number of songs they were chosen from.
        ties: songs on which the two captions are equal.
        protocol: the named protocol.
        signature: how scores were made.
    """

    names: tuple[str, str]
    cases: list[Case]
    songs: int
    ties: int
    protocol: str
    signature: str

    def to_json(self) -> dict[str, Any]:
        """The study as plain values, texts left to the page."""
        return {"runs": list(self.names), "songs": [case.song for case in self.cases], "equal_captions": self.ties}


def choose_cases(
    first: SystemScores, second: SystemScores, songs: SongSet, protocol: str, count: int, signature: str
) -> CaseStudy:
    """Choose the songs with the largest difference in ROUGE-L, either way; equal ones by their order."""
    tables = [{name: one.scores.headline_values(name, protocol) for name in HEADLINE} for one in (first, second)]
    differences = tables[1]["rougeL"] - tables[0]["rougeL"]
    rows = np.argsort(-np.abs(differences), kind="stable")[:count]
    return CaseStudy(
        names=(first.name, second.name),
        cases=[make_case(int(row), (first, second), tables, songs) for row in rows],
        songs=len(songs.ids),
        ties=sum(a == b for a, b in zip(first.captions, second.captions, strict=True)),
        protocol=protocol,
        signature=signature,
    )


def make_case(
    row: int, systems: tuple[SystemScores, SystemScores], tables: Sequence[dict[str, np.ndarray]], songs: SongSet
) -> Case:
    """Gather one song."""
    scores = [{name: float(values[row]) for name, values in table.items()} for table in tables]
    return Case(
        song=songs.ids[row],
        lyrics=songs.lyrics[row],
        references=songs.references[row],
        captions=(systems[0].captions[row], systems[1].captions[row]),
        scores=(scores[0], scores[1]),
        difference=scores[1]["rougeL"] - scores[0]["rougeL"],
    )
