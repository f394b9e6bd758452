"""The one reader under all tables: cells, quotes, encodings, headers, lists and missing texts, and its bounds."""

import json
import os
import re
import stat
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest

from recap_cli.corpus.song import Rejected, Song
from recap_cli.errors import DataError, RecapError
from recap_cli.evaluation.predictions import FileReader
from recap_cli.layouts.readers import choose_layout, read_corpus
from recap_cli.tables.cells import is_blank, is_missing, read_list, spelled
from recap_cli.tables.rows import read_rows, read_table

FAULTS = Path(__file__).parents[1] / "fixtures" / "corpora" / "faults"


def put(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def rows(path: Path, content: str | bytes, needed: str = "audio") -> list:
    return list(read_rows(put(path, content), needed))


def captions(path: Path) -> dict[str, list[str]]:
    return {song.id: [one.text for one in song.captions] for song in read_corpus(path) if isinstance(song, Song)}


def refusals(path: Path) -> list[tuple[str, str]]:
    return [(entry.song, entry.reason) for entry in read_corpus(path) if isinstance(entry, Rejected)]


def refuse(path: Path, content: str | bytes, message: str, needed: str = "audio") -> DataError:
    with pytest.raises(DataError, match=message) as caught:
        rows(path, content, needed)
    assert caught.value.hint
    return caught.value


# the reported files ---------------------------------------------------------------------------------------------------


def test_a_text_with_commas_is_no_shorter_text():
    assert captions(FAULTS / "comma.csv") == {"b": ["A quick, merry dance"], "c": ["A calm tune"]}
    ((line, reason),) = refusals(FAULTS / "comma.csv")
    assert line == "comma.csv, line 2" and reason.startswith("its cells do not fit the header: 5 cells for 3 columns")


def test_another_encoding_is_named_with_what_converts_it(tmp_path):
    path = FAULTS / "cp1252.csv"
    with pytest.raises(DataError, match=r"cp1252\.csv, line 2 is no UTF-8 text") as caught:
        list(read_corpus(path))
    command = caught.value.hint.partition("by: ")[2].partition(" > ")[0]
    assert command == f"iconv -f WINDOWS-1252 -t UTF-8 {path}"
    content = subprocess.run(command.split(), capture_output=True, check=True).stdout
    assert captions(put(tmp_path / "new.csv", content))["a"] == ["A caf\u00e9 song \u2013 it\u2019s na\u00efve"]


def test_a_stray_quote_swallows_no_song():
    assert captions(FAULTS / "quote-swallow.tsv") == {
        "a": ['"Heroes" is a loud song'],
        "b": ['"Oh what a night, a dance song'],
        "c": ["A calm tune"],
    }


def test_lists_as_python_writes_them():
    assert captions(FAULTS / "pylist.csv") == {
        "a": ["a sad song", "a song of the sea"],
        "b": ["a dance", "it's quick"],
        "c": ["calm"],
    }
    lists, right = (FileReader().read(FAULTS / name) for name in ("preds-pylist.csv", "preds-right.jsonl"))
    assert [(row.id, row.captions, row.references) for row in lists] == [
        (row.id, row.captions, row.references) for row in right
    ]


def test_nan_and_none_are_no_texts():
    songs = list(read_corpus(FAULTS / "none.csv"))
    assert [(song.captions, song.lyrics) for song in songs] == [((), "")] * 3


# cells and quotes -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("a,0.ogg,calm", {"id": "a", "audio": "0.ogg", "caption": "calm"}),
        ('a,0.ogg,"one, ""two"""', {"id": "a", "audio": "0.ogg", "caption": 'one, "two"'}),
        ('a,0.ogg,"one\ntwo"', {"id": "a", "audio": "0.ogg", "caption": "one\ntwo"}),
        ('a,0.ogg,a 12" single', {"id": "a", "audio": "0.ogg", "caption": 'a 12" single'}),
        ('a,0.ogg,"Heroes" is loud', {"id": "a", "audio": "0.ogg", "caption": '"Heroes" is loud'}),
        ('a,0.ogg,"x"  ', {"id": "a", "audio": "0.ogg", "caption": "x"}),
        (
            'a,0.ogg,"oh, my, love\noh, my, dear"',
            {"id": "a", "audio": "0.ogg", "caption": "oh, my, love\noh, my, dear"},
        ),
        ("a,0.ogg,A slow, sad song", "4 cells for 3 columns"),
        ("a,0.ogg,calm,", "4 cells for 3 columns"),
        ("a,0.ogg", "2 cells for 3 columns"),
        ('a,0.ogg,"x, y" z', "goes on behind its closing quote"),
        ('a, 0.ogg, "x, y"', "4 cells for 3 columns"),
    ],
)
def test_cells_of_a_csv(tmp_path, line, found):
    (first, row), (last, other) = rows(tmp_path / "t.csv", f"id,audio,caption\n{line}\nz,9.ogg,last\n")
    assert row == found if isinstance(found, dict) else found in row
    assert (first, last) == (2, 3 + line.count("\n"))
    assert other == {"id": "z", "audio": "9.ogg", "caption": "last"}


