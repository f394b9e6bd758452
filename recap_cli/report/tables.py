"""Results to tables."""

from recap_cli.progress import Table
from recap_cli.scoring.uncertainty import Interval
from recap_cli.workflows.ablate import AblateResult
from recap_cli.workflows.evaluate import EvaluateResult
from recap_cli.workflows.recipes import RECIPE_LINES, RECIPES
from recap_cli.workflows.train import TrainResult

HEADINGS = {"rouge1": "ROUGE-1", "rouge2": "ROUGE-2", "rougeL": "ROUGE-L", "meteor": "METEOR", "bleu": "BLEU"}


def percent(interval: Interval) -> str:
    """Write a share as points with its 95 % interval."""
    return f"{100 * interval.mean:.1f} [{100 * interval.low:.1f}, {100 * interval.high:.1f}]"


def train_table(result: TrainResult) -> Table:
    """The best epoch of a run."""
    best = result.figures["best"]
    rows = [[name.replace("_", " "), f"{value:g}"] for name, value in best.items()]
    title = f"{'Trained' if result.trained else 'Trained before:'} {result.out}: best epoch on the validation songs"
    return Table(title, ["", ""], rows)


def evaluate_table(result: EvaluateResult) -> Table:
    """Scores of all systems, as the paper's Table 1 has them."""
    protocol = "F1" if result.protocol == "f1" else "recall"
    names = list(result.systems[0].intervals)
    columns = ["run", *(f"{HEADINGS[name]} {protocol if 'rouge' in name else ''}".strip() for name in names)]
    rows = []
    for system in result.systems:
        cells = [
            percent(interval) if name != "bleu" else f"{interval.mean:.1f} [{interval.low:.1f}, {interval.high:.1f}]"
            for name, interval in system.intervals.items()
        ]
        means = system.scores.means()
        rows.append([system.name, *cells, f"{means['length']:.1f}", f"{100 * system.scores.distinct:.0f} %"])
    title = f"{len(result.systems[0].captions)} songs of split {result.split}, protocol {result.protocol}"
    return Table(title, [*columns, "words", "distinct"], rows, f"95 % intervals over songs. {result.signature}")


def attribute_table(result: EvaluateResult) -> Table | None:
    """Attribute accuracy on demo songs, beside what one input alone could reach."""
    if not result.oracles:
        return None
    rows = {system.name: system.attributes for system in result.systems} | result.oracles
    names = list(next(iter(rows.values())))
    body = [[label, *(f"{100 * shares[name]:.1f}" for name in names)] for label, shares in rows.items()]
    return Table("Captions that name an attribute of the made-up song correctly, in %", ["", *names], body)


def comparison_table(result: EvaluateResult) -> Table | None:
    """Later runs against the first."""
    if not result.comparisons:
        return None
    rows = [[name, percent(found.difference), f"{found.p:.4f}"] for name, found in result.comparisons.items()]
    return Table(
        f"ROUGE-L minus that of {result.systems[0].name}, paired by song",
        ["run", "difference", "p"],
        rows,
        "95 % interval of a paired bootstrap; p of approximate randomisation, not corrected for several runs",
    )


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
            f"{arm.matched:.3f} / {arm.mismatched:.3f}",
        ]
        for arm in result.arms
    ]
    columns += (["all attributes right"] if with_attributes else []) + ["cosine matched / mismatched"]
    claim = "one seed: no claim" if result.seeds == 1 else f"{result.seeds} seeds, intervals over seeds and songs"
    return Table(f"Weight of the alignment loss, {result.songs} songs ({claim})", columns, rows, result.signature)


def recipe_table() -> Table:
    """Every recipe setting and who set it."""
    rows = [
        [line.setting.replace("_", "-"), *(str(getattr(line, name)) for name in RECIPES), line.source]
        for line in RECIPE_LINES
    ]
    return Table("Recipes", ["setting", *RECIPES, "set by"], rows)
