"""Fit the theme teacher to the labels by reading, and say how often it is right on songs that it did not learn from.

Usage: python tests/make_theme_teacher.py LYRICS BART [OUTPUT]

LYRICS is MulJam (LyricWhiz), or a file of JSON lines, gzipped or not, with `track` and `lyrics` of it; BART a folder of
`tests/make_minilm.py`, or a model that was trained from it: themes are guessed from the states of verses that the model
itself reads. The same inputs give the same teacher but for rounding.
"""

import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from recap_cli.facts.facts import THEMES
from recap_cli.facts.theme_fit import cross_validate, fit_theme_teacher
from recap_cli.facts.theme_labels import LabelledSong, accepted_matrix, label_matrix, read_judge, read_labels
from recap_cli.facts.themes import TEACHER, song_vector
from recap_cli.progress import SilentProgress
from recap_cli.real.song_lyrics import read_tracks_lyrics
from recap_cli.real.verse_states import VerseReader
from recap_cli.scoring.bootstrap import bootstrap_interval


def vectors_of(lyrics: Sequence[str], reader: VerseReader) -> np.ndarray:
    """Return a vector for each song [songs, width]."""
    with tempfile.TemporaryDirectory() as name:
        reader.fill(lyrics, Path(name), SilentProgress())
    return np.stack([song_vector(reader.read(text)) for text in lyrics])


def wording_vectors(reader: VerseReader) -> np.ndarray:
    """Return the mean direction of each theme's wordings [themes, width]."""
    return np.stack([vectors_of(some, reader).mean(axis=0) for some in THEMES.values()])


def describe(name: str, right: np.ndarray) -> str:
    """Return a share with its 95 % interval."""
    found = bootstrap_interval(right.astype(float))
    return f"{name} {right.mean():.3f} [{found.low:.3f}, {found.high:.3f}]"


def report(name: str, scores: np.ndarray, right: np.ndarray, least: float, unclear: np.ndarray) -> None:
    """Print how often the first, or one of the first two, is right: of all songs, and of those with a sure theme."""
    order = np.argsort(-scores, axis=1)
    rows = np.arange(len(scores))
    first, second = (right[rows, order[:, place]] > 0 for place in (0, 1))
    stated = scores.max(axis=1) >= least
    both = scores[rows, order[:, 1]] >= least
    print(f"{name}: {len(scores)} songs, {unclear.sum()} of them without a clear theme")
    print("  all:    ", describe("first", first), describe("first two", first | second))
    print("  stated: ", f"{stated.mean():.2f} of songs,", describe("first", first[stated]),
          describe("first two", (first | second)[stated]))  # fmt: skip
    print("  second: ", f"{both.mean():.2f} of songs,", describe("right", second[both]))
    print(
        "  unclear:", f"{stated[unclear].mean():.2f} of them get a theme, {unclear[stated].mean():.2f} of stated songs"
    )
    for share in (0.25, 0.5, 0.75, 1.0):
        chosen = scores.max(axis=1) >= np.quantile(scores.max(axis=1), 1 - share)
        print(f"  at {share:.2f}: first {first[chosen].mean():.2f}, first two {(first | second)[chosen].mean():.2f}")
    rates = right.mean(axis=0)
    common = np.argsort(-rates)[:2]
    names = [list(THEMES)[place] for place in common]
    print(f"  always {names[0]}: {rates[common[0]]:.3f}; with {names[1]}: {right[:, common].any(axis=1).mean():.3f}")


def main(lyrics: str, folder: str, output: str = str(TEACHER)) -> None:
    labels, judge = read_labels(), read_judge()
    words = read_tracks_lyrics(Path(lyrics))
    reader = VerseReader.from_folder(Path(folder))

    def vectors(songs: Sequence[LabelledSong], words: Mapping[str, str] = words) -> np.ndarray:
        return vectors_of([words[song.track] for song in songs], reader)

    wordings, songs = wording_vectors(reader), vectors(labels)
    answers, groups = label_matrix(labels), [song.group for song in labels]
    teacher = fit_theme_teacher(songs, answers, groups, wordings)
    teacher.save(Path(output))
    print(f"{output}: a theme is stated from {teacher.least:.3f} on")
    held_out = cross_validate(songs, answers, groups, wordings)
    report("cross-validated, by the reader's own themes", held_out, answers, teacher.least, answers.sum(axis=1) == 0)
    scores = teacher.scores(vectors(judge))
    unclear = np.array([not song.themes for song in judge])
    report("judge, by the reader's own themes", scores, label_matrix(judge), teacher.least, unclear)
    report("judge, by all accepted themes", scores, accepted_matrix(judge), teacher.least, unclear)


if __name__ == "__main__":
    main(*sys.argv[1:])
