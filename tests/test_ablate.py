"""The sweep over alpha: equal in all but the weight, resumable run by run, honest about what failed."""

import json
from pathlib import Path

import pytest
import torch

from recap_cli.errors import DataError, ModelError, OptionError
from recap_cli.progress import SilentProgress
from recap_cli.report.plots import plot_ablation
from recap_cli.scoring.uncertainty import Interval
from recap_cli.workflows import ablate as module
from recap_cli.workflows.ablate import AblateOptions, AblateResult, ablate, read_results, results_key
from recap_cli.workflows.decoding import DecodingOptions
from recap_cli.workflows.sources import build_model, find_source
from recap_cli.workflows.train import TrainOptions

SETTINGS = {"epochs": 1, "max_caption_tokens": 12}
ATTRIBUTES = ("theme", "stance", "tempo", "mode", "timbre", "drums", "mood", "all")


def options_for(data, out: Path, *weights: float, **more) -> AblateOptions:
    return AblateOptions(
        data.folder,
        weights,
        out=out,
        train=SETTINGS,
        limit=6,
        decoding=DecodingOptions(beams=1),
        device="cpu",
        **more,
    )


@pytest.fixture(scope="module")
def options(tiny_data, tmp_path_factory) -> AblateOptions:
    return options_for(tiny_data, tmp_path_factory.mktemp("sweep") / "ablation", 0.1, 0.02)


@pytest.fixture(scope="module")
def swept(options) -> AblateResult:
    """A real sweep of two weights and alpha 0."""
    return ablate(options)


@pytest.fixture
def made_up(monkeypatch):
    """Runs that take no time: a song's score is 0.5, more with alpha, less with the seed."""
    runs: list[tuple[float, int]] = []

    def run_arm(options, data, alpha, seed, progress):
        runs.append((alpha, seed))
        values = [0.5 + alpha - 0.1 * seed, 0.7 + alpha - 0.1 * seed]
        return {
            "key": results_key(options, data),
            "alpha": alpha,
            "seed": seed,
            "run": f"alpha-{alpha:g}-seed-{seed}",
            "signature": "made up",
            "values": dict.fromkeys(("rouge1", "rouge2", "rougeL", "meteor"), values),
            "attributes": dict.fromkeys(ATTRIBUTES, 0.5 - 0.1 * seed),
            "matched": 0.8,
            "mismatched": 0.3 + 0.2 * seed,
        }

    monkeypatch.setattr(module, "run_arm", run_arm)
    return runs


# a real sweep ---------------------------------------------------------------------------------------------------------


def test_every_weight_and_alpha_0_are_trained_and_scored(swept, options):
    assert [arm.alpha for arm in swept.arms] == [0.0, 0.02, 0.1]
    assert (swept.seeds, swept.songs, swept.failed) == (1, 3, {})
    for arm in swept.arms:
        assert set(arm.figures) == {"rouge1", "rouge2", "rougeL", "meteor"}
        assert all(0 <= interval.low <= interval.mean <= interval.high <= 1 for interval in arm.figures.values())
        assert set(arm.attributes) == set(ATTRIBUTES)
        assert -1 <= arm.mismatched <= 1 and -1 <= arm.matched <= 1
        run = json.loads((options.out / f"alpha-{arm.alpha:g}-seed-0" / "options.json").read_text())
        assert (run["alpha"], run["seed"], run["limit"], run["epochs"]) == (arm.alpha, 0, 6, 1)
    assert swept.arms[0].difference is None
    assert isinstance(swept.arms[1].difference, Interval)
    document = json.loads((options.out / "ablation.json").read_text())
    assert document == json.loads(json.dumps(swept.to_json(), allow_nan=False))
    assert [arm["alpha"] for arm in document["arms"]] == [0.0, 0.02, 0.1]


