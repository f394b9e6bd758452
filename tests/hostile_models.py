"""Model folders that somebody damaged or made to do harm: mutations of the demo model, each made from a seed.

Only what a mutation changes is written; the weights are shared by hard link where they stay as they are.
"""

import json
import math
import os
import random
import shutil
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from recap_cli.runtime.hub import DEMO_MODEL

FILES = ("config.json", "recap_processor.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json",
         "model.safetensors")  # fmt: skip
ODD = (True, None, -1, 0, 1, 3, 7, 10**6, 10**9, 2**63, 10**400, 0.5, 1e308, -1e-9, "", "64", "x" * 5000, "\ud800",
       [], [1] * 1000, [[]], {}, {"a": {}})  # fmt: skip
NO_NUMBERS = ("NaN", "Infinity", "-Infinity", "1e999")
TEXTS = (b"", b"[]", b"null", b'"config"', b"{", b"[" * 100_000, b"\xff\xfe{\x00}\x00", b"{\"a\": \"\xe9\"}",
         b"{}", b"\x00" * 4096, b"{\"a\": " * 900 + b"1" + b"}" * 900)  # fmt: skip
CODE = "import pathlib\npathlib.Path({trap!r}).touch()\nclass C: pass\n"
GENERATION = {
    "max_new_tokens": 5, "min_new_tokens": 100, "min_length": 400, "max_time": 1e-9, "stop_strings": ["a"],
    "forced_eos_token_id": 57, "forced_bos_token_id": 57, "suppress_tokens": list(range(5, 1362)),
    "begin_suppress_tokens": [0], "bad_words_ids": [[n] for n in range(5, 900)], "exponential_decay_length_penalty":
    [1, 5.0], "cache_implementation": "static", "watermarking_config": {"bias": 100.0}, "prompt_lookup_num_tokens": 3,
    "assistant_early_exit": 1, "num_assistant_tokens": 5, "decoder_start_token_id": 57, "eos_token_id": [57, 58],
    "pad_token_id": 5, "num_beams": 64, "num_return_sequences": 9, "repetition_penalty": 50.0, "temperature": 1e-9,
    "no_repeat_ngram_size": 1, "sequence_bias": [[[5], 100.0]], "penalty_alpha": 0.6, "dola_layers": "high",
    "guidance_scale": 3.0, "num_beam_groups": 4, "diversity_penalty": 9.0, "custom_generate": "owner/code",
    "compile_config": {}, "token_healing": True, "use_cache": False, "output_attentions": True, "length_penalty": -9.0,
    "return_dict_in_generate": False, "constraints": ["x"], "do_sample": "yes", "top_p": float("nan"), "num_beams ": 0,
}  # fmt: skip


def hostile_models(folder: Path, seed: int) -> Iterator[tuple[str, Path]]:
    """Make hostile model folders without end, one at a time.

    Args:
        folder: an empty folder on a disk that knows hard links; a model's folder in it is the caller's to remove.
        seed: the same seed makes the same folders.

    Yields:
        What was done to the model, and its folder. A file named `trap` in `folder` means that code ran.
    """
    weights = folder / "weights.safetensors"
    shutil.copyfile(DEMO_MODEL / "model.safetensors", weights)
    number = 0
    while True:
        kind = KINDS[number % len(KINDS)]
        draw = random.Random(f"{seed} {number}")
        model = copy_model(folder / f"model-{number:04d}", weights)
        yield f"{number:04d} {kind.__name__}: {kind(model, draw)}", model
        number += 1


def copy_model(model: Path, weights: Path | None = None) -> Path:
    """Copy the demo model; its weights by hard link."""
    model.mkdir()
    for name in FILES[:-1]:
        shutil.copyfile(DEMO_MODEL / name, model / name)
    if weights is None:
        shutil.copyfile(DEMO_MODEL / FILES[-1], model / FILES[-1])
    else:
        os.link(weights, model / FILES[-1])
    return model


