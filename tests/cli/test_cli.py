"""The `recap` command: exit codes, two lines for what went wrong, data on stdout, everything else on stderr."""

import io
import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import soundfile
from make_runs import SONGS as SCORES
from make_runs import ZERO, aligned, run
from schemas import check_document

from recap_cli import __version__
from recap_cli.ablation.results import summarise
from recap_cli.cli.app import main
from recap_cli.errors import ModelError, RecapError
from recap_cli.evaluation.options import CaseChoice
from recap_cli.report.recipes import recipe_screen

ROOT = Path(__file__).parents[2]
SONGS = ROOT / "examples" / "songs"
ODE = SONGS / "ode-to-joy.ogg"
DEMO = ("--model", "demo")
DEMO_NOTE = "--model demo: a demonstration on made-up songs. It does not understand real ones."
NO_LYRICS = "warning: no lyrics: the caption comes from the music alone (--instrumental says there are none)"
VERBS = ("prepare", "train", "caption", "eval", "ablate")


def tone(path: Path, hertz: float = 330.0, seconds: float = 8.0, rate: int = 16000, channels: int = 1) -> Path:
    time = np.arange(round(seconds * rate)) / rate
    wave = 0.4 * np.sin(2 * np.pi * hertz * time * (1 + time))
    soundfile.write(path, np.repeat(wave[:, None], channels, axis=1), rate)
    return path


def start(*arguments: str | Path, **more) -> subprocess.Popen:
    """The real command in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **more.pop("env", {})}
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more}
    return subprocess.Popen([sys.executable, "-m", "recap_cli", *map(str, arguments)], env=environment, **streams)


@pytest.fixture
def recap(capsys):
    """Run the command in this process; give its exit code, stdout, and the lines of stderr."""

    def run(*arguments: str | Path) -> tuple[int, str, list[str]]:
        code = main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return code, out, [line for line in err.splitlines() if "Loading weights" not in line]

    return run


@pytest.fixture
def refused(recap):
    """Run a command that fails; give its two lines."""

    def run(*arguments: str | Path) -> tuple[str, str]:
        code, out, err = recap(*arguments)
        assert code in (1, 2) and (out, len(err)) == ("", 2), (code, out, err)
        assert err[0].startswith("recap: ") and err[1].startswith("try: ")
        return err[0].removeprefix("recap: "), err[1].removeprefix("try: ")

    return run


@pytest.fixture
def song(tmp_path) -> Path:
    return tone(tmp_path / "song.wav")


# help and usage -------------------------------------------------------------------------------------------------------


def test_help_loads_nothing_heavy():
    script = f"""
import sys
from recap_cli.cli.app import main
for arguments in (["--help"], ["-h"], ["--version"], *([verb, "--help"] for verb in {VERBS!r})):
    assert main(arguments) == 0, arguments
heavy = {{"torch", "transformers", "numba", "nltk", "numpy", "matplotlib", "soundfile"}} & set(sys.modules)
assert not heavy, heavy
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    for word in (*VERBS, "--alpha", "--recipes", "--instrumental", "--protocol", "--weights", "--max-rejected"):
        assert word in done.stdout, word


def test_version(recap):
    assert recap("--version") == (0, f"recap {__version__}\n", [])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["caption"], "missing argument"),
        (["caption", "--nope", "x.wav"], "no such option: --nope"),
        (["frobnicate"], "no such command 'frobnicate'"),
        (["train", "--epochs", "many"], "--epochs many is not a number"),
        (["prepare", "a", "b"], "unexpected extra argument"),
        (["eval", "--data"], "option '--data' requires an argument"),
        (["ablate", "--seeds", "1.5"], "--seeds 1.5 is not a whole number"),
        (["ablate", "--weights", "0,02"], "--weights 0,02 are not numbers"),  # a decimal comma
        (["train", "--alpha", "0,02"], "--alpha 0,02 is not a number"),
        (["version"], "no such command 'version'"),
    ],
)
def test_usage(recap, arguments, message):
    code, out, err = recap(*arguments)
    assert (code, out, len(err)) == (2, "", 2)
    assert err[0].startswith("recap: ") and message in err[0]
    assert err[1].startswith("try: ")


def test_no_arguments_are_answered_with_help(recap):
    code, out, err = recap()
    assert code == 2 and not any(line.startswith(("recap:", "try:")) for line in err)
    assert "caption" in out + "\n".join(err)


