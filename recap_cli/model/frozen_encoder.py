"""The music encoder for inference: the same states as `MusicEncoder`'s in eval mode, in less time."""

from collections.abc import Sequence
from copy import deepcopy
from math import prod

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import fuse_conv_bn_eval

from recap_cli.model.music_encoder import STRIDES, MusicEncoder, ResidualBlock

WINOGRAD_CHANNELS = 64  # below, plain convolutions are as quick
STRIP_TILES = 120  # worked on at a time: what belongs to them stays in the processor's cache
TILE = 4  # outputs a side; with 3 x 3 kernels 36 multiplications give 16 outputs, where plain sums take 144
# Small fractions keep float32 rounding near a plain convolution's; the textbook's 0, 1, -1, 2, -2 cost four times that.
POINTS = (0.0, 0.75, -0.75, 1.5, -1.5)


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
        exact = deepcopy(encoder).cpu().eval().double()
        with torch.no_grad():
            norm = exact.input_norm
            assert norm.running_mean is not None and norm.running_var is not None
            scale = norm.weight / (norm.running_var + norm.eps).sqrt()
            self.scale, self.shift = constant(scale), constant(norm.bias - norm.running_mean * scale)
            self.blocks = nn.ModuleList(
                FrozenBlock(block, stride, self.on_cpu and block.conv_2.out_channels >= winograd_channels)
                for block, stride in zip(exact.blocks, STRIDES, strict=True)
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
        """Returns the states [songs, 1 + ceil(frames / 8), width], CLS first, of log-mels of one length.

        Args:
            mel: dB values [songs, mels, frames], no frame of them padding.
        """
        mel = mel.to(self.scale.device)
        return torch.cat([self.encode(song[None]) for song in mel]) if self.on_cpu else self.encode(mel)

    def encode(self, mel: Tensor) -> Tensor:
        """Returns the states of songs as one batch."""
        sound = mel * self.scale + self.shift
        # of one channel only the strides can say that it comes last
        sound = sound.unsqueeze(3).permute(0, 3, 1, 2) if self.on_cpu else sound.unsqueeze(1)
        for block in self.blocks:
            sound = block(sound)
        states = torch.cat([self.cls.expand(len(mel), 1, -1), sound.squeeze(2).transpose(1, 2)], dim=1)
        for layer in self.layers:
            states = layer(states)
        return states


class FrozenBlock(nn.Module):
    """A residual block whose batch norms are part of its convolutions, see `ResidualBlock`.

    Args:
        block: what it computes, in eval mode and float64.
        stride: of its first convolution and of its shortcut.
        winograd: whether large pictures go through `WinogradConv`.
    """

    def __init__(self, block: ResidualBlock, stride: tuple[int, int], winograd: bool) -> None:
        super().__init__()
        self.stride = stride
        first, second, shortcut = (
            fuse_conv_bn_eval(conv, norm)
            for conv, norm in (
                (block.conv_1, block.norm_1),
                (block.conv_2, block.norm_2),
                (block.shortcut, block.shortcut_norm),
            )
        )
        assert first.bias is not None and second.bias is not None and shortcut.bias is not None
        self.conv_1, self.bias_1 = constant(first.weight), constant(first.bias)
        self.conv_2 = constant(second.weight)
        self.winograd = WinogradConv(second.weight) if winograd else None
        self.shortcut, self.bias = constant(shortcut.weight), constant(shortcut.bias + second.bias)  # of one sum

    def forward(self, sound: Tensor) -> Tensor:
        """Transforms [batch, channels in, mels, frames] to [batch, channels, mels out, frames out]."""
        inner = functional.conv2d(sound, self.conv_1, self.bias_1, self.stride, padding=1).relu_()
        total = functional.conv2d(sound, self.shortcut, self.bias, self.stride, padding=1)
        if self.winograd is None or inner.shape[2] < TILE:
            return total.add_(functional.conv2d(inner, self.conv_2, padding=1)).relu_()
        for target, picture in zip(total.permute(0, 2, 3, 1), inner.permute(0, 2, 3, 1), strict=True):
            self.winograd.add_to(target, picture)
        return total


class WinogradConv(nn.Module):
    """A 3 x 3 convolution with stride 1 and padding 1, without bias, for one picture [height, width, channels].

    Lavin and Gray 2016 (arXiv 1509.09308), F(4 x 4, 3 x 3), as matrix products over a strip of tiles at a time. On wide
    pictures it takes between a half and two thirds of the time of a plain convolution.

    Args:
        weight: of the convolution [channels out, channels in, 3, 3].
    """

    spread: Tensor
    gather: Tensor
    kernels: Tensor

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        spread, kernel, gather = transforms(POINTS, TILE)
        kernels = torch.einsum("xi,ocij,yj->xyco", kernel, weight.double(), kernel).flatten(0, 1)
        self.register_buffer("spread", torch.kron(spread, spread).float())
        self.register_buffer("gather", torch.kron(gather, gather).float())
        self.register_buffer("kernels", kernels.float().contiguous())

    def add_to(self, target: Tensor, picture: Tensor) -> None:
        """Adds the convolution of `picture` to `target` and cuts below zero, in place.

        Args:
            target: [height, width, channels out].
            picture: [height, width, channels in].
        """
        height, width, _ = picture.shape
        across = -(-width // TILE)
        step = TILE * max(1, STRIP_TILES // across)
        for top in range(0, height, step):
            part = target[top : top + step]
            below = -(-len(part) // TILE) * TILE + 1  # rows up to the end of the strip's last tile, and one more
            strip = picture[max(top - 1, 0) : top + below]
            edges = (0, 0, 1, across * TILE + 1 - width, int(top == 0), top + below - min(top + below, height))
            part += self.convolve(functional.pad(strip, edges))[: len(part), :width]
            part.relu_()

    def convolve(self, strip: Tensor) -> Tensor:
        """Convolves a padded strip [TILE * down + 2, TILE * across + 2, channels in], which becomes smaller by 2."""
        side = TILE + 2
        tiles = strip.unfold(0, side, TILE).unfold(1, side, TILE)
        down, across = tiles.shape[:2]
        inputs = tiles.permute(3, 4, 0, 1, 2).reshape(side * side, -1)
        spread = (self.spread @ inputs).view(side * side, down * across, -1)
        mixed = torch.bmm(spread, self.kernels).view(side * side, -1)
        outputs = (self.gather @ mixed).view(TILE, TILE, down, across, -1)
        return outputs.permute(2, 0, 3, 1, 4).reshape(TILE * down, TILE * across, -1)


def transforms(points: Sequence[float], outputs: int) -> tuple[Tensor, Tensor, Tensor]:
    """Returns the matrices of Winograd's F(outputs, 3): for inputs, kernel and outputs, in float64.

    With inputs d and kernel g, outputs @ ((inputs @ d) * (kernel @ g)) are the sums over d[i + k] g[k]. They evaluate
    polynomials at `points`, outputs + 1 different numbers, and at infinity, which is the last row or column.
    """
    size = len(points) + 1
    inputs = torch.zeros(size, size, dtype=torch.float64)
    kernel = torch.zeros(size, 3, dtype=torch.float64)
    gather = torch.zeros(outputs, size, dtype=torch.float64)
    for row, point in enumerate(points):
        others = [other for other in points if other != point]
        inputs[row, : size - 1] = polynomial(others)
        powers = torch.tensor([point**power for power in range(max(3, outputs))], dtype=torch.float64)
        kernel[row] = powers[:3] / prod(point - other for other in others)
        gather[:, row] = powers[:outputs]
    inputs[-1] = polynomial(points)
    kernel[-1, -1] = gather[-1, -1] = 1
    return inputs, kernel, gather


def polynomial(roots: Sequence[float]) -> Tensor:
    """Returns the coefficients of the product of all (x - root), that of x to the 0 first."""
    coefficients = torch.ones(1, dtype=torch.float64)
    for root in roots:
        coefficients = functional.pad(coefficients, (1, 0)) - root * functional.pad(coefficients, (0, 1))
    return coefficients


def constant(value: Tensor) -> nn.Parameter:
    """Returns a value in float32, without gradient."""
    return nn.Parameter(value.detach().float(), requires_grad=False)
