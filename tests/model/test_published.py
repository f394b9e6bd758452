"""Published weights: original key names at full size, and every way in which a file can fail to be one.

Stand-ins hold another constant in every tensor, so a key that lands in the wrong place is seen. The expected places
are written out here, apart from the loader's own tables.
"""

import json
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from recap_cli.errors import ModelError
from recap_cli.model.captioner import RecapForCaptioning
from recap_cli.model.config import MusicEncoderSizes, RecapConfig
from recap_cli.model.music_encoder import MusicEncoder, cls_vector
from recap_cli.model.published import load_captioner, load_music_encoder
from recap_cli.model.weight_files import read_weights

KEYS = Path(__file__).parents[1] / "fixtures" / "parity"
ALCAP = json.loads((KEYS / "alcap_checkpoint_keys.json").read_text())
CNNSA = json.loads((KEYS / "cnnsa_full_keys.json").read_text())

BART_BASE = {
    "vocab_size": 50265,
    "d_model": 768,
    "encoder_layers": 6,
    "decoder_layers": 6,
    "encoder_attention_heads": 12,
    "decoder_attention_heads": 12,
    "encoder_ffn_dim": 3072,
    "decoder_ffn_dim": 3072,
    "max_position_embeddings": 1024,
}
SMALL_BART = {
    "vocab_size": 40,
    "d_model": 16,
    "encoder_layers": 6,
    "decoder_layers": 6,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 32,
    "decoder_ffn_dim": 32,
    "max_position_embeddings": 32,
}
SMALL_SIDES = {50265: 40, 768: 16, 3072: 32, 1026: 34, 2304: 48, 1536: 32, 256: 8, 1024: 24, 128: 4}

ALCAP_UNUSED = {"bart.model.encoder._linear_4.weight", "bart.model.encoder._linear_4.bias"}
TIED = (
    "bart.model.shared.weight",
    "bart.model.encoder.embed_tokens.weight",
    "bart.model.decoder.embed_tokens.weight",
    "bart.lm_head.weight",
)
# BART-fusion's tensors that got another name here; all others only lose "bart.".
FUSION_PLACES = {
    "bart.model.encoder._linear_1.weight": "model.encoder.fusion.0.music_key.weight",
    "bart.model.encoder._linear_1.bias": "model.encoder.fusion.0.music_key.bias",
    "bart.model.encoder._linear_2.weight": "model.encoder.fusion.0.music_value.weight",
    "bart.model.encoder._linear_2.bias": "model.encoder.fusion.0.music_value.bias",
    "bart.model.encoder._linear_3.weight": "model.encoder.fusion.0.lyrics_query.weight",
    "bart.model.encoder._linear_3.bias": "model.encoder.fusion.0.lyrics_query.bias",
    "bart.model.encoder._multi_head_attn.in_proj_weight": "model.encoder.fusion.0.attention.in_proj_weight",
    "bart.model.encoder._multi_head_attn.in_proj_bias": "model.encoder.fusion.0.attention.in_proj_bias",
    "bart.model.encoder._multi_head_attn.out_proj.weight": "model.encoder.fusion.0.attention.out_proj.weight",
    "bart.model.encoder._multi_head_attn.out_proj.bias": "model.encoder.fusion.0.attention.out_proj.bias",
    "bart.model.encoder.final_layer_norm.weight": "model.encoder.fusion.0.norm.weight",
    "bart.model.encoder.final_layer_norm.bias": "model.encoder.fusion.0.norm.bias",
}


