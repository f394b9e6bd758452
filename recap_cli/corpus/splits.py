"""All songs of a corpus, and who goes to train, validation and test: as given, frozen, by song, or as published."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from recap_cli.corpus.song import SPLITS, Caption, Rejected, Song, split_name
from recap_cli.errors import DataError
from recap_cli.escaping import is_unicode
from recap_cli.tables.cells import is_missing, read_name, shown
from recap_cli.tables.rows import read_rows
from recap_cli.tables.text_files import DECODER, open_text

PUBLISHED_SEED = 42
PUBLISHED_SHARE = 0.9
MOST_TAGS = 100
LONGEST_CAPTION = 100_000  # characters


@dataclass(eq=False, slots=True)
class ListedSong:
    """A song of the list, and what is found out about it."""

    song: Song  # without its captions
    split: str  # "" until it is decided
    captions: list[Caption] = field(default_factory=list)
    original: str = ""  # id of the song that it is a copy of, for a further split
    kin: int = -1  # the same number for all near-duplicates
    mel: str = ""  # "" until its audio is prepared
    frames: int = 0
    reason: str = ""  # why its audio cannot be used


class SongList:
    """The songs and what was rejected, in the order of the corpus; a song stands once in each split that it has."""

    def __init__(self) -> None:
        self.entries: list[ListedSong | Rejected] = []
        self.by_id: dict[str, ListedSong] = {}
        self.owners: list[ListedSong] = []  # of each caption, in the order of the corpus

    @property
    def songs(self) -> list[ListedSong]:
        """The songs, in order."""
        return [entry for entry in self.entries if isinstance(entry, ListedSong)]

    def add(self, song: Song) -> None:
        """Takes a song; of one that is known already, in the same audio, the captions."""
        found = self.by_id.get(song.id)
        reason = unfit(song)
        if reason or (found is not None and not is_same_part(found.song, song)):
            self.entries.append(Rejected(song.id[:200], song.audio, reason or "another song has the same id"))
            return
        if found is not None and found.split != song.split:
            copy = f"{song.id}@{song.split or 'other'}"
            found = self.by_id.get(copy) or self.insert(replace(song, id=copy), original=song.id)
        found = found or self.insert(song)
        found.captions.extend(song.captions)
        self.owners.extend([found] * len(song.captions))

    def insert(self, song: Song, original: str = "") -> ListedSong:
        """Appends a song without its captions; returns its entry."""
        listed = ListedSong(replace(song, captions=(), warnings=()), song.split, original=original)
        self.entries.append(listed)
        self.by_id[song.id] = listed
        return listed


def is_same_part(one: Song, other: Song) -> bool:
    """Whether two songs are the same audio, and the same part of it."""
    return one.audio == other.audio and one.excerpt == other.excerpt


def unfit(song: Song) -> str:
    """Returns why a song cannot be kept, "" when it can."""
    if not song.id:
        return "it has no id"
    if any(len(caption.text) > LONGEST_CAPTION for caption in song.captions):
        return f"a caption has over {LONGEST_CAPTION:,} characters"
    if len(song.tags) > MOST_TAGS or sum(len(key) + len(value) for key, value in song.tags.items()) > LONGEST_CAPTION:
        return f"it has over {MOST_TAGS} tags, or endless ones"
    if max(len(song.split), len(song.title), len(song.artist)) > 1000:
        return "its split, title or artist has over 1,000 characters"
    return ""


# splits ---------------------------------------------------------------------------------------------------------------


def short_hash(text: str) -> bytes:
    """Returns 8 bytes that stand for a text."""
    return hashlib.sha256(text.encode("utf-8", "replace")).digest()[:8]


def assign_splits(songs: list[ListedSong], seed: int) -> None:
    """Gives a split to every song that has none: 80 % train, 10 % validation, 10 % test.

    Near-duplicates go the same way: with the first one whose split is given, or else together. The seed and the ids
    decide, not the order of the songs.
    """
    groups: dict[int, list[ListedSong]] = defaultdict(list)
    for song in songs:
        groups[song.kin].append(song)
    undecided = []
    for group in groups.values():
        if given := next((song.split for song in group if song.split), ""):
            for song in group:
                song.split = song.split or given
        else:
            name = min(song.song.id for song in group)
            undecided.append((short_hash(f"{seed} {name}"), group[0].kin, group))
    tenth = max(1, round(len(undecided) / 10)) if len(undecided) >= 3 else 0
    for place, (_, _, group) in enumerate(sorted(undecided, key=lambda one: one[:2])):
        for song in group:
            song.split = "test" if place < tenth else "validation" if place < 2 * tenth else "train"


def freeze_splits(songs: SongList, path: Path) -> tuple[int, int]:
    """Gives songs the splits that a file names for their ids.

    Returns:
        How many songs have their split from it, and how many ids it names that the corpus lacks.

    Raises:
        DataError: the file cannot be read, or an id has no split, or two.
    """
    given: dict[str, str] = {}
    for song, split in read_split_file(path):
        if given.setdefault(song, split) != split:
            raise DataError(f"--split-file {path} puts {song} into {given[song]} and into {split}", "leave one out")
    if not given:
        raise DataError(f"--split-file {path} names no songs", "give it rows with an id and a split")
    found = [song for song in given if song in songs.by_id]
    for song in found:
        songs.by_id[song].split = given[song]
    return len(found), len(given) - len(found)


def read_split_file(path: Path) -> Iterator[tuple[str, str]]:
    """Yields ids with splits: of a table or JSON lines with id and split, a prepared folder's songs.jsonl, or JSON.

    Raises:
        DataError: the file cannot be read, or an id has no split.
    """
    if path.suffix.lower() == ".json":
        yield from read_split_lists(path)
        return
    if path.suffix.lower() not in (".csv", ".tsv", ".jsonl"):
        hint = "give .csv, .tsv or .jsonl with id and split, songs.jsonl of a prepared folder, or .json"
        raise DataError(f"--split-file {path} is of another kind", hint)
    for number, row in read_rows(path, "id"):
        record = row.get("song", row) if isinstance(row, dict) else row
        try:
            if not isinstance(record, dict):
                raise ValueError(record if isinstance(record, str) else "its song is no object")
            yield split_pair(record.get("id"), record.get("split"))
        except ValueError as error:
            hint = "correct the line"
            raise DataError(f"--split-file {path}, line {number} has no id and split: {error}", hint) from error


def split_pair(song: object, split: object) -> tuple[str, str]:
    """Returns an id and its split as we write it.

    Raises:
        ValueError: one is missing or no text.
    """
    name, split = read_name(song, "id"), "" if is_missing(split) else split_name(read_name(split, "split"))
    if not name or not split or len(split) > 100 or not is_unicode(name + split):
        raise ValueError(f"id {shown(name)}, split {shown(split)}")
    return name, split


def read_split_lists(path: Path) -> Iterator[tuple[str, str]]:
    """Yields the pairs of `{"train": [ids], "test": [ids]}`."""
    with open_text(path) as file:
        try:
            lists = DECODER.decode(file.read().strip())
            if not all(isinstance(songs, list) for songs in lists.values()):
                raise ValueError("a split is no list of ids")
            pairs = [split_pair(song, split) for split, songs in lists.items() for song in songs]
        except (ValueError, RecursionError, AttributeError) as error:
            hint = 'give lists of ids: {"train": [ids], "validation": [ids], "test": [ids]}'
            raise DataError(f"--split-file {path} cannot be read: {error}", hint) from error
    yield from pairs


def publish_splits(songs: SongList) -> None:
    """Splits captions row by row, 90/10, as BART-fusion's public code does: `random_split` of all rows, seed 42.

    A song whose captions fall on both sides is kept in both, its copy in validation as `id@validation`; songs given
    for the test stay there. With this split the validation has songs of the training: it is for comparisons only.
    """
    import torch

    rows = [song for song in songs.owners if song.split != "test"]
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(PUBLISHED_SEED)).tolist()
    out = set(order[int(len(rows) * PUBLISHED_SHARE) :])
    held: dict[ListedSong, set[int]] = defaultdict(set)  # of each song, which of its captions
    met: Counter[ListedSong] = Counter()
    for row, song in enumerate(rows):
        if row in out:
            held[song].add(met[song])
        met[song] += 1
    entries: list[ListedSong | Rejected] = []
    for entry in songs.entries:
        entries.append(entry)
        if isinstance(entry, Rejected) or entry.split == "test":
            continue
        numbers = held.get(entry, set())
        entry.split = "validation" if numbers and len(numbers) == len(entry.captions) else "train"
        if numbers and entry.split == "train":
            entries.append(part_with(entry, numbers, songs))
    songs.entries = entries


def part_with(song: ListedSong, numbers: set[int], songs: SongList) -> ListedSong:
    """Moves some of a song's captions to a copy of it for validation; returns the copy."""
    name = f"{song.song.id}@validation"
    while name in songs.by_id:
        name += "@validation"
    captions = [one for number, one in enumerate(song.captions) if number in numbers]
    song.captions = [one for number, one in enumerate(song.captions) if number not in numbers]
    copy = ListedSong(replace(song.song, id=name), "validation", captions, song.song.id, song.kin)
    songs.by_id[name] = copy
    return copy


