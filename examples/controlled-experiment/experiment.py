"""The controlled experiment that the paper's Table 1 lacks: equal in all, and only the loss differs.

    python examples/controlled-experiment/experiment.py [--jobs 2] [--parts hard,easy]
    python examples/controlled-experiment/report.py

The first makes the data from their seeds, trains what `results/` does not hold yet, and adds a line a run; stopped or
killed, it resumes. The second turns the results into the tables and figures of this folder. What is compared, and what
counts as an answer, stands in README.md, which was written before the runs.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from recap_cli import AblateOptions, Interventions, PrepareOptions, ablate, console_progress, prepare

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
PROGRESS = console_progress()
AXIS = (1e-3, 5e-3, 2e-2, 1e-1, 5e-1)
TEST_SONGS = 500


@dataclass(frozen=True)
class Sweep:
    """Some conditions of a part, with the number of their seeds; alpha 0 is always among them."""

    weights: tuple[float, ...]
    seeds: int
    losses: tuple[str, ...] = ("positive",)
    baselines: tuple[str, ...] = ()

    def conditions(self) -> list[Any]:
        """Give its conditions."""
        return AblateOptions(Path(), self.weights, self.losses, baselines=self.baselines).conditions("")


@dataclass(frozen=True)
class Part:
    """Runs that share data and settings, and a file of results."""

    name: str
    difficulty: str
    sweeps: tuple[Sweep, ...]
    reason: str
    train: dict[str, Any] = field(default_factory=dict)
    study: Interventions = field(default_factory=Interventions)


# Where alignment could help: InfoNCE, strong enough to matter.
STRONG = (Sweep((0.1,), 5, ("infonce",)),)

# In the order of their weight: if time runs out, what is lacking is at the end.
PARTS = (
    Part(
        "hard",
        "hard",
        (
            Sweep((0.02,), 8, baselines=("bart",)),
            Sweep(AXIS, 5, ("positive", "infonce")),
            Sweep((0.02,), 5, baselines=("constant-music", "shuffled-music")),
        ),
        "the paper's setting: primary contrast, both axes, all controls",
    ),
    Part(
        "cleaner-captions",
        "hard",
        (Sweep((0.02,), 5),),
        "the paper's Votes > 0: does alignment gain more on cleaner captions?",
        train={"min_votes": 1},
    ),
    Part(
        "easy",
        "easy",
        (Sweep((0.02,), 5, baselines=("bart",)), Sweep((0.1, 0.5), 5, ("infonce",))),
        "the same question with clean audio and plain lyrics",
    ),
    Part(
        "few-captions",
        "hard",
        STRONG,
        "100 songs have captions, 1,300 more only audio and lyrics: alignment alone can learn from those; 12 "
        "epochs, for an epoch has a quarter of the steps",
        train={"epochs": 12},
        study=Interventions(captioned_songs=100),
    ),
    Part(
        "noisy-captions",
        "hard",
        STRONG,
        "40 % of the training captions belong to other songs; audio and lyrics still belong together",
        study=Interventions(caption_noise=0.4),
    ),
    Part(
        "noisy-audio",
        "hard",
        STRONG,
        "noise of the music states' own size: the lyrics could help to hear",
        study=Interventions(music_noise=1.0),
    ),
    Part(
        "trained-music",
        "hard",
        STRONG,
        "the music encoder is trained, too, so that alignment reaches both sides; InfoNCE's negatives prevent "
        "collapse; one epoch, for its steps cost many times as much",
        train={"train_music_encoder": True, "epochs": 1},
    ),
)


def make_data(difficulty: str, runs: Path) -> Path:
    """Prepare a demo corpus, or find it."""
    folder = runs / f"data-{difficulty}"
    prepare(PrepareOptions(out=folder, difficulty=difficulty, test_songs=TEST_SONGS), PROGRESS)
    return folder


def options_of(part: Part, runs: Path, data: Path, jobs: int | None) -> Iterator[AblateOptions]:
    """Give the sweeps of a part as `recap ablate` takes them."""
    for sweep in part.sweeps:
        yield AblateOptions(
            data=data,
            weights=sweep.weights,
            losses=sweep.losses,
            baselines=sweep.baselines,
            seeds=sweep.seeds,
            out=runs / part.name,
            train=part.train,
            study=part.study,
            device="auto",
            results=RESULTS / f"{part.name}.jsonl",
            jobs=jobs,
        )


def run(runs: Path, names: list[str], jobs: int | None) -> None:
    """Train what the results lack, part by part."""
    for part in PARTS:
        if part.name in names:
            data = make_data(part.difficulty, runs)
            for options in options_of(part, runs, data, jobs):
                ablate(options, PROGRESS)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="The controlled experiment.")
    parser.add_argument("--runs", type=Path, default=Path("runs/controlled-experiment"), help="data and weights")
    parser.add_argument("--parts", default=",".join(part.name for part in PARTS))
    parser.add_argument("--jobs", type=int, help="runs at a time; default: one a GPU, or one a core")
    arguments = parser.parse_args()
    run(arguments.runs, arguments.parts.split(","), arguments.jobs)


if __name__ == "__main__":
    main()
