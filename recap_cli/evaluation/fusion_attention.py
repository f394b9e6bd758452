"""What the fusion attention does: how even it is, whether it changes with the music, and where it looks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from recap_cli.audio.decode import log_mel
from recap_cli.captioning.captioner import Captioner
from recap_cli.corpus.dataset import PreparedData, PreparedSong, SongCollator, SongDataset
from recap_cli.corpus.shards import ShardReader
from recap_cli.demo.attributes import HABITS
from recap_cli.demo.lexicon import read_attributes
from recap_cli.demo.songs import DemoSettings, TwoTimbreSong, render_two_timbres
from recap_cli.evaluation.controls import swap_music
from recap_cli.evaluation.pooled_vectors import encoder_inputs
from recap_cli.processor import pad_mels
from recap_cli.progress import Progress
from recap_cli.runtime.decoding import DecodingOptions, generate_captions
from recap_cli.scoring.bootstrap import Interval, bootstrap_interval
from recap_cli.training.interventions import partners

# Songs are of different lengths: maps are compared over shares of the song, CLS apart.
BINS = 20
LARGEST_SAMPLE = 200
HALVED_SONGS = 60


@dataclass(frozen=True)
class AttentionReport:
    """The fusion attention of one run; means over songs of means over lyrics tokens, with 95 % intervals.

    Attributes:
        entropy: entropy of a token's attention as a share of the largest one, log of the steps; 1 is uniform.
        from_uniform: total variation distance to uniform attention, 0 to 1.
        cls: share of the attention on the [CLS] step; uniform attention gives it 1 / steps.
        swapped: total variation distance, 0 to 1, over the shares of time and [CLS], between a token's attention to its
            own music and to that of another song.
        states: length of the difference in the encoder's output under the swap, relative to the output's.
        songs: songs measured.
        named_half: on songs whose timbre changes half-way, the share on the half whose timbre the caption names (0.5 is
            chance); None where no caption names just one of the two.
        named_songs: songs behind it.
        habit_half: the same for the half whose timbre songs on the lyrics' theme usually have.
        habit_songs: songs behind it.
    """

    entropy: Interval
    from_uniform: Interval
    cls: Interval
    swapped: Interval
    states: Interval
    songs: int
    named_half: Interval | None = None
    named_songs: int = 0
    habit_half: Interval | None = None
    habit_songs: int = 0

    def to_json(self) -> dict[str, Any]:
        """The report as plain values."""
        return {name: vars(found) if isinstance(found, Interval) else found for name, found in vars(self).items()}


def measure_attention(
    captioner: Captioner, data: PreparedData, songs: Sequence[PreparedSong], music: ShardReader, progress: Progress
) -> AttentionReport:
    """Measure the fusion attention on songs, with their own music and with that of other songs.

    Args:
        captioner: a model that listens.
        data: the songs' folder; demo data give the songs whose timbre changes.
        songs: at least two songs.
        music: the model's music states by mel key.
        progress: where to report.
    """
    songs = songs[:LARGEST_SAMPLE]
    others = [songs[number] for number in partners(len(songs), seed=0)]
    swapped = [swap_music(entry, other) for entry, other in zip(songs, others, strict=True)]
    rows = []
    progress.start("Following the attention", len(songs))
    for own, other in zip(attend(captioner, songs, music), attend(captioner, swapped, music), strict=True):
        rows.append(compare_maps(own, other))
        progress.advance()
    progress.finish()
    figures = {name: bootstrap_interval(np.array([row[name] for row in rows])) for name in rows[0]}
    report = AttentionReport(songs=len(songs), **figures)  # type: ignore[arg-type]
    return add_halves(report, captioner, data, songs, progress) if data.is_demo else report


@dataclass(frozen=True)
class Attended:
    """One song in the encoder.

    Attributes:
        map: attention of each lyrics token, mean over fusion layers [tokens, 1 + steps], CLS first.
        states: the encoder's output [tokens, width].
    """

    map: np.ndarray
    states: np.ndarray


@torch.inference_mode()
def attend(captioner: Captioner, songs: Sequence[PreparedSong], music: Mapping[str, np.ndarray] | ShardReader) -> Any:
    """Run the encoder on each song and give its map, one at a time."""
    dataset = SongDataset(songs, captioner.processor, music, per_caption=False)
    for batch in SongCollator(captioner.processor, "states").batches(dataset, 1):
        encoded = captioner.model.model.encoder(
            **encoder_inputs(batch, captioner.model.device), output_music_attentions=True
        )
        maps = torch.stack([layer[0] for layer in encoded.music_attentions]).mean(dim=0)
        yield Attended(maps.float().cpu().numpy(), encoded.last_hidden_state[0].float().cpu().numpy())


def compare_maps(own: Attended, other: Attended) -> dict[str, float]:
    """Give one song's figures, see `AttentionReport`."""
    weights = own.map / own.map.sum(axis=1, keepdims=True)
    steps = weights.shape[1]
    entropy = -np.sum(weights * np.log(np.maximum(weights, 1e-30)), axis=1) / np.log(steps)
    change = np.abs(over_time(own.map) - over_time(other.map)).sum(axis=1) / 2
    return {
        "entropy": float(entropy.mean()),
        "from_uniform": float(np.abs(weights - 1 / steps).sum(axis=1).mean() / 2),
        "cls": float(weights[:, 0].mean()),
        "swapped": float(change.mean()),
        "states": float(np.linalg.norm(own.states - other.states) / np.linalg.norm(own.states)),
    }


