"""A prepared data folder: songs, captions and mels to examples, examples to padded batches."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, TypedDict, TypeVar

import numpy as np
from torch import Tensor
from torch.utils.data import Dataset

from recap_cli.audio.settings import MUSICNN_TAGS, AudioSettings
from recap_cli.corpus.data_folder import DATASET_FILE, MELS, STATES, parts_of, read_dataset_file
from recap_cli.corpus.shards import ShardReader
from recap_cli.corpus.song import Caption, Song, read_caption_line, read_song_line, shows_nothing
from recap_cli.errors import DataError
from recap_cli.processor import IGNORED, RecapProcessor, cut_verses, pad_mels, pad_rows, pad_states, verse_key
from recap_cli.records import corpus_of

AGAIN = "run recap prepare again"
KEPT_LYRICS = 4096  # songs whose lyrics tokens are kept
T = TypeVar("T")


@dataclass(frozen=True)
class PreparedSong:
    """A song of a prepared folder, with its captions."""

    song: Song
    mel: str  # the key of its mel
    seconds: float  # that the mel covers


def enough_votes(caption: Caption, min_votes: int | None) -> bool:
    """Whether a caption has at least `min_votes`; without votes it cannot be left out."""
    return min_votes is None or caption.votes is None or caption.votes >= min_votes


class PreparedData:
    """A folder that `recap prepare` finished: whole, or the slices of it that were copied together.

    Every line is read and checked here, so that no damaged one shows in the middle of a training.

    Attributes:
        songs: all of them, in the order of the folder.
        splits: the songs by split.
        mels: arrays [mels, frames] by key.
        notes: what a user should know though the folder can be used, one sentence each.

    Raises:
        DataError: the folder is missing, unfinished or damaged.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.info = read_dataset_file(folder)
        try:
            self.audio = AudioSettings.from_json(self.info["audio"])
        except DataError as error:
            raise DataError(f"{folder / DATASET_FILE}: {error.message}", error.hint) from error
        self.mels = ShardReader(folder / MELS)
        # Of made-up pairs there are music states alone; a music encoder has nothing left to do.
        self.states = ShardReader(folder / STATES) if self.info.get("music") == STATES else None
        self.notes: list[str] = []
        self.songs = self._read_songs()
        self.splits: dict[str, list[PreparedSong]] = {}
        for entry in self.songs:
            self.splits.setdefault(entry.song.split, []).append(entry)

    def _read_songs(self) -> list[PreparedSong]:
        """Reads all songs with their captions; each must have another id, and a mel of the right shape."""
        found: dict[str, PreparedSong] = {}
        places: dict[str, tuple[Path, int]] = {}
        missing: list[str] = []
        for path, number, (song, mel, seconds) in self._read_lines("songs.jsonl", read_song_line):
            entry = PreparedSong(song, mel, seconds)
            if mel not in self.arrays:
                missing.append(song.id)
            else:
                self._check_music(entry)
            if song.id in found:
                first, line = places[song.id]
                raise DataError(f"{path} line {number}: id {song.id!r} stands in {first} line {line}, too", AGAIN)
            found[song.id], places[song.id] = entry, (path, number)
        if missing:
            raise DataError(f"{self.folder} lacks the music of {len(missing)} songs, such as {missing[0]}", AGAIN)
        captions = self._read_captions(found)
        return [replace(one, song=replace(one.song, captions=tuple(captions[name]))) for name, one in found.items()]

    def _read_captions(self, songs: Mapping[str, PreparedSong]) -> dict[str, list[Caption]]:
        """Returns each song's captions; invisible ones and those of strangers are passed over and noted."""
        captions: dict[str, list[Caption]] = {name: [] for name in songs}
        empty = strange = 0
        for _, _, (name, caption) in self._read_lines("captions.jsonl", read_caption_line):
            if shows_nothing(caption.text):
                empty += 1
            elif name not in captions:
                strange += 1
            else:
                captions[name].append(caption)
        for count, what in ((empty, "with nothing in them"), (strange, "of songs that it does not hold")):
            if count:
                self.notes.append(f"{self.folder}: {count} captions {what} are passed over.")
        return captions

    def _read_lines(self, name: str, parse: Callable[[bytes], T]) -> Iterator[tuple[Path, int, T]]:
        """Yields what `parse` makes of each line that is not blank, with its file and number; blank lines count."""
        for part in parts_of(self.folder):
            path = part.file(self.folder, name)
            yield from ((path, number, one) for number, one in self._read_file(path, parse))

    def _read_file(self, path: Path, parse: Callable[[bytes], T]) -> Iterator[tuple[int, T]]:
        """Yields what `parse` makes of a file's lines that are not blank, with their numbers."""
        if path.exists() and not path.is_file():  # a folder, or a pipe, for which nobody shall wait
            raise DataError(f"{self.folder} is damaged: {path}: it is no file", AGAIN)
        try:
            with path.open("rb") as file:
                filled = ((number, line) for number, line in enumerate(file, start=1) if line.strip())
                for number, line in filled:
                    yield number, parse(line)
        except ValueError as error:
            raise DataError(f"{path} line {number} is damaged: {error}", AGAIN) from error
        except OSError as error:
            raise DataError(f"{self.folder} is damaged: {path}: {error.strerror}", AGAIN) from error

    @property
    def arrays(self) -> ShardReader:
        """The music of all songs: mels, or states."""
        return self.mels if self.states is None else self.states

    def _check_music(self, entry: PreparedSong) -> None:
        """Refuses a mel of another shape than the audio settings make, and states of other tags than musicnn's."""
        shape = self.arrays.shapes[entry.mel]
        if self.states is None:
            most = self.audio.frames(self.audio.samples)
            fits = len(shape) == 2 and shape[0] == self.audio.mels and 1 <= shape[1] <= most
            what, needed = "mel", f"{self.audio.mels} bands and 1 to {most} frames"
        else:
            fits = len(shape) == 2 and shape[0] >= 1 and shape[1] == MUSICNN_TAGS
            what, needed = "music", f"1 window or more of {MUSICNN_TAGS} tags"
        if not fits:
            raise DataError(
                f"{self.arrays.files[entry.mel]}: the {what} of {entry.song.id} has the shape {shape}, not {needed}",
                AGAIN,
            )

    @property
    def fingerprint(self) -> str:
        """Names the content of the folder."""
        return str(self.info["fingerprint"])

    @property
    def corpus(self) -> str:
        """Which of the corpora with a recipe of their own it is: `demo`, `real`, or "" for none."""
        return corpus_of(self.info)

    @property
    def is_demo(self) -> bool:
        """Whether the songs are made up in code."""
        return "demo" in self.info

    def split(self, name: str) -> list[PreparedSong]:
        """Returns the songs of a split.

        Raises:
            DataError: the folder has no such split.
        """
        if name not in self.splits:
            known = ", ".join(sorted(self.splits))
            raise DataError(f"{self.folder} has no songs in split {name!r}", f"its splits are {known}")
        return self.splits[name]


