"""Published weights to ours: CNNSA's `best_model.pth`, ALCAP's `model_N.pt`, BART-fusion's state dict."""

from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from recap_cli.errors import ModelError
from recap_cli.model.captioner import RecapForCaptioning
from recap_cli.model.config import MusicEncoderSizes, RecapConfig
from recap_cli.model.music_encoder import MusicEncoder
from recap_cli.model.weight_files import read_weights

# The transform's buffers, and heads for 50 tags and for pooling that captioning has no use for.
CNNSA_UNUSED = ("spec.", "pooler.", "dense.")
FUSION_UNUSED = ("model.encoder._linear_4.",)
FUSION_NAMES = {
    "model.encoder._linear_1.": "model.encoder.fusion.0.music_key.",
    "model.encoder._linear_2.": "model.encoder.fusion.0.music_value.",
    "model.encoder._linear_3.": "model.encoder.fusion.0.lyrics_query.",
    "model.encoder._multi_head_attn.": "model.encoder.fusion.0.attention.",
    "model.encoder.final_layer_norm.": "model.encoder.fusion.0.norm.",
}
BLOCK_NAMES = {"bn_1": "norm_1", "bn_2": "norm_2", "conv_3": "shortcut", "bn_3": "shortcut_norm"}
LAYER_NAMES = {
    "attention.output.dense": "self_attn.out_proj",
    "attention.output.LayerNorm": "norm1",
    "intermediate.dense": "linear1",
    "output.dense": "linear2",
    "output.LayerNorm": "norm2",
}


@dataclass
class LoadReport:
    """What became of the keys of a published file."""

    source: str  # the file
    loaded: int = 0  # tensors that were taken over
    unused: list[str] = field(default_factory=list)  # known to serve nothing here
    missing: list[str] = field(default_factory=list)  # tensors of our model that the file should hold
    unexpected: list[str] = field(default_factory=list)  # keys of the file that nothing here knows
    misshaped: list[str] = field(default_factory=list)  # key, shape in the file and shape wanted
    fresh: list[str] = field(default_factory=list)  # never saved by the public code; they keep their initial values

    def check(self) -> None:
        """Raises ModelError where tensors are missing, unknown or of another shape."""
        kinds = {"missing": self.missing, "unexpected": self.unexpected, "mis-shaped": self.misshaped}
        parts = [
            f"{len(keys)} {name} ({', '.join(keys[:3])}{', ...' if len(keys) > 3 else ''})"
            for name, keys in kinds.items()
            if keys
        ]
        if parts:
            raise ModelError(
                f"{self.source} does not fit: {'; '.join(parts)}", "is it the right file, whole, and of these sizes?"
            )


def load_music_encoder(path: Path) -> tuple[MusicEncoder, LoadReport]:
    """Returns a music encoder: published CNNSA weights (sizes read off the shapes) or a file that recap wrote.

    Args:
        path: `best_model.pth`, ALCAP's `model_cnnsa.pth`, or a .safetensors with either's keys.

    Raises:
        ModelError: the file cannot be read or does not fit.
    """
    return music_encoder_from(read_weights(path), str(path))


def music_encoder_from(weights: dict[str, Tensor], source: str) -> tuple[MusicEncoder, LoadReport]:
    """Returns the music encoder of a state dict with CNNSA's original keys or ours."""
    report = LoadReport(source)
    renamed = weights
    if "spec_bn.weight" in weights:
        report.unused = [key for key in weights if key.startswith(CNNSA_UNUSED)]
        renamed = rename_cnnsa({key: value for key, value in weights.items() if key not in report.unused})
    sizes = read_sizes(renamed, source)
    with torch.device("meta"):  # without numbers: what does not fit is refused before memory is taken
        compare_tensors(MusicEncoder(sizes), renamed, report, fresh=("cls",))
    report.check()
    encoder = MusicEncoder(sizes)
    copy_tensors(encoder, renamed)
    return encoder.eval(), report