def over_time(weights: np.ndarray) -> np.ndarray:
    """Turn attention to steps [tokens, 1 + steps] into shares of CLS and of `BINS` equal spans [tokens, 1 + BINS]."""
    steps = weights.shape[1] - 1
    reached = np.concatenate([np.zeros((len(weights), 1)), np.cumsum(weights[:, 1:], axis=1)], axis=1)
    edges = np.linspace(0, steps, BINS + 1)
    below = np.floor(edges).astype(int).clip(0, steps - 1)
    at_edges = reached[:, below] + (edges - below) * weights[:, 1 + below]
    return np.concatenate([weights[:, :1], np.diff(at_edges, axis=1)], axis=1)


def add_halves(
    report: AttentionReport,
    captioner: Captioner,
    data: PreparedData,
    songs: Sequence[PreparedSong],
    progress: Progress,
) -> AttentionReport:
    """Add where the attention looks on songs whose timbre changes half-way."""
    rng = np.random.default_rng(0)
    settings = DemoSettings.from_json(data.info["demo"])
    halved = [render_two_timbres(entry.song, settings, rng) for entry in songs[:HALVED_SONGS]]
    named, habit = [], []
    progress.start("Following the attention over a change of timbre", len(halved))
    for song in halved:
        first, timbre = attend_halves(captioner, song)
        named += share_on(first, song.timbres, timbre)
        habit += share_on(first, song.timbres, HABITS[song.song.tags["theme"]].timbre)
        progress.advance()
    progress.finish()
    shares = {"named": np.array(named), "habit": np.array(habit)}
    found = {f"{name}_half": bootstrap_interval(values) if len(values) else None for name, values in shares.items()}
    counts = {f"{name}_songs": len(values) for name, values in shares.items()}
    return AttentionReport(**{**vars(report), **found, **counts})


@torch.inference_mode()
def attend_halves(captioner: Captioner, song: TwoTimbreSong) -> tuple[float, str | None]:
    """Give the share of the attention to time that falls on the first half, and the timbre that the caption names."""
    model, processor = captioner.model, captioner.processor
    mel = log_mel(song.samples[: processor.audio.samples], processor.audio)
    batch = {**processor([song.song.lyrics]), **pad_mels([mel], processor.audio)}
    encoded = model.model.encoder(**encoder_inputs(batch, model.device), output_music_attentions=True)
    weights = torch.stack([layer[0] for layer in encoded.music_attentions]).mean(dim=0).float().cpu().numpy()
    spans = over_time(weights)[:, 1:]
    caption = next(iter(generate_captions(model, processor, [batch], DecodingOptions()))).captions[0]
    return float(np.mean(spans[:, : BINS // 2].sum(axis=1) / spans.sum(axis=1))), read_attributes(caption)["timbre"]


def share_on(first: float, timbres: tuple[str, str], wanted: str | None) -> list[float]:
    """Give the share on the half with the wanted timbre, or nothing where neither half has it."""
    return [first if timbres.index(wanted) == 0 else 1 - first] if wanted in timbres else []
