"""What `recap prepare` is asked for, and what it answers."""

import importlib.util
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from recap_cli.errors import OptionError
from recap_cli.settings import MACHINE, RESULT, Setting, check_settings

if TYPE_CHECKING:
    from recap_cli.audio.settings import AudioSettings
    from recap_cli.layouts.source import CorpusSource
    from recap_cli.settings import Slice

Layout = Literal[
    "manifest", "folder", "song-interpretation", "alcap", "music4all", "mtg-jamendo", "song-describer",
    "audio-folder", "musiccaps", "ace-step",
]  # fmt: skip
Variant = Literal["full", "not_negative", "positive"]
CORPUS, TEXTS, SPLITS, AUDIO, DEMO = "The corpus", "Lyrics and captions", "Splits", "The audio", "The demo corpus"
# Fields that say something about a corpus that is named, so the demo corpus has no use for them.
OF_A_SOURCE = (
    "audio", "layout", "metadata", "variant", "columns", "lyrics", "split_file", "published_split", "resplit",
    "follow_outside",
)  # fmt: skip


def read_columns_option(text: str) -> tuple[tuple[str, str], ...]:
    """Returns what --columns names; an OptionError where it is not known."""
    from recap_cli.corpus.manifest import ROLES
    from recap_cli.tables.columns import parse_columns

    return parse_columns(text, ROLES, "caption=text,lyrics=words")


