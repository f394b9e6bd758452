"""The log-mel cache: keyed by audio content and every audio setting, so a changed setting never finds old mels."""

import hashlib
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from recap_cli.audio.settings import AudioSettings
from recap_cli.audio.song_mel import read_log_mel
from recap_cli.errors import DataError
from recap_cli.files import hash_file as hash_bytes_of

Spent = defaultdict[str, float]  # seconds of work by kind

LARGEST = 4 << 30  # bytes; a day of audio in CD quality has 15, but a song does not last a day


def fingerprint(value: Any) -> str:
    """Returns a short name for anything that JSON can hold."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def hash_file(path: Path) -> str:
    """Returns the SHA-256 of a song's file.

    Raises:
        DataError: the file cannot be read, or is larger than any song.
    """
    try:
        if path.stat().st_size > LARGEST:
            raise DataError(f"{path} is over {LARGEST >> 30} GiB, too large for a song", "cut it into several files")
        return hash_bytes_of(path)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}", "check the path") from error


def mel_key(content: str, audio: AudioSettings, excerpt: str | float, seed: int, precision: str) -> str:
    """Returns a mel's key: its audio's content and everything that shapes it.

    Args:
        content: hash of the audio file, or the recipe of a rendered song.
        audio: the signal settings, resampler included.
        excerpt: which part of the song.
        seed: decides a random excerpt; it does not count otherwise.
        precision: fp16 or fp32.
    """
    place = [excerpt, seed if excerpt == "random" else 0]
    return fingerprint([content, audio.to_json(), place, precision])


def log_mel_of_file(
    path: Path,
    audio: AudioSettings,
    excerpt: str | float,
    seed: int,
    spent: Spent | None = None,
    warnings: list[str] | None = None,
    is_clip: bool = False,
) -> tuple[np.ndarray, float]:
    """Returns the log-mel [mels, frames] of what is taken of a file and its length in seconds.

    Args:
        path: the audio file.
        audio: the signal settings.
        excerpt: which part of the song.
        seed: decides a random excerpt.
        spent: is told the seconds of work that decoding, resampling and the mel took.
        warnings: is told what a user should know though the excerpt is usable.
        is_clip: the excerpt is all there is of the song; the rest of the file is of others.
    """
    spent = defaultdict(float) if spent is None else spent
    found = read_log_mel(path, audio, excerpt, seed, is_clip)
    if warnings is not None:
        warnings += found.warnings
    spent["decoding"] += found.decoding
    spent["resampling"] += found.resampling
    spent["mels"] += found.analysing
    return found.mel, found.seconds
