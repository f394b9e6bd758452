"""Systems: what a run was trained as, seeds in one row, attributes, and differences corrected as a family."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from recap_cli.evaluation.songs import SongSet
from recap_cli.evaluation.system_differences import Contrast, choose_pairs, compare_entries
from recap_cli.evaluation.systems import (
    Origin,
    attribute_accuracy,
    group_seeds,
    read_origin,
    score_system,
    share_right,
)
from recap_cli.progress import SilentProgress
from recap_cli.scoring.bootstrap import paired_difference
from recap_cli.scoring.seeds import paired_seeds, seeds_interval, unpaired_seeds

RIGHT = (
    "A defiant narrator sings of hard work. It is a fast piece in a major key, led by a trumpet over drums. "
    "The mood is hopeful."
)
TAGS = {
    "theme": "work",
    "stance": "defiant",
    "tempo": "fast",
    "mode": "major",
    "timbre": "trumpet",
    "drums": "with",
    "mood": "hopeful",
}
WORDS = ["the", "sea", "a", "road", "war", "love", "night", "rain", "child", "city"]
SONGS = SongSet(
    [str(row) for row in range(12)],
    [[" ".join(WORDS[: 2 + row % 5]), "a long night"] for row in range(12)],
    [None] * 12,
    [],
)


def system(name, seed=None, settings=None, shift=0, protocol="f1"):
    texts = [" ".join(WORDS[shift % 3 : 3 + (row + shift) % 4]) for row in range(12)]
    origin = Origin("RECAP", "Full", seed, settings or {})
    return score_system(name, texts, SONGS, protocol, SilentProgress(), origin)


# what a run is --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "model", "variant"),
    [
        ({}, "RECAP", ""),
        ({"alpha": 0.0}, "BART-fusion", ""),
        ({"alignment_loss": "none"}, "BART-fusion", ""),
        ({"no_music": True, "variant": "full"}, "BART", "Full"),
        ({"min_votes": 1}, "RECAP", "Votes > 0"),
        ({"min_votes": 4}, "RECAP", "Votes >= 4"),
        ({"variant": "positive"}, "RECAP", "Votes > 0"),
    ],
)
def test_rows_of_the_papers_table(tmp_path, changes, model, variant):
    record = {"alpha": 0.02, "alignment_loss": "positive", "no_music": False, "min_votes": None, "seed": 3, **changes}
    (tmp_path / "options.json").write_text(json.dumps(record))
    origin = read_origin(tmp_path)
    assert (origin.model, origin.variant, origin.seed) == (model, variant, 3)
    assert "seed" not in origin.settings


@pytest.mark.parametrize(
    ("layout", "options", "variant"),
    [
        ("demo", {"variant": None}, ""),
        ("manifest", {"variant": None}, ""),
        ("alcap", {"variant": None}, "Full"),
        ("alcap", {"variant": "not_negative"}, "Votes >= 0"),
        ("song-interpretation", {"variant": None, "min_votes": 1}, "Votes > 0"),
    ],
)
def test_the_data_tell_which_captions_a_run_saw(tmp_path, layout, options, variant):
    """The paper's variants are those of the paper's corpus: made-up songs are not its full one."""
    record = {"alpha": 0.02, "alignment_loss": "positive", "no_music": False, "seed": 3, "data_fingerprint": "abc"}
    (tmp_path / "options.json").write_text(json.dumps(record))
    data = SimpleNamespace(fingerprint="abc", info={"layout": layout, "options": options})
    assert read_origin(tmp_path, data).variant == variant
    assert read_origin(tmp_path, SimpleNamespace(fingerprint="other", info=data.info)).variant == ""


def test_models_without_options(tmp_path):
    assert read_origin(tmp_path) == Origin()
    (tmp_path / "options.json").write_text("[1]")
    assert read_origin(tmp_path) == Origin()


def test_a_trained_run_is_known(tiny_run):
    assert read_origin(tiny_run).model == "RECAP"


# seeds ----------------------------------------------------------------------------------------------------------------


def test_runs_that_differ_by_seed_only_share_a_row():
    runs = [
        system("a0", 0, {"alpha": 0}),
        system("b0", 0, {"alpha": 1}),
        system("a1", 1, {"alpha": 0}, shift=1),
        system("a0 again", 0, {"alpha": 0}),
        system("file"),
        system("other file"),
    ]
    entries = group_seeds(runs, "f1")
    assert [[one.name for one in entry.systems] for entry in entries] == [
        ["a0", "a1"],
        ["b0"],
        ["a0 again"],
        ["file"],
        ["other file"],
    ]
    assert entries[0].name == "a0 (2 seeds)"


@pytest.mark.parametrize("protocol", ["f1", "published"])
def test_intervals_of_seeds_count_seeds_and_songs(protocol):
    runs = [system(f"a{seed}", seed, {"x": 1}, shift=seed, protocol=protocol) for seed in range(3)]
    (entry,) = group_seeds(runs, protocol)
    for figure, found in entry.intervals.items():
        assert found.mean == pytest.approx(np.mean([one.intervals[figure].mean for one in runs]))
        assert found == seeds_interval(table_of(runs, figure, protocol))


# differences ----------------------------------------------------------------------------------------------------------


def test_differences_are_one_family():
    entries = group_seeds([system("a"), system("b", shift=1), system("c", shift=2)], "f1")
    contrasts = compare_entries(entries, "f1")
    assert [(found.name, found.figure) for found in contrasts[:9]] == [
        ("b", "rouge1"),
        ("b", "rouge2"),
        ("b", "rougeL"),
        ("b", "meteor"),
        ("b", "bleu"),
        ("b", "chrf"),
        ("b", "cider"),
        ("b", "facts"),
        ("c", "rouge1"),
    ]
    p = np.array([found.comparison.p for found in contrasts])
    smallest = contrasts[int(p.argmin())]
    assert smallest.p_holm == pytest.approx(min(1.0, 16 * p.min()))
    assert all(found.p_holm >= found.comparison.p for found in contrasts)
    assert compare_entries(entries[:1], "f1") == []


def table_of(runs, figure, protocol="f1"):
    return np.array([run.scores.shares(figure, protocol) for run in runs])


@pytest.mark.parametrize("protocol", ["f1", "published"])
@pytest.mark.parametrize(
    ("first", "later", "test", "pairs"),
    [
        ((0, 1), (0, 1), "paired seeds", ([0, 1], [0, 1])),
        ((1, 2, 0), (2, 3, 1), "paired seeds", ([1, 2], [1, 2])),  # those that both have, each with its own
        ((0, 1), (2, 3, 4), "Welch", ([0, 1], [2, 3, 4])),
        ((0, 1, 2), (2, 3), "Welch", ([0, 1, 2], [2, 3])),  # one pair is no sample
        ((0, 1, 2), (0,), "Student", ([0, 1, 2], [0])),
    ],
)
def test_the_test_between_trainings_follows_their_seeds(first, later, test, pairs, protocol):
    sides = [
        [system(f"{name}{seed}", seed, {"x": name}, seed + number, protocol) for seed in seeds]
        for number, (name, seeds) in enumerate((("a", first), ("b", later)))
    ]
    contrasts = compare_entries(group_seeds([*sides[0], *sides[1]], protocol), protocol)
    theirs, ours = (
        [next(run for run in side if run.origin.seed == seed) for seed in seeds]
        for side, seeds in zip(sides, pairs, strict=True)
    )
    assert len(contrasts) == 8
    for found in contrasts:
        assert (found.test, found.seeds) == (test, (len(ours), len(theirs)))
        direct = paired_seeds if test == "paired seeds" else unpaired_seeds
        assert found.comparison == direct(
            table_of(ours, found.figure, protocol), table_of(theirs, found.figure, protocol)
        )
    assert contrasts[2].to_json()["test"] == test


def test_one_run_a_side_is_compared_over_songs():
    entries = group_seeds([system("a"), system("b", shift=1)], "f1")
    contrasts = compare_entries(entries, "f1")
    values = [entry.systems[0].scores.headline_values("rougeL") for entry in entries]
    assert {found.test for found in contrasts} == {"songs"}
    assert contrasts[2].comparison == paired_difference(values[1], values[0])


def test_who_is_compared_with_whom():
    entries = group_seeds([system("a"), system("b", shift=1), system("c", shift=2)], "f1")

    def pairs(against):
        return [(one.name, other.name) for one, other in choose_pairs(entries, against)]

    assert pairs("") == [("b", "a"), ("c", "a")] == pairs("a")
    assert pairs("b") == [("a", "b"), ("c", "b")]
    assert pairs("all") == [("b", "a"), ("c", "a"), ("c", "b")]
    best = max(entries, key=lambda entry: entry.intervals["rougeL"].mean).name
    assert {other for _, other in pairs("best")} == {best}
    contrasts = compare_entries(entries, "f1", "all")
    assert [(one.name, one.against) for one in contrasts[::8]] == pairs("all") and len(contrasts) == 24
    turned = compare_entries(entries, "f1", "c")[2].comparison
    assert turned.difference.mean == pytest.approx(-contrasts[8].comparison.difference.mean)
    assert turned.p == contrasts[8].comparison.p, "equal swaps for all"


@pytest.mark.parametrize(
    ("p_holm", "seeds", "stars"),
    [
        (0.0004, (1, 1), "***"),
        (0.004, (1, 1), "**"),
        (0.04, (1, 1), "*"),
        (0.05, (1, 1), ""),
        (0.0004, (3, 3), ""),
        (0.0004, (5, 1), ""),
        (0.0004, (5, 5), "***"),
    ],
)
def test_stars_need_a_corrected_p_and_seeds_enough(p_holm, seeds, stars):
    test = "songs" if seeds == (1, 1) else "Welch"
    assert Contrast("b", "a", "rougeL", None, p_holm, seeds, test).stars == stars


# attributes -----------------------------------------------------------------------------------------------------------


def test_attribute_accuracy_of_captions_written_by_hand():
    captions = (
        RIGHT,
        RIGHT.replace("a trumpet", "a flute"),
        RIGHT.replace("a fast", "a slow").replace("hopeful", "joyful and hopeful"),
        "nothing is said",
    )
    assert attribute_accuracy([TAGS] * 4, captions) == {
        "theme": 0.75,
        "stance": 0.75,
        "tempo": 0.5,
        "mode": 0.75,
        "timbre": 0.5,
        "drums": 0.75,
        "mood": 0.5,
        "all": 0.25,
    }


def test_shares_of_all_attributes():
    wrong = {**TAGS, "mode": "minor", "mood": "joyful"}
    assert share_right([TAGS, TAGS], [TAGS, wrong])["all"] == 0.5
    assert share_right([TAGS, TAGS], [TAGS, wrong])["mode"] == 0.5
    assert share_right([TAGS, TAGS], [TAGS, wrong])["theme"] == 1.0
