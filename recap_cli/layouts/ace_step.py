"""ACE-Step's JSON of a data set: an object with `metadata` and a list `samples`."""

import re

from recap_cli.corpus.folders import CorpusRoot, is_file
from recap_cli.layouts.source import CorpusSource, Entries, Fields, needed_name, songs_of_rows
from recap_cli.tables.cells import is_missing, read_name, shown
from recap_cli.tables.text_files import json_list_under

KEY = "samples"
TAGS = ("genre", "bpm", "keyscale", "timesignature", "language")


def read_ace_step(source: CorpusSource) -> Entries:
    """Yields the songs of a file's samples: caption, lyrics, and what else it says as tags.

    Audio is found under its path, or by its name alone beside the file: the paths are those of another machine.

    Raises:
        DataError: the file is damaged, or has no list of samples.
    """
    root = source.root()

    def fields_of(row: Fields) -> Fields:
        named = needed_name(row, "audio_path" if row.get("audio_path") else "filename")
        if row.get("is_instrumental") not in (None, True, False):
            raise ValueError(f"its is_instrumental is {shown(row['is_instrumental'])}, neither true nor false")
        caption = row.get("caption")
        tags = {name: row[name] for name in TAGS if not is_missing(row.get(name))}
        return {
            "id": read_name(row.get("id"), "id") or re.split(r"[/\\]", named)[-1],
            "audio": find_audio(named, root),
            "caption": None if is_missing(caption) else caption,
            "lyrics": None if row.get("is_instrumental") else row.get("lyrics"),
            "tags": {name: str(value) if isinstance(value, int | float) else value for name, value in tags.items()},
        }

    return songs_of_rows(source.path, json_list_under(source.path, KEY), fields_of, "sample")


def find_audio(named: str, root: CorpusRoot) -> str:
    """Returns the file of a path, or of its last part; a ValueError where it leads out of the folder."""
    places = (named, re.split(r"[/\\]", named)[-1])
    found = [file for place in places if (file := root.find(place)) is not None]
    if not found:
        raise ValueError(f"the audio lies outside {root.folder}: {shown(named)}")
    return str(next((file for file in found if is_file(file)), found[-1]))