def test_recipes(recap):
    code, out, err = recap("train", "--recipes")
    assert (code, err) == (0, [])
    rows = [[cell.strip() for cell in row.strip("│").split("│")] for row in out.splitlines() if row.startswith("│")]
    assert rows == recipe_screen().rows


# what went wrong ------------------------------------------------------------------------------------------------------


def test_audio_and_lyrics_that_cannot_be_used(refused, song, tiny_run, tmp_path):
    model = ("--model", tiny_run)
    missing = tmp_path / "missing.wav"
    assert refused("caption", missing) == (f"no audio at {missing}", "check the path")
    (tmp_path / "empty").mkdir()
    message, hint = refused("caption", tmp_path / "empty", *model)
    assert message == f"{tmp_path / 'empty'} holds no songs"
    assert hint.startswith("looked for audio files: ")
    (tmp_path / "text.wav").write_text("these are words")
    message, _ = refused("caption", tmp_path / "text.wav", *model)
    assert message == f"{tmp_path / 'text.wav'} is not audio that can be decoded"
    message, hint = refused("caption", song, tmp_path / "no.txt", *model)
    assert message == f"{tmp_path / 'no.txt'} cannot be read: No such file or directory"
    assert hint == "check the path of the lyrics file"
    (tmp_path / "binary.txt").write_bytes(bytes(range(256)) * 4)
    message, hint = refused("caption", song, tmp_path / "binary.txt", *model)
    assert message == f"{tmp_path / 'binary.txt'} is not text that can be read: it holds null characters"
    message, _ = refused("caption", tmp_path / "empty", tmp_path / "no.txt", *model)
    assert message == f"{tmp_path / 'empty'} stands for many songs, so one LYRICS does not fit"
    message, _ = refused("caption", song, *model, "--excerpt", "chorus")
    assert message == "--excerpt chorus is no place in a song"
    message, _ = refused("caption", song, *model, "--beams", "0")
    assert message == "--beams 0 is not possible"


def test_models_that_cannot_be_used(refused, song, tmp_path):
    from transformers import BartConfig, BartForConditionalGeneration

    message, _ = refused("caption", song, "--model", tmp_path / "nothing")
    assert str(tmp_path / "nothing") in message
    (tmp_path / "folder").mkdir()
    assert refused("caption", song, "--model", tmp_path / "folder") == (
        f"--model: {tmp_path / 'folder'} holds no model: it has no config.json",
        "name a run folder of recap train",
    )
    sizes = {"d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2, "vocab_size": 50}
    BartForConditionalGeneration(BartConfig(**sizes)).save_pretrained(tmp_path / "bart")
    message, hint = refused("caption", song, "--model", tmp_path / "bart")
    assert message == f"--model: {tmp_path / 'bart'} holds a BART, not a run of recap train"
    assert hint == f"train one from it: recap train --bart {tmp_path / 'bart'}"
    message, _ = refused("caption", song, "--model", tmp_path / "model_3.pt")
    assert message == f"--model: no file {tmp_path / 'model_3.pt'}"
    message, _ = refused("caption", song, "--quiet", "--device", "abacus")
    assert message == "--device abacus is not known"


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ("abc", "--weights abc are not numbers"),
        ("1e-3,,x", "--weights 1e-3,,x are not numbers"),
        ("-0.5", "--weights -0.5 is not possible"),
        ("nan", "--weights nan is not possible"),
        ("0.1,1e-1", "--weights names 0.1 twice"),
        ("", "--weights names no weight"),
    ],
)
def test_weights(refused, tiny_data, weights, message):
    assert refused("ablate", tiny_data.folder, "--weights", weights)[0] == message


@pytest.mark.parametrize("layers", ["a,b", "1.5"])
def test_layers_to_align(refused, tiny_data, layers):
    message, _ = refused("ablate", tiny_data.folder, "--weights", "0.1", "--align-layers", layers)
    assert message == f"--align-layers {layers} are not whole numbers"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--alpha", "-1"), "--alpha -1 is not possible"),
        (("--alpha", "nan"), "--alpha nan is not possible"),
        (("--fusion-layers", "9"), "--fusion-layers 9 is out of range"),
        (("--fusion-layers", "a,b"), "--fusion-layers a,b are not whole numbers"),
        (
            ("--align-layer", "2"),
            "--align-layer 2 lies behind fusion layer 1, where music has leaked into the lyrics",
        ),
        (("--align-layer", "5"), "--align-layer 5 is out of range"),
        (("--recipe", "large"), "--recipe large is not known"),
        (("--lr", "0"), "--lr 0 is not possible"),
    ],
)
def test_impossible_settings(refused, tiny_data, tmp_path, flags, message):
    """They are found before any work, and leave the run's folder free."""
    assert refused("train", tiny_data.folder, "--out", tmp_path / "run", *flags)[0] == message
    assert not (tmp_path / "run").exists()


