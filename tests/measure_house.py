"""Counts the house: files, lines, functions, nesting, words, flags. `python tests/measure_house.py` prints JSON."""

import ast
import io
import json
import statistics
import subprocess
import sys
import tokenize
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

Function = ast.FunctionDef | ast.AsyncFunctionDef
BLOCKS = (ast.For, ast.While, ast.If, ast.With, ast.Try, ast.Match, ast.AsyncFor, ast.AsyncWith)
FLAGS = """
import json, typer.main
from recap_cli.cli.app import app
commands = typer.main.get_command(app).commands.items()
print(json.dumps({name: sum(one.param_type_name == "option" for one in command.params) for name, command in commands}))
"""


@dataclass(frozen=True)
class SourceFile:
    """A file of the package: its name from the root, its text, what is in it."""

    name: str
    text: str
    tree: ast.Module

    @property
    def lines(self) -> int:
        return len(self.text.splitlines())

    @property
    def functions(self) -> list[Function]:
        return [node for node in ast.walk(self.tree) if isinstance(node, Function)]

    @property
    def bodies(self) -> dict[str, int]:
        """Lines of each function's body, by where it stands."""
        return {f"{self.name}:{node.lineno} {node.name}": body_length(node) for node in self.functions}


@cache
def read_package(root: Path) -> list[SourceFile]:
    """The files of the package under a checkout."""
    paths = sorted((root / "recap_cli").rglob("*.py"))
    texts = [path.read_text(encoding="utf-8") for path in paths]
    return [
        SourceFile(path.relative_to(root).as_posix(), text, ast.parse(text))
        for path, text in zip(paths, texts, strict=True)
    ]


def measure(root: Path) -> dict[str, object]:
    """All figures of a checkout."""
    files = read_package(root)
    functions = [node for file in files for node in file.functions]
    lengths = sorted(node.end_lineno - node.lineno + 1 for node in functions)
    lines = sum(file.lines for file in files)
    comments = sum(count_comments(file.text) for file in files)
    documented = sum(docstring_lines(file.tree) for file in files)
    code = lines - comments - documented - sum(not line.strip() for file in files for line in file.text.splitlines())
    tests = list((root / "tests").rglob("*.py"))
    return {
        "files": len(files),
        "lines": lines,
        "code_lines": code,
        "most_files_in_a_folder": most(files_by_folder(files)),
        "longest_file": most({file.name: file.lines for file in files}),
        "longest_function_body": most({name: count for file in files for name, count in file.bodies.items()}),
        "functions": len(functions),
        "function_lines_median": statistics.median(lengths),
        "function_lines_p90": lengths[int(0.9 * len(lengths))],
        "percent_nested_4_deep": percent(sum(nesting(node) >= 4 for node in functions), len(functions)),
        "comments_per_100_code_lines": percent(comments, code),
        "docstring_lines_per_100_code_lines": percent(documented, code),
        "any": sum(count_any(file.tree) for file in files),
        "flags": count_flags(root),
        "readme_lines": count_lines(root / "README.md"),
        "test_files": len(tests),
        "test_lines": sum(map(count_lines, tests)),
    }


def files_by_folder(files: list[SourceFile]) -> Counter[str]:
    return Counter(Path(file.name).parent.as_posix() for file in files)


def most(counts: Mapping[str, int]) -> tuple[str, int]:
    """The name with the largest count."""
    return max(counts.items(), key=lambda pair: pair[1])


def percent(part: int, whole: int) -> float:
    return round(100 * part / whole, 1)


def count_lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def body_length(node: Function) -> int:
    """Lines behind signature and docstring: what has to be held in the head."""
    body = node.body[1:] if ast.get_docstring(node) is not None else node.body
    return node.end_lineno - body[0].lineno + 1 if body else 0


def count_comments(text: str) -> int:
    """Lines that hold nothing but a comment."""
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return sum(token.type == tokenize.COMMENT and not token.line[: token.start[1]].strip() for token in tokens)


def docstring_lines(tree: ast.Module) -> int:
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.Module | ast.ClassDef | Function)]
    found = [node.body[0] for node in nodes if ast.get_docstring(node) is not None]
    return sum(node.end_lineno - node.lineno + 1 for node in found)


def nesting(node: ast.AST) -> int:
    """How many blocks stand within each other; an `elif` is no deeper than its `if`, a function within counts apart."""
    depths = [0]
    for name, value in ast.iter_fields(node):
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and not isinstance(child, Function):
                is_elif = isinstance(node, ast.If) and name == "orelse" and isinstance(child, ast.If)
                depths.append(nesting(child) - is_elif)
    return max(depths) + isinstance(node, BLOCKS)


def count_any(tree: ast.Module) -> int:
    return sum(isinstance(node, ast.Name) and node.id == "Any" for node in ast.walk(tree))


def count_flags(root: Path) -> dict[str, int]:
    """Options of each command, as Typer knows them; in a process of its own, so that any checkout can be counted."""
    return json.loads(subprocess.check_output([sys.executable, "-c", FLAGS], cwd=root, text=True))


def main(*arguments: str) -> None:
    print(json.dumps(measure(Path(*arguments[:1] or [Path(__file__).parents[1]]).resolve())))


if __name__ == "__main__":
    main(*sys.argv[1:])
