"""What --json writes follows the schemas in the package: a number of the shape, ids of songs, and units in the keys.

Real output of each command is checked where it is made anyway: `check_document` in the tests of the commands.
"""

import copy
import json
import re
from pathlib import Path

import pytest
from make_runs import SONGS, ZERO, aligned, runs
from make_scores import contrasts, evaluation
from pages import ROOT
from schemas import WrongShapeError, check_document, check_part

from recap_cli.ablation.ablate import SweepPlan
from recap_cli.ablation.results import summarise
from recap_cli.captioning.song_caption import FactsOfSong, SongCaption
from recap_cli.corpus.splits import Leakage
from recap_cli.evaluation.songs import SongSet
from recap_cli.evaluation.system_differences import choose_cases
from recap_cli.evaluation.systems import PaperRow
from recap_cli.facts.facts import Facts, Guess
from recap_cli.facts.known import KnownFacts
from recap_cli.preparation.results import PreparePlan, PrepareResult
from recap_cli.records import SCHEMA, read_schema
from recap_cli.training.train import Estimate, TrainResult

COMMANDS = ("prepare", "train", "caption", "eval", "ablate", "doctor")
LEAKAGE = Leakage(0.25, 0.5, 2)
EPOCH = {"epoch": 1.0, "step": 7, "rougeL": 0.08, "meteor": 0.1, "caption_loss": 4.0, "cosine_gap": -0.1}
SAMPLE = {"song": "a", "caption": "x", "reference": "y"}


def prepared() -> dict:
    return PrepareResult(Path("data"), 3, 5, 0.5, {"train": 3}, 1, {"torn": 1}, 0, leakage=LEAKAGE).to_json()


def prepare_plan() -> dict:
    return PreparePlan(Path("data"), "demo", 3, 5, {"train": 3}, 0, 0, {}, {}, LEAKAGE, 1.5, 0.1, 2).to_json()


def trained() -> dict:
    figures = {"best": EPOCH, "sample": SAMPLE, "steps": 7}
    return TrainResult(Path("run"), {"alpha": 0.02}, figures, [{**EPOCH, "sample": SAMPLE}]).to_json()


def estimated() -> dict:
    return Estimate("run", "demo", 100, 50, 1000, 0.5, 0.1, 1.5, "cpu", 3).to_json()


def captioned() -> dict:
    return SongCaption("a.ogg", ["x"], [-0.5], "demo", {"start": 0.0, "seconds": 15.0}, {"beams": 4}, id="a").to_json()


def captioned_with_facts() -> dict:
    rock = Guess("rock", 0.4, False)
    known = KnownFacts(
        Facts("woman", language="en"),
        {
            "voice": (Guess("woman", 0.9, True),),
            "genre": (rock,),
            "instruments": (),
            "feel": (),
            "language": (),
            "themes": (),
        },
    )
    facts = FactsOfSong(Facts("woman", None, ("guitar",), language="en", themes=("war and violence",)), known, 58)
    return SongCaption(
        "a.ogg", ["x"], [-0.5], "m", {"start": 0.0, "seconds": 9.0}, {}, id="a", rests_on=facts
    ).to_json()


def evaluated() -> dict:
    """Everything that an evaluation can hold but alignment, which `tests/evaluation` measures."""
    result = evaluation("a", "b", controls=True, paper=[PaperRow("Full", "ALCAP", {"rouge1": 30.0})])
    ids = [f"song-{number}" for number in range(40)]
    songs = SongSet(ids, [["the sea"]] * 40, [None] * 40, [])
    cases = choose_cases(result.systems, songs, "f1", 2)
    return json.loads(json.dumps({**result.to_json(), "cases": cases.to_json()}))


def ablated() -> dict:
    records = [*runs(ZERO, [0.0, 0.1]), *runs(aligned(0.02), [0.1, 0.2]), *runs(aligned(0.1, "infonce"), [0.1, 0.2])]
    return summarise(records, {"alpha 1": "the loss is nan"}, Path("out")).to_json()