def test_data_and_runs_that_cannot_be_used(refused, tiny_data, tiny_run, tmp_path):
    (tmp_path / "half" / "mels").mkdir(parents=True)
    half = tmp_path / "half"
    for command in (("train", half), ("eval", tiny_run, "--data", half), ("ablate", half)):
        assert refused(*command) == (
            f"{half} was not finished: it has no dataset.json",
            f"resume it: the same recap prepare command again, with --out {half}",
        )
    nowhere = tmp_path / "nowhere"
    assert refused("train", nowhere) == (
        f"no data folder {nowhere}",
        f"check the path, or make it: recap prepare SONGS --out {nowhere}",
    )
    assert refused("eval", tiny_run, "--data", tiny_data.folder, "--split", "hidden") == (
        f"{tiny_data.folder} has no songs in split 'hidden'",
        "its splits are test, train, unseen, validation",
    )
    message, hint = refused("train", tiny_data.folder, "--out", tiny_run, "--lr", "0.5")
    assert message.startswith(f"{tiny_run} holds a run with other settings (") and "lr" in message
    assert hint == "choose another folder with --out"
    shutil.copytree(tiny_data.folder, tmp_path / "data")
    info = json.loads((tmp_path / "data" / "dataset.json").read_text())
    info["audio"]["resampler"] = "soxr"
    (tmp_path / "data" / "dataset.json").write_text(json.dumps(info))
    message, _ = refused("eval", tiny_run, "--data", tmp_path / "data", "--quiet")
    assert message == f"{tiny_run} was trained on audio prepared in another way than {tmp_path / 'data'}"
    message, _ = refused("prepare", tmp_path / "songs.xls", "--out", tmp_path / "new")
    assert message == f"no corpus at {tmp_path / 'songs.xls'}"


def test_messages_stay_on_their_line(refused, tmp_path, monkeypatch):
    def fail(*arguments):
        raise RecapError("one\ntwo\x1b[31m\tthree")

    monkeypatch.setattr("recap_cli.preparation.prepare.prepare", fail)
    assert refused("prepare", tmp_path) == ("one two\\x1b[31m three", "recap COMMAND --help")


def test_bugs_keep_their_traceback(monkeypatch):
    def fail(*arguments):
        raise ZeroDivisionError

    monkeypatch.setattr("recap_cli.preparation.prepare.prepare", fail)
    with pytest.raises(ZeroDivisionError):
        main(["prepare", "."])


def test_an_interruption(recap, monkeypatch, tmp_path):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("recap_cli.preparation.prepare.prepare", interrupt)
    code, out, err = recap("prepare", tmp_path)
    assert (code, out) == (130, "")
    assert err == ["", "interrupted; start the same command again to resume"]


def test_control_c_and_on_again(tmp_path):
    """Sent to the whole process group, as a terminal does; what was prepared is kept."""
    call = ("prepare", "--limit", "1000", "--jobs", "2", "--out", tmp_path / "data")
    # a shell's background job ignores SIGINT and its children inherit that
    heed = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    process = start(*call, start_new_session=True, text=True, preexec_fn=heed)
    for line in process.stderr:
        if line.startswith("Preparing"):
            break
    try:
        process.wait(1.5)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=300)
    assert (process.returncode, out) == (130, "")
    assert err == "\ninterrupted; start the same command again to resume\n"
    assert not (tmp_path / "data" / "dataset.json").exists()


# captions -------------------------------------------------------------------------------------------------------------


