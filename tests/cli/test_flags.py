"""Flags are made from the options: every setting has one or says that it has none, and every value is checked once."""

from collections.abc import Iterator
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Annotated, Literal, get_args

import pytest
import typer

from recap_cli.ablation.conditions import BASELINES
from recap_cli.ablation.options import AblateOptions
from recap_cli.captioning.options import CaptionOptions
from recap_cli.cli.app import app
from recap_cli.cli.flags import Screen, all_settings, read_options, with_flags
from recap_cli.errors import OptionError
from recap_cli.evaluation.options import EvaluateOptions
from recap_cli.layouts.music4all import VARIANTS
from recap_cli.layouts.readers import LAYOUTS
from recap_cli.model.config import ALIGNMENT_LOSSES, CHOICES
from recap_cli.preparation.mel_worker import PRECISIONS
from recap_cli.preparation.options import Layout, PrepareOptions, Variant
from recap_cli.runtime.options import DecodingOptions
from recap_cli.scoring.text import PROTOCOLS
from recap_cli.settings import UNNAMED, Declared, Group, Setting, check_settings, declared, plain
from recap_cli.training.options import Interventions, TrainOptions
from recap_cli.training.recipes import AlignmentLoss, FusionSharing, Pooling, RecipeSettings, Similarity

COMMANDS = {
    "prepare": PrepareOptions,
    "train": TrainOptions,
    "caption": CaptionOptions,
    "eval": EvaluateOptions,
    "ablate": AblateOptions,
}
# Settings of experiments: Python sets them, the command line does not.
WITHOUT_FLAG = {
    "fusion_scale", "fusion_heads", "fusion_sharing", "similarity", "standardise_music", "probe", "pretrain_seed",
    "music", "music_noise", "caption_noise", "captioned_songs",
}  # fmt: skip


def flags_of(verb: str) -> dict[str, list[str]]:
    """The command's flags and arguments as Typer has them."""
    return {one.name: one.opts for one in typer.main.get_command(app).commands[verb].params}


def every_setting() -> Iterator[Declared]:
    for options in (*COMMANDS.values(), DecodingOptions, Interventions, Screen):
        yield from declared(options)


@pytest.mark.parametrize("verb", COMMANDS)
def test_every_setting_is_a_flag_of_its_command(verb):
    flags = flags_of(verb)
    for one in all_settings(COMMANDS[verb]):
        if one.setting.argument:
            assert flags[one.name] == [one.name]
        elif one.flag:
            assert one.flag in flags[one.name]
        else:
            assert one.name not in flags
    assert {"as_json", "quiet"} < flags.keys()


def test_settings_of_experiments_have_no_flag():
    assert {one.name for one in every_setting() if not one.flag} == WITHOUT_FLAG
    for verb in COMMANDS:
        # `recap prepare --music` is another setting: the folders of music of the real corpus
        assert not WITHOUT_FLAG & flags_of(verb).keys() - ({"music"} if verb == "prepare" else set())


def test_every_recipe_setting_is_a_setting_of_train():
    names = {one.name for one in declared(TrainOptions)}
    assert {entry.name for entry in fields(RecipeSettings)} <= names


def test_helps_are_sentences():
    """Each says in a sentence or two what a setting is for, and stands in a panel."""
    for one in every_setting():
        text = one.setting.help
        assert text[0].isupper(), one.name
        assert text[-1] in ".?" and len(text.split()) >= 3, one.name
        assert one.setting.panel or one.setting.argument or not one.flag, one.name


def test_choices_are_what_the_workflows_know():
    for kind, known in (
        (Layout, LAYOUTS),
        (Variant, VARIANTS),
        (AlignmentLoss, ALIGNMENT_LOSSES),
        (Pooling, CHOICES["pooling"]),
        (Similarity, CHOICES["similarity"]),
        (FusionSharing, CHOICES["fusion_sharing"]),
    ):
        assert get_args(kind) == tuple(known)
    choices = {(name, one.name): one.choices for name, options in COMMANDS.items() for one in declared(options)}
    assert choices["prepare", "precision"] == tuple(PRECISIONS)
    assert choices["eval", "protocol"] == tuple(PROTOCOLS)
    assert choices["ablate", "losses"] == tuple(one for one in ALIGNMENT_LOSSES if one != "none")


