"""A folder of songs: song.mp3 beside song.txt or song.lrc, optionally song.caption.txt."""

import os
from collections.abc import Iterator
from pathlib import Path

from recap_cli.corpus.manifest import Caption, Rejected, Song, is_text, visible
from recap_cli.corpus.places import AUDIO_SUFFIXES, Place
from recap_cli.corpus.sidecars import checked, lyrics_beside
from recap_cli.errors import DataError, RecapError
from recap_cli.lyrics import Lyrics, read_lyrics


def read_folder(place: Place) -> Iterator[Song | Rejected]:
    """Read a folder of songs at any depth, in the order of their names; hidden files are none.

    Raises:
        DataError: there is no audio in it.
    """
    found = False
    for path in walk(place.folder, place.follow_outside):
        found = True
        name = path.relative_to(place.folder).as_posix()
        if not is_text(str(path)):
            yield Rejected(visible(name), visible(str(path)), "the file's name is not Unicode")
        elif not path.exists():
            yield Rejected(name, str(path), "it is a link that leads nowhere")
        elif path.is_dir():
            yield Rejected(name, str(path), "it is a link to a folder, which --follow-outside follows")
        elif not place.holds(path):
            yield Rejected(name, str(path), f"it is a link out of {place.folder}")
        else:
            yield song_of_file(path, name, place)
    if not found:
        raise DataError(f"{place.folder} holds no songs", f"looked for audio files: {', '.join(AUDIO_SUFFIXES)}")


def walk(folder: Path, follow: bool, above: tuple[str, ...] = ()) -> Iterator[Path]:
    """Give audio files in order; links to folders, unless they are followed, as they are."""
    try:
        real = str(folder.resolve())
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except (OSError, RuntimeError):
        return
    if real in above:  # links in a circle
        return
    for entry in entries:
        path = folder / entry.name
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            if follow or not entry.is_symlink():
                yield from walk(path, follow, (*above, real))
            else:
                yield path
        elif path.suffix.lower() in AUDIO_SUFFIXES and (entry.is_symlink() or entry.is_file()):
            yield path


def song_of_file(path: Path, name: str, place: Place) -> Song | Rejected:
    """Make a song of an audio file and what lies beside it."""
    try:
        lyrics = lyrics_beside(path, place) or Lyrics("")
        captions = captions_beside(path, place)
        return Song(name, str(path), lyrics.text, captions, title=path.stem, warnings=lyrics.warnings)
    except RecapError as error:
        return Rejected(name, str(path), error.message)


def captions_beside(audio: Path, place: Place | None = None) -> tuple[Caption, ...]:
    """Read `song.caption.txt`, a caption a line."""
    path = audio.with_suffix(".caption.txt")
    if not path.is_file():
        return ()
    return tuple(Caption(line) for line in read_lyrics(checked(path, place)).text.splitlines() if line.strip())
