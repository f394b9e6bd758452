"""Deliberate changes of a run's data, the control without songs, and the probe that disturbs nothing."""

from dataclasses import asdict

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from recap_cli.captioning.captioner import Captioner
from recap_cli.corpus.dataset import SongDataset
from recap_cli.errors import OptionError
from recap_cli.evaluation.captions import caption_split
from recap_cli.model.captioner import RecapForCaptioning, caption_loss
from recap_cli.progress import SilentProgress
from recap_cli.runtime.decoding import DecodingOptions
from recap_cli.training.build import build_model
from recap_cli.training.interventions import change_states, exchange_captions, shuffled_keys
from recap_cli.training.plan import plan_run
from recap_cli.training.recipes import CONSTANT, SHUFFLED, Interventions
from recap_cli.training.train import TrainOptions, train

SMALL = {"epochs": 1, "max_caption_tokens": 16, "limit": 8, "device": "cpu"}


@pytest.fixture(scope="module")
def states(tiny_data) -> dict[str, np.ndarray]:
    """Music states of every song: its number everywhere."""
    random = np.random.default_rng(0)
    return {
        entry.mel: number + random.standard_normal((5, 4)).astype(np.float16)
        for number, entry in enumerate(tiny_data.songs)
    }


# data -----------------------------------------------------------------------------------------------------------------


def test_nothing_is_changed_by_default(tiny_data, states):
    songs = tiny_data.split("train")
    assert change_states(states, tiny_data, Interventions()) is states
    assert exchange_captions(songs, Interventions().caption_noise) == songs


def test_shuffled_music_is_one_derangement_within_each_split(tiny_data, states):
    heard = change_states(states, tiny_data, Interventions(SHUFFLED))
    for name in tiny_data.splits:
        keys = [entry.mel for entry in tiny_data.split(name)]
        others = [shuffled_keys(tiny_data)[key] for key in keys]
        assert sorted(others) == sorted(keys)
        assert all(own != other for own, other in zip(keys, others, strict=True))
        assert all(np.array_equal(heard[own], states[other]) for own, other in zip(keys, others, strict=True))
    again = change_states(states, tiny_data, Interventions(SHUFFLED))
    assert all(np.array_equal(again[key], heard[key]) for key in states)


def test_noise_is_as_large_as_asked_for_and_always_the_same(tiny_data, states):
    quiet, loud = (change_states(states, tiny_data, Interventions(music_noise=noise)) for noise in (0.5, 2.0))
    spread = np.concatenate(list(states.values())).astype(float).std(axis=0)
    for noise, heard in ((0.5, quiet), (2.0, loud)):
        added = np.concatenate([heard[key].astype(float) - states[key] for key in states])
        assert added.std(axis=0) == pytest.approx(noise * spread, rel=0.35)
        assert heard[next(iter(states))].dtype == np.float16
    key = next(iter(states))
    assert np.array_equal(quiet[key], change_states(states, tiny_data, Interventions(music_noise=0.5))[key])


def test_exchanged_captions_belong_to_other_songs(tiny_data):
    songs = tiny_data.split("train")
    changed = exchange_captions(songs, 0.5)
    pairs = [
        (own, new, {one.text for one in before.song.captions})
        for before, after in zip(songs, changed, strict=True)
        for own, new in zip(before.song.captions, after.song.captions, strict=True)
    ]
    moved = [(own, new, owned) for own, new, owned in pairs if new.text != own.text]
    assert 0.3 < len(moved) / len(pairs) < 0.7
    everything = {own.text for own, _, _ in pairs}
    assert all(new.text in everything and new.votes == own.votes for own, new, _ in moved)
    assert exchange_captions(songs, 0.5) == changed
    assert exchange_captions(songs, 0.0) == list(songs)


def test_uncaptioned_songs_have_one_row_and_no_label(tiny_data, tiny_processor, states):
    songs = tiny_data.split("train")[:6]
    whole = SongDataset(songs, tiny_processor, states)
    dataset = SongDataset(songs, tiny_processor, states, captioned=2)
    kept = sum(len(entry.song.captions) for entry in songs[:2])
    assert len(dataset) == kept + 4
    assert [dataset[row] for row in range(kept)] == [whole[row] for row in range(kept)] or all(
        dataset[row]["labels"] == whole[row]["labels"] for row in range(kept)
    )
    assert all(dataset[row]["labels"] == [-100] for row in range(kept, len(dataset)))
    assert all(length > 2 for _, length in dataset.lengths())  # spread over batches as if they had captions


def test_a_step_without_any_caption_costs_nothing():
    logits, labels = torch.zeros(0, 7), torch.zeros(0, dtype=torch.long)
    assert float(caption_loss(logits, labels, torch.tensor(0))) == 0
    assert float(caption_loss(logits, labels)) == 0


