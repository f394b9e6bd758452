"""A file of captions that is resumed: repaired, failures tried again, never mixed; files of others are safe."""

import errno
import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from recap_cli.captioning import caption_file
from recap_cli.captioning.caption_file import (
    CaptionFile,
    SongNumbers,
    check_out,
    is_torn,
    reach,
    read_captions,
    song_number,
    why_not_resumed,
)
from recap_cli.corpus.folders import is_file
from recap_cli.errors import BusyError, DataError, OptionError

MADE = {"model": "tiny", "weights": "abc", "settings": {"beams": 4, "batch_size": 32, "excerpt": "start"}}


def line(name: str, error: str = "") -> dict:
    made = {"captions": [], "scores": [], "warnings": [], **MADE}
    return {"id": name, "audio": f"/music/{name}", "caption": "", **made, **({"error": error} if error else {})}


def write(out, names, errors="", **options) -> CaptionFile:
    """Songs by one-letter names; those in `errors` fail."""
    file = CaptionFile(out, MADE, **options)
    for name in names:
        file.append(line(name, f"{name} failed" if name in errors else ""))
    file.close()
    return file


def ids(out) -> list[str]:
    return [json.loads(text)["id"] for text in out.read_text().splitlines()]


# resuming -------------------------------------------------------------------------------------------------------------


def test_a_file_is_resumed(tmp_path):
    out = tmp_path / "new" / "captions.jsonl"
    names = ["a", 'quo"ted \\ name', "雨 🎵\nline", "b"]
    write(out, names[:2])
    before = out.read_bytes()
    file = CaptionFile(out, MADE)
    assert set(file.done) == {song_number(name) for name in names[:2]}
    file.append(line(names[2]))
    file.append(line(names[3]))
    file.close()
    assert out.read_bytes().startswith(before) and ids(out) == names
    assert read_captions(out) == dict.fromkeys(names, "")
    again = CaptionFile(out, MADE)
    assert set(again.done) == {song_number(name) for name in names}
    again.close()


def test_failures_are_not_done_and_make_room_for_todays_line(tmp_path):
    """Whatever the first, the last, or every line is; permissions stay."""
    out = tmp_path / "captions.jsonl"
    for names, errors in (("abcde", "ac"), ("abcde", "e"), ("ab", "ab"), ("abc", "")):
        out.unlink(missing_ok=True)
        write(out, names, errors)
        out.chmod(0o640)
        inode = out.stat().st_ino
        kept = [name for name in names if name not in errors]
        file = CaptionFile(out, MADE)
        assert set(file.done) == {song_number(name) for name in kept} and ids(out) == kept
        for name in errors:
            file.append(line(name))
        file.close()
        assert ids(out) == [*kept, *errors]
        assert (out.stat().st_ino == inode) == (not errors) and out.stat().st_mode & 0o777 == 0o640
        assert [path.name for path in tmp_path.iterdir()] == ["captions.jsonl"]


