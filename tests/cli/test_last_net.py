"""The last net: whatever the machine refuses becomes two lines and exit code 1, and bugs keep their traceback."""

import errno
import io
import json
import os
import pty
import pwd
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from recap_cli import surroundings
from recap_cli.cli.app import main
from recap_cli.cli.console import SafeConsole, stderr_console
from recap_cli.cli.failures import NET, explain_failure
from recap_cli.progress import Table
from recap_cli.report.drawing import draw

ROOT = Path(__file__).parents[2]
ODE = ROOT / "examples" / "songs" / "ode-to-joy.ogg"
BAD_BYTES = b"caf\xe9.ogg".decode("utf-8", "surrogateescape")


@pytest.fixture
def refused(capfd):
    """Run a command that fails; give its two lines."""

    def run(*arguments) -> tuple[str, str]:
        code = main([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        lines = [
            line for line in err.splitlines() if not line.startswith(("No ", "Reading ", "Preparing ", "warning: "))
        ]
        assert code in (1, 2) and (out, len(lines)) == ("", 2), (code, out, err)
        assert lines[0].startswith("recap: ") and lines[1].startswith("try: ")
        assert err.isprintable() or set(re.sub(r"[^\x00-\x1f\x7f-\x9f\u202e\ud800-\udfff]", "", err)) == {"\n"}
        return lines[0].removeprefix("recap: "), lines[1].removeprefix("try: ")

    return run


def command(*arguments: str, shell: str = "", env: dict[str, str | None] | None = None, **more):
    """The real command in a process of its own, with `shell` behind it, such as `>&-`."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for name, value in (env or {}).items():
        environment.pop(name, None)
        if value is not None:
            environment[name] = value
    call = f'exec "$@" {shell}'
    words = ["sh", "-c", call, "sh", sys.executable, "-m", "recap_cli", *arguments]
    return subprocess.run(words, env=environment, capture_output=True, timeout=120, **more)


# names and paths ------------------------------------------------------------------------------------------------------

NAMES = {
    "no UTF-8": (BAD_BYTES, r"caf\xe9.ogg"),
    "Latin-1 folder": (b"d\xfc/caf\xe9".decode("utf-8", "surrogateescape"), r"d\xfc/caf\xe9"),
    "UTF-16 surrogate": (b"\xed\xa0\x80.csv".decode("utf-8", "surrogateescape"), r"\xed\xa0\x80.csv"),
    "300 bytes": ("y" * 300 + ".ogg", "y" * 300),
    "100 wide characters": ("雨" * 100 + ".csv", "雨" * 100),
    "over 4096": ("/".join(["y" * 99] * 60), "y" * 99 + "/"),
    "newline": ("a\nb.ogg", "a b.ogg"),
    "escape": ("\x1b]0;owned\x07.ogg", r"\x1b]0;owned\x07.ogg"),
    "C1": ("\x9b31m.wav", r"\x9b31m.wav"),
    "direction": ("\u202egpj.ogg", r"\u202egpj.ogg"),
    "markup": ("[red]x[/red][/].ogg", "[red]x[/red][/].ogg"),
}


@pytest.mark.parametrize("kind", NAMES)
@pytest.mark.parametrize("call", [("caption",), ("prepare",), ("train",), ("eval", "--predictions"), ("ablate",)])
def test_names_that_cannot_be(refused, kind, call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name, told = NAMES[kind]
    message, _ = refused(*call, name)
    assert told in message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["300 bytes", "over 4096", "100 wide characters"])
def test_outputs_that_cannot_be_named(refused, kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "songs.csv").write_text(f"id,audio,caption\na,{ODE},A song.\n")
    message, _ = refused("prepare", "songs.csv", "--out", NAMES[kind][0], "--jobs", "1")
    assert "ile name too long" in message
    assert [path.name for path in tmp_path.iterdir()] == ["songs.csv"]


def test_names_in_manifests(refused, tmp_path):
    """A path of a manifest may be anything; the song is named, and nothing breaks."""
    manifest = tmp_path / "songs.jsonl"
    names = ["y" * 300, "/".join(["y" * 99] * 60), "\x1b[2J", "a\x00b", "\udce9.ogg", "."]
    rows = [{"id": f"song {place}", "audio": name, "caption": "A song."} for place, name in enumerate(names)]
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
    message, _ = refused("prepare", manifest, "--out", tmp_path / "data", "--jobs", "1", "-q")
    assert message


def test_folders_nested_too_deeply(tmp_path, capfd):
    """1,100 of them: found or refused in two lines; removed by hand, since rmtree would fail likewise."""
    here = Path.cwd()
    os.chdir(tmp_path)
    try:
        for _ in range(1100):
            Path("d").mkdir()
            os.chdir("d")
        code = main(["prepare", str(tmp_path), "--out", str(tmp_path / "out"), "-q"])
        for _ in range(1100):
            os.chdir("..")
            Path("d").rmdir()
    finally:
        os.chdir(here)
    assert (code, len(capfd.readouterr().err.splitlines())) == (1, 2)


@pytest.mark.parametrize("opening", ["[", '{"a":', '[{"song_id":'])
def test_json_nested_too_deeply(refused, opening, tmp_path):
    (tmp_path / "deep.json").write_text(opening * 100_000)
    (tmp_path / "deep.jsonl").write_text(opening * 100_000 + "\n")
    for name in ("deep.json", "deep.jsonl"):
        refused("prepare", tmp_path / name, "--out", tmp_path / "data")
        refused("eval", "--predictions", tmp_path / name, "--out", tmp_path / "scores")


# failures -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (PermissionError(errno.EACCES, "Permission denied", "x.ogg"), "x.ogg: Permission denied"),
        (OSError(errno.ENOSPC, "No space left on device", b"x\xe9"), r"x\xe9: No space left on device"),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", Path("a"), None, "b"), "a to b: No such file"),
        (OSError(errno.ELOOP, "Too many levels of symbolic links", "loop"), "loop: Too many levels"),
        (OSError("no library libsndfile"), "no library libsndfile"),
        (FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/x']"), "no folder for temporary"),
        (
            UnicodeDecodeError("utf-8", b"sing \xff song", 5, 6, "invalid"),
            r"a text is not encoded as utf-8: sing \xff song",
        ),
        (UnicodeEncodeError("utf-8", "a\udce9", 1, 2, "surrogates not allowed"), r"cannot be written in utf-8: a\xe9"),
        (UnicodeError("label too long"), "a text cannot be read: label too long"),
        (MemoryError(), "there is not enough memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to"), "there is not enough memory"),
        (RecursionError("maximum recursion depth exceeded"), "folders or JSON are nested too deeply"),
        (RuntimeError("Could not determine home directory."), "there is no home folder"),
        (ValueError("embedded null byte"), "a path contains a null character"),
        (
            ModuleNotFoundError("No module named 'tensorboard'", name="tensorboard.x"),
            "tensorboard cannot be loaded: No",
        ),
        (ImportError("libgomp.so.1: cannot open shared object file"), "a package cannot be loaded: libgomp"),
    ],
)
def test_what_the_machine_refuses(refused, error, message, monkeypatch):
    def fail(*arguments):
        raise error

    monkeypatch.setattr("recap_cli.preparation.prepare.prepare", fail)
    told, hint = refused("prepare", ".")
    assert message in told
    assert hint


@pytest.mark.parametrize("error", [ValueError("x"), KeyError("x"), RuntimeError("x"), AssertionError(), TypeError("x")])
def test_bugs_are_not_caught(error, monkeypatch):
    def fail(*arguments):
        raise error

    monkeypatch.setattr("recap_cli.preparation.prepare.prepare", fail)
    with pytest.raises(type(error)):
        main(["prepare", "."])


def test_a_missing_part_of_our_own_is_a_bug():
    error = ImportError("cannot import name", name="recap_cli.cli.console")
    assert isinstance(error, NET) and explain_failure(error) is None


def test_the_traceback_of_a_bug_is_escaped():
    script = (
        "import sys; from recap_cli.cli.app import show_bug; sys.excepthook = show_bug; raise ValueError('\\x1b\\x9b')"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert done.stderr.startswith("Traceback (most recent call last):")
    assert "\nValueError: \\x1b\\x9b\n" in done.stderr and "recap doctor" in done.stderr


# streams --------------------------------------------------------------------------------------------------------------

FULL = Path("/dev/full")


@pytest.mark.parametrize("call", [("--version",), ("caption", "--help")])
@pytest.mark.skipif(not FULL.exists(), reason="no /dev/full here")
def test_a_full_stdout(call):
    done = command(*call, shell=">/dev/full")
    message, hint = done.stderr.decode().splitlines()
    assert (done.returncode, "No space left on device" in message, hint[:5]) == (1, True, "try: ")


def test_a_closed_stdout():
    done = command("train", "--recipes", shell=">&-")
    assert (done.returncode, done.stderr.decode().splitlines()[0]) == (
        1,
        "recap: stdout is closed, so the result cannot be shown",
    )


def test_a_reader_that_leaves_at_once():
    """A pipe whose other end is closed: exit without a word, as other tools do."""
    for call in (["--version"], ["train", "--recipes"]):
        theirs, ours = os.pipe()
        os.close(theirs)
        done = subprocess.run(
            [sys.executable, "-m", "recap_cli", *call], cwd=ROOT, stdout=ours, stderr=subprocess.PIPE, timeout=60
        )
        os.close(ours)
        assert (done.returncode, done.stderr) == (1, b""), call


@pytest.mark.parametrize("shell", ["2>/dev/full", "<&- 2>&-"])
def test_messages_that_nobody_takes(shell):
    """Errors keep their exit code, and results come out."""
    assert command("caption", "none.ogg", shell=shell).returncode == 1
    done = command("--version", shell=shell)
    assert (done.returncode, done.stdout[:6]) == (0, b"recap ")


def test_all_streams_closed():
    assert command("--version", shell=">&- 2>&- <&-").returncode == 1


@pytest.mark.skipif(not FULL.exists(), reason="no /dev/full here")
def test_a_caption_without_a_place_for_it(monkeypatch, capfd):
    """A whole run of the model: lost on a full stdout, which is said; not on a full stderr."""
    with FULL.open("w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert main(["caption", str(ODE), "--model", "demo", "-q"]) == 1
        monkeypatch.undo()
    out, err = capfd.readouterr()
    assert (out, err.splitlines()[0]) == ("", "recap: cannot write to stdout: No space left on device")
    with FULL.open("w") as full:
        monkeypatch.setattr(sys, "stderr", full)
        assert main(["caption", str(ODE), "--model", "demo"]) == 0
        monkeypatch.undo()
    assert capfd.readouterr().out.startswith("This song")


def test_lyrics_from_a_closed_stdin(refused, monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    assert refused("caption", ODE, "-", "-q")[0] == "stdin is closed, so no lyrics come from it"
    monkeypatch.setattr("recap_cli.cli.commands.MOST_INPUT", 10)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"la " * 10)))
    assert "lyrics" in refused("caption", ODE, "-", "-q")[0]


@pytest.mark.parametrize(
    "env",
    [
        {"LC_ALL": "C", "PYTHONIOENCODING": "ascii"},
        {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "latin-1:strict"},
    ],
)
def test_output_is_utf8_whatever_the_locale(env):
    done = command("train", "--recipes", env=env)
    assert (done.returncode, done.stderr) == (0, b"")
    assert "┏" in done.stdout.decode("utf-8")
    done = command("caption", "雨.ogg", env=env)
    assert done.returncode == 1
    assert done.stderr.decode("utf-8").startswith(("recap: no audio at 雨.ogg", r"recap: no audio at \xe9\x9b\xa8.ogg"))


@pytest.mark.parametrize("columns", ["0", "1", "7", "garbage", "-5", "1e9", "99999999999999999999", "", "²"])
def test_columns_of_any_width(columns, monkeypatch, capfd):
    monkeypatch.setenv("COLUMNS", columns)
    assert main(["caption", "--help"]) == 0
    assert main(["train", "--help"]) == 0
    out, err = capfd.readouterr()
    assert "Traceback" not in err
    assert max(map(len, out.splitlines())) <= 500


@pytest.mark.parametrize("width", [0, 1, 5, 10**9])
def test_a_table_in_a_terminal_of_any_width(width, capfd):
    console = SafeConsole("stdout", width=width, force_terminal=True)
    console.print(draw(Table("A title", ["run", *"abcdefgh"], [["r" * 50, *["12.5 [10.2, 15.7]"] * 8]], "caption")))
    out, _ = capfd.readouterr()
    assert "12" in out
    assert max(map(len, out.splitlines())) < 700


@pytest.mark.parametrize("env", [{"TERM": "dumb"}, {"NO_COLOR": "1", "TERM": None, "COLUMNS": "1"}])
def test_terminals_of_all_kinds(env):
    """An error on a real terminal comes without colours where none are wanted or known."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color", "COLUMNS": "60"}
    for name, value in env.items():
        environment.pop(name) if value is None else environment.update({name: value})
    process = subprocess.Popen(
        [sys.executable, "-m", "recap_cli", "prepare", "none.csv"], stderr=theirs, stdout=theirs, env=environment
    )
    os.close(theirs)
    screen = b""
    while True:
        try:
            screen += os.read(ours, 65536)
        except OSError:
            break
    os.close(ours)
    assert process.wait(timeout=60) == 1
    assert b"recap: no corpus at none.csv" in b" ".join(screen.split())  # wrapped at words where it is narrow
    assert not re.search(rb"\x1b\[[0-9;]*3[0-7]m", screen)


# home, caches, folders ------------------------------------------------------------------------------------------------


@pytest.fixture
def homeless(monkeypatch, tmp_path):
    """No HOME, and a user that the system does not know."""

    def unknown(number):
        raise KeyError(number)

    for name in ("HOME", "XDG_CACHE_HOME", "RECAP_CACHE", "MPLCONFIGDIR", "NUMBA_CACHE_DIR"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    monkeypatch.setattr(surroundings, "_stand_in", [])
    monkeypatch.setattr(surroundings.tempfile, "mkdtemp", lambda prefix: str(make(tmp_path / "private")))
    monkeypatch.chdir(make(tmp_path / "here"))


def make(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    return folder


@pytest.mark.parametrize("call", [("train", "--dry-run"), ("eval",), ("ablate", "--dry-run")])
def test_without_a_home(refused, homeless, call, tmp_path):
    message, hint = refused(*call)
    assert message == "there is no home folder to keep the demo corpus in"
    assert "RECAP_CACHE=FOLDER" in hint
    assert list((tmp_path / "here").iterdir()) == []  # nothing named ~


def test_without_a_home_libraries_get_a_private_folder(homeless, monkeypatch, tmp_path):
    surroundings.settle_caches()
    assert os.environ["HOME"] == str(tmp_path / "private")
    assert os.environ["MPLCONFIGDIR"] == str(tmp_path / "private" / "matplotlib")
    assert os.environ["NUMBA_CACHE_DIR"] == str(tmp_path / "private" / "numba")
    monkeypatch.setenv("RECAP_CACHE", str(tmp_path / "named"))
    assert surroundings.cache_folder() == tmp_path / "named"


def test_without_a_home_a_named_cache_serves_the_libraries_too(homeless, monkeypatch, tmp_path):
    monkeypatch.setenv("RECAP_CACHE", str(tmp_path / "named"))
    surroundings.settle_caches()
    assert os.environ["NUMBA_CACHE_DIR"] == str(tmp_path / "named" / "libraries" / "numba")
    assert not (tmp_path / "private").exists()


@pytest.mark.parametrize("home", ["file", "missing", ""])
def test_a_home_that_is_none(homeless, home, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HOME", str(tmp_path / home) if home else "")
    surroundings.settle_caches()
    assert os.environ["HOME"] == str(tmp_path / "private")


def test_who_has_a_home_keeps_it(homeless, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    surroundings.settle_caches()
    assert os.environ["HOME"] == str(tmp_path)
    assert "MPLCONFIGDIR" not in os.environ and not (tmp_path / "private").exists()
    assert not (tmp_path / ".cache").exists()


def test_an_empty_name_of_a_cache_is_none(homeless, monkeypatch, tmp_path):
    monkeypatch.setenv("RECAP_CACHE", "")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("sys.platform", "linux")
    assert surroundings.cache_folder() == tmp_path / ".cache" / "recap-cli"
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    assert surroundings.cache_folder() == tmp_path / ".cache" / "recap-cli"


@pytest.mark.parametrize("cache", ["file", "y" * 300, "file/below", BAD_BYTES + "/../file"])
def test_caches_that_cannot_be(refused, cache, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("mine")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RECAP_CACHE", str(tmp_path / cache))
    for call in (("train", "--dry-run"), ("eval",), ("ablate",)):
        message, hint = refused(*call)
        assert message.startswith("the cache folder ")
        assert "RECAP_CACHE=FOLDER" in hint
    assert (tmp_path / "file").read_text() == "mine"


OTHER = ("setpriv", "--reuid", "12345", "--regid", "12345", "--clear-groups", "--inh-caps=-all,+dac_read_search",
         "--ambient-caps=+dac_read_search", "--bounding-set=-dac_override")  # fmt: skip


@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("setpriv") is None, reason="only root can start a command as another user"
)
def test_another_user(tmp_path):
    """Who has no home, no entry in the list of users, and the cache of somebody else."""
    tmp_path.chmod(0o777)
    (tmp_path / "cache").mkdir(mode=0o700)
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "RECAP_CACHE": str(tmp_path / "cache"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    for name in ("HOME", "XDG_CACHE_HOME", *surroundings.LIBRARY_CACHES):
        environment.pop(name, None)

    def run(*arguments):
        call = [*OTHER, sys.executable, *map(str, arguments)]
        return subprocess.run(call, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=120)

    check = "import sys, pathlib, recap_cli.surroundings as s; s.check_cache(pathlib.Path(sys.argv[1]))"
    done = run("-c", check, tmp_path / "cache" / "demo-easy")
    assert done.stderr.endswith(f"the cache folder {tmp_path / 'cache'} cannot be written: it is another user's\n")
    for suffix in (".ogg", ".txt"):  # named from where they lie: the folders above may be root's own
        shutil.copyfile(ODE.with_suffix(suffix), tmp_path / f"song{suffix}")
        (tmp_path / f"song{suffix}").chmod(0o644)
    done = run("-m", "recap_cli", "caption", "song.ogg", "--model", "demo", "-q", "--explain", "map.svg")
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "map.svg").stat().st_uid == 12345
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "map.svg", "song.ogg", "song.txt"]


def test_a_folder_that_is_gone(refused, tmp_path):
    here = Path.cwd()
    os.chdir(make(tmp_path / "gone"))
    try:
        (tmp_path / "gone").rmdir()
        for call in (("caption", "x.ogg"), ("prepare", "x.csv", "--out", "y"), ("eval", "--predictions", "x.jsonl")):
            refused(*call)
        found = explain_failure(FileNotFoundError(errno.ENOENT, "No such file or directory"))
        assert (found.message, found.hint) == (
            "the folder that you are in no longer exists",
            "change to another one with cd",
        )
    finally:
        os.chdir(here)


# signals --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_signals_end_a_command_in_order(number, monkeypatch, capfd):
    steps = []

    def work(*arguments):
        stderr_console()
        try:
            os.kill(os.getpid(), number)
            time.sleep(30)
        finally:
            steps.append("cleaned up")

    monkeypatch.setattr("recap_cli.preparation.prepare.prepare", work)
    assert main(["prepare", "."]) == 128 + number
    assert steps == ["cleaned up"]
    assert capfd.readouterr().err.splitlines() == ["", "ended; start the same command again to resume"]
    assert signal.getsignal(number) == signal.SIG_DFL  # as before


def test_what_ignores_a_signal_goes_on_doing_so(monkeypatch):
    """As under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        monkeypatch.setattr(
            "recap_cli.preparation.prepare.prepare",
            lambda *arguments: (os.kill(os.getpid(), signal.SIGHUP), (_ for _ in ()).throw(MemoryError())),
        )
        assert main(["prepare", "."]) == 1
    finally:
        signal.signal(signal.SIGHUP, before)


def test_forked_processes_end_when_told_to():
    with surroundings.ending_signals():
        child = os.fork()
        if not child:
            os._exit(0 if signal.getsignal(signal.SIGTERM) == signal.SIG_DFL else 1)
        assert os.waitpid(child, 0)[1] == 0


def test_an_ended_preparation_leaves_nothing_behind(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    call = [sys.executable, "-m", "recap_cli", "prepare", "--limit", "400", "--jobs", "2", "--out", tmp_path / "data"]
    process = subprocess.Popen(call, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True)
    for line in process.stderr:
        if line.startswith("Preparing"):
            break
    process.terminate()
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (143, "\nended; start the same command again to resume\n")
    assert not list(tmp_path.rglob("*partial*")) and not (tmp_path / "data" / "dataset.json").exists()
    for _ in range(100):  # the last of its helpers may take a moment
        if subprocess.run(["ps", "-s", str(process.pid), "-o", "pid="], capture_output=True).stdout.strip() == b"":
            break
        time.sleep(0.1)
    else:
        pytest.fail("processes are left")
