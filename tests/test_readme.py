"""The README and the guides: commands parse, captions are those that are printed, what is named exists."""

import re
import shlex

import pytest
import typer
from pages import NAMES, PAGES, README, ROOT, block, code, commands, text_of

from recap_cli.cli.app import app, main

SONGS = ("ode-to-joy", "scarborough-fair", "auld-lang-syne")
VERBS = typer.main.get_command(app).commands
FLAGS = {flag for verb in VERBS.values() for option in verb.params for flag in (*option.opts, *option.secondary_opts)}
# Of other programs that pages start, and of `recap` itself.
FOREIGN_FLAGS = {
    *("--nproc-per-node", "--num_processes", "--cpu", "--array", "--help", "--version", "--jobs", "--parts", "--facts"),
}
LONGEST_README = 160
pages = pytest.mark.parametrize("page", PAGES, ids=NAMES)


def shown() -> dict[str, str]:
    """Command -> caption, white space made equal: long captions are folded."""
    parts = re.split(r"^\$ ", code(block(README, "captions", "end captions")), flags=re.MULTILINE)[1:]
    return {command.strip(): " ".join(caption.split()) for command, caption in (part.split("\n", 1) for part in parts)}


@pytest.fixture
def printed(capsys, monkeypatch):
    """What a command prints, run from the root of the repository."""
    monkeypatch.chdir(ROOT)

    def run(command: str) -> str:
        assert main(shlex.split(command)) == 0
        return " ".join(capsys.readouterr().out.split())

    return run


def test_the_readme_is_read_in_one_go():
    assert len(text_of(README).splitlines()) <= LONGEST_README


def test_the_captions_are_shown_as_printed(printed):
    captions = shown()
    assert list(captions) == [f"recap caption examples/songs/{name}.ogg" for name in SONGS]
    for command, caption in captions.items():
        assert printed(command.removeprefix("recap ")) == caption
        assert len(caption.split()) > 10


def test_the_first_command_prints_the_first_caption(printed):
    command = code(block(README, "caption"))
    assert "\n" not in command
    steps = command.split(" && ")
    assert steps[:2] == ["python3 -m venv .venv", ".venv/bin/pip install -q ."]
    assert len(steps) == 3 and steps[2].startswith(".venv/bin/recap caption ")
    arguments = steps[2].removeprefix(".venv/bin/recap ")
    assert printed(arguments) == shown()[f"recap {arguments}"]


def test_the_second_command_tests():
    command = 'python3 -m venv .venv && .venv/bin/pip install -q ".[dev]" && .venv/bin/python -m pytest'
    assert code(block(README, "test")) == command


def test_the_python_example_runs(capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    exec(compile(code(block(README, "python")), "README.md", "exec"), {})
    assert len(capsys.readouterr().out.split()) > 10


@pages
def test_every_command_parses(page):
    for command in commands(page):
        verb, *arguments = shlex.split(command)
        assert verb in VERBS or verb.startswith("--"), command
        if arguments:  # a bare verb may just be named
            context = VERBS[verb].make_context(verb, arguments)
            assert context.command is VERBS[verb], command


def test_the_readme_shows_every_command():
    assert set(VERBS) <= {command.split()[0] for command in commands(README)}


@pages
def test_every_flag_that_is_named_exists(page):
    named = set(re.findall(r"(?<![\w-])--[a-z][\w-]*", re.sub(r"<!--.*?-->", "", text_of(page), flags=re.DOTALL)))
    assert not named - FLAGS - FOREIGN_FLAGS


def test_a_flag_that_is_not_there_would_be_found():
    with pytest.raises(Exception, match="No such option: --alfa"):
        VERBS["train"].make_context("train", ["data", "--alfa", "1"])


@pages
def test_files_that_a_page_names_exist(page):
    for name in re.findall(r"(?<![\w/])((?:recap_cli|tests|examples|\.ci|\.github)/[\w./-]*\w)", text_of(page)):
        assert (ROOT / name).exists(), name


@pages
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#\s]+)", text_of(page)):
        assert target.startswith("https://") or (page.parent / target).exists(), target
