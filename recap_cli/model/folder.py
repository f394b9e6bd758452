"""A model folder from anybody: config, generation settings and tokenizer are checked before anything is built."""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor
from transformers.configuration_utils import PreTrainedConfig
from transformers.generation.configuration_utils import GenerationConfig
from transformers.models.auto.tokenization_auto import AutoTokenizer
from transformers.models.bart.configuration_bart import BartConfig
from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from recap_cli.errors import ModelError, OptionError
from recap_cli.model.config import CHOICES, RecapConfig
from recap_cli.records import (
    CHOOSE_ANOTHER,
    CONFIG_FILE,
    MEGABYTE,
    Rule,
    check_fields,
    check_regular,
    is_there,
    list_of,
    one_of,
    or_none,
    read_model_record,
    read_record,
    real,
    refuse_code,
    show,
    whole,
    yes_or_no,
)

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
    **{name: one_of(allowed) for name, allowed in CHOICES.items()},
    "use_music": yes_or_no(),
    "music_channels": list_of(whole(1, 8192), BLOCKS, BLOCKS),
    "music_layers": whole(0, 64),
    "music_heads": HEADS,
    "music_ffn": FFN,
    "train_music_encoder": yes_or_no(),
    "fusion_layers": list_of(whole(0, 63), 0, 64),
    "fusion_scale": real(-1000.0, 1000.0),
    "fusion_heads": HEADS,
    "alpha": real(0.0, 1e6),
    "alignment_temperature": real(1e-6, 1e6),
    "standardise_music": yes_or_no(),
    "align_layer": whole(0, 64),
    "allow_fused_alignment": yes_or_no(),
    "pads_in_loss": yes_or_no(),
    "alignment_probe": yes_or_no(),
    "constant_music": whole(0, 100_000),
    "verse_layers": whole(0, 64),
    "freeze_verses": yes_or_no(),
    "states_facts": yes_or_no(),
    "eight_bit": yes_or_no(),
}
# What a folder may say about generation. `recap caption` has a flag for the last five, and the flag wins; they
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

# Of the tokenizer.
TOKENIZER_FILE = "tokenizer.json"
SETTINGS_FILE = "tokenizer_config.json"
LARGEST = 64 * MEGABYTE  # bart-base's tokenizer.json has 1.3 MB, that of 250,000 tokens 17 MB
# Everything that the library may open beside the two above.
OTHER_FILES = ("added_tokens.json", "chat_template.jinja", "chat_template.json", "merges.txt",
               "special_tokens_map.json", "sentencepiece.bpe.model", "spiece.model", "tekken.json", "tokenizer.model",
               "vocab.json", "vocab.txt")  # fmt: skip
# Names with and without "Fast"; BARTs exist with each of them.
CLASSES = ("PreTrainedTokenizer", "TokenizersBackend", "BartTokenizer", "RobertaTokenizer", "GPT2Tokenizer",
           "BertTokenizer")  # fmt: skip
# Steps of tokenizer.json whose output is not much longer than their input and which take linear time; a Replace of one
# letter by a megabyte, or a pattern of a stranger's, is not among them.
STEPS = {
    "normalizer": ("BertNormalizer", "Lowercase", "NFC", "NFD", "NFKC", "NFKD", "Strip", "StripAccents"),
    "pre_tokenizer": ("BertPreTokenizer", "ByteLevel", "Digits", "Metaspace", "Punctuation", "Whitespace",
                      "WhitespaceSplit"),
    "post_processor": ("BertProcessing", "ByteLevel", "RobertaProcessing", "TemplateProcessing"),
    "decoder": ("BPEDecoder", "ByteFallback", "ByteLevel", "Fuse", "Metaspace", "Strip", "WordPiece"),
    "model": ("BPE", "Unigram", "WordLevel", "WordPiece"),
}  # fmt: skip
TEMPLATE = 16  # most special tokens around a text
ADDED = 10_000  # most added tokens
UNKNOWN = 1 << 24  # more tokens than any vocabulary has
TRIAL = "a river, 雨"


