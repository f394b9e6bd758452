"""The log-mel cache: keyed by audio content and every audio setting, so a changed setting never finds old mels."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from recap_cli.audio import AudioSettings, log_mel, read_excerpt
from recap_cli.corpus.demo import DemoSettings, render_song
from recap_cli.corpus.manifest import Song
from recap_cli.errors import DataError

BLOCK = 1 << 20


def fingerprint(value: Any) -> str:
    """A short name for anything that JSON can hold."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def hash_file(path: Path) -> str:
    """SHA-256 of a file's bytes, read in blocks.

    Raises:
        DataError: the file cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(BLOCK):
                digest.update(block)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}", "check the path") from error
    return digest.hexdigest()


def mel_key(content: str, audio: AudioSettings, excerpt: str | float, seed: int, precision: str) -> str:
    """Name a mel by its audio's content and by everything that shapes it.

    Args:
        content: hash of the audio file, or the recipe of a rendered song.
        audio: the signal settings, resampler included.
        excerpt: which part of the song.
        seed: decides a random excerpt; it does not count otherwise.
        precision: fp16 or fp32.
    """
    place = [excerpt, seed if excerpt == "random" else 0]
    return fingerprint([content, audio.to_json(), place, precision])


def hear_file(path: Path, audio: AudioSettings, excerpt: str | float, seed: int) -> tuple[np.ndarray, float]:
    """Give the log-mel [mels, frames] of a file's excerpt and its length in seconds."""
    heard = read_excerpt(path, audio, excerpt, seed)
    return log_mel(heard.samples, audio), heard.seconds


def hear_demo(song: Song, settings: DemoSettings, audio: AudioSettings) -> tuple[np.ndarray, float]:
    """Give the log-mel [mels, frames] of a demo song, rendered on the spot, and its length in seconds."""
    samples = render_song(song, settings)[: audio.samples]
    return log_mel(samples, audio), len(samples) / audio.sample_rate
