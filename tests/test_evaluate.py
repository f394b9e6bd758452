"""Scoring runs: each song once, against all its references, and nothing but what the captions say."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from recap_cli.corpus.dataset import PreparedData, PreparedSong
from recap_cli.corpus.manifest import Song
from recap_cli.errors import DataError, ModelError, OptionError
from recap_cli.scoring.text import score_songs
from recap_cli.workflows import evaluate as module
from recap_cli.workflows.caption import Captioner
from recap_cli.workflows.decoding import DecodingOptions
from recap_cli.workflows.evaluate import (
    EvaluateOptions,
    EvaluateResult,
    attribute_accuracy,
    caption_split,
    evaluate,
    oracle_accuracy,
    share_right,
    write_predictions,
)

GREEDY = DecodingOptions(beams=1)
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


def score(data, run, **options) -> EvaluateResult:
    return evaluate(EvaluateOptions(data.folder, (run,), decoding=GREEDY, device="cpu", **options))


@pytest.fixture(scope="module")
def result(tiny_data, tiny_run) -> EvaluateResult:
    return evaluate(EvaluateOptions(tiny_data.folder, (tiny_run, tiny_run), decoding=GREEDY, device="cpu"))


def say(monkeypatch, *captions: str) -> None:
    """Let every run write these captions."""
    monkeypatch.setattr(module, "caption_split", lambda captioner, data, songs, *rest: list(captions)[: len(songs)])


# scores ---------------------------------------------------------------------------------------------------------------


def test_scores_are_those_of_the_scorer(result, tiny_data):
    """Every test song once, against all five references."""
    songs = tiny_data.split("test")
    system = result.systems[0]
    direct = score_songs(
        [entry.song.id for entry in songs],
        system.captions,
        [[caption.text for caption in entry.song.captions] for entry in songs],
    )
    assert len(songs) == 3
    assert system.scores == direct
    assert {name: interval.mean for name, interval in system.intervals.items()} == pytest.approx(direct.headline())
    assert result.signature == direct.signature("f1")
    assert "best of 5 references" in result.signature


def test_captions_of_references_score_full(tiny_data, tiny_run, monkeypatch):
    songs = tiny_data.split("test")
    say(monkeypatch, *(entry.song.captions[2].text for entry in songs))
    system = score(tiny_data, tiny_run).systems[0]
    assert (system.intervals["rougeL"].mean, system.intervals["rougeL"].low) == (1.0, 1.0)
    assert system.intervals["bleu"].mean == pytest.approx(100)
    assert system.attributes == {**dict.fromkeys(TAGS, 1.0), "all": 1.0}


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


def test_a_run_against_itself_differs_by_nothing(result, tiny_run):
    (comparison,) = result.comparisons.values()
    assert vars(comparison.difference) == {"mean": 0.0, "low": 0.0, "high": 0.0}
    assert comparison.p == 1.0
    assert result.systems[0].captions == result.systems[1].captions


def test_two_runs_are_compared_song_by_song(tiny_data, tiny_run, copy_of_run, monkeypatch):
    references = [entry.song.captions[0].text for entry in tiny_data.split("test")]
    answers = {str(tiny_run): ["a", "b", "c"], str(copy_of_run): references}
    monkeypatch.setattr(module, "caption_split", lambda captioner, *rest: answers[captioner.name])
    options = EvaluateOptions(tiny_data.folder, (tiny_run, copy_of_run), decoding=GREEDY, device="cpu")
    result = evaluate(options)
    found = result.comparisons[str(copy_of_run)]
    assert found.difference.mean == pytest.approx(
        result.systems[1].intervals["rougeL"].mean - result.systems[0].intervals["rougeL"].mean
    )
    assert found.difference.mean > 0.9


@pytest.fixture
def copy_of_run(tiny_run, tmp_path) -> Path:
    shutil.copytree(tiny_run, tmp_path / "copy")
    return tmp_path / "copy"


def test_json(result, tiny_data, tiny_run):
    document = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert (document["data"], document["split"], document["protocol"]) == (str(tiny_data.folder), "test", "f1")
    assert document["systems"][0]["run"] == str(tiny_run)
    assert document["systems"][0]["songs"] == 3
    assert set(document["systems"][0]["rougeL"]) == {"mean", "low", "high"}
    assert document["decoding"]["beams"] == 1
    assert document["comparisons"][str(tiny_run)]["p"] == 1.0


# captions -------------------------------------------------------------------------------------------------------------


def test_captions_do_not_depend_on_the_batch(tiny_data, tiny_run):
    captioner = Captioner.from_pretrained(tiny_run, device="cpu")
    songs = tiny_data.split("train")[:5]

    def write(chosen, size):
        decoding = DecodingOptions(beams=2, batch_size=size)
        return caption_split(captioner, tiny_data, chosen, decoding, module.SilentProgress())

    assert write(songs, 32) == write(songs, 2)
    assert write(songs[::-1], 3) == write(songs, 32)[::-1]


def test_limit_split_and_captions_on_disk(tiny_data, tiny_run, tmp_path, monkeypatch):
    say(monkeypatch, "one", "two")
    result = score(tiny_data, tiny_run, split="validation", limit=1, out=tmp_path / "out")
    assert result.systems[0].captions == ["one"]
    (file,) = (tmp_path / "out").iterdir()
    entry = tiny_data.split("validation")[0]
    assert [json.loads(line) for line in file.read_text().splitlines()] == [
        {"song": entry.song.id, "prediction": "one", "references": [caption.text for caption in entry.song.captions]}
    ]


def test_names_of_caption_files(tiny_data, tmp_path):
    songs = tiny_data.split("test")[:1]
    for name in ("runs/a b", "../b", "embedded demonstration model"):
        write_predictions(tmp_path, name, songs, ["x"], [["y"]])
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "b.jsonl",
        "embedded-demonstration-model.jsonl",
        "runs-a-b.jsonl",
    ]


# attributes -----------------------------------------------------------------------------------------------------------


def songs_tagged(*tags: dict[str, str]) -> list[PreparedSong]:
    return [PreparedSong(Song(f"s{row}", "", "", tags=given), "", 1.0) for row, given in enumerate(tags)]


def test_attribute_accuracy_of_captions_written_by_hand():
    songs = songs_tagged(TAGS, TAGS, TAGS, TAGS)
    captions = (
        RIGHT,
        RIGHT.replace("a trumpet", "a flute"),
        RIGHT.replace("a fast", "a slow").replace("hopeful", "joyful and hopeful"),
        "nothing is said",
    )
    assert attribute_accuracy(songs, captions) == {
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
    with pytest.raises(OptionError, match="--limit 0 leaves no songs"):
        replace(EvaluateOptions(tiny_data.folder), limit=0)