def change(path: Path, **fields: Any) -> None:
    """Change fields of a JSON file."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def config_field(model: Path, draw: random.Random) -> str:
    record = json.loads((model / "config.json").read_text())
    name = draw.choice(sorted(record))
    return set_field(model / "config.json", name, draw)


def set_field(path: Path, name: str, draw: random.Random) -> str:
    """Give a field an odd value, sometimes one that is no JSON."""
    if draw.random() < 0.2:
        value = draw.choice(NO_NUMBERS)
        record = json.loads(path.read_text())
        path.write_text(json.dumps({**record, name: "@"}).replace('"@"', value))
        return f"{name} = {value}"
    value = draw.choice(ODD)
    change(path, **{name: value})
    return f"{path.name} {name} = {str(value)[:30]!r}"


def config_size(model: Path, draw: random.Random) -> str:
    """Sizes that fit a type and not the memory, or not the weights."""
    name = draw.choice(("vocab_size", "d_model", "encoder_layers", "decoder_layers", "encoder_ffn_dim", "music_ffn",
                        "max_position_embeddings", "music_layers", "constant_music", "num_labels"))  # fmt: skip
    value = draw.choice((2, 64, 128, 16_384, 100_000, 999_999, 2**31, 2**40))
    change(model / "config.json", **{name: value})
    return f"{name} = {value}"


def config_word(model: Path, draw: random.Random) -> str:
    name, values = draw.choice(
        [("activation_function", ("xielu", "laplace", "gelu_accurate", "os.system", "tanh")),
         ("model_type", ("bart", "gpt2", "mbart", "../recap", "")), ("dtype", ("float8_e4m3fn", "int8", "object")),
         ("attn_implementation", ("kernels-community/flash-attn", "flash_attention_2")),
         ("_attn_implementation", ("owner/kernel:run", "flex_attention")), ("use_kernels", (True,)),
         ("quantization_config", ({"quant_method": "bitsandbytes"}, {"load_in_8bit": True})),
         ("music_channels", ([64] * 6, [1] * 7, [8192] * 7, [64] * 8, ["64"] * 7)),
         ("fusion_layers", ([], [9], [1, 1], [-1], [True], list(range(5000))))]
    )  # fmt: skip
    value = draw.choice(values)
    change(model / "config.json", **{name: value})
    return f"{name} = {str(value)[:40]}"


def processor_field(model: Path, draw: random.Random) -> str:
    path = model / "recap_processor.json"
    record = json.loads(path.read_text())
    name = draw.choice([*record["audio"], "max_lyrics_tokens", "max_caption_tokens", "audio"])
    if name not in record["audio"]:
        return set_field(path, name, draw)
    value = draw.choice((*ODD, math.nan, math.inf, 1 << 20, 1e-300))
    path.write_text(json.dumps({**record, "audio": {**record["audio"], name: value}}))
    return f"audio.{name} = {str(value)[:30]!r}"


def tokenizer_field(model: Path, draw: random.Random) -> str:
    path = model / "tokenizer.json"
    record = json.loads(path.read_text())
    name, value = draw.choice(
        [("normalizer", {"type": "Replace", "pattern": {"String": "e"}, "content": "e" * 100_000}),
         ("normalizer", {"type": "Prepend", "prepend": "x" * 1_000_000}),
         ("normalizer", {"type": "Sequence", "normalizers": [{"type": "NFKC"}] * 5000}),
         ("pre_tokenizer", {"type": "Split", "pattern": {"Regex": "(a+)+$"}, "behavior": "Isolated", "invert": False}),
         ("pre_tokenizer", "ByteLevel"), ("pre_tokenizer", {"type": "Sequence", "pretokenizers": "x"}),
         ("post_processor", {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}},
                             {"Sequence": {"id": "A", "type_id": 0}}] , "pair": [], "special_tokens":
                             {"<s>": {"id": "<s>", "ids": [0] * 50_000, "tokens": ["<s>"] * 50_000}}}),
         ("post_processor", {"type": "RobertaProcessing", "sep": ["</s>", 10**6], "cls": ["<s>", 10**6],
                             "trim_offsets": True, "add_prefix_space": False}),
         ("model", {**record["model"], "vocab": {**record["model"]["vocab"], "zzz": 4_000_000_000}}),
         ("model", {**record["model"], "vocab": {}}), ("model", {**record["model"], "merges": [["a"]]}),
         ("model", {**record["model"], "type": "Wizard"}), ("model", None), ("model", []),
         ("model", {**record["model"], "dropout": 7.0}), ("added_tokens", [{"id": 9}] * 3), ("added_tokens", "x"),
         ("added_tokens", [{"id": n, "content": f"t{n}", "single_word": False, "lstrip": False, "rstrip": False,
                            "normalized": False, "special": True} for n in range(1362, 3000)]),
         ("truncation", {"direction": "Right", "max_length": 1, "strategy": "LongestFirst", "stride": 9}),
         ("padding", {"strategy": {"Fixed": 10**9}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 1,
                      "pad_type_id": 0, "pad_token": "<pad>"}), ("version", 9), ("decoder", {"type": "Replace"})]
    )  # fmt: skip
    path.write_text(json.dumps({**record, name: value}))
    return f"tokenizer.json {name} = {str(value)[:60]}"


def tokenizer_settings(model: Path, draw: random.Random) -> str:
    name, value = draw.choice(
        [("tokenizer_class", "EvilTokenizer"), ("tokenizer_class", "LlamaTokenizer"), ("tokenizer_class", 7),
         ("tokenizer_class", "../../x"), ("pad_token", None), ("pad_token", 5), ("pad_token", "[OTHER]"),
         ("eos_token", None), ("unk_token", {"content": 3}), ("model_max_length", "x"), ("model_max_length", -5),
         ("added_tokens_decoder", {"99999": {"content": "zz", "special": True}}), ("added_tokens_decoder", [1]),
         ("extra_special_tokens", {"a": 1}), ("chat_template", "{% for i in range(10**9) %}x{% endfor %}"),
         ("padding_side", "up"), ("auto_map", {"AutoTokenizer": ["code.C", None]}), ("backend", "evil"),
         ("model_input_names", 5), ("tokenizer_file", "/etc/passwd"), ("name_or_path", "owner/name"),
         ("add_prefix_space", "x"), ("clean_up_tokenization_spaces", [])]
    )  # fmt: skip
    change(model / "tokenizer_config.json", **{name: value})
    return f"tokenizer_config.json {name} = {str(value)[:60]}"


def generation_field(model: Path, draw: random.Random) -> str:
    name = draw.choice(sorted(GENERATION))
    change(model / "generation_config.json", **{name: GENERATION[name]})
    return f"generation_config.json {name} = {str(GENERATION[name])[:40]}"


def code(model: Path, draw: random.Random) -> str:
    trap = str(model.parent / "trap")
    (model / "code.py").write_text(CODE.format(trap=trap))
    (model / "custom_generate").mkdir()
    (model / "custom_generate" / "generate.py").write_text(CODE.format(trap=trap))
    file = draw.choice(("config.json", "tokenizer_config.json", "generation_config.json"))
    names = ("AutoConfig", "AutoModel", "AutoModelForSeq2SeqLM", "AutoTokenizer")
    change(model / file, auto_map=dict.fromkeys(names, "code.C"))
    return f"auto_map in {file}"


def odd_file(model: Path, draw: random.Random) -> str:
    name, content = draw.choice(FILES), draw.choice(TEXTS)
    (model / name).unlink()
    (model / name).write_bytes(content)
    return f"{name} = {content[:20]!r}"


def no_file(model: Path, draw: random.Random) -> str:
    name = draw.choice(FILES)
    (model / name).unlink()
    kind = draw.choice(("absent", "a folder", "a pipe", "1 GB of zeros"))
    if kind == "a folder":
        (model / name).mkdir()
    elif kind == "a pipe":
        os.mkfifo(model / name)
    elif kind == "1 GB of zeros":
        with (model / name).open("wb") as file:
            file.truncate(1 << 30)  # sparse: it takes no room
    return f"{name} is {kind}"


def cut_weights(model: Path, draw: random.Random) -> str:
    path = model / "model.safetensors"
    content = path.read_bytes()
    path.unlink()
    length = draw.choice((0, 1, 8, 100, len(content) // 2, len(content) - 1))
    path.write_bytes(content[:length])
    return f"weights cut to {length} bytes"


def weights_header(model: Path, draw: random.Random) -> str:
    """Shapes, types and places in the weights' header that are not the config's."""
    path = model / "model.safetensors"
    content = path.read_bytes()
    size = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8 : 8 + size])
    name = draw.choice([key for key in header if key != "__metadata__"])
    entry = header[name]
    how = draw.choice(("type", "shape", "huge", "place", "dropped", "renamed", "long"))
    if how == "type":
        entry["dtype"] = draw.choice(("I32", "BOOL", "F8_E4M3", "C64", "WIZARD"))
    elif how == "shape":
        entry["shape"] = [math.prod(entry["shape"])]
    elif how == "huge":
        entry["shape"] = [2**40, 2**40]
    elif how == "place":
        entry["data_offsets"] = [0, 2**50]
    elif how in ("dropped", "renamed"):
        header = {("x" if key == name else key): value for key, value in header.items()}
    text = b"" if how == "long" else json.dumps(header).encode()
    path.unlink()
    path.write_bytes(struct.pack("<Q", 2**62 if how == "long" else len(text)) + text + content[8 + size :])
    return f"header of the weights: {how} of {name}"


def bent_numbers(model: Path, draw: random.Random) -> str:
    """Weights that are no numbers."""
    path = model / "model.safetensors"
    content = path.read_bytes()
    path.unlink()
    bad = draw.choice((b"\x00\x00\xc0\x7f", b"\x00\x00\x80\x7f"))
    path.write_bytes(content[:-4096] + bad * 1024)
    return f"weights end with {bad!r}"


def torch_weights(model: Path, draw: random.Random) -> str:
    """Weights in torch's own format, with tensors that are not what they seem."""
    import torch
    from safetensors.torch import load_file

    weights = load_file(model / "model.safetensors")
    (model / "model.safetensors").unlink()
    name = draw.choice(sorted(key for key in weights if weights[key].ndim == 2))
    whole = weights[name]
    how, value = draw.choice(
        [("whole", whole), ("sparse", whole.to_sparse()), ("meta", torch.empty(whole.shape, device="meta")),
         ("expanded", torch.zeros(1).expand(whole.shape)), ("vast", torch.zeros(1).expand(10**6, 10**6)),
         ("empty", torch.zeros(10**9, 0)), ("complex", whole.to(torch.complex64)), ("text", "x"), ("list", [whole]),
         ("half", whole.half()), ("whole numbers", whole.long()), ("transposed", whole.T.contiguous().T)]
    )  # fmt: skip
    zipped = draw.random() < 0.5
    torch.save({**weights, name: value}, model / "pytorch_model.bin", _use_new_zipfile_serialization=zipped)
    if zipped and draw.random() < 0.3:
        pack_archive(model / "pytorch_model.bin")
        how += ", packed"
    return f"torch file, {'zipped' if zipped else 'old'}: {name} is {how}"


def pack_archive(path: Path) -> None:
    """Deflate a torch file, which torch reads and never writes."""
    import zipfile

    with zipfile.ZipFile(path) as archive:
        entries = {entry.filename: archive.read(entry) for entry in archive.infolist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)


def shard_index(model: Path, draw: random.Random) -> str:
    """An index of shards that names strange places."""
    (model / "model.safetensors").rename(model / "part.safetensors")
    named = draw.choice(
        (
            {"a": "../../../etc/passwd"},
            {"a": "/dev/zero"},
            {"a": "absent.safetensors"},
            [],
            {},
            "x",
            {"a": 5},
            {"a": "part.safetensors"},
            {str(n): f"{n}.safetensors" for n in range(5000)},
        )
    )
    (model / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": named}))
    return f"index {str(named)[:50]}"


KINDS: tuple[Callable[[Path, random.Random], str], ...] = (
    config_field, config_size, config_word, processor_field, tokenizer_field, tokenizer_settings, generation_field,
    code, odd_file, no_file, cut_weights, weights_header, bent_numbers, torch_weights, shard_index, config_field,
    tokenizer_field, generation_field,
)  # fmt: skip
