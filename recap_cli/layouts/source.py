"""What is asked of a reader: where a corpus lies, and which of it is wanted."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from recap_cli.corpus.folders import CorpusRoot, is_file
from recap_cli.corpus.manifest import LONGEST_ID, ROW_ERRORS, song_of_fields
from recap_cli.corpus.song import Rejected, Song
from recap_cli.errors import DataError
from recap_cli.escaping import is_unicode
from recap_cli.tables.cells import read_name, shown
from recap_cli.tables.text_files import Row

Entries = Iterator[Song | Rejected]
Fields = dict[str, Any]  # of a row, by the names of columns


@dataclass(frozen=True)
class CorpusSource:
    """A corpus and what is wanted of it; a layout has use for some of the fields only."""

    path: Path
    audio: Path | None = None  # where audio paths begin; None looks beside the source
    metadata: Path | None = None  # Music4All's table of titles and artists
    variant: str | None = None  # which of ALCAP's files
    columns: dict[str, str] = field(default_factory=dict)  # what a column holds, and its name in the file
    subset: str = "all"  # of Song Describer's captions
    follow_outside: bool = False  # read files outside of the audio folder, too, where paths and links lead there

    @property
    def folder(self) -> Path:
        """The source where it is a folder, else the folder that it lies in."""
        return self.path if self.path.is_dir() else self.path.parent

    def root(self, beside: Path | None = None) -> CorpusRoot:
        """Returns where audio paths begin: as named, or else `beside`, by default the folder of the source."""
        return CorpusRoot(self.audio or beside or self.folder, self.follow_outside)


@dataclass
class NamedAudio:
    """Finds audio by the path that a table has for it, in the folder or in folders within it that archives make."""

    root: CorpusRoot
    within: tuple[str, ...] = ("",)  # such folders, with a slash behind
    renditions: tuple[str, ...] = ("",)  # what may stand before the suffix: `.low` of 48/948.low.mp3
    last: tuple[str, str] = ("", "")  # where and as which rendition the one before was found: likely the next one, too

    def find(self, name: str) -> str:
        """Returns the file; the one that the table names where there is none, which who decodes it will say.

        Raises:
            ValueError: the path leads out of the folder.
        """
        stem, dot, suffix = name.rpartition(".")
        places = [(folder, made) for folder in self.within for made in self.renditions]
        for folder, made in (self.last, *places):
            file = self.root.find(f"{folder}{stem}{made}{dot}{suffix}")
            if file is not None and is_file(file):
                self.last = folder, made
                return str(file)
        file = self.root.find(name)
        if file is None:
            raise ValueError(f"the audio lies outside {self.root.folder}: {shown(name)}")
        return str(file)


def songs_of_rows(
    path: Path,
    rows: Iterator[tuple[int, Row]],
    fields_of: Callable[[Fields], Fields],
    noun: str = "line",
) -> Entries:
    """Yields the songs of rows; a row that cannot be used is rejected by its file and line.

    Args:
        path: the file.
        rows: its rows by number, or why one cannot be read.
        fields_of: returns a row's fields as a manifest has them, with `id` and a file as `audio`, or raises a
            ValueError.
        noun: what the number counts.
    """
    beside = CorpusRoot(path.parent)
    for number, row in rows:
        try:
            if isinstance(row, str):
                raise ValueError(row)
            fields = fields_of(row)
            yield song_of_fields(fields, check_id(fields["id"]), fields["audio"], beside)
        except ROW_ERRORS as error:
            yield Rejected(f"{path.name}, {noun} {number}", str(path), str(error))


def check_id(name: str) -> str:
    """Returns a song's id; a ValueError where it is none, endless, or half a character."""
    if not name or len(name) > LONGEST_ID or not is_unicode(name):
        raise ValueError(f"its id is {shown(name)}, no name, or has over {LONGEST_ID} characters")
    return name


def needed_name(row: Fields, column: str) -> str:
    """Returns the id, path or other name in a column; a ValueError where it is missing or no text."""
    name = read_name(row.get(column), column).strip()
    if not name:
        raise ValueError(f"it has no {column}")
    return name


class SeenRows:
    """Refuses a row that a file has already: a second one would vanish among the songs without a count."""

    def __init__(self) -> None:
        self.ids: set[str] = set()

    def add(self, name: str) -> None:
        """Notes an id; a ValueError where it is known."""
        if name in self.ids:
            raise ValueError(f"{name} has a row already")
        self.ids.add(name)


def lacks_audio(source: CorpusSource, example: str) -> DataError:
    """Returns the error for a table whose audio is nowhere near it."""
    message = f"{source.path} names audio by paths such as {example}, and no folder of them lies beside it"
    return DataError(message, "name the folder that the paths begin in: --audio DIR")
