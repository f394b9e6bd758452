"""Models that strangers wrote: no code of theirs runs, bad files are refused by name, flags win over their settings."""

import ast
import io
import itertools
import json
import os
import pickle
import resource
import shutil
import time
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hostile_models import CODE, change, copy_model, hostile_models, pack_archive
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer

from recap_cli.captioning.captioner import Captioner
from recap_cli.cli.app import main
from recap_cli.errors import ModelError, RecapError
from recap_cli.model.folder import load_tokenizer
from recap_cli.model.weight_files import read_weights
from recap_cli.runtime.decoding import DecodingOptions

PACKAGE = Path(__file__).parents[2] / "recap_cli"
# Classes of our own: they read what they were shown to read, and hand on to the library only what was checked.
OWN = ("RecapProcessor", "Captioner", "SentenceEncoder")
SHORT = DecodingOptions(max_caption_tokens=12)


@pytest.fixture(scope="module")
def song(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("song") / "song.wav"
    soundfile.write(path, np.sin(np.arange(32000) / 9).astype(np.float32) / 4, 16000)
    return path


@pytest.fixture
def model(tmp_path) -> Path:
    return copy_model(tmp_path / "model")


def refused(folder: Path, **options) -> str:
    with pytest.raises(ModelError) as caught:
        Captioner.from_pretrained(folder, device="cpu", **options)
    return caught.value.message


# code -----------------------------------------------------------------------------------------------------------------


def calls(file: Path) -> list[ast.Call]:
    return [node for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]


def test_every_call_that_may_load_code_forbids_it():
    """`trust_remote_code` is False wherever the library loads by folder; left out, it asks on stdin."""
    found = 0
    for file in PACKAGE.rglob("*.py"):
        for call in calls(file):
            name = ast.unparse(call.func)
            given = {word.arg: ast.unparse(word.value) for word in call.keywords}
            if name.endswith((".from_pretrained", ".from_config")) and name.split(".")[0] not in (*OWN, "cls"):
                assert given.get("trust_remote_code") == "False", f"{file.name}: {name}"
                found += 1
            assert given.get("trust_remote_code", "False") == "False", f"{file.name}: {name}"
            assert not {"custom_generate", "use_kernels", "attn_implementation"} & given.keys(), f"{file.name}: {name}"
            if name == "torch.load":
                assert given.get("weights_only") == "True", file.name
    assert found >= 2


@pytest.fixture
def trap(tmp_path, monkeypatch) -> Path:
    """A file that appears when a model folder's code runs; stdin says yes to whatever asks."""
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n1\n" * 50))
    return tmp_path / "trap"


def add_code(folder: Path, trap: Path, *files: str) -> Path:
    (folder / "code.py").write_text(CODE.format(trap=str(trap)))
    (folder / "custom_generate").mkdir()
    (folder / "custom_generate" / "generate.py").write_text(CODE.format(trap=str(trap)))
    names = ("AutoConfig", "AutoModel", "AutoModelForSeq2SeqLM")
    for name in files:
        how = ["code.C", "code.C"] if "tokenizer" in name else dict.fromkeys(names, "code.C")
        change(folder / name, auto_map=how)
    return folder


@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json", "generation_config.json"])
def test_code_of_a_model_never_runs(model, trap, song, file, capfd):
    add_code(model, trap, file)
    assert main(["caption", str(song), "--instrumental", "--model", str(model)]) == 1
    assert f"{file} names code of its own (auto_map)" in capfd.readouterr().err
    assert not trap.exists()


@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json"])
@pytest.mark.parametrize("how", ["eval", "init", "bart"])
def test_code_never_runs_in_training_and_evaluation(model, trap, tiny_data, tmp_path, how, file, capfd):
    data, out = str(tiny_data.folder), str(tmp_path / "out")
    if how == "bart":
        change(model / "config.json", model_type="bart")
    add_code(model, trap, file)
    words = {
        "eval": ["eval", str(model), "--data", data, "--out", out],
        "init": ["train", data, "--init", str(model), "--out", out],
        "bart": ["train", data, "--bart", str(model), "--no-music", "--out", out],
    }
    assert main(words[how]) == 1
    assert f"{file} names code of its own" in capfd.readouterr().err
    assert not trap.exists()


def test_code_that_nothing_names_is_never_looked_at(model, trap, song):
    add_code(model, trap)
    (model / "sitecustomize.py").write_text(CODE.format(trap=str(trap)))
    change(model / "config.json", attn_implementation="owner/kernel", _attn_implementation="owner/kernel",
           use_kernels=True, architectures=["code.C"])  # fmt: skip
    assert Captioner.from_pretrained(model, device="cpu").caption(song, decoding=SHORT).caption
    assert not trap.exists()


@pytest.mark.parametrize(
    ("file", "field"),
    [("generation_config.json", "custom_generate"), ("config.json", "custom_pipelines"), ("config.json", "auto_map")],
)
def test_other_names_of_code_are_refused(model, file, field):
    change(model / file, **{field: {"AutoConfig": "owner/code--code.C"}})
    assert f"{model / file} names code of its own ({field})" in refused(model)


# files and fields -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "value"),
    [("vocab_size", True), ("vocab_size", "1362"), ("d_model", None), ("d_model", [64]), ("encoder_layers", -1),
     ("encoder_layers", 10**9), ("decoder_attention_heads", 5), ("fusion_heads", 0), ("music_heads", 7),
     ("encoder_ffn_dim", 2**40), ("max_position_embeddings", 2**31), ("activation_function", "xielu"),
     ("dropout", 1.5), ("dropout", 10**400), ("init_std", "x"), ("pad_token_id", 1362), ("eos_token_id", [2, 3]),
     ("fusion_layers", [1, 1]), ("fusion_layers", ["1"]), ("music_channels", [64] * 6), ("alignment_loss", "evil"),
     ("constant_music", 10**8), ("is_encoder_decoder", False), ("dtype", "int8"), ("tie_word_embeddings", 1)],
)  # fmt: skip
def test_a_bad_field_of_the_config_is_named(model, field, value):
    change(model / "config.json", **{field: value})
    message = refused(model)
    assert str(model / "config.json") in message
    assert field.replace("_", "-") in message.replace("_", "-")


