"""Controls: what a run scores with the wrong input, and what is scored without any model."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from recap_cli.captioning.captioner import Captioner
from recap_cli.corpus.dataset import PreparedData, PreparedSong
from recap_cli.corpus.shards import ShardReader
from recap_cli.errors import DataError
from recap_cli.evaluation.captions import caption_file, caption_split, music_states
from recap_cli.evaluation.pooled_vectors import pool_songs
from recap_cli.evaluation.songs import SongSet
from recap_cli.evaluation.systems import SystemScores, score_system
from recap_cli.progress import Progress, SilentProgress
from recap_cli.runtime.decoding import DecodingOptions
from recap_cli.scoring.alignment import unit_vectors
from recap_cli.scoring.bootstrap import Comparison, paired_difference
from recap_cli.scoring.rouge import is_other_script, rouge, rouge_pairs, rouge_tokens
from recap_cli.scoring.text import HEADLINE, headings, protocol_named
from recap_cli.specificity.moving import PairScores, Songs, SongTables
from recap_cli.specificity.results import TextControls
from recap_cli.specificity.study import study_captions
from recap_cli.training.interventions import partners

CONSTANT_CAPTION = "This song is about love."
OTHER_MUSIC = "music of another song"
NO_MUSIC = "music states of zero"
OTHER_LYRICS = "lyrics of another song"
# The inputs that a run is shown to use, and the control that would show it.
USES = {"music": OTHER_MUSIC, "lyrics": OTHER_LYRICS}

CANDIDATES = 100  # training captions among which the best single one is looked for
JUDGES = 100  # songs whose captions each is compared with
LARGEST_POOL = 5000  # training songs among which the nearest one is looked for


@dataclass(frozen=True)
class Control:
    """One control of one run."""

    name: str  # what was done
    system: SystemScores
    differences: dict[str, Comparison]  # the run minus the control in every figure of `HEADLINE`, paired by song

    def to_json(self) -> dict[str, Any]:
        """The control as plain values."""
        return {
            **self.system.to_json(),
            "name": self.name,
            "run_minus_control": {name: vars(found.difference) for name, found in self.differences.items()},
        }


@dataclass(frozen=True)
class ControlReport:
    """All controls of one run."""

    name: str
    controls: list[Control]
    protocol: str = "f1"

    @property
    def verdicts(self) -> list[str]:
        """Says of each input whether the run uses it: only if the interval of real minus swapped lies above 0."""
        lines = []
        heading = headings(self.protocol)["rougeL"]
        for given, swapped in USES.items():
            control = next((one for one in self.controls if one.name == swapped), None)
            if control is None:
                lines.append(f"does not take the {given}")
                continue
            found = control.differences["rougeL"].difference
            amount = f"{100 * found.mean:+.1f} [{100 * found.low:+.1f}, {100 * found.high:+.1f}]"
            claim = "uses" if found.low > 0 else "is not shown to use"
            lines.append(f"{claim} the {given}: {heading} {amount} with its own against {swapped}")
        return lines

    def to_json(self) -> dict[str, Any]:
        """The report as plain values."""
        return {
            "name": self.name,
            "controls": [control.to_json() for control in self.controls],
            "verdicts": self.verdicts,
        }


@dataclass(frozen=True)
class RunUnderTest:
    """A run with everything that its controls need."""

    captioner: Captioner
    system: SystemScores  # its scores on the real songs
    data: PreparedData
    songs: Sequence[PreparedSong]
    scored: SongSet  # the same songs for scoring
    split: str
    protocol: str
    decoding: DecodingOptions
    out: Path | None  # the folder that keeps captions
    run: Path | None  # None for the embedded model
    seed: int = 0  # of the partners


def run_controls(test: RunUnderTest, progress: Progress) -> ControlReport:
    """Scores every control of a run.

    Raises:
        DataError: there are too few songs to take another one's input.
    """
    if len(test.songs) < 2:
        raise DataError("Controls swap songs, and there is only one.", "score at least two songs")
    controls = []
    for name, captions in control_captions(test, progress):
        told, source = f"{test.system.name} {name}", control_source(test, name)
        system = score_system(told, captions, test.scored, test.protocol, SilentProgress(), source=source)
        controls.append(Control(name, system, subtract(test.system, system, test.protocol)))
    return ControlReport(test.system.name, controls, test.protocol)


def control_texts(
    systems: Sequence[SystemScores],
    songs: SongSet,
    protocol: str,
    progress: Progress,
    scorers: Sequence[PairScores] = (),
    by_song: Sequence[SongTables] = (),
) -> TextControls:
    """Scores the controls that need no model, of all systems on the same songs; scorers add figures to ROUGE.

    Raises:
        DataError: there is one song only.
    """
    chosen = protocol_named(protocol)
    rouge = partial(rouge_pairs, part=chosen.part, over="best" if chosen.over == "best" else "mean")
    references = [[text for text in texts if text.strip()] for texts in songs.references]
    weights = systems[0].scores.weights(chosen.over)
    asked = Songs(references, songs.artist_numbers, weights, songs.lyrics, songs.clusters, by_song)
    captions = {system.name: system.captions for system in systems}
    return study_captions(captions, asked, (rouge, *scorers), protocol, progress)


def subtract(system: SystemScores, control: SystemScores, protocol: str) -> dict[str, Comparison]:
    """Compares a run with a control in every headline figure, paired by song."""
    weights = system.scores.weights(protocol_named(protocol).over)
    return {
        name: paired_difference(
            system.scores.headline_values(name, protocol),
            control.scores.headline_values(name, protocol),
            weights=weights,
            clusters=system.scores.clusters,
        )
        for name in HEADLINE
    }


def control_source(test: RunUnderTest, name: str) -> str:
    """Returns what a control's files are called after; no path of a run is equal to it."""
    return f"{test.system.source or test.system.name}\n{name}"


