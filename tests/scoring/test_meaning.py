"""Meaning: cosines worked by hand with vectors in a plane, of pairs and of all pairs at once."""

from math import cos, radians, sqrt

import numpy as np
import pytest

from recap_cli.scoring.meaning import MeaningReferences


class Compass:
    """An encoder whose texts are angles in degrees; a blank one has no direction."""

    signature = "compass"

    def encode(self, texts):
        angles = [[cos(radians(float(text))), cos(radians(float(text) - 90))] if text else [0, 0] for text in texts]
        return np.array(angles, np.float32).reshape(-1, 2)


# Caption, references, cosine to the best of them and the mean over them.
PAIRS = [
    ("0", ["0"], 1, 1),
    ("0", ["90"], 0, 0),
    ("0", ["180"], -1, -1),
    ("0", ["60"], 0.5, 0.5),
    ("30", ["90", "30"], 1, 0.75),
    ("45", ["0", "90"], sqrt(0.5), sqrt(0.5)),
    ("0", ["60", "90", "180"], 0.5, -1 / 6),
    ("120", ["90", "60", "0"], sqrt(0.75), (sqrt(0.75) + 0.5 - 0.5) / 3),
    ("", ["0", "90"], 0, 0),
    ("10", ["", "190"], 0, -0.5),
]


def test_cosines_worked_by_hand():
    found = MeaningReferences(Compass(), [pair[1] for pair in PAIRS]).scores([pair[0] for pair in PAIRS])
    assert found.tolist() == [pytest.approx(list(pair[2:]), abs=1e-6) for pair in PAIRS]


def test_all_pairs_at_once_are_the_pairs_one_by_one():
    sets = MeaningReferences(Compass(), [pair[1] for pair in PAIRS])
    captions = [pair[0] for pair in PAIRS]
    table = sets.matrix(captions)
    for order in (np.arange(10), np.arange(10)[::-1], np.full(10, 6)):
        assert table[np.arange(10), order] == pytest.approx(sets.scores(captions, order), abs=1e-6)
