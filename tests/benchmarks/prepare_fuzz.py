"""Damaged audio files, manifests and lists: each is prepared or rejected with a reason, none crashes or hangs.

    python tests/benchmarks/prepare_fuzz.py [--audio 500] [--corpora 300] [--seed 0]

The last line is JSON: counts, crashes, hangs of over 10 s, and the largest memory of any process in MB.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from fuzzing import Tally, fuzz_audio, fuzz_corpora


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--audio", type=int, default=500)
    parser.add_argument("--corpora", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    print(f"settings: {vars(arguments)}", flush=True)
    tally = Tally()
    with tempfile.TemporaryDirectory() as name:
        fuzz_audio(Path(name) / "audio", arguments.audio, tally, arguments.seed)
        print(f"audio: {tally.prepared} prepared, {tally.rejected} rejected", flush=True)
        for reason, count in tally.reasons.most_common(12):
            print(f"  {count:4d}  {reason[:100]}")
        (Path(name) / "corpora").mkdir()
        fuzz_corpora(Path(name) / "corpora", arguments.corpora, tally, arguments.seed)
    for line in [*tally.crashes, *tally.hangs]:
        print(line[:300])
    figures = {
        "items": tally.items, "prepared": tally.prepared, "rejected": tally.rejected, "refused": tally.refused,
        "crashes": len(tally.crashes), "hangs": len(tally.hangs), "peak_mb": round(tally.peak_mb, 1),
    }  # fmt: skip
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
