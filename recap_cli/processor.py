"""RecapProcessor: log-mel spectrograms, lyrics and captions to tensors, and ids back to a caption."""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers.configuration_utils import PreTrainedConfig
from transformers.tokenization_utils_base import PreTrainedTokenizerBase
from transformers.utils import PushToHubMixin

from recap_cli.audio.settings import AudioSettings
from recap_cli.errors import DataError, ModelError
from recap_cli.lyrics.verses import split_lines, split_verses
from recap_cli.model.folder import load_tokenizer
from recap_cli.records import Rule, check_fields, read_record, whole

PROCESSOR_FILE = "recap_processor.json"
IGNORED = -100  # the label of padding, which no loss counts
MOST_VERSES = 64  # of a text; no song of 6,071 in MulJam has as many
CAPITAL = "[CAP]"  # stands before a capital in captions, where a tokenizer knows it: it has small letters alone
RULES = {
    "audio": Rule("an object", lambda value: isinstance(value, dict)),
    "max_lyrics_tokens": whole(3, 131_072),
    "max_caption_tokens": whole(3, 131_072),
}
MORE_RULES = {"max_verses": whole(0, 4096)}


@dataclass(frozen=True)
class Verse:
    """A verse of a text, as the model reads it."""

    ids: list[int]  # its tokens, begin and end marked
    lines: list[int]  # places of its lines in the text


@dataclass
class RecapProcessor(PushToHubMixin):
    """Turns what people have into what the model takes; saved beside the model, and pushed beside it (`push_to_hub`).

    Songs are decoded for captioning with the `audio` settings of training. Longer texts are cut to the two limits. With
    `max_verses`, lyrics are read verse by verse: `max_lyrics_tokens` are those of a verse, and a longer one becomes
    two.
    """

    tokenizer: PreTrainedTokenizerBase
    audio: AudioSettings
    max_lyrics_tokens: int = 512
    max_caption_tokens: int = 512
    max_verses: int = 0  # that are read of a text; 0 reads it as one

    def __call__(
        self, lyrics: Sequence[str], mels: Sequence[np.ndarray] | None = None, captions: Sequence[str] | None = None
    ) -> dict[str, Tensor]:
        """Returns a batch.

        Args:
            lyrics: one text a song; an empty one stands for an instrumental.
            mels: log-mels, one [mels, frames] a song, of any lengths; None leaves the music out.
            captions: texts to learn.

        Returns:
            `input_ids` and `attention_mask` [batch, tokens]; with `mels` also `mel` [batch, mels, frames] and
            `mel_mask` [batch, frames]; with `captions` also `labels` [batch, caption tokens], -100 where padded.
        """
        batch = self.pad_lyrics([self.encode_lyrics(text)[0] for text in lyrics])
        if mels is not None:
            batch |= pad_mels(mels, self.audio)
        if captions is not None:
            batch["labels"] = pad_rows([self.encode_caption(text) for text in captions], IGNORED)
        return batch

    def encode_lyrics(self, text: str) -> tuple[list[int], int]:
        """Returns the tokens of lyrics as the model reads them, and how many they have as one text before any cut."""
        ids = self._encode(text)
        if self.max_verses:
            return [token for verse in self.read_verses(text) for token in verse.ids], len(ids)
        return cut(ids, self.max_lyrics_tokens), len(ids)

    def read_verses(self, text: str) -> list[Verse]:
        """Returns the verses that the model reads of lyrics, one at least."""
        return self._find_verses(text)[: self.max_verses]

    def _find_verses(self, text: str) -> list[Verse]:
        lines = split_lines(text)
        return [part for verse in split_verses(lines) or [[]] for part in self._fit_verse(lines, verse)]

    def _fit_verse(self, lines: Sequence[str], verse: list[int]) -> list[Verse]:
        """Returns a verse, or the parts of one that is too long: halves, and of a single line as much as fits."""
        first, *inner = self._encode("\n".join(lines[row] for row in verse))
        # In the model a begin token begins a verse, so a text that spells one out does not have it.
        inner, last = [token for token in inner[:-1] if token != first], inner[-1:]
        room = self.max_lyrics_tokens - 2
        if len(inner) <= room:
            return [Verse([first, *inner, *last], verse)]
        if len(verse) > 1:
            half = len(verse) // 2
            return [part for some in (verse[:half], verse[half:]) for part in self._fit_verse(lines, some)]
        return [Verse([first, *inner[at : at + room], *last], verse) for at in range(0, len(inner), room)]

    def cut_warning(self, text: str) -> str:
        """Says what of lyrics the model does not read; "" where it reads all."""
        if self.max_verses:
            found, most, what = len(self._find_verses(text)), self.max_verses, "verses"
        else:
            found, most, what = len(self._encode(text)), self.max_lyrics_tokens, "tokens"
        return f"lyrics cut at {most} {what}: they have {found}" if found > most else ""

    def encode_caption(self, text: str) -> list[int]:
        """Returns the tokens of a caption, cut to `max_caption_tokens`."""
        return cut(self._encode(mark_capitals(text) if self.marks_capitals else text), self.max_caption_tokens)

    @property
    def marks_capitals(self) -> bool:
        """Whether the tokenizer has small letters alone, and captions are written out from them."""
        return self.tokenizer.convert_tokens_to_ids(CAPITAL) not in (None, self.tokenizer.unk_token_id)

    def _encode(self, text: str) -> list[int]:
        # Cut by us, which keeps the closing token; transformers would warn of longer texts.
        return self.tokenizer(text, add_special_tokens=True, truncation=False, verbose=False)["input_ids"]

    def pad_lyrics(self, rows: Sequence[Sequence[int]], least: int = 0) -> dict[str, Tensor]:
        """Returns token rows padded to the longest, or to `least`: `input_ids`, `attention_mask` [batch, tokens]."""
        ids = pad_rows(rows, self.tokenizer.pad_token_id, least)
        return {"input_ids": ids, "attention_mask": _mask([len(row) for row in rows], ids.shape[1])}

    def decode(self, ids: Tensor) -> list[str]:
        """Returns the captions of generated ids [batch, tokens]."""
        ids = torch.where(ids == IGNORED, self.tokenizer.pad_token_id, ids)
        texts = self.tokenizer.batch_decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return [write_out(text) if self.marks_capitals else text.strip() for text in texts]

    def save_pretrained(self, folder: str | Path, **ignored: Any) -> None:
        """Writes the tokenizer and `recap_processor.json` into a model folder; what only models take is ignored."""
        folder = Path(folder)
        self.tokenizer.save_pretrained(folder)
        settings = {
            "audio": self.audio.to_json(),
            "max_lyrics_tokens": self.max_lyrics_tokens,
            "max_caption_tokens": self.max_caption_tokens,
            **({"max_verses": self.max_verses} if self.max_verses else {}),
        }
        (folder / PROCESSOR_FILE).write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")

    @classmethod
    def from_pretrained(cls, folder: str | Path, config: PreTrainedConfig | None = None) -> "RecapProcessor":
        """Returns the processor of a model folder, whose `config` may be read already.

        A ModelError where the folder holds none, a damaged one, or one that asks for something strange.
        """
        settings = read_settings(Path(folder))
        return cls(tokenizer=load_tokenizer(Path(folder), config), **settings)


