"""A prepared data folder: songs, captions and mels to examples, examples to padded batches."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, overload

import numpy as np
from torch import Tensor
from torch.utils.data import Dataset

from recap_cli.audio.settings import AudioSettings
from recap_cli.corpus.data_folder import DATASET_FILE, MELS, parts_of, read_dataset_file
from recap_cli.corpus.records import is_blank, read_caption_record, read_song_record
from recap_cli.corpus.shards import ShardReader
from recap_cli.corpus.song import Caption, Song, song_from_json
from recap_cli.corpus.texts import MappedLines
from recap_cli.errors import DataError
from recap_cli.processor import IGNORED, RecapProcessor, pad_mels, pad_rows, pad_states

NO_VOTES = np.iinfo(np.int64).min
AGAIN = "run recap prepare again"
KEPT_LYRICS = 4096  # songs whose lyrics tokens are kept


@dataclass(frozen=True)
class PreparedSong:
    """A song of a prepared folder: the record, the key of its mel, and the seconds that the mel covers."""

    song: Song
    mel: str
    seconds: float


class SongList(Sequence[PreparedSong]):
    """Songs of a prepared folder, read from the mapped files when they are asked for; slices are lists, too.

    Args:
        data: the folder.
        numbers: the songs' numbers in it.
    """

    def __init__(self, data: "PreparedData", numbers: np.ndarray) -> None:
        self.data = data
        self.numbers = numbers

    def __len__(self) -> int:
        return len(self.numbers)

    @overload
    def __getitem__(self, place: int) -> PreparedSong: ...

    @overload
    def __getitem__(self, place: slice) -> "SongList": ...

    def __getitem__(self, place: int | slice) -> "PreparedSong | SongList":
        """Read a song, or give some of the songs."""
        if isinstance(place, slice):
            return SongList(self.data, self.numbers[place])
        return self.data.read_song(int(self.numbers[place]))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and len(self) == len(other) and all(map(PreparedSong.__eq__, self, other))

    __hash__ = None  # type: ignore[assignment]

    def has_captions(self, place: int, min_votes: int | None = None) -> bool:
        """Whether a song has a caption, with enough votes, without reading the captions."""
        votes = self.votes(place)
        return bool(len(votes) if min_votes is None else ((votes == NO_VOTES) | (votes >= min_votes)).any())

    def votes(self, place: int) -> np.ndarray:
        """Give the votes of a song's captions, `NO_VOTES` where there are none, without reading the captions."""
        first, last = self.data.caption_range(int(self.numbers[place]))
        return self.data.caption_votes[first:last]


