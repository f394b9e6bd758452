"""The pickle release: read as data, and refused without running anything when it is more than that."""

import io
import pickle
import struct
from pathlib import Path

import pytest
from fuzzing import Bomb

from recap_cli.corpus.pickles import read_pickle
from recap_cli.errors import DataError

FIXTURE = Path(__file__).parent / "corpora" / "song-interpretation" / "dataset.pkl"


def refused(tmp_path, content: bytes) -> str:
    path = tmp_path / "x.pkl"
    path.write_bytes(content)
    with pytest.raises(DataError, match="is refused") as caught:
        list(read_pickle(path))
    assert caught.value.hint
    return caught.value.message


def test_the_release():
    rows = [row for _, row in read_pickle(FIXTURE)]
    assert len(rows) == 5
    assert rows[4] == {
        "music4all_id": "aaaaBBBBccccDDDD",
        "songmeanings_id": "3530822107858",
        "lyrics": "INSTRUMENTAL",
        "comment": "No words, only water.",
    }


@pytest.mark.parametrize("protocol", range(2, 6))
def test_plain_objects_in_every_protocol(tmp_path, protocol):
    rows = [{"music4all_id": "a", "lyrics": "雨\n", "comment": "x" * 300}, {"music4all_id": "b", "comment": ""}]
    for number, whole in enumerate((rows, tuple(rows), {"one": rows[0], "two": [rows[1]]})):
        path = tmp_path / f"{number}.pkl"
        path.write_bytes(pickle.dumps(whole, protocol=protocol))
        assert [row for _, row in read_pickle(path)] == rows


@pytest.mark.parametrize("protocol", range(6))
def test_a_hostile_pickle_runs_nothing(tmp_path, protocol):
    trap = tmp_path / "trap"
    for whole in ([Bomb(str(trap))], {"music4all_id": Bomb(str(trap))}):
        message = refused(tmp_path, pickle.dumps(whole, protocol=protocol))
        assert "posix.mkdir" in message or "nt.mkdir" in message or "instruction" in message
    assert not trap.exists()


@pytest.mark.parametrize(
    "module", ["os", "builtins", "mymodel.LyricsCommentData.os", "posix", "recap_cli.corpus.pickles"]
)
@pytest.mark.parametrize("name", ["system", "eval", "LyricsCommentData", "BoundedFile"])
def test_only_one_class_is_known(tmp_path, module, name):
    refused(tmp_path, f"c{module}\n{name}\n.".encode())


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b".",
        b"no pickle",
        FIXTURE.read_bytes()[:-20],
        b"\x80\x04\x8d" + struct.pack("<Q", 2**62) + b".",
        b"\x80\x04]r\xff\xff\xff\x7fa.",
        b"\x80\x04\x95" + struct.pack("<Q", 2**60) + b".",
        b"\x80\x04]q\x00(" + b"h\x00" * 3000 + b"e.",
    ],
    ids=["empty", "stop", "text", "cut", "huge text", "huge index", "huge frame", "holds itself"],
)
def test_damage_and_tricks(tmp_path, content):
    refused(tmp_path, content)


def test_unknown_fields_and_entries(tmp_path):
    """A field that the dataclass lacks refuses the file; an entry that is none is rejected alone."""
    state = pickle.dumps({"music4all_id": "a", "evil": "x"}, protocol=2)[2:-1]
    built = b"\x80\x02cmymodel.LyricsCommentData\nLyricsCommentData\n)\x81" + state + b"b."
    assert "unknown fields" in refused(tmp_path, built)
    path = tmp_path / "y.pkl"
    path.write_bytes(pickle.dumps([3, {"music4all_id": 1.5}, {"music4all_id": "a"}]))
    assert [row for _, row in read_pickle(path)] == [
        "it is no LyricsCommentData", "a field is neither text nor number", {"music4all_id": "a"},
    ]  # fmt: skip


def test_the_standard_reader_would_have_run_it(tmp_path):
    """The trap works: without care it creates its folder."""
    trap = tmp_path / "trap"
    pickle.load(io.BytesIO(pickle.dumps(Bomb(str(trap)))))  # noqa: S301
    assert trap.exists()
