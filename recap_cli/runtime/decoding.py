"""Captions for many songs: batches in, texts out; nothing is dropped, doubled or reordered."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers.modeling_outputs import BaseModelOutput

from recap_cli.model.captioner import RecapForCaptioning
from recap_cli.model.fast_decoder import fast_decoder
from recap_cli.model.folder import FORCED
from recap_cli.processor import RecapProcessor
from recap_cli.runtime.options import DecodingOptions

__all__ = ["Decoded", "DecodingOptions", "effective_settings", "generate_captions"]

SMALL = 5_000_000  # parameters
TOP_K = 50  # likeliest tokens that sampling draws from, as transformers has it


@dataclass(frozen=True)
class Decoded:
    """The captions of one song, best first, and their scores (mean log-probability a token; None where drawn)."""

    captions: list[str]
    scores: list[float | None]


def generate_captions(
    model: RecapForCaptioning,
    processor: RecapProcessor,
    batches: Iterator[Mapping[str, Tensor]] | Sequence[Mapping[str, Tensor]],
    options: DecodingOptions,
) -> Iterator[Decoded]:
    """Yields the captions of each song of the batches, in order; the model is in eval mode."""
    decoder = fast_decoder(model)
    arguments = generation_arguments(options, processor)
    for number, batch in enumerate(batches):
        inputs = {name: value.to(model.device) for name, value in batch.items() if name not in ("labels", "song_ids")}
        with torch.inference_mode(), own_random_numbers(options, number, model.device), fitting_threads(model):
            # encoded here, for `generate` would repeat the music for each beam
            encoded = model.model.encoder(**inputs)
            output = model.generate(
                encoder_outputs=BaseModelOutput(encoded.last_hidden_state),
                attention_mask=encoded.state_mask,
                decoder=decoder,
                **arguments,
            )
        texts = processor.decode(output.sequences)
        values: list[float | None] = [None] * len(texts)
        if options.beams > 1 and model.beam_scores is not None:
            values = model.beam_scores[:, : options.num_captions].flatten().tolist()
        for start in range(0, len(texts), options.num_captions):
            span = slice(start, start + options.num_captions)
            yield Decoded(texts[span], values[span])


@contextmanager
def fitting_threads(model: RecapForCaptioning) -> Iterator[None]:
    """Runs a small model in one thread: its products are too short to share, and waiting for others costs more."""
    threads = torch.get_num_threads()
    if model.device.type != "cpu" or threads == 1 or model.num_parameters() > SMALL:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def own_random_numbers(options: DecodingOptions, batch: int, device: torch.device) -> Iterator[None]:
    """Draws from the options' seed and leaves the caller's random numbers alone, training's above all."""
    if not options.sample:
        yield
        return
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(options.seed * 1_000_003 + batch)
        yield


def generation_arguments(options: DecodingOptions, processor: RecapProcessor) -> dict[str, Any]:
    """Returns the arguments of `generate`; whatever a flag decides is given, so that no model's own file decides it."""
    arguments: dict[str, Any] = {
        "num_beams": options.beams,
        "do_sample": options.sample,
        "num_return_sequences": options.num_captions,
        "max_length": longest_caption(options, processor) + 1,
        "min_length": options.min_caption_tokens + 1 if options.min_caption_tokens else 0,
        "no_repeat_ngram_size": options.no_repeat_ngram,
        "early_stopping": options.beams > 1,
        "return_dict_in_generate": True,
    }
    if options.sample:
        arguments |= {"top_p": options.top_p, "top_k": TOP_K}
    return arguments


def longest_caption(options: DecodingOptions, processor: RecapProcessor) -> int:
    """Returns the tokens of the longest caption: the flag's, or else the model's own."""
    return options.max_caption_tokens or processor.max_caption_tokens


def effective_settings(
    options: DecodingOptions, model: RecapForCaptioning, processor: RecapProcessor
) -> dict[str, Any]:
    """Returns the options as plain values, with what the model's own settings add to them, for records of captions.

    A model adds its limit of tokens, and tokens that it forces to stand first or last in a caption (BART's end token
    where a caption is cut, and in older BARTs the start token); see `model.folder.GENERATION_RULES`.
    """
    forced = {name: getattr(model.generation_config, name) for name in FORCED}
    return {
        **options.to_json(),
        "max_caption_tokens": longest_caption(options, processor),
        **({"top_k": TOP_K} if options.sample else {}),
        **{name: token for name, token in forced.items() if token is not None},
    }