@pytest.mark.parametrize(
    "change", [{"music": "loud"}, {"music_noise": -1}, {"music_noise": float("nan")}, {"caption_noise": 1.5},
               {"captioned_songs": 0}],
)  # fmt: skip
def test_impossible_interventions(change):
    with pytest.raises(OptionError) as caught:
        Interventions(**change)
    assert caught.value.hint


# runs -----------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fusion(tiny_data, tmp_path_factory):
    """Alpha 0 without and with the probe."""
    folder = tmp_path_factory.mktemp("fusion")
    for name, probe in (("plain", False), ("probed", True)):
        train(TrainOptions(tiny_data.folder, folder / name, alpha=0.0, probe=probe, **SMALL))
    return folder


def test_the_probe_changes_no_weight_but_its_own(fusion):
    plain, probed = (load_file(fusion / name / "model.safetensors") for name in ("plain", "probed"))
    assert plain.keys() == probed.keys()
    other = [key for key in plain if not torch.equal(plain[key], probed[key])]
    assert sorted(other) == ["alignment.projection.bias", "alignment.projection.weight"]


def test_the_probe_changes_no_caption(fusion, tiny_data):
    songs = tiny_data.split("test")
    texts = [
        caption_split(
            Captioner.from_pretrained(fusion / name, device="cpu"),
            tiny_data,
            songs,
            DecodingOptions(beams=1),
            SilentProgress(),
        )
        for name in ("plain", "probed")
    ]
    assert texts[0] == texts[1]


def test_the_probe_reaches_nothing_but_its_projection(tiny_config, tiny_processor):
    """All other gradients are those of the caption loss alone."""
    tiny_config.alpha, tiny_config.alignment_probe = 0.0, True
    torch.manual_seed(0)
    model = RecapForCaptioning(tiny_config).eval()
    batch = {
        **tiny_processor(["rain over the river", "we dance all night"], captions=["a sad song", "a bright song"]),
        "music_states": torch.randn(2, 5, 8),
    }
    output = model(**batch)
    output.loss.backward()
    reached = {name for name, one in model.named_parameters() if one.grad is not None and one.grad.abs().sum() > 0}
    assert "alignment.projection.weight" in reached
    caption_only = model(**batch).caption_loss
    wanted = [one for name, one in model.named_parameters() if name in reached and not name.startswith("alignment.")]
    alone = torch.autograd.grad(caption_only, wanted)
    assert all(torch.allclose(one.grad, other, atol=1e-6) for one, other in zip(wanted, alone, strict=True))


def test_a_probe_needs_alpha_0(tiny_data, tmp_path):
    with pytest.raises(OptionError, match="alpha 0 only"):
        train(TrainOptions(tiny_data.folder, tmp_path / "run", alpha=0.1, probe=True, **SMALL))


def test_constant_music_listens_to_nothing(fusion, tiny_data, tmp_path):
    """Any music gives the same states, the sequence is learnt, and the size is that of RECAP and the sequence."""
    options = TrainOptions(tiny_data.folder, tmp_path / "run", alpha=0.0, study=Interventions(CONSTANT), **SMALL)
    run = train(options)
    model = Captioner.from_pretrained(run.out, device="cpu").model
    tokens = torch.tensor([[0, 5, 6, 2]])
    heard = [model.model.encoder(tokens, music_states=torch.randn(1, 9, 64)).last_hidden_state for _ in range(2)]
    assert torch.equal(*heard)
    assert model.model.encoder.constant_music.states.grad is None  # loaded
    weights = load_file(run.out / "model.safetensors")
    sequence = weights["model.encoder.constant_music.states"]
    assert sequence.shape == (32, 64)
    assert weights.keys() - load_file(fusion / "plain" / "model.safetensors").keys() == {
        "model.encoder.constant_music.states"
    }
    assert asdict(options)["study"]["music"] == CONSTANT


def test_few_captions_train_and_another_start_is_drawn(tiny_data, tmp_path):
    """Rows without captions go through a whole run; the stand-in BART is of the captioned songs alone."""
    study = Interventions(captioned_songs=3)
    run = train(TrainOptions(tiny_data.folder, tmp_path / "run", alpha=0.1, study=study, **SMALL))
    assert all(np.isfinite(record["caption_loss"]) for record in run.log)
    before = set((tiny_data.folder / "pretrained").glob("bart-*"))
    again = TrainOptions(tiny_data.folder, tmp_path / "again", alpha=0.0, study=study, **SMALL)
    build_model(plan_run(again, SilentProgress(), tiny_data), SilentProgress())
    assert set((tiny_data.folder / "pretrained").glob("bart-*")) == before
