"""Shards of arrays: written whole or not at all, read by key, and refused when damaged."""

import json
import os
import pickle
import struct

import numpy as np
import pytest
from safetensors import SafetensorError

from recap_cli.corpus import shards
from recap_cli.corpus.shards import ShardReader, ShardWriter
from recap_cli.errors import DataError


def array(number: int, columns: int = 3) -> np.ndarray:
    return np.full((2, columns), number, dtype=np.float16)


def write(folder, keys, size: int = 256, monkeypatch=None) -> None:
    if monkeypatch:
        monkeypatch.setattr(shards, "SHARD_SONGS", size)
    writer = ShardWriter(folder)
    for key in keys:
        writer.add(key, array(int(key[1:])))
    writer.close()


def names(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def shard(header, arrays: bytes = b"") -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + arrays


def test_arrays_come_back_by_key(tmp_path):
    writer = ShardWriter(tmp_path / "mels")
    writer.add("a", array(1))
    writer.add("b", np.arange(12, dtype=np.float32).reshape(3, 4).T)
    writer.close()
    reader = ShardReader(tmp_path / "mels")
    assert "a" in reader
    assert "c" not in reader
    assert reader["a"].dtype == np.float16
    assert reader["a"].tolist() == [[1.0] * 3] * 2
    assert reader["b"].tolist() == [[0.0, 4.0, 8.0], [1.0, 5.0, 9.0], [2.0, 6.0, 10.0], [3.0, 7.0, 11.0]]
    assert reader.shapes == {"a": [2, 3], "b": [4, 3]}
    with pytest.raises(KeyError):
        reader["c"]


def test_full_shards_are_written_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "SHARD_SONGS", 2)
    writer = ShardWriter(tmp_path)
    seen = []
    for number in range(5):
        writer.add(f"k{number}", array(number))
        seen.append(len(names(tmp_path)))
    writer.close()
    writer.close()
    assert seen == [0, 1, 1, 2, 2]
    assert names(tmp_path) == ["00000.safetensors", "00001.safetensors", "00002.safetensors"]
    reader = ShardReader(tmp_path)
    assert [reader[f"k{number}"][0, 0] for number in range(5)] == [0, 1, 2, 3, 4]


def test_nothing_pending_writes_nothing(tmp_path):
    ShardWriter(tmp_path / "new" / "mels").close()
    assert names(tmp_path / "new" / "mels") == []
    assert ShardReader(tmp_path / "new" / "mels").files == {}


def test_later_writers_add_shards(tmp_path):
    write(tmp_path, ["k1"])
    write(tmp_path, ["k2"])
    reader = ShardReader(tmp_path)
    assert names(tmp_path) == ["00000.safetensors", "00001.safetensors"]
    assert reader["k1"][0, 0] == 1
    assert reader["k2"][0, 0] == 2


def test_a_deleted_shard_leaves_no_gap_to_fall_into(tmp_path, monkeypatch):
    """After a damaged shard was deleted, the next one must not take the name of a good one."""
    write(tmp_path, ["k0", "k1", "k2"], 1, monkeypatch)
    (tmp_path / "00000.safetensors").unlink()
    write(tmp_path, ["k0"], 1, monkeypatch)
    reader = ShardReader(tmp_path)
    assert names(tmp_path) == ["00001.safetensors", "00002.safetensors", "00003.safetensors"]
    assert [reader[key][0, 0] for key in ("k0", "k1", "k2")] == [0, 1, 2]


def test_stale_partial_files_are_removed(tmp_path):
    (tmp_path / ".00000.safetensors.0123456789abcdef.partial").write_bytes(b"half")
    write(tmp_path, ["k1"])
    assert names(tmp_path) == ["00000.safetensors"]


@pytest.mark.parametrize(
    "error",
    [OSError(28, "No space left on device"), SafetensorError("I/O error: No space left on device (os error 28)")],
)
def test_a_full_disk_leaves_no_trace(tmp_path, monkeypatch, error):
    def fail(arrays, path):
        path.write_bytes(b"half of it")
        raise error

    writer = ShardWriter(tmp_path)
    writer.add("k1", array(1))
    with monkeypatch.context() as patch:
        patch.setattr(shards, "save_file", fail)
        with pytest.raises(DataError, match=r"cannot write .*00000.safetensors: .*No space left") as caught:
            writer.close()
    assert "start it again" in caught.value.hint
    assert names(tmp_path) == []
    writer.close()  # nothing was lost: with room on the disk the same arrays are written
    assert ShardReader(tmp_path)["k1"][0, 0] == 1


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"abc",
        b"these are no arrays at all, but the text of a letter",
        struct.pack("<Q", 2**62) + b"{}",
        shard([]),
        shard({"a": 3}),
        shard({"a": {}}),
        shard({"a": {"dtype": "F16", "shape": [2, 3], "data_offsets": []}}),
        shard({"a": {"dtype": "F16", "shape": [2, 3], "data_offsets": [0, "12"]}}),
        shard({"a": {"dtype": "F16", "data_offsets": [0, 12]}}, bytes(12)),
    ],
    ids=["empty", "3 bytes", "text", "huge", "list", "number", "bare", "no offsets", "text offset", "no shape"],
)
def test_damaged_header(tmp_path, content):
    (tmp_path / "00000.safetensors").write_bytes(content)
    with pytest.raises(DataError, match=r"00000\.safetensors is damaged") as caught:
        ShardReader(tmp_path)
    assert caught.value.hint == "delete it and run recap prepare again"


