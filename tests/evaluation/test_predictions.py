"""Captions of any system: three kinds of file, and every row that cannot be used named by its line."""

import json
import random
from collections import Counter

import pytest

from recap_cli.errors import DataError
from recap_cli.evaluation.predictions import read_predictions

ROWS = [
    {"song": "a", "prediction": "a song, of love", "references": ["love", 'a "love" song'], "lyrics": "la la"},
    {"song": "b", "prediction": "", "references": ["the sea\nat night"]},
]


def write(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def lines(*records):
    return "\n".join(json.dumps(record) for record in records) + "\n"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("p.jsonl", lines(*ROWS)),
        ("p.json", json.dumps(ROWS, indent=1)),
        ("p.json", "\ufeff" + lines(*ROWS)),
        (
            "p.csv",
            'song,prediction,references,lyrics\r\na,"a song, of love","[""love"", ""a \\""love\\"" song""]",la la\r\n'
            'b,,"the sea\nat night",\r\n',
        ),
    ],
)
def test_three_kinds_of_file_give_the_same_rows(tmp_path, name, content):
    first, second = read_predictions(write(tmp_path, name, content))
    assert (first.id, first.captions, first.references) == ("a", ("a song, of love",), ("love", 'a "love" song'))
    assert (second.id, second.captions, second.references) == ("b", ("",), ("the sea\nat night",))
    assert first.lyrics == "la la"


@pytest.mark.parametrize("column", ["reference", "ground_truth"])
def test_other_names_of_columns(tmp_path, column):
    (row,) = read_predictions(write(tmp_path, "p.jsonl", lines({"prediction": "x", column: "y"})))
    assert (row.id, row.references, row.lyrics) == ("", ("y",), None)


def test_what_caption_wrote(tmp_path):
    """The best caption is scored; a song that failed is none with an empty caption."""
    rest = {"scores": [-1.0, -2.0], "model": "m", "settings": {}, "warnings": []}
    written = [
        {"id": "a", "audio": "a.ogg", "caption": "best", "captions": ["best", "other"], **rest},
        {"id": "b", "audio": "b.ogg", "caption": "", "captions": [], **rest, "error": "needs ffmpeg"},
        {"id": "c", "audio": "c.ogg", "caption": "", "captions": [""], **rest},
    ]
    rows = read_predictions(write(tmp_path, "p.jsonl", lines(*written)))
    assert [(row.id, row.captions, row.error) for row in rows] == [
        ("a", ("best",), ""),
        ("b", (), "needs ffmpeg"),
        ("c", ("",), ""),
    ]


@pytest.mark.parametrize("given", ["['x']", '["x"]', ["x"], "('x',)"])
def test_a_list_of_one_prediction(tmp_path, given):
    (row,) = read_predictions(write(tmp_path, "p.jsonl", lines({"prediction": given})))
    assert row.captions == ("x",)


def test_references_may_be_left_out(tmp_path):
    (row,) = read_predictions(write(tmp_path, "p.jsonl", lines({"id": 7, "prediction": "x"})))
    assert (row.id, row.references) == ("7", ())


