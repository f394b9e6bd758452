"""Lyrics in the tags of every kind of file, and a word for none; hostile tags cost neither time nor memory."""

import os
import shutil
import struct
import subprocess
import tracemalloc
from functools import cache
from time import process_time

import mutagen
import numpy as np
import pytest
import soundfile
from mutagen.id3 import SYLT, TXXX, USLT
from tagged_audio import (
    AUDIO,
    LYRICS,
    ape,
    ape_footer,
    atom,
    chunks,
    comment,
    flac,
    frame,
    id3,
    lyrics3,
    mp4,
    mp4_free,
    mp4_text,
    ogg,
    ogg_page,
    packed,
    sylt,
    uslt,
)  # fmt: skip
from test_encodings import CHINESE, FRENCH, HUNGARIAN, JAPANESE, RUSSIAN

from recap_cli.lyrics.id3 import LARGEST_FRAME
from recap_cli.lyrics.tags import UNREAD, lyrics_in_tags, title_in_tags

TEXT = "Hola, señor\n雨が降る 🎵"
PLAIN = LYRICS.encode()


@pytest.fixture
def song(tmp_path):
    def write(name):
        path = tmp_path / name
        form = {"format": "OGG", "subtype": "OPUS"} if path.suffix == ".opus" else {}
        soundfile.write(path, np.zeros(1600), 16000, **form)
        return path

    return write


@pytest.fixture
def read(tmp_path):
    """Writes bytes as a file and reads its lyrics."""

    def through(data):
        path = tmp_path / "song.mp3"
        path.write_bytes(data)
        return lyrics_in_tags(path)

    return through


def text_of(lyrics):
    return None if lyrics is None else lyrics.text


@pytest.mark.parametrize("suffix", ["mp3", "wav", "aiff"])
def test_id3(song, suffix):
    path = song(f"song.{suffix}")
    assert lyrics_in_tags(path) is None
    for encoding in (1, 2, 3):
        for tag in (
            TXXX(encoding=encoding, desc="LYRICS", text=[TEXT]),
            TXXX(encoding=encoding, desc="UnsyncedLyrics", text=[TEXT]),
            TXXX(encoding=encoding, desc="lyrics-eng", text=[TEXT]),
            SYLT(encoding=encoding, lang="eng", format=2, type=1, desc="", text=[(x, 0) for x in TEXT.split("\n")]),
            USLT(encoding=encoding, lang="spa", desc="", text=TEXT),
        ):
            file = mutagen.File(path)
            file.tags is None and file.add_tags()
            file.tags.clear()
            file.tags.add(tag)
            file.save()
            assert text_of(lyrics_in_tags(path)) == TEXT


@pytest.mark.parametrize("suffix", ["flac", "ogg", "opus"])
@pytest.mark.parametrize("key", ["LYRICS", "unsyncedlyrics", "SYNCEDLYRICS", "Lyrics-eng", "UNSYNCED LYRICS"])
def test_vorbis_comments(song, suffix, key):
    path = song(f"song.{suffix}")
    assert lyrics_in_tags(path) is None
    file = mutagen.File(path)
    file[key] = [TEXT]
    file["TITLE"] = "x" * 70_000
    file["LYRICIST"] = "nobody"
    file.save()
    assert text_of(lyrics_in_tags(path)) == TEXT
    data = path.read_bytes()
    path.write_bytes(id3(frame("TIT2", b"\0x"), padding=100) + data)
    assert text_of(lyrics_in_tags(path)) == TEXT  # ID3 in front, which no such file should have


@pytest.mark.skipif(not shutil.which("ffmpeg"), reason="needs ffmpeg")
@pytest.mark.parametrize(
    ("suffix", "key"), [("m4a", "\xa9lyr"), ("wma", "WM/Lyrics"), ("wv", "Lyrics"), ("oga", "LYRICS")]
)
def test_files_of_an_encoder(tmp_path, suffix, key):
    path = tmp_path / f"song.{suffix}"
    command = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "sine=d=0.2", str(path)]
    subprocess.run(command, check=True)
    assert lyrics_in_tags(path) is None
    file = mutagen.File(path)
    file[key] = TEXT
    file.save()
    assert text_of(lyrics_in_tags(path)) == TEXT


