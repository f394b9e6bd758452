"""What `recap prepare` is asked for, and what it answers."""

import importlib.util
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from recap_cli.audio.decode import AudioSettings
from recap_cli.corpus.data_folder import Slice
from recap_cli.corpus.music4all import VARIANTS
from recap_cli.corpus.readers import LAYOUTS
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
    """What to prepare and how.

    Attributes:
        source: a corpus for `read_corpus`; None is the demo corpus.
        out: the data folder.
        audio: where a manifest's audio paths start, or Music4All's audio.
        layout: the corpus's layout; None recognises it.
        metadata: Music4All's table of titles and artists; None looks for it beside the audio.
        follow_outside: read files outside of the audio folder, too, where paths and links lead there.
        variant: which of ALCAP's files: `full`, `not_negative` or `positive`.
        difficulty: `easy` or `hard`, of the demo corpus.
        test_songs: songs to judge by in the demo corpus; None is its own number.
        excerpt: `start`, `middle`, `random` (seeded by song: by the first 8 hexadecimal digits of the fingerprint of
            [seed, id]) or seconds.
        seconds: length of the excerpt.
        resampler: `resampy` or `soxr`.
        precision: type of the cached mels, `fp16` or `fp32`.
        jobs: processes; 0 takes one for each core.
        limit: only about so many songs.
        seed: of the demo corpus, of splits and of random excerpts.
        min_votes: leave out captions with fewer votes.
        split_file: gives ids their splits.
        published_split: split captions row by row as BART-fusion's public code does.
        resplit: forget the splits that the corpus gives.
        clean_captions: take a scraper's debris out of captions.
        newlines: of lyrics: `keep`, or `semicolon` as BART-fusion has it.
        instrumentals: songs without lyrics: `keep` or `reject`.
        shard: the slice `i/n` to prepare; None is the whole.
        strict: fail when any song is rejected.
        max_rejected: fail when more than this share is rejected.
        dry_run: read the corpus and say what would be done.
    """

    source: Path | None = None
    out: Path = Path("data")
    audio: Path | None = None
    layout: str | None = None
    metadata: Path | None = None
    follow_outside: bool = False
    variant: str | None = None
    difficulty: str = "easy"
    test_songs: int | None = None
    excerpt: str = "start"
    seconds: float = 15.0
    resampler: str = "resampy"
    precision: str = "fp16"
    jobs: int = 0
    limit: int | None = None
    seed: int = 0
    min_votes: int | None = None
    split_file: Path | None = None
    published_split: bool = False
    resplit: bool = False
    clean_captions: bool = False
    newlines: str = "keep"
    instrumentals: str = "keep"
    shard: str | None = None
    strict: bool = False
    max_rejected: float = 0.05
    dry_run: bool = False

    @property
    def inputs(self) -> list[Path]:
        """The files and folders that are read; what is written must not be one of them."""
        return [path for path in (self.source, self.audio, self.metadata, self.split_file) if path is not None]

    def __post_init__(self) -> None:
        choices = {"precision": tuple(PRECISIONS), "newlines": NEWLINES, "instrumentals": INSTRUMENTALS}
        for name, known in choices.items():
            check_choice(name, getattr(self, name), known)
        for name, known in {"layout": LAYOUTS, "variant": VARIANTS}.items():
            if getattr(self, name) is not None:
                check_choice(name, getattr(self, name), known)
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
        """Refuse flags that the demo corpus has no use for."""
        for name, flag in SOURCE_FLAGS.items():
            if getattr(self, name):
                raise OptionError(f"{flag} needs a SOURCE, and none is named", "name a manifest, data set or folder")

    @property
    def place(self) -> str | float:
        """The excerpt's place: a word, or seconds."""
        if self.excerpt in ("start", "middle", "random"):
            return self.excerpt
        try:
            seconds = float(self.excerpt)
        except ValueError:
            seconds = math.nan
        if not (math.isfinite(seconds) and seconds >= 0):
            raise OptionError(f"--excerpt {self.excerpt} is not known", "give start, middle, random or seconds")
        return seconds

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


def check_choice(name: str, given: Any, known: tuple[str, ...]) -> None:
    """Refuse an unknown word.

    Raises:
        OptionError: it is none of those known.
    """
    if given not in known:
        raise OptionError(f"--{name.replace('_', '-')} {given} is not known", f"choose one of {', '.join(known)}")


@dataclass(frozen=True)
class PrepareResult:
    """What a data folder holds now.

    Attributes:
        out: the folder.
        songs: number of songs prepared.
        captions: number of their captions.
        hours: hours of audio in the mels.
        splits: songs a split.
        rejected: number of songs left out.
        reasons: why, and how many.
        reused: mels that were there already.
        layout: of the corpus.
        slice: the part of the corpus, `3/8`; "" for the whole.
        medians: of the songs' seconds, lyrics tokens, captions, and of the captions' tokens; a token is a word or mark.
        cleaned: captions from which debris was taken, by kind.
        warnings: songs that are used though something is odd with their audio, by kind; of those heard now.
        leakage: what near-duplicates and row-wise splits carry into the tests.
        spent: seconds of work by kind, over all processes.
        seconds: that the preparation took.
        resampler: the one that was used.
    """

    out: Path
    songs: int
    captions: int
    hours: float
    splits: dict[str, int]
    rejected: int
    reasons: dict[str, int]
    reused: int
    layout: str = ""
    slice: str = ""
    medians: dict[str, float] = field(default_factory=dict)
    cleaned: dict[str, int] = field(default_factory=dict)
    warnings: dict[str, int] = field(default_factory=dict)
    leakage: Leakage | None = None
    spent: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    resampler: str = "resampy"

    def to_json(self) -> dict[str, Any]:
        """The result as plain values."""
        return plain(self)


@dataclass(frozen=True)
class PreparePlan:
    """What a preparation would do.

    Attributes:
        out: the folder it would fill.
        layout: of the corpus.
        songs: that would be heard, in this slice.
        captions: of the whole corpus.
        splits: songs a split.
        missing: songs whose audio file is not there.
        rejected: entries that are no songs.
        reasons: why, and how many.
        cleaned: captions from which debris would be taken, by kind.
        leakage: what near-duplicates and row-wise splits carry into the tests.
        seconds: that it would take, from a few songs heard; 0 where none could be.
        gigabytes: of the mels.
        jobs: processes.
    """

    out: Path
    layout: str
    songs: int
    captions: int
    splits: dict[str, int]
    missing: int
    rejected: int
    reasons: dict[str, int]
    cleaned: dict[str, int]
    leakage: Leakage
    seconds: float
    gigabytes: float
    jobs: int

    def to_json(self) -> dict[str, Any]:
        """The plan as plain values."""
        return {"dry_run": True, **plain(self)}


def plain(result: Any) -> dict[str, Any]:
    """Give a result's fields as JSON takes them."""
    leakage = result.leakage
    return {**vars(result), "out": str(result.out), "leakage": leakage.to_json() if leakage is not None else None}