def rename_cnnsa(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Returns CNNSA's tensors under our names; query, key and value of a layer become one tensor."""
    renamed: dict[str, Tensor] = {}
    projections: dict[str, dict[str, Tensor]] = {}
    for key, value in weights.items():
        parts = key.split(".")
        if key.startswith("spec_bn."):
            renamed["input_norm." + parts[1]] = value
        elif parts[0].startswith("layer") and len(parts) == 3 and parts[0][5:].isdigit():
            renamed[f"blocks.{int(parts[0][5:]) - 1}.{BLOCK_NAMES.get(parts[1], parts[1])}.{parts[2]}"] = value
        elif key.startswith("encoder.layer.") and ".attention.self." in key and len(parts) == 7:
            projections.setdefault(f"layers.{parts[2]}.self_attn.in_proj_{parts[6]}", {})[parts[5]] = value
        elif key.startswith("encoder.layer.") and ".".join(parts[3:-1]) in LAYER_NAMES:
            renamed[f"layers.{parts[2]}.{LAYER_NAMES['.'.join(parts[3:-1])]}.{parts[-1]}"] = value
        else:
            renamed[key] = value
    for key, rows in projections.items():
        if all(name in rows for name in ("query", "key", "value")) and len({part.shape for part in rows.values()}) == 1:
            renamed[key] = torch.cat([rows["query"], rows["key"], rows["value"]])
    return renamed


def read_sizes(weights: dict[str, Tensor], source: str) -> MusicEncoderSizes:
    """Returns the sizes that tensors under our names show; heads do not show, CNNSA has 8."""
    try:
        channels = tuple(weights[f"blocks.{index}.conv_1.weight"].shape[0] for index in range(7))
        layers = sum(key.endswith(".linear1.weight") for key in weights)
        ffn = weights["layers.0.linear1.weight"].shape[0]
    except KeyError as error:
        raise ModelError(
            f"{source} holds no music encoder: {error.args[0]} is missing",
            "expected CNNSA weights, such as attention/best_model.pth of the sota-music-tagging-models repository",
        ) from error
    except IndexError as error:
        raise ModelError(f"{source} does not fit: a weight is a single number", "is the file whole?") from error
    sizes = MusicEncoderSizes(channels, layers, ffn=ffn)
    if sizes.width % sizes.heads:
        raise ModelError(
            f"{source} does not fit: blocks.6.conv_1.weight gives a width of {sizes.width}, which {sizes.heads} heads "
            "cannot share",
            "is it the right file, whole, and of these sizes?",
        )
    return sizes


def load_captioner(
    path: Path, config: RecapConfig, music_encoder: MusicEncoder | None = None
) -> tuple[RecapForCaptioning, LoadReport]:
    """Returns a captioner from ALCAP's `model_N.pt` or BART-fusion's state dict.

    Args:
        path: the file; BART-fusion's holds its music encoder as well, ALCAP's does not.
        config: sizes of the model; those of facebook/bart-base with the fields' defaults fit the published files.
        music_encoder: from `load_music_encoder`, needed unless the file holds one.

    The model is in eval mode. Its alignment projection is fresh, since the public code does not save it.

    Raises:
        ModelError: the file cannot be read or does not fit, or there is no music encoder.
    """
    weights = read_weights(path)
    keys = [key for key in weights if key.startswith("music_encoder.")]
    music = {key.removeprefix("music_encoder."): weights.pop(key) for key in keys}
    if music:
        music_encoder, _ = music_encoder_from(music, f"{path} (music_encoder)")
    if music_encoder is None:
        raise ModelError(f"{path} holds no music encoder", "name one with --music-encoder, such as model_cnnsa.pth")
    return captioner_from(weights, config, music_encoder, str(path))


def captioner_from(
    weights: dict[str, Tensor], config: RecapConfig, music_encoder: MusicEncoder, source: str
) -> tuple[RecapForCaptioning, LoadReport]:
    """Returns the captioner of a fusion state dict with original keys and a music encoder."""
    report = LoadReport(source)
    weights = {key.removeprefix("bart."): value for key, value in weights.items()}
    report.unused = [key for key in weights if key.startswith(FUSION_UNUSED)]
    renamed = {rename_fusion(key): value for key, value in weights.items() if key not in report.unused}
    set_music_sizes(config, music_encoder.sizes)
    fresh = ("model.encoder.music_encoder.", "alignment.")
    with torch.device("meta"):
        compare_tensors(RecapForCaptioning(config), renamed, report, fresh)
    report.check()
    model = RecapForCaptioning(config)
    copy_tensors(model, renamed)
    assert model.model.encoder.music_encoder is not None  # config.use_music was never off here
    model.model.encoder.music_encoder.load_state_dict(music_encoder.state_dict())
    report.fresh = [key for key in report.fresh if key.startswith("alignment.")]
    return model.eval(), report


def rename_fusion(key: str) -> str:
    """Returns our name of one of BART-fusion's tensors; BART's own names stay."""
    for theirs, ours in FUSION_NAMES.items():
        if key.startswith(theirs):
            return ours + key.removeprefix(theirs)
    return key


def set_music_sizes(config: RecapConfig, sizes: MusicEncoderSizes) -> None:
    """Writes a music encoder's sizes into a config."""
    config.music_channels = list(sizes.channels)
    config.music_layers, config.music_heads, config.music_ffn = sizes.layers, sizes.heads, sizes.ffn


def compare_tensors(module: nn.Module, weights: dict[str, Tensor], report: LoadReport, fresh: tuple[str, ...]) -> None:
    """Notes in `report` what of the weights fits `module` by name and shape; names that begin as `fresh` may lack."""
    own = module.state_dict()
    for key, value in weights.items():
        if key not in own:
            report.unexpected.append(key)
        elif own[key].shape != value.shape:
            report.misshaped.append(f"{key} {list(value.shape)}, wanted {list(own[key].shape)}")
        else:
            report.loaded += 1
    absent = [key for key in own if key not in weights]
    report.fresh = [key for key in absent if key.startswith(fresh)]
    report.missing = [key for key in absent if not key.startswith(fresh)]


def copy_tensors(module: nn.Module, weights: dict[str, Tensor]) -> None:
    """Copies tensors by name into `module`, which knows all of them in their shapes."""
    own = module.state_dict()
    for key, value in weights.items():
        own[key].copy_(value)