@pytest.mark.parametrize(
    "data",
    [
        id3(frame("ULT", uslt(PLAIN), 2), version=2),
        id3(frame("SLT", sylt(PLAIN.split(b"\n")), 2), version=2),
        id3(frame("TXX", b"\0LYRICS\0" + PLAIN, 2), version=2),
        id3(frame("APIC", bytes(3000), 4), frame("USLT", uslt(PLAIN), 4), version=4),
        id3(frame("APIC", bytes(3000), 3), frame("USLT", uslt(PLAIN), 3), version=4),  # sizes as old iTunes wrote them
        id3(frame("USLT", packed(uslt(PLAIN)), 3, 0x80)),
        id3(frame("USLT", packed(uslt(PLAIN), 4), 4, 0x09), version=4),
        id3(frame("USLT", packed(uslt(PLAIN), 4)[4:], 4, 0x08), version=4),
        id3(frame("USLT", b"\x01" + uslt(PLAIN), 4, 0x40), version=4),
        id3(bytes([0, 0, 0, 6]) + bytes(6), frame("USLT", uslt(PLAIN)), flags=0x40),
        id3(bytes([0, 0, 0, 10]) + bytes(6), frame("USLT", uslt(PLAIN), 4), version=4, flags=0x40),
        id3(frame("USLT", uslt(b"", language=b"deu")), frame("USLT", uslt(b" \n")), frame("USLT", uslt(PLAIN))),
        id3(frame("SYLT", sylt([b"Am", b"F"], kind=5)), frame("SYLT", sylt(PLAIN.split(b"\n")))),
        id3(frame("SYLT", sylt([b"the ", b"moon is ", b"rising over the hill", b"\nI remember ",
        b"the way you smiled"]))),
        id3(frame("SYLT", sylt([b"la"])), frame("USLT", uslt(PLAIN))),
        id3(frame("USLT",
        uslt(b"[00:09.00]I remember the way you smiled\n[00:01,50]the moon is rising over the hill"))),
        id3(frame("USLT", uslt(PLAIN + b"\0\0"))),
        id3(padding=300) + AUDIO + ape(("Title", b"x"), ("Lyrics", PLAIN)),
        AUDIO + ape(("UNSYNCEDLYRICS", PLAIN)) + b"TAG" + bytes(125),
        AUDIO + ape(("SYNCEDLYRICS", b"[00:01]la"), ("lyrics", PLAIN)),
        AUDIO + lyrics3(PLAIN),
        AUDIO + ape(("Lyrics", PLAIN)) + lyrics3(b"other"),
        b"MP+\x07" + bytes(99) + ape(("Lyrics", PLAIN)),
        b"MAC " + bytes(99) + ape(("Lyrics", PLAIN)),
        mp4(mp4_text(b"\xa9nam", b"x"), mp4_text(b"\xa9lyr", PLAIN)),
        mp4(mp4_free(b"LYRICS", PLAIN)), mp4(mp4_free(b"UNSYNCEDLYRICS", PLAIN)),
        flac((0, bytes(34)), (6, bytes(9999)), (4, comment(("TITLE", b"x"), ("lyrics", PLAIN)))),
        ogg(b"OpusTags" + comment(("METADATA_BLOCK_PICTURE", b"A" * 400_000), ("LYRICS", PLAIN))),
        ogg(b"\x03vorbis" + comment(("LYRICS", PLAIN)) + b"\x01", b"\x01vorbis" + bytes(23)),
        chunks(b"RIFF", (b"fmt ", bytes(17)), (b"data", bytes(9)), (b"id3 ", id3(frame("USLT", uslt(PLAIN))))),
        chunks(b"RF64", (b"ds64", bytes(28)), (b"ID3 ", id3(frame("USLT", uslt(PLAIN))))),
        chunks(b"FORM", (b"COMM", bytes(18)), (b"ID3 ", id3(frame("USLT", uslt(PLAIN))))),
        b"DSD " + struct.pack("<QQQ", 28, 0, 40) + bytes(12) + id3(frame("USLT", uslt(PLAIN))),
    ],
)  # fmt: skip
def test_every_place_that_taggers_use(read, data):
    assert read(data).text == LYRICS


@pytest.mark.parametrize("kind", [0, 2, 3, 4, 5, 6, 7, 8])
def test_chords_and_events_are_no_lyrics(read, kind):
    assert read(id3(frame("SYLT", sylt([b"Am", b"F"], kind=kind))) + AUDIO) is None


@pytest.mark.parametrize("key", ["LYRICIST", "lyrics_url", "lyrics by", "LYRICSBY", "comment", "mylyrics"])
def test_other_tags_are_no_lyrics(read, key):
    assert read(id3(frame("TXXX", b"\0" + key.encode() + b"\0nobody"))) is None
    assert read(flac((4, comment((key, b"nobody"))))) is None
    assert read(AUDIO + ape((key, b"nobody"))) is None
    assert read(AUDIO + ape(("Lyrics", b"\x01\x02binary"), flags=2)) is None


