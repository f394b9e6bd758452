"""`recap doctor` says what a bug report needs, and fails with a way out where something needed is broken."""

import json

import pytest
from pages import ROOT
from schemas import check_document
from screens import check_screen

from recap_cli.cli import doctor
from recap_cli.cli.app import main
from recap_cli.report.drawing import draw


@pytest.fixture
def healthy(monkeypatch, tmp_path):
    """A machine that is looked at quickly."""
    monkeypatch.setenv("RECAP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(doctor, "PACKAGES", ("rich", "numpy"))
    monkeypatch.setattr(doctor, "embedded_model", lambda: "loads; fingerprint 27c7c59fbdfd")
    monkeypatch.setattr(doctor, "fonts", lambda: "Chinese")


def test_a_healthy_machine(healthy, capsys, tmp_path):
    assert main(["doctor", "--json", "-q"]) == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    check_document("doctor", found)
    assert err == "" and found["broken"] == {} and found["schema"] == 1
    assert found["versions"].keys() == {"recap", "python", "system", "rich", "numpy", "libsndfile"}
    assert found["machine"]["devices"].endswith("cpu")
    assert found["files"]["cache folder"].startswith(str(tmp_path / "cache"))
    assert found["environment"]["RECAP_CACHE"] == str(tmp_path / "cache")


def test_what_is_broken_is_named_with_a_way_out(healthy, monkeypatch, capsys, tmp_path):
    (tmp_path / "cache").write_text("a file")
    monkeypatch.setattr(doctor, "PACKAGES", ("rich", "no_such_package"))
    monkeypatch.setattr(doctor, "ffmpeg_version", lambda: 1 / 0)  # can be done without
    assert main(["doctor", "-q"]) == 1
    out, err = capsys.readouterr()
    message, hint = err.splitlines()
    assert message == "recap: broken: no_such_package, cache folder"
    assert "pip install" in hint and "RECAP_CACHE" in hint
    assert "broken: ModuleNotFoundError" in out and "broken: ZeroDivisionError" in out


def test_screens():
    report = doctor.Report(
        {
            "Versions": {"recap": "0.1.0 in /home/me/recap-cli", "python": "3.12.1 (/home/me/.venv/bin/python)"},
            "Machine": {"devices": "cuda:0 (NVIDIA H100 80GB HBM3), cpu", "ffmpeg": "not found: needed for m4a only"},
        }
    )  # fmt: skip
    check_screen("doctor", *map(draw, report.tables()))


def test_every_variable_is_documented():
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [name for name in doctor.VARIABLES if f"`{name}`" not in page] == []


@pytest.mark.parametrize("how", ["flag", "variable"])
def test_debug_shows_a_traceback_before_the_two_lines(how, capsys, monkeypatch):
    if how == "variable":
        monkeypatch.setenv("RECAP_DEBUG", "1")
    assert main(["caption", "none.ogg", *(["--debug"] if how == "flag" else [])]) == 1
    err = capsys.readouterr().err
    assert err.startswith("Traceback") and "check_places" in err
    assert [line[:5] for line in err.splitlines()[-2:]] == ["recap", "try: "]


def test_without_debug_there_is_none(capsys, monkeypatch):
    monkeypatch.delenv("RECAP_DEBUG", raising=False)
    assert main(["caption", "none.ogg"]) == 1
    assert "Traceback" not in capsys.readouterr().err
