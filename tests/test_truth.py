"""The script that scores captions of real songs by people's labels: a stand-in of JamendoLyrics, made-up captions."""

import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from benchmarks import truth
from pages import ROOT, text_of

from recap_cli.errors import AudioError
from recap_cli.facts.facts import GENRES, THEMES, Facts
from recap_cli.facts.wordings import write_caption

FOLDER = ROOT / "examples" / "truth"
HEADER = "URL,Filepath,Artist,Title,Genre,LicenseType,Language,LyricOverlap,Polyphonic,NonLexical"
SONGS = (("a", "Metal", "French"), ("b", "Reggae", "English"), ("c", "Rock", "English"), ("gone", "Pop", "German"))
STATED = {
    "a": Facts("man", "rock", language="fr"),
    "b": Facts("sung", "pop", ("guitar", "drums"), language="en", themes=("faith", "friendship")),
    "c": Facts("none"),
}
DEMO = (
    "This song about a lost lover is remorseful in spirit. It is a brisk piece in a minor key, led by a guitar with a "
    "drum beat."
)


@pytest.fixture
def clone(tmp_path) -> Path:
    """As a clone lies, without one song's audio, and a table of further labels beside it."""
    for name in ("mp3", "lyrics"):
        (tmp_path / name).mkdir()
    rows = [f"u,{name}.mp3,Artist,Title,{genre},CC,{language},false,false,false" for name, genre, language in SONGS]
    (tmp_path / "JamendoLyrics.csv").write_text("\n".join([HEADER, *rows]) + "\n")
    for name, *_ in SONGS[:-1]:
        (tmp_path / "mp3" / f"{name}.mp3").touch()
    (tmp_path / "lyrics" / "a.txt").write_text("la la")
    (tmp_path / "labels.csv").write_text(
        "audio,lyrics,voice,genre,instruments,feel,language,themes\n"
        "a.mp3,,man|sung,,,,,\nb.mp3,,woman,,guitar,loud,,faith|war and violence\nc.mp3,,man,,-,,,-\n"
        "more/d.wav,,none,,,,,\n"
    )
    return tmp_path


@pytest.fixture
def captions(monkeypatch):
    """Stands for both models; a sound that is no music is refused."""

    def caption(self, audio, lyrics):
        if audio.stem == "d":
            raise AudioError(f"{audio} seems to be silence")
        text = DEMO if self.name == "demo" else write_caption(STATED[audio.stem], audio.stem)
        return SimpleNamespace(caption=text)

    stub = type("Stub", (SimpleNamespace,), {"caption": caption})
    loaded = SimpleNamespace(from_pretrained=lambda model: stub(name=model or "embedded model"))
    monkeypatch.setattr(truth, "Captioner", loaded)


def test_songs_and_labels_are_read(clone):
    songs = truth.add_labels(truth.read_jamendo(clone), clone / "labels.csv")
    assert [song.audio.name for song in songs] == ["a.mp3", "b.mp3", "c.mp3", "d.wav"]
    assert songs[0].lyrics == clone / "lyrics" / "a.txt" and songs[1].lyrics is None
    assert songs[0].right == {"genre": ("metal",), "language": ("fr",), "voice": ("man", "sung")}
    assert songs[1].right["genre"] == () and songs[1].right["themes"] == ("faith", "war and violence")
    assert songs[2].right["themes"] == songs[2].right["instruments"] == ()
    assert songs[3].audio == clone / "more" / "d.wav"


def test_what_is_right_is_counted(clone, captions, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["score_truth.py", str(clone), "--facts", str(clone / "labels.csv")])
    truth.main()
    out, err = capsys.readouterr()
    found = json.loads(out.splitlines()[-1])
    ours = found["systems"]["embedded model"]
    shares = {name: (row["right"], row["stated"], row["songs"]) for name, row in ours.items()}
    assert shares == {
        "sung or not": (0.667, 0.75, 4),  # d was refused
        "by a woman or a man": (0.667, 0.75, 4),
        "genre": (0.0, 0.667, 3),
        "genre, or a plausible one": (0.5, 0.667, 3),
        "instruments": (0.5, 0.5, 2),
        "feel": (None, 0.0, 1),
        "language": (1.0, 0.667, 3),
        "themes, each": (0.5, 0.5, 2),
        "themes, one of them": (1.0, 0.5, 2),
    }
    assert 0 <= ours["genre, or a plausible one"]["low"] <= 0.5 <= ours["genre, or a plausible one"]["high"] <= 1
    demo = found["systems"]["demo"]
    assert demo["genre"]["stated"] == demo["voice" if "voice" in demo else "sung or not"]["stated"] == 0
    assert (demo["instruments"]["right"], demo["feel"]["right"], demo["themes, each"]["right"]) == (0.25, 0.0, 0.0)
    constant = found["systems"][truth.COMMONEST]
    assert (constant["language"]["right"], constant["language"]["stated"]) == (0.667, 1.0)
    assert "d.wav: " in err and "states nothing comparable" in out


def test_the_demo_models_captions_are_read_in_our_names():
    assert truth.read_stated(DEMO, True) == {
        "instruments": ("guitar", "drums"), "feel": ("lively",), "themes": ("lost love",),
    }  # fmt: skip
    assert set(truth.DEMO_THEMES.values()) <= set(THEMES)


def test_the_guide_has_the_scripts_genres():
    rows = re.findall(r"^\| (\S+) \| (.+) \| ?(.*?) ?\|$", text_of(FOLDER / "README.md"), re.MULTILINE)
    told = {name: (same, plausible) for name, same, plausible in rows if name in truth.GENRES}
    assert told.keys() == truth.GENRES.keys()
    for name, (same, plausible) in truth.GENRES.items():
        assert {*same, *plausible} <= set(GENRES)
        assert told[name][1] == ", ".join(plausible)
        assert not same or told[name][0] == " or ".join(same)


def test_without_songs_it_says_what_is_missing(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["score_truth.py"])
    with pytest.raises(SystemExit):
        truth.main()
    assert "--facts" in capsys.readouterr().err
