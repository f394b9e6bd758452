"""Systems side by side, as the paper's Table 1 has them, and their differences: for a terminal, a page and a paper."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

from recap_cli.escaping import csv_cell, latex_text, markdown_cell
from recap_cli.evaluation.evaluate import EvaluateResult
from recap_cli.evaluation.system_differences import MOST_TOLD, Contrast
from recap_cli.evaluation.systems import FULL, Entry, PaperRow
from recap_cli.progress import Table
from recap_cli.scoring.bootstrap import Interval
from recap_cli.scoring.seeds import ENOUGH_SEEDS
from recap_cli.scoring.text import HEADINGS, HEADLINE, KEYS, SUMMED, headings, protocol_named

TESTS = {
    "songs": "one run a side: this compares two models, not two ways of training; interval of a paired bootstrap "
    "over songs, p of approximate randomisation",
    "paired seeds": "runs of the same seeds, paired; Student's t, seeds and songs both a sample",
    "Welch": "runs of other seeds; Welch's t, seeds and songs both a sample",
    "Student": "one run against several, taken to vary as they do; Student's t, seeds and songs both a sample",
}
PRINTED = "as printed in the paper, on another corpus"
FIGURES = (*HEADLINE, *SUMMED)


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
        groups.setdefault(row.variant, []).append(Line(row.model, PRINTED, tuple(paper_cells(row, HEADLINE))))
    for entry in result.entries:
        cells = tuple(percent(entry.intervals[name]) for name in HEADLINE)
        groups.setdefault(entry.origin.variant, []).append(Line(entry.origin.model, entry.name, cells))
    return dict(sorted(groups.items(), key=lambda group: (group[0] != FULL, group[0] == "")))


def title_of(result: EvaluateResult) -> str:
    """Says what was scored."""
    where = f"split {result.split}" if result.split else result.data.name
    return f"{len(result.systems[0].captions):,} songs of {where}, protocol {result.protocol}"


def overview_table(result: EvaluateResult) -> Table:
    """The systems in a few figures each, a row a system: what the terminal shows without being asked for more."""
    signs = {(found.name, found.figure): found.sign for found in result.contrasts}
    rows = [[f"{row.model} (paper)", *paper_cells(row, FIGURES)] for row in result.paper]
    for entry in result.entries:
        rows.append([entry.name, *(overview_cell(entry, name, signs.get((entry.name, name), "")) for name in FIGURES)])
    notes = ["figures from 0 to 100", f"ROUGE: {protocol_named(result.protocol).aim}", "[95 % interval]"]
    if result.contrasts:
        notes.append(f"+ better, - worse than {result.entries[0].name} beyond chance (p below 0.05 after Holm)")
    if result.paper:
        notes.append("(paper): printed there, from another corpus, so not comparable")
    columns = ["system", *(HEADINGS[name] for name in FIGURES)]
    return Table(title_of(result), columns, rows, "\n".join(notes))


def overview_cell(entry: Entry, figure: str, sign: str) -> str:
    """Returns a figure in points with its sign; ROUGE-L with its interval, which a narrow screen puts below it."""
    found = entry.intervals[figure]
    mean = f"{scaled(figure) * found.mean:.1f} {sign}".rstrip()
    return f"{mean} [{100 * found.low:.1f}, {100 * found.high:.1f}]" if figure == "rougeL" else mean


def paper_cells(row: PaperRow, names: Sequence[str]) -> list[str]:
    """Returns a paper's own figures; "" for those that it leaves out."""
    return [f"{row.figures[name]:.1f}" if name in row.figures else "" for name in names]


def scaled(figure: str) -> int:
    """Returns what turns a headline figure into points from 0 to 100."""
    return 100 if figure in HEADLINE else 1


def notes_of(result: EvaluateResult) -> list[str]:
    """Returns the lines below the table."""
    notes = ["95 % intervals over songs"]
    if any(len(entry.systems) > 1 for entry in result.entries):
        notes[0] = "95 % intervals over songs; over seeds and songs where there are several seeds"
    if result.paper:
        notes.append("rows without intervals are the paper's own figures, from another corpus: not comparable")
    return [*notes, result.signature]


def table_one(result: EvaluateResult) -> Table:
    """Table 1 with all its intervals; a variant's name stands above its rows where there are several."""
    groups = group_lines(result)
    # Files of captions tell of no model.
    named = any(line.model for lines in groups.values() for line in lines)
    rows: list[list[str]] = []
    for variant, lines in groups.items():
        if len(groups) > 1:
            rows.append([f"trained on: {variant or 'not known'}", *[""] * (named + len(HEADLINE))])
        rows += [[*([line.model] if named else []), line.run, *line.cells] for line in lines]
    columns = [*(["model"] if named else []), "run", *(headings(result.protocol)[name] for name in HEADLINE)]
    return Table(title_of(result), columns, rows, "\n".join(notes_of(result)))


