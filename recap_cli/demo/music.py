"""The demo corpus's music: melodies and chords over a scale, and the synthesiser that plays them."""

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np

from recap_cli.errors import OptionError

DEMO_SAMPLE_RATE = 16_000

SCALES = {"major": (0, 2, 4, 5, 7, 9, 11), "minor": (0, 2, 3, 5, 7, 8, 10)}
TEMPI = {"slow": 70.0, "moderate": 105.0, "fast": 150.0}  # beats per minute

# Few keys, and no two of them three semitones apart: else a minor key would share its notes with a major one.
TONICS = (72, 74, 76)
CHORD_ROOT = -5  # semitones from the tonic to the lowest note that a chord may have

# Scale degrees of the chords' roots; the same ones in both modes, so that they tell nothing themselves.
_PROGRESSIONS = ((0, 3, 4, 0), (0, 4, 3, 0), (0, 3, 0, 4), (0, 5, 3, 0))
# Mostly one note on each beat, so that the pulse is plain.
_RHYTHMS = ((1.0, 1.0), (2.0,), (0.5, 0.5, 1.0))
_RHYTHM_CHANCES = (0.7, 0.15, 0.15)
_CHORD_BEATS = 2
_TEMPO_JITTER = 0.04
_WALK = np.array([-2, -1, -1, 0, 1, 1, 2])
_HIGHEST_STEP = 9

LEAD_GAIN = 1.0
CHORD_GAIN = 0.32
DRUM_GAIN = 2.2
_LONGEST_NOTE = 4.0  # seconds
_RELEASE = 0.03  # seconds
_TONE_RMS = 0.2
_HIGHEST_PARTIAL = 7_600.0  # Hz, below half the sample rate


@dataclass(frozen=True)
class Timbre:
    """How one instrument sounds."""

    partials: tuple[tuple[float, float], ...]  # frequency ratio and level of each
    attack: float  # seconds until full level
    decay: float = 0.0  # of the lowest partial, per second; 0 for a sustained tone
    damping: float = 0.0  # how much faster each higher partial decays, per ratio
    vibrato: float = 0.0  # depth in cents, at 5 Hz
    breath: float = 0.0  # level of the noise that the player's breath adds


TIMBRES = {
    "organ": Timbre(((1, 1.0), (2, 0.9), (3, 0.5), (4, 0.7), (6, 0.4), (8, 0.4)), attack=0.02),
    "guitar": Timbre(tuple((k, 1.0 / k) for k in range(1, 11)), attack=0.003, decay=3.5, damping=0.5),
    "flute": Timbre(((1, 1.0), (2, 0.18), (3, 0.06)), attack=0.07, vibrato=14.0, breath=0.08),
    "trumpet": Timbre(
        ((1, 0.6), (2, 0.9), (3, 1.0), (4, 0.9), (5, 0.7), (6, 0.5), (7, 0.35), (8, 0.25), (9, 0.2)), attack=0.04
    ),
    "bells": Timbre(
        ((1, 1.0), (2.0, 0.25), (2.76, 0.7), (5.4, 0.6), (8.93, 0.3)), attack=0.002, decay=1.6, damping=0.4
    ),
    "accompaniment": Timbre(((1, 1.0), (2, 0.7), (3, 0.5), (4, 0.4), (5, 0.2)), attack=0.008, decay=1.6, damping=0.15),
}


@dataclass(frozen=True)
class Score:
    """Everything the synthesiser plays.

    Raises:
        OptionError: the timbre is unknown or the tempo is not positive.
    """

    lead: tuple[tuple[int | None, float], ...]  # MIDI number, or None for a rest, and length in beats of every note
    chords: tuple[tuple[tuple[int, ...], float], ...]  # MIDI numbers and length in beats; struck again on every beat
    tempo: float  # beats per minute
    timbre: str  # the lead's instrument, a key of `TIMBRES`
    drums: bool  # kick and snare in turn on the beats, hi-hat between them

    def __post_init__(self) -> None:
        if self.timbre not in TIMBRES:
            raise OptionError(f"No timbre is called {self.timbre!r}.", f"Choose one of {', '.join(TIMBRES)}.")
        if self.tempo <= 0:
            raise OptionError(f"A tempo of {self.tempo} beats per minute cannot be played.", "Use a positive number.")


# composing ------------------------------------------------------------------------------------------------------------


def pitch(tonic: int, mode: str, step: int) -> int:
    """Returns the MIDI number of a step above a tonic (a MIDI number, too) in major or minor; 7 is an octave."""
    octave, degree = divmod(step, 7)
    return tonic + 12 * octave + SCALES[mode][degree]


