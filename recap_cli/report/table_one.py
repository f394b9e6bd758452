"""The paper's Table 1 and the differences in it: for a terminal, a page and a paper."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

from recap_cli.escaping import csv_cell, latex_text, markdown_cell
from recap_cli.evaluation.evaluate import EvaluateResult
from recap_cli.evaluation.systems import FULL
from recap_cli.progress import Table
from recap_cli.scoring.bootstrap import Interval
from recap_cli.scoring.seeds import ENOUGH_SEEDS
from recap_cli.scoring.text import HEADLINE, protocol_named

HEADINGS = {
    "rouge1": "ROUGE-1",
    "rouge2": "ROUGE-2",
    "rougeL": "ROUGE-L",
    "meteor": "METEOR",
    "bleu": "BLEU",
    "chrf": "chrF",
}
TESTS = {
    "songs": "one run a side: this compares two models, not two ways of training; interval of a paired bootstrap "
    "over songs, p of approximate randomisation",
    "paired seeds": "runs of the same seeds, paired; Student's t, seeds and songs both a sample",
    "Welch": "runs of other seeds; Welch's t, seeds and songs both a sample",
    "Student": "one run against several, taken to vary as they do; Student's t, seeds and songs both a sample",
}
PRINTED = "as printed in the paper, on another corpus"


@dataclass(frozen=True)
class Line:
    """A row of Table 1."""

    model: str  # BART, BART-fusion, RECAP or a system's own name
    run: str  # the run, or where the figures are from
    cells: tuple[str, ...]  # a text for each figure of `HEADLINE`


def percent(interval: Interval) -> str:
    """Returns a share as points with its 95 % interval."""
    return f"{100 * interval.mean:.1f} [{100 * interval.low:.1f}, {100 * interval.high:.1f}]"


def points(interval: Interval) -> str:
    """Returns a figure from 0 to 100 with its 95 % interval."""
    return f"{interval.mean:.1f} [{interval.low:.1f}, {interval.high:.1f}]"


def group_lines(result: EvaluateResult) -> dict[str, list[Line]]:
    """Returns the rows of each variant of training captions: Full first, then the others as they come."""
    groups: dict[str, list[Line]] = {}
    for row in result.paper:
        cells = tuple(f"{row.figures[name]:.1f}" if name in row.figures else "" for name in HEADLINE)
        groups.setdefault(row.variant, []).append(Line(row.model, PRINTED, cells))
    for entry in result.entries:
        cells = tuple(percent(entry.intervals[name]) for name in HEADLINE)
        groups.setdefault(entry.origin.variant, []).append(Line(entry.origin.model, entry.name, cells))
    return dict(sorted(groups.items(), key=lambda group: (group[0] != FULL, group[0] == "")))


def headings(protocol: str) -> dict[str, str]:
    """Returns the headings of the figures of `HEADLINE`, the part of ROUGE named."""
    part = {"f1": "F1"}.get(protocol_named(protocol).part, "recall")
    return {name: f"{HEADINGS[name]} {part}" if "rouge" in name else HEADINGS[name] for name in HEADLINE}


def title_of(result: EvaluateResult) -> str:
    """Says what was scored."""
    where = f"split {result.split}" if result.split else str(result.data)
    return f"{len(result.systems[0].captions)} songs of {where}, protocol {result.protocol}"


def notes_of(result: EvaluateResult) -> list[str]:
    """Returns the lines below the table."""
    notes = ["95 % intervals over songs"]
    if any(len(entry.systems) > 1 for entry in result.entries):
        notes[0] = "95 % intervals over songs; over seeds and songs where there are several seeds"
    if result.paper:
        notes.append("rows without intervals are the paper's own figures, from another corpus: not comparable")
    return [*notes, result.signature]


def table_one(result: EvaluateResult) -> Table:
    """Table 1 for a terminal; a variant's name stands above its rows where there are several."""
    groups = group_lines(result)
    # Files of captions tell of no model.
    named = any(line.model for lines in groups.values() for line in lines)
    rows: list[list[str]] = []
    for variant, lines in groups.items():
        if len(groups) > 1:
            rows.append([f"trained on: {variant or 'not known'}", *[""] * (named + len(HEADLINE))])
        rows += [[*([line.model] if named else []), line.run, *line.cells] for line in lines]
    columns = [*(["model"] if named else []), "run", *headings(result.protocol).values()]
    return Table(title_of(result), columns, rows, "; ".join(notes_of(result)))