def test_a_piped_caption_is_bare(recap):
    """One line on stdout in a process of its own, and the same again in this one.

    At 16 kHz nothing is imported that only other files or commands need.
    """
    process = start("caption", ODE, *DEMO, env={"COLUMNS": "40", "PYTHONPROFILEIMPORTTIME": "1"})
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0
    lines = err.decode().splitlines()
    imported = {line.rpartition("|")[2].strip() for line in lines if line.startswith("import time:")}
    assert "torch" in imported
    assert not imported & {"numba", "resampy", "nltk", "sacrebleu", "rouge_score", "matplotlib"}
    assert [line for line in lines if not line.startswith("import time:")] == [DEMO_NOTE]
    assert re.fullmatch(r"[^\n]{60,}\n", out.decode())
    assert recap("caption", ODE, *DEMO) == (0, out.decode(), [DEMO_NOTE])
    assert recap("caption", ODE, *DEMO, "--quiet") == (0, out.decode(), [])


def test_lyrics_of_all_kinds(recap, song, tmp_path, monkeypatch):
    """Beside, named, from stdin, empty, none, Chinese: a caption each, and a word where none were read."""
    code, bare, err = recap("caption", song, *DEMO)
    assert (code, err) == (0, [DEMO_NOTE, NO_LYRICS])
    assert bare.strip()
    (tmp_path / "empty.txt").write_text("")
    assert recap("caption", song, tmp_path / "empty.txt", *DEMO) == (0, bare, [DEMO_NOTE, NO_LYRICS])
    assert recap("caption", song, *DEMO, "--instrumental") == (0, bare, [DEMO_NOTE])
    (tmp_path / "chinese.txt").write_text("雨落在河上\n我独自歌唱\n", encoding="utf-8")
    code, out, err = recap("caption", song, tmp_path / "chinese.txt", *DEMO, "--quiet")
    assert (code, err) == (0, [])
    assert out.strip()
    words = (SONGS / "scarborough-fair.txt").read_text()
    code, named, err = recap("caption", song, SONGS / "scarborough-fair.txt", *DEMO, "-q")
    assert (code, err) == (0, [])
    assert named != bare
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(words.encode())))
    assert recap("caption", song, "-", *DEMO, "-q") == (0, named, [])
    song.with_suffix(".txt").write_text(words)
    assert recap("caption", song, *DEMO, "-q") == (0, named, [])


def test_audio_of_all_kinds(recap, tmp_path):
    short = tone(tmp_path / "short.wav", seconds=0.2)
    code, out, err = recap("caption", short, *DEMO, "--instrumental", "-q")
    assert (code, err) == (0, ["warning: very short: 0.20 s of audio"])
    assert out.strip()
    many = tone(tmp_path / "many.wav", seconds=1.5, rate=192_000, channels=6)
    code, out, err = recap("caption", many, *DEMO, "--instrumental", "-q")
    assert (code, err) == (0, ["warning: short: the excerpt has less than half of the 15 s that the model can hear"])
    assert out.strip()
    one = tone(tmp_path / "one.wav", seconds=1.5, rate=192_000)
    assert recap("caption", one, *DEMO, "--instrumental", "-q")[1] == out  # the mean of equal channels


def test_json(recap):
    code, out, err = recap("caption", ODE, *DEMO, "--json", "-q")
    assert (code, err) == (0, [])
    record = json.loads(out)
    check_document("caption", record)
    assert record["audio"] == str(ODE)
    assert record["model"] == "demo"
    assert record["excerpt"]["start_seconds"] == 0.0
    assert (record["id"], record["schema"]) == (str(ODE), 1)
    assert record["settings"] == {
        "beams": 4,
        "sample": False,
        "top_p": 1.0,
        "num_captions": 1,
        "max_caption_tokens": 128,
        "forced_eos_token_id": 2,
        "no_repeat_ngram": 0,
        "seed": 0,
        "batch_size": 32,
        "min_caption_tokens": 0,
        "excerpt": "start",
    }
    assert len(record["captions"]) == len(record["scores"]) == 1
    assert record["caption"] == record["captions"][0]
    assert len(record["weights"]) == 12 and record["recap"] == __version__
    assert recap("caption", ODE, *DEMO, "--json", "-q") == (0, out, [])


def test_an_explained_caption(recap, refused, tmp_path):
    code, out, err = recap("caption", ODE, *DEMO, "--explain", tmp_path / "map.svg", "--json")
    assert code == 0 and err[-1] == f"Written: {tmp_path / 'map.svg'}"
    assert err[-4].startswith("factory → “my father's toolbox") and err[-4].endswith("2.4 times the average look")
    record = json.loads(out)
    lines = (SONGS / "ode-to-joy.txt").read_text().splitlines()
    assert record["explanation"]["lyrics"]["lines"] == [line for line in lines if line.strip()]
    assert record["explanation"]["words"] == record["caption"].split()
    picture = (tmp_path / "map.svg").read_text()
    assert "time in the song" in picture and record["caption"].split()[-1] in picture
    assert refused("caption", SONGS, *DEMO, "--explain", tmp_path / "x.png", "-q")[1] == "name one audio file"