def sweep_plan() -> dict:
    return SweepPlan([("alpha 0", 2, 1)], 1, 10.0, 0.5, "1 finished run").to_json()


DOCUMENTS = {
    "prepare": (prepared, prepare_plan),
    "train": (trained, estimated),
    "caption": (captioned, captioned_with_facts),
    "eval": (evaluated,),
    "ablate": (ablated, sweep_plan),
}
CASES = [(command, make) for command, makers in DOCUMENTS.items() for make in makers]


@pytest.mark.parametrize(("command", "make"), CASES)
def test_documents_follow_their_schemas(command, make):
    document = json.loads(json.dumps(make(), allow_nan=False))
    check_document(command, document)
    assert document["schema"] == SCHEMA


@pytest.mark.parametrize(("command", "make"), CASES)
def test_a_document_without_its_number_or_with_an_unknown_key_fails(command, make):
    document = make()
    for changed in ({name: value for name, value in document.items() if name != "schema"}, {**document, "schema": 2}):
        with pytest.raises(WrongShapeError):
            check_document(command, changed)
    if command in ("prepare", "eval", "ablate"):
        with pytest.raises(WrongShapeError):
            check_document(command, {**document, "length": 3})


def test_lacking_ids_and_units_are_found():
    """Points instead of shares, figures under their old names, a song that is called something else than its id."""
    document = evaluated()

    def changed(change) -> dict:
        copied = copy.deepcopy(document)
        change(copied)
        return copied

    system = document["systems"][0]
    for change in (
        lambda one: one["systems"][0]["scores"].update(bleu=system["scores"]["bleu_0_100"]),
        lambda one: one["systems"][0]["scores"].pop("chrf_0_100"),
        lambda one: one["systems"][0]["scores"]["rougeL"].update(mean=41.0),
        lambda one: one["systems"][0]["best_reference"].update({"rougeL.f1": 41.0}),
        lambda one: one["comparisons"][0].update(figure="bleu"),
        lambda one: one["cases"].pop("ids"),
        lambda one: one["paper_on_another_corpus"][0]["scores"].update(rouge1=30.0),
    ):
        with pytest.raises(WrongShapeError):
            check_document("eval", changed(change))
    log = trained()
    log["log"][0]["sample"] = SAMPLE
    with pytest.raises(WrongShapeError):
        check_document("train", log)


def test_differences_are_on_the_scale_of_their_figures():
    found = {one["figure"]: one["difference"]["mean"] for one in evaluated()["comparisons"]}
    made = {one.figure: one.comparison.difference.mean for one in contrasts("b", 0.02, "songs")}
    assert found["rougeL"] == pytest.approx(0.02) == pytest.approx(made["rougeL"])
    assert found["bleu_0_100"] == pytest.approx(2.0) == pytest.approx(made["bleu"])


def test_ablate_and_eval_have_one_scale():
    figures = ablated()["conditions"][0]["figures"]["rougeL"]["mean"]
    assert 0 < figures < 1 and max(SONGS) < 1
    assert all(0 < row["scores"]["rougeL"]["mean"] < 1 for row in evaluated()["table"])


def test_lines_of_song_scores_follow_theirs():
    row = evaluation("a").systems[0].scores.rows[0].to_json()
    check_part("eval", "song", json.loads(json.dumps(row)))


@pytest.mark.parametrize("command", COMMANDS)
def test_the_guide_lists_every_key_at_the_top(command):
    page = (ROOT / "examples" / "json.md").read_text(encoding="utf-8")
    section = page[page.index(f"## recap {command}\n") :]
    section = section[: section.find("\n## ", 5)]
    told = set(re.findall(r"`([a-z_0-9]+)`", section))
    schema = read_schema(command)
    keys = {name for form in schema.get("oneOf", [schema]) for name in form["properties"]}
    assert keys <= told, keys - told
