"""What `prepare` tells: the right figures, no false alarm about splits, and what to type next."""

from pathlib import Path

import pytest
from screens import check_screen

from recap_cli.corpus.splits import Leakage
from recap_cli.preparation.results import PreparePlan, PrepareResult
from recap_cli.report.drawing import draw
from recap_cli.report.preparation import leakage_line, next_step, plan_table, prepare_table

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
        ["audio kept", "2 min"],
        ["median excerpt", "14.9 s"],
        ["median captions of a song", "15"],
        ["median lyrics", "260 words and marks"],
        ["median caption", "90.5 words and marks"],
        ["ready from before", "5"],
        ["captions cleaned: page footers", "7"],
        ["used, but silent", "4"],
        ["rejected", "3"],
        ["  is empty (0 bytes)", "2"],
        ["  torn", "1"],
        ["which these are", "data/rejected.jsonl"],
        ["time", "65.0 s"],
        ["spent on", "resampling 85 %, decoding 10 %, mels 5 %"],
        ["quicker next time", "--resampler soxr; differs above 7 kHz only"],
    ]
    assert "4.6 % of the songs" in table.caption and "99.1 % of the held-out captions" in table.caption


def test_screens():
    check_screen("prepare", draw(prepare_table(prepared())))


def test_soxr_is_named_only_where_it_helps():
    def last(**changes) -> str:
        return prepare_table(prepared(**changes)).rows[-1][0]

    assert last() != "spent on"
    assert last(resampler="soxr") == "spent on"
    assert last(spent={"decoding": 60.0, "resampling": 40.0}) == "spent on"
    assert last(spent={"resampling": 2.0}) == "spent on"  # a second of compiling is no reason
    assert last(reused=24) == "which these are"  # nothing was heard


def test_many_reasons_are_cut_short():
    rows = prepare_table(prepared(reasons={f"reason {n}": 1 for n in range(30)}, rejected=30)).rows
    assert ["  for other reasons", "22"] in rows


def test_a_slice_is_named():
    assert prepare_table(prepared(slice="3/8")).title == "Prepared data, part 3/8"


def test_splits_that_are_right_raise_no_alarm():
    """Even where all songs resemble one another."""
    told = leakage_line("folder", Leakage(1.0, 0.0, 0))
    assert told.startswith("No song of validation or test stands in training")
    assert "100.0 % of the songs resemble another, and stay together" in told and "leak" not in told
    assert leakage_line("folder", None) == leakage_line("demo", Leakage(1.0, 0.9, 3)) == ""


@pytest.mark.parametrize(("count", "words"), [(1, "1 song of"), (1200, "1,200 songs of")])
def test_splits_that_leak_are_told_with_a_way_out(count, words):
    told = leakage_line("alcap", Leakage(0.0, 0.5, count))
    assert "These splits leak" in told and words in told and "--resplit" in told


def test_the_next_step():
    assert next_step(prepared(layout="demo")) == "Next: recap train data"
    assert "recap train 'my data' --recipe tiny" in next_step(prepared(layout="folder", out=Path("my data")))
    assert "recap caption data --out" in next_step(prepared(layout="folder", captions=0))
    assert "copy the folders of all parts" in next_step(prepared(slice="3/8"))


def test_plan_table():
    plan = PreparePlan(
        out=Path("data"), layout="alcap", songs=27834, captions=310315, splits={"train": 27034, "test": 800}, missing=4,
        rejected=2, reasons={"torn": 2}, cleaned={}, leakage=Leakage(0.0, 0.9, 0), seconds=7200.0, gigabytes=6.683,
        jobs=16,
    )  # fmt: skip
    rows = dict(plan_table(plan).rows)
    assert rows["missing audio files"] == "4"
    assert rows["disk, at most"] == "6.68 GB"
    assert rows["time with 16 processes"] == "about 2.0 h"
    assert plan.to_json()["dry_run"] is True
