"""What `recap eval` is asked for, what the systems are called, and where the result goes."""

import hashlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

from recap_cli.errors import OptionError
from recap_cli.escaping import json_text
from recap_cli.evaluation.predictions import KNOWN_COLUMNS, Columns
from recap_cli.outputs import file_stem, plain_name
from recap_cli.runtime.options import DecodingOptions
from recap_cli.settings import MACHINE, RESULT, UNNAMED, Device, Group, Setting, check_settings

SCORED, MEASURED, READ = "What is scored", "What is measured", "How files of captions are read"
FILES_OF_CAPTIONS = (".jsonl", ".json", ".csv", ".tsv")
LONGEST_NAME = 32  # letters: with six figures beside it, a row fits 100 columns
USUAL_CASES = 10
USUAL = ("", "auto", False)  # what is left out of the name of the result's folder


@dataclass(frozen=True)
class CaseChoice:
    """What the page of cases shows."""

    count: int = 0  # songs; 0 leaves the number to --report
    systems: tuple[str, ...] = ()  # names of two; none takes all

    @classmethod
    def parse(cls, text: str) -> "CaseChoice":
        """Returns what `20`, `A,B` or `A,B,20` names.

        Raises:
            OptionError: it names neither a number of songs nor two systems.
        """
        names = [part.strip() for part in text.split(",")]
        count = USUAL_CASES
        if len(names) != 2 and names[-1].isdecimal():
            count = int(names.pop())
        if len(names) not in (0, 2) or not all(names):
            raise OptionError(f"--cases {text} is not known", "give a number of songs, two systems, or both: A,B,20")
        return cls(count, tuple(names))