def cnnsa_places() -> dict[str, tuple[str, int]]:
    """Where each original key goes: our tensor, and which third of it (0 for tensors that are not joined)."""
    places = {f"spec_bn.{name}": (f"input_norm.{name}", 0) for name in batch_norm()}
    for block in range(1, 8):
        for conv, norm, ours_conv, ours_norm in (
            ("conv_1", "bn_1", "conv_1", "norm_1"),
            ("conv_2", "bn_2", "conv_2", "norm_2"),
            ("conv_3", "bn_3", "shortcut", "shortcut_norm"),
        ):
            for name in ("weight", "bias"):
                places[f"layer{block}.{conv}.{name}"] = (f"blocks.{block - 1}.{ours_conv}.{name}", 0)
            for name in batch_norm():
                places[f"layer{block}.{norm}.{name}"] = (f"blocks.{block - 1}.{ours_norm}.{name}", 0)
    for layer in (0, 1):
        theirs, ours = f"encoder.layer.{layer}", f"layers.{layer}"
        for name in ("weight", "bias"):
            for third, part in enumerate(("query", "key", "value")):
                places[f"{theirs}.attention.self.{part}.{name}"] = (f"{ours}.self_attn.in_proj_{name}", third)
            places[f"{theirs}.attention.output.dense.{name}"] = (f"{ours}.self_attn.out_proj.{name}", 0)
            places[f"{theirs}.attention.output.LayerNorm.{name}"] = (f"{ours}.norm1.{name}", 0)
            places[f"{theirs}.intermediate.dense.{name}"] = (f"{ours}.linear1.{name}", 0)
            places[f"{theirs}.output.dense.{name}"] = (f"{ours}.linear2.{name}", 0)
            places[f"{theirs}.output.LayerNorm.{name}"] = (f"{ours}.norm2.{name}", 0)
    return places


def batch_norm() -> tuple[str, ...]:
    return ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def stand_in(keys: dict, first: int = 1, small: bool = False) -> dict[str, torch.Tensor]:
    """One constant for each key, stored as a single number whatever the shape; tied tensors hold the same one."""
    weights = {}
    for number, (key, entry) in enumerate(keys.items(), start=first):
        value = first - 1 if key in TIED else number
        shape = [SMALL_SIDES.get(side, side) if small else side for side in entry["shape"]]
        weights[key] = torch.tensor(value, dtype=getattr(torch, entry["dtype"])).expand(shape)
    return weights


def constant(tensor: torch.Tensor) -> float:
    """The one value of a tensor, NaN when it holds several."""
    low, high = tensor.detach().aminmax()
    return float(low) if low == high else float("nan")


def check_cnnsa(encoder: MusicEncoder, weights: dict[str, torch.Tensor]) -> None:
    places = cnnsa_places()
    ours = encoder.state_dict()
    for key, (place, third) in places.items():
        joined = "in_proj" in place
        part = ours[place].chunk(3)[third] if joined else ours[place]
        assert constant(part) == constant(weights[key]), f"{key} -> {place}"
        assert part.shape == weights[key].shape, key
    assert set(ours) == {place for place, _ in places.values()} | {"cls"}
    assert torch.equal(encoder.cls, cls_vector(encoder.sizes.width))


def check_fusion(model: RecapForCaptioning, weights: dict[str, torch.Tensor]) -> None:
    ours = model.state_dict()
    places = {key: FUSION_PLACES.get(key, key.removeprefix("bart.")) for key in weights if key not in ALCAP_UNUSED}
    for key, place in places.items():
        assert constant(ours[place]) == constant(weights[key]), f"{key} -> {place}"
        assert ours[place].shape == weights[key].shape, key
    fresh = {"alignment.projection.weight", "alignment.projection.bias"}
    music = {key for key in ours if key.startswith("model.encoder.music_encoder.")}
    assert set(ours) == set(places.values()) | fresh | music


# full size ------------------------------------------------------------------------------------------------------------


def test_the_expected_places_cover_the_published_keys():
    """The tables of this file leave no published key out and none goes to two places."""
    unused = {key for key in CNNSA if key.split(".")[0] in ("spec", "pooler", "dense")}
    assert len(unused) == 6
    assert set(cnnsa_places()) == set(CNNSA) - unused
    assert set(FUSION_PLACES) <= set(ALCAP)
    assert len(set(ALCAP) - ALCAP_UNUSED) == 275
    assert len(set(cnnsa_places().values())) == len(cnnsa_places()) == 184


