"""What is said of installing, what the hooks and the continuous integration do, and what is in the packages."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import typer
import yaml
from typer.testing import CliRunner

from recap_cli.cli.app import app

ROOT = Path(__file__).parents[1]
SUFFIXES = {"", ".md", ".py", ".yml", ".yaml", ".toml", ".json", ".txt"}
FOLDERS = ("recap_cli", "examples", "tests/benchmarks", ".github", ".ci")
# All that somebody may read: pages, source, helps, scripts; and the files in the root.
TEXTS = sorted(
    path
    for path in (*ROOT.glob("*"), *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*")))
    if path.is_file() and path.suffix in SUFFIXES and "__pycache__" not in path.parts and path.name != ".git"
)
SOURCES = [path for path in TEXTS if path.suffix == ".py"]
OPTION = r"(?:-\S+\s+)*"
WAYS = "install|add|download|upgrade|uvx|run"
FOREIGN = re.compile(rf"recap[-_]cli\s*\[|(?:{WAYS})\s+{OPTION}['\"`]?recap[-_]cli(?![\w/.])", re.IGNORECASE)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
FLOWS = {path.name: yaml.safe_load(path.read_text("utf-8")) for path in (ROOT / ".github" / "workflows").glob("*.yml")}
STEPS = [step for flow in FLOWS.values() for job in flow["jobs"].values() for step in job["steps"]]


def said(path: Path) -> str:
    """What a source file can say: its texts as they come out, those in pieces joined, a gap for what is filled in."""
    texts = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            texts.append(node.value)
        elif isinstance(node, ast.JoinedStr):
            texts.append("".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values))
    return "\n".join(texts)


def ids(paths: list[Path]) -> list[str]:
    return [path.relative_to(ROOT).as_posix() for path in paths]


def test_nobody_is_told_to_install_a_strangers_package():
    """The name recap-cli belongs to another program on the package index. Line breaks may stand anywhere."""
    texts = {path: " ".join(path.read_text(encoding="utf-8").split()) for path in TEXTS}
    assert not ids([path for path, text in texts.items() if FOREIGN.search(text)])


def test_no_message_says_it_in_pieces():
    assert not ids([path for path in SOURCES if FOREIGN.search(said(path))])


@pytest.mark.parametrize("verb", ["", *typer.main.get_command(app).commands])
def test_no_help_says_it(verb):
    done = CliRunner().invoke(app, [*([verb] if verb else []), "--help"], env={"COLUMNS": "200"})
    assert done.exit_code == 0
    assert not FOREIGN.search(" ".join(done.output.split()))


def test_a_wrong_advice_would_be_found(tmp_path):
    for text in (
        "pip install recap-cli",
        'pip install -U "recap-cli[fast]"',
        "Install recap_cli again",
        "uv add recap-cli",
        "recap-cli [x]",
    ):
        assert FOREIGN.search(text), text
    assert not FOREIGN.search(
        "python -m pip install . in recap_cli/'s folder; install the program again: pip install ."
    )
    source = tmp_path / "one.py"
    source.write_text('raise Error(f"{name} is missing", "pip install "\n    "recap-cli")')
    assert FOREIGN.search(said(source))


def test_all_that_can_be_read_is_read():
    read = set(ids(TEXTS))
    assert {"README.md", "pyproject.toml", ".ci/run", ".github/CONTRIBUTING.md", "examples/own-songs.md"} <= read
    assert {"recap_cli/data/demo_model/README.md", ".github/workflows/ci.yml", "recap_cli/errors.py"} <= read


def test_the_name_of_the_distribution_and_of_the_command():
    assert PROJECT["name"] == "recap-captioner"
    assert PROJECT["scripts"] == {"recap": "recap_cli.cli.app:main"}


@pytest.mark.parametrize("package", ["torch", "transformers", "rich", "typer"])
def test_packages_whose_inner_parts_are_used_are_bounded(package):
    (found,) = (one for one in PROJECT["dependencies"] if re.match(rf"{package}\b", one))
    assert "<" in found


def test_the_continuous_integration_may_read_only_and_runs_what_was_read():
    assert FLOWS
    for flow in FLOWS.values():
        assert flow["permissions"] == {"contents": "read"}
        assert not [job for job in flow["jobs"].values() if "permissions" in job]
    used = [step["uses"] for step in STEPS if "uses" in step]
    assert used and all(re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", name) for name in used), used
    # Nothing that a pull request names is pasted into a shell.
    assert not [step for step in STEPS if "${{" in step.get("run", "")]


def test_the_continuous_integration_tests_the_oldest_and_the_packages_and_audits():
    runs = " ".join(step.get("run", "") for step in STEPS)
    assert {"bash .ci/run", "bash .ci/oldest", "bash .ci/package"} <= set(re.findall(r"bash \S+", runs))
    assert "pip-audit==" in runs


@pytest.mark.parametrize("name", ["run", "oldest", "package"])
def test_scripts_of_the_continuous_integration_are_sound(name):
    path = ROOT / ".ci" / name
    assert "set -euo pipefail" in path.read_text(encoding="utf-8")
    subprocess.run(["bash", "-n", str(path)], check=True)


def test_the_oldest_are_the_bounds_of_the_project():
    """The script takes torch and transformers from pyproject.toml, each with a bound that names a version."""
    script = (ROOT / ".ci" / "oldest").read_text(encoding="utf-8")
    program = script.partition("<<'PYTHON'\n")[2].partition("\nPYTHON")[0]
    printed = subprocess.check_output([sys.executable, "-c", program], cwd=ROOT, text=True).split()
    named = {one.partition(">=")[0]: one for one in PROJECT["dependencies"]}
    bounds = {name: named[name] for name in ("torch", "transformers")}
    assert [one.partition("==")[0] for one in printed] == list(bounds)
    for one in printed:
        name, _, version = one.partition("==")
        assert f"{name}>={version.removesuffix('.*')}," in bounds[name]


def test_hooks_are_local_and_those_of_the_continuous_integration():
    found = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
    assert [one["repo"] for one in found] == ["local"]
    hooks = {hook["id"]: hook["entry"] for hook in found[0]["hooks"]}
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert {"ruff", "ruff-format", "mypy"} == set(hooks)
    assert all(f".venv/bin/{' '.join(entry.split()[:2]).partition(' --')[0]}" in script for entry in hooks.values())


@pytest.mark.parametrize("name", ["bug", "feature"])
def test_issue_forms_are_whole(name):
    form = yaml.safe_load((ROOT / ".github" / "ISSUE_TEMPLATE" / f"{name}.yml").read_text(encoding="utf-8"))
    assert {"name", "description", "body"} <= set(form)
    assert all("id" in one and "label" in one["attributes"] for one in form["body"] if one["type"] != "markdown")
