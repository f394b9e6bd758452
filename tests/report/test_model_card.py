"""The model card: data, recipe, figures and limits, and nothing of the machine it was written on."""

import json
from pathlib import Path

import pytest

from recap_cli.audio.settings import AudioSettings
from recap_cli.report.model_card import describe_data, quote, write_model_card
from recap_cli.training.recipes import RECIPE_LINES, recipe_settings
from recap_cli.training.train import TrainResult

BEST = {"epoch": 12.0, "step": 6, "rougeL": 0.21803, "meteor": 0.125, "caption_loss": 2.75, "matched_cosine": 0.5}
DATA = {
    "recap": "0.1.0",
    "source": "/home/someone/corpora/dataset.json",
    "fingerprint": "abc123",
    "splits": {"train": 17, "test": 3},
    "audio": {"seconds": 15.0, "sample_rate": 16000, "resampler": "resampy"},
}
SAMPLE = {"song": "x", "caption": "a *song*\nabout <rain>", "reference": "rain & loss"}


@pytest.fixture
def card(tmp_path):
    """Write the card of a run of the paper's recipe with changes to settings and options."""

    def write(options: dict | None = None, data: dict | None = None, used: dict | None = None, **settings) -> str:
        out = tmp_path / "my-run"
        out.mkdir(exist_ok=True)
        given = {"seed": 3, "music_encoder": "/home/someone/best_model.pth", "no_music": False, **(options or {})}
        (out / "options.json").write_text(json.dumps(given))
        chosen = {"recipe": "paper", **recipe_settings("paper"), **settings}
        figures = {"best": BEST, "sample": SAMPLE, "steps": 6, **({"used": used} if used else {})}
        log = [BEST, {**BEST, "epoch": 14.5}]
        path = write_model_card(TrainResult(out, chosen, figures, log, data or DATA))
        assert [entry.name for entry in out.iterdir() if entry.suffix == ".partial"] == []
        return path.read_text()

    return write


def rows(text: str) -> dict[str, list[str]]:
    cells = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return {first: rest for first, *rest in cells}


def test_it_has_data_recipe_figures_and_limits(card):
    text = card()
    assert [line for line in text.splitlines() if line.startswith("## ")] == [
        "## Data", "## Recipe", "## Figures", "## Limits", "## Use and share",
    ]  # fmt: skip
    assert "- heard: 15 s at 16000 Hz, resampled with resampy" in text
    whole = {"splits": {}, "source": "a", "fingerprint": "b", "audio": AudioSettings.of_encoder("musicnn").to_json()}
    assert "- heard: whole songs, up to 30 minutes, at 16000 Hz" in "\n".join(describe_data(whole, music=True))
    assert "base_model: facebook/bart-base\n" in text.split("---")[1]
    table = rows(text)
    assert table["ROUGE-L F1"] == ["21.8"]
    assert table["caption loss (nats per token)"] == ["2.750"]
    assert table["epochs trained"] == ["14.5"]
    assert table["seed"] == ["3", "this run"]
    assert table["music encoder"] == ["best_model.pth, frozen", "this run"]
    assert {line.setting.replace("_", " ") for line in RECIPE_LINES} <= set(table)


def test_the_songs_that_were_used_are_named(card):
    """Runs on parts of a corpus have cards of their own; runs of before know the corpus only."""

    def line(train: int, **options) -> str:
        text = card(options, used={"train": train, "captions": 5 * train, "validation": 3})
        return next(line for line in text.splitlines() if line.startswith("- Data: "))

    assert "trained on 17 of 17 songs with 85 captions for 14.5 epochs, judged on 3 validation songs" in line(17)
    assert "trained on 9 of 17 songs (--limit 9) with 45 captions" in line(9, limit=9)
    assert line(9, limit=9) != line(5, limit=5)
    assert "train 17, test 3 songs" in card()


def test_music_encoders_that_are_no_file_have_words(card):
    assert "demo model of recap-cli" in rows(card({"music_encoder": "demo"}))["music encoder"][0]
    assert "songs' tags" in rows(card({"music_encoder": None}))["music encoder"][0]


def test_a_setting_of_ones_own_is_marked(card):
    table = rows(card(lr=1e-4, fusion_layers=[4, 5]))
    assert table["lr"] == ["0.0001", "this run; paper has 6e-05"]
    assert table["alpha"] == ["0.02", "paper, eq. 3"]
    assert table["fusion layers"][0] == "4, 5"
    assert not table["fusion layers"][1].startswith("this run")  # a list from JSON is the recipe's tuple


def test_no_path_of_the_machine_is_published(card):
    text = card(bart="/home/someone/bart")
    assert "someone" not in text
    assert rows(text)["bart"][0] == "bart"
    assert "base_model" not in text


def test_lyrics_only(card):
    text = card({"no_music": True, "music_encoder": None})
    assert "A RECAP music captioner (lyrics in, a caption out)" in text
    assert "It hears nothing" in text
    assert "alignment" not in text and "heard:" not in text
    assert not {"alpha", "fusion layers", "align layer"} & set(rows(text))
    assert rows(text)["music encoder"] == ["none", "this run"]


def test_made_up_songs_are_called_so(card):
    text = card(data={**DATA, "source": "demo", "demo": {}})
    assert "songs: made up in code" in text
    assert "do not caption real songs with it" in text
    assert "licence" not in text


def test_captions_cannot_change_the_page(card):
    text = card()
    assert "It wrote: a \\*song\\* about \\<rain\\>" in text
    assert "The reference: rain & loss" in text
    assert len(quote("word " * 500)) < 410


def test_a_card_that_is_there_is_replaced(card, tmp_path):
    (tmp_path / "my-run").mkdir()
    Path(tmp_path / "my-run" / "README.md").write_text("old")
    assert card().startswith("---\nlibrary_name: transformers\n")
