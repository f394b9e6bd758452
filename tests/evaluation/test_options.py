"""What systems are called, where a result goes that was given no place, and which cases are shown."""

from dataclasses import replace
from pathlib import Path

import pytest

from recap_cli.errors import OptionError
from recap_cli.evaluation.options import LONGEST_NAME, CaseChoice, EvaluateOptions, name_systems
from recap_cli.evaluation.predictions import Columns
from recap_cli.runtime.options import DecodingOptions
from recap_cli.settings import UNNAMED

FILES = EvaluateOptions(None, predictions=(Path("a/one.jsonl"), Path("b/two.csv")))


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["/home/someone/runs/recap"], ["recap"]),
        (["a/b/x", "a-b/x", "a/b-x"], ["x (b)", "x (a-b)", "b-x"]),
        (["runs/a/out/captions.jsonl", "runs/b/out/captions.jsonl"], ["captions (a)", "captions (b)"]),
        (["x", "a/x"], ["x", "x (a)"]),
        (["x.csv", "x.jsonl"], ["x (csv)", "x (jsonl)"]),
        (["r", "r", "R"], ["r", "r (2)", "R (3)"]),
        (["x", "x", "x (2)"], ["x", "x (2)", "x (2) (2)"]),
        (["runs/alpha-0.02-seed-1"], ["alpha-0.02-seed-1"]),
    ],
)
def test_names_are_short_and_never_paths(paths, names):
    assert name_systems(paths) == names


def test_names_that_are_given_stay(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x=y.csv").write_text("")
    given = ("GAMA=runs/gama_SDD.jsonl", "runs/gama.jsonl", "x=y.csv", "dir/a=b.csv", "Q 2=~/q=2.csv")
    options = EvaluateOptions(None, predictions=tuple(map(Path, given)))
    assert options.names == ["GAMA", "gama (2)", "x=y", "a=b", "Q 2"]
    assert options.files[0] == Path("runs/gama_SDD.jsonl") and options.files[4] == Path.home() / "q=2.csv"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"predictions": (Path("A=x"), Path("a=y"))}, "two systems A"),
        ({"predictions": (Path("=x"),)}, "no NAME=FILE"),
        ({"predictions": (Path("A="),)}, "no NAME=FILE"),
        ({"references": Path("r"), "data": Path("d")}, "--references and --data"),
        ({"references": Path("r"), "predictions": (), "data": UNNAMED}, "goes with files of captions"),
        ({"common": True, "predictions": (), "data": Path("d")}, "--common goes with files"),
        ({"subset": "validated"}, "--subset"),
        ({"split": "tst"}, "--split names songs of a data folder"),
        ({"alignment": True}, "--alignment needs a model"),
        ({"sort": "specificity"}, "--sort specificity"),
        ({"against": "three"}, "--against three"),
        ({"song_key": "(["}, "is no pattern"),
        ({"song_key": "[0-9]+"}, "has no group"),
    ],
)
def test_what_does_not_go_together(options, message):
    with pytest.raises(OptionError, match=message) as caught:
        assert replace(FILES, **options).names
    assert caught.value.hint


def test_long_names_lose_their_middle():
    (name,) = name_systems(["runs/" + "x" * 40 + "end"])
    assert len(name) <= LONGEST_NAME and name.startswith("xx") and name.endswith("end")


def test_what_is_scored_decides_where_the_result_goes():
    """The same call again resumes; no other one writes over its result."""
    places = [
        FILES,
        replace(FILES, predictions=FILES.predictions[::-1]),
        replace(FILES, predictions=FILES.predictions[:1]),
        replace(FILES, limit=3),
        replace(FILES, protocol="published"),
        replace(FILES, references=Path("r.csv")),
        replace(FILES, references=Path("r.csv"), subset="validated"),
        replace(FILES, lyrics=Path("l")),
        replace(FILES, common=True),
        replace(FILES, columns=Columns.parse("song=x")),
        replace(FILES, song_key="(x)"),
        replace(FILES, against="all"),
        replace(FILES, cluster="song"),
        replace(FILES, controls=True),
        replace(FILES, tags=Path("t")),
        replace(FILES, data=Path("d")),
        replace(FILES, data=Path("d"), split="validation"),
        replace(FILES, data=Path("d"), runs=(Path("r"),), decoding=DecodingOptions(beams=2)),
    ]
    assert len({options.default_out for options in places}) == len(places)
    assert replace(FILES).default_out == FILES.default_out
    # What is only measured beside it adds to the same result; of runs that is so that captions are resumed.
    assert replace(FILES, cases=CaseChoice(3)).default_out == FILES.default_out
    run = replace(FILES, data=Path("d"), runs=(Path("r"),))
    assert replace(run, controls=True, alignment=True).default_out == run.default_out
    assert FILES.default_out.parent == Path("runs/eval") and FILES.default_out.name.startswith("one-and-1-more-")


@pytest.mark.parametrize(
    ("text", "choice"),
    [
        ("20", CaseChoice(20)),
        ("0", CaseChoice(0)),
        ("a,b", CaseChoice(10, ("a", "b"))),
        ("one, two (x), 5", CaseChoice(5, ("one", "two (x)"))),
        ("1,2", CaseChoice(10, ("1", "2"))),
    ],
)
def test_cases_are_a_number_two_systems_or_both(text, choice):
    assert CaseChoice.parse(text) == choice


@pytest.mark.parametrize("text", ["", "a", "-1", "a,b,c", "a,", "a,b,c,3"])
def test_other_cases_are_refused(text):
    with pytest.raises(OptionError, match="--cases"):
        CaseChoice.parse(text)


def test_a_system_that_is_not_there_is_named_with_those_that_are():
    with pytest.raises(OptionError) as caught:
        replace(FILES, cases=CaseChoice(3, ("one", "three")))
    assert "three" in caught.value.message and "one, two" in caught.value.hint
