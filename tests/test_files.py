"""Files that we write: whole or not at all, privately, and never over what is not ours."""

import errno
import json
import os
import re
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from recap_cli.errors import BusyError, DataError, OptionError, RecapError
from recap_cli.files import (
    hash_file,
    locked,
    open_atomically,
    open_privately,
    remove_stale_partials,
    replace_atomically,
    write_json,
    write_json_lines,
)
from recap_cli.outputs import (
    LOCK,
    MARKER,
    check_output_file,
    check_output_folder,
    claim_folder,
    hold_folder,
    read_marker,
    same_place,
)

PRECIOUS = "a stranger's work\n"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def precious(tmp_path) -> Path:
    path = tmp_path / "precious.txt"
    path.write_text(PRECIOUS)
    return path


@pytest.fixture
def mask():
    """Sets the umask for one test."""
    before = os.umask(0o022)
    yield os.umask
    os.umask(before)


@pytest.mark.parametrize("umask", [0o077, 0o022, 0o027, 0o002])
def test_modes_are_what_the_umask_leaves(tmp_path, mask, umask):
    mask(umask)
    write_json(tmp_path / "a.json", {})
    with replace_atomically(tmp_path / "b.bin") as partial:
        partial.unlink()
        partial.touch(0o600)  # as safetensors does
    for name in ("a.json", "b.bin"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o666 & ~umask


def test_planted_links_are_not_followed(tmp_path, precious, monkeypatch):
    monkeypatch.setattr("recap_cli.files.secrets.token_hex", lambda count, given=iter("0101"): next(given) * 16)
    (tmp_path / ".c.json.0000000000000000.partial").symlink_to(precious)
    write_json(tmp_path / "c.json", [1])
    with replace_atomically(tmp_path / "c.json") as partial:
        partial.write_text("[2]")
    assert precious.read_text() == PRECIOUS
    assert (tmp_path / "c.json").read_text() == "[2]"


@pytest.mark.parametrize("fixed", ["c.json.partial", ".c.json.partial", "c.json.tmp"])
def test_temporary_names_cannot_be_foreseen(tmp_path, precious, fixed):
    (tmp_path / fixed).symlink_to(precious)
    write_json_lines(tmp_path / "c.json", [{}])
    assert precious.read_text() == PRECIOUS
    assert open_privately(tmp_path / "c")[1] != open_privately(tmp_path / "c")[1]


def test_a_link_in_the_place_of_a_file_is_replaced_and_its_target_stays(tmp_path, precious):
    (tmp_path / "c.json").symlink_to(precious)
    write_json(tmp_path / "c.json", {})
    assert precious.read_text() == PRECIOUS
    assert not (tmp_path / "c.json").is_symlink()


@pytest.mark.parametrize("name", ["a" * 255, "é" * 127, "\N{MUSICAL SYMBOL G CLEF}" * 63, "caf\udce9" * 30])
def test_names_of_any_length_that_the_disk_takes_are_written(tmp_path, name):
    write_json(tmp_path / name, {"name": name})
    assert names(tmp_path) == [name]
    assert json.loads((tmp_path / name).read_text()) == {"name": name}


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS])
def test_what_fails_leaves_the_old_file_and_nothing_else(tmp_path, code):
    write_json(tmp_path / "a.json", "old")

    def records():
        yield {"one": 1}
        raise OSError(code, os.strerror(code))

    for write in (lambda: write_json_lines(tmp_path / "a.json", records()), lambda: fill(tmp_path / "a.json", code)):
        with pytest.raises(DataError, match=re.escape(os.strerror(code))) as caught:
            write()
        assert caught.value.hint
    assert names(tmp_path) == ["a.json"]
    assert json.loads((tmp_path / "a.json").read_text()) == "old"


def fill(path: Path, code: int) -> None:
    with replace_atomically(path) as partial:
        partial.write_text("half")
        raise OSError(code, os.strerror(code))


@pytest.mark.parametrize("wrong", [KeyboardInterrupt, MemoryError, ValueError])
def test_an_interrupted_writer_leaves_nothing(tmp_path, wrong):
    for opened in (open_atomically, replace_atomically):
        with pytest.raises(wrong), opened(tmp_path / "a"):
            raise wrong
    assert names(tmp_path) == []