@pytest.mark.parametrize(
    ("body", "line"),
    [
        ('b,1.ogg,"Oh what a night\nc,2.ogg,A calm tune\n', 2),
        ('b,1.ogg,"Oh what a night\nc,2.ogg,"A calm tune"\n', 2),
        ('a,0.ogg,x\nb,1.ogg,"Oh what a night\nc,2.ogg,a 12"\n', 3),
        ('a,0.ogg,x\n"b,1.ogg,y\nc,2.ogg,"z"\n', 3),
        ('b,1.ogg,"' + "x\n" * 600_000, 2),
    ],
)
def test_a_csv_with_an_open_quote_is_refused_where_it_opens(tmp_path, body, line):
    refuse(tmp_path / "t.csv", f"id,audio,caption\n{body}", rf"t\.csv, line {line}: ")


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ('a\t0.ogg\t"one\ntwo"\nb\t1.ogg\tx', ["one\ntwo", "x"]),
        ('a\t0.ogg\t"one\tand ""two"""\nb\t1.ogg\tx', ['one\tand "two"', "x"]),
        ('a\t0.ogg\t"Oh\nb\t1.ogg\ta 12"\nc\t2.ogg\tx', ['"Oh', 'a 12"', "x"]),
        ('a\t0.ogg\t"Oh\nb\t1.ogg\t"My"\nc\t2.ogg\t"', ['"Oh', "My", '"']),
        ('a\t0.ogg\t"Heroes" by\nshort\nb\t1.ogg\tx', ['"Heroes" by', None, "x"]),
        ('a\t0.ogg\t"half a text\nthat is "never" closed\nb\t1.ogg\tx', [None, None, "x"]),
    ],
)
def test_quotes_in_a_tsv_are_letters_unless_they_quote(tmp_path, body, found):
    given = rows(tmp_path / "t.tsv", f"id\taudio\tcaption\n{body}\n")
    assert [row["caption"] if isinstance(row, dict) else None for _, row in given] == found


def test_a_million_stray_quotes_take_linear_time(tmp_path):
    began = time.process_time()
    given = rows(tmp_path / "t.tsv", "id\taudio\tcaption\n" + 'a\t0.ogg\t"x\n' * 50_000)
    assert [row["caption"] for _, row in given] == ['"x'] * 50_000
    assert time.process_time() - began < 10


# encodings ------------------------------------------------------------------------------------------------------------

PLAIN = "id,audio,caption\r\na,0.ogg,雨の歌 é\r\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
def test_encodings_and_line_ends(tmp_path, encoding, ends):
    path = put(tmp_path / "t.csv", PLAIN.replace("\r\n", ends).encode(encoding))
    assert list(read_rows(path, "audio")) == [(2, {"id": "a", "audio": "0.ogg", "caption": "雨の歌 é"})]
    assert choose_layout(path) == "manifest"
    lines = f'{{"audio": "0.ogg"}}{ends}{{"audio": "雨.ogg"}}{ends}'.encode(encoding)
    assert [row["audio"] for _, row in rows(tmp_path / "t.jsonl", lines)] == ["0.ogg", "雨.ogg"]


