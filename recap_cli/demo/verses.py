"""The demo corpus's lyrics: lines made of templates and fillers, half of which training never uses."""

from collections import Counter
from functools import cache
from typing import NamedTuple
from zlib import crc32

import numpy as np

from recap_cli.demo.lexicon import ATTRIBUTES


class Verse(NamedTuple):
    """A family of lines: every opening with every thing and every ending."""

    openings: tuple[str, ...]
    things: tuple[str, ...]
    endings: tuple[str, ...]


def _verse(openings: str, things: str, endings: str) -> Verse:
    """Returns a family of lines from lists separated by bars."""
    return Verse(*(tuple(part.strip() for part in text.split("|")) for text in (openings, things, endings)))


# Theme, stance or "generic" -> its lines. "_" in an opening is the place of the thing; the ending comes last.
VERSES = {
    "romance": _verse(
        "I dream of _|darling, I want _|my heart leaps at _|I am falling for _|I blush when I think of _",
        "your shy smile|your red dress|the first kiss|your hand in mine|the rose you gave me|your sweet perfume"
        "|the way you look at me|the ring in my pocket",
        "under the lamplight|by the garden gate|in the month of May|at the summer dance|on the balcony"
        "|beneath the cherry trees",
    ),
    "parting": _verse(
        "I cry over _|I am alone with _|you left me _|I cannot bear _|nothing remains but _",
        "the empty chair|your side of the bed|the photograph you tore|the coat you forgot|the letter you never sent"
        "|your last goodbye|the ring you returned|the silence between us",
        "in the hallway|since you packed your bags|now that you are gone|on the kitchen floor"
        "|in our old apartment|after the door closed",
    ),
    "road": _verse(
        "give me _|I left home for _|another day with _|all I know is _|I have driven through the dust with _",
        "the empty highway|the next exit|my rusty truck|the gas station coffee|the long white line|a borrowed map"
        "|the desert motel|my worn suitcase",
        "mile after mile|across the state line|in the rear-view mirror|on the way to nowhere|beyond the last town"
        "|with my thumb in the wind",
    ),
    "sea": _verse(
        "the waves carried _|we sailed with _|from the deck I see _|the captain points to _|my ship is bound for _",
        "the rising tide|the harbour light|a torn sail|the anchor chain|a lone gull|the salt spray|the tall mast"
        "|the far island",
        "beyond the reef|before the storm|off the northern coast|under the southern stars|three weeks from shore"
        "|where the whales swim",
    ),
    "childhood": _verse(
        "I was seven years old with _|when we were kids we had _|my brother and I shared _|I still run back to _"
        "|grandma smiled at _",
        "the old swing|my mother's kitchen|the treehouse|a jar of fireflies|my first bicycle|the schoolyard fence"
        "|a paper kite|the creek behind our house",
        "after school|all summer long|until supper time|at the end of our lane|with scraped knees|on Sunday mornings",
    ),
    "war": _verse(
        "in my uniform I faced _|the enemy burned _|boys like us died for _|no medal can hide _|we marched towards _",
        "the cold trench|the general's order|the ruined village|the torn flag|a fallen friend|the barbed wire"
        "|the last bullet|the broken bridge",
        "at the front line|before the battle|behind the tanks|through the smoke|when the guns fell silent"
        "|under the bombs",
    ),
    "city": _verse(
        "meet me by _|we are dancing past _|strangers kiss near _|the skyline leans over _|the lights burn above _",
        "the neon sign|the last subway train|the crowded bar|the taxi rank|the rooftop party|the midnight diner"
        "|the corner shop|the wet pavement",
        "on Fifth Avenue|at two in the morning|until the bars close|between the towers|on a Friday night"
        "|where nobody sleeps",
    ),
    "work": _verse(
        "my hands are sore from _|I punch in and face _|they pay me pennies for _|I gave my back to _"
        "|the foreman sends me to _",
        "the assembly line|the heavy hammer|the time clock|my father's toolbox|the coal face|the loading dock"
        "|the furnace door|the greasy machine",
        "before the sun is up|on the night shift|for forty years|at the steel mill|until payday|with calloused hands",
    ),
    "regretful": _verse(
        "I wish I had _|I should have _|I am sorry I never _|if only I had _|forgive me, I could have _",
        "kept my word|told you the truth|stayed another day|listened to you|held my tongue|turned around"
        "|asked you why|opened the door",
        "back then|when it mattered|before it was too late|while there was time|just once|as I promised",
    ),
    "defiant": _verse(
        "I will never _|they cannot make me _|do not ask me to _|I refuse to _|I would rather fall than _",
        "kneel|give in|back down|bow my head|hold my tongue|beg for mercy|turn around|follow your rules",
        "for anyone|whatever they say|no matter the price|while I can stand|in front of them|to please you",
    ),
    "grateful": _verse(
        "thank you for _|I count my blessings for _|I am so glad of _|bless you for _|I owe you everything for _",
        "the bread we shared|your patient hand|every single day|the second chance|your open door"
        "|the lessons you taught me|the years we had|your faith in me",
        "when I had nothing|after all this time|through thick and thin|with all my heart|as long as I live"
        "|when I was down",
    ),
    "generic": _verse(
        "the world keeps turning _|I close my eyes _|the days go by _|nobody says a word _|I look out of the window _",
        "and the sky is grey|and the rain comes down|and the stars come out|and the wind is cold"
        "|and the clouds roll by|and the moon climbs high",
        "again and again|like it always does|once more|tonight|and I wonder why|over the rooftops",
    ),
}