def test_only_stale_partials_of_ours_go(tmp_path, precious):
    for label in ("1-of-8", "11-of-8", ""):
        os.close(open_privately(tmp_path / "a.safetensors", label)[0])
    foreign = ["download.partial", ".a.partial", ".a.0123.partial", ".a.0123456789abcdeg.partial"]
    for name in foreign:
        (tmp_path / name).write_text(PRECIOUS)
    (tmp_path / ".l.0123456789abcdef.partial").symlink_to(precious)
    remove_stale_partials(tmp_path, "1-of-8")
    assert len(names(tmp_path)) == 2 + 4 + 2
    remove_stale_partials(tmp_path)
    assert names(tmp_path) == sorted([*foreign, ".l.0123456789abcdef.partial", "precious.txt"])


def test_the_hash_is_that_of_the_whole_file(tmp_path):
    (tmp_path / "zeros").write_bytes(bytes(3_000_000))
    found = subprocess.run(["sha256sum", tmp_path / "zeros"], capture_output=True, text=True, check=True).stdout
    assert hash_file(tmp_path / "zeros") == found.split()[0]


def stand_in_the_way(kind: str, place: Path, precious: Path) -> None:
    """Puts something in the place of an output."""
    if kind == "file":
        place.write_text(PRECIOUS)
    elif kind == "folder":
        place.mkdir()
    elif kind == "pipe":
        os.mkfifo(place)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(os.path.relpath(place))
    elif kind == "link":
        place.symlink_to(precious)
    elif kind == "dangling link":
        place.symlink_to(place.with_name("nowhere"))
    elif kind == "link to itself":
        place.symlink_to(place.name)
    elif kind == "hard link":
        place.hardlink_to(precious)


KINDS = ("file", "folder", "pipe", "socket", "link", "dangling link", "link to itself", "hard link")


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_that_stands_there_is_overwritten(tmp_path, precious, kind):
    place = tmp_path / "out.json"
    stand_in_the_way(kind, place, precious)
    before = names(tmp_path)
    with pytest.raises(OptionError, match=r"--out .*out\.json"):
        check_output_file(place, "--out")
    assert names(tmp_path) == before
    assert precious.read_text() == PRECIOUS


@pytest.mark.parametrize(
    "path", ["/dev/null", "/dev/full", "/dev/stdout", "/proc/self/mem/x", "/", ".", "x" * 300, "a\0b"]
)
def test_places_that_are_no_files_are_refused(path):
    with pytest.raises(OptionError):
        check_output_file(Path(path), "--out")
    with pytest.raises(OptionError):
        check_output_folder(Path(path), "a test")


def test_inputs_are_known_by_any_spelling(tmp_path, precious, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub").mkdir()
    (tmp_path / "link").symlink_to(tmp_path)
    (tmp_path / "hard").hardlink_to(precious)
    spellings = ["precious.txt", "./precious.txt", "sub/../precious.txt", "link/precious.txt", "hard", str(precious)]
    for spelling in spellings:
        with pytest.raises(OptionError, match="is an input"):
            check_output_file(Path(spelling), "--out", [precious], is_ours=lambda path: True)
    assert same_place(Path("sub/../missing"), tmp_path / "missing")


def test_what_is_ours_empty_or_not_there_may_be_written(tmp_path, precious):
    (tmp_path / "empty").touch()
    check_output_file(tmp_path / "empty", "--out")
    check_output_file(tmp_path / "new" / "deep" / "out.json", "--out")
    check_output_file(precious, "--out", is_ours=lambda path: path == precious)
    assert names(tmp_path) == ["empty", "precious.txt"]


def test_a_place_below_a_file_is_refused(precious):
    for place in (precious / "out.json", precious / "deep" / "out.json"):
        with pytest.raises(OptionError, match=r"Not a directory|no folder"):
            check_output_file(place, "--out")
        with pytest.raises(OptionError, match=r"Not a directory|no folder"):
            check_output_folder(place, "a test")


def test_a_folder_that_cannot_be_written_is_refused_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr("recap_cli.files.os.access", lambda path, how: False)  # root may write anywhere
    for check in (lambda: check_output_file(tmp_path / "a", "--out"), lambda: check_output_folder(tmp_path, "a test")):
        with pytest.raises(OptionError, match="read-only"):
            check()


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "folder"])
def test_a_folder_is_not_made_over_anything(tmp_path, precious, kind):
    stand_in_the_way(kind, tmp_path / "out", precious)
    before = names(tmp_path)
    with pytest.raises(RecapError):
        claim_folder(tmp_path / "out", "a test")
    assert names(tmp_path) == before
    assert precious.read_text() == PRECIOUS


