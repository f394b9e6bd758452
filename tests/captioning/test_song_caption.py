"""A model that states facts: what its captions state, how sure that is, and what is unlike music and not captioned."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from schemas import check_document

from recap_cli.audio.settings import AudioSettings
from recap_cli.captioning import captioner as module
from recap_cli.captioning.caption import CaptionOptions, Tally, caption_songs
from recap_cli.captioning.captioner import Captioner
from recap_cli.captioning.song_caption import FactsOfSong
from recap_cli.cli.app import main
from recap_cli.errors import AudioError
from recap_cli.facts.facts import Facts, Guess
from recap_cli.facts.known import KnownFacts
from recap_cli.facts.music import NAMES
from recap_cli.facts.wordings import write_caption
from recap_cli.model.captioner import RecapForCaptioning
from recap_cli.model.config import RecapConfig
from recap_cli.processor import RecapProcessor
from recap_cli.runtime.decoding import Decoded, DecodingOptions

SIZES = {
    "d_model": 384, "encoder_layers": 4, "decoder_layers": 1, "encoder_attention_heads": 2, "encoder_ffn_dim": 16,
    "decoder_attention_heads": 2, "decoder_ffn_dim": 16, "max_position_embeddings": 64, "fusion_layers": (3,),
    "align_layer": 3, "verse_layers": 3, "freeze_verses": True, "music_encoder": "musicnn", "states_facts": True,
}  # fmt: skip
WORDS = "\n".join(f"and I will always love you when the night is over {row}" for row in range(6))
SHORT = DecodingOptions(beams=1, max_caption_tokens=8)
STATED = Facts("woman", "folk", ("guitar",), "gentle", "en", ("lost love",))


def tags(windows: int = 12, restless: float = 0.7, **stated: float) -> np.ndarray:
    """Probabilities of a made-up song; a restless one changes from window to window."""
    rng = np.random.default_rng(0)
    odds = rng.normal(-3.6, restless, size=(windows, len(NAMES)))
    for name, value in stated.items():
        odds[:, NAMES.index(name.replace("__", ":").replace("_", " "))] = np.log(value / (1 - value))
    return (1 / (1 + np.exp(-odds))).astype(np.float32)


WOMAN = {f"mtt__{name}": 0.4 for name in ("female", "woman", "female_vocal", "female_voice", "vocal", "singing")}
SONG = tags(mtt__guitar=0.4, mtt__drums=0.1, **WOMAN)


class Ears(torch.nn.Module):
    """A music encoder to which everything sounds the same."""

    def __init__(self, states: np.ndarray) -> None:
        super().__init__()
        self.states = torch.from_numpy(states)

    def forward(self, mel, mel_mask=None):
        return self.states[None], torch.ones(1, len(self.states))


@pytest.fixture
def song(tmp_path) -> Path:
    path = tmp_path / "songs" / "song.wav"
    path.parent.mkdir()
    soundfile.write(path, np.sin(np.arange(16000) / 9).astype(np.float32) / 4, 16000)
    return path


@pytest.fixture
def captioner(tiny_tokenizer) -> Captioner:
    torch.manual_seed(0)
    model = RecapForCaptioning(RecapConfig.tiny(len(tiny_tokenizer), **SIZES)).eval()
    processor = RecapProcessor(tiny_tokenizer, AudioSettings.of_encoder("musicnn"), 32, 16, 64)
    hears(model, SONG)
    return Captioner(model, processor, "facts")


def hears(model: RecapForCaptioning, states: np.ndarray) -> None:
    model.model.encoder.music_encoder = Ears(states)


@pytest.fixture
def says(monkeypatch):
    """Makes every caption one that states these facts."""

    def say(*stated: Facts) -> None:
        captions = [write_caption(facts, "x") for facts in stated]

        def generate(model, processor, batches, decoding):
            for batch in batches:
                for _ in batch["input_ids"]:
                    yield Decoded(captions, [-0.1] * len(captions))

        monkeypatch.setattr(module, "generate_captions", generate)

    return say


# facts ----------------------------------------------------------------------------------------------------------------


def test_a_caption_has_facts_and_how_sure_they_are(captioner, song, says):
    """Of the best of several; null where the music and the lyrics say something else."""
    says(STATED, Facts("none"))
    found = captioner.caption(song, WORDS)
    assert found.facts == STATED
    assert found.confidence["voice"] > 0.5 and found.confidence["language"] == 1.0
    assert found.confidence["instruments"][0] > 0.5 and found.confidence["genre"] is None
    assert found.rests_on.windows == len(SONG)
    record = found.to_json()
    check_document("caption", json.loads(json.dumps(record)))
    assert record["facts"]["themes"] == ["lost love"] and len(record["confidence"]["themes"]) == 1
    assert {one["value"] for one in record["left_out"].get("themes", ())}.isdisjoint({"lost love"})


def test_other_models_have_no_facts(captioner, song, says):
    says(STATED)
    captioner.model.config.states_facts = False
    found = captioner.caption(song, WORDS)
    assert found.facts is None and found.confidence is None
    assert not {"facts", "confidence", "left_out"} & found.to_json().keys()


def test_verses_are_read_once_and_handed_to_the_model(captioner, song, monkeypatch):
    """The caption is the one that the model writes when it reads them itself."""
    lyrics = f"{WORDS}\n\nthe rain falls over the river and I sing alone"
    captioner.model.config.states_facts = False
    alone = captioner.caption(song, lyrics, decoding=SHORT)
    captioner.model.config.states_facts = True
    read, encoder = [], captioner.model.model.encoder
    stock = encoder.pool_verses
    monkeypatch.setattr(encoder, "pool_verses", lambda verses: read.append(len(verses)) or stock(verses))
    found = captioner.caption(song, lyrics, decoding=SHORT)
    assert found.captions == alone.captions and len(read) == 1


def test_themes_are_known_of_frozen_verses_and_words_alone(captioner, song, says):
    says(STATED)
    assert captioner.caption(song, WORDS).rests_on.known.guesses["themes"]
    assert captioner.caption(song, "").rests_on.known.guesses["themes"] == ()
    assert captioner.caption(song, None).rests_on.known.guesses["language"] == ()
    captioner.model.config.freeze_verses = False
    assert captioner.caption(song, WORDS).rests_on.known.guesses["themes"] == ()


def test_sung_is_right_whoever_sings():
    known = KnownFacts(Facts(), {**dict.fromkeys(Facts().to_json(), ()), "voice": (Guess("man", 0.9, True),)})
    assert FactsOfSong(Facts("sung"), known).confidence()["voice"] == 0.9
    assert FactsOfSong(Facts("woman"), known).confidence()["voice"] is None
    assert FactsOfSong(Facts("man"), known).left_out() == {}


def test_one_song_and_many_have_the_same_facts(captioner, song, says, tmp_path):
    says(STATED)
    song.with_suffix(".txt").write_text(WORDS)
    alone = captioner.caption(song, Path(song.with_suffix(".txt"))).to_json()
    out = tmp_path / "captions.jsonl"
    (many,) = caption_songs(CaptionOptions(song.parent, out=out), captioner=captioner)
    for name in ("facts", "confidence", "left_out"):
        assert json.loads(out.read_text())[name] == many.to_json()[name] == alone[name]


# unlike music ---------------------------------------------------------------------------------------------------------

UNLIKE = [
    (tags(windows=2), "is too short to judge", "10 s or more"),
    (tags(restless=0.0), "seems to be silence, noise or a tone", "name a song"),
    (tags() / 4, "seems to be speech, a voice alone or noise", "name a song"),
]


@pytest.mark.parametrize(("states", "message", "hint"), UNLIKE)
@pytest.mark.parametrize("lyrics", [WORDS, None])
def test_what_is_no_music_is_said_to_be_so(captioner, song, says, states, message, hint, lyrics):
    says(STATED)
    hears(captioner.model, states)
    with pytest.raises(AudioError, match=message) as caught:
        captioner.caption(song, lyrics)
    assert hint in caught.value.hint and "--any-sound" in caught.value.hint
    found = captioner.caption(song, lyrics, any_sound=True)
    assert found.caption and found.warnings[-1].startswith(("no music", "short"))
    assert found.confidence["voice"] is None  # nothing of it is known
    captioner.model.config.states_facts = False
    assert captioner.caption(song, lyrics).caption


def test_the_command_fails_in_two_lines(captioner, song, says, monkeypatch, capsys):
    says(STATED)
    hears(captioner.model, tags(restless=0.0))
    monkeypatch.setattr("recap_cli.captioning.caption.load_captioner", lambda options, progress: captioner)
    for more in ((), ("--json",)):
        assert main(["caption", str(song), *more, "-q"]) == 1
        out, err = capsys.readouterr()
        assert (
            out == "" and err.splitlines()[0] == f"recap: {song} seems to be silence, noise or a tone rather than music"
        )
    assert main(["caption", str(song), "-q", "--any-sound"]) == 0


def test_of_many_it_is_a_song_that_failed(captioner, song, says, tmp_path):
    """Counted, with its reason; started again it is tried again."""
    says(STATED)
    hears(captioner.model, tags() / 4)
    tally, out = Tally(), tmp_path / "captions.jsonl"
    (found,) = caption_songs(CaptionOptions(song.parent, out=out), tally=tally, captioner=captioner)
    assert (tally.captioned, tally.failed) == (0, 1) and "speech" in tally.reasons[str(song)]
    record = json.loads(out.read_text())
    check_document("caption", record)
    assert record["error"] == found.error and record["captions"] == [] and "facts" not in record
    (again,) = caption_songs(CaptionOptions(song.parent, out=out, any_sound=True), captioner=captioner)
    assert again.caption and not again.error
