"""Music4All: audio and lyrics by 16-character id, titles and artists in a tab-separated table."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from recap_cli.audio.settings import AUDIO_SUFFIXES
from recap_cli.corpus.corpus_root import Place, is_file
from recap_cli.corpus.folders import walk
from recap_cli.corpus.song import Rejected, Song
from recap_cli.errors import DataError, RecapError
from recap_cli.escaping import is_unicode, visible
from recap_cli.lyrics.reader import Lyrics, read_lyrics
from recap_cli.tables.rows import read_table

METADATA_FILE = "id_information.csv"
SUFFIX = ".mp3"  # of Music4All's own files; others are found, too


@dataclass(frozen=True)
class Music4All:
    """Where Music4All's audio lies, and what is known of its songs.

    Attributes:
        place: the folder `audios`, or the one that holds it.
        metadata: the table of titles and artists; None looks for `id_information.csv` beside the audio.
    """

    place: Place
    metadata: Path | None = None

    @cached_property
    def audios(self) -> Place:
        """The folder with the audio files."""
        inner = self.place.folder / "audios"
        return Place(inner, self.place.follow_outside) if inner.is_dir() else self.place

    @cached_property
    def names(self) -> dict[str, tuple[str, str]]:
        """Title and artist by id; empty where there is no table."""
        folder = self.audios.folder
        beside = [path for path in (folder / METADATA_FILE, folder.parent / METADATA_FILE) if path.is_file()]
        path = self.metadata or (beside[0] if beside else None)
        return dict(read_names(path)) if path else {}

    @cached_property
    def found(self) -> dict[str, str | None]:
        """What `find` has found: the rows of a song need not follow each other."""
        return {}

    def find(self, song: str) -> str | None:
        """Give a song's audio file, `<id>.mp3` where there is none; None when the id leads out of the folder."""
        if song not in self.found:
            there = self.audios.find(song + SUFFIX)
            if there is not None and not is_file(there) and song in self.others:
                there = self.audios.find(self.others[song])
            self.found[song] = None if there is None else str(there)
        return self.found[song]

    @cached_property
    def others(self) -> dict[str, str]:
        """The audio files directly in the folder, by id; listed once, since 70 suffixes would be tried for each."""
        try:
            names = sorted(os.listdir(self.audios.folder), reverse=True)  # noqa: PTH208  names are all that is needed
        except OSError:
            return {}
        parts = ((os.path.splitext(name), name) for name in names)  # noqa: PTH122
        return {stem: name for (stem, suffix), name in parts if suffix.lower() in AUDIO_SUFFIXES}


def read_names(path: Path) -> Iterator[tuple[str, tuple[str, str]]]:
    """Gives ids with title and artist: columns `id`, `artist`, `song`; tabs part them, and quotes are letters.

    Raises:
        DataError: the table cannot be read, has no ids, or a row does not fit its header.
    """
    for number, row in read_table(path, "id", quoted=False):
        if isinstance(row, str):
            raise DataError(f"{path}, line {number}: {row}", "mend the line")
        yield str(row.get("id", "")), (str(row.get("song", row.get("title", ""))), str(row.get("artist", "")))


def read_music4all(folder: Path, music: Music4All) -> Iterator[Song | Rejected]:
    """Read Music4All itself: every audio file with its lyrics and names, and no captions.

    Raises:
        DataError: there is no audio.
    """
    lyrics = Place(folder / "lyrics", music.place.follow_outside)
    found = False
    for path, reason in walk(music.audios.folder, music.place.follow_outside):
        found = True
        title, artist = music.names.get(path.stem, ("", ""))
        try:
            if not is_unicode(str(path)):
                raise DataError(reason or "the file's name is not Unicode")
            if reason or not music.audios.holds(path):
                raise DataError(reason or f"it is a link out of {music.audios.folder}")
            words = lyrics_of(path.stem, lyrics)
            yield Song(path.stem, str(path), words.text, title=title, artist=artist, warnings=words.warnings)
        except RecapError as error:
            yield Rejected(visible(path.stem), visible(str(path)), error.message)
    if not found:
        raise DataError(
            f"{music.audios.folder} holds no audio", f"looked for <id>{SUFFIX} and the same with other suffixes"
        )


def lyrics_of(song: str, lyrics: Place) -> Lyrics:
    """Read `<id>.txt`; "" where there is none."""
    path = lyrics.find(f"{song}.txt")
    return read_lyrics(path) if path and is_file(path) else Lyrics("")
