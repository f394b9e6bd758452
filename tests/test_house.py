"""The house stays readable: folders, files and functions have limits, and what counts them counts rightly."""

import ast
import json

from measure_house import (
    body_length,
    count_any,
    count_comments,
    docstring_lines,
    files_by_folder,
    main,
    nesting,
    read_package,
)
from pages import ROOT

MOST_FILES = 12  # a folder
LONGEST_FILE = 350  # lines
LONGEST_BODY = 50  # lines of a function, behind its signature: a command's is as long as its flags are many
DEEPEST = 3  # blocks within each other
SAMPLE = '''
"""A module."""

# a comment
from typing import Any


def outer(
    first: Any,  # no line of its own
    second: Any,
) -> str:
    """Two lines

    and a blank one."""
    for one in first:
        if one:
            with second:
                return one
        elif two:
            pass

    def inner():
        """Nothing else."""

    return "# no comment"
'''


def test_a_folder_is_taken_in_at_a_glance():
    counts = files_by_folder(read_package(ROOT))
    assert len(counts) > 10
    assert not {folder: count for folder, count in counts.items() if count > MOST_FILES}, "merge those of one subject"


def test_a_file_is_readable():
    files = read_package(ROOT)
    long = {file.name: file.lines for file in files if file.lines > LONGEST_FILE}
    assert not long, "split them along their subjects"
    assert not {name: count for file in files for name, count in file.bodies.items() if count > LONGEST_BODY}
    assert not [f"{file.name}:{node.lineno}" for file in files for node in file.functions if nesting(node) > DEEPEST]


def test_counts_of_a_sample_are_right():
    tree = ast.parse(SAMPLE)
    outer = tree.body[2]
    assert (count_comments(SAMPLE), docstring_lines(tree), count_any(tree)) == (1, 5, 2)
    assert nesting(outer) == 3
    assert body_length(outer) == 11
    assert body_length(next(node for node in outer.body if isinstance(node, ast.FunctionDef))) == 0


def test_the_command_prints_one_json_line(capsys):
    main()
    found = json.loads(capsys.readouterr().out)
    files = read_package(ROOT)
    assert found["files"] == len(files)
    assert found["lines"] == sum(file.lines for file in files) > found["code_lines"] > 5_000
    assert found["longest_file"][1] == max(file.lines for file in files)
    assert set(found["flags"]) == {"prepare", "train", "caption", "eval", "ablate", "doctor"}
    assert found["readme_lines"] <= 160
