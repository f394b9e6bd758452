"""What `recap prepare` did, or would do, as tables."""

from recap_cli.corpus.splits import Leakage
from recap_cli.preparation.prepare import PreparePlan, PrepareResult
from recap_cli.progress import Table

MOST_REASONS = 8
SLOW_SHARE, SLOW_SECONDS = 0.5, 20.0  # of the work; above both, resampling is worth a word


def prepare_table(result: PrepareResult) -> Table:
    """What a data folder holds, what was rejected, and where the time went."""
    medians = result.medians
    slice_of = f", slice {result.slice}" if result.slice else ""
    rows = [
        ["songs", f"{result.songs}"],
        ["captions", f"{result.captions}"],
        ["splits", ", ".join(f"{name} {count}" for name, count in result.splits.items())],
        ["audio in the mels", f"{result.hours:.2f} h"],
    ]
    if medians:
        rows += [
            ["median length of the audio", f"{medians['seconds']:g} s"],
            ["median captions a song", f"{medians['captions_per_song']:g}"],
            [
                "median words and marks: lyrics, captions",
                f"{medians['lyrics_tokens']:g}, {medians['caption_tokens']:g}",
            ],
        ]
    rows += [["mels found in the cache", f"{result.reused}"], *cleaned_rows(result.cleaned)]
    rows += [[f"used, but {kind}", f"{count}"] for kind, count in result.warnings.items()]
    rows += [["rejected", f"{result.rejected}"], *reason_rows(result.reasons)]
    rows += time_rows(result)
    return Table(
        f"Prepared {result.out}{slice_of}",
        ["", ""],
        rows,
        leakage_line(None if result.layout == "demo" else result.leakage),
    )


def plan_table(plan: PreparePlan) -> Table:
    """What a preparation would do."""
    rows = [
        ["layout", plan.layout],
        ["songs to hear", f"{plan.songs}"],
        ["captions of the corpus", f"{plan.captions}"],
        ["splits of the corpus", ", ".join(f"{name} {count}" for name, count in plan.splits.items())],
        ["audio files that are missing", f"{plan.missing}"],
        *cleaned_rows(plan.cleaned),
        ["entries rejected", f"{plan.rejected}"],
        *reason_rows(plan.reasons),
        ["mels, at most", f"{plan.gigabytes:.2f} GB"],
        [f"time with {plan.jobs} processes", f"about {duration(plan.seconds)}" if plan.seconds else "unknown"],
    ]
    return Table(
        f"Would prepare {plan.out}; nothing was written",
        ["", ""],
        rows,
        leakage_line(None if plan.layout == "demo" else plan.leakage),
    )


def cleaned_rows(cleaned: dict[str, int]) -> list[list[str]]:
    """What was taken out of captions, and which were left out."""
    return [
        [kind if "blank" in kind else f"captions cleaned: {kind}", f"{count}"]
        for kind, count in cleaned.items()
        if count
    ]


def reason_rows(reasons: dict[str, int]) -> list[list[str]]:
    """Why songs were rejected, most frequent first."""
    shown = list(reasons.items())[:MOST_REASONS]
    rest = sum(reasons.values()) - sum(count for _, count in shown)
    rows = [[f"  {reason[:70]}", f"{count}"] for reason, count in shown]
    return [*rows, ["  for other reasons", f"{rest}"]] if rest else rows


def time_rows(result: PrepareResult) -> list[list[str]]:
    """Where the time went; when resampling dominates, what makes it quicker."""
    total = sum(result.spent.values())
    if not total or result.reused == result.songs:
        return []
    shares = sorted(result.spent.items(), key=lambda item: -item[1])
    told = ", ".join(f"{kind} {100 * seconds / total:.0f} %" for kind, seconds in shares if seconds > 0.005 * total)
    rows = [["time", duration(result.seconds)], ["where it went", told]]
    if result.spent.get("resampling", 0) > max(SLOW_SHARE * total, SLOW_SECONDS) and result.resampler != "soxr":
        rows.append(["quicker; differs above 7 kHz only", "--resampler soxr"])
    return rows


def leakage_line(leakage: Leakage | None) -> str:
    """Say what a row-wise split would have leaked, and what the given splits do."""
    if leakage is None:
        return ""
    line = (
        f"Near-duplicates: {100 * leakage.near_duplicates:.1f} % of the songs. A row-wise split 90/10 would have put "
        f"the song of {100 * leakage.row_wise:.1f} % of the held-out captions in training, too."
    )
    if leakage.across:
        line += f" These splits do so for {leakage.across} {'songs' if leakage.across > 1 else 'song'}."
    return line


def duration(seconds: float) -> str:
    """Write a time as people say it."""
    if seconds < 100:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
