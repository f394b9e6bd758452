"""The joined model: its inputs, its losses, what learns from which loss, and saving."""

import json

import pytest
import torch
from transformers import AutoConfig, AutoModelForSeq2SeqLM, BartConfig, BartForConditionalGeneration
from transformers.modeling_outputs import BaseModelOutput

from recap_cli.model.captioner import RecapForCaptioning
from recap_cli.model.config import RecapConfig

FRAMES = (40, 17, 33)
IDS = ((0, 9, 8, 7, 11, 2), (0, 5, 6, 2), (0, 12, 13, 14, 2))
LABELS = ((0, 20, 21, 22, 2), (0, 23, 2), (0, 24, 25, 2))


def pad(rows, value: int) -> torch.Tensor:
    width = max(len(row) for row in rows)
    return torch.tensor([list(row) + [value] * (width - len(row)) for row in rows])


def lyrics(rows=(0, 1, 2)) -> dict[str, torch.Tensor]:
    ids = pad([IDS[row] for row in rows], 1)
    return {"input_ids": ids, "attention_mask": (ids != 1).long()}


def music(rows=(0, 1, 2)) -> dict[str, torch.Tensor]:
    """Songs of several lengths; padding holds nonsense, which must not matter."""
    frames = [FRAMES[row] for row in rows]
    mel = torch.full((len(rows), 128, max(frames)), 55.0)
    mask = torch.zeros(len(rows), max(frames), dtype=torch.long)
    for place, row in enumerate(rows):
        torch.manual_seed(row)
        mel[place, :, : FRAMES[row]] = torch.randn(128, FRAMES[row]) * 10 - 40
        mask[place, : FRAMES[row]] = 1
    return {"mel": mel, "mel_mask": mask}


def labels(rows=(0, 1, 2)) -> torch.Tensor:
    return pad([LABELS[row] for row in rows], -100)


def batch(rows=(0, 1, 2)) -> dict[str, torch.Tensor]:
    return {**lyrics(rows), **music(rows), "labels": labels(rows)}


def build(config: RecapConfig, **changes) -> RecapForCaptioning:
    for name, value in changes.items():
        setattr(config, name, value)
    torch.manual_seed(0)
    return RecapForCaptioning(config).eval()


def loud(model: RecapForCaptioning) -> RecapForCaptioning:
    """Enlarge the fusion, so that music that is lost or mixed up shows in the logits."""
    for block in model.model.encoder.fusion:
        block.scale = 5.0
    return model


def close(actual: torch.Tensor, expected: torch.Tensor, tolerance: float = 1e-5) -> None:
    torch.testing.assert_close(actual, expected, atol=tolerance, rtol=0)


# inputs ---------------------------------------------------------------------------------------------------------------


@torch.no_grad()
def test_cached_states_equal_mel(tiny_model):
    model = loud(tiny_model)
    states, mask = model.model.encoder.music_encoder(**music())
    cached = {"music_states": states, "music_mask": mask}
    heard, read = model(**batch()), model(**lyrics(), **cached, labels=labels())
    for name in ("logits", "loss", "caption_loss", "alignment_loss", "pooled_music", "pooled_lyrics"):
        assert torch.equal(getattr(heard, name), getattr(read, name)), name
    options = {"max_length": 12, "num_beams": 2}
    assert torch.equal(
        model.generate(**lyrics(), **music(), **options), model.generate(**lyrics(), **cached, **options)
    )


@torch.no_grad()
def test_shapes(tiny_model):
    output = tiny_model(**batch())
    assert output.logits.shape == (3, 5, tiny_model.config.vocab_size)
    assert output.pooled_music.shape == output.pooled_lyrics.shape == (3, 8)
    assert output.loss.shape == output.caption_loss.shape == output.alignment_loss.shape == ()


@torch.no_grad()
def test_the_music_is_heard(tiny_model):
    """Another song's music, or none, gives other logits."""
    model = loud(tiny_model)
    given = model(**batch()).logits
    swapped = model(**{**batch(), "mel": music()["mel"].flip(0), "mel_mask": music()["mel_mask"].flip(0)}).logits
    without = model(**lyrics(), labels=labels()).logits
    assert float((given - swapped).abs()[0, 0].max()) > 1e-3
    assert float((given - without).abs()[0, 0].max()) > 1e-3


