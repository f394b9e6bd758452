"""A command's quick start: the same captions as stock transformers writes, without what captioning never uses."""

import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import torch
from transformers import BartForConditionalGeneration

from recap_cli.captioning.captioner import Captioner
from recap_cli.runtime.decoding import generation_arguments
from recap_cli.runtime.options import DecodingOptions
from recap_cli.runtime.quick_start import LateModule, start_quickly

ROOT = Path(__file__).parents[2]
SONGS = sorted((ROOT / "examples" / "songs").glob("*.ogg"))
NEVER_USED = (
    "accelerate", "jinja2", "matplotlib", "numba", "onnx", "psutil", "scipy", "sklearn", "sympy",
    "torch._dynamo.convert_frame", "torch._dynamo.symbolic_convert", "torch._inductor", "torch.distributed.tensor",
    "torch.onnx", "transformers.trainer",
)  # fmt: skip

# The command, and what it wrote and loaded.
CAPTION = """
import json, sys
from recap_cli.cli.app import main
code = main(["caption", *sys.argv[1:], "--quiet"])
modules = [*sys.modules]
from recap_cli.runtime.quick_start import LateModule
run = [name for name, module in sys.modules.items() if isinstance(module, LateModule) and vars(module)["_has_run"]]
print(json.dumps({"code": code, "modules": modules, "run": run}))
"""
NOTE_IDS = """
import recap_cli.runtime.quick_start as quick_start
begin = quick_start.start_quickly
def start_quickly(module):
    assert begin(module)
    from recap_cli.processor import RecapProcessor
    decode = RecapProcessor.decode
    def noting(self, ids):
        print("ids", ids.tolist())
        return decode(self, ids)
    RecapProcessor.decode = noting
quick_start.start_quickly = start_quickly
"""
DOES_NOT_FIT = """
import typing
import recap_cli.runtime.quick_start as quick_start
quick_start.typing = type("", (), {"Unpack": None})
begin = quick_start.start_quickly
def start_quickly(module):
    assert not begin(module)
quick_start.start_quickly = start_quickly
"""


def run_fresh(code: str, *arguments: object) -> list[str]:
    """Returns the lines that a new process prints."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout.splitlines()


def stock_ids(captioner: Captioner, song: Path) -> list[list[int]]:
    """Returns a caption's tokens as the stock decoder, encoder call and search of transformers find them."""
    lyrics = song.with_suffix(".txt")
    batch = captioner.make_batch([captioner.make_input(song, lyrics if lyrics.exists() else None)])
    arguments = generation_arguments(DecodingOptions(), captioner.processor)
    with torch.inference_mode():
        return captioner.model.generate(**batch, fast=False, **arguments).sequences.tolist()


@pytest.fixture(scope="module")
def captioned() -> tuple[list[str], dict[str, object]]:
    """What the command writes about the example songs in a new process, and what it has loaded then."""
    *lines, end = run_fresh(NOTE_IDS + CAPTION, *SONGS)
    return lines, json.loads(end)


def test_ids_are_those_of_stock_generate(captioned):
    captioner = Captioner.from_pretrained()
    assert type(captioner.model).__mro__[2] is BartForConditionalGeneration
    found = [ids for line in captioned[0] if line.startswith("ids") for ids in json.loads(line.removeprefix("ids"))]
    stock = [ids for song in SONGS for ids in stock_ids(captioner, song)]
    pad = captioner.model.config.pad_token_id
    assert len(found) == len(SONGS) == 3
    assert [[one for one in ids if one != pad] for ids in found] == [[i for i in ids if i != pad] for ids in stock]


@pytest.mark.skipif(
    version("transformers").startswith(("5.4.", "5.5.")), reason="older libraries ask for more: slower, not wrong"
)
def test_nothing_is_loaded_that_captioning_never_uses(captioned):
    end = captioned[1]
    assert end["code"] == 0 and end["run"] == []
    loaded = [name for name in end["modules"] if name.startswith(tuple(f"{one}." for one in NEVER_USED))]
    assert [*loaded, *(name for name in end["modules"] if name in NEVER_USED)] == []


def test_what_does_not_fit_is_put_back(tmp_path):
    """A late module has a name that the library cannot use: all is loaded as usual, and the caption is written."""
    *lines, end = run_fresh(DOES_NOT_FIT + CAPTION, SONGS[0], "--explain", tmp_path / "map.png")
    end = json.loads(end)
    assert end["code"] == 0 and len(lines) == 1 and (tmp_path / "map.png").stat().st_size > 0
    assert {"sympy", "scipy", "torch._dynamo.convert_frame", "torch.distributed.tensor"} <= set(end["modules"])


def test_parity_weights_in_a_quick_process():
    """The official code's captions and log-probabilities, in a process that has begun quickly."""
    run_fresh(
        "import sys; from recap_cli.runtime.quick_start import start_quickly\n"
        "assert start_quickly('recap_cli.captioning.caption')\n"
        "import pytest; sys.exit(pytest.main(['-n0', '--noconftest', '-p', 'no:cacheprovider', *sys.argv[1:]]))",
        *("-k", "test_generation and not end", "tests/model/test_parity.py"),
    )


def test_a_process_that_has_torch_is_left_alone():
    before = torch.distributed.is_available
    assert not start_quickly("recap_cli.captioning.caption")
    assert torch.distributed.is_available is before
    assert not any(isinstance(module, LateModule) for module in sys.modules.values())


def test_late_module(tmp_path, monkeypatch):
    (tmp_path / "slow_module.py").write_text("known = 'real'\nother = 2\n")
    monkeypatch.syspath_prepend(tmp_path)
    module = LateModule("slow_module", {"known": "at once"})
    monkeypatch.setitem(sys.modules, "slow_module", module)
    assert module.known == "at once"
    with pytest.raises(AttributeError):
        _ = module.__wrapped__
    assert module.known == "at once"
    from slow_module import other

    assert other == 2 and module.known == "real"
    with pytest.raises(AttributeError, match=r"slow_module.*absent"):
        _ = module.absent
