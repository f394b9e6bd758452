"""The README, run: its commands parse, its captions are those that are printed, its tables are the code's."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from recap_cli.cli.app import app, main
from recap_cli.training.recipes import RECIPE_LINES

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
SONGS = ("ode-to-joy", "scarborough-fair", "auld-lang-syne")


def block(name: str, end: str = "end") -> str:
    """What stands between two marks."""
    found = re.findall(rf"<!-- {name} -->\n(.*?)<!-- {end} -->", TEXT, re.DOTALL)
    assert len(found) == 1, f"README.md must have one block {name}"
    return found[0]


def code(name: str, end: str = "end") -> str:
    """The indented lines of a block."""
    lines = block(name, end).splitlines()
    return "\n".join(line[4:] for line in lines if line.startswith("    ") or not line.strip()).strip("\n")


def shown() -> dict[str, str]:
    """Command -> caption, white space made equal: long captions are folded."""
    parts = re.split(r"^\$ ", code("captions", "end captions"), flags=re.MULTILINE)[1:]
    return {command.strip(): " ".join(caption.split()) for command, caption in (part.split("\n", 1) for part in parts)}


def commands() -> Iterator[str]:
    """Every `recap ...` of the README: in code blocks, with or without a path, and between back quotes."""
    for line in TEXT.splitlines():
        if line.startswith("    "):
            for part in line.split("#")[0].split("&&"):
                if found := re.match(r"\s*(?:\$ )?(?:\S*/)?recap (.+)", part):
                    yield found[1].strip()
    for found in re.findall(r"`recap ([^`]+)`", TEXT):
        yield found.strip()


@pytest.fixture
def printed(capsys, monkeypatch):
    """What a command prints, run from the root of the repository."""
    monkeypatch.chdir(ROOT)

    def run(command: str) -> str:
        assert main(shlex.split(command)) == 0
        return " ".join(capsys.readouterr().out.split())

    return run


def test_the_captions_are_shown_as_printed(printed):
    captions = shown()
    assert list(captions) == [f"recap caption examples/songs/{name}.ogg" for name in SONGS]
    for command, caption in captions.items():
        assert printed(command.removeprefix("recap ")) == caption
        assert len(caption.split()) > 10


def test_the_first_command_prints_the_first_caption(printed):
    command = code("caption")
    assert "\n" not in command
    steps = command.split(" && ")
    assert steps[:2] == ["python3 -m venv .venv", ".venv/bin/pip install -q ."]
    assert len(steps) == 3 and steps[2].startswith(".venv/bin/recap caption ")
    arguments = steps[2].removeprefix(".venv/bin/recap ")
    assert printed(arguments) == shown()[f"recap {arguments}"]


def test_the_second_command_tests():
    assert code("test") == ('python3 -m venv .venv && .venv/bin/pip install -q ".[dev]" && .venv/bin/python -m pytest')


def test_the_python_examples_run(capsys, monkeypatch):
    """Both ways give the same caption."""
    monkeypatch.chdir(ROOT)
    printed = []
    for name in ("python", "transformers"):
        exec(compile(code(name), "README.md", "exec"), {})
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1]
    assert len(printed[0].split()) > 10


def test_the_recipes_are_those_of_the_code():
    rows = [
        [cell.strip().strip("`") for cell in line.strip().strip("|").split("|")]
        for line in block("recipes", "end recipes").splitlines()
        if line.startswith("|")
    ]
    assert rows[0] == ["setting", "paper", "alcap", "tiny", "set by"]
    expected = [
        [
            line.setting.replace("_", "-"),
            *(write(getattr(line, name)) for name in ("paper", "alcap", "tiny")),
            line.source,
        ]
        for line in RECIPE_LINES
    ]
    assert rows[2:] == expected


def write(value) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def test_every_command_parses():
    verbs = typer.main.get_command(app).commands
    seen = set()
    for command in commands():
        verb, *arguments = shlex.split(command)
        assert verb in verbs or verb.startswith("--"), command
        seen.add(verb)
        if arguments:  # a bare verb may just be named
            context = verbs[verb].make_context(verb, arguments)
            assert context.command is verbs[verb], command
    assert set(verbs) <= seen


def test_a_flag_that_is_not_there_would_be_found():
    verbs = typer.main.get_command(app).commands
    with pytest.raises(Exception, match="No such option: --alfa"):
        verbs["train"].make_context("train", ["data", "--alfa", "1"])


def test_files_that_the_readme_names_exist():
    for name in re.findall(r"`((?:recap_cli|tests|examples|\.ci|\.github)/[\w./-]+)`", TEXT):
        assert (ROOT / name).exists(), name
