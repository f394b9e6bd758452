"""What the terminal shows of an evaluation, and what stands beside Table 1: parts, attributes, controls, alignment."""

import csv
import io
import re
from collections.abc import Iterator, Sequence

import numpy as np
from rich.console import RenderableType
from rich.text import Text

from recap_cli.escaping import csv_cell, markdown_cell
from recap_cli.evaluation.alignment_report import AlignmentReport
from recap_cli.evaluation.controls import ControlReport
from recap_cli.evaluation.evaluate import EvaluateResult
from recap_cli.evaluation.options import EvaluateOptions
from recap_cli.progress import Table
from recap_cli.report.drawing import draw, words
from recap_cli.report.table_one import (
    PRINTED,
    contrast_table,
    markdown_table,
    overview_table,
    percent,
    points,
    shown_interval,
    specificity_table,
    table_one,
)
from recap_cli.scoring.alignment import AlignmentMeasures, InformationBounds, Retrieval
from recap_cli.scoring.bootstrap import Interval
from recap_cli.scoring.facts import facts_of
from recap_cli.scoring.rouge import PARTS, ROUGE_TYPES
from recap_cli.scoring.text import HEADINGS, HEADLINE, KEYS, protocol_named

FACT_COLUMNS = ("precision", "recall", "contradicted")


def evaluation_screen(result: EvaluateResult, details: bool = False) -> list[RenderableType]:
    """Returns what a person sees first: the verdicts and one table; with `details` all others, too."""
    first, asked = specificity_table(result), judges_table(result)
    more = all_tables(result)[bool(first) :] if details else [asked] if asked else []
    tables = [*([first] if first else []), overview_table(result), *more]
    return [words("\n".join(result.verdicts)), *(part for table in tables for part in (Text(), draw(table)))]


def next_step(options: EvaluateOptions) -> str:
    """Says what people do next."""
    if options.models and not options.controls:
        return "Next: add --controls to see whether the music and the lyrics are used."
    if not options.controls:
        return "Next: add --controls to see whether captions belong to their songs."
    if len(options.names) > 1 and not options.shown_cases:
        return "Next: add --report page.html to read the songs on which systems differ most."
    if len(options.names) == 1:
        return "Next: name a second run, or --predictions FILE, to compare with."
    return "Next: add --details to see every table, or --format latex for a paper."


def all_tables(result: EvaluateResult) -> list[Table]:
    """Returns Table 1 and every table beside it that there is."""
    tables = [
        specificity_table(result),
        table_one(result),
        contrast_table(result),
        rouge_table(result),
        habits_table(result),
        facts_table(result),
        judges_table(result),
    ]
    tables.append(attribute_table(result))
    tables += [control_table(report) for report in result.controls]
    for report in result.alignment:
        tables += [alignment_table(report), attention_table(report)]
    tables += [alignment_summary(result.alignment)] if len(result.alignment) > 1 else []
    return [table for table in tables if table is not None]


def to_markdown(result: EvaluateResult) -> str:
    """Verdicts and all tables in Markdown."""
    # A line may begin with a system's name, which could be the mark of a heading or of another list.
    lines = (re.sub(r"^(\d*)([#+.)=-])", r"\1\\\2", markdown_cell(line)) for line in result.verdicts)
    verdicts = "\n".join(f"- {line}" for line in lines)
    return "\n\n".join([verdicts, *map(markdown_table, all_tables(result))])


def rouge_table(result: EvaluateResult) -> Table:
    """Precision, recall and F1 of every system: recall alone grows with length."""
    over = protocol_named(result.protocol).over
    rows = []
    for system in result.systems:
        means = system.scores.means(over)
        cells = ("/".join(f"{100 * means[f'{name}.{part}']:.1f}" for part in PARTS) for name in ROUGE_TYPES)
        rows.append([system.name, *cells])
    pairs = "the best reference" if over == "best" else "each reference"
    columns = ["system", *(HEADINGS[name] for name in ROUGE_TYPES)]
    return Table(
        "ROUGE: precision / recall / F1",
        columns,
        rows,
        f"over {pairs}, from 0 to 100; those over all references are in evaluation.json",
    )


