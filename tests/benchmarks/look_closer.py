"""What `recap eval` does not ask, measured on the same files, and all figures of the page in one file without texts.

    python tests/benchmarks/look_closer.py FOLDER

after score.sh: quoted references, captions cut to the same length, and the figures of CMI-Bench's own script. Writes
scores.json beside this file. Words in a row are those of ROUGE.
"""

import csv
import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from nltk.translate.bleu_score import sentence_bleu
from rouge_score.rouge_scorer import RougeScorer

from recap_cli.progress import SilentProgress
from recap_cli.scoring.rouge import rouge_pairs, rouge_tokens
from recap_cli.specificity.moving import Songs
from recap_cli.specificity.study import study_captions

OUT = Path(__file__).with_name("scores.json")
IN_A_ROW = (6, 8, 12)  # words that a quotation has
FIRST_WORDS = 12  # as many as the reference has that scores best for all songs
LEFT_OUT = ("comparisons", "cases", "verdicts", "oracles", "decoding", "data", "split")


def read_references(folder: Path) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Returns the references of each song, and its artist."""
    references: dict[str, list[str]] = {}
    artists = {}
    with (folder / "song_describer.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            references.setdefault(row["track_id"], []).append(row["caption"])
            artists[row["track_id"]] = row["artist_id"]
    return references, artists


def read_rows(path: Path) -> list[tuple[str, str, str]]:
    """Returns a system's answers: song, answer, and the reference beside it."""
    rows = json.loads(path.read_text(encoding="utf-8"))
    return [(re.findall(r"(\d+)\.2min", row["audioid"])[0], row["response"], row["correct_answer"]) for row in rows]


def runs_of(text: str, length: int) -> set[tuple[str, ...]]:
    """Returns all words in a row of a length."""
    words = rouge_tokens(text, False)
    return {tuple(words[place : place + length]) for place in range(len(words) - length + 1)}


class Quotations:
    """Counts captions that repeat words in a row of references."""

    def __init__(self, references: Mapping[str, Sequence[str]], length: int) -> None:
        self.length = length
        self.runs = {song: [runs_of(text, length) for text in texts] for song, texts in references.items()}
        self.holders: dict[tuple[str, ...], set[str]] = {}
        for song, sets in self.runs.items():
            for run in set().union(*sets):
                self.holders.setdefault(run, set()).add(song)

    def songs(self, rows: Sequence[tuple[str, str]]) -> list[str]:
        """Returns the song of each caption that quotes its own song's references."""
        return [song for song, text in rows if any(song in self.of(run) for run in runs_of(text, self.length))]

    def from_others(self, rows: Sequence[tuple[str, str]]) -> int:
        """Returns how many captions quote other songs' references, in words that their own do not have."""
        found = [[self.of(run) for run in runs_of(text, self.length)] for _, text in rows]
        return sum(any(held and song not in held for held in some) for (song, _), some in zip(rows, found, strict=True))

    def of(self, run: tuple[str, ...]) -> set[str]:
        """Returns the songs whose references hold words in a row."""
        return self.holders.get(run, set())

    def by_people(self) -> list[str]:
        """Returns the song of each reference that quotes another one of its song."""
        return [
            song
            for song, sets in self.runs.items()
            for place, own in enumerate(sets)
            if any(own & other for number, other in enumerate(sets) if number != place)
        ]


def move(
    systems: Mapping[str, Mapping[str, Sequence[str]]], songs: Sequence[str], world: tuple[dict, dict]
) -> list[dict]:
    """Returns what controls find on some songs, in ROUGE-L F1."""
    references, artists = world
    numbers = np.unique([artists[song] for song in songs], return_inverse=True)[1]
    asked = Songs([references[song] for song in songs], numbers, np.ones(len(songs)), [None] * len(songs), numbers)
    captions = {name: [said[song] for song in songs] for name, said in systems.items()}
    found = study_captions(captions, asked, [rouge_pairs], "f1", SilentProgress())
    return [strip(row.to_json()) for row in found.rows if row.kind != "constant"]


def strip(row: dict[str, Any]) -> dict[str, Any]:
    """Returns a row of controls with ROUGE-L alone."""
    kept = {key: row[key] for key in ("name", "songs", "words_per_caption")} | {"scores": row["scores"]["rougeL"]}
    shares = row.get("share_of_people", {}).get("rougeL")
    return kept | ({"share_of_people": shares} if shares else {})


def other_script(rows: Sequence[tuple[str, str, str]]) -> dict[str, float]:
    """Returns what CMI-Bench's script reports, of answers beside their own reference and beside another song's."""
    scorer = RougeScorer(["rougeL"], use_stemmer=True)
    half = len(rows) // 2
    moved = [other for _, _, other in (*rows[half:], *rows[:half])]
    pairs = {"own": [(said, meant) for _, said, meant in rows], "others": []}
    pairs["others"] = [(said, meant) for (_, said, _), meant in zip(rows, moved, strict=True)]
    found = {}
    for kind, some in pairs.items():
        found[f"rougeL_recall_{kind}"] = np.mean([scorer.score(meant, said)["rougeL"].recall for said, meant in some])
        # A text in place of a list of words: NLTK takes its characters.
        found[f"character_bleu_{kind}"] = np.mean([sentence_bleu([meant], said) for said, meant in some])
    return {name: float(value) for name, value in found.items()}


def rounded(value: Any) -> Any:
    """Returns figures with six digits, and nothing that people wrote."""
    if isinstance(value, dict):
        return {key: rounded(one) for key, one in value.items() if key not in ("text", "source")}
    if isinstance(value, list):
        return [rounded(one) for one in value]
    return round(value, 6) if isinstance(value, float) else value


def main(folder: Path) -> None:
    """Measures, and writes all figures."""
    world = read_references(folder)
    references = world[0]
    results = {kind: json.loads((folder / kind / "evaluation.json").read_text("utf-8")) for kind in ("all", "lyrics")}
    files = {row["name"]: folder / row["source"] for row in results["all"]["systems"]}
    rows = {name: read_rows(path) for name, path in files.items()}
    pairs = {name: [(song, said) for song, said, _ in some] for name, some in rows.items()}
    said: dict[str, dict[str, list[str]]] = {name: {} for name in rows}
    for name, some in pairs.items():
        for song, text in some:
            said[name].setdefault(song, []).append(text)
    cut = {
        name: {song: [" ".join(text.split()[:FIRST_WORDS]) for text in texts] for song, texts in some.items()}
        for name, some in said.items()
    }
    quoted: dict[str, Any] = {}
    songs: set[str] = set()
    for length in IN_A_ROW:
        looked = Quotations(references, length)
        found = {name: looked.songs(some) for name, some in pairs.items()}
        if length == min(IN_A_ROW):
            songs = set().union(*found.values())
        quoted[str(length)] = {
            name: {"captions": len(some), "songs": len(set(some)), "from_other_songs": looked.from_others(pairs[name])}
            for name, some in found.items()
        }
        quoted[str(length)]["people"] = {"captions": len(looked.by_people()), "songs": len(set(looked.by_people()))}
    everything = list(references)
    closer = {
        "quoted": quoted,
        "without_quoted_songs": move(said, [song for song in everything if song not in songs], world),
        "first_words": move(cut, everything, world),
        "other_script": {name: other_script(some) for name, some in rows.items()},
    }
    kept = {kind: {key: one[key] for key in one if key not in LEFT_OUT} for kind, one in results.items()}
    OUT.write_text(json.dumps(rounded(kept | {"closer": closer}), indent=1) + "\n", encoding="utf-8")
    print(f"Written: {OUT}, {OUT.stat().st_size:,} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
