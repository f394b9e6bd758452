"""3 x 3 convolutions with fewer multiplications: Winograd's minimal filtering, as matrix products."""

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor, nn
from torch.nn import functional

STRIP_TILES = 120  # worked on at a time: what belongs to them stays in the processor's cache
TILE = 4  # outputs a side; with 3 x 3 kernels 36 multiplications give 16 outputs, where plain sums take 144
# Small fractions keep float32 rounding near a plain convolution's; the textbook's 0, 1, -1, 2, -2 cost four times that.
POINTS = (0.0, 0.75, -0.75, 1.5, -1.5)


class WinogradConv(nn.Module):
    """A 3 x 3 convolution with stride 1 and padding 1, without bias, for one picture [height, width, channels].

    Lavin and Gray 2016 (arXiv 1509.09308), F(4 x 4, 3 x 3), a strip of tiles at a time. On wide pictures it takes
    between a half and two thirds of the time of a plain convolution.

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
        """Add the convolution of `picture` to `target` and cut below zero, in place.

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
        """Convolve a padded strip [TILE * down + 2, TILE * across + 2, channels in], which becomes smaller by 2."""
        side = TILE + 2
        tiles = strip.unfold(0, side, TILE).unfold(1, side, TILE)
        down, across = tiles.shape[:2]
        inputs = tiles.permute(3, 4, 0, 1, 2).reshape(side * side, -1)
        spread = (self.spread @ inputs).view(side * side, down * across, -1)
        mixed = torch.bmm(spread, self.kernels).view(side * side, -1)
        outputs = (self.gather @ mixed).view(TILE, TILE, down, across, -1)
        return outputs.permute(2, 0, 3, 1, 4).reshape(TILE * down, TILE * across, -1)


def transforms(points: Sequence[float], outputs: int) -> tuple[Tensor, Tensor, Tensor]:
    """Give the matrices of Winograd's F(outputs, 3): for inputs, kernel and outputs, in float64.

    With inputs d and kernel g, outputs @ ((inputs @ d) * (kernel @ g)) are the sums over d[i + k] g[k]. They evaluate
    polynomials at `points` and at infinity, which is the last row or column.

    Args:
        points: outputs + 1 different numbers.
        outputs: of one tile side.
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
    """Give the coefficients of the product of all (x - root), that of x to the 0 first."""
    coefficients = torch.ones(1, dtype=torch.float64)
    for root in roots:
        coefficients = functional.pad(coefficients, (1, 0)) - root * functional.pad(coefficients, (0, 1))
    return coefficients
