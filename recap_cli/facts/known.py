"""What the teachers found, put together: facts that may be stated, how sure they are, and what was left out."""

from collections.abc import Sequence
from dataclasses import dataclass

from recap_cli.facts.facts import READ_LANGUAGE, Facts, Guess
from recap_cli.facts.music import MusicFacts


@dataclass(frozen=True)
class KnownFacts:
    """Facts of a song with what stands behind them."""

    facts: Facts
    guesses: dict[str, tuple[Guess, ...]]  # by the names of the facts, whether sure or not

    def confidence(self) -> dict[str, float | list[float] | None]:
        """Returns how sure each stated fact is, in the shape of `Facts.to_json`."""
        found: dict[str, float | list[float] | None] = {}
        for name, value in self.facts.to_json().items():
            sure = [round(guess.confidence, 2) for guess in self.guesses[name] if guess.sure]
            found[name] = sure if isinstance(value, list) else sure[0] if sure else None
        return found

    def left_out(self) -> dict[str, tuple[Guess, ...]]:
        """Returns the guesses that were not sure enough, by the names of the facts."""
        unsure = {name: tuple(guess for guess in some if not guess.sure) for name, some in self.guesses.items()}
        return {name: some for name, some in unsure.items() if some}


def join_facts(music: MusicFacts | None, language: Guess | None = None, themes: Sequence[Guess] = ()) -> KnownFacts:
    """Returns what is known of a song.

    Nothing is known of a sound that is unlike music, nor what words in another language than English are about.
    """
    music = music if music and not music.unlike else None
    read = bool(language and language.value == READ_LANGUAGE)
    guesses: dict[str, tuple[Guess, ...]] = {
        "voice": (music.voice,) if music else (),
        "genre": _genres(music) if music else (),
        "instruments": music.instruments if music else (),
        "feel": (music.feel,) if music else (),
        "language": (language,) if language else (),
        "themes": tuple(themes) if read else (),
    }
    stated = {name: tuple(guess.best for guess in some if guess.sure) for name, some in guesses.items()}
    single = {name: stated[name][0] if stated[name] else None for name in ("voice", "genre", "feel", "language")}
    return KnownFacts(Facts(instruments=stated["instruments"], themes=stated["themes"], **single), guesses)


def _genres(music: MusicFacts) -> tuple[Guess, ...]:
    """Returns the likeliest genre; where it is not sure, the next is told, too."""
    return (music.genre,) if music.genre.sure or music.next_genre is None else (music.genre, music.next_genre)
