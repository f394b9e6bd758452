"""The controlled experiment: its plan, and a report that says what the committed results say."""

import importlib
import json
import math
import re
import sys
from itertools import product
from pathlib import Path
from types import SimpleNamespace

import pytest

from recap_cli.ablation.conditions import BART, FUSION, Condition, RunRecord
from recap_cli.scoring import song_scores
from recap_cli.scoring.bleu import BLEU_ORDER, CHRF_ORDER

FOLDER = Path(__file__).parents[1] / "examples" / "controlled-experiment"


@pytest.fixture(scope="module")
def experiment():
    sys.path.insert(0, str(FOLDER))
    yield importlib.import_module("experiment")
    sys.path.remove(str(FOLDER))


@pytest.fixture(scope="module")
def report(experiment):
    return importlib.import_module("report")


def test_the_plan_is_that_of_the_protocol(experiment):
    parts = {part.name: part for part in experiment.PARTS}
    assert experiment.TEST_SONGS >= 500
    counts: dict[Condition, int] = {}
    for sweep in parts["hard"].sweeps:
        for condition in sweep.conditions():
            counts[condition] = max(counts.get(condition, 0), sweep.seeds)
    assert [
        counts[condition] for condition in (Condition(FUSION), Condition(BART), Condition("", 0.02, "positive"))
    ] == [8, 8, 8]
    axis = product((1e-3, 5e-3, 2e-2, 1e-1, 5e-1), ("positive", "infonce"))
    assert all(counts[Condition("", alpha, loss)] >= 5 for alpha, loss in axis)
    assert all(sweep.seeds == 5 for part in experiment.PARTS[1:] for sweep in part.sweeps)


def test_every_result_is_planned_and_made_with_its_parts_settings(experiment):
    for part in experiment.PARTS:
        path = experiment.RESULTS / f"{part.name}.jsonl"
        lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
        planned = {task for sweep in part.sweeps for task in product(sweep.conditions(), range(sweep.seeds))}
        records = [RunRecord.from_json(json.loads(line)) for line in lines]
        assert {(record.condition, record.seed) for record in records} <= planned
        assert len({(record.condition, record.seed) for record in records}) == len(records)
        assert all(len(values) == experiment.TEST_SONGS for record in records for values in record.values.values())
        for record in records:
            assert record.key["train"] == part.train
            assert record.key["study"]["captioned_songs"] == part.study.captioned_songs


def test_the_report_says_what_the_results_say(report, tmp_path, monkeypatch):
    """To the letter. What it does not quote is left out: most scores of the oracles, and all pictures but one."""
    monkeypatch.setattr(song_scores, "bleu_statistics", lambda *texts: (1,) * (2 + 2 * BLEU_ORDER))
    monkeypatch.setattr(song_scores, "chrf_statistics", lambda *texts: (1,) * (3 * CHRF_ORDER))
    monkeypatch.setattr(song_scores, "CiderReferences", lambda references: SimpleNamespace(scores=lambda *given: 0.0))
    monkeypatch.setattr(song_scores, "read_facts", lambda text: frozenset())
    stock = report.plot_ablation
    monkeypatch.setattr(
        report,
        "plot_ablation",
        lambda result: stock(result) if result.out.name == "hard" else (result.out / "figure2.png", None),
    )
    text = report.write_report(tmp_path)
    assert text == (FOLDER / "RESULTS.md").read_text(encoding="utf-8")
    assert (tmp_path / "hard" / "figure2.png").is_file()


def test_floors_by_hand(report):
    """Ten choices of two words each; then what the corpus's table of habits leaves open."""
    found = report.floor_nats()
    words = 10 * math.log(2) - 7 * math.log(1 - report.WRONG)
    assert found["floor, both inputs"] == pytest.approx(words)
    assert words < found["floor, lyrics only"] < found["floor, neither"]
    assert words < found["floor, music only"] < found["floor, neither"]
    # Mode .7, tempo .5, timbre .4 and drums .65 for the habit; mode is certain for the two themes of held-out pairs.
    open_ = (
        6 / 8 * two(0.7)
        + (-0.5 * math.log(0.5) - 0.5 * math.log(0.25))
        + (-0.4 * math.log(0.4) - 0.6 * math.log(0.15))
        + two(0.65)
    )
    assert found["floor, lyrics only"] == pytest.approx(words + open_)


def two(chance: float) -> float:
    """Entropy of a coin."""
    return -chance * math.log(chance) - (1 - chance) * math.log(1 - chance)


def test_the_readmes_quote_the_results():
    """Every interval of the README and of the experiment's own page, to the digit."""
    results = (FOLDER / "RESULTS.md").read_text(encoding="utf-8")
    for page in (FOLDER.parents[1] / "README.md", FOLDER / "README.md"):
        quoted = re.findall(r"[+-][\d.]+ \[[^]]+\]", " ".join(page.read_text(encoding="utf-8").split()))
        assert len(quoted) >= 2
        assert all(one in results for one in quoted)