def control_captions(test: RunUnderTest, progress: Progress) -> Iterator[tuple[str, list[str]]]:
    """Yields each control's name and captions."""

    def generate(
        name: str,
        songs: Sequence[PreparedSong],
        music: Mapping[str, np.ndarray] | None = None,
        partners: Sequence[PreparedSong] = (),
    ) -> list[str]:
        progress.say(f"Control: {name}")
        source, ids = control_source(test, name), [entry.song.id for entry in partners]
        file = caption_file(test.out, source, test.run, test.data, test.split, test.decoding, ids)
        return caption_split(test.captioner, test.data, songs, test.decoding, progress, music, file)

    others = [test.songs[number] for number in partners(len(test.songs), test.seed)]
    music = music_states(test.captioner, test.data, progress)
    if music is not None:
        yield OTHER_MUSIC, generate(OTHER_MUSIC, list(map(swap_music, test.songs, others)), partners=others)
        yield NO_MUSIC, generate(NO_MUSIC, test.songs, ZeroStates(music))
    yield OTHER_LYRICS, generate(OTHER_LYRICS, list(map(swap_lyrics, test.songs, others)), partners=others)
    yield "lyrics copied as the caption", [" ".join(entry.song.lyrics.split()) for entry in test.songs]
    yield f'one constant caption: "{CONSTANT_CAPTION}"', [CONSTANT_CAPTION] * len(test.songs)
    training = [entry for entry in test.data.songs if entry.song.split == "train" and entry.song.captions]
    if training:
        yield "best single training caption", [best_caption(training, test.seed)] * len(test.songs)
        yield "caption of the nearest training song", nearest_captions(test, training, music, progress)


def swap_music(entry: PreparedSong, other: PreparedSong) -> PreparedSong:
    """Returns a song with the music of another."""
    return replace(entry, mel=other.mel, seconds=other.seconds)


def swap_lyrics(entry: PreparedSong, other: PreparedSong) -> PreparedSong:
    """Returns a song with the lyrics of another."""
    return replace(entry, song=replace(entry.song, lyrics=other.song.lyrics))


class ZeroStates(Mapping[str, np.ndarray]):
    """Music states of zero, as many steps as each song has."""

    def __init__(self, music: ShardReader) -> None:
        self.music = music

    def __getitem__(self, key: str) -> np.ndarray:
        return np.zeros_like(self.music[key])

    def __iter__(self) -> Iterator[str]:
        return iter(self.music.files)

    def __len__(self) -> int:
        return len(self.music.files)


def best_caption(training: Sequence[PreparedSong], seed: int) -> str:
    """Returns the training caption with the best mean ROUGE-L F1 against other songs, among a seeded sample."""
    rng = np.random.default_rng(seed)
    owners = {caption.text: row for row, entry in enumerate(training) for caption in entry.song.captions}
    texts = sorted(owners)
    candidates = [texts[row] for row in rng.permutation(len(texts))[:CANDIDATES]]
    judges = {
        int(row): [
            (by_characters, rouge_tokens(caption.text, by_characters))
            for caption in training[row].song.captions
            for by_characters in [is_other_script([caption.text])]
        ]
        for row in rng.permutation(len(training))[:JUDGES]
    }

    def mean_score(candidate: str) -> float:
        said = [rouge_tokens(candidate, by_characters) for by_characters in (False, True)]
        best = [
            max(rouge(meant, said[by_characters])[2].f1 for by_characters, meant in judge)
            for row, judge in judges.items()
            if row != owners[candidate]
        ]
        return float(np.mean(best)) if best else 0.0

    return max(candidates, key=mean_score)


def nearest_captions(
    test: RunUnderTest, training: Sequence[PreparedSong], music: ShardReader | None, progress: Progress
) -> list[str]:
    """Returns for each song the first caption of the nearest training song, by pooled music and lyrics alike."""
    rows = np.sort(np.random.default_rng(test.seed).permutation(len(training))[:LARGEST_POOL])
    pool = [training[row] for row in rows]
    known = pool_songs(test.captioner, pool, music, progress)
    asked = pool_songs(test.captioner, test.songs, music, progress)
    cosines = np.zeros((len(test.songs), len(pool)))
    for ours, theirs in zip(asked.sides, known.sides, strict=True):
        mean, deviation = theirs.mean(axis=0), theirs.std(axis=0) + 1e-6
        cosines += unit_vectors((ours - mean) / deviation, "song") @ unit_vectors((theirs - mean) / deviation, "song").T
    return [pool[row].song.captions[0].text for row in cosines.argmax(axis=1)]
