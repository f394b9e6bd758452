"""Captions as a person, a pipe and a file get them; warnings and failures of many songs are told once, at the end."""

import csv
import io
import json
from types import SimpleNamespace

import pytest
from rich.console import Console
from screens import check_screen, draw_screen

from recap_cli.captioning.caption import Tally
from recap_cli.captioning.captioner import NO_LYRICS
from recap_cli.captioning.song_caption import FactsOfSong, SongCaption
from recap_cli.cli import caption_screen as module
from recap_cli.cli.caption_screen import caption_block, caption_panel, render_captions, write_caption
from recap_cli.cli.console import ConsoleProgress
from recap_cli.errors import DataError
from recap_cli.facts import wordings
from recap_cli.facts.facts import Facts, Guess
from recap_cli.facts.known import KnownFacts
from recap_cli.report.drawing import draw
from recap_cli.report.tables import catalogue_table

ODE = (
    "This song about a factory job is defiant in spirit. It is a brisk piece in a major key, led by a brassy trumpet "
    "with a drum beat. The mood is optimistic."
)
ONE = SimpleNamespace(is_batch=False, out=None, shard_out=None)
MANY = SimpleNamespace(is_batch=True, out=None, shard_out=None)


def plain(quiet: bool = False) -> tuple[ConsoleProgress, io.StringIO]:
    file = io.StringIO()
    return ConsoleProgress(Console(file=file, width=60), quiet), file


def song(name: str = "a.wav", *captions: str, **changes) -> SongCaption:
    fields = {
        "audio": name,
        "captions": list(captions) or ["A sad song."],
        "scores": [-0.5] * max(1, len(captions)),
        "model": "tiny",
        "excerpt": {"start": 0.0, "seconds": 6.5},
        "settings": {"beams": 4},
        "id": name,
    }
    return SongCaption(**{**fields, **changes})


def failed(name: str, reason: str) -> SongCaption:
    return song(name, error=reason, captions=[], scores=[], excerpt={})


def counted(tally: Tally, songs):
    """Captions that are counted as they pass, as the workflow does."""
    for one in songs:
        tally.add(one)
        yield one


# screens --------------------------------------------------------------------------------------------------------------


def test_the_box_of_one_song():
    """What was heard and read, by which model, how long each took; long names are wrapped, never cut."""
    name = "music/Verdi/La forza del destino, Act I, Scene 2 - Overture (1869 revision).ogg"
    result = song(
        name, ODE, seconds=0.26, model="runs/large-2026-11-27", excerpt={"start": 90.0, "seconds": 15.0},
        lyrics_from=name.replace(".ogg", ".txt"),
    )  # fmt: skip
    two = song("song.mp3", "One.", "Two.", excerpt={"start": 0.0, "seconds": 3700.0, "windows": 247})
    check_screen("caption-one-song", caption_panel(result, 4.13), caption_panel(two, 0.5))


def known(**guesses) -> KnownFacts:
    return KnownFacts(Facts(), {**dict.fromkeys(Facts().to_json(), ()), **guesses})


def test_the_box_of_a_song_with_facts():
    """What the caption rests on stands below it, with how sure that is, and what was left out."""
    facts = Facts("woman", None, ("guitar",), "gentle", "en", ("lost love", "memories and growing up"))
    teachers = known(
        voice=(Guess("woman", 0.984, True),), instruments=(Guess("guitar", 0.871, True),),
        genre=(Guess("rock", 0.4, False), Guess("pop", 0.38, False)), feel=(Guess("gentle", 0.94, True),),
        language=(Guess("en", 1.0, True),), themes=(Guess("lost love", 0.61, True), Guess("friendship", 0.09, False)),
    )  # fmt: skip
    sung = song(
        "music/Fantasma.mp3", wordings.write_caption(facts, "x"), lyrics_from="music/Fantasma.txt", seconds=2.4,
        model="embedded model", excerpt={"start": 0.0, "seconds": 174.0}, rests_on=FactsOfSong(facts, teachers, 58),
    )  # fmt: skip
    bare = Facts("none")
    unsure = known(voice=(Guess("none", 0.9, True),), genre=(Guess("jazz", 0.1, False),))
    tune = song(
        "tune.ogg", wordings.write_caption(bare, "x"), lyrics_from="none", rests_on=FactsOfSong(bare, unsure, 3)
    )
    check_screen("caption-facts", caption_panel(sung, 3.2), caption_panel(tune, 3.2))