def contrast_table(result: EvaluateResult) -> Table | None:
    """Later rows of Table 1 against the first."""
    if not result.contrasts:
        return None
    names = {**HEADINGS, **headings(result.protocol)}
    rows = [
        [
            found.name,
            names[found.figure],
            (percent if found.figure in HEADLINE else points)(found.comparison.difference),
            f"{found.comparison.p:.4f}",
            f"{found.p_holm:.4f} {found.stars}".rstrip(),
            found.test,
        ]
        for found in result.contrasts
    ]
    notes = [
        f"Holm: corrected for the {len(rows)} comparisons of this table; * below 0.05, ** below 0.01, *** below 0.001 "
        "after correction"
    ]
    used = {found.test for found in result.contrasts}
    notes += [f"{name}: {words}" for name, words in TESTS.items() if name in used]
    if used != {"songs"}:
        notes.append(f"below {ENOUGH_SEEDS} seeds a side no stars")
    columns = ["run", "figure", "difference", "p", "p, Holm", "test"]
    return Table(f"Differences to {result.entries[0].name}, paired by song", columns, rows, "; ".join(notes))


def markdown_table(table: Table) -> str:
    """Any table in Markdown; what stands in it is no markup."""

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(map(markdown_cell, cells)) + " |"

    rule = "|---|" + "---:|" * (len(table.columns) - 1)
    rows = [line(row) for row in table.rows]
    return "\n".join(
        [f"**{markdown_cell(table.title)}**", "", line(table.columns), rule, *rows, "", markdown_cell(table.caption)]
    ).rstrip("\n")


def to_latex(result: EvaluateResult) -> str:
    """Table 1 for a paper: needs only the package booktabs."""
    columns = ["Model", "Run", *headings(result.protocol).values()]
    body: list[str] = []
    for variant, lines in group_lines(result).items():
        body.append(r"\midrule")
        body.append(
            rf"\multicolumn{{{len(columns)}}}{{l}}{{\emph{{Trained on: {latex_text(variant or 'not known')}}}}} \\"
        )
        body += [" & ".join(map(latex_text, (line.model, line.run, *line.cells))) + r" \\" for line in lines]
    notes = latex_text("; ".join(notes_of(result)))
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            rf"\begin{{tabular}}{{ll{'r' * len(HEADLINE)}}}",
            r"\toprule",
            " & ".join(columns) + r" \\",
            *body,
            r"\bottomrule",
            r"\end{tabular}",
            rf"\caption{{{latex_text(title_of(result))}. {notes}.}}",
            r"\end{table}",
        ]
    )


def to_csv(result: EvaluateResult) -> str:
    """All figures of Table 1 and of the controls, one a line, in points; no name in it is a formula."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["kind", "variant", "model", "name", "seeds", "figure", "points", "low", "high", "protocol"])

    def write(kind: str, variant: str, model: str, name: str, seeds: int, found: dict[str, Interval]) -> None:
        for figure, one in found.items():
            scale = 100 if figure in HEADLINE else 1
            cells = [f"{scale * value:.4f}" for value in (one.mean, one.low, one.high)]
            writer.writerow([kind, *map(csv_cell, (variant, model, name)), seeds, figure, *cells, result.protocol])

    for row in result.paper:
        for figure, value in row.figures.items():
            head = ["paper", csv_cell(row.variant), csv_cell(row.model), PRINTED]
            writer.writerow([*head, "", figure, f"{value:.4f}", "", "", ""])
    for entry in result.entries:
        origin = entry.origin
        write("run", origin.variant, origin.model, entry.name, len(entry.systems), entry.intervals)
    for report in result.controls:
        for control in report.controls:
            write("control", "", report.name, control.name, 1, control.system.intervals)
    return text.getvalue().rstrip("\n")