# leakage --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Leakage:
    """What near-duplicates and row-wise splits would carry from training to the tests."""

    near_duplicates: float  # share of the songs that have a near-duplicate
    # Share of the held-out captions whose song, or a near-duplicate, would also be in training if captions were split
    # 90/10 row by row; the expectation over all such splits.
    row_wise: float
    across: int  # songs in validation or test that are, or are near-duplicates of, a song in training

    def to_json(self) -> dict[str, float]:
        """Returns the figures, shares rounded."""
        return {name: round(value, 4) for name, value in asdict(self).items()}


def measure_leakage(songs: list[ListedSong]) -> Leakage:
    """Returns what a row-wise split would have leaked, and what these splits do."""
    alike = Counter(song.kin for song in songs if not song.original)  # a copy is no near-duplicate
    twins = sum(count for count in alike.values() if count > 1)
    captions: Counter[int] = Counter()
    for song in songs:
        captions[song.kin] += len(song.captions)
    sizes = sorted(Counter(count for count in captions.values() if count).items())
    trained = {song.kin for song in songs if song.split == SPLITS[0]}
    across = sum(song.split in SPLITS[1:] and song.kin in trained for song in songs)
    return Leakage(twins / max(1, len(songs)), row_wise_leakage(sizes), across)


def row_wise_leakage(sizes: list[tuple[int, int]]) -> float:
    """Returns the expected share of held-out rows whose song is in training, too, when 10 % of the rows are held out.

    Args:
        sizes: pairs of a number of captions and how many songs have it.
    """
    total = sum(size * songs for size, songs in sizes)
    held = total - int(total * PUBLISHED_SHARE)
    leaked = 0.0
    for size, songs in sizes:
        alone = 1.0  # the chance that all other rows of the song are held out with one of them
        for other in range(size - 1):
            alone *= max(0, held - 1 - other) / (total - 1 - other)
        leaked += songs * size * (1 - alone)
    return leaked / total if total else 0.0