@pytest.mark.parametrize("change", [-1, -9, 1])
def test_wrong_length(tmp_path, change):
    """A file that lost its end, or to which something was appended."""
    write(tmp_path, ["k1", "k2"])
    file = tmp_path / "00000.safetensors"
    content = file.read_bytes()
    file.write_bytes(content[:change] if change < 0 else content + b"\0")
    with pytest.raises(DataError, match=r"00000\.safetensors is damaged: its length is wrong"):
        ShardReader(tmp_path)


def test_damage_that_only_shows_when_read(tmp_path):
    """A shard that was cut after it was opened, and one that holds what is no number."""
    for value, cut in ((np.nan, 0), (np.inf, 0), (1.0, 3)):
        (tmp_path / "00000.safetensors").unlink(missing_ok=True)
        shards.write_shard(tmp_path / "00000.safetensors", {"a": np.full((2, 3), value, np.float16)})
        reader = ShardReader(tmp_path, remedy="start again")
        content = (tmp_path / "00000.safetensors").read_bytes()
        (tmp_path / "00000.safetensors").write_bytes(content[: len(content) - cut])
        with pytest.raises(DataError, match=r"00000\.safetensors is damaged") as caught:
            reader["a"]
        assert caught.value.hint == "delete it and start again"


@pytest.mark.parametrize(
    "entries",
    [
        {"a": {"dtype": "F99", "shape": [2, 3], "data_offsets": [0, 12]}},
        {"a": {"dtype": "I64", "shape": [], "data_offsets": [0, 8]}},
        {"a": {"dtype": ["F16"], "shape": [2, 3], "data_offsets": [0, 12]}},
        {"a": {"dtype": "F16", "shape": [-2, -3], "data_offsets": [0, 12]}},
        {"a": {"dtype": "F16", "shape": [2.0, 3], "data_offsets": [0, 12]}},
        {"a": {"dtype": "F16", "shape": "23", "data_offsets": [0, 12]}},
        {"a": {"dtype": "F16", "shape": [10**30, 3], "data_offsets": [0, 12]}},
        {"a": {"dtype": "F16", "shape": [2, 3], "data_offsets": [-12, 0]}},
        {"a": {"dtype": "F16", "shape": [2, 3], "data_offsets": [0, 12, 12]}},
        {"a": {"dtype": "F16", "shape": [2, 3], "data_offsets": {"first": 0, "last": 12}}},
        {"a": None, "b": {"dtype": "F16", "shape": [2, 3], "data_offsets": [0, 12]}},
        {name: {"dtype": "F16", "shape": [2, 3], "data_offsets": [0, 12]} for name in "ab"},
        {"a": {"dtype": "F16", "shape": [1, 3], "data_offsets": [0, 6]}},
        {"a": {"dtype": "F16", "shape": [1, 3], "data_offsets": [6, 12]}},
    ],
)
def test_arrays_that_do_not_lie_where_their_header_says(tmp_path, entries):
    (tmp_path / "00000.safetensors").write_bytes(shard(entries, bytes(12)))
    with pytest.raises(DataError, match=r"00000\.safetensors is damaged: "):
        ShardReader(tmp_path)


def test_a_header_that_nests_or_never_ends(tmp_path):
    for text in ("[" * 100_000, '{"a": ' * 50_000, " " * ((1 << 22) + 1), "\xff\xfe"):
        content = text.encode("latin-1")
        (tmp_path / "00000.safetensors").write_bytes(struct.pack("<Q", len(content)) + content)
        with pytest.raises(DataError, match=r"00000\.safetensors is damaged: "):
            ShardReader(tmp_path)


def test_what_is_no_file_is_never_waited_for(tmp_path):
    (tmp_path / "00000.safetensors").mkdir()
    assert shards.drop_damaged(tmp_path) == []
    with pytest.raises(DataError, match="it is no file"):
        ShardReader(tmp_path)
    (tmp_path / "00000.safetensors").rmdir()
    os.mkfifo(tmp_path / "00000.safetensors")
    with pytest.raises(DataError, match="it is no file"):
        ShardReader(tmp_path)


def test_metadata_is_no_array(tmp_path):
    header = {"__metadata__": {"a": "b"}, "k": {"dtype": "F16", "shape": [1], "data_offsets": [0, 2]}}
    (tmp_path / "00000.safetensors").write_bytes(shard(header, bytes(2)))
    reader = ShardReader(tmp_path)
    assert reader.files == {"k": tmp_path / "00000.safetensors"}
    assert reader["k"].tolist() == [0.0]


def test_a_reader_travels_to_other_processes(tmp_path):
    """Open memory maps stay behind and are opened anew."""
    write(tmp_path, ["k1", "k2"])
    reader = ShardReader(tmp_path)
    assert reader["k1"][0, 0] == 1
    assert len(reader.opened) == 1
    again = pickle.loads(pickle.dumps(reader))  # noqa: S301
    assert again.opened == {}
    assert again["k2"][0, 0] == 2
    assert again.shapes == reader.shapes