def habits_table(result: EvaluateResult) -> Table:
    """BLEU and chrF of every system with their intervals, lengths, and how much is said again."""
    rows = []
    for system in result.systems:
        copied = system.scores.copied
        cells = [points(system.intervals[name]) for name in ("bleu", "chrf")]
        cells += [f"{system.scores.means()['length']:.1f}", f"{100 * system.scores.distinct:.0f} %"]
        rows.append([system.name, *cells, "" if copied is None else f"{100 * copied:.1f} %"])
    columns = ["system", HEADINGS["bleu"], HEADINGS["chrf"], "words", "distinct", "copied"]
    caption = (
        "words: of a caption\ndistinct: captions that differ from one another\n"
        "copied: 5-grams that stand in the lyrics, where these are known"
    )
    return Table("Other figures", columns, rows, caption)


def facts_table(result: EvaluateResult) -> Table:
    """What captions say beyond their words: CIDEr-D, and the facts that they state beside those of the references."""
    rows = []
    for system in result.systems:
        cells = [shown_interval(name, system.intervals[name]) for name in ("cider", "facts")]
        rows.append([system.name, *cells, *facts_cells(system.scores.rows.facts)])
    caption = (
        "CIDEr-D: from 0 to 10\n"
        "facts: F1 of instruments, genres, voices, tempo, key and mood against all references together\n"
        "precision, recall, contradicted: in % of the facts stated, of those in the references, of those stated"
    )
    return Table("CIDEr-D and facts", ["system", "CIDEr-D", "facts", *FACT_COLUMNS], rows, caption)


def judges_table(result: EvaluateResult) -> Table | None:
    """Meaning by a sentence encoder, and facts by uploaders' tags, as far as they are asked for."""
    figures = [name for name in ("meaning", "meaning_mean", "tag_facts") if name in result.systems[0].intervals]
    if not figures:
        return None
    rows = []
    for system in result.systems:
        tagged = system.scores.rows.tag_facts
        cells = [shown_interval(name, system.intervals[name]) for name in figures]
        rows.append([system.name, *cells, *(facts_cells(tagged) if tagged is not None else [])])
    notes = []
    if "meaning" in figures:
        notes.append("meaning: cosine to the best reference; mean: over all references; from -1 to 1")
    if "tag_facts" in figures:
        notes.append("facts by tags: F1; tags are few, so that a fact without a tag can be true all the same")
    columns = ["system", *(HEADINGS[name] for name in figures), *(FACT_COLUMNS if "tag_facts" in figures else ())]
    title = {1: "Facts by tags", 2: "Meaning", 3: "Meaning, and facts by tags"}[len(figures)]
    return Table(title, columns, rows, "\n".join(notes))


def facts_cells(counts: np.ndarray) -> list[str]:
    """Returns precision, recall and the contradicted share of counts of facts [songs, 4], in %."""
    sums = counts.sum(axis=0, dtype=float)
    shares = [*(float(facts_of(sums, part)) for part in ("precision", "recall")), sums[2] / max(sums[0], 1)]
    return [f"{100 * share:.1f}" for share in shares]


def attribute_table(result: EvaluateResult) -> Table | None:
    """Attribute accuracy on demo songs, beside what one input alone could reach and beside the controls."""
    rows = {system.name: system.attributes for system in result.systems if system.attributes}
    if not rows:
        return None
    for report in result.controls:
        # One run needs no name on every line.
        prefix = f"{report.name}, " if len(result.controls) > 1 else ""
        names = [prefix + control.name for control in report.controls]
        rows |= {name: one.system.attributes for name, one in zip(names, report.controls, strict=True)}
    rows |= result.oracles
    names = list(next(iter(rows.values())))
    body = [[label, *(f"{100 * shares[name]:.1f}" for name in names)] for label, shares in rows.items()]
    return Table("Captions that name an attribute of the made-up song correctly, in %", ["", *names], body)


