"""What prepare tells: tables, and the line on leakage."""

from pathlib import Path

from recap_cli.corpus.splits import Leakage
from recap_cli.preparation.prepare import PreparePlan, PrepareResult
from recap_cli.report.preparation import duration, leakage_line, plan_table, prepare_table

MEDIANS = {"seconds": 14.9, "lyrics_tokens": 260.0, "captions_per_song": 15.0, "caption_tokens": 90.5}


def result(**changes) -> PrepareResult:
    given = {
        "out": Path("data"), "songs": 24, "captions": 120, "hours": 0.0412, "splits": {"test": 3, "train": 17},
        "rejected": 3, "reasons": {"is empty (0 bytes)": 2, "torn": 1}, "reused": 5, "medians": MEDIANS,
        "cleaned": {"page footers": 7}, "warnings": {"silent": 4}, "leakage": Leakage(0.046, 0.991, 0), "seconds": 65.0,
        "spent": {"decoding": 10.0, "resampling": 85.0, "mels": 5.0, "hashing": 0.1},
    }  # fmt: skip
    return PrepareResult(**{**given, **changes})


def test_prepare_table():
    table = prepare_table(result())
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
        return prepare_table(result(**changes)).rows[-1][0]

    assert last() != "where it went"
    assert last(resampler="soxr") == "where it went"
    assert last(spent={"decoding": 60.0, "resampling": 40.0}) == "where it went"
    assert last(spent={"resampling": 2.0}) == "where it went"  # a second of compiling is no reason
    assert last(reused=24) == "  torn"  # nothing was heard


def test_many_reasons_are_cut_short():
    rows = prepare_table(result(reasons={f"reason {n}": 1 for n in range(30)}, rejected=30)).rows
    assert ["  for other reasons", "22"] in rows


def test_a_slice_is_named():
    assert prepare_table(result(slice="3/8")).title == "Prepared data, slice 3/8"


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
