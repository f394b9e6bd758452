"""Who may import whom: a file imports only from lower floors. Read from the source, nothing is executed."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "recap_cli"
FILES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))

# The first prefix that fits counts.
FLOORS = {
    "errors.py": 0,
    "audio_suffixes.py": 0,
    "escaping.py": 0,
    "progress.py": 0,
    "failures.py": 0.25,
    "files.py": 0.25,
    "locks.py": 0.3,
    "outputs.py": 0.3,
    "streams.py": 0.25,
    "surroundings.py": 0.25,
    "ffmpeg.py": 0.5,
    "downmix.py": 0.5,
    "chunks.py": 0.5,
    "lengths.py": 0.6,
    "sound.py": 0.7,
    "passages.py": 0.8,
    "encodings.py": 0.5,
    "timed_text.py": 0.5,
    "id3.py": 0.5,
    "records.py": 0.5,
    "tokenizer.py": 1,
    "audio.py": 1,
    "lyrics.py": 1,
    "tags.py": 1.5,
    "scoring/": 1,
    "model/": 2,
    "processor.py": 2,
    "windows.py": 2,
    "corpus/": 3,
    "workflows/": 4,
    "report/": 5,
    "console.py": 6,
    "flags.py": 6,
    "commands/": 7,
    "cli.py": 8,
}
# Helpers that workflows share, then one workflow a verb.
WORKFLOWS = (
    ("threads", "song_numbers", "caption_lines"),
    ("worker_process",),
    ("workers",),
    ("claims", "studies"),
    ("runs",),
    ("checkpoints",),
    ("training", "recipes", "decoding", "hub", "batches", "balance", "audition", "journal"),
    ("train_options",),
    ("validation",),
    ("listener",),
    ("prepare_options", "writing"),
    ("cataloguing",),
    ("prepare",),
    ("pretrain",),
    ("features",),
    ("sources",),
    ("epochs",),
    ("trainer",),
    ("requirements",),
    ("train",),
    ("estimate",),
    ("models", "whole", "explain"),
    ("captioner",),
    ("catalogue",),
    ("caption",),
    ("split_captions",),
    ("systems", "pooling"),
    ("comparisons", "controls", "cases"),
    ("attention",),
    ("alignment",),
    ("evaluate",),
    ("arms",),
    ("effects", "measurement"),
    ("summary", "sweep"),
    ("ablate",),
    ("sweep_plan",),
)
# The package's own two files: public names, and `python -m recap_cli`.
DOORS = ("__init__.py", "__main__.py")
LIGHT = (
    "audio_suffixes.py",
    "escaping.py",
    "failures.py",
    "streams.py",
    "surroundings.py",
    "errors.py",
    "progress.py",
    "files.py",
    "locks.py",
    "outputs.py",
    "ffmpeg.py",
    "downmix.py",
    "chunks.py",
    "lengths.py",
    "sound.py",
    "passages.py",
    "encodings.py",
    "timed_text.py",
    "id3.py",
    "records.py",
    "audio.py",
    "lyrics.py",
    "tags.py",
    "windows.py",
    "scoring/",
    "console.py",
    "commands/",
    "cli.py",
)
HEAVY = {"torch", "transformers", "nltk", "numba", "resampy", "matplotlib", "scipy"}
LONGEST = 400


def floor(file: str) -> float:
    for prefix, number in FLOORS.items():
        if file.startswith(prefix):
            return number
    raise AssertionError(f"{file} has no floor: add it to the layout")


def parse(file: str) -> ast.Module:
    return ast.parse((PACKAGE / file).read_text(encoding="utf-8"))


def is_only_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test).rpartition(".")[2] == "TYPE_CHECKING"


def statements(nodes: list[ast.stmt], *, late: bool) -> Iterator[ast.Import | ast.ImportFrom]:
    """Imports at module level, inside `if` and `try` too; with `late`, those within functions as well."""
    for node in nodes:
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif late or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            children = [child for child in ast.walk(node) if isinstance(child, ast.Import | ast.ImportFrom)]
            yield from [] if is_only_for_types(node) and not late else children
        elif isinstance(node, ast.ClassDef):
            yield from statements(node.body, late=False)


def modules(file: str, *, late: bool = True) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Module and names of each import in a file; a relative import is given with its dots."""
    for node in statements(parse(file).body, late=late):
        if isinstance(node, ast.Import):
            yield from ((alias.name, ()) for alias in node.names)
        else:
            yield "." * node.level + (node.module or ""), tuple(alias.name for alias in node.names)