@pytest.mark.parametrize(
    ("content", "message", "encoding"),
    [
        (PLAIN.encode("utf-16-le"), "line 1 holds a null character", "UTF-16LE"),
        (PLAIN.encode("utf-16-be"), "line 1 holds a null character", "UTF-16BE"),
        (PLAIN.encode("utf-32"), "line 1 is no UTF-8 text, but UTF-32", "UTF-32"),
        (PLAIN.encode("utf-16") + b"\x00\xd8", "line 3 is no UTF-16 text", "UTF-16"),
        (b"id,audio\nx,a.ogg\ny,caf\xe9.ogg\n", "line 3 is no UTF-8", "WINDOWS-1252"),
        ("id,audio\nх,а.ogg\n".encode("cp1251"), "line 2 is no UTF-8", "WINDOWS-1252"),
        ("id,audio\r雨,a.ogg\r".encode("shift_jis"), "line 2 is no UTF-8", "WINDOWS-1252"),
        (b"id,audio\nx,a\xed\xa0\x80.ogg\n", "line 2 is no UTF-8", "WINDOWS-1252"),
        (b"id,audio\nx,a\x00.ogg\n", "line 2 holds a null character", "UTF-16LE"),
        (b"audio\n" + b"x\n" * 2_000_000 + b"\xe9\n", "line 2000002 is no UTF-8", "WINDOWS-1252"),
        (b"audio\nx" + "é".encode()[:1], "line 2 is no UTF-8", "WINDOWS-1252"),
    ],
)
def test_bytes_that_are_no_text_are_named_before_any_row(tmp_path, content, message, encoding):
    error = refuse(tmp_path / "old one.csv", content, message)
    old, new = (f"'{tmp_path / name}'" for name in ("old one.csv", "old one.utf8.csv"))
    assert f"iconv -f {encoding} -t UTF-8 {old} > {new}" in error.hint


# headers --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.csv", " id , Audio,CAPTION \nx,a.ogg,y\n"),
        ("t.csv", "id;audio;caption\nx;a.ogg;y\n"),
        ("t.csv", "sep=;\nid;audio;caption\nx;a.ogg;y\n"),
        ("t.csv", "sep=,\r\nid,audio,caption\r\nx,a.ogg,y\r\n"),
        ("t.csv", "id\taudio\tcaption\nx\ta.ogg\ty\n"),
        ("t.tsv", "id,audio,caption\nx,a.ogg,y\n"),
        ("t.csv", '"id","audio","caption"\n"x","a.ogg","y"\n'),
        ("t.csv", "\n\n\ufeffid,audio,\u00a0caption\nx,a.ogg,y\n"),
        ("t.csv", ",id,audio,caption\n0,x,a.ogg,y\n"),
        ("t.csv", "id,audio,caption,,\nx,a.ogg,y,,\n,,,,\n"),
        ("t.jsonl", '{"ID": "x", " audio": "a.ogg", "Caption": "y"}\n'),
    ],
)
def test_headers_as_people_write_them(tmp_path, name, content):
    path = put(tmp_path / name, content)
    assert captions(path) == {"x": ["y"]}
    assert refusals(path) == []


def test_headers_that_cannot_be_used(tmp_path):
    path = tmp_path / "t.csv"
    refuse(path, "id,audio,caption,Caption\nx,a.ogg,y,z\n", "has 2 columns 'caption'")
    refuse(path, "id,audio,id\nx,a.ogg,y\n", "has 2 columns 'id'")
    refuse(path, "id,file\nx,a.ogg\n", "has no column audio")
    refuse(path, "id," + "x" * 200_000 + "\n", "has no column audio")
    assert rows(path, "id,audio," + "x" * 200_000 + "\nx,a.ogg,\n")[0][1] == {"id": "x", "audio": "a.ogg"}
    assert "column 4 holds 'more', but has no name" in rows(path, "id,audio,caption,\nx,a.ogg,y,more\n")[0][1]


# lists and missing texts ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('["a", "b"]', ["a", "b"]),
        ("['a', \"it's\"]", ["a", "it's"]),
        (" [ 'a' , 'b' , ] ", ["a", "b"]),
        ("['a' 'b'\n 'c']", ["a", "b", "c"]),
        ("('a', 'b')", ["a", "b"]),
        ("('a',)", ["a"]),
        ("[]", []),
        (r"['it\'s', 'tab\there', '\u96e8', '\xe9', 'C:\\x']", ["it's", "tab\there", "雨", "é", "C:\\x"]),
        ("['a, \"b\"', '[c]']", ['a, "b"', "[c]"]),
        ("[Verse] la la", ["[Verse] la la"]),
        ("[sad]", ["[sad]"]),
        ("[sad] but [hopeful]", ["[sad] but [hopeful]"]),
        ('["Heroes"] is a song', ['["Heroes"] is a song']),
        ("['Cause I'm here] la", ["['Cause I'm here] la"]),
        ("(a song)", ["(a song)"]),
        ("[[Chorus]]", ["[[Chorus]]"]),
        ("{sad}", ["{sad}"]),
        ("['a', ['b', 'c']]", ["a", "b", "c"]),
    ],
)
def test_texts_that_are_lists_and_texts_that_are_none(text, found):
    assert read_list(text) == found
    assert read_list([text, "z"]) == [*found, "z"]


