"""A folder of songs: song.mp3 beside song.txt or song.lrc, optionally song.caption.txt."""

from collections.abc import Iterator
from pathlib import Path

from recap_cli.audio.settings import AUDIO_SUFFIXES
from recap_cli.corpus.corpus_root import Place
from recap_cli.corpus.folders import walk
from recap_cli.corpus.sidecars import checked, lyrics_beside
from recap_cli.corpus.song import Caption, Rejected, Song
from recap_cli.errors import DataError, RecapError
from recap_cli.escaping import is_unicode, visible
from recap_cli.lyrics.reader import Lyrics, read_lyrics

COMMON = (".mp3", ".flac", ".wav", ".ogg", ".m4a")
LOOKED_FOR = f"looked for audio files: {', '.join(COMMON)} and {len(AUDIO_SUFFIXES) - len(COMMON)} other kinds"


def read_folder(place: Place) -> Iterator[Song | Rejected]:
    """Reads a folder of songs at any depth, in the order of their names; hidden files are none.

    What cannot be a song though it should be one, such as a folder that may not be read, is given with its reason.

    Raises:
        DataError: there is no audio in it.
    """
    found = False
    for path, reason in walk(place.folder, place.follow_outside):
        found = True
        name = path.relative_to(place.folder).as_posix()
        if not is_unicode(str(path)):
            yield Rejected(visible(name), visible(str(path)), reason or "the file's name is not Unicode")
        elif reason:
            yield Rejected(name, str(path), reason)
        elif not place.holds(path):
            yield Rejected(name, str(path), f"it is a link out of {place.folder}")
        else:
            yield song_of_file(path, name, place)
    if not found:
        raise DataError(f"{place.folder} holds no songs", LOOKED_FOR)


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