@pytest.mark.parametrize(
    ("field", "value"),
    [("hop", 0), ("hop", True), ("hop", 10**10), ("n_fft", 511), ("n_fft", 1 << 30), ("mels", "128"), ("seconds", 1e9),
     ("seconds", "15"), ("sample_rate", None), ("sample_rate", 10**400), ("f_max", [8000]), ("power_floor", -1),
     ("resampler", "evil"), ("loudness", 3)],
)  # fmt: skip
def test_a_bad_field_of_the_processor_is_named(model, field, value):
    record = json.loads((model / "recap_processor.json").read_text())
    change(model / "recap_processor.json", audio={**record["audio"], field: value})
    message = refused(model)
    assert message.startswith(f"{model / 'recap_processor.json'}: audio settings: ")
    assert field in message


def test_frames_that_would_fill_the_memory_are_refused(model):
    record = json.loads((model / "recap_processor.json").read_text())
    change(model / "recap_processor.json", audio={**record["audio"], "hop": 1, "n_fft": 32768, "seconds": 600.0})
    assert "hop 1 makes too many frames" in refused(model)


@pytest.mark.parametrize("value", [0, -3, True, None, "x", 2.5, 10**9, 513])
def test_limits_of_tokens(model, value):
    change(model / "recap_processor.json", max_caption_tokens=value)
    assert "recap_processor.json" in refused(model)


@pytest.mark.parametrize("name", ["config.json", "recap_processor.json", "generation_config.json", "tokenizer.json",
                                  "tokenizer_config.json"])  # fmt: skip
@pytest.mark.parametrize("kind", ["pipe", "folder", "device", "dangling", "huge", "no text", "list", "deep", "nan"])
def test_what_is_no_json_object_is_refused_and_never_waited_for(model, name, kind):
    path = model / name
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind in ("device", "dangling"):
        path.symlink_to("/dev/zero" if kind == "device" else "/nowhere")
    elif kind == "huge":
        with path.open("wb") as file:
            file.truncate(1 << 30)
    else:
        texts = {"no text": b"\xff\xfe{}", "list": b"[]", "deep": b"[" * 200_000, "nan": b'{"vocab_size": NaN}'}
        path.write_bytes(texts[kind])
    assert str(path) in refused(model)