@pytest.mark.parametrize(
    "text",
    [
        "['a sad song', 'a song of",
        '["a", "b',
        "['a', b]",
        "['a song of the",
        "[{'text': 'a', 'vot",
        "{'a', 'b'}",
    ],
)
def test_lists_that_are_cut_off_are_no_captions(tmp_path, text):
    with pytest.raises(ValueError, match="looks like a list, but cannot be read"):
        read_list(text)
    path = put(tmp_path / "t.jsonl", json.dumps({"audio": "a.ogg", "caption": text}) + "\n")
    assert captions(path) == {} and "looks like a list" in refusals(path)[0][1]
    with pytest.raises(DataError, match="line 1: it looks like a list"):
        FileReader().read(put(tmp_path / "p.jsonl", json.dumps({"prediction": "x", "references": text}) + "\n"))


def test_endless_lists_are_bounded():
    for text in ("[" * 100_000, "['" + "\\" * 100_000, "[" + "'a'," * 100_000, "['a'" + "[" * 50_000 + "]" * 50_000):
        began = time.process_time()
        with suppress(ValueError):
            read_list(text)
        assert time.process_time() - began < 5


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({"captions": ["['a', 'b']", "c"]}, ["a", "b", "c"]),
        ({"captions": "[{'text': 'a', 'votes': 3}, {'text': 'b', 'votes': None}]"}, ["a", "b"]),
        ({"caption": '{"text": "a", "votes": 2}'}, ["a"]),
        ({"caption": "a", "captions": ["a", "b"]}, ["a", "b"]),
        ({"caption": "c", "captions": ["a", "b"]}, ["a", "b", "c"]),
        ({"caption": " NaN "}, []),
        ({"caption": "<NA>", "lyrics": "NULL"}, []),
        ({"caption": "None of us", "title": "None"}, ["None of us"]),
    ],
)
def test_captions_in_json(tmp_path, given, found):
    path = put(tmp_path / "t.jsonl", json.dumps({"audio": "a.ogg", **given}) + "\n")
    assert captions(path) == {"a.ogg": found}


@pytest.mark.parametrize(
    ("tags", "found"),
    [
        ("['live', 'loud']", {"live": "yes", "loud": "yes"}),
        ("{'mode': 'minor', 'bpm': 90}", {"mode": "minor", "bpm": "90"}),
        ("slow, sad", {"slow": "yes", "sad": "yes"}),
        ("mode=minor, tempo=slow", {"mode": "minor", "tempo": "slow"}),
        ("by=Earth, Wind; live", {"by": "Earth, Wind", "live": "yes"}),
        ("nan", {}),
    ],
)
def test_tags_as_texts(tmp_path, tags, found):
    (song,) = read_corpus(put(tmp_path / "t.jsonl", json.dumps({"audio": "a.ogg", "tags": tags}) + "\n"))
    assert song.tags == found


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ('{"audio": "a.ogg", "id": true}', "its id is True, not a text"),
        ('{"audio": "a.ogg", "id": ["x"]}', "its id is a list, not a text"),
        ('{"audio": "a.ogg", "id": 1.5}', "its id is 1.5, not a text"),
        ('{"audio": ["a.ogg"]}', "its audio is a list, not the name of a file"),
        ('{"audio": 7}', "its audio is 7, not the name of a file"),
        ('{"audio": "a.ogg", "title": {"x": 1}}', "its title is a dict, not a text"),
        ('{"audio": "a.ogg", "votes": Infinity, "caption": "x"}', "its votes are inf, no number of votes"),
        ('{"audio": "a.ogg", "votes": 2.5, "caption": "x"}', "its votes are 2.5, no number of votes"),
        ('{"audio": "a.ogg", "lyrics": "[\'la\', \'la\']"}', "its lyrics are no text"),
        ('{"audio": "a.ogg", "caption": "x", "caption": "y"}', "no JSON: the key 'caption' comes twice"),
        ('{"audio": "a.ogg", "Audio": "b.ogg"}', "two of its keys differ in spaces or case only"),
        ('{"audio": "a.ogg", "votes": ' + "9" * 5000 + "}", "no JSON: Exceeds the limit"),
        ('{"audio": ' + "[" * 100_000 + "}", "no JSON: it is nested too deeply"),
        ('{"audio": "a.ogg", "tags": "\\ud83d"}', "it holds half a character"),
        ('{"audio": "a.ogg", "captions": "[\'\\\\ud83d\']"}', "a caption holds half a character"),
        ("[1]", "no JSON object"),
        ("NaN", "no JSON object"),
    ],
)
def test_json_rows_that_say_no_song(tmp_path, row, reason):
    path = put(
        tmp_path / "t.jsonl", row + '\n{"id": 12, "audio": "b.ogg", "votes": 3.0, "caption": "z", "title": 1999}\n'
    )
    refused, song = read_corpus(path)
    assert refused.reason.startswith(reason)
    assert (song.id, song.title, song.captions[0].votes) == ("12", "1999", 3)


