"""What `recap eval` is asked for, what the systems are called, and where the result goes."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

from recap_cli.errors import OptionError
from recap_cli.escaping import json_text
from recap_cli.outputs import file_stem, plain_name
from recap_cli.runtime.options import DecodingOptions
from recap_cli.settings import MACHINE, RESULT, Device, Group, Setting, check_settings

SCORED, MEASURED = "What is scored", "What is measured"
FILES_OF_CAPTIONS = (".jsonl", ".json", ".csv", ".tsv")
LONGEST_NAME = 32  # letters: with six figures beside it, a row fits 100 columns
USUAL_CASES = 10


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
            default="./data, else the demo corpus; with --predictions alone, the references in the first file",
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
            "Captions of another system (JSON lines, JSON or CSV), scored without a model. Can be given several times.",
            SCORED,
        ),
    ] = ()
    split: Annotated[str, Setting("Songs to score: test, validation, or another split of the data.", SCORED)] = "test"
    limit: Annotated[int | None, Setting("Score this many songs only, for a quick look.", SCORED, minimum=1)] = None
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
        if self.alignment and not self.models:
            raise OptionError("--alignment needs a model", "name a run instead of --predictions")
        if self.sort == "specificity" and not self.controls:
            raise OptionError("--sort specificity orders by what controls find", "add --controls")
        if self.against not in ("", "best", "all", *self.names):
            names = ", ".join(self.names)
            raise OptionError(
                f"--against {self.against}: there is no such system", f"choose best, all, or one of {names}"
            )
        if self.cases.count and len(self.names) < 2:
            raise OptionError("--cases compares two systems", "name two runs, or a run and --predictions")
        if unknown := [name for name in self.cases.systems if name not in self.names]:
            raise OptionError(f"--cases: there is no system {unknown[0]}", f"choose two of {', '.join(self.names)}")

    @property
    def models(self) -> tuple[Path | None, ...]:
        """The models to run; None stands for the embedded one."""
        return self.runs or (() if self.predictions else (None,))

    @cached_property
    def names(self) -> list[str]:
        """What the systems are called, models first."""
        return name_systems([str(run or "embedded model") for run in self.models] + list(map(str, self.predictions)))

    @property
    def shown_cases(self) -> int:
        """How many songs the page shows side by side; 0 where there is no page, or one system."""
        return self.cases.count or (USUAL_CASES if self.report is not None and len(self.names) > 1 else 0)

    @property
    def default_out(self) -> Path:
        """The folder where none is named: other systems, songs, captions or figures have another one."""
        scored = [self.names, [str(run) for run in (*self.models, *self.predictions)], str(self.data), self.split]
        made = [self.limit, self.decoding.to_json(), self.protocol]
        digest = hashlib.sha256(json_text([scored, made]).encode("utf-8", "replace")).hexdigest()[:8]
        more = f"-and-{len(self.names) - 1}-more" if len(self.names) > 1 else ""
        return Path("runs", "eval", f"{file_stem(self.names[0])}{more}-{digest}")


# names ----------------------------------------------------------------------------------------------------------------


def name_systems(sources: Sequence[str]) -> list[str]:
    """Returns a short name for each path, never a path: its last part, and the nearest folder that tells it apart.

    Where no folder does, and where names differ by case or by the form of their accents only, a number tells.
    """
    paths = [Path(source) for source in sources]
    lasts = [shorten(path.stem if path.suffix.lower() in FILES_OF_CAPTIONS else path.name or ".") for path in paths]
    names: list[str] = []
    taken: set[str] = set()
    for path, last in zip(paths, lasts, strict=True):
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
