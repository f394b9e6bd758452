"""Pooled music and pooled unfused lyrics of the same song are pulled together before they are fused."""

import torch
from torch import Tensor, nn

from recap_cli.model.config import RecapConfig


class Alignment(nn.Module):
    """L_contrast of the paper and of its public code.

    One projection takes the wider side to the width of the narrower one (at full size lyrics 768 -> 256; lyrics when
    both are equal).
    """

    def __init__(self, config: RecapConfig) -> None:
        super().__init__()
        self.loss = config.alignment_loss
        self.similarity = config.similarity
        self.temperature = config.alignment_temperature
        self.pooling = config.pooling
        music, lyrics = config.music_sizes.width, config.d_model
        self.projects_music = music > lyrics
        self.projection = nn.Linear(max(music, lyrics), min(music, lyrics))

    def forward(
        self,
        music_states: Tensor,
        music_mask: Tensor | None,
        lyrics_state: Tensor,
        lyrics_mask: Tensor | None,
        song_ids: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Give the alignment loss and the two pooled, projected sides.

        Args:
            music_states: [batch, steps, music width].
            music_mask: 1 for real steps [batch, steps].
            lyrics_state: unfused lyrics state [batch, tokens, width].
            lyrics_mask: 1 for real tokens [batch, tokens].
            song_ids: one number a row [batch]; rows of one song count once, so they are never negatives.

        Returns:
            The loss (a scalar), pooled music and pooled lyrics [batch, narrower width].
        """
        music = pool(music_states, music_mask if self.pooling == "masked" else None)
        lyrics = pool(lyrics_state, lyrics_mask if self.pooling == "masked" else None)
        music, lyrics = self.project(music, lyrics)
        rows = slice(None) if song_ids is None else first_rows(song_ids)
        return self.compute_loss(music[rows], lyrics[rows]), music, lyrics

    def project(self, music: Tensor, lyrics: Tensor) -> tuple[Tensor, Tensor]:
        """Bring both pooled sides [batch, own width] to the narrower width."""
        if self.projects_music:
            return self.projection(music), lyrics
        return music, self.projection(lyrics)

    def compute_loss(self, music: Tensor, lyrics: Tensor) -> Tensor:
        """Give the loss of matching rows [songs, width]."""
        if self.loss == "none":
            return music.new_zeros(())
        if self.loss == "positive":
            return positive_pair_loss(music, lyrics, self.similarity)
        one_way = infonce_loss(music, lyrics, self.temperature, self.similarity)
        if self.loss == "infonce":
            return one_way
        return (one_way + infonce_loss(lyrics, music, self.temperature, self.similarity)) / 2


def pool(states: Tensor, mask: Tensor | None) -> Tensor:
    """Mean over positions [batch, positions, width] -> [batch, width]; with a mask, over real positions only."""
    if mask is None:
        return states.mean(dim=1)
    weights = mask.to(states.dtype).unsqueeze(-1)
    return (states * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)


def first_rows(song_ids: Tensor) -> Tensor:
    """Index of the first row of each song, in ascending song order (as the public code keeps them)."""
    songs, inverse = torch.unique(song_ids, return_inverse=True)
    rows = torch.arange(len(song_ids), device=song_ids.device)
    first = torch.full((len(songs),), len(song_ids), device=song_ids.device)
    return first.scatter_reduce(0, inverse, rows, reduce="amin")


def positive_pair_loss(music: Tensor, lyrics: Tensor, similarity: str = "cosine") -> Tensor:
    """Equation 1 of the paper: 1 - the mean similarity of matching rows [songs, width]."""
    if similarity == "cosine":
        return 1 - nn.functional.cosine_similarity(music, lyrics, dim=-1).mean()
    return 1 - (music * lyrics).sum(dim=-1).mean()


def infonce_loss(anchors: Tensor, others: Tensor, temperature: float, similarity: str = "cosine") -> Tensor:
    """One-way InfoNCE: each anchor picks its own row among the others [songs, width] (public code: music anchors)."""
    if similarity == "cosine":
        anchors, others = nn.functional.normalize(anchors, dim=-1), nn.functional.normalize(others, dim=-1)
    scores = anchors @ others.T / temperature
    return nn.functional.cross_entropy(scores, torch.arange(len(scores), device=scores.device))
