"""The frozen music encoder gives the states of the plain one, song by song, whatever company a song has."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional

from recap_cli.audio.mel import log_mel
from recap_cli.audio.settings import AudioSettings
from recap_cli.model.config import MusicEncoderSizes
from recap_cli.model.frozen_encoder import POINTS, TILE, FrozenMusicEncoder, WinogradConv, polynomial, transforms
from recap_cli.model.music_encoder import MusicEncoder
from recap_cli.model.published import music_encoder_from

PARITY = Path(__file__).parents[1] / "fixtures" / "parity" / "cnnsa.safetensors"
NEVER, ALWAYS = 10_000, 1


@pytest.fixture
def encoder(tiny_config) -> MusicEncoder:
    """Random weights and random statistics, so that every part of a batch norm counts."""
    torch.manual_seed(0)
    encoder = MusicEncoder(tiny_config.music_sizes)
    for module in encoder.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
            module.weight.data.normal_()
            module.bias.data.normal_()
    return encoder.eval()


@torch.no_grad()
@pytest.mark.parametrize("winograd_channels", [ALWAYS, NEVER])
@pytest.mark.parametrize("frames", [1, 7, 8, 9, 65, 200])
def test_the_states_are_the_plain_encoders(encoder, frames, winograd_channels):
    mel = 20 * torch.randn(3, 128, frames) - 40
    states = FrozenMusicEncoder(encoder, winograd_channels=winograd_channels)(mel)
    torch.testing.assert_close(states, encoder(mel)[0], atol=2e-5, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("winograd_channels", [ALWAYS, NEVER])
def test_parity_with_the_official_code(winograd_channels):
    """Within the tolerance that `test_parity.py` holds the plain encoder to."""
    fixture = load_file(PARITY)
    weights = {key.removeprefix("state."): value for key, value in fixture.items() if key.startswith("state.")}
    encoder, _ = music_encoder_from(weights, "cnnsa.safetensors")
    mels = torch.stack(
        [torch.from_numpy(log_mel(sound, AudioSettings())) for sound in fixture["input.waveform"].numpy()]
    )
    states = FrozenMusicEncoder(encoder, winograd_channels=winograd_channels)(mels)
    torch.testing.assert_close(states, fixture["expect.output"], atol=1.5e-5, rtol=0)


@torch.no_grad()
def test_full_size_uses_winograd_and_stays_within_float32():
    """A short clip at the published size; the difference to float64 is of the size of the plain encoder's own."""
    torch.manual_seed(0)
    encoder = MusicEncoder(MusicEncoderSizes()).eval()
    mel = 20 * torch.randn(1, 128, 64) - 40
    encoder.input_norm.running_mean.fill_(-40)
    encoder.input_norm.running_var.fill_(400)
    frozen = FrozenMusicEncoder(encoder)
    assert all(block.winograd is not None for block in frozen.blocks)
    plain, states = encoder(mel)[0], frozen(mel)
    exact = encoder.double()(mel.double())[0]
    assert float((states - plain).abs().max()) < 1e-5
    assert float((states - exact).abs().max()) < max(4 * float((plain - exact).abs().max()), 2e-6)


def test_company_does_not_matter_to_the_last_bit(encoder):
    frozen = FrozenMusicEncoder(encoder, winograd_channels=ALWAYS)
    mel = torch.randn(5, 128, 90)
    together = frozen(mel)
    for order in ([4, 2, 0], [1], [3, 1]):
        assert torch.equal(frozen(mel[order]), together[order])


def test_the_encoder_is_copied(encoder):
    """Neither training mode nor gradients of the encoder reach it, nor the other way round."""
    mel = torch.randn(2, 128, 40)
    before = {key: value.clone() for key, value in encoder.state_dict().items()}
    frozen = FrozenMusicEncoder(encoder.train())
    states = frozen(mel)
    assert encoder.training
    assert all(parameter.requires_grad for parameter in encoder.parameters())
    assert not any(parameter.requires_grad for parameter in frozen.parameters())
    assert all(torch.equal(value, before[key]) for key, value in encoder.state_dict().items())
    for parameter in encoder.parameters():
        parameter.data.zero_()
    assert torch.equal(frozen(mel), states)


def test_half_precision_weights_are_computed_in_float32(encoder):
    frozen = FrozenMusicEncoder(encoder.half())
    assert frozen(torch.randn(1, 128, 24)).dtype == torch.float32


@torch.no_grad()
def test_elsewhere_songs_of_a_call_are_one_batch(encoder, monkeypatch):
    """What a GPU does, on the processor: plain convolutions, channels first, the whole batch at once."""
    frozen = FrozenMusicEncoder(encoder, winograd_channels=NEVER)
    frozen.on_cpu = False
    batches = []
    encode = frozen.encode
    monkeypatch.setattr(frozen, "encode", lambda mel: batches.append(len(mel)) or encode(mel))
    mel = 20 * torch.randn(4, 128, 50) - 40
    torch.testing.assert_close(frozen(mel), encoder(mel)[0], atol=2e-5, rtol=0)
    assert batches == [4]
    abroad = FrozenMusicEncoder(encoder, "meta", winograd_channels=ALWAYS)
    assert not abroad.on_cpu
    assert all(block.winograd is None for block in abroad.blocks)
    assert {parameter.device.type for parameter in abroad.parameters()} == {"meta"}


# Winograd's convolution -----------------------------------------------------------------------------------------------


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
