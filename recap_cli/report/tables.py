"""Plain tables of what `caption`, `train` and `ablate` did, or would do."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recap_cli.progress import Table
from recap_cli.scoring.bootstrap import Interval
from recap_cli.scoring.seeds import ENOUGH_SEEDS

if TYPE_CHECKING:  # each command loads its own results only
    from recap_cli.ablation.ablate import SweepPlan
    from recap_cli.ablation.results import AblateResult, ConditionSummary
    from recap_cli.ablation.seed_differences import SeedDifference
    from recap_cli.training.train import Estimate, TrainResult

MEASURE_NAMES = {
    "figures": {
        "rougeL_recall": "ROUGE-L recall",
        "rougeL_mean": "ROUGE-L F1, mean of references",
        "rougeL_single": "ROUGE-L F1, one reference",
    },
    "attributes": {"all": "all attributes right, %"},
    "measures": {
        "unseen_attributes": "attributes of unseen pairs, %",
        "music_following": "sound words that follow swapped music, %",
        "caption_loss": "caption loss",
        "gap": "cosine gap",
        "probe_gap": "cosine gap, probe",
        "recall_at_10": "lyrics from music, R@10, %",
        "probe_recall_at_10": "R@10, probe, %",
        "attention_entropy": "attention entropy",
        "attention_swapped": "attention change under other music",
    },
}
VALIDATION_NAMES = {
    "rougeL": "ROUGE-L F1",
    "meteor": "METEOR",
    "caption_loss": "caption loss, nats a token",
    "matched_cosine": "cosine, music and own lyrics",
    "mismatched_cosine": "cosine, music and other lyrics",
}
FIGURE_NAMES = {"rougeL": "ROUGE-L F1", "meteor": "METEOR", "attributes": "attributes named rightly"}


def duration(seconds: float) -> str:
    """Returns a time as people say it."""
    if seconds < 100:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def catalogue_table(plan: dict[str, Any]) -> Table:
    """What captioning many songs would take."""
    minutes = round(60 * plan["hours"])
    rows = [
        ["songs", f"{plan['songs']:,}"],
        ["captioned before", f"{plan['done_before']:,}"],
        ["to caption", f"{plan['to_caption']:,}"],
        ["of these, cannot be read", f"{plan['unreadable']:,}"],
        ["of these, with lyrics (tags not counted)", f"{plan['with_lyrics']:,}"],
        ["songs an hour", f"{plan['songs_per_hour']:,}"],
        ["time", f"{minutes // 60} h {minutes % 60} min" if minutes else "less than a minute"],
    ]
    note = f"measured on {plan['measured_on']} songs, decoded one after the other; nothing was written"
    return Table(f"Captioning {plan['source']} would take", ["", ""], rows, note)


def train_table(result: "TrainResult") -> Table:
    """The best epoch of a run."""
    best = result.figures["best"]
    last = result.log[-1]["epoch"] if result.log else best["epoch"]
    rows = [["best epoch", f"{best['epoch']:g} of {last:g}, step {best['step']:,}"]]
    for name, words in VALIDATION_NAMES.items():
        if name in best:
            rows.append([words, f"{100 * best[name]:.1f}" if name in FIGURE_NAMES else f"{best[name]:.3f}"])
    if result.trained:
        rows.append(["validation took", f"{100 * result.validation_share:.0f} % of the time"])
    title = f"{'Trained' if result.trained else 'Trained before:'} {result.out}"
    note = "Of the validation songs, which also chose the epoch; ROUGE-L and METEOR from 0 to 100."
    return Table(title, ["", ""], rows, note)


def next_steps(result: "TrainResult", data: Path) -> str:
    """Returns the two commands that people type after a training: to caption with the run, and to score it."""
    run, data_folder = shlex.quote(str(result.out)), shlex.quote(str(data))
    return f"Caption with it: recap caption song.mp3 --model {run}\nScore it: recap eval {run} --data {data_folder}"


def estimate_table(expected: "Estimate") -> Table:
    """What a training would take."""
    rows = [
        ["run folder", expected.out],
        ["music encoder", expected.music_encoder],
        ["captions", f"{expected.examples:,}"],
        ["steps", f"{expected.steps:,}"],
        ["trained parameters", f"{expected.parameters:,}"],
        ["time a step", f"{expected.step_seconds:.2f} s"],
        ["time of all steps", duration(3600 * expected.hours)],
        [f"peak memory ({expected.device})", f"{expected.memory_gb:.1f} GB"],
    ]
    steps = "1 real step" if expected.measured == 1 else f"{expected.measured} real steps"
    note = f"Measured on {steps}; pretraining and validation come on top. Nothing was written."
    return Table("A training with these settings", ["", ""], rows, note)


def ablate_table(result: "AblateResult") -> Table:
    """The sweep over alpha: intervals stand below their means, so that it fits 80 columns."""
    optional = {
        "right": any("attributes" in one.figures for one in result.conditions),
        "minus alpha 0": any(one.differences for one in result.conditions),
        "p, Holm": any(one.differences and one.differences["rougeL"].p is not None for one in result.conditions),
        "cosine": any(cosine_cell(one) for one in result.conditions),
    }
    rows = []
    for one in result.conditions:
        effect = one.differences.get("rougeL")
        cells = {
            "condition": one.condition.name + (" (best)" if one.condition == result.best else ""),
            "seeds": seeds_cell(one),
            "ROUGE-L F1": stacked(one.figures["rougeL"]),
            "METEOR": f"{100 * one.figures['meteor'].mean:.1f}" if "meteor" in one.figures else "",
            "right": f"{100 * one.figures['attributes'].mean:.1f}" if "attributes" in one.figures else "",
            "minus alpha 0": stacked(effect.difference, "+.1f") if effect else "",
            "p, Holm": effect_p(effect),
            "cosine": cosine_cell(one),
        }
        rows.append({name: cell for name, cell in cells.items() if optional.get(name, True)})
    title = f"Weight of the alignment loss, {result.songs:,} songs ({result.claim})"
    return Table(title, list(rows[0]), [list(row.values()) for row in rows], ablate_caption(result, optional))


def ablate_caption(result: "AblateResult", shown: dict[str, bool]) -> str:
    """What the columns are, and what the sweep says."""
    over = "songs" if result.seeds == 1 else "seeds and songs"
    notes = [result.verdict, f"95 % intervals over {over}"]
    if shown["minus alpha 0"]:
        notes.append("minus alpha 0: in ROUGE-L F1, on the seeds that both have")
    if shown["right"]:
        notes.append("right: attributes of the made-up song named rightly, in %")
    if shown["cosine"]:
        notes.append("cosine: of matched / other songs' music and lyrics")
    if any("probe_matched" in one.measures for one in result.conditions):
        notes.append("of alpha 0: by a probe that leaves it unchanged")
    if shown["p, Holm"]:
        notes.append(f"* p < .05, ** p < .01, *** p < .001, not below {ENOUGH_SEEDS} seeds")
    if any("(" in seeds_cell(one) for one in result.conditions):
        notes.append("seeds in brackets: those that alpha 0 has too")
    return "\n".join([*notes, result.signature])


def seeds_cell(one: "ConditionSummary") -> str:
    """The number of seeds, and how many of them alpha 0 has too, where these are fewer."""
    effect = one.differences.get("rougeL")
    common = f" ({effect.seeds})" if effect and effect.seeds < len(one.seeds) else ""
    return f"{len(one.seeds)}{common}"


def stacked(interval: Interval, form: str = ".1f") -> str:
    """Returns a share in points, its interval below it."""
    mean, low, high = (format(100 * value, form) for value in (interval.mean, interval.low, interval.high))
    return f"{mean}\n[{low}, {high}]"


def effect_p(effect: "SeedDifference | None") -> str:
    """Returns a corrected p value with its stars; nothing where there is no claim."""
    if effect is None or effect.p_holm is None:
        return ""
    p = "<.0001" if effect.p_holm < 0.0001 else f"{effect.p_holm:.4f}".lstrip("0")
    return f"{p}\n{effect.stars}".rstrip()


def cosine_cell(one: "ConditionSummary") -> str:
    """Returns the cosines of matched and mismatched music and lyrics; those of the probe where there is one."""
    for names in (("probe_matched", "probe_mismatched"), ("matched", "mismatched")):
        if all(name in one.measures for name in names):
            return "\n".join(f"{one.measures[name]:.3f}" for name in names)
    return ""


def measures_table(result: "AblateResult") -> Table:
    """Other figures of the test songs, means over seeds: shares in %, losses in nats a token, cosines as they are."""
    present = [
        (kind, name)
        for kind, names in MEASURE_NAMES.items()
        for name in names
        if any(measure_cell(one, kind, name) for one in result.conditions)
    ]
    rows = [
        [one.condition.name, *(measure_cell(one, kind, name) for kind, name in present)] for one in result.conditions
    ]
    columns = ["condition", *(MEASURE_NAMES[kind][name] for kind, name in present)]
    return Table(f"Other figures of {result.songs:,} songs, means over seeds", columns, rows)


def measures_tables(result: "AblateResult", columns: int = 4) -> list[Table]:
    """The same with a column a condition, a few conditions a table, so that it fits 80 columns."""
    whole = measures_table(result)
    tables = []
    for first in range(0, len(whole.rows), columns):
        chosen = whole.rows[first : first + columns]
        names = [row[0].replace(" (", "\n(").replace(", ", ",\n") for row in chosen]
        rows = [[name, *(row[place] for row in chosen)] for place, name in enumerate(whole.columns) if place]
        tables.append(Table(whole.title if not first else "", ["", *names], rows))
    return tables


def measure_cell(one: "ConditionSummary", kind: str, name: str) -> str:
    """Returns a mean; nothing where the condition has none."""
    if kind == "figures":
        return f"{100 * one.figures[name].mean:.1f}" if name in one.figures else ""
    found = (one.attributes if kind == "attributes" else one.measures).get(name)
    if found is None:
        return ""
    return f"{100 * found:.1f}" if kind == "attributes" or MEASURE_NAMES[kind][name].endswith("%") else f"{found:.3f}"


def losses_table(result: "AblateResult") -> Table | None:
    """The alignment losses against each other, each at its best weight on the validation songs."""
    rows = [
        [
            f"{contrast.first.name} minus {contrast.second.name}",
            str(effect.seeds),
            FIGURE_NAMES[figure],
            stacked(effect.difference, "+.1f"),
            effect_p(effect),
        ]
        for contrast in result.losses
        for figure, effect in contrast.differences.items()
        if figure in FIGURE_NAMES
    ]
    if not rows:
        return None
    caption = "the test songs chose nothing\npaired by seed and song, p corrected after Holm over the pairs of losses"
    title = "Losses, each at its best weight on the validation songs"
    return Table(title, ["losses", "seeds", "figure", "difference", "p, Holm"], rows, caption)


def sweep_table(plan: "SweepPlan") -> Table:
    """A sweep that is to come."""
    rows = [[name, str(runs), str(done)] for name, runs, done in plan.conditions]
    left = sum(runs - done for _, runs, done in plan.conditions)
    caption = (
        f"{left} runs are left, {plan.jobs} at a time: about {duration(3600 * plan.hours)} "
        f"({duration(plan.run_seconds)} a run, by {plan.basis})."
    )
    return Table("The runs of this sweep", ["condition", "runs", "done"], rows, caption)