@dataclass(frozen=True)
class EvaluateOptions:
    """What to score."""

    data: Annotated[
        Path | None,
        Setting(
            "Folder that recap prepare made, with the songs and their reference captions.",
            SCORED,
            default="./data, else the demo corpus; with --predictions alone, the references in a file",
        ),
    ]
    runs: Annotated[
        tuple[Path, ...],
        Setting(
            "Run folders of recap train, or hf://OWNER/NAME[@REVISION].",
            argument="RUN",
            default="the newest under ./runs, else the embedded model",
        ),
    ] = ()
    predictions: Annotated[
        tuple[Path, ...],
        Setting(
            "Captions of another system (JSON lines, JSON, CSV or TSV), scored without a model: FILE, or NAME=FILE to "
            "say what tables call it. Can be given several times.",
            SCORED,
        ),
    ] = ()
    references: Annotated[
        Path | None,
        Setting(
            "What people wrote of the songs, to compare with: Song Describer's CSV, a manifest (its artists and lyrics "
            "count, too), or a folder of recap prepare.",
            SCORED,
            default="those in the first file that has some",
        ),
    ] = None
    subset: Annotated[
        Literal["all", "validated"], Setting("Which of Song Describer's captions are references.", SCORED)
    ] = "all"
    lyrics: Annotated[
        Path | None,
        Setting("Folder with the songs' lyrics: MulJam's, or text files called after the songs.", SCORED),
    ] = None
    split: Annotated[str, Setting("Songs to score: test, validation, or another split of the data.", SCORED)] = "test"
    common: Annotated[
        bool,
        Setting(
            "Score the songs that all files have, and --lyrics where it is named. Else a song that a file lacks is an "
            "error.",
            SCORED,
        ),
    ] = False
    limit: Annotated[int | None, Setting("Score this many songs only, for a quick look.", SCORED, minimum=1)] = None
    columns: Annotated[
        Columns,
        Setting(
            "Columns of files in a layout that is not known: prediction=response,song=audioid "
            "(also artist, title, lyrics).",
            READ,
            default="those of known layouts",
            read=Columns.parse,
        ),
    ] = KNOWN_COLUMNS
    song_key: Annotated[
        str | None,
        Setting(
            "Regular expression whose first group, found in a song's id, tells songs apart: 'track_0*(\\d+)'.",
            READ,
            default="the id; of an audio file, its name without folder, suffix and parts such as .2min",
        ),
    ] = None
    decoding: Annotated[DecodingOptions, Group(DecodingOptions, ("beams",))] = field(default_factory=DecodingOptions)

    protocol: Annotated[
        Literal["f1", "published"],
        Setting(
            "Which figures head the table: f1 of the best reference, or the recall of every caption, as the paper's "
            "published code scores.",
            MEASURED,
        ),
    ] = "f1"
    controls: Annotated[
        bool,
        Setting(
            "Also score captions moved to other songs, people's own captions, lyrics and one caption for all; and each "
            "run with wrong music and with wrong lyrics.",
            MEASURED,
        ),
    ] = False
    sort: Annotated[
        Literal["given", "score", "specificity"],
        Setting("Order of the systems in tables: by ROUGE-L, or by what it loses on other songs (--controls).", RESULT),
    ] = "given"
    against: Annotated[
        str,
        Setting(
            "Which system the others are compared with: a name, best (in ROUGE-L), or all for every pair.",
            MEASURED,
            default="the first",
        ),
    ] = ""
    cluster: Annotated[
        Literal["auto", "artist", "song"],
        Setting(
            "What intervals and tests take for independent: songs, or artists with all their songs; auto takes artists "
            "where they are known.",
            MEASURED,
        ),
    ] = "auto"
    embedding: Annotated[
        Path | None,
        Setting(
            "Also score the meaning of captions, by the sentence vectors of this model: a folder, or hf://OWNER/NAME.",
            MEASURED,
        ),
    ] = None
    tags: Annotated[
        Path | None,
        Setting("Also score facts by uploaders' tags: a table with a song and tags such as genre---rock.", MEASURED),
    ] = None
    alignment: Annotated[
        bool, Setting("Also measure how music and lyrics are aligned, and where the fusion looks.", MEASURED)
    ] = False
    cases: Annotated[
        CaseChoice,
        Setting(
            "Show the songs on which systems differ most on a page: how many (20), of which two systems (A,B), or both "
            "(A,B,20).",
            MEASURED,
            default="10 songs of all systems, where --report asks for the page",
            read=CaseChoice.parse,
        ),
    ] = CaseChoice()
    paper: Annotated[
        Path | None, Setting("CSV file with the figures that a paper printed, to stand beside these.", MEASURED)
    ] = None

    out: Annotated[
        Path | None,
        Setting(
            "Folder for captions, scores, plots and pages. Started again, it resumes.",
            RESULT,
            default="runs/eval/NAME, another for other systems, songs or protocol",
        ),
    ] = None
    report: Annotated[
        Path | None,
        Setting(
            "Write a page for a browser, one file: tables, figure, the songs where systems differ most, and a search "
            "in all songs.",
            RESULT,
            default="no page, with --cases report.html in --out",
        ),
    ] = None
    device: Annotated[Device, Setting("What to compute on; auto takes a GPU where there is one.", MACHINE)] = "auto"

    def __post_init__(self) -> None:
        check_settings(self)
        if self.data is None and not self.predictions:
            raise OptionError("There is nothing to score", "name --data or --predictions")
        if self.data is None and self.runs:
            raise OptionError("Runs caption songs, and no data folder is named", "name it with --data")
        self.check_files()
        if self.alignment and not self.models:
            raise OptionError("--alignment needs a model", "name a run instead of --predictions")
        if self.sort == "specificity" and not self.controls:
            raise OptionError("--sort specificity orders by what controls find", "add --controls")
        if self.against not in ("", "best", "all", *self.names):
            names = ", ".join(self.names)
            message = f"--against {self.against}: there is no such system"
            raise OptionError(message, f"choose best, all, or one of {names}")
        if self.cases.count and len(self.names) < 2:
            raise OptionError("--cases compares two systems", "name two runs, or a run and --predictions")
        if unknown := [name for name in self.cases.systems if name not in self.names]:
            raise OptionError(f"--cases: there is no system {unknown[0]}", f"choose two of {', '.join(self.names)}")

    def check_files(self) -> None:
        """Refuses what goes with files of captions only, and a pattern without a group (OptionError)."""
        if self.references is not None and (self.runs or self.data not in (None, UNNAMED)):
            raise OptionError(
                "--references and --data both say what people wrote", "name one of them; runs need --data"
            )
        if self.split != "test" and self.data is None and self.references is None:
            raise OptionError("--split names songs of a data folder", "name it with --data, or leave --split out")
        if self.subset != "all" and self.references is None:
            raise OptionError("--subset chooses among Song Describer's captions", "name them: --references FILE.csv")
        for flag in ("references", "lyrics", "common", "song_key"):
            if getattr(self, flag) and not self.predictions:
                named = f"--{flag.replace('_', '-')} goes with files of captions"
                raise OptionError(named, "name them: --predictions FILE")
        try:
            groups = 1 if self.song_key is None else re.compile(self.song_key).groups
        except re.error as error:
            raise OptionError(f"--song-key {self.song_key} is no pattern: {error}", "such as '([0-9]+)'") from error
        if not groups:
            raise OptionError(f"--song-key {self.song_key} has no group", "put what counts in brackets: '([0-9]+)'")

    @cached_property
    def files(self) -> tuple[Path, ...]:
        """The files of captions, without the names that were given to them."""
        return tuple(path for _, path in map(split_name, self.predictions))

    @property
    def inputs(self) -> list[Path]:
        """Further files that are read, which the result must not replace."""
        return [path for path in (self.paper, self.references) if path is not None]

    @property
    def models(self) -> tuple[Path | None, ...]:
        """The models to run; None stands for the embedded one."""
        return self.runs or (() if self.predictions else (None,))

    @cached_property
    def names(self) -> list[str]:
        """What the systems are called, models first."""
        models = [str(run or "embedded model") for run in self.models]
        given = [name for name, _ in map(split_name, self.predictions)]
        return name_systems(models + list(map(str, self.files)), [""] * len(models) + given)

    @property
    def shown_cases(self) -> int:
        """How many songs the page shows side by side; 0 where there is no page, or one system."""
        return self.cases.count or (USUAL_CASES if self.report is not None and len(self.names) > 1 else 0)

    @property
    def default_out(self) -> Path:
        """The folder where none is named: other systems, songs, captions or figures have another one."""
        scored = [self.names, list(map(str, (*self.models, *self.files))), str(self.data), self.split]
        made: list[object] = [self.limit, self.decoding.to_json(), self.protocol]
        made += [str(self.embedding), str(self.tags)] if self.embedding or self.tags else []
        # Controls of a run are added to its result, for which captions are resumed.
        made += [one for one in (self.against, self.cluster, self.controls and not self.models) if one not in USUAL]
        read = [str(self.references), self.subset, str(self.lyrics), self.common, self.columns.named, self.song_key]
        digest = hashlib.sha256(json_text([scored, made, read]).encode("utf-8", "replace")).hexdigest()[:8]
        more = f"-and-{len(self.names) - 1}-more" if len(self.names) > 1 else ""
        return Path("runs", "eval", f"{file_stem(self.names[0])}{more}-{digest}")