@torch.no_grad()
def test_a_model_without_music(tiny_config):
    """The lyrics-only baseline has no music encoder, fusion or alignment, and passes over any music it is given."""
    model = build(tiny_config, use_music=False)
    names = {name for name, _ in model.named_parameters()}
    assert not [name for name in names if "music" in name or "fusion" in name or "alignment" in name]
    silent, given = model(**lyrics(), labels=labels()), model(**batch())
    assert torch.equal(silent.logits, given.logits)
    assert silent.alignment_loss is None
    assert silent.pooled_music is None
    assert torch.equal(silent.loss, silent.caption_loss)
    captions = model.generate(**lyrics(), max_length=8, num_beams=2)
    assert captions.shape[0] == 3
    assert torch.equal(captions, model.generate(**lyrics(), **music(), max_length=8, num_beams=2))


@torch.no_grad()
def test_music_can_be_left_out_of_a_model_that_has_it(tiny_model):
    output = tiny_model(**lyrics(), labels=labels())
    assert output.alignment_loss is None
    assert torch.equal(output.loss, output.caption_loss)
    assert tiny_model.generate(**lyrics(), max_length=6).shape[0] == 3


@torch.no_grad()
@pytest.mark.parametrize("rows", [(0,), (1,), (2,), (1, 2), (2, 0), (2, 1, 0)])
def test_a_song_does_not_depend_on_its_batch(tiny_model, rows):
    """Padding of lyrics, captions and music leaves logits and captions of every song as they are."""
    model = loud(tiny_model)
    whole, part = model(**batch()), model(**batch(rows))
    wide = model.generate(**lyrics(), **music(), max_length=14, num_beams=3, early_stopping=True)
    narrow = model.generate(**lyrics(rows), **music(rows), max_length=14, num_beams=3, early_stopping=True)
    for place, row in enumerate(rows):
        length = len(LABELS[row])
        close(part.logits[place, :length], whole.logits[row, :length], 1e-4)
        close(part.pooled_lyrics[place], whole.pooled_lyrics[row], 1e-4)
        close(part.pooled_music[place], whole.pooled_music[row], 1e-4)
        assert trimmed(narrow[place]) == trimmed(wide[row])


def trimmed(ids: torch.Tensor) -> list[int]:
    tokens = ids.tolist()
    while tokens[-1] == 1:
        tokens.pop()
    return tokens


@torch.no_grad()
def test_generate_reads_the_lyrics_mask_off_the_pads(tiny_model):
    model = loud(tiny_model)
    options = {**music(), "max_length": 10, "num_beams": 2}
    bare = model.generate(input_ids=lyrics()["input_ids"], **options)
    assert torch.equal(bare, model.generate(lyrics()["input_ids"], **options))
    assert torch.equal(bare, model.generate(**lyrics(), **options))


@torch.no_grad()
def test_decoder_input_can_be_given(tiny_model):
    """With the shifted labels the logits are the same, and no labels mean no loss."""
    shifted = torch.full_like(labels(), 1)
    shifted[:, 0] = 2
    shifted[:, 1:] = labels()[:, :-1].masked_fill(labels()[:, :-1] == -100, 1)
    output = tiny_model(**lyrics(), **music(), decoder_input_ids=shifted)
    assert output.loss is None
    close(output.logits, tiny_model(**batch()).logits)


# plain BART inside ----------------------------------------------------------------------------------------------------


@pytest.fixture
def bart(tiny_config, tmp_path):
    """A stock BART checkpoint of the tiny sizes, written and read by transformers."""
    names = set(BartConfig().to_dict()) & set(tiny_config.to_dict()) - {"model_type", "architectures"}
    torch.manual_seed(1)
    model = BartForConditionalGeneration(BartConfig(**{name: getattr(tiny_config, name) for name in sorted(names)}))
    model.final_logits_bias.normal_()
    model.save_pretrained(tmp_path / "bart")
    return model.eval()


def from_bart(tiny_config, tmp_path, **changes) -> tuple[RecapForCaptioning, dict]:
    for name, value in changes.items():
        setattr(tiny_config, name, value)
    model, info = RecapForCaptioning.from_pretrained(tmp_path / "bart", config=tiny_config, output_loading_info=True)
    return model.eval(), info


@torch.no_grad()
def test_a_bart_checkpoint_loads(tiny_config, tmp_path, bart):
    """Every tensor of BART is taken over; only music encoder, fusion and projection are new."""
    model, info = from_bart(tiny_config, tmp_path)
    assert not info["unexpected_keys"]
    assert {key.split(".")[2] if key.startswith("model.") else key.split(".")[0] for key in info["missing_keys"]} == {
        "music_encoder",
        "fusion",
        "alignment",
    }
    ours = model.state_dict()
    for key, value in bart.state_dict().items():
        assert torch.equal(ours[key], value), key
    assert all(torch.isfinite(value).all() for value in ours.values() if value.is_floating_point())


