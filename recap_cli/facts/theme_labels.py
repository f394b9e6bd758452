"""What songs of MulJam are about, labelled by reading: those to learn from, and those that judge."""

from dataclasses import dataclass

import numpy as np

from recap_cli.facts.facts import DATA, READ_LANGUAGE, THEMES

# The same songs under two numbers: never on two sides.
TWINS = (
    *(("1348731", "1218204"), ("366100", "162030"), ("1135703", "1210697"), ("1106762", "1347390")),
    *(("1359418", "1370172"), ("263648", "263578"), ("1187970", "1051378"), ("465914", "243128")),
)


@dataclass(frozen=True)
class LabelledSong:
    """A song that was read."""

    track: str  # its number in MulJam and MTG-Jamendo
    themes: tuple[str, ...]  # surest first; none where the words have no clear one
    language: str  # ISO 639-1, or `mixed`
    accepted: tuple[str, ...] = ()  # themes that are right too, for songs that judge

    @property
    def group(self) -> str:
        """The number that it shares with its twin."""
        return next((pair[0] for pair in TWINS if self.track in pair), self.track)


def read_labels() -> list[LabelledSong]:
    """Returns the songs to learn from, in English."""
    return [song for song in _read("theme_labels.tsv") if song.language == READ_LANGUAGE]


def read_judge() -> list[LabelledSong]:
    """Returns the songs that judge, in English."""
    return [song for song in _read("theme_judge.tsv") if song.language == READ_LANGUAGE]


def keep_out() -> frozenset[str]:
    """Returns the tracks that nothing may be learnt from, labelled or not."""
    return frozenset(song.track for song in _read("theme_judge.tsv"))


def label_matrix(songs: list[LabelledSong]) -> np.ndarray:
    """Returns which themes each song has, 1 or 0 [songs, themes]."""
    return np.array([[theme in song.themes for theme in THEMES] for song in songs], dtype=float)


def accepted_matrix(songs: list[LabelledSong]) -> np.ndarray:
    """Returns which themes are right for songs that judge, 1 or 0 [songs, themes]."""
    return np.array([[theme in (*song.themes, *song.accepted) for theme in THEMES] for song in songs], dtype=float)


def _read(name: str) -> list[LabelledSong]:
    lines = (DATA / name).read_text(encoding="utf-8").splitlines()
    return [_song(line) for line in lines if not line.startswith("#")]


def _song(line: str) -> LabelledSong:
    track, themes, language, *accepted = line.split("\t")
    return LabelledSong(track, _themes(themes), language, _themes("".join(accepted)))


def _themes(text: str) -> tuple[str, ...]:
    return tuple(theme for theme in text.split(";") if theme in THEMES)