@pytest.mark.parametrize(
    ("text", "encoding", "warned"),
    [(RUSSIAN, "utf-8", 0), (CHINESE, "utf-8", 0), (FRENCH, "utf-8", 0), (RUSSIAN, "cp1251", 1), (CHINESE, "gbk", 1),
     (JAPANESE, "shift_jis", 1), (HUNGARIAN, "cp1250", 1), (FRENCH, "latin-1", 0), (RUSSIAN, "koi8-r", 1)],
)  # fmt: skip
def test_what_is_marked_latin1_is_read_for_what_it_is(read, text, encoding, warned):
    data = text.encode(encoding)
    for tagged in (
        id3(frame("USLT", uslt(data))),
        id3(frame("SYLT", sylt(data.split(b"\n")))),
        id3(frame("TXXX", b"\0LYRICS\0" + data)),
        id3(frame("USLT", uslt(data), 4), version=4),
    ):
        lyrics = read(tagged + AUDIO)
        assert (lyrics.text, len(lyrics.warnings)) == (text.strip(), warned)


@pytest.mark.parametrize(("text", "encoding"), [(RUSSIAN, "cp1251"), (CHINESE, "gbk"), (JAPANESE, "shift_jis")])
def test_what_is_marked_utf8_and_is_not(read, text, encoding):
    data = text.encode(encoding)
    for tagged in (
        id3(frame("USLT", uslt(data, 3))), AUDIO + ape(("Lyrics", data)), mp4(mp4_text(b"\xa9lyr", data)),
        flac((4, comment(("LYRICS", data)))), ogg(b"OpusTags" + comment(("LYRICS", data))),
    ):  # fmt: skip
        lyrics = read(tagged)
        assert lyrics.text == text.strip()
        assert "guessed" in lyrics.warnings[0]


def test_utf16_without_a_mark(read):
    assert read(id3(frame("USLT", uslt(RUSSIAN.encode("utf-16-le"), 1, mark=b"\0\0")))).text == RUSSIAN.strip()
    assert read(id3(frame("USLT", uslt(RUSSIAN.encode("utf-16-be"), 2, mark=b"\0\0")))).text == RUSSIAN.strip()
    assert read(id3(frame("USLT", uslt(RUSSIAN.encode("utf-16"), 1, mark=b"\xff\xfe\0\0")))).text == RUSSIAN.strip()


def test_unsynchronised_tags(read):
    text = "\ufeffla la\nlo".encode("utf-16-le")
    stuffed = (frame("USLT", uslt(text, 1, mark=b"\xff\xfe\0\0"))).replace(b"\xff", b"\xff\0")
    assert read(id3(stuffed, flags=0x80)).text == "la la\nlo"
    stuffed = uslt(text, 1, mark=b"\xff\xfe\0\0").replace(b"\xff", b"\xff\0")
    assert read(id3(frame("USLT", stuffed, 4, 0x02), version=4)).text == "la la\nlo"


def test_no_lyrics_are_no_error(song, tmp_path):
    (tmp_path / "text.mp3").write_text("no audio")
    (tmp_path / "cut.mp3").write_bytes(b"ID3\x04\x00\x00\x7f\x7f\x7f\x7fUSLT")
    (tmp_path / "empty.mp3").write_bytes(b"")
    for name in ("text.mp3", "cut.mp3", "nothing.mp3", "empty.mp3", "so\0ng.mp3", "x" * 300):
        assert lyrics_in_tags(tmp_path / name) is None
    path = song("blank.flac")
    file = mutagen.File(path)
    file["LYRICS"] = "  \n"
    file.save()
    assert lyrics_in_tags(path) is None


def test_pipes_and_devices_are_not_opened(tmp_path):
    os.mkfifo(tmp_path / "song.mp3")
    (tmp_path / "zero.mp3").symlink_to("/dev/zero")
    for path in (tmp_path / "song.mp3", tmp_path / "zero.mp3", "/dev/zero", tmp_path):
        assert lyrics_in_tags(path) is None


# bounds ---------------------------------------------------------------------------------------------------------------


