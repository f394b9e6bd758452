"""Agreement with the official code's numbers, made on random weights (their origin: parity/README.md).

`RECAP_PARITY_DIR` names another folder of fixtures; sizes, seeds and tolerances come from its files.
"""

import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers.modeling_outputs import BaseModelOutput

from recap_cli.audio import mel as audio
from recap_cli.model.alignment import Alignment
from recap_cli.model.captioner import RecapForCaptioning
from recap_cli.model.config import MusicEncoderSizes, RecapConfig
from recap_cli.model.music_encoder import MusicEncoder, cls_vector
from recap_cli.model.published import captioner_from, music_encoder_from, rename_fusion

FOLDER = Path(os.environ.get("RECAP_PARITY_DIR", Path(__file__).parents[1] / "fixtures" / "parity"))
META = json.loads((FOLDER / "meta.json").read_text())
PARAMS = META["params"]
SETTINGS = audio.AudioSettings()


def tolerance(name: str | None, expected: torch.Tensor, relative: float = 1e-5) -> float:
    """The README's rule: 10 x the float32 figure of the official code, or 2e-6 of the largest value."""
    largest = float(expected.abs().max())
    if name is None:
        return relative * largest
    return max(10 * META["max_abs_f32_minus_f64"][name], 2e-6 * largest)


def agree(actual, expected, name: str | None = None, relative: float = 1e-5) -> None:
    actual, expected = torch.as_tensor(actual).double(), torch.as_tensor(expected).double()
    assert actual.shape == expected.shape
    difference = float((actual - expected).abs().max())
    assert difference <= tolerance(name, expected, relative), f"{name}: {difference}"


