"""Tags in raw bytes, as taggers and attackers write them."""

import random
import struct
import zlib
from collections.abc import Callable

LYRICS = "the moon is rising over the hill\nI remember the way you smiled"


def synchsafe(number: int) -> bytes:
    return bytes(number >> shift & 0x7F for shift in (21, 14, 7, 0))


def frame(name: str, data: bytes, version: int = 3, flags: int = 0) -> bytes:
    if version == 2:
        return name.encode() + len(data).to_bytes(3, "big") + data
    size = synchsafe(len(data)) if version == 4 else len(data).to_bytes(4, "big")
    return name.encode() + size + struct.pack(">H", flags) + data


def id3(*frames: bytes, version: int = 3, flags: int = 0, padding: int = 0) -> bytes:
    body = b"".join(frames) + bytes(padding)
    return b"ID3" + bytes([version, 0, flags]) + synchsafe(len(body)) + body


def uslt(text: bytes, encoding: int = 0, language: bytes = b"eng", mark: bytes = b"\0") -> bytes:
    return bytes([encoding]) + language + mark + text


def sylt(lines: list[bytes], encoding: int = 0, kind: int = 1) -> bytes:
    end = b"\0\0" if encoding in (1, 2) else b"\0"
    timed = b"".join(line + end + struct.pack(">I", 1000 * place) for place, line in enumerate(lines))
    return bytes([encoding]) + b"eng\x02" + bytes([kind]) + end + timed


def packed(data: bytes, version: int = 3) -> bytes:
    size = synchsafe(len(data) % 2**28) if version == 4 else struct.pack(">I", len(data) % 2**32)
    return size + zlib.compress(data, 9)


def ape(*items: tuple[str, bytes], flags: int = 0) -> bytes:
    body = b"".join(struct.pack("<II", len(text), flags) + key.encode() + b"\0" + text for key, text in items)
    return body + ape_footer(len(body) + 32, len(items))


def ape_footer(size: int, count: int) -> bytes:
    return b"APETAGEX" + struct.pack("<IIII", 2000, size, count, 0) + bytes(8)


def comment(*pairs: tuple[str, bytes]) -> bytes:
    texts = [key.encode() + b"=" + text for key, text in pairs]
    return struct.pack("<I", 1) + b"x" + struct.pack("<I", len(texts)) + b"".join(
        struct.pack("<I", len(text)) + text for text in texts
    )  # fmt: skip


def flac(*blocks: tuple[int, bytes]) -> bytes:
    heads = [bytes([kind | 0x80 * (place + 1 == len(blocks))]) for place, (kind, _) in enumerate(blocks)]
    return b"fLaC" + b"".join(
        head + len(data).to_bytes(3, "big") + data for head, (_, data) in zip(heads, blocks, strict=True)
    )


