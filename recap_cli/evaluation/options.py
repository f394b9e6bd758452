"""What `recap eval` is asked for."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from recap_cli.errors import OptionError
from recap_cli.runtime.options import DecodingOptions
from recap_cli.settings import MACHINE, RESULT, Device, Group, Setting, check_settings

SCORED, MEASURED = "What is scored", "What is measured"


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
        bool, Setting("Also score each run with wrong music, with wrong lyrics, and trivial captions.", MEASURED)
    ] = False
    alignment: Annotated[
        bool, Setting("Also measure how music and lyrics are aligned, and where the fusion looks.", MEASURED)
    ] = False
    cases: Annotated[
        int,
        Setting(
            "Write a page with this many songs on which the first two systems differ most; 0 writes none.",
            MEASURED,
            minimum=0,
        ),
    ] = 0
    paper: Annotated[
        Path | None, Setting("CSV file with the figures that a paper printed, to stand beside these.", MEASURED)
    ] = None

    out: Annotated[
        Path | None,
        Setting(
            "Folder for captions, scores, plots and pages. Started again, it resumes.", RESULT, default="runs/eval"
        ),
    ] = None
    device: Annotated[Device, Setting("What to compute on; auto takes a GPU where there is one.", MACHINE)] = "auto"

    def __post_init__(self) -> None:
        check_settings(self)
        if self.data is None and not self.predictions:
            raise OptionError("There is nothing to score", "name --data or --predictions")
        if self.data is None and self.runs:
            raise OptionError("Runs caption songs, and no data folder is named", "name it with --data")
        if (self.controls or self.alignment) and not self.models:
            raise OptionError("--controls and --alignment need a model", "name a run instead of --predictions")
        if self.cases and len(self.models) + len(self.predictions) < 2:
            raise OptionError("--cases compares two systems", "name two runs, or a run and --predictions")

    @property
    def models(self) -> tuple[Path | None, ...]:
        """The models to run; None stands for the embedded one."""
        return self.runs or (() if self.predictions else (None,))