class Example(TypedDict, total=False):
    """One example for the model, before it is padded; a dataset may leave out `music` and `verses`."""

    input_ids: list[int]  # of the lyrics
    labels: list[int]  # of the caption
    song_ids: int  # the song's number in the dataset
    music: np.ndarray  # a mel [mels, frames], or cached states [frames, width]
    verses: np.ndarray  # cached states of the lyrics' verses [verses, width]


class SongDataset(Dataset[Example]):
    """Examples for training (a row for each caption) or for scoring (a row for each song).

    Texts become tokens when they are asked for.

    Args:
        songs: the songs of a split.
        processor: makes the tokens.
        music: mels or cached music states by mel key; None leaves the music out.
        per_caption: a row for each caption instead of a row for each song with its first caption.
        min_votes: leave out captions with fewer votes.
        captioned: songs from this number on have no caption to learn from, and a single row.
        verses: cached states of verses by `verse_key`; None leaves it to the model to read them.
    """

    def __init__(
        self,
        songs: Sequence[PreparedSong],
        processor: RecapProcessor,
        music: Mapping[str, np.ndarray] | ShardReader | None,
        per_caption: bool = True,
        min_votes: int | None = None,
        captioned: int | None = None,
        verses: ShardReader | None = None,
    ) -> None:
        self.songs = songs
        self.music, self.verses = music, verses
        self.processor = processor
        self.captioned = len(songs) if captioned is None else captioned
        # The song's number and the caption's in it; -1 is the empty caption of a song without any.
        self.rows: list[tuple[int, int]] = []
        for index, entry in enumerate(songs):
            captions = enumerate(entry.song.captions)
            places = [place for place, caption in captions if enough_votes(caption, min_votes)]
            every = per_caption and index < self.captioned
            self.rows += [(index, place) for place in (places if every else places[:1] or [-1])]
        self.lyrics_tokens = lru_cache(maxsize=KEPT_LYRICS)(self._encode_lyrics)
        self.counted: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, row: int) -> Example:
        """Returns one example."""
        example = self._read_texts(row)
        if not self._is_captioned(row):
            example["labels"] = [IGNORED]
        if self.music is not None:
            example["music"] = self.music[self.songs[example["song_ids"]].mel]
        if self.verses is not None:
            keys = map(verse_key, cut_verses(example["input_ids"]))
            example["verses"] = np.stack([self.verses[key] for key in keys])
        return example

    def _is_captioned(self, row: int) -> bool:
        """Whether a row's caption is learnt from."""
        return self.rows[row][0] < self.captioned

    def _read_texts(self, row: int) -> Example:
        """Returns one example without its music; a caption that is kept back is in it."""
        index, place = self.rows[row]
        song = self.songs[index].song
        text = song.captions[place].text if place >= 0 else ""
        labels = self.processor.encode_caption(text)
        return {"input_ids": self.lyrics_tokens(song.lyrics), "labels": labels, "song_ids": index}

    def lengths(self) -> np.ndarray:
        """Returns the number of lyrics and caption tokens of each row [rows, 2]; every text is read once for it.

        A caption that is kept back counts, too, so that rows without one are spread over batches as the others are.
        """
        if self.counted is None:
            texts = (self._read_texts(row) for row in range(len(self)))
            pairs = [(len(example["input_ids"]), len(example["labels"])) for example in texts]
            self.counted = np.array(pairs, np.int64).reshape(-1, 2)
        return self.counted

    def has_captions(self) -> bool:
        """Whether there is a caption with anything in it to learn."""
        return any(self._is_captioned(row) and len(self._read_texts(row)["labels"]) > 2 for row in range(len(self)))

    def _encode_lyrics(self, lyrics: str) -> list[int]:
        return self.processor.encode_lyrics(lyrics)[0]

    def __getstate__(self) -> dict[str, Any]:
        """Leaves the kept tokens behind when travelling to another process."""
        return {key: value for key, value in self.__dict__.items() if key != "lyrics_tokens"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.lyrics_tokens = lru_cache(maxsize=KEPT_LYRICS)(self._encode_lyrics)


@dataclass
class SongCollator:
    """Pads examples of `SongDataset` to a batch for the model."""

    processor: RecapProcessor
    music: str  # of the examples: "states" (cached), "mel", or "" for none
    label_padding: int = IGNORED  # -100 where pads do not count in the loss, the pad token where they do
    # Lyrics and caption tokens that every batch is padded to at least (public code: the corpus's longest).
    least: tuple[int, int] = (0, 0)

    def __call__(self, examples: Sequence[Example]) -> dict[str, Tensor]:
        """Returns the batch that `RecapForCaptioning.forward` takes."""
        batch = self.processor.pad_lyrics([example["input_ids"] for example in examples], self.least[0])
        labels = [example["labels"] for example in examples]
        batch["labels"] = pad_rows(labels, self.label_padding, self.least[1])
        if self.music:
            batch["song_ids"] = pad_rows([[example["song_ids"]] for example in examples], 0)[:, 0]
        if self.music == "states":
            batch |= pad_states([example["music"] for example in examples])
        elif self.music == "mel":
            batch |= pad_mels([example["music"] for example in examples], self.processor.audio)
        if "verses" in examples[0]:
            batch |= pad_states([example["verses"] for example in examples], "verse")
        return batch

    def batches(self, dataset: SongDataset, size: int) -> Iterator[dict[str, Tensor]]:
        """Yields all rows of a dataset in order, `size` at a time."""
        for start in range(0, len(dataset), size):
            yield self([dataset[row] for row in range(start, min(start + size, len(dataset)))])
