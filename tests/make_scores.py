"""Evaluations of made-up figures, for tests of what is shown of them."""

from pathlib import Path
from typing import Any

import numpy as np

from recap_cli.evaluation.controls import OTHER_LYRICS, OTHER_MUSIC, Control, ControlReport
from recap_cli.evaluation.evaluate import EvaluateResult
from recap_cli.evaluation.system_differences import Contrast
from recap_cli.evaluation.systems import Entry, Origin, SystemScores
from recap_cli.runtime.decoding import DecodingOptions
from recap_cli.scoring.bootstrap import Comparison, Interval
from recap_cli.scoring.rouge import ROUGE_TYPES
from recap_cli.scoring.song_scores import Judges
from recap_cli.scoring.text import HEADLINE, score_songs
from recap_cli.specificity.results import ControlRow, Share, Specificity, TextControls

SONGS = 40
LEVELS = {"rouge1": 0.52, "rouge2": 0.21, "rougeL": 0.41, "meteor": 0.38, "bleu": 14.2, "chrf": 39.5}
LEVELS |= {"cider": 0.31, "facts": 0.33}
JUDGED = {"tag_facts": 0.27, "meaning": 0.61, "meaning_mean": 0.48}
P_HOLM = {"rouge1": 0.001, "rouge2": 0.3, "rougeL": 0.02, "meteor": 0.04, "bleu": 1.0, "chrf": 0.06}
P_HOLM |= {"cider": 0.2, "facts": 0.03}


def around(mean: float, reach: float) -> Interval:
    return Interval(mean, mean - reach, mean + reach)


class Lengths:
    """A sentence encoder that knows how long a text is."""

    signature = "lengths of texts"

    def encode(self, texts):
        return np.array([[np.cos(len(text)), np.sin(len(text))] for text in texts], np.float32)


def system(name: str, gain: float = 0.0, judges: Judges | None = None) -> SystemScores:
    """A system that is better by `gain` in every figure but METEOR, where it is worse."""
    captions = ["a song of the sea"] * SONGS
    ids = [f"song-{number}" for number in range(SONGS)]
    scores = score_songs(
        ids, captions, [["a song of the sea at night", "the sea"]] * SONGS, lyrics=["la la"] * SONGS, judges=judges
    )
    levels = LEVELS | {name: level for name, level in JUDGED.items() if name in scores.figures}
    intervals = {
        figure: around(level + (-gain if figure == "meteor" else gain) * scale, 0.02 * scale)
        for figure, level in levels.items()
        for scale in [100 if level > 1 else 1]
    }
    return SystemScores(name, captions, scores, intervals, {}, Origin("", "", 0, {}), f"runs/{name}")


def contrasts(name: str, gain: float, test: str, against: str = "one") -> list[Contrast]:
    """Differences of a system to another; in METEOR it is the other way round."""
    seeds = (1, 1) if test == "songs" else (2, 2)
    found = []
    for figure, level in LEVELS.items():
        mean = (-gain if figure == "meteor" else gain) * (100 if level > 1 else 1)
        comparison = Comparison(around(mean, abs(mean) / 2), P_HOLM[figure] / 6)
        found.append(Contrast(name, against, figure, comparison, P_HOLM[figure], seeds, test))
    return found


def control_report(of: SystemScores) -> ControlReport:
    """Controls that show a use of the music and none of the lyrics."""
    losses = {OTHER_MUSIC: (0.1, 0.03), OTHER_LYRICS: (0.01, 0.03), "one constant caption": (0.2, 0.05)}
    controls = []
    for name, (loss, reach) in losses.items():
        differences = dict.fromkeys(HEADLINE, Comparison(around(loss, reach), 0.01))
        controls.append(Control(name, system(f"{of.name} {name}", -loss), differences))
    return ControlReport(of.name, controls)


def all_pairs(*names: str) -> list[Contrast]:
    """Differences between all pairs of systems, each later one being worse."""
    pairs = [(later, earlier) for place, earlier in enumerate(names) for later in names[place + 1 :]]
    return [
        found
        for later, earlier in pairs
        for found in contrasts(later, -0.01 * (names.index(later) - names.index(earlier)), "songs", earlier)
    ]


def specificity(*names: str) -> TextControls:
    """What controls without a model find: each system is more specific than the one before it."""

    def row(name: str, kind: str, gain: float, songs: int, share: bool = False, text: str = "") -> ControlRow:
        moved = Specificity(around(0.2 + gain, 0.01), around(0.2, 0.005), around(gain, 0.008), 0.002)
        people = Share(around(0.2 + gain, 0.02), around(1 + gain, 0.1), around(20 * gain, 0.2))
        shares = dict.fromkeys(ROUGE_TYPES, people) if share else {}
        return ControlRow(name, kind, songs, 24.0, dict.fromkeys(ROUGE_TYPES, moved), shares, text)

    rows = [row(name, "system", 0.03 * number, SONGS, True) for number, name in enumerate(names)]
    rows += [row("lyrics, first lines", "lyrics", 0.001, 12), row("people", "people", 0.05, 18)]
    rows.append(row("one reference for all songs", "constant", 0.0, SONGS, text="a song of the sea"))
    return TextControls(rows, SONGS, 17, 39)


def evaluation(
    *names: str, gain: float = 0.02, test: str = "songs", controls: bool = False, **changes: Any
) -> EvaluateResult:
    """An evaluation of systems; the second is better than the first by `gain`, the others are worse one by one."""
    gains = [0.0, gain, *(-0.005 * number for number in range(1, len(names)))][: len(names)]
    systems = [system(name, one) for name, one in zip(names, gains, strict=True)]
    later = list(zip(names, gains, strict=True))[1:]
    fields = {
        "data": Path("data"),
        "split": "test",
        "protocol": "f1",
        "systems": systems,
        "entries": [Entry((one,), one.intervals) for one in systems],
        "oracles": {},
        "contrasts": [found for name, more in later for found in contrasts(name, more, test, names[0])],
        "signature": "how all of it was made",
        "decoding": DecodingOptions(),
        "controls": [control_report(systems[-1])] if controls else [],
        "made": {"recap": "1.0.0", "data": "abc", "weights": []},
    }
    return EvaluateResult(**{**fields, **changes})