def test_failures_of_lines_that_others_wrote_again(tmp_path):
    """Spaces, key order and escapes are as another program left them, and the failures are found all the same."""
    out = tmp_path / "captions.jsonl"
    records = [line("a"), line("é", "failed"), line("c"), {**line("d"), "caption": 'says "error": "no"'}]
    out.write_text("".join(json.dumps(one, sort_keys=True, separators=(",", ":")) + "\n" for one in records))
    CaptionFile(out, MADE).close()
    assert ids(out) == ["a", "c", "d"]


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_kill_while_failures_are_dropped_loses_nothing(tmp_path, moment):
    out = tmp_path / "captions.jsonl"
    write(out, "abcd", "b")
    script = (
        "import os, signal; from pathlib import Path; import test_caption_file as t\n"
        "real = Path.replace\n"
        "def replace(self, target):\n"
        f"    {'pass' if moment == 'before' else 'real(self, target)'}\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "Path.replace = replace\n"
        f"t.CaptionFile(Path({str(out)!r}), t.MADE)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=Path(__file__).parent, check=False)
    assert done.returncode == -signal.SIGKILL
    assert ids(out) == (list("abcd") if moment == "before" else list("acd"))
    CaptionFile(out, MADE).close()
    assert ids(out) == list("acd")


# torn lines -----------------------------------------------------------------------------------------------------------

WHOLE = (json.dumps(line("x"), ensure_ascii=False)).encode()


@pytest.mark.parametrize(
    "torn",
    [b"{", b'{"id": "half', WHOLE[:40], WHOLE, b"\0" * 9, WHOLE[:50] + b"\0" * 4000, b'{"id": "\\', b'{"id": "\xe9'],
)
def test_a_torn_last_line_is_cut(tmp_path, torn):
    out = tmp_path / "captions.jsonl"
    write(out, "ab")
    whole = out.read_bytes()
    out.write_bytes(whole + torn)
    file = CaptionFile(out, MADE)
    assert out.read_bytes() == whole and len(set(file.done)) == 2
    file.append(line("c"))
    file.close()
    assert ids(out) == list("abc")


def test_every_beginning_of_a_line_is_one():
    long = json.dumps({**line('q"\\ é雨'), "caption": "a\\b"}, ensure_ascii=False).encode()
    for whole in (WHOLE, long, json.dumps(line("雨")).encode()):
        assert all(is_torn(whole[:end], alone=False) for end in range(len(whole) + 1))
        enough = whole.index(b'"audio": ') + len(b'"audio": "')
        assert [is_torn(whole[:end], alone=True) for end in range(1, len(whole))].index(True) <= enough
    assert reach(b'{"id": 3') is None and reach(b'{"id":"x"') is None and reach(b"notes") is None


def test_a_lone_torn_line_is_cut_where_it_tells_that_it_is_ours(tmp_path):
    out = tmp_path / "captions.jsonl"
    out.write_bytes(WHOLE[:200])
    CaptionFile(out, MADE).close()
    assert not out.exists() or not out.stat().st_size


def test_a_full_disk_leaves_whole_lines(tmp_path, monkeypatch):
    out = tmp_path / "captions.jsonl"
    file = write(out, "a")
    file = CaptionFile(out, MADE)
    before, real = out.read_bytes(), os.write

    def short(handle, data):
        if short.full:
            raise OSError(errno.ENOSPC, "No space left on device")
        short.full = True
        return real(handle, data[:33])

    short.full = False
    monkeypatch.setattr(os, "write", short)
    with pytest.raises(DataError, match="No space left") as caught:
        file.append(line("b"))
    assert caught.value.hint == "make room, then start it again: nothing is lost"
    file.close()
    assert out.read_bytes() == before


# parts ----------------------------------------------------------------------------------------------------------------


def parts(folder) -> dict[str, str]:
    return {path.name[-11:-6]: "".join(ids(path)) for path in sorted(folder.glob("captions-*"))}


def test_parts_of_so_many_lines(tmp_path):
    out = tmp_path / "captions.jsonl"
    write(out, "abcde", lines_per_file=2)
    file = write(out, "fg", lines_per_file=2)
    assert set(file.done) == {song_number(name) for name in "abcde"}
    assert parts(tmp_path) == {"00000": "ab", "00001": "cd", "00002": "ef", "00003": "g"}


def test_room_that_failures_leave_in_parts_is_used_again(tmp_path):
    out = tmp_path / "captions.jsonl"
    write(out, "abcdefg", errors="bcd", lines_per_file=2)
    assert parts(tmp_path) == {"00000": "ab", "00001": "cd", "00002": "ef", "00003": "g"}
    file = CaptionFile(out, MADE, lines_per_file=2)
    assert set(file.done) == {song_number(name) for name in "aefg"}
    for name in "bcdh":
        file.append(line(name))
    file.close()
    assert parts(tmp_path) == {"00000": "ab", "00001": "cd", "00002": "ef", "00003": "gh"}


@pytest.mark.parametrize("foreign", ["captions-00001.jsonl", "captions-2024.jsonl"])
def test_each_part_must_be_ours(tmp_path, foreign):
    out = tmp_path / "captions.jsonl"
    write(out, "abx", errors="ax", lines_per_file=2)
    path = tmp_path / foreign
    path.write_text('{"id": "my notes", "audio": "none"}\n')
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(OptionError, match=foreign):
        CaptionFile(out, MADE, lines_per_file=2)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


# files of others ------------------------------------------------------------------------------------------------------


def refused(out, made=MADE, inputs=()) -> tuple[str, str]:
    before = out.read_bytes() if is_file(out) else b""
    with pytest.raises((OptionError, DataError)) as caught:
        check_out(out, None, inputs)
        CaptionFile(out, made)
    assert not is_file(out) or out.read_bytes() == before
    return caught.value.message, caught.value.hint


def test_other_captions_are_not_mixed_in(tmp_path):
    """Nor are their failures dropped."""
    out = tmp_path / "captions.jsonl"
    write(out, "ab", errors="b")
    other = {**MADE, "settings": {**MADE["settings"], "beams": 1, "batch_size": 8}}
    hint = "name another file, or use the same model and settings"
    way = f"--out {out} holds captions that were made in another way"
    assert refused(out, other) == (f"{way}: beams 4, now 1", hint)
    assert refused(out, {**MADE, "weights": "xyz"}) == (f"{way}: weights abc, now xyz", hint)
    assert why_not_resumed(out, other) == "beams 4, now 1"
    assert why_not_resumed(out, MADE) == why_not_resumed(tmp_path / "none.jsonl", MADE) == ""
    CaptionFile(out, {**MADE, "settings": {**MADE["settings"], "batch_size": 8}}).close()  # captions are the same


FOREIGN = [
    "my notes", "my notes\n", '{"a": 1}\n', "[1]\n", '{"id": "a", "audio": "b", "settings": 3}\n', "\n", " ", "\0\0\0",
    '{"id": "', '{"id": "1", "text": "my notes"}', '{"id": "my notes',
    '{"id": "1", "audio": "a.mp3", "caption": "mine"}',
    '{"id": "1", "audio": "a.mp3", "lyrics": "la"', '{"id": "1", "audio": "a.mp3"}\n{"id": "2", "audio": "b.mp3"}',
    '{"id": "1", "audio": "a.mp3", "caption": "mine", "settings": {}}\n', '{"song": "1", "mel": "x"}\n',
    "id,audio\n1,a.mp3\n", json.dumps(line("a"))[:-1] + ', "x": ' + "[" * 100_000 + "\n",
]  # fmt: skip


@pytest.mark.parametrize("text", FOREIGN)
def test_files_of_others_are_left_alone(tmp_path, text):
    out = tmp_path / "notes.txt"
    out.write_text(text)
    message, hint = refused(out)
    assert message.startswith(f"--out {out}") and "name another file" in hint


@pytest.mark.parametrize(
    "tail", ["my last row", '{"id": "1", "text": "no', '{"id": "x"}', "id,audio\n1,a.mp3\n", "\n\n"]
)
def test_what_others_added_to_captions_is_left_alone(tmp_path, tail):
    """As of a file that somebody went on with by hand: it is theirs, too; failures stay, too."""
    out = tmp_path / "captions.jsonl"
    write(out, "ab", errors="a")
    with out.open("a") as file:
        file.write(tail)
    assert "line 3 is no caption of recap" in refused(out)[0]


def test_inputs_and_special_files_are_refused(tmp_path):
    out = write(tmp_path / "captions.jsonl", "a").out
    assert refused(out, inputs=[tmp_path / "." / out.name])[0] == f"--out {out} is an input of this command, too"
    (tmp_path / "link.jsonl").symlink_to(out)
    (tmp_path / "planted.jsonl").symlink_to(tmp_path / "nowhere")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    os.link(out, tmp_path / "hard.jsonl")
    for name, kind in (
        ("link.jsonl", "link"),
        ("planted.jsonl", "link"),
        ("folder", "folder"),
        ("pipe", "device or pipe"),
    ):
        assert refused(tmp_path / name)[0] == f"--out {tmp_path / name} is a {kind}, not a file to write"
    assert refused(Path("/dev/null"))[0] == "--out /dev/null is a device or pipe, not a file to write"
    assert refused(tmp_path / "hard.jsonl", inputs=[out])[0].endswith("is an input of this command, too")
    assert not (tmp_path / "nowhere").exists()


def test_places_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    assert "cannot be written" in refused(tmp_path / "file" / "x.jsonl")[0]
    assert "cannot be written" in refused(tmp_path / ("x" * 300))[0]


def test_an_empty_file_is_as_good_as_none(tmp_path):
    empty = tmp_path / "empty.jsonl"
    empty.touch()
    write(empty, "a")
    assert ids(empty) == ["a"]


# two at a time --------------------------------------------------------------------------------------------------------


def hold(out, begun, end) -> None:
    file = CaptionFile(out, MADE, **hold_options(out))
    file.append(line("x"))
    begun.set()
    end.wait(60)
    file.close()


def hold_options(out) -> dict:
    return {"lines_per_file": 1} if out.parent.name == "parts" else {}


@pytest.mark.parametrize("form", ["one", "parts"])
def test_two_processes_do_not_write_one_file(tmp_path, form):
    """Not even while the first has dropped failures, or has gone on to a further part."""
    out = tmp_path / form / "captions.jsonl"
    options = hold_options(out)
    write(out, "ab", errors="a", **options)
    context = multiprocessing.get_context("spawn")
    begun, end = context.Event(), context.Event()
    process = context.Process(target=hold, args=(out, begun, end), daemon=True)
    process.start()
    assert begun.wait(60)
    before = {path: path.read_bytes() for path in out.parent.iterdir()}
    with pytest.raises(BusyError, match="another process is writing"):
        CaptionFile(out, MADE, **options)
    reading = CaptionFile(out, MADE, read_only=True, **options)
    assert {song_number("b"), song_number("x")} == set(reading.done)
    assert {path: path.read_bytes() for path in out.parent.iterdir()} == before
    end.set()
    process.join(30)
    assert process.exitcode == 0
    CaptionFile(out, MADE, **options).close()


# numbers --------------------------------------------------------------------------------------------------------------


def test_a_set_of_numbers_is_a_set(monkeypatch):
    monkeypatch.setattr(caption_file, "NEW_NUMBERS", 16)
    rng, numbers, known = random.Random(0), SongNumbers(), set()
    for _ in range(500):
        number = rng.choice([rng.getrandbits(64), rng.getrandbits(6)])
        assert (number in numbers) == (number in known)
        numbers.add(number)
        known.add(number)
    assert set(numbers) == known