def test_other_tokenizer_files_are_looked_at_before_they_are_read(model):
    os.mkfifo(model / "special_tokens_map.json")
    assert refused(model) == f"{model / 'special_tokens_map.json'} is no regular file"


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [("normalizer", {"type": "Replace", "pattern": {"String": "e"}, "content": "e" * 99999}, 'normalizer is "Replace"'),
     ("normalizer", {"type": "Sequence", "normalizers": [{"type": "Prepend"}]}, 'normalizer is "Prepend"'),
     ("pre_tokenizer", {"type": "Split", "pattern": {"Regex": "(a+)+$"}}, 'pre_tokenizer is "Split"'),
     ("post_processor", {"type": "TemplateProcessing", "single": [], "pair": [],
                         "special_tokens": {"<s>": {"ids": [0] * 99}}}, "more than 16 tokens around a text"),
     ("post_processor", {"type": "RobertaProcessing", "sep": ["</s>", 5000], "cls": ["<s>", 0], "trim_offsets": True,
                         "add_prefix_space": False}, "knows 5001 tokens, the model 1362"),
     ("added_tokens", [1] * 10_001, "added_tokens is a list of 10001"), ("model", {"type": "Evil"}, 'model is "Evil"')],
)  # fmt: skip
def test_steps_of_a_tokenizer_that_might_never_end(model, field, value, said):
    change(model / "tokenizer.json", **{field: value})
    assert said in refused(model)


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [("tokenizer_class", "EvilTokenizer", 'tokenizer_class is "EvilTokenizer"'), ("tokenizer_class", 3, "is 3"),
     ("pad_token", None, "has no pad token"), ("pad_token", "<unk>", "pads with 3, the model with 1"),
     ("pad_token", "[NEW]", "knows 1363 tokens"), ("model_input_names", 5, "cannot be read")],
)  # fmt: skip
def test_settings_of_a_tokenizer(model, field, value, said):
    change(model / "tokenizer_config.json", **{field: value})
    assert said in refused(model)


def test_tokens_beyond_the_vocabulary(model, monkeypatch):
    """Refused unbuilt, with and without a config: transformers 5.4 fills the memory with all that lie between."""
    monkeypatch.setattr(AutoTokenizer, "from_pretrained", None)
    record = json.loads((model / "tokenizer.json").read_text())
    record["model"]["vocab"]["zzz"] = 4_000_000_000
    (model / "tokenizer.json").write_text(json.dumps(record))
    assert "knows 4000000001 tokens, the model 1362" in refused(model)
    with pytest.raises(ModelError, match="knows 4000000001 tokens"):
        load_tokenizer(model)


# weights --------------------------------------------------------------------------------------------------------------


def as_torch(model: Path, zipped: bool = True, **changes) -> Path:
    weights = load_file(model / "model.safetensors") | changes
    (model / "model.safetensors").unlink()
    torch.save(weights, model / "pytorch_model.bin", _use_new_zipfile_serialization=zipped)
    return model / "pytorch_model.bin"


NAME = "model.encoder.fusion.0.norm.weight"


@pytest.mark.parametrize("zipped", [True, False])
def test_a_models_weights_in_torch_format(model, song, zipped):
    whole = Captioner.from_pretrained("demo", device="cpu").caption(song, decoding=SHORT)
    as_torch(model, zipped)
    again = Captioner.from_pretrained(model, device="cpu").caption(song, decoding=SHORT)
    assert (again.captions, again.scores, again.weights) == (whole.captions, whole.scores, whole.weights)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(
    "tensor",
    [torch.ones(64).to_sparse(), torch.eye(64).to_sparse_csr(), torch.empty(64, device="meta"),
     torch.zeros(1).expand(64), torch.zeros(1).expand(10**6, 10**6), torch.zeros(10**12, 0),
     torch.ones(64, dtype=torch.complex64), torch.ones(64, dtype=torch.cfloat).conj(),
     torch.ones(64, dtype=torch.long), torch.full((64,), torch.nan),
     torch.nested.nested_tensor([torch.ones(2), torch.ones(3)])],
    ids=["sparse", "csr", "meta", "stride 0", "vast", "empty", "complex", "conjugate", "whole", "nan", "nested"],
)  # fmt: skip
def test_strange_tensors_are_a_message(model, zipped, tensor):
    as_torch(model, zipped, **{NAME: tensor})
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert str(model) in refused(model)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kB