def control_table(report: ControlReport) -> Table:
    """A run's controls and what is lost under each."""
    rows = []
    for control in report.controls:
        found = control.system.intervals
        cells = {name: f"{100 * found[name].mean:.1f}" for name in HEADLINE} | {"rougeL": percent(found["rougeL"])}
        lost = percent(control.differences["rougeL"].difference)
        rows.append([control.name, *cells.values(), lost, f"{control.system.scores.means()['length']:.1f}"])
    columns = ["control", *(HEADINGS[name] for name in HEADLINE), "lost", "words"]
    caption = f"ROUGE: {protocol_named(report.protocol).aim}\nlost: ROUGE-L of the run minus that of the control"
    return Table(f"Controls of {report.name}", columns, rows, caption)


def alignment_table(report: AlignmentReport) -> Table:
    """Alignment of a run on held-out songs, beside the probe and chance."""
    sides = ((report.trained, report.bounds), (report.probe, report.probe_bounds))
    trained, probe = (measure_column(measures, bounds) for measures, bounds in sides)
    trained["gap"], probe["gap"] = plain(report.gap), plain(report.probe_gap)
    chance = retrieval_cell(report.trained.chance)
    rows = [[name, trained[name], probe[name], chance if "median rank" in name else ""] for name in trained]
    caption = (
        f"{report.trained.pool} held-out songs; ties count against the model\nprobe: a fresh projection trained with "
        f"the same loss ({report.probe_loss}) on the detached encoder\nonly what goes beyond the probe of a run with "
        "alpha 0 was taught to the encoder"
    )
    return Table(f"Alignment of {report.name}", ["", "as trained", "probe", "chance"], rows, caption)


def measure_column(measures: AlignmentMeasures, bounds: InformationBounds) -> dict[str, str]:
    """Returns one side's measures, by name."""
    music, lyrics = measures.music, measures.lyrics
    return {
        "cosine, matched": f"{measures.matched:.3f}",
        "cosine, mismatched": f"{measures.mismatched:.3f}",
        "gap": "",  # with its interval, which the report has
        "modality gap": f"{measures.modality_gap:.3f}",
        "std * sqrt(d), music / lyrics": f"{music.deviation:.2f} / {lyrics.deviation:.2f}",
        "cosine within a side, music / lyrics": f"{music.cosine:.3f} / {lyrics.cosine:.3f}",
        "uniformity, music / lyrics": f"{music.uniformity:.2f} / {lyrics.uniformity:.2f}",
        "effective rank, music / lyrics": f"{music.effective_rank:.1f} / {lyrics.effective_rank:.1f}",
        "lyrics from music: R@1/5/10, mAP@10, median rank": retrieval_cell(measures.music_to_lyrics),
        "music from lyrics: R@1/5/10, mAP@10, median rank": retrieval_cell(measures.lyrics_to_music),
        "information, InfoNCE bound (ceiling), nats": f"{bounds.infonce:.2f} ({bounds.ceiling:.2f})",
        f"information, CLUB of {bounds.components} components, nats": f"{bounds.club:.2f}",
    }


def retrieval_cell(found: Retrieval) -> str:
    """Returns retrieval in one cell: recalls and mAP in %, median rank."""
    shares = (found.recall_at_1, found.recall_at_5, found.recall_at_10)
    recalls = " / ".join(f"{100 * share:.1f}" for share in shares)
    return f"{recalls}, {100 * found.map_at_10:.1f}, {found.median_rank:g}"


