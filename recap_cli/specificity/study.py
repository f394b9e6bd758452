"""Controls that need no model: do captions belong to their songs, and do they reach what people reach?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from recap_cli.errors import DataError
from recap_cli.progress import Progress
from recap_cli.scoring.bootstrap import LEVEL, Interval, bootstrap_interval, bootstrap_ratio
from recap_cli.scoring.rouge import count_words
from recap_cli.specificity.moving import Group, PairScores, Songs, SongValues, people_table, split_songs
from recap_cli.specificity.results import CHOSEN_BY, ControlRow, Kind, Share, Specificity, TextControls

CONSTANT, PEOPLE = "one reference for all songs", "people"
FIRST_LINES, BEST_LINE = "lyrics, first lines", "lyrics, best line"


@dataclass(frozen=True)
class CaptionSource:
    """Whose captions are scored."""

    name: str
    kind: Kind
    captions: Mapping[int, Sequence[str]]  # of each song that it captioned, by the song's place
    takes_best: bool = False  # of several captions of a song the best counts for each set of references, not the mean


def study_captions(
    systems: Mapping[str, Sequence[Sequence[str]]],
    songs: Songs,
    scorers: Sequence[PairScores],
    protocol: str,
    progress: Progress,
) -> TextControls:
    """Scores every control that needs no model, for all systems on the same songs.

    Args:
        systems: the captions of each system by its name [songs][captions].
        songs: the songs.
        scorers: what makes the figures, from 0 to 1; one of them is `CHOSEN_BY`.
        protocol: what the figures of ROUGE are called after.
        progress: where to report.

    Raises:
        DataError: there is one song only.
    """
    if len(songs.references) < 2:
        raise DataError("--controls moves captions to other songs, and there is only one", "score at least two songs")
    sources = [CaptionSource(name, "system", dict(enumerate(captions))) for name, captions in systems.items()]
    sources += lyrics_sources(songs)
    study = Study(songs)
    groups = split_songs(len(songs.references))
    progress.start("Moving captions to other songs", len(groups) * (len(sources) + 1))
    for places in groups:
        group = Group(songs, places, scorers)
        study.add_references(group)
        progress.advance()
        for source in sources:
            study.add(source, group)
            progress.advance()
    progress.finish()
    rows = [*map(study.row, sources), *study.rows_of_references()]
    artists = len(np.unique(songs.artists))
    return TextControls(rows, len(songs.references), artists, study.shifts, protocol)


def lyrics_sources(songs: Songs) -> list[CaptionSource]:
    """Returns what the lyrics alone score: their first lines, as long as a reference, and their best line."""
    lines = {
        place: [" ".join(line.split()) for line in text.splitlines() if line.strip()]
        for place, text in enumerate(songs.lyrics)
        if text and text.strip()
    }
    if not lines:
        return []
    usual = np.mean([count_words(text) for place in lines for text in songs.references[place]])

    def beginning(texts: Sequence[str]) -> str:
        words = np.cumsum([count_words(text) for text in texts])
        return " ".join(texts[: int(np.searchsorted(words, usual)) + 1])

    first = {place: (beginning(texts),) for place, texts in lines.items()}
    whole = {place: tuple(dict.fromkeys(texts)) for place, texts in lines.items()}
    return [CaptionSource(FIRST_LINES, "lyrics", first), CaptionSource(BEST_LINE, "lyrics", whole, takes_best=True)]


class Study:
    """Gathers what is found in each group, and sums it up."""

    def __init__(self, songs: Songs) -> None:
        self.songs = songs
        self.whole: dict[str, dict[str, SongValues]] = {}  # by name and figure: against all references of a song
        self.fewer: dict[str, dict[str, SongValues]] = {}  # against one reference less
        self.constants: dict[int, str] = {}  # the constant caption of each song

    @property
    def shifts(self) -> int:
        """How many shifts there were."""
        return min(len(tally.shifted()) for name in self.whole for tally in known(self.whole, name).values())

    def add(self, source: CaptionSource, group: Group) -> None:
        """Scores a source on the songs of a group."""
        captioned = [row for row, place in enumerate(group.places) if place in source.captions]
        if not captioned:
            return
        rows = np.array(captioned)
        captions = {row: source.captions[int(group.places[row])] for row in captioned}
        for figure, table in group.tables(captions, source.takes_best).items():
            self._tally(self.whole, source.name, figure).add(
                rows, table[:, : len(group.places)], group, np.arange(len(group.places))
            )
            if source.kind == "system" and len(group.several) > 1:
                means = group.over_fewer(table)[group.several]
                self._tally(self.fewer, source.name, figure).add(group.several, means, group, group.several)

    def add_references(self, group: Group) -> None:
        """Scores every reference as a caption: of its own song, and for all songs."""
        owners = [song for song, texts in enumerate(group.references) for _ in texts]
        texts = {row: (text,) for row, text in enumerate(text for texts in group.references for text in texts)}
        tables = group.tables(texts, takes_best=False)
        whole = {figure: table[:, : len(group.places)] for figure, table in tables.items()}
        if len(group.places) > 2:
            self._add_constant(whole, np.array(owners), [text for (text,) in texts.values()], group)
        if len(group.several) > 1:
            for figure, table in tables.items():
                self._tally(self.fewer, PEOPLE, figure).add(
                    group.several, people_table(table, np.array(owners), group), group, group.several
                )

    def _add_constant(
        self, tables: Mapping[str, np.ndarray], owners: np.ndarray, texts: Sequence[str], group: Group
    ) -> None:
        """Adds for each song the reference that is best for all songs but this one and its own."""
        songs = np.arange(len(group.places))
        elsewhere = np.where(owners[:, None] == songs, 0.0, tables[CHOSEN_BY])
        rest = elsewhere.sum(axis=1, keepdims=True) - elsewhere
        chosen = np.where(owners[:, None] == songs, -np.inf, rest).argmax(axis=0)
        self.constants |= {int(group.places[song]): texts[row] for song, row in enumerate(chosen)}
        for figure, table in tables.items():
            met = np.where(owners[chosen][:, None] == songs, np.nan, table[chosen])
            self._tally(self.whole, CONSTANT, figure).add(songs, met, group, songs)

    def _tally(self, kind: dict[str, dict[str, SongValues]], name: str, figure: str) -> SongValues:
        return kind.setdefault(name, {}).setdefault(figure, SongValues())

    def row(self, source: CaptionSource) -> ControlRow:
        """Returns what was found of a source."""
        words = np.mean([np.mean([count_words(text) for text in texts]) for texts in source.captions.values()])
        return ControlRow(
            source.name,
            source.kind,
            len(source.captions),
            float(words),
            {figure: self.moved(tally) for figure, tally in known(self.whole, source.name).items()},
            {figure: self.share(source.name, figure) for figure in known(self.fewer, source.name)},
        )

    def rows_of_references(self) -> list[ControlRow]:
        """Returns the rows of people and of the constant caption, as far as songs allow."""
        rows = []
        if PEOPLE in self.fewer:
            figures = {figure: self.moved(tally) for figure, tally in known(self.fewer, PEOPLE).items()}
            places = np.concatenate(next(iter(self.fewer[PEOPLE].values())).places)
            texts = [text for place in places for text in self.songs.references[place]]
            words = float(np.mean([count_words(text) for text in texts]))
            rows.append(ControlRow(PEOPLE, "people", len(places), words, figures))
        if self.constants:
            texts = list(self.constants.values())
            usual = max(dict.fromkeys(texts), key=texts.count)
            words = float(np.mean([count_words(text) for text in texts]))
            figures = {figure: self.moved(tally) for figure, tally in known(self.whole, CONSTANT).items()}
            rows.append(ControlRow(CONSTANT, "constant", len(texts), words, figures, text=usual))
        return rows

    def moved(self, tally: SongValues) -> Specificity:
        """Sums one figure up, with intervals over songs or artists."""
        places, own, moved = (np.concatenate(part) for part in (tally.places, tally.own, tally.moved))
        weights, clusters = self.songs.weights[places], self._clusters(places)
        # Rounded, or what is lost by one caption for all songs could be a digit above 0.
        score, specificity = (
            bootstrap_interval(values, weights=weights, clusters=clusters)
            for values in (own, np.round(own - moved, 12))
        )
        shifted = tally.shifted()
        ends = np.quantile(shifted, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        extreme = int(np.count_nonzero(shifted >= score.mean - 1e-12))
        shuffled = Interval(float(np.average(moved, weights=weights)), *map(float, ends))
        return Specificity(score, shuffled, specificity, (extreme + 1) / (len(shifted) + 1))

    def share(self, name: str, figure: str) -> Share:
        """Returns what a system reaches of what people reach, in one figure."""
        ours, people = self.fewer[name][figure], self.fewer[PEOPLE][figure]
        places = np.concatenate(ours.places)
        weights, clusters = self.songs.weights[places], self._clusters(places)
        own, reached = (np.concatenate(one.own) for one in (ours, people))
        gain, gained = own - np.concatenate(ours.moved), reached - np.concatenate(people.moved)
        known, told = (bootstrap_interval(one, weights=weights, clusters=clusters).low > 0 for one in (reached, gained))
        return Share(
            bootstrap_interval(own, weights=weights, clusters=clusters),
            bootstrap_ratio(weights * own, weights * reached, clusters=clusters) if known else None,
            bootstrap_ratio(weights * gain, weights * gained, clusters=clusters) if told else None,
        )

    def _clusters(self, places: np.ndarray) -> np.ndarray | None:
        return None if self.songs.clusters is None else self.songs.clusters[places]


def known(kind: Mapping[str, Mapping[str, SongValues]], name: str) -> dict[str, SongValues]:
    """Returns the figures of a source of which any song is known, in its order."""
    return {figure: tally for figure, tally in kind.get(name, {}).items() if tally.places}