@torch.no_grad()
def test_unfused_layers_are_barts_own(tiny_config, tmp_path, bart):
    """Up to `align_layer` the lyrics states are stock BartEncoder's; behind the first fusion layer they are not."""
    model, _ = from_bart(tiny_config, tmp_path, align_layer=2, fusion_layers=[2])
    stock = bart.model.encoder(**lyrics(), output_hidden_states=True).hidden_states
    ours = model.model.encoder(**lyrics(), **music(), output_hidden_states=True)
    real = lyrics()["attention_mask"].bool()
    assert len(ours.hidden_states) == len(stock) == 4
    for layer in range(3):
        close(ours.hidden_states[layer][real], stock[layer][real])
    close(ours.unfused_state[real], stock[2][real])
    assert float((ours.hidden_states[3] - stock[3])[real].abs().max()) > 1e-2


@torch.no_grad()
@pytest.mark.parametrize("use_music", [True, False])
def test_without_music_the_model_is_bart(tiny_config, tmp_path, bart, use_music):
    model, info = from_bart(tiny_config, tmp_path, use_music=use_music)
    if not use_music:
        assert not info["missing_keys"]
    stock, ours = bart(**lyrics(), labels=labels()), model(**lyrics(), labels=labels())
    close(ours.logits, stock.logits)
    close(ours.loss, stock.loss)
    options = {"max_length": 10, "num_beams": 3}
    assert torch.equal(model.generate(**lyrics(), **options), bart.generate(**lyrics(), **options))


@torch.no_grad()
def test_generate_takes_the_encoders_output(tiny_model):
    encoded = tiny_model.model.encoder(**lyrics(), **music())
    options = {"max_length": 10, "num_beams": 2, "attention_mask": lyrics()["attention_mask"]}
    given = tiny_model.generate(encoder_outputs=BaseModelOutput(encoded.last_hidden_state), **options)
    assert torch.equal(given, tiny_model.generate(input_ids=lyrics()["input_ids"], **music(), **options))


# saving ---------------------------------------------------------------------------------------------------------------


@torch.no_grad()
@pytest.mark.parametrize("loader", [RecapForCaptioning, AutoModelForSeq2SeqLM])
def test_saved_then_loaded_equals_in_memory(tiny_config, tmp_path, loader):
    model = loud(build(tiny_config, fusion_sharing="per-layer", alpha=0.5, alignment_loss="infonce", fusion_scale=5.0))
    for number, parameter in enumerate(model.parameters()):
        torch.manual_seed(number)
        parameter.add_(0.02 * torch.randn(parameter.shape))
    model.model.encoder.music_encoder.input_norm.running_mean.fill_(-30.0)
    model.save_pretrained(tmp_path)
    again = loader.from_pretrained(tmp_path)
    assert isinstance(again, RecapForCaptioning)
    assert not again.training
    assert again.config.alignment_loss == "infonce"
    assert again.config.alpha == 0.5
    ours = model.state_dict()
    assert set(again.state_dict()) == set(ours)
    for key, value in again.state_dict().items():
        assert torch.equal(value, ours[key]), key
    before, after = model(**batch()), again(**batch())
    for name in ("logits", "loss", "caption_loss", "alignment_loss", "pooled_music", "pooled_lyrics"):
        assert torch.equal(getattr(before, name), getattr(after, name)), name


def test_config_folder_is_a_recap_model(tiny_model, tmp_path):
    tiny_model.save_pretrained(tmp_path)
    written = json.loads((tmp_path / "config.json").read_text())
    assert written["model_type"] == "recap"
    assert written["architectures"] == ["RecapForCaptioning"]
    assert isinstance(AutoConfig.from_pretrained(tmp_path), RecapConfig)


def test_embeddings_stay_tied_after_loading(tiny_model, tmp_path):
    tiny_model.save_pretrained(tmp_path)
    again = RecapForCaptioning.from_pretrained(tmp_path)
    table = again.model.shared.weight
    assert again.model.encoder.embed_tokens.weight is table
    assert again.model.decoder.embed_tokens.weight is table
    assert again.lm_head.weight is table
    with torch.no_grad():
        table[9] += 1.0
    assert float((again.lm_head.weight[9] - tiny_model.lm_head.weight[9]).detach().min()) == pytest.approx(1.0)


