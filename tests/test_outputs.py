"""Every output of every command, as typed: nothing that is not ours is written over, deleted or cut."""

import hashlib
import json
import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile

from recap_cli.cli.app import main
from recap_cli.outputs import (
    MARKER,
    file_stem,
    is_ablation,
    is_caption,
    is_data_folder,
    is_evaluation,
    is_results,
    score_files,
    split_stem,
)

ROWS = [{"song": "a", "prediction": "a song of love", "references": ["a love song"]}]
PAPER = "model,variant,rouge1,rouge2,rougeL,meteor\nRECAP,Full,1,2,3,4\n"
MANIFEST = '{"id": "a", "audio": "song.wav", "lyrics": "la la", "caption": "a song"}\n'


@pytest.fixture
def world(tmp_path, monkeypatch) -> Path:
    """A stranger's folder with a song, its lyrics, a manifest, captions to score and other work."""
    monkeypatch.chdir(tmp_path)
    soundfile.write("song.wav", [0.1, -0.1] * 8000, 16000)
    for name, text in {
        "song.txt": "la la la\n",
        "songs.jsonl": MANIFEST,
        "p.jsonl": json.dumps(ROWS[0]) + "\n",
        "paper.csv": PAPER,
        "captions.jsonl": '{"my": "work"}\n',
        "dataset.json": '{"my": "work"}',
        "results.jsonl": '{"my": "work"}\n',
        "evaluation.json": '{"my": "work"}',
        "ablation.json": '{"my": "work"}',
        "catalogue.sqlite": "my work",
        "thesis.partial": "my work",
        "baseline.test.jsonl": '{"my": "work"}\n',
        "notes.json": '{"id": "',
    }.items():
        Path(name).write_text(text)
    Path("mels").mkdir()
    Path("mels/voice.safetensors").write_text("damaged, but mine")
    Path("model").mkdir()
    Path("model/config.json").write_text("{}")
    return tmp_path


def state(folder: Path) -> dict[str, str]:
    """What a folder holds: kinds, link targets, sizes and contents."""
    found = {}
    for path in sorted(folder.rglob("*")):
        kind = path.lstat().st_mode
        content = str(path.readlink()) if path.is_symlink() else ""
        if stat.S_ISREG(kind):
            content = hashlib.sha256(path.read_bytes()).hexdigest()
        found[str(path.relative_to(folder))] = f"{stat.S_IFMT(kind)} {content}"
    return found


COMMANDS = {
    "prepare": ("prepare", "songs.jsonl", "--seconds", "1", "--jobs", "1", "--out"),
    "caption": ("caption", "song.wav", "song.txt", "--out"),
    "explain": ("caption", "song.wav", "song.txt", "--explain"),
    "eval": ("eval", "--predictions", "p.jsonl", "--paper", "paper.csv", "--out"),
    "ablate": ("ablate", "model", "--weights", "0.1", "--out"),
}


def refused(capsys, world: Path, *arguments: str) -> str:
    """Runs a command that must be refused in two lines and change nothing; returns the first line."""
    before = state(world)
    capsys.readouterr()
    code = main([*arguments, "-q"])
    out, err = capsys.readouterr()
    assert code in (1, 2) and out == "", (code, out, err)
    assert "Traceback" not in err
    assert [line.split(":")[0] for line in err.splitlines()] == ["recap", "try"], err
    assert state(world) == before
    return err.splitlines()[0]


def plant(kind: str, place: Path) -> Path:
    """Puts something in the place of an output; returns the place."""
    if kind == "pipe":
        os.mkfifo(place)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(str(place))
    elif kind == "dangling link":
        place.symlink_to("nowhere")
    elif kind == "link to work":
        place.symlink_to("notes.json")
    elif kind == "link to a song":
        place.symlink_to("song.wav")
    elif kind == "link to itself":
        place.symlink_to(place.name)
    elif kind == "link to a folder":
        place.symlink_to("model")
    elif kind == "file":
        place.write_text("my work")
    elif kind == "folder":
        place.mkdir()
        (place / "work").write_text("my work")
    elif kind == "device":
        return Path("/dev/null")
    elif kind == "full device":
        return Path("/dev/full")
    elif kind == "below a file":
        return Path("notes.json") / "deep" / place.name
    elif kind == "no folder for all":
        return Path("/proc/self/none") / place.name
    return place


