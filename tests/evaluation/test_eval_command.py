"""`recap eval` as typed: formats on stdout, files in a folder, and two lines for whatever cannot be scored."""

import csv
import io
import json
import re
from pathlib import Path

import pytest
from schemas import check_document

from recap_cli.cli.app import main

LAYOUTS = Path(__file__).parents[1] / "fixtures" / "captions"
ROWS = [
    {"song": "a", "prediction": "a song of love", "references": ["a love song", "of love"], "lyrics": "la la la"},
    {"song": "b", "prediction": "the sea at night", "references": ["the sea"]},
]


@pytest.fixture
def recap(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        code = main(["eval", *map(str, arguments)])
        out, err = capsys.readouterr()
        return code, out, err.splitlines()

    return run


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def files(tmp_path):
    other = [{**row, "prediction": row["references"][0]} for row in ROWS]
    return write(tmp_path / "a.jsonl", ROWS), write(tmp_path / "b.jsonl", other)


def test_formats(recap, files):
    calls = {form: recap("--predictions", files[0], "--format", form, "-q") for form in ("markdown", "latex", "csv")}
    assert {(code, tuple(err)) for code, _, err in calls.values()} == {(0, ())}
    assert calls["markdown"][1].startswith("- a: ROUGE-L F1 ")
    assert calls["latex"][1].startswith("\\begin{table}")
    assert next(csv.DictReader(io.StringIO(calls["csv"][1])))["figure"] == "rouge1"
    code, out, _ = recap("--predictions", files[0], "--json")
    document = json.loads(out)
    assert code == 0 and document["systems"][0]["copied_5grams"] == 0.0
    best, mean = (document["systems"][0][name] for name in ("best_reference", "mean_of_references"))
    assert mean["rouge1.f1"] < best["rouge1.f1"]


def test_two_files_and_their_cases(recap, files, tmp_path):
    code, out, err = recap("--predictions", files[0], "--predictions", files[1], "--cases", "1", "--out", "cases")
    assert code == 0
    assert out.startswith("Best in ROUGE-L F1: b, 100.0") and "b against a: " in out
    assert "Differences to" not in out and "Differences to a" in (tmp_path / "cases" / "tables.md").read_text()
    assert "Written: cases/report.html" in err and "All figures and tables: cases" in err
    assert err[-1].startswith("Next: ")
    assert (tmp_path / "cases" / "report.html").read_text().startswith("<!DOCTYPE html>")
    assert json.loads((tmp_path / "cases" / "evaluation.json").read_text())["cases"]["ids"]


def test_what_is_scored_next_writes_over_nothing(recap, files, tmp_path):
    for _ in range(2):
        for file in files:
            assert recap("--predictions", file, "-q")[0] == 0
    places = sorted(path.parent.name for path in tmp_path.glob("runs/eval/*/evaluation.json"))
    assert [place.partition("-")[0] for place in places] == ["a", "b"]


def test_controls_and_alignment_of_a_run(recap, tiny_data, tiny_run, tmp_path):
    code, out, err = recap(
        tiny_run, "--data", tiny_data.folder, "--beams", "1", "--controls", "--alignment", "--details"
    )
    assert code == 0
    for words in ("Controls of", "Alignment of", "Fusion attention of", "music states of zero", "InfoNCE bound"):
        assert words in out
    assert sum(".png" in line for line in err) == 3  # two of alignment, one of systems
    (document,) = tmp_path.glob("runs/eval/*/evaluation.json")
    check_document("eval", json.loads(document.read_text()))
    assert re.search(f"^{tiny_run.name} (uses|is not shown to use) the music: ", out, re.MULTILINE)
    assert re.search(f"^{tiny_run.name}: music and lyrics of one song are ", out, re.MULTILINE)


def test_captions_of_others_and_their_references(recap, tmp_path):
    """Two systems' files in layouts of their own, references, artists and lyrics from elsewhere: one call."""
    given = (
        "--predictions",
        f"Waltz={LAYOUTS / 'cmi_bench.jsonl'}",
        "--predictions",
        LAYOUTS / "lp_musiccaps_infer.json",
    )
    from_elsewhere = ("--references", LAYOUTS / "song_describer.csv", "--lyrics", LAYOUTS / "MulJam", "--common")
    code, out, err = recap(*given, *from_elsewhere, "--out", "out")
    assert code == 0 and "2 songs of song_describer.csv" in out
    assert "1 to 2 captions a song, 3 in all" in out and "it counts with their mean" in out
    assert re.search(r"^. Waltz .*\n. lp_musiccaps_infer ", out, re.MULTILINE)
    assert any("All have 2 of 3 songs" in line for line in err)
    document = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    check_document("eval", document)
    system = document["systems"][0]
    assert (system["name"], system["songs"], system["captions"]) == ("Waltz", 2, 3)
    assert system["copied_5grams"] is not None and "1 to 2 captions a song" in document["signature"]


def refuse(recap, *arguments):
    code, out, err = recap(*arguments, "-q")
    assert code in (1, 2) and (out, len(err)) == ("", 2), (code, out, err)
    assert err[0].startswith("recap: ") and err[1].startswith("try: ")
    return err[0]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "holds no predictions"),
        ([{"song": "a", "prediction": None, "reference": "x"}], "line 1: prediction is None"),
        ([{"song": "a", "prediction": float("nan"), "reference": "x"}], "line 1: prediction is nan"),
        ([{"song": "a", "prediction": "x", "references": [""]}], "line 1: references is empty"),
        ([{**ROWS[0], "artist": name} for name in "xy"], "line 2: song a is by 'y'"),
        ([ROWS[0], {"prediction": "x", "reference": "y"}], "line 2 has no song id"),
    ],
)
def test_files_that_cannot_be_scored(recap, tmp_path, rows, message):
    assert message in refuse(recap, "--predictions", write(tmp_path / "p.jsonl", rows))
    assert not (tmp_path / "runs").exists()


def test_more_that_cannot_be_scored(recap, files, tmp_path):
    (tmp_path / "bad.jsonl").write_bytes(b'{"prediction": "\xff", "reference": "x"}')
    assert "line 1 is no UTF-8" in refuse(recap, "--predictions", "bad.jsonl")
    assert "no file none.csv" in refuse(recap, "--predictions", "none.csv")
    fewer = write(tmp_path / "c.jsonl", ROWS[:1])
    assert "lacks 1 of the 2 songs, such as b" in refuse(recap, "--predictions", files[0], "--predictions", fewer)
    assert "no file none.csv" in refuse(recap, "--predictions", "A=none.csv")
    assert "no file none.csv" in refuse(recap, "--predictions", files[0], "--references", "none.csv")
    assert "no folder none" in refuse(recap, "--predictions", files[0], "--lyrics", "none")
    assert not (tmp_path / "runs").exists()
    assert "--format xml" in refuse(recap, "--predictions", files[0], "--format", "xml")
    assert "--alignment needs a model" in refuse(recap, "--predictions", files[0], "--alignment")
    (tmp_path / "taken").write_text("")
    assert "--out taken is no folder" in refuse(recap, "--predictions", files[0], "--out", "taken")


def test_captions_of_100000_words(recap, tmp_path):
    long = " ".join(f"word{number % 977}" for number in range(100_000))
    path = write(
        tmp_path / "p.jsonl", [{"prediction": long, "reference": "word1 word2"}, {"prediction": "", "reference": "x"}]
    )
    code, out, _ = recap("--predictions", path, "--json", "-q")
    assert code == 0
    assert json.loads(out)["systems"][0]["words_per_caption"] == 50_000
