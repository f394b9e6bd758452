"""What fuzzing hands bytes to: each reads them as a stranger's file, and lets nothing but a RecapError pass."""

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from recap_cli.errors import RecapError

FOLDER = Path(tempfile.mkdtemp(prefix="recap-fuzz-", dir="/dev/shm" if os.path.isdir("/dev/shm") else None))  # noqa: PTH112
TABLES, LYRICS, TAGGED = (".csv", ".tsv", ".jsonl"), (".txt", ".lrc"), (".mp3", ".flac", ".ogg", ".m4a", ".wav")


def file_of(content: bytes, suffixes: tuple[str, ...]) -> Path:
    """A file whose suffix the first byte chooses and whose content is the rest."""
    path = FOLDER / f"{os.getpid()}{suffixes[content[0] % len(suffixes)]}"
    path.write_bytes(content[1:])
    return path


def read_table(content: bytes) -> None:
    """Read bytes as a manifest and as a file of captions."""
    from recap_cli.evaluation.predictions import FileReader
    from recap_cli.layouts.readers import read_corpus

    if not content:
        return
    path = file_of(content, TABLES)
    with suppress(RecapError):
        list(read_corpus(path, layout="manifest"))
    with suppress(RecapError):
        FileReader().read(path)


def read_text(content: bytes) -> None:
    """Read bytes as a file of lyrics."""
    from recap_cli.lyrics.reader import read_lyrics

    if content:
        with suppress(RecapError):
            read_lyrics(file_of(content, LYRICS))


def read_tagged(content: bytes) -> None:
    """Read bytes as an audio file with lyrics in its tags."""
    from recap_cli.lyrics.tags import lyrics_in_tags

    if content:
        with suppress(RecapError):
            lyrics_in_tags(file_of(content, TAGGED))


TARGETS = {"tables": read_table, "lyrics": read_text, "tags": read_tagged}