# Shares of a song's lines by difficulty, rounded down; its own theme fills the rest.
GENERIC_SHARE = {"easy": 0.18, "hard": 0.30}
WRONG_THEME_SHARE = {"easy": 0.13, "hard": 0.20}
STANCE_SHARE = 0.25
RESERVED_SHARE = 0.45
LINES = (8, 16)

_FIRST_NAMES = ("Ada", "Bruno", "Clara", "Dov", "Edda", "Finn", "Greta", "Hugo", "Iris", "Jonas", "Kaia", "Leo")
_BANDS = ("Lanterns", "Sparrows", "Paper Boats", "Tall Pines", "Night Owls", "Foxes", "Kites", "Weavers")


def is_reserved(line: str) -> bool:
    """Whether training never uses a line; true of half of them, by a hash of the words."""
    return crc32(line.encode()) % 2 == 1


@cache
def lines_by_opening(family: str, reserved: bool) -> tuple[tuple[str, ...], ...]:
    """Returns the lines of a family in a fixed order, one tuple for each opening."""
    verse = VERSES[family]
    groups = (
        (f"{opening.replace('_', thing)} {ending}" for thing in verse.things for ending in verse.endings)
        for opening in verse.openings
    )
    return tuple(tuple(line for line in group if is_reserved(line) == reserved) for group in groups)


def draw_lyrics(theme: str, stance: str, rng: np.random.Generator, difficulty: str, training: bool) -> str:
    """Returns the lyrics of one song: 8 to 16 different lines, most of them on the theme, at least two in the stance.

    Args:
        theme: a key of `VERSES`, and so is the stance.
        stance: the narrator's.
        rng: a stream of the lyrics' own.
        difficulty: "easy" or "hard"; hard has more generic lines and more lines on other themes.
        training: True keeps to the lines free for training; False draws about `RESERVED_SHARE` from the others.
    """
    lines: list[str] = []
    used: Counter[tuple[str, int]] = Counter()
    for family in _plan(theme, stance, rng, difficulty):
        reserved = not training and bool(rng.random() < RESERVED_SHARE)
        # Every opening once before any of them again, as a writer would.
        opening = _least_used(family, used, rng)
        used[family, opening] += 1
        fresh = [line for line in lines_by_opening(family, reserved)[opening] if line not in lines]
        lines.append(fresh[rng.integers(len(fresh))])
    return "\n".join(lines)


def _least_used(family: str, used: Counter[tuple[str, int]], rng: np.random.Generator) -> int:
    """Chooses among the family's openings that the song has used least so far."""
    counts = [used[family, opening] for opening in range(len(VERSES[family].openings))]
    rarest = [opening for opening, count in enumerate(counts) if count == min(counts)]
    return rarest[rng.integers(len(rarest))]


def _plan(theme: str, stance: str, rng: np.random.Generator, difficulty: str) -> list[str]:
    """Returns the family of every line of a song, in a random order."""
    count = int(rng.integers(LINES[0], LINES[1] + 1))
    others = [other for other in ATTRIBUTES["theme"] if other != theme]
    strays = int(count * WRONG_THEME_SHARE[difficulty])
    plan = [others[rng.integers(len(others))] for _ in range(strays)]
    plan += ["generic"] * int(count * GENERIC_SHARE[difficulty])
    plan += [stance] * int(count * STANCE_SHARE)
    plan += [theme] * (count - len(plan))
    return [plan[place] for place in rng.permutation(count)]


def draw_title(theme: str, rng: np.random.Generator) -> str:
    """Returns a title from one of the theme's things, such as "The Harbour Light"."""
    things = VERSES[theme].things
    return " ".join(word[0].upper() + word[1:] for word in things[rng.integers(len(things))].split())


def draw_artist(rng: np.random.Generator) -> str:
    """Returns a made-up artist, such as "Clara and the Lanterns"."""
    return f"{_FIRST_NAMES[rng.integers(len(_FIRST_NAMES))]} and the {_BANDS[rng.integers(len(_BANDS))]}"
