"""Lines by number through memory maps."""

import pickle

import pytest

from recap_cli.corpus import texts
from recap_cli.corpus.texts import MappedLines


@pytest.mark.parametrize("block", [3, 1 << 24])
@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (b"", []),
        (b"\n", []),
        (b"one", [b"one"]),
        (b"one\n", [b"one"]),
        ("雨\n\n  \ntwo\r\nthree".encode(), ["雨".encode(), b"two\r", b"three"]),
        (b"\none\n\n\ntwo\n\n", [b"one", b"two"]),
    ],
)
def test_lines(tmp_path, monkeypatch, content, lines, block):
    monkeypatch.setattr(texts, "BLOCK", block)
    path = tmp_path / "x.jsonl"
    path.write_bytes(content)
    found = MappedLines([path])
    assert len(found) == len(lines)
    assert list(found) == [found[place] for place in range(len(lines))] == lines


def test_several_files(tmp_path):
    for name, content in (("a", b"1\n2\n"), ("b", b""), ("c", b"3")):
        (tmp_path / name).write_bytes(content)
    found = MappedLines([tmp_path / name for name in "abc"])
    assert list(found) == [b"1", b"2", b"3"]
    assert list(pickle.loads(pickle.dumps(found))) == list(found)  # noqa: S301
    with pytest.raises(FileNotFoundError):
        MappedLines([tmp_path / "d"])
