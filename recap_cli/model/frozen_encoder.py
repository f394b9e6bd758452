"""The music encoder for inference: the same states as `MusicEncoder`'s in eval mode, in less time."""

from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.nn import functional

from recap_cli.model.music_encoder import STRIDES, MusicEncoder, ResidualBlock
from recap_cli.model.winograd import TILE, WinogradConv

WINOGRAD_CHANNELS = 64  # below, plain convolutions are as quick


class FrozenBlock(nn.Module):
    """A residual block whose batch norms are part of its convolutions, see `ResidualBlock`.

    Args:
        block: what it computes.
        stride: of its first convolution and of its shortcut.
        winograd: whether large pictures go through `WinogradConv`.
    """

    def __init__(self, block: ResidualBlock, stride: tuple[int, int], winograd: bool) -> None:
        super().__init__()
        self.stride = stride
        weight, bias = fold(block.conv_1, block.norm_1)
        self.conv_1, self.bias_1 = constant(weight), constant(bias)
        weight, bias_2 = fold(block.conv_2, block.norm_2)
        self.conv_2 = constant(weight)
        self.winograd = WinogradConv(weight) if winograd else None
        weight, bias = fold(block.shortcut, block.shortcut_norm)
        self.shortcut, self.bias = constant(weight), constant(bias + bias_2)  # both go into the same sum

    def forward(self, sound: Tensor) -> Tensor:
        """Transform [batch, channels in, mels, frames] to [batch, channels, mels out, frames out]."""
        inner = functional.conv2d(sound, self.conv_1, self.bias_1, self.stride, padding=1).relu_()
        total = functional.conv2d(sound, self.shortcut, self.bias, self.stride, padding=1)
        if self.winograd is None or inner.shape[2] < TILE:
            return total.add_(functional.conv2d(inner, self.conv_2, padding=1)).relu_()
        for target, picture in zip(total.permute(0, 2, 3, 1), inner.permute(0, 2, 3, 1), strict=True):
            self.winograd.add_to(target, picture)
        return total


class FrozenMusicEncoder(nn.Module):
    """Music states of songs of one length, for reading only: no padding, no masks, no gradients.

    Batch norms are folded into the convolutions in float64. On a CPU the pictures lie channels last, songs go through
    one by one (a batch would only leave the cache) and the large convolutions are Winograd's; a song's states do not
    depend on the others, bit for bit. Elsewhere the songs of a call are one batch, and convolutions have the precision
    that torch is set to, which on NVIDIA cards is TF32 unless changed.

    Args:
        encoder: whose states to give; it is copied and not changed.
        device: where to compute.
        winograd_channels: on a CPU, convolutions of as many channels are Winograd's.
    """

    cls: Tensor

    def __init__(self, encoder: MusicEncoder, device: str = "cpu", winograd_channels: int = WINOGRAD_CHANNELS) -> None:
        super().__init__()
        self.on_cpu = torch.device(device).type == "cpu"
        with torch.no_grad():
            scale, shift = norm_line(encoder.input_norm)
            self.scale, self.shift = constant(scale), constant(shift)
            self.blocks = nn.ModuleList(
                FrozenBlock(block, stride, self.on_cpu and block.conv_2.out_channels >= winograd_channels)
                for block, stride in zip(encoder.blocks, STRIDES, strict=True)
                if isinstance(block, ResidualBlock)
            )
        self.layers = deepcopy(encoder.layers).float()
        self.register_buffer("cls", encoder.cls.detach().float().clone())
        self.eval().requires_grad_(False)
        self.to(device)
        if self.on_cpu:
            self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it

    @torch.inference_mode()
    def forward(self, mel: Tensor) -> Tensor:
        """Encode log-mel spectrograms of one length.

        Args:
            mel: dB values [songs, mels, frames], no frame of them padding.

        Returns:
            Music states [songs, 1 + ceil(frames / 8), width], CLS first.
        """
        mel = mel.to(self.scale.device)
        return torch.cat([self.encode(song[None]) for song in mel]) if self.on_cpu else self.encode(mel)

    def encode(self, mel: Tensor) -> Tensor:
        """Encode songs as one batch."""
        sound = mel * self.scale + self.shift
        # of one channel only the strides can say that it comes last
        sound = sound.unsqueeze(3).permute(0, 3, 1, 2) if self.on_cpu else sound.unsqueeze(1)
        for block in self.blocks:
            sound = block(sound)
        states = torch.cat([self.cls.expand(len(mel), 1, -1), sound.squeeze(2).transpose(1, 2)], dim=1)
        for layer in self.layers:
            states = layer(states)
        return states


def fold(conv: nn.Module, norm: nn.Module) -> tuple[Tensor, Tensor]:
    """Give weight and bias of the one convolution that is a convolution and a batch norm in eval mode after it."""
    assert isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)
    assert conv.bias is not None
    scale, shift = norm_line(norm)
    return conv.weight.double() * scale[:, None, None, None], conv.bias.double() * scale + shift


def norm_line(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Give the factors and summands [channels] that a batch norm is in eval mode, in float64."""
    assert norm.running_mean is not None and norm.running_var is not None
    scale = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
    return scale, norm.bias.double() - norm.running_mean.double() * scale


def constant(value: Tensor) -> nn.Parameter:
    """Keep a value in float32, without gradient."""
    return nn.Parameter(value.detach().float(), requires_grad=False)
