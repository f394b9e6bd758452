"""Captions made from a song's tags by templates, for songs that nobody described: one to three sentences."""

import random
from collections.abc import Mapping

from recap_cli.corpus.mel_cache import fingerprint
from recap_cli.corpus.song import Caption

MOST = 3  # genres, instruments or moods that a sentence names
# Tags that are written together, as MTG-Jamendo has them.
SPELLED = {
    "acousticguitar": "acoustic guitar", "bassguitar": "bass guitar", "classicalguitar": "classical guitar",
    "darkambient": "dark ambient", "deephouse": "deep house", "doublebass": "double bass",
    "drumnbass": "drum and bass", "drummachine": "drum machine", "easylistening": "easy listening",
    "electricguitar": "electric guitar", "electricpiano": "electric piano", "frenchhorn": "French horn",
    "hardrock": "hard rock", "heavymetal": "heavy metal", "hiphop": "hip hop", "indiepop": "indie pop",
    "newage": "new age", "newwave": "new wave", "popfolk": "folk pop", "poprock": "pop rock",
    "postrock": "post-rock", "punkrock": "punk rock", "rnb": "R&B", "triphop": "trip hop",
}  # fmt: skip
# Instruments that are no one thing: without an article.
UNCOUNTED = frozenset(("bass", "brass", "percussion", "synth"))
VOICES = frozenset(("voice", "vocals", "singing"))
AN = frozenset("aeiou")
SOUNDED = {"R&B": "an", "EDM": "an", "ukulele": "a", "euphonium": "a", "eurodance": "a", "unison": "a", "hour": "an"}
KINDS = {"genre": "genre", "style": "genre", "instrument": "instrument", "instruments": "instrument",
         "mood": "mood", "mood/theme": "mood", "moods": "mood"}  # fmt: skip
# What may be said of a mood; other themes (film, advertising) say what the music is used for.
USES = frozenset((
    "advertising", "background", "children", "christmas", "commercial", "corporate", "documentary", "drama", "film",
    "game", "holiday", "movie", "nature", "party", "space", "sport", "summer", "trailer", "travel", "love", "action",
    "adventure", "ballad", "dream", "melody",
))  # fmt: skip


def caption_of_tags(tags: Mapping[str, str], seed: int, song: str) -> Caption | None:
    """Returns a caption that says what the tags say, marked as made; None where they name nothing that it knows.

    Known are genres, instruments and moods, several of one kind with commas between. The seed and the song's id
    choose among the wordings.
    """
    drawn = random.Random(fingerprint([seed, song]))
    said: dict[str, list[str]] = {}
    for name, value in tags.items():
        if kind := KINDS.get(name.strip().lower()):
            words = [SPELLED.get(one, one) for part in value.split(",") if (one := part.strip())]
            said.setdefault(kind, []).extend(word for word in words if word not in said.get(kind, ()))
    uses = [word for word in said.get("mood", ()) if word in USES]
    moods = [word for word in said.get("mood", ()) if word not in USES][:MOST]
    genres, instruments = said.get("genre", [])[:MOST], said.get("instrument", [])[:MOST]
    sentences = [*_first(genres, moods, drawn), *_played(instruments, drawn)]
    if uses and len(sentences) < 3:
        sentences.append(drawn.choice(("It would suit {}.", "It could go with {}.")).format(listed(uses[:MOST], "or")))
    return Caption(" ".join(sentences), made=True) if sentences else None


def _first(genres: list[str], moods: list[str], drawn: random.Random) -> list[str]:
    """Returns the sentences on genre and mood, at most one together."""
    if genres:
        noun = drawn.choice(("song", "track", "piece"))
        kind = f"{listed(moods)} {listed(genres)} {noun}".strip()
        return [drawn.choice((f"This is {with_article(kind)}.", f"{sentence(with_article(kind))}."))]
    if moods:
        return [drawn.choice((f"The music is {listed(moods)}.", f"The mood is {listed(moods)}."))]
    return []


def _played(instruments: list[str], drawn: random.Random) -> list[str]:
    """Returns the sentence on instruments: singular or plural as they are."""
    played = [word for word in instruments if word not in VOICES]
    found = []
    if played:
        verb = "are" if len(played) > 1 or is_plural(played[0]) else "is"
        heard = listed([word if is_uncounted(word) else with_article(word) for word in played])
        found.append(drawn.choice((f"It features {heard}.", f"One hears {heard}.", f"There {verb} {heard} in it.")))
    if len(played) < len(instruments):
        found.append(drawn.choice(("Somebody sings.", "There is singing in it.")))
    return found


def is_plural(word: str) -> bool:
    """Whether a noun stands for several things, such as strings."""
    return word.endswith("s") and not word.endswith(("ss", "bass", "us"))


def is_uncounted(word: str) -> bool:
    """Whether a noun takes no article."""
    return word in UNCOUNTED or is_plural(word)


def with_article(words: str) -> str:
    """Returns words with a or an before them, by how the first sounds."""
    first = words.split(" ")[0].rstrip(",")
    return f"{SOUNDED.get(first) or ('an' if first[:1].lower() in AN else 'a')} {words}"


def sentence(words: str) -> str:
    """Returns words with a capital first letter; the others stay, as in R&B."""
    return words[:1].upper() + words[1:]


def listed(words: list[str], joint: str = "and") -> str:
    """Returns words in a row: a, b and c."""
    return f" {joint} ".join((", ".join(words[:-1]), words[-1])) if len(words) > 1 else "".join(words)
