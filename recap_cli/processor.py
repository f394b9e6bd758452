"""RecapProcessor: log-mel spectrograms, lyrics and captions to tensors, and ids back to a caption."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedConfig, PreTrainedTokenizerBase
from transformers.utils import PushToHubMixin

from recap_cli.audio.decode import AudioSettings
from recap_cli.errors import DataError, ModelError
from recap_cli.model.folder import load_tokenizer
from recap_cli.records import Rule, check_fields, read_record, whole

PROCESSOR_FILE = "recap_processor.json"
IGNORED = -100
RULES = {
    "audio": Rule("an object", lambda value: isinstance(value, dict)),
    "max_lyrics_tokens": whole(3, 131_072),
    "max_caption_tokens": whole(3, 131_072),
}


@dataclass
class RecapProcessor(PushToHubMixin):
    """Turns what people have into what the model takes; saved beside the model, and pushed beside it (`push_to_hub`).

    Attributes:
        tokenizer: the model's tokenizer.
        audio: how songs were heard in training; captioning hears them the same way.
        max_lyrics_tokens: longer lyrics are cut.
        max_caption_tokens: longer captions are cut.
    """

    tokenizer: PreTrainedTokenizerBase
    audio: AudioSettings
    max_lyrics_tokens: int = 512
    max_caption_tokens: int = 512

    def __call__(
        self, lyrics: Sequence[str], mels: Sequence[np.ndarray] | None = None, captions: Sequence[str] | None = None
    ) -> dict[str, Tensor]:
        """Make a batch.

        Args:
            lyrics: one text a song; an empty one stands for an instrumental.
            mels: log-mels in dB, one [mels, frames] a song, of any lengths; None leaves the music out.
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
        """Give the tokens of lyrics, cut to `max_lyrics_tokens`, and how many there were before."""
        ids = self.tokenizer(text, add_special_tokens=True, truncation=False, verbose=False)["input_ids"]
        return cut(ids, self.max_lyrics_tokens), len(ids)

    def encode_caption(self, text: str) -> list[int]:
        """Give the tokens of a caption, cut to `max_caption_tokens`."""
        ids = self.tokenizer(text, add_special_tokens=True, truncation=False, verbose=False)["input_ids"]
        return cut(ids, self.max_caption_tokens)

    def pad_lyrics(self, rows: Sequence[Sequence[int]], least: int = 0) -> dict[str, Tensor]:
        """Pad token rows to their longest, or to `least`: `input_ids` and `attention_mask` [batch, tokens]."""
        ids = pad_rows(rows, self.tokenizer.pad_token_id, least)
        lengths = torch.tensor([len(row) for row in rows])
        return {"input_ids": ids, "attention_mask": (torch.arange(ids.shape[1]) < lengths[:, None]).long()}

    def decode(self, ids: Tensor) -> list[str]:
        """Turn generated ids [batch, tokens] into captions."""
        ids = torch.where(ids == IGNORED, self.tokenizer.pad_token_id, ids)
        texts = self.tokenizer.batch_decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return [text.strip() for text in texts]

    def save_pretrained(self, folder: str | Path, **ignored: Any) -> None:
        """Write the tokenizer and `recap_processor.json` into a model folder; what only models take is ignored."""
        folder = Path(folder)
        self.tokenizer.save_pretrained(folder)
        settings = {
            "audio": self.audio.to_json(),
            "max_lyrics_tokens": self.max_lyrics_tokens,
            "max_caption_tokens": self.max_caption_tokens,
        }
        (folder / PROCESSOR_FILE).write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")

    @classmethod
    def from_pretrained(cls, folder: str | Path, config: PreTrainedConfig | None = None) -> "RecapProcessor":
        """Read a processor from a model folder.

        Args:
            folder: the folder.
            config: of the model, if it was read before.

        Raises:
            ModelError: the folder holds none, a damaged one, or one that asks for something strange.
        """
        settings = read_settings(Path(folder))
        return cls(tokenizer=load_tokenizer(Path(folder), config), **settings)


def read_settings(folder: Path) -> dict[str, Any]:
    """Read the settings of a folder's processor: `audio` and the two limits of tokens.

    Raises:
        ModelError: the folder holds none, or damaged ones.
    """
    path = folder / PROCESSOR_FILE
    if not (path.exists() or path.is_symlink()):
        raise ModelError(f"{folder} has no {PROCESSOR_FILE}", "is it a model that recap train wrote?")
    settings = check_fields(read_record(path), RULES, str(path))
    if absent := [name for name in RULES if name not in settings]:
        raise ModelError(f"{path} has no {absent[0]}", "copy the model folder again")
    try:
        settings["audio"] = AudioSettings.from_json(settings["audio"])
    except DataError as error:
        raise ModelError(f"{path}: {error.message}", "copy the model folder again") from error
    return settings


def cut(ids: list[int], limit: int) -> list[int]:
    """Cut tokens to `limit`, keeping the closing token."""
    return ids if len(ids) <= limit else [*ids[: limit - 1], ids[-1]]


def pad_rows(rows: Sequence[Sequence[int]], value: int, least: int = 0) -> Tensor:
    """Pad integer rows with `value` to the longest, or to `least` [rows, longest]."""
    width = max(least, *(len(row) for row in rows))
    return torch.tensor([[*row, *[value] * (width - len(row))] for row in rows])


def pad_mels(mels: Sequence[np.ndarray], audio: AudioSettings) -> dict[str, Tensor]:
    """Pad log-mels [mels, frames] to the longest: `mel` [batch, mels, frames], `mel_mask` [batch, frames]."""
    frames = [mel.shape[1] for mel in mels]
    mel = torch.full((len(mels), audio.mels, max(frames)), 10 * float(np.log10(audio.power_floor)))
    mel_mask = torch.zeros(len(mels), max(frames), dtype=torch.long)
    for row, (values, count) in enumerate(zip(mels, frames, strict=True)):
        mel[row, :, :count] = torch.from_numpy(np.asarray(values, dtype=np.float32))
        mel_mask[row, :count] = 1
    return {"mel": mel, "mel_mask": mel_mask}


def pad_states(states: Sequence[np.ndarray]) -> dict[str, Tensor]:
    """Pad music states [steps, width]: `music_states` [batch, steps, width], `music_mask` [batch, steps]."""
    steps = [len(rows) for rows in states]
    padded = torch.zeros(len(states), max(steps), states[0].shape[1])
    mask = torch.zeros(len(states), max(steps), dtype=torch.long)
    for row, (values, count) in enumerate(zip(states, steps, strict=True)):
        padded[row, :count] = torch.from_numpy(np.asarray(values, dtype=np.float32))
        mask[row, :count] = 1
    return {"music_states": padded, "music_mask": mask}
