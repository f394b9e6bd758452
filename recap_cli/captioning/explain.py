"""What a caption looked at: for each of its words, which lines of the lyrics and which seconds of the music."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from recap_cli.audio.settings import MUSICNN_WINDOW
from recap_cli.captioning.caption_input import DecodedAudio
from recap_cli.lyrics.verses import split_lines
from recap_cli.model.captioner import RecapForCaptioning
from recap_cli.model.lyrics_encoder import LyricsEncoderOutput
from recap_cli.model.music_encoder import TIME_STRIDE
from recap_cli.processor import CAPITAL, RecapProcessor

LEAST_LOOK = 0.1  # of an even look; less counts as this much, so that next to nothing is not compared with nothing
GLUE = 3  # letters; words that short say little on their own
TELLING = 1.25  # times the average word, from which a look is worth telling


@dataclass(frozen=True)
class Looks:
    """How the words of a caption share their attention out to places: lines of the lyrics, or seconds of the music.

    A word tends to look where all words look (the first line, the loudest second), so its attention a[w, p] is compared
    with that of the average word, b[p] = mean over w of a[w, p]. With e[p] the part of the tokens or steps that make
    up place p, which is what an even look would give it, and f[p] = e[p] / 10 as the least that counts,

        times_average_word[w, p] = max(a[w, p], f[p]) / max(b[p], f[p])
        whole_caption_times_even[p] = b[p] / e[p]
    """

    attention: np.ndarray  # a [words, places]; each row sums to 1
    even: np.ndarray  # e [places]; sums to 1
    elsewhere: float  # the part that went to no place: marks of begin and end, states that stand for a whole window

    @property
    def times_average_word(self) -> np.ndarray:
        """How many times as much as the average word each word looked at each place [words, places]."""
        least = LEAST_LOOK * self.even
        return np.maximum(self.attention, least) / np.maximum(self.attention.mean(axis=0), least)

    @property
    def whole_caption_times_even(self) -> np.ndarray:
        """How many times as much as with an even look the whole caption looked at each place [places]."""
        return self.attention.mean(axis=0) / self.even

    def to_json(self) -> dict[str, object]:
        """Returns fractions from 0 to 1 and ratios, with four digits."""
        return {
            "attention_fraction": self.attention.round(4).tolist(),
            "times_average_word": self.times_average_word.round(4).tolist(),
            "whole_caption_times_even": self.whole_caption_times_even.round(4).tolist(),
            "attention_fraction_elsewhere": round(self.elsewhere, 4),
        }


@dataclass(frozen=True)
class Explanation:
    """What the words of one caption looked at."""

    words: list[str]  # of the caption, in order
    lines: list[str]  # of the lyrics that the model read
    seconds: list[float]  # where each second of the music starts in the file
    lyrics: Looks | None  # None for a song without lyrics
    music: Looks | None  # None for a model without music
    envelope: np.ndarray | None = None  # loudness of the music [points], evenly spread over the excerpt

    def strongest(self, count: int = 3) -> list[tuple[str, str, float]]:
        """Returns the words that stand out, each with its line and how many times the average word's look that got.

        Short words, and words that the caption has twice, are mostly glue and left out.
        """
        if self.lyrics is None:
            return []
        often = Counter(self.words)
        times = self.lyrics.times_average_word
        found = [
            (word.strip(",.;:!?\"'"), self.lines[times[row].argmax()], float(times[row].max()))
            for row, word in enumerate(self.words)
            if often[word] == 1 and len(word) > GLUE and times[row].max() >= TELLING
        ]
        return sorted(found, key=lambda look: -look[2])[:count]

    def to_json(self) -> dict[str, object]:
        """Returns the numbers as plain values; rows are words, columns lines or seconds."""
        return {
            "words": self.words,
            "lyrics": None if self.lyrics is None else {"lines": self.lines, **self.lyrics.to_json()},
            "music": None if self.music is None else {"start_seconds": self.seconds, **self.music.to_json()},
        }


@torch.inference_mode()
def explain_caption(
    model: RecapForCaptioning,
    processor: RecapProcessor,
    batch: Mapping[str, Tensor],
    lyrics: str,
    caption: str,
    decoded: DecodedAudio,
) -> Explanation:
    """Runs the model over a caption it generated and returns what the words looked at.

    A word's look at the lyrics is the decoder's attention D[w, t] to the lyrics tokens, mean over its layers, heads and
    the word's tokens. Its look at the music goes through the lyrics: sum over t of D[w, t] F[t, k], where F[t, k] is
    the attention of the fusion from lyrics token t to music step k, mean over fusion layers and heads. Where lyrics are
    read verse by verse, t is a verse, and its lines share what a word gave it.

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
    words, spans = token_words(processor, labels)
    encoded = model.model.encoder(**inputs, output_music_attentions=model.config.use_music)
    assert encoded.state_mask is not None
    looks = decoder_attention(model, encoded, encoded.state_mask, labels)
    by_word = np.stack([looks[list(span)].mean(axis=0) for span in spans]) if spans else looks[:0]
    parts, lines = state_lines(processor, lyrics, inputs["input_ids"][0].tolist())
    music, seconds = None, list[float]()
    if encoded.music_attentions:
        fused = torch.stack([found[0] for found in encoded.music_attentions]).mean(dim=0).float().cpu().numpy()
        second_of, seconds = step_seconds(processor, fused.shape[1], decoded.excerpt)
        music = gather(by_word @ fused, one_place(second_of, len(seconds)))
    return Explanation(words, lines, seconds, gather(by_word, parts), music, decoded.envelope)


