"""A small share of `tests/benchmarks/fuzz.py`: damage of every kind once or twice."""

import resource
import sys

from fuzzing import Tally, fuzz_audio, fuzz_corpora


def peak_mb() -> float:
    """The peak of this process so far, which other tests may have set."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


def test_damaged_audio(tmp_path):
    tally, before = Tally(), peak_mb()
    fuzz_audio(tmp_path, 60, tally)
    assert (tally.crashes, tally.hangs) == ([], [])
    assert tally.prepared > 10 and tally.rejected > 10
    assert peak_mb() < before + 500


def test_damaged_corpora(tmp_path):
    tally, before = Tally(), peak_mb()
    fuzz_corpora(tmp_path, 70, tally)
    assert (tally.crashes, tally.hangs) == ([], [])
    assert tally.prepared > 10 and tally.refused > 10
    assert peak_mb() < before + 500
