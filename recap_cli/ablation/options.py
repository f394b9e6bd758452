"""What `recap ablate` is asked for."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from recap_cli.ablation.conditions import BASELINES, FUSION, Condition
from recap_cli.errors import OptionError
from recap_cli.runtime.options import DecodingOptions
from recap_cli.settings import MACHINE, RESULT, Device, Group, Setting, check_distinct, check_settings
from recap_cli.training.options import Interventions, TrainOptions

COMPARED, SHARED = "What is compared", "What all runs share"


@dataclass(frozen=True)
class AblateOptions:
    """What to sweep."""

    data: Annotated[
        Path,
        Setting(
            "Folder that recap prepare made.", argument="DATA", default="./data, else the demo corpus of made-up songs"
        ),
    ]
    weights: Annotated[
        tuple[float, ...],
        Setting("Weights of the alignment loss (alpha) to try; 0 is always trained, too.", COMPARED, minimum=0),
    ] = (1e-3, 2e-2, 1e-1)
    losses: Annotated[
        tuple[Literal["positive", "infonce", "infonce-symmetric"], ...],
        Setting(
            "Alignment losses to try with every weight.", COMPARED, flag="--alignment-losses", default="the recipe's"
        ),
    ] = ()
    align_layers: Annotated[
        tuple[int, ...],
        Setting(
            "Encoder layers, counted from 0, whose lyrics states are aligned; each is tried with every weight.",
            COMPARED,
            default="the recipe's",
        ),
    ] = ()
    baselines: Annotated[
        tuple[str, ...],
        Setting(
            "Also train BART without music, with another song's music, and with a learned sequence as music.",
            COMPARED,
            stands_for=tuple(BASELINES),
        ),
    ] = ()
    seeds: Annotated[
        int,
        Setting(
            "Runs of each setting. A seed gives all settings the same start and the same order of songs; from 5 on, "
            "differences between settings are tested.",
            COMPARED,
            minimum=1,
        ),
    ] = 1

    train: Annotated[  # fields of TrainOptions
        dict[str, Any], Group(TrainOptions, ("recipe", "bart", "music_encoder", "epochs"), SHARED)
    ] = field(default_factory=dict)
    study: Interventions = field(default_factory=Interventions)
    limit: Annotated[
        int | None, Setting("Train and score on this many songs only, for a quick look.", SHARED, minimum=1)
    ] = None
    split: Annotated[str, Setting("Songs to score: test, validation, or another split of the data.", SHARED)] = "test"
    decoding: DecodingOptions = field(default_factory=DecodingOptions)

    out: Annotated[
        Path,
        Setting("Folder of the runs, the table and Figure 2. Started again, finished runs are not repeated.", RESULT),
    ] = Path("runs/ablation")
    results: Path | None = None  # the file of finished runs; None is results.jsonl in `out`
    device: Annotated[Device, Setting("What to compute on; auto takes a GPU where there is one.", MACHINE)] = "auto"
    jobs: Annotated[
        int | None,
        Setting(
            "Runs at a time.", MACHINE, default="one a GPU; on a CPU one a core for demo songs, else one", minimum=1
        ),
    ] = None

    def __post_init__(self) -> None:
        check_settings(self)
        TrainOptions(self.data, **self.train)  # checks what all runs share
        if not self.weights:
            raise OptionError("--weights names no weight", "give numbers such as 1e-3,2e-2,1e-1")
        check_distinct("--weights", self.weights)
        check_distinct("--alignment-losses", self.losses)
        check_distinct("--align-layers", self.align_layers)
        for name in self.baselines:
            if name not in BASELINES:
                raise OptionError(f"--baselines: {name} is not known", f"choose from {', '.join(BASELINES)}")

    @property
    def inputs(self) -> list[Path]:
        """The files and folders that are read; what is written must not be one of them, nor hold one."""
        named = [self.train.get(name) for name in ("bart", "music_encoder", "init")]
        return [self.data, *(Path(path) for path in named if path and Path(path).exists())]

    def conditions(self, loss: str) -> list[Condition]:
        """Returns all conditions, alpha 0 first; `loss` is the recipe's, for where none is asked for."""
        chosen = [name for name in self.baselines if name != FUSION]
        swept = [
            Condition("", weight, one, layer)
            for one in self.losses or (loss,)
            for layer in self.align_layers or (None,)
            for weight in sorted(self.weights)
            if weight > 0
        ]
        return [Condition(FUSION), *(Condition(name) for name in chosen), *swept]