def test_words_for_nothing():
    assert all(
        map(is_missing, [None, float("nan"), "", " ", "nan", "NaN", "None", "NULL", "NA", "n/a", "<NA>", "#N/A"])
    )
    assert not any(map(is_missing, ["no", "Nana", "none of it", "0", 0, False, [], float("inf")]))
    assert all(map(is_blank, ["", " \t\n", "\u00a0", "\u200b\u200d", "...", "?!", "\ufeff", "\u3000", "♪"]))
    assert not any(map(is_blank, ["a", "7", "雨", "ع", "ก", "é", "Ω", "½"]))
    assert spelled("[1, 2]") is None


# bounds ---------------------------------------------------------------------------------------------------------------


def test_no_pipe_device_or_folder_is_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "zero.jsonl").symlink_to("/dev/zero")
    (tmp_path / "folder.json").mkdir()
    for name in ("pipe.csv", "zero.jsonl", "folder.json", "none.tsv", "n\0ull.csv", "x" * 300 + ".csv"):
        for read in (FileReader().read, lambda path: list(read_rows(path, "audio")), choose_layout):
            began = time.process_time()
            try:
                assert read(tmp_path / name) == "folder"
            except RecapError as error:
                assert name[:9] in error.message
            assert time.process_time() - began < 5
    assert stat.S_ISFIFO((tmp_path / "pipe.csv").stat().st_mode)


def test_a_million_columns_are_refused_at_once(tmp_path):
    path = tmp_path / "t.csv"
    began = time.process_time()
    refuse(path, "audio," * 1_900_000 + "\n" + "x,\n" * 3000, "has no column audio|line 1|1,900,001 columns")
    refuse(path, "audio," * 600_000 + "\n" + "x,\n" * 3000, "has 600,001 columns")
    for number, row in rows(path, "id,audio\n" + ("," * 1_000_000 + "\n") * 20 + "x,a.ogg\n"):
        assert row == {"id": "x", "audio": "a.ogg"} if number == 22 else "1,000,001 cells for 2 columns" in row
    assert time.process_time() - began < 10


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl"])
def test_an_endless_line_is_refused_and_the_next_is_read(tmp_path, suffix):
    good = '{"audio": "a.ogg"}\n' if suffix == ".jsonl" else "a.ogg\n"
    head = "" if suffix == ".jsonl" else "audio\n"
    given = rows(tmp_path / f"t{suffix}", head + good + "x" * 9_000_000 + "\n" + good)
    assert [row for _, row in given] == [
        {"audio": "a.ogg"},
        "the line has over 4,000,000 characters",
        {"audio": "a.ogg"},
    ]


def test_texts_of_tables_without_quotes(tmp_path):
    path = put(tmp_path / "id_information.csv", 'id\tartist\tsong\nx\tA\t"Heroes"\ny\tB\t"Oh\nz\tC\n')
    found = [row if isinstance(row, str) else row["song"] for _, row in read_table(path, "id", quoted=False)]
    assert found[:2] == ['"Heroes"', '"Oh'] and re.match("its cells do not fit", found[2])