def contrast_table(result: EvaluateResult) -> Table | None:
    """Later rows of Table 1 against the first: every figure with its interval and p, or of many systems a matrix."""
    if not result.contrasts:
        return None
    title = f"Differences to {result.entries[0].name}, paired by song"
    notes = [
        f"p, Holm: corrected for the {len(result.contrasts)} comparisons; * below 0.05, ** below 0.01, *** below 0.001"
    ]
    used = {found.test for found in result.contrasts}
    notes += [f"{name}: {words}" for name, words in TESTS.items() if name in used]
    if used != {"songs"}:
        notes.append(f"below {ENOUGH_SEEDS} seeds a side no stars")
    if len(result.entries) > MOST_TOLD:
        notes.insert(0, "positive: better than the first; intervals and p of each stand in evaluation.json")
        return Table(title, ["run", *(HEADINGS[name] for name in FIGURES)], difference_rows(result), "\n".join(notes))
    names = headings(result.protocol)
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
    return Table(title, ["run", "figure", "difference", "p", "p, Holm", "test"], rows, "\n".join(notes))


def difference_rows(result: EvaluateResult) -> list[list[str]]:
    """Returns a row a later system: its differences to the first in points, starred."""
    found: dict[str, dict[str, Contrast]] = {}
    for one in result.contrasts:
        found.setdefault(one.name, {})[one.figure] = one

    def cell(one: Contrast) -> str:
        return f"{scaled(one.figure) * one.comparison.difference.mean:+.1f} {one.stars}".rstrip()

    return [[name, *(cell(own[figure]) for figure in FIGURES if figure in own)] for name, own in found.items()]


def markdown_table(table: Table) -> str:
    """Any table in Markdown; what stands in it is no markup."""

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(map(markdown_cell, cells)) + " |"

    rule = "|---|" + "---:|" * (len(table.columns) - 1)
    rows = [line(row) for row in table.rows]
    notes = markdown_cell(table.caption.replace("\n", "; "))
    return "\n".join([f"**{markdown_cell(table.title)}**", "", line(table.columns), rule, *rows, "", notes]).rstrip(
        "\n"
    )


def to_latex(result: EvaluateResult) -> str:
    """Table 1 and the differences in it for a paper: needs only the package booktabs."""
    columns = ["Model", "Run", *(headings(result.protocol)[name] for name in HEADLINE)]
    body: list[str] = []
    groups = group_lines(result)
    for variant, lines in groups.items():
        body.append(r"\midrule")
        if variant or len(groups) > 1:
            words = latex_text(variant or "not known")
            body.append(rf"\multicolumn{{{len(columns)}}}{{l}}{{\emph{{Trained on: {words}}}}} \\")
        body += [latex_row((line.model, line.run, *line.cells)) for line in lines]
    tables = [latex_table("ll" + "r" * len(HEADLINE), columns, body, [title_of(result), *notes_of(result)])]
    if result.contrasts:
        notes = [
            f"Differences to {result.entries[0].name} in points, paired by song",
            f"after Holm over {len(result.contrasts)} comparisons * p below 0.05, ** below 0.01, *** below 0.001",
        ]
        body = [r"\midrule", *map(latex_row, difference_rows(result))]
        columns = ["Run", *(headings(result.protocol)[name] for name in FIGURES)]
        tables.append(latex_table("l" + "r" * len(FIGURES), columns, body, notes))
    return "\n".join(tables)  # a blank line would be a paragraph of the paper


def latex_row(cells: Sequence[str]) -> str:
    """A row of a LaTeX table; what stands in it is no markup."""
    return " & ".join(map(latex_text, cells)) + r" \\"


def latex_table(places: str, columns: Sequence[str], body: Sequence[str], notes: Sequence[str]) -> str:
    """A floating table of the package booktabs, with its notes as the caption."""
    head = [r"\begin{table}", r"\centering", rf"\begin{{tabular}}{{{places}}}", r"\toprule", latex_row(columns)]
    caption = rf"\caption{{{latex_text('; '.join(notes))}.}}"
    return "\n".join([*head, *body, r"\bottomrule", r"\end{tabular}", caption, r"\end{table}"])


def to_csv(result: EvaluateResult) -> str:
    """All figures of Table 1, its differences and the controls, one a line; no name in it is a formula.

    Figures are from 0 to 1 but those whose names say otherwise, as in JSON.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        ["kind", "variant", "model", "name", "seeds", "figure", "mean", "low", "high", "p", "p_holm", "protocol"]
    )

    def write(kind: str, names: Sequence[str], seeds: int, figure: str, found: Interval, *ps: float) -> None:
        cells = [f"{value:.6f}" for value in (found.mean, found.low, found.high, *ps)]
        writer.writerow(
            [kind, *map(csv_cell, names), seeds, KEYS[figure], *cells, *[""] * (2 - len(ps)), result.protocol]
        )

    for row in result.paper:
        for figure, value in row.figures.items():
            head = ["paper", csv_cell(row.variant), csv_cell(row.model), PRINTED]
            writer.writerow([*head, "", figure, f"{value / 100:.6f}", "", "", "", "", ""])
    for entry in result.entries:
        names = (entry.origin.variant, entry.origin.model, entry.name)
        for figure, found in entry.intervals.items():
            write("run", names, len(entry.systems), figure, found)
    for contrast in result.contrasts:
        names = ("", "", f"{contrast.name} minus {result.entries[0].name}")
        difference, p = contrast.comparison.difference, contrast.comparison.p
        write("difference", names, min(contrast.seeds), contrast.figure, difference, p, contrast.p_holm)
    for report in result.controls:
        for control in report.controls:
            for figure, found in control.system.intervals.items():
                write("control", ("", report.name, control.name), 1, figure, found)
    return text.getvalue().rstrip("\n")
