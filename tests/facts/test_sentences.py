"""Sentence vectors are means over words, whatever stands beside them in the batch."""

import numpy as np
import pytest
from transformers import BertConfig, BertModel, BertTokenizerFast

from recap_cli.errors import ModelError
from recap_cli.facts.sentences import SentenceEncoder

WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "road", "is", "long", "and", "cold")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("minilm")
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    BertTokenizerFast(vocab_file=str(folder / "vocab.txt")).save_pretrained(folder)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    BertModel(BertConfig(vocab_size=len(WORDS), max_position_embeddings=300, **sizes)).save_pretrained(folder)
    return folder


def test_a_text_has_the_same_vector_alone_and_among_others(folder):
    encoder = SentenceEncoder(folder)
    texts = ["the road is long and cold " * 3, "the road", "cold " * 400]
    together = encoder.encode(texts)
    assert together.shape == (3, 16)
    alone = np.concatenate([encoder.encode([text]) for text in texts])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    assert np.abs(together[0] - together[1]).max() > 1e-3
    assert encoder.encode([]).shape == (0, 16)


def test_a_folder_without_a_model_is_named(tmp_path):
    with pytest.raises(ModelError, match=str(tmp_path)):
        SentenceEncoder(tmp_path)