def read_config(folder: Path) -> BartConfig:
    """Returns a folder's config, RECAP's or a plain BART's, made of nothing but fields that were checked.

    Raises:
        ModelError: there is none, it is another model's, names code, or a field is out of bounds.
    """
    path, record = folder / CONFIG_FILE, read_model_record(folder)
    kind = record["model_type"]
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
        raise ModelError(f"{path} does not fit: {first_line(error)}", "copy the folder again") from error
    check_sizes(config, path)
    return config


def check_sizes(config: BartConfig, path: Path) -> None:
    """Refuses sizes that do not go together."""
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
    """Returns what a folder says about generation, as far as that is honoured: see `GENERATION_RULES`.

    Older BARTs say it in their config. Tokens are the config's; limits, penalties, stopping rules and the like are left
    out, since nothing would tell of them.

    Raises:
        ModelError: a field that is honoured is out of bounds, or code is named.
    """
    path = folder / GENERATION_FILE
    found = is_there(path)
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


def check_asked(config: BartConfig, shapes: Mapping[str, Tensor], where: str) -> None:
    """Refuses a config that asks for more numbers than its weights in `where` hold, before memory is taken.

    Raises:
        ModelError: it does.
    """
    held = sum(math.prod(tensor.shape) for tensor in shapes.values())
    # What BART has at least: embeddings, attention and feed-forward parts.
    named = ("d_model", "vocab_size", "max_position_embeddings")
    width, words, positions = (int(getattr(config, name)) for name in named)
    encoder = int(config.encoder_layers or 0) * (4 * width**2 + 2 * width * int(config.encoder_ffn_dim or 0))
    decoder = int(config.decoder_layers or 0) * (8 * width**2 + 2 * width * int(config.decoder_ffn_dim or 0))
    asked = width * (words + 2 * positions) + encoder + decoder
    if asked > held:
        raise ModelError(
            f"the config asks for at least {asked:,} numbers, and {where} holds {held:,}", "copy the model folder again"
        )


