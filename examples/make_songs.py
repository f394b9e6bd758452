"""Render the three example songs: public-domain tunes on the demo corpus's instruments, with words of our own.

Run it from anywhere: `python examples/make_songs.py [FOLDER]`; without a folder it writes to `examples/songs`.
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import soundfile

from recap_cli.demo.attributes import MOODS
from recap_cli.demo.music import DEMO_SAMPLE_RATE, Score, render, triad


@dataclass(frozen=True)
class Example:
    """One example song: its attributes, its tune and its words.

    `melody` is written as note:beats in semitones above the tonic ("-" is a rest), `chords` as degree:beats.
    """

    name: str
    title: str
    theme: str
    stance: str
    tempo: str
    mode: str
    timbre: str
    drums: str
    tonic: int
    bpm: float
    melody: str
    chords: str
    lyrics: str

    def attributes(self) -> dict[str, str]:
        """Give the seven attributes a right caption states."""
        names = ("theme", "stance", "tempo", "mode", "timbre", "drums")
        return {**{name: getattr(self, name) for name in names}, "mood": MOODS[self.theme][self.mode]}

    def score(self) -> Score:
        """Turn the written tune into what the synthesiser plays."""
        notes = (item.split(":") for item in self.melody.split())
        chords = (item.split(":") for item in self.chords.split())
        return Score(
            lead=tuple((None if note == "-" else self.tonic + int(note), float(beats)) for note, beats in notes),
            chords=tuple((triad(self.tonic, self.mode, int(degree)), float(beats)) for degree, beats in chords),
            tempo=self.bpm,
            timbre=self.timbre,
            drums=self.drums == "with",
        )


EXAMPLES = (
    Example(
        name="ode-to-joy",
        title="Until Payday",
        theme="work",
        stance="defiant",
        tempo="fast",
        mode="major",
        timbre="trumpet",
        drums="with",
        tonic=72,
        bpm=150,
        melody="4:1 4:1 5:1 7:1 7:1 5:1 4:1 2:1 0:1 0:1 2:1 4:1 4:1.5 2:.5 2:2 "
        "4:1 4:1 5:1 7:1 7:1 5:1 4:1 2:1 0:1 0:1 2:1 4:1 2:1.5 0:.5 0:2",
        chords="0:4 0:2 4:2 0:4 0:2 4:2 0:4 0:2 4:2 0:4 4:2 0:2",
        lyrics="""\
before the sun is up I face the furnace door
the foreman sends us down to the steel mill again
they can break the time clock, I will never bow my head
my hands are sore and my back is gone
forty years of pennies on the assembly line
but they cannot make me beg, whatever they say
the heavy hammer falls on the night shift
my father's toolbox was all he had until payday
I refuse to kneel in front of the machine
the coal face is dark and the loading dock is cold
do not ask me to follow the foreman's rules
I would rather fall than back down, no matter the price""",
    ),
    Example(
        name="scarborough-fair",
        title="Off the Northern Coast",
        theme="sea",
        stance="regretful",
        tempo="moderate",
        mode="minor",
        timbre="flute",
        drums="without",
        tonic=74,
        bpm=105,
        melody="0:2 0:1 7:2 7:1 2:1.5 3:.5 2:1 0:3 -:1 7:1 10:1 12:2 10:1 7:1 9:1 5:1 7:3",
        chords="0:3 4:3 4:3 0:3 0:3 0:3 4:3 4:3",
        lyrics="""\
the captain points my ship to the northern stars
three weeks from shore and the waves never sleep
I wish I had stayed with you in the harbour
the tide was rising and the sail was torn
I should have turned around before the storm
a lone gull climbs above the mast
the salt spray is cold off the far island
I am sorry I never told you the truth
we sailed beyond the reef with the anchor chain gone
the whales swim by and the harbour light is gone
if only I had kept my word to you, my darling
forgive me, the waves carried me too far""",
    ),
    Example(
        name="auld-lang-syne",
        title="All Summer Long",
        theme="childhood",
        stance="grateful",
        tempo="slow",
        mode="major",
        timbre="organ",
        drums="without",
        tonic=76,
        bpm=70,
        melody="-5:1 0:1.5 0:.5 0:1 4:1 2:1.5 0:.5 2:1 4:1 0:1.5 0:.5 4:1 7:1 9:3",
        chords="0:1 0:4 4:4 0:4 3:3",
        lyrics="""\
when we were kids we had all summer long
my brother and I shared a bicycle and a kite
I was seven years old with scraped knees after school
thank you for the years in the treehouse, with all my heart
grandma smiled at the kitchen door until supper time
we run back to the creek at the end of the lane
bless you for your patient hand on the old swing
a jar of fireflies and the moon above our house
I still know every fence on Sunday mornings
I count my blessings for the lessons of the schoolyard
my mother's bread was all we had, and I am so glad of it
I owe you everything for those days, as long as I live""",
    ),
)


def write_songs(folder: Path) -> None:
    """Write audio (Ogg Vorbis, 16 kHz mono) and lyrics of every example, and the attributes of all."""
    folder.mkdir(parents=True, exist_ok=True)
    for example in EXAMPLES:
        samples = render(example.score())
        soundfile.write(folder / f"{example.name}.ogg", samples, DEMO_SAMPLE_RATE, format="OGG", subtype="VORBIS")
        (folder / f"{example.name}.txt").write_text(example.lyrics + "\n", encoding="utf-8")
    table = {example.name: {"title": example.title, **example.attributes()} for example in EXAMPLES}
    (folder / "attributes.json").write_text(json.dumps(table, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write_songs(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "songs")
