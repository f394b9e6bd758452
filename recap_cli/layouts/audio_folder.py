"""Folders as Hugging Face's AudioFolder has them: audio at any depth, and metadata files with a column `file_name`."""

import os
from pathlib import Path, PurePosixPath

from recap_cli.corpus.folders import CorpusRoot, is_file, walk
from recap_cli.corpus.manifest import join_songs, with_times
from recap_cli.corpus.song import SPLITS, Rejected, split_name
from recap_cli.errors import DataError
from recap_cli.escaping import visible
from recap_cli.layouts.source import CorpusSource, Entries, Fields, needed_name, songs_of_rows
from recap_cli.tables.cells import read_name, shown
from recap_cli.tables.columns import RenamedColumns
from recap_cli.tables.rows import read_columns, read_rows

NAME = "file_name"
FILES = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
NEAR = 100  # folders in which a layout is looked for
SPLIT_WORDS = {"training": "train", "testing": "test", "evaluation": "test"}


def is_folder(folder: Path) -> bool:
    """Whether a folder, one in it, or one in its `data` has a metadata file; deeper ones are found once it is read."""
    near = [folder, *_folders(folder), *_folders(folder / "data")]
    found = (place / name for place in near for name in FILES)
    return any(path.suffix == ".parquet" or NAME in read_columns(path) for path in found if is_file(path))


def _folders(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            return [folder / name for name in sorted(one.name for one in entries if one.is_dir())[:NEAR]]
    except OSError:
        return []


def read_audio_folder(source: CorpusSource) -> Entries:
    """Yields the songs of all metadata files below a folder, or of one of them; audio that none names is rejected.

    A song's id is its path from the folder. Folders called train, validation or test are its splits, unless there is
    a column `split`.

    Raises:
        DataError: there is no metadata file, or one cannot be read.
    """
    top = source.folder
    tables = [source.path] if not source.path.is_dir() else sorted(_find(top))
    if not tables:
        raise DataError(f"{top} has no metadata file", f"looked for {', '.join(FILES)} with a column {NAME}")
    columns = RenamedColumns({"audio": NAME, **source.columns})
    root, named = source.root(top), set[str]()
    for path in tables:
        yield from join_songs(_read_table(path, top, root, columns, named))
    columns.check(source.path)
    if source.path.is_dir():
        for file, reason in walk(root.folder, source.follow_outside):
            if str(file.resolve()) not in named and str(file) not in named:
                name = visible(file.relative_to(root.folder).as_posix())
                yield Rejected(name, visible(str(file)), reason or "no metadata file names it")


def _find(top: Path) -> list[Path]:
    """Returns the metadata files at any depth; hidden folders are passed over."""
    found = []
    for place, folders, files in os.walk(top):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(place, name) for name in FILES if name in files]
    return found


def _read_table(path: Path, top: Path, root: CorpusRoot, columns: RenamedColumns, named: set[str]) -> Entries:
    """Yields the songs of one metadata file; `named` is told the files."""
    inner = PurePosixPath(path.parent.relative_to(top).as_posix())

    def fields_of(row: Fields) -> Fields:
        row = columns.apply(row)
        name = str(inner / needed_name(row, "audio"))
        file = root.find(name)
        if file is None:
            raise ValueError(f"the audio lies outside {root.folder}: {shown(name)}")
        named.add(str(file))
        given = read_name(row.get("split"), "split")
        return {**row, "id": read_name(row.get("id"), "id") or with_times(name, row), "audio": str(file),
                "split": given or split_of(name)}  # fmt: skip

    return songs_of_rows(path, read_rows(path, columns.columns["audio"]), fields_of)


def split_of(name: str) -> str:
    """Returns the split that a folder on a file's path is called after, "" for none."""
    words = (split_name(SPLIT_WORDS.get(part.lower(), part)) for part in PurePosixPath(name).parts[:-1])
    return next((word for word in words if word in SPLITS), "")
