"""What a caption looked at: lyrics lines against seconds of the music, caption words against lyrics lines."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recap_cli.audio.settings import MUSICNN_WINDOW
from recap_cli.captioning.caption_input import DecodedAudio
from recap_cli.model.captioner import RecapForCaptioning
from recap_cli.model.lyrics_encoder import LyricsEncoderOutput
from recap_cli.model.music_encoder import TIME_STRIDE
from recap_cli.processor import RecapProcessor

NEARLY_UNIFORM = 0.95  # share of the uniform map's entropy from which a map says little
NO_LINES = "(no lyrics)"


@dataclass(frozen=True)
class AttentionMap:
    """How much each row looked at each column; rows sum to 1.

    Entropies are in bits, and of the attention over its finest units (steps of the music, lyrics tokens).
    """

    rows: list[str]  # what looks
    columns: list[str]  # what is looked at
    weights: list[list[float]]  # [rows][columns]
    entropy: float  # mean over rows
    uniform_entropy: float  # of attention that looks everywhere alike

    @property
    def is_nearly_uniform(self) -> bool:
        """Whether the map says little: its entropy is that of looking everywhere alike, or nearly."""
        return self.entropy >= NEARLY_UNIFORM * self.uniform_entropy


@dataclass(frozen=True)
class Explanation:
    """What one caption looked at.

    `lyrics_direct` is the decoder's attention as it is; the states it looks at are mixed by the encoder, so it may say
    nothing where `lyrics` says much: the same, followed back through the encoder's layers to the words that its states
    are made of (attention rollout, Abnar and Zuidema 2020).
    """

    caption: str
    # Lyrics lines against seconds of music (fusion attention, mean over fusion layers and a line's tokens); None for a
    # model without music.
    music: AttentionMap | None
    music_seconds: list[float]  # where each column of `music` starts, in seconds of the file
    summary_share: float  # of the fusion attention that went to the states which stand for a whole window
    lyrics: AttentionMap  # caption words against lyrics lines
    lyrics_direct: AttentionMap

    def to_json(self) -> dict[str, Any]:
        """Returns the numbers as plain values."""
        record = asdict(self)
        for name in ("music", "lyrics", "lyrics_direct"):
            found = getattr(self, name)
            if found is not None:
                record[name]["nearly_uniform"] = found.is_nearly_uniform
        return record


@torch.inference_mode()
def explain_caption(
    model: RecapForCaptioning,
    processor: RecapProcessor,
    batch: Mapping[str, Tensor],
    lyrics: str,
    caption: str,
    decoded: DecodedAudio,
) -> Explanation:
    """Runs the model over a caption it generated and returns its attention.

    Args:
        model: in eval mode.
        processor: the model's own.
        batch: the song as the model took it, one row.
        lyrics: its clean lyrics.
        caption: what the model generated.
        decoded: the excerpt; its start and length give the seconds.
    """
    inputs = {name: value.to(model.device) for name, value in batch.items()}
    labels = processor.encode_caption(caption)
    start = torch.tensor([[model.config.decoder_start_token_id, *labels[:-1]]], device=model.device)
    with recorded_attention(model) as (inner, cross):
        encoded = model.model.encoder(**inputs, output_music_attentions=model.config.use_music)
        model.model.decoder(
            input_ids=start,
            encoder_hidden_states=encoded.last_hidden_state,
            encoder_attention_mask=inputs["attention_mask"],
            use_cache=False,
        )
    direct = np.mean(cross, axis=0)
    owner, lines = token_lines(processor, lyrics, inputs["input_ids"][0].tolist())
    words, spans = token_words(processor, labels)

    def words_to_lines(attention: np.ndarray) -> AttentionMap:
        by_word = np.stack([attention[list(span)].mean(axis=0) for span in spans]) if spans else attention[:0]
        weights = rounded(sum_columns(by_word, owner, len(lines)))
        return AttentionMap(words, lines, weights, mean_entropy(by_word), math.log2(attention.shape[1]))

    music, seconds, share = music_map(model, processor, encoded, owner, lines, decoded)
    followed = words_to_lines(direct @ roll_out(inner))
    return Explanation(caption, music, seconds, share, followed, words_to_lines(direct))


@contextmanager
def recorded_attention(model: RecapForCaptioning) -> Iterator[tuple[list[np.ndarray], list[np.ndarray]]]:
    """Records the encoder's attention to itself and the decoder's to the encoder, mean over heads.

    Yields two lists that fill as the model runs, a map a layer: [tokens, tokens] and [caption tokens, lyrics tokens].
    """
    inner: list[np.ndarray] = []
    cross: list[np.ndarray] = []

    def keep(maps: list[np.ndarray]) -> Callable[..., None]:
        return lambda _module, _inputs, output: maps.append(output[1][0].mean(dim=0).float().cpu().numpy())

    chosen = model.config._attn_implementation
    model.set_attn_implementation("eager")  # the others keep no maps
    hooks = [layer.self_attn.register_forward_hook(keep(inner)) for layer in model.model.encoder.layers]
    hooks += [layer.encoder_attn.register_forward_hook(keep(cross)) for layer in model.model.decoder.layers]
    try:
        yield inner, cross
    finally:
        for hook in hooks:
            hook.remove()
        model.set_attn_implementation(chosen)


def roll_out(maps: Sequence[np.ndarray]) -> np.ndarray:
    """Follows the encoder's states back to the tokens they are made of [tokens, tokens]; rows sum to 1.

    Each layer keeps half of a state and mixes in half of what it attends to (Abnar and Zuidema 2020).
    """
    followed = np.eye(maps[0].shape[0])
    for attention in maps:
        followed = (0.5 * np.eye(len(attention)) + 0.5 * attention) @ followed
    return followed


def music_map(
    model: RecapForCaptioning,
    processor: RecapProcessor,
    encoded: LyricsEncoderOutput,
    owner: list[int],
    lines: list[str],
    decoded: DecodedAudio,
) -> tuple[AttentionMap | None, list[float], float]:
    """Returns lyrics lines against whole seconds, where the seconds start, and the share of the summary states."""
    if not model.config.use_music or not encoded.music_attentions:
        return None, [], 0.0
    fused = torch.stack([found[0] for found in encoded.music_attentions]).mean(dim=0).float().cpu().numpy()
    times = step_times(processor, fused.shape[1], decoded.excerpt)
    is_step = np.array([time is not None for time in times])
    share = float(1 - fused[:, is_step].sum(axis=1).mean())
    steps = fused[:, is_step] / np.maximum(fused[:, is_step].sum(axis=1, keepdims=True), 1e-12)
    by_line = np.stack(
        [steps[[place for place, one in enumerate(owner) if one == line]].mean(axis=0) for line in range(len(lines))]
    )
    start = decoded.excerpt.get("start", 0.0)
    second_of = [int(time - start) for time in times if time is not None]
    places = sorted(set(second_of))  # all of them, but for musicnn, of which every third second has a state
    seconds = [start + second for second in places]
    weights = sum_columns(by_line, [places.index(second) for second in second_of], len(seconds))
    columns = [f"{second:g} s" for second in seconds]
    uniform = math.log2(steps.shape[1])
    return AttentionMap(lines, columns, rounded(weights), mean_entropy(steps), uniform), seconds, round(share, 4)


def step_times(processor: RecapProcessor, states: int, excerpt: Mapping[str, float]) -> list[float | None]:
    """Returns the second in the file at which each music state starts; None for one that stands for a whole window."""
    audio = processor.audio
    if audio.hears_songs:
        window = MUSICNN_WINDOW * audio.hop / audio.sample_rate
        return [min(place * window, max(0.0, excerpt["seconds"] - window)) for place in range(states)]
    step = TIME_STRIDE * audio.hop / audio.sample_rate
    start, seconds = excerpt.get("start", 0.0), excerpt["seconds"]
    per_window = math.ceil(audio.frames(audio.samples) / TIME_STRIDE)
    times: list[float | None] = []
    windows = int(excerpt.get("windows", 1))
    for window in range(windows):
        rest = states - len(times)
        if window and rest <= per_window:  # the last window of a whole song: its new steps alone
            first = seconds - rest * step
            times += [first + place * step for place in range(rest)]
        else:
            times.append(None)
            steps = min(per_window, rest - 1)
            times += [start + window * audio.seconds + place * step for place in range(steps)]
    return [None if time is None else min(max(time, start), start + seconds) for time in times]


def token_lines(processor: RecapProcessor, lyrics: str, tokens: Sequence[int]) -> tuple[list[int], list[str]]:
    """Returns the line of each lyrics token, and the lines; the closing tokens count to their neighbours' lines."""
    numbers: list[int] = []
    lines: list[str] = []
    number_of: dict[int, int] = {}
    texts = lyrics.split("\n")
    for start, stop in token_spans(processor, lyrics)[: len(tokens)]:
        row = lyrics.count("\n", 0, min(start, len(lyrics)))
        if stop <= start or not texts[row].strip():  # <s>, </s>, or a blank line
            numbers.append(-1)
            continue
        if row not in number_of:
            number_of[row] = len(lines)
            lines.append(texts[row])
        numbers.append(number_of[row])
    numbers += [-1] * (len(tokens) - len(numbers))
    if not lines:
        return [0] * len(tokens), [NO_LINES]
    owner, last = [], 0
    for number in numbers:
        last = number if number >= 0 else last
        owner.append(last)
    return owner, lines


