"""A corpus made in code: songs whose captions need both the audio and the lyrics, from one seed."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from recap_cli.audio.mel import log_mel
from recap_cli.audio.settings import AudioSettings
from recap_cli.corpus.song import Caption, Song
from recap_cli.demo.attributes import draw_attributes, guess_from_lyrics, guess_from_music
from recap_cli.demo.lexicon import ATTRIBUTES, write_caption
from recap_cli.demo.music import DEMO_SAMPLE_RATE, compose, render, roughen
from recap_cli.demo.verses import draw_artist, draw_lyrics, draw_title
from recap_cli.errors import DataError, OptionError

# Raised whenever the same settings would give other songs, so that no cache takes old ones for new.
DEMO_VERSION = 1

DIFFICULTIES = ("easy", "hard")
CAPTIONS_PER_SONG = 5
SECONDS = (4.0, 8.0)
PEAKS = (0.45, 0.95)
CROSSFADE = 0.05  # seconds, between two timbres

# Votes from the first to the last, and the chance that a caption with them states something wrong.
VOTES = (-2, 12)
GOLD_VOTES = 4
_DOUBTFUL_VOTES = 1
_POOR_CHANCE, _DOUBTFUL_CHANCE = 0.30, 0.10

# A song's number says where it belongs: each block holds the songs of one kind, whatever the counts.
_BLOCK = 100_000
_BLOCKS = ("train", "validation", "test", "unseen", "further")
_STREAMS = ("attributes", "audio", "roughness", "lyrics", "captions", "names")


@dataclass(frozen=True)
class DemoSettings:
    """All that decides a demo corpus.

    Raises:
        OptionError: a setting has a value that cannot be used.
    """

    seed: int = 0  # makes another corpus of the same kind
    difficulty: str = "easy"  # "hard" has worse audio and more misleading lyrics; the attributes are the same
    train: int = 1400  # songs to learn from
    validation: int = 150  # songs to watch while learning
    test: int = 250  # songs to judge by
    unseen: int = 80  # songs with a theme and mode that never meet in the other splits

    def __post_init__(self) -> None:
        if self.difficulty not in DIFFICULTIES:
            raise OptionError(
                f"The demo corpus has no difficulty {self.difficulty!r}.", f"Choose {' or '.join(DIFFICULTIES)}."
            )
        if self.seed < 0:
            raise OptionError(f"The demo corpus cannot use the seed {self.seed}.", "Use 0 or a positive number.")
        for split in _BLOCKS[:4]:
            _check_count(split, getattr(self, split))

    def to_json(self) -> dict[str, int | str]:
        """Returns plain JSON values that name this corpus and no other."""
        return {**asdict(self), "version": DEMO_VERSION}

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> "DemoSettings":
        """Returns the settings of `to_json`'s values.

        Raises:
            DataError: the values are those of another version of the corpus.
        """
        fields = dict(record)
        if fields.pop("version", None) != DEMO_VERSION:
            raise DataError("These demo data were made by another version of recap-cli.", "Prepare them again.")
        return cls(**fields)


def _check_count(name: str, count: int) -> None:
    """Refuses a number of songs that is negative or larger than a block."""
    if not 0 <= count <= _BLOCK:
        raise OptionError(f"The demo corpus cannot make {count} {name} songs.", f"Use a number from 0 to {_BLOCK}.")


def make_songs(settings: DemoSettings) -> Iterator[Song]:
    """Yields the corpus, a song at a time: train, validation, test, unseen.

    Song i of a split is the same whatever the counts.
    """
    for split in _BLOCKS[:4]:
        yield from _songs_of(split, getattr(settings, split), settings)


def held_out_songs(settings: DemoSettings, count: int) -> Iterator[Song]:
    """Yields further songs of the test kind, none of which `make_songs` ever gives.

    Raises:
        OptionError: the count is negative or too large.
    """
    _check_count("further", count)
    yield from _songs_of("further", count, settings)


def _songs_of(block: str, count: int, settings: DemoSettings) -> Iterator[Song]:
    first = _BLOCKS.index(block) * _BLOCK
    return (_make_song(index, settings) for index in range(first, first + count))


def _make_song(index: int, settings: DemoSettings) -> Song:
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
        captions=tuple(_draw_captions(index, settings)),
        split="test" if block == "further" else block,
        title=draw_title(attributes["theme"], names),
        artist=draw_artist(names),
        tags=attributes,
    )


def _stream(index: int, purpose: str, settings: DemoSettings) -> np.random.Generator:
    """Returns the random stream of one purpose in one song; no other choice can disturb it."""
    return np.random.default_rng((settings.seed, index, _STREAMS.index(purpose)))


def _attributes(index: int, settings: DemoSettings) -> dict[str, str]:
    unseen = _BLOCKS[index // _BLOCK] == "unseen"
    return draw_attributes(_stream(index, "attributes", settings), unseen=unseen)


def _index(song: Song) -> int:
    """Returns a demo song's number, or refuses an id that is not a demo song's."""
    kind, _, number = song.id.rpartition("-")
    if not kind.startswith("demo-") or not number.isdecimal() or int(number) >= len(_BLOCKS) * _BLOCK:
        raise DataError(f"{song.id!r} is not the id of a demo song.", "Only demo songs can be rendered in code.")
    return int(number)


def render_song(song: Song, settings: DemoSettings, timbre: str | None = None) -> np.ndarray:
    """Returns a demo song played at `DEMO_SAMPLE_RATE`: float32 [samples], peak below 1.

    Its id and the settings it was made with decide all; `timbre` is another lead instrument for the same notes.

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


