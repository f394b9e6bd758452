import codecs

import pytest

from recap_cli.errors import LyricsError
from recap_cli.lyrics.reader import LARGEST, lyrics_of_text, read_lyrics


def cleaned(text: str) -> str:
    return lyrics_of_text(text).text


def read(tmp_path, data, name="song.txt"):
    path = tmp_path / name
    path.write_bytes(data if isinstance(data, bytes) else data.encode("utf-8"))
    return read_lyrics(path).text


@pytest.mark.parametrize(
    "data",
    [
        "Für Élise, naïve café".encode(),
        "Für Élise, naïve café".encode("utf-8-sig"),
        "Für Élise, naïve café".encode("utf-16"),
        codecs.BOM_UTF16_BE + "Für Élise, naïve café".encode("utf-16-be"),
        "Für Élise, naïve café".encode("utf-32"),
        codecs.BOM_UTF32_BE + "Für Élise, naïve café".encode("utf-32-be"),
        "Für Élise, naïve café".encode("utf-16-le"),
        "Für Élise, naïve café".encode("utf-16-be"),
        "Für Élise, naïve café".encode("cp1252"),
    ],
)
def test_encodings(tmp_path, data):
    assert read(tmp_path, data) == "Für Élise, naïve café"


def test_utf8_in_other_scripts(tmp_path):
    text = "君が代は\nчёрный ворон 🐦\nمی‌خواهم"
    assert read(tmp_path, text) == text


@pytest.mark.parametrize(
    "data",
    [
        b"\x89PNG\r\n\x1a\n" + bytes(range(256)),
        bytes(1000),
        b"RIFF\x24\x00\x00\x00WAVEfmt \x10\x00",
        codecs.BOM_UTF8 + b"\xff\xfe\x80",
        bytes(range(128, 256)) * 3,
        b"\x00\x01\x02\x03" * 9,
    ],
)
def test_what_is_no_text_is_refused(tmp_path, data):
    with pytest.raises(LyricsError, match=r"song\.txt is not text"):
        read(tmp_path, data)


def test_missing_folder_and_too_long(tmp_path):
    with pytest.raises(LyricsError, match=r"none\.txt cannot be read: No such file"):
        read_lyrics(tmp_path / "none.txt")
    with pytest.raises(LyricsError, match="is a folder"):
        read_lyrics(tmp_path)
    with pytest.raises(LyricsError, match="cannot be read"):
        read_lyrics(tmp_path / ("x" * 300))
    with pytest.raises(LyricsError, match="cannot be read"):
        read_lyrics("so\0ng.txt")
    with pytest.raises(LyricsError, match="over 1 MB"):
        read(tmp_path, b"la " * (LARGEST // 3 + 1))


def test_empty_file_is_empty_text(tmp_path):
    assert read(tmp_path, b"") == ""
    assert read(tmp_path, codecs.BOM_UTF8) == ""
    assert read(tmp_path, b" \r\n\r\n") == ""


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\u2028"])
def test_line_ends(end):
    assert cleaned(f"one{end}two{end}{end}{end}three{end}") == "one\ntwo\n\nthree"


@pytest.mark.parametrize(
    "tag",
    [
        "[Chorus]",
        "[Verse 1: Nina Simone]",
        "[Verse 1: A [of B]]",
        "[Chorus] [x2]",
        "(Chorus)",
        "(chorus x2)",
        "(Verse 2)",
        "(Bridge: Nina)",
        "Chorus:",
        "  Pre-Chorus :  ",
        "VERSE 3:",
        "Verse II:",
        "[00:10.00][Chorus]",
        "[ar:Somebody]",
    ],
)
def test_section_tags_alone_on_a_line_go(tag):
    assert cleaned(f"one\n{tag}\ntwo") == "one\ntwo"


@pytest.mark.parametrize(
    "line",
    [
        "la la (ooh)",
        "(ooh ooh)",
        "[ooh] la la [aah]",
        "(Bridge over the water)",
        "(Hook me up)",
        "sing the chorus: again",
        "Chorus: la la la",
        "Bridges:",
        "verse",
        "3:15 in the morning",
        "I <3 you",
    ],
)
def test_sung_words_stay(line):
    assert cleaned(f"one\n{line}\ntwo") == f"one\n{line}\ntwo"


def test_blank_lines_spaces_and_invisible_characters():
    assert cleaned("\n\n one \t\n\n \n\ntwo\u200b\ufeff  \n\n") == "one\n\ntwo"
    assert cleaned("cafe\u0301 \x00au\u00a0lait") == "café au lait"
    assert cleaned("\n[Chorus]\n\nla") == "la"
    assert cleaned("la\n\n[Chorus]\n\nla") == "la\n\nla"


def test_time_stamps_in_plain_text():
    assert cleaned("[00:12.00]one\n[00:13] <00:13.1>two <00:14.25>three") == "one\ntwo three"


def test_cleaning_twice_changes_nothing():
    text = cleaned("[Intro]\n\n[00:01.00] One\r\n\r\n\r\nChorus:\nTwo (ooh)\n[x2]\n")
    assert text == cleaned(text) == "One\n\nTwo (ooh)"


def test_lrc_is_sung_in_order(tmp_path):
    lrc = (
        "\ufeff[ti:A Song]\r\n[ar:Nobody]\r\n[offset:+500]\r\n[length: 3:21]\r\n"
        "[00:12.00][01:02.5] Again and again\r\n"
        "[00:05.50]First <00:06.10>of <00:06.60>all\r\n"
        "[00:20.00] <00:20.00> word <00:21.00>stamps\r\n"
        "[00:30.00]\r\n"
        "[00:40:50]colon\r\n[00:40.05]point\r\nunstamped\r\n[01:10.00][Chorus]\r\n[100:00]last\r\n"
    )
    expected = "First of all\nAgain and again\nword stamps\n\npoint\nunstamped\ncolon\nAgain and again\nlast"
    assert read(tmp_path, lrc, "song.LRC") == expected


def test_lrc_without_stamps_is_plain_text(tmp_path):
    assert read(tmp_path, "two\none\n", "song.lrc") == "two\none"


def test_hostile_lines_are_quick():
    for line in ("[" * 5000, "[a" * 5000 + "]", "(chorus" + " " * 5000, "[00:01]" * 5000 + "x", "[a] " * 5000 + "x"):
        cleaned(line)
