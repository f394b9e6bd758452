"""A file of captions that is gone on with: repaired, never rewritten, never mixed."""

import json
import multiprocessing
import random

import pytest

from recap_cli.errors import OptionError
from recap_cli.workflows import journal
from recap_cli.workflows.journal import CaptionFile, cut_torn_line, song_number

MADE = {"model": "tiny", "weights": "abc", "settings": {"beams": 4, "batch_size": 32, "excerpt": "start"}}


def line(name: str, error: str = "") -> dict:
    return {"id": name, "audio": f"/music/{name}", "caption": "", **MADE, **({"error": error} if error else {})}


def write(out, names, **options) -> CaptionFile:
    file = CaptionFile(out, MADE, **options)
    for name in names:
        file.append(line(name))
    file.close()
    return file


def test_a_file_is_gone_on_with(tmp_path):
    out = tmp_path / "new" / "captions.jsonl"
    names = ["a", 'quo"ted \\ name', "雨 🎵\nline", "b"]
    write(out, names[:2])
    before = out.read_bytes()
    file = CaptionFile(out, MADE)
    assert set(file.done) == {song_number(name) for name in names[:2]}
    file.append(line(names[2], error="is empty"))
    file.append(line(names[3]))
    file.close()
    assert out.read_bytes().startswith(before)
    assert [json.loads(text)["id"] for text in out.read_text().splitlines()] == names
    again = CaptionFile(out, MADE)
    assert set(again.done) == {song_number(name) for name in names}
    assert (again.failures, again.failed) == (1, {f"/music/{names[2]}": "is empty"})
    again.close()


@pytest.mark.parametrize("torn", [b'{"id": "half', b'{"id": "x"}', b"\0" * 9, "雨".encode()[:2] * 100_000])
def test_a_torn_last_line_is_cut(tmp_path, torn):
    out = tmp_path / "captions.jsonl"
    write(out, "ab")
    whole = out.read_bytes()
    out.write_bytes(whole + torn)
    file = CaptionFile(out, MADE)
    assert out.read_bytes() == whole and len(set(file.done)) == 2
    file.append(line("c"))
    file.close()
    assert len(out.read_text().splitlines()) == 3


def test_a_file_without_a_line_end_is_emptied(tmp_path):
    (tmp_path / "x").write_bytes(b"{" * 200_000)
    with (tmp_path / "x").open("ab+", buffering=0) as file:
        cut_torn_line(file)
    assert (tmp_path / "x").read_bytes() == b""


def test_parts_of_so_many_lines(tmp_path):
    out = tmp_path / "captions.jsonl"
    write(out, "abcde", lines_per_file=2)
    file = write(out, "fg", lines_per_file=2)
    assert set(file.done) == {song_number(name) for name in "abcdefg"}
    parts = {path.name: len(path.read_text().splitlines()) for path in sorted(tmp_path.iterdir())}
    assert parts == {f"captions-{number:05d}.jsonl": min(2, 7 - 2 * number) for number in range(4)}


def refused(out, made=MADE) -> tuple[str, str]:
    before = out.read_bytes() if out.is_file() else b""
    with pytest.raises(OptionError) as caught:
        CaptionFile(out, made)
    assert not out.is_file() or out.read_bytes() == before
    return caught.value.message, caught.value.hint


def test_other_captions_are_not_mixed_in(tmp_path):
    out = tmp_path / "captions.jsonl"
    write(out, "a")
    other = {**MADE, "settings": {**MADE["settings"], "beams": 1, "batch_size": 8}}
    hint = "name another file, or use the same model and settings"
    way = f"--out {out} holds captions that were made in another way"
    assert refused(out, other) == (f"{way}: beams 4, now 1", hint)
    assert refused(out, {**MADE, "weights": "xyz"}) == (f"{way}: weights abc, now xyz", hint)
    CaptionFile(out, {**MADE, "settings": {**MADE["settings"], "batch_size": 8}}).close()  # captions are the same


@pytest.mark.parametrize(
    "text", ["my notes", "my notes\n", '{"a": 1}\n', "[1]\n", '{"id": "a", "audio": "b", "settings": 3}\n']
)
def test_files_of_others_are_left_alone(tmp_path, text):
    out = tmp_path / "notes.txt"
    out.write_text(text)
    message, hint = refused(out)
    assert message.startswith(f"--out {out}") and "name another file" in hint


def test_places_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    assert refused(tmp_path)[0] == f"--out {tmp_path} cannot be written: Is a directory"
    assert "cannot be written" in refused(tmp_path / "file" / "x.jsonl")[0]


def test_a_set_of_numbers_is_a_set(monkeypatch):
    monkeypatch.setattr(journal, "NEW_NUMBERS", 16)
    rng, numbers, known = random.Random(0), journal.SongNumbers(), set()
    for _ in range(500):
        number = rng.choice([rng.getrandbits(64), rng.getrandbits(6)])
        assert (number in numbers) == (number in known)
        numbers.add(number)
        known.add(number)
    assert sorted(numbers) == sorted(known)


def hold(out, opened, done):
    file = CaptionFile(out, MADE)
    opened.set()
    done.wait(30)
    file.close()


def test_two_processes_do_not_write_one_file(tmp_path):
    out = tmp_path / "captions.jsonl"
    context = multiprocessing.get_context("spawn")
    opened, done = context.Event(), context.Event()
    other = context.Process(target=hold, args=(out, opened, done))
    other.start()
    try:
        assert opened.wait(60)
        with pytest.raises(OptionError, match="another process is writing"):
            CaptionFile(out, MADE)
    finally:
        done.set()
        other.join()