FULL_SIZE_UNUSED = ["model.encoder._linear_4.bias", "model.encoder._linear_4.weight"]


def test_full_size_music_encoder(tmp_path):
    """`attention/best_model.pth` of sota-music-tagging-models: all tensors arrive, and what is left out is known."""
    weights = stand_in(CNNSA)
    encoder, report = load_music_encoder(save(weights, tmp_path / "best_model.pth"))
    assert encoder.sizes == MusicEncoderSizes((128, 128, 256, 256, 256, 256, 256), 2, 8, 1024)
    assert not encoder.training
    check_cnnsa(encoder, weights)
    assert report.loaded == 176  # 184 tensors; four triples are joined
    assert report.fresh == ["cls"]
    assert sorted(report.unused) == [
        "dense.bias",
        "dense.weight",
        "pooler.dense.bias",
        "pooler.dense.weight",
        "spec.mel_scale.fb",
        "spec.spectrogram.window",
    ]


def test_full_size_captioner(tmp_path):
    """Every tensor of ALCAP's two files arrives by value, at the sizes of bart-base; nothing else is new."""
    music_weights, weights = stand_in(CNNSA), stand_in(ALCAP, first=1000)
    file = save(
        {"model_state_dict": filled(weights), "optim_state_state": {"state": {0: {"step": 7}}}},
        tmp_path / "model_19.pt",
    )
    encoder, _ = load_music_encoder(save(music_weights, tmp_path / "model_cnnsa.pth"))
    model, report = load_captioner(file, RecapConfig(**BART_BASE), encoder)
    assert not model.training
    check_fusion(model, weights)
    check_cnnsa(model.model.encoder.music_encoder, music_weights)
    assert report.loaded == 275
    assert report.source == str(file)
    assert sorted(report.fresh) == ["alignment.projection.bias", "alignment.projection.weight"]
    assert sorted(report.unused) == FULL_SIZE_UNUSED
    assert (report.missing, report.unexpected, report.misshaped) == ([], [], [])
    assert model.alignment.projection.weight.shape == (256, 768)
    assert torch.isfinite(model.alignment.projection.weight).all()
    assert float(model.alignment.projection.weight.detach().std()) > 0
    table = model.model.shared.weight
    assert model.lm_head.weight.data_ptr() == table.data_ptr() == model.model.encoder.embed_tokens.weight.data_ptr()


# these checks themselves: a tensor where another of its shape belongs is found ----------------------------------------


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("bart.model.encoder._linear_1.weight", "bart.model.encoder._linear_2.weight"),
        ("bart.model.encoder.layers.4.fc1.weight", "bart.model.encoder.layers.5.fc1.weight"),
        ("bart.model.decoder.layers.0.self_attn.k_proj.bias", "bart.model.decoder.layers.0.self_attn.v_proj.bias"),
        ("bart.model.encoder.final_layer_norm.bias", "bart.model.encoder.layernorm_embedding.bias"),
    ],
)
def test_permuted_keys_of_the_captioner_are_caught(tmp_path, weights, one, other):
    permuted = {**weights, one: weights[other], other: weights[one]}
    model, _ = load_captioner(save(permuted, tmp_path / "x.pt"), RecapConfig(**SMALL_BART), small_music_encoder())
    with pytest.raises(AssertionError, match=r"-> model\."):
        check_fusion(model, weights)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("layer3.bn_1.running_mean", "layer3.bn_3.running_mean"),
        ("layer2.conv_1.weight", "layer2.conv_3.weight"),
        ("encoder.layer.0.attention.self.query.weight", "encoder.layer.0.attention.self.key.weight"),
        ("encoder.layer.0.output.LayerNorm.bias", "encoder.layer.0.attention.output.LayerNorm.bias"),
    ],
)
def test_permuted_keys_of_the_music_encoder_are_caught(tmp_path, music_weights, one, other):
    permuted = {**music_weights, one: music_weights[other], other: music_weights[one]}
    encoder, _ = load_music_encoder(save(permuted, tmp_path / "x.pth"))
    with pytest.raises(AssertionError, match="->"):
        check_cnnsa(encoder, music_weights)


