"""Broken tables in great number, each made from a seed: manifests, predictions, splits, papers' figures and lists."""

import csv
import io
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path

from recap_cli.corpus.song import Rejected, Song
from recap_cli.corpus.splits import read_split_file
from recap_cli.errors import RecapError
from recap_cli.evaluation.predictions import FileReader
from recap_cli.evaluation.systems import read_paper_table
from recap_cli.layouts.readers import choose_layout, read_corpus
from recap_cli.tables.rows import read_columns

KINDS = {
    "manifest": ("id", "audio", "caption", "lyrics", "split", "tags"),
    "predictions": ("song", "prediction", "references"),
    "splits": ("id", "split"),
    "paper": ("variant", "model", "rouge1"),
    "interpretations": ("music4all_id", "lyrics", "comment"),
}
TEXTS = (
    "a sad song", "A slow, sad song, sung", '"Heroes" is loud', '"Oh what a night', "nan", "None", "", " ", "\u200b",
    "雨の歌", "['a', \"it's\"]", '["a", "b"]', "['a', 'b", "['a' 'b']", "[Verse] la la", "[]", "[[[[", "{'text': 'a'}",
    "12\" mix", "line one\nline two", "it\tis", "\x1b[31mred", "=1+1", "<b>", "\\u0000", "x" * 5000, "é" * 50,
    "train", "27.1", "-1",
)  # fmt: skip
VALUES = (None, True, 3, -1, 1e999, float("nan"), 10**400, [], {}, ["a", None], [["a"], "b"],
          {"text": "a", "votes": "3.0"}, "\ud83d", [1, 2], {"song": {"id": "x"}})  # fmt: skip


def hostile_tables(folder: Path, seed: int) -> Iterator[Path]:
    """Writes broken tables into a folder, one after the other and without end; gives the path of each.

    The kind stands in the name: `manifest-00012.csv`. Every one is small, and each may be removed once it was read.
    """
    number = 0
    while True:
        rng = random.Random(f"{seed} {number}")
        kind = rng.choice(sorted(KINDS))
        suffix, content = broken_table(kind, rng)
        path = folder / f"{kind}-{number:05d}{suffix}"
        path.write_bytes(content)
        yield path
        number += 1


def broken_table(kind: str, rng: random.Random) -> tuple[str, bytes]:
    suffix = rng.choice(
        (".csv", ".tsv", ".jsonl", ".csv") + ((".json",) if kind != "manifest" and kind != "paper" else ())
    )
    rows = [[value(kind, name, number, rng) for name in KINDS[kind]] for number in range(rng.randint(0, 6))]
    if suffix in (".csv", ".tsv"):
        text = write_table(kind, rows, "\t" if suffix == ".tsv" else ",", rng)
    else:
        text = write_json(kind, rows, suffix, rng)
    content = text.encode(*rng.choice(ENCODINGS))
    for _ in range(rng.choice((0, 0, 1, 2))):
        content = rng.choice(DAMAGES)(content, rng)
    return suffix, content


def value(kind: str, name: str, number: int, rng: random.Random) -> str:
    good = {"id": f"s{number}", "song": f"s{number}", "audio": f"{number}.wav", "split": "train", "rouge1": "12.5",
            "music4all_id": f"{number:016d}"}  # fmt: skip
    return good[name] if name in good and rng.random() < 0.8 else rng.choice(TEXTS)


def write_table(kind: str, rows: list[list[str]], separator: str, rng: random.Random) -> str:
    names = [rng.choice((name, name, name, f" {name}", name.upper(), f"\ufeff{name}")) for name in KINDS[kind]]
    if rng.random() < 0.15:
        names.append(rng.choice(("", "", names[0], "x" * 200_000, "x")))
    if rng.random() < 0.5:  # as a library writes it
        file = io.StringIO()
        csv.writer(file, delimiter=separator, lineterminator=rng.choice(("\n", "\r\n", "\r"))).writerows([names, *rows])
        return file.getvalue()
    separator = rng.choice((separator, separator, ";"))
    first = rng.choice(("", "", "", f"sep={separator}\n", "\n\n"))
    return first + "\n".join(separator.join(row) for row in (names, *rows)) + rng.choice(("", "\n", "\n\n\n"))


def write_json(kind: str, rows: list[list[str]], suffix: str, rng: random.Random) -> str:
    records = []
    for row in rows:
        record: dict = dict(zip(KINDS[kind], row, strict=True))
        if rng.random() < 0.4:
            record[rng.choice((*KINDS[kind], "captions", "votes", "title", "error"))] = rng.choice(VALUES)
        records.append(record)
    if suffix == ".json":
        return json.dumps(records, indent=rng.choice((None, 1)))
    lines = [json.dumps(record) for record in records]
    odd = ("[" * 5000, "{}", "3", '{"id": "a", "id": "b"}', '{"audio": "a.wav", " Audio": "b.wav"}', "{", "\\", "nan",
           '{"audio": ' + "9" * 5000 + "}")  # fmt: skip
    return "\n".join([*lines, *rng.choices(odd, k=rng.randint(0, 2))]) + "\n"


ENCODINGS = [("utf-8", "surrogatepass")] * 5 + [
    (name, "replace") for name in ("utf-8-sig", "utf-16", "utf-16-le", "utf-32", "cp1252", "shift_jis")
]


def cut(content: bytes, rng: random.Random) -> bytes:
    return content[: rng.randrange(len(content) + 1)]


def put_in(content: bytes, rng: random.Random) -> bytes:
    odd = (
        b"\0",
        b'"',
        b'""',
        b"\xff",
        b"\xed\xa0\x80",
        b"\r",
        b"\n",
        b",",
        b"\t",
        b";",
        b"'",
        b"[",
        b"\xe2\x80\xa8",
        b"\x85",
    )
    place = rng.randrange(len(content) + 1)
    return content[:place] + rng.choice(odd) + content[place:]


def repeat(content: bytes, rng: random.Random) -> bytes:
    first, last = sorted((rng.randrange(len(content) + 1), rng.randrange(len(content) + 1)))
    return content[:last] + content[first:last] * rng.randint(1, 20) + content[last:]


def flip(content: bytes, rng: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(rng.randint(1, 8) if changed else 0):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


DAMAGES: tuple[Callable[[bytes, random.Random], bytes], ...] = (cut, put_in, repeat, flip)


def read_hostile(path: Path) -> tuple[int, int]:
    """Reads a table as the program does; returns how many rows were used, and how many refused by name.

    What the reader raises but a RecapError, is a fault; so is a text that cannot be written.
    """
    kind = path.name.partition("-")[0]
    try:
        read_columns(path)
        if kind == "predictions":
            found = FileReader().read(path)
            texts = [text for row in found for text in (row.id, *row.captions, *row.references)]
            rejected: list[str] = []
        elif kind == "splits":
            found = list(read_split_file(path))
            texts, rejected = [text for pair in found for text in pair], []
        elif kind == "paper":
            found = read_paper_table(path)
            texts, rejected = [row.model for row in found], []
        else:
            choose_layout(path)
            entries = list(read_corpus(path, path.parent))
            found = [entry for entry in entries if isinstance(entry, Song)]
            texts = [text for song in found for text in (song.id, song.lyrics, *(one.text for one in song.captions))]
            rejected = [entry.reason for entry in entries if isinstance(entry, Rejected)]
            assert all(rejected)
        for text in texts:
            text.encode("utf-8")
        return len(found), len(rejected)
    except RecapError as error:
        assert error.message
        return 0, 1
