import random
from statistics import fmean

import pytest
from rouge_score.rouge_scorer import RougeScorer

from recap_cli.scoring import rouge as overlap
from recap_cli.scoring.rouge import (
    ROUGE_TYPES,
    copied_share,
    is_other_script,
    lcs_length,
    lcs_table,
    rouge,
    rouge_pairs,
    rouge_tokens,
)


def table_length(a, b):
    """The textbook table."""
    rows = [[0] * (len(b) + 1)]
    for x in a:
        row = [0]
        for j, y in enumerate(b):
            row.append(rows[-1][j] + 1 if x == y else max(rows[-1][j + 1], row[j]))
        rows.append(row)
    return rows[-1][-1]


@pytest.mark.parametrize("limits", [(32, 4096), (2, 4)])
def test_subsequences_equal_the_table(limits, monkeypatch):
    """Whatever way the bits are set, and however long the texts."""
    monkeypatch.setattr(overlap, "FREQUENT", limits[0])
    monkeypatch.setattr(overlap, "LONG_TEXT", limits[1])
    rng = random.Random(0)
    for _ in range(200):
        letters = "abcdefgh"[: rng.randint(1, 8)]
        a, b = ([rng.choice(letters) for _ in range(rng.randint(0, 80))] for _ in range(2))
        assert lcs_length(a, b) == table_length(a, b)
    assert lcs_length("XMJYAUZ", "MZJAWXU") == 4


def test_rouge_equals_rouge_score_on_any_text():
    rng = random.Random(1)
    scorer = RougeScorer(ROUGE_TYPES)
    words = ["the", "a", "song", "Song's", "of", "love-lost", "caf\u00e9", "2", "...", "it's", "\u6771\u4eac", "sea"]
    for _ in range(200):
        reference, prediction = (" ".join(rng.choices(words, k=rng.randint(0, 30))) for _ in range(2))
        found = rouge(rouge_tokens(reference, False), rouge_tokens(prediction, False))
        for name, ours in zip(ROUGE_TYPES, found, strict=True):
            theirs = scorer.score(reference, prediction)[name]
            assert (ours.precision, ours.recall, ours.f1) == pytest.approx(tuple(theirs), abs=1e-12)


def test_long_texts_are_scored():
    """A table of all pairs of words would have 400 million cells."""
    rng = random.Random(2)
    text = [str(rng.randint(0, 500)) for _ in range(20_000)]
    assert rouge(text, text)[2].f1 == 1.0
    shuffled = rng.sample(text, len(text))
    assert rouge(text, shuffled)[0].f1 == 1.0
    assert 0 < rouge(text, shuffled)[2].f1 < 0.5


def test_copied_groups_count_each_time():
    lyrics = list("abcdef")
    assert copied_share(list("abcde"), lyrics) == 1.0
    assert copied_share(list("abcdeabcdex"), lyrics) == pytest.approx(2 / 7)
    assert copied_share(list("abcd"), lyrics) == 0.0


def some_texts(count, longest, rng):
    return [" ".join(rng.choices("abcdefgh", k=rng.randrange(longest))) for _ in range(count)]


def test_tables_of_many_pairs_are_those_of_single_pairs():
    """Digit by digit; references of up to four numbers of 64 bits, empty captions, other scripts."""
    rng = random.Random(0)
    captions = [*some_texts(6, 300, rng), "", "海の歌", "песня о море"]
    sets = [some_texts(2, 250, rng) for _ in range(3)] + [["a " * 64], ["b a " * 64], ["海の歌だ", "夜の海"], ["море"]]
    for part, over in (("f1", "best"), ("recall", "mean")):
        tables = rouge_pairs(captions, sets, part, over)
        for row, caption in enumerate(captions):
            for column, texts in enumerate(sets):
                own = is_other_script(texts)
                found = [rouge(rouge_tokens(text, own), rouge_tokens(caption, own)) for text in texts]
                for place, name in enumerate(ROUGE_TYPES):
                    values = [getattr(one[place], part) for one in found]
                    expected = max(values) if over == "best" else fmean(values)
                    assert tables[name][row, column] == pytest.approx(expected, abs=1e-15)


def test_tables_are_those_of_rouge_score():
    rng = random.Random(1)
    captions, references = some_texts(12, 90, rng), [f"x {text}" for text in some_texts(12, 90, rng)]
    tables = rouge_pairs(captions, [[text] for text in references])
    scorer = RougeScorer(ROUGE_TYPES)
    for row, caption in enumerate(captions):
        for column, text in enumerate(references):
            expected = scorer.score(text, caption)
            assert {name: tables[name][row, column] for name in ROUGE_TYPES} == {
                name: expected[name].fmeasure for name in ROUGE_TYPES
            }


def test_tables_come_in_blocks(monkeypatch):
    rng = random.Random(2)
    captions, references = some_texts(5, 200, rng), some_texts(9, 200, rng)
    sides = [[text.split() for text in side] for side in (captions, references)]
    whole = lcs_table(*sides)
    monkeypatch.setattr(overlap, "TABLE_CELLS", 20)
    assert (lcs_table(*sides) == whole).all() and whole.any()
