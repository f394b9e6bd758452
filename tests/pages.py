"""The pages of the repository as tests read them: marked blocks, code, commands."""

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
GUIDES = sorted((ROOT / "examples").glob("*.md"))
PAGES = [README, *GUIDES, *sorted((ROOT / "examples").glob("*/README.md")), *sorted((ROOT / ".github").glob("*.md"))]
STARTED = r"(?:(?:\S*/)?recap|(?:torchrun|accelerate) .* -m recap_cli)"  # what stands before a command's name
NAMES = [page.relative_to(ROOT).as_posix() for page in PAGES]


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def blocks(page: Path, name: str, end: str = "end") -> list[str]:
    """What stands between two marks, each time that they occur."""
    return re.findall(rf"<!-- {re.escape(name)} -->\n(.*?)<!-- {end} -->", text_of(page), re.DOTALL)


def block(page: Path, name: str, end: str = "end") -> str:
    found = blocks(page, name, end)
    assert len(found) == 1, f"{page.name} must have one block {name}"
    return found[0]


def code(text: str) -> str:
    """The indented lines of a block."""
    lines = text.splitlines()
    return "\n".join(line[4:] for line in lines if line.startswith("    ") or not line.strip()).strip("\n")


def commands(page: Path) -> Iterator[str]:
    """Every `recap ...` of a page: in code, with or without a path, started by torchrun, and between back quotes."""
    for line in text_of(page).splitlines():
        if line.startswith("    "):
            for part in line.split("#")[0].split("&&"):
                if found := re.match(rf"\s*(?:\$ )?{STARTED} (.+)", part):
                    yield found[1].strip()
    for found in re.findall(r"`recap ([^`]+)`", text_of(page)):
        yield " ".join(found.split())


def marked(page: Path) -> list[tuple[str, str]]:
    """The marked files and commands of a guide, in order: ("run", commands) or (a file's name, what is in it)."""
    found = re.findall(r"<!-- (run|file (\S+)) -->\n(.*?)<!-- end -->", text_of(page), re.DOTALL)
    return [(name or "run", code(text)) for _, name, text in found]
