"""What alignment did to a run: measured on held-out songs beside a probe's projection, and its fusion attention."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from recap_cli.audio.mel import log_mel
from recap_cli.captioning.captioner import Captioner
from recap_cli.corpus.dataset import PreparedData, PreparedSong, SongCollator, SongDataset
from recap_cli.corpus.shards import ShardReader
from recap_cli.demo.attributes import HABITS
from recap_cli.demo.lexicon import read_attributes
from recap_cli.demo.songs import DemoSettings, TwoTimbreSong, render_two_timbres
from recap_cli.errors import DataError
from recap_cli.evaluation.captions import music_states
from recap_cli.evaluation.controls import swap_music
from recap_cli.evaluation.pooled_vectors import PooledSongs, encoder_inputs, pool_songs, project_songs
from recap_cli.model.alignment import Alignment
from recap_cli.processor import pad_mels
from recap_cli.progress import Progress
from recap_cli.runtime.decoding import DecodingOptions, generate_captions
from recap_cli.scoring.alignment import (
    AlignmentMeasures,
    InformationBounds,
    Sides,
    bound_information,
    measure_alignment,
    song_gaps,
    unit_vectors,
)
from recap_cli.scoring.bootstrap import Interval, bootstrap_interval
from recap_cli.training.interventions import partners

LARGEST_FIT = 2000  # training songs that projections and Gaussians are fitted on
PROBE_STEPS = 300
PROBE_LR = 0.01

BINS = 20  # songs are of different lengths: attention is compared over shares of the song, CLS apart
LARGEST_SAMPLE = 200
HALVED_SONGS = 60


@dataclass(frozen=True)
class AttentionReport:
    """The fusion attention of one run; means over songs of means over lyrics tokens, with 95 % intervals."""

    entropy: Interval  # of a token's attention as a share of the largest one, log of the steps; 1 is uniform
    from_uniform: Interval  # total variation distance to uniform attention, 0 to 1
    cls: Interval  # share of the attention on the [CLS] step; uniform attention gives it 1 / steps
    # Total variation distance, 0 to 1, over the shares of time and [CLS], between a token's attention to its own music
    # and to that of another song.
    swapped: Interval
    states: Interval  # length of the difference in the encoder's output under the swap, relative to the output's
    songs: int
    # On songs whose timbre changes half-way, the share on the half whose timbre the caption names (0.5 is chance); None
    # where no caption names just one of the two.
    named_half: Interval | None = None
    named_songs: int = 0
    habit_half: Interval | None = None  # the same for the half whose timbre is usual for the lyrics' theme
    habit_songs: int = 0

    def to_json(self) -> dict[str, Any]:
        """The report as plain values."""
        return {name: vars(found) if isinstance(found, Interval) else found for name, found in vars(self).items()}


@dataclass(frozen=True)
class AlignmentReport:
    """What alignment did to one run, on held-out songs."""

    name: str
    trained: AlignmentMeasures  # by the run's own projection
    # By a fresh projection, trained with the same loss on training songs with the encoder detached. The probe of a run
    # with alpha 0 shows what a projection finds by itself: only what goes beyond it was taught to the encoder by the
    # alignment loss.
    probe: AlignmentMeasures
    probe_loss: str
    bounds: InformationBounds  # information that the two sides of `trained` share
    probe_bounds: InformationBounds
    gap: Interval  # of `trained`, over songs
    probe_gap: Interval
    attention: AttentionReport
    cosines: Sides = field(repr=False)  # unit vectors behind `trained`

    @property
    def verdict(self) -> str:
        """Says whether music and lyrics of a song are closer than those of different songs."""
        found = self.gap
        claim = "closer" if found.low > 0 else "not shown to be closer"
        return (
            f"{self.name}: music and lyrics of one song are {claim} than those of two, "
            f"cosine {found.mean:+.3f} [{found.low:+.3f}, {found.high:+.3f}]."
        )

    def to_json(self) -> dict[str, Any]:
        """The report as plain values."""
        return {
            "name": self.name,
            "trained": measures_to_json(self.trained),
            "probe": {**measures_to_json(self.probe), "loss": self.probe_loss},
            "information_nats": vars(self.bounds),
            "probe_information_nats": vars(self.probe_bounds),
            "gap": vars(self.gap),
            "probe_gap": vars(self.probe_gap),
            "attention": self.attention.to_json(),
        }


def measures_to_json(measures: AlignmentMeasures) -> dict[str, Any]:
    """Returns measures as plain values."""
    return {name: value if isinstance(value, int | float) else vars(value) for name, value in vars(measures).items()}


def measure_run(
    name: str, captioner: Captioner, data: PreparedData, songs: Sequence[PreparedSong], progress: Progress
) -> AlignmentReport:
    """Measures what alignment did to a run on held-out songs; training songs of the same folder fit the probe.

    The model must take music.

    Raises:
        DataError: too few songs to compare, or no training songs.
    """
    training = [entry for entry in data.songs if entry.song.split == "train"]
    if len(songs) < 2 or len(training) < 2:
        raise DataError(
            f"--alignment compares songs, and {data.folder} gives {len(songs)} to measure and {len(training)} to fit",
            "use a larger split",
        )
    rows = np.sort(np.random.default_rng(0).permutation(len(training))[:LARGEST_FIT])
    music = music_states(captioner, data, progress)
    assert music is not None
    fitting = pool_songs(captioner, [training[row] for row in rows], music, progress)
    chosen = choosing_songs(data, songs)
    choosing = pool_songs(captioner, chosen, music, progress) if chosen else fitting
    held_out = pool_songs(captioner, songs, music, progress)
    probe, loss = train_probe(captioner, fitting)
    own_fit, own_choice, own = (project_songs(captioner, side) for side in (fitting, choosing, held_out))
    probed_fit, probed_choice, probed = (apply_probe(probe, side) for side in (fitting, choosing, held_out))
    return AlignmentReport(
        name=name,
        trained=measure_alignment(*own),
        probe=measure_alignment(*probed),
        probe_loss=loss,
        bounds=bound_information(own_fit, own_choice, own),
        probe_bounds=bound_information(probed_fit, probed_choice, probed),
        gap=bootstrap_interval(song_gaps(*own)),
        probe_gap=bootstrap_interval(song_gaps(*probed)),
        attention=measure_attention(captioner, data, songs, music, progress),
        cosines=(unit_vectors(own[0], "music"), unit_vectors(own[1], "lyrics")),
    )


def choosing_songs(data: PreparedData, songs: Sequence[PreparedSong]) -> list[PreparedSong]:
    """Returns validation songs that are not judged themselves; none where there are too few."""
    judged = {entry.song.id for entry in songs}
    found = [entry for entry in data.songs if entry.song.split == "validation" and entry.song.id not in judged]
    return found[:LARGEST_FIT] if len(found) > 1 else []


def train_probe(captioner: Captioner, pooled: PooledSongs) -> tuple[Alignment, str]:
    """Trains a fresh projection on pooled vectors of a detached encoder, and names the loss.

    It is the run's own, or InfoNCE if that has none. All songs are one batch: each is another song.
    """
    config = captioner.model.config
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        probe = Alignment(config)
    probe.loss = "infonce" if config.alignment_loss == "none" else config.alignment_loss
    music, lyrics = tensors(pooled)
    if probe.standardises_music:
        probe.fit_standard(music)
    optimizer = torch.optim.Adam(probe.parameters(), lr=PROBE_LR)
    for _ in range(PROBE_STEPS):
        optimizer.zero_grad()
        probe.compute_terms(*probe.project(music, lyrics)).mean().backward()
        optimizer.step()
    return probe, probe.loss


@torch.inference_mode()
def apply_probe(probe: Alignment, pooled: PooledSongs) -> Sides:
    """Returns both sides after the probe's projection [songs, narrower width]."""
    music, lyrics = probe.project(*tensors(pooled))
    return music.numpy(), lyrics.numpy()