def test_many_songs():
    songs = [song("music/ode-to-joy.ogg", ODE), failed("bad.mp3", "bad.mp3 is not audio that can be decoded")]
    songs.append(song("b.ogg", "One.", "Two."))
    check_screen("caption-many-songs", *map(caption_block, songs))


def test_the_dry_run():
    plan = {
        "source": "music/auld-lang-syne.ogg and 1299 more", "songs": 1300, "done_before": 20, "to_caption": 1280,
        "unreadable": 2, "with_lyrics": 1100, "songs_per_hour": 1000, "hours": 1.28, "measured_on": 16,
    }  # fmt: skip
    check_screen("caption-dry-run", draw(catalogue_table(plan)))
    assert "less than a minute" in str(catalogue_table({**plan, "hours": 0.0}).rows)


def test_the_title_comes_from_the_tags(monkeypatch):
    monkeypatch.setattr(module, "title_in_tags", lambda audio: "Nina - Feeling")
    assert module.title_of(song("x/y.mp3")) == "Nina - Feeling"
    assert (
        module.title_of(song("x/y.mp3", title="Nina - Sinnerman")) == "Nina - Sinnerman"
    )  # a table is the owner's word
    monkeypatch.undo()
    assert module.title_of(song("x/y.mp3")) == ""


def test_two_files_of_the_same_name_are_told_apart():
    shown = [draw_screen(80, caption_block(song(f"{disc}/01.mp3", ODE))) for disc in ("disc 1", "disc 2")]
    assert "disc 1/01.mp3" in shown[0] and "disc 2/01.mp3" in shown[1]


# one song -------------------------------------------------------------------------------------------------------------


def test_captions_to_a_pipe_are_bare(capsys):
    progress, file = plain()
    render_captions(iter([song("a.wav", "First.", "Second.")]), ONE, False, progress, Tally())
    assert capsys.readouterr().out == "First.\nSecond.\n"
    assert file.getvalue() == ""


def test_captions_to_a_terminal_are_framed(monkeypatch):
    screen = io.StringIO()
    monkeypatch.setattr(module, "stdout_console", lambda: Console(file=screen, width=64, force_terminal=True))
    tally = Tally(loaded_at=14.0)
    render_captions([song("[b]/a.wav", "A [sad] song.", seconds=0.25)], ONE, False, plain()[0], tally, began=10.0)
    text = screen.getvalue()
    assert "A [sad] song." in text and "0:00 to 0:06 of [b]/a.wav" in text
    assert "loaded in 4.0 s, captioned in 0.2 s" in text


@pytest.mark.parametrize("name", ["caption.json", "caption.jsonl", "caption.csv", "caption.tsv", "caption.txt"])
def test_the_file_is_what_its_name_says(capsys, tmp_path, name):
    out = tmp_path / "new" / name
    write_caption(song("a.wav", "A sad, slow song.", "=1+1", warnings=["odd: x"]), out, False)
    text = out.read_text()
    if out.suffix in (".json", ".jsonl"):
        assert json.loads(text)["captions"] == ["A sad, slow song.", "=1+1"]
    elif out.suffix == ".txt":
        assert text == "A sad, slow song.\n=1+1\n"
    else:
        rows = list(csv.DictReader(text.splitlines(), delimiter="\t" if out.suffix == ".tsv" else ","))
        assert [row["caption"] for row in rows] == ["A sad, slow song.", "'=1+1"]  # no formula for a spreadsheet
        assert rows[0] == {
            "id": "a.wav", "audio": "a.wav", "caption": "A sad, slow song.", "score": "-0.5", "warnings": "odd: x",
            "error": "", "model": "tiny",
        }  # fmt: skip
    assert capsys.readouterr().out == ""
    assert [path.name for path in out.parent.iterdir()] == [name]


