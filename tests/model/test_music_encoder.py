"""CNNSA: shapes and masks at every length, and that no song hears another's padding."""

import math

import pytest
import torch

from recap_cli.model.music_encoder import STRIDES, TIME_STRIDE, MusicEncoder, cls_vector, frame_mask, zero_padding


@pytest.fixture
def encoder(tiny_config) -> MusicEncoder:
    """Random weights and random BatchNorm statistics: with zero means, padding of zeros would stay zero by chance."""
    torch.manual_seed(0)
    encoder = MusicEncoder(tiny_config.music_sizes).eval()
    for module in encoder.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
            module.weight.data.uniform_(0.5, 2)
            module.bias.data.normal_()
    return encoder


def test_strides_reduce_128_bands_to_one():
    assert math.prod(mel for mel, _ in STRIDES) == 128
    assert math.prod(time for _, time in STRIDES) == TIME_STRIDE == 8


@torch.no_grad()
@pytest.mark.parametrize(
    ("frames", "steps"), [(1, 1), (7, 1), (8, 1), (9, 2), (15, 2), (16, 2), (17, 3), (63, 8), (64, 8), (65, 9)]
)
def test_shapes_and_masks_at_odd_lengths(encoder, frames, steps):
    """ceil(frames / 8) steps and CLS, with and without a mask, alone and beside a longer song."""
    mel = torch.randn(2, 128, frames)
    states, mask = encoder(mel)
    assert states.shape == (2, 1 + steps, 8)
    assert mask.tolist() == [[1] * (1 + steps)] * 2
    assert mask.dtype == torch.long

    wide = torch.nn.functional.pad(mel, (0, 70 - frames), value=-100.0)
    mel_mask = (torch.arange(70) < torch.tensor([[frames], [70]])).long()
    states, mask = encoder(wide, mel_mask)
    assert states.shape == (2, 10, 8)
    assert mask.tolist() == [[1] * (1 + steps) + [0] * (9 - steps), [1] * 10]


@torch.no_grad()
def test_the_content_of_padding_does_not_matter(encoder):
    mel = torch.randn(2, 128, 50)
    mask = (torch.arange(50) < torch.tensor([[50], [21]])).long()
    loud = torch.where(mask[:, None] == 1, mel, torch.tensor(1e3))
    states, _ = encoder(mel, mask)
    other, _ = encoder(loud, mask)
    assert torch.equal(states[0], other[0])
    assert torch.equal(states[1, :4], other[1, :4])


@torch.no_grad()
def test_order_and_company_do_not_matter(encoder):
    """Every song gives the same states in any order and with any other songs."""
    lengths = torch.tensor([40, 33, 9, 24])
    mel = torch.randn(4, 128, 40)
    mask = (torch.arange(40) < lengths[:, None]).long()
    states, music_mask = encoder(mel, mask)
    for order in ([3, 2, 1, 0], [1, 3], [2], [3]):
        longest = int(lengths[order].max())
        part, part_mask = encoder(mel[order, :, :longest], mask[order, :longest])
        assert torch.equal(part_mask, music_mask[order, : part_mask.shape[1]])
        for place, row in enumerate(order):
            steps = int(music_mask[row].sum())
            torch.testing.assert_close(part[place, :steps], states[row, :steps], atol=1e-5, rtol=0)


@torch.no_grad()
def test_a_longer_song_is_not_a_padded_one(encoder):
    """Frames that are heard change the states: the mask is what tells padding from silence."""
    mel = torch.full((1, 128, 32), -100.0)
    mel[:, :, :16] = torch.randn(128, 16)
    short, _ = encoder(mel, (torch.arange(32) < 16).long()[None])
    whole, _ = encoder(mel)
    assert float((short[0, :3] - whole[0, :3]).abs().max()) > 1e-3


@torch.no_grad()
def test_time_runs_forward(encoder):
    """Without attention, the steps of the first half depend on the first half only."""
    mel = torch.randn(1, 128, 160)
    changed = mel.clone()
    changed[:, :, 120:] += 5.0
    before, mask = encoder.convolve(mel)
    after, _ = encoder.convolve(changed)
    assert before.shape == (1, 20, 8)
    assert mask.shape == (1, 20)
    assert mask.all()
    moved = ((before - after).abs().amax(dim=-1) > 1e-6)[0].tolist()
    assert moved[:8] == [False] * 8
    assert moved[-4:] == [True] * 4


def test_cls_vector_is_numpys_seed_zero():
    assert cls_vector(3).tolist() == pytest.approx([0.5488135, 0.71518937, 0.60276338], rel=1e-6)
    assert torch.equal(cls_vector(256)[:8], cls_vector(8))


def test_cls_is_saved_and_moved_but_not_trained(encoder):
    assert "cls" in encoder.state_dict()
    assert "cls" not in dict(encoder.named_parameters())
    assert encoder.double().cls.dtype == torch.float64


@torch.no_grad()
def test_half_precision_input_keeps_its_type(encoder):
    states, mask = encoder.bfloat16()(torch.randn(2, 128, 20).bfloat16(), (torch.arange(20) < 12).long().expand(2, 20))
    assert states.dtype == torch.bfloat16
    assert mask.tolist() == [[1, 1, 1, 0]] * 2


def test_masks_of_frames():
    like = torch.ones(2, 3, 4, 5)
    assert frame_mask(None, like) is None
    mask = frame_mask(torch.tensor([5, 2]), like)
    assert mask.shape == (2, 1, 1, 5)
    assert mask[:, 0, 0].tolist() == [[1.0] * 5, [1.0, 1.0, 0.0, 0.0, 0.0]]
    assert frame_mask(torch.tensor([1, 2]), like, 2)[:, 0, 0].tolist() == [[1.0, 0.0], [1.0, 1.0]]
    assert zero_padding(like, None) is like
    assert zero_padding(like, mask).sum().item() == 3 * 4 * 7


def test_training_mode_learns_batch_norm_statistics(encoder):
    """What freezing must prevent."""
    before = encoder.input_norm.running_mean.clone()
    encoder.train()(torch.randn(2, 128, 16) - 50)
    assert float((encoder.input_norm.running_mean - before).abs()) > 1.0
