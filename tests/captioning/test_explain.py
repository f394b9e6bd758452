"""What a caption looked at: the sums are right, and on the demo model they matter."""

import random
from pathlib import Path

import numpy as np
import pytest
import torch

from recap_cli import Captioner
from recap_cli.audio.mel import log_mel
from recap_cli.audio.settings import AudioSettings
from recap_cli.captioning.caption_input import CaptionInput, DecodedAudio
from recap_cli.captioning.explain import Explanation, Looks, gather, one_place, step_times, token_lines, token_words
from recap_cli.demo.lexicon import read_attributes
from recap_cli.demo.songs import DemoSettings, held_out_songs, render_song
from recap_cli.demo.verses import lines_by_opening
from recap_cli.processor import RecapProcessor, pad_rows
from recap_cli.runtime.decoding import DecodingOptions

SOUND_WORDS = ("tempo", "mode", "timbre", "drums")
LYRICS = "the rain falls\n\nover the river\nand I sing alone"
SONGS = 16
EXAMPLES = Path(__file__).parents[2] / "examples" / "songs"


@pytest.fixture
def captioner(tiny_model, tiny_tokenizer) -> Captioner:
    return Captioner(tiny_model, RecapProcessor(tiny_tokenizer, AudioSettings(seconds=3.0), 64, 32), "tiny")


@pytest.fixture
def decoded(captioner) -> DecodedAudio:
    sound = np.random.default_rng(0).uniform(-0.5, 0.5, 48000)
    return DecodedAudio(log_mel(sound, captioner.processor.audio), {"start": 10.0, "seconds": 3.0})


CAPTION = "a slow, sad song"


def explain_words(captioner, decoded, lyrics=LYRICS) -> Explanation:
    """What the model, which is untrained, would have looked at while writing `CAPTION`."""
    return captioner.explain(CaptionInput("x.wav", lyrics, decoded), CAPTION)


def explain(captioner, decoded, lyrics=LYRICS):
    return captioner.generate(
        [CaptionInput("x.wav", lyrics, decoded)], DecodingOptions(max_caption_tokens=12), explain=True
    )[0]


def test_words_look_at_lines_and_seconds(captioner, decoded):
    found, words = explain_words(captioner, decoded), CAPTION.split()
    assert (found.words, found.lines) == (words, ["the rain falls", "over the river", "and I sing alone"])
    assert found.seconds == [10, 11, 12]
    for looks, places in ((found.lyrics, 3), (found.music, 3)):
        assert looks.attention.shape == looks.times_average_word.shape == (len(words), places)
        assert looks.attention.sum(axis=1) == pytest.approx(1, abs=1e-5)
        assert looks.even.sum() == pytest.approx(1)
        assert looks.even @ looks.whole_caption_times_even == pytest.approx(1, abs=1e-5)
        assert 0 < looks.elsewhere < 1
    record = found.to_json()
    assert record["lyrics"]["lines"] == found.lines and record["music"]["start_seconds"] == found.seconds
    assert len(record["music"]["times_average_word"]) == len(record["words"]) == len(words)


def test_looks_are_compared_with_the_average_word():
    """By hand: two words, three places of 2, 1 and 7 tokens, the last two hardly looked at."""
    attention = np.array([[0.8, 0.15, 0.05], [0.4, 0.599, 0.001]])
    looks = Looks(attention, np.array([0.2, 0.1, 0.7]), 0.0)
    assert looks.times_average_word == pytest.approx(np.array([[8 / 6, 0.15 / 0.3745, 1], [4 / 6, 0.599 / 0.3745, 1]]))
    assert looks.whole_caption_times_even == pytest.approx([3, 3.745, 0.0255 / 0.7])
    found = Explanation(["the", "factory,", "rain", "rain"], ["a", "b"], [], None, None)
    assert found.strongest() == []
    attention = np.array([[0.1, 0.9], [0.9, 0.1], [0.1, 0.9], [0.1, 0.9]])
    found = Explanation(found.words, found.lines, [], Looks(attention, np.array([0.5, 0.5]), 0.0), None)
    assert found.strongest() == [("factory", "a", pytest.approx(3))]  # short words and those that come twice are glue


