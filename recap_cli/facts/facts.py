"""Facts of a song that are worth stating, and the values that each may have."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

DATA = Path(__file__).parents[1] / "data" / "facts"
# Our 23 themes, each with sentences that describe it.
THEMES: dict[str, list[str]] = json.loads((DATA / "themes.json").read_text(encoding="utf-8"))
VOICES = ("none", "woman", "man", "sung")  # `sung`: by whom is not sure
GENRES = (
    *("rock", "metal", "punk", "pop", "electronic", "ambient", "hip-hop", "jazz", "blues", "soul", "folk", "country"),
    "classical",
)
INSTRUMENTS = (
    *("guitar", "piano", "drums", "synthesizers", "strings", "violin", "cello", "flute", "harp", "harpsichord"),
    *("sitar", "choir"),
)
FEELS = ("gentle", "lively", "loud")
LANGUAGES = {
    **{"en": "English", "es": "Spanish", "fr": "French", "de": "German", "it": "Italian", "pt": "Portuguese"},
    **{"nl": "Dutch", "sv": "Swedish", "da": "Danish", "no": "Norwegian", "fi": "Finnish", "pl": "Polish"},
    **{"cs": "Czech", "hu": "Hungarian", "ro": "Romanian", "tr": "Turkish", "id": "Indonesian", "ca": "Catalan"},
    **{"zh": "Chinese", "ja": "Japanese", "ko": "Korean", "ru": "Russian", "uk": "Ukrainian", "el": "Greek"},
    **{"ar": "Arabic", "he": "Hebrew", "hi": "Hindi", "th": "Thai"},
}
READ_LANGUAGE = "en"  # the one whose words are understood: themes are stated for no other
MOST = 2  # instruments, and themes


@dataclass(frozen=True)
class Facts:
    """What is known of a song; None and empty where nothing is sure. A ValueError for a value that is none of ours."""

    voice: str | None = None  # of VOICES
    genre: str | None = None  # of GENRES
    instruments: tuple[str, ...] = ()  # at most two of INSTRUMENTS, surest first
    feel: str | None = None  # of FEELS
    language: str | None = None  # of the words: an ISO 639-1 code of LANGUAGES
    themes: tuple[str, ...] = ()  # at most two of THEMES, surest first

    def __post_init__(self) -> None:
        single = ((self.voice, VOICES), (self.genre, GENRES), (self.feel, FEELS), (self.language, LANGUAGES))
        for value, values in single:
            if value is not None and value not in values:
                raise ValueError(f"no such fact: {value}")
        for several, names in ((self.instruments, INSTRUMENTS), (self.themes, THEMES)):
            _check(several, names)

    def to_json(self) -> dict[str, object]:
        """Returns the object `facts` of `recap caption --json`."""
        return {
            "voice": self.voice,
            "genre": self.genre,
            "instruments": list(self.instruments),
            "feel": self.feel,
            "language": self.language,
            "themes": list(self.themes),
        }


@dataclass(frozen=True)
class Guess:
    """A teacher's best guess at one fact, and whether it is sure enough to be stated."""

    best: str
    confidence: float  # from 0 to 1
    sure: bool

    @property
    def value(self) -> str | None:
        """The guess where it is sure."""
        return self.best if self.sure else None


def _check(several: tuple[str, ...], names: Iterable[str]) -> None:
    if len(set(several)) < len(several) or len(several) > MOST or not set(several) <= set(names):
        raise ValueError(f"not at most {MOST} different names: {', '.join(several)}")
