"""What a model folder may hold: config and generation settings are checked before anything is built from them."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import BartConfig, GenerationConfig, PreTrainedConfig

from recap_cli.errors import ModelError, OptionError
from recap_cli.model.config import ALIGNMENT_LOSSES, FUSION_SHARINGS, POOLINGS, SIMILARITIES, RecapConfig
from recap_cli.model.tokenizer import refuse_code
from recap_cli.records import (
    CHOOSE_ANOTHER,
    Rule,
    check_fields,
    list_of,
    one_of,
    or_none,
    read_record,
    real,
    show,
    whole,
    yes_or_no,
)

CONFIG_FILE = "config.json"
GENERATION_FILE = "generation_config.json"
ACTIVATIONS = ("gelu", "gelu_10", "gelu_fast", "gelu_new", "gelu_pytorch_tanh", "leaky_relu", "linear", "mish",
               "quick_gelu", "relu", "relu2", "relu6", "sigmoid", "silu", "swish", "tanh")  # fmt: skip
DTYPES = ("float32", "float16", "bfloat16")
VOCABULARY = 1_000_000  # the largest of today's models have 260,000
TOKEN = whole(0, VOCABULARY - 1)
SHARE = real(0.0, 1.0)
LAYERS = whole(1, 64)
HEADS = whole(1, 256)
WIDTH = whole(1, 16_384)
FFN = whole(1, 131_072)
BLOCKS = 7  # of the music encoder

# Fields that are taken over; all others of a file are left where they are.
BART_RULES: dict[str, Rule] = {
    "vocab_size": whole(1, VOCABULARY),
    "max_position_embeddings": whole(3, 131_072),
    "d_model": WIDTH,
    "encoder_layers": LAYERS,
    "decoder_layers": LAYERS,
    "encoder_attention_heads": HEADS,
    "decoder_attention_heads": HEADS,
    "encoder_ffn_dim": FFN,
    "decoder_ffn_dim": FFN,
    "activation_function": one_of(ACTIVATIONS),
    "activation_dropout": SHARE,
    "attention_dropout": SHARE,
    "classifier_dropout": SHARE,
    "dropout": SHARE,
    "encoder_layerdrop": SHARE,
    "decoder_layerdrop": SHARE,
    "init_std": real(0.0, 100.0),
    "scale_embedding": yes_or_no(),
    "use_cache": yes_or_no(),
    "is_decoder": yes_or_no(),
    "is_encoder_decoder": Rule("true", lambda value: value is True),
    "tie_word_embeddings": yes_or_no(),
    "pad_token_id": TOKEN,
    "bos_token_id": TOKEN,
    "eos_token_id": TOKEN,
    "decoder_start_token_id": TOKEN,
    "forced_eos_token_id": or_none(TOKEN),
    "dtype": or_none(one_of(DTYPES)),
    "torch_dtype": or_none(one_of(DTYPES)),
}
RECAP_RULES: dict[str, Rule] = {
    **BART_RULES,
    "use_music": yes_or_no(),
    "music_channels": list_of(whole(1, 8192), BLOCKS, BLOCKS),
    "music_layers": whole(0, 64),
    "music_heads": HEADS,
    "music_ffn": FFN,
    "train_music_encoder": yes_or_no(),
    "fusion_layers": list_of(whole(0, 63), 0, 64),
    "fusion_scale": real(-1000.0, 1000.0),
    "fusion_heads": HEADS,
    "fusion_sharing": one_of(FUSION_SHARINGS),
    "alpha": real(0.0, 1e6),
    "alignment_loss": one_of(ALIGNMENT_LOSSES),
    "similarity": one_of(SIMILARITIES),
    "alignment_temperature": real(1e-6, 1e6),
    "pooling": one_of(POOLINGS),
    "standardise_music": yes_or_no(),
    "align_layer": whole(0, 64),
    "allow_fused_alignment": yes_or_no(),
    "pads_in_loss": yes_or_no(),
    "alignment_probe": yes_or_no(),
    "constant_music": whole(0, 100_000),
}
# What a folder may say about writing captions. `recap caption` has a flag for the last five, and the flag wins; they
# stay for those who call `generate` on the bare model.
FORCED = ("forced_bos_token_id", "forced_eos_token_id")
GENERATION_RULES: dict[str, Rule] = {
    **{name: or_none(TOKEN) for name in FORCED},
    "num_beams": or_none(whole(1, 1024)),
    "do_sample": or_none(yes_or_no()),
    "top_p": or_none(real(1e-6, 1.0)),
    "early_stopping": or_none(yes_or_no()),
    "no_repeat_ngram_size": or_none(whole(0, 1024)),
}
TOKENS = ("bos_token_id", "pad_token_id", "eos_token_id", "decoder_start_token_id")


def read_config(folder: Path) -> BartConfig:
    """Read a folder's config: RECAP's or a plain BART's, made of nothing but fields that were checked.

    Raises:
        ModelError: there is none, it is another model's, names code, or a field is out of bounds.
    """
    path = folder / CONFIG_FILE
    if not (path.exists() or path.is_symlink()):
        raise ModelError(f"{folder} holds no model: it has no {CONFIG_FILE}", "name a run folder of recap train")
    record = read_record(path)
    refuse_code(record, path)
    kind = record.get("model_type")
    if kind not in ("recap", "bart"):
        named = f"a {kind[:40]}" if isinstance(kind, str) and kind else "an unknown"
        raise ModelError(f"{folder} holds {named} model, not a RECAP model or a BART", CHOOSE_ANOTHER)
    if record.get("quantization_config") is not None:
        raise ModelError(f"{path} is of a quantised model, which cannot be read", CHOOSE_ANOTHER)
    fields = check_fields(record, RECAP_RULES if kind == "recap" else BART_RULES, str(path))
    if "torch_dtype" in fields:
        fields.setdefault("dtype", fields.pop("torch_dtype"))
    try:
        config = RecapConfig(**fields) if kind == "recap" else BartConfig(**fields)
    except OptionError as error:  # the config's own checks speak of flags
        raise ModelError(f"{path} does not fit: {error.message}", "copy the folder again") from error
    except Exception as error:  # the library's own checks of types
        raise ModelError(f"{path} does not fit: {str(error)[:160]}", "copy the folder again") from error
    check_sizes(config, path)
    return config


def check_sizes(config: BartConfig, path: Path) -> None:
    """Refuse sizes that do not go together.

    Raises:
        ModelError: heads do not divide a width, or a token lies outside of the vocabulary.
    """
    divided = [(name, config.d_model) for name in ("encoder_attention_heads", "decoder_attention_heads")]
    if isinstance(config, RecapConfig) and config.use_music:
        divided += [("fusion_heads", config.d_model), ("music_heads", config.music_sizes.width)]
    for name, width in divided:
        if width % getattr(config, name):
            raise ModelError(
                f"{path}: {name} is {getattr(config, name)}, which does not divide the width {width}", CHOOSE_ANOTHER
            )
    for name in (*TOKENS, "forced_eos_token_id"):
        token = getattr(config, name)
        if token is not None and token >= config.vocab_size:
            raise ModelError(
                f"{path}: {name} is {token}, but vocab_size is {config.vocab_size}", "copy the model folder again"
            )


def read_generation(folder: Path, config: BartConfig) -> GenerationConfig:
    """Read what a folder says about writing captions, as far as that is honoured: see `GENERATION_RULES`.

    Older BARTs say it in their config. Tokens are the config's; limits, penalties, stopping rules and the like are left
    out, since nothing would tell of them.

    Raises:
        ModelError: a field that is honoured is out of bounds, or code is named.
    """
    path = folder / GENERATION_FILE
    found = path.exists() or path.is_symlink()
    path = path if found else folder / CONFIG_FILE
    record = read_record(path)
    refuse_code(record, path)
    fields = check_fields(record, GENERATION_RULES, str(path))
    for name in FORCED:
        if fields.get(name) is not None and fields[name] >= config.vocab_size:
            raise ModelError(f"{path}: {name} is {fields[name]}, but vocab_size is {config.vocab_size}", CHOOSE_ANOTHER)
    for name in TOKENS if found else ():
        if record.get(name) is not None and record[name] != getattr(config, name):
            raise ModelError(
                f"{path}: {name} is {show(record[name])}, in {CONFIG_FILE} {getattr(config, name)}",
                "copy the model folder again",
            )
    if not found:
        fields.setdefault("forced_eos_token_id", config.forced_eos_token_id)
    tokens = {name: getattr(config, name) for name in TOKENS}
    return GenerationConfig(**tokens, **{name: value for name, value in fields.items() if value is not None})


def least_numbers(config: PreTrainedConfig) -> int:
    """Count the numbers that a config's model has at least: embeddings, attention and feed-forward parts of BART."""
    width = config.d_model
    encoder = config.encoder_layers * (4 * width**2 + 2 * width * config.encoder_ffn_dim)
    decoder = config.decoder_layers * (8 * width**2 + 2 * width * config.decoder_ffn_dim)
    return width * (config.vocab_size + 2 * config.max_position_embeddings) + encoder + decoder


def check_asked(config: BartConfig, shapes: Mapping[str, Any], where: str) -> None:
    """Refuse a config that asks for a larger model than its weights hold, before memory is asked for.

    Args:
        config: the config.
        shapes: tensors, or anything else with a shape, by name.
        where: what holds the weights, for messages.

    Raises:
        ModelError: it does.
    """
    held = sum(math.prod(tensor.shape) for tensor in shapes.values())
    asked = least_numbers(config)
    if asked > held:
        raise ModelError(
            f"the config asks for at least {asked:,} numbers, and {where} holds {held:,}", "copy the model folder again"
        )
