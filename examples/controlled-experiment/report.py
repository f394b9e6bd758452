"""From the results of the controlled experiment to RESULTS.md, tables and figures; the protocol says what to ask."""

import argparse
import json
import math
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path

import numpy as np
from experiment import HERE, PARTS, RESULTS, TEST_SONGS, Part

from recap_cli.ablation.conditions import BART, FUSION, Condition, RunRecord, records_of
from recap_cli.ablation.results import AblateResult, summarise, write_result
from recap_cli.ablation.seed_differences import (
    SeedDifference,
    compare_conditions,
    correct_family,
    subtract_tables,
    table_of,
)
from recap_cli.demo.attributes import chances
from recap_cli.demo.lexicon import ATTRIBUTES, PHRASES, SENTENCES, write_caption
from recap_cli.demo.songs import DemoSettings, lyrics_only_oracle, make_songs, music_only_oracle
from recap_cli.evaluation.system_differences import ENOUGH_SEEDS
from recap_cli.evaluation.systems import attribute_accuracy
from recap_cli.report.figure_two import plot_ablation
from recap_cli.report.table_one import markdown_table
from recap_cli.report.tables import ablate_table, losses_table, measures_table
from recap_cli.scoring.bootstrap import Interval, holm
from recap_cli.scoring.text import score_songs

ZERO, PAPER = Condition(FUSION), Condition("", 0.02, "positive")
STRONG = Condition("", 0.1, "infonce")
PRIMARY = ("attributes", "rougeL")
NAMES = {"attributes": "attribute accuracy", "rougeL": "ROUGE-L F1", "meteor": "METEOR"}
TITLES = {
    "cleaner-captions": "Captions with more than 0 votes",
    "easy": "Easy setting",
    "few-captions": "Few captions",
    "noisy-captions": "Noisy captions",
    "noisy-audio": "Noisy audio",
    "trained-music": "Music encoder trained, too",
}
SOUND = ("mode", "tempo", "timbre", "drums")
# A training caption is wrong with chance .08, then in one or two of the seven attributes: so often is each one wrong.
WRONG = 0.08 * 1.5 / 7


def main() -> None:
    """Write the report."""
    parser = argparse.ArgumentParser(description="Tables and figures of the controlled experiment.")
    parser.add_argument("--out", type=Path, default=HERE)
    out = parser.parse_args().out
    write_report(out)
    print(f"Written: {out / 'RESULTS.md'}")


def write_report(out: Path) -> str:
    """Write RESULTS.md with its tables and figures into a folder; give its text."""
    records = {part.name: read(part) for part in PARTS}
    text = "\n\n".join(line for line in sections(records, out) if line) + "\n"
    (out / "RESULTS.md").write_text(text, encoding="utf-8")
    return text


def read(part: Part) -> list[RunRecord]:
    """Read the finished runs of a part."""
    path = RESULTS / f"{part.name}.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return [RunRecord.from_json(json.loads(line)) for line in lines]


def sections(records: dict[str, list[RunRecord]], out: Path) -> Iterator[str]:
    """Give the sections of the report."""
    yield "# Results of the controlled experiment"
    yield "Written by `report.py` from `results/`; what was asked, and why, stands in README.md."
    yield progress_table(records)
    hard = records["hard"]
    if not records_of(hard, ZERO):
        return
    yield primary(hard)
    yield sanity(hard)
    yield floors(hard)
    yield oracles()
    yield from part_tables("hard", hard, out, "Hard setting")
    yield weights(hard, "Hard setting")
    yield cleaner(hard, records["cleaner-captions"])
    yield elsewhere(records)
    for part in PARTS[1:]:
        if records_of(records[part.name], ZERO):
            yield from part_tables(part.name, records[part.name], out, TITLES[part.name])
            yield weights(records[part.name], TITLES[part.name])


def progress_table(records: dict[str, list[RunRecord]]) -> str:
    """Say which runs are there, and which were planned."""
    rows = []
    for part in PARTS:
        planned = {task for sweep in part.sweeps for task in product(sweep.conditions(), range(sweep.seeds))}
        done = {(record.condition, record.seed) for record in records[part.name]}
        rows.append([part.name, str(len(planned & done)), str(len(planned)), part.reason])
    lacking = sum(int(row[2]) - int(row[1]) for row in rows)
    made = [record.made for part in records.values() for record in part]
    minutes = [(one["train_seconds"] + one["score_seconds"]) / 60 for one in made]
    note = ""
    if minutes:
        note = f"\n\nA run took {np.median(minutes):.1f} minutes of one core (median; other work shared the machine)."
    left = f" **{lacking} of the planned runs are not done yet**; `experiment.py` resumes them." if lacking else ""
    return "## Runs\n\n" + plain_table(["part", "done", "planned", "what it asks"], rows) + note + left


