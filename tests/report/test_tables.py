"""Results to tables: the right figure in the right column, and the words that keep claims honest."""

from io import StringIO
from pathlib import Path

import pytest
from make_runs import ZERO, aligned, runs
from rich.console import Console
from screens import FOLDER, check_screen

from recap_cli.ablation.ablate import SweepPlan
from recap_cli.ablation.conditions import BART, LYRICS_ONLY, Condition
from recap_cli.ablation.results import AblateResult, summarise
from recap_cli.progress import Table
from recap_cli.report.drawing import draw
from recap_cli.report.model_card import write_model_card
from recap_cli.report.recipes import recipe_screen, recipe_table, write_value
from recap_cli.report.table_one import markdown_table
from recap_cli.report.tables import (
    ablate_table,
    duration,
    estimate_table,
    losses_table,
    measures_table,
    measures_tables,
    next_steps,
    sweep_table,
    train_table,
)
from recap_cli.training.recipes import RECIPE_LINES
from recap_cli.training.train import Estimate, TrainResult


def print_table(table: Table, width: int = 200) -> str:
    console = Console(width=width, record=True, file=StringIO())
    console.print(draw(table))
    return console.export_text()


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
    result = trained(log=[{"epoch": 1.0}, {"epoch": 4.0}], validation_share=0.25)
    table = train_table(result)
    assert table.title == "Trained runs/x"
    assert table.rows == [
        ["best epoch", "2 of 4, step 6"],
        ["ROUGE-L F1", "61.8"],
        ["METEOR", "50.0"],
        ["caption loss, nats a token", "0.750"],
        ["validation took", "25 % of the time"],
    ]
    assert train_table(trained(trained=False)).title.startswith("Trained before: runs/x")


def test_screens_of_train():
    log = [{"epoch": 1.0}, {"epoch": 4.0}]
    best = {**trained().figures["best"], "matched_cosine": 0.412, "mismatched_cosine": -0.033}
    expected = Estimate(
        "runs/my-songs-tiny-alpha0.02-3f2a", "that of the demo model in the package", 1240, 208, 352_320, 0.25, 0.0144,
        0.52, "cpu", 3,
    )  # fmt: skip
    check_screen("train-end", draw(train_table(trained(log=log, figures={"best": best}))))
    check_screen("train-dry-run", draw(estimate_table(expected)))


def test_a_training_ends_with_what_people_do_next():
    told = next_steps(trained(out=Path("runs/my run")), Path("data"))
    assert "recap caption song.mp3 --model 'runs/my run'" in told
    assert "recap eval 'runs/my run' --data data" in told


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


def swept(*groups) -> AblateResult:
    return summarise([record for group in groups for record in group], {}, Path("runs/ablation"))


def large() -> AblateResult:
    """Eight columns: several seeds of baselines and of two losses."""
    base = runs(ZERO, [0.0, 0.01, 0.02, 0.01, 0.0], measures={"probe_matched": 0.5, "probe_mismatched": -0.25})
    gains = [0.101, 0.11, 0.121, 0.109, 0.1]
    noise = [0.01, 0.0, 0.0, 0.0, 0.01]
    sizes = (aligned(0.02), aligned(0.1), aligned(0.1, "infonce-symmetric"))
    others = [runs(Condition(BART), [-0.1, -0.09, -0.09], measures={}), runs(Condition(LYRICS_ONLY), noise)]
    return swept(base, *others, *(runs(one, gains if one.alpha == 0.02 else noise) for one in sizes))


def test_ablate_table_of_one_seed():
    table = ablate_table(swept(runs(ZERO, [0.0]), runs(aligned(0.02), [0.0125])))
    assert table.title == "Weight of the alignment loss, 4 songs (one seed: no claim)"
    assert table.columns == ["condition", "seeds", "ROUGE-L F1", "METEOR", "right", "minus alpha 0", "cosine"]
    zero, one = table.rows
    assert zero[:2] + zero[3:] == ["BART-fusion (alpha 0)", "1", "25.0", "100.0", "", "0.812\n0.250"]
    assert zero[2].startswith("50.0\n[")
    assert one[0] == "alpha 0.02, positive"
    assert one[5] == "+1.2\n[+1.2, +1.2]"
    assert "*" not in print_table(table) and "best" not in "".join(one)
    assert table.caption.startswith("differences may be luck of the training: none is marked best\n95 % intervals over")
    assert table.caption.count("over songs") == 1
    assert table.caption.endswith(swept(runs(ZERO, [0.0])).signature)


def test_ablate_table_of_several_seeds():
    table = ablate_table(large())
    assert table.title == "Weight of the alignment loss, 4 songs (3 to 5 seeds)"
    assert table.columns[-2:] == ["p, Holm", "cosine"]
    rows = {row[0]: dict(zip(table.columns, row, strict=True)) for row in table.rows}
    assert list(rows)[:4] == [
        "BART (no music)",
        "constant music (same size, lyrics only)",
        "BART-fusion (alpha 0)",
        "alpha 0.02, positive (best)",
    ]
    assert rows["alpha 0.02, positive (best)"]["p, Holm"] == "<.0001\n***"
    assert rows["alpha 0.02, positive (best)"]["minus alpha 0"].startswith("+10.0\n[+")
    # Three seeds: a p value and no stars, however small it is.
    assert float(rows["BART (no music)"]["p, Holm"]) < 0.05
    assert rows["BART (no music)"]["cosine"] == ""
    assert rows["BART-fusion (alpha 0)"]["cosine"] == "0.500\n-0.250"
    assert rows["BART-fusion (alpha 0)"]["p, Holm"] == ""
    assert "of alpha 0: by a probe" in table.caption
    assert "better than alpha 0 beyond chance: alpha 0.02, positive" in table.caption