def alignment_summary(reports: Sequence[AlignmentReport]) -> Table:
    """Several runs side by side: what a projection finds by itself is the probe of the run with alpha 0."""
    rows = [
        [
            report.name,
            plain(report.gap),
            plain(report.probe_gap),
            f"{report.bounds.infonce:.2f} / {report.probe_bounds.infonce:.2f}",
            " / ".join(f"{100 * one.music_to_lyrics.recall_at_10:.1f}" for one in (report.trained, report.probe)),
            plain(report.attention.entropy),
            plain(report.attention.swapped),
        ]
        for report in reports
    ]
    columns = ["run", "gap", "gap, probe", "InfoNCE, nats, trained / probe", "R@10 of lyrics, trained / probe, %"]
    columns += ["attention entropy", "change under other music"]
    caption = "a run's probe beyond that of the run with alpha 0 is what the alignment loss taught its encoder"
    return Table("Alignment side by side", columns, rows, caption)


def plain(interval: Interval) -> str:
    """Returns a figure of no unit with its 95 % interval."""
    return f"{interval.mean:.3f} [{interval.low:.3f}, {interval.high:.3f}]"


def attention_table(report: AlignmentReport) -> Table:
    """The fusion attention of a run."""
    found = report.attention

    def share(interval: Interval | None, songs: int) -> str:
        return "no song" if interval is None else f"{plain(interval)}, {songs}"

    rows = [
        ["entropy, 1 is uniform", share(found.entropy, found.songs)],
        ["distance to uniform, 0 to 1", share(found.from_uniform, found.songs)],
        ["share on [CLS]", share(found.cls, found.songs)],
        ["change under another song's music, 0 to 1", share(found.swapped, found.songs)],
        ["change of the encoder's output", share(found.states, found.songs)],
    ]
    if found.named_songs or found.habit_songs:
        rows.append(["half whose timbre the caption names, 0.5 is chance", share(found.named_half, found.named_songs)])
        rows.append(["half with the timbre usual for the theme", share(found.habit_half, found.habit_songs)])
    return Table(
        f"Fusion attention of {report.name}",
        ["", "mean, 95 % interval over songs, songs"],
        rows,
        "mean over lyrics tokens and fusion layers; the halves belong to songs whose timbre changes half-way",
    )


def specificity_figures(result: EvaluateResult) -> Iterator[tuple[str, str, str, Interval, *tuple[float, ...]]]:
    """Yields what controls without a model found: the row, the kind of figure, the figure, its interval, and any p."""
    for row in result.specificity.rows if result.specificity else ():
        for figure, moved in row.figures.items():
            yield row.name, "own songs", figure, moved.score
            yield row.name, "shuffled", figure, moved.shuffled
            yield row.name, "specificity", figure, moved.specificity, moved.p
        for figure, share in row.people.items():
            kinds = {"share of people": share.of_score, "share of people's specificity": share.of_specificity}
            yield from ((row.name, kind, figure, found) for kind, found in kinds.items() if found is not None)


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
            [
                kind,
                *map(csv_cell, names),
                seeds,
                KEYS.get(figure, figure),
                *cells,
                *[""] * (2 - len(ps)),
                result.protocol,
            ]
        )

    for row in result.paper:
        for figure, value in row.figures.items():
            head = ["paper", csv_cell(row.variant), csv_cell(row.model), PRINTED]
            writer.writerow([*head, "", figure, f"{value / 100:.6f}", "", "", "", "", ""])
    for entry in result.entries:
        names = (entry.origin.variant, entry.origin.model, entry.name)
        for figure, figures in entry.intervals.items():
            write("run", names, len(entry.systems), figure, figures)
    for contrast in result.contrasts:
        names = ("", "", f"{contrast.name} minus {contrast.against}")
        difference, p = contrast.comparison.difference, contrast.comparison.p
        write("difference", names, min(contrast.seeds), contrast.figure, difference, p, contrast.p_holm)
    for name, kind, figure, found, *ps in specificity_figures(result):
        write(kind, ("", "", name), 1, figure, found, *ps)
    for report in result.controls:
        for control in report.controls:
            for figure, figures in control.system.intervals.items():
                write("control", ("", report.name, control.name), 1, figure, figures)
    return text.getvalue().rstrip("\n")
