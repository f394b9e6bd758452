"""A corpus made in code: songs whose captions need both the audio and the lyrics, from one seed."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from recap_cli.audio.mel import log_mel
from recap_cli.audio.settings import AudioSettings
from recap_cli.corpus.song import Caption, Song
from recap_cli.demo.attributes import draw_attributes, guess_from_lyrics, guess_from_music
from recap_cli.demo.composition import compose
from recap_cli.demo.lexicon import ATTRIBUTES, write_caption
from recap_cli.demo.synthesis import DEMO_SAMPLE_RATE, render, roughen
from recap_cli.demo.verses import draw_artist, draw_lyrics, draw_title
from recap_cli.errors import DataError, OptionError

__all__ = [
    "DEMO_SAMPLE_RATE",
    "DEMO_VERSION",
    "DemoSettings",
    "held_out_songs",
    "lyrics_only_oracle",
    "make_songs",
    "music_only_oracle",
    "render_song",
    "stated_attributes",
]

# Raised whenever the same settings would give other songs, so that no cache takes old ones for new.
DEMO_VERSION = 1

DIFFICULTIES = ("easy", "hard")
CAPTIONS_PER_SONG = 5
SECONDS = (4.0, 8.0)
PEAKS = (0.45, 0.95)

# Votes from the first to the last, and the chance that a caption with them states something wrong.
VOTES = (-2, 12)
GOLD_VOTES = 4
_DOUBTFUL_VOTES = 1
_WRONG_CHANCES = {"poor": 0.30, "doubtful": 0.10}

# A song's number says where it belongs: each block holds the songs of one kind, whatever the counts.
_BLOCK = 100_000
_BLOCKS = ("train", "validation", "test", "unseen", "further")
_STREAMS = ("attributes", "audio", "roughness", "lyrics", "captions", "names")


@dataclass(frozen=True)
class DemoSettings:
    """All that decides a demo corpus.

    Attributes:
        seed: makes another corpus of the same kind.
        difficulty: "easy", or "hard" with worse audio and more misleading lyrics; the attributes are the same.
        train: number of songs to learn from.
        validation: number of songs to watch while learning.
        test: number of songs to judge by.
        unseen: number of songs with a theme and mode that never meet in the other splits.
    """

    seed: int = 0
    difficulty: str = "easy"
    train: int = 1400
    validation: int = 150
    test: int = 250
    unseen: int = 80

    def __post_init__(self) -> None:
        """Check the settings.

        Raises:
            OptionError: a setting has a value that cannot be used.
        """
        if self.difficulty not in DIFFICULTIES:
            raise OptionError(
                f"The demo corpus has no difficulty {self.difficulty!r}.", f"Choose {' or '.join(DIFFICULTIES)}."
            )
        if self.seed < 0:
            raise OptionError(f"The demo corpus cannot use the seed {self.seed}.", "Use 0 or a positive number.")
        for split in _BLOCKS[:4]:
            _check_count(split, getattr(self, split))

    def to_json(self) -> dict[str, Any]:
        """Give plain JSON values that name this corpus and no other."""
        return {**asdict(self), "version": DEMO_VERSION}

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> "DemoSettings":
        """Make settings from `to_json`'s values.

        Raises:
            DataError: the values are those of another version of the corpus.
        """
        fields = dict(record)
        if fields.pop("version", None) != DEMO_VERSION:
            raise DataError("These demo data were made by another version of recap-cli.", "Prepare them again.")
        return cls(**fields)


def _check_count(name: str, count: int) -> None:
    """Check a number of songs.

    Raises:
        OptionError: it is negative or larger than a block.
    """
    if not 0 <= count <= _BLOCK:
        raise OptionError(f"The demo corpus cannot make {count} {name} songs.", f"Use a number from 0 to {_BLOCK}.")


def make_songs(settings: DemoSettings) -> Iterator[Song]:
    """Make the corpus, one song at a time: train, validation, test, unseen.

    Song i of a split is the same whatever the counts.
    """
    for split in _BLOCKS[:4]:
        yield from _songs_of(split, getattr(settings, split), settings)


def held_out_songs(settings: DemoSettings, count: int) -> Iterator[Song]:
    """Make further songs of the test kind, none of which `make_songs` ever gives.

    Args:
        settings: the corpus they belong to; its counts do not matter.
        count: how many.

    Raises:
        OptionError: the count is negative or too large.
    """
    _check_count("further", count)
    yield from _songs_of("further", count, settings)


def _songs_of(block: str, count: int, settings: DemoSettings) -> Iterator[Song]:
    """Make the first `count` songs of a block."""
    first = _BLOCKS.index(block) * _BLOCK
    return (_make_song(index, settings) for index in range(first, first + count))


def _make_song(index: int, settings: DemoSettings) -> Song:
    """Make song number `index`."""
    block = _BLOCKS[index // _BLOCK]
    attributes = _attributes(index, settings)
    names = _stream(index, "names", settings)
    return Song(
        id=f"demo-{settings.difficulty}-{index:06d}",
        audio="",
        lyrics=draw_lyrics(
            attributes["theme"],
            attributes["stance"],
            _stream(index, "lyrics", settings),
            settings.difficulty,
            training=block == "train",
        ),
        captions=tuple(caption for caption, _ in _draw_captions(index, settings)),
        split="test" if block == "further" else block,
        title=draw_title(attributes["theme"], names),
        artist=draw_artist(names),
        tags=attributes,
    )


def _stream(index: int, purpose: str, settings: DemoSettings) -> np.random.Generator:
    """Open the random stream of one purpose in one song; no other choice can disturb it."""
    return np.random.default_rng((settings.seed, index, _STREAMS.index(purpose)))


def _attributes(index: int, settings: DemoSettings) -> dict[str, str]:
    """Draw the seven attributes of song number `index`."""
    unseen = _BLOCKS[index // _BLOCK] == "unseen"
    return draw_attributes(_stream(index, "attributes", settings), unseen=unseen)


def _index(song: Song) -> int:
    """Read a demo song's number from its id.

    Raises:
        DataError: the id is not a demo song's.
    """
    kind, _, number = song.id.rpartition("-")
    if not kind.startswith("demo-") or not number.isdecimal() or int(number) >= len(_BLOCKS) * _BLOCK:
        raise DataError(f"{song.id!r} is not the id of a demo song.", "Only demo songs can be rendered in code.")
    return int(number)


def render_song(song: Song, settings: DemoSettings, timbre: str | None = None) -> np.ndarray:
    """Play a demo song; its id and the settings decide all.

    Args:
        song: from `make_songs` or `held_out_songs`.
        settings: the settings it was made with.
        timbre: another lead instrument for the same notes; None for the song's own.

    Returns:
        Samples at `DEMO_SAMPLE_RATE`, float32, shape [samples], peak below 1.

    Raises:
        DataError: the id is not a demo song's.
    """
    index = _index(song)
    attributes = _attributes(index, settings)
    rng = _stream(index, "audio", settings)
    seconds = float(rng.uniform(*SECONDS))
    peak = float(rng.uniform(*PEAKS))
    drums = attributes["drums"] == "with"
    score = compose(attributes["mode"], attributes["tempo"], timbre or attributes["timbre"], drums, seconds, rng)
    samples = render(score, seconds, peak)
    return roughen(samples, _stream(index, "roughness", settings)) if settings.difficulty == "hard" else samples


def stated_attributes(song: Song, settings: DemoSettings) -> tuple[dict[str, str], ...]:
    """Say what each of a demo song's captions states, true or not, in the order of the captions.

    Raises:
        DataError: the id is not a demo song's.
    """
    return tuple(stated for _, stated in _draw_captions(_index(song), settings))


def _draw_captions(index: int, settings: DemoSettings) -> list[tuple[Caption, dict[str, str]]]:
    """Draw a song's captions, each with the attributes it states."""
    truth = _attributes(index, settings)
    rng = _stream(index, "captions", settings)
    fewest = VOTES[0] if _BLOCKS[index // _BLOCK] == "train" else GOLD_VOTES
    drawn = []
    for _ in range(CAPTIONS_PER_SONG):
        votes = int(rng.integers(fewest, VOTES[1] + 1))
        stated = _mistaken(truth, rng) if rng.random() < _wrong_chance(votes) else truth
        drawn.append((Caption(write_caption(stated, rng), votes), dict(stated)))
    return drawn


def _wrong_chance(votes: int) -> float:
    """Give the chance that a caption with so many votes states something wrong."""
    if votes >= GOLD_VOTES:
        return 0.0
    return _WRONG_CHANCES["doubtful" if votes >= _DOUBTFUL_VOTES else "poor"]


def _mistaken(truth: dict[str, str], rng: np.random.Generator) -> dict[str, str]:
    """Change one or two attributes to another value."""
    stated = dict(truth)
    for attribute in rng.choice(list(truth), size=rng.integers(1, 3), replace=False):
        others = [value for value in ATTRIBUTES[attribute] if value != truth[attribute]]
        stated[str(attribute)] = others[rng.integers(len(others))]
    return stated


def lyrics_only_oracle(song: Song) -> dict[str, str]:
    """Give the best guess of all attributes by one who knows theme and stance but hears nothing."""
    return guess_from_lyrics(song.tags)


def music_only_oracle(song: Song) -> dict[str, str]:
    """Give the best guess of all attributes by one who hears everything but reads nothing."""
    return guess_from_music(song.tags)


def hear_demo(song: Song, settings: DemoSettings, audio: AudioSettings) -> tuple[np.ndarray, float]:
    """Returns the log-mel [mels, frames] of a demo song, rendered on the spot, and its length in seconds."""
    samples = render_song(song, settings)[: audio.samples]
    return log_mel(samples, audio), len(samples) / audio.sample_rate
