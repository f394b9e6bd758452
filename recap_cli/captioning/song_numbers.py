"""Songs by number: which of a million were met or are done, in little memory."""

import os
from collections.abc import Iterator
from hashlib import blake2b

import numpy as np

NEW_NUMBERS = 50_000
NEW, AGAIN, OTHER = "new", "again", "other"  # what a song is that is met


class SongNumbers:
    """A set of 64-bit numbers in little more than 8 bytes each: a few new ones, and a sorted array of the others."""

    def __init__(self) -> None:
        self.sorted = np.zeros(0, np.uint64)
        self.new: set[int] = set()

    def add(self, number: int) -> None:
        """Takes a number in."""
        self.new.add(number)
        if len(self.new) >= NEW_NUMBERS:
            self.sorted = np.union1d(self.sorted, np.fromiter(self.new, np.uint64, len(self.new)))
            self.new = set()

    def __contains__(self, number: int) -> bool:
        if number in self.new:
            return True
        place = int(np.searchsorted(self.sorted, np.uint64(number)))
        return place < len(self.sorted) and int(self.sorted[place]) == number

    def __iter__(self) -> Iterator[int]:
        yield from map(int, self.sorted)
        yield from (number for number in self.new if number not in self.sorted)


class MetSongs:
    """The songs that were met so far: an id stands for one audio file, and further rows of it are of the same song."""

    def __init__(self) -> None:
        self.ids, self.pairs = SongNumbers(), SongNumbers()
        self.last = (-1, "")

    def meet(self, number: int, audio: str) -> str:
        """Returns NEW, AGAIN for an id with the same audio as before, or OTHER for an id that another audio has.

        Args:
            number: of the song's id.
            audio: its file, however it is spelled.
        """
        if (number, audio) == self.last:  # as of the rows that are captions of one song
            return AGAIN
        pair = song_number(f"{number} {os.path.normpath(audio)}")
        if number not in self.ids:
            self.ids.add(number)
            self.pairs.add(pair)
        elif pair not in self.pairs:
            return OTHER
        else:
            return AGAIN
        self.last = (number, audio)
        return NEW


def song_number(name: str) -> int:
    """Returns a number for a song's id: 64 bits of a hash, so that a million songs take little memory."""
    return int.from_bytes(blake2b(name.encode("utf-8", "replace"), digest_size=8).digest())
