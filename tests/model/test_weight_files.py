"""Weights in 8 bit: what is lost, what is not, and files that claim such weights and have none."""

import pytest
import torch
from safetensors.torch import load_file, save_file

from recap_cli.errors import ModelError
from recap_cli.model.captioner import RecapForCaptioning
from recap_cli.model.weight_files import SCALES, is_packed, pack_file, pack_weights, read_weights, unpack_weights


def sample() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    matrix = torch.randn(40, 96, generator=generator) * torch.logspace(-3, 1, 40)[:, None]
    matrix[7] = 0
    return {
        "layer.weight": matrix,
        "layer.bias": torch.randn(40, generator=generator),
        "narrow.weight": torch.randn(40, 8, generator=generator),
        "model.encoder.music_encoder.dense.weight": torch.randn(40, 96, generator=generator),
        "places": torch.arange(40),
    }


def test_each_number_is_off_by_half_a_step_of_its_row_at_most(tmp_path):
    weights = sample()
    save_file(weights, tmp_path / "w.safetensors")
    size = (tmp_path / "w.safetensors").stat().st_size
    pack_file(tmp_path / "w.safetensors")
    assert is_packed(tmp_path / "w.safetensors") and (tmp_path / "w.safetensors").stat().st_size < size - 40 * 96 * 2
    found = read_weights(tmp_path / "w.safetensors")
    assert set(found) == set(weights) and found["layer.weight"].dtype == torch.float32
    step = weights["layer.weight"].abs().amax(dim=1, keepdim=True) / 127
    off = (found["layer.weight"] - weights["layer.weight"]).abs()
    assert (off <= step * 0.5001).all() and off.max() > 0
    assert all(torch.equal(found[name], weights[name]) for name in weights if name != "layer.weight")


def test_packing_again_loses_nothing_more(tmp_path):
    once = unpack_weights(pack_weights(sample()), tmp_path)
    again = unpack_weights(pack_weights(once), tmp_path)
    assert torch.allclose(again["layer.weight"], once["layer.weight"], rtol=1e-6, atol=0)


def change(name: str, value: torch.Tensor | None):
    def apply(weights):
        return {key: one for key, one in (weights | {name: value}).items() if one is not None}

    return apply


@pytest.mark.parametrize(
    ("damage", "name"),
    [
        (change("layer.weight" + SCALES, None), "layer.weight"),
        (change("layer.weight" + SCALES, torch.ones(39)), "layer.weight"),
        (change("layer.weight" + SCALES, torch.ones(40, 1)), "layer.weight"),
        (change("layer.weight" + SCALES, torch.ones(40, dtype=torch.float16)), "layer.weight"),
        (change("layer.weight" + SCALES, torch.full((40,), float("inf"))), "layer.weight"),
        (change("layer.weight", torch.ones(40, 96)), "layer.weight" + SCALES),
        (change("layer.weight", None), "layer.weight" + SCALES),
        (change("layer.weight", torch.ones(40, 4, 24, dtype=torch.int8)), "layer.weight"),
        (change("layer.bias", torch.ones(40, dtype=torch.int8)), "layer.bias"),
    ],
)
def test_whole_numbers_without_their_scales_are_refused(tmp_path, damage, name):
    save_file(damage(pack_weights(sample())), tmp_path / "w.safetensors")
    with pytest.raises(ModelError) as caught:
        read_weights(tmp_path / "w.safetensors")
    assert str(tmp_path / "w.safetensors") in caught.value.message and name in caught.value.message


def test_a_model_whose_config_says_so_is_stored_and_loaded_both_ways(tiny_model, tmp_path):
    tiny_model.save_pretrained(tmp_path / "plain")
    tiny_model.config.eight_bit = True
    tiny_model.save_pretrained(tmp_path / "packed")
    assert not is_packed(tmp_path / "plain" / "model.safetensors")
    stored = load_file(tmp_path / "packed" / "model.safetensors")
    whole = {name for name, value in stored.items() if value.dtype == torch.int8}
    assert "model.decoder.layers.0.fc2.weight" in whole and not any("music_encoder" in name for name in whole)
    loaded = RecapForCaptioning.from_pretrained(tmp_path / "packed")
    assert loaded.config.eight_bit and loaded.generation_config.eos_token_id == tiny_model.config.eos_token_id
    wanted, found = tiny_model.state_dict(), loaded.state_dict()
    for name in wanted:
        bound = wanted[name].abs().max() / 250 if name in whole or "embed" in name or "lm_head" in name else 0
        assert (found[name] - wanted[name]).abs().max() <= bound, name
    loaded.config.eight_bit = False
    loaded.save_pretrained(tmp_path / "again")
    assert not is_packed(tmp_path / "again" / "model.safetensors")
