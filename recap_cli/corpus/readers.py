"""The corpora people have: each layout is recognised, and its reader gives the same song records."""

import os
from collections.abc import Iterator
from pathlib import Path

from recap_cli.audio.settings import AUDIO_SUFFIXES
from recap_cli.corpus.folders import CorpusRoot, is_file, read_folder
from recap_cli.corpus.manifest import MANIFEST_SUFFIXES, read_manifest
from recap_cli.corpus.music4all import (
    ID_COLUMN,
    METADATA_FILE,
    Music4All,
    read_alcap,
    read_interpretations,
    read_music4all,
)
from recap_cli.corpus.song import Rejected, Song
from recap_cli.errors import DataError, OptionError
from recap_cli.tables.rows import read_columns

LAYOUTS = ("manifest", "folder", "song-interpretation", "alcap", "music4all")
PICKLE_SUFFIXES = (".pkl", ".pickle", ".p")
LOOKED_FOR = (
    "name one of these: a manifest (.csv, .tsv, .jsonl) with a column audio; the Song Interpretation Dataset (.json, "
    f"or a table with a column {ID_COLUMN}); a folder with ALCAP's df_*.csv; Music4All (a folder audios beside "
    f"{METADATA_FILE} or lyrics); a folder of songs"
)


def choose_layout(source: Path) -> str:
    """Returns the layout of a corpus, one of `LAYOUTS`.

    Raises:
        DataError: there is nothing there, or nothing that is recognised.
    """
    if os.path.isdir(source):  # noqa: PTH112  Path.is_dir fails on names that are too long
        if any(source.glob("df_*.csv")):
            return "alcap"
        is_music4all = (source / "audios").is_dir() and (
            (source / METADATA_FILE).is_file() or (source / "lyrics").is_dir()
        )
        return "music4all" if is_music4all else "folder"
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
        return "song-interpretation"
    if suffix in MANIFEST_SUFFIXES:
        columns = read_columns(source)
        return "song-interpretation" if ID_COLUMN in columns and "audio" not in columns else "manifest"
    raise DataError(f"{source} is not recognised as a corpus", LOOKED_FOR)


def read_corpus(
    source: Path,
    audio: Path | None = None,
    layout: str | None = None,
    *,
    variant: str | None = None,
    metadata: Path | None = None,
    follow_outside: bool = False,
) -> Iterator[Song | Rejected]:
    """Recognises a corpus and reads it, an entry at a time.

    Args:
        source: a file or folder in one of `LAYOUTS`.
        audio: where audio paths of a manifest start, or Music4All's audio; by default beside the source.
        layout: one of `LAYOUTS`; None recognises it.
        variant: which of ALCAP's files, one of `VARIANTS`.
        metadata: Music4All's table of titles and artists; None looks for it beside the audio.
        follow_outside: read files outside of the audio folder, too, where paths and links lead there.

    Raises:
        DataError: there is nothing there, or nothing that is recognised.
        OptionError: an option does not fit the layout.
    """
    recognised = choose_layout(source)
    chosen = layout or recognised
    check_layout(source, chosen, variant, metadata)
    if chosen == "manifest":
        return read_manifest(source, CorpusRoot(audio or source.parent, follow_outside))
    if chosen == "folder":
        return read_folder(CorpusRoot(source, follow_outside))
    music = Music4All(CorpusRoot(audio or _audio_beside(source, chosen), follow_outside), metadata)
    if chosen == "music4all":
        return read_music4all(source, music)
    return read_alcap(source, music, variant) if chosen == "alcap" else read_interpretations(source, music)


def check_layout(source: Path, layout: str, variant: str | None, metadata: Path | None) -> None:
    """Refuses an unknown layout, one that wants a folder where there is a file, and options it has no use for."""
    if layout not in LAYOUTS:
        raise OptionError(f"--layout {layout} is unknown", f"choose one of {', '.join(LAYOUTS)}")
    if source.is_dir() != (layout in ("folder", "alcap", "music4all")):
        kind = "folder" if source.is_dir() else "file"
        raise OptionError(f"--layout {layout} does not fit {source}, a {kind}", LOOKED_FOR)
    if variant is not None and layout != "alcap":
        hint = "other layouts carry no votes of their own making; --min-votes filters where there are votes"
        raise OptionError(f"--variant picks among ALCAP's files, but {source} is a {layout}", hint)
    if metadata is not None and layout in ("manifest", "folder"):
        raise OptionError(f"--metadata is Music4All's table, but {source} is a {layout}", "leave it out")
    if metadata is not None and not metadata.is_file():
        raise OptionError(f"--metadata: no file {metadata}", f"name Music4All's {METADATA_FILE}")


def _audio_beside(source: Path, layout: str) -> Path:
    """Returns the folder that should hold Music4All's audio when none is named, or refuses to guess."""
    if layout == "music4all":
        return source
    folder = source if source.is_dir() else source.parent
    if (folder / "audios").is_dir() or any(path.suffix.lower() in AUDIO_SUFFIXES for path in folder.iterdir()):
        return folder
    raise OptionError(
        f"{source} names songs by Music4All's ids, and no audio lies beside it", "name it: --audio music4all/audios"
    )
