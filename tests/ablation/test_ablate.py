"""The sweep over alpha: equal in all but the weight, resumable run by run, honest about what failed."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from recap_cli.ablation import ablate as module
from recap_cli.ablation.ablate import AblateOptions, ablate, foresee, plan_sweep, read_results, train_options
from recap_cli.ablation.conditions import BART, BASELINES, FUSION, LYRICS_ONLY, SHUFFLED, Condition, RunRecord
from recap_cli.ablation.results import AblateResult
from recap_cli.ablation.runs import Task
from recap_cli.errors import DataError, ModelError, OptionError
from recap_cli.progress import SilentProgress
from recap_cli.report.figure_two import plot_ablation
from recap_cli.runtime.decoding import DecodingOptions
from recap_cli.training.build import build_model
from recap_cli.training.options import Interventions
from recap_cli.training.plan import plan_run
from recap_cli.training.train import TrainOptions

SETTINGS = {"epochs": 1, "max_caption_tokens": 12}
ATTRIBUTES = ("theme", "stance", "tempo", "mode", "timbre", "drums", "mood", "all")
FIGURES = ("rouge1", "rouge2", "rougeL", "meteor", "rougeL_recall", "rougeL_mean", "rougeL_single", "attributes")
ALPHA_0, POINT_1, POINT_02 = Condition(FUSION), Condition("", 0.1, "positive"), Condition("", 0.02, "positive")


def options_for(data, out: Path, *weights: float, **more) -> AblateOptions:
    return AblateOptions(
        data.folder,
        weights,
        out=out,
        train=SETTINGS,
        limit=6,
        decoding=DecodingOptions(beams=1),
        device="cpu",
        **{"jobs": 1, **more},
    )


def alphas(result: AblateResult) -> list[float]:
    return [one.condition.alpha for one in result.conditions]


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
    runs: list[Task] = []

    def run_task(sweep, task, progress):
        runs.append(task)
        values = [0.5 + task.condition.alpha - 0.1 * task.seed, 0.7 + task.condition.alpha - 0.1 * task.seed]
        return RunRecord(
            key=sweep.key,
            condition=task.condition,
            seed=task.seed,
            signature="made up",
            values=dict.fromkeys(FIGURES, values),
            attributes=dict.fromkeys(ATTRIBUTES, 0.5 - 0.1 * task.seed),
            validation={"rougeL": 0.5, "matched_cosine": 0.8, "mismatched_cosine": 0.3 + 0.2 * task.seed},
            measures={"matched": 0.8, "mismatched": 0.3 + 0.2 * task.seed},
            made={"train_seconds": 100.0, "score_seconds": 20.0},
        )

    monkeypatch.setattr(module, "run_task", run_task)
    return runs


# a real sweep ---------------------------------------------------------------------------------------------------------


def test_every_weight_and_alpha_0_are_trained_and_scored(swept, options):
    assert [one.condition for one in swept.conditions] == [ALPHA_0, POINT_02, POINT_1]
    assert (swept.seeds, swept.songs, swept.failed) == (1, 3, {})
    for one in swept.conditions:
        assert set(one.figures) == set(FIGURES)
        assert all(0 <= interval.low <= interval.mean <= interval.high <= 1 for interval in one.figures.values())
        assert set(one.attributes) == set(ATTRIBUTES)
        prefix = "probe_" if one.condition == ALPHA_0 else ""
        assert {f"{prefix}matched", f"{prefix}gap", f"{prefix}recall_at_10"} < one.measures.keys()
        assert {"caption_loss", "attention_entropy", "music_following", "unseen_attributes"} < one.measures.keys()
        run = json.loads((options.out / f"{one.condition.folder}-seed-0" / "options.json").read_text())
        assert (run["alpha"], run["seed"], run["limit"], run["epochs"]) == (one.condition.alpha, 0, 6, 1)
        assert run["probe"] == (one.condition == ALPHA_0)
    document = json.loads((options.out / "ablation.json").read_text())
    assert document == json.loads(json.dumps(swept.to_json(), allow_nan=False))
    assert (options.out / "ablation.csv").is_file()


def test_the_weight_reaches_the_training(swept, options):
    """Other weights end in other models, though they start alike."""
    from safetensors.torch import load_file

    first, *others = (
        load_file(options.out / f"{one.condition.folder}-seed-0" / "model.safetensors") for one in swept.conditions
    )
    for other in others:
        assert any(not torch.equal(first[key], other[key]) for key in first)


def test_a_second_call_trains_nothing(swept, options, monkeypatch):
    def fail(*arguments):
        raise AssertionError("trained again")

    monkeypatch.setattr(module, "train", fail)
    monkeypatch.setattr(module, "measure_task", fail)
    assert ablate(options).to_json() == swept.to_json()
    (options.out / "results.jsonl").unlink()  # as after a kill between a run's end and its line
    assert ablate(options).to_json() == swept.to_json()


def test_figure_files(swept, options):
    from PIL import Image

    png, svg = plot_ablation(swept)
    assert (png, svg) == (options.out / "figure2.png", options.out / "figure2.svg")
    with Image.open(png) as image:
        image.load()
        assert image.format == "PNG"
        assert len(image.convert("RGB").getcolors(1_000_000)) > 10  # lines were drawn
    assert "<svg" in svg.read_text()[:500]


def test_what_runs_share_is_made_before_they_part(tiny_data, tmp_path, monkeypatch, quick_pretraining):
    """Otherwise one process would pretrain on its share of the cores, and the others would wait for it."""
    folder = tmp_path / "data"
    shutil.copytree(tiny_data.folder, folder, ignore=shutil.ignore_patterns("pretrained", "features"))
    seen = {}

    def stop(*arguments):
        seen.update(
            {name: len(list(folder.glob(name))) for name in ("pretrained/music-*", "pretrained/bart-*", "features/*")}
        )
        raise ModelError("stop")

    monkeypatch.setattr(module, "run_tasks", stop)
    options = AblateOptions(**{**vars(options_for(tiny_data, tmp_path / "out", 0.1)), "data": folder, "jobs": 2})
    with pytest.raises(ModelError, match="stop"):
        ablate(options)
    assert seen == {"pretrained/music-*": 1, "pretrained/bart-*": 1, "features/*": 1}


def test_conditions_of_one_seed_start_from_equal_weights(tiny_data):
    def start(**options):
        options = TrainOptions(tiny_data.folder, device="cpu", **options)
        model, _ = build_model(plan_run(options, SilentProgress(), tiny_data), SilentProgress())
        return model.state_dict()

    base = start(alpha=0.0)
    for other in (start(alpha=0.1), start(alpha=0.02, alignment_loss="infonce")):
        assert all(torch.equal(base[key], other[key]) for key in base)
    another = start(alpha=0.0, seed=1)
    assert not torch.equal(base["alignment.projection.weight"], another["alignment.projection.weight"])


# bookkeeping ----------------------------------------------------------------------------------------------------------


def test_what_is_done_is_not_done_again(tiny_data, tmp_path, made_up):
    ablate(options_for(tiny_data, tmp_path, 0.1))
    assert made_up == [Task(ALPHA_0, 0), Task(POINT_1, 0)]
    wider = ablate(options_for(tiny_data, tmp_path, 0.1, 0.02))
    assert made_up[2:] == [Task(POINT_02, 0)]
    assert alphas(wider) == [0.0, 0.02, 0.1]
    ablate(options_for(tiny_data, tmp_path, 0.1, seeds=2, baselines=(BART,)))
    assert made_up[3:] == [Task(Condition(BART), 0), Task(ALPHA_0, 1), Task(Condition(BART), 1), Task(POINT_1, 1)]


def test_a_torn_last_line_is_done_again(tiny_data, tmp_path, made_up):
    """As after a kill while writing; the lines before and after stay whole."""
    options = options_for(tiny_data, tmp_path, 0.1, 0.02)
    ablate(options)
    file = tmp_path / "results.jsonl"
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join(lines[:2]) + lines[2][:30])
    made_up.clear()
    ablate(options)
    assert made_up == [Task(POINT_1, 0)]
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
        {"study": Interventions(caption_noise=0.5)},
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
    key = {**plan_sweep(options, SilentProgress()).key, "data": "other"}
    with pytest.raises(DataError, match="holds results of other data or settings"):
        read_results(tmp_path / "results.jsonl", key)


def test_a_failing_run_is_told_and_the_rest_goes_on(tiny_data, tmp_path, made_up, monkeypatch):
    whole = module.run_task

    def fail_once(sweep, task, progress):
        if task == Task(POINT_02, 1):  # in the middle
            raise ModelError("the loss is nan at step 3")
        return whole(sweep, task, progress)

    monkeypatch.setattr(module, "run_task", fail_once)
    options = options_for(tiny_data, tmp_path, 0.02, 0.1, seeds=2)
    result = ablate(options)
    assert alphas(result) == [0.0, 0.02, 0.1]
    assert [one.seeds for one in result.conditions] == [(0, 1), (0,), (0, 1)]
    assert result.failed == {"alpha 0.02, positive, seed 1": "the loss is nan at step 3"}
    monkeypatch.setattr(module, "run_task", whole)
    made_up.clear()
    assert ablate(options).failed == {}
    assert made_up == [Task(POINT_02, 1)]


def test_when_every_run_fails(tiny_data, tmp_path, monkeypatch):
    def fail(*arguments):
        raise ModelError("no memory")

    monkeypatch.setattr(module, "run_task", fail)
    with pytest.raises(DataError, match="no run succeeded: no memory"):
        ablate(options_for(tiny_data, tmp_path, 0.1))


def test_a_bug_is_not_taken_for_a_failing_run(tiny_data, tmp_path, monkeypatch):
    def fail(*arguments):
        raise ZeroDivisionError

    monkeypatch.setattr(module, "run_task", fail)
    with pytest.raises(ZeroDivisionError):
        ablate(options_for(tiny_data, tmp_path, 0.1))


def test_the_difference_to_alpha_0_is_paired(tiny_data, tmp_path, made_up):
    base, condition = ablate(options_for(tiny_data, tmp_path, 0.1, seeds=3)).conditions
    assert base.figures["rougeL"].mean == pytest.approx(0.5)
    difference = condition.differences["rougeL"].difference
    assert (difference.mean, difference.low, difference.high) == pytest.approx((0.1, 0.1, 0.1))


# plan -----------------------------------------------------------------------------------------------------------------


def test_a_plan_before_and_after_the_first_runs(tiny_data, tmp_path, made_up):
    options = options_for(tiny_data, tmp_path, 0.1, seeds=2)
    plan = foresee(options)
    assert plan.conditions == [("BART-fusion (alpha 0)", 2, 0), ("alpha 0.1, positive", 2, 0)]
    assert plan.basis.endswith("a few timed training steps; pretraining, validation and scoring are not counted")
    assert plan.run_seconds > 0 and plan.hours == pytest.approx(4 * plan.run_seconds / 3600)
    assert not made_up and not (tmp_path / "results.jsonl").exists()
    ablate(options_for(tiny_data, tmp_path, 0.1))
    later = foresee(AblateOptions(**{**vars(options), "jobs": 2}))
    assert later.conditions == [("BART-fusion (alpha 0)", 2, 1), ("alpha 0.1, positive", 2, 1)]
    assert (later.run_seconds, later.basis) == (120.0, "2 finished runs")
    assert later.hours == pytest.approx(2 * 120 / 2 / 3600)


def test_what_a_condition_sets(tiny_data, tmp_path):
    options = options_for(tiny_data, tmp_path, 0.1, losses=("infonce", "positive"), align_layers=(0, 1))

    def chosen(condition: Condition):
        made = train_options(options, Task(condition, 3))
        return made.alpha, made.alignment_loss, made.align_layer, made.no_music, made.probe, made.study.music

    assert chosen(Condition(FUSION)) == (0.0, "infonce", 0, False, True, "own")
    assert chosen(Condition(BART)) == (0.0, "infonce", 0, True, False, "own")
    assert chosen(Condition(SHUFFLED)) == (0.0, "infonce", 0, False, False, "shuffled")
    assert chosen(Condition(LYRICS_ONLY)) == (0.0, "infonce", 0, False, False, "constant")
    assert chosen(Condition("", 0.1, "positive", 1)) == (0.1, "positive", 1, False, False, "own")
    made = train_options(options, Task(Condition(FUSION), 3))
    assert (made.seed, made.pretrain_seed, made.limit) == (3, 3, 6)


# options --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weights": ()}, "--weights names no weight"),
        ({"weights": (-0.1,)}, "--weights -0.1 is not possible"),
        ({"weights": (float("nan"),)}, "--weights nan is not possible"),
        ({"weights": (float("inf"),)}, "--weights inf is not possible"),
        ({"weights": (0.1, 0.02, 0.1)}, "--weights names 0.1 twice"),
        ({"weights": (0.1,), "seeds": 0}, "--seeds 0 is not possible"),
        ({"weights": (0.1,), "losses": ("positive", "positive")}, "--alignment-losses names positive twice"),
        ({"weights": (0.1,), "losses": ("none",)}, "--alignment-losses none is not known"),
        ({"weights": (0.1,), "align_layers": (1, 1)}, "--align-layers names 1 twice"),
        ({"weights": (0.1,), "baselines": ("silence",)}, "--baselines: silence is not known"),
        ({"weights": (0.1,), "jobs": 0}, "--jobs 0 is not possible"),
        ({"weights": (0.1,), "train": {"lr": -1.0}}, "--lr -1 is not possible"),
    ],
)
def test_impossible_options(change, message):
    with pytest.raises(OptionError) as caught:
        AblateOptions(Path("data"), **change)
    assert caught.value.message == message
    assert caught.value.hint


def test_alpha_0_is_always_trained_and_comes_first():
    def axis(*weights: float) -> list[float]:
        return [condition.alpha for condition in AblateOptions(Path("data"), weights).conditions("positive")]

    assert axis(0.1, 1e-3) == [0.0, 1e-3, 0.1]
    assert axis(0.1, 0.0) == [0.0, 0.1]
    assert axis(0.0) == [0.0]


def test_losses_layers_and_baselines_multiply():
    options = AblateOptions(
        Path("data"), (0.1,), losses=("positive", "infonce"), align_layers=(0, 1), baselines=tuple(BASELINES)
    )
    conditions = options.conditions("positive")
    assert [condition.baseline for condition in conditions[:4]] == [FUSION, BART, LYRICS_ONLY, SHUFFLED]
    assert [(condition.loss, condition.align_layer) for condition in conditions[4:]] == [
        ("positive", 0), ("positive", 1), ("infonce", 0), ("infonce", 1),
    ]  # fmt: skip
    assert len({Task(condition, 0).folder for condition in conditions}) == len(conditions)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"align_layers": (0, 9)}, "--align-layer 9 is out of range"),
        ({"align_layers": (2,)}, "--align-layer 2 lies behind fusion layer 1, where music has leaked into the lyrics"),
        ({"train": {"bart": "/nowhere"}}, "--bart: no folder /nowhere"),
    ],
)
def test_a_condition_that_cannot_be_is_refused_before_any_run(tiny_data, tmp_path, made_up, change, message):
    options = AblateOptions(**{**vars(options_for(tiny_data, tmp_path / "out", 0.1)), **change})
    for work in (ablate, foresee):
        with pytest.raises((OptionError, ModelError)) as caught:
            work(options)
        assert caught.value.message.startswith(message)
    assert not made_up and not (tmp_path / "out").exists()