PLANTED = (
    "pipe", "socket", "dangling link", "link to work", "link to a song", "link to itself", "link to a folder", "file",
    "folder", "device", "full device", "below a file", "no folder for all",
)  # fmt: skip


@pytest.mark.parametrize("kind", PLANTED)
@pytest.mark.parametrize("command", COMMANDS)
def test_what_stands_in_the_way_stays(world, capsys, command, kind):
    place = plant(kind, Path("out.png" if command == "explain" else "out"))
    told = refused(capsys, world, *COMMANDS[command], str(place))
    assert str(place) in told


INPUTS = ("song.wav", "song.txt", "songs.jsonl", "p.jsonl", "paper.csv", "model", "model/config.json")


@pytest.mark.parametrize("name", [*INPUTS, ".", "..", "mels", "/", ""])
@pytest.mark.parametrize("command", COMMANDS)
def test_no_input_and_no_folder_of_others_is_an_output(world, capsys, command, name):
    refused(capsys, world, *COMMANDS[command], name)


@pytest.mark.parametrize("spelling", ["./song.wav", "mels/../song.wav", "linked/song.wav", "hard.wav", "soft.wav"])
def test_a_song_is_never_replaced_by_its_caption(world, capsys, spelling):
    Path("linked").symlink_to(".")
    Path("hard.wav").hardlink_to("song.wav")
    Path("soft.wav").symlink_to("song.wav")
    refused(capsys, world, "caption", "song.wav", "song.txt", "--out", spelling)
    refused(capsys, world, "caption", "song.wav", "song.txt", "--model", spelling, "--out", spelling)


def test_picture_and_caption_are_two_files(world, capsys):
    told = refused(capsys, world, "caption", "song.wav", "song.txt", "--out", "a.png", "--explain", "./a.png")
    assert "input" in told


@pytest.mark.parametrize("command", COMMANDS)
def test_a_read_only_place_is_refused_before_any_work(world, capsys, command, monkeypatch):
    monkeypatch.setattr("recap_cli.files.os.access", lambda path, how: how == os.R_OK)  # root may write anywhere
    assert "read-only" in refused(capsys, world, *COMMANDS[command], "new/out.png")


def test_prepare_deletes_nothing_of_others_in_its_own_folder(world, capsys):
    """Partials, shards and a catalogue that are not ours stay where someone put them among our files."""
    assert main([*COMMANDS["prepare"], "data", "-q"]) == 0
    foreign = {"catalogue.sqlite": "mine", "thesis.partial": "mine", "mels/voice.safetensors": "mine"}
    for name, text in foreign.items():
        Path("data", name).write_text(text)
    Path("data/.songs.jsonl.0123456789abcdef.partial").write_text("what a killed run left")
    Path("data/mels/0123456789abcdef.safetensors").write_text("torn by a power cut")
    assert main([*COMMANDS["prepare"], "data", "-q"]) == 0
    assert {name: Path("data", name).read_text() for name in foreign} == foreign
    assert not list(Path("data").rglob("*0123456789abcdef*"))
    capsys.readouterr()


def test_links_in_our_own_folder_are_not_followed(world, capsys):
    assert main([*COMMANDS["prepare"], "data", "-q"]) == 0
    for name in ("songs.jsonl", "dataset.json", "captions.jsonl"):
        Path("data", name).unlink()
        Path("data", name).symlink_to("../notes.json")
    for name in ("songs.partial", "dataset.json.partial", "dataset.partial"):
        Path("data", name).symlink_to("../notes.json")
    before = Path("notes.json").read_bytes()
    assert main([*COMMANDS["prepare"], "data", "-q"]) == 0
    assert Path("notes.json").read_bytes() == before
    assert not Path("data/dataset.json").is_symlink()
    capsys.readouterr()


