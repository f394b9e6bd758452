"""What coverage-guided fuzzing starts from, and what it once found: every input is read, or refused by a RecapError."""

from pathlib import Path

import pytest
from fuzz_targets import TARGETS

CORPUS = Path(__file__).parent / "fixtures" / "fuzz_corpus"
INPUTS = [(path.parent.name, path) for path in sorted(CORPUS.glob("*/*"))]


def test_every_target_has_inputs():
    assert {target for target, _ in INPUTS} == set(TARGETS)


@pytest.mark.parametrize(("target", "path"), INPUTS, ids=[f"{target}-{path.name}" for target, path in INPUTS])
def test_an_input_is_read_or_refused(target, path):
    TARGETS[target](path.read_bytes())
