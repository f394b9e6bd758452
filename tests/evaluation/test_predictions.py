"""Captions of any system: three kinds of file, and every row that cannot be used named by its line."""

import json
import random
import time
from collections import Counter
from pathlib import Path

import pytest

from recap_cli.errors import DataError, OptionError
from recap_cli.evaluation.predictions import Columns, FileReader, stem_of

LAYOUTS = Path(__file__).parents[1] / "fixtures" / "captions"  # of others, with captions of ours
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
    first, second = FileReader().read(write(tmp_path, name, content))
    assert (first.id, first.captions, first.references) == ("a", ["a song, of love"], ["love", 'a "love" song'])
    assert (second.id, second.captions, second.references) == ("b", [""], ["the sea\nat night"])
    assert first.lyrics == "la la"


@pytest.mark.parametrize("column", ["reference", "ground_truth"])
def test_other_names_of_columns(tmp_path, column):
    (row,) = FileReader().read(write(tmp_path, "p.jsonl", lines({"prediction": "x", column: "y"})))
    assert (row.id, row.references, row.lyrics) == ("", ["y"], None)


def test_what_caption_wrote(tmp_path):
    """The best caption is scored; a song that failed is none with an empty caption."""
    rest = {"scores": [-1.0, -2.0], "model": "m", "settings": {}, "warnings": []}
    written = [
        {"id": "a", "audio": "a.ogg", "caption": "best", "captions": ["best", "other"], **rest},
        {"id": "b", "audio": "b.ogg", "caption": "", "captions": [], **rest, "error": "needs ffmpeg"},
        {"id": "c", "audio": "c.ogg", "caption": "", "captions": [""], **rest},
    ]
    rows = FileReader().read(write(tmp_path, "p.jsonl", lines(*written)))
    assert [(row.id, row.captions, row.error) for row in rows] == [
        ("a", ["best"], ""),
        ("b", [], "needs ffmpeg"),
        ("c", [""], ""),
    ]


@pytest.mark.parametrize("given", ["['x']", '["x"]', ["x"], "('x',)"])
def test_a_list_of_one_prediction(tmp_path, given):
    (row,) = FileReader().read(write(tmp_path, "p.jsonl", lines({"prediction": given})))
    assert row.captions == ["x"]


def test_several_captions_of_a_song_are_put_together(tmp_path):
    """Rows in any order, captions that are alike too; what they say of the song otherwise is said once."""
    rows = [
        {"song": "a", "prediction": "x", "reference": "r", "lyrics": "la"},
        {"song": "b", "prediction": ["y", "z"], "reference": "s", "artist": "Bo"},
        {"song": "a", "prediction": "x", "references": ["r", "t"], "artist": "Al"},
    ]
    first, second = FileReader().read(write(tmp_path, "p.jsonl", lines(*rows)))
    assert (first.captions, first.references, first.lyrics, first.artist) == (["x", "x"], ["r", "t"], "la", "Al")
    assert (second.id, second.captions, second.references) == ("b", ["y", "z"], ["s"])


def test_a_table_of_recap_caption_has_the_best_caption_first(tmp_path):
    head = "id,audio,caption,score,warnings,error,model\n"
    text = head + "a,a.mp3,best,-1.0,,,m\na,a.mp3,other,-2.0,,,m\nb,b.mp3,,,,no audio,m\nc,c.mp3,c,-1,,,m\n"
    rows = FileReader().read(write(tmp_path, "p.csv", text))
    assert [(row.id, row.captions, row.error) for row in rows] == [
        ("a", ["best"], ""), ("b", [], "no audio"), ("c", ["c"], ""),
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["cmi_bench.jsonl", "lp_musiccaps_infer.json"])
def test_layouts_of_others(name):
    rows = FileReader().read(LAYOUTS / name)
    assert [row.id for row in rows] == ["1000001", "1000002", "1000003"]
    assert rows[0].captions == ["a waltz with an accordion.", "slow folk music."]
    assert rows[0].references == [
        "A slow waltz for two accordions, with rain in the background.", "two accordions play a waltz",
    ]  # fmt: skip
    assert (rows[2].noun, rows[2].number) == ("entry", 4)


def test_the_layout_of_lp_musiccaps_without_ids():
    rows = FileReader().read(LAYOUTS / "lp_musiccaps.json")
    assert [(row.id, row.place) for row in rows][:2] == [("", "entry 1"), ("", "entry 2")] and len(rows) == 4


def test_columns_can_be_named(tmp_path):
    """They count in the files that have them; the others keep those of their layouts."""
    table = "Track;Said by it;human;who\n1.mp3;x;y;Al\n"
    reader = FileReader(Columns.parse("prediction=said by it,song=track, reference=Human,artist=who"))
    (row,) = reader.read(write(tmp_path, "p.csv", table))
    assert (row.id, row.captions, row.references, row.artist) == ("1", ["x"], ["y"], "Al")
    assert len(reader.read(LAYOUTS / "cmi_bench.jsonl")) == 3
    reader.check()
    with pytest.raises(DataError, match="has no column prediction") as caught:
        FileReader().read(tmp_path / "p.csv")
    assert "track, said by it, human, who" in caught.value.hint and "--columns prediction=NAME" in caught.value.hint


