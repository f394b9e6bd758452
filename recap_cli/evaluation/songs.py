"""The songs that captions are scored on, and the captions of a file put in their order."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np

from recap_cli.corpus.dataset import PreparedSong
from recap_cli.errors import DataError
from recap_cli.evaluation.predictions import Prediction, title_of
from recap_cli.progress import Progress

ENOUGH_ARTISTS = 10  # from which on artists are drawn in place of songs without being asked for


@dataclass(frozen=True)
class SongSet:
    """The songs that captions are scored on."""

    ids: list[str]  # unique
    references: Sequence[Sequence[str]]  # captions of each song
    lyrics: list[str | None]  # None where they are not known
    tags: list[dict[str, str]]  # on demo songs, the true attributes of each
    unnamed: Path | None = None  # the file that the songs came from, where it has no ids: places are their names
    titles: list[str] = field(default_factory=list)  # "title, artist" of each song, where they are known
    artists: list[str] = field(default_factory=list)  # of each song, "" where unknown; [] where no song has one
    clusters: np.ndarray | None = None  # numbers of artists whose songs are drawn together [songs]; None: songs alone

    def without(self, left_out: Collection[str]) -> "SongSet":
        """Returns the other songs.

        Raises:
            DataError: there are none.
        """
        kept = [place for place, song in enumerate(self.ids) if song not in left_out]
        if not kept:
            raise DataError("all songs to score failed when they were captioned", "caption them again")
        return replace(
            self,
            ids=[self.ids[place] for place in kept],
            references=[self.references[place] for place in kept],
            lyrics=[self.lyrics[place] for place in kept],
            tags=[self.tags[place] for place in kept] if self.tags else [],
            titles=[self.titles[place] for place in kept] if self.titles else [],
            artists=[self.artists[place] for place in kept] if self.artists else [],
            clusters=None if self.clusters is None else self.clusters[kept],
        )

    @property
    def artist_numbers(self) -> np.ndarray:
        """A number for each song's artist [songs]; a song without a known one has a number of its own."""
        names = self.artists or [""] * len(self.ids)
        keys = [("artist", name) if name else ("song", song) for name, song in zip(names, self.ids, strict=True)]
        numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
        return np.array([numbers[key] for key in keys])

    def clustered(self, by: Literal["auto", "artist", "song"], progress: Progress) -> "SongSet":
        """Returns the same songs with the clusters that intervals and tests take for samples.

        Songs of one artist are not independent; "auto" takes artists where at least `ENOUGH_ARTISTS` are known.

        Raises:
            DataError: artists are asked for, and there are fewer than two or none is known.
        """
        if by == "song" or not self.artists:
            if by == "artist":
                raise DataError(
                    "--cluster artist: no song has an artist", "add a column artist, or name a file with --references"
                )
            return self
        numbers = self.artist_numbers
        artists = len(np.unique(numbers))
        if artists < (ENOUGH_ARTISTS if by == "auto" else 2):
            if by == "artist":
                raise DataError("--cluster artist: all songs are of one artist", "take --cluster song")
            progress.say(f"The songs are of {artists} artists, too few to draw from: songs count as independent.")
            return self
        return self if artists == len(numbers) else replace(self, clusters=numbers)

    @classmethod
    def from_prepared(cls, songs: Sequence[PreparedSong], is_demo: bool) -> "SongSet":
        """Returns the songs of a split."""
        return cls(
            [entry.song.id for entry in songs],
            [[caption.text for caption in entry.song.captions] for entry in songs],
            [entry.song.lyrics for entry in songs],
            [entry.song.tags for entry in songs] if is_demo else [],
            titles=[title_of(entry.song.title, entry.song.artist) for entry in songs],
            artists=known_artists([entry.song.artist for entry in songs]),
        )

    @classmethod
    def from_predictions(cls, path: Path, rows: Sequence[Prediction]) -> "SongSet":
        """Returns the songs of a file of captions; rows without ids are named by their places.

        Raises:
            DataError: the file has no references.
        """
        rows = [row for row in rows if not row.error] or list(rows)
        if not rows[0].references:
            raise DataError(f"{path} has no references to compare with", "add a column reference, or name --data")
        return cls(
            [row.id or row.place for row in rows],
            [row.references for row in rows],
            [row.lyrics for row in rows],
            [],
            None if rows[0].id else path,
            [row.title for row in rows],
            known_artists([row.artist for row in rows]),
        )


def known_artists(artists: list[str]) -> list[str]:
    """Returns the artists, [] where none is known."""
    return artists if any(artists) else []


def find_failed(path: Path, rows: Sequence[Prediction], progress: Progress) -> set[str]:
    """Returns the ids of songs that `recap caption` could not caption, and says how many there are.

    Raises:
        DataError: such a row has no id, so that nobody can tell which song it was.
    """
    failed = [row for row in rows if row.error]
    if not failed:
        return set()
    first = failed[0]
    if not first.id:
        raise DataError(f"{path}, {first.place}: a song without an id failed: {first.error}", "caption it again")
    progress.say(
        f"{path}: {len(failed)} of {len(rows)} songs failed when they were captioned and are left out for all systems, "
        f"such as {first.id}: {first.error}"
    )
    return {row.id for row in failed}


def match_predictions(
    path: Path, rows: Sequence[Prediction], songs: SongSet, progress: Progress, limit: int | None = None
) -> list[tuple[str, ...]]:
    """Puts the captions of a file in the order of the songs.

    Args:
        path: the file, for messages.
        rows: what it holds.
        songs: the songs.
        progress: where to report.
        limit: where rows have no ids, the first N of them stand for songs.

    Raises:
        DataError: the file has other songs, or other references and no ids.
    """
    if not rows[0].id:
        rows = rows[:limit]
        match_by_place(path, rows, songs)
        return [row.captions for row in rows]
    if songs.unnamed is not None:
        hint = "add a column song with the songs' ids, or leave them out in all files"
        raise DataError(f"{songs.unnamed} has no ids, so its songs cannot be found in {path}", hint)
    by_id = {row.id: row for row in rows}
    lacking = [song for song in songs.ids if song not in by_id]
    if lacking:
        raise DataError(
            f"{path} lacks {len(lacking)} of the {len(songs.ids)} songs, such as {lacking[0]}",
            "give a row for each song, or choose the songs with --split and --limit",
        )
    if others := sum(not row.error for row in rows) - len(songs.ids):
        progress.say(f"{path}: {others} rows belong to other songs and are left out.")
    texts = zip(songs.ids, songs.references, strict=True)
    if others := sum(not set(by_id[song].references) <= set(references) for song, references in texts):
        progress.say(f"{path} has other references for {others} songs; all systems are scored on the same, not these")
    return [by_id[song].captions for song in songs.ids]


def match_by_place(path: Path, rows: Sequence[Prediction], songs: SongSet) -> None:
    """Checks that rows without ids are the songs, one by one: their references tell.

    Raises:
        DataError: they are not, or nothing tells.
    """
    hint = "add a column song with the songs' ids"
    if not rows[0].references:
        raise DataError(f"{path} has no ids, and no references that would tell its songs", hint)
    if len(rows) != len(songs.ids):
        raise DataError(f"{path} has no ids, and {len(rows)} rows for {len(songs.ids)} songs", hint)
    for row, references in zip(rows, songs.references, strict=True):
        if list(row.references) != list(references):
            raise DataError(
                f"{path} has no ids, and the references in {row.place} are not those of the song in its place", hint
            )
