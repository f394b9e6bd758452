"""What comes out for a song: its captions, how they were made, and what their facts rest on."""

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from recap_cli import __version__
from recap_cli.captioning.explain import Explanation
from recap_cli.facts.facts import Facts, Guess
from recap_cli.facts.known import KnownFacts, join_facts
from recap_cli.facts.language import find_language
from recap_cli.facts.lexicon import read_facts
from recap_cli.facts.music import find_music_facts
from recap_cli.facts.themes import guess_themes, load_theme_teacher
from recap_cli.model.config import RecapConfig
from recap_cli.records import SCHEMA

UNTOLD = ("seconds", "lyrics_from", "title", "explanation", "rests_on")  # times differ from run to run
SINGERS = ("woman", "man", "sung")  # whoever sings, a caption that says `sung` is right


@dataclass(frozen=True)
class FactsOfSong:
    """What a caption states of a song, beside what the teachers make of the same music and lyrics."""

    stated: Facts  # read from the caption
    known: KnownFacts  # by the teachers
    windows: int = 0  # of 3 s that the music teacher heard

    def confidence(self) -> dict[str, float | list[float | None] | None]:
        """Returns how sure the teachers are of each stated value, in the shape of `Facts.to_json`.

        None where nothing is stated, and where they find something else.
        """
        found: dict[str, float | list[float | None] | None] = {}
        for name, value in self.stated.to_json().items():
            given = {guess.best: round(guess.confidence, 2) for guess in self.known.guesses[name]}
            if name == "voice" and given.keys() & set(SINGERS):
                given["sung"] = next(iter(given.values()))
            found[name] = [given.get(one) for one in value] if isinstance(value, list) else given.get(str(value))
        return found

    def left_out(self) -> dict[str, tuple[Guess, ...]]:
        """Returns what the teachers were not sure of and the caption does not state, by the names of the facts."""
        stated = {name: value if isinstance(value, list) else [value] for name, value in self.stated.to_json().items()}
        left = self.known.left_out().items()
        unsure = {name: tuple(guess for guess in some if guess.best not in stated[name]) for name, some in left}
        return {name: some for name, some in unsure.items() if some}

    def to_json(self) -> dict[str, Any]:
        """Returns the keys `facts`, `confidence` and `left_out` of a caption's record."""
        left = {
            name: [{"value": guess.best, "confidence": round(guess.confidence, 2)} for guess in some]
            for name, some in self.left_out().items()
        }
        return {"facts": self.stated.to_json(), "confidence": self.confidence(), "left_out": left}


@dataclass(frozen=True)
class SongCaption:
    """A song's captions, and how they were made."""

    audio: str
    captions: list[str]  # best first
    scores: list[float | None]  # mean log-probability a token of each; None where it was drawn
    model: str
    excerpt: dict[str, float]  # start and length in seconds; a whole song also has its windows
    settings: dict[str, Any]  # of generation
    lyrics_tokens: int = 0
    warnings: list[str] = field(default_factory=list)
    seconds: float = 0.0  # it took
    error: str = ""  # for a song of many that failed, the reason; it has no captions then
    id: str = ""  # its name in the folder or manifest, or its path as it was named
    weights: str = ""  # a fingerprint of the model's
    recap: str = __version__
    explanation: Explanation | None = None
    lyrics_from: str = ""  # the file or tag that they were read from; "none" without lyrics, "" for words or a table
    title: str = ""  # with the artist, where a table names them
    rests_on: FactsOfSong | None = None  # of the best caption, by a model that states facts

    @property
    def caption(self) -> str:
        """The best caption."""
        return self.captions[0] if self.captions else ""

    @property
    def facts(self) -> Facts | None:
        """What the best caption states, where the model states facts."""
        return self.rests_on.stated if self.rests_on else None

    @property
    def confidence(self) -> dict[str, float | list[float | None] | None] | None:
        """How sure of these facts the teachers are; see `FactsOfSong.confidence`."""
        return self.rests_on.confidence() if self.rests_on else None

    def to_json(self) -> dict[str, Any]:
        """Returns plain values, the same for one song as for one of many, and the same each time.

        id: in the folder or table, or the path as it was named.
        audio: the file's path.
        caption, captions: the best, and all, best first.
        scores: mean natural log-probability a token of each; null where it was drawn.
        facts, confidence, left_out: of a model that states facts, what the best caption states, how sure it is from 0
            to 1 by the song's own music and lyrics, and what was not sure enough to be stated.
        model, weights, recap: the model's name, a fingerprint of its weights, the version of this program.
        excerpt: `start_seconds`, and its length in `seconds`; of a whole song also `windows`, their number.
        settings: of decoding.
        lyrics_tokens: before any cut.
        warnings: texts; before a colon stands the kind.
        schema: of these keys.
        error, explanation: only where there is one: why a song of many failed, and what the caption looked at.
        """
        record: dict[str, Any] = {"id": self.id, "audio": self.audio, "caption": self.caption}
        record |= {name: value for name, value in asdict(self).items() if name not in (*record, *UNTOLD)}
        # what remains of the digits depends on the songs in the same batch
        record["scores"] = [None if score is None else round(score, 4) for score in self.scores]
        record["excerpt"] = {"start_seconds" if name == "start" else name: told for name, told in self.excerpt.items()}
        record |= self.rests_on.to_json() if self.rests_on else {}
        record["schema"] = SCHEMA
        if self.explanation is not None:
            record["explanation"] = self.explanation.to_json()
        return {name: value for name, value in record.items() if name != "error" or value}


def hears_tags(config: RecapConfig) -> bool:
    """Whether a model states facts of music, and its music states are the tags that they are found in."""
    return config.states_facts and config.use_music and config.music_encoder == "musicnn"


def find_facts(
    config: RecapConfig, caption: str, lyrics: str, music: np.ndarray | None, verses: np.ndarray | None
) -> FactsOfSong:
    """Returns what a caption states, and what the teachers know of the song.

    Args:
        config: the model's. Themes are known of states of frozen layers only: others are not what the teacher learnt.
        caption: the best one.
        lyrics: clean text, "" where there are none.
        music: the song's music states [windows, tags].
        verses: the states of its verses [verses, width].
    """
    heard = find_music_facts(music) if music is not None and hears_tags(config) else None
    language = find_language(lyrics) if lyrics.strip() else None
    reads = verses is not None and config.freeze_verses and config.d_model == len(load_theme_teacher().weights)
    themes = guess_themes(verses) if reads and verses is not None and lyrics.strip() else ()
    return FactsOfSong(read_facts(caption), join_facts(heard, language, themes), 0 if music is None else len(music))