def first_line(error: BaseException) -> str:
    """Returns the first line of an error's text, short enough for a message."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:160]


# the tokenizer --------------------------------------------------------------------------------------------------------


def load_tokenizer(folder: Path, config: PreTrainedConfig | None = None) -> PreTrainedTokenizerBase:
    """Returns a folder's tokenizer, made without its code and without the network.

    Args:
        folder: the model folder.
        config: of the model beside it, checked; the library would read the folder's own as it stands. Without one,
            nothing tells how many tokens the model knows.

    Raises:
        ModelError: a file is damaged, too large, asks for code or for a step that is not known to be harmless, or
            makes tokens that the model does not know.
    """
    config = config or PreTrainedConfig()
    vocab_size = getattr(config, "vocab_size", UNKNOWN)
    refuse_tokens(folder, check_tokenizer_files(folder), vocab_size)
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, config=config, trust_remote_code=False, local_files_only=True)
        ids = tokenizer(TRIAL, add_special_tokens=True)["input_ids"]
        known = max(tokenizer.get_vocab().values(), default=-1)
        special = {name: getattr(tokenizer, name) for name in ("pad_token_id", "eos_token_id", "sep_token_id")}
    except BaseException as error:  # its readers fail in many ways, and those in Rust with a panic
        if isinstance(error, KeyboardInterrupt | SystemExit | ModelError):
            raise
        raise ModelError(f"the tokenizer in {folder} cannot be read: {first_line(error)}", CHOOSE_ANOTHER) from error
    refuse_tokens(folder, max([known, *ids]), vocab_size)
    if special["pad_token_id"] is None or special["eos_token_id"] is special["sep_token_id"] is None:
        lacking = "pad" if special["pad_token_id"] is None else "end"
        raise ModelError(f"the tokenizer in {folder} has no {lacking} token", CHOOSE_ANOTHER)
    return tokenizer


def refuse_tokens(folder: Path, largest: int, vocab_size: int) -> None:
    """Refuses a tokenizer whose largest token id the model does not know."""
    if largest >= vocab_size:
        raise ModelError(
            f"the tokenizer in {folder} does not fit the model: its tokenizer knows {largest + 1} tokens, "
            f"the model {vocab_size}",
            "copy the model folder again",
        )


def check_tokenizer_files(folder: Path) -> int:
    """Returns the largest token id in the vocabulary of tokenizer.json, -1 where there is none.

    Refuses tokenizer files that are no regular files, too large, or that ask for something strange.
    """
    for name in OTHER_FILES:
        if is_there(folder / name):
            check_regular(folder / name, LARGEST)
    if is_there(path := folder / SETTINGS_FILE):
        settings = read_record(path, 16 * MEGABYTE)
        refuse_code(settings, path)
        kind = settings.get("tokenizer_class")
        if kind is not None and not (isinstance(kind, str) and kind.removesuffix("Fast") in CLASSES):
            known = ", ".join(CLASSES)
            raise ModelError(f"{path}: tokenizer_class is {show(kind)}, not one of {known}", CHOOSE_ANOTHER)
    if not is_there(path := folder / TOKENIZER_FILE):
        return -1
    record = read_record(path, LARGEST)
    check_steps(record, path)
    vocab = record["model"].get("vocab") if isinstance(record.get("model"), dict) else None
    # Copying a tokenizer passes through all ids up to the largest: four thousand million would fill the memory.
    ids = vocab.values() if isinstance(vocab, dict) else ()
    return max((one for one in ids if isinstance(one, int)), default=-1)


def check_steps(record: dict[str, Any], path: Path) -> None:
    """Refuses a tokenizer.json with steps that are not known to be harmless."""
    for part, known in STEPS.items():
        for step in walk_steps(record.get(part)):
            kind = step.get("type") if isinstance(step, dict) else step
            # Files of before 2021 do not name the model's type.
            if not (isinstance(kind, str) and kind in known) and not (part == "model" and kind is None):
                raise ModelError(f"{path}: {part} is {show(kind)}, not one of {', '.join(known)}", CHOOSE_ANOTHER)
            if kind == "TemplateProcessing":
                check_template(step, path)
    added = record.get("added_tokens")
    if added is not None and not (isinstance(added, list) and len(added) <= ADDED):
        raise ModelError(f"{path}: added_tokens is {show(added)}, not a list of up to {ADDED}", CHOOSE_ANOTHER)


def walk_steps(step: Any, depth: int = 0) -> Iterator[Any]:
    """Yields the steps that a step of tokenizer.json is made of."""
    inner = None
    if isinstance(step, dict) and step.get("type") == "Sequence" and depth < 4:
        inner = next((step[name] for name in ("normalizers", "pretokenizers", "processors", "decoders")
                      if isinstance(step.get(name), list)), None)  # fmt: skip
    if inner is not None:
        for one in inner[:TEMPLATE]:
            yield from walk_steps(one, depth + 1)
        if len(inner) > TEMPLATE:
            yield f"a sequence of {len(inner)}"
    elif step is not None:
        yield step


def check_template(step: dict[str, Any], path: Path) -> None:
    """Refuses a template that puts thousands of tokens around each text."""
    pieces = [step.get(name) or [] for name in ("single", "pair")]
    tokens = step.get("special_tokens") or {}
    tokens = list(tokens.values()) if isinstance(tokens, dict) else [tokens]
    ids = [one.get("ids") if isinstance(one, dict) else one for one in tokens]
    if not all(isinstance(part, list) and len(part) <= TEMPLATE for part in (*pieces, *ids)):
        raise ModelError(f"{path}: post_processor puts more than {TEMPLATE} tokens around a text", CHOOSE_ANOTHER)
