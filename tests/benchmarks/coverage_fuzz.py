"""Coverage-guided fuzzing of what reads strangers' tables, lyrics and tags: rows or text come back, or a RecapError.

    pip install atheris
    python tests/benchmarks/coverage_fuzz.py [--targets tables,lyrics,tags] [--minutes 10] [--corpus FOLDER]

Each target is fuzzed in a process of its own, from the inputs in `--corpus` and on; inputs that reach something new
are kept in a folder that is thrown away, or in `--keep`. A traceback, an input that takes over 10 s, or 1 GB of memory
ends a target.
The last line is JSON: executions and failures of each target.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from fuzz_targets import TARGETS

CORPUS = Path(__file__).parent.parent / "fixtures" / "fuzz_corpus"


def fuzz(target: str) -> None:
    """Fuzz one target; libFuzzer ends the process."""
    import atheris

    with atheris.instrument_imports(include=["recap_cli", "mutagen"]):
        pass
    atheris.Setup([sys.argv[0], *sys.argv[3:]], TARGETS[target])
    atheris.Fuzz()


def run(target: str, minutes: float, seeds: Path, kept: Path) -> dict[str, int | str]:
    """Fuzz a target for some minutes."""
    kept.mkdir(parents=True, exist_ok=True)
    limits = [f"-max_total_time={60 * minutes:.0f}", "-timeout=10", "-rss_limit_mb=1000", "-max_len=20000"]
    command = [sys.executable, __file__, "--one", target, *limits, "-print_final_stats=1", str(kept), str(seeds)]
    done = subprocess.run(command, capture_output=True, cwd=kept, check=False)
    told = done.stderr.decode("utf-8", "replace")
    count = re.search(r"number_of_executed_units:\s*(\d+)", told)
    if done.returncode:
        print("\n".join(told.splitlines()[-25:]), flush=True)
    return {"executions": int(count[1]) if count else 0, "failures": int(done.returncode != 0)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--targets", default=",".join(TARGETS))
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--corpus", type=Path, default=CORPUS)
    parser.add_argument("--keep", type=Path)
    arguments = parser.parse_args()
    print(f"settings: {vars(arguments)}", flush=True)
    found = {}
    with tempfile.TemporaryDirectory() as name:
        for target in arguments.targets.split(","):
            kept = (arguments.keep or Path(name)).resolve() / target
            found[target] = run(target, arguments.minutes, (arguments.corpus / target).resolve(), kept)
            print(f"{target}: {found[target]}", flush=True)
    print(json.dumps(found))


if __name__ == "__main__":
    fuzz(sys.argv[2]) if sys.argv[1:2] == ["--one"] else main()
