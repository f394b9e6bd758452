"""musicnn in torch: TensorFlow's numbers, pruning that loses nothing, windows and masks."""

from pathlib import Path

import numpy as np
import pytest
import torch
from make_musicnn import EPSILON, prune
from safetensors.torch import load_file
from torch.nn import functional

from recap_cli.audio.settings import MUSICNN_TAGS, MUSICNN_WINDOW
from recap_cli.model.musicnn import TAGS, WEIGHTS, Musicnn, Tagger, TaggerSizes, cut, load_musicnn

REFERENCE = Path(__file__).parents[1] / "fixtures" / "musicnn" / "logits.npz"
FILTERS, RHYTHM, MIDDLE, UNITS, TAG_COUNT = 204, 51, 64, 200, 50


@pytest.fixture(scope="module")
def encoder():
    return load_musicnn()


def variables(rng: np.random.Generator, live: float) -> dict[str, np.ndarray]:
    """A tagger as the package stores it, with weights drawn at random; a share of its filters has none."""
    kernels = [(7, 38, 1, FILTERS), (7, 67, 1, FILTERS), *((frames, 1, 1, RHYTHM) for frames in (128, 64, 32))]
    kernels += [(7, 2 * FILTERS + 3 * RHYTHM, 1, MIDDLE), (7, MIDDLE, 1, MIDDLE), (7, MIDDLE, 1, MIDDLE)]
    found = {}
    for number, shape in enumerate(kernels):
        name = "conv2d" + (f"_{number}" if number else "")
        kernel = rng.normal(size=shape) / np.sqrt(np.prod(shape[:3]))
        kernel[..., rng.random(shape[3]) > live] = (
            0 if number < 6 else kernel[..., :1]
        )  # the last two have all of theirs
        found |= {f"{name}/kernel": kernel, f"{name}/bias": rng.normal(size=shape[3])}
    pooled = 2 * (2 * FILTERS + 3 * RHYTHM + 3 * MIDDLE)
    found |= {"dense/kernel": rng.normal(size=(pooled, UNITS)) / 40, "dense/bias": rng.normal(size=UNITS)}
    found |= {"dense_1/kernel": rng.normal(size=(UNITS, TAG_COUNT)) / 15, "dense_1/bias": rng.normal(size=TAG_COUNT)}
    for number, size in enumerate((1, *(shape[3] for shape in kernels), pooled, UNITS)):
        name = "batch_normalization" + (f"_{number}" if number else "")
        found |= {f"{name}/{part}": rng.normal(size=size) for part in ("gamma", "beta", "moving_mean")}
        found[f"{name}/moving_variance"] = rng.random(size) + 0.5
    return found


