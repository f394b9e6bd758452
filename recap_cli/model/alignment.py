"""Pooled music and pooled unfused lyrics of the same song are pulled together before they are fused."""

import torch
from torch import Tensor, distributed, nn

from recap_cli.model.config import RecapConfig


class Alignment(nn.Module):
    """L_contrast of the paper and of its public code.

    One projection takes the wider side to the width of the narrower one (at full size lyrics 768 -> 256; lyrics when
    both are equal).
    """

    music_mean: Tensor
    music_deviation: Tensor

    def __init__(self, config: RecapConfig) -> None:
        super().__init__()
        self.loss = config.alignment_loss
        self.similarity = config.similarity
        self.temperature = config.alignment_temperature
        self.pooling = config.pooling
        music, lyrics = config.music_width, config.d_model
        self.projects_music = music > lyrics
        self.projection = nn.Linear(max(music, lyrics), min(music, lyrics))
        self.standardises_music = config.standardise_music
        if self.standardises_music:
            self.register_buffer("music_mean", torch.zeros(music))
            self.register_buffer("music_deviation", torch.ones(music))

    def forward(
        self,
        music_states: Tensor,
        music_mask: Tensor | None,
        lyrics_state: Tensor,
        lyrics_mask: Tensor | None,
        song_ids: Tensor | None = None,
        aligned_rows: Tensor | None = None,
        num_songs: Tensor | int | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Returns the alignment loss (a scalar) and the pooled, projected music and lyrics [batch, narrower width].

        Args:
            music_states: [batch, steps, music width].
            music_mask: 1 for real steps [batch, steps].
            lyrics_state: unfused lyrics state [batch, tokens, width].
            lyrics_mask: 1 for real tokens [batch, tokens].
            song_ids: one number a row [batch]; rows of one song count once, so they are never negatives.
            aligned_rows: True for the rows that count [batch], where a step is larger than this batch; it stands in
                for `song_ids`.
            num_songs: songs of the whole step; the loss is a sum over the rows divided by it. Default: of this batch.
        """
        music = pool(music_states, music_mask if self.pooling == "masked" else None)
        lyrics = pool(lyrics_state, lyrics_mask if self.pooling == "masked" else None)
        music, lyrics = self.project(music, lyrics)
        rows: Tensor | slice = slice(None)
        if aligned_rows is not None:
            rows = aligned_rows.bool()
        elif song_ids is not None:
            rows = first_rows(song_ids)
        terms = self.compute_terms(music[rows], lyrics[rows])
        songs = num_songs if num_songs is not None else max(len(terms), 1)
        return terms.sum() / songs, music, lyrics

    def standardise(self, music: Tensor) -> Tensor:
        """Returns pooled music [batch, music width] by the training songs' mean and deviation, where that is set."""
        return (music - self.music_mean) / self.music_deviation if self.standardises_music else music

    @torch.no_grad()
    def fit_standard(self, pooled: Tensor) -> None:
        """Takes mean and deviation of each dimension from the training songs' pooled music [songs, music width]."""
        self.music_mean.copy_(pooled.mean(dim=0))
        self.music_deviation.copy_(pooled.std(dim=0).clamp(min=1e-6))

    def project(self, music: Tensor, lyrics: Tensor) -> tuple[Tensor, Tensor]:
        """Returns both pooled sides [batch, own width] in the narrower width; the music is standardised if set so."""
        music = self.standardise(music)
        if self.projects_music:
            return self.projection(music), lyrics
        return music, self.projection(lyrics)

    def compute_terms(self, music: Tensor, lyrics: Tensor) -> Tensor:
        """Returns each song's part of the loss [songs] for matching rows [songs, width]."""
        if self.loss == "none":
            return music.new_zeros(len(music))
        if self.loss == "positive":
            return pair_distances(music, lyrics, self.similarity)
        all_music, first = gather_rows(music)
        all_lyrics, _ = gather_rows(lyrics)
        one_way = infonce_terms(music, all_lyrics, self.temperature, self.similarity, first)
        if self.loss == "infonce":
            return one_way
        return (one_way + infonce_terms(lyrics, all_music, self.temperature, self.similarity, first)) / 2


def pool(states: Tensor, mask: Tensor | None) -> Tensor:
    """Returns the mean over positions [batch, positions, width] -> [batch, width]; with a mask, over real ones only."""
    if mask is None:
        return states.mean(dim=1)
    weights = mask.to(states.dtype).unsqueeze(-1)
    return (states * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)


def first_rows(song_ids: Tensor) -> Tensor:
    """Returns the index of the first row of each song, in ascending song order (as the public code keeps them)."""
    songs, inverse = torch.unique(song_ids, return_inverse=True)
    rows = torch.arange(len(song_ids), device=song_ids.device)
    first = torch.full((len(songs),), len(song_ids), device=song_ids.device)
    return first.scatter_reduce(0, inverse, rows, reduce="amin")


def gather_rows(rows: Tensor) -> tuple[Tensor, int]:
    """Returns the rows [songs, width] of all processes, gradient included, and the place of this one's first row."""
    if not (distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1):
        return rows, 0
    from torch.distributed.nn.functional import all_gather  # not in a torch without `distributed`

    count = torch.tensor([len(rows)], device=rows.device)
    counts = [torch.zeros_like(count) for _ in range(distributed.get_world_size())]
    distributed.all_gather(counts, count)
    sizes = [int(one) for one in counts]
    padded = torch.cat([rows, rows.new_zeros(max(sizes) - len(rows), rows.shape[1])])
    parts = [part[:size] for part, size in zip(all_gather(padded), sizes, strict=True)]
    return torch.cat(parts), sum(sizes[: distributed.get_rank()])


def pair_distances(music: Tensor, lyrics: Tensor, similarity: str = "cosine") -> Tensor:
    """Returns 1 - the similarity of each matching pair of rows [songs, width] -> [songs] (paper, eq. 1: their mean)."""
    if similarity == "cosine":
        return 1 - nn.functional.cosine_similarity(music, lyrics, dim=-1)
    return 1 - (music * lyrics).sum(dim=-1)


def infonce_terms(
    anchors: Tensor, others: Tensor, temperature: float, similarity: str = "cosine", first: int = 0
) -> Tensor:
    """Returns how badly each anchor [songs, width] picks its partner among the others [all songs, width] -> [songs].

    One-way InfoNCE, as the public code has it with the music as anchors, is their mean. The partner of
    anchor i is row `first` + i of the others.
    """
    if similarity == "cosine":
        anchors, others = nn.functional.normalize(anchors, dim=-1), nn.functional.normalize(others, dim=-1)
    scores = anchors @ others.T / temperature
    partners = torch.arange(first, first + len(anchors), device=scores.device)
    return nn.functional.cross_entropy(scores, partners, reduction="none")
