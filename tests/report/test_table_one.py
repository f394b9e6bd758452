"""Table 1 in five formats, and the tables beside it: the right figure in the right place, and honest words."""

import csv
import io
import json
import re
from pathlib import Path

import pytest

from recap_cli.errors import DataError
from recap_cli.escaping import latex_text
from recap_cli.evaluation.controls import Control, ControlReport
from recap_cli.evaluation.evaluate import EvaluateResult
from recap_cli.evaluation.system_differences import Contrast
from recap_cli.evaluation.systems import Entry, Origin, PaperRow, SystemScores, read_paper_table
from recap_cli.outputs import file_stem
from recap_cli.report import scores as scores_module
from recap_cli.report.scores import attribute_table, control_table, habits_table, rouge_table, to_csv, to_markdown
from recap_cli.report.table_one import (
    contrast_table,
    percent,
    table_one,
    to_latex,
)
from recap_cli.runtime.decoding import DecodingOptions
from recap_cli.scoring.bootstrap import Comparison, Interval
from recap_cli.scoring.text import score_songs

METRICS = ("rouge1", "rouge2", "rougeL", "meteor")
HALF = "50.0 [40.0, 60.0]"


def system(name, mean=0.5, model="RECAP", variant="Full", attributes=None):
    texts = ["the sea is wide", "the sea"]
    lyrics = ["the sea is wide", None]
    scores = score_songs(["a", "b"], texts, [["the sea is wide", "a sea"], ["a road"]], lyrics=lyrics)
    intervals = {metric: Interval(mean, mean - 0.1, mean + 0.1) for metric in METRICS}
    intervals |= {"bleu": Interval(12.34, 10.0, 15.0), "chrf": Interval(45.0, 40.0, 50.0)}
    intervals |= {"cider": Interval(0.25, 0.125, 0.5), "facts": Interval(mean, mean - 0.1, mean + 0.1)}
    return SystemScores(name, texts, scores, intervals, attributes or {}, Origin(model, variant, 0, {}))


def evaluated(*systems, **changes):
    fields = {
        "data": Path("data"),
        "split": "test",
        "protocol": "f1",
        "systems": list(systems),
        "entries": [Entry((one,), one.intervals) for one in systems],
        "oracles": {},
        "contrasts": [],
        "signature": "how it was made",
        "decoding": DecodingOptions(),
    }
    return EvaluateResult(**{**fields, **changes})


PAPER = [PaperRow("Full", "ALCAP", {"rouge1": 12.3, "meteor": 4.0})]


def test_percent():
    assert percent(Interval(0.4567, 0.4, 0.51239)) == "45.7 [40.0, 51.2]"
    assert percent(Interval(-0.01, -0.02, 0.0)) == "-1.0 [-2.0, 0.0]"


def test_one_run():
    table = table_one(evaluated(system("runs/a")))
    assert table.title == "2 songs of split test, protocol f1"
    assert table.columns == ["model", "run", "ROUGE-1 F1", "ROUGE-2 F1", "ROUGE-L F1", "METEOR"]
    assert table.rows == [["RECAP", "runs/a", HALF, HALF, HALF, HALF]]
    assert table.caption == "95 % intervals over songs\nhow it was made"
    published = table_one(evaluated(system("a"), protocol="published"))
    assert published.columns[2:] == ["ROUGE-1 recall", "ROUGE-2 recall", "ROUGE-L recall", "METEOR"]


def test_files_have_no_model_column():
    table = table_one(evaluated(system("p", model="", variant=""), split="", data=Path("runs/p.jsonl")))
    assert table.columns[0] == "run"
    assert table.title == "2 songs of p.jsonl, protocol f1"


def test_rows_are_grouped_by_training_captions():
    runs = [
        system("p.jsonl", model="", variant=""),
        system("b", 0.25, "BART", "Votes > 0"),
        system("a", 0.5),
        system("c", 0.5, "BART-fusion"),
    ]
    rows = table_one(evaluated(*runs)).rows
    assert [row[:2] for row in rows] == [
        ["trained on: Full", ""],
        ["RECAP", "a"],
        ["BART-fusion", "c"],
        ["trained on: Votes > 0", ""],
        ["BART", "b"],
        ["trained on: not known", ""],
        ["", "p.jsonl"],
    ]
    assert rows[4][2] == "25.0 [15.0, 35.0]"
    assert {len(row) for row in rows} == {6}


def test_the_papers_figures_are_marked():
    result = evaluated(system("a"), paper=PAPER)
    table = table_one(result)
    assert table.rows[0] == ["ALCAP", "as printed in the paper, on another corpus", "12.3", "", "", "4.0"]
    assert "the paper's own figures, from another corpus: not comparable" in table.caption
    assert "as printed in the paper, on another corpus" in to_markdown(result) and "another corpus" in to_latex(result)
    assert result.to_json()["paper_on_another_corpus"][0]["scores"] == {"rouge1": 0.123, "meteor": 0.04}