def primary(hard: Sequence[RunRecord]) -> str:
    """The primary contrast."""
    effects = compare_conditions(records_of(hard, PAPER), records_of(hard, ZERO))
    if not effects or effects["rougeL"].seeds < ENOUGH_SEEDS:
        return ""
    corrected = holm([effects[figure].p or 0.0 for figure in PRIMARY])
    rows = [effect_row(NAMES[figure], effects[figure], p) for figure, p in zip(PRIMARY, corrected, strict=True)]
    found = [figure for figure, p in zip(PRIMARY, corrected, strict=True) if p < 0.05]
    verdict = (
        f"**An effect**, in {' and '.join(NAMES[one] for one in found)}."
        if found
        else "**A null**: no effect of alignment at the paper's weight was found."
    )
    reach = 100 * (effects["rougeL"].difference.high - effects["rougeL"].difference.low) / 2
    wide = "as planned" if reach <= 1.0 else "wider than the planned 1"
    return (
        "## Primary contrast: positive pairs, alpha 0.02 minus alpha 0, hard setting\n\n"
        + plain_table(["figure", "seeds", "difference, points", "p", "p, Holm over both"], rows)
        + f"\n\n{verdict} The interval of ROUGE-L reaches {reach:.2f} points either way, {wide}."
    )


def effect_row(name: str, effect: SeedDifference, corrected: float | None = None) -> list[str]:
    """Write an effect as cells."""
    p = ["" if effect.p is None else f"{effect.p:.4f}"]
    return [
        name,
        str(effect.seeds),
        points(effect.difference),
        *p,
        *([] if corrected is None else [f"{corrected:.4f}"]),
    ]


def points(interval: Interval) -> str:
    """Write a difference in points with its interval."""
    return f"{100 * interval.mean:+.2f} [{100 * interval.low:+.2f}, {100 * interval.high:+.2f}]"


def sanity(hard: Sequence[RunRecord]) -> str:
    """BART must lie below BART-fusion: the corpus is built so."""
    effects = compare_conditions(records_of(hard, Condition(BART)), records_of(hard, ZERO))
    if not effects or effects["attributes"].p is None:
        return ""
    effect = effects["attributes"]
    passed = effect.difference.high < 0 and effect.p < 0.01
    return (
        "## Sanity check, built into the corpus\n\n"
        f"BART minus BART-fusion in attribute accuracy: {points(effect.difference)} points, {effect.seeds} seeds, "
        f"p = {effect.p:.2g}: {'passed' if passed else '**not passed**'} (p < .01 was asked for)."
    )


def oracles() -> str:
    """What perfect captioners reach on the test songs: they know all, or what one input tells."""
    songs = list(make_songs(DemoSettings(difficulty="hard", train=0, validation=0, test=TEST_SONGS, unseen=0)))
    tags, references = [song.tags for song in songs], [[one.text for one in song.captions] for song in songs]
    knowing = {
        "both inputs": lambda song: song.tags,
        "lyrics only": lyrics_only_oracle,
        "music only": music_only_oracle,
    }
    rows = []
    for name, guess in knowing.items():
        random = np.random.default_rng(0)
        captions = [write_caption(guess(song), random) for song in songs]
        means = score_songs([song.id for song in songs], captions, references).headline()
        shares = attribute_accuracy(tags, captions)
        right = np.mean([shares[attribute] for attribute in ATTRIBUTES])
        figures = [100 * right, 100 * shares["all"], 100 * means["rougeL"], 100 * means["meteor"]]
        rows.append([name, *(f"{value:.1f}" for value in figures)])
    return (
        "## Oracles\n\nThe best that one can know from the inputs, in words drawn at random from the corpus's own. A "
        "captioner may write the likeliest words instead and score a little more.\n\n"
        + plain_table(["who knows", "attribute accuracy", "all attributes", "ROUGE-L F1", "METEOR"], rows)
    )


