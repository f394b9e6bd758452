"""What the demo model gets right on held-out demo songs, captioned from rendered audio files.

    python tests/benchmarks/demo_model.py [--songs 1000] [--model FOLDER]

Songs are written as FLAC files and captioned one by one with the default settings of `recap caption`; a lexicon reads
the attributes back. Printed beside it: what lyrics alone or music alone could reach, the hard setting, theme x mode
pairs that never occur in training. The last line is JSON.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import soundfile

from recap_cli import Captioner
from recap_cli.corpus.song import Song
from recap_cli.demo.lexicon import ATTRIBUTES, read_attributes
from recap_cli.demo.music import DEMO_SAMPLE_RATE
from recap_cli.demo.songs import (
    DemoSettings,
    held_out_songs,
    lyrics_only_oracle,
    make_songs,
    music_only_oracle,
    render_song,
)

ROOT = Path(__file__).parents[2]


def caption_files(captioner: Captioner, songs: Iterable[Song], settings: DemoSettings) -> Iterator[tuple[Song, str]]:
    with tempfile.TemporaryDirectory() as folder:
        for song in songs:
            audio, lyrics = Path(folder) / "song.flac", Path(folder) / "song.txt"
            soundfile.write(audio, render_song(song, settings), DEMO_SAMPLE_RATE)
            lyrics.write_text(song.lyrics, encoding="utf-8")
            yield song, captioner.caption(audio, lyrics).caption


def accuracy(pairs: list[tuple[Song, dict[str, str | None]]]) -> dict[str, float]:
    shares = {name: sum(song.tags[name] == said[name] for song, said in pairs) / len(pairs) for name in ATTRIBUTES}
    shares["all"] = sum(all(song.tags[name] == said[name] for name in ATTRIBUTES) for song, said in pairs) / len(pairs)
    return shares


def show(name: str, shares: dict[str, float]) -> None:
    print(f"{name:32}" + "".join(f"{100 * share:9.1f}" for share in shares.values()), flush=True)


def measure(captioner: Captioner, name: str, songs: Iterable[Song], settings: DemoSettings) -> tuple[dict, float]:
    captioned = list(caption_files(captioner, songs, settings))
    shares = accuracy([(song, read_attributes(caption)) for song, caption in captioned])
    show(name, shares)
    return shares, len({caption for _, caption in captioned}) / len(captioned)


def wheel_megabytes() -> float:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder]
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
        return next(Path(folder).glob("*.whl")).stat().st_size / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--songs", type=int, default=1000)
    parser.add_argument("--model", default="demo")
    arguments = parser.parse_args()
    captioner = Captioner.from_pretrained(arguments.model)
    easy, hard = DemoSettings(), DemoSettings(difficulty="hard")
    songs = list(held_out_songs(easy, arguments.songs))
    print(f"{arguments.songs} held-out songs; share of captions that name each attribute correctly, in %")
    print(f"{'':32}" + "".join(f"{name:>9}" for name in [*ATTRIBUTES, "all"]))
    shares, distinct = measure(captioner, "model, easy", songs, easy)
    show("oracle with lyrics only", accuracy([(song, lyrics_only_oracle(song)) for song in songs]))
    show("oracle with music only", accuracy([(song, music_only_oracle(song)) for song in songs]))
    hard_shares, _ = measure(captioner, "model, hard", held_out_songs(hard, arguments.songs), hard)
    unseen = (song for song in make_songs(easy) if song.split == "unseen")
    unseen_shares, _ = measure(captioner, "model, unseen theme x mode", islice(unseen, arguments.songs), easy)
    print(f"distinct captions, easy: {100 * distinct:.1f} %")
    figures = {
        "attribute_accuracy": {name: round(shares[name], 4) for name in ATTRIBUTES},
        "distinct_captions": round(distinct, 4),
        "wheel_mb": round(wheel_megabytes(), 2),
        "all_attributes": round(shares["all"], 4),
        "hard": {name: round(share, 4) for name, share in hard_shares.items()},
        "unseen": {name: round(share, 4) for name, share in unseen_shares.items()},
        "songs": arguments.songs,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
