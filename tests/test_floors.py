"""Who may import whom: a file imports only from lower floors. Read from the source, nothing is executed."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "recap_cli"
FILES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))

# From the ground up: a file imports only from lower floors, and wings on one floor do not know each other.
FLOORS = (
    ("errors.py", "progress.py", "escaping.py"),
    ("files.py", "settings.py", "surroundings.py"),
    ("outputs.py", "records.py"),
    ("tables/", "lyrics/", "audio/", "scoring/"),
    ("model/",),
    ("processor.py", "facts/"),
    ("corpus/",),
    ("layouts/",),
    ("demo/",),
    ("runtime/",),
    ("real/",),
    ("preparation/", "training/", "captioning/"),
    ("specificity/",),
    ("evaluation/",),
    ("ablation/",),
    ("report/",),
    ("page/",),
    ("cli/",),
)
# The package's own two files: public names, and `python -m recap_cli`.
DOORS = ("__init__.py", "__main__.py")
OPTIONS = tuple(file for file in FILES if file.endswith("/options.py"))
LIGHT = (
    *(name for floor in FLOORS[:3] for name in floor), *OPTIONS, "lyrics/", "audio/", "scoring/", "training/recipes.py",
    "report/recipes.py", "cli/",
)  # fmt: skip
HEAVY = {"torch", "transformers", "nltk", "numba", "resampy", "matplotlib", "scipy"}


def floor(file: str) -> int:
    for number, names in enumerate(FLOORS):
        if file.startswith(names):
            return number
    raise AssertionError(f"{file} has no floor: add its folder to the layout")


@cache
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


@cache
def modules(file: str, *, late: bool = True) -> list[tuple[str, tuple[str, ...]]]:
    """Module and names of each import in a file; a relative import is given with its dots."""
    found: list[tuple[str, tuple[str, ...]]] = []
    for node in statements(parse(file).body, late=late):
        if isinstance(node, ast.Import):
            found += ((alias.name, ()) for alias in node.names)
        else:
            found.append(("." * node.level + (node.module or ""), tuple(alias.name for alias in node.names)))
    return found


def own_files(file: str, *, late: bool = True) -> list[str]:
    """Files of the package that a file imports."""
    found = []
    for name, names in modules(file, late=late):
        if name.split(".")[0] != "recap_cli" or name == "recap_cli":
            continue
        path = "/".join(name.split(".")[1:])
        found += [f"{path}.py"] if f"{path}.py" in FILES else [f"{path}/{child}.py" for child in names]
    return found


INNER = [file for file in FILES if file not in DOORS]


def test_there_is_something_to_read():
    assert {"errors.py", "model/captioner.py", "layouts/readers.py", "preparation/prepare.py"} <= set(FILES)
    assert "model/config.py" in own_files("model/captioner.py")
    assert "corpus/shards.py" in own_files("preparation/prepare.py")
    assert "torch" in {name for name, _ in modules("model/captioner.py", late=False)}
    assert "resampy" in {name for name, _ in modules("audio/mel.py")}
    assert "resampy" not in {name for name, _ in modules("audio/mel.py", late=False)}


def test_imports_come_from_lower_floors():
    """Files of one floor meet only within their folder."""

    def may_import(file: str, other: str) -> bool:
        same_folder = Path(file).parent == Path(other).parent != Path()
        return floor(other) < floor(file) or (floor(other) == floor(file) and same_folder)

    pairs = [(file, other) for file in INNER for other in own_files(file)]
    assert len(pairs) > len(INNER)
    assert not [f"{file} imports {other}" for file, other in pairs if not may_import(file, other)]


def test_the_corpus_knows_no_model():
    readers = [file for file in INNER if file.startswith(("corpus/", "layouts/"))]
    assert readers
    assert not [file for file in readers if any(other.startswith("model/") for other in own_files(file))]


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


def test_siblings_are_imported_and_not_the_package():
    """Only the version comes from the package itself, and no import is relative or takes everything."""
    imports = [(file, name, names) for file in INNER for name, names in modules(file)]
    assert not [file for file, name, _ in imports if name.startswith(".")], "relative import"
    assert not [file for file, _, names in imports if "*" in names], "import *"
    of_package = [(file, names) for file, name, names in imports if name == "recap_cli"]
    assert of_package and not [one for one in of_package if one[1] != ("__version__",)]


def test_light_files_load_nothing_heavy():
    """`recap --help` answers at once: these files, and what they import, load such libraries within functions."""
    found: list[str] = []

    def visit(file: str, path: tuple[str, ...], loaded: set[str]) -> None:
        loaded.add(file)
        for heavy in {name.split(".")[0] for name, _ in modules(file, late=False)} & HEAVY:
            found.append(f"{' -> '.join((*path, file))} loads {heavy}")
        for other in own_files(file, late=False):
            if other not in loaded:
                visit(other, (*path, file), loaded)

    light, loaded = [file for file in INNER if file.startswith(LIGHT)], set()
    for file in light:
        if file not in loaded:
            visit(file, (), loaded)
    assert loaded >= set(light) and not found


def test_errors_and_progress_import_nothing_of_ours():
    assert own_files("errors.py") == own_files("progress.py") == []
    assert modules("errors.py") == []


def test_every_file_is_named_for_its_subject():
    parts = {part.removesuffix(".py") for file in FILES for part in Path(file).parts}
    assert not parts & {"utils", "util", "common", "misc", "helpers", "helper"}
