"""Make the small corpora in `tests/fixtures/corpora`, one for each layout; run it again only when a layout changes.

    python tests/make_corpora.py

Three songs of 0.6 s, made-up words, the field's file names and columns.
"""

import csv
import json
from pathlib import Path

import numpy as np
import soundfile

FOLDER = Path(__file__).parent / "fixtures" / "corpora"
IDS = ("0a1b2c3d4e5f6g7h", "Zz9Yy8Xx7Ww6Vv5U", "aaaaBBBBccccDDDD")
TITLES = ("Rain", "Night Bus", "Tides")
ARTISTS = ("Nina", "The Owls", "Mar")
LYRICS = ("the rain falls\nover the river", "last bus home\n\nI sing alone", "INSTRUMENTAL")
COMMENTS = (
    ("A song about rain and patience.", "To me it says: wait.linkNo Replies"),
    ("Someone rides home & thinks.", "I was movedand cried. link3 RepliesLog in to replyThere was an error."),
    ("No words, only water.",),
)


def write_audio(path: Path, number: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rate = 22050
    time = np.arange(round(0.6 * rate)) / rate
    soundfile.write(path, 0.4 * np.sin(2 * np.pi * (330 + 110 * number) * time * (1 + time)), rate)


def write_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def rows() -> list[dict[str, str]]:
    return [
        {"music4all_id": song, "lyrics": LYRICS[number], "comment": comment}
        for number, song in enumerate(IDS)
        for comment in COMMENTS[number]
    ]


def write_music4all(folder: Path) -> None:
    lines = ["id\tartist\tsong\talbum_name"]
    for number, song in enumerate(IDS):
        write_audio(folder / "audios" / f"{song}.mp3", number)
        write_text(folder / "lyrics" / f"{song}.txt", LYRICS[number])
        lines.append(f'{song}\t{ARTISTS[number]}\t{TITLES[number]}\tThe "Album"')
    write_text(folder / "id_information.csv", "\n".join(lines) + "\n")


def write_interpretations(folder: Path) -> None:
    write_text(folder / "dataset.json", json.dumps(rows(), indent=1) + "\n")


def write_table(path: Path, chosen: list[dict[str, str]], separator: str = ",") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(chosen[0]), delimiter=separator, lineterminator="\n")
        writer.writeheader()
        writer.writerows(chosen)


def write_alcap(folder: Path) -> None:
    """The first song's two rows stand in train and in validation, as the public files have it."""
    first, second, third, fourth, fifth = rows()
    for variant in ("full", "not_negative", "positive"):
        write_table(folder / f"df_{variant}_train.csv", [first, third] if variant == "full" else [first])
        write_table(folder / f"df_{variant}_val.csv", [second])
    write_table(folder / "df_full.csv", [first, second, third, fourth])
    write_table(folder / "df_test.csv", [fifth])


def write_manifests(folder: Path) -> None:
    table, lines = [], []
    for number, title in enumerate(TITLES):
        write_audio(folder / "audio" / f"{number}.ogg", number)
        fields = {"id": f"song-{number}", "audio": f"audio/{number}.ogg", "title": title, "artist": ARTISTS[number]}
        captions = [{"text": text, "votes": 3 - place} for place, text in enumerate(COMMENTS[number])]
        lines.append({**fields, "lyrics_file": f"words/{number}.lrc", "captions": captions, "tags": {"mode": "minor"}})
        table += [
            {**fields, "lyrics": LYRICS[number], "caption": one["text"], "votes": one["votes"], "tags": "mode=minor"}
            for one in captions
        ]
        stamped = "\n".join(f"[00:{place:02}.00]{line}" for place, line in enumerate(LYRICS[number].split("\n")))
        write_text(folder / "words" / f"{number}.lrc", stamped)
    write_text(folder / "songs.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    write_table(folder / "songs.csv", table)
    write_table(folder / "songs.tsv", table, "\t")


def write_folder(folder: Path) -> None:
    for number, title in enumerate(TITLES):
        write_audio(folder / ARTISTS[number] / f"{title}.ogg", number)
        write_text(folder / ARTISTS[number] / f"{title}.txt", LYRICS[number])
        write_text(folder / ARTISTS[number] / f"{title}.caption.txt", "\n".join(COMMENTS[number]) + "\n")


def main() -> None:
    write_manifests(FOLDER / "manifest")
    write_folder(FOLDER / "folder")
    write_music4all(FOLDER / "music4all")
    write_interpretations(FOLDER / "song-interpretation")
    write_alcap(FOLDER / "alcap")


if __name__ == "__main__":
    main()
