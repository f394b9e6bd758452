"""A stand-in for MiniLM's layers of its exact width, on random weights: a BART that reads verses."""

import argparse
from pathlib import Path

import torch
from make_minilm import SPECIAL, convert
from transformers import BertConfig, BertModel

LETTERS = "abcdefghijklmnopqrstuvwxyz"
PIECES = ["[PAD]", *SPECIAL[1:], *",.-'!\"", *LETTERS, *(f"##{one}" for one in LETTERS)]
SIZES = {"layers": 3, "upper_layers": 1, "decoder_layers": 1, "decoder_ffn": 32, "positions": 128, "pieces": 1000}


def make_small_minilm(folder: Path, seed: int = 1) -> Path:
    """Writes and returns the folder of a BART whose lower layers are MiniLM's in shape."""
    bert = folder / "bert"
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(PIECES), hidden_size=384, num_hidden_layers=3, num_attention_heads=12, intermediate_size=64,
        max_position_embeddings=128, layer_norm_eps=1e-12, initializer_range=0.3,
    )  # fmt: skip
    BertModel(config, add_pooling_layer=False).save_pretrained(bert)
    (bert / "vocab.txt").write_text("\n".join(PIECES) + "\n", "utf-8")
    convert(bert, folder / "bart", argparse.Namespace(**SIZES, counts=None, captions=None, bits=8, seed=0))
    return folder / "bart"