def ogg_page(data: bytes, number: int, serial: int = 7, lacing: bytes | None = None) -> bytes:
    if lacing is None:
        lacing = b"\xff" * (len(data) // 255) + bytes([len(data) % 255])
    kind = 2 if number == 0 else 0
    return b"OggS\0" + bytes([kind]) + struct.pack("<QIII", 0, serial, number, 0) + bytes([len(lacing)]) + lacing + data


def ogg(packet: bytes, head: bytes = b"OpusHead" + bytes(11)) -> bytes:
    """A header page and a comment packet over as many pages as it takes."""
    pages, number = [ogg_page(head, 0)], 1
    while len(packet) >= 255 * 255:
        pages.append(ogg_page(packet[: 255 * 255], number, lacing=b"\xff" * 255))
        packet, number = packet[255 * 255 :], number + 1
    return b"".join([*pages, ogg_page(packet, number)])


def atom(name: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I", 8 + len(body)) + name + body


def mp4(*items: bytes) -> bytes:
    meta = atom(b"meta", bytes(4), atom(b"hdlr", bytes(25)), atom(b"ilst", *items))
    return atom(b"ftyp", b"M4A \0\0\0\0") + atom(b"mdat", bytes(99)) + atom(b"moov", atom(b"udta", meta))


def mp4_text(name: bytes, text: bytes) -> bytes:
    return atom(name, atom(b"data", struct.pack(">II", 1, 0), text))


def mp4_free(name: bytes, text: bytes) -> bytes:
    data = atom(b"data", struct.pack(">II", 1, 0), text)
    return atom(b"----", atom(b"mean", bytes(4), b"com.apple.iTunes"), atom(b"name", bytes(4), name), data)


def chunks(kind: bytes, *parts: tuple[bytes, bytes]) -> bytes:
    order = ">I" if kind == b"FORM" else "<I"
    body = b"".join(name + struct.pack(order, len(data)) + data + bytes(len(data) % 2) for name, data in parts)
    return kind + struct.pack(order, 4 + len(body)) + (b"AIFF" if kind == b"FORM" else b"WAVE") + body


def lyrics3(text: bytes) -> bytes:
    body = b"LYRICSBEGININD0000200" + b"LYR" + f"{len(text):05d}".encode() + text
    return body + f"{len(body):06d}".encode() + b"LYRICS200" + b"TAG" + bytes(125)


AUDIO = b"\xff\xfb\x90\0" + bytes(413)
# Songs with lyrics in their tags, and songs whose tags are a trap.
TAGGED: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    lambda text, pick: id3(frame("USLT", uslt(text, pick.randrange(5)))) + AUDIO,
    lambda text, pick: id3(frame("USLT", uslt(text, 3), 4), version=4, flags=pick.choice([0, 0x80])) + AUDIO,
    lambda text, pick: id3(frame("ULT", uslt(text), 2), version=2) + AUDIO,
    lambda text, pick: id3(frame("SYLT", sylt(text.split(b"\n"), pick.randrange(4), pick.randrange(9)))) + AUDIO,
    lambda text, pick: id3(frame("USLT", packed(uslt(text)), 3, pick.choice([0x80, 0xC0, 0xE0]))) + AUDIO,
    lambda text, pick: id3(frame("USLT", packed(uslt(text), 4), 4, pick.choice([9, 8, 0x4B, 0x0F])), version=4) + AUDIO,
    lambda text, pick: id3(frame("TXXX", b"\0LYRICS\0" + text)) + AUDIO,
    lambda text, pick: AUDIO + ape(("Lyrics", text)), lambda text, pick: AUDIO + lyrics3(text[:9999]),
    lambda text, pick: flac((0, bytes(34)), (4, comment(("LYRICS", text)))),
    lambda text, pick: ogg(b"OpusTags" + comment(("LYRICS", text))),
    lambda text, pick: mp4(mp4_text(b"\xa9lyr", text)), lambda text, pick: mp4(mp4_free(b"LYRICS", text)),
    lambda text, pick: chunks(b"RIFF", (b"id3 ", id3(frame("USLT", uslt(text))))),
    lambda text, pick: chunks(b"FORM", (b"ID3 ", id3(frame("USLT", uslt(text))))),
)  # fmt: skip
HOSTILE: tuple[Callable[[random.Random], bytes], ...] = (
    lambda pick: id3(frame("USLT", packed(uslt(b"la" * 8_000_000)), 3, 0x80)),
    lambda pick: id3(frame("SYLT", packed(uslt(b"la" * 8_000_000), 4), 4, 0x09), version=4),
    lambda pick: id3(frame("CHAP", b"x" * 9) * 50_000),
    lambda pick: AUDIO + b"k" * 500_000 + ape_footer(500_000, 2**31),
    lambda pick: flac((4, struct.pack("<II", 0, 2**32 - 1) + bytes(500_000))),
    lambda pick: atom(b"ftyp", b"M4A ") + b"".join(struct.pack(">I", 8 * n) + b"moov" for n in range(20_000, 0, -1)),
    lambda pick: ogg_page(b"OpusHead", 0) + ogg_page(b"x", 1, serial=8) * 20_000,
    lambda pick: id3(frame("USLT", uslt(("[00:01]" * 5000 + "x" * 100_000).encode()))),
    lambda pick: id3(frame("USLT", uslt(("a" + "\u0301" * 200_000).encode(), 3))),
    lambda pick: AUDIO + ape(*[("Lyrics", LYRICS.encode())] * 5000),
)