# made from a declaration ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Inner:
    width: Annotated[int, Setting("Width of the inner part.", "Inside", minimum=1, maximum=9)] = 4
    depth: Annotated[int, Setting("Depth of the inner part.", "Inside")] = 2


@dataclass(frozen=True)
class Options:
    place: Annotated[Path, Setting("A place that can be left out.", argument="PLACE", default="here")]
    kind: Annotated[Literal["a", "b"], Setting("One of two kinds.", "First")] = "a"
    rate: Annotated[float | None, Setting("A rate that is above zero.", "First", above=0)] = None
    layers: Annotated[tuple[int, ...], Setting("Numbers with commas between.", "First", minimum=0)] = ()
    files: Annotated[tuple[Path, ...], Setting("Files, each with a flag.", "First")] = ()
    every: Annotated[tuple[str, ...], Setting("Stands for two words.", "First", stands_for=("x", "y"))] = ()
    maybe: Annotated[bool | None, Setting("Yes, no, or not said.", "First")] = None
    hidden: Annotated[int, Setting("Only Python sets this.", flag="", minimum=0)] = 0
    inner: Annotated[Inner, Group(Inner, ("width",), "Second")] = Inner()

    def __post_init__(self) -> None:
        check_settings(self)


def run(*arguments: str) -> Options:
    """What a command gets."""
    got = []
    one = typer.Typer()
    one.command()(with_flags(body(got)))
    one(list(arguments), standalone_mode=False)
    return got[0]


def body(got: list[Options]):
    def command(options: Options) -> None:
        """Collect the options."""
        got.append(options)

    return command


def test_what_is_not_named_is_the_options_own_default():
    options = run()
    assert options == Options(UNNAMED)
    assert options.place is UNNAMED


def test_values_come_as_the_options_hold_them():
    options = run(
        "there", "--kind", "b", "--rate", "0.5", "--layers", "4, 5", "--files", "a", "--files", "b", "--every",
        "--no-maybe", "--width", "9",
    )  # fmt: skip
    assert options == Options(
        Path("there"), "b", 0.5, (4, 5), (Path("a"), Path("b")), ("x", "y"), maybe=False, inner=Inner(9)
    )


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        (("--kind", "c"), "--kind c is not known", "choose one of a, b"),
        (("--rate", "0"), "--rate 0 is not possible", "give a number above 0"),
        (("--rate", "nan"), "--rate nan is not possible", "give a number above 0"),
        (("--layers", "1,-1"), "--layers -1 is not possible", "give 0 or more"),
        (("--layers", "a"), "--layers a are not whole numbers", "give whole numbers such as 4,5"),
    ],
)
def test_a_value_that_cannot_be_is_refused_with_its_flag(arguments, message, hint):
    with pytest.raises(OptionError) as caught:
        run(*arguments)
    assert (caught.value.message, caught.value.hint) == (message, hint)


def test_a_setting_without_a_flag_is_checked_too():
    with pytest.raises(OptionError, match="hidden -1 is not possible"):
        Options(UNNAMED, hidden=-1)
    with pytest.raises(OptionError, match="music none is not known"):
        Interventions(music="none")


def test_options_as_json():
    assert plain(Options(Path("a"), layers=(1,))) == {
        "place": "a", "kind": "a", "rate": None, "layers": (1,), "files": (), "every": (), "maybe": None, "hidden": 0,
        "inner": {"width": 4, "depth": 2},
    }  # fmt: skip


def test_a_group_of_an_ablation_gives_only_what_is_named():
    given = {one.name: MISSING for one in all_settings(AblateOptions)}
    given = dict.fromkeys(given) | {"baselines": True, "epochs": 3.0, "weights": "0.1"}
    options = read_options(AblateOptions, given)
    assert (options.train, options.weights, options.baselines) == ({"epochs": 3.0}, (0.1,), tuple(BASELINES))