class PreparedData:
    """A folder that `recap prepare` finished: whole, or the slices of it that were copied together.

    Only places of texts are kept; the texts stay in mapped files, so that hundreds of thousands of captions open in
    seconds and take little memory.

    Every line is read once and checked here, so that no damaged one shows in the middle of a training.

    Attributes:
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
        parts = parts_of(folder)
        try:
            self.song_lines = MappedLines([part.file(folder, "songs.jsonl") for part in parts])
            self.caption_lines = MappedLines([part.file(folder, "captions.jsonl") for part in parts])
        except OSError as error:
            reason = f"{error.filename}: {error.strerror}" if error.filename else error
            raise DataError(f"{folder} is damaged: {reason}", AGAIN) from error
        self.notes: list[str] = []
        self.index_captions(self.index_songs())
        self.last_read: tuple[int, PreparedSong] | None = None
        self.songs = SongList(self, np.arange(len(self.song_lines)))

    def index_songs(self) -> dict[str, int]:
        """Note each song's split, and check its mel; give the songs' numbers by id."""
        numbers: dict[str, int] = {}
        names: dict[str, int] = {}
        splits = np.zeros(len(self.song_lines), np.int32)
        missing, lacking = 0, ""
        for number in range(len(self.song_lines)):
            entry = self.song_lines.read(number, song_of_line)
            song = entry.song
            if entry.mel not in self.mels:
                missing, lacking = missing + 1, lacking or song.id
            else:
                self.check_mel(entry)
            if numbers.setdefault(song.id, number) != number:
                first = self.song_lines.place(numbers[song.id])
                raise DataError(f"{self.song_lines.place(number)}: id {song.id!r} stands in {first}, too", AGAIN)
            splits[number] = names.setdefault(song.split, len(names))
        if missing:
            raise DataError(f"{self.folder} lacks the mels of {missing} songs, such as {lacking}", AGAIN)
        self.split_names, self.split_codes = names, splits
        return numbers

    def check_mel(self, entry: PreparedSong) -> None:
        """Refuses a mel of another shape than the audio settings make.

        Raises:
            DataError: it is.
        """
        shape, most = self.mels.shapes[entry.mel], self.audio.frames(self.audio.samples)
        if len(shape) != 2 or shape[0] != self.audio.mels or not 1 <= shape[1] <= most:
            raise DataError(
                f"{self.mels.files[entry.mel]}: the mel of {entry.song.id} has the shape {shape}, "
                f"not {self.audio.mels} bands and 1 to {most} frames",
                AGAIN,
            )

    def index_captions(self, numbers: dict[str, int]) -> None:
        """Notes which captions a song has, and their votes.

        Blank captions, and those of songs that are not there, are passed over and counted in `notes`.
        """
        count, nobody = len(self.caption_lines), len(numbers)
        owners, votes = np.full(count, nobody, np.int64), np.full(count, NO_VOTES, np.int64)
        blank = strange = 0
        for number in range(count):
            name, caption = self.caption_lines.read(number, caption_of_line)
            owner = numbers.get(name, nobody)
            if is_blank(caption.text):
                blank, owner = blank + 1, nobody
            elif owner == nobody:
                strange += 1
            owners[number] = owner
            if caption.votes is not None:
                votes[number] = caption.votes
        for found, what in ((blank, "with nothing in them"), (strange, "of songs that it does not hold")):
            if found:
                self.notes.append(f"{self.folder}: {found} captions {what} are passed over.")
        self.caption_order = np.argsort(owners, kind="stable")
        self.caption_starts = np.searchsorted(owners[self.caption_order], np.arange(len(numbers) + 1))
        self.caption_votes = votes[self.caption_order]

    def caption_range(self, number: int) -> tuple[int, int]:
        """Give the places of a song's captions in `caption_order`: the first, and the one behind the last."""
        return int(self.caption_starts[number]), int(self.caption_starts[number + 1])

    def read_song(self, number: int) -> PreparedSong:
        """Read a song with its captions; the last one that was read is kept, as its captions are asked for in turn."""
        if self.last_read is None or self.last_read[0] != number:
            self.last_read = number, self.parse_song(number)
        return self.last_read[1]

    def parse_song(self, number: int) -> PreparedSong:
        """Read a song with its captions from the mapped files."""
        first, last = self.caption_range(number)
        places = self.caption_order[first:last].tolist()
        captions = tuple(self.caption_lines.read(place, caption_of_line)[1] for place in places)
        return self.song_lines.read(number, lambda line: song_of_line(line, captions))

    @property
    def fingerprint(self) -> str:
        """Names the content of the folder."""
        return str(self.info["fingerprint"])

    @property
    def is_demo(self) -> bool:
        """Whether the songs are made up in code."""
        return "demo" in self.info

    def split(self, name: str) -> SongList:
        """Give the songs of a split.

        Raises:
            DataError: the folder has no such split.
        """
        chosen = np.flatnonzero(self.split_codes == self.split_names.get(name, -1))
        if not len(chosen):
            known = ", ".join(sorted(self.split_names))
            raise DataError(f"{self.folder} has no songs in split {name!r}", f"its splits are {known}")
        return SongList(self, chosen)


def song_of_line(line: bytes, captions: tuple[Caption, ...] = ()) -> PreparedSong:
    """Read a line of `songs.jsonl`."""
    record = read_song_record(line)
    return PreparedSong(song_from_json(record["song"], captions), record["mel"], record["seconds"])


def caption_of_line(line: bytes) -> tuple[str, Caption]:
    """Read a line of `captions.jsonl`: the song's id and the caption."""
    record = read_caption_record(line)
    return record["song"], Caption(record["text"], record.get("votes"))