def test_a_quantised_tensor_is_a_message(tmp_path):
    with warnings.catch_warnings(action="ignore"):  # newer versions of torch tell that such tensors will go
        torch.save({"a": torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8)}, tmp_path / "a.pt")
    with pytest.raises(ModelError, match=r"a\.pt"):
        read_weights(tmp_path / "a.pt")


def test_a_packed_archive_is_refused_before_it_is_unpacked(tmp_path):
    path = tmp_path / "model.pt"
    torch.save({"a": torch.zeros(1 << 24)}, path)
    pack_archive(path)
    assert path.stat().st_size < 1 << 20
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ModelError, match="its numbers are packed"):
        read_weights(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000


def test_entries_that_overlap_are_refused(tmp_path):
    """The same bytes under many names: stored, and yet more than the file has."""
    path = tmp_path / "model.pt"
    torch.save({"a": torch.zeros(1 << 16)}, path)
    with zipfile.ZipFile(path, "a") as archive:
        entry = archive.getinfo("model/data/0")
        for number in range(1, 50):
            twin = zipfile.ZipInfo(f"model/data/{number}")
            twin.header_offset, twin.file_size, twin.compress_size, twin.CRC = (
                entry.header_offset, entry.file_size, entry.compress_size, entry.CRC,
            )  # fmt: skip
            archive.filelist.append(twin)
        archive._didModify = True
    with pytest.raises(ModelError, match="it claims more bytes than it has"):
        read_weights(path)


@pytest.mark.parametrize("legacy", [True, False])
def test_tuples_within_tuples_do_not_crash_the_interpreter(tmp_path, legacy):
    path = tmp_path / "model.pt"
    deep = b"\x80\x02}" + b")" + b"\x85" * 200_000 + b"K\x01s."
    if legacy:
        path.write_bytes(deep)
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("model/data.pkl", deep)
            archive.writestr("model/version", "3\n")
    with pytest.raises(ModelError, match="too large"):
        read_weights(path)


def test_an_old_file_that_claims_a_terabyte(tmp_path):
    path = tmp_path / "model.pt"
    torch.save({"a": torch.zeros(7)}, path, _use_new_zipfile_serialization=False)
    content = path.read_bytes()
    assert content.count(b"K\x07") == 2  # the storage's length, and the tensor's
    path.write_bytes(content.replace(b"K\x07", b"\x8a\x06" + (2**40).to_bytes(6, "little")))
    with pytest.raises(ModelError, match=r"model\.pt"):
        read_weights(path)


def test_an_old_pickle_with_more_than_weights(tmp_path):
    path = tmp_path / "model.pt"
    path.write_bytes(pickle.dumps({"a": Path("x")}, protocol=2))
    with pytest.raises(ModelError, match="holds more than weights"):
        read_weights(path)


@pytest.mark.parametrize(
    ("named", "said"),
    [({"a": "../model.safetensors"}, "names"), ({"a": "/dev/zero"}, "names"), ([], "weight_map is a list of 0"),
     ({"a": "absent.safetensors"}, "no weights file"), ({"a": 5}, "names")],
)  # fmt: skip
def test_an_index_names_files_beside_it(model, named, said):
    (model / "model.safetensors").rename(model / "part.safetensors")
    (model / "model.safetensors.index.json").write_text(json.dumps({"weight_map": named}))
    assert said in refused(model)


def test_shards_are_read(model, song):
    weights = load_file(model / "model.safetensors")
    (model / "model.safetensors").unlink()
    names = sorted(weights)
    for number, part in enumerate((names[::2], names[1::2])):
        save_file({name: weights[name] for name in part}, model / f"part-{number}.safetensors")
    named = {name: f"part-{row % 2}.safetensors" for row, name in enumerate(names)}
    (model / "model.safetensors.index.json").write_text(json.dumps({"weight_map": named}))
    assert (
        Captioner.from_pretrained(model, device="cpu").weights
        == Captioner.from_pretrained("demo", device="cpu").weights
    )


def test_training_asks_for_no_more_than_its_source_holds(model, tiny_data, tmp_path, capfd):
    """What a source lacks would be drawn: a config that asks for gigabytes is refused first."""
    change(model / "config.json", vocab_size=900_000, d_model=16_384, encoder_attention_heads=4)
    words = ["train", str(tiny_data.folder), "--init", str(model), "--out", str(tmp_path / "out")]
    assert main(words) == 1
    assert "the config asks for at least" in capfd.readouterr().err
    assert not (tmp_path / "out").exists()


# how captions are written ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def plain(song):
    return Captioner.from_pretrained("demo", device="cpu").caption(
        song, decoding=DecodingOptions(max_caption_tokens=20)
    )


@pytest.mark.parametrize(
    "fields",
    [{"max_new_tokens": 5}, {"max_length": 4}, {"min_length": 60, "min_new_tokens": 60}, {"max_time": 1e-9},
     {"suppress_tokens": list(range(5, 1300))}, {"begin_suppress_tokens": list(range(5, 1300))},
     {"bad_words_ids": [[token] for token in range(5, 1300)]}, {"stop_strings": [" "]}, {"repetition_penalty": 90.0},
     {"exponential_decay_length_penalty": [1, 9.0]}, {"cache_implementation": "static"}, {"length_penalty": -50.0},
     {"watermarking_config": {"bias": 50.0, "seeding_scheme": "lefthash"}}, {"prompt_lookup_num_tokens": 3},
     {"num_beams": 1, "do_sample": True, "top_p": 0.1}, {"no_repeat_ngram_size": 1}, {"num_return_sequences": 3},
     {"temperature": 1e-9, "top_k": 1}, {"sequence_bias": [[[9], 90.0]]}, {"penalty_alpha": 0.6}, {"use_cache": False},
     {"assistant_early_exit": 1, "is_assistant": True}, {"guidance_scale": 9.0}, {"early_stopping": True}],
    ids=lambda fields: next(iter(fields)),
)  # fmt: skip
def test_generation_settings_of_a_folder_override_nothing(model, song, plain, fields):
    """The same caption, by the same settings, as without them."""
    change(model / "generation_config.json", **fields)
    again = Captioner.from_pretrained(model, device="cpu").caption(
        song, decoding=DecodingOptions(max_caption_tokens=20)
    )
    assert (again.captions, again.scores, again.settings) == (plain.captions, plain.scores, plain.settings)


def test_what_a_folder_does_decide_stands_in_the_record(model, song, plain):
    assert plain.settings["forced_eos_token_id"] == 2
    assert plain.settings["max_caption_tokens"] == 20
    assert "forced_bos_token_id" not in plain.settings
    change(model / "generation_config.json", forced_bos_token_id=0)
    again = Captioner.from_pretrained(model, device="cpu").caption(song)
    assert again.settings["forced_bos_token_id"] == 0
    assert again.settings["max_caption_tokens"] == 128  # the processor's own


@pytest.mark.parametrize(
    ("field", "value"),
    [("decoder_start_token_id", 57), ("eos_token_id", [5, 6]), ("pad_token_id", 0), ("forced_bos_token_id", 1362),
     ("forced_eos_token_id", [2]), ("num_beams", "4"), ("do_sample", "yes"), ("top_p", 7.0)],
)  # fmt: skip
def test_generation_settings_that_cannot_be(model, field, value):
    change(model / "generation_config.json", **{field: value})
    assert f"{model / 'generation_config.json'}: {field} is " in refused(model)


# all together ---------------------------------------------------------------------------------------------------------


def test_hostile_models_are_refused_or_work(tmp_path, song, capfd):
    """A round of every mutation: no traceback, no hang, no code, little memory."""
    begun = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    done = 0
    for label, folder in itertools.islice(hostile_models(tmp_path, 3), 18):
        began = time.process_time()
        try:
            caption = Captioner.from_pretrained(folder, device="cpu").caption(song, "rain é 雨", decoding=SHORT)
            assert isinstance(caption.caption, str)
        except RecapError as error:
            assert error.message, label
            assert error.hint, label
        assert time.process_time() - began < 10, label
        shutil.rmtree(folder)
        done += 1
    assert done == 18
    assert not (tmp_path / "trap").exists()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - begun < 500_000
