"""What music generators keep beside songs: texts, or one JSON file."""

import json
from pathlib import Path

import pytest
from open_corpora import SAID, WORDS, make_ace_step, make_generator_folder

from recap_cli.corpus.song import Caption, Rejected, Song
from recap_cli.errors import DataError
from recap_cli.layouts.readers import choose_layout, read_corpus


def test_texts_beside_songs(tmp_path):
    """A name that says lyrics counts before song.txt."""
    make_generator_folder(tmp_path)
    assert choose_layout(tmp_path) == "folder"
    assert [(song.title, song.lyrics, song.captions) for song in read_corpus(tmp_path)] == [
        ("song0", WORDS[0], (Caption(SAID[0][0]),)),
        ("song1", WORDS[1], (Caption(SAID[1][0]),)),
        ("song2", WORDS[2], ()),
    ]


def expected(folder: Path) -> list[Song]:
    return [
        Song(
            f"{number:08x}",
            str(folder / f"{number}.ogg"),
            "" if number == 2 else WORDS[number],
            (Caption(SAID[number][0]),),
            tags={"genre": "chamber pop", "bpm": f"{90 + number}", "keyscale": "C major", "timesignature": "4",
                  "language": "unknown" if number == 2 else "en"},
        )
        for number in range(3)
    ]  # fmt: skip


@pytest.mark.parametrize("piece", [1 << 20, 13])
def test_ace_step(tmp_path, monkeypatch, piece):
    """Audio is found beside the file, whatever machine the paths are of; the list is read in pieces."""
    path = make_ace_step(tmp_path)
    assert choose_layout(path) == "ace-step"
    monkeypatch.setattr("recap_cli.tables.text_files.CHUNK", piece)
    assert list(read_corpus(path, layout="ace-step")) == expected(tmp_path)


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("is_instrumental", "maybe", "its is_instrumental is 'maybe', neither true nor false"),
        ("lyrics", ["la", "la"], "its lyrics are no text"),
        ("audio_path", ["a.ogg"], "its audio_path is a list, not a text"),
        ("caption", 7, "a caption has no text"),
    ],
)
def test_damaged_samples(tmp_path, field, value, reason):
    path = make_ace_step(tmp_path)
    record = json.loads(path.read_text())
    record["samples"][0][field] = value
    path.write_text(json.dumps(record))
    first, *others = read_corpus(path)
    assert isinstance(first, Rejected) and (first.song, first.file) == ("dataset.json, sample 1", str(path))
    assert first.reason.startswith(reason)
    assert others == expected(tmp_path)[1:]


@pytest.mark.parametrize(
    ("cut", "message"),
    [
        (lambda text: text[: text.index("00000001")], "is damaged after item 1"),
        (lambda text: text.rstrip()[:-1], "is cut off behind its list"),
        (lambda text: text.replace('"samples"', '"sample"'), "is no JSON object with a list samples"),
    ],
)
def test_damaged_files(tmp_path, cut, message):
    path = make_ace_step(tmp_path)
    path.write_text(cut(path.read_text()))
    with pytest.raises(DataError, match=message):
        list(read_corpus(path, layout="ace-step"))