@pytest.mark.parametrize("text", ["", "prediction", "answer=x", "song=", "song=a,song=b", "song=a,,"])
def test_other_columns_are_refused(text):
    with pytest.raises(OptionError, match="--columns"):
        Columns.parse(text)


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("../x/34/1004034.2min.mp3", "1004034"),
        ("34/1004034.low.mp3", "1004034"),
        ("C:\\music\\1004034.MP3", "1004034"),
        ("1004034.30s", "1004034"),
        ("1004034", "1004034"),
        ("disc 1/Vol. 2", "disc 1/Vol. 2"),
        ("Mr. Low.flac", "Mr. Low"),
        (".mp3", ".mp3"),
        ("夜/歌.wav", "歌"),
    ],
)
def test_songs_are_told_by_the_stems_of_their_files(name, stem):
    assert stem_of(name) == stem


def test_stems_that_do_not_tell_songs_apart_are_not_used(tmp_path):
    rows = [{"id": f"disc{number}/01.mp3", "prediction": "x"} for number in (1, 2)]
    path = write(tmp_path, "p.jsonl", lines(*rows))
    assert [row.id for row in FileReader().read(path)] == ["disc1/01.mp3", "disc2/01.mp3"]
    reader = FileReader(song_key=r"disc(\d)")
    assert [row.id for row in reader.read(path)] == ["1", "2"]
    reader.check()
    (row,) = FileReader(song_key="(disc)").read(path)
    assert len(row.captions) == 2, "what a pattern finds is the song"


def test_scripts_of_all_directions(tmp_path):
    rows = [
        {"id": "שיר", "prediction": "שיר על הים", "reference": "הים"},
        {"id": "歌", "prediction": "海の歌", "reference": "海"},
    ]
    for name, text in (
        ("p.jsonl", lines(*rows)),
        ("p.tsv", "id\tprediction\treference\n" + "".join("\t".join(row.values()) + "\n" for row in rows)),
    ):
        found = FileReader().read(write(tmp_path, name, text))
        assert [(row.id, row.captions[0]) for row in found] == [(row["id"], row["prediction"]) for row in rows]


def test_100000_captions_are_read_quickly(tmp_path):
    """Of one song over 10,000 are refused, since that is no song."""
    rows = (
        f'{{"audioid": "x/{row // 2}.wav", "response": "caption {row}", "correct_answer": "r"}}'
        for row in range(100_000)
    )
    path = write(tmp_path, "p.jsonl", f"[{','.join(rows)}]")
    began = time.process_time()
    found = FileReader().read(path)
    assert time.process_time() - began < 10
    assert len(found) == 50_000 and found[-1].captions == ["caption 99998", "caption 99999"]
    path = write(tmp_path, "one.csv", "song,prediction\n" + "a,x\n" * 10_001)
    with pytest.raises(DataError, match="line 10002: song a has over 10,000 captions"):
        FileReader().read(path)


def test_references_may_be_left_out(tmp_path):
    (row,) = FileReader().read(write(tmp_path, "p.jsonl", lines({"id": 7, "prediction": "x"})))
    assert (row.id, row.references) == ("7", [])


def test_captions_of_100000_words(tmp_path):
    long = "word " * 100_000
    (row,) = FileReader().read(write(tmp_path, "p.csv", f"prediction,reference\n{long},x\n"))
    assert row.captions == [long.strip()]


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
        ("p.jsonl", lines({"prediction": [], "reference": "x"}), "line 1: prediction is a list without a text"),
        ("p.jsonl", lines({"caption": "x", "response": "y"}), "line 1 has captions in two columns"),
        (
            "p.jsonl",
            lines({"id": 1, "prediction": "x", "artist": "A"}, {"id": 1, "prediction": "y", "artist": "B"}),
            "line 2: song 1 is by 'B', but by 'A' in line 1",
        ),
        ("p.json", '{"0": {"prediction": "x"}, "1"}', "is no JSON: it is damaged after item 1"),
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
        FileReader().read(path)
    assert str(path) in caught.value.message and caught.value.hint


def test_files_that_cannot_be_read(tmp_path):
    for path in (tmp_path / "none.jsonl", tmp_path):
        with pytest.raises(DataError, match="cannot read"):
            FileReader().read(path)


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
            rows = FileReader().read(write(tmp_path, name, bytes(content)))
            assert all(all(isinstance(text, str) for text in row.captions) for row in rows)
            outcomes["rows"] += 1
        except DataError as error:
            assert name in error.message
            outcomes["error"] += 1
    assert min(outcomes["rows"], outcomes["error"]) > 20
