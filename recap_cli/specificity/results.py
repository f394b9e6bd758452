"""What controls without a model found: whose captions belong to their songs, and who reaches what people reach."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from recap_cli.scoring.bootstrap import Interval
from recap_cli.scoring.text import KEYS, headings

Kind = Literal["system", "people", "constant", "lyrics"]

CHOSEN_BY = "rougeL"  # the figure by which the constant caption is chosen, verdicts are spoken and rows are sorted


@dataclass(frozen=True)
class Specificity:
    """One figure of captions on their own songs and moved to songs of other artists, from 0 to 1."""

    score: Interval
    shuffled: Interval  # mean over all shifts; 95 % of single shifts lie between the ends
    specificity: Interval  # score minus shuffled, paired by song
    p: float  # share of shifts that score at least as much as the real order, which counts as one

    def to_json(self) -> dict[str, Any]:
        """The figures as plain values."""
        return {name: vars(getattr(self, name)) for name in ("score", "shuffled", "specificity")} | {"p": self.p}


@dataclass(frozen=True)
class Share:
    """What a system reaches of what people reach, both against the other references of a song."""

    score: Interval  # the system's, against one reference less than a song has
    of_score: Interval | None  # divided by the score of people; None where that is 0
    of_specificity: Interval | None  # the same of score minus shuffled; None where people's is not shown to be above 0

    def to_json(self) -> dict[str, Any]:
        """The figures as plain values."""
        return {name: vars(found) for name, found in vars(self).items() if found is not None}


@dataclass(frozen=True)
class ControlRow:
    """A system, people, or a captioner that knows no music."""

    name: str
    kind: Kind
    songs: int  # that it has captions of
    words: float  # of a caption
    figures: dict[str, Specificity]
    people: dict[str, Share] = field(default_factory=dict)  # systems only, on the songs with several references
    text: str = ""  # the constant caption

    def to_json(self) -> dict[str, Any]:
        """The row as plain values."""
        return {
            "name": self.name,
            "kind": self.kind,
            "songs": self.songs,
            "words_per_caption": self.words,
            "scores": {KEYS.get(name, name): found.to_json() for name, found in self.figures.items()},
            **({"share_of_people": shares_to_json(self.people)} if self.people else {}),
            **({"text": self.text} if self.text else {}),
        }


def shares_to_json(shares: Mapping[str, Share]) -> dict[str, Any]:
    """Returns shares as plain values, under the names of `KEYS`."""
    return {KEYS.get(name, name): share.to_json() for name, share in shares.items()}


@dataclass(frozen=True)
class TextControls:
    """All controls that need no model, of all systems on the same songs."""

    rows: list[ControlRow]  # systems in their order, then people and trivial captioners
    songs: int
    artists: int  # distinct ones, each song without a known artist being one
    shifts: int
    protocol: str = "f1"

    @property
    def systems(self) -> list[ControlRow]:
        """The rows of systems, the most specific first."""
        systems = [row for row in self.rows if row.kind == "system"]
        return sorted(systems, key=lambda row: -row.figures[CHOSEN_BY].specificity.mean)

    @property
    def verdicts(self) -> list[str]:
        """Says whose captions are shown to belong to their songs: the interval of specificity lies above 0."""
        heading = headings(self.protocol)[CHOSEN_BY]
        shown: list[str] = []
        others: list[str] = []
        for row in self.systems:
            found = row.figures[CHOSEN_BY].specificity
            side = shown if found.low > 0 else others
            side.append(f"{row.name} {100 * found.mean:+.1f} [{100 * found.low:+.1f}, {100 * found.high:+.1f}]")
        lines = []
        if shown:
            lines.append(f"Captions fit their own songs better than others', in {heading}: {', '.join(shown)}.")
        if others:
            lines.append(f"Captions are not shown to fit their own songs better, in {heading}: {', '.join(others)}.")
        return lines

    @property
    def signature(self) -> str:
        """Says how captions were moved."""
        return (
            f"shuffled: each caption on the songs of other artists, all {self.shifts} shifts; constant: for each song "
            "the reference with the best ROUGE-L over all other songs; people: each reference against the others of "
            "its song, systems against equally many"
        )

    def to_json(self) -> dict[str, Any]:
        """The controls as plain values."""
        return {
            "songs": self.songs,
            "artists": self.artists,
            "shifts": self.shifts,
            "rows": [row.to_json() for row in self.rows],
        }
