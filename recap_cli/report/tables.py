"""Results to tables."""

from recap_cli.progress import Table
from recap_cli.report.table_one import HEADINGS, percent
from recap_cli.workflows.ablate import AblateResult
from recap_cli.workflows.estimate import Estimate
from recap_cli.workflows.train import TrainResult


def train_table(result: TrainResult) -> Table:
    """The best epoch of a run."""
    best = result.figures["best"]
    rows = [[name.replace("_", " "), f"{value:g}"] for name, value in best.items()]
    title = f"{'Trained' if result.trained else 'Trained before:'} {result.out}: best epoch on the validation songs"
    share = f"Validation took {100 * result.validation_share:.0f} % of the time." if result.trained else ""
    return Table(title, ["", ""], rows, share)


def estimate_table(expected: Estimate) -> Table:
    """What a training would take."""
    rows = [
        ["captions to learn from", f"{expected.examples:,}"],
        ["steps", f"{expected.steps:,}"],
        ["parameters that are trained", f"{expected.parameters:,}"],
        ["seconds a step", f"{expected.step_seconds:.2f}"],
        ["hours, validation not counted", f"{expected.hours:.2f}"],
        [f"memory at the peak ({expected.device})", f"{expected.memory_gb:.1f} GB"],
    ]
    return Table("A training run with these settings", ["", ""], rows, f"Measured on {expected.measured} real steps.")


def ablate_table(result: AblateResult) -> Table:
    """The sweep over alpha."""
    columns = ["alpha", *(HEADINGS[name] for name in result.arms[0].figures), "ROUGE-L minus alpha 0"]
    with_attributes = bool(result.arms[0].attributes)
    rows = [
        [
            f"{arm.alpha:g}",
            *(percent(interval) for interval in arm.figures.values()),
            percent(arm.difference) if arm.difference else "",
            *([f"{100 * arm.attributes['all']:.1f}"] if with_attributes else []),
            " / ".join("-" if value is None else f"{value:.3f}" for value in (arm.matched, arm.mismatched)),
        ]
        for arm in result.arms
    ]
    columns += (["all attributes right"] if with_attributes else []) + ["cosine matched / mismatched"]
    claim = "one seed: no claim" if result.seeds == 1 else f"{result.seeds} seeds, intervals over seeds and songs"
    return Table(f"Weight of the alignment loss, {result.songs} songs ({claim})", columns, rows, result.signature)