def test_one_song_as_json(capsys):
    render_captions([song()], ONE, True, plain()[0], Tally())
    record = json.loads(capsys.readouterr().out)
    assert (record["id"], record["caption"], record["schema"]) == ("a.wav", "A sad song.", 1)
    assert record["excerpt"] == {"start_seconds": 0.0, "seconds": 6.5}


def test_a_file_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    for out, reason in ((tmp_path, "Is a directory"), (tmp_path / "file" / "x.json", "Not a directory")):
        with pytest.raises(DataError, match=f"cannot write .*: (File exists|{reason})"):
            write_caption(song(), out, False)


# many songs -----------------------------------------------------------------------------------------------------------


def test_many_songs_are_json_lines(capsys):
    progress, file = plain()
    bad = failed("b.wav", "is empty")
    odd = [song(f"{name}.wav", warnings=["odd"]) for name in "cd"]
    tally = Tally(skipped=3)
    render_captions(counted(tally, [song(), bad, *odd]), MANY, False, progress, tally)
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [record["audio"] for record in records] == ["a.wav", "b.wav", "c.wav", "d.wav"]
    assert records[1]["error"] == "is empty" and "error" not in records[0]
    assert file.getvalue().splitlines() == [
        "warning: 2 of 3 songs: odd, for example c.wav",
        "Captioned 3 songs, 3 done before.",
        "warning: 1 song failed:",
        "warning: b.wav: is empty",
    ]


def test_each_kind_of_warning_is_told_once_with_an_example(capsys):
    """Whatever the numbers in it, most frequent first, to a pipe as to a terminal."""
    progress, file = plain()
    cut = [song(f"{n}.mp3", warnings=[f"lyrics cut at 512 tokens: they have {600 + n}"]) for n in range(9)]
    tally = Tally()
    render_captions(counted(tally, [song("x.mp3", warnings=[NO_LYRICS]), *cut]), MANY, False, progress, tally)
    first, second, *_ = file.getvalue().splitlines()
    assert first == "warning: 9 of 10 songs: lyrics cut at 512 tokens, for example 0.mp3: they have 600"
    assert second == f"warning: x.mp3: {NO_LYRICS}"


def test_the_bar_stays_below_the_songs(monkeypatch):
    """On one terminal: each song is written where the bar was, and the bar is drawn again under it; then a hint."""
    screen = io.StringIO()
    console = Console(file=screen, width=60, force_terminal=True)
    monkeypatch.setattr(module, "stdout_console", lambda: console)
    progress, tally = ConsoleProgress(console), Tally()

    def working():
        progress.start("Captioning songs", 2)
        for name in ("a.wav", "b.wav"):
            progress.advance()
            tally.add(song(name))
            yield song(name)
        progress.finish()

    render_captions(working(), MANY, False, progress, tally)
    text = screen.getvalue()
    places = [text.index("a.wav"), text.rindex("1/2"), text.index("b.wav"), text.rindex("2/2"), text.index("--out")]
    assert places == sorted(places)
    assert "{" not in text
    assert "\x1b[2K" in text[: text.index("a.wav")]  # the bar was wiped before


def test_scripts_get_no_hint(monkeypatch, capsys):
    screen = io.StringIO()
    terminal = Console(file=screen, width=80, force_terminal=True)
    for as_json, quiet in ((True, False), (False, True), (False, False)):
        tally = Tally()
        progress = ConsoleProgress(terminal, quiet)
        render_captions(counted(tally, [song()]), MANY, as_json, progress, tally)
        assert json.loads(capsys.readouterr().out)["schema"] == 1  # stdout is a pipe here
    assert "--out" not in screen.getvalue()


def test_the_list_of_failures_ends(capsys):
    progress, file = plain(quiet=True)
    tally = Tally()
    bad = [failed(f"{name}.wav", f"{name}.wav is empty") for name in range(30)]
    render_captions(counted(tally, bad), MANY, False, progress, tally)
    lines = file.getvalue().splitlines()
    assert lines[:2] == ["warning: 30 songs failed:", "warning: 0.wav is empty"]
    assert lines[-1] == "warning: and 10 more, see the lines with an error"
    assert len(lines) == 22
