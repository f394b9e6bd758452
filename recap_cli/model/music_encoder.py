"""CNNSA: residual convolutions and self-attention; log-mel in, music states and their mask out."""

import numpy as np
import torch
from torch import Tensor, nn

from recap_cli.model.config import MusicEncoderSizes

# (mel, time) strides of the seven blocks; together 128 mel bands become one, and time shrinks by `TIME_STRIDE`.
STRIDES = ((2, 2), (2, 2), (2, 2), (2, 1), (2, 1), (2, 1), (2, 1))
TIME_STRIDE = 8


class ResidualBlock(nn.Module):
    """ReLU(shortcut + BN(conv(ReLU(BN(conv x))))), all convolutions 3 x 3 (`Res_2d` of the public code)."""

    def __init__(self, channels_in: int, channels: int, stride: tuple[int, int]) -> None:
        super().__init__()
        self.conv_1 = nn.Conv2d(channels_in, channels, 3, stride=stride, padding=1)
        self.norm_1 = nn.BatchNorm2d(channels)
        self.conv_2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm_2 = nn.BatchNorm2d(channels)
        self.shortcut = nn.Conv2d(channels_in, channels, 3, stride=stride, padding=1)
        self.shortcut_norm = nn.BatchNorm2d(channels)

    def forward(self, sound: Tensor, mask: Tensor | None) -> Tensor:
        """Transforms [batch, channels_in, mels, frames]; `mask` [batch, 1, 1, frames out] zeroes what is padding."""
        inner = zero_padding(torch.relu(self.norm_1(self.conv_1(sound))), mask)
        inner = self.norm_2(self.conv_2(inner))
        return zero_padding(torch.relu(self.shortcut_norm(self.shortcut(sound)) + inner), mask)


class MusicEncoder(nn.Module):
    """The music encoder of Won et al. 2019 ("Toward Interpretable Music Tagging with Self-Attention").

    A padded song gives the same states as the same song alone: padding is set to zero after every layer that could
    fill it, which is what the convolutions see beyond the edge of an unpadded song.
    """

    summaries = 1  # music states that stand for the whole
    cls: Tensor

    def __init__(self, sizes: MusicEncoderSizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.input_norm = nn.BatchNorm2d(1)
        widths = (1, *sizes.channels)
        self.blocks = nn.ModuleList(
            ResidualBlock(before, after, stride)
            for before, after, stride in zip(widths, widths[1:], STRIDES, strict=False)
        )
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                sizes.width,
                sizes.heads,
                sizes.ffn,
                dropout=0.1,
                activation="gelu",
                layer_norm_eps=1e-12,
                batch_first=True,
            )
            for _ in range(sizes.layers)
        )
        self.register_buffer("cls", cls_vector(sizes.width))

    def forward(self, mel: Tensor, mel_mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Returns music states [batch, 1 + ceil(frames / 8), width], CLS first, and their mask [batch, 1 + steps].

        Args:
            mel: log-mel in dB [batch, mels, frames].
            mel_mask: 1 for real frames, 0 for padding [batch, frames]; None when nothing is padded.
        """
        steps, step_mask = self.convolve(mel, mel_mask)
        batch = steps.shape[0]
        states = torch.cat([self.cls.to(steps.dtype).expand(batch, 1, -1), steps], dim=1)
        music_mask = torch.cat([step_mask.new_ones(batch, 1), step_mask], dim=1)
        padding = None if mel_mask is None else ~music_mask
        for layer in self.layers:
            states = layer(states, src_key_padding_mask=padding)
        return states, music_mask.long()

    @property
    def width(self) -> int:
        """Width of the music states."""
        return self.sizes.width

    @staticmethod
    def steps(frames: int) -> int:
        """Returns how many music states a mel of so many frames gives, that for the whole among them."""
        return 1 + -(-frames // TIME_STRIDE)

    def convolve(self, mel: Tensor, mel_mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Runs the convolutional half: [batch, mels, frames] to steps [batch, steps, width] and a boolean mask."""
        frames = None if mel_mask is None else mel_mask.sum(dim=1)
        sound = self.input_norm(mel.unsqueeze(1))
        sound = zero_padding(sound, frame_mask(frames, sound))
        for block, (_, time_stride) in zip(self.blocks, STRIDES, strict=True):
            if frames is not None:
                frames = (frames + time_stride - 1) // time_stride
            length = (sound.shape[-1] + time_stride - 1) // time_stride
            sound = block(sound, frame_mask(frames, sound, length))
        steps = sound.squeeze(2).transpose(1, 2)
        mask = frame_mask(frames, sound)
        if mask is None:
            return steps, torch.ones(steps.shape[:2], dtype=torch.bool, device=steps.device)
        return steps, mask[:, 0, 0].bool()


def cls_vector(width: int) -> Tensor:
    """Returns the [CLS] vector that the public code builds at import and never saves: numpy seed 0, uniform numbers."""
    return torch.from_numpy(np.random.RandomState(0).random_sample(width).astype(np.float32))


def frame_mask(frames: Tensor | None, like: Tensor, length: int | None = None) -> Tensor | None:
    """Returns a mask [batch, 1, 1, length] in the type of `like` from the real frames of each song; None stays None."""
    if frames is None:
        return None
    positions = torch.arange(length or like.shape[-1], device=like.device)
    return (positions < frames[:, None]).to(like.dtype)[:, None, None]


def zero_padding(sound: Tensor, mask: Tensor | None) -> Tensor:
    """Returns the sound with its padded frames set to zero."""
    return sound if mask is None else sound * mask
