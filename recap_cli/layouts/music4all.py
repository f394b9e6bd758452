"""Music4All: audio and lyrics by 16-character id, and the interpretations that two data sets add to its songs."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

from recap_cli.audio.settings import AUDIO_SUFFIXES
from recap_cli.corpus.folders import CorpusRoot, is_file, walk
from recap_cli.corpus.manifest import LONGEST_ID, join_songs
from recap_cli.corpus.song import Caption, Rejected, Song, split_name
from recap_cli.errors import DataError, LyricsError, RecapError
from recap_cli.escaping import is_unicode, visible
from recap_cli.lyrics.reader import LARGEST, Lyrics, lyrics_of_text, read_lyrics
from recap_cli.tables.cells import is_missing
from recap_cli.tables.rows import read_rows, read_table
from recap_cli.tables.text_files import Row

METADATA_FILE = "id_information.csv"
SUFFIX = ".mp3"  # of Music4All's own files; others are found, too
ID_COLUMN = "music4all_id"
VARIANTS = ("full", "not_negative", "positive")  # of ALCAP's captions, by the sentiment of the comments


@dataclass(frozen=True)
class Music4All:
    """Where Music4All's audio lies, and what is known of its songs."""

    root: CorpusRoot  # the folder `audios`, or the one that holds it
    metadata: Path | None = None  # the table of titles and artists; None looks for it beside the audio

    @cached_property
    def audios(self) -> CorpusRoot:
        """The folder with the audio files."""
        inner = self.root.folder / "audios"
        return CorpusRoot(inner, self.root.follow_outside) if inner.is_dir() else self.root

    @cached_property
    def names(self) -> dict[str, tuple[str, str]]:
        """Title and artist by id; empty where there is no table."""
        folder = self.audios.folder
        beside = [path for path in (folder / METADATA_FILE, folder.parent / METADATA_FILE) if path.is_file()]
        path = self.metadata or (beside[0] if beside else None)
        return dict(_read_names(path)) if path else {}

    @cached_property
    def found(self) -> dict[str, str | None]:
        """What `find` has found: the rows of a song need not follow each other."""
        return {}

    def find(self, song: str) -> str | None:
        """Returns a song's audio file, `<id>.mp3` where there is none; None when the id leads out of the folder."""
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


def _read_names(path: Path) -> Iterator[tuple[str, tuple[str, str]]]:
    """Yields ids with title and artist: columns `id`, `artist`, `song`; tabs part them, and quotes are letters."""
    for number, row in read_table(path, "id", quoted=False):
        if isinstance(row, str):
            raise DataError(f"{path}, line {number}: {row}", "correct the line")
        yield str(row.get("id", "")), (str(row.get("song", row.get("title", ""))), str(row.get("artist", "")))


def read_music4all(folder: Path, music: Music4All) -> Iterator[Song | Rejected]:
    """Yields Music4All's own songs: every audio file with its lyrics and names, and no captions.

    Raises:
        DataError: there is no audio, or the table of titles cannot be read.
    """
    lyrics = CorpusRoot(folder / "lyrics", music.root.follow_outside)
    found = False
    for path, reason in walk(music.audios.folder, music.root.follow_outside):
        found = True
        title, artist = music.names.get(path.stem, ("", ""))
        try:
            if not is_unicode(str(path)):
                raise DataError(reason or "the file's name is not Unicode")
            if reason or not music.audios.holds(path):
                raise DataError(reason or f"it is a link out of {music.audios.folder}")
            text = lyrics.find(f"{path.stem}.txt")
            words = read_lyrics(text) if text and is_file(text) else Lyrics("")
            yield Song(path.stem, str(path), words.text, title=title, artist=artist, warnings=words.warnings)
        except RecapError as error:
            yield Rejected(visible(path.stem), visible(str(path)), error.message)
    if not found:
        raise DataError(
            f"{music.audios.folder} holds no audio", f"looked for <id>{SUFFIX} and the same with other suffixes"
        )


# interpretations: rows of music4all_id, lyrics, comment ---------------------------------------------------------------


def read_interpretations(path: Path, music: Music4All, split: str = "") -> Iterator[Song | Rejected]:
    """Yields the songs of the Song Interpretation Dataset: its JSON (a list of objects), or a table with its columns.

    Rows of one song that follow each other are joined.

    Raises:
        DataError: the file is damaged, or no such data.
    """
    rows = read_rows(path, ID_COLUMN)
    return join_songs(_interpretation(row, number, path, music, split) for number, row in rows)


def read_alcap(folder: Path, music: Music4All, variant: str | None) -> Iterator[Song | Rejected]:
    """Yields the songs of ALCAP's `df_{variant}_train.csv`, `df_{variant}_val.csv`, `df_test.csv`, or `df_full.csv`.

    Raises:
        DataError: a file is missing or damaged.
    """
    chosen = variant or "full"
    names = {f"df_{chosen}_train.csv": "train", f"df_{chosen}_val.csv": "validation", "df_test.csv": "test"}
    if not (folder / f"df_{chosen}_train.csv").is_file() and (folder / f"df_{chosen}.csv").is_file():
        names = {f"df_{chosen}.csv": "", "df_test.csv": "test"}
    missing = [name for name in names if not (folder / name).is_file()]
    if len(missing) == len(names) or f"df_{chosen}_val.csv" in missing or f"df_{chosen}_train.csv" in missing:
        raise DataError(f"{folder} lacks {missing[0]}", f"--variant is {chosen}; there are {', '.join(VARIANTS)}")
    for name, split in names.items():
        if name not in missing:
            yield from read_interpretations(folder / name, music, split)


def _interpretation(row: Row, number: int, path: Path, music: Music4All, split: str) -> Song | Rejected:
    """Returns a song with the one caption of a row."""
    place = f"{path.name}, row {number}"
    if isinstance(row, str):
        return Rejected(place, str(path), row)
    song, lyrics, comment = row.get(ID_COLUMN), row.get("lyrics", ""), row.get("comment", "")
    if not isinstance(song, str) or not song or len(song) > LONGEST_ID or not is_unicode(song):
        return Rejected(place, str(path), f"it has no {ID_COLUMN}")
    if not isinstance(lyrics, str) or not isinstance(comment, str):
        return Rejected(place, str(path), "its lyrics or its comment are no text")
    if len(lyrics) > LARGEST:
        return Rejected(place, str(path), "its lyrics have over 1 MB")
    file = music.find(song)
    if file is None:
        return Rejected(song, song, f"the audio lies outside {music.audios.folder}")
    try:
        words = _clean("" if is_missing(lyrics) else lyrics)
    except LyricsError as error:
        return Rejected(song, file, error.message)
    title, artist = music.names.get(song, ("", ""))
    captions = (Caption(comment),) if comment.strip() and not is_missing(comment) else ()
    given = row.get("split")
    split = split or ("" if is_missing(given) else split_name(given))
    return Song(song, file, words.text, captions, split, title, artist, warnings=words.warnings)


_clean = lru_cache(maxsize=64)(lyrics_of_text)  # the rows of one song repeat its lyrics
