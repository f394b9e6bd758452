"""The demo corpus's attributes, the words that state them in a caption, and the way back from caption to attributes."""

import re
from collections.abc import Mapping

import numpy as np

# Attribute -> value -> the two phrases that state it. No phrase of one value occurs inside a caption of another.
PHRASES: dict[str, dict[str, tuple[str, str]]] = {
    "theme": {
        "romance": ("falling in love", "a new romance"),
        "parting": ("a painful breakup", "a lost lover"),
        "road": ("life on the road", "a long journey"),
        "sea": ("the open sea", "a sailor's life"),
        "childhood": ("childhood days", "growing up"),
        "war": ("the horror of war", "a soldier's fate"),
        "city": ("the city at night", "downtown nightlife"),
        "work": ("hard work", "a factory job"),
    },
    "stance": {
        "regretful": ("regretful", "remorseful"),
        "defiant": ("defiant", "rebellious"),
        "grateful": ("grateful", "thankful"),
    },
    "tempo": {
        "slow": ("slow", "unhurried"),
        "moderate": ("moderate", "steady"),
        "fast": ("fast", "brisk"),
    },
    "mode": {
        "major": ("in a major key", "with major chords"),
        "minor": ("in a minor key", "with minor chords"),
    },
    "timbre": {
        "organ": ("an organ", "a pipe organ"),
        "guitar": ("a guitar", "a plucked guitar"),
        "flute": ("a flute", "a breathy flute"),
        "trumpet": ("a trumpet", "a brassy trumpet"),
        "bells": ("bells", "ringing bells"),
    },
    "drums": {
        "with": ("over drums", "with a drum beat"),
        "without": ("without drums", "without percussion"),
    },
    "mood": {
        "joyful": ("joyful", "happy"),
        "tender": ("tender", "gentle"),
        "wistful": ("wistful", "nostalgic"),
        "sombre": ("sombre", "mournful"),
        "hopeful": ("hopeful", "optimistic"),
        "restless": ("restless", "uneasy"),
    },
}

# Attribute -> its values, in the order every table prints them.
ATTRIBUTES: dict[str, tuple[str, ...]] = {attribute: tuple(values) for attribute, values in PHRASES.items()}

# One pair of templates per sentence: theme and stance, sound, mood. `a_` marks a phrase that brings its article along.
SENTENCES: tuple[tuple[str, str], ...] = (
    ("{A_stance} narrator sings of {theme}.", "This song about {theme} is {stance} in spirit."),
    (
        "It is {a_tempo} piece {mode}, led by {timbre} {drums}.",
        "{A_tempo} arrangement {mode} has {timbre} in the lead, {drums}.",
    ),
    ("The mood is {mood}.", "Overall it feels {mood}."),
)


def with_article(phrase: str) -> str:
    """Returns a phrase behind "a" or "an"; right for the lexicon's words, which sound as they are spelt."""
    return f"{'an' if phrase[0] in 'aeiou' else 'a'} {phrase}"


def write_caption(attributes: Mapping[str, str], rng: np.random.Generator) -> str:
    """Returns a caption of three sentences that states all seven attributes, in phrases and templates by chance."""
    words = {attribute: PHRASES[attribute][attributes[attribute]][rng.integers(2)] for attribute in PHRASES}
    for attribute in ("stance", "tempo"):
        words[f"a_{attribute}"] = with_article(words[attribute])
        words[f"A_{attribute}"] = words[f"a_{attribute}"].capitalize()
    return " ".join(templates[rng.integers(2)].format(**words) for templates in SENTENCES)


def read_attributes(caption: str) -> dict[str, str | None]:
    """Returns what any text states of each attribute, None for none or several; case and spacing do not matter."""
    text = " ".join(caption.lower().replace("’", "'").split())
    return {attribute: _only_value(attribute, text) for attribute in ATTRIBUTES}


def _only_value(attribute: str, text: str) -> str | None:
    stated = [value for value, pattern in _PATTERNS[attribute].items() if pattern.search(text)]
    return stated[0] if len(stated) == 1 else None


def _pattern(phrases: tuple[str, str]) -> re.Pattern[str]:
    """Returns a pattern that finds either phrase as whole words, with or without its article."""
    bare = (re.escape(re.sub(r"^(a|an|the) ", "", phrase)) for phrase in phrases)
    return re.compile(rf"(?<!\w)(?:{'|'.join(bare)})(?!\w)")


_PATTERNS = {
    attribute: {value: _pattern(phrases) for value, phrases in values.items()} for attribute, values in PHRASES.items()
}
