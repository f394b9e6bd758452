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

from recap_cli.audio.settings import AudioSettings
from recap_cli.errors import DataError, ModelError
from recap_cli.model.folder import load_tokenizer
from recap_cli.records import Rule, check_fields, read_record, whole

PROCESSOR_FILE = "recap_processor.json"
IGNORED = -100  # the label of padding, which no loss counts
RULES = {
    "audio": Rule("an object", lambda value: isinstance(value, dict)),
    "max_lyrics_tokens": whole(3, 131_072),
    "max_caption_tokens": whole(3, 131_072),
}


@dataclass
class RecapProcessor(PushToHubMixin):
    """Turns what people have into what the model takes; saved beside the model, and pushed beside it (`push_to_hub`).

    Songs are decoded for captioning with the `audio` settings of training. Longer texts are cut to the two limits.
    """

    tokenizer: PreTrainedTokenizerBase
    audio: AudioSettings
    max_lyrics_tokens: int = 512
    max_caption_tokens: int = 512

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
        """Returns the tokens of lyrics, cut to `max_lyrics_tokens`, and how many there were before."""
        ids = self._encode(text)
        return cut(ids, self.max_lyrics_tokens), len(ids)

    def encode_caption(self, text: str) -> list[int]:
        """Returns the tokens of a caption, cut to `max_caption_tokens`."""
        return cut(self._encode(text), self.max_caption_tokens)

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
        return [text.strip() for text in texts]

    def save_pretrained(self, folder: str | Path, **ignored: Any) -> None:
        """Writes the tokenizer and `recap_processor.json` into a model folder; what only models take is ignored."""
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
        """Returns the processor of a model folder, whose `config` may be read already.

        A ModelError where the folder holds none, a damaged one, or one that asks for something strange.
        """
        settings = read_settings(Path(folder))
        return cls(tokenizer=load_tokenizer(Path(folder), config), **settings)


def read_settings(folder: Path) -> dict[str, Any]:
    """Returns the settings of a folder's processor, `audio` and the two limits; a ModelError where they are none."""
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


def pad_states(states: Sequence[np.ndarray]) -> dict[str, Tensor]:
    """Returns music states [steps, width] padded: `music_states` [batch, steps, width], `music_mask` [batch, steps]."""
    steps = [len(rows) for rows in states]
    padded = torch.zeros(len(states), max(steps), states[0].shape[1])
    for row, values in enumerate(states):
        padded[row, : len(values)] = torch.from_numpy(np.asarray(values, dtype=np.float32))
    return {"music_states": padded, "music_mask": _mask(steps, max(steps))}


def _mask(lengths: Sequence[int], width: int) -> Tensor:
    """Returns 1 where a row has something and 0 where it is padded, int64 [rows, width]."""
    return (torch.arange(width) < torch.tensor(lengths)[:, None]).long()