def test_a_folder_is_planned_captioned_and_gone_on_with(recap, refused, tmp_path):
    out = tmp_path / "captions.jsonl"
    code, plan, err = recap("caption", SONGS, *DEMO, "--out", out, "--dry-run", "--json", "-q")
    assert (code, err, json.loads(plan)["songs"], out.exists()) == (0, [], 3, False)
    check_document("caption", json.loads(plan))
    assert "songs an hour" in recap("caption", SONGS, *DEMO, "--dry-run", "-q")[1]
    assert recap("caption", SONGS, *DEMO, "--out", out, "--limit", "2", "-q") == (0, "", [])
    before = out.read_text()
    code, shown, err = recap("caption", SONGS, *DEMO, "--out", out)
    assert (code, shown, err[-1]) == (0, "", f"Captioned 1 song in {out}, 2 done before.")
    assert out.read_text().startswith(before)
    assert len(out.read_text().splitlines()) == 3
    message, _ = refused("caption", SONGS, *DEMO, "--out", out, "--beams", "1", "-q")
    assert message.endswith("holds captions that were made in another way: beams 4, now 1")


def test_several_captions(recap):
    code, out, _ = recap("caption", ODE, *DEMO, "-q", "--num-captions", "3")
    assert (code, len(set(out.splitlines()))) == (0, 3)
    drawn = [
        recap("caption", ODE, *DEMO, "-q", "--sample", "--beams", "1", "--seed", seed)[1]
        for seed in ("0", "0", "1", "2")
    ]
    assert drawn[0] == drawn[1]
    assert len(set(drawn)) > 1