def test_the_weight_reaches_the_training(swept, options):
    """Other weights end in other models, though they start alike."""
    from safetensors.torch import load_file

    first, *others = (
        load_file(options.out / f"alpha-{arm.alpha:g}-seed-0" / "model.safetensors") for arm in swept.arms
    )
    for other in others:
        assert any(not torch.equal(first[key], other[key]) for key in first)


def test_a_second_call_trains_nothing(swept, options, monkeypatch):
    def fail(*arguments):
        raise AssertionError("trained again")

    monkeypatch.setattr(module, "train", fail)
    monkeypatch.setattr(module, "evaluate", fail)
    assert ablate(options).to_json() == swept.to_json()


def test_figure_files(swept, options):
    from PIL import Image

    png, svg = plot_ablation(swept)
    assert (png, svg) == (options.out / "figure2.png", options.out / "figure2.svg")
    with Image.open(png) as image:
        image.load()
        assert (image.format, image.size) == ("PNG", (960, 630))
        assert len(image.convert("RGB").getcolors(100_000)) > 10  # lines were drawn
    assert "<svg" in svg.read_text()[:500]


def test_arms_of_one_seed_start_from_equal_weights(tiny_data):
    def start(**options):
        options = TrainOptions(tiny_data.folder, device="cpu", **options)
        settings = options.settings(demo=True)
        model, _ = build_model(find_source(settings, None), options, settings, tiny_data, SilentProgress())
        return model.state_dict()

    base = start(alpha=0.0)
    for other in (start(alpha=0.1), start(alpha=0.02, alignment_loss="infonce")):
        assert all(torch.equal(base[key], other[key]) for key in base)
    another = start(alpha=0.0, seed=1)
    assert not torch.equal(base["alignment.projection.weight"], another["alignment.projection.weight"])


# bookkeeping ----------------------------------------------------------------------------------------------------------


def test_what_is_done_is_not_done_again(tiny_data, tmp_path, made_up):
    ablate(options_for(tiny_data, tmp_path, 0.1))
    assert made_up == [(0.0, 0), (0.1, 0)]
    wider = ablate(options_for(tiny_data, tmp_path, 0.1, 0.02))
    assert made_up == [(0.0, 0), (0.1, 0), (0.02, 0)]
    assert [arm.alpha for arm in wider.arms] == [0.0, 0.02, 0.1]
    ablate(options_for(tiny_data, tmp_path, 0.1, seeds=2))
    assert made_up[3:] == [(0.0, 1), (0.1, 1)]


def test_a_torn_last_line_is_done_again(tiny_data, tmp_path, made_up):
    """As after a kill while writing; the lines before and after stay whole."""
    options = options_for(tiny_data, tmp_path, 0.1, 0.02)
    ablate(options)
    file = tmp_path / "results.jsonl"
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join(lines[:2]) + lines[2][:30])
    made_up.clear()
    ablate(options)
    assert made_up == [(0.1, 0)]
    made_up.clear()
    ablate(options)
    assert made_up == []
    assert len([json.loads(line) for line in file.read_text().splitlines()]) == 3


@pytest.mark.parametrize(
    "change",
    [
        {"split": "validation"},
        {"limit": 5},
        {"train": {"epochs": 2}},
        {"decoding": DecodingOptions(beams=2)},
    ],
)
def test_results_of_other_settings_are_refused(tiny_data, tmp_path, made_up, change):
    ablate(options_for(tiny_data, tmp_path, 0.1))
    other = AblateOptions(**{**vars(options_for(tiny_data, tmp_path, 0.1)), **change})
    with pytest.raises(DataError) as caught:
        ablate(other)
    assert caught.value.message == f"{tmp_path / 'results.jsonl'} holds results of other data or settings"
    assert caught.value.hint == "choose another folder with --out, or delete it"


def test_results_of_other_data_are_refused(tiny_data, tmp_path, made_up):
    options = options_for(tiny_data, tmp_path, 0.1)
    ablate(options)
    key = {**results_key(options, tiny_data), "data": "other"}
    with pytest.raises(DataError, match="holds results of other data or settings"):
        read_results(tmp_path / "results.jsonl", key)