# the forms in which weights come --------------------------------------------------------------------------------------


@pytest.fixture
def music_weights() -> dict[str, torch.Tensor]:
    return stand_in(CNNSA, small=True)


@pytest.fixture
def weights() -> dict[str, torch.Tensor]:
    return stand_in(ALCAP, first=1000, small=True)


def small_music_encoder() -> MusicEncoder:
    return MusicEncoder(MusicEncoderSizes((4, 4, 8, 8, 8, 8, 8), 2, 8, 24))


def filled(weights: dict) -> dict:
    """The same with every number in its place, as files have them; in 16 bit, which hold these numbers exactly."""
    return {
        key: value.to(torch.float16 if value.is_floating_point() else value.dtype).contiguous()
        if isinstance(value, torch.Tensor)
        else value
        for key, value in weights.items()
    }


def save(weights: object, path: Path) -> Path:
    torch.save(filled(weights) if isinstance(weights, dict) else weights, path)
    return path


@pytest.mark.parametrize("module", ["", "module."])
def test_bart_fusion_state_dict_holds_its_music_encoder(tmp_path, music_weights, weights, module):
    """BART-fusion saves one raw dictionary; data-parallel training puts `module.` before every key."""
    both = {f"{module}music_encoder.{key}": value for key, value in music_weights.items()}
    both |= {module + key: value for key, value in weights.items()}
    model, report = load_captioner(save(both, tmp_path / "fusion.pth"), RecapConfig(**SMALL_BART))
    check_fusion(model, weights)
    check_cnnsa(model.model.encoder.music_encoder, music_weights)
    assert model.config.music_channels == [4, 4, 8, 8, 8, 8, 8]
    assert (model.config.music_layers, model.config.music_heads, model.config.music_ffn) == (2, 8, 24)
    assert sorted(report.fresh) == ["alignment.projection.bias", "alignment.projection.weight"]


def test_its_own_music_encoder_comes_before_the_one_that_is_named(tmp_path, music_weights, weights):
    both = {f"music_encoder.{key}": value for key, value in music_weights.items()} | weights
    model, _ = load_captioner(save(both, tmp_path / "fusion.pth"), RecapConfig(**SMALL_BART), small_music_encoder())
    check_cnnsa(model.model.encoder.music_encoder, music_weights)


def test_state_dict_without_the_bart_prefix(tmp_path, weights):
    bare = {key.removeprefix("bart."): value for key, value in weights.items()}
    model, _ = load_captioner(save(bare, tmp_path / "x.pt"), RecapConfig(**SMALL_BART), small_music_encoder())
    check_fusion(model, weights)


def test_safetensors(tmp_path, music_weights, weights):
    save_file({key: value.clone() for key, value in music_weights.items()}, tmp_path / "music.safetensors")
    save_file({key: value.clone() for key, value in weights.items()}, tmp_path / "model.safetensors")
    encoder, _ = load_music_encoder(tmp_path / "music.safetensors")
    check_cnnsa(encoder, music_weights)
    check_fusion(load_captioner(tmp_path / "model.safetensors", RecapConfig(**SMALL_BART), encoder)[0], weights)


def test_a_music_encoder_that_recap_wrote(tmp_path):
    """Our own key names load as well, the CLS vector included."""
    encoder = small_music_encoder()
    encoder.cls.fill_(3.0)
    save_file(encoder.state_dict(), tmp_path / "own.safetensors")
    loaded, report = load_music_encoder(tmp_path / "own.safetensors")
    assert loaded.sizes == encoder.sizes
    assert report.fresh == []
    assert report.loaded == 177
    for key, value in encoder.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], value), key


