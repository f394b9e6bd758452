"""What a caption looked at: the sums are right, and on the demo model they matter."""

import math
import random

import numpy as np
import pytest
import torch

from recap_cli import Captioner
from recap_cli.audio.mel import log_mel
from recap_cli.audio.settings import AudioSettings
from recap_cli.captioning.caption_input import DecodedAudio
from recap_cli.captioning.captioner import CaptionInput
from recap_cli.captioning.explain import (
    NO_LINES,
    AttentionMap,
    mean_entropy,
    roll_out,
    step_times,
    token_lines,
    token_words,
)
from recap_cli.demo.lexicon import read_attributes
from recap_cli.demo.songs import DemoSettings, held_out_songs, render_song
from recap_cli.processor import RecapProcessor, pad_rows
from recap_cli.runtime.decoding import DecodingOptions

SOUND_WORDS = ("tempo", "mode", "timbre", "drums")
LYRICS = "the rain falls\n\nover the river\nand I sing alone"
SONGS = 16


@pytest.fixture
def captioner(tiny_model, tiny_tokenizer) -> Captioner:
    return Captioner(tiny_model, RecapProcessor(tiny_tokenizer, AudioSettings(seconds=3.0), 64, 32), "tiny")


@pytest.fixture
def decoded(captioner) -> DecodedAudio:
    sound = np.random.default_rng(0).uniform(-0.5, 0.5, 48000)
    return DecodedAudio(log_mel(sound, captioner.processor.audio), {"start": 10.0, "seconds": 3.0})


def explain(captioner, decoded, lyrics=LYRICS):
    return captioner.generate(
        [CaptionInput("x.wav", lyrics, decoded)], DecodingOptions(max_caption_tokens=12), explain=True
    )[0]


def test_both_maps(captioner, decoded):
    found = explain(captioner, decoded).explanation
    lines = ["the rain falls", "over the river", "and I sing alone"]
    assert found.music.rows == found.lyrics.columns == lines
    assert found.music.columns == ["10 s", "11 s", "12 s"] and found.music_seconds == [10, 11, 12]
    assert " ".join(found.lyrics.rows).split() == found.caption.split()
    for one in (found.music, found.lyrics, found.lyrics_direct):
        weights = np.array(one.weights)
        assert weights.shape == (len(one.rows), len(one.columns))
        assert weights.min() >= 0 and weights.sum(axis=1) == pytest.approx(1, abs=2e-3)
        assert 0 < one.entropy <= one.uniform_entropy + 1e-6
    assert found.music.uniform_entropy == pytest.approx(math.log2(24))  # 3 s of 0.128 s
    assert 0 < found.summary_share < 1
    record = found.to_json()
    assert record["music"]["nearly_uniform"] is found.music.is_nearly_uniform
    assert record["lyrics"]["entropy"] < record["lyrics"]["uniform_entropy"]


def test_explaining_changes_nothing(captioner, decoded):
    attention = captioner.model.config._attn_implementation
    result = explain(captioner, decoded)
    plain = captioner.generate([CaptionInput("x.wav", LYRICS, decoded)], DecodingOptions(max_caption_tokens=12))[0]
    assert (result.captions, result.scores) == (plain.captions, plain.scores)
    assert captioner.model.config._attn_implementation == attention
    assert not any(module._forward_hooks for module in captioner.model.modules())
    assert "explanation" not in plain.to_json() and "music" in result.to_json()["explanation"]


def test_the_fusion_map_is_the_models_own(captioner, decoded):
    """The mean over fusion layers and a line's tokens, summed over the steps of each second, by hand."""
    found = explain(captioner, decoded).explanation
    batch = captioner.make_batch([CaptionInput("x.wav", LYRICS, decoded)])
    with torch.inference_mode():
        maps = captioner.model.model.encoder(**batch, output_music_attentions=True).music_attentions
    fused = sum(one[0] for one in maps).numpy() / len(maps)
    steps = fused[:, 1:] / fused[:, 1:].sum(axis=1, keepdims=True)
    owner, _ = token_lines(captioner.processor, LYRICS, batch["input_ids"][0].tolist())
    line = steps[[place for place, one in enumerate(owner) if one == 1]].mean(axis=0)
    seconds = [line[[step for step in range(24) if int(step * 0.128) == second]].sum() for second in range(3)]
    assert found.music.weights[1] == pytest.approx(seconds, abs=1e-3)


def test_without_lyrics_or_music(captioner, decoded, tiny_config, tiny_processor):
    found = explain(captioner, decoded, "").explanation
    assert found.lyrics.columns == [NO_LINES] == found.music.rows
    captioner.model.config.use_music = False
    found = explain(captioner, decoded).explanation
    assert found.music is None and found.to_json()["music"] is None


