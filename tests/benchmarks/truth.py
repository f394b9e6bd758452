"""How often what captions state of real songs is right, judged by labels that people made.

    python tests/benchmarks/truth.py FOLDER [--facts FACTS.csv] [--model MODEL] [--limit N]
    python tests/benchmarks/truth.py --facts FACTS.csv

FOLDER is a clone of JamendoLyrics: its table gives the language and the genre. FACTS.csv has further labels, or songs
of its own; `examples/truth/README.md` has its columns. Beside the model stand `--model demo` and a caption that always
says the commonest label. The last line is JSON.
"""

import argparse
import csv
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from recap_cli import Captioner, RecapError
from recap_cli.cli.console import stdout_console
from recap_cli.demo.lexicon import read_attributes
from recap_cli.facts.facts import LANGUAGES
from recap_cli.facts.lexicon import read_facts
from recap_cli.progress import Table
from recap_cli.report.drawing import draw
from recap_cli.scoring.bootstrap import bootstrap_ratio

FACTS = ("voice", "genre", "instruments", "feel", "language", "themes")
JUDGED_NONE = "-"  # of a fact that is judged, and of which nothing would be right
COMMONEST = "always the commonest label"
# A genre of JamendoLyrics: what of ours is the same, and what a listener might call it as well. Nothing of ours is
# reggae, so whatever is stated of it is wrong.
GENRES = {
    "Pop": (("pop",), ("rock", "electronic", "soul", "folk")),
    "Rock": (("rock",), ("metal", "punk", "pop", "blues")),
    "Indie": (("rock", "pop"), ("folk", "punk", "electronic")),
    "Metal": (("metal",), ("rock", "punk")),
    "Electronic": (("electronic",), ("ambient", "pop")),
    "Hip-Hop": (("hip-hop",), ("soul",)),
    "RNB": (("soul",), ("pop", "hip-hop")),
    "Reggae": ((), ()),
    "Blues": (("blues",), ("rock", "soul")),
    "Jazz": (("jazz",), ("soul", "blues")),
    "Folk": (("folk",), ("country",)),
    "Country": (("country",), ("folk",)),
}
# What captions of the demo model state, in our names; they say nothing of voice, genre or language.
DEMO_THEMES = {
    **{"romance": "being in love", "parting": "lost love", "road": "freedom and travel", "sea": "nature and seasons"},
    **{"childhood": "memories and growing up", "war": "war and violence", "city": "city and night life"},
    "work": "work and daily life",
}

Stated = dict[str, tuple[str, ...]]  # fact -> its values, surest first


@dataclass
class Song:
    """A song and which values of each fact are right; a fact that nobody judged is missing."""

    audio: Path
    lyrics: Path | None
    right: dict[str, tuple[str, ...]] = field(default_factory=dict)
    plausible: tuple[str, ...] = ()  # further genres


@dataclass(frozen=True)
class Row:
    """A line of the table: a fact, and what counts of it."""

    name: str
    fact: str
    # the values that a caption states, and a song -> how many are right, and of how many
    count: Callable[[tuple[str, ...], Song], tuple[int, int]]


# songs and labels -----------------------------------------------------------------------------------------------------


def read_jamendo(folder: Path) -> list[Song]:
    """Returns the songs of a clone of JamendoLyrics that have their audio; a FileNotFoundError without its table."""
    codes = {name: code for code, name in LANGUAGES.items()}
    songs = []
    with (folder / "JamendoLyrics.csv").open(encoding="utf-8-sig", newline="") as file:
        for row in csv.DictReader(file):
            audio = folder / "mp3" / row["Filepath"]
            lyrics = folder / "lyrics" / f"{Path(row['Filepath']).stem}.txt"
            same, plausible = GENRES.get(row["Genre"], ((), ()))
            right = {"genre": same, "language": (codes[row["Language"]],)} if row["Genre"] in GENRES else {}
            if audio.is_file():
                songs.append(Song(audio, lyrics if lyrics.is_file() else None, right, plausible))
    return songs


def add_labels(songs: list[Song], table: Path) -> list[Song]:
    """Returns the songs with the labels of a table; rows of files that are not among them are further songs."""
    known = {song.audio.name: song for song in songs}
    with table.open(encoding="utf-8-sig", newline="") as file:
        for row in csv.DictReader(file):
            song = known.get(Path(row["audio"]).name)
            if song is None:
                lyrics = row.get("lyrics")
                song = Song(table.parent / row["audio"], table.parent / lyrics if lyrics else None)
                known[song.audio.name] = song
            song.right |= {fact: read_label(row[fact]) for fact in FACTS if (row.get(fact) or "").strip()}
    return list(known.values())


def read_label(text: str) -> tuple[str, ...]:
    """Returns the values of a cell such as `rock|metal`; none for `-`."""
    values = tuple(value.strip() for value in text.split("|"))
    return () if values == (JUDGED_NONE,) else values


# what is stated -------------------------------------------------------------------------------------------------------


def read_stated(caption: str, is_demo: bool = False) -> Stated:
    """Returns what a caption states, fact by fact."""
    if is_demo:
        return read_demo(caption)
    facts = read_facts(caption).to_json()
    return {fact: tuple(value) if isinstance(value, list) else (str(value),) for fact, value in facts.items() if value}


def read_demo(caption: str) -> Stated:
    """Returns what a caption of the demo model states in our names: an instrument, drums, a theme, and how it feels."""
    said = read_attributes(caption)
    instruments = [said["timbre"]] if said["timbre"] else []
    instruments += ["drums"] if said["drums"] == "with" else []
    feel = "gentle" if said["mood"] == "tender" else "lively" if said["tempo"] == "fast" else ""
    found = {"instruments": tuple(instruments), "feel": (feel,) if feel else ()}
    found["themes"] = (DEMO_THEMES[said["theme"]],) if said["theme"] else ()
    return {fact: tuple(map(str, values)) for fact, values in found.items() if values}


