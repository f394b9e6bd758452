"""Results to figures: PNG and SVG with matplotlib, and a plain one for the terminal."""

from pathlib import Path

from recap_cli.workflows.ablate import AblateResult, Arm

WIDTH = 44


def plot_ablation(result: AblateResult) -> list[Path]:
    """Draw the paper's Figure 2 (score against alpha) into the sweep's folder; give the files."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    swept = [arm for arm in result.arms if arm.alpha > 0]
    figure, axes = pyplot.subplots(figsize=(6.4, 4.2), layout="constrained")
    base = next((arm for arm in result.arms if arm.alpha == 0), None)
    if base is not None:
        score = base.figures["rougeL"]
        axes.axhline(100 * score.mean, color="tab:gray", linestyle="--", label="alpha 0 (BART-fusion)")
        axes.axhspan(100 * score.low, 100 * score.high, color="tab:gray", alpha=0.15)
    points = [arm.figures["rougeL"] for arm in swept]
    middle = [100 * point.mean for point in points]
    reach = [[100 * (p.mean - p.low) for p in points], [100 * (p.high - p.mean) for p in points]]
    axes.errorbar([arm.alpha for arm in swept], middle, yerr=reach, marker="o", capsize=4, label="with alignment")
    axes.set_xscale("log")
    axes.set_xticks([arm.alpha for arm in swept], [f"{arm.alpha:g}" for arm in swept])
    axes.minorticks_off()
    axes.set_xlabel("alpha, weight of the alignment loss (log scale)")
    axes.set_ylabel("ROUGE-L F1 (points)")
    seeds = "one seed: no claim" if result.seeds == 1 else f"{result.seeds} seeds"
    axes.set_title(
        f"Captions against the weight of alignment\n{result.songs} songs, {seeds}, 95 % intervals", fontsize=11
    )
    axes.legend(frameon=False)
    files = [result.out / "figure2.png", result.out / "figure2.svg"]
    for file in files:
        figure.savefig(file, dpi=150)
    pyplot.close(figure)
    return files


def sketch_ablation(result: AblateResult) -> str:
    """Draw the same figure with characters: mean `o`, interval `-`, alpha 0 `|`."""
    intervals = [arm.figures["rougeL"] for arm in result.arms]
    low, high = min(i.low for i in intervals), max(i.high for i in intervals)
    span = (high - low) or 1.0

    def column(value: float) -> int:
        return round((value - low) / span * (WIDTH - 1))

    base = next((column(arm.figures["rougeL"].mean) for arm in result.arms if arm.alpha == 0), None)

    def line(arm: Arm) -> str:
        score = arm.figures["rougeL"]
        cells = ["-" if column(score.low) <= place <= column(score.high) else " " for place in range(WIDTH)]
        if base is not None:
            cells[base] = "|"
        cells[column(score.mean)] = "o"
        return f"alpha {arm.alpha:<8g} {''.join(cells)}  {100 * score.mean:.1f}"

    scale = f"{'':15}{100 * low:<{WIDTH // 2}.1f}{100 * high:>{WIDTH // 2}.1f}  ROUGE-L F1"
    return "\n".join([*(line(arm) for arm in result.arms), scale])