@cache
def bomb(size: int = 100_000_000) -> bytes:
    """A frame of some 100 kB that inflates to 100 MB."""
    return packed(uslt(b"la" * (size // 2)))


# Made in the test: at import, every process of the tests would make them all.
BOMBS = {
    "text": lambda: id3(frame("USLT", bomb(), 3, 0x80)),
    "timed text": lambda: id3(frame("SYLT", bomb(), 3, 0x80)),
    "newer tag": lambda: id3(frame("USLT", bomb(), 4, 0x09), version=4),
    "wav": lambda: chunks(b"RIFF", (b"id3 ", id3(frame("USLT", bomb(), 3, 0x80)))),
    "aiff": lambda: chunks(b"FORM", (b"ID3 ", id3(frame("TXXX", bomb(), 3, 0x80)))),
    "large frame": lambda: id3(frame("USLT", uslt(b"la" * LARGEST_FRAME))),
    "large ape": lambda: AUDIO + ape(("Lyrics", b"la" * 2_000_000)),
    "large mp4": lambda: mp4(mp4_text(b"\xa9lyr", b"la" * 2_000_000)),
    "no text": lambda: id3(frame("USLT", uslt(bytes(range(1, 32)) * 9))),
}


@pytest.mark.parametrize("make", BOMBS.values(), ids=BOMBS)
def test_bombs_and_nonsense_are_left_out_with_a_word(read, make):
    data = make()
    tracemalloc.start()
    found = read(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.text == "" and found.warnings[0].startswith(UNREAD)
    assert peak < 25e6


def nested(depth: int) -> bytes:
    """Atoms within atoms."""
    return b"".join(struct.pack(">I", 8 * left) + b"moov" for left in range(depth, 0, -1))


ASF = b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\x00\xaa\x00\x62\xce\x6c"
TRAPS = {
    "chapters": lambda: id3(frame("CHAP", b"x\0" * 9) * 100_000),
    "empty frames": lambda: id3(frame("XXXX", b"") * 300_000),
    "empty texts": lambda: id3(frame("TXXX", b"\0LYRICS\0") * 100_000),
    "empty lines": lambda: id3(frame("SYLT", sylt([b""] * 300_000))),
    "ape of letters": lambda: AUDIO + b"k" * 5_000_000 + ape_footer(5_000_000, 2**31),
    "ape of zeros": lambda: AUDIO + b"\0" * 5_000_000 + ape_footer(5_000_000, 2**31),
    "ape of all numbers": lambda: AUDIO + ape_footer(2**32 - 1, 2**32 - 1),
    "comments without end": lambda: flac((4, struct.pack("<II", 0, 2**32 - 1) + bytes(4_000_000))),
    "flac blocks": lambda: flac(*[(1, b"")] * 100_000),
    "flac of zeros": lambda: b"fLaC" + bytes(4_000_000),
    "comments": lambda: ogg(b"OpusTags" + comment(*[("a", b"")] * 200_000)),
    "ogg pages": lambda: ogg_page(b"OpusHead", 0) + ogg_page(b"x", 1, serial=8) * 100_000,
    "atoms": lambda: atom(b"ftyp", b"M4A ") + atom(b"free") * 600_000,
    "nested atoms": lambda: atom(b"ftyp", b"M4A ") + nested(30_000),
    "mp4 names": lambda: mp4(*[mp4_text(b"\xa9nam", b"x")] * 100_000),
    "wav chunks": lambda: chunks(b"RIFF", *[(b"junk", b"")] * 200_000),
    "aiff tags": lambda: chunks(b"FORM", *[(b"id3 ", b"")] * 200_000),
    "asf": lambda: ASF + struct.pack("<QI", 2**40, 2**31) + bytes(9**6),
}


@pytest.mark.parametrize("make", TRAPS.values(), ids=TRAPS)
def test_hostile_tags_take_neither_time_nor_memory(read, make):
    data = make()
    began = process_time()
    found = read(data)
    assert found is None or found.text == ""
    assert process_time() - began < 5


@pytest.mark.parametrize("suffix", ["mp3", "wav", "flac", "ogg", "opus"])
def test_the_title(song, suffix):
    """Artist and title on one line, as short as a line; none where there is no title, or no song."""
    path = song(f"song.{suffix}")
    assert title_in_tags(path) == ""
    file = mutagen.File(path, easy=True)
    if suffix == "wav":  # mutagen has no easy names for it
        file.add_tags()
        file.tags.add(mutagen.id3.TIT2(encoding=3, text=["Señor\n雨"]))
        file.tags.add(mutagen.id3.TPE1(encoding=3, text=["Nina"]))
    else:
        file["artist"] = "Nina"
        file.save()
        assert title_in_tags(path) == ""
        file["title"] = "Señor\n雨"
    file.save()
    assert title_in_tags(path) == "Nina - Señor 雨"
    path.write_bytes(b"ID3\3\0\0\x7f\x7f\x7f\x7f")
    assert title_in_tags(path) == title_in_tags(path.with_name("none")) == ""
