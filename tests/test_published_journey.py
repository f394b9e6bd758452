"""From published weights to captions and a training run, through the real command, on stand-ins made here."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import BartConfig, BartForConditionalGeneration

from recap_cli.cli.app import main
from recap_cli.model.captioner import RecapForCaptioning
from recap_cli.model.config import RecapConfig
from recap_cli.model.published import FUSION_NAMES

EXAMPLES = Path(__file__).parents[1] / "examples" / "songs"
SIZES = {
    "d_model": 32,
    "encoder_layers": 6,
    "decoder_layers": 2,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 32,
    "decoder_ffn_dim": 32,
    "max_position_embeddings": 256,
    "init_std": 0.3,
}
MUSIC = {"music_channels": (8, 8, 16, 16, 16, 16, 16), "music_ffn": 64}


@pytest.fixture(scope="module")
def cnnsa(tmp_path_factory) -> Path:
    """CNNSA weights under their original keys, of the parity fixtures' reduced size."""
    path = tmp_path_factory.mktemp("cnnsa") / "best_model.pth"
    tensors = load_file(Path(__file__).parent / "fixtures" / "parity" / "cnnsa.safetensors")
    torch.save({key.removeprefix("state."): value for key, value in tensors.items() if key.startswith("state.")}, path)
    return path


@pytest.fixture(scope="module")
def bart(tmp_path_factory, tiny_tokenizer) -> Path:
    """A BART folder with as many encoder layers as facebook/bart-base."""
    folder = tmp_path_factory.mktemp("bart")
    torch.manual_seed(0)
    BartForConditionalGeneration(BartConfig(vocab_size=len(tiny_tokenizer), **SIZES)).save_pretrained(folder)
    tiny_tokenizer.save_pretrained(folder)
    return folder


def original_name(key: str) -> str:
    for theirs, ours in FUSION_NAMES.items():
        if key.startswith(ours):
            return "bart." + theirs + key.removeprefix(ours)
    return "bart." + key


@pytest.fixture(scope="module")
def alcap(tmp_path_factory, tiny_tokenizer) -> tuple[Path, RecapForCaptioning]:
    """A training checkpoint as ALCAP saves it, and the model it came from."""
    torch.manual_seed(1)
    model = RecapForCaptioning(RecapConfig(vocab_size=len(tiny_tokenizer), **SIZES, **MUSIC)).eval()
    state = {
        original_name(key): value
        for key, value in model.state_dict().items()
        if not key.startswith(("model.encoder.music_encoder.", "alignment."))
    }
    state["bart.model.encoder._linear_4.weight"] = torch.zeros(32, 64)
    state["bart.model.encoder._linear_4.bias"] = torch.zeros(32)
    path = tmp_path_factory.mktemp("alcap") / "model_3.pt"
    torch.save({"model_state_dict": state, "optim_state_state": {}}, path)
    return path, model


def test_caption_with_an_alcap_checkpoint(alcap, cnnsa, bart, capfd):
    weights = ["--model", str(alcap[0]), "--music-encoder", str(cnnsa), "--bart", str(bart)]
    song = [str(EXAMPLES / "ode-to-joy.ogg"), "--json", "--max-caption-tokens", "12"]
    assert main(["caption", *song, *weights]) == 0
    record = json.loads(capfd.readouterr().out)
    assert record["model"] == str(alcap[0])
    assert record["captions"][0]


def test_an_alcap_checkpoint_without_its_music_encoder(alcap, bart, capfd):
    assert main(["caption", str(EXAMPLES / "ode-to-joy.ogg"), "--model", str(alcap[0]), "--bart", str(bart)]) == 1
    lines = capfd.readouterr().err.splitlines()
    assert "holds no music encoder" in lines[-2]
    assert "--music-encoder" in lines[-1]


@pytest.mark.parametrize("recipe", ["paper", "alcap"])
def test_train_from_published_weights(recipe, tiny_data, cnnsa, bart, tmp_path, capfd):
    """The recipes for real data run on stand-ins of BART and CNNSA; the run holds both and captions."""
    out = tmp_path / "run"
    sizes = ["--epochs", "1", "--batch-size", "8", "--max-lyrics-tokens", "64", "--max-caption-tokens", "16"]
    weights = ["--bart", str(bart), "--music-encoder", str(cnnsa), "--recipe", recipe]
    assert main(["train", str(tiny_data.folder), "--out", str(out), *sizes, *weights]) == 0
    options = json.loads((out / "options.json").read_text())
    assert options["lr"] == {"paper": 6e-5, "alcap": 5e-5}[recipe]
    model = RecapForCaptioning.from_pretrained(out)
    assert model.config.pads_in_loss is (recipe == "alcap")
    assert model.config.alignment_loss == {"paper": "positive", "alcap": "infonce"}[recipe]
    assert list(model.config.fusion_layers) == [4, 5]
    published = torch.load(cnnsa, weights_only=True)
    ours = model.model.encoder.music_encoder.state_dict()
    assert torch.equal(ours["blocks.3.conv_2.weight"], published["layer4.conv_2.weight"])
    capfd.readouterr()
    assert main(["caption", str(EXAMPLES / "auld-lang-syne.ogg"), "--model", str(out), "-q"]) == 0
    assert capfd.readouterr().out.strip()


def test_the_paper_recipe_needs_a_music_encoder(tiny_data, bart, tmp_path, capfd):
    out = tmp_path / "run"
    command = ["train", str(tiny_data.folder), "--recipe", "paper", "--bart", str(bart), "--out", str(out)]
    assert main(command) == 1
    assert "--music-encoder best_model.pth" in capfd.readouterr().err.splitlines()[-1]
    assert not out.exists()
