"""Derive METEOR's synonym table from the `dict` folder of WordNet 3.0.

Usage: python tests/make_synonyms.py FOLDER [OUTPUT]

FOLDER holds data.noun, noun.exc and so on (Debian: package `wordnet-base`). The same folder gives the same bytes.
"""

import gzip
import os
import re
import sys
from pathlib import Path

OUTPUT = Path(__file__).resolve().parents[1] / "recap_cli" / "data" / "wordnet_synonyms.txt.gz"
PARTS_OF_SPEECH = ("noun", "verb", "adj", "adv")
NOTICE = """\
Derived from WordNet 3.0, Copyright 2006 by Princeton University. All rights reserved.
Provided "as is", without warranty; the licence is in the file WORDNET-LICENSE beside this one."""


def wordnet_folder():
    """Find WordNet 3.0's own files; WNSEARCHDIR is where WordNet's programs look."""
    for name in (os.environ.get("WNSEARCHDIR", ""), "/usr/share/wordnet", "/usr/local/WordNet-3.0/dict"):
        data = Path(name) / "data.adj"
        if name and data.exists() and "WordNet 3.0 Copyright" in data.read_text(encoding="utf-8")[:2000]:
            return Path(name)
    return None


def synsets_of(path: Path) -> set[str]:
    """Read a data file: one line of lemma names for each synset that METEOR can use.

    METEOR drops names of several words, so a synset of nothing else cannot give a match. Where a synset also has a name
    of one word the others stay, because they can be asked for.
    """
    synsets = set()
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith(" "):
            continue
        fields = line.split("|")[0].split()
        # The count of names is hexadecimal; adjectives carry their position, as in "galore(ip)".
        names = [re.sub(r"\(.*\)$", "", name) for name in fields[4 : 4 + 2 * int(fields[3], 16) : 2]]
        if not all("_" in name for name in names):
            synsets.add(" ".join(sorted(names)))
    return synsets


def exceptions_of(path: Path) -> list[str]:
    """Read an exception file: inflected form, then base forms; the last line of a form counts, as in NLTK."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return sorted({line.split()[0]: " ".join(line.split()) for line in lines}.values())


def table_of(folder: Path) -> str:
    """Write the table: the notice, then a synset block and an exception block for each part of speech."""
    blocks = [NOTICE]
    for part in PARTS_OF_SPEECH:
        blocks.append("\n".join([f"{part} synsets", *sorted(synsets_of(folder / f"data.{part}"))]))
        blocks.append("\n".join([f"{part} exceptions", *exceptions_of(folder / f"{part}.exc")]))
    return "\n\n".join(blocks) + "\n"


def main(folder: str, output: str = str(OUTPUT)) -> None:
    Path(output).write_bytes(gzip.compress(table_of(Path(folder)).encode(), compresslevel=9, mtime=0))
    print(f"{output}: {Path(output).stat().st_size} bytes")


if __name__ == "__main__":
    main(*sys.argv[1:])
