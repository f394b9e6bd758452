"""Controls without a model: captions made so that the answer is known."""

import json

import numpy as np
import pytest
from schemas import check_part
from test_moving import songs

from recap_cli.errors import DataError
from recap_cli.progress import SilentProgress
from recap_cli.scoring.rouge import rouge_pairs
from recap_cli.specificity.study import BEST_LINE, CONSTANT, FIRST_LINES, PEOPLE, lyrics_sources, study_captions

SILENT = SilentProgress()
WORDS = ["sea", "love", "war", "moon", "road", "work", "rain", "home", "night", "child", "king", "bird"]


def study(systems, asked, scorers=(rouge_pairs,)):
    found = study_captions(systems, asked, scorers, "f1", SILENT)
    return found, {row.name: row for row in found.rows}


def about(word):
    return f"a calm song about the {word}"


REFERENCES = [[about(word), f"the {word} in a slow tune", f"{word} and {word} again"] for word in WORDS]


@pytest.fixture(scope="module")
def found():
    systems = {
        "knows": [(about(word),) for word in WORDS],
        "guesses": [(about(word),) for word in [*WORDS[1:], WORDS[0]]],
        "says one thing": [("a calm song about the",)] * len(WORDS),
        "says all": [(about(word), "x") for word in WORDS],
    }
    lyrics = [f"{word}\n\n{word} oh {word}\nla la" for word in WORDS[:6]] + [None] * 5 + [" "]
    return study(
        systems, songs(REFERENCES, artists=[*range(11), 10], lyrics=lyrics, clusters=np.array([*range(11), 10]))
    )


def test_who_knows_the_song_loses_when_it_is_moved(found):
    rows = found[1]
    for name in ("rouge1", "rouge2", "rougeL"):
        knows, same = rows["knows"].figures[name], rows["says one thing"].figures[name]
        assert knows.score.mean == 1 and knows.specificity.low > 0
        assert knows.specificity.mean == pytest.approx(knows.score.mean - knows.shuffled.mean)
        assert knows.p == 1 / (found[0].shifts + 1), "no shift scores as much"
        assert same.specificity.mean == pytest.approx(0) and same.p == 1
    guesses = rows["guesses"].figures["rougeL"]
    assert guesses.specificity.high < 0, "one of the shifts puts each caption where it belongs"
    assert guesses.shuffled.high > guesses.score.mean


def test_several_captions_are_averaged(found):
    alone, both = (found[1][name].figures["rougeL"] for name in ("knows", "says all"))
    assert both.score.mean == pytest.approx(alone.score.mean / 2)
    assert both.specificity.mean == pytest.approx(alone.specificity.mean / 2)


def test_people_are_scored_as_systems_are(found):
    """A system that says what the first person of each song says is compared with as many others."""
    systems = {
        name: [(texts[place],) for texts in REFERENCES] for place, name in enumerate(("first", "second", "third"))
    }
    _, rows = study(systems, songs(REFERENCES))
    people = rows[PEOPLE].figures["rougeL"].score.mean
    shares = [rows[name].people["rougeL"] for name in systems]
    # Against all three a copy scores 1; with one reference less it meets itself in two of three sets.
    left_out = [3 * share.score.mean - 2 for share in shares]
    assert np.mean(left_out) == pytest.approx(people)
    for share in shares:
        assert share.of_score.mean == pytest.approx(share.score.mean / people)
        assert share.of_score.low <= share.of_score.mean <= share.of_score.high
    assert found[1][PEOPLE].songs == len(WORDS) and not found[1][PEOPLE].people


def test_the_constant_does_not_know_the_song_it_is_scored_on():
    """The most usual sentence is best everywhere but on its own song, which is left to the second best."""
    references = [["a b c d"], ["a b c x"], ["a b y z"], ["a q r s"]]
    _, rows = study({"any": [("w",)] * 4}, songs(references))
    row = rows[CONSTANT]
    assert row.text == "a b c d" and row.songs == 4
    # Song 0 takes the second, which is best on songs 2 and 3; all others take the first.
    assert row.figures["rougeL"].score.mean == pytest.approx((0.75 + 0.75 + 0.5 + 0.25) / 4)


