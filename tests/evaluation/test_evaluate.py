"""Scoring runs: each song once, against all its references, and nothing but what the captions say."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from schemas import check_document

from recap_cli.corpus.dataset import PreparedData
from recap_cli.errors import DataError, ModelError, OptionError
from recap_cli.evaluation import evaluate as module
from recap_cli.evaluation.evaluate import EvaluateOptions, EvaluateResult, evaluate, oracle_accuracy
from recap_cli.evaluation.options import CaseChoice
from recap_cli.evaluation.songs import SongSet
from recap_cli.files import write_json_lines
from recap_cli.progress import SilentProgress
from recap_cli.runtime.decoding import DecodingOptions
from recap_cli.scoring.text import score_songs

GREEDY = DecodingOptions(beams=1)


def score(data, run, **options) -> EvaluateResult:
    return evaluate(EvaluateOptions(data.folder, (run,), decoding=GREEDY, device="cpu", **options))


@pytest.fixture(scope="module")
def result(tiny_data, tiny_run) -> EvaluateResult:
    return evaluate(EvaluateOptions(tiny_data.folder, (tiny_run, tiny_run), decoding=GREEDY, device="cpu"))


def say(monkeypatch, *captions: str) -> None:
    """Let every run write these captions."""
    monkeypatch.setattr(
        module, "caption_split", lambda captioner, data, songs, *rest, **more: list(captions)[: len(songs)]
    )


# scores ---------------------------------------------------------------------------------------------------------------


def test_scores_are_those_of_the_scorer(result, tiny_data):
    """Every test song once, against all five references."""
    songs = tiny_data.split("test")
    system = result.systems[0]
    direct = score_songs(
        [entry.song.id for entry in songs],
        system.captions,
        [[caption.text for caption in entry.song.captions] for entry in songs],
        lyrics=[entry.song.lyrics for entry in songs],
    )
    assert len(songs) == 3
    assert list(system.scores.rows) == list(direct.rows)
    assert {name: interval.mean for name, interval in system.intervals.items()} == pytest.approx(direct.headline())
    assert result.signature.startswith(direct.signature("f1"))
    assert "1000 bootstrap samples of songs" in result.signature
    assert "best of 5 references" in result.signature


def test_captions_of_references_score_full(tiny_data, tiny_run, monkeypatch):
    songs = tiny_data.split("test")
    say(monkeypatch, *(entry.song.captions[2].text for entry in songs))
    system = score(tiny_data, tiny_run).systems[0]
    assert (system.intervals["rougeL"].mean, system.intervals["rougeL"].low) == (1.0, 1.0)
    assert system.intervals["bleu"].mean == pytest.approx(100)
    assert set(system.attributes.values()) == {1.0}


def test_the_published_protocol_counts_recall_of_each_caption(tiny_data, tiny_run, monkeypatch):
    say(monkeypatch, "mood", "the mood is", "")
    system = score(tiny_data, tiny_run, protocol="published").systems[0]
    songs = tiny_data.split("test")
    recalls = []
    for entry, caption in zip(songs, ("mood", "the mood is", ""), strict=True):
        for reference in entry.song.captions:
            words = re.findall("[a-z]+", reference.text.lower())
            said = caption.split()
            recalls.append(sum(min(said.count(word), words.count(word)) for word in set(said)) / len(words))
    assert system.intervals["rouge1"].mean == pytest.approx(sum(recalls) / 15)


def test_a_run_against_itself_differs_by_nothing(result):
    """The same run twice is no second seed: two rows, and no difference in any figure."""
    assert len(result.entries) == 2
    assert [found.figure for found in result.contrasts] == [
        *("rouge1", "rouge2", "rougeL", "meteor", "bleu", "chrf", "cider", "facts")
    ]
    for found in result.contrasts:
        assert vars(found.comparison.difference) == {"mean": 0.0, "low": 0.0, "high": 0.0}
        assert (found.comparison.p, found.p_holm, found.stars) == (1.0, 1.0, "")
    assert result.systems[0].captions == result.systems[1].captions


def test_two_runs_are_compared_song_by_song(tiny_data, tiny_run, copy_of_run, monkeypatch):
    references = [entry.song.captions[0].text for entry in tiny_data.split("test")]
    answers = {str(tiny_run): ["a", "b", "c"], str(copy_of_run): references}
    monkeypatch.setattr(module, "caption_split", lambda captioner, *rest, **more: answers[captioner.name])
    options = EvaluateOptions(tiny_data.folder, (tiny_run, copy_of_run), decoding=GREEDY, device="cpu")
    result = evaluate(options)
    found = next(one for one in result.contrasts if one.figure == "rougeL")
    assert found.name == copy_of_run.name
    assert found.comparison.difference.mean == pytest.approx(
        result.systems[1].intervals["rougeL"].mean - result.systems[0].intervals["rougeL"].mean
    )
    assert found.comparison.difference.mean > 0.9
    assert found.p_holm >= found.comparison.p


@pytest.fixture
def copy_of_run(tiny_run, tmp_path) -> Path:
    shutil.copytree(tiny_run, tmp_path / "copy")
    return tmp_path / "copy"


def test_json(result, tiny_data, tiny_run):
    document = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert (document["data"], document["split"], document["protocol"]) == (str(tiny_data.folder), "test", "f1")
    assert document["systems"][0]["name"] == tiny_run.name
    assert document["systems"][0]["songs"] == 3
    assert set(document["systems"][0]["scores"]["rougeL"]) == {"mean", "low", "high"}
    assert document["decoding"]["beams"] == 1
    assert document["made"]["data"] == tiny_data.fingerprint
    assert len(document["made"]["weights"]) == 2 and len(set(document["made"]["weights"])) == 1
    assert document["comparisons"][0]["p"] == 1.0
    assert [row["name"] for row in document["table"]] == [tiny_run.name, f"{tiny_run.name} (2)"]


# what is written ------------------------------------------------------------------------------------------------------


def test_limit_split_and_files(tiny_data, tiny_run, tmp_path, monkeypatch):
    say(monkeypatch, "one", "two")
    result = score(tiny_data, tiny_run, split="validation", limit=1, out=tmp_path / "out")
    assert result.systems[0].captions == [("one",)]
    document = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert document["split"] == "validation" and document["made"]["data"] == tiny_data.fingerprint
    (rows,) = (tmp_path / "out").glob("*.scores.jsonl")
    (row,) = [json.loads(line) for line in rows.read_text().splitlines()]
    assert row["id"] == tiny_data.split("validation")[0].song.id
    assert set(row["best_reference"]) == {"rouge1", "rouge2", "rougeL", "meteor"}


def test_a_second_run_reads_its_captions(tiny_data, tiny_run, tmp_path, monkeypatch):
    first = score(tiny_data, tiny_run, out=tmp_path)
    monkeypatch.setattr("recap_cli.evaluation.captions.generate_captions", lambda *rest: pytest.fail("written again"))
    again = score(tiny_data, tiny_run, out=tmp_path)
    assert again.to_json() == first.to_json()


def test_notes_of_earlier_versions_are_removed_with_a_word(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(SilentProgress, "say", lambda self, message: said.append(message))
    write_json_lines(tmp_path / "p.jsonl", [{"prediction": "x", "reference": "x"}])
    out = tmp_path / "out"
    out.mkdir()
    note = {"system": "run", "weights": "abc", "decoding": {}}
    (out / "run.test.made.json").write_text(json.dumps(note))
    for name in ("run.test.jsonl.partial", "mine.jsonl.partial", "run.test.jsonl"):
        (out / name).write_text("")
    evaluate(EvaluateOptions(None, predictions=(tmp_path / "p.jsonl",), out=out))
    left = {path.name for path in out.iterdir()}
    assert {"mine.jsonl.partial", "run.test.jsonl"} < left
    assert not left & {"run.test.made.json", "run.test.jsonl.partial"}
    assert [line for line in said if "run.test.made.json" in line and str(out) in line]


def test_other_two_systems_can_be_compared(tmp_path):
    for name in "abc":
        write_json_lines(tmp_path / f"{name}.jsonl", [{"id": 1, "prediction": name, "reference": "x"}])
    files = tuple(tmp_path / f"{name}.jsonl" for name in "abc")
    result = evaluate(EvaluateOptions(None, predictions=files, cases=CaseChoice(1, ("c", "b"))))
    assert (result.cases.names, result.cases.cases[0].captions) == (("c", "b"), ("c", "b"))


# files of captions ----------------------------------------------------------------------------------------------------


def test_a_file_is_scored_without_a_model(tmp_path):
    rows = [{"prediction": "the sea", "reference": "the sea"}, {"prediction": "a road", "ground_truth": "a long road"}]
    write_json_lines(tmp_path / "p.jsonl", rows)
    result = evaluate(EvaluateOptions(None, predictions=(tmp_path / "p.jsonl",)))
    direct = score_songs(["1", "2"], ["the sea", "a road"], [["the sea"], ["a long road"]])
    assert result.systems[0].intervals["rougeL"].mean == direct.headline()["rougeL"]
    assert [row.id for row in result.systems[0].scores.rows] == ["line 1", "line 2"]
    assert (result.split, result.oracles, result.contrasts) == ("", {}, [])


@pytest.mark.parametrize("named", [True, False])
def test_only_so_many_rows_of_a_file(tmp_path, named):
    rows = [{**({"id": row} if named else {}), "prediction": "x", "reference": f"x {row}"} for row in range(5)]
    write_json_lines(tmp_path / "p.jsonl", rows)
    result = evaluate(EvaluateOptions(None, predictions=(tmp_path / "p.jsonl",) * 2, limit=2))
    assert [len(system.captions) for system in result.systems] == [2, 2]


def test_two_files_are_compared(tmp_path):
    for name, texts in (("a", ["x", "y", "z"]), ("b", ["sea", "road", "war"])):
        rows = [
            {"id": number, "prediction": text, "reference": reference}
            for number, (text, reference) in enumerate(zip(texts, ["sea", "road", "war"], strict=True))
        ]
        write_json_lines(tmp_path / f"{name}.jsonl", rows[::-1] if name == "b" else rows)
    options = EvaluateOptions(None, predictions=(tmp_path / "a.jsonl", tmp_path / "b.jsonl"), cases=CaseChoice(2))
    result = evaluate(options)
    found = next(one for one in result.contrasts if one.figure == "rougeL")
    assert found.comparison.difference.mean == 1.0
    assert [case.captions for case in result.cases.cases] == [("x", "sea"), ("y", "road")]


def test_a_file_takes_its_place_beside_a_run(tiny_data, tiny_run, tmp_path):
    songs = tiny_data.split("test")
    rows = [{"song": entry.song.id, "prediction": entry.song.captions[1].text} for entry in songs]
    write_json_lines(tmp_path / "p.jsonl", rows)
    result = score(tiny_data, tiny_run, predictions=(tmp_path / "p.jsonl",))
    assert [system.name for system in result.systems] == [tiny_run.name, "p"]
    assert result.systems[1].intervals["rougeL"].mean == 1.0
    assert result.systems[1].attributes["all"] == 1.0


def test_controls_of_files_and_artists_as_samples(tmp_path):
    """One system knows its songs, the other says the same of all; two songs an artist."""
    words = [f"word{number} sound{number} tune{number}" for number in range(24)]
    for name, texts in (("knows", words), ("same", ["a song"] * 24)):
        rows = [
            {"song": str(n), "artist": f"artist {n // 2}", "prediction": text, "reference": [words[n], f"a song {n}"]}
            for n, text in enumerate(texts)
        ]
        write_json_lines(tmp_path / f"{name}.jsonl", rows)
    options = EvaluateOptions(
        None, predictions=(tmp_path / "same.jsonl", tmp_path / "knows.jsonl"), controls=True, sort="specificity"
    )
    result = evaluate(options)
    check_document("eval", json.loads(json.dumps(result.to_json(), allow_nan=False)))
    rows = {row.name: row.figures["rougeL"] for row in result.specificity.rows}
    assert rows["knows"].specificity.mean == pytest.approx(1.0) and rows["same"].specificity.mean == pytest.approx(0)
    assert [entry.name for entry in result.ordered] == ["knows", "same"]
    assert rows["knows"].score.mean == result.systems[1].intervals["rougeL"].mean
    assert "12 artists, whose songs are drawn and swapped together" in result.signature
    assert "each caption on the songs of other artists" in result.signature
    alone = evaluate(replace(options, cluster="song", controls=False, sort="given"))
    assert "samples of songs" in alone.signature and alone.specificity is None
    wide, narrow = (one.contrasts[2].comparison.p for one in (result, alone))
    assert wide > narrow


@pytest.mark.parametrize(
    ("artists", "by", "samples"),
    [
        (["a"] * 10 + ["b"] * 10, "auto", None),
        (["a"] * 10 + ["b"] * 10, "artist", 2),
        ([str(n // 2) for n in range(20)], "auto", 10),
        ([str(n // 2) for n in range(20)], "song", None),
        ([str(n) for n in range(20)], "auto", None),
        (["a", "a", *[""] * 18], "auto", 19),
        ([], "auto", None),
    ],
)
def test_what_counts_as_a_sample(artists, by, samples):
    songs = SongSet([str(n) for n in range(20)], [["x"]] * 20, [None] * 20, [], artists=artists)
    found = songs.clustered(by, SilentProgress()).clusters
    assert (None if found is None else len(set(found.tolist()))) == samples


def test_artists_that_nobody_knows_cannot_be_drawn():
    songs = SongSet(["a", "b"], [["x"]] * 2, [None] * 2, [])
    with pytest.raises(DataError, match="no song has an artist"):
        songs.clustered("artist", SilentProgress())
    with pytest.raises(DataError, match="of one artist"):
        replace(songs, artists=["x", "x"]).clustered("artist", SilentProgress())


def test_files_without_references(tmp_path):
    write_json_lines(tmp_path / "p.jsonl", [{"prediction": "x"}])
    with pytest.raises(DataError, match="has no references"):
        evaluate(EvaluateOptions(None, predictions=(tmp_path / "p.jsonl",)))


def test_songs_that_failed_are_left_out_for_all(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(SilentProgress, "say", lambda self, message: said.append(message))
    ours = [{"id": name, "audio": name, "caption": name} for name in "abc"]
    ours[1] |= {"caption": "", "error": "needs ffmpeg"}
    right = [{"id": name, "prediction": "x", "reference": name} for name in "abc"]
    write_json_lines(tmp_path / "ours.jsonl", ours)
    write_json_lines(tmp_path / "right.jsonl", right)
    result = evaluate(EvaluateOptions(None, predictions=(tmp_path / "ours.jsonl", tmp_path / "right.jsonl")))
    assert [system.captions for system in result.systems] == [[("a",), ("c",)], [("x",), ("x",)]]
    assert result.systems[0].intervals["rouge1"].mean == 1.0
    assert "1 of 3 songs failed" in said[0] and "such as b: needs ffmpeg" in said[0]
    write_json_lines(tmp_path / "ours.jsonl", [{**row, "caption": "", "error": "full"} for row in ours])
    with pytest.raises(DataError, match="all songs to score failed"):
        evaluate(EvaluateOptions(None, predictions=(tmp_path / "ours.jsonl", tmp_path / "right.jsonl")))


@pytest.mark.parametrize("order", [1, -1])
def test_the_file_without_ids_is_the_one_that_is_named(tmp_path, order):
    faults = Path(__file__).parents[1] / "fixtures" / "corpora" / "faults"
    files = (faults / "preds-noid.jsonl", faults / "preds-right.jsonl")[::order]
    if order == -1:  # known by its references
        assert len(evaluate(EvaluateOptions(None, predictions=files)).systems) == 2
        return
    with pytest.raises(DataError, match=r"preds-noid\.jsonl has no ids") as caught:
        evaluate(EvaluateOptions(None, predictions=files))
    assert "add a column song" in caught.value.hint


def test_the_same_file_twice(tmp_path):
    path = Path(__file__).parents[1] / "fixtures" / "corpora" / "faults" / "preds-right.jsonl"
    first, second = evaluate(EvaluateOptions(None, predictions=(path, path))).systems
    assert list(first.scores.rows) == list(second.scores.rows)
    assert first.intervals == second.intervals


# attributes -----------------------------------------------------------------------------------------------------------


def test_one_input_alone_cannot_name_the_attributes_of_the_other(tiny_data):
    shares = oracle_accuracy([entry for entry in tiny_data.songs if entry.song.split != "unseen"])
    lyrics, music = shares["lyrics only, oracle"], shares["music only, oracle"]
    assert (lyrics["theme"], lyrics["stance"]) == (1.0, 1.0)
    assert [music[name] for name in ("tempo", "mode", "timbre", "drums")] == [1.0] * 4
    assert max(lyrics["tempo"], lyrics["timbre"], music["theme"], music["stance"]) < 0.75
    assert lyrics["all"] < 0.25 and music["all"] < 0.25


def test_attributes_are_for_demo_songs_only(tiny_data, tiny_run, monkeypatch, tmp_path):
    shutil.copytree(tiny_data.folder, tmp_path / "data")
    info = json.loads((tmp_path / "data" / "dataset.json").read_text())
    del info["demo"]
    (tmp_path / "data" / "dataset.json").write_text(json.dumps(info))
    say(monkeypatch, "a", "b", "c")
    result = score(PreparedData(tmp_path / "data"), tiny_run)
    assert (result.oracles, result.systems[0].attributes) == ({}, {})
    assert "attribute_accuracy" not in result.to_json()["systems"][0]


# refused --------------------------------------------------------------------------------------------------------------


def test_data_of_other_audio_settings(tiny_data, tiny_run, tmp_path):
    shutil.copytree(tiny_data.folder, tmp_path / "data")
    info = json.loads((tmp_path / "data" / "dataset.json").read_text())
    info["audio"]["seconds"] = 10.0
    (tmp_path / "data" / "dataset.json").write_text(json.dumps(info))
    with pytest.raises(ModelError) as caught:
        score(PreparedData(tmp_path / "data"), tiny_run)
    assert caught.value.message == (f"{tiny_run} was trained on audio prepared in another way than {tmp_path / 'data'}")
    assert caught.value.hint == "prepare the data with the model's settings, see recap_processor.json"


def test_songs_without_references(tiny_data, tiny_run, tmp_path):
    shutil.copytree(tiny_data.folder, tmp_path / "data")
    (tmp_path / "data" / "captions.jsonl").write_text("")
    with pytest.raises(DataError, match=r"split 'test' of .* has no captions to compare with"):
        score(PreparedData(tmp_path / "data"), tiny_run)


def test_impossible_options(tiny_data):
    with pytest.raises(OptionError) as caught:
        EvaluateOptions(tiny_data.folder, protocol="f2")
    assert (caught.value.message, caught.value.hint) == (
        "--protocol f2 is not known",
        "choose one of f1, published",
    )
    for changes, message in (
        ({"limit": 0}, "--limit 0 is not possible"),
        ({"cases": CaseChoice(3)}, "--cases compares two systems"),
        ({"predictions": (Path("p"), Path("q")), "cases": CaseChoice(3, ("p", "x"))}, "there is no system x"),
        ({"data": None}, "nothing to score"),
        ({"data": None, "runs": (Path("a"),), "predictions": (Path("p"),)}, "no data folder"),
        ({"predictions": (Path("p"),), "alignment": True}, "needs a model"),
    ):
        with pytest.raises(OptionError, match=message):
            replace(EvaluateOptions(tiny_data.folder), **changes)


def test_a_run_without_weights(tiny_data, tiny_run, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(tiny_run, run)
    (run / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=str(run)):
        score(tiny_data, run)
    with pytest.raises(DataError, match=r"no songs in split 'hidden'"):
        score(tiny_data, tiny_run, split="hidden")