def contrast(**changes):
    fields = {
        "name": "runs/b",
        "against": "runs/a",
        "figure": "rougeL",
        "comparison": Comparison(Interval(0.034, 0.01, 0.06), 0.01234),
        "p_holm": 0.04936,
        "seeds": (1, 1),
        "test": "songs",
    }
    return Contrast(**{**fields, **changes})


def test_stars_stand_beside_their_p():
    table = contrast_table(evaluated(system("runs/a"), contrasts=[contrast()]))
    assert table.title == "Differences to runs/a, paired by song"
    assert table.columns == ["run", "figure", "difference", "p", "p, Holm", "test"]
    assert table.rows == [["runs/b", "ROUGE-L F1", "3.4 [1.0, 6.0]", "0.0123", "0.0494 *", "songs"]]
    summed = contrast(figure="chrf", comparison=Comparison(Interval(3.4, 1.0, 6.0), 0.01234))
    assert contrast_table(evaluated(system("a"), contrasts=[summed])).rows[0][1:3] == ["chrF", "3.4 [1.0, 6.0]"]
    assert "corrected for the 1 comparisons;" in table.caption
    assert "compares two models, not two ways of training" in table.caption
    seeds = contrast_table(evaluated(system("runs/a"), contrasts=[contrast(seeds=(3, 3), test="Welch")]))
    assert seeds.rows[0][-2:] == ["0.0494", "Welch"]
    assert "below 5 seeds a side no stars" in seeds.caption and "two models" not in seeds.caption
    assert "Welch: runs of other seeds" in seeds.caption
    assert contrast_table(evaluated(system("runs/a"))) is None


def test_markdown():
    text = to_markdown(evaluated(system("a|b"), contrasts=[contrast()]))
    lines = text[text.index("**2 songs") :].splitlines()
    assert text.startswith("- a\\|b: ROUGE-L F1 50.0") or text.startswith("- ")
    assert lines[2] == "| model | run | ROUGE-1 F1 | ROUGE-2 F1 | ROUGE-L F1 | METEOR |"
    assert lines[4] == f"| RECAP | a\\|b | {HALF} | {HALF} | {HALF} | {HALF} |"
    assert "| runs/b | ROUGE-L F1 | 3.4 [1.0, 6.0] | 0.0123 | 0.0494 * | songs |" in lines


def test_latex():
    text = to_latex(evaluated(system("run_1&2", variant="Votes > 0")))
    assert f"RECAP & run\\_1\\&2 & {HALF} & {HALF} & {HALF} & {HALF} \\\\" in text
    assert "Trained on: Votes \\textgreater{} 0" in text
    assert text.count("\\begin{") == text.count("\\end{") == 2
    both = to_latex(evaluated(system("a", variant=""), contrasts=[contrast()]))
    assert both.count("\\toprule") == 2 and "runs/b &  &  & +3.4 * & " in both
    assert "Trained on" not in both
    assert not re.search(r"(?<!\\)[%#$_]", text)
    assert latex_text("a\\b{c}^~<|") == (
        "a\\textbackslash{}b\\{c\\}\\textasciicircum{}\\textasciitilde{}\\textless{}\\textbar{}"
    )


def test_csv_holds_every_figure():
    control = Control("music of another song", system("x", 0.25), {})
    result = evaluated(
        system('a "b", c'), paper=PAPER, controls=[ControlReport("a", [control])], contrasts=[contrast()]
    )
    rows = list(csv.DictReader(io.StringIO(to_csv(result))))
    assert [row["kind"] for row in rows] == ["paper"] * 2 + ["run"] * 8 + ["difference"] + ["control"] * 8
    run = {row["figure"]: row for row in rows if row["kind"] == "run"}
    assert run["rougeL"]["name"] == 'a "b", c'
    assert [run["rougeL"][name] for name in ("mean", "low", "high")] == ["0.500000", "0.400000", "0.600000"]
    assert run["bleu_0_100"]["mean"] == "12.340000"
    assert (rows[10]["name"], rows[10]["mean"], rows[10]["p_holm"]) == ("runs/b minus runs/a", "0.034000", "0.049360")
    assert (rows[11]["mean"], rows[0]["mean"]) == ("0.250000", "0.123000")


def test_json_is_plain():
    json.dumps(evaluated(system("a"), contrasts=[contrast()], paper=PAPER).to_json(), allow_nan=False)


# beside it ------------------------------------------------------------------------------------------------------------


