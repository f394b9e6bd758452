"""Winograd's convolution against the sums that it stands for, at every size and edge."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from recap_cli.model.winograd import POINTS, TILE, WinogradConv, polynomial, transforms


def test_polynomial():
    assert polynomial([]).tolist() == [1.0]
    assert polynomial([2.0]).tolist() == [-2.0, 1.0]
    assert polynomial([1.0, -1.0, 3.0]).tolist() == [3.0, -1.0, -3.0, 1.0]


@pytest.mark.parametrize(("points", "outputs"), [((0, 1, -1), 2), (POINTS, TILE)])
def test_transforms_give_the_sums(points, outputs):
    """One tile in one dimension, written out."""
    inputs, kernel, gather = transforms(points, outputs)
    rng = np.random.default_rng(0)
    sound, weights = rng.standard_normal(outputs + 2), rng.standard_normal(3)
    expected = [sum(sound[start + tap] * weights[tap] for tap in range(3)) for start in range(outputs)]
    found = gather.numpy() @ ((inputs.numpy() @ sound) * (kernel.numpy() @ weights))
    np.testing.assert_allclose(found, expected, atol=1e-12)


@torch.no_grad()
@pytest.mark.parametrize(
    ("height", "width"), [(4, 4), (5, 7), (1, 1), (2, 9), (8, 33), (13, 6), (17, 500), (64, 40), (3, 481)]
)
def test_it_is_the_convolution(height, width):
    """Against float64, with an asymmetric kernel; strips of several rows of tiles and of one, edges that do not fit."""
    torch.manual_seed(height * width)
    weight, picture = torch.randn(5, 3, 3, 3), torch.randn(1, 3, height, width)
    start = torch.randn(1, 5, height, width)
    expected = torch.relu(start.double() + functional.conv2d(picture.double(), weight.double(), padding=1))
    target = start[0].permute(1, 2, 0).contiguous()
    WinogradConv(weight).add_to(target, picture[0].permute(1, 2, 0).contiguous())
    np.testing.assert_allclose(target.numpy(), expected[0].permute(1, 2, 0).numpy(), atol=5e-5)


@torch.no_grad()
def test_rounding_is_a_plain_convolutions():
    """At the published width, sums of 1,152 products: the points keep it near what float32 gives anyway."""
    torch.manual_seed(0)
    weight, picture = torch.randn(128, 128, 3, 3) / 34, torch.randn(1, 128, 12, 40).relu()
    exact = functional.conv2d(picture.double(), weight.double(), padding=1)
    target = torch.full((12, 40, 128), 100.0)  # nothing is cut at zero
    WinogradConv(weight).add_to(target, picture[0].permute(1, 2, 0).contiguous())
    # as a product of matrices: on some processors oneDNN's own convolution rounds a hundred times more coarsely
    plain = 100 + (weight.flatten(1) @ functional.unfold(picture, 3, padding=1)[0]).view(128, 12, 40)
    ours = float((target.permute(2, 0, 1).double() - 100 - exact[0]).abs().max())
    assert ours < 2.5 * float((plain.double() - 100 - exact[0]).abs().max()) < 1e-4
