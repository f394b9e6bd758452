"""A small share of `tests/benchmarks/prepare_fuzz.py`: damage of every kind once or twice."""

from fuzzing import Tally, fuzz_audio, fuzz_corpora


def test_damaged_audio(tmp_path):
    tally = Tally()
    fuzz_audio(tmp_path, 60, tally)
    assert (tally.crashes, tally.hangs) == ([], [])
    assert tally.prepared > 10 and tally.rejected > 10
    assert tally.peak_mb < 1000


def test_damaged_corpora(tmp_path):
    tally = Tally()
    fuzz_corpora(tmp_path, 70, tally)
    assert (tally.crashes, tally.hangs) == ([], [])
    assert tally.prepared > 10 and tally.refused > 10
    assert tally.peak_mb < 1000
