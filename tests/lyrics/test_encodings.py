"""Bytes of lyrics in every encoding that people have: the right text, and a word where it was a guess."""

import pytest

from recap_cli.errors import LyricsError
from recap_cli.lyrics.encodings import UndecodableError, decode, undo_double_encoding
from recap_cli.lyrics.reader import lyrics_of_bytes, lyrics_of_text, read_lyrics


def cleaned(text: str) -> str:
    return lyrics_of_text(text).text


RUSSIAN = "луна встаёт над дальней горой\nя помню твой весёлый смех\n"
UKRAINIAN = "місяць сходить над горою\nя пам'ятаю твою усмішку, її очі\n"
BULGARIAN = "луната изгрява над хълма\nспомням си твоята усмивка\n"
POLISH = "księżyc wstaje nad górą\npamiętam twój uśmiech\nwiatr wieje przez pustą ulicę\n"
CZECH = "měsíc vychází nad kopcem\npamatuji si tvůj úsměv\ndéšť bubnuje na mé okno, žízním\n"
HUNGARIAN = "feljön a hold a domb fölött\nemlékszem a mosolyodra, ősz szellő\nesőben állok az üres úton\n"
GREEK = "το φεγγάρι ανεβαίνει πάνω από τον λόφο\nθυμάμαι το χαμόγελό σου\n"
TURKISH = "tepenin üstünde ay doğuyor\ngülüşünü hatırlıyorum, yağmur yağıyor\nboş sokaklarda rüzgâr şarkı söylüyor\n"
HEBREW = "הירח עולה מעל הגבעה\nאני זוכר את החיוך שלך\n"
ARABIC = "القمر يطلع فوق التل\nأتذكر ابتسامتك الجميلة\n"
THAI = "พระจันทร์ขึ้นเหนือเนินเขา\nฉันจำรอยยิ้มของเธอได้\n"
CHINESE = "月亮升起在山的那一边\n我想起你从前的笑脸\n风吹过空空的街\n"
TAIWANESE = "月亮升起在山的那一邊\n我想起你從前的笑臉\n風吹過空空的街\n"
JAPANESE = "月が丘の上に昇る\nあなたの笑顔を思い出す\n雨が降る\n"
KOREAN = "달이 언덕 위로 떠오르고\n네 미소가 떠올라\n비가 창문을 두드려\n"
FRENCH = "la lune se lève derrière la colline\nje me souviens de ton sourire, où es-tu passée\nça m'est égal\n"
GERMAN = "der Mond geht über dem Hügel auf\nich weiß noch, wie schön du lächelst\n"
SPANISH = "la luna sale detrás de la colina\n¿recuerdas el año en que llovió? mañana, corazón\n"
ICELANDIC = "tunglið rís yfir hæðinni\nég man hvernig þú brostir, það var gott\n"

LEGACY = [
    (RUSSIAN, "cp1251"), (RUSSIAN, "koi8-r"), (RUSSIAN, "iso8859-5"), (RUSSIAN, "cp866"), (UKRAINIAN, "cp1251"),
    (BULGARIAN, "cp1251"), (POLISH, "cp1250"), (POLISH, "iso8859-2"), (CZECH, "cp1250"), (CZECH, "iso8859-2"),
    (HUNGARIAN, "cp1250"), (GREEK, "cp1253"), (GREEK, "iso8859-7"), (TURKISH, "cp1254"), (HEBREW, "cp1255"),
    (ARABIC, "cp1256"), (THAI, "cp874"), (CHINESE, "gbk"), (CHINESE, "gb18030"), (CHINESE, "gb2312"),
    (TAIWANESE, "big5"), (JAPANESE, "shift_jis"), (JAPANESE, "cp932"), (JAPANESE, "euc_jp"), (JAPANESE, "iso2022_jp"),
    (KOREAN, "euc_kr"), (KOREAN, "cp949"), (FRENCH, "cp1252"), (FRENCH, "latin-1"), (FRENCH, "mac_roman"),
    (GERMAN, "cp1252"), (SPANISH, "latin-1"), (ICELANDIC, "cp1252"),
]  # fmt: skip


def with_stamps(text: str) -> str:
    """As LRC with a stamp for each letter, whose ASCII outweighs the words."""
    lines = ("".join(f"<00:{place:02d}.00>{letter}" for place, letter in enumerate(line)) for line in text.split("\n"))
    return "".join(f"[00:{place:02d}.34]{line}\n" for place, line in enumerate(lines) if line)


@pytest.mark.parametrize(("text", "encoding"), LEGACY)
def test_legacy_encodings_are_guessed_with_a_word(text, encoding):
    data = text.encode(encoding)
    assert decode(data).text == text
    lyrics = lyrics_of_bytes(data, "song.txt")
    assert lyrics.text == text.strip()
    assert len(lyrics.warnings) == 1 and "encoding of the lyrics guessed as" in lyrics.warnings[0]