def test_parts_and_other_figures():
    result = evaluated(system("a"), system("b"))
    # Song a is its first reference, song b shares nothing with its own.
    assert rouge_table(result).rows[1][:2] == ["b", "50.0/50.0/50.0"]
    table = habits_table(result)
    assert [row[0] for row in table.rows] == ["a", "b"]
    cells = dict(zip(table.columns, table.rows[1], strict=True))
    assert (cells["BLEU"], cells["words"], cells["copied"]) == ("12.3 [10.0, 15.0]", "3.0", "0.0 %")


def test_attributes_of_runs_controls_and_oracles():
    shares = {"theme": 0.95, "all": 0.5}
    control = Control("music of another song", system("x", attributes={"theme": 0.25, "all": 0.0}), {})
    result = evaluated(
        system("runs/a", attributes=shares),
        oracles={"lyrics only, oracle": {"theme": 1.0, "all": 0.125}},
        controls=[ControlReport("runs/a", [control])],
    )
    assert attribute_table(result).rows == [
        ["runs/a", "95.0", "50.0"],
        ["music of another song", "25.0", "0.0"],
        ["lyrics only, oracle", "100.0", "12.5"],
    ]
    assert attribute_table(evaluated(system("runs/a"))) is None


def test_controls():
    control = Control(
        "music of another song", system("x", 0.25), {"rougeL": Comparison(Interval(0.25, 0.125, 0.375), 0.01)}
    )
    report = ControlReport("runs/a", [control])
    table = control_table(report)
    assert table.rows == [
        ["music of another song", "25.0", "25.0", "25.0 [15.0, 35.0]", "25.0", "25.0 [12.5, 37.5]", "3.0"]
    ]
    assert report.verdicts[0].startswith("uses the music: ROUGE-L F1 +25.0 [+12.5, +37.5]")
    assert report.verdicts[1] == "does not take the lyrics"


def test_alignment_and_attention(tiny_data, tiny_run):
    from recap_cli.captioning.captioner import Captioner
    from recap_cli.evaluation.alignment_report import measure_run
    from recap_cli.progress import SilentProgress
    from recap_cli.report.pictures import plot_alignment

    captioner = Captioner.from_pretrained(tiny_run, device="cpu")
    report = measure_run("runs/a b", captioner, tiny_data, tiny_data.split("test"), SilentProgress())
    table = scores_module.alignment_table(report)
    cells = {row[0]: row[1:] for row in table.rows}
    assert cells["cosine, matched"][0] == f"{report.trained.matched:.3f}"
    assert cells["cosine, matched"][1] == f"{report.probe.matched:.3f}"
    assert cells["lyrics from music: R@1/5/10, mAP@10, median rank"][2] == "33.3 / 100.0 / 100.0, 61.1, 2"
    assert "3 held-out songs; ties count against the model" in table.caption
    assert cells["gap"][0] == scores_module.plain(report.gap)
    assert report.gap.mean == pytest.approx(report.trained.gap)
    summary = scores_module.alignment_summary([report, report])
    assert summary.rows[1][:3] == ["runs/a b", *cells["gap"][:2]]
    attention = scores_module.attention_table(report)
    assert attention.rows[0][1].endswith(", 3")
    files = plot_alignment(report, tiny_data.folder.parent / "plots")
    stem = file_stem("runs/a b")
    assert [file.name for file in files] == [f"{stem}.similarity.png", f"{stem}.cosines.png"]
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in files)


# the paper's figures --------------------------------------------------------------------------------------------------


def test_a_papers_table_is_read(tmp_path):
    (tmp_path / "p.csv").write_text("variant,model,rouge1,rouge2,rougeL,meteor\nFull,BART,12.5,,3,4\n")
    assert read_paper_table(tmp_path / "p.csv") == [
        PaperRow("Full", "BART", {"rouge1": 12.5, "rougeL": 3.0, "meteor": 4.0})
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no column variant"),
        (b"variant,model\n", "has no rows"),
        (b"variant,model,rouge1\nFull,BART,101\n", "line 2: rouge1 is '101', not points"),
        (b"variant,model,rouge1\nFull,BART,nan\n", "line 2: rouge1 is 'nan'"),
        (b"variant,model\nFull,\xff\n", "line 2 is no UTF-8"),
        (b"variant,rouge1\nFull,3\n", "no column model"),
        (b"variant,model,rouge1\nFull,BART\n", "line 2: its cells do not fit"),
        (b"variant,model,rouge1\nFull,BART,27,0\n", "line 2: its cells do not fit"),
    ],
)
def test_tables_that_cannot_be_used(tmp_path, content, message):
    (tmp_path / "p.csv").write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_paper_table(tmp_path / "p.csv")
    with pytest.raises(DataError, match="cannot read"):
        read_paper_table(tmp_path / "none.csv")
