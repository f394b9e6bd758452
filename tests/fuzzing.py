"""Damaged audio files, manifests and lists in great number, each made from a seed."""

import io
import json
import os
import struct
import time
from collections import Counter
from dataclasses import dataclass, field
from multiprocessing import active_children
from pathlib import Path

import numpy as np
import soundfile

from recap_cli.errors import RecapError
from recap_cli.preparation.prepare import PrepareOptions, prepare
from recap_cli.progress import SilentProgress
from recap_cli.runtime import workers

CORPORA = Path(__file__).parent / "fixtures" / "corpora"
FORMATS = (("wav", "PCM_16"), ("wav", "FLOAT"), ("flac", "PCM_16"), ("ogg", "VORBIS"), ("mp3", "MPEG_LAYER_III"),
           ("aiff", "PCM_24"))  # fmt: skip
RATES = (8000, 16000, 44100, 48000, 192000)
CRASHES = ("its process ", "unexpected ")
HANG = 10.0


# audio ----------------------------------------------------------------------------------------------------------------


def encode(samples: np.ndarray, rate: int, kind: str, subtype: str) -> bytes:
    file = io.BytesIO()
    if kind == "mp3" and rate > 48000:
        rate = 48000
    if kind in ("ogg", "mp3") and samples.ndim > 1 and samples.shape[1] > 2:
        samples = samples[:, :2]
    soundfile.write(file, samples, rate, format=kind.upper(), subtype=subtype)
    return file.getvalue()


def damaged_audio(number: int, seed: int = 0) -> tuple[str, bytes]:
    """A file name and its bytes."""
    random = np.random.default_rng((seed, 7, number))
    kind, subtype = FORMATS[number % len(FORMATS)]
    rate = int(random.choice(RATES))
    length = int(rate * random.uniform(0.05, 1.5))
    samples = random.normal(0, 0.2, length).clip(-0.99, 0.99)
    trick = TRICKS[number % len(TRICKS)]
    if trick == "silence":
        samples = np.zeros(length)
    elif trick == "opposite channels":
        samples = np.stack([samples, -samples], axis=1)
    elif trick == "one sample":
        samples = samples[:1]
    elif trick == "eight channels":
        samples = np.stack([samples] * 8, axis=1)
    elif trick in ("nan", "inf"):
        kind, subtype = "wav", "FLOAT"
        samples[random.integers(length) :] = np.nan if trick == "nan" else np.inf
    content = mutate_audio(trick, encode(samples, rate, kind, subtype), random)
    suffix = random.choice(["mp3", "wav", "m4a", "flac"]) if trick == "wrong extension" else kind
    return f"{number:04d}.{suffix}", content


TRICKS = ("truncated", "bits flipped", "wrong extension", "empty", "header only", "nan", "inf", "silence", "one sample",
          "eight channels", "absurd header", "whole", "text", "middle cut out", "junk before", "joined", "zeros within",
          "only zeros", "opposite channels")  # fmt: skip


def mutate_audio(trick: str, content: bytes, random: np.random.Generator) -> bytes:
    if trick == "truncated":
        return content[: int(random.integers(len(content)))]
    if trick == "bits flipped":
        return flip(content, random, int(random.integers(1, 60)))
    if trick == "empty":
        return b""
    if trick == "header only":
        return content[: int(random.integers(1, 64))]
    if trick == "absurd header":
        place = int(random.integers(4, min(60, len(content) - 8)))
        huge = struct.pack("<I", int(random.choice([2**31 - 1, 2**32 - 1, 2**30, 0])))
        return content[:place] + huge + content[place + 4 :]
    if trick == "text":
        return b"this is no audio at all\n" * 40
    if trick == "middle cut out":
        first, last = sorted(random.integers(0, len(content), 2).tolist())
        return content[:first] + content[last:]
    if trick == "junk before":
        return random.bytes(200) + content
    if trick == "joined":
        return content + flip(content, random, int(random.integers(3)))
    if trick == "zeros within":
        place = int(random.integers(len(content)))
        return content[:place] + bytes(int(random.integers(1, 100_000))) + content[place:]
    return bytes(len(content)) if trick == "only zeros" else content