def read_settings(folder: Path) -> dict[str, Any]:
    """Returns the settings of a folder's processor, `audio` and the limits; a ModelError where they are none."""
    path = folder / PROCESSOR_FILE
    if not (path.exists() or path.is_symlink()):
        raise ModelError(f"{folder} has no {PROCESSOR_FILE}", "is it a model that recap train wrote?")
    settings = check_fields(read_record(path), RULES | MORE_RULES, str(path))
    if absent := [name for name in RULES if name not in settings]:
        raise ModelError(f"{path} has no {absent[0]}", "copy the model folder again")
    try:
        settings["audio"] = AudioSettings.from_json(settings["audio"])
    except DataError as error:
        raise ModelError(f"{path}: {error.message}", "copy the model folder again") from error
    return settings


def mark_capitals(text: str) -> str:
    """Returns a caption with a mark before each word that begins with a capital; other capitals are lost."""
    return re.sub(r"\b[^\W\d_]\w*", lambda word: f"{CAPITAL} {word[0]}" if word[0][0].isupper() else word[0], text)


def write_out(text: str) -> str:
    """Returns a caption as people write it, from words and marks that all have spaces around them."""
    text = re.sub(rf"{re.escape(CAPITAL)} *(\w?)", lambda letter: letter[1].upper(), text)
    text = re.sub(r'" ([^"]*) "', r'"\1"', text)
    text = re.sub(r"(?<=\w) ([-–'’/]) (?=\w)", r"\1", text)
    return re.sub(r" +([.,;:!?%)\]])", r"\1", re.sub(r"([(\[]) +", r"\1", text)).strip()


def verse_key(ids: Sequence[int]) -> str:
    """Names the tokens of a verse."""
    return hashlib.blake2b(np.asarray(ids, np.int32).tobytes(), digest_size=12).hexdigest()


def cut_verses(ids: Sequence[int]) -> list[Sequence[int]]:
    """Returns the verses of lyrics tokens that were read verse by verse: each begins with what they begin with."""
    starts = [place for place, token in enumerate(ids) if token == ids[0]]
    return [ids[start:stop] for start, stop in zip(starts, [*starts[1:], len(ids)], strict=True)]


def cut(ids: list[int], limit: int) -> list[int]:
    """Returns tokens cut to `limit`, the closing token kept."""
    return ids if len(ids) <= limit else [*ids[: limit - 1], ids[-1]]


def pad_rows(rows: Sequence[Sequence[int]], value: int, least: int = 0) -> Tensor:
    """Returns integer rows padded with `value` to the longest, or to `least` [rows, longest]."""
    width = max(least, *(len(row) for row in rows))
    return torch.tensor([[*row, *[value] * (width - len(row))] for row in rows])


def pad_mels(mels: Sequence[np.ndarray], audio: AudioSettings) -> dict[str, Tensor]:
    """Returns log-mels [mels, frames] padded with silence: `mel` [batch, mels, frames], `mel_mask` [batch, frames]."""
    frames = [mel.shape[1] for mel in mels]
    mel = torch.full((len(mels), audio.mels, max(frames)), audio.silence)
    for row, values in enumerate(mels):
        mel[row, :, : values.shape[1]] = torch.from_numpy(np.asarray(values, dtype=np.float32))
    return {"mel": mel, "mel_mask": _mask(frames, max(frames))}


def pad_states(states: Sequence[np.ndarray], name: str = "music") -> dict[str, Tensor]:
    """Returns music states [steps, width] padded: `music_states` [batch, steps, width], `music_mask` [batch, steps].

    Or states that are called by another `name`.
    """
    steps = [len(rows) for rows in states]
    padded = torch.zeros(len(states), max(steps), states[0].shape[1])
    for row, values in enumerate(states):
        padded[row, : len(values)] = torch.from_numpy(np.asarray(values, dtype=np.float32))
    return {f"{name}_states": padded, f"{name}_mask": _mask(steps, max(steps))}


def _mask(lengths: Sequence[int], width: int) -> Tensor:
    """Returns 1 where a row has something and 0 where it is padded, int64 [rows, width]."""
    return (torch.arange(width) < torch.tensor(lengths)[:, None]).long()
