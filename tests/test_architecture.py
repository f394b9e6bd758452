"""ARCHITECTURE.md names rooms and functions in the order of three walks: they exist, and real calls go that way."""

import ast
import re
import shutil
import sys
from collections.abc import Callable, Iterable
from importlib import import_module

import pytest
from pages import ROOT, text_of

from recap_cli.cli.app import main

PAGE = ROOT / ".github" / "ARCHITECTURE.md"
Step = tuple[str, str]  # a file from the root, and a function or method in it
HEADING = re.compile(r"^## [^\n]*`(recap [^`\n]+)`\n(.*?)(?=^## )", re.MULTILINE | re.DOTALL)


def walks() -> dict[str, list[Step]]:
    """The numbered lists of the page: the command in their heading -> (file, function) in order.

    A line of a list names a file in back quotes, and then functions of it as `name()` or `Class.name()`.
    """
    found: dict[str, list[Step]] = {}
    for heading, text in HEADING.findall(text_of(PAGE)):
        items = re.split(r"^\d+\. ", text, flags=re.MULTILINE)[1:]
        rooms = [re.search(r"`(recap_cli/[\w/]+\.py)`", item) for item in items]
        assert all(rooms), f"{heading}: each step names its file"
        names = [re.findall(r"`([\w.]+)\(\)`", item) for item in items]
        assert all(names), f"{heading}: each step names a function"
        found[heading] = [(room[1], name) for room, some in zip(rooms, names, strict=True) for name in some]
    return found


WALKS = walks()
CAPTION, TRAIN, ABLATE = WALKS
STEPS = sorted({step for steps in WALKS.values() for step in steps})


def functions_of(file: str) -> set[str]:
    """Functions of a file, and methods as `Class.name`."""
    body = ast.parse((ROOT / file).read_text(encoding="utf-8")).body
    found = {node.name for node in body if isinstance(node, ast.FunctionDef)}
    for node in body:
        if isinstance(node, ast.ClassDef):
            found |= {f"{node.name}.{one.name}" for one in node.body if isinstance(one, ast.FunctionDef)}
    return found


def calls_of(work: Callable[[], int], steps: Iterable[Step]) -> list[Step]:
    """The calls of some functions while some work is done, in order."""
    steps = list(steps)
    for file, _ in steps:
        import_module(file.removesuffix(".py").replace("/", "."))  # loading torch is no part of the walk
    wanted = {(str(ROOT / file), name): (file, name) for file, name in steps}
    calls: list[Step] = []

    def note(frame, event, _):
        code = frame.f_code
        if step := wanted.get((code.co_filename, code.co_qualname)):
            calls.append(step)  # and None, so that no line of the function is told

    before = sys.gettrace()
    sys.settrace(note)
    try:
        assert work() == 0
    finally:
        sys.settrace(before)
    return calls


def first_missed(walk: list[Step], calls: Iterable[Step]) -> Step | None:
    """The first step of a walk that the calls do not take after those before it; None where they go the whole way."""
    left = iter(calls)
    return next((step for step in walk if step not in left), None)


def test_the_page_has_three_walks():
    assert [command.split()[1] for command in WALKS] == ["caption", "train", "ablate"]
    assert all(len(steps) >= 10 for steps in WALKS.values())
    assert len(text_of(PAGE).splitlines()) <= 130


@pytest.mark.parametrize(("file", "name"), STEPS)
def test_what_the_page_names_exists(file, name):
    assert name in functions_of(file)


def test_every_folder_has_its_line():
    """The picture shows each folder of the package."""
    folders = {path.parent.name for path in (ROOT / "recap_cli").glob("*/__init__.py")}
    picture = text_of(PAGE).partition("\n## ")[0]
    assert {name for name in folders if f"{name}/" not in picture} == set()


def test_one_song_goes_that_way(tmp_path, monkeypatch):
    """As typed in the heading, in a folder that holds just the two files."""
    monkeypatch.chdir(tmp_path)
    songs = ROOT / "examples" / "songs"
    shutil.copy(songs / "ode-to-joy.ogg", tmp_path / "song.wav")  # the name decides nothing: the bytes do
    shutil.copy(songs / "ode-to-joy.txt", tmp_path / "lyrics.txt")
    assert CAPTION == "recap caption song.wav lyrics.txt"
    calls = calls_of(lambda: main(CAPTION.split()[1:]), WALKS[CAPTION])
    assert first_missed(WALKS[CAPTION], calls) is None


def test_one_training_batch_goes_that_way(tiny_data, tmp_path):
    call = ["train", str(tiny_data.folder), "--limit", "4", "--epochs", "1", "--max-caption-tokens", "16"]
    calls = calls_of(lambda: main([*call, "--out", str(tmp_path / "run"), "--quiet"]), WALKS[TRAIN])
    assert first_missed(WALKS[TRAIN], calls) is None


def test_one_ablation_goes_that_way(tiny_data, tmp_path):
    call = ["ablate", str(tiny_data.folder), *ABLATE.split()[3:], "--limit", "4", "--epochs", "1", "--jobs", "1"]
    calls = calls_of(lambda: main([*call, "--out", str(tmp_path / "ablation"), "--quiet"]), WALKS[ABLATE])
    assert first_missed(WALKS[ABLATE], calls) is None


def test_a_wrong_turn_would_be_found():
    walk: list[Step] = [("a.py", "one"), ("b.py", "two"), ("c.py", "three")]
    assert first_missed(walk, walk) is None
    assert first_missed(walk, [walk[0], walk[2], walk[1]]) == walk[2]
    assert first_missed(walk, [walk[0], walk[2]]) == walk[1]