@dataclass(frozen=True)
class PrepareOptions:
    """What to prepare and how."""

    source: Annotated[
        Path | None,
        Setting(
            "A folder of songs, a manifest (.csv, .tsv, .jsonl), the Song Interpretation Dataset (.json), a "
            "folder of ALCAP's CSV files, a Music4All folder, MTG-Jamendo's autotagging.tsv, song_describer.csv, a "
            "Hugging Face AudioFolder (metadata.csv, .jsonl or .parquet with file_name), MusicCaps' CSV with a folder "
            "of clips, or ACE-Step's JSON. A manifest has the columns audio, lyrics and caption, and if known id, "
            "title, artist, split, votes, tags (such as: slow, sad), start_time and end_time.",
            argument="SOURCE",
            default="the demo corpus of made-up songs",
        ),
    ] = None
    _: KW_ONLY  # the order of the help, in which no caller should have to count
    audio: Annotated[
        Path | None,
        Setting("Folder that the audio paths in SOURCE start from, or Music4All's folder of audios.", CORPUS),
    ] = None
    layout: Annotated[
        Layout | None,
        Setting("What kind of corpus SOURCE is.", CORPUS, default="recognised"),
    ] = None
    metadata: Annotated[
        Path | None,
        Setting("Music4All's id_information.csv, for titles and artists.", CORPUS, default="found beside the audio"),
    ] = None
    columns: Annotated[
        tuple[tuple[str, str], ...],
        Setting(
            "Columns of a table of songs under other names: caption=text,lyrics=words (also audio, id, start_time, "
            "end_time and all that a manifest has).",
            CORPUS,
            default="those of a manifest",
            read=read_columns_option,
        ),
    ] = ()
    follow_outside: Annotated[
        bool, Setting("Also read files outside of the audio folder, where paths or links lead there.", CORPUS)
    ] = False
    variant: Annotated[
        Variant | None,
        Setting("Which of ALCAP's files to read, by the tone of captions.", CORPUS, default="full"),
    ] = None
    corpus: Annotated[
        Literal["demo", "real"] | None,
        Setting(
            "A corpus that is made here, where no SOURCE is named: demo, made-up songs; or real, on which the model in "
            "the box is trained: real lyrics (--lyrics) beside real music (--music), with captions of what teachers "
            "find in both.",
            CORPUS,
            default="demo",
        ),
    ] = None
    music: Annotated[
        tuple[Path, ...],
        Setting("A folder of music of the real corpus; may be given several times.", CORPUS),
    ] = ()
    bart: Annotated[
        Path | None,
        Setting(
            "Folder with the layers that read verses, for the themes of the real corpus.",
            CORPUS,
            default="those of the model in the box",
        ),
    ] = None
    subset: Annotated[
        Literal["all", "validated"],
        Setting("Which of Song Describer's captions to read; its songs are all for testing.", CORPUS),
    ] = "all"
    limit: Annotated[
        int | None, Setting("Prepare about this many songs only, for a quick look.", CORPUS, minimum=1)
    ] = None

    lyrics: Annotated[
        Path | None,
        Setting(
            "Lyrics for songs that have none: MulJam's folder or one of its .meta files, or a folder of text files "
            "called after the songs. Of the real corpus: MulJam's folder, or JSON lines with track and lyrics.",
            TEXTS,
        ),
    ] = None
    captions: Annotated[
        Literal["given", "tags"],
        Setting(
            "With tags, songs for training and validation that have no caption get one made of their tags by "
            "templates. It is marked as made, and never a reference of eval.",
            TEXTS,
        ),
    ] = "given"
    min_votes: Annotated[
        int | None, Setting("Leave out captions with fewer votes than this; the corpus must have votes.", TEXTS)
    ] = None
    clean_captions: Annotated[
        bool, Setting("Remove what scraping left in captions, such as links, HTML tags and reply buttons.", TEXTS)
    ] = False
    newlines: Annotated[
        Literal["keep", "semicolon"],
        Setting("Keep the line breaks of lyrics, or replace them by semicolons, as BART-fusion did.", TEXTS),
    ] = "keep"
    instrumentals: Annotated[
        Literal["keep", "reject"], Setting("Keep songs that have no lyrics, or reject them.", TEXTS)
    ] = "keep"

    split_file: Annotated[
        Path | None,
        Setting(
            "File that gives each song id its split: a table, JSON or JSON lines.",
            SPLITS,
            default="the corpus's own splits, or drawn by --seed",
        ),
    ] = None
    published_split: Annotated[
        bool,
        Setting(
            "Split caption by caption, 90 to 10, as BART-fusion's code does. Test songs leak into training: only to "
            "compare with it.",
            SPLITS,
        ),
    ] = False
    resplit: Annotated[
        bool, Setting("Ignore the corpus's own splits, and split by song with near-duplicates together.", SPLITS)
    ] = False

    music_encoder: Annotated[
        Literal["cnnsa", "musicnn"],
        Setting(
            "What the log-mels are for: cnnsa takes an excerpt; musicnn, which comes with this program, takes the "
            "whole song, which takes nine times the disk for three minutes.",
            AUDIO,
        ),
    ] = "cnnsa"
    excerpt: Annotated[
        str,
        Setting(
            "Where the excerpt of each song begins: start, middle, random (by --seed), or a time such as 90 "
            "(seconds) or 1:30.",
            AUDIO,
        ),
    ] = "start"
    seconds: Annotated[
        float | None,
        Setting(
            "Length of the excerpt in seconds, 0.1 to 600.", AUDIO, default="15; for musicnn the song, at most 1800"
        ),
    ] = None
    resampler: Annotated[
        Literal["resampy", "soxr", "polyphase"] | None,
        Setting(
            "What brings audio to 16 kHz: resampy (kaiser_best), polyphase (the same filter in a tenth of the time, "
            "with other last digits), or soxr (fast, too; extra fast).",
            AUDIO,
            default="resampy; for musicnn polyphase",
        ),
    ] = None
    precision: Annotated[
        Literal["fp16", "fp32"], Setting("Numbers in the cached log-mels; fp16 takes half the disk.", AUDIO)
    ] = "fp16"

    difficulty: Annotated[
        Literal["easy", "hard"],
        Setting("How hard the made-up songs are: hard has noisy audio and more misleading lyrics.", DEMO),
    ] = "easy"
    test_songs: Annotated[int | None, Setting("Made-up songs in the test split.", DEMO, default="250")] = None

    out: Annotated[
        Path,
        Setting("Folder to fill with songs, captions and log-mels. Started again, only what is new is done.", RESULT),
    ] = Path("data")
    shard: Annotated[
        str | None,
        Setting(
            "Prepare only the I-th of N parts of the songs, such as 2/8. Parts can be made on any machine and copied "
            "into one folder.",
            RESULT,
            default="all",
        ),
    ] = None
    strict: Annotated[bool, Setting("Fail when any song is rejected.", RESULT)] = False
    max_rejected: Annotated[
        float,
        Setting("Fail when a larger share of songs is rejected; 0.05 is 1 in 20.", RESULT, minimum=0, maximum=1),
    ] = 0.05

    jobs: Annotated[int, Setting("Processes that decode songs; 0 takes one for each core.", MACHINE, minimum=0)] = 0
    seed: Annotated[int, Setting("Seed of the demo corpus, of drawn splits and of random excerpts.", MACHINE)] = 0

    @property
    def inputs(self) -> list[Path]:
        """The files and folders that are read; what is written must not be one of them."""
        named = (self.source, self.audio, self.metadata, self.lyrics, self.split_file, self.bart, *self.music)
        return [path for path in named if path is not None]

    def __post_init__(self) -> None:
        check_settings(self)
        if self.corpus == "real":
            object.__setattr__(self, "music_encoder", "musicnn")  # of whose music states it is made
        if self.published_split and (self.split_file or self.resplit):
            raise OptionError("--published-split decides all splits itself", "leave --split-file and --resplit out")
        self.place, self.settings, self.slice  # noqa: B018  checks --excerpt, --seconds and --shard
        if self.settings.takes_whole_songs and self.excerpt != "start":
            raise OptionError(
                f"--excerpt {self.excerpt} does not fit {self.music_encoder}, which takes whole songs",
                "leave --excerpt out",
            )
        if self.corpus == "real":
            self.check_real()
        elif self.source is None:
            self.check_demo()
        elif self.test_songs is not None:
            raise OptionError("--test-songs is for the demo corpus", "leave it out, or leave SOURCE out")
        if self.resampler == "soxr" and importlib.util.find_spec("soxr") is None:
            raise OptionError(
                "--resampler soxr needs the package soxr", 'in the folder of the program: pip install ".[fast]"'
            )

    def check_real(self) -> None:
        """Refuses flags that the real corpus has no use for, and asks for its sources."""
        for name in ("source", *OF_A_SOURCE, "test_songs", "shard"):
            if name != "lyrics" and getattr(self, name):
                flag = "SOURCE" if name == "source" else f"--{name.replace('_', '-')}"
                raise OptionError(f"--corpus real has no use for {flag}", f"leave {flag} out")
        if self.lyrics is None or not self.music:
            raise OptionError("--corpus real needs lyrics and music", "name them with --lyrics and --music")

    def check_demo(self) -> None:
        """Refuses flags that the demo corpus has no use for."""
        for name in ("music", "bart"):
            if getattr(self, name):
                raise OptionError(f"--{name} is for the real corpus", "add --corpus real")
        for name in OF_A_SOURCE:
            if getattr(self, name):
                flag = f"--{name.replace('_', '-')}"
                raise OptionError(f"{flag} needs a SOURCE, and none is named", "name a manifest, data set or folder")

    @property
    def place(self) -> str | float:
        """The excerpt's place: a word, or seconds."""
        from recap_cli.audio.settings import read_place

        return read_place(self.excerpt)

    @property
    def settings(self) -> "AudioSettings":
        """The signal settings."""
        from recap_cli.audio.settings import AudioSettings

        return AudioSettings.of_encoder(self.music_encoder, self.seconds, self.resampler)

    @property
    def slice(self) -> "Slice":
        """The part of the corpus to prepare."""
        from recap_cli.settings import Slice

        return Slice.parse(self.shard)

    def corpus_source(self, source: Path) -> "CorpusSource":
        """Returns what readers are asked for."""
        from recap_cli.layouts.source import CorpusSource

        return CorpusSource(
            source,
            self.audio,
            self.metadata,
            self.variant,
            dict(self.columns),
            self.subset,
            self.follow_outside,
        )

    @property
    def texts(self) -> dict[str, Any]:
        """What decides the songs, captions and splits, as kept in `dataset.json`; of newer settings those in use."""
        names = ("variant", "min_votes", "published_split", "resplit", "clean_captions", "newlines", "instrumentals")
        kept = {name: getattr(self, name) for name in (*names, "limit")}
        newer: dict[str, Any] = {"columns": dict(self.columns) or None}
        newer["captions"] = self.captions if self.captions != "given" else None
        newer |= {"lyrics": self.lyrics and str(self.lyrics), "subset": self.subset if self.subset != "all" else None}
        return kept | {name: value for name, value in newer.items() if value is not None}
