"""What the command line and a look at the disk can refuse is refused before torch and transformers are imported."""

import json
import subprocess
import sys

import pytest
from pages import ROOT

from recap_cli.audio.settings import read_place
from recap_cli.errors import OptionError

SONG = str(ROOT / "examples/songs/ode-to-joy.ogg")
LYRICS = str(ROOT / "examples/songs/ode-to-joy.txt")
MODEL = str(ROOT / "recap_cli/data/demo_model")
DATASET = {
    "audio": {}, "fingerprint": "abc", "splits": {"train": 2, "test": 0, "validation": 1}, "source": "songs",
    "recap": "0",
}  # fmt: skip

# The call, its exit code, and what its message names; all in a folder that `place` fills.
REFUSED = [
    ("prepare --jobs -1", 2, "--jobs"),
    ("prepare --seconds 0", 2, "--seconds"),
    ("prepare --excerpt 1:75", 2, "--excerpt"),
    ("prepare --shard 9/8", 2, "--shard"),
    ("prepare none.csv", 1, "none.csv"),
    ("prepare notes.txt", 1, "notes.txt"),
    ("prepare music --layout manifest", 2, "--layout"),
    ("prepare music --split-file none.csv", 1, "none.csv"),
    ("prepare music --audio none", 1, "none"),
    ("prepare music --out music", 2, "--out"),
    ("prepare music --out full", 2, "--out"),
    ("prepare --variant positive", 2, "--variant"),
    ("train --lr 0", 2, "--lr"),
    ("train --recipe big", 2, "--recipe"),
    ("train --optimizer adam", 2, "--optimizer"),
    ("train --schedule up", 2, "--schedule"),
    ("train --fusion-layers a", 2, "--fusion-layers"),
    ("train none", 1, "none"),
    ("train music", 1, "music"),
    ("train notes.txt", 1, "notes.txt"),
    ("train data", 1, "music encoder"),
    ("train data --music-encoder none.pth", 1, "none.pth"),
    ("train data --music-encoder music", 1, "music"),
    ("train data --recipe tiny --init none", 1, "none"),
    ("train data --recipe tiny --init music", 1, "config.json"),
    ("train data --recipe tiny --init hf://one", 1, "hf://one"),
    ("train data --init demo_model --music-encoder notes.txt", 2, "--init"),
    ("train data --init a --bart b", 2, "--bart"),
    ("train data --recipe tiny --bart none", 1, "none"),
    ("train data --recipe tiny --out full", 2, "--out"),
    ("train data --recipe tiny --out data", 2, "--out"),
    ("train data --recipe tiny --out new --resume", 2, "--resume"),
    ("train data --recipe tiny --device mps", 2, "--device"),
    ("caption none.ogg", 1, "none.ogg"),
    ("caption music --beams 0", 2, "--beams"),
    ("caption SONG --excerpt end", 2, "--excerpt"),
    ("caption SONG LYRICS --model none", 1, "none"),
    ("caption SONG LYRICS --model music", 1, "config.json"),
    ("caption SONG LYRICS --model none.pt", 1, "none.pt"),
    ("caption SONG LYRICS --model notes.txt --bart none", 1, "none"),
    ("caption SONG LYRICS --model notes.txt --music-encoder none.pth", 1, "none.pth"),
    ("caption SONG LYRICS --model MODEL --music-encoder notes.txt", 2, "--music-encoder"),
    ("caption SONG LYRICS --explain map.gif", 2, "map.gif"),
    ("caption SONG LYRICS --out notes.txt", 2, "notes.txt"),
    ("caption SONG LYRICS --device mps", 2, "--device"),
    ("eval --protocol f2", 2, "--protocol"),
    ("eval none", 1, "none"),
    ("eval music", 1, "config.json"),
    ("eval --predictions none.csv", 1, "none.csv"),
    ("eval --predictions music", 1, "music"),
    ("eval MODEL --data none", 1, "none"),
    ("eval MODEL --data data --split test", 1, "test"),
    ("eval MODEL --data data --split validation --paper none.csv", 1, "none.csv"),
    ("eval MODEL --out full", 2, "--out"),
    ("ablate --weights a", 2, "--weights"),
    ("ablate --weights 0.1,0.1", 2, "0.1"),
    ("ablate --epochs 0", 2, "--epochs"),
    ("ablate none", 1, "none"),
    ("ablate data --split test", 1, "test"),
    ("ablate data --split train", 1, "music encoder"),
    ("ablate data --split train --music-encoder none.pth", 1, "none.pth"),
    ("ablate --out full", 2, "--out"),
]  # fmt: skip

SCRIPT = """
import contextlib, io, json, sys
from recap_cli.cli.app import main
for call in json.load(sys.stdin):
    told = io.StringIO()
    with contextlib.redirect_stderr(told):
        code = main(call)
    print(json.dumps([code, told.getvalue(), [name for name in ("torch", "transformers") if name in sys.modules]]))
"""


@pytest.fixture(scope="module")
def answers(tmp_path_factory) -> dict[str, tuple[int, str, list[str]]]:
    """All calls in one process of its own: exit code, stderr, and what heavy was imported by then."""
    place = tmp_path_factory.mktemp("place")
    for folder in ("music", "full", "data"):
        (place / folder).mkdir()
    for file in ("notes.txt", "music/song.wav", "full/mine.txt"):
        (place / file).write_text("la la")
    (place / "data/dataset.json").write_text(json.dumps(DATASET))
    paths = {"SONG": SONG, "LYRICS": LYRICS, "MODEL": MODEL}
    calls = [[paths.get(word, word) for word in call.split()] for call, _, _ in REFUSED]
    before = sorted(place.rglob("*"))
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=place, input=json.dumps(calls), capture_output=True, text=True, check=True
    )
    assert sorted(place.rglob("*")) == before, "a refused command wrote something"
    return dict(zip((call for call, _, _ in REFUSED), map(json.loads, done.stdout.splitlines()), strict=True))


@pytest.mark.parametrize(("call", "code", "named"), REFUSED)
def test_refused_before_anything_heavy_is_imported(answers, call, code, named):
    given, told, heavy = answers[call]
    message, hint = [line for line in told.splitlines() if not line.startswith("Reading ")]
    assert (given, heavy) == (code, []), told
    assert message.startswith("recap: ") and named in message, told
    assert hint.startswith("try: ") and len(hint) > len("try: "), told


def test_no_hint_sends_output_into_a_folder_of_songs(answers):
    told = answers["train music"][1]
    assert "recap prepare music --out music-data" in told  # there is a folder data, of other songs


@pytest.mark.parametrize(
    ("told", "seconds"),
    [("90", 90), ("90s", 90), ("1:30", 90), ("0:45", 45), ("1:02:03", 3723), ("0:07.5", 7.5), ("75:00", 4500)],
)  # fmt: skip
def test_excerpts_are_told_as_people_tell_times(told, seconds):
    assert read_place(told) == seconds


@pytest.mark.parametrize("told", ["1:75", ":30", "1:", "1:2:3:4", "s", "-1", "nan", "1e10", "end", "1;30", ""])
def test_what_is_no_time_is_refused(told):
    with pytest.raises(OptionError, match="--excerpt"):
        read_place(told)