def test_a_failing_arm_is_told_and_the_rest_goes_on(tiny_data, tmp_path, made_up, monkeypatch):
    whole = module.run_arm

    def fail_once(options, data, alpha, seed, progress):
        if alpha == 0.02:
            raise ModelError("the loss is nan at step 3")
        return whole(options, data, alpha, seed, progress)

    monkeypatch.setattr(module, "run_arm", fail_once)
    options = options_for(tiny_data, tmp_path, 0.02, 0.1)
    result = ablate(options)
    assert [arm.alpha for arm in result.arms] == [0.0, 0.1]
    assert result.failed == {"alpha 0.02, seed 0": "the loss is nan at step 3"}
    monkeypatch.setattr(module, "run_arm", whole)
    made_up.clear()
    assert ablate(options).failed == {}
    assert made_up == [(0.02, 0)]


def test_when_every_arm_fails(tiny_data, tmp_path, monkeypatch):
    def fail(*arguments):
        raise ModelError("no memory")

    monkeypatch.setattr(module, "run_arm", fail)
    with pytest.raises(DataError, match="no weight could be trained: no memory"):
        ablate(options_for(tiny_data, tmp_path, 0.1))


def test_a_bug_is_not_taken_for_a_failing_arm(tiny_data, tmp_path, monkeypatch):
    def fail(*arguments):
        raise ZeroDivisionError

    monkeypatch.setattr(module, "run_arm", fail)
    with pytest.raises(ZeroDivisionError):
        ablate(options_for(tiny_data, tmp_path, 0.1))


# figures --------------------------------------------------------------------------------------------------------------


def test_the_difference_to_alpha_0_is_paired_by_song(tiny_data, tmp_path, made_up):
    base, arm = ablate(options_for(tiny_data, tmp_path, 0.1)).arms
    assert base.figures["rougeL"].mean == pytest.approx(0.6)
    assert arm.figures["rougeL"].mean == pytest.approx(0.7)
    assert (arm.difference.mean, arm.difference.low, arm.difference.high) == pytest.approx((0.1, 0.1, 0.1))


def test_several_seeds(tiny_data, tmp_path, made_up):
    result = ablate(options_for(tiny_data, tmp_path, 0.1, seeds=3))
    base, arm = result.arms
    assert (result.seeds, result.songs) == (3, 2)
    assert base.figures["rougeL"].mean == pytest.approx(0.5)
    assert arm.figures["rougeL"].mean == pytest.approx(0.6)
    assert arm.difference.mean == pytest.approx(0.1)
    assert arm.difference.low < 0.1 < arm.difference.high  # seeds differ, so the difference is unsure
    assert arm.attributes["all"] == pytest.approx(0.4)
    assert (arm.matched, arm.mismatched) == pytest.approx((0.8, 0.5))


# options --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weights": ()}, "--weights names no weight"),
        ({"weights": (-0.1,)}, "--weights: -0.1 is not a weight"),
        ({"weights": (float("nan"),)}, "--weights: nan is not a weight"),
        ({"weights": (float("inf"),)}, "--weights: inf is not a weight"),
        ({"weights": (0.1, 0.02, 0.1)}, "--weights names a weight twice"),
        ({"weights": (0.1,), "seeds": 0}, "--seeds 0 leaves no runs"),
    ],
)
def test_impossible_options(change, message):
    with pytest.raises(OptionError) as caught:
        AblateOptions(Path("data"), **change)
    assert caught.value.message == message
    assert caught.value.hint


def test_alpha_0_is_always_trained_and_comes_first():
    assert AblateOptions(Path("data"), (0.1, 1e-3)).axis == (0.0, 1e-3, 0.1)
    assert AblateOptions(Path("data"), (0.1, 0.0)).axis == (0.0, 0.1)
    assert AblateOptions(Path("data"), (0.0,)).axis == (0.0,)
