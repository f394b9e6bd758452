"""Results to tables: the right figure in the right column, and the words that keep claims honest."""

from io import StringIO
from pathlib import Path

import pytest
from make_runs import ZERO, aligned, runs
from rich.console import Console

from recap_cli.ablation.conditions import BART, LYRICS_ONLY, Condition
from recap_cli.ablation.results import AblateResult, summarise
from recap_cli.corpus.splits import Leakage
from recap_cli.preparation.prepare import PreparePlan, PrepareResult
from recap_cli.progress import Table
from recap_cli.report.drawing import draw
from recap_cli.report.model_card import write_model_card
from recap_cli.report.recipes import recipe_table, write_value
from recap_cli.report.table_one import markdown_table
from recap_cli.report.tables import (
    ablate_table,
    duration,
    leakage_line,
    losses_table,
    measures_table,
    measures_tables,
    next_steps,
    plan_table,
    prepare_table,
    train_table,
)
from recap_cli.training.recipes import RECIPE_LINES
from recap_cli.training.train import TrainResult


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
        ["ROUGE-L F1", "0.618"],
        ["METEOR", "0.500"],
        ["caption loss, nats a token", "0.750"],
        ["validation took", "25 % of the time"],
    ]
    assert train_table(trained(trained=False)).title.startswith("Trained before: runs/x")


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
    assert table.caption.startswith("differences may be luck of the training: none is marked best; 95 % intervals over")
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


@pytest.mark.parametrize("recipe", ["paper", "alcap", "tiny"])
def test_recipe_table(recipe):
    table = recipe_table()
    assert table.columns == ["setting", "paper", "alcap", "tiny", "set by"]
    assert [row[0] for row in table.rows] == [line.setting.replace("_", "-") for line in RECIPE_LINES]
    column = table.columns.index(recipe)
    assert [row[column] for row in table.rows] == [write_value(getattr(line, recipe)) for line in RECIPE_LINES]
    assert all(row[-1] for row in table.rows)


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


# prepare --------------------------------------------------------------------------------------------------------------

MEDIANS = {"seconds": 14.9, "lyrics_tokens": 260.0, "captions_per_song": 15.0, "caption_tokens": 90.5}


def prepared(**changes) -> PrepareResult:
    given = {
        "out": Path("data"), "songs": 24, "captions": 120, "hours": 0.0412, "splits": {"test": 3, "train": 17},
        "rejected": 3, "reasons": {"is empty (0 bytes)": 2, "torn": 1}, "reused": 5, "medians": MEDIANS,
        "cleaned": {"page footers": 7}, "warnings": {"silent": 4}, "leakage": Leakage(0.046, 0.991, 0), "seconds": 65.0,
        "spent": {"decoding": 10.0, "resampling": 85.0, "mels": 5.0, "hashing": 0.1},
    }  # fmt: skip
    return PrepareResult(**{**given, **changes})


def test_prepare_table():
    table = prepare_table(prepared())
    assert table.title == "Prepared data"
    assert table.rows == [
        ["songs", "24"],
        ["captions", "120"],
        ["splits", "test 3, train 17"],
        ["audio in the mels", "0.04 h"],
        ["median length of the audio", "14.9 s"],
        ["median captions a song", "15"],
        ["median words and marks: lyrics, captions", "260, 90.5"],
        ["mels found in the cache", "5"],
        ["captions cleaned: page footers", "7"],
        ["used, but silent", "4"],
        ["rejected", "3"],
        ["  is empty (0 bytes)", "2"],
        ["  torn", "1"],
        ["time", "65.0 s"],
        ["where it went", "resampling 85 %, decoding 10 %, mels 5 %"],
        ["quicker; differs above 7 kHz only", "--resampler soxr"],
    ]
    assert "4.6 % of the songs" in table.caption and "99.1 % of the held-out captions" in table.caption


def test_soxr_is_named_only_where_it_helps():
    def last(**changes) -> str:
        return prepare_table(prepared(**changes)).rows[-1][0]

    assert last() != "where it went"
    assert last(resampler="soxr") == "where it went"
    assert last(spent={"decoding": 60.0, "resampling": 40.0}) == "where it went"
    assert last(spent={"resampling": 2.0}) == "where it went"  # a second of compiling is no reason
    assert last(reused=24) == "  torn"  # nothing was heard


def test_many_reasons_are_cut_short():
    rows = prepare_table(prepared(reasons={f"reason {n}": 1 for n in range(30)}, rejected=30)).rows
    assert ["  for other reasons", "22"] in rows


def test_a_slice_is_named():
    assert prepare_table(prepared(slice="3/8")).title == "Prepared data, slice 3/8"


def test_leakage_line():
    assert leakage_line(None) == ""
    assert leakage_line(Leakage(0.0, 0.5, 12)).endswith("These splits do so for 12 songs.")


def test_plan_table():
    plan = PreparePlan(
        out=Path("data"), layout="alcap", songs=27834, captions=310315, splits={"train": 27034, "test": 800}, missing=4,
        rejected=2, reasons={"torn": 2}, cleaned={}, leakage=Leakage(0.0, 0.9, 0), seconds=7200.0, gigabytes=6.683,
        jobs=16,
    )  # fmt: skip
    rows = dict(plan_table(plan).rows)
    assert rows["audio files that are missing"] == "4"
    assert rows["mels, at most"] == "6.68 GB"
    assert rows["time with 16 processes"] == "about 2.0 h"
    assert plan.to_json()["dry_run"] is True


def test_durations():
    assert [duration(seconds) for seconds in (3.21, 150, 9000)] == ["3.2 s", "2 min", "2.5 h"]