def test_only_new_empty_and_own_folders_are_claimed(tmp_path):
    (tmp_path / "empty").mkdir()
    for name in ("new/deep", "empty", "new/deep"):
        claim_folder(tmp_path / name, "a test")
        assert read_marker(tmp_path / name) == "a test"
    with pytest.raises(OptionError, match="holds a test, not a run"):
        claim_folder(tmp_path / "empty", "a run")


@pytest.mark.parametrize(
    "content",
    [
        {"notes.txt": "x"},
        {".hidden": "x"},
        {MARKER: "[]"},
        {MARKER: '{"holds": 3}'},
        {MARKER: ""},
        {MARKER: "[" * 9999},
    ],
)
def test_foreign_folders_stay_as_they_are(tmp_path, content):
    for name, text in content.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(OptionError, match="not of our making"):
        claim_folder(tmp_path, "a test")
    assert {name: (tmp_path / name).read_text() for name in names(tmp_path)} == content
    claim_folder(tmp_path, "a test", is_ours=lambda folder: True)
    assert read_marker(tmp_path) == "a test"


def test_a_linked_marker_makes_no_folder_ours(tmp_path):
    claim_folder(tmp_path / "ours", "a test")
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / MARKER).symlink_to(tmp_path / "ours" / MARKER)
    with pytest.raises(OptionError, match="not of our making"):
        claim_folder(tmp_path / "foreign", "a test")


def test_a_folder_with_an_input_in_it_is_refused(tmp_path):
    claim_folder(tmp_path, "a test")
    (tmp_path / "songs").mkdir()
    for one in (tmp_path, tmp_path / "songs", tmp_path / "songs" / "a.ogg", tmp_path / "songs" / ".."):
        with pytest.raises(OptionError, match="input of this command"):
            claim_folder(tmp_path, "a test", inputs=[one])
    claim_folder(tmp_path, "a test", inputs=[tmp_path.parent, tmp_path.with_name(tmp_path.name + "-b") / "a"])


def test_a_second_process_is_refused_while_the_first_holds(tmp_path):
    code = (
        "import sys; from pathlib import Path; from recap_cli.outputs import hold_folder\n"
        "with hold_folder(Path(sys.argv[1]), 'a test', 'recap eval'): print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, tmp_path / "out"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout.readline() == b"held\n"
        with (
            pytest.raises(BusyError, match="another recap eval is working on"),
            hold_folder(tmp_path / "out", "a test", "recap eval"),
        ):
            pass
        assert names(tmp_path / "out") == [MARKER, LOCK]
        other.kill()
    with hold_folder(tmp_path / "out", "a test", "recap eval"):  # the dead let go
        (tmp_path / "out" / "work").touch()
    assert names(tmp_path / "out") == [MARKER, "work"]


def test_a_folder_in_which_nothing_came_about_is_as_it_was(tmp_path):
    (tmp_path / "empty").mkdir()
    for name in ("new", "empty"):
        with pytest.raises(DataError), hold_folder(tmp_path / name, "a test", "recap eval"):
            raise DataError("nothing")
    assert names(tmp_path) == ["empty"]
    assert names(tmp_path / "empty") == []


def test_a_lock_is_not_taken_through_a_link(tmp_path, precious):
    (tmp_path / LOCK).symlink_to(precious)
    with pytest.raises(DataError), locked(tmp_path / LOCK, "busy"):
        pass
    assert precious.read_text() == PRECIOUS


# JSON lines -----------------------------------------------------------------------------------------------------------


def read_lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


def test_json_lines_are_one_record_a_line(tmp_path):
    path = tmp_path / "x.jsonl"
    records = [{"text": "雨\nand\u2028more"}, {"number": 1.5}, {}]
    write_json_lines(path, records)
    assert path.read_bytes().count(b"\n") == 3
    assert "雨".encode() in path.read_bytes()
    assert read_lines(path) == records


def test_json_lines_appear_whole_or_not_at_all(tmp_path):
    path = tmp_path / "x.jsonl"
    write_json_lines(path, [{"old": 1}])

    def breaking():
        yield {"new": 1}
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_json_lines(path, breaking())
    assert read_lines(path) == [{"old": 1}]
    write_json_lines(path, [{"new": 2}])
    assert read_lines(path) == [{"new": 2}]
    assert [file.name for file in tmp_path.iterdir()] == ["x.jsonl"]
