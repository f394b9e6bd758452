"""What others import: from the top package only, typed, and without loading anything before it is used."""

import ast
import inspect
import pydoc
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pages import PAGES, ROOT

import recap_cli

# They make files of this repository again, from the rooms that made them; no user copies from them.
MAKERS = {"examples/make_songs.py", "examples/controlled-experiment/report.py"}
EXAMPLES = sorted(
    path for path in (*PAGES, *(ROOT / "examples").rglob("*.py")) if path.relative_to(ROOT).as_posix() not in MAKERS
)
IMPORT = re.compile(r"^[ >]*((?:from recap_cli\S*|import recap_cli\S*)[^\n]*(?:\([^)]*\))?)", re.MULTILINE)


def imports(path: Path) -> Iterator[ast.Import | ast.ImportFrom]:
    """The imports of the package in a Python file, or in the code of a page."""
    text = path.read_text(encoding="utf-8")
    found = [text] if path.suffix == ".py" else [match[1] for match in IMPORT.finditer(text)]
    for code in found:
        yield from (node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Import | ast.ImportFrom))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_examples_import_from_the_top_package(path):
    for node in imports(path):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "recap_cli":
            assert node.module == "recap_cli", f"{path}: from {node.module}"
            assert {one.name for one in node.names} <= set(recap_cli.__all__)
        elif isinstance(node, ast.Import):
            assert not [one.name for one in node.names if one.name.startswith("recap_cli.")], path


def test_the_examples_are_found():
    names = {path.relative_to(ROOT).as_posix() for path in EXAMPLES}
    assert "examples/controlled-experiment/experiment.py" in names
    assert any(list(imports(path)) for path in EXAMPLES)


def test_every_public_name_is_there():
    assert dir(recap_cli) == sorted(recap_cli.__all__)
    for name in recap_cli.__all__:
        assert getattr(recap_cli, name) is not None
    assert not {"Any", "annotations", "TYPE_CHECKING"} & set(dir(recap_cli))
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        recap_cli.nothing  # noqa: B018


def test_type_checkers_see_the_same_names():
    """Each name that is made late is also imported for type checkers, from the same module."""
    tree = ast.parse(Path(recap_cli.__file__).read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    seen = {alias.name: node.module for node in block.body for alias in node.names}
    assert seen == {name: f"recap_cli.{home}" for name, home in recap_cli._HOMES.items()}
    assert {*seen, "__version__"} == set(recap_cli.__all__)


def test_help_is_readable():
    """It begins with how to use it, shows settings by their help, and nothing of the machinery."""
    assert "caption_songs(songs, captioner=captioner)" in (recap_cli.__doc__ or "")
    text = pydoc.plain(pydoc.render_doc(recap_cli.CaptionOptions))
    assert "Setting(" not in text and "Processes that decode audio" in text
    names = {name for name, _ in inspect.getmembers(recap_cli)}  # as pydoc lists them
    assert "__getattr__" not in names and names == set(recap_cli.__all__)


def test_the_captioner_is_typed():
    """For type checkers and editors: nothing that is called says nothing of its types, and none says Any."""
    assert (Path(recap_cli.__file__).parent / "py.typed").exists()
    for called in (recap_cli.Captioner.from_pretrained, recap_cli.Captioner.caption, recap_cli.caption_songs):
        signature = inspect.signature(called)
        named = [one.annotation for one in signature.parameters.values() if one.name != "self"]
        told = [signature.return_annotation, *named]
        assert inspect.Signature.empty not in told and "Any" not in map(str, told)


def test_the_package_and_its_options_load_nothing_heavy():
    script = """
import sys
import recap_cli
for name in ("PrepareOptions", "TrainOptions", "CaptionOptions", "EvaluateOptions", "AblateOptions", "RecapError"):
    getattr(recap_cli, name)
heavy = {"torch", "transformers", "numpy", "matplotlib", "typer", "rich"} & set(sys.modules)
assert not heavy, heavy
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