def part(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {
        key.removeprefix(prefix): value.float() if value.is_floating_point() else value
        for key, value in tensors.items()
        if key.startswith(prefix)
    }


def waveform(seed: int, seconds: float = 15.0) -> np.ndarray:
    """The fixtures' recipe for a test sound."""
    n = int(16000 * seconds)
    t = np.arange(n) / 16000
    f0 = 110 * (1 + seed % 5)
    sound = sum((0.3 / k) * np.sin(2 * np.pi * f0 * k * t + 0.5 * k) for k in range(1, 7))
    sound = sound + 0.1 * np.sin(2 * np.pi * (200 * t + 0.5 * ((7000 - 200) / 15) * t**2))
    sound = sound * (0.6 + 0.4 * np.sin(2 * np.pi * 2 * t))
    sound = sound + 0.01 * np.random.default_rng(seed).standard_normal(n)
    sound[(t >= 1.0) & (t < 1.1)] = 0
    return sound.astype(np.float32)


# mel ------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def mel() -> dict[str, torch.Tensor]:
    return load_file(FOLDER / "mel.safetensors")


def test_window_and_filterbank(mel):
    agree(audio.hann_window(SETTINGS), mel["window"], relative=1e-6)
    agree(audio.mel_filterbank(SETTINGS), mel["mel_fb"], relative=2e-6)
    silent = np.flatnonzero(audio.mel_filterbank(SETTINGS).sum(axis=0) == 0)
    assert silent.tolist() == META["mel"]["zero_filters"]


def test_mel(mel):
    for row, sound in enumerate(mel["waveform"].numpy()):
        agree(audio.mel_power(sound, SETTINGS), mel["mel_power"][row], "mel.power")
        agree(audio.log_mel(sound, SETTINGS), mel["mel_db"][row], "mel.db")


def test_mel_of_15_seconds(mel):
    for row, seed in enumerate(PARAMS["wav_seeds"]):
        sound = waveform(seed)
        if hashlib.sha256(sound.tobytes()).hexdigest() != META["mel"]["waveform_15s_sha256"][row]:
            agree(sound[:8], META["mel"]["waveform_15s_first8"][row], relative=1e-5)
        spectrogram = audio.log_mel(sound, SETTINGS)
        assert spectrogram.shape == (mel["mel_db"].shape[1], META["mel"]["frames_15s"])
        agree(spectrogram[:, mel["frame_index_15s"].numpy()], mel["mel_db_15s_frames"][row], "mel.db_15s")


# music encoder --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cnnsa() -> dict[str, torch.Tensor]:
    return load_file(FOLDER / "cnnsa.safetensors")


@pytest.fixture(scope="module")
def music_encoder(cnnsa) -> MusicEncoder:
    encoder, report = music_encoder_from(part(cnnsa, "state."), "cnnsa.safetensors")
    assert {key.split(".")[0] for key in report.unused} == {"spec", "pooler", "dense"}
    return encoder


def test_cls_vector(cnnsa, music_encoder):
    agree(cls_vector(len(cnnsa["vec_cls_256"])), cnnsa["vec_cls_256"], relative=1e-7)
    agree(music_encoder.cls, cnnsa["input.vec_cls"], relative=1e-7)


def test_music_encoder(cnnsa, music_encoder):
    sounds = cnnsa["input.waveform"].numpy()
    mels = torch.from_numpy(np.stack([audio.log_mel(sound, SETTINGS) for sound in sounds]))
    with torch.no_grad():
        corner = cnnsa["expect.layer1_corner"]
        first = music_encoder.blocks[0](music_encoder.input_norm(mels.unsqueeze(1)), None)
        agree(first[tuple(map(slice, corner.shape))], corner, "cnnsa.layer1")
        steps, _ = music_encoder.convolve(mels)
        agree(steps.transpose(1, 2).unsqueeze(2), cnnsa["expect.layer7"], "cnnsa.layer7")
        states, mask = music_encoder(mels)
        cls = music_encoder.cls.expand(len(steps), 1, -1)
        agree(music_encoder.layers[0](torch.cat([cls, steps], dim=1)), cnnsa["expect.encoder0"], "cnnsa.encoder0")
        agree(states, cnnsa["expect.output"], "cnnsa.output")
        masked, _ = music_encoder(mels, torch.ones(mels.shape[0], mels.shape[2], dtype=torch.long))
        agree(masked, cnnsa["expect.output"], "cnnsa.output")
    assert mask.all() and states.shape == cnnsa["expect.output"].shape


def test_a_padded_song_gives_the_states_of_the_song_alone(cnnsa, music_encoder):
    """Any length, any padding: each row equals its own unpadded run, and the mask has ceil(frames / 8) steps + CLS."""
    whole = audio.log_mel(cnnsa["input.waveform"].numpy()[0], SETTINGS)
    lengths = [whole.shape[1], *(frames for frames in (61, 17, 8, 1) if frames < whole.shape[1])]
    mels = torch.full((len(lengths), *whole.shape), -37.0)
    mel_mask = torch.zeros(len(lengths), whole.shape[1], dtype=torch.long)
    for row, frames in enumerate(lengths):
        mels[row, :, :frames] = torch.from_numpy(whole[:, :frames])
        mel_mask[row, :frames] = 1
    with torch.no_grad():
        states, mask = music_encoder(mels, mel_mask)
        assert mask.sum(dim=1).tolist() == [1 + -(-frames // 8) for frames in lengths]
        for row, frames in enumerate(lengths):
            alone, _ = music_encoder(mels[row : row + 1, :, :frames])
            agree(states[row : row + 1, : alone.shape[1]], alone, relative=5e-5)


def test_more_than_64_songs_at_once():
    """The public code fails above 64; a batch of any size gives each song its own states."""
    encoder = MusicEncoder(MusicEncoderSizes((2, 2, 2, 2, 2, 2, 8), 1, 2, 8)).eval()
    mels = torch.randn(65, 128, 24)
    with torch.no_grad():
        states, _ = encoder(mels)
        agree(states[64:], encoder(mels[64:])[0], relative=5e-5)


def test_the_full_size_gives_119_states_of_256_for_15_seconds():
    with torch.no_grad():
        states, _ = MusicEncoder(MusicEncoderSizes()).eval()(torch.zeros(1, 128, 938))
    assert list(states.shape) == META["cnnsa"]["full_out_shape_15s"] == [1, 119, 256]


# fusion ---------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fusion() -> dict[str, torch.Tensor]:
    return load_file(FOLDER / "fusion.safetensors")


def reduced_config() -> RecapConfig:
    given = json.loads((FOLDER / "fusion_config.json").read_text())
    bart = {key: value for key, value in given.items() if key in RecapConfig.__dataclass_fields__}
    width = given["music_feature_dim"]
    return RecapConfig(
        **bart,
        music_channels=[2, 2, 2, 2, 2, 2, width],
        music_layers=1,
        music_heads=1,
        music_ffn=8,
        fusion_heads=given["n_attn_heads"],
        align_layer=min(given["fusion_layers"]),
        pooling="all",
        pads_in_loss=True,
    )


def build(fusion, **changes) -> RecapForCaptioning:
    config = reduced_config()
    for name, value in changes.items():
        setattr(config, name, value)
    model, report = captioner_from(part(fusion, "state."), config, MusicEncoder(config.music_sizes), "fusion")
    assert [key for key in report.unused if "_linear_4" not in key] == []
    assert sorted(report.fresh) == ["alignment.projection.bias", "alignment.projection.weight"]
    model.alignment.projection.weight.data.copy_(fusion["align.fc.weight"].float())
    model.alignment.projection.bias.data.copy_(fusion["align.fc.bias"].float())
    return model


def inputs(fusion) -> dict[str, torch.Tensor]:
    labels, pad = fusion["input.labels"], reduced_config().pad_token_id
    return {
        "input_ids": fusion["input.input_ids"],
        "attention_mask": fusion["input.attention_mask"],
        "music_states": fusion["input.music_features"],
        "labels": labels.masked_fill(labels == pad, -100),
    }


def test_fused_states_and_logits(fusion):
    model = build(fusion)
    with torch.no_grad():
        output = model(**inputs(fusion), output_hidden_states=True)
        encoded = model.model.encoder(
            fusion["input.input_ids"],
            fusion["input.attention_mask"],
            music_states=fusion["input.music_features"],
            output_hidden_states=True,
        )
    for index, state in enumerate(encoded.hidden_states):
        agree(state, fusion[f"expect.encoder_hidden_{index}"], f"fusion.encoder_hidden_{index}")
    agree(encoded.last_hidden_state, fusion["expect.encoder_last_hidden_state"], "fusion.encoder_last")
    layer = model.config.align_layer
    agree(encoded.unfused_state, fusion[f"expect.encoder_hidden_{layer}"], f"fusion.encoder_hidden_{layer}")
    agree(output.logits, fusion["expect.logits"], "fusion.logits")


def test_losses_and_pooled_vectors(fusion):
    with torch.no_grad():
        output = build(fusion)(**inputs(fusion))
        masked = build(fusion, pads_in_loss=False)(**inputs(fusion))
        infonce = build(fusion, alignment_loss="infonce", alignment_temperature=0.3)(**inputs(fusion))
        pooled_alone = build(fusion, pooling="masked")(**inputs(fusion))
    agree(output.caption_loss[None], fusion["expect.loss"], "fusion.loss")
    agree(masked.caption_loss[None], fusion["expect.loss_pads_ignored"])
    agree(output.alignment_loss[None], fusion["expect.align_positive_pair"])
    agree(infonce.alignment_loss[None], fusion["expect.align_infonce_0.3"])
    agree(output.loss[None], fusion["expect.total_positive_pair_0.02"])
    alignment = build(fusion).alignment
    for ours, lyrics in ((output, "pooled_lyrics_layer4"), (pooled_alone, "pooled_lyrics_layer4_nopad")):
        # one side, the wider, is projected after pooling
        with torch.no_grad():
            expected = alignment.project(fusion["expect.pooled_music"], fusion[f"expect.{lyrics}"])
        agree(ours.pooled_music, expected[0])
        agree(ours.pooled_lyrics, expected[1])


def test_gradients(fusion):
    model = build(fusion)
    model(**inputs(fusion)).loss.backward()
    names = {rename_fusion(key.removeprefix("bart.")): key for key in part(fusion, "state.")}
    for key, expected in part(fusion, "expect.grad.").items():
        ours = dict(model.named_parameters())[rename_fusion(key.removeprefix("bart."))]
        agree(ours.grad, expected, relative=1e-4)
    norms = json.loads((FOLDER / "fusion_grad_norms.json").read_text())["grad_l2_norm"]
    parameters = dict(model.named_parameters())
    largest = max(norm for norm in norms.values() if norm)
    compared = 0
    for name, key in names.items():
        if norms.get(key) is None or name not in parameters:
            continue
        # a key bias has no gradient but rounding noise
        assert abs(float(parameters[name].grad.norm()) - norms[key]) <= 1e-4 * norms[key] + 1e-6 * largest, key
        compared += 1
    assert compared == sum(norm is not None for key, norm in norms.items() if key.startswith("bart."))


def test_frozen_music_encoder_gets_no_gradient(fusion):
    model = build(fusion)
    given = inputs(fusion)
    del given["music_states"]
    model(**given, mel=torch.randn(len(given["labels"]), SETTINGS.mels, 40)).loss.backward()
    assert all(parameter.grad is None for parameter in model.model.encoder.music_encoder.parameters())


# generation -----------------------------------------------------------------------------------------------------------

DECODINGS = {
    "greedy": {"num_beams": 1},
    "beam4": {"num_beams": 4},
    "beam4_ngram3": {"num_beams": 4, "no_repeat_ngram_size": 3},
    "beam4_nomask": {"num_beams": 4},
    "beam4_lp2": {"num_beams": 4, "length_penalty": 2.0},
    "beam2_noearly": {"num_beams": 2, "early_stopping": False},
}


def decode(model, fusion, name: str):
    """Generate as the fixtures did; give sequences and the summed log-probabilities."""
    choice = {"early_stopping": True, "length_penalty": 1.0, **DECODINGS[name]}
    if choice["num_beams"] == 1:
        choice = {"num_beams": 1}
    given = inputs(fusion)
    output = model.generate(
        input_ids=given["input_ids"],
        attention_mask=None if name.endswith("nomask") else given["attention_mask"],
        music_states=given["music_states"],
        max_length=json.loads((FOLDER / "fusion_config.json").read_text())["gen_max_length"],
        forced_bos_token_id=model.config.bos_token_id,
        forced_eos_token_id=model.config.eos_token_id,
        do_sample=False,
        return_dict_in_generate=True,
        output_scores=True,
        **choice,
    )
    return output, choice


def check_decoding(model, fusion, name: str, expected: torch.Tensor, scores: torch.Tensor | None) -> None:
    output, choice = decode(model, fusion, name)
    pad, end = model.config.pad_token_id, model.config.eos_token_id
    width = max(output.sequences.shape[1], expected.shape[1])

    def widen(ids: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.pad(ids, (0, width - ids.shape[1]), value=pad)

    assert torch.equal(widen(output.sequences), widen(expected)), name
    if scores is None:
        return
    # transformers 5 divides by the tokens after the prompt, EOS included; 4.24 counts start and <s> but not EOS
    tokens = (output.sequences != pad).sum(dim=1)
    ends = torch.tensor([int(row[count - 1] == end) for row, count in zip(output.sequences, tokens, strict=True)])
    total = output.sequences_scores * (tokens - 1.0) ** choice["length_penalty"]
    agree(total / (tokens - ends) ** choice["length_penalty"], scores, relative=1e-4)


@pytest.mark.parametrize("name", ["greedy", "beam4", "beam4_ngram3", "beam4_nomask"])
def test_generation(fusion, name):
    scores = fusion.get(f"expect.gen_{name}_scores")
    check_decoding(build(fusion), fusion, name, fusion[f"expect.gen_{name}"], scores)


@pytest.mark.parametrize("name", ["greedy", "beam4", "beam4_ngram3", "beam4_lp2", "beam2_noearly"])
def test_generation_of_captions_that_end(fusion, name):
    generation = load_file(FOLDER / "generation.safetensors")
    for index, delta in enumerate(generation["eos_bias_delta"]):
        model = build(fusion).double()
        model.final_logits_bias[0, model.config.eos_token_id] += float(delta)
        given = {key: value.double() if value.is_floating_point() else value for key, value in fusion.items()}
        check_decoding(
            model, given, name, generation[f"delta{index}.{name}"], generation.get(f"delta{index}.{name}.scores")
        )


def test_encoder_outputs_are_not_changed_by_beams(fusion):
    """`generate` expands its inputs in place; the same call twice gives the same captions."""
    model = build(fusion)
    given = inputs(fusion)
    encoded = model.model.encoder(given["input_ids"], given["attention_mask"], music_states=given["music_states"])
    first = decode(model, fusion, "beam4")[0].sequences
    again = model.generate(
        encoder_outputs=BaseModelOutput(encoded.last_hidden_state),
        attention_mask=given["attention_mask"],
        max_length=first.shape[1],
        num_beams=4,
        early_stopping=True,
        forced_bos_token_id=model.config.bos_token_id,
        forced_eos_token_id=model.config.eos_token_id,
    )
    assert torch.equal(first, again)


# alignment losses -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def losses() -> dict[str, torch.Tensor]:
    return load_file(FOLDER / "losses.safetensors")


def align(losses, loss: str, rows: str):
    """Run our alignment on the fixtures' rows: music `embs1`, lyrics `embs2`, or exchanged."""
    music, lyrics = losses["embs1"].clone(), losses["embs2"].clone()
    ids = losses["music_ids"] if rows in ("with_ids", "swapped_dims") else None
    if rows == "swapped_dims":
        music, lyrics = lyrics, music
    if rows == "single_song":
        music, lyrics = music[:3], lyrics[:3]
        ids = torch.zeros(3, dtype=torch.long)
    config = RecapConfig.tiny(
        10,
        d_model=lyrics.shape[1],
        music_channels=[2, 2, 2, 2, 2, 2, music.shape[1]],
        alignment_loss=loss.split("_")[0],
        alignment_temperature=float(loss.partition("_")[2]) if loss.startswith("infonce") else 0.3,
    )
    alignment = Alignment(config)
    alignment.projection.weight.data.copy_(losses["fc.weight"])
    alignment.projection.bias.data.copy_(losses["fc.bias"])
    lyrics.requires_grad_()
    value, _, _ = alignment(music[:, None], None, lyrics[:, None], None, ids)
    return value, lyrics, alignment


@pytest.mark.parametrize("loss", ["positive_pair", "infonce_0.3"])
@pytest.mark.parametrize("rows", ["with_ids", "all_rows", "swapped_dims", "single_song"])
def test_alignment_loss(losses, loss, rows):
    value, lyrics, alignment = align(losses, loss, rows)
    expected = losses[f"expect.{loss}.{rows}"]
    assert abs(float(value) - float(expected)) <= max(1e-5 * abs(float(expected)), 1e-6)
    if f"expect.{loss}.{rows}.grad_embs2" in losses:
        value.backward()
        agree(lyrics.grad, losses[f"expect.{loss}.{rows}.grad_embs2"], relative=1e-4)
        agree(alignment.projection.weight.grad, losses[f"expect.{loss}.{rows}.grad_fc.weight"], relative=1e-4)