def test_captions_of_100000_words(tmp_path):
    long = "word " * 100_000
    (row,) = read_predictions(write(tmp_path, "p.csv", f"prediction,reference\n{long},x\n"))
    assert row.captions == (long.strip(),)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("p.jsonl", "", "holds no predictions"),
        ("p.json", "[]", "holds no predictions"),
        ("p.json", '[{"prediction": "x"', "is no JSON"),
        ("p.jsonl", lines(ROWS[0]) + '{"song": "b"', "line 2 is no JSON"),
        ("p.jsonl", lines(ROWS[0], ["b"]), "line 2 is no JSON object"),
        ("p.jsonl", lines({"text": "x"}), "line 1 has no prediction"),
        ("p.jsonl", '{"prediction": NaN, "reference": "x"}', "line 1: prediction is nan, not a text"),
        ("p.jsonl", '{"prediction": null, "reference": "x"}', "line 1: prediction is None, not a text"),
        ("p.json", '[{"prediction": "x", "reference": 3}]', "entry 1: reference is 3, not a text"),
        ("p.csv", "prediction,reference\nNone,x\n", "line 2: prediction is 'None', not a text"),
        ("p.jsonl", '{"id": true, "prediction": "x"}', "line 1: its song is True, not a text"),
        ("p.jsonl", '{"id": [1], "prediction": "x"}', "line 1: its song is a list, not a text"),
        ("p.jsonl", '{"prediction": "x", "prediction": "y"}', "line 1 is no JSON: the key 'prediction' comes twice"),
        ("p.jsonl", '{"prediction": "x", "references": ["a", null]}', "line 1: references is None, not a text"),
        ("p.json", '[{"prediction": "x"}] and more', "something follows its list"),
        ("p.csv", "song;text\na;x\n", "has no column prediction"),
        ("p.csv", "prediction,reference\nnan,x\n", "line 2: prediction is 'nan', not a text"),
        ("p.jsonl", '\n{"prediction": "x", "reference": " "}', "line 2: reference is empty"),
        ("p.jsonl", '{"prediction": "x", "references": []}', "line 1: references is empty"),
        ("p.jsonl", lines(ROWS[0], {"song": "b", "prediction": "x"}), "line 2: no reference"),
        ("p.jsonl", lines(ROWS[0], {"prediction": "x", "reference": "y"}), "line 2 has no song id"),
        ("p.jsonl", '{"prediction": "\\ud83d", "reference": "x"}', "line 1: it holds half a character"),
        ("p.jsonl", '{"id": "\\ud83d", "prediction": "x"}', "line 1: it holds half"),
        ("p.jsonl", "[" * 100_000, "is no JSON"),
        ("p.jsonl", lines(*ROWS, ROWS[0]), r"line 3: song a comes again \(first in line 1\)"),
        ("p.jsonl", lines(ROWS[0]).encode() + b'{"prediction": "\xff"}', "line 2 is no UTF-8"),
        ("p.csv", b"prediction,reference\nx,y\nx,\xe9\n", "line 3 is no UTF-8"),
        ("p.csv", "prediction,reference\nx,y\nx,y,z\n", "line 3: its cells do not fit"),
        ("p.csv", "prediction,reference\nx\n", "line 2: its cells do not fit"),
        ("p.csv", 'prediction,reference\n"x,y\n', "line 2: a quote opens here that is never closed"),
    ],
)
def test_rows_that_cannot_be_used_are_named(tmp_path, name, content, message):
    path = write(tmp_path, name, content)
    with pytest.raises(DataError, match=message) as caught:
        read_predictions(path)
    assert str(path) in caught.value.message and caught.value.hint


def test_files_that_cannot_be_read(tmp_path):
    for path in (tmp_path / "none.jsonl", tmp_path):
        with pytest.raises(DataError, match="cannot read"):
            read_predictions(path)


def test_damaged_files_give_rows_or_a_data_error(tmp_path):
    """Bytes changed, cut and doubled at random in files of each kind."""
    rng = random.Random(0)
    table = 'song,prediction,references\na,"x, y","[""z""]"\nb,,w\n'
    sources = {"p.jsonl": lines(*ROWS), "p.json": json.dumps(ROWS), "p.csv": table}
    outcomes = Counter()
    for _ in range(300):
        name = rng.choice(sorted(sources))
        content = bytearray(sources[name].encode())
        for _ in range(rng.randint(1, 4)):
            place = rng.randrange(len(content))
            action = rng.randrange(3)
            if action == 0:
                content[place] = rng.randrange(256)
            elif action == 1:
                del content[place : place + rng.randint(1, 20)]
            else:
                content[place:place] = content[place : place + rng.randint(1, 20)]
        try:
            rows = read_predictions(write(tmp_path, name, bytes(content)))
            assert all(all(isinstance(text, str) for text in row.captions) for row in rows)
            outcomes["rows"] += 1
        except DataError as error:
            assert name in error.message
            outcomes["error"] += 1
    assert min(outcomes["rows"], outcomes["error"]) > 20
