"""A prepared data folder: songs, captions and mels to examples, examples to padded batches."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils.data import Dataset

from recap_cli.audio import AudioSettings
from recap_cli.corpus.manifest import Caption, Song, read_json_lines, song_from_json
from recap_cli.corpus.shards import ShardReader
from recap_cli.errors import DataError
from recap_cli.processor import IGNORED, RecapProcessor, pad_mels, pad_rows, pad_states

DATASET_FILE = "dataset.json"


@dataclass(frozen=True)
class PreparedSong:
    """A song of a prepared folder: the record, the key of its mel, and the seconds that the mel covers."""

    song: Song
    mel: str
    seconds: float


class PreparedData:
    """A folder that `recap prepare` finished.

    Raises:
        DataError: the folder is missing, unfinished or damaged.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.info = read_dataset_file(folder)
        self.audio = AudioSettings.from_json(self.info["audio"])
        self.mels = ShardReader(folder / "mels")
        captions: dict[str, list[Caption]] = {}
        try:
            for record in read_json_lines(folder / "captions.jsonl"):
                captions.setdefault(record["song"], []).append(Caption(record["text"], record["votes"]))
            self.songs = [
                PreparedSong(
                    song_from_json(record["song"], captions.get(record["song"]["id"], ())),
                    record["mel"],
                    record["seconds"],
                )
                for record in read_json_lines(folder / "songs.jsonl")
            ]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"{folder} is damaged: {error}", "run recap prepare again") from error
        missing = [entry.song.id for entry in self.songs if entry.mel not in self.mels]
        if missing:
            raise DataError(
                f"{folder} lacks the mels of {len(missing)} songs, such as {missing[0]}", "run recap prepare again"
            )

    @property
    def fingerprint(self) -> str:
        """Names the content of the folder."""
        return str(self.info["fingerprint"])

    @property
    def is_demo(self) -> bool:
        """Whether the songs are made up in code."""
        return "demo" in self.info

    def split(self, name: str) -> list[PreparedSong]:
        """Give the songs of a split.

        Raises:
            DataError: the folder has no such split.
        """
        songs = [entry for entry in self.songs if entry.song.split == name]
        if not songs:
            known = sorted({entry.song.split for entry in self.songs})
            raise DataError(f"{self.folder} has no songs in split {name!r}", f"its splits are {', '.join(known)}")
        return songs


def read_dataset_file(folder: Path) -> dict[str, Any]:
    """Read `dataset.json`, which exists once `recap prepare` has finished.

    Raises:
        DataError: there is none, or it is damaged.
    """
    path = folder / DATASET_FILE
    if not path.is_file():
        reason = "was not finished" if (folder / "mels").is_dir() else "is no prepared data folder"
        raise DataError(f"{folder} {reason}: it has no {DATASET_FILE}", f"run recap prepare --out {folder}")
    try:
        info: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        info["audio"], info["fingerprint"], info["splits"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is damaged: {error}", "run recap prepare again") from error
    return info


class SongDataset(Dataset):
    """Examples for training (a row for each caption) or for scoring (a row for each song).

    Args:
        songs: the songs of a split.
        processor: gives the tokens.
        music: mels or cached music states by mel key; None leaves the music out.
        per_caption: a row for each caption instead of a row for each song with its first caption.
        min_votes: leave out captions with fewer votes.
    """

    def __init__(
        self,
        songs: Sequence[PreparedSong],
        processor: RecapProcessor,
        music: Mapping[str, np.ndarray] | ShardReader | None,
        per_caption: bool = True,
        min_votes: int | None = None,
    ) -> None:
        self.songs = songs
        self.music = music
        self.processor = processor
        self.lyrics = [processor.encode_lyrics(entry.song.lyrics)[0] for entry in songs]
        self.rows: list[tuple[int, list[int]]] = []
        for index, entry in enumerate(songs):
            texts = [caption.text for caption in entry.song.captions if enough_votes(caption, min_votes)]
            chosen = texts if per_caption else texts[:1] or [""]
            self.rows += [(index, processor.encode_caption(text)) for text in chosen]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, row: int) -> dict[str, Any]:
        """Give one example: token lists, the song's number and its music [.., ..]."""
        index, labels = self.rows[row]
        example = {"input_ids": self.lyrics[index], "labels": labels, "song_ids": index}
        if self.music is not None:
            example["music"] = self.music[self.songs[index].mel]
        return example

    def lengths(self) -> np.ndarray:
        """Give the number of lyrics and caption tokens of each row [rows, 2]."""
        return np.array([(len(self.lyrics[index]), len(labels)) for index, labels in self.rows]).reshape(-1, 2)


@dataclass
class SongCollator:
    """Pads examples of `SongDataset` to a batch for the model.

    Attributes:
        processor: gives padding values.
        music: what the examples' music is: "states" (cached), "mel", or "" for none.
        label_padding: -100 where pads do not count in the loss, the pad token where they do.
        least: lyrics and caption tokens that every batch is padded to at least (public code: the corpus's longest).
    """

    processor: RecapProcessor
    music: str
    label_padding: int = IGNORED
    least: tuple[int, int] = (0, 0)

    def __call__(self, examples: Sequence[dict[str, Any]]) -> dict[str, Tensor]:
        """Give the batch that `RecapForCaptioning.forward` takes."""
        batch = self.processor.pad_lyrics([example["input_ids"] for example in examples], self.least[0])
        labels = [example["labels"] for example in examples]
        batch["labels"] = pad_rows(labels, self.label_padding, self.least[1])
        if self.music:
            batch["song_ids"] = pad_rows([[example["song_ids"]] for example in examples], 0)[:, 0]
        if self.music == "states":
            batch |= pad_states([example["music"] for example in examples])
        elif self.music == "mel":
            batch |= pad_mels([example["music"] for example in examples], self.processor.audio)
        return batch

    def batches(self, dataset: SongDataset, size: int) -> Iterator[dict[str, Tensor]]:
        """Give all rows of a dataset in order, `size` at a time."""
        for start in range(0, len(dataset), size):
            yield self([dataset[row] for row in range(start, min(start + size, len(dataset)))])


def enough_votes(caption: Caption, min_votes: int | None) -> bool:
    """Whether a caption has at least `min_votes`; without votes it cannot be left out."""
    return min_votes is None or caption.votes is None or caption.votes >= min_votes