def own_files(file: str, *, late: bool = True) -> list[str]:
    """Files of the package that a file imports."""
    found = []
    for name, names in modules(file, late=late):
        if name.split(".")[0] != "recap_cli" or name == "recap_cli":
            continue
        path = "/".join(name.split(".")[1:])
        found += [f"{path}.py"] if f"{path}.py" in FILES else [f"{path}/{child}.py" for child in names]
    return found


def workflow_place(file: str) -> int:
    for place, names in enumerate(WORKFLOWS):
        if Path(file).stem in names:
            return place
    raise AssertionError(f"{file} has no place in the order of workflows")


INNER = [file for file in FILES if file not in DOORS]


def test_there_is_something_to_read():
    assert {"errors.py", "model/captioner.py", "corpus/readers.py", "workflows/prepare.py"} <= set(FILES)
    assert "model/config.py" in own_files("model/captioner.py")
    assert "corpus/shards.py" in own_files("workflows/prepare.py")
    assert "torch" in {name for name, _ in modules("model/captioner.py", late=False)}
    assert "resampy" in {name for name, _ in modules("audio.py")}
    assert "resampy" not in {name for name, _ in modules("audio.py", late=False)}


@pytest.mark.parametrize("file", INNER)
def test_imports_come_from_lower_floors(file):
    """Files of one floor meet only within their folder; `processor` and `model/` never do."""
    for other in own_files(file):
        same_folder = Path(file).parent == Path(other).parent != Path()
        assert floor(other) < floor(file) or (floor(other) == floor(file) and same_folder), f"{file} imports {other}"


@pytest.mark.parametrize("file", [file for file in INNER if file.startswith("corpus/")])
def test_the_corpus_knows_no_model(file):
    assert not [other for other in own_files(file) if other.startswith("model/")]


@pytest.mark.parametrize("file", [file for file in INNER if file.startswith("workflows/") and "__" not in file])
def test_workflows_call_earlier_ones_only(file):
    for other in own_files(file):
        if other.startswith("workflows/"):
            assert workflow_place(other) < workflow_place(file), f"{file} imports {other}"


def test_no_import_cycles():
    """Late imports count: a cycle that is hidden in a function is still one."""
    done: set[str] = set()

    def visit(file: str, path: tuple[str, ...]) -> None:
        assert file not in path, " -> ".join((*path[path.index(file) :], file))
        if file not in done:
            for other in own_files(file):
                if other in FILES:
                    visit(other, (*path, file))
            done.add(file)

    for file in INNER:
        visit(file, ())
    assert done >= set(INNER)


@pytest.mark.parametrize("file", INNER)
def test_siblings_are_imported_and_not_the_package(file):
    """Only the version comes from the package itself, and no import is relative or takes everything."""
    for name, names in modules(file):
        assert not name.startswith("."), f"{file}: relative import"
        assert "*" not in names, f"{file}: import *"
        if name == "recap_cli":
            assert names == ("__version__",), f"{file}: from recap_cli import {', '.join(names) or '(the package)'}"


@pytest.mark.parametrize("file", [file for file in INNER if file.startswith(LIGHT)])
def test_light_files_load_nothing_heavy(file):
    """`recap --help` answers at once: these files, and what they import, load such libraries within functions."""
    waiting, loaded = [file], set()
    while waiting:
        one = waiting.pop()
        if one not in loaded:
            loaded.add(one)
            heavy = {name.split(".")[0] for name, _ in modules(one, late=False)} & HEAVY
            assert not heavy, f"{file} loads {', '.join(heavy)} through {one}"
            waiting += own_files(one, late=False)


def test_errors_and_progress_import_nothing_of_ours():
    assert own_files("errors.py") == own_files("progress.py") == []
    assert list(modules("errors.py")) == []


@pytest.mark.parametrize("file", FILES)
def test_files_stay_readable(file):
    lines = len((PACKAGE / file).read_text(encoding="utf-8").splitlines())
    assert lines <= LONGEST, f"{file} has {lines} lines: split it along its subjects"


def test_every_file_is_named_for_its_subject():
    parts = {part.removesuffix(".py") for file in FILES for part in Path(file).parts}
    assert not parts & {"utils", "util", "common", "misc", "helpers", "helper"}