def flip(content: bytes, random: np.random.Generator, count: int) -> bytes:
    changed = bytearray(content)
    for place in random.integers(0, max(1, len(changed)), count) if changed else ():
        changed[place] ^= 1 << int(random.integers(8))
    return bytes(changed)


# manifests and lists ------------------------------------------------------------------------------------------------


def damaged_corpus(number: int, seed: int = 0) -> tuple[str, bytes]:
    """A file name and its bytes."""
    random = np.random.default_rng((seed, 11, number))
    sources = ("manifest/songs.csv", "manifest/songs.tsv", "manifest/songs.jsonl", "song-interpretation/dataset.json",
               "alcap/df_full.csv")  # fmt: skip
    source = CORPORA / sources[number % len(sources)]
    tricks = (cut, flip_some, splice, repeat_piece, insert_odd, drop_lines)
    hostile = HOSTILE.get(source.suffix, [])
    if number % 3 == 0 and hostile:
        content = hostile[(number // 3) % len(hostile)]()
    else:
        content = tricks[int(random.integers(len(tricks)))](source.read_bytes(), random)
    return f"corpus-{number:04d}{source.suffix}", content


def cut(content: bytes, random: np.random.Generator) -> bytes:
    return content[: int(random.integers(len(content)))]


def flip_some(content: bytes, random: np.random.Generator) -> bytes:
    return flip(content, random, int(random.integers(1, 30)))


def splice(content: bytes, random: np.random.Generator) -> bytes:
    first, last = sorted(random.integers(0, len(content), 2).tolist())
    return content[:first] + content[last:]


def repeat_piece(content: bytes, random: np.random.Generator) -> bytes:
    first, last = sorted(random.integers(0, len(content), 2).tolist())
    return content[:last] + content[first:last] * int(random.integers(1, 50)) + content[last:]


def insert_odd(content: bytes, random: np.random.Generator) -> bytes:
    odd = [
        b"\0" * 100,
        b"\xff\xfe",
        b'"',
        b"\xed\xa0\x80",
        b"{" * 500,
        b"[" * 500,
        b"../../../../etc/passwd",
        b"\n" * 9,
    ]
    place = int(random.integers(len(content)))
    return content[:place] + odd[int(random.integers(len(odd)))] + content[place:]


def drop_lines(content: bytes, random: np.random.Generator) -> bytes:
    return b"".join(line for line in content.splitlines(keepends=True) if random.random() < 0.7)


def row(**fields) -> bytes:
    return json.dumps({"id": "x", "audio": "manifest/audio/0.ogg", **fields}).encode() + b"\n"


HOSTILE = {
    ".jsonl": [
        lambda: b'{"audio": "' + b"x" * 9_000_000 + b'"}\n' + row(),
        lambda: row(votes=10**400, caption="x"),
        lambda: row(audio="/dev/zero") + row(audio="../../../../../../dev/urandom", id="y"),
        lambda: row(lyrics_file="/etc/passwd") + row(id=["a", "list"]),
        lambda: row(captions=[{"text": "x" * 200_000}]) + row(tags={str(n): "x" for n in range(5000)}),
        lambda: row(id="a" * 100_000) + row(id="\ud800"),
        lambda: b"[" * 200_000 + b"\n" + row(audio="manifest/audio/" + "n" * 5000),
    ],
    ".json": [
        lambda: b"[" + b"[" * 100_000,
        lambda: b'[{"music4all_id": "' + b"x" * 9_000_000 + b'"}]',
        lambda: b'[{"music4all_id": 12}, {"music4all_id": "../../etc/passwd", "comment": "x"}, 3, null]',
        lambda: b'{"music4all_id": "a"}',
        lambda: b'[{"music4all_id": "' + b"i" * 600 + b'", "lyrics": "x", "comment": "y"}]',
        lambda: b"[1e999999, " + b"9" * 10_000 + b"]",
    ],
    ".csv": [
        lambda: b'id,audio,caption\nx,a.ogg,"' + b"y" * 6_000_000,
        lambda: b"audio\n" + b"a,b,c,d\n" * 50_000,
        lambda: b",".join([b"audio"] * 20_000) + b"\nx\n",
        lambda: b"music4all_id,lyrics,comment\n/etc/passwd,x,y\n..,x,y\n" + b"z" * 300 + b",x,y\n",
    ],
}  # fmt: skip


# the run --------------------------------------------------------------------------------------------------------------


@dataclass
class Tally:
    """What came of it."""

    items: int = 0
    prepared: int = 0
    rejected: int = 0
    refused: int = 0
    crashes: list[str] = field(default_factory=list)
    hangs: list[str] = field(default_factory=list)
    peak_mb: float = 0.0
    reasons: Counter = field(default_factory=Counter)


class Watch(SilentProgress):
    """Notes the largest memory of this process and of those that hear songs."""

    def __init__(self) -> None:
        self.peak = 0.0

    def advance(self, count=1, note=""):
        for pid in (os.getpid(), *(child.pid for child in active_children())):
            self.peak = max(self.peak, peak_memory(pid))


def peak_memory(pid: int) -> float:
    """The most memory a process ever had, in MB; 0 where the system does not say."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024 if "VmHWM:" in status else 0.0


def fuzz_audio(folder: Path, count: int, tally: Tally, seed: int = 0) -> None:
    """Prepare one corpus of damaged audio files."""
    corpus = folder / "audio-corpus"
    corpus.mkdir(parents=True)
    lines = []
    for number in range(count):
        name, content = damaged_audio(number, seed)
        (corpus / name).write_bytes(content)
        lines.append(json.dumps({"id": name, "audio": name, "caption": "a song"}) + "\n")
    (corpus / "songs.jsonl").write_text("".join(lines))
    watch, limit = Watch(), workers.ITEM_SECONDS
    workers.ITEM_SECONDS = HANG
    try:
        options = PrepareOptions(
            corpus / "songs.jsonl", out=folder / "audio-data", resampler="soxr", jobs=2, max_rejected=1.0
        )
        result = prepare(options, watch)
    finally:
        workers.ITEM_SECONDS = limit
    records = [json.loads(line) for line in (folder / "audio-data" / "rejected.jsonl").read_text().splitlines()]
    assert result.songs + len(records) == count
    tally.items += count
    tally.prepared += result.songs
    tally.rejected += len(records)
    tally.crashes += [f"{one['id']}: {one['reason']}" for one in records if one["reason"].startswith(CRASHES)]
    tally.hangs += [one["id"] for one in records if "took over" in one["reason"]]
    tally.peak_mb = max(tally.peak_mb, watch.peak)
    tally.reasons.update(result.reasons)


def fuzz_corpora(folder: Path, count: int, tally: Tally, seed: int = 0) -> None:
    """Prepare damaged manifests and JSON files, one after the other."""
    outside = set(folder.rglob("*"))
    watch = Watch()
    for number in range(count):
        name, content = damaged_corpus(number, seed)
        path = folder / name
        path.write_bytes(content)
        audio = CORPORA / ("manifest" if "songs" in name else "music4all/audios")
        audio = CORPORA / "manifest" if path.suffix in (".tsv", ".jsonl") else audio
        began = time.monotonic()
        try:
            options = PrepareOptions(
                path, out=folder / "data", audio=audio, resampler="soxr", jobs=1, max_rejected=1.0, seconds=0.5
            )
            result = prepare(options, watch)
            tally.prepared += 1
            tally.rejected += result.rejected
        except RecapError as error:
            tally.refused += 1
            assert error.message
        except Exception as error:
            tally.crashes.append(f"{name}: {type(error).__name__}: {error}")
        watch.advance()
        if time.monotonic() - began > HANG:
            tally.hangs.append(name)
        path.unlink()
    tally.items += count
    tally.peak_mb = max(tally.peak_mb, watch.peak)
    strays = {path for path in folder.rglob("*") if not path.is_relative_to(folder / "data")} - outside
    if strays:
        tally.crashes.append(f"written outside: {sorted(strays)[:3]}")