def test_half_precision_weights_are_widened(tmp_path, music_weights):
    halved = {key: value.half() if value.is_floating_point() else value for key, value in music_weights.items()}
    encoder, _ = load_music_encoder(save(halved, tmp_path / "half.pth"))
    assert {tensor.dtype for tensor in encoder.parameters()} == {torch.float32}
    check_cnnsa(encoder, music_weights)


# files that are no weights --------------------------------------------------------------------------------------------


class Malice:
    """Unpickled, it would create a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return Path.touch, (self.target,)


@pytest.mark.parametrize("how", ["torch", "pickle", "training checkpoint"])
def test_code_in_a_pickle_is_refused_and_does_not_run(tmp_path, how):
    target, file = tmp_path / "made_by_the_pickle", tmp_path / "model.pt"
    if how == "torch":
        torch.save({"weight": Malice(target)}, file)
    elif how == "pickle":
        file.write_bytes(pickle.dumps({"weight": Malice(target)}, protocol=2))
    else:
        torch.save({"model_state_dict": {"weight": torch.ones(1)}, "optim_state_state": Malice(target)}, file)
    with pytest.raises(ModelError, match=r"model\.pt holds more than weights") as caught:
        read_weights(file)
    assert "safetensors" in caught.value.hint
    assert not target.exists()


def test_truncated_file(tmp_path, weights):
    whole = save({key: value.clone() for key, value in weights.items()}, tmp_path / "model.pt").read_bytes()
    for name in ("model.pt", "model.safetensors"):
        (tmp_path / name).write_bytes(whole[: len(whole) // 2])
        with pytest.raises(ModelError, match=f"{name} cannot be read as weights"):
            read_weights(tmp_path / name)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello, these are no weights\n",
        b"<!DOCTYPE html><html><body>404: Not Found</body></html>",
        b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 576000000\n",
    ],
)
def test_text_file_is_not_taken_for_a_dangerous_pickle(tmp_path, content):
    (tmp_path / "model.pth").write_bytes(content)
    with pytest.raises(ModelError, match=r"model\.pth cannot be read as weights: it is no torch file"):
        read_weights(tmp_path / "model.pth")


@pytest.mark.parametrize("content", [{}, {"epoch": 3}, [torch.ones(2)], {7: torch.ones(2)}, {"model_state_dict": {}}])
def test_no_state_dict(tmp_path, content):
    with pytest.raises(ModelError, match=r"model\.pt holds no state dict"):
        read_weights(save(content, tmp_path / "model.pt"))


def test_missing_file_and_folder(tmp_path):
    for path in (tmp_path / "nowhere.pt", tmp_path):
        with pytest.raises(ModelError, match=f"no weights file {path}"):
            read_weights(path)


# weights that do not fit ----------------------------------------------------------------------------------------------


def refused(content: dict, folder: Path, music_encoder: MusicEncoder | None = None) -> str:
    """The message against a captioner's weights."""
    with pytest.raises(ModelError) as caught:
        load_captioner(save(content, folder / "model_19.pt"), RecapConfig(**SMALL_BART), music_encoder)
    return caught.value.message


def test_captioner_without_music_encoder(tmp_path, weights):
    with pytest.raises(ModelError, match=r"model_19\.pt holds no music encoder") as caught:
        load_captioner(save(weights, tmp_path / "model_19.pt"), RecapConfig(**SMALL_BART))
    assert "--music-encoder" in caught.value.hint


def test_captioner_with_missing_keys(tmp_path, weights):
    for key in ("bart.model.encoder._linear_2.bias", "bart.model.decoder.layers.5.fc1.weight"):
        del weights[key]
    message = refused(weights, tmp_path, small_music_encoder())
    assert message.startswith(f"{tmp_path / 'model_19.pt'} does not fit: 2 missing (")
    assert "model.encoder.fusion.0.music_value.bias" in message
    assert "model.decoder.layers.5.fc1.weight" in message