def test_what_no_place_owns_is_left_out():
    looks = gather(np.array([[0.5, 0.2, 0.1, 0.2]]), one_place([-1, 0, 1, 1], 2))
    assert looks.attention == pytest.approx(np.array([[0.4, 0.6]])) and looks.elsewhere == pytest.approx(0.5)
    assert looks.even == pytest.approx([1 / 3, 2 / 3])
    assert gather(np.ones((2, 3)), one_place([-1, -1, -1], 0)) is None
    assert gather(np.ones((0, 1)), one_place([0], 1)) is None


def test_explaining_changes_nothing(captioner, decoded):
    attention = captioner.model.config._attn_implementation
    result = explain(captioner, decoded)
    plain = captioner.generate([CaptionInput("x.wav", LYRICS, decoded)], DecodingOptions(max_caption_tokens=12))[0]
    assert (result.captions, result.scores) == (plain.captions, plain.scores)
    assert captioner.model.config._attn_implementation == attention
    assert "explanation" not in plain.to_json() and "music" in result.to_json()["explanation"]


def test_the_looks_are_the_models_own(captioner, decoded):
    """Decoder and fusion as transformers return them, multiplied and added up by hand."""
    found, model = explain_words(captioner, decoded), captioner.model
    batch = captioner.make_batch([CaptionInput("x.wav", LYRICS, decoded)])
    labels = captioner.processor.encode_caption(CAPTION)
    model.set_attn_implementation("eager")
    with torch.inference_mode():
        encoded = model.model.encoder(**batch, output_music_attentions=True)
        fused = (sum(encoded.music_attentions) / len(encoded.music_attentions))[0].numpy()
        decoder_input = torch.tensor([[model.config.decoder_start_token_id, *labels[:-1]]])
        cross = model.model.decoder(
            input_ids=decoder_input, encoder_hidden_states=encoded.last_hidden_state, output_attentions=True
        ).cross_attentions
    cross = (sum(layer.mean(dim=1) for layer in cross) / len(cross))[0].numpy()
    word = cross[list(token_words(captioner.processor, labels)[1][1])].mean(axis=0)
    owner, _ = token_lines(captioner.processor, LYRICS, batch["input_ids"][0].tolist())
    lines = np.array([word[[one == line for one in owner]].sum() for line in range(3)])
    assert found.lyrics.attention[1] == pytest.approx(lines / lines.sum(), abs=1e-5)
    steps = (word @ fused)[1:]
    seconds = np.array([sum(steps[step] for step in range(24) if int(step * 0.128) == second) for second in range(3)])
    assert found.music.attention[1] == pytest.approx(seconds / seconds.sum(), abs=1e-5)


def test_without_lyrics_or_music(captioner, decoded):
    found = explain_words(captioner, decoded, "")
    assert (found.lyrics, found.lines) == (None, []) and found.music.attention.shape == (len(found.words), 3)
    captioner.model.config.use_music = False
    found = explain_words(captioner, decoded)
    assert found.music is None and found.to_json()["music"] is None


def test_tokens_belong_to_lines_and_words(captioner):
    processor = captioner.processor
    tokens = processor.encode_lyrics(LYRICS)[0]
    owner, lines = token_lines(processor, LYRICS, tokens)
    assert len(owner) == len(tokens) and owner[0] == owner[-1] == -1
    within = [line for line in owner if line >= 0]
    assert within == sorted(within) and set(within) == {0, 1, 2} and len(within) >= len(tokens) - 3  # the blank line
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
    assert len(owner) == 64 and owner[-1] == -1 and max(owner) == len(lines) - 1 < 39


def test_the_times_of_a_whole_song(captioner):
    """Two windows and a half, the last one moved back and cut to what is new."""
    steps = [*range(24)]
    times = step_times(captioner.processor, 25 + 25 + 12, {"start": 0.0, "seconds": 7.5, "windows": 3})
    assert times[0] is None and times[25] is None and None not in times[50:]
    assert times[1:25] == pytest.approx([step * 0.128 for step in steps])
    assert times[26:50] == pytest.approx([3 + step * 0.128 for step in steps])
    assert times[50] == pytest.approx(7.5 - 12 * 0.128)


