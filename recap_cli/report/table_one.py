"""Systems side by side, as the paper's Table 1 has them, and their differences: for a terminal, a page and a paper."""

from collections.abc import Sequence
from dataclasses import dataclass

from recap_cli.escaping import latex_text, markdown_cell
from recap_cli.evaluation.evaluate import EvaluateResult
from recap_cli.evaluation.system_differences import MOST_TOLD, Contrast
from recap_cli.evaluation.systems import FULL, Entry, PaperRow
from recap_cli.progress import Table
from recap_cli.scoring.bootstrap import Interval
from recap_cli.scoring.seeds import ENOUGH_SEEDS
from recap_cli.scoring.text import HEADINGS, HEADLINE, headings, protocol_named

TESTS = {
    "songs": "one run a side: this compares two models, not two ways of training; interval of a paired bootstrap "
    "over songs, p of approximate randomisation",
    "paired seeds": "runs of the same seeds, paired; Student's t, seeds and songs both a sample",
    "Welch": "runs of other seeds; Welch's t, seeds and songs both a sample",
    "Student": "one run against several, taken to vary as they do; Student's t, seeds and songs both a sample",
}
PRINTED = "as printed in the paper, on another corpus"
FIGURES = (*HEADLINE, "bleu", "chrf")  # of the overview, which 80 columns hold
SHARES = (*HEADLINE, "facts", "tag_facts")  # from 0 to 1, shown from 0 to 100
PLAIN = ("cider", "meaning", "meaning_mean")  # shown as they are, with three digits


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


def shown_interval(figure: str, found: Interval) -> str:
    """Returns a figure, or a difference in it, with its 95 % interval."""
    if figure in PLAIN:
        return f"{found.mean:.3f} [{found.low:.3f}, {found.high:.3f}]"
    return percent(found) if figure in SHARES else points(found)


def group_lines(result: EvaluateResult) -> dict[str, list[Line]]:
    """Returns the rows of each variant of training captions: Full first, then the others as they come."""
    groups: dict[str, list[Line]] = {}
    for row in result.paper:
        groups.setdefault(row.variant, []).append(Line(row.model, PRINTED, tuple(paper_cells(row, HEADLINE))))
    for entry in result.ordered:
        cells = tuple(percent(entry.intervals[name]) for name in HEADLINE)
        groups.setdefault(entry.origin.variant, []).append(Line(entry.origin.model, entry.name, cells))
    return dict(sorted(groups.items(), key=lambda group: (group[0] != FULL, group[0] == "")))


def title_of(result: EvaluateResult) -> str:
    """Says what was scored."""
    where = f"split {result.split}" if result.split else result.data.name
    count = len(result.systems[0].captions)
    return f"{count:,} {'song' if count == 1 else 'songs'} of {where}, protocol {result.protocol}"


def overview_table(result: EvaluateResult) -> Table:
    """The systems in a few figures each, a row a system: what the terminal shows without being asked for more."""
    others = list(dict.fromkeys(found.against for found in result.contrasts))
    signs = {(found.name, found.figure): found.sign for found in result.contrasts if len(others) == 1}
    rows = [[f"{row.model} (paper)", *paper_cells(row, FIGURES)] for row in result.paper]
    for entry in result.ordered:
        rows.append([entry.name, *(overview_cell(entry, name, signs.get((entry.name, name), "")) for name in FIGURES)])
    notes = ["figures from 0 to 100", f"ROUGE: {protocol_named(result.protocol).aim}", "[95 % interval]"]
    if len(others) == 1:
        notes.append(f"+ better, - worse than {others[0]} beyond chance (p below 0.05 after Holm)")
    notes += tell_captions(result)
    if result.paper:
        notes.append("(paper): printed there, from another corpus, so not comparable")
    columns = ["system", *(HEADINGS[name] for name in FIGURES)]
    return Table(title_of(result), columns, rows, "\n".join(notes))


def specificity_table(result: EvaluateResult) -> Table | None:
    """Whether captions belong to their songs: what they score there, on others' songs, and beside people."""
    found = result.specificity
    if found is None:
        return None
    rows = []
    named = {row.name: row for row in found.rows}
    runs = [named[run.name] for entry in result.ordered for run in entry.systems]
    for row in [*runs, *(row for row in found.rows if row.kind != "system")]:
        moved, share = row.figures["rougeL"], row.people.get("rougeL")
        shares = [share_cell(share.of_score), share_cell(share.of_specificity)] if share else ["", ""]
        name = row.name if row.songs == found.songs else f"{row.name} ({row.songs:,} songs)"
        means = [f"{100 * one.mean:.1f}" for one in (moved.score, moved.shuffled)]
        rows.append([name, *means, percent(moved.specificity), *shares, f"{row.words:.0f}"])
    heading = headings(result.protocol)["rougeL"]
    notes = [
        f"shuffled: on songs of other artists, mean of {found.shifts} shifts; specificity: what is lost there "
        "[95 % interval]",
        "of people: what people's captions reach against the other references of their songs, systems scored alike; "
        "of their specificity: the same of what is lost",
    ]
    columns = ["system", heading, "shuffled", "specificity", "of people", "of their specificity", "words"]
    songs = (
        f"{found.songs:,} songs of {found.artists:,} artists"
        if found.artists < found.songs
        else f"{found.songs:,} songs"
    )
    return Table(f"Does a caption belong to its song? {songs}", columns, rows, "\n".join(notes))


def share_cell(found: Interval | None) -> str:
    """Returns a share of what people reach, in %; "" where it is not known."""
    return "" if found is None else f"{100 * found.mean:.0f} %"