@pytest.mark.parametrize("key", ["bart.model.encoder.fusion_gate.weight", "critic.weight"])
def test_captioner_with_unexpected_keys(tmp_path, weights, key):
    """Within BART and beside it: no key is passed over in silence."""
    weights[key] = torch.ones(3)
    message = refused(weights, tmp_path, small_music_encoder())
    assert f"1 unexpected ({key.removeprefix('bart.')})" in message
    assert "model_19.pt" in message


def test_captioner_with_misshaped_keys(tmp_path, weights):
    weights["bart.model.encoder._linear_1.weight"] = torch.ones(16, 9)
    message = refused(weights, tmp_path, small_music_encoder())
    assert "1 mis-shaped (model.encoder.fusion.0.music_key.weight [16, 9], wanted [16, 8])" in message


def test_many_misfits_are_counted_and_three_are_named(tmp_path, weights):
    for layer in range(5):
        del weights[f"bart.model.encoder.layers.{layer}.fc1.bias"]
    message = refused(weights, tmp_path, small_music_encoder())
    assert "5 missing (model.encoder.layers.0.fc1.bias, model.encoder.layers.1.fc1.bias, " in message
    assert "model.encoder.layers.2.fc1.bias, ...)" in message
    assert "layers.3" not in message


def test_weights_of_another_size(tmp_path, weights):
    """A bart-large config cannot take bart-base's weights."""
    config = RecapConfig(**{**SMALL_BART, "d_model": 32})
    with pytest.raises(ModelError, match="mis-shaped"):
        load_captioner(save(weights, tmp_path / "model.pt"), config, small_music_encoder())


def refused_music(content: dict, folder: Path) -> str:
    with pytest.raises(ModelError, match=r"cnnsa\.pth") as caught:
        load_music_encoder(save(content, folder / "cnnsa.pth"))
    return caught.value.message


def test_music_encoder_with_missing_keys(tmp_path, music_weights):
    del music_weights["layer3.bn_2.running_var"]
    assert "1 missing (blocks.2.norm_2.running_var)" in refused_music(music_weights, tmp_path)


def test_music_encoder_with_an_incomplete_attention(tmp_path, music_weights):
    del music_weights["encoder.layer.1.attention.self.key.bias"]
    assert "1 missing (layers.1.self_attn.in_proj_bias)" in refused_music(music_weights, tmp_path)


@pytest.mark.parametrize("key", ["layer4.conv_1.weight", "encoder.layer.0.intermediate.dense.weight"])
def test_music_encoder_without_the_keys_that_tell_its_size(tmp_path, music_weights, key):
    del music_weights[key]
    assert "holds no music encoder" in refused_music(music_weights, tmp_path)


def test_music_encoder_with_unexpected_keys(tmp_path, music_weights):
    music_weights["layer8.conv_1.weight"] = torch.ones(2)
    message = refused_music(music_weights, tmp_path)
    assert "1 unexpected (blocks.7.conv_1.weight)" in message


@pytest.mark.parametrize(
    ("key", "shape", "told"),
    [
        ("layer2.conv_2.bias", (5,), "mis-shaped (blocks.1.conv_2.bias [5], wanted [4])"),
        ("layer7.conv_1.weight", (7, 8, 3, 3), "blocks.6.conv_1.weight gives a width of 7"),
        ("layer7.conv_1.weight", (), "a weight is a single number"),
        ("encoder.layer.0.attention.self.query.weight", (8, 9), "missing (layers.0.self_attn.in_proj_weight)"),
    ],
)
def test_music_encoder_with_misshaped_keys(tmp_path, music_weights, key, shape, told):
    music_weights[key] = torch.ones(shape)
    assert told in refused_music(music_weights, tmp_path)


def test_a_captioner_is_no_music_encoder(tmp_path, weights):
    assert "holds no music encoder: blocks.0.conv_1.weight is missing" in refused_music(weights, tmp_path)