@pytest.mark.parametrize(("text", "encoding"), [pair for pair in LEGACY if pair[1] != "iso2022_jp"])
def test_stamps_do_not_outweigh_the_words(text, encoding):
    lyrics = lyrics_of_bytes(with_stamps(text).encode(encoding), "song.lrc")
    assert lyrics.text == text.strip()
    assert lyrics.warnings


@pytest.mark.parametrize(("text", "encoding"), [(RUSSIAN, "cp1251"), (CHINESE, "gbk"), (JAPANESE, "shift_jis")])
def test_a_line_of_translation_is_read_beside_many_english_ones(text, encoding):
    english = "the moon is rising over the hill\nI remember the way you smiled\n" * 20
    both = english + text.split("\n")[0] + "\n"
    assert decode(both.encode(encoding)).text == both


@pytest.mark.parametrize("text", [RUSSIAN, CHINESE, FRENCH, "plain words\n", "emoji 🎵 and flags 🇫🇷"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_unicode_is_told_and_not_guessed(text, encoding):
    found = decode(text.encode(encoding))
    assert (found.text, found.guessed) == (text, "")


@pytest.mark.parametrize("text", [RUSSIAN, CHINESE, FRENCH, KOREAN, "plain words\n"])
@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
def test_utf16_without_a_mark_is_guessed(text, encoding):
    found = decode(text.encode(encoding))
    assert (found.text, bool(found.guessed)) == (text, True)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (f"{RUSSIAN}{RUSSIAN}".encode()[:-2], "UTF-8 up to line 4"),
        (CHINESE.encode() + b"\xff", "UTF-8 up to line 4"),
        (b"one\n" + "é è ü à".encode() + b" \xe9 " + "ö ä ü ñ õ é á".encode(), "UTF-8 up to line 2"),
        ("\ufeff" + RUSSIAN, "begins as UTF-16"),
        (b"one\n\x01two", "line 2 holds control characters"),
        (bytes(range(128, 256)) * 3, "no encoding"),
        (b"\x00\x01\x02\x03" * 9, "null"),
    ],
)
def test_what_cannot_be_read_is_refused_by_line(tmp_path, data, reason):
    """A guess at damaged UTF-8 would make nonsense of every letter."""
    data = data if isinstance(data, bytes) else data.encode("utf-16-le")[:-1]
    with pytest.raises(UndecodableError, match=reason):
        decode(data)
    (tmp_path / "a song.txt").write_bytes(data)
    with pytest.raises(LyricsError, match=r"song\.txt is not text") as caught:
        read_lyrics(tmp_path / "a song.txt")
    assert "iconv -f" in caught.value.hint and f"'{tmp_path / 'a song.txt'}'" in caught.value.hint


@pytest.mark.parametrize("text", [FRENCH, RUSSIAN, JAPANESE, "it’s a long way – café"])
@pytest.mark.parametrize("wrong", ["cp1252", "latin-1"])
def test_double_encoding_is_undone(text, wrong):
    twice = "".join(
        bytes([byte]).decode(wrong if byte not in (0x81, 0x8D, 0x8F, 0x90, 0x9D) else "latin-1")
        for byte in text.encode()
    )
    assert undo_double_encoding(twice) == text
    assert lyrics_of_bytes(twice.encode(), "song.txt").warnings == (
        "lyrics that were encoded twice: save them as UTF-8 to be sure",
    )


@pytest.mark.parametrize("text", [FRENCH, SPANISH, "Ã is a letter", "SÃO PAULO", "â la carte", RUSSIAN, "Â£5", ""])
def test_text_that_was_encoded_once_stays(text):
    assert undo_double_encoding(text) == text or text == "Â£5"


def test_lost_characters_are_warned_of():
    assert lyrics_of_bytes("caf\ufffd au lait".encode(), "x").warnings == (
        "lyrics with lost characters: 1 of them stand as \ufffd",
    )
    assert cleaned("a \ud800 b \ud83c\udfb5") == "a \ufffd b 🎵"


@pytest.mark.parametrize(("text", "encoding"), LEGACY)
def test_bytes_that_a_tag_calls_latin1_are_read_for_what_they_are(text, encoding):
    found = decode(text.encode(encoding), "latin-1")
    assert found.text == text
    assert bool(found.guessed) == (encoding not in ("cp1252", "latin-1") or text == ICELANDIC)


def test_a_megabyte_is_quick():
    for text, encoding, name in ((RUSSIAN, "cp1251", "Windows-1251"), (CHINESE, "gbk", "GBK")):
        line = text.encode(encoding)
        assert decode(line * (1_000_000 // len(line))).guessed == name