def test_lyrics_alone(found):
    asked = songs([["one two three four"]] * 3, lyrics=["one two\nthree four five\nsix", None, "la"])
    first, best = lyrics_sources(asked)
    assert (first.name, best.name) == (FIRST_LINES, BEST_LINE)
    assert dict(first.captions) == {0: ("one two three four five",), 2: ("la",)}, "as long as a reference, or longer"
    assert dict(best.captions) == {0: ("one two", "three four five", "six"), 2: ("la",)}
    assert lyrics_sources(songs([["x"]] * 2)) == []
    rows = found[1]
    assert rows[BEST_LINE].songs == rows[FIRST_LINES].songs == 6
    best = rows[BEST_LINE].figures["rouge1"]
    assert best.score.mean > rows[FIRST_LINES].figures["rouge1"].score.mean > 0
    assert best.shuffled.mean < best.score.mean


def test_songs_without_a_second_reference_have_no_people():
    _, rows = study({"one": [("a b",), ("c d",)]}, songs([["a b"], ["c d"]]))
    assert PEOPLE not in rows and not rows["one"].people and CONSTANT not in rows


def test_one_song_cannot_be_moved():
    with pytest.raises(DataError, match="only one"):
        study({"one": [("a",)]}, songs([["a"]]))


def test_groups_and_empty_captions(monkeypatch):
    """Of many songs each group is moved by itself; the mean is that of all songs."""
    monkeypatch.setattr("recap_cli.specificity.moving.ONE_GROUP", 6)
    monkeypatch.setattr("recap_cli.specificity.moving.LEAST_GROUP", 6)
    captions = [(about(word),) for word in WORDS[:-1]] + [("",)]
    parted, rows = study({"one": captions}, songs(REFERENCES))
    assert parted.shifts == 5
    assert rows["one"].figures["rougeL"].score.mean == pytest.approx(11 / 12)
    assert rows[PEOPLE].songs == rows[CONSTANT].songs == 12


def test_further_figures_stand_beside(found):
    """A function of captions and reference sets is all that a figure needs."""

    def words_alike(captions, sets):
        sides = [[set(" ".join(texts).split()) for texts in side] for side in ([[one] for one in captions], sets)]
        return {"alike": np.array([[len(a & b) / len(a | b) for b in sides[1]] for a in sides[0]])}

    systems = {"knows": [(about(word),) for word in WORDS]}
    _, rows = study(systems, songs(REFERENCES), (rouge_pairs, words_alike))
    assert set(rows["knows"].figures) == {"rouge1", "rouge2", "rougeL", "alike"} == set(rows[CONSTANT].figures)
    assert rows["knows"].figures["alike"].specificity.low > 0


def test_what_is_known_by_song_leaves_out_the_songs_of_which_nothing_is():
    """People are scored by it, too, and the one reference for all songs."""

    def named(captions):
        table = np.array([[float(word in caption) for word in WORDS] for caption in captions])
        return {"named": np.where(np.arange(12) < known, table, np.nan)}

    systems = {"knows": [(about(word), "x") for word in WORDS]}
    known = 5
    _, rows = study(systems, songs(REFERENCES, by_song=[named]))
    for name, score in (("knows", 0.5), (PEOPLE, 1.0), (CONSTANT, 0.0)):
        moved = rows[name].figures["named"]
        assert moved.score.mean == score and moved.shuffled.mean == 0
    assert rows["knows"].people["named"].of_specificity.mean == pytest.approx(0.5)
    known = 1  # which no other song's caption can be moved to
    _, rows = study(systems, songs(REFERENCES, by_song=[named]))
    assert all("named" not in row.figures for row in rows.values())


def test_words_and_json(found):
    texts, _ = found
    assert any("knows" in line and "shown" not in line for line in texts.verdicts)
    assert any("says one thing" in line and "not shown" in line for line in texts.verdicts)
    assert [texts.systems[place].name for place in (0, -1)] == ["knows", "guesses"]
    assert texts.artists == 11 and texts.songs == 12 and f"all {texts.shifts} shifts" in texts.signature
    document = json.loads(json.dumps(texts.to_json(), allow_nan=False))
    check_part("eval", "specificity", document)
    assert {row["kind"] for row in document["rows"]} == {"system", "people", "constant", "lyrics"}
