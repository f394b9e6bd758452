"""What alignment did to a run: measured on held-out songs, beside a projection trained on its detached encoder."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from recap_cli.captioning.captioner import Captioner
from recap_cli.corpus.dataset import PreparedData, PreparedSong
from recap_cli.errors import DataError
from recap_cli.evaluation.captions import music_states
from recap_cli.evaluation.fusion_attention import AttentionReport, measure_attention
from recap_cli.evaluation.pooled_vectors import PooledSongs, pool_songs, project_songs
from recap_cli.model.alignment import Alignment
from recap_cli.progress import Progress
from recap_cli.scoring.alignment import (
    AlignmentMeasures,
    InformationBounds,
    bound_information,
    measure_alignment,
    song_gaps,
    unit_vectors,
)
from recap_cli.scoring.bootstrap import Interval, bootstrap_interval

# Training songs that projections and Gaussians are fitted on.
LARGEST_FIT = 2000
PROBE_STEPS = 300
PROBE_LR = 0.01


@dataclass(frozen=True)
class AlignmentReport:
    """What alignment did to one run.

    Attributes:
        name: the run.
        trained: the run's own projection on held-out songs.
        probe: a fresh projection, trained with the same loss on training songs with the encoder detached. The probe of
            a run with alpha 0 shows what a projection finds by itself: only what goes beyond it was taught to the
            encoder by the alignment loss.
        probe_loss: the loss that it was trained with.
        bounds: information that the two sides of `trained` share.
        probe_bounds: the same of `probe`.
        gap: the gap of `trained` with its interval over songs.
        probe_gap: that of `probe`.
        attention: the fusion attention.
        cosines: unit music [songs, width] and unit lyrics [songs, width] behind `trained`.
    """

    name: str
    trained: AlignmentMeasures
    probe: AlignmentMeasures
    probe_loss: str
    bounds: InformationBounds
    probe_bounds: InformationBounds
    gap: Interval
    probe_gap: Interval
    attention: AttentionReport
    cosines: tuple[np.ndarray, np.ndarray] = field(repr=False)

    def to_json(self) -> dict[str, Any]:
        """The report as plain values."""
        return {
            "run": self.name,
            "trained": measures_to_json(self.trained),
            "probe": {**measures_to_json(self.probe), "loss": self.probe_loss},
            "information_nats": vars(self.bounds),
            "probe_information_nats": vars(self.probe_bounds),
            "gap": vars(self.gap),
            "probe_gap": vars(self.probe_gap),
            "attention": self.attention.to_json(),
        }


def measures_to_json(measures: AlignmentMeasures) -> dict[str, Any]:
    """Give measures as plain values."""
    return {name: value if isinstance(value, int | float) else vars(value) for name, value in vars(measures).items()}


def measure_run(
    name: str, captioner: Captioner, data: PreparedData, songs: Sequence[PreparedSong], progress: Progress
) -> AlignmentReport:
    """Measure what alignment did to a run.

    Args:
        name: the run.
        captioner: its model, which must listen.
        data: the songs' folder; its training songs fit the probe.
        songs: held-out songs.
        progress: where to report.

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
    """Give validation songs that are not judged themselves; none where there are too few."""
    judged = {entry.song.id for entry in songs}
    found = [entry for entry in data.songs if entry.song.split == "validation" and entry.song.id not in judged]
    return found[:LARGEST_FIT] if len(found) > 1 else []


def train_probe(captioner: Captioner, pooled: PooledSongs) -> tuple[Alignment, str]:
    """Train a fresh projection on pooled vectors of a detached encoder.

    The loss is the run's own, InfoNCE if it has none. All songs are one batch: each is another song.
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
def apply_probe(probe: Alignment, pooled: PooledSongs) -> tuple[np.ndarray, np.ndarray]:
    """Give both sides after the probe's projection [songs, narrower width]."""
    music, lyrics = probe.project(*tensors(pooled))
    return music.numpy(), lyrics.numpy()


def tensors(pooled: PooledSongs) -> tuple[torch.Tensor, torch.Tensor]:
    """Give pooled vectors as tensors."""
    assert pooled.music is not None
    return torch.from_numpy(pooled.music), torch.from_numpy(pooled.lyrics)
