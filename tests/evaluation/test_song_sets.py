"""The songs that are scored: where they come from, which all files have, and captions put in their order."""

import json
from pathlib import Path

import pytest

from recap_cli.errors import DataError
from recap_cli.evaluation.options import EvaluateOptions
from recap_cli.evaluation.predictions import Columns, FileReader
from recap_cli.evaluation.songs import match_files, set_scene
from recap_cli.files import write_json_lines
from recap_cli.progress import SilentProgress

LAYOUTS = Path(__file__).parents[1] / "fixtures" / "captions"
DESCRIBER, CMI, MULJAM = LAYOUTS / "song_describer.csv", LAYOUTS / "cmi_bench.jsonl", LAYOUTS / "MulJam"


@pytest.fixture
def said(monkeypatch) -> list[str]:
    """What is told to the user."""
    told: list[str] = []
    monkeypatch.setattr(SilentProgress, "say", lambda self, message: told.append(message))
    return told


def look(*files, **options):
    """Returns the songs, and the captions of the files in their order."""
    given = EvaluateOptions(options.pop("data", None), predictions=files, **options)
    reader = FileReader(given.columns, given.song_key)
    rows = {path: reader.read(path) for path in given.files}
    scene = set_scene(given, rows, reader, SilentProgress())
    return scene.scored, [*match_files(rows, scene.scored, SilentProgress(), given.limit, given.common).values()]


def write(path, *rows):
    write_json_lines(path, rows)
    return path


@pytest.fixture
def right(tmp_path):
    return write(
        tmp_path / "right.jsonl",
        {"id": "a", "prediction": "A", "reference": "x"},
        {"id": "b", "prediction": "B", "references": ["y", "z"]},
    )


# captions in the order of the songs -----------------------------------------------------------------------------------


def test_captions_are_put_in_order_by_id(tmp_path, right, said):
    rows = [{"id": "b", "prediction": "2"}, {"id": "c", "prediction": ""}, {"id": "a", "prediction": ["1", " "]}]
    songs, found = look(right, write(tmp_path / "p.jsonl", *rows))
    assert songs.ids == ["a", "b"] and found == [[("A",), ("B",)], [("1", " "), ("2",)]]
    assert [line.partition("p.jsonl: ")[2] for line in said] == [
        "1 songs are not among those scored and are left out",
        "1 captions are empty and score 0",
    ]


def test_other_references_are_told_of_once(tmp_path, right, said):
    rows = [{"id": "a", "prediction": "1", "reference": "x"}, {"id": "b", "prediction": "2", "reference": "z"}]
    look(right, write(tmp_path / "p.jsonl", *rows))
    assert said == []
    other = [{**row, "reference": "w"} for row in rows]
    look(right, *(write(tmp_path / name, *other) for name in ("p.jsonl", "q.jsonl")))
    assert len(said) == 1 and "p.jsonl: 2 songs have other references there" in said[0]
    assert said[0].endswith("; so in 1 more file")


def test_rows_without_ids_are_known_by_their_references(tmp_path):
    rows = [{"prediction": "1", "reference": "x"}, {"prediction": "2", "references": ["y", "z"]}]
    first = write(tmp_path / "first.jsonl", *rows)
    assert look(first, write(tmp_path / "p.jsonl", *rows))[1][1] == [("1",), ("2",)]
    with pytest.raises(DataError, match="references in line 1 are not those"):
        look(first, write(tmp_path / "p.jsonl", *rows[::-1]))
    with pytest.raises(DataError, match="1 rows for 2 songs"):
        look(first, write(tmp_path / "p.jsonl", rows[0]))


# songs that files lack ------------------------------------------------------------------------------------------------


def test_songs_that_files_lack_are_counted_or_left_out(tmp_path, right, said):
    third = {"id": "c", "prediction": "C", "reference": "w"}
    right = write(right, *map(json.loads, right.read_text().splitlines()), third)
    one = write(tmp_path / "one.jsonl", {"id": "a", "prediction": "1"}, {"id": "c", "prediction": "3"})
    two = write(tmp_path / "two.jsonl", {"id": "a", "prediction": "1"})
    with pytest.raises(DataError) as caught:
        look(right, one, two)
    assert f"{one} lacks 1 of the 3 songs, such as b; {two} lacks 2 of the 3 songs, such as b, c" in str(caught.value)
    assert "--common" in caught.value.hint and caught.value.hint.endswith(": 1")
    songs, found = look(right, one, two, common=True)
    assert songs.ids == ["a"] and found == [[("A",)], [("1",)], [("1",)]]
    assert len(said) == 1 and "1 of 3 songs" in said[0] and f"2 that {two} lacks" in said[0]


@pytest.mark.parametrize("common", [True, False])
def test_references_of_another_data_set(tmp_path, common):
    other = write(tmp_path / "p.jsonl", {"id": "other/1.wav", "prediction": "1"})
    with pytest.raises(DataError, match=r"lacks 3 of the 3 songs, such as 1000001, 1000002") as caught:
        look(other, references=DESCRIBER, common=common)
    assert "p.jsonl has 1" in caught.value.hint and "--song-key" in caught.value.hint