def tell_captions(result: EvaluateResult) -> list[str]:
    """Says which systems have several captions of a song, and how they count; nothing where none has."""
    kinds: dict[str, list[str]] = {}
    for system in result.systems:
        counts = system.scores.rows.captions
        if counts.max() > 1:
            each = f"{counts.min()} to {counts.max()}" if counts.min() < counts.max() else f"{counts.max()}"
            kinds.setdefault(f"{each} captions a song, {counts.sum():,} in all", []).append(system.name)
    everyone = len(kinds) == 1 and len(next(iter(kinds.values()))) == len(result.systems)
    told = [words if everyone else f"{', '.join(names)}: {words}" for words, names in kinds.items()]
    return [*told, "several captions of a song are all scored; it counts with their mean"] if told else []


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
    return 100 if figure in SHARES else 1


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
    """Differences between rows of Table 1: every figure with its interval and p, or of many systems a matrix."""
    if not result.contrasts:
        return None
    notes = [
        f"p, Holm: corrected for the {len(result.contrasts)} comparisons; * below 0.05, ** below 0.01, *** below 0.001"
    ]
    used = {found.test for found in result.contrasts}
    notes += [f"{name}: {words}" for name, words in TESTS.items() if name in used]
    if used != {"songs"}:
        notes.append(f"below {ENOUGH_SEEDS} seeds a side no stars")
    if len(result.entries) > MOST_TOLD:
        title, columns, rows = difference_matrix(result)
        notes.insert(0, "positive: the row is better; intervals and p of each stand in evaluation.json")
        return Table(title, columns, rows, "\n".join(notes))
    others = list(dict.fromkeys(found.against for found in result.contrasts))
    names = headings(result.protocol)
    rows = [
        [
            found.name if len(others) == 1 else f"{found.name} minus {found.against}",
            names[found.figure],
            shown_interval(found.figure, found.comparison.difference),
            f"{found.comparison.p:.4f}",
            f"{found.p_holm:.4f} {found.stars}".rstrip(),
            found.test,
        ]
        for found in result.contrasts
    ]
    title = f"Differences to {others[0]}, paired by song" if len(others) == 1 else "Differences, paired by song"
    return Table(title, ["run", "figure", "difference", "p", "p, Holm", "test"], rows, "\n".join(notes))


def difference_matrix(result: EvaluateResult) -> tuple[str, list[str], list[list[str]]]:
    """Returns title, columns and rows of all differences in points, starred.

    To one system: a row each other system, a column each figure. Of all pairs: a row and a column each system in the
    order of the tables, in ROUGE-L; each pair once.
    """
    found: dict[tuple[str, str], dict[str, Contrast]] = {}
    for one in result.contrasts:
        found.setdefault((one.name, one.against), {})[one.figure] = one
    others = list(dict.fromkeys(one.against for one in result.contrasts))
    order = [entry.name for entry in result.ordered]
    if len(others) == 1:
        figures = list(result.entries[0].intervals)
        rows = [
            [name, *(difference_cell(own[figure]) if figure in own else "" for figure in figures)]
            for (name, _), own in sorted(
                found.items(), key=lambda pair: order.index(pair[0][0]) if pair[0][0] in order else 0
            )
        ]
        return f"Differences to {others[0]}, paired by song", ["run", *(HEADINGS[one] for one in figures)], rows

    def cell(name: str, other: str) -> str:
        if (name, other) in found:
            return difference_cell(found[name, other]["rougeL"])
        return difference_cell(found[other, name]["rougeL"], -1)

    rows = [
        [f"{place} {name}", *(cell(name, other) for other in order[: place - 1]), *[""] * (len(order) - place)]
        for place, name in enumerate(order, start=1)
    ]
    heading = headings(result.protocol)["rougeL"]
    columns = ["run", *map(str, range(1, len(order)))]
    return f"Differences in {heading} between all systems, row minus column, paired by song", columns, rows


def difference_cell(found: Contrast, sign: int = 1) -> str:
    """Returns a difference in points with its stars; a sign of -1 turns it round."""
    digits = 3 if found.figure in PLAIN else 1
    return f"{sign * scaled(found.figure) * found.comparison.difference.mean:+.{digits}f} {found.stars}".rstrip()


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
        title, columns, rows = difference_matrix(result)
        stars = f"after Holm over {len(result.contrasts)} comparisons * p below 0.05, ** below 0.01, *** below 0.001"
        body = [r"\midrule", *map(latex_row, rows)]
        notes = [f"{title}, in points", stars]
        tables.append(latex_table("l" + "r" * (len(columns) - 1), columns, body, notes))
    if (found := specificity_table(result)) is not None:
        body = [r"\midrule", *map(latex_row, found.rows)]
        notes = [found.title, *found.caption.split("\n")]
        tables.append(latex_table("l" + "r" * (len(found.columns) - 1), found.columns, body, notes))
    return "\n".join(tables)  # a blank line would be a paragraph of the paper


def latex_row(cells: Sequence[str]) -> str:
    """A row of a LaTeX table; what stands in it is no markup."""
    return " & ".join(map(latex_text, cells)) + r" \\"


def latex_table(places: str, columns: Sequence[str], body: Sequence[str], notes: Sequence[str]) -> str:
    """A floating table of the package booktabs, with its notes as the caption."""
    head = [r"\begin{table}", r"\centering", rf"\begin{{tabular}}{{{places}}}", r"\toprule", latex_row(columns)]
    caption = rf"\caption{{{latex_text('; '.join(notes))}.}}"
    return "\n".join([*head, *body, r"\bottomrule", r"\end{tabular}", caption, r"\end{table}"])
