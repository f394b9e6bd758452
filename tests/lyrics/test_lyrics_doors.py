"""A guessed encoding is told wherever lyrics come in; through the real command, in this process."""

import io
import json
import sys

import mutagen
import numpy as np
import pytest
import soundfile
from mutagen.id3 import USLT

from recap_cli.captioning.captioner import Captioner
from recap_cli.cli.app import main


@pytest.fixture
def recap(capsys):
    """Runs the command; its exit code, stdout, and the lines of stderr."""

    def run(*arguments):
        code = main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return code, out, err.splitlines()

    return run


@pytest.fixture
def song(tmp_path):
    folder = tmp_path / "music"
    folder.mkdir()
    time = np.arange(8 * 16000) / 16000
    soundfile.write(folder / "song.wav", 0.4 * np.sin(2 * np.pi * 330 * time * (1 + time)), 16000)
    return folder / "song.wav"


def test_guessed_lyrics_are_told_at_every_door(recap, song, tmp_path, monkeypatch):
    """Named, from stdin, beside, in tags, in a manifest: the same caption as of UTF-8, and a word."""
    captioner = Captioner.from_pretrained("demo", device="cpu")
    monkeypatch.setattr("recap_cli.captioning.caption.load_captioner", lambda options, progress: captioner)
    words = "луна встаёт над дальней горой\nя помню твой весёлый смех\n"
    (tmp_path / "right.txt").write_text(words, encoding="utf-8")
    right = json.loads(recap("caption", song, tmp_path / "right.txt", "--json", "-q")[1])
    guess = "encoding of the lyrics guessed as Windows-1251: save them as UTF-8 to be sure"
    expected = (right["caption"], right["lyrics_tokens"], [guess])

    def caption(*arguments):
        code, out, err = recap("caption", *arguments, "--json", "-q")
        assert code == 0 and any(guess in line for line in err)
        record = json.loads(out)
        return record["caption"], record["lyrics_tokens"], record["warnings"]

    (song.parent / "named.lrc").write_bytes(
        "[00:09.00]я помню твой весёлый смех\n[00:01,50]луна встаёт над дальней горой".encode("cp1251")
    )
    assert caption(song, song.parent / "named.lrc") == expected
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(words.encode("cp1251"))))
    assert caption(song, "-") == expected
    manifest = song.parent / "songs.jsonl"
    manifest.write_text(json.dumps({"audio": song.name, "lyrics_file": "named.lrc"}) + "\n")
    assert caption(manifest) == expected
    song.with_suffix(".LRC").write_bytes(words.encode("cp1251"))
    assert caption(song) == expected
    assert caption(song.parent)[2] == [guess]
    song.with_suffix(".LRC").unlink()
    tagged = song.with_suffix(".mp3")
    soundfile.write(tagged, *soundfile.read(song))
    tags = mutagen.File(tagged)
    tags.add_tags()
    tags.tags.add(USLT(encoding=0, lang="rus", desc="", text=words.encode("cp1251").decode("latin-1")))
    tags.save()
    assert caption(tagged)[1:] == expected[1:]


def test_prepare_counts_lyrics_whose_encoding_was_guessed(recap, song, tmp_path):
    song.with_suffix(".TXT").write_bytes("луна встаёт над дальней горой".encode("cp1251"))
    code, out, _ = recap("prepare", song.parent, "--out", tmp_path / "data", "--json", "-q", "--resampler", "soxr")
    assert code == 0
    assert json.loads(out)["warnings"]["encoding of the lyrics guessed as Windows-1251"] == 1
    (line,) = (tmp_path / "data" / "songs.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(line)["song"]["lyrics"] == "луна встаёт над дальней горой"
    assert "warnings" not in json.loads(line)["song"]