# references, artists and lyrics from elsewhere ------------------------------------------------------------------------


def test_song_describer_brings_references_and_artists(said):
    songs, (captions,) = look(CMI, references=DESCRIBER)
    assert songs.ids == ["1000001", "1000002", "1000003"] and songs.artists == ["11", "12", "11"]
    assert songs.references[0][1] == "two accordions play a waltz" and songs.lyrics == [None] * 3
    assert captions[0] == ("a waltz with an accordion.", "slow folk music.") and said == []
    songs, (captions,) = look(CMI, references=DESCRIBER, subset="validated")
    assert [len(texts) for texts in songs.references] == [1, 1] and songs.artists == ["11", "12"]
    assert len(captions[0]) == 2, "what a system said of a song does not depend on who checked the references"


def test_lyrics_of_muljam(said):
    songs, _ = look(CMI, references=DESCRIBER, lyrics=MULJAM)
    assert songs.lyrics == ["Round and round\nthe rain comes down", None, "Schlaf ein\nschlaf ein, mein Mäuschen"]
    assert said[0].endswith("has the lyrics of 2 of the 3 songs")
    songs, captions = look(CMI, references=DESCRIBER, lyrics=MULJAM, common=True)
    assert songs.ids == ["1000001", "1000003"] and songs.artists == ["11", "11"] and len(captions[0]) == 2
    assert f"1 that {MULJAM} lacks" in said[-1]


def test_lyrics_folders_of_other_kinds(tmp_path):
    (tmp_path / "1000002.lrc").write_text("[00:01.00]boom")
    assert look(CMI, references=DESCRIBER, lyrics=tmp_path)[0].lyrics == [None, "boom", None]
    (tmp_path / "1000003.json").write_text('{"text": "x"}')
    with pytest.raises(DataError, match=r"1000003\.json holds no lyrics: it has no text under output"):
        look(CMI, references=DESCRIBER, lyrics=tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="has no lyrics of the 3 songs"):
        look(CMI, references=DESCRIBER, lyrics=tmp_path / "empty")
    with pytest.raises(DataError, match="--lyrics: no folder"):
        look(CMI, references=DESCRIBER, lyrics=tmp_path / "none")


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_a_manifest_brings_captions_artists_and_lyrics(tmp_path, suffix):
    rows = [
        {"audio": "x/a.mp3", "captions": ["one", "two"], "artist": "Ann", "title": "Aria", "lyrics_file": "a.txt"},
        {"audio": "x/b.mp3", "captions": [{"text": "three", "votes": 2}], "lyrics": "la\nla"},
        {"audio": "x/c.mp3"},
    ]
    path = tmp_path / f"manifest{suffix}"
    (tmp_path / "a.txt").write_text("sung")
    if suffix == ".jsonl":
        write(path, *rows)
    else:
        path.write_text(
            'audio,captions,artist,title,lyrics_file,lyrics\nx/a.mp3,"[""one"", ""two""]",Ann,Aria,a.txt,\n'
            'x/b.mp3,three,,,,"la\nla"\nx/c.mp3,,,,,\n'
        )
    said = write(tmp_path / "p.jsonl", *({"id": name, "prediction": name} for name in "abc"))
    songs, captions = look(said, references=path)
    assert songs.ids == ["a", "b"] and captions == [[("a",), ("b",)]]
    assert songs.references == [["one", "two"], ["three"]] and songs.artists == ["Ann", ""]
    assert songs.lyrics == ["sung", "la\nla"] and songs.titles == ["Aria · Ann", ""]


@pytest.mark.parametrize("flag", ["data", "references"])
def test_a_prepared_folder_brings_references(tiny_data, tmp_path, flag):
    """Files may name its songs by their audio."""
    names = [entry.song.id for entry in tiny_data.split("test")]
    path = write(tmp_path / "p.jsonl", *({"id": f"x/{name}.mp3", "prediction": name} for name in names))
    songs, captions = look(path, **{flag: tiny_data.folder})
    assert songs.ids == names and captions == [[(name,) for name in names]]
    assert songs.lyrics[0] == tiny_data.split("test")[0].song.lyrics


def test_songs_keep_their_artists(tmp_path):
    row = {"prediction": "x", "reference": "x"}
    path = write(tmp_path / "p.jsonl", {"id": "a", "artist_id": 7, **row}, {"id": "b", "artist_id": "", **row})
    songs, _ = look(path)
    assert songs.artists == ["7", ""] and songs.without({"b"}).artists == ["7"]
    assert look(CMI)[0].artists == [], "no column, no artists"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"columns": Columns.parse("prediction=answer")}, "no file has a column answer"),
        ({"song_key": "(x+)"}, "matches no song of any file"),
        (
            {"references": LAYOUTS / "lp_musiccaps.json", "subset": "validated"},
            "holds no references that are validated",
        ),
        ({"references": MULJAM / "train"}, "dataset.json"),
    ],
)
def test_what_was_told_must_be_of_use(options, message):
    with pytest.raises(DataError, match=message) as caught:
        look(CMI, **options)
    assert caught.value.hint