def triad(tonic: int, mode: str, degree: int) -> tuple[int, ...]:
    """Returns the scale's chord on a degree from 0 to 6: root, third and fifth, all near the tonic (MIDI numbers)."""
    notes = (pitch(tonic, mode, degree + step) for step in (0, 2, 4))
    lowest = tonic + CHORD_ROOT
    return tuple(sorted((note - lowest) % 12 + lowest for note in notes))


def compose(mode: str, tempo: str, timbre: str, drums: bool, seconds: float, rng: np.random.Generator) -> Score:
    """Returns a piece that lasts `seconds` at least; the last chord may go beyond.

    The random stream chooses key, chords and melody, and moves the tempo by up to 4 %.
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
    """Walks over the scale; every chord begins on one of its own notes."""
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
    """Returns a chord note near `step`, most often the third, which tells major from minor."""
    wanted = (degree + int(rng.choice((0, 2, 4), p=(0.25, 0.5, 0.25)))) % 7
    candidates = [candidate for candidate in range(_HIGHEST_STEP + 1) if candidate % 7 == wanted]
    return min(candidates, key=lambda candidate: abs(candidate - step))


# playing --------------------------------------------------------------------------------------------------------------


def render(score: Score, seconds: float | None = None, peak: float = 0.8) -> np.ndarray:
    """Returns a score played at `DEMO_SAMPLE_RATE`, float32 [samples].

    Args:
        score: what to play.
        seconds: length of the result; None for the length of the score and the last note's release.
        peak: largest absolute sample of the result, at most 1.
    """
    beat = 60.0 / score.tempo
    whole = max(_total_beats(score.lead), _total_beats(score.chords))
    count = round((whole * beat + 2 * _RELEASE if seconds is None else seconds) * DEMO_SAMPLE_RATE)
    out = np.zeros(count, dtype=np.float32)
    for start, (midi, beats) in _timed(score.lead):
        if midi is not None:
            _add(out, start * beat, tone(score.timbre, midi), LEAD_GAIN, beats * beat)
    for start, (chord, beats) in _timed(score.chords):
        _strike(out, chord, start, beats, beat)
    if score.drums:
        _drum(out, whole, beat)
    return _normalise(out, peak)


def _total_beats(events: tuple) -> float:
    return sum(beats for _, beats in events)


def _timed(events: tuple) -> list[tuple[float, tuple]]:
    """Pairs every event with the beat it starts on."""
    starts = np.cumsum([0.0, *(beats for _, beats in events)])
    return list(zip(starts.tolist(), events, strict=False))


def _strike(out: np.ndarray, chord: tuple[int, ...], start: float, beats: float, beat: float) -> None:
    """Adds a chord, struck on every beat of its length; `start` and `beats` in beats, `beat` in seconds."""
    edges = [*np.arange(start, start + beats, 1.0).tolist(), start + beats]
    for begin, end in pairwise(edges):
        for midi in chord:
            _add(out, begin * beat, tone("accompaniment", midi), CHORD_GAIN, (end - begin) * beat)


def _drum(out: np.ndarray, beats: float, beat: float) -> None:
    """Adds kick and snare in turn on the beats and a hi-hat between them."""
    for number in range(int(np.ceil(beats))):
        _add(out, number * beat, drum("kick" if number % 2 == 0 else "snare"), DRUM_GAIN)
        _add(out, (number + 0.5) * beat, drum("hat"), DRUM_GAIN)


def _add(out: np.ndarray, start: float, sound: np.ndarray, gain: float, seconds: float | None = None) -> None:
    """Adds a sound to `out` in place, cut to `seconds` with a short release, and dropped where `out` ends."""
    begin = round(start * DEMO_SAMPLE_RATE)
    release = round(_RELEASE * DEMO_SAMPLE_RATE)
    length = len(sound) if seconds is None else min(len(sound), round(seconds * DEMO_SAMPLE_RATE) + release)
    sound = sound[:length] * np.float32(gain)
    if seconds is not None:
        fade = min(release, length)
        sound[length - fade :] *= np.linspace(1.0, 0.0, fade, dtype=np.float32)
    room = max(0, len(out) - begin)
    out[begin : begin + length] += sound[:room]


def _normalise(samples: np.ndarray, peak: float) -> np.ndarray:
    """Scales samples to a peak, after a fade of the last 50 ms; silence stays silence."""
    fade = min(len(samples), DEMO_SAMPLE_RATE // 20)
    samples[len(samples) - fade :] *= np.linspace(1.0, 0.0, fade, dtype=np.float32)
    largest = float(np.abs(samples).max(initial=0.0))
    return (samples * np.float32(peak / largest) if largest > 0 else samples).astype(np.float32)


@lru_cache(maxsize=256)
def tone(timbre: str, midi: int) -> np.ndarray:
    """Returns one long note, to be cut to length: read-only samples [4 s]; MIDI number 69 is 440 Hz.

    All notes are equally loud at the start.
    """
    recipe = TIMBRES[timbre]
    time = np.arange(round(_LONGEST_NOTE * DEMO_SAMPLE_RATE)) / DEMO_SAMPLE_RATE
    pitch = 440.0 * 2.0 ** ((midi - 69) / 12)
    # The phase of a sine vibrato: the integral of pitch * (1 + depth * sin).
    depth = np.log(2) / 1200 * recipe.vibrato
    cycles = pitch * (time + depth * (1 - np.cos(2 * np.pi * 5 * time)) / (2 * np.pi * 5))
    samples = np.zeros_like(time)
    for ratio, level in recipe.partials:
        if pitch * ratio < _HIGHEST_PARTIAL:
            fading = np.exp(-time * recipe.decay * (1 + recipe.damping * (ratio - 1)))
            samples += level * fading * np.sin(2 * np.pi * ratio * cycles)
    samples += recipe.breath * np.random.default_rng(midi).standard_normal(len(time))
    samples *= np.minimum(1.0, time / recipe.attack)
    samples *= _TONE_RMS / np.sqrt(np.mean(samples[: DEMO_SAMPLE_RATE // 2] ** 2))
    return _read_only(samples)


@lru_cache(maxsize=8)
def drum(name: str) -> np.ndarray:
    """Returns one stroke of "kick", "snare" or "hat": read-only samples [0.2 s]."""
    time = np.arange(DEMO_SAMPLE_RATE // 5) / DEMO_SAMPLE_RATE
    noise = np.random.default_rng(7).standard_normal(len(time))
    if name == "kick":
        # A sine that falls from 150 to 50 Hz.
        phase = 2 * np.pi * (50 * time + 100 / 30 * (1 - np.exp(-30 * time)))
        return _read_only(0.5 * np.sin(phase) * np.exp(-18 * time))
    if name == "snare":
        return _read_only((0.16 * noise + 0.2 * np.sin(2 * np.pi * 190 * time)) * np.exp(-24 * time))
    # The difference of neighbouring samples keeps the high part of the noise.
    return _read_only(0.07 * np.diff(noise, prepend=0.0) * np.exp(-60 * time))


def _read_only(samples: np.ndarray) -> np.ndarray:
    samples = samples.astype(np.float32)
    samples.flags.writeable = False
    return samples


def roughen(samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Returns a worse recording of the same length and peak: detuned, in a room, uneven in level, and noisy."""
    peak = float(np.abs(samples).max(initial=0.0))
    rough = _uneven(_in_a_room(_detuned(samples, rng), rng), rng)
    noise = rng.standard_normal(len(rough), dtype=np.float32)
    decibels = rng.uniform(12.0, 24.0)
    rough = rough + noise * np.float32(np.sqrt(np.mean(rough**2)) * 10 ** (-decibels / 20))
    return _normalise(rough, peak)


