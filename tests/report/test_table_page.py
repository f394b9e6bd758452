"""The page on Table 1: its commands parse, its calculations come out, its sizes are those of the code."""

import re
import shlex
from pathlib import Path

import pytest
import typer

from recap_cli.audio.settings import AudioSettings
from recap_cli.cli.app import app
from recap_cli.model.config import MusicEncoderSizes
from recap_cli.model.music_encoder import TIME_STRIDE
from recap_cli.training.recipes import recipe_settings

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "examples" / "reproduce-table-1.md").read_text(encoding="utf-8")
VERBS = typer.main.get_command(app).commands
COMMANDS = re.findall(r"^ {4,}(?:torchrun .* -m recap_cli|recap) (.+)$", TEXT, re.MULTILINE)
SUMS = re.findall(r"^    (\w.*?)  +([\d(][\d e.+*/()]*) = ([\d.]+)$", TEXT, re.MULTILINE)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_parses(command):
    verb, *arguments = shlex.split(command)
    context = VERBS[verb].make_context(verb, arguments)
    assert context.command is VERBS[verb]


def test_the_page_has_the_whole_road():
    assert len(COMMANDS) >= 10
    assert {command.split()[0] for command in COMMANDS} == {"prepare", "train", "eval"}
    assert all(any(flag in command for command in COMMANDS) for flag in ("--alpha 0", "--no-music", "--variant"))


def test_a_wrong_flag_would_be_found():
    with pytest.raises(Exception, match="No such option: --alfa"):
        VERBS["train"].make_context("train", ["data", "--alfa", "1"])


@pytest.mark.parametrize(("words", "left", "right"), SUMS)
def test_every_sum_comes_out(words, left, right):
    digits = len(right.partition(".")[2])
    assert re.fullmatch(r"[\d\s.e+*/()]+", left)
    assert round(eval(left), digits) == float(right), words


def test_the_sizes_are_those_of_the_code():
    assert len(SUMS) == 20
    audio, music, paper = AudioSettings(), MusicEncoderSizes(), recipe_settings("paper")
    frames = 1 + audio.samples // 256
    sums = {words: left for words, left, _ in SUMS}
    assert f"* {audio.mels} * {frames} * 2" in sums["mels for each variant"]
    assert f"* {1 + -(-frames // TIME_STRIDE)} * {music.width} * 2" in sums["features for each variant"]
    assert f"* {paper['epochs']} / 1e18" in sums["50 epochs, 1e18 FLOP"]
    assert sums["logits, mean"].startswith(f"{paper['batch_size']} * ")
    assert f"* {paper['max_caption_tokens']} *" in sums["logits, longest"]


def test_the_readme_links_it():
    assert "(examples/reproduce-table-1.md)" in (ROOT / "README.md").read_text(encoding="utf-8")