def decoder_attention(
    model: RecapForCaptioning, encoded: LyricsEncoderOutput, mask: Tensor, labels: Sequence[int]
) -> np.ndarray:
    """Returns how much each token of a caption looked at each lyrics state, mean over layers and heads."""
    start = torch.tensor([[model.config.decoder_start_token_id, *labels[:-1]]], device=model.device)
    chosen = model.config._attn_implementation
    model.set_attn_implementation("eager")  # the others keep no attention
    try:
        decoded = model.model.decoder(
            input_ids=start,
            encoder_hidden_states=encoded.last_hidden_state,
            encoder_attention_mask=mask,
            use_cache=False,
            output_attentions=True,
        )
    finally:
        model.set_attn_implementation(chosen)
    return torch.stack([layer[0].mean(dim=0) for layer in decoded.cross_attentions]).mean(dim=0).float().cpu().numpy()


def one_place(owner: Sequence[int], count: int) -> np.ndarray:
    """Returns 1 where a state belongs to a place [states, places], from each one's number; -1 belongs to none."""
    return np.array(owner)[:, None] == np.arange(count)


def gather(attention: np.ndarray, belongs: np.ndarray) -> Looks | None:
    """Adds up attention [words, states] by the places that own each state [states, places]; None without any place."""
    placed = attention @ belongs
    totals = placed.sum(axis=1, keepdims=True)
    if not placed.size or not totals.all():
        return None
    return Looks(placed / totals, belongs.sum(axis=0) / belongs.sum(), float(1 - totals.mean()))


def step_seconds(processor: RecapProcessor, states: int, excerpt: Mapping[str, float]) -> tuple[list[int], list[float]]:
    """Returns the number of the place that each music state belongs to, -1 for none, and the seconds where they start.

    A place is a second; for musicnn, whose states stand for 3 s, a state.
    """
    start = excerpt.get("start", 0.0)
    times = step_times(processor, states, excerpt)
    if processor.audio.takes_whole_songs:
        return list(range(states)), [time for time in times if time is not None]
    owner = [-1 if time is None else int(time - start) for time in times]
    return owner, [start + second for second in range(max(owner) + 1)]


def step_times(processor: RecapProcessor, states: int, excerpt: Mapping[str, float]) -> list[float | None]:
    """Returns the second in the file at which each music state starts; None for one that stands for a whole window."""
    audio = processor.audio
    if audio.takes_whole_songs:
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


def state_lines(processor: RecapProcessor, lyrics: str, tokens: Sequence[int]) -> tuple[np.ndarray, list[str]]:
    """Returns how much of each lyrics state belongs to each line that was read [states, lines], and these lines."""
    if not processor.max_verses:
        owner, lines = token_lines(processor, lyrics, tokens)
        return one_place(owner, len(lines)), lines
    verses, texts = processor.read_verses(lyrics), split_lines(lyrics)
    rows = sorted({row for verse in verses for row in verse.lines})
    shares = [[(row in verse.lines) / max(len(verse.lines), 1) for row in rows] for verse in verses]
    return np.array(shares).reshape(len(verses), len(rows)), [texts[row] for row in rows]


def token_lines(processor: RecapProcessor, lyrics: str, tokens: Sequence[int]) -> tuple[list[int], list[str]]:
    """Returns the number of the line that each lyrics token belongs to, -1 for none, and the lines that have words."""
    special = set(processor.tokenizer.all_special_ids)
    offsets = processor.tokenizer(lyrics, return_offsets_mapping=True, verbose=False)["offset_mapping"]
    texts = lyrics.split("\n")
    numbers: dict[int, int] = {}  # of the rows that have words
    owner = []
    for token, (start, stop) in zip(tokens, offsets, strict=False):  # lyrics may have been cut
        text = lyrics[start:stop]
        first = start + (len(text) - len(text.lstrip())) % max(len(text), 1)  # a token owns the line break before it
        row = lyrics.count("\n", 0, first)
        has_words = token not in special and bool(texts[row].strip())
        owner.append(numbers.setdefault(row, len(numbers)) if has_words else -1)
    return owner, [texts[row] for row in numbers]


def token_words(processor: RecapProcessor, labels: Sequence[int]) -> tuple[list[str], list[range]]:
    """Returns a caption's words, and the places of each word's tokens."""
    if processor.marks_capitals:
        return piece_words(processor, labels)
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


def piece_words(processor: RecapProcessor, labels: Sequence[int]) -> tuple[list[str], list[range]]:
    """The same of word pieces, which do not say where a word begins: their letters fill the words of the caption."""
    words = processor.decode(torch.tensor([list(labels)]))[0].split()
    special = set(processor.tokenizer.all_special_ids)
    spans: list[range] = []
    room = 0  # letters of the last word that no piece has yet
    for place, piece in enumerate(processor.tokenizer.convert_ids_to_tokens(list(labels))):
        if labels[place] in special:
            continue
        if not room and len(spans) < len(words):
            room = len(words[len(spans)])
            spans.append(range(place, place + 1))
        spans[-1] = range(spans[-1].start, place + 1)
        room -= 0 if piece == CAPITAL else len(piece.removeprefix("##"))
    return words, spans
