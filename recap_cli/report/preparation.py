"""What `prepare` did, or would do: a table, and what people do next."""

import shlex
from typing import TYPE_CHECKING

from recap_cli.progress import Table
from recap_cli.report.tables import duration

if TYPE_CHECKING:
    from recap_cli.corpus.splits import Leakage
    from recap_cli.preparation.results import PreparePlan, PrepareResult

MOST_REASONS = 8
SLOW_SHARE, SLOW_SECONDS = 0.5, 20.0  # of the work; above both, resampling is worth a word


def prepare_table(result: "PrepareResult") -> Table:
    """What a data folder holds, what was rejected, and where the time went."""
    rows = [
        ["songs", f"{result.songs:,}"],
        ["captions", f"{result.captions:,}"],
        ["splits", named_counts(result.splits)],
        ["audio kept", duration(3600 * result.hours)],
    ]
    if medians := result.medians:
        told = {
            "median excerpt": (medians["seconds"], " s"),
            "median captions of a song": (medians["captions_per_song"], ""),
            "median lyrics": (medians["lyrics_tokens"], " words and marks"),
            "median caption": (medians["caption_tokens"], " words and marks"),
        }
        rows += [[name, f"{value:g}{unit}"] for name, (value, unit) in told.items() if value]
    rows += [["ready from before", f"{result.reused:,}"], *cleaned_rows(result.cleaned)]
    rows += [[f"used, but {kind}", f"{count:,}"] for kind, count in result.warnings.items()]
    rows += [["rejected", f"{result.rejected:,}"], *reason_rows(result.reasons)]
    if result.rejected:
        rows.append(["which these are", str(result.out / "rejected.jsonl")])
    rows += time_rows(result)
    part = f", part {result.slice}" if result.slice else ""
    return Table(f"Prepared {result.out}{part}", ["", ""], rows, leakage_line(result.layout, result.leakage))


def plan_table(plan: "PreparePlan") -> Table:
    """What a preparation would do."""
    rows = [
        ["layout", plan.layout],
        ["songs to decode", f"{plan.songs:,}"],
        ["captions", f"{plan.captions:,}"],
        ["splits", named_counts(plan.splits)],
        ["missing audio files", f"{plan.missing:,}"],
        *cleaned_rows(plan.cleaned),
        ["rejected entries", f"{plan.rejected:,}"],
        *reason_rows(plan.reasons),
        ["disk, at most", f"{plan.gigabytes:.2f} GB"],
        [f"time with {plan.jobs} processes", f"about {duration(plan.seconds)}" if plan.seconds else "unknown"],
    ]
    title = f"Would prepare {plan.out}; nothing was written"
    return Table(title, ["", ""], rows, leakage_line(plan.layout, plan.leakage))


def next_step(result: "PrepareResult") -> str:
    """Returns the command that people type after a preparation."""
    folder = shlex.quote(str(result.out))
    command = f"recap train {folder}"
    if result.slice:
        return f"Next: copy the folders of all parts into one, then train on it, such as: {command}"
    if not result.captions:
        return f"Next: recap caption {folder} --out captions.jsonl; training needs captions, such as song.caption.txt"
    if result.layout in ("demo", "real"):
        return f"Next: {command}"
    return f"Next: {command} --recipe tiny (a small model), or {command} --music-encoder best_model.pth (the paper's)"


def named_counts(counts: dict[str, int]) -> str:
    """Returns counts with their names: test 3, train 17."""
    return ", ".join(f"{name} {count:,}" for name, count in counts.items())


def cleaned_rows(cleaned: dict[str, int]) -> list[list[str]]:
    """What was taken out of captions, and which were left out."""
    return [
        [kind if "blank" in kind else f"captions cleaned: {kind}", f"{count:,}"]
        for kind, count in cleaned.items()
        if count
    ]


def reason_rows(reasons: dict[str, int]) -> list[list[str]]:
    """Why songs were rejected, most frequent first."""
    shown = list(reasons.items())[:MOST_REASONS]
    rest = sum(reasons.values()) - sum(count for _, count in shown)
    rows = [[f"  {reason[:70]}", f"{count:,}"] for reason, count in shown]
    return [*rows, ["  for other reasons", f"{rest:,}"]] if rest else rows


def time_rows(result: "PrepareResult") -> list[list[str]]:
    """Where the time went; when resampling dominates, what makes it quicker."""
    total = sum(result.spent.values())
    if not total or result.reused == result.songs:
        return []
    shares = sorted(result.spent.items(), key=lambda item: -item[1])
    told = ", ".join(f"{kind} {100 * seconds / total:.0f} %" for kind, seconds in shares if seconds > 0.005 * total)
    rows = [["time", duration(result.seconds)], ["spent on", told]]
    if result.spent.get("resampling", 0) > max(SLOW_SHARE * total, SLOW_SECONDS) and result.resampler != "soxr":
        rows.append(["quicker next time", "--resampler soxr; differs above 7 kHz only"])
    return rows


def leakage_line(layout: str, leakage: "Leakage | None") -> str:
    """Says whether the tests ask for songs that were learned; nothing of the demo corpus, whose songs are all alike."""
    if leakage is None or layout == "demo":
        return ""
    alike = f"{100 * leakage.near_duplicates:.1f} % of the songs"
    if leakage.across:
        songs = "1 song" if leakage.across == 1 else f"{leakage.across:,} songs"
        return (
            f"These splits leak: {songs} of validation and test stand in training, too, or resemble a song there. "
            "--resplit makes splits that do not."
        )
    line = "No song of validation or test stands in training: not by title and artist, by lyrics, or by audio"
    line += f" ({alike} resemble another, and stay together)." if leakage.near_duplicates else "."
    if leakage.row_wise > 0:
        share = f"{100 * leakage.row_wise:.1f} %"
        line += f" Split caption by caption, as some code does, {share} of the held-out captions would have leaked."
    return line