def test_a_folder_with_a_bad_song(recap, tmp_path):
    folder = tmp_path / "songs"
    folder.mkdir()
    for name in ("ode-to-joy.ogg", "ode-to-joy.txt"):
        shutil.copy(SONGS / name, folder)
    (folder / "bad.wav").write_text("no audio")
    code, out, err = recap("caption", folder, *DEMO, "-q")
    assert code == 1
    bad, good = (json.loads(line) for line in out.splitlines())
    reason = f"{folder / 'bad.wav'} is not audio that can be decoded"
    assert (bad["error"], bad["captions"]) == (reason, [])
    assert err == ["warning: 1 song failed:", f"warning: {reason}"]
    assert good["captions"][0] + "\n" == recap("caption", ODE, *DEMO, "-q")[1]
    code, out, err = recap("caption", folder, *DEMO, "-q", "--out", tmp_path / "new" / "captions.jsonl")
    assert (code, out, len(err)) == (1, "", 2)
    lines = (tmp_path / "new" / "captions.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [bad, good]


def test_a_reader_that_leaves(forker, tmp_path):
    """As in `recap caption folder | head -1`: quiet, no traceback, no hanging."""
    theirs, ours = os.pipe()
    with os.fdopen(ours, "wb") as ours, (tmp_path / "err").open("wb") as err:
        process = forker.start("caption", SONGS, *DEMO, "-q", stdout=ours, stderr=err)
    os.close(theirs)
    assert process.wait() in (0, 1)
    assert (tmp_path / "err").read_text() == ""


def test_a_terminal_of_forty_columns(recap, forker, tmp_path):
    """A panel that fits, without colours, and nothing cut off."""
    ours, theirs = pty.openpty()
    environment = {"COLUMNS": "40", "NO_COLOR": "1", "TERM": "xterm-256color"}
    with os.fdopen(theirs, "wb") as theirs, (tmp_path / "err").open("wb") as err:
        process = forker.start("caption", ODE, *DEMO, stdout=theirs, stderr=err, env=environment)
    screen = b""
    while True:
        try:
            screen += os.read(ours, 65536)
        except OSError:  # the other side is closed
            break
    os.close(ours)
    assert process.wait() == 0
    assert (tmp_path / "err").read_text() == DEMO_NOTE + "\n"
    assert not re.search(rb"\x1b\[[0-9;]*3[0-7]m", screen)
    lines = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", screen.decode()).splitlines()
    assert max(map(len, lines)) <= 40
    assert lines[0].startswith("╭") and lines[-1].startswith("╰")
    words = " ".join(line.strip("│ ") for line in lines[1:-1])
    assert " ".join(recap("caption", ODE, *DEMO, "-q")[1].split()) in " ".join(words.split())


# what is used when nothing is named -----------------------------------------------------------------------------------


class StopError(RecapError):
    """Ends a command after its announcements."""


@pytest.fixture
def stop(monkeypatch):
    """Let a workflow fail at once, and keep the options it was called with."""
    calls = []

    def fail(options, *rest):
        calls.append(options)
        raise StopError("stop", "stop")

    for verb in ("preparation.prepare", "training.train", "evaluation.evaluate", "ablation.ablate"):
        name = verb.partition(".")[2]
        monkeypatch.setattr(f"recap_cli.{verb}.{name}", fail)
        monkeypatch.setattr(f"recap_cli.cli.commands.check_{name}", lambda *arguments: None)  # nothing named is there
    return calls


END = ["recap: stop", "try: stop"]


def test_prepare_without_a_source(recap, stop):
    _, _, err = recap("prepare", "--seed", "3", "--difficulty", "hard")
    assert err == ["No SOURCE: making the hard demo corpus, songs rendered in code from seed 3.", *END]
    assert recap("prepare", "songs.csv")[2] == END
    assert recap("prepare", "-q")[2] == END
    assert (stop[0].source, stop[0].out, stop[0].seed) == (None, Path("data"), 3)


@pytest.mark.parametrize("verb", ["train", "eval", "ablate"])
def test_commands_without_data(recap, stop, verb, tmp_path, monkeypatch, tiny_data):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RECAP_CACHE", str(tmp_path / "cache"))
    arguments = (verb, "run") if verb == "eval" else (verb,)
    told = f"No DATA: using the demo corpus, made-up songs, in {tmp_path / 'cache' / 'demo-easy'}"
    assert recap(*arguments)[2] == [f"{told}.", *END]
    assert recap(*arguments, "--limit", "9")[2] == [f"{told}-limit-9.", *END]
    Path("data").symlink_to(tiny_data.folder)
    assert recap(*arguments)[2] == ["No DATA: using ./data.", *END]
    assert stop[-1].data == Path("data")
    assert recap(*arguments, "--quiet")[2] == END


def test_eval_without_a_run(recap, stop, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert recap("eval", "--data", "x")[2] == ["No RUN: scoring the embedded model.", *END]
    assert stop[-1].runs == ()
    (tmp_path / "runs" / "new").mkdir(parents=True)
    (tmp_path / "runs" / "new" / "figures.json").write_text("{}")
    assert recap("eval", "--data", "x")[2] == ["No RUN: scoring runs/new.", *END]
    assert stop[-1].runs == (Path("runs/new"),)


def test_flags_reach_the_options(recap, stop, tiny_data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a training holds its folder
    data = tiny_data.folder
    flags = ("--fusion-layers", "0,2", "--no-music", "--seed", "4", "--best-by", "meteor")
    recap("train", str(data), "--alpha", "0.5", *flags)
    options = stop[-1]
    assert (options.alpha, options.fusion_layers, options.no_music, options.seed) == (0.5, (0, 2), True, 4)
    assert (options.best_by, options.recipe, options.lr, options.data) == ("meteor", None, None, data)
    recap("ablate", "d", "--weights", "1e-3, 2e-2,1e-1", "--seeds", "2", "--epochs", "3", "--split", "unseen")
    options = stop[-1]
    assert (options.losses, options.align_layers, options.baselines, options.jobs) == ((), (), (), None)
    assert (options.weights, options.seeds, options.split) == ((0.001, 0.02, 0.1), 2, "unseen")
    assert options.train == {"epochs": 3.0}
    recap(
        "ablate", "d", "--alignment-losses", "positive, infonce", "--align-layers", "0,1", "--baselines", "--jobs", "3"
    )
    options = stop[-1]
    assert (options.weights, options.losses, options.align_layers) == (
        (0.001, 0.02, 0.1), ("positive", "infonce"), (0, 1)
    )  # fmt: skip
    assert (options.baselines, options.jobs) == (("bart", "constant-music", "shuffled-music", "fusion"), 3)
    recap("eval", "a", "b", "--data", "d", "--protocol", "published", "--beams", "2", "--limit", "5")
    options = stop[-1]
    assert (options.runs, options.protocol, options.limit) == ((Path("a"), Path("b")), "published", 5)
    assert (options.decoding.beams, options.controls, options.alignment) == (2, False, False)
    files = ("--predictions", "a.csv", "--predictions", "b.csv")
    recap("eval", *files, "--cases", "a,b,3", "--paper", "p.csv", "--out", "o")
    options = stop[-1]
    assert (options.data, options.runs, options.predictions) == (None, (), (Path("a.csv"), Path("b.csv")))
    assert (options.cases, options.paper, options.out) == (CaseChoice(3, ("a", "b")), Path("p.csv"), Path("o"))
    recap("eval", "a", "--data", "d", "--predictions", "b.csv", "--controls", "--alignment")
    options = stop[-1]
    assert (options.runs, options.predictions, options.controls) == ((Path("a"),), (Path("b.csv"),), True)
    recap("prepare", "s.csv", "--precision", "fp32", "--jobs", "3", "--max-rejected", "0.5", "--strict")
    options = stop[-1]
    assert (options.precision, options.jobs, options.max_rejected, options.strict) == ("fp32", 3, 0.5, True)


# results --------------------------------------------------------------------------------------------------------------


def test_eval(recap, tiny_data, tiny_run, tmp_path):
    call = ("eval", tiny_run, "--data", tiny_data.folder, "--limit", "2", "--beams", "1", "-q", "--out", tmp_path)
    code, out, err = recap(*call)
    assert (code, err) == (0, [])
    assert "ROUGE-L F1" in out and "best of 5 references" not in out
    out = recap(*call, "--details")[1]
    assert "2 songs of split test, protocol f1" in out and "best of 5 references" in out
    code, out, err = recap(*call, "--json")
    assert (code, err) == (0, [])
    assert json.loads(out)["systems"][0]["songs"] == 2
    check_document("eval", json.loads(out))


def test_train_and_train_again(recap, tiny_data, tmp_path):
    call = ("train", tiny_data.folder, "--limit", "4", "--epochs", "1", "--max-caption-tokens", "8", "-q")
    call = (*call, "--out", tmp_path / "run")
    code, out, err = recap(*call)
    assert code == 0 and all(line.startswith(("warning: the vectors", "warning: its caption")) for line in err)
    assert "caption loss" in out and "validation took" in out
    assert "# run\n" in (tmp_path / "run" / "README.md").read_text()
    code, again, err = recap(*call)
    assert (code, err) == (0, [])
    assert "Trained before:" in again
    (tmp_path / "run" / "README.md").unlink()  # as a kill just before it would have it
    code, out, _ = recap(*call, "--json")
    assert json.loads(out)["run"] == str(tmp_path / "run")
    check_document("train", json.loads(out))
    assert "# run\n" in (tmp_path / "run" / "README.md").read_text()


def test_ablate(recap, tmp_path, monkeypatch):
    records = [run(ZERO, 0, SCORES), run(aligned(0.02), 0, SCORES)]
    result = summarise(records, {}, tmp_path)
    monkeypatch.setattr("recap_cli.ablation.ablate.ablate", lambda *arguments: result)
    monkeypatch.setattr("recap_cli.cli.commands.check_ablate", lambda *arguments: None)
    code, out, err = recap("ablate", "d", "--weights", "2e-2")
    assert code == 0
    assert "one seed: no claim" in out
    assert "alpha 0.02, positive" in out and "ROUGE-L F1" in out
    assert err == [f"Figure: {tmp_path / 'figure2.png'}, {tmp_path / 'figure2.svg'}"]
    code, out, err = recap("ablate", "d", "--weights", "2e-2", "--json")
    assert [one["condition"]["alpha"] for one in json.loads(out)["conditions"]] == [0.0, 0.02]
    check_document("ablate", json.loads(out))
    result.failed["alpha 0.1, seed 0"] = ModelError("the loss is nan").message
    code, out, err = recap("ablate", "d", "--weights", "2e-2", "-q")
    assert code == 1
    assert "one seed: no claim" in out  # what succeeded is shown
    assert err == [
        "recap: 1 runs failed: alpha 0.1, seed 0: the loss is nan",
        "try: start the same command again to resume",
    ]
