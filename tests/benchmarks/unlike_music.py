"""How often sounds that are no music are known to be none: noise and tones made here, and speech by espeak-ng.

Usage: python tests/benchmarks/unlike_music.py [FOLDER]

FOLDER holds songs, each of which should be music, whole and in excerpts of 12 s. Speech is left out where there is no
espeak-ng. Clips last 12 s; those of speech are heard as they are, and with an echo.
"""

import io
import json
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
import torch

from recap_cli.audio.mel import log_mel, resample
from recap_cli.audio.settings import AudioSettings
from recap_cli.audio.song_mel import read_log_mel
from recap_cli.facts.music import find_unlike
from recap_cli.model.musicnn import Musicnn, load_musicnn

RATE, SECONDS, EXCERPT = 16_000, 12, 4  # samples a second; of a clip; windows
SETTINGS = AudioSettings.of_encoder("musicnn")
VOICES = ("en", "en+f2", "en+m3", "en-us+f5", "fr", "fr+f3", "de", "es+f1", "it+f2", "pt+f4", "ru", "sv", "tr")
WORDS = {
    "en": "The train to the coast leaves from platform four in ten minutes. Please do not leave your bags alone, and "
    "keep your ticket until you are outside. There will be no coffee, since the machine has broken down again.",
    "fr": "Le train pour la côte partira du quai quatre dans dix minutes. Ne laissez pas vos bagages sans surveillance "
    "et gardez votre billet jusqu'à la sortie. Il n'y aura pas de café, car la machine est encore en panne.",
}


def noises(rng: np.random.Generator) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the names and samples of sounds without music."""
    size = RATE * SECONDS
    time = np.arange(size) / RATE
    hiss = {}
    for colour in (0, 0.5, 1, 1.5, 2):
        spectrum = np.fft.rfft(rng.normal(size=size)) * np.maximum(np.fft.rfftfreq(size, 1 / RATE), 20) ** (-colour / 2)
        samples = np.fft.irfft(spectrum, size)
        hiss[colour] = samples / np.abs(samples).max() / 2
        yield f"noise {colour}", hiss[colour]
    for pitch in (50, 220, 440, 1000, 3000):
        yield f"tone {pitch}", 0.4 * np.sin(2 * np.pi * pitch * time)
    yield "silence", np.zeros(size)
    yield "hum", 0.3 * np.sign(np.sin(2 * np.pi * 50 * time))
    yield "clicks", (np.arange(size) % (RATE // 2) < 30) * 0.8
    yield "sweep", 0.4 * np.sin(2 * np.pi * (100 * time + 150 * time**2))
    yield "siren", 0.4 * np.sin(2 * np.pi * 600 * time + 400 * np.sin(np.pi * time))
    yield "engine", hiss[1.5] * (0.5 + 0.5 * np.sign(np.sin(50 * np.pi * time)))
    yield "rain", hiss[0] / 5 + (rng.random(size) < 0.003) * rng.normal(size=size) / 2
    yield "waves", hiss[1] * (0.5 + 0.5 * np.sin(0.3 * np.pi * time))
    yield "morse", 0.4 * np.sin(1400 * np.pi * time) * np.repeat(rng.random(240) < 0.5, size // 240)
    yield "geiger", (rng.random(size) < 0.0006) * 0.7


def speech(rng: np.random.Generator) -> Iterator[tuple[str, np.ndarray]]:
    """Yield spoken clips, each as it is and with an echo."""
    echo = rng.normal(size=RATE // 2) * np.exp(-np.arange(RATE // 2) / 1500) / 20
    echo[0] = 1
    for voice in VOICES if shutil.which("espeak-ng") else ():
        for rate in (110, 140, 170):
            words = WORDS.get(voice[:2], WORDS["en"])  # read with an accent where there are no words of its own
            command = ("espeak-ng", "-v", voice, "-s", str(rate), "--stdout", words)
            spoken = subprocess.run(command, capture_output=True, check=True).stdout
            samples, found = soundfile.read(io.BytesIO(spoken), dtype="float32")
            clip = resample(samples / 2, found, SETTINGS)[: RATE * SECONDS]
            yield f"{voice} {rate}", clip
            yield f"{voice} {rate} echo", np.convolve(clip, echo)[: len(clip)]


@torch.no_grad()
def tags_of(encoder: Musicnn, mel: np.ndarray) -> np.ndarray:
    """Return the tag probabilities of the windows of a mel."""
    return encoder(torch.from_numpy(np.ascontiguousarray(mel))[None])[0][0].numpy()


def main(folder: str = "") -> None:
    encoder, rng = load_musicnn(), np.random.default_rng(0)
    found: dict[str, Counter[str]] = {}
    for kind, clips in (("noise", noises(rng)), ("speech", speech(rng))):
        found[kind] = Counter()
        for name, samples in clips:
            unlike = find_unlike(tags_of(encoder, log_mel(samples.astype(np.float32), SETTINGS))) or "music"
            found[kind][unlike] += 1
            if unlike == "music":
                print(f"taken for music: {name}", file=sys.stderr)
    for path in sorted(Path(folder).iterdir()) if folder else ():
        if path.suffix in (".mp3", ".ogg", ".flac", ".wav"):
            tags = tags_of(encoder, read_log_mel(path, SETTINGS).mel)
            found.setdefault("songs", Counter())[find_unlike(tags) or "music"] += 1
            for start in range(0, len(tags) - EXCERPT + 1, EXCERPT):
                excerpt = tags[start : start + EXCERPT]
                found.setdefault("excerpts", Counter())[find_unlike(excerpt) or "music"] += 1
    print(json.dumps({kind: dict(counts) for kind, counts in found.items()}))


if __name__ == "__main__":
    main(*sys.argv[1:])
