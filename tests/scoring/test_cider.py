"""CIDEr-D: figures worked by hand, an outside program's on 1,045 captions, and the same for every pair at once."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from recap_cli.errors import DataError
from recap_cli.scoring.cider import CiderReferences, ptb_tokens

FIXTURE = json.loads((Path(__file__).parents[1] / "fixtures" / "cider_pairs.json").read_text("utf-8"))
PAIRS = FIXTURE["pairs"]
REFERENCES = FIXTURE["references"]
BENCHMARK = os.environ.get("RECAP_BENCHMARK_DIR", "")
WORDS = ["a", "slow", "fast", "piano", "guitar", "song", "of", "the", "sea", "night", "sad", "happy"]


@pytest.mark.parametrize("pair", PAIRS, ids=[pair["caption"] or "empty" for pair in PAIRS])
def test_figures_worked_by_hand(pair):
    found = CiderReferences(REFERENCES).scores([pair["caption"]], np.array([pair["set"]]))
    assert found == pytest.approx([pair["cider_d"]], abs=1e-5), pair["worked"]


@pytest.mark.skipif(not BENCHMARK, reason="RECAP_BENCHMARK_DIR names no folder with clotho_eval_scores.jsonl")
def test_figures_of_another_program():
    """Those that CoNeTTE's authors published, made with pycocoevalcap's code."""
    lines = (Path(BENCHMARK) / "clotho_eval_scores.jsonl").read_text("utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    found = CiderReferences([row["references"] for row in rows]).scores([row["prediction"] for row in rows])
    assert len(rows) == 1045
    assert found == pytest.approx([row["cider_d"] for row in rows], abs=1e-6)
    assert found.mean() == pytest.approx(0.48178, abs=5e-6)


def made_up(songs, seed):
    """Captions and reference sets that share and repeat words, some captions empty."""
    rng = np.random.default_rng(seed)

    def text(most):
        return " ".join(rng.choice(WORDS, rng.integers(0, most)))

    return [text(14) for _ in range(songs)], [
        [f"{text(12)} x" for _ in range(rng.integers(1, 4))] for _ in range(songs)
    ]


def test_all_pairs_at_once_are_the_pairs_one_by_one(monkeypatch):
    captions, references = made_up(30, seed=1)
    sets = CiderReferences(references)
    monkeypatch.setattr("recap_cli.scoring.cider.BLOCK_CELLS", 200)  # several blocks
    table = sets.matrix(captions)
    assert table.shape == (30, 30) and np.count_nonzero(table) > 500
    assert table.diagonal() == pytest.approx(sets.scores(captions))
    order = np.random.default_rng(0).permutation(30)
    assert table[np.arange(30), order] == pytest.approx(sets.scores(captions, order))
    assert sets.matrix(captions[:3]) == pytest.approx(table[:3])


def test_a_caption_does_not_change_the_weights_or_the_score_of_another():
    captions, references = made_up(12, seed=2)
    sets = CiderReferences(references)
    alone = [sets.scores([caption], np.array([place]))[0] for place, caption in enumerate(captions)]
    assert sets.scores(captions) == pytest.approx(alone)


def test_what_every_song_is_said_to_have_counts_for_nothing():
    sets = CiderReferences([["the song of a cat"], ["the song of a dog"]])
    assert sets.scores(["the song of a", "the song of a cat"]) == pytest.approx([0, 0], abs=1e-9)
    assert sets.matrix(["the song of a"]).tolist() == [[0, 0]]
    assert sets.matrix(["cat"])[0, 0] > 0 == sets.matrix(["cat"])[0, 1]
    # One song has nothing to be told apart from.
    assert CiderReferences([["the sea"]]).scores(["the sea"]).tolist() == [0]


def test_a_song_without_references_is_refused():
    for references in ([], [["a"], []]):
        with pytest.raises(DataError, match="needs reference captions"):
            CiderReferences(references)
    assert CiderReferences([["..."], [""]]).scores(["a", "b"]).tolist() == [0, 0]


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("It's slow, isn't it?", "it 's slow is n't it"),
        ("I can't; they\N{RIGHT SINGLE QUOTATION MARK}re fast", "i ca n't they 're fast"),
        ("a lo-fi, laid-back pop/rock song", "a lo-fi laid-back pop/rock song"),
        ("R&B in 4/4 at 120.5 BPM, 1,000 times", "r&b in 4/4 at 120.5 bpm 1,000 times"),
        ("the '80s or 1980s -- or 80's...", "the '80s or 1980s or 80 's"),
        ("Mr. Smith (a singer) cannot sing", "mr. smith -lrb- a singer -rrb- can not sing"),
        ("in C# minor; the bass", "in c# minor the bass"),
        ('"Hello" said `he\'', "hello said he"),
        ("\N{MULTIPLE MUSICAL NOTES} sung", "sung"),
        ("一首歌 про любовь", "一 首 歌 про любовь"),
        ("", ""),
    ],
)
def test_words_are_those_of_the_penn_treebank(text, tokens):
    assert " ".join(ptb_tokens(text)) == tokens