class SongDataset(Dataset):
    """Examples for training (a row for each caption) or for scoring (a row for each song).

    Texts become tokens when they are asked for.

    Args:
        songs: the songs of a split.
        processor: gives the tokens.
        music: mels or cached music states by mel key; None leaves the music out.
        per_caption: a row for each caption instead of a row for each song with its first caption.
        min_votes: leave out captions with fewer votes.
        captioned: songs from this number on have no caption to learn from, and a single row.
    """

    def __init__(
        self,
        songs: Sequence[PreparedSong],
        processor: RecapProcessor,
        music: Mapping[str, np.ndarray] | ShardReader | None,
        per_caption: bool = True,
        min_votes: int | None = None,
        captioned: int | None = None,
    ) -> None:
        self.songs = songs
        self.music = music
        self.processor = processor
        self.captioned = len(songs) if captioned is None else captioned
        self.rows = choose_rows(songs, per_caption, min_votes, self.captioned)
        self.lyrics_tokens = lru_cache(maxsize=KEPT_LYRICS)(self.encode_lyrics)
        self.counted: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, row: int) -> dict[str, Any]:
        """Give one example: token lists, the song's number and its music [.., ..]."""
        example = self.read_texts(row)
        if not self.is_captioned(row):
            example["labels"] = [IGNORED]
        if self.music is not None:
            example["music"] = self.music[self.songs[example["song_ids"]].mel]
        return example

    def is_captioned(self, row: int) -> bool:
        """Whether a row's caption is learnt from."""
        return int(self.rows[row][0]) < self.captioned

    def read_texts(self, row: int) -> dict[str, Any]:
        """Give one example without its music."""
        index, place = (int(number) for number in self.rows[row])
        song = self.songs[index].song
        text = song.captions[place].text if place >= 0 else ""
        return {
            "input_ids": self.lyrics_tokens(song.lyrics),
            "labels": self.processor.encode_caption(text),
            "song_ids": index,
        }

    def lengths(self) -> np.ndarray:
        """Give the number of lyrics and caption tokens of each row [rows, 2]; every text is read once for it."""
        if self.counted is None:
            self.counted = np.array([self.row_lengths(row) for row in range(len(self))], np.int64).reshape(-1, 2)
        return self.counted

    def row_lengths(self, row: int) -> tuple[int, int]:
        """Give one row's number of lyrics and caption tokens; a caption that is kept back counts, too.

        So rows without a caption are spread over batches as the others are.
        """
        example = self.read_texts(row)
        return len(example["input_ids"]), len(example["labels"])

    def has_captions(self) -> bool:
        """Whether there is a caption with anything in it to learn."""
        return any(self.is_captioned(row) and self.row_lengths(row)[1] > 2 for row in range(len(self)))

    def encode_lyrics(self, lyrics: str) -> list[int]:
        """Give the tokens of lyrics."""
        return self.processor.encode_lyrics(lyrics)[0]

    def __getstate__(self) -> dict[str, Any]:
        """Leave the kept tokens behind when travelling to another process."""
        return {key: value for key, value in self.__dict__.items() if key != "lyrics_tokens"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.lyrics_tokens = lru_cache(maxsize=KEPT_LYRICS)(self.encode_lyrics)


def choose_rows(songs: Sequence[PreparedSong], per_caption: bool, min_votes: int | None, captioned: int) -> np.ndarray:
    """Give the rows of a dataset [rows, 2]: the song's number and the caption's; -1 is the empty caption."""
    rows: list[tuple[int, int]] = []
    for index in range(len(songs)):
        if isinstance(songs, SongList):
            votes = songs.votes(index)
            enough = votes == votes if min_votes is None else (votes == NO_VOTES) | (votes >= min_votes)
            places = np.flatnonzero(enough).tolist()
        else:
            captions = enumerate(songs[index].song.captions)
            places = [place for place, caption in captions if enough_votes(caption, min_votes)]
        every = per_caption and index < captioned
        rows += [(index, place) for place in (places if every else places[:1] or [-1])]
    return np.array(rows, np.int32).reshape(-1, 2)


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
