"""Hostile and damaged lyrics files and tagged audio in great number, each made from a seed.

The property: `read_lyrics` and `lyrics_in_tags` give text or raise a RecapError, in bounded time and memory.
"""

import random
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

from tagged_audio import HOSTILE, TAGGED

VERSES = {
    "the moon is rising over the hill\nI remember the way you smiled\n": ("ascii", "utf-8", "utf-16"),
    "ça m'est égal, où es-tu passée\nla lune se lève derrière la colline\n": ("utf-8", "cp1252", "mac_roman", "cp850"),
    "луна встаёт над дальней горой\nя помню твой весёлый смех\n": ("utf-8", "cp1251", "koi8-r", "cp866", "utf-16-le"),
    "księżyc wstaje nad górą\npamiętam twój uśmiech\n": ("utf-8", "cp1250", "iso8859-2"),
    "月亮升起在山的那一边\n我想起你从前的笑脸\n": ("utf-8", "gbk", "gb18030", "utf-16-be"),
    "月が丘の上に昇る\nあなたの笑顔を思い出す\n": ("utf-8", "shift_jis", "euc_jp", "iso2022_jp"),
    "달이 언덕 위로 떠오르고\n네 미소가 떠올라\n": ("utf-8", "euc_kr", "utf-32"),
    "הירח עולה מעל הגבעה\nאני זוכר את החיוך שלך\n": ("utf-8", "cp1255"),
}


def as_text(lines: list[str], pick: random.Random) -> str:
    return "\n".join(
        pick.choice(["{}", "[Chorus]\n{}", "({})", "{} &amp; {}", "<i>{}</i>"]).format(x, x) for x in lines
    )


def as_lrc(lines: list[str], pick: random.Random) -> str:
    forms = [
        "[{m:02}:{s:02}.{h:02}]",
        "[{m:02}:{s:02},{h:02}]",
        "[00:{m:02}:{s:02}.{h:02}]",
        "[{m}:{s:02}]",
        "[{m:02}:{s:02}:{h:02}]",
    ]
    form = pick.choice(forms)
    stamps = [form.format(m=pick.randrange(60), s=pick.randrange(60), h=pick.randrange(100)) for _ in lines]
    return "[ti:x]\n" + "\n".join(
        stamp * pick.choice([1, 1, 2]) + line for stamp, line in zip(stamps, lines, strict=True)
    )


def as_word_lrc(lines: list[str], pick: random.Random) -> str:
    words = ("".join(f"<00:{pick.randrange(60):02}.00>{letter}" for letter in line) for line in lines)
    return as_lrc(list(words), pick)


def as_srt(lines: list[str], pick: random.Random) -> str:
    gap = pick.choice(["\n\n", "\n", "\r\n\r\n"])
    return gap.join(f"{n}\n00:00:{n % 60:02},000 --> 00:00:{n % 60:02},900\n{line}" for n, line in enumerate(lines, 1))


def as_vtt(lines: list[str], pick: random.Random) -> str:
    return "WEBVTT\n\nNOTE x\n\n" + as_srt(lines, pick).replace(",", ".")


def as_ttml(lines: list[str], pick: random.Random) -> str:
    kind = pick.choice(["", '<?xml version="1.0"?>', '<!DOCTYPE tt [<!ENTITY a "la">]>'])
    paragraphs = "".join(f'<p begin="{n}s">{line}<br/></p>' for n, line in enumerate(lines))
    return f"{kind}<tt><body>{paragraphs}</body></tt>"


FORMS: tuple[Callable[[list[str], random.Random], str], ...] = (
    as_text, as_lrc, as_word_lrc, as_srt, as_vtt, as_ttml,
)  # fmt: skip
PIECES = ("[", "<", "(", "&", " ", "\n", "\u0301", "Ã©", "[00:01]", "<tt>", "--> ", "&#", "\u200b", "{1}{1}", "[a] ",
          "(chorus",           "00:00:01,000 --> 00:00:02,000\n", "\ufeff", "\U0001f3b5", "\x1b]0;x\x07",
          "\u202e", "ﷺ", "\ufffd")  # fmt: skip


def damage(data: bytes, pick: random.Random) -> bytes:
    """Cuts, flips, doubles or mixes bytes."""
    place = pick.randrange(len(data) + 1)
    flipped = bytearray(data)
    for _ in range(pick.randrange(1, 20)):
        flipped[pick.randrange(len(flipped))] ^= 1 << pick.randrange(8)
    return pick.choice([
        data[:place], data[place:], bytes(flipped), data + data[:place],
        data[:place] + pick.randbytes(40) + data[place:],
        data[:place] + b"\0" * pick.randrange(1, 9) + data[place:], data[:place] + b"\xff\xfe" + data[place:],
        data[::-1], data.replace(b"\n", b"\r"), data.replace(b"0", b"99999999999"), data * 50,
    ])  # fmt: skip


def hostile_lyrics(folder: Path, seed: int, count: int = 300) -> Iterator[Path]:
    """Writes lyrics files: a third whole, in every format and encoding, a third damaged, a third of repeated pieces."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        pick = random.Random(f"lyrics {seed} {number}")
        verse, encodings = pick.choice(list(VERSES.items()))
        form = FORMS[number // 3 % len(FORMS)]
        data = form(verse.strip().split("\n") * pick.randrange(1, 9), pick).encode(pick.choice(encodings), "replace")
        if number % 3 == 1:
            data = damage(data, pick)
        elif number % 3 == 2:
            piece = PIECES[number // 3 % len(PIECES)]
            data = (piece * (pick.choice([100, 10_000, 200_000]) // len(piece)) + verse).encode()
        path = folder / f"{number:04d}.{pick.choice(['txt', 'lrc', 'srt', 'vtt', 'ttml', 'LRC'])}"
        path.write_bytes(data)
        yield path


def hostile_tags(folder: Path, seed: int, count: int = 200) -> Iterator[Path]:
    """Writes tagged audio: a third whole, a third damaged, a third of sizes and counts that lie."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        pick = random.Random(f"tags {seed} {number}")
        verse, encodings = pick.choice(list(VERSES.items()))
        lines = verse.strip().split("\n")
        text = pick.choice(FORMS)(lines, pick).encode(pick.choice(encodings), "replace")
        kind = TAGGED[number // 3 % len(TAGGED)]
        data = kind(text, pick)
        if number % 3 == 1:
            data = damage(data, pick)
        elif number % 3 == 2:
            data = lie(data, pick) if number % 2 else HOSTILE[number // 3 % len(HOSTILE)](pick)
        path = folder / f"{number:04d}.{pick.choice(['mp3', 'flac', 'ogg', 'm4a', 'wav', 'wma', 'opus'])}"
        path.write_bytes(data)
        yield path


def lie(data: bytes, pick: random.Random) -> bytes:
    """Puts an absurd number where a size may stand."""
    place = pick.randrange(min(len(data), 400))
    number = struct.pack(pick.choice(["<I", ">I"]), pick.choice([0, 1, 2**31 - 1, 2**31, 2**32 - 1, 0x7F7F7F7F]))
    return data[:place] + number + data[place + 4 :]
