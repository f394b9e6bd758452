"""Captions moved to the songs of other artists: what every caption scores on every song."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

# Every caption against every set of references, a figure each [captions, sets], from 0 to 1.
PairScores = Callable[[Sequence[str], Sequence[Sequence[str]]], Mapping[str, np.ndarray]]
# Every caption against every song by what is known of the song beside its references [captions, songs], NaN where
# nothing is.
SongTables = Callable[[Sequence[str]], Mapping[str, np.ndarray]]

ONE_GROUP = 1024  # songs that are all moved to all others; of more, each within a group
LEAST_GROUP = 256  # songs of a group: it has more than 200 shifts
BLOCK = 2_000_000  # pairs of caption and reference that are scored at a time


@dataclass(frozen=True)
class Songs:
    """What captions are scored on."""

    references: Sequence[Sequence[str]]  # of each song, none blank
    artists: np.ndarray  # numbers [songs]; a song without a known artist has one of its own
    weights: np.ndarray  # of each song in a mean [songs]
    lyrics: Sequence[str | None]  # None where they are not known
    clusters: np.ndarray | None = None  # songs that are drawn together have one number [songs]; None: each alone
    by_song: Sequence[SongTables] = ()


@dataclass
class SongValues:
    """A figure of captions, song by song: with their own songs, and moved to others; empty where nothing is known."""

    places: list[np.ndarray] = field(default_factory=list)  # of the songs [songs]
    own: list[np.ndarray] = field(default_factory=list)  # a figure of each caption with its own song [songs]
    moved: list[np.ndarray] = field(default_factory=list)  # mean with the songs of other artists [songs]
    shifts: list[np.ndarray] = field(default_factory=list)  # sums and weights of each shift [2, shifts]

    def add(self, places: np.ndarray, table: np.ndarray, group: "Group", columns: np.ndarray) -> None:
        """Adds a table of songs' captions against songs [songs, columns]; NaN where the two must not meet.

        `places` and `columns` number songs of the group. Songs of which the table knows nothing are left out.
        """
        owners = np.searchsorted(columns, places)
        own = table[np.arange(len(places)), owners]
        barred = group.artists[places][:, None] == group.artists[columns]
        # A group of one artist is moved all the same, within the artist's songs.
        barred = np.where(barred.all(axis=1, keepdims=True), owners[:, None] == np.arange(len(columns)), barred)
        met = ~(barred | np.isnan(table))
        kept = ~np.isnan(own) & met.any(axis=1)
        if not kept.any():
            return
        places, owners, own, met, table = (rows[kept] for rows in (places, owners, own, met, table))
        others = np.where(met, table, 0.0)
        weights = group.weights[places]
        turned = (owners[:, None] + np.arange(1, len(columns))) % len(columns)
        rows = np.arange(len(places))[:, None]
        self.places.append(group.places[places])
        self.own.append(own)
        self.moved.append(others.sum(axis=1) / met.sum(axis=1))
        self.shifts.append(np.stack([weights @ others[rows, turned], weights @ met[rows, turned]]))

    def shifted(self) -> np.ndarray:
        """Returns the mean of each shift [shifts]; of several groups, of as many as the smallest has."""
        least = min(part.shape[1] for part in self.shifts)
        above, below = np.sum([part[:, :least] for part in self.shifts], axis=0)
        return above[below > 0] / below[below > 0]


class Group:
    """Songs whose captions are moved among them."""

    def __init__(self, songs: Songs, places: np.ndarray, scorers: Sequence[PairScores]) -> None:
        self.places = places  # in the order of all songs, ascending
        self.scorers = scorers
        self.references = [songs.references[place] for place in places]
        self.by_song = songs.by_song
        self.artists = songs.artists[places]
        counts = np.array(list(map(len, self.references)))
        self.weights = songs.weights[places]
        self.several = np.flatnonzero(counts > 1)  # songs whose references can be compared with one another
        self.fewer = [  # the references of each of these without one of them
            [text for place, text in enumerate(self.references[song]) if place != left_out]
            for song in self.several
            for left_out in range(counts[song])
        ]
        self.owners = np.concatenate([places, np.repeat(places[self.several], counts[self.several])])  # of all sets
        self.starts = np.cumsum(counts[self.several]) - counts[self.several]
        self.sizes = counts[self.several]

    def tables(self, captions: Mapping[int, Sequence[str]], takes_best: bool) -> dict[str, np.ndarray]:
        """Returns the figures of songs' captions against all sets of references [songs, sets]: whole sets, then
        those with one reference less. Of several captions of a song the best counts, or the mean.
        """
        sets = [*self.references, *self.fewer]
        size = max(1, BLOCK // sum(map(len, sets)))
        parts: dict[str, list[np.ndarray]] = {}
        for texts in blocks_of(list(captions.values()), size):
            flat = [text for one in texts for text in one]
            known = {text: row for row, text in enumerate(dict.fromkeys(flat))}
            rows = [known[text] for text in flat]
            sizes = np.array(list(map(len, texts)))
            starts = np.cumsum(sizes) - sizes
            found = [scorer(list(known), sets) for scorer in self.scorers]
            found += [{name: table[:, self.owners] for name, table in one(list(known)).items()} for one in self.by_song]
            for figure, table in (pair for tables in found for pair in tables.items()):
                spread = table[rows]
                best = np.maximum.reduceat(spread, starts) if takes_best else None
                mean = np.add.reduceat(spread, starts) / sizes[:, None] if best is None else best
                parts.setdefault(figure, []).append(mean)
        return {figure: np.concatenate(found) for figure, found in parts.items()}

    def over_fewer(self, table: np.ndarray) -> np.ndarray:
        """Returns the means over the sets with one reference less of each song with several [rows, songs]."""
        return np.add.reduceat(table[:, len(self.references) :], self.starts, axis=1) / self.sizes


def blocks_of(texts: Sequence[Sequence[str]], size: int) -> Iterator[list[Sequence[str]]]:
    """Splits songs' captions into blocks of about so many captions."""
    block: list[Sequence[str]] = []
    count = 0
    for one in texts:
        block.append(one)
        count += len(one)
        if count >= size:
            yield block
            block, count = [], 0
    if block:
        yield block


def split_songs(songs: int, seed: int = 0) -> list[np.ndarray]:
    """Returns the places of each group's songs: one group, or of many songs random ones of `LEAST_GROUP` or more."""
    if songs <= ONE_GROUP:
        return [np.arange(songs)]
    order = np.random.default_rng(seed).permutation(songs)
    return [np.sort(part) for part in np.array_split(order, songs // LEAST_GROUP)]


def people_table(table: np.ndarray, owners: np.ndarray, group: Group) -> np.ndarray:
    """Returns the references of songs with several against such songs [songs, songs].

    With its own song a reference is compared with the others only, elsewhere with every set of one reference less.
    """
    means = group.over_fewer(table)
    found = np.empty((len(group.several), len(group.several)))
    for row, song in enumerate(group.several):
        own = np.flatnonzero(owners == song)
        found[row] = means[own].mean(axis=0)
        columns = len(group.references) + group.starts[row] + np.arange(len(own))
        found[row, row] = table[own, columns].mean()
    return found
