"""Interrupted runs that went wrong on the disk: cut, lost, changed, swapped and planted files, drawn from a seed."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

Damage = Callable[[Path], None]
JUNK = (
    b"",
    b"\0" * 64,
    b"[" * 100_000,
    b"\xff\xfe\x00",
    b"null",
    b'{"a": 1}',
    b"PK\x03\x04 no archive",
    b"gASVBAAAAAAAAABLAS4=",
)


def copy_run(out: Path, to: Path) -> Path:
    """Copies a run by hard links: damages put new files in their place, and never write into them."""
    shutil.copytree(out, to, copy_function=os.link)
    return to


def put(path: Path, content: bytes) -> None:
    """Puts a new file in a file's place."""
    path.unlink(missing_ok=True)
    path.write_bytes(content)


def hostile_checkpoints(folder: Path, seed: int) -> Iterator[tuple[str, Damage]]:
    """Yields damages without end, each with its name; called with a copy of the run, a damage harms one or two files.

    Args:
        folder: an interrupted run, which is only looked at.
        seed: of the draw.
    """
    random = np.random.default_rng(seed)
    parts = [
        path.relative_to(folder) for kind in ("checkpoints", "best") for path in sorted(folder.glob(f"{kind}/*/*"))
    ]
    parts = [part for part in parts if (folder / part).is_file()]
    own = [Path(name) for name in ("log.jsonl", "options.json", ".recap.json") if (folder / name).exists()]
    while True:
        chosen = [parts[int(random.integers(len(parts)))] for _ in range(int(random.integers(1, 3)))]
        if random.random() < 0.15:
            chosen = [own[int(random.integers(len(own)))]]
        name, harm = draw_harm(random, parts)

        def damage(out: Path, harm: Damage = harm, chosen: tuple[Path, ...] = tuple(chosen)) -> None:
            for one in chosen:
                harm(out / one)

        yield f"{name}: {', '.join(map(str, chosen))}", damage


def draw_harm(random: np.random.Generator, parts: list[Path]) -> tuple[str, Damage]:
    """Draws what happens to a file."""
    share, junk = float(random.random()), JUNK[int(random.integers(len(JUNK)))]
    other, bit = parts[int(random.integers(len(parts)))], int(random.integers(8))

    def flip(path: Path) -> None:
        content = bytearray(path.read_bytes())
        if content:
            content[int(share * len(content))] ^= 1 << bit
        put(path, bytes(content))

    def swap(path: Path) -> None:
        run = next((one for one in path.parents if (one / other).is_file()), None)
        if run is not None:
            put(path, (run / other).read_bytes())

    def gone(path: Path) -> None:
        path.unlink(missing_ok=True)

    def cut(path: Path) -> None:
        content = path.read_bytes()
        put(path, content[: int(share * len(content))])

    def folder(path: Path) -> None:
        gone(path)
        path.mkdir(exist_ok=True)

    def pipe(path: Path) -> None:
        gone(path)
        os.mkfifo(path)

    def link(path: Path) -> None:
        gone(path)
        path.symlink_to("/dev/zero")

    def longer(path: Path) -> None:
        put(path, path.read_bytes() + junk + b"\0")

    def plant(path: Path) -> None:
        put(path.parent / ("pytorch_model.bin", "optimizer.bin", "rng_state_7.pth", "scaler.pt")[bit % 4], b"PK" + junk)

    def nest(path: Path) -> None:
        put(path, json.dumps({"seal": "x"}).encode() if bit % 2 else b'{"a":' * 30_000)

    harms = {
        "flipped": flip, "gone": gone, "cut": cut, "a folder": folder, "a pipe": pipe, "a link": link,
        "longer": longer, "planted beside": plant, "nested": nest, "swapped": swap,
        "junk": lambda path: put(path, junk),
    }  # fmt: skip
    name = list(harms)[int(random.integers(len(harms)))]

    def harm(path: Path) -> None:
        if path.is_file() and not path.is_symlink():
            harms[name](path)

    return name, harm