# names ----------------------------------------------------------------------------------------------------------------


def split_name(given: Path) -> tuple[str, Path]:
    """Returns the name and the file of `NAME=FILE`, "" for none; a file that is called so is one.

    Raises:
        OptionError: the name is empty.
    """
    name, mark, file = str(given).partition("=")
    if not mark or "/" in name or os.sep in name or os.path.exists(given):  # noqa: PTH110  too long a name is none
        return "", given
    if not name.strip() or not file:
        raise OptionError(f"--predictions {given} is no NAME=FILE", "give a name before the mark and a file behind it")
    return name.strip(), Path(file).expanduser()  # the shell leaves ~ alone behind a mark


def name_systems(sources: Sequence[str], given: Sequence[str] = ()) -> list[str]:
    """Returns a short name for each path, never a path: its last part, and the nearest folder that tells it apart.

    Where no folder does, and where names differ by case or by the form of their accents only, a number tells. Names
    that are `given`, where not "", stay as they are.

    Raises:
        OptionError: a name is given twice.
    """
    given = given or [""] * len(sources)
    fixed = [plain_name(name) for name in given if name]
    if twice := next((name for name in given if name and fixed.count(plain_name(name)) > 1), ""):
        raise OptionError(f"--predictions names two systems {twice}", "give each a name of its own")
    paths = [Path(source) for source in sources]
    lasts = [shorten(path.stem if path.suffix.lower() in FILES_OF_CAPTIONS else path.name or ".") for path in paths]
    names: list[str] = []
    taken = set(fixed)
    for path, last, fix in zip(paths, lasts, given, strict=True):
        if fix:
            names.append(fix)
            continue
        alike = [other for other, same in zip(paths, lasts, strict=True) if plain_name(same) == plain_name(last)]
        base = f"{last} ({shorten(folder)})" if len(alike) > 1 and (folder := telling_folder(path, alike)) else last
        name, number = base, 2
        while plain_name(name) in taken:
            name, number = f"{base} ({number})", number + 1
        taken.add(plain_name(name))
        names.append(name)
    return names


def telling_folder(path: Path, alike: Sequence[Path]) -> str:
    """Returns the nearest folder above a path, or its suffix, that no other of some paths has there; "" for none."""
    for level in range(len(path.parts) - 1):
        above = [plain_name(other.parents[level].name) for other in alike if len(other.parents) > level]
        folder = path.parents[level].name
        if folder and above.count(plain_name(folder)) == 1:
            return folder
    suffixes = [other.suffix for other in alike]
    return path.suffix[1:] if suffixes.count(path.suffix) == 1 else ""


def shorten(name: str) -> str:
    """Returns a name without the middle where it is long."""
    half = LONGEST_NAME // 2 - 2
    return name if len(name) <= LONGEST_NAME else f"{name[:half]}...{name[-half:]}"