def token_spans(processor: RecapProcessor, text: str) -> list[tuple[int, int]]:
    """Returns where each token of a text stands in it."""
    encoded = processor.tokenizer(text, return_offsets_mapping=True, verbose=False)
    spans = []
    for start, stop in encoded["offset_mapping"]:
        # byte-level tokens own the white space before them, which may be the line before
        lead = len(text[start:stop]) - len(text[start:stop].lstrip())
        spans.append((start + lead, stop) if lead < stop - start else (start, stop))
    return spans


def token_words(processor: RecapProcessor, labels: Sequence[int]) -> tuple[list[str], list[range]]:
    """Returns a caption's words, and the places of each word's tokens."""
    spans: list[range] = []
    special = set(processor.tokenizer.all_special_ids)
    for place, token in enumerate(labels):
        if token in special:
            continue
        text = str(processor.tokenizer.decode([token], clean_up_tokenization_spaces=False))
        if not spans or text[:1].isspace():
            spans.append(range(place, place + 1))
        else:
            spans[-1] = range(spans[-1].start, place + 1)
    # a letter beyond ASCII may be several tokens, so a word is decoded as a whole
    texts = [str(processor.tokenizer.decode(list(labels[span.start : span.stop]))).strip() for span in spans]
    return texts, spans


def sum_columns(weights: np.ndarray, owner: Sequence[int], count: int) -> np.ndarray:
    """Adds up columns [rows, fine] that belong together [rows, count]; each row then sums to 1."""
    joined = np.zeros((len(weights), count))
    for fine, column in enumerate(owner[: weights.shape[1]]):
        joined[:, column] += weights[:, fine]
    return joined / np.maximum(joined.sum(axis=1, keepdims=True), 1e-12)


def mean_entropy(weights: np.ndarray) -> float:
    """Returns the mean entropy of rows that sum to 1, in bits."""
    if not weights.size:
        return 0.0
    terms = np.where(weights > 0, -weights * np.log2(np.maximum(weights, 1e-30)), 0)
    return float(terms.sum(axis=1).mean())


def rounded(weights: np.ndarray) -> list[list[float]]:
    """Returns weights as plain numbers of four digits."""
    return [[round(float(value), 4) for value in row] for row in weights]
