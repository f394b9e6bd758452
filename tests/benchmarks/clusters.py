"""False alarms of paired tests where songs of one artist are alike: by artist, and by song on the same data.

    python tests/benchmarks/clusters.py [--runs 2000] [--shared 0.5]

Two systems are equally good. What they differ in on a song is drawn anew in each run: one part belongs to the artist,
so that all songs of the artist share it (`--shared` of the variance), the rest to the song. The artists have as many
songs as in the part of Song Describer with known lyrics: 146 of 49, two of whom have 35. Beside p up to 0.05, the
intervals that leave 0 out are counted. The last line is JSON.
"""

import argparse
import json
import time

import numpy as np

from recap_cli.scoring.bootstrap import paired_difference

LEVEL = 0.05
SIZES = np.array([19, 16, 7, 7, 7, 7, 6, 6, 5, 4, *[3] * 6, *[2] * 11, *[1] * 22])  # songs of each artist


def draw_differences(artists: np.ndarray, shared: float, rng: np.random.Generator) -> np.ndarray:
    """Returns what two equally good systems differ in on every song [songs], in units of its standard deviation."""
    of_artists = rng.normal(size=artists.max() + 1)[artists]
    return np.sqrt(shared) * of_artists + np.sqrt(1 - shared) * rng.normal(size=len(artists))


def count_alarms(runs: int, shared: float, trials: int = 999, resamples: int = 500) -> dict[str, float]:
    """Returns the shares of runs in which a test finds a difference that is not there."""
    owners, rng = np.repeat(np.arange(len(SIZES)), SIZES), np.random.default_rng(0)
    alarms = dict.fromkeys(("by_artist", "by_song", "interval_by_artist", "interval_by_song"), 0)
    for run in range(runs):
        values, zero = draw_differences(owners, shared, rng), np.zeros(len(owners))
        for name, clusters in (("by_artist", owners), ("by_song", None)):
            found = paired_difference(values, zero, resamples, trials, seed=run, clusters=clusters)
            alarms[name] += found.p <= LEVEL
            alarms[f"interval_{name}"] += not found.difference.low <= 0 <= found.difference.high
    return {name: round(count / runs, 4) for name, count in alarms.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--shared", type=float, default=0.5)
    arguments = parser.parse_args()
    began = time.perf_counter()
    print(f"{SIZES.sum()} songs of {len(SIZES)} artists, who have {SIZES.min()} to {SIZES.max()} each")
    alarms = count_alarms(**vars(arguments))
    print(f"{arguments.runs} runs at {LEVEL:.0%}, {arguments.shared:.0%} of the variance shared by an artist's songs")
    print(
        json.dumps(
            {
                **alarms,
                **vars(arguments),
                "songs": int(SIZES.sum()),
                "artists": len(SIZES),
                "seconds": round(time.perf_counter() - began, 1),
            }
        )
    )


if __name__ == "__main__":
    main()
