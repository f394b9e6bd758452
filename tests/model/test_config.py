"""RecapConfig: what it refuses, what it allows, and that JSON gives it back."""

import json
import math

import pytest

from recap_cli.errors import OptionError
from recap_cli.model.config import MusicEncoderSizes, RecapConfig

REFUSED = [
    ({"fusion_layers": ()}, "--fusion-layers  is out of range"),
    ({"fusion_layers": (2, 3)}, "--fusion-layers 2,3 is out of range"),
    ({"fusion_layers": (-1,)}, "--fusion-layers -1 is out of range"),
    ({"fusion_layers": (2, 2)}, "--fusion-layers names a layer twice"),
    ({"align_layer": -1}, "--align-layer -1 is out of range"),
    ({"align_layer": 4}, "--align-layer 4 is out of range"),
    ({"align_layer": 4, "allow_fused_alignment": True}, "--align-layer 4 is out of range"),
    ({"align_layer": 2}, "--align-layer 2 lies behind fusion layer 1"),
    ({"align_layer": 3, "fusion_layers": (2,)}, "--align-layer 3 lies behind fusion layer 2"),
    ({"alignment_loss": "triplet"}, "--alignment-loss triplet is not known"),
    ({"similarity": "euclid"}, "--similarity euclid is not known"),
    ({"pooling": "max"}, "--pooling max is not known"),
    ({"fusion_sharing": "none"}, "--fusion-sharing none is not known"),
    ({"alpha": -0.02}, "--alpha -0.02 is not a weight"),
    ({"alpha": math.nan}, "--alpha nan is not a weight"),
    ({"alpha": math.inf}, "--alpha inf is not a weight"),
    ({"alignment_temperature": 0.0}, "--temperature 0.0 is not positive"),
    ({"alignment_temperature": -0.3}, "--temperature -0.3 is not positive"),
    ({"alignment_temperature": math.nan}, "--temperature nan is not positive"),
    ({"fusion_heads": 3}, "--fusion-heads 3 does not divide the width 64"),
]


@pytest.mark.parametrize(("settings", "message"), REFUSED)
def test_bad_settings_name_their_flag(settings, message):
    with pytest.raises(OptionError) as caught:
        RecapConfig.tiny(50, **settings)
    assert caught.value.message.startswith(message)
    assert caught.value.hint


def test_hints_say_what_is_possible():
    for settings, hint in (
        ({"fusion_layers": (7,)}, "the encoder's layers are 0 to 2"),
        ({"align_layer": 9}, "states that can be aligned are 0 to 3"),
        ({"alignment_loss": "x"}, "choose one of positive, infonce, infonce-symmetric, none"),
        ({"pooling": "x"}, "choose one of masked, all"),
    ):
        with pytest.raises(OptionError) as caught:
            RecapConfig.tiny(50, **settings)
        assert caught.value.hint == hint


def test_no_fusion_heads():
    with pytest.raises(OptionError, match="--fusion-heads 0"):
        RecapConfig.tiny(50, fusion_heads=0)


@pytest.mark.parametrize(
    "settings",
    [
        {"align_layer": 0},
        {"align_layer": 1},
        {"align_layer": 3, "allow_fused_alignment": True},
        {"fusion_layers": (0, 1, 2), "align_layer": 0},
        {"alpha": 0.0},
        {"fusion_heads": 4},
        {"alignment_loss": "none"},
        {"alignment_loss": "infonce-symmetric", "similarity": "dot", "pooling": "all"},
        {"fusion_sharing": "per-layer"},
    ],
)
def test_good_settings(settings):
    config = RecapConfig.tiny(50, **settings)
    for name, value in settings.items():
        assert getattr(config, name) == (list(value) if isinstance(value, tuple) else value)


def test_layers_do_not_matter_without_music():
    """A plain BART of two layers keeps the paper's layer numbers without complaint."""
    config = RecapConfig(encoder_layers=2, use_music=False)
    assert config.fusion_layers == [4, 5]


def test_defaults_are_the_papers():
    config = RecapConfig()
    assert config.alpha == 0.02
    assert config.fusion_layers == [4, 5]
    assert config.align_layer == 4
    assert config.alignment_loss == "positive"
    assert config.alignment_temperature == 0.3
    assert config.fusion_scale == 0.1
    assert config.fusion_heads == 1
    assert not config.train_music_encoder
    assert config.music_sizes == MusicEncoderSizes((128, 128, 256, 256, 256, 256, 256), 2, 8, 1024)
    assert config.music_sizes.width == 256


def test_json_round_trip():
    """Every field of RECAP and BART comes back with its value and its type."""
    config = RecapConfig.tiny(
        77,
        fusion_layers=(2,),
        align_layer=2,
        alpha=0.125,
        alignment_loss="infonce",
        similarity="dot",
        pooling="all",
        pads_in_loss=True,
        train_music_encoder=True,
        fusion_sharing="per-layer",
        fusion_heads=2,
        fusion_scale=0.5,
        alignment_temperature=0.07,
        dropout=0.25,
    )
    record = json.loads(config.to_json_string(use_diff=False))
    assert record["fusion_layers"] == [2]
    assert record["music_channels"] == [8, 8, 16, 32, 32, 64, 64]
    again = RecapConfig.from_dict(record)
    assert again.to_dict() == config.to_dict()
    assert again.music_sizes == config.music_sizes
    assert again.dropout == 0.25


def test_saved_config_is_read_back(tmp_path):
    config = RecapConfig.tiny(77, alpha=0.125, fusion_layers=(0, 2), align_layer=0)
    config.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["model_type"] == "recap"
    again = RecapConfig.from_pretrained(tmp_path)
    assert (again.alpha, again.fusion_layers, again.align_layer) == (0.125, [0, 2], 0)
    assert again.vocab_size == 77
    assert again.d_model == 64


def test_a_bad_saved_config_is_refused(tmp_path):
    RecapConfig.tiny(77).save_pretrained(tmp_path)
    file = tmp_path / "config.json"
    file.write_text(file.read_text().replace('"align_layer": 1', '"align_layer": 2'))
    with pytest.raises(OptionError, match="--align-layer 2"):
        RecapConfig.from_pretrained(tmp_path)
