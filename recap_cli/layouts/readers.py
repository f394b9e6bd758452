"""The corpora people have: each layout is recognised, and its reader gives the same song records."""

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from recap_cli.audio.settings import AUDIO_SUFFIXES
from recap_cli.corpus.folders import CorpusRoot, is_file, read_folder
from recap_cli.corpus.manifest import MANIFEST_SUFFIXES, read_manifest
from recap_cli.corpus.song import Rejected, Song
from recap_cli.errors import DataError, OptionError
from recap_cli.layouts import ace_step, audio_folder, jamendo, music_caps, song_describer
from recap_cli.layouts.ace_step import read_ace_step
from recap_cli.layouts.audio_folder import read_audio_folder
from recap_cli.layouts.jamendo import read_jamendo
from recap_cli.layouts.music4all import (
    ID_COLUMN,
    METADATA_FILE,
    Music4All,
    read_alcap,
    read_interpretations,
    read_music4all,
)
from recap_cli.layouts.music_caps import read_music_caps
from recap_cli.layouts.song_describer import read_song_describer
from recap_cli.layouts.source import CorpusSource, Entries
from recap_cli.tables.parquet import PARQUET
from recap_cli.tables.rows import read_columns
from recap_cli.tables.text_files import CHUNK, find_list, open_text

PICKLE_SUFFIXES = (".pkl", ".pickle", ".p")
LOOKED_FOR = (
    "name one of these: a manifest (.csv, .tsv, .jsonl) with a column audio; the Song Interpretation Dataset (.json, "
    f"or a table with a column {ID_COLUMN}); a folder with ALCAP's df_*.csv; Music4All (a folder audios beside "
    f"{METADATA_FILE} or lyrics); {jamendo.BASE}.tsv of MTG-Jamendo; {song_describer.FILE}; "
    f"metadata.csv with a column {audio_folder.NAME}; MusicCaps; ACE-Step's JSON; a folder of songs"
)


@dataclass(frozen=True)
class Layout:
    """A layout: whether it is a folder, a file or either, what reads it, and which options it has use for."""

    kinds: tuple[str, ...]
    read: Callable[[CorpusSource], Entries]
    takes: tuple[str, ...] = ()  # names of fields of `CorpusSource`


def _music4all(source: CorpusSource, beside: Path | None = None) -> Music4All:
    """Returns Music4All's audio, which lies `beside` or must be named."""
    return Music4All(source.root(beside or (None if source.audio else _audio_beside(source))), source.metadata)


LAYOUTS: dict[str, Layout] = {
    "manifest": Layout(
        ("file",), lambda source: read_manifest(source.path, source.root(), source.columns), ("columns",)
    ),
    "folder": Layout(("folder",), lambda source: read_folder(CorpusRoot(source.path, source.follow_outside))),
    "song-interpretation": Layout(
        ("file",), lambda source: read_interpretations(source.path, _music4all(source)), ("metadata",)
    ),
    "alcap": Layout(
        ("folder",),
        lambda source: read_alcap(source.path, _music4all(source), source.variant),
        ("variant", "metadata"),
    ),
    "music4all": Layout(
        ("folder",), lambda source: read_music4all(source.path, _music4all(source, source.path)), ("metadata",)
    ),
    "mtg-jamendo": Layout(("file", "folder"), read_jamendo),
    "song-describer": Layout(("file", "folder"), read_song_describer, ("subset",)),
    "audio-folder": Layout(("file", "folder"), read_audio_folder, ("columns",)),
    "musiccaps": Layout(("file",), read_music_caps),
    "ace-step": Layout(("file",), read_ace_step),
}


def choose_layout(source: Path) -> str:
    """Returns the layout of a corpus, one of `LAYOUTS`.

    Raises:
        DataError: there is nothing there, or nothing that is recognised.
    """
    if os.path.isdir(source):  # noqa: PTH112  Path.is_dir fails on names that are too long
        return _layout_of_folder(source)
    if not is_file(source):
        hint = "give a manifest (.csv, .tsv, .jsonl), a data set's file or folder, or a folder of songs"
        raise DataError(f"no corpus at {source}", hint)
    suffix = source.suffix.lower()
    if suffix in PICKLE_SUFFIXES:
        raise DataError(
            f"{source} is a pickle, and pickles are not read: they can run code",
            "use the JSON release of the data set, which holds the same rows",
        )
    if suffix == ".json":
        with open_text(source, checked=False) as file:
            return "song-interpretation" if find_list(file.read(CHUNK), ace_step.KEY) is None else "ace-step"
    if suffix in (*MANIFEST_SUFFIXES, PARQUET):
        return _layout_of_table(source)
    raise DataError(f"{source} is not recognised as a corpus", LOOKED_FOR)


