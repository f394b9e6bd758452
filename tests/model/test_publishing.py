"""From a published file to a model folder that others load: outputs stay the fixtures' at every step."""

import json
import shutil
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from huggingface_hub import HfApi
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForSeq2SeqLM
from transformers.utils import hub as transformers_hub

from recap_cli.audio.mel import log_mel
from recap_cli.audio.settings import AudioSettings
from recap_cli.captioning.load_model import load_folder
from recap_cli.model.captioner import RecapForCaptioning
from recap_cli.model.config import MusicEncoderSizes, RecapConfig
from recap_cli.model.music_encoder import MusicEncoder
from recap_cli.model.published import load_captioner, load_music_encoder

PARITY = Path(__file__).parents[1] / "fixtures" / "parity"
SIZES = json.loads((PARITY / "fusion_config.json").read_text())
FUSION = load_file(PARITY / "fusion.safetensors")
TOLERANCE = 4.6e-5  # ten times what the official code's own float32 run differs by


def state(fixture: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {key.removeprefix("state."): value for key, value in fixture.items() if key.startswith("state.")}


def as_part(encoder: MusicEncoder) -> dict[str, torch.Tensor]:
    """A music encoder as part of one file, under our own names, which load as the original ones do."""
    return {f"music_encoder.{key}": value for key, value in encoder.state_dict().items()}


@pytest.fixture(scope="module")
def music_encoder() -> MusicEncoder:
    torch.manual_seed(0)
    return MusicEncoder(MusicEncoderSizes((2, 2, 2, 2, 2, 2, SIZES["music_feature_dim"]), 1, 8, 8)).eval()


@pytest.fixture(params=["alcap", "bart-fusion"])
def model(request, tmp_path, music_encoder) -> RecapForCaptioning:
    """The fixtures' model, read from a file as its authors save it."""
    weights = state(FUSION)
    file = tmp_path / "model_3.pt"
    if request.param == "alcap":
        torch.save({"model_state_dict": weights, "optim_state_state": {}}, file)
    else:
        torch.save(as_part(music_encoder) | weights, file)
    names = {key: value for key, value in SIZES.items() if key in RecapConfig.__dataclass_fields__}
    config = RecapConfig(**names, fusion_heads=SIZES["n_attn_heads"], align_layer=min(SIZES["fusion_layers"]))
    return load_captioner(file, config, music_encoder if request.param == "alcap" else None)[0]


def logits(model: RecapForCaptioning) -> torch.Tensor:
    labels = FUSION["input.labels"]
    with torch.no_grad():
        return model(
            input_ids=FUSION["input.input_ids"],
            attention_mask=FUSION["input.attention_mask"],
            music_states=FUSION["input.music_features"],
            labels=labels.masked_fill(labels == 1, -100),
        ).logits


def captions(model: RecapForCaptioning, mel: torch.Tensor) -> torch.Tensor:
    """Through the music encoder as well."""
    ids, mask = FUSION["input.input_ids"], FUSION["input.attention_mask"]
    return model.generate(input_ids=ids, attention_mask=mask, mel=mel, num_beams=2, max_new_tokens=8)


def test_a_published_music_encoder_gives_the_official_outputs(tmp_path):
    """From a file like `attention/best_model.pth`."""
    fixture = load_file(PARITY / "cnnsa.safetensors")
    torch.save(state(fixture), tmp_path / "best_model.pth")
    encoder, _ = load_music_encoder(tmp_path / "best_model.pth")
    mels = [torch.from_numpy(log_mel(sound, AudioSettings())) for sound in fixture["input.waveform"].numpy()]
    with torch.no_grad():
        states, _ = encoder(torch.stack(mels))
    torch.testing.assert_close(states, fixture["expect.output"], atol=1.5e-5, rtol=0)


def test_a_published_captioner_goes_round(model, tmp_path):
    """Loaded it gives the official logits; saved and loaded by the Auto class it is the same model, bit for bit."""
    ours = logits(model)
    torch.testing.assert_close(ours, FUSION["expect.logits"], atol=TOLERANCE, rtol=0)
    model.save_pretrained(tmp_path / "saved")
    again = AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "saved")
    assert isinstance(again, RecapForCaptioning)
    assert not again.training
    assert torch.equal(logits(again), ours)
    assert {key: value.shape for key, value in again.state_dict().items()} == {
        key: value.shape for key, value in model.state_dict().items()
    }
    mel = 20 * torch.randn(3, 128, 60) - 40
    assert torch.equal(captions(again, mel), captions(model, mel))


@pytest.fixture
def hub(tmp_path, monkeypatch) -> Path:
    """What a push would upload lands in a folder; nothing touches the network."""
    folder = tmp_path / "uploaded"

    def commit(self: HfApi, repo_id: str, operations: list, **rest: object) -> str:
        assert repo_id == "owner/song-captions"
        folder.mkdir(exist_ok=True)
        for operation in operations:
            shutil.copy(operation.path_or_fileobj, folder / operation.path_in_repo)
        return "done"

    def create(self: HfApi, repo_id: str, **rest: object) -> SimpleNamespace:
        return SimpleNamespace(repo_id=repo_id)

    for name, stand_in in (("create_repo", create), ("create_commit", commit)):
        monkeypatch.setattr(HfApi, name, stand_in)
        # What transformers 5.4 imported from there is a method already bound.
        monkeypatch.setattr(transformers_hub, name, partial(stand_in, HfApi()), raising=False)
    return folder


def test_the_local_half_of_push_to_hub(model, hub):
    """The files that would be uploaded are a model, as safetensors; no pickle is among them."""
    model.push_to_hub("owner/song-captions")
    names = {path.name for path in hub.iterdir()}
    assert {"config.json", "generation_config.json", "model.safetensors"} <= names
    assert not [name for name in names if Path(name).suffix in (".bin", ".pt", ".pth", ".pkl")]
    assert AutoConfig.from_pretrained(hub).model_type == "recap"
    assert torch.equal(logits(AutoModelForSeq2SeqLM.from_pretrained(hub)), logits(model))


def test_a_model_and_its_processor_are_pushed_as_any_of_transformers(tiny_model, tiny_processor, hub):
    """Two calls, and what was uploaded is a whole model folder."""
    tiny_model.push_to_hub("owner/song-captions")
    tiny_processor.push_to_hub("owner/song-captions")
    assert {"recap_processor.json", "tokenizer.json", "README.md"} <= {path.name for path in hub.iterdir()}
    model, processor = load_folder(hub)
    assert (processor.audio, processor.max_lyrics_tokens) == (tiny_processor.audio, 64)
    assert processor(["the rain"])["input_ids"].equal(tiny_processor(["the rain"])["input_ids"])
    assert all(torch.equal(value, model.state_dict()[key]) for key, value in tiny_model.state_dict().items())