def tensors(pooled: PooledSongs) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns pooled vectors as tensors."""
    assert pooled.music is not None
    return torch.from_numpy(pooled.music), torch.from_numpy(pooled.lyrics)


def measure_attention(
    captioner: Captioner, data: PreparedData, songs: Sequence[PreparedSong], music: ShardReader, progress: Progress
) -> AttentionReport:
    """Measures the fusion attention on two or more songs, with their own music and with that of other songs.

    Demo data give songs whose timbre changes half-way, too.
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
    """One song in the encoder."""

    map: np.ndarray  # attention of each token, mean over fusion layers [tokens, states], CLS first if there is one
    states: np.ndarray  # the encoder's output [tokens, width]
    summaries: int = 1  # states that stand for the whole: CNNSA's CLS, of musicnn none


@torch.inference_mode()
def attend(
    captioner: Captioner, songs: Sequence[PreparedSong], music: Mapping[str, np.ndarray] | ShardReader
) -> Iterator[Attended]:
    """Runs the encoder on each song, one at a time."""
    dataset = SongDataset(songs, captioner.processor, music, per_caption=False)
    for batch in SongCollator(captioner.processor, "states").batches(dataset, 1):
        encoded = captioner.model.model.encoder(
            **encoder_inputs(batch, captioner.model.device), output_music_attentions=True
        )
        maps = torch.stack([layer[0] for layer in encoded.music_attentions]).mean(dim=0)
        summaries = captioner.model.model.encoder.music_encoder.summaries
        yield Attended(maps.float().cpu().numpy(), encoded.last_hidden_state[0].float().cpu().numpy(), summaries)


