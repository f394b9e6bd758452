"""What is said of installing, and what the continuous integration may do."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
TEXTS = [
    path
    for folder, pattern in (("recap_cli", "*.py"), ("recap_cli", "*.md"), ("examples", "*.md"), ("examples", "*.py"),
                            (".github", "*"), (".ci", "*"), (".", "*.md"))
    for path in (ROOT / folder).glob(pattern if folder == "." else f"**/{pattern}")
    if path.is_file()
]  # fmt: skip
FOREIGN = re.compile(r"recap[-_]cli\s*\[|install\s+(-\S+\s+)*['\"]?recap[-_]cli", re.IGNORECASE)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_nobody_is_told_to_install_a_strangers_package(path):
    """The name recap-cli belongs to another program on the package index."""
    assert not FOREIGN.search(path.read_text(encoding="utf-8"))


def test_a_wrong_advice_would_be_found():
    for text in (
        "pip install recap-cli",
        'pip install -U "recap-cli[fast]"',
        "Install recap_cli again",
        "recap-cli [x]",
    ):
        assert FOREIGN.search(text), text
    assert len(TEXTS) > 100


def test_the_name_of_the_distribution_and_of_the_command():
    assert PROJECT["name"] == "recap-captioner"
    assert PROJECT["scripts"] == {"recap": "recap_cli.cli.app:main"}


@pytest.mark.parametrize("package", ["torch", "transformers", "rich", "typer"])
def test_packages_whose_inner_parts_are_used_are_bounded(package):
    (found,) = (one for one in PROJECT["dependencies"] if re.match(rf"{package}\b", one))
    assert "<" in found


def test_the_continuous_integration_may_read_only_and_runs_what_was_read():
    for path in (ROOT / ".github" / "workflows").glob("*.yml"):
        flow = yaml.safe_load(path.read_text(encoding="utf-8"))
        assert flow["permissions"] == {"contents": "read"}
        steps = [step for job in flow["jobs"].values() for step in job["steps"]]
        assert not [job for job in flow["jobs"].values() if "permissions" in job]
        used = [step["uses"] for step in steps if "uses" in step]
        assert used and all(re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", name) for name in used), used
        # Nothing that a pull request names is pasted into a shell.
        assert not [step for step in steps if "${{" in step.get("run", "")]
    assert any("pip-audit==" in step.get("run", "") for step in steps)
