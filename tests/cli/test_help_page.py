"""Help that can be read and typed from: no name is cut, examples at the foot, defaults and choices told."""

import pytest
import typer
from screens import WIDTHS

from recap_cli.cli.app import app, main
from recap_cli.training.recipes import RECIPE_LINES

COMMANDS = typer.main.get_command(app).commands


@pytest.fixture
def help_of(capsys, monkeypatch):
    """The help of a command at a width."""

    def show(verb: str, width: int) -> str:
        monkeypatch.setenv("COLUMNS", str(width))
        assert main([*([verb] if verb else []), "--help"]) == 0
        return capsys.readouterr().out

    return show


@pytest.mark.parametrize("width", [40, *WIDTHS])
@pytest.mark.parametrize("verb", COMMANDS)
def test_every_name_can_be_typed(help_of, verb, width):
    text = help_of(verb, width)
    lines = text.splitlines()
    assert max(map(len, lines)) <= min(width, 100)
    assert ("…" not in text and "recipe's" not in text.partition("Baselines")[0]) or verb == "ablate"
    shown = {word.strip(",") for line in lines for word in line.split()}
    for one in COMMANDS[verb].params:
        names = (*one.opts, *one.secondary_opts) if one.param_type_name == "option" else (one.metavar,)
        assert all(part in shown for name in names for part in name.split()), one.name


@pytest.mark.parametrize("verb", COMMANDS)
def test_examples_stand_at_the_foot(help_of, verb):
    _, _, foot = help_of(verb, 80).partition("Examples\n")
    calls = [line.strip() for line in foot.splitlines() if line.strip()]
    assert calls and all(call.startswith(f"recap {verb}") for call in calls)


def test_commands_are_told_in_a_line_each(help_of):
    text = help_of("", 80)
    assert all(f"│ {verb} " in text for verb in COMMANDS)


def test_the_recipe_table_stands_behind_its_flag(help_of, capsys):
    text = " ".join(help_of("train", 100).split())
    assert "recap train --recipes" in text
    assert "set by" not in text
    assert main(["train", "--recipes"]) == 0
    table = capsys.readouterr().out
    assert all(line.setting.replace("_", "-") in table for line in RECIPE_LINES)


def test_defaults_and_choices_are_told(help_of):
    text = " ".join(help_of("train", 100).replace("│", " ").split())
    assert "Default: paper 48, alcap 26, tiny 24, real 32." in text
    assert "Default: paper and alcap 4,5, tiny 1,2, real 3." in text
    assert "Choices: linear, constant," in text
    (schedule,) = (one for one in COMMANDS["train"].params if one.name == "schedule")
    with typer.Context(COMMANDS["train"]) as context:
        assert [item.value for item in schedule.shell_complete(context, "cosine")] == ["cosine", "cosine_with_restarts"]
