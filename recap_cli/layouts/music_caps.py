"""MusicCaps: a caption and a list of aspects for ten seconds of each video, beside a folder of clips."""

import os
from pathlib import Path

from recap_cli.audio.settings import AUDIO_SUFFIXES
from recap_cli.corpus.folders import CorpusRoot
from recap_cli.layouts.song_describer import read_flag
from recap_cli.layouts.source import CorpusSource, Entries, Fields, SeenRows, lacks_audio, needed_name, songs_of_rows
from recap_cli.tables.cells import is_missing, read_list, read_seconds
from recap_cli.tables.rows import read_rows

COLUMNS = frozenset(("ytid", "start_s", "end_s", "caption"))
HELD_OUT = "is_audioset_eval"
WITHIN = ("", "audio", "clips", "wav", "wavs", "musiccaps")


def read_music_caps(source: CorpusSource) -> Entries:
    """Yields the clips: each file is cut already, and called after its video, with or without the times.

    `is_audioset_eval` decides the split, test or train, as those have it who train on the rest. Aspects are kept as
    one tag. A clip that is not there is found out when it is decoded: many videos are gone.

    Raises:
        DataError: the table cannot be read, or no folder of clips lies beside it.
    """
    clips = list_clips(source)
    root, seen = source.root(), SeenRows()

    def fields_of(row: Fields) -> Fields:
        video = needed_name(row, "ytid")
        seen.add(video)
        stem = next((stem for stem in clip_stems(video, row) if stem in clips), video)
        file = root.find(clips.get(stem, f"{video}.wav"))
        if file is None:
            raise ValueError(f"the audio lies outside {root.folder}")
        caption, aspects = row.get("caption"), read_list(row.get("aspect_list", []))
        if not isinstance(caption, str) or is_missing(caption):
            raise ValueError("it has no caption")
        if not all(isinstance(aspect, str) for aspect in aspects):
            raise ValueError("its aspect_list is no list of texts")
        split = "" if is_missing(row.get(HELD_OUT)) else "test" if read_flag(row, HELD_OUT) else "train"
        tags = {"aspects": ", ".join(aspects)} if aspects else {}
        return {"id": video, "audio": str(file), "caption": caption, "split": split, "tags": tags}

    return songs_of_rows(source.path, read_rows(source.path, "ytid"), fields_of)


def clip_stems(video: str, row: Fields) -> list[str]:
    """Returns what a video's clip may be called, without its suffix; a ValueError where its times are none."""
    start, end = read_seconds(row.get("start_s"), "start_s"), read_seconds(row.get("end_s"), "end_s")
    if start is None or end is None or end <= start:
        raise ValueError(f"its times are {row.get('start_s')} to {row.get('end_s')}, no part of a video")
    first, last = f"{start:g}", f"{end:g}"
    return [
        video,
        *(f"{video}{mark}{first}{mark}{last}" for mark in "_-"),
        f"[{video}]-[{first}-{last}]",
        f"{video}_{1000 * start:g}_{1000 * end:g}",
        f"{video}_{first}",
    ]


def list_clips(source: CorpusSource) -> dict[str, str]:
    """Returns the clips' paths in their folder by the names without suffixes; a DataError where there are none."""
    root: CorpusRoot = source.root()
    for inner in WITHIN:
        try:
            names = sorted(os.listdir(root.folder / inner), reverse=True)  # noqa: PTH208  names are all that is needed
        except OSError:
            continue
        paths = [Path(name) for name in names]
        if clips := {path.stem: str(Path(inner, path)) for path in paths if path.suffix.lower() in AUDIO_SUFFIXES}:
            return clips
    raise lacks_audio(source, "-0Gj8-vB1q4.wav")