def caption_all(songs: Sequence[Song], model: str | None) -> tuple[str, list[Stated]]:
    """Returns the model's name and what its captions state; a song that it refuses states nothing."""
    captioner = Captioner.from_pretrained(model)
    stated = []
    for song in songs:
        try:
            caption = captioner.caption(song.audio, song.lyrics).caption
        except RecapError as error:
            caption = ""
            print(f"{song.audio.name}: {error.message}", file=sys.stderr)
        else:
            print(f"{song.audio.name}: {caption}", file=sys.stderr)
        stated.append(read_stated(caption, captioner.name == "demo"))
    return captioner.name, stated


def commonest(songs: Sequence[Song]) -> list[Stated]:
    """Returns the label of each fact that most songs have, as if every caption stated it."""
    counts = {fact: Counter(value for song in songs for value in song.right.get(fact, ())) for fact in FACTS}
    return [{fact: (count.most_common(1)[0][0],) for fact, count in counts.items() if count}] * len(songs)


# figures --------------------------------------------------------------------------------------------------------------


def each(fact: str) -> Callable[[tuple[str, ...], Song], tuple[int, int]]:
    """Counts every stated value."""
    return lambda values, song: (sum(value in song.right[fact] for value in values), len(values))


def count_voice(values: tuple[str, ...], song: Song) -> tuple[int, int]:
    """Counts a voice; `sung` is right whoever sings."""
    right = song.right["voice"]
    return int(values[0] in right or (values[0] == "sung" and bool(set(right) & {"woman", "man"}))), 1


def count_sung(values: tuple[str, ...], song: Song) -> tuple[int, int]:
    """Counts whether there is singing at all."""
    return int((values[0] == "none") in {right == "none" for right in song.right["voice"]}), 1


def count_plausible(values: tuple[str, ...], song: Song) -> tuple[int, int]:
    """Counts a genre that is the label's, or that a listener might say."""
    return int(values[0] in (*song.right["genre"], *song.plausible)), 1


def count_any_theme(values: tuple[str, ...], song: Song) -> tuple[int, int]:
    """Counts themes as right where one of them is."""
    return int(bool(set(values) & set(song.right["themes"]))), 1


ROWS = (
    Row("sung or not", "voice", count_sung),
    Row("by a woman or a man", "voice", count_voice),
    Row("genre", "genre", each("genre")),
    Row("genre, or a plausible one", "genre", count_plausible),
    Row("instruments", "instruments", each("instruments")),
    Row("feel", "feel", each("feel")),
    Row("language", "language", each("language")),
    Row("themes, each", "themes", each("themes")),
    Row("themes, one of them", "themes", count_any_theme),
)


def score(songs: Sequence[Song], stated: Sequence[Stated]) -> dict[str, dict[str, float | int | None]]:
    """Returns for each row `right` of what was stated with its interval, the share of songs `stated`, and `songs`."""
    found: dict[str, dict[str, float | int | None]] = {}
    for row in ROWS:
        judged = [
            (song, says.get(row.fact, ())) for song, says in zip(songs, stated, strict=True) if row.fact in song.right
        ]
        counts = np.array([row.count(values, song) for song, values in judged if values], dtype=float)
        if not judged:
            continue
        figures: dict[str, float | int | None] = {"right": None, "low": None, "high": None}
        if len(counts):
            interval = bootstrap_ratio(counts[:, 0], counts[:, 1])
            figures = {"right": interval.mean, "low": interval.low, "high": interval.high}
        rounded = {name: None if value is None else round(value, 3) for name, value in figures.items()}
        found[row.name] = {**rounded, "stated": round(len(counts) / len(judged), 3), "songs": len(judged)}
    return found


def table(name: str, found: Mapping[str, Mapping[str, float | int | None]]) -> Table:
    """Returns the table of a model, in percent."""
    rows = []
    for row, figures in found.items():
        right, low, high = (figures[key] for key in ("right", "low", "high"))
        told = "states nothing comparable"
        if right is not None and low is not None and high is not None:
            told = f"{100 * right:.0f} [{100 * low:.0f}, {100 * high:.0f}]"
        rows.append([row, told, f"{100 * (figures['stated'] or 0):.0f}", str(figures["songs"])])
    return Table(name, ["fact", "% right of what is stated", "% of songs stated", "songs judged"], rows)


def systems(songs: Sequence[Song], models: Iterable[str | None]) -> Iterator[tuple[str, list[Stated]]]:
    """Yields the name of each system and what it states of each song."""
    for model in models:
        yield caption_all(songs, model)
    yield COMMONEST, commonest(songs)


def main() -> None:
    """Captions, scores and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", help="a clone of JamendoLyrics")
    parser.add_argument("--facts", type=Path, help="a table of labels")
    parser.add_argument("--model", help="as of recap caption; the embedded model where it is left out")
    parser.add_argument("--limit", type=int, help="the first N songs only")
    arguments = parser.parse_args()
    if arguments.folder is None and arguments.facts is None:
        parser.error("name a clone of JamendoLyrics, a table of labels with --facts, or both")
    songs = read_jamendo(arguments.folder) if arguments.folder else []
    songs = (add_labels(songs, arguments.facts) if arguments.facts else songs)[: arguments.limit]
    if not songs:
        parser.error("no songs: the clone must hold its audio in mp3/")
    figures = {}
    for name, stated in systems(songs, dict.fromkeys((arguments.model, "demo"))):
        figures[name] = score(songs, stated)
        stdout_console().print(draw(table(name, figures[name])))
    print(json.dumps({"songs": len(songs), "systems": figures}))


if __name__ == "__main__":
    main()