def test_an_input_in_the_output_folder_is_refused(world, capsys):
    assert main([*COMMANDS["prepare"], "data", "-q"]) == 0
    told = refused(capsys, world, "prepare", "data/songs.jsonl", "--audio", ".", "--out", "data")
    assert "holds an input" in told or "is an input" in told
    assert "holds prepared data, not" in refused(capsys, world, *COMMANDS["eval"], "data")
    assert "holds prepared data, not" in refused(capsys, world, *COMMANDS["ablate"], "data")


def test_what_we_made_is_made_again(world, capsys):
    """The same call twice, also into folders from before there were markers."""
    for command, old in (("prepare", is_data_folder), ("eval", is_evaluation)):
        for again in range(3):
            assert main([*COMMANDS[command], command, "-q"]) == 0
            assert json.loads(Path(command, MARKER).read_text())["holds"]
            if again == 1:
                Path(command, MARKER).unlink()
                assert old(Path(command))
    capsys.readouterr()


@pytest.mark.parametrize("umask", [0o077, 0o027])
def test_modes_follow_the_umask(world, capsys, umask):
    before = os.umask(umask)
    try:
        # On its own: the server that forks decoders keeps the umask of its start.
        subprocess.run([sys.executable, "-m", "recap_cli", *COMMANDS["prepare"], "data", "-q"], check=True)
        assert main([*COMMANDS["eval"], "e", "-q"]) == 0
    finally:
        os.umask(before)
    files = [path for folder in ("data", "e") for path in Path(folder).rglob("*")]
    assert any(path.suffix == ".safetensors" for path in files)
    assert not [path for path in files if path.stat().st_mode & umask]
    capsys.readouterr()


def evaluated(capsys, out: str, *files: str) -> list[str]:
    """Scores files; returns the systems' names."""
    arguments = [part for file in files for part in ("--predictions", file)]
    assert main(["eval", *arguments, "--out", out, "--json", "-q"]) == 0
    return [system["name"] for system in json.loads(capsys.readouterr().out)["systems"]]


LIKE_NAMES = (
    ("sys/a.jsonl", "sys-a.jsonl"),
    ("a/b/x.jsonl", "a-b/x.jsonl", "a/b-x.jsonl"),
    ("one/p.jsonl", "two/p.jsonl", "p.jsonl"),
    ("Case/p.jsonl", "case/p.jsonl", "case/P.jsonl"),
    ("caf\u00e9.jsonl", "cafe\u0301.jsonl"),
    ("a b.jsonl", "a-b.jsonl", "a_b.jsonl", "a.b.jsonl"),
    ("/".join(["a-long-folder-name-of-a-cluster-scratch"] * 7) + "/p.jsonl", "x" * 249 + ".jsonl"),
    ("x" * 120 + "1" + "y" * 120 + ".jsonl", "x" * 120 + "2" + "y" * 120 + ".jsonl"),
    ("\u6771\u4eac.jsonl", "\u4eac\u90fd.jsonl", "\U0001d11e.jsonl"),
    ("..jsonl", "...jsonl", "-.jsonl"),
)


@pytest.mark.parametrize("files", LIKE_NAMES, ids=range(len(LIKE_NAMES)))
def test_systems_of_like_names_keep_their_own_files(world, capsys, files):
    for number, file in enumerate(files):
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        Path(file).write_text(json.dumps({**ROWS[0], "prediction": f"song number {number}"}) + "\n")
    names = evaluated(capsys, "e", *files)
    assert len({name.casefold() for name in names}) == len(files)
    assert all(len(name) <= 60 for name in names)
    written = sorted(path.name for path in Path("e").glob("*.scores.jsonl"))
    assert len({name.casefold() for name in written}) == len(files)
    again = evaluated(capsys, "f", *reversed(files))
    assert len(list(Path("f").glob("*.scores.jsonl"))) == len(set(again)) == len(files)


