"""The demo corpus's music: melodies that walk over a scale, and the chords under them."""

import numpy as np

from recap_cli.demo.synthesis import Score

SCALES = {"major": (0, 2, 4, 5, 7, 9, 11), "minor": (0, 2, 3, 5, 7, 8, 10)}
TEMPI = {"slow": 70.0, "moderate": 105.0, "fast": 150.0}

# Few keys, and no two of them three semitones apart: else a minor key would share its notes with a major one.
TONICS = (72, 74, 76)
CHORD_ROOT = -5

# Scale degrees of the chords' roots; the same ones in both modes, so that they tell nothing themselves.
_PROGRESSIONS = ((0, 3, 4, 0), (0, 4, 3, 0), (0, 3, 0, 4), (0, 5, 3, 0))
# Mostly one note on each beat, so that the pulse is plain.
_RHYTHMS = ((1.0, 1.0), (2.0,), (0.5, 0.5, 1.0))
_RHYTHM_CHANCES = (0.7, 0.15, 0.15)
_CHORD_BEATS = 2
_TEMPO_JITTER = 0.04
_WALK = np.array([-2, -1, -1, 0, 1, 1, 2])
_HIGHEST_STEP = 9


def pitch(tonic: int, mode: str, step: int) -> int:
    """Give the MIDI number of a scale step.

    Args:
        tonic: MIDI number of step 0.
        mode: "major" or "minor".
        step: steps above the tonic; 7 is an octave.
    """
    octave, degree = divmod(step, 7)
    return tonic + 12 * octave + SCALES[mode][degree]


def triad(tonic: int, mode: str, degree: int) -> tuple[int, ...]:
    """Give the MIDI numbers of the scale's chord on a degree: root, third and fifth, all near the tonic.

    Args:
        tonic: MIDI number of degree 0.
        mode: "major" or "minor".
        degree: 0 to 6.
    """
    notes = (pitch(tonic, mode, degree + step) for step in (0, 2, 4))
    lowest = tonic + CHORD_ROOT
    return tuple(sorted((note - lowest) % 12 + lowest for note in notes))


def compose(mode: str, tempo: str, timbre: str, drums: bool, seconds: float, rng: np.random.Generator) -> Score:
    """Compose a piece that fills a length.

    Args:
        mode: "major" or "minor".
        tempo: a key of `TEMPI`.
        timbre: the lead's instrument.
        drums: whether drums play along.
        seconds: least length; the last chord may go beyond it.
        rng: chooses key, chords and melody, and moves the tempo by up to 4 %.
    """
    tonic = int(rng.choice(TONICS))
    bpm = TEMPI[tempo] * rng.uniform(1 - _TEMPO_JITTER, 1 + _TEMPO_JITTER)
    progression = _PROGRESSIONS[rng.integers(len(_PROGRESSIONS))]
    count = int(np.ceil(seconds * bpm / 60 / _CHORD_BEATS))
    degrees = [progression[bar % len(progression)] for bar in range(count)]
    chords = tuple((triad(tonic, mode, degree), float(_CHORD_BEATS)) for degree in degrees)
    return Score(_melody(tonic, mode, degrees, rng), chords, bpm, timbre, drums)


def _melody(
    tonic: int, mode: str, degrees: list[int], rng: np.random.Generator
) -> tuple[tuple[int | None, float], ...]:
    """Walk over the scale; every chord begins on one of its own notes."""
    notes: list[tuple[int | None, float]] = []
    step = 0
    for degree in degrees:
        lengths = _RHYTHMS[rng.choice(len(_RHYTHMS), p=_RHYTHM_CHANCES)]
        step = _nearest_chord_step(step, degree, rng)
        for length in lengths:
            notes.append((pitch(tonic, mode, step), length))
            step = int(np.clip(step + rng.choice(_WALK), 0, _HIGHEST_STEP))
    return tuple(notes)


def _nearest_chord_step(step: int, degree: int, rng: np.random.Generator) -> int:
    """Give a chord note near `step`, most often the third, which tells major from minor."""
    wanted = (degree + int(rng.choice((0, 2, 4), p=(0.25, 0.5, 0.25)))) % 7
    candidates = [candidate for candidate in range(_HIGHEST_STEP + 1) if candidate % 7 == wanted]
    return min(candidates, key=lambda candidate: abs(candidate - step))
