"""How faithful a model of the real corpus is to its teachers, on songs of music and lyrics that it did not learn from.

    python tests/benchmarks/fidelity.py RUN DATA [--songs 1000] [--split test] [--beams 4] [--show 5]

Captions of the test split are read back and compared with what the teachers found: for each fact, the share of songs
in which both say the same (which may be nothing), and of songs in which both state something. The last line is JSON.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from recap_cli import Captioner
from recap_cli.corpus.dataset import PreparedData, PreparedSong
from recap_cli.evaluation.captions import caption_split
from recap_cli.facts.facts import Facts
from recap_cli.facts.lexicon import read_facts
from recap_cli.progress import SilentProgress
from recap_cli.runtime.decoding import DecodingOptions

MUSIC_FACTS, WORDS_FACTS = ("voice", "genre", "instruments", "feel"), ("language", "themes")
FACTS = (*MUSIC_FACTS, *WORDS_FACTS)


def told_facts(entry: PreparedSong) -> Facts:
    """Returns what the teachers found in a song."""
    return read_facts(entry.song.captions[0].text)


def agreement(found: Sequence[Facts], wanted: Sequence[Facts], names: Sequence[str] = FACTS) -> dict[str, list[float]]:
    """Returns for each fact how often both say the same, and how often where both state something."""
    shares = {}
    for name in names:
        pairs = [(getattr(one, name), getattr(other, name)) for one, other in zip(found, wanted, strict=True)]
        same = np.array([set(a) == set(b) if isinstance(a, tuple) else a == b for a, b in pairs])
        both = np.array([bool(a) and bool(b) for a, b in pairs])
        first = np.array([(a[0] in b if isinstance(a, tuple) else a == b) if a and b else False for a, b in pairs])
        shares[name] = [round(float(same.mean()), 3), round(float(first[both].mean()), 3) if both.any() else 0.0]
        shares[name].append(round(float(np.mean([bool(b) for _, b in pairs])), 3))
    return shares


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--songs", type=int, default=1000)
    parser.add_argument("--split", default="test")
    parser.add_argument("--beams", type=int, default=4)
    parser.add_argument("--show", type=int, default=5)
    arguments = parser.parse_args()
    captioner, data = Captioner.from_pretrained(arguments.run), PreparedData(arguments.data)
    songs = data.split(arguments.split)[: arguments.songs]
    decoding, progress = DecodingOptions(beams=arguments.beams, batch_size=32), SilentProgress()
    captions = caption_split(captioner, data, songs, decoding, progress)
    for entry, caption in list(zip(songs, captions, strict=True))[: arguments.show]:
        print(f"{entry.song.id}: {caption}\n    wanted: {entry.song.captions[0].text}")
    shares = agreement([read_facts(one) for one in captions], [told_facts(one) for one in songs])
    print(f"{'fact':12} same  where both state  wanted is stated")
    for name, values in shares.items():
        print(f"{name:12} " + "  ".join(f"{value:.3f}" for value in values))
    print(json.dumps({name: values[0] for name, values in shares.items()}))


if __name__ == "__main__":
    main()