def _detuned(samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Shifts the pitch by up to 35 cents, as a tape at a slightly wrong speed does; silence fills the end."""
    speed = 2.0 ** (rng.uniform(-35.0, 35.0) / 1200)
    places = np.arange(len(samples)) * speed
    return np.interp(places, np.arange(len(samples)), samples, right=0.0).astype(np.float32)


def _in_a_room(samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Adds reverberation that falls by 60 dB within 0.3 to 0.9 s."""
    length = round(rng.uniform(0.3, 0.9) * DEMO_SAMPLE_RATE)
    tail = rng.standard_normal(length, dtype=np.float32) * np.exp(-6.9 * np.arange(length) / length)
    tail *= rng.uniform(0.2, 0.5) / np.sqrt(np.sum(tail**2))
    size = 1 << int(len(samples) + length).bit_length()
    wet = np.fft.irfft(np.fft.rfft(samples, size) * np.fft.rfft(tail, size), size)[: len(samples)]
    return (samples + wet).astype(np.float32)


def _uneven(samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Moves the level between 35 and 100 % along a line with four corners."""
    corners = rng.uniform(0.35, 1.0, size=4)
    gain = np.interp(np.arange(len(samples)), np.linspace(0, len(samples), 4), corners)
    return samples * gain.astype(np.float32)
