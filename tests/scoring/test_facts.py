"""Facts of captions: 300 sentences of ours with what they state, and counts worked by hand."""

import csv
from pathlib import Path

import numpy as np
import pytest

from recap_cli.errors import DataError
from recap_cli.scoring import facts
from recap_cli.scoring.facts import (
    count_all_facts,
    count_facts,
    fact_table,
    facts_of,
    load_lexicon,
    read_facts,
    read_tags,
    taggable,
)

FIXTURE = Path(__file__).parents[1] / "fixtures" / "caption_facts.tsv"
with FIXTURE.open(encoding="utf-8", newline="") as _file:
    SENTENCES = [
        (row["sentence"], row["facts"]) for row in csv.DictReader(_file, delimiter="\t", quoting=csv.QUOTE_NONE)
    ]


def with_implied(named):
    """The facts that a line of the fixture names, and those that they imply."""
    lexicon = load_lexicon()
    return frozenset().union(*(lexicon.implied.get(name, {name}) for name in filter(None, named.split(", "))))


@pytest.mark.parametrize(("sentence", "named"), SENTENCES, ids=[sentence[:40] for sentence, _ in SENTENCES])
def test_sentences(sentence, named):
    assert read_facts(sentence) == with_implied(named)


def test_there_are_sentences_enough_of_every_fact():
    assert len(SENTENCES) >= 300
    said = frozenset().union(*(with_implied(named) for _, named in SENTENCES))
    assert set(load_lexicon().facts) <= said
    assert sum(not named for _, named in SENTENCES) > 40, "traps"
    assert sum(name.startswith("no ") for _, named in SENTENCES for name in named.split(", ")) > 60


def test_the_lexicon_is_whole():
    lexicon = load_lexicon()
    assert 40 <= len(lexicon.facts) <= 80
    known = set(lexicon.names)
    assert len(lexicon.names) == 2 * len(lexicon.facts) == len(known)
    for named in (*lexicon.implied.values(), *lexicon.tags.values(), lexicon.denied.values()):
        assert set(named) <= known
    for fact, implied in lexicon.implied.items():
        assert all(lexicon.implied[other] <= implied for other in implied), fact
    for some, unless in lexicon.exclusive:
        assert {*some, *filter(None, [unless])} <= known


# Of each pair: caption, references, and how many facts are stated, agreed, contradicted and known.
PAIRS = [
    ("A slow rock song.", ["Slow rock with a piano."], (2, 2, 0, 3)),
    ("A fast rock song.", ["Slow rock with a piano."], (2, 1, 1, 3)),
    # guitar and electric guitar against guitar
    ("Electric guitar.", ["A guitar."], (2, 1, 0, 1)),
    # several references are taken together: both tempos are said, so neither is contradicted
    ("A fast song.", ["It is slow.", "It is fast, with drums."], (1, 1, 0, 4)),
    ("A mid-tempo song.", ["It is slow.", "It is fast."], (1, 0, 0, 2)),
    ("Female vocals.", ["A male singer."], (2, 1, 1, 2)),
    ("Female vocals.", ["A duet of a male and a female singer."], (2, 2, 0, 4)),
    ("Female vocals.", ["A duet with a male singer."], (2, 1, 0, 3)),
    ("Instrumental, no drums.", ["A man sings over drums."], (2, 0, 2, 4)),
    ("In C minor.", ["In C major."], (1, 0, 1, 1)),
    ("Nothing much.", ["A song."], (0, 0, 0, 0)),
]


def table_of(texts):
    return fact_table([frozenset().union(*map(read_facts, some)) for some in texts])


@pytest.mark.parametrize(("caption", "references", "counts"), PAIRS)
def test_counts_worked_by_hand(caption, references, counts):
    found = count_facts(table_of([[caption]]), table_of([references]))
    assert found.tolist() == [list(counts)]


def test_all_pairs_at_once_are_the_pairs_one_by_one():
    said, known = table_of([[pair[0]] for pair in PAIRS]), table_of([pair[1] for pair in PAIRS])
    # What a caption states and denies at once, too.
    rng = np.random.default_rng(0)
    more = rng.random((2, 40, said.shape[1])) < 0.2
    said, known = np.concatenate([said, more[0]]), np.concatenate([known, more[1]])
    found = count_all_facts(said, known)
    assert found[np.arange(11), np.arange(11)].tolist() == [list(pair[2]) for pair in PAIRS]
    order = rng.permutation(len(said))
    assert found[np.arange(len(said)), order].tolist() == count_facts(said, known[order]).tolist()
    assert (found[..., 1] + found[..., 2] <= found[..., 0]).all()
    assert found[..., 2].sum() > 1000


def test_precision_recall_and_f1_of_sums():
    sums = np.array([[4, 2, 1, 8], [0, 0, 0, 5], [0, 0, 0, 0]])
    assert facts_of(sums, "precision").tolist() == [0.5, 0, 0]
    assert facts_of(sums, "recall").tolist() == [0.25, 0, 0]
    assert facts_of(sums).tolist() == pytest.approx([2 * 0.5 * 0.25 / 0.75, 0, 0])


def test_tags_of_uploaders():
    assert read_tags(["genre---poprock", "instrument---violin", "mood/theme---corporate", "x"]) == {
        *("pop", "rock", "violin", "strings")
    }
    assert read_tags([" Genre---Rock "]) == {"rock"}
    assert "female voice" not in taggable() and {"rock", "no rock", "vocals", "instrumental"} <= taggable()


def test_a_damaged_lexicon_is_two_lines(monkeypatch, tmp_path):
    (tmp_path / "data").mkdir()
    monkeypatch.setattr(facts, "files", lambda package: tmp_path)
    for text in ("{", "{}"):
        (tmp_path / "data" / "caption_facts.json").write_text(text)
        with pytest.raises(DataError, match="lexicon of facts") as found:
            load_lexicon.__wrapped__()
        assert found.value.hint
