"""The guides' marked commands, run; and the example songs: their captions, and that they can be made again."""

import importlib.util
import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile
from pages import GUIDES, marked

from recap_cli import Captioner
from recap_cli.cli.app import main
from recap_cli.demo.lexicon import ATTRIBUTES, read_attributes

EXAMPLES = Path(__file__).parents[1] / "examples"
SONGS = EXAMPLES / "songs"
NAMES = ("ode-to-joy", "scarborough-fair", "auld-lang-syne")


@pytest.fixture(scope="module")
def captioner() -> Captioner:
    return Captioner.from_pretrained("demo")


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """The songs, rendered again."""
    spec = importlib.util.spec_from_file_location("make_songs", EXAMPLES / "make_songs.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    folder = tmp_path_factory.mktemp("songs")
    module.write_songs(folder)
    return folder


def test_there_are_three_songs_with_their_lyrics():
    names = {f"{name}.{kind}" for name in NAMES for kind in ("ogg", "txt")}
    assert {path.name for path in SONGS.iterdir()} == {*names, "attributes.json"}
    assert set(json.loads((SONGS / "attributes.json").read_text())) == set(NAMES)
    assert sum(path.stat().st_size for path in SONGS.iterdir()) < 500_000


@pytest.mark.parametrize("name", NAMES)
def test_a_caption_names_five_attributes_of_seven(captioner, name):
    truth = json.loads((SONGS / "attributes.json").read_text())[name]
    caption = captioner.caption(SONGS / f"{name}.ogg", SONGS / f"{name}.txt").caption
    said = read_attributes(caption)
    right = [attribute for attribute in ATTRIBUTES if said[attribute] == truth[attribute]]
    assert len(right) >= 5, (caption, truth)


def test_the_songs_are_told_apart(captioner):
    captions = {captioner.caption(SONGS / f"{name}.ogg", SONGS / f"{name}.txt").caption for name in NAMES}
    assert len(captions) == 3


@pytest.mark.parametrize("name", NAMES)
def test_a_song_is_made_again(made, name):
    """Lyrics byte for byte, and audio but for what the encoder's version may change."""
    assert (made / f"{name}.txt").read_bytes() == (SONGS / f"{name}.txt").read_bytes()
    ours, rate = soundfile.read(SONGS / f"{name}.ogg")
    again, again_rate = soundfile.read(made / f"{name}.ogg")
    assert rate == again_rate == 16000
    assert ours.shape == again.shape
    assert 6 <= len(ours) / rate <= 20
    assert np.abs(ours).max() > 0.2
    np.testing.assert_allclose(again, ours, atol=1e-3)


def test_the_attributes_are_made_again(made):
    assert (made / "attributes.json").read_bytes() == (SONGS / "attributes.json").read_bytes()


RUNNABLE = [page for page in GUIDES if marked(page)]


@pytest.mark.parametrize("page", RUNNABLE, ids=lambda page: page.stem)
def test_a_guide_runs_as_it_stands(page, tmp_path, monkeypatch):
    """Its files are written and its commands run in order, in a folder that holds `examples/songs` only."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    shutil.copytree(SONGS, tmp_path / "examples" / "songs")
    for name, text in marked(page):
        if name != "run":
            (tmp_path / name).write_text(text + "\n", encoding="utf-8")
            continue
        for line in text.splitlines():
            if line.startswith("recap "):
                words = shlex.split(line, comments=True)[1:]
                files = [sorted(map(str, Path().glob(word))) if "*" in word else [word] for word in words]
                assert main([word for found in files for word in found]) == 0, line
            else:
                subprocess.run(["bash", "-euc", line], check=True)


def test_the_guides_of_own_work_run():
    assert {"own-songs", "score-any-captioner", "many-machines"} <= {page.stem for page in RUNNABLE}


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.stem)
def test_marks_are_whole(page):
    """A mark without its end would hide commands from the tests."""
    text = page.read_text(encoding="utf-8")
    opened = re.findall(r"<!-- (?!end)", text)
    assert len(opened) == len(re.findall(r"<!-- end", text))
