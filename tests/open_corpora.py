"""Stand-ins for open corpora: made-up songs and words in the exact layouts, for tests, guides and benchmarks.

    python tests/open_corpora.py FOLDER

makes all of them. No word, tag list or sound of anybody else is in them.
"""

import csv
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from make_corpora import write_audio, write_text

TRACKS = (214, 948, 1004034)
ARTISTS = (14, 7, 368880)
TAGS = (
    ("genre---rock", "genre---pop", "instrument---piano"),
    ("genre---ambient", "mood/theme---calm"),
    ("instrument---electricguitar", "instrument---drums"),
)
WORDS = ("the kettle sings\nthe window is grey", "nine boats go out\nand eight come home", "walk on\nwalk on")
SAID = (
    ("A piano that hurries, and a singer in a kitchen.", 'Somebody says "tea", and means goodbye.'),
    ("Slow waves of sound.",),
    ("Guitars over a steady drum, made for walking.",),
)


def many(values: Sequence, count: int) -> list:
    return [values[number % len(values)] for number in range(count)]


def track_numbers(count: int) -> list[int]:
    return [TRACKS[number] if number < len(TRACKS) else 2_000_000 + number for number in range(count)]


def put_audio(path: Path, number: int, silent: bool) -> None:
    """A song of 0.6 s, or an empty file where there are many of them."""
    if silent:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    else:
        write_audio(path, number)


def write_rows(path: Path, rows: Sequence[Sequence[object]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)
    return path


def make_jamendo(folder: Path, count: int = 3, suffix: str = ".mp3", splits: bool = True) -> Path:
    """A clone of the data set's repository, its splits, and the audio; returns the table of all tracks."""
    header = "TRACK_ID\tARTIST_ID\tALBUM_ID\tPATH\tDURATION\tTAGS"
    tracks, made = track_numbers(count), []
    for number, track in enumerate(tracks):
        ids = f"track_{track:07}\tartist_{ARTISTS[number % 3]:06}\talbum_{number:06}"
        made.append("\t".join((ids, f"{track % 100:02}/{track}.mp3", "31.5", *TAGS[number % 3])))
        put_audio(folder / "audio" / f"{track % 100:02}" / f"{track}{suffix}", number, count > 10)
    table = folder / "data" / "autotagging.tsv"
    write_text(table, "\n".join((header, *made)) + "\n")
    for place, split in enumerate(("train", "validation", "test") if splits else ()):
        path = table.parent / "splits" / "split-0" / f"autotagging-{split}.tsv"
        write_text(path, "\n".join((header, *made[place::3])) + "\n")
    return table


def make_muljam(folder: Path) -> Path:
    """The first version: a JSON file a song."""
    for place, name in enumerate(("train/214", "train/948", "test/prompt_final_en_1004034")):
        record = {"reasons": "made up", "closest_prediction": "prediction_1", "output": WORDS[place]}
        write_text(folder / f"{name}.json", json.dumps(record))
    return folder


def make_muljam_2(folder: Path) -> Path:
    """The second version: a row a line, not always in the order of time, and the test songs as texts."""
    rows: list[list[object]] = [["id", "file", "lang", "start", "end", "wrd"]]
    for track, words in zip(TRACKS[:2], WORDS, strict=False):
        lines = [
            [f"{track}_{place}", f"{track % 100:02}/{track}.low.mp3", "en", 2.5 * place, 2.5 * place + 2, line.upper()]
            for place, line in enumerate(words.split("\n"))
        ]
        rows += reversed(lines)
    write_rows(folder / "preconstructed-split" / "train.meta", rows)
    write_text(folder / "song-level-test" / "1004034.txt", WORDS[2].replace("\n", " "))
    return folder


def make_song_describer(folder: Path, count: int = 3) -> Path:
    """The table of captions, and the audio of two minutes under names that it does not know."""
    header = [
        "caption_id",
        "track_id",
        "caption",
        "is_valid_subset",
        "familiarity",
        "artist_id",
        "album_id",
        "path",
        "duration",
    ]
    rows: list[list[object]] = [header]
    for number, track in enumerate(track_numbers(count)):
        path = f"{track % 100:02}/{track}"
        put_audio(folder / "audio" / f"{path}.2min.mp3", number, count > 10)
        for said in SAID[number % 3]:
            valid = ("False", "True", "")[len(rows) % 3]
            rows.append([len(rows), track, said, valid, 1, ARTISTS[number % 3], number, f"{path}.mp3", 120.1])
    return write_rows(folder / "song_describer.csv", rows)


MAKERS = {
    "mtg-jamendo": make_jamendo,
    "muljam": make_muljam,
    "muljam-2": make_muljam_2,
    "song-describer": make_song_describer,
}

if __name__ == "__main__":
    for name, make in MAKERS.items():
        make(Path(sys.argv[1]) / name)