def plain_logits(weights: dict[str, np.ndarray], mel: torch.Tensor) -> torch.Tensor:
    """What the package's own network computes, in its order: [batch, mels, frames] to logits, in float64."""
    parts = {name: torch.from_numpy(value) for name, value in weights.items()}

    def norm(sound, number, axis):
        name = "batch_normalization" + (f"_{number}" if number else "")
        gamma, beta, mean, variance = (
            parts[f"{name}/{part}"].view(*[-1 if one == axis else 1 for one in range(sound.dim())])
            for part in ("gamma", "beta", "moving_mean", "moving_variance")
        )
        return (sound - mean) / torch.sqrt(variance + EPSILON) * gamma + beta

    def conv(sound, number):
        name = "conv2d" + (f"_{number}" if number else "")
        kernel = parts[f"{name}/kernel"].permute(3, 2, 0, 1)
        frames = kernel.shape[2]
        padded = functional.pad(sound, (0, 0, (frames - 1) // 2, frames // 2))
        return norm(functional.conv2d(padded, kernel, parts[f"{name}/bias"]).relu(), number + 1, 1)

    sound = norm(mel.double().transpose(1, 2)[:, None], 0, 1)
    front = torch.cat([conv(sound, number).amax(dim=3) for number in range(5)], dim=1)  # [batch, 561, frames]
    first = conv(front.transpose(1, 2)[:, None], 5)[..., 0]
    second = conv(first.transpose(1, 2)[:, None], 6)[..., 0] + first
    third = conv(second.transpose(1, 2)[:, None], 7)[..., 0] + second
    curves = torch.cat([front, first, second, third], dim=1)
    pooled = norm(torch.stack([curves.amax(dim=2), curves.mean(dim=2)], dim=2).flatten(1), 9, 1)
    hidden = norm((pooled @ parts["dense/kernel"] + parts["dense/bias"]).relu(), 10, 1)
    return hidden @ parts["dense_1/kernel"] + parts["dense_1/bias"]


@pytest.mark.parametrize("live", [0.2, 1.0])
def test_what_pruning_leaves_computes_the_same(live):
    weights = variables(np.random.default_rng(3), live)
    pruned = prune(weights)
    counts = [len(pruned[f"front.{number}.conv.bias"]) for number in range(5)]
    sizes = TaggerSizes(tuple(counts[:2]), tuple(counts[2:]), len(pruned["mid_1.conv.bias"]))
    assert (sum(counts) < 200) == (live < 1) == (sizes.mid < MIDDLE)
    tagger = Tagger(sizes, TAG_COUNT)
    tagger.load_state_dict({name: torch.from_numpy(value) for name, value in pruned.items()})
    mel = torch.rand(2, 96, MUSICNN_WINDOW, generator=torch.Generator().manual_seed(0)) * 4
    with torch.inference_mode():
        found, wanted = tagger(mel), plain_logits(weights, mel)
    assert wanted.std() > 0.1
    assert torch.allclose(found.double(), wanted, atol=2e-4, rtol=1e-5)


def test_logits_are_those_of_tensorflow(encoder):
    """The package's own network in TensorFlow on four mels (tests/fixtures/musicnn)."""
    reference = np.load(REFERENCE)
    with torch.inference_mode():
        found = encoder.tag(torch.from_numpy(reference["mel"]).transpose(1, 2)).numpy()
    wanted = np.concatenate([reference["msd_logits"], reference["mtt_logits"]], axis=1)
    assert np.abs(found - wanted).max() < 1e-4


def test_weights_are_the_pruned_ones_alone(encoder):
    stored = load_file(WEIGHTS)
    assert set(stored) == set(encoder.state_dict())
    assert sum(value.numel() for value in stored.values()) < 520_000  # of 1.57 million
    assert "Universitat Pompeu Fabra" in (WEIGHTS.parent / "LICENSE").read_text("utf-8")


def test_there_is_a_state_for_each_tag(encoder):
    assert [len(tags) for tags in TAGS.values()] == [50, 50]
    states, mask = encoder(torch.zeros(1, 96, 400))
    assert states.shape == (1, 2, MUSICNN_TAGS) == (1, 2, encoder.width)
    assert mask.tolist() == [[1, 1]]
    assert 0 <= states.min() <= states.max() <= 1


@pytest.mark.parametrize(
    ("frames", "count", "last"), [(1, 1, 0), (187, 1, 0), (279, 1, 0), (281, 2, 94), (374, 2, 187), (11250, 60, 11033)]
)
def test_windows_follow_each_other_and_a_long_rest_has_its_own(frames, count, last):
    mel = torch.arange(frames, dtype=torch.float32).expand(96, -1)
    windows = cut(mel, frames)
    assert len(windows) == count == Musicnn.steps(frames)
    assert all(window.shape == (96, MUSICNN_WINDOW) for window in windows)
    assert [int(window[0, 0]) for window in windows[:-1]] == [MUSICNN_WINDOW * number for number in range(count - 1)]
    assert int(windows[-1][0, 0]) == last


@torch.inference_mode()
def test_a_padded_song_gives_the_states_that_it_gives_alone(encoder):
    generator = torch.Generator().manual_seed(1)
    songs = [torch.rand(96, frames, generator=generator) * 3 for frames in (700, 100)]
    batch = torch.full((2, 96, 700), 9.0)  # padding that would be heard
    mask = torch.zeros(2, 700, dtype=torch.long)
    for row, song in enumerate(songs):
        batch[row, :, : song.shape[1]] = song
        mask[row, : song.shape[1]] = 1
    states, state_mask = encoder(batch, mask)
    assert state_mask.tolist() == [[1, 1, 1, 1], [1, 0, 0, 0]]
    for row, song in enumerate(songs):
        alone = encoder(song[None])[0][0]
        assert torch.allclose(states[row, : len(alone)], alone, atol=1e-6)
    assert not states[1, 1:].any()