def test_ablate_table_tells_of_seeds_that_alpha_0_lacks():
    table = ablate_table(swept(runs(ZERO, [0.0, 0.01]), runs(aligned(0.02), [0.0, 0.02, 0.03])))
    assert [row[1] for row in table.rows] == ["2", "3 (2)"]
    assert "seeds in brackets: those that alpha 0 has too" in table.caption


def test_ablate_table_fits_80_columns():
    """No figure is broken, and the markdown form has each interval beside its mean."""
    table = ablate_table(large())
    lines = print_table(table, width=80).splitlines()
    assert max(map(len, lines)) <= 80
    for row in table.rows:
        for part in (part for cell in row[1:] for part in cell.split("\n")):
            assert any(part in line for line in lines), part
    markdown = markdown_table(table).splitlines()
    assert markdown[2].startswith("| condition | seeds | ROUGE-L F1 |")
    assert all(line.count("|") == 9 for line in markdown[2:9])
    assert "| +10.0 [+" in markdown[7] and "| <.0001 *** |" in markdown[7]


def test_ablate_table_of_real_songs_has_no_attributes():
    records = runs(ZERO, [0.0])
    del records[0].values["attributes"], records[0].measures["matched"]
    table = ablate_table(swept(records))
    assert table.columns == ["condition", "seeds", "ROUGE-L F1", "METEOR"]
    assert [len(row) for row in table.rows] == [4]


def test_screens_of_ablate():
    result = large()
    plan = SweepPlan(
        [("BART-fusion (alpha 0)", 5, 2), ("alpha 0.02, positive", 5, 0)], 2, 95.0, 0.21, "2 finished runs"
    )
    losses = losses_table(result)
    assert losses is not None
    check_screen("ablate", *(draw(one) for one in (ablate_table(result), losses, *measures_tables(result))))
    check_screen("ablate-dry-run", draw(sweep_table(plan)))


def test_losses_table():
    table = losses_table(large())
    assert [row[2] for row in table.rows] == ["ROUGE-L F1", "METEOR", "attributes named rightly"]
    assert table.rows[0][0] == "alpha 0.02, positive minus alpha 0.1, infonce-symmetric"
    assert table.rows[0][3].startswith("+10.4\n[")
    assert table.rows[2][3:] == ["+0.0\n[+0.0, +0.0]", "1.0000"]
    assert losses_table(swept(runs(ZERO, [0.0]), runs(aligned(0.02), [0.0]))) is None


def test_measures_table():
    measures = {"gap": 0.5, "recall_at_10": 0.25, "unknown": 1.0}
    table = measures_table(swept(runs(ZERO, [0.0, 0.1], measures=measures), runs(Condition(BART), [0.0], measures={})))
    assert table.columns == ["condition", "all attributes right, %", "cosine gap", "lyrics from music, R@10, %"]
    assert table.rows == [["BART (no music)", "50.0", "", ""], ["BART-fusion (alpha 0)", "50.0", "0.500", "25.0"]]


@pytest.mark.parametrize("recipe", ["paper", "alcap", "tiny", "real"])
def test_recipe_table(recipe):
    table = recipe_table()
    assert table.columns == ["setting", "paper", "alcap", "tiny", "real", "set by"]
    assert [row[0] for row in table.rows] == [line.setting.replace("_", "-") for line in RECIPE_LINES]
    column = table.columns.index(recipe)
    assert [row[column] for row in table.rows] == [write_value(getattr(line, recipe)) for line in RECIPE_LINES]
    assert all(row[-1] for row in table.rows)


def test_the_recipes_fit_80_columns():
    check_screen("recipes", draw(recipe_screen()))
    assert "┏" in (FOLDER / "recipes-80.txt").read_text(encoding="utf-8")  # a grid, no list of 150 lines
    for full, short in zip(recipe_table().rows, recipe_screen().rows, strict=True):
        assert [full[1] if cell == "=" else cell for cell in short] == [*full[:4], full[5]]
        assert full[4] == full[1] or f"{full[0]} {full[4]}" in recipe_screen().caption


def test_measures_fit_80_columns():
    """A column a condition, four conditions a table; every figure of the wide table is in one of them."""
    result = large()
    whole, tables = measures_table(result), measures_tables(result)
    assert len(tables) == -(-len(result.conditions) // 4)
    cells = {(row[0], name): cell for row in whole.rows for name, cell in zip(whole.columns, row, strict=True)}
    found = {}
    for table in tables:
        for row in table.rows:
            for condition, cell in zip(table.columns[1:], row[1:], strict=True):
                found[condition.replace("\n", " "), row[0]] = cell
    assert found == {key: cell for key, cell in cells.items() if key[1] != "condition"}
    text = "".join(print_table(table, width=80) for table in tables)
    assert all(name in text for name in whole.columns[1:])


def test_durations():
    assert [duration(seconds) for seconds in (3.21, 150, 9000)] == ["3.2 s", "2 min", "2.5 h"]
