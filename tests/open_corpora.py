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


def make_audio_folder(folder: Path, count: int = 3, suffix: str = ".csv") -> Path:
    """A metadata file in each split's folder, audio one folder deeper, and columns under names of its own."""
    for place, split in enumerate(("train", "validation", "test")):
        rows = [["file_name", "text", "words", "artist"]]
        for number in range(place, count, 3):
            name = f"clips/{number}.ogg"
            put_audio(folder / split / name, number, count > 10)
            rows += [[name, said, WORDS[number % 3], f"artist {number % 50}"] for said in SAID[number % 3]]
        if suffix == ".csv":
            write_rows(folder / split / "metadata.csv", rows)
        else:
            lines = [json.dumps(dict(zip(rows[0], row, strict=True))) for row in rows[1:]]
            write_text(folder / split / "metadata.jsonl", "\n".join(lines) + "\n")
    return folder


def make_clips(folder: Path, count: int = 3) -> Path:
    """JSON lines of parts of one recording."""
    put_audio(folder / "concert.ogg", 0, count > 10)
    lines = [
        {
            "audio": "concert.ogg",
            "caption": SAID[number % 3][0],
            "start_time": 0.2 * number,
            "end_time": 0.2 * (number + 1),
        }
        for number in range(count)
    ]
    write_text(folder / "clips.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    return folder / "clips.jsonl"


def make_music_caps(folder: Path, count: int = 3) -> Path:
    """The table, and a folder of clips under the three names that people give them."""
    rows: list[list[object]] = [
        [
            "ytid",
            "start_s",
            "end_s",
            "audioset_positive_labels",
            "aspect_list",
            "caption",
            "author_id",
            "is_balanced_subset",
            "is_audioset_eval",
        ]
    ]
    for number in range(count):
        video = f"-0_made-up{number:05}"
        name = (video, f"{video}_30_40", f"[{video}]-[30-40]")[number % 3]
        put_audio(folder / "clips" / f"{name}.wav", number, count > 10)
        aspects = str([f"aspect {number % 7}", "tinny, wide"])
        rows.append([video, 30, 40, "/m/04rlf", aspects, SAID[number % 3][0], 4, False, number % 3 == 1])
    return write_rows(folder / "musiccaps-public.csv", rows)


def make_generator_folder(folder: Path) -> Path:
    """Texts beside each song under the names of two tools; the second also keeps its settings as a text."""
    for number, (caption, lyrics) in enumerate(((".caption.txt", ".lyrics.txt"), ("_prompt.txt", "_lyrics.txt"))):
        write_audio(folder / f"song{number}.ogg", number)
        write_text(folder / f"song{number}{caption}", SAID[number][0])
        write_text(folder / f"song{number}{lyrics}", WORDS[number])
    write_text(folder / "song1.txt", "steps=60")
    write_audio(folder / "song2.ogg", 2)
    write_text(folder / "song2.txt", WORDS[2])
    return folder


def make_ace_step(folder: Path, count: int = 3) -> Path:
    """The JSON of a data set, with paths of the machine that wrote it; its last song is an instrumental."""
    samples = []
    for number in range(count):
        put_audio(folder / f"{number}.ogg", number, count > 10)
        instrumental = number % 3 == 2
        samples.append(
            {"id": f"{number:08x}", "audio_path": f"/home/somebody/set/{number}.ogg", "filename": f"{number}.ogg",
             "caption": SAID[number % 3][0], "genre": "chamber pop", "bpm": 90 + number % 9, "keyscale": "C major",
             "timesignature": "4", "duration": 1, "is_instrumental": instrumental, "custom_tag": "", "labeled": True,
             "language": "unknown" if instrumental else "en",
             "lyrics": "[Instrumental]" if instrumental else WORDS[number % 3]}
        )  # fmt: skip
    record = {"metadata": {"name": "made up", "num_samples": count, "all_instrumental": False}, "samples": samples}
    write_text(folder / "dataset.json", json.dumps(record, indent=2))
    return folder / "dataset.json"


MAKERS = {
    "mtg-jamendo": make_jamendo,
    "muljam": make_muljam,
    "muljam-2": make_muljam_2,
    "song-describer": make_song_describer,
    "audio-folder": make_audio_folder,
    "clips": make_clips,
    "musiccaps": make_music_caps,
    "generators": make_generator_folder,
    "ace-step": make_ace_step,
}

if __name__ == "__main__":
    for name, make in MAKERS.items():
        make(Path(sys.argv[1]) / name)