def floors(hard: Sequence[RunRecord]) -> str:
    """How far the runs are from what could be known: past all plateaus, or not."""
    tokens = next((record.measures["caption_tokens"] for record in hard if "caption_tokens" in record.measures), None)
    if tokens is None:
        return ""
    rows = [[name, f"{nats:.2f}", f"{nats / tokens:.3f}"] for name, nats in floor_nats().items()]
    for condition in dict.fromkeys(record.condition for record in hard):
        losses = [record.measures["caption_loss"] for record in records_of(hard, condition)]
        rows.append(
            [f"{condition.name}, {len(losses)} seeds", f"{tokens * np.mean(losses):.2f}", f"{np.mean(losses):.3f}"]
        )
    return (
        "## Loss floors\n\nTest captions, nats a caption and nats a token. The floors are computed from the corpus's "
        "probabilities, for one who reads and hears without error and has learnt from captions of which 8 % are "
        "wrong.\n\n" + plain_table(["who", "nats a caption", "nats a token"], rows)
    )


def floor_nats() -> dict[str, float]:
    """Compute the loss of a captioner who knows all that its inputs tell, in nats a caption."""
    words = (len(PHRASES) + len(SENTENCES)) * math.log(2) - len(PHRASES) * math.log(1 - WRONG)
    themes, stances = len(ATTRIBUTES["theme"]), len(ATTRIBUTES["stance"])
    joint: dict[tuple[str, ...], float] = {}
    for theme in ATTRIBUTES["theme"]:
        tables = [chances(name, theme) for name in SOUND]
        for values in product(*tables):
            chance = math.prod(table[value] for table, value in zip(tables, values, strict=True)) / themes
            joint[theme, *values] = chance
    total = entropy(joint.values())
    of_sound = entropy(sums(joint, lambda key: key[1:]))
    # The mood follows from theme and mode, so it adds nothing.
    return {
        "floor, both inputs": words,
        "floor, lyrics only": words + total - math.log(themes),
        "floor, music only": words + total - of_sound + math.log(stances),
        "floor, neither": words + total + math.log(stances),
    }


def sums(joint: dict[tuple[str, ...], float], part) -> list[float]:
    """Sum a joint distribution over what `part` leaves out."""
    found: dict[tuple[str, ...], float] = {}
    for key, chance in joint.items():
        found[part(key)] = found.get(part(key), 0.0) + chance
    return list(found.values())


def entropy(chances_of) -> float:
    """Give the entropy of a distribution in nats."""
    return -sum(chance * math.log(chance) for chance in chances_of if chance > 0)


def part_tables(name: str, records: Sequence[RunRecord], out: Path, title: str) -> Iterator[str]:
    """The tables and the figure of a part."""
    folder = out / name
    folder.mkdir(exist_ok=True)
    result: AblateResult = summarise(records, {}, folder)
    write_result(result)
    shared = set.intersection(
        *({*one.seeds} for one in result.conditions if one.condition.axis or one.condition == ZERO)
    )
    drawn = [record for record in records if record.seed in shared] or records
    png, _ = plot_ablation(result if len(drawn) == len(records) else summarise(drawn, {}, folder))
    yield f"## {title}\n\n{markdown_table(ablate_table(result))}"
    note = "" if len(drawn) == len(records) else f"\n\nThe figure is of the {len(shared)} seeds that all weights have."
    yield f"![Scores against the weight of the alignment loss]({png.relative_to(out)}){note}"
    losses = losses_table(result)
    yield markdown_table(losses) if losses is not None else ""
    yield markdown_table(measures_table(result))


def weights(records: Sequence[RunRecord], title: str) -> str:
    """What each weight of the alignment loss does to the attributes, and whether alignment reaches songs unheard."""
    conditions = sorted(
        {record.condition for record in records if record.condition.axis},
        key=lambda condition: (condition.loss != "positive", condition.alpha),
    )
    effects = {
        condition: compare_conditions(records_of(records, condition), records_of(records, ZERO))
        for condition in conditions
    }
    correct_family(list(effects.values()))
    tested = {
        condition: found["attributes"]
        for condition, found in effects.items()
        if found and found["attributes"].p is not None
    }
    if len(tested) < 2:  # one weight alone makes no table by weight
        return ""
    rows = [["alpha 0, probe", "", "", "", *cosines(records, ZERO, "probe_")]]
    for condition, effect in tested.items():
        rows.append(
            [
                condition.name,
                str(effect.seeds),
                points(effect.difference),
                f"{effect.p_holm:.4f}",
                *cosines(records, condition),
            ]
        )
    columns = ["condition", "seeds", "attribute accuracy minus alpha 0, points", "p, Holm over the weights"]
    columns += ["cosine in training", "cosine on test songs"]
    return (
        f"### {title}: attribute accuracy by weight, and where alignment holds\n\nSecondary. Cosines of music and "
        "lyrics of the same song; those in training are the mean over the epoch that was chosen, with dropout "
        "(InfoNCE's loss is no cosine).\n\n" + plain_table(columns, rows)
    )


