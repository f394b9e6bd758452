"""The quick decoder step writes what stock generation writes, and steps aside where it must."""

import pytest
import torch
from torch import nn

from recap_cli.model.captioner import RecapForCaptioning
from recap_cli.model.config import RecapConfig
from recap_cli.model.fast_decoder import (
    CACHE,
    FastDecoder,
    SongCache,
    fast_decoder,
    is_stock_decoder,
    packed_linear,
    plain_linear,
    song_cache,
)

SONGS, TOKENS = 5, 30


@pytest.fixture(scope="module")
def model() -> RecapForCaptioning:
    torch.manual_seed(0)
    return RecapForCaptioning(RecapConfig.tiny(300, init_std=0.3, decoder_layers=2)).eval()


@pytest.fixture(scope="module")
def batch() -> dict[str, torch.Tensor]:
    """Five songs, two of them padded."""
    generator = torch.Generator().manual_seed(0)
    mask = torch.ones(SONGS, TOKENS, dtype=torch.long)
    mask[1, 20:] = mask[3, 5:] = 0
    return {
        "input_ids": torch.randint(5, 300, (SONGS, TOKENS), generator=generator),
        "attention_mask": mask,
        "music_states": torch.randn(SONGS, 40, 64, generator=generator),
    }


def write(model, batch, **choice) -> torch.Tensor:
    torch.manual_seed(1)
    with torch.inference_mode():
        return model.generate(**batch, **{"max_length": 68, **choice})


@pytest.mark.parametrize(
    "choice",
    [
        {"num_beams": 1},
        {"num_beams": 4, "early_stopping": True},
        {"num_beams": 4, "num_return_sequences": 3, "length_penalty": 2.0},
        {"num_beams": 2, "no_repeat_ngram_size": 2, "min_length": 66},
        {"num_beams": 1, "do_sample": True, "num_return_sequences": 3},
        {"num_beams": 3, "do_sample": True},
        {"num_beams": 4, "decoder_input_ids": torch.tensor([[2, 0, 7]] * SONGS)},
    ],
)
def test_the_same_captions_as_stock(model, batch, choice):
    """More than 64 steps, so that the caches grow once; packed weights and unshared beams too."""
    stock = write(model, batch, fast=False, **choice)
    assert stock.shape[1] > 64
    assert torch.equal(write(model, batch, **choice), stock)
    assert torch.equal(write(model, batch, decoder=FastDecoder(model, pack=True), **choice), stock)
    copies = max(choice["num_beams"], choice.get("num_return_sequences", 1))
    if "decoder_input_ids" not in choice and copies > 1:
        assert torch.equal(write(model, batch, **{CACHE: SongCache(FastDecoder(model), copies=1)}, **choice), stock)


def test_the_quick_decoder_is_used(model, batch, monkeypatch):
    """Or the comparison above would compare stock with stock."""
    steps = []
    step = FastDecoder.step
    monkeypatch.setattr(FastDecoder, "step", lambda *given: steps.append(1) or step(*given))
    write(model, batch, num_beams=2, max_length=10)
    assert len(steps) == 9
    write(model, batch, num_beams=2, max_length=10, fast=False)
    assert len(steps) == 9


def test_keys_are_computed_once_a_song_and_never_moved(model, batch):
    cache = SongCache(FastDecoder(model), copies=4)
    write(model, batch, num_beams=4, max_length=20, **{CACHE: cache})
    assert {key.shape[0] for pair in (*cache.songs, *cache.past) for key in pair} == {SONGS}
    keys = [pair[0].clone() for pair in cache.past]
    cache.reorder_cache(torch.arange(4 * SONGS).view(SONGS, 4).flip(1).flatten())
    assert all(torch.equal(pair[0], before) for pair, before in zip(cache.past, keys, strict=True))


def test_scores_without_every_steps_table(model, batch):
    full = write(model, batch, num_beams=4, return_dict_in_generate=True, output_scores=True, fast=False)
    write(model, batch, num_beams=4)
    assert torch.allclose(model.beam_scores[:, 0], full.sequences_scores, atol=1e-5)


def test_linear_layers():
    torch.manual_seed(0)
    weight, bias, rows = torch.randn(40, 24), torch.randn(40), torch.randn(7, 24)
    rows[3] = 0
    exact = plain_linear(weight, bias)(rows)
    assert torch.equal(exact, nn.functional.linear(rows, weight, bias))
    assert torch.allclose(packed_linear(weight, bias)(rows), exact, atol=1e-5)


def test_where_the_stock_decoder_has_to_do(model, batch):
    for choice in ({"use_cache": False}, {"output_attentions": True}, {"cache_implementation": "static"}):
        assert song_cache(model, None, choice) is None
    assert song_cache(model, None, {"num_beams": 3, "num_return_sequences": 2}).copies == 3
    adapted = RecapForCaptioning(RecapConfig.tiny(300)).eval()
    assert is_stock_decoder(adapted)

    class Adapted(nn.Linear):
        """As LoRA does: more than a weight and a bias."""

    adapted.model.decoder.layers[0].fc1 = Adapted(64, 256)
    assert fast_decoder(adapted) is None and song_cache(adapted, None, {}) is None
    model.train()
    assert fast_decoder(model) is None
    model.eval()
    written = write(model, batch, num_beams=2, max_length=6, output_attentions=True, return_dict_in_generate=True)
    assert len(written.cross_attentions) == 5


def test_a_decoder_holds_the_weights_of_its_moment(model, batch):
    """A new one after a training step: `generate` without one always sees the weights as they are."""
    before = write(model, batch, num_beams=1, max_length=12)
    with torch.no_grad():
        kept = model.model.decoder.layers[0].fc1.weight.clone()
        model.model.decoder.layers[0].fc1.weight.mul_(-1)
        changed = write(model, batch, num_beams=1, max_length=12)
        assert torch.equal(changed, write(model, batch, num_beams=1, max_length=12, fast=False))
        model.model.decoder.layers[0].fc1.weight.copy_(kept)
    assert not torch.equal(before, changed)