# the demo model -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def demo():
    """The demo model, songs that it never saw, and their mels."""
    captioner, settings = Captioner.from_pretrained("demo", device="cpu"), DemoSettings()
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


@pytest.fixture(scope="module")
def explained(demo):
    """Those songs' captions with what they looked at."""
    captioner, songs, decoded = demo
    inputs = [CaptionInput("x.wav", song.lyrics, sound) for song, sound in zip(songs, decoded, strict=True)]
    return captioner.generate(inputs, DecodingOptions(), explain=True)


def test_words_point_at_lines_of_their_meaning(demo, explained):
    """The line that "regretful" looked at most is a regretful one, and that of the theme's words is on the theme."""
    _, songs, _ = demo
    found: dict[str, list[bool]] = {"theme": [], "stance": []}
    chance: dict[str, list[float]] = {"theme": [], "stance": []}
    for song, result in zip(songs, explained, strict=True):
        words, times = result.explanation.words, result.explanation.lyrics.times_average_word
        if words[:3] != ["This", "song", "about"]:  # the other template's words stand elsewhere
            continue
        end = words.index("is")
        for attribute, places in (("theme", range(3, end)), ("stance", [end + 1])):
            family = song.tags[attribute]
            right = {line for kept in (False, True) for group in lines_by_opening(family, kept) for line in group}
            found[attribute] += [result.explanation.lines[times[place].argmax()] in right for place in places]
            chance[attribute].append(float(np.mean([line in right for line in result.explanation.lines])))
    print({name: (np.mean(found[name]), np.mean(chance[name]), len(found[name])) for name in found})
    assert np.mean(found["stance"]) > np.mean(chance["stance"]) + 0.4
    assert np.mean(found["theme"]) > np.mean(chance["theme"]) + 0.05


def test_hiding_the_lines_it_looked_at_most_costs_most(demo, explained):
    """A quarter of the lines, removed: those looked at most against random ones."""
    captioner, _, decoded = demo
    rng = random.Random(0)
    looked_at, at_random = [], []
    for sound, result in zip(decoded, explained, strict=True):
        lines = result.explanation.lines
        count = len(lines) // 4

        def score(hidden):
            """The mean log-probability a token of the caption without some lines."""
            text = "\n".join(line for row, line in enumerate(lines) if row not in hidden)  # noqa: B023
            batch = captioner.make_batch([CaptionInput("x", text, sound)])  # noqa: B023
            labels = pad_rows([captioner.processor.encode_caption(result.caption)], -100)  # noqa: B023
            with torch.inference_mode():
                return -float(captioner.model(**batch, labels=labels).caption_loss)

        whole = score(())
        most = np.argsort(-result.explanation.lyrics.attention.sum(axis=0), kind="stable")[:count]
        looked_at.append(whole - score(most.tolist()))
        at_random += [whole - score(rng.sample(range(len(lines)), count)) for _ in range(4)]
    print(f"ratio {np.mean(looked_at) / np.mean(at_random):.1f}: {np.mean(looked_at):.4f} and {np.mean(at_random):.4f}")
    assert np.mean(looked_at) > max(np.mean(at_random), 0)


def test_the_example_songs_words_point_at_their_lines():
    """Of 12 lines, *factory* stands out at the four on work that name tools and places, *defiant* at the defiant."""
    captioner = Captioner.from_pretrained("demo", device="cpu")
    song = EXAMPLES / "ode-to-joy"
    found = captioner.caption(song.with_suffix(".ogg"), song.with_suffix(".txt"), explain=True).explanation

    def above_average(word: str) -> set[str]:
        times = found.lyrics.times_average_word[found.words.index(word)]
        return {line for line, one in zip(found.lines, times, strict=True) if one > 1.2}

    factory = ("furnace door", "coal face", "toolbox", "assembly line")
    assert all(any(name in line for line in above_average("factory")) for name in factory)
    assert len(above_average("factory")) == 4
    assert {line[:30] for line in above_average("defiant")} >= {
        "do not ask me to follow the fo",
        "but they cannot make me beg, w",
    }
    assert [word for word, _, _ in found.strongest(2)] == ["factory", "defiant"]
    assert 250 <= len(found.envelope) <= 260 and 0 < found.envelope.max() <= 1  # 12.86 s in steps of 1/20 s
