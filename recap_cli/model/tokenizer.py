"""A model folder's tokenizer: its files are checked before the library sees them, and none of its code is run."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, PreTrainedConfig, PreTrainedTokenizerBase

from recap_cli.errors import ModelError
from recap_cli.records import CHOOSE_ANOTHER, MEGABYTE, check_regular, read_record, show

TOKENIZER_FILE = "tokenizer.json"
SETTINGS_FILE = "tokenizer_config.json"
LARGEST = 64 * MEGABYTE  # bart-base's tokenizer.json has 1.3 MB, that of 250,000 tokens 17 MB
# Everything that the library may open beside the two above.
OTHER_FILES = (
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
    "merges.txt",
    "special_tokens_map.json",
    "sentencepiece.bpe.model",
    "spiece.model",
    "tekken.json",
    "tokenizer.model",
    "vocab.json",
    "vocab.txt",
)
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
UNKNOWN = 1 << 31
TRIAL = "a river, 雨"


def load_tokenizer(folder: Path, config: PreTrainedConfig | None = None) -> PreTrainedTokenizerBase:
    """Load a folder's tokenizer, without its code and without the network.

    Args:
        folder: the model folder.
        config: of the model beside it, checked; the library would read the folder's own as it stands. Without one,
            nothing tells how many tokens the model knows.

    Raises:
        ModelError: a file is damaged, too large, asks for code or for a step that is not known to be harmless, or
            makes tokens that the model does not know.
    """
    check_tokenizer_files(folder)
    config = config or PreTrainedConfig()
    vocab_size = getattr(config, "vocab_size", UNKNOWN)
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, config=config, trust_remote_code=False, local_files_only=True)
        ids = tokenizer(TRIAL, add_special_tokens=True)["input_ids"]
        known = max(tokenizer.get_vocab().values(), default=-1)
        special = {name: getattr(tokenizer, name) for name in ("pad_token_id", "eos_token_id", "sep_token_id")}
    except BaseException as error:  # its readers fail in many ways, and those in Rust with a panic
        if isinstance(error, KeyboardInterrupt | SystemExit | ModelError):
            raise
        line = (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
        raise ModelError(f"the tokenizer in {folder} cannot be read: {line}", CHOOSE_ANOTHER) from error
    if known >= vocab_size or not all(0 <= token < vocab_size for token in ids):
        count = max(len(tokenizer), known + 1, max(ids, default=0) + 1)
        raise ModelError(
            f"the tokenizer in {folder} does not fit the model: its tokenizer knows {count} tokens, "
            f"the model {vocab_size}",
            "copy the model folder again",
        )
    if special["pad_token_id"] is None or special["eos_token_id"] is special["sep_token_id"] is None:
        lacking = "pad" if special["pad_token_id"] is None else "end"
        raise ModelError(f"the tokenizer in {folder} has no {lacking} token", CHOOSE_ANOTHER)
    return tokenizer


def check_tokenizer_files(folder: Path) -> None:
    """Refuse tokenizer files that are no regular files, too large, or that ask for something strange.

    Raises:
        ModelError: one does.
    """
    for name in OTHER_FILES:
        path = folder / name
        if path.exists() or path.is_symlink():
            check_regular(path, LARGEST)
    if (folder / SETTINGS_FILE).exists() or (folder / SETTINGS_FILE).is_symlink():
        check_settings(folder / SETTINGS_FILE)
    if (folder / TOKENIZER_FILE).exists() or (folder / TOKENIZER_FILE).is_symlink():
        check_steps(folder / TOKENIZER_FILE)


def check_settings(path: Path) -> None:
    """Refuse tokenizer settings that name code or a class that no BART has.

    Raises:
        ModelError: they do.
    """
    settings = read_record(path, 16 * MEGABYTE)
    refuse_code(settings, path)
    name = settings.get("tokenizer_class")
    if name is not None and not (isinstance(name, str) and name.removesuffix("Fast") in CLASSES):
        raise ModelError(f"{path}: tokenizer_class is {show(name)}, not one of {', '.join(CLASSES)}", CHOOSE_ANOTHER)


def refuse_code(record: dict[str, Any], path: Path) -> None:
    """Refuse settings that name Python code of the folder or of the hub.

    Raises:
        ModelError: they do.
    """
    for name in ("auto_map", "custom_generate", "custom_pipelines"):
        if record.get(name):
            raise ModelError(
                f"{path} names code of its own ({name}), and code of a model folder is never run",
                "choose a model that needs none",
            )


def check_steps(path: Path) -> None:
    """Refuse a tokenizer.json with steps that are not known to be harmless.

    Raises:
        ModelError: it has such, or too many tokens around a text.
    """
    record = read_record(path, LARGEST)
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
    """Give the steps that a step of tokenizer.json is made of."""
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
    """Refuse a template that puts thousands of tokens around each text.

    Raises:
        ModelError: it does.
    """
    pieces = [step.get(name) or [] for name in ("single", "pair")]
    tokens = step.get("special_tokens") or {}
    tokens = list(tokens.values()) if isinstance(tokens, dict) else [tokens]
    ids = [one.get("ids") if isinstance(one, dict) else one for one in tokens]
    if not all(isinstance(part, list) and len(part) <= TEMPLATE for part in (*pieces, *ids)):
        raise ModelError(f"{path}: post_processor puts more than {TEMPLATE} tokens around a text", CHOOSE_ANOTHER)