def cosines(records: Sequence[RunRecord], condition: Condition, prefix: str = "") -> list[str]:
    """Write a condition's cosines of matched pairs: in training, and on the test songs."""
    found = records_of(records, condition)
    trained = [1 - record.validation["train_alignment_loss"] for record in found]
    tested = [record.measures[f"{prefix}matched"] for record in found]
    return ["" if condition.loss == "infonce" else f"{np.mean(trained):.3f}", f"{np.mean(tested):.3f}"]


def cleaner(full: Sequence[RunRecord], clean: Sequence[RunRecord]) -> str:
    """Whether alignment gains more on cleaner captions: a difference of differences, paired by seed."""
    conditions = [(records, condition) for records in (clean, full) for condition in (PAPER, ZERO)]
    seeds = set.intersection(
        *({record.seed for record in records_of(records, condition)} for records, condition in conditions)
    )
    if len(seeds) < 2:
        return ""
    rows = []
    for figure in PRIMARY:
        tables = [
            table_of([one for one in records_of(records, condition) if one.seed in seeds], figure)
            for records, condition in conditions
        ]
        rows.append(effect_row(NAMES[figure], subtract_tables(tables[0] - tables[1], tables[2] - tables[3])))
    return (
        "## Does alignment gain more on cleaner captions?\n\n"
        "The gain of alpha 0.02 with captions of more than 0 votes, minus its gain with all of them.\n\n"
        + plain_table(["figure", "seeds", "difference of differences, points", "p"], rows)
    )


def elsewhere(records: dict[str, list[RunRecord]]) -> str:
    """Where alignment could help: one condition a setting, corrected over the settings."""
    names = ("few-captions", "noisy-captions", "noisy-audio", "trained-music")
    found = {
        name: compare_conditions(records_of(records[name], STRONG), records_of(records[name], ZERO)) for name in names
    }
    effects = {name: figures.get("attributes") for name, figures in found.items()}
    effects["held-out pairs"] = unseen_gain(records["hard"])
    tested = {name: effect for name, effect in effects.items() if effect is not None and effect.p is not None}
    if not tested:
        return ""
    corrected = dict(zip(tested, holm([effect.p for effect in tested.values()]), strict=True))
    rows = []
    for name, effect in tested.items():
        overlap = points(found[name]["rougeL"].difference) if name in found else ""
        rows.append([name, str(effect.seeds), points(effect.difference), f"{corrected[name]:.4f}", overlap])
    proven = {name: tested[name].difference.mean for name, p in corrected.items() if p < 0.05}
    gains, harms = ([name for name, value in proven.items() if sign * value > 0] for sign in (1, -1))
    verdict = f"A gain: {', '.join(gains)}." if gains else "**None of these settings shows a gain beyond chance.**"
    verdict += f" A harm: {', '.join(harms)}." if harms else ""
    return (
        "## Where could alignment help?\n\nInfoNCE with alpha 0.1 minus alpha 0.\n\n"
        + plain_table(["setting", "seeds", "attribute accuracy, points", "p, Holm", "ROUGE-L F1, points"], rows)
        + f"\n\n{verdict}"
    )


def unseen_gain(hard: Sequence[RunRecord]) -> SeedDifference | None:
    """The gain on pairs of theme and mode that never met in training; runs keep its mean, so only seeds are sampled."""
    sides = [
        {record.seed: record.measures["unseen_attributes"] for record in records_of(hard, condition)}
        for condition in (STRONG, ZERO)
    ]
    seeds = sorted(sides[0].keys() & sides[1].keys())
    if len(seeds) < 2:
        return None
    ours, theirs = (np.array([[side[seed]] for seed in seeds]) for side in sides)
    return subtract_tables(ours, theirs)


def plain_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Write a Markdown table."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


if __name__ == "__main__":
    main()
