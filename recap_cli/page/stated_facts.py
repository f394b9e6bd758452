"""The facts of captions by name, sorted by what references say of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recap_cli.scoring.facts import contradictions, fact_table, load_lexicon, read_facts


@dataclass(frozen=True)
class StatedFacts:
    """What a caption states, beside what its song's references state; facts in the order of the lexicon."""

    agreed: tuple[str, ...] = ()  # a reference states it, too
    contradicted: tuple[str, ...] = ()  # a reference states what excludes it
    alone: tuple[str, ...] = ()  # no reference speaks of it


def sort_facts(captions: Sequence[str], references: Sequence[Sequence[str]]) -> list[StatedFacts]:
    """Returns the facts of captions [captions] against the references in their places [captions][references]."""
    said = fact_table(map(read_facts, captions))
    known = fact_table(frozenset().union(*map(read_facts, texts)) for texts in references)
    agreed = said & known
    against = contradictions(said, known) & ~agreed
    names = load_lexicon().names
    kinds = (agreed, against, said & ~agreed & ~against)
    return [
        StatedFacts(*(tuple(names[column] for column in np.flatnonzero(row)) for row in rows))
        for rows in zip(*kinds, strict=True)
    ]