def _layout_of_folder(folder: Path) -> str:
    """Returns the layout of a folder, by the names of a few files in it."""
    if any(folder.glob("df_*.csv")):
        return "alcap"
    if (folder / "audios").is_dir() and ((folder / METADATA_FILE).is_file() or (folder / "lyrics").is_dir()):
        return "music4all"
    if is_file(folder / song_describer.FILE):
        return "song-describer"
    if jamendo.is_folder(folder):
        return "mtg-jamendo"
    return "audio-folder" if audio_folder.is_folder(folder) else "folder"


def _layout_of_table(path: Path) -> str:
    """Returns the layout of a table, by the names of its columns."""
    columns = set(read_columns(path))
    if "audio" in columns:
        return "manifest"
    if columns >= song_describer.COLUMNS:
        return "song-describer"
    if jamendo.is_table(path):
        return "mtg-jamendo"
    if columns >= music_caps.COLUMNS:
        return "musiccaps"
    if audio_folder.NAME in columns:
        return "audio-folder"
    return "song-interpretation" if ID_COLUMN in columns else "manifest"


def read_corpus(
    path: Path,
    audio: Path | None = None,
    layout: str | None = None,
    *,
    variant: str | None = None,
    metadata: Path | None = None,
    columns: Mapping[str, str] | None = None,
    subset: str = "all",
    follow_outside: bool = False,
) -> Iterator[Song | Rejected]:
    """Recognises a corpus and reads it, an entry at a time.

    Args:
        path: a file or folder in one of `LAYOUTS`.
        audio: where audio paths begin, or Music4All's audio; by default beside the source.
        layout: one of `LAYOUTS`; None recognises it.
        variant: which of ALCAP's files, one of `VARIANTS`.
        metadata: Music4All's table of titles and artists; None looks for it beside the audio.
        columns: what a column of a manifest or of an audio folder holds, and its name there.
        subset: which of Song Describer's captions, "all" or "validated".
        follow_outside: read files outside of the audio folder, too, where paths and links lead there.

    Raises:
        DataError: there is nothing there, or nothing that is recognised.
        OptionError: an option does not fit the layout.
    """
    source = CorpusSource(path, audio, metadata, variant, dict(columns or {}), subset, follow_outside)
    return read_source(source, layout)


def read_source(source: CorpusSource, layout: str | None = None) -> Entries:
    """Yields the entries of a corpus; errors as `read_corpus`."""
    return LAYOUTS[check_layout(source, layout)].read(source)


def check_layout(source: CorpusSource, layout: str | None = None) -> str:
    """Returns the layout, recognised unless it is named.

    Refuses an unknown layout, one that wants a folder where there is a file, and options it has no use for.
    """
    chosen = layout or choose_layout(source.path)
    if chosen not in LAYOUTS:
        raise OptionError(f"--layout {chosen} is unknown", f"choose one of {', '.join(LAYOUTS)}")
    if not source.path.exists():
        choose_layout(source.path)  # says what is missing
    kind = "folder" if source.path.is_dir() else "file"
    if kind not in LAYOUTS[chosen].kinds:
        raise OptionError(f"--layout {chosen} does not fit {source.path}, a {kind}", LOOKED_FOR)
    for name, is_given, what, hint in (
        ("variant", source.variant is not None, "picks among ALCAP's files",
         "other layouts carry no votes of their own making; --min-votes filters where there are votes"),
        ("metadata", source.metadata is not None, "is Music4All's table", "leave it out"),
        ("columns", bool(source.columns), "names the columns of tables of songs", "leave it out"),
        ("subset", source.subset != "all", "picks among Song Describer's captions", "leave it out"),
    ):  # fmt: skip
        if is_given and name not in LAYOUTS[chosen].takes:
            raise OptionError(f"--{name} {what}, but {source.path} is a {chosen}", hint)
    if source.metadata is not None and not source.metadata.is_file():
        raise OptionError(f"--metadata: no file {source.metadata}", f"name Music4All's {METADATA_FILE}")
    return chosen


def _audio_beside(source: CorpusSource) -> Path:
    """Returns the folder that should hold Music4All's audio when none is named, or refuses to guess."""
    folder = source.folder
    if (folder / "audios").is_dir() or any(path.suffix.lower() in AUDIO_SUFFIXES for path in folder.iterdir()):
        return folder
    raise OptionError(
        f"{source.path} names songs by Music4All's ids, and no audio lies beside it",
        "name it: --audio music4all/audios",
    )