def test_tokens_belong_to_lines_and_words(captioner):
    processor = captioner.processor
    tokens = processor.encode_lyrics(LYRICS)[0]
    owner, lines = token_lines(processor, LYRICS, tokens)
    assert len(owner) == len(tokens) and owner == sorted(owner) and set(owner) == {0, 1, 2}
    for number, line in enumerate(lines):
        ids = [token for token, one in zip(tokens, owner, strict=True) if one == number]
        assert line in processor.tokenizer.decode(ids)
    labels = processor.encode_caption("a slow, sad song ünd 雨")
    words, spans = token_words(processor, labels)
    assert words[:4] == ["a", "slow,", "sad", "song"]
    assert [place for span in spans for place in span] == list(range(1, len(labels) - 1))


def test_cut_lyrics(captioner):
    long = "\n".join(f"line {number} of the rain" for number in range(40))
    tokens = captioner.processor.encode_lyrics(long)[0]
    assert len(tokens) == 64
    owner, lines = token_lines(captioner.processor, long, tokens)
    assert len(owner) == 64 and max(owner) == len(lines) - 1 < 39


def test_the_times_of_a_whole_song(captioner):
    """Two windows and a half, the last one moved back and cut to what is new."""
    steps = [*range(24)]
    times = step_times(captioner.processor, 25 + 25 + 12, {"start": 0.0, "seconds": 7.5, "windows": 3})
    assert times[0] is None and times[25] is None and None not in times[50:]
    assert times[1:25] == pytest.approx([step * 0.128 for step in steps])
    assert times[26:50] == pytest.approx([3 + step * 0.128 for step in steps])
    assert times[50] == pytest.approx(7.5 - 12 * 0.128)


def test_entropy_and_what_is_nearly_uniform():
    assert mean_entropy(np.array([[0.5, 0.5, 0, 0], [0.25] * 4])) == pytest.approx(1.5)
    assert AttentionMap([], [], [], 1.95, 2.0).is_nearly_uniform
    assert not AttentionMap([], [], [], 1.5, 2.0).is_nearly_uniform
    even = np.full((4, 4), 0.25)
    assert roll_out([np.eye(4)]) == pytest.approx(np.eye(4))
    assert roll_out([even, even]) == pytest.approx(0.25 * np.eye(4) + 0.75 * even)


# the demo model -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def demo():
    """The embedded model, songs that it never saw, and their mels."""
    captioner, settings = Captioner.from_pretrained(device="cpu"), DemoSettings()
    songs = list(held_out_songs(settings, SONGS))
    audio = captioner.processor.audio
    mels = [log_mel(render_song(song, settings)[: audio.samples], audio) for song in songs]
    return captioner, songs, [DecodedAudio(mel, {"start": 0.0, "seconds": 15.0}) for mel in mels]


def test_the_sound_words_follow_the_music(demo):
    """Another song's music changes what is said of the sound: at least 90 % of the words are that song's."""
    captioner, songs, decoded = demo
    others = [(row + 5) % SONGS for row in range(SONGS)]
    swapped = [CaptionInput("x.wav", song.lyrics, decoded[other]) for song, other in zip(songs, others, strict=True)]
    followed = [
        read_attributes(one.caption)[name] == songs[other].tags[name]
        for one, other in zip(captioner.generate(swapped, DecodingOptions()), others, strict=True)
        for name in SOUND_WORDS
    ]
    print(f"music-swap following: {np.mean(followed):.3f}")
    assert np.mean(followed) >= 0.9


def test_hiding_the_lines_it_looked_at_most_costs_most(demo):
    """A quarter of the lines, removed: those looked at most against random ones."""
    captioner, songs, decoded = demo
    rng = random.Random(0)
    looked_at, at_random = [], []
    for song, sound in zip(songs, decoded, strict=True):
        result = captioner.generate([CaptionInput("x.wav", song.lyrics, sound)], DecodingOptions(), explain=True)[0]
        lines = result.explanation.lyrics.columns
        count = len(lines) // 4

        def score(hidden):
            """The mean log-probability a token of the caption without some lines."""
            text = "\n".join(line for row, line in enumerate(lines) if row not in hidden)  # noqa: B023
            batch = captioner.make_batch([CaptionInput("x", text, sound)])  # noqa: B023
            labels = pad_rows([captioner.processor.encode_caption(result.caption)], -100)  # noqa: B023
            with torch.inference_mode():
                return -float(captioner.model(**batch, labels=labels).caption_loss)

        whole = score(())
        most = np.argsort(-np.array(result.explanation.lyrics.weights).sum(axis=0), kind="stable")[:count]
        looked_at.append(whole - score(most.tolist()))
        at_random += [whole - score(rng.sample(range(len(lines)), count)) for _ in range(4)]
    print(f"ratio {np.mean(looked_at) / np.mean(at_random):.1f}: {np.mean(looked_at):.4f} and {np.mean(at_random):.4f}")
    assert np.mean(looked_at) > max(np.mean(at_random), 0)