def log_mel_of_demo_song(song: Song, settings: DemoSettings, audio: AudioSettings) -> tuple[np.ndarray, float]:
    """Returns the log-mel [mels, frames] of a demo song, rendered on the spot, and its length in seconds."""
    samples = render_song(song, settings)[: audio.samples]
    return log_mel(samples, audio), len(samples) / audio.sample_rate


@dataclass(frozen=True)
class TwoTimbreSong:
    """A demo song whose lead instrument changes half-way: the same notes, two timbres."""

    song: Song  # its tags are those of the first half
    samples: np.ndarray  # at `DEMO_SAMPLE_RATE` [samples]
    timbres: tuple[str, str]  # of the first and the second half


def render_two_timbres(song: Song, settings: DemoSettings, rng: np.random.Generator) -> TwoTimbreSong:
    """Plays a demo song with its own instrument in one half and another one in the other, in an order by chance."""
    own = song.tags["timbre"]
    others = [timbre for timbre in ATTRIBUTES["timbre"] if timbre != own]
    pair = [own, others[rng.integers(len(others))]]
    if rng.random() < 0.5:
        pair.reverse()
    first, second = (render_song(song, settings, timbre) for timbre in pair)
    fade = round(CROSSFADE * DEMO_SAMPLE_RATE)
    gain = np.clip((np.arange(len(first)) - len(first) // 2) / fade + 0.5, 0.0, 1.0).astype(np.float32)
    return TwoTimbreSong(song, first * (1 - gain) + second * gain, (pair[0], pair[1]))


def _draw_captions(index: int, settings: DemoSettings) -> Iterator[Caption]:
    """Draws a song's captions; those with few votes may state something wrong."""
    truth = _attributes(index, settings)
    rng = _stream(index, "captions", settings)
    fewest = VOTES[0] if _BLOCKS[index // _BLOCK] == "train" else GOLD_VOTES
    for _ in range(CAPTIONS_PER_SONG):
        votes = int(rng.integers(fewest, VOTES[1] + 1))
        chance = 0.0 if votes >= GOLD_VOTES else _DOUBTFUL_CHANCE if votes >= _DOUBTFUL_VOTES else _POOR_CHANCE
        # The stream moves on by one draw whatever the chance is: every later caption depends on it.
        stated = _mistaken(truth, rng) if rng.random() < chance else truth
        yield Caption(write_caption(stated, rng), votes)


def _mistaken(truth: dict[str, str], rng: np.random.Generator) -> dict[str, str]:
    """Returns the attributes with one or two of them changed to another value."""
    stated = dict(truth)
    for attribute in rng.choice(list(truth), size=rng.integers(1, 3), replace=False):
        others = [value for value in ATTRIBUTES[attribute] if value != truth[attribute]]
        stated[str(attribute)] = others[rng.integers(len(others))]
    return stated


def lyrics_only_oracle(song: Song) -> dict[str, str]:
    """Returns the best guess of all attributes by one who knows theme and stance but hears nothing."""
    return guess_from_lyrics(song.tags)


def music_only_oracle(song: Song) -> dict[str, str]:
    """Returns the best guess of all attributes by one who hears everything but reads nothing."""
    return guess_from_music(song.tags)
