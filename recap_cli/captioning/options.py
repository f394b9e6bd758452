"""What `recap caption` is asked for."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from recap_cli.audio.settings import read_place
from recap_cli.captioning.places import STDIN, split_lyrics
from recap_cli.corpus.manifest import MANIFEST_SUFFIXES
from recap_cli.errors import OptionError
from recap_cli.lyrics.reader import Lyrics
from recap_cli.runtime.options import DecodingOptions
from recap_cli.settings import MACHINE, RESULT, WHOLE_CORPUS, Device, Group, Setting, Slice, check_settings

CAPTIONED, LISTENING, MODEL = "What you caption", "How it listens", "What captions it"


@dataclass(frozen=True)
class CaptionOptions:
    """What to caption and how; a text file behind one song, as on the command line, becomes its `lyrics`."""

    audio: Annotated[
        Path | tuple[Path, ...],
        Setting(
            "Audio files, a folder of songs, a manifest (.csv, .tsv, .jsonl), or a prepared data folder. Behind one "
            "song, its lyrics: a text file, or - to read them from stdin.",
            argument="AUDIO... [LYRICS]",
        ),
    ]
    lyrics: Annotated[
        Path | None,
        Setting(
            "Lyrics of the one song: a .txt or .lrc file, or - to read them from stdin.",
            CAPTIONED,
            default="beside the audio, else in its tags",
        ),
    ] = None
    lyrics_text: str | Lyrics | None = None  # in place of a file: as text, or clean already
    instrumental: Annotated[bool, Setting("The song has no lyrics, so none are looked for.", CAPTIONED)] = False
    any_sound: Annotated[
        bool,
        Setting(
            "Also caption what is unlike music, such as speech or noise, or too short to judge; a model that states "
            "facts refuses it else.",
            CAPTIONED,
        ),
    ] = False
    limit: Annotated[int | None, Setting("Caption this many songs only, for a quick look.", CAPTIONED, minimum=1)] = (
        None
    )
    shard: Annotated[
        Slice,
        Setting(
            "Caption only the I-th of N parts of the songs, such as 2/8, into an --out file of its own. Parts can be "
            "made on any machine.",
            CAPTIONED,
            default="all",
            read=Slice.parse,
        ),
    ] = WHOLE_CORPUS

    excerpt: Annotated[
        str,
        Setting(
            "Where the 15 s that are listened to begin: start, middle, or a time such as 90 (seconds) or 1:30; whole "
            "takes all of the song.",
            LISTENING,
        ),
    ] = "start"

    model: Annotated[
        str | None,
        Setting(
            "Run folder of recap train, hf://OWNER/NAME[@REVISION], ALCAP's weights (.pt), or demo: the small model on "
            "made-up songs.",
            MODEL,
            default="the embedded model",
        ),
    ] = None
    music_encoder: Annotated[
        Path | None, Setting("Music encoder weights (CNNSA) for ALCAP's weights, which hold none.", MODEL)
    ] = None
    bart: Annotated[
        str, Setting("The BART that ALCAP's weights were trained from: a folder, a hub name or hf://OWNER/NAME.", MODEL)
    ] = "facebook/bart-base"

    decoding: Annotated[DecodingOptions, Group(DecodingOptions)] = field(default_factory=DecodingOptions)

    out: Annotated[
        Path | None,
        Setting(
            "Write captions to this file: .jsonl has a JSON line a song, and started again, songs that are in it are "
            "passed over; .csv and .tsv are tables, written at the end; for one song also .json and .txt.",
            RESULT,
            default="stdout",
        ),
    ] = None
    lines_per_file: Annotated[
        int | None, Setting("Begin another --out file after this many songs.", RESULT, minimum=1)
    ] = None
    explain: bool = False  # also say what the caption looked at

    device: Annotated[Device, Setting("What to compute on; auto takes a GPU where there is one.", MACHINE)] = "auto"
    jobs: Annotated[
        int, Setting("Processes that decode audio while captions are generated; 0 is one a core.", MACHINE, minimum=0)
    ] = 0

    @property
    def sources(self) -> tuple[Path, ...]:
        """The songs, or the one folder or manifest of many."""
        return self.audio if isinstance(self.audio, tuple) else (self.audio,)

    @property
    def is_batch(self) -> bool:
        """Whether `audio` stands for many songs."""
        first, *others = self.sources
        return bool(others) or first.is_dir() or first.suffix.lower() in MANIFEST_SUFFIXES

    @property
    def inputs(self) -> list[Path]:
        """All files and folders that are read."""
        named = (*self.sources, self.lyrics, self.model, self.music_encoder, self.bart)
        return [Path(one) for one in named if one not in (None, STDIN)]

    @property
    def named(self) -> str:
        """The songs in a few words."""
        first, *others = self.sources
        return f"{first} and {len(others)} more" if others else str(first)

    @property
    def shard_out(self) -> Path | None:
        """The file of this shard: shards that are written at the same time never share one."""
        if self.out is None or self.shard.count == 1:
            return self.out
        return self.out.with_name(f"{self.out.stem}-{self.shard.label}{self.out.suffix}")

    def __post_init__(self) -> None:
        songs = tuple(map(Path, [self.audio] if isinstance(self.audio, str | Path) else self.audio))
        songs, lyrics = split_lyrics(songs, self.lyrics)
        object.__setattr__(self, "audio", songs)  # the class is frozen for everyone else
        object.__setattr__(self, "lyrics", lyrics)
        check_settings(self)
        if self.is_batch and (self.lyrics is not None or self.lyrics_text is not None):
            raise OptionError(
                f"{self.named} stands for many songs, so one LYRICS does not fit",
                "put song.txt or song.lrc beside each song, or name lyrics in the manifest",
            )
        if self.is_batch and self.explain:
            raise OptionError(f"--explain draws one song, and {self.named} stands for many", "name one audio file")
        read_place(self.excerpt, ("start", "middle", "whole"))
        if self.lines_per_file is not None and self.out is None:
            raise OptionError("--lines-per-file needs a file to begin with", "name one with --out captions.jsonl")
