"""What `recap prepare` is asked for, and what it answers."""

import importlib.util
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from recap_cli.audio.decode import AudioSettings, excerpt_place
from recap_cli.corpus.data_folder import Slice
from recap_cli.corpus.readers import LAYOUTS, VARIANTS
from recap_cli.corpus.splits import Leakage
from recap_cli.errors import OptionError
from recap_cli.preparation.mel_worker import PRECISIONS

NEWLINES = ("keep", "semicolon")
INSTRUMENTALS = ("keep", "reject")
SOURCE_FLAGS = {
    "audio": "--audio", "layout": "--layout", "metadata": "--metadata", "variant": "--variant",
    "split_file": "--split-file", "published_split": "--published-split", "resplit": "--resplit",
    "follow_outside": "--follow-outside",
}  # fmt: skip


@dataclass(frozen=True)
class PrepareOptions:
    """What to prepare and how."""

    source: Path | None = None  # a corpus for `corpus.readers`; None is the demo corpus
    out: Path = Path("data")  # the data folder
    audio: Path | None = None  # where a manifest's audio paths start, or Music4All's audio
    layout: str | None = None  # one of LAYOUTS; None recognises it
    metadata: Path | None = None  # Music4All's table of titles and artists; None looks for it beside the audio
    follow_outside: bool = False  # read files outside of the audio folder, too, where paths and links lead there
    variant: str | None = None  # which of ALCAP's files, one of VARIANTS
    difficulty: str = "easy"  # of the demo corpus, or "hard"
    test_songs: int | None = None  # of the demo corpus; None is its own number
    # start, middle, random or seconds; random draws from the first 8 hexadecimal digits of fingerprint([seed, id])
    excerpt: str = "start"
    seconds: float = 15.0  # length of the excerpt
    resampler: str = "resampy"  # or "soxr"
    precision: str = "fp16"  # of the cached mels, or "fp32"
    jobs: int = 0  # processes; 0 takes one for each core
    limit: int | None = None  # songs at the most
    seed: int = 0  # of the demo corpus, of splits and of random excerpts
    min_votes: int | None = None  # captions with fewer are left out
    split_file: Path | None = None  # gives ids their splits
    published_split: bool = False  # split captions row by row as BART-fusion's public code does
    resplit: bool = False  # forget the splits that the corpus gives
    clean_captions: bool = False  # take a scraper's debris out of captions
    newlines: str = "keep"  # of lyrics, or "semicolon" as BART-fusion has it
    instrumentals: str = "keep"  # songs without lyrics, or "reject"
    shard: str | None = None  # the slice i/n to prepare; None is the whole
    strict: bool = False  # fail when any song is rejected
    max_rejected: float = 0.05  # fail when a larger share is rejected
    dry_run: bool = False  # read the corpus and say what would be done

    @property
    def inputs(self) -> list[Path]:
        """The files and folders that are read; what is written must not be one of them."""
        return [path for path in (self.source, self.audio, self.metadata, self.split_file) if path is not None]

    def __post_init__(self) -> None:
        choices = {
            "precision": tuple(PRECISIONS), "newlines": NEWLINES, "instrumentals": INSTRUMENTALS,
            "layout": LAYOUTS, "variant": VARIANTS,
        }  # fmt: skip
        for name, known in choices.items():
            if (given := getattr(self, name)) not in (None, *known):
                words = ", ".join(known)
                raise OptionError(f"--{name.replace('_', '-')} {given} is not known", f"choose one of {words}")
        if self.jobs < 0:
            raise OptionError(f"--jobs {self.jobs} is negative", "0 takes one process for each core")
        if self.limit is not None and self.limit < 1:
            raise OptionError(f"--limit {self.limit} leaves no songs", "give a number of 1 or more")
        if not (math.isfinite(self.max_rejected) and 0 <= self.max_rejected <= 1):
            raise OptionError(f"--max-rejected {self.max_rejected} is no share", "give a number from 0 to 1")
        if self.published_split and (self.split_file or self.resplit):
            raise OptionError("--published-split decides all splits itself", "leave --split-file and --resplit out")
        self.place, self.settings, self.slice  # noqa: B018  checks --excerpt, --seconds, --resampler and --shard
        if self.source is None:
            self.check_demo()
        elif self.test_songs is not None:
            raise OptionError("--test-songs is for the demo corpus", "leave it out, or leave SOURCE out")
        if self.resampler == "soxr" and importlib.util.find_spec("soxr") is None:
            raise OptionError(
                "--resampler soxr needs the package soxr", 'in the folder of the program: pip install ".[fast]"'
            )

    def check_demo(self) -> None:
        """Refuses flags that the demo corpus has no use for."""
        for name, flag in SOURCE_FLAGS.items():
            if getattr(self, name):
                raise OptionError(f"{flag} needs a SOURCE, and none is named", "name a manifest, data set or folder")

    @property
    def place(self) -> str | float:
        """The excerpt's place: a word, or seconds."""
        return excerpt_place(self.excerpt)

    @property
    def settings(self) -> AudioSettings:
        """The signal settings."""
        return AudioSettings(seconds=self.seconds, resampler=self.resampler)

    @property
    def slice(self) -> Slice:
        """The part of the corpus to prepare."""
        return Slice.parse(self.shard)

    @property
    def texts(self) -> dict[str, Any]:
        """What decides the songs, captions and splits, as kept in `dataset.json`."""
        names = ("variant", "min_votes", "published_split", "resplit", "clean_captions", "newlines", "instrumentals")
        return {name: getattr(self, name) for name in (*names, "limit")}


@dataclass(frozen=True)
class PrepareResult:
    """What a data folder holds now."""

    out: Path
    songs: int
    captions: int
    hours: float  # of audio in the mels
    splits: dict[str, int]  # songs a split
    rejected: int
    reasons: dict[str, int]  # why songs were rejected
    reused: int  # mels that were there already
    layout: str = ""
    slice: str = ""  # the part of the corpus, 3/8; "" for the whole
    medians: dict[str, float] = field(default_factory=dict)  # see `measure_medians`; a token is a word or mark
    cleaned: dict[str, int] = field(default_factory=dict)  # captions from which debris was taken, by kind
    warnings: dict[str, int] = field(default_factory=dict)  # songs with odd texts, or odd audio where decoded now
    leakage: Leakage | None = None
    spent: dict[str, float] = field(default_factory=dict)  # seconds of work by kind, over all processes
    seconds: float = 0.0  # that the preparation took
    resampler: str = "resampy"

    def to_json(self) -> dict[str, Any]:
        """Returns the result as plain values."""
        leakage = self.leakage.to_json() if self.leakage is not None else None
        return {**vars(self), "out": str(self.out), "leakage": leakage}


@dataclass(frozen=True)
class PreparePlan:
    """What a preparation would do."""

    out: Path
    layout: str
    songs: int  # of this slice
    captions: int  # of the whole corpus
    splits: dict[str, int]  # songs a split, of the whole corpus
    missing: int  # songs whose audio file is not there
    rejected: int  # entries that are no songs
    reasons: dict[str, int]  # why they are none
    cleaned: dict[str, int]  # captions from which debris would be taken, by kind
    leakage: Leakage
    seconds: float  # that it would take, from a few songs decoded; 0 where none could be
    gigabytes: float  # of the mels
    jobs: int

    def to_json(self) -> dict[str, Any]:
        """Returns the plan as plain values."""
        return {"dry_run": True, **vars(self), "out": str(self.out), "leakage": self.leakage.to_json()}