def compare_maps(own: Attended, other: Attended) -> dict[str, float]:
    """Returns one song's figures, see `AttentionReport`."""
    weights = own.map / own.map.sum(axis=1, keepdims=True)
    steps = weights.shape[1]
    entropy = -np.sum(weights * np.log(np.maximum(weights, 1e-30)), axis=1) / np.log(steps)
    change = np.abs(over_time(own.map, own.summaries) - over_time(other.map, own.summaries)).sum(axis=1) / 2
    return {
        "entropy": float(entropy.mean()),
        "from_uniform": float(np.abs(weights - 1 / steps).sum(axis=1).mean() / 2),
        "cls": float(weights[:, : own.summaries].sum(axis=1).mean()),
        "swapped": float(change.mean()),
        "states": float(np.linalg.norm(own.states - other.states) / np.linalg.norm(own.states)),
    }


def over_time(weights: np.ndarray, summaries: int = 1) -> np.ndarray:
    """Turns attention to steps [tokens, 1 + steps] into shares of CLS and of `BINS` equal spans [tokens, 1 + BINS].

    Without `summaries` there is no CLS among the weights [tokens, steps], and its share is 0.
    """
    weights = weights if summaries else np.pad(weights, ((0, 0), (1, 0)))
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
    """Adds where the attention looks on songs whose timbre changes half-way."""
    rng = np.random.default_rng(0)
    settings = DemoSettings.from_json(data.info["demo"])
    halved = [render_two_timbres(entry.song, settings, rng) for entry in songs[:HALVED_SONGS]]
    named: list[float] = []
    habit: list[float] = []
    progress.start("Following the attention over a change of timbre", len(halved))
    for song in halved:
        first, timbre = attend_halves(captioner, song)
        named += share_on(first, song.timbres, timbre)
        habit += share_on(first, song.timbres, HABITS[song.song.tags["theme"]].timbre)
        progress.advance()
    progress.finish()
    return replace(
        report,
        named_half=bootstrap_interval(np.array(named)) if named else None,
        named_songs=len(named),
        habit_half=bootstrap_interval(np.array(habit)) if habit else None,
        habit_songs=len(habit),
    )


@torch.inference_mode()
def attend_halves(captioner: Captioner, song: TwoTimbreSong) -> tuple[float, str | None]:
    """Returns the first half's share of the attention to time, and the timbre that the caption names."""
    model, processor = captioner.model, captioner.processor
    mel = log_mel(song.samples[: processor.audio.samples], processor.audio)
    batch = {**processor([song.song.lyrics]), **pad_mels([mel], processor.audio)}
    encoded = model.model.encoder(**encoder_inputs(batch, model.device), output_music_attentions=True)
    weights = torch.stack([layer[0] for layer in encoded.music_attentions]).mean(dim=0).float().cpu().numpy()
    spans = over_time(weights, model.model.encoder.music_encoder.summaries)[:, 1:]
    caption = next(iter(generate_captions(model, processor, [batch], DecodingOptions()))).captions[0]
    return float(np.mean(spans[:, : BINS // 2].sum(axis=1) / spans.sum(axis=1))), read_attributes(caption)["timbre"]


def share_on(first: float, timbres: tuple[str, str], wanted: str | None) -> list[float]:
    """Returns the share on the half with the wanted timbre, or nothing where neither half has it."""
    return [first if timbres.index(wanted) == 0 else 1 - first] if wanted in timbres else []
