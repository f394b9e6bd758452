"""Results to tables: the right figure in the right column, and the words that keep claims honest."""

from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from recap_cli.progress import Table
from recap_cli.report.drawing import draw
from recap_cli.report.pages import write_model_card
from recap_cli.report.recipes import recipe_table
from recap_cli.report.tables import (
    ablate_table,
    train_table,
)
from recap_cli.scoring.uncertainty import Interval
from recap_cli.workflows.ablate import AblateResult, Arm
from recap_cli.workflows.recipes import RECIPE_LINES
from recap_cli.workflows.train import TrainResult

METRICS = ("rouge1", "rouge2", "rougeL", "meteor")


def print_table(table: Table, width: int = 200) -> str:
    console = Console(width=width, record=True, file=StringIO())
    console.print(draw(table))
    return console.export_text()


def arm(alpha: float, mean: float, attributes: bool = True) -> Arm:
    return Arm(
        alpha=alpha,
        figures={metric: Interval(mean, mean - 0.02, mean + 0.02) for metric in METRICS},
        difference=Interval(0.012, -0.003, 0.03) if alpha else None,
        attributes={"theme": 0.9, "all": 0.75} if attributes else {},
        matched=0.8125,
        mismatched=0.25,
    )


def swept(*arms: Arm, seeds: int = 1) -> AblateResult:
    return AblateResult(Path("runs/ablation"), list(arms), seeds, 40, "how it was made", {})


def test_draw_keeps_every_cell():
    text = print_table(Table("Title", ["name", "value"], [["a", "1"], ["b", "22"]], "below"))
    lines = text.splitlines()
    assert lines[0].strip() == "Title"
    assert "name" in lines[2] and "value" in lines[2]
    assert [line.strip("│ ").split("│") for line in lines[4:6]] == [["a    ", "     1"], ["b    ", "    22"]]
    assert lines[-1].strip() == "below"


def test_narrow_terminals_lose_no_figure():
    text = print_table(Table("t", ["run", *"abcdef"], [["r", *["12.5 [10.25, 15.75]"] * 6]]), width=40)
    assert "\u2026" not in text
    assert text.count("12") == 6


def test_text_in_brackets_is_no_markup():
    """Song names and reasons may look like Rich's markup."""
    assert "[red]x[/red] [/]" in print_table(Table("t", ["a"], [["[red]x[/red] [/]"]]))


def trained(**changes) -> TrainResult:
    best = {"epoch": 2.0, "step": 6, "rougeL": 0.61803, "meteor": 0.5, "caption_loss": 0.75}
    settings = {"recipe": "tiny", "alignment_loss": "positive", "alpha": 0.02}
    data = {"recap": "0.1.0", "source": "demo", "fingerprint": "abc123", "splits": {"train": 17, "test": 3}, "demo": {}}
    return TrainResult(
        **{"out": Path("runs/x"), "settings": settings, "figures": {"best": best}, "data": data, **changes}
    )


def test_train_table():
    table = train_table(trained())
    assert table.title == "Trained runs/x: best epoch on the validation songs"
    assert table.rows == [
        ["epoch", "2"],
        ["step", "6"],
        ["rougeL", "0.61803"],
        ["meteor", "0.5"],
        ["caption loss", "0.75"],
    ]
    assert train_table(trained(trained=False)).title.startswith("Trained before: runs/x")


def test_model_card(tmp_path):
    out = tmp_path / "my-run"
    out.mkdir()
    text = write_model_card(trained(out=out)).read_text()
    assert text.startswith("---\nlibrary_name: transformers\n")
    assert "# my-run\n" in text
    assert "- Data: demo, fingerprint `abc123`, train 17, test 3 songs" in text
    assert "- Recipe: tiny; alignment loss positive, alpha 0.02" in text
    assert "- Best epoch 2 of the validation songs: ROUGE-L F1 61.8, METEOR 50.0" in text
    assert "**A demonstration.** It was trained on made-up songs" in text
    other = trained(out=out)
    del other.data["demo"]
    assert "A demonstration" not in write_model_card(other).read_text()


def test_ablate_table():
    table = ablate_table(swept(arm(0.0, 0.5), arm(0.02, 0.5125)))
    assert table.title == "Weight of the alignment loss, 40 songs (one seed: no claim)"
    assert table.columns == [
        "alpha",
        "ROUGE-1",
        "ROUGE-2",
        "ROUGE-L",
        "METEOR",
        "ROUGE-L minus alpha 0",
        "all attributes right",
        "cosine matched / mismatched",
    ]
    half = "50.0 [48.0, 52.0]"
    assert table.rows[0] == ["0", half, half, half, half, "", "75.0", "0.812 / 0.250"]
    assert table.rows[1][0] == "0.02"
    assert table.rows[1][5] == "1.2 [-0.3, 3.0]"
    assert "*" not in print_table(table)
    several = ablate_table(swept(arm(0.0, 0.5), arm(0.02, 0.5), seeds=3))
    assert several.title.endswith("(3 seeds, intervals over seeds and songs)")


def test_ablate_table_of_real_songs_has_no_attributes():
    table = ablate_table(swept(arm(0.0, 0.5, attributes=False)))
    assert "all attributes right" not in table.columns
    assert len(table.rows[0]) == len(table.columns)


@pytest.mark.parametrize("recipe", ["paper", "alcap", "tiny"])
def test_recipe_table(recipe):
    table = recipe_table()
    assert table.columns == ["setting", "paper", "alcap", "tiny", "set by"]
    assert [row[0] for row in table.rows] == [line.setting.replace("_", "-") for line in RECIPE_LINES]
    column = table.columns.index(recipe)
    assert [row[column] for row in table.rows] == [str(getattr(line, recipe)) for line in RECIPE_LINES]
    assert all(row[-1] for row in table.rows)
