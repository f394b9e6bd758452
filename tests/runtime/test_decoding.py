"""Captions of many songs: nothing dropped, doubled or reordered, and no song's caption depends on its neighbours."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from recap_cli.errors import OptionError
from recap_cli.runtime.decoding import DecodingOptions, generate_captions, generation_arguments

LYRICS = (
    "the rain falls over the river",
    "",
    "we dance all night under the neon light\nagain and again",
    "a slow song",
)
FRAMES = (40, 120, 75, 200)


@pytest.fixture
def songs() -> list[tuple[str, np.ndarray]]:
    """Four songs of different lengths."""
    rng = np.random.default_rng(0)
    return [(text, rng.uniform(-60, 20, (128, frames))) for text, frames in zip(LYRICS, FRAMES, strict=True)]


@pytest.fixture
def write(tiny_model, tiny_processor):
    """Captions of songs in batches of a size."""

    def write(songs, size=4, **options):
        batches = [
            tiny_processor([text for text, _ in songs[start : start + size]], [mel for _, mel in songs[start:][:size]])
            for start in range(0, len(songs), size)
        ]
        options = DecodingOptions(**{"max_caption_tokens": 10, **options})
        return list(generate_captions(tiny_model, tiny_processor, batches, options))

    return write


def texts(written) -> list[list[str]]:
    return [one.captions for one in written]


@pytest.mark.parametrize("beams", [1, 4])
def test_captions_do_not_depend_on_the_batch(songs, write, beams):
    whole = texts(write(songs, beams=beams))
    assert len({caption for (caption,) in whole}) >= 3  # or this would show nothing
    for size in (1, 2, 3):
        assert texts(write(songs, size, beams=beams)) == whole
    order = [2, 0, 3, 1]
    assert texts(write([songs[row] for row in order], 3, beams=beams)) == [whole[row] for row in order]


def test_the_same_call_gives_the_same_captions(songs, write):
    first, second = write(songs), write(songs)
    assert first == second
    torch.rand(7)
    assert write(songs) == first


def test_greedy_takes_the_likeliest_token_each_time(songs, write, tiny_model, tiny_processor):
    for (text, mel), written in zip(songs, write(songs, beams=1), strict=True):
        batch = tiny_processor([text], [mel])
        ids = [tiny_model.config.decoder_start_token_id]
        for _ in range(9):
            with torch.inference_mode():
                logits = tiny_model(**batch, decoder_input_ids=torch.tensor([ids])).logits[0, -1]
            ids.append(int(logits.argmax()))
            if ids[-1] == tiny_model.config.eos_token_id:
                break
        else:
            ids.append(tiny_model.config.eos_token_id)  # the tenth token closes the caption
        assert written.captions == tiny_processor.decode(torch.tensor([ids]))
        assert written.scores == [None]


def test_scores_are_mean_log_probabilities(songs, write, tiny_model, tiny_processor, monkeypatch):
    seen = []
    decode = tiny_processor.decode
    monkeypatch.setattr(tiny_processor, "decode", lambda ids: seen.append(ids) or decode(ids))
    written = write(songs[:1], num_captions=2)
    batch = tiny_processor([songs[0][0]], [songs[0][1]])
    for ids, score in zip(seen[0], written[0].scores, strict=True):
        ids = ids[: int((ids != tiny_model.config.pad_token_id).nonzero().max()) + 1]
        with torch.inference_mode():
            logits = tiny_model(**batch, decoder_input_ids=ids[None, :-1]).logits[0]
        steps = logits.log_softmax(-1).gather(1, ids[1:, None])
        steps[9:] = 0  # at the limit the end is certain
        assert score == pytest.approx(float(steps.mean()), abs=1e-4)


def test_several_captions_a_song(songs, write):
    several = write(songs, num_captions=3)
    assert [len(one.captions) for one in several] == [3, 3, 3, 3]
    assert [len(set(one.captions)) for one in several] == [3, 3, 3, 3]
    assert all(one.scores == sorted(one.scores, reverse=True) for one in several)
    assert [one.captions[0] for one in several] == [one.captions[0] for one in write(songs)]


@pytest.mark.parametrize("sample", [False, True])
def test_the_callers_random_numbers_are_left_alone(songs, write, sample):
    torch.manual_seed(7)
    before = torch.get_rng_state()
    write(songs, beams=1, sample=sample)
    assert torch.equal(torch.get_rng_state(), before)


def test_sampling_is_fixed_by_the_seed(songs, write):
    drawn = [texts(write(songs, beams=1, sample=True, num_captions=2, seed=seed)) for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1]
    assert drawn[0] != drawn[2]
    assert all(first != second for first, second in drawn[0])
    assert write(songs, beams=1, sample=True)[0].scores == [None]


def test_the_callers_threads_are_left_alone(songs, write, tiny_model, monkeypatch):
    within = []
    generate = tiny_model.generate
    monkeypatch.setattr(
        tiny_model, "generate", lambda **given: within.append(torch.get_num_threads()) or generate(**given)
    )
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        write(songs)
        assert (within, torch.get_num_threads()) == ([1], 2)
    finally:
        torch.set_num_threads(before)


def test_the_shortest_caption(songs, write, tiny_processor, monkeypatch):
    seen = []
    decode = tiny_processor.decode
    monkeypatch.setattr(tiny_processor, "decode", lambda ids: seen.append(ids) or decode(ids))
    write(songs, max_caption_tokens=20, min_caption_tokens=20)
    assert seen[0].shape[1] == 21 and not (seen[0][:, 1:20] == 2).any()


def test_a_narrow_nucleus_leaves_only_the_likeliest_token(songs, write):
    assert texts(write(songs, beams=1, sample=True, top_p=1e-6)) == texts(write(songs, beams=1))


def test_length_and_repetition(songs, write, tiny_processor, monkeypatch):
    seen = []
    decode = tiny_processor.decode
    monkeypatch.setattr(tiny_processor, "decode", lambda ids: seen.append(ids) or decode(ids))
    write(songs, max_caption_tokens=6, beams=2)
    assert max(seen[0].shape) == 7  # the start token comes first
    write(songs, max_caption_tokens=20, beams=2, no_repeat_ngram=1)
    for row in seen[1].tolist():
        row = [token for token in row[1:] if token not in (1, 2)]
        assert len(row) == len(set(row)) > 3


def test_a_model_of_lyrics_alone(tiny_config, tiny_tokenizer, tiny_processor):
    from recap_cli.model.captioner import RecapForCaptioning
    from recap_cli.model.config import RecapConfig

    torch.manual_seed(0)
    model = RecapForCaptioning(RecapConfig(**{**tiny_config.to_dict(), "use_music": False})).eval()
    batches = [tiny_processor(list(LYRICS), None)]
    written = list(generate_captions(model, tiny_processor, batches, DecodingOptions(max_caption_tokens=8)))
    assert len(written) == 4


@pytest.mark.parametrize(
    ("options", "message", "hint"),
    [
        ({"beams": 0}, "--beams 0 is not possible", "give 1 or more"),
        ({"num_captions": 0}, "--num-captions 0 is not possible", "give 1 or more"),
        ({"max_caption_tokens": 2}, "--max-caption-tokens 2 is not possible", "give 3 or more"),
        ({"top_p": 0.0}, "--top-p 0 is not possible", "give more than 0 and at most 1, where 1 is all"),
        ({"no_repeat_ngram": -1}, "--no-repeat-ngram -1 is not possible", "give 0 or more"),
        (
            {"min_caption_tokens": 9, "max_caption_tokens": 8},
            "--min-caption-tokens 9 does not fit",
            "give 0 up to --max-caption-tokens",
        ),
        ({"num_captions": 5}, "--num-captions 5 needs as many beams", "raise --beams, or draw with --sample"),
    ],
)
def test_impossible_options(options, message, hint):
    with pytest.raises(OptionError) as caught:
        DecodingOptions(**options)
    assert (caught.value.message, caught.value.hint) == (message, hint)


def test_arguments_of_generate():
    processor = SimpleNamespace(max_caption_tokens=128)
    assert generation_arguments(DecodingOptions(), processor) == {
        "num_beams": 4,
        "do_sample": False,
        "num_return_sequences": 1,
        "max_length": 129,
        "no_repeat_ngram_size": 0,
        "min_length": 0,
        "return_dict_in_generate": True,
        "early_stopping": True,
    }
    drawn = generation_arguments(DecodingOptions(beams=1, sample=True, top_p=0.9, num_captions=3), processor)
    assert (drawn["do_sample"], drawn["top_p"], drawn["num_return_sequences"]) == (True, 0.9, 3)
    assert drawn["early_stopping"] is False