def test_scores_stand_in_files_called_after_systems(world, capsys):
    """A name that looks like a path, or like nothing, stays in the folder."""
    Path("long/way").mkdir(parents=True)
    Path("long/way/p.jsonl").write_text(json.dumps(ROWS[0]) + "\n")
    named = ["gama_it", "Audio Flamingo", "..", "a\\b:c*?", "\u6771\u4eac", "audio flamingo 2"]
    evaluated(capsys, "e", "long/way/p.jsonl", *(f"{name}=long/way/p.jsonl" for name in named))
    written = {path.name for path in Path("e").glob("*.scores.jsonl")}
    assert {"p.scores.jsonl", "gama_it.scores.jsonl"} < written and len(written) == 7
    assert any(name.startswith("audio-flamingo-2-") for name in written)
    assert not any(mark in name for name in written for mark in "\\:*? ") and not list(Path().glob("*.scores.jsonl"))
    assert score_files(["a", "A", "a", "a/b", "a-b", ""])[0] == "a.scores.jsonl"
    assert len({name.casefold() for name in score_files(["a", "A", "a", "a/b", "a-b", "", "a\n"])}) == 7


def test_file_names_are_short_safe_and_their_own():
    texts = ["a/b", "a-b", "A-B", "a\nb", "a b", "", ".", "..", "-", "x" * 300, "x" * 301, "caf\udce9", "caf\u00e9"]
    stems = [file_stem(text) for text in texts]
    assert len({stem.casefold() for stem in stems}) == len(texts)
    assert all(0 < len(stem.encode()) < 120 and "/" not in stem and not stem.startswith(".") for stem in stems)
    assert split_stem("scores") != "scores" and split_stem("test") == "test"


def test_captions_that_an_evaluation_would_write_over_are_refused(world, capsys):
    evaluated(capsys, "e", "p.jsonl")
    told = refused(capsys, world, "eval", "--predictions", "p.jsonl", "--paper", "e/evaluation.json", "--out", "e")
    assert "would write over" in told
    Path("e/mine.jsonl").write_text(Path("p.jsonl").read_text())
    assert evaluated(capsys, "e", "e/mine.jsonl") == ["mine"]  # captions may be read from where others go
    told = refused(capsys, world, "eval", "model", "--predictions", "e/mine.jsonl", "--data", "model", "--out", "e")
    assert "would write over" in told


def test_only_one_evaluation_at_a_time(world, capsys):
    from recap_cli.outputs import hold_folder

    evaluated(capsys, "e", "p.jsonl")
    for command, holds in (("eval", "an evaluation"), ("prepare", "prepared data")):
        lock = {"lock": "prepare.lock"} if command == "prepare" else {}
        with hold_folder(Path(f"{command}-out"), holds, f"recap {command}", **lock):
            assert f"another recap {command} is working" in refused(capsys, world, *COMMANDS[command], f"{command}-out")


@pytest.mark.parametrize(
    "text",
    ["", "no json", "[]", "{}", '{"recap": 1}', '{"made": {}}', "[" * 100_000, '{"audio": 1}\n', '{"id": "', "\udce9"],
)
def test_foreign_files_of_our_names_make_no_folder_ours(tmp_path, text):
    for name in ("dataset.json", "evaluation.json", "results.jsonl", "x.made.json", "unfinished.json", "caption.json"):
        (tmp_path / name).write_text(text, errors="surrogateescape")
    (tmp_path / "alpha-0-seed-0").mkdir()
    (tmp_path / "alpha-0-seed-0" / "options.json").write_text(text, errors="surrogateescape")
    assert not is_data_folder(tmp_path) and not is_evaluation(tmp_path) and not is_ablation(tmp_path)
    assert not is_caption(tmp_path / "caption.json") and not is_results(tmp_path / "results.jsonl")


def test_one_caption_is_ours_and_a_list_of_them_is_kept(tmp_path):
    record = json.dumps({"audio": "a.ogg", "caption": "x", "captions": ["x"], "recap": "1"}) + "\n"
    for text, ours in ((record, True), (record * 2, False), (record.strip(), True), (record + "notes", False)):
        (tmp_path / "c.json").write_text(text)
        assert is_caption(tmp_path / "c.json") is ours