def test_frozen_music_encoder_stays_frozen_after_loading(tiny_model, tmp_path):
    tiny_model.save_pretrained(tmp_path)
    again = RecapForCaptioning.from_pretrained(tmp_path).train()
    assert not any(parameter.requires_grad for parameter in again.model.encoder.music_encoder.parameters())
    assert not again.model.encoder.music_encoder.training


# losses ---------------------------------------------------------------------------------------------------------------


@torch.no_grad()
def test_caption_loss_is_the_mean_over_label_tokens(tiny_model):
    output = tiny_model(**batch())
    logs = output.logits.log_softmax(dim=-1)
    picked = [-float(logs[row, place, token]) for row in range(3) for place, token in enumerate(LABELS[row])]
    assert len(picked) == 12
    assert float(output.caption_loss) == pytest.approx(sum(picked) / 12, rel=1e-5)


@torch.no_grad()
def test_pads_in_loss_counts_pad_tokens(tiny_config):
    output = build(tiny_config, pads_in_loss=True)(**batch())
    logs = output.logits.log_softmax(dim=-1)
    padded = pad(LABELS, 1).tolist()
    picked = [-float(logs[row, place, token]) for row in range(3) for place, token in enumerate(padded[row])]
    assert len(picked) == 15
    assert float(output.caption_loss) == pytest.approx(sum(picked) / 15, rel=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("pads", [False, True])
def test_projecting_only_real_labels_gives_the_same_loss(tiny_config, pads):
    model = build(tiny_config, pads_in_loss=pads)
    model.final_logits_bias.normal_()
    whole, part = model(**batch()), model(**batch(), full_logits=False)
    assert part.logits is None
    for name in ("loss", "caption_loss", "alignment_loss"):
        close(getattr(part, name), getattr(whole, name))
    half = model(**batch(), num_items_in_batch=2 * (15 if pads else 12))
    close(half.caption_loss, whole.caption_loss / 2)


@torch.no_grad()
@pytest.mark.parametrize("alpha", [0.0, 0.02, 0.7])
def test_loss_is_caption_loss_plus_alpha_times_alignment_loss(tiny_config, alpha):
    output = build(tiny_config, alpha=alpha)(**batch())
    assert float(output.alignment_loss) > 0.1
    expected = float(output.caption_loss) + alpha * float(output.alignment_loss)
    assert float(output.loss) == pytest.approx(expected, rel=1e-6)
    if alpha == 0:
        assert torch.equal(output.loss, output.caption_loss)


@torch.no_grad()
def test_alignment_loss_none(tiny_config):
    output = build(tiny_config, alignment_loss="none", alpha=1.0)(**batch())
    assert float(output.alignment_loss) == 0.0
    assert torch.equal(output.loss, output.caption_loss)


@torch.no_grad()
def test_num_items_in_batch_scales_the_caption_loss_only(tiny_config):
    """The Trainer counts the label tokens of a whole step; half batches then add up to the whole one."""
    model = build(tiny_config, alpha=0.5)
    alone = model(**batch())
    for count in (24, torch.tensor(24)):
        scaled = model(**batch(), num_items_in_batch=count)
        assert float(scaled.caption_loss) == pytest.approx(float(alone.caption_loss) / 2, rel=1e-6)
        assert torch.equal(scaled.alignment_loss, alone.alignment_loss)
    parts = [float(model(**batch(rows), num_items_in_batch=12).caption_loss) for rows in ((0, 2), (1,))]
    assert sum(parts) == pytest.approx(float(alone.caption_loss), rel=1e-5)


@torch.no_grad()
def test_rows_of_one_song_count_once_in_the_alignment(tiny_model):
    twice = {**batch((0, 0, 1)), "song_ids": torch.tensor([4, 4, 2])}
    once = {**batch((0, 1)), "song_ids": torch.tensor([4, 2])}
    close(tiny_model(**twice).alignment_loss, tiny_model(**once).alignment_loss)
    without = tiny_model(**{**twice, "song_ids": None})
    assert abs(float(without.alignment_loss) - float(tiny_model(**once).alignment_loss)) > 1e-3


# what learns ----------------------------------------------------------------------------------------------------------


def test_frozen_music_encoder(tiny_config):
    """Frozen means: eval mode under train(), unchanged BatchNorm, no gradients; the rest of the model trains."""
    model = build(tiny_config).train()
    encoder = model.model.encoder.music_encoder
    assert model.training
    assert model.model.encoder.layers[0].training
    assert not any(module.training for module in encoder.modules())
    before = encoder.input_norm.running_mean.clone()
    model(**batch()).loss.backward()
    assert torch.equal(encoder.input_norm.running_mean, before)
    assert all(parameter.grad is None for parameter in encoder.parameters())
    assert float(model.model.encoder.fusion[0].music_key.weight.grad.abs().sum()) > 0
    assert float(model.model.encoder.fusion[0].music_value.weight.grad.abs().sum()) > 0


def test_trained_music_encoder(tiny_config):
    model = build(tiny_config, train_music_encoder=True).train()
    encoder = model.model.encoder.music_encoder
    assert all(module.training for module in encoder.modules())
    before = encoder.input_norm.running_mean.clone()
    model(**batch()).loss.backward()
    assert not torch.equal(encoder.input_norm.running_mean, before)
    assert float(encoder.blocks[0].conv_1.weight.grad.abs().sum()) > 0
    assert float(encoder.layers[0].linear1.weight.grad.abs().sum()) > 0
    assert not any(module.training for module in model.eval().model.encoder.music_encoder.modules())


def alignment_gradients(config: RecapConfig, **changes) -> set[str]:
    """Names of the parameters that the alignment loss alone moves."""
    model = build(config, alignment_loss="infonce", **changes)
    model(**batch()).alignment_loss.backward()
    return {
        name
        for name, parameter in model.named_parameters()
        if parameter.grad is not None and float(parameter.grad.abs().sum()) > 0
    }


def test_the_alignment_loss_teaches_what_lies_below_its_layer(tiny_config):
    """Embeddings, the layers below `align_layer` and the projection; nothing above, no fusion, no decoder."""
    moved = alignment_gradients(tiny_config, align_layer=1)
    layers = {name.split(".")[3] for name in moved if name.startswith("model.encoder.layers.")}
    assert layers == {"0"}
    assert {name for name in moved if not name.startswith("model.encoder.layers.")} == {
        "model.shared.weight",
        "model.encoder.embed_positions.weight",
        "model.encoder.layernorm_embedding.weight",
        "model.encoder.layernorm_embedding.bias",
        "alignment.projection.weight",
        "alignment.projection.bias",
    }


def test_the_alignment_layer_can_be_the_first_state(tiny_config):
    assert not [name for name in alignment_gradients(tiny_config, align_layer=0) if "encoder.layers." in name]


def test_fused_alignment_leaks_into_the_fusion(tiny_config):
    """What `allow_fused_alignment` permits: the aligned state has passed a fusion layer."""
    moved = alignment_gradients(tiny_config, align_layer=3, allow_fused_alignment=True)
    assert "model.encoder.fusion.0.music_value.weight" in moved
    assert {name.split(".")[3] for name in moved if name.startswith("model.encoder.layers.")} == {"0", "1", "2"}


def test_alpha_zero_teaches_no_projection(tiny_config):
    model = build(tiny_config, alpha=0.0)
    model(**batch()).loss.backward()
    assert model.alignment.projection.weight.grad is None
    assert float(model.model.encoder.layers[0].fc1.weight.grad.abs().sum()) > 0


# fusion ---------------------------------------------------------------------------------------------------------------


def test_fusion_sharing(tiny_config):
    assert len(build(tiny_config).model.encoder.fusion) == 1
    model = loud(build(tiny_config, fusion_sharing="per-layer"))
    assert len(model.model.encoder.fusion) == 2
    with torch.no_grad():
        given = model(**batch()).logits
        model.model.encoder.fusion[1].music_value.weight.zero_()
        assert float((given - model(**batch()).logits).abs().max()) > 1e-3


@torch.no_grad()
def test_fusion_maps_are_attention_over_real_steps(tiny_config):
    model = build(tiny_config, fusion_heads=2)
    encoded = model.model.encoder(**lyrics(), **music(), output_music_attentions=True)
    assert len(encoded.music_attentions) == 2
    steps = [1 + -(-frames // 8) for frames in FRAMES]
    for weights in encoded.music_attentions:
        assert weights.shape == (3, 6, max(steps))
        close(weights.sum(dim=-1), torch.ones(3, 6))
        assert float(weights[1, :, steps[1] :].abs().max()) == 0.0
    assert model.model.encoder(**lyrics(), **music()).music_attentions is None
