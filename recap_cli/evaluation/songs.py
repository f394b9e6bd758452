"""The songs that captions are scored on: where they come from, which all files have, and captions in their order."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np

from recap_cli.corpus.dataset import PreparedData, PreparedSong
from recap_cli.errors import DataError
from recap_cli.evaluation.captions import captioned_songs
from recap_cli.evaluation.options import EvaluateOptions
from recap_cli.evaluation.predictions import FileReader, Prediction, title_of
from recap_cli.layouts.lyrics_folder import LyricsFolder
from recap_cli.progress import Progress
from recap_cli.scoring.song_scores import Judges

ENOUGH_ARTISTS = 10  # from which on artists are drawn in place of songs without being asked for
Files = Mapping[Path, list[Prediction]]
MOST_TOLD = 3  # songs and files in a message


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
    judges: Judges = field(default_factory=Judges)  # what else captions are scored by
    named: list[str] = field(default_factory=list)  # what files call the songs; [] where these are their ids

    @property
    def keys(self) -> list[str]:
        """What files call the songs."""
        return self.named or self.ids

    def without(self, left_out: Collection[str]) -> "SongSet":
        """Returns the songs whose keys are not among those left out."""
        kept = [place for place, key in enumerate(self.keys) if key not in left_out]
        return replace(
            self,
            ids=[self.ids[place] for place in kept],
            references=[self.references[place] for place in kept],
            lyrics=[self.lyrics[place] for place in kept],
            tags=[self.tags[place] for place in kept] if self.tags else [],
            titles=[self.titles[place] for place in kept] if self.titles else [],
            artists=[self.artists[place] for place in kept] if self.artists else [],
            clusters=None if self.clusters is None else self.clusters[kept],
            named=[self.named[place] for place in kept] if self.named else [],
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
            raise DataError(
                f"{path} has no references to compare with", "add a column reference, or name --references or --data"
            )
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


@dataclass(frozen=True)
class Scene:
    """The songs that all systems are scored on."""

    data: PreparedData | None  # None where a file gives the songs
    songs: Sequence[PreparedSong]  # empty where a file gives them
    scored: SongSet  # the same for scoring


def set_scene(options: EvaluateOptions, files: Files, reader: FileReader, progress: Progress) -> Scene:
    """Finds the songs: of the data, the references, or the first file with references; none that failed in a file.

    Raises:
        DataError: there are none with references, or a file lacks some and `--common` is not set.
    """
    failed: set[str] = set()
    for path, rows in files.items():
        failed |= find_failed(path, rows, progress)
    scene = find_songs(options, files, reader)
    songs = scene.scored
    if options.lyrics is not None:
        songs = replace(songs, lyrics=add_lyrics(options.lyrics, songs, progress))
    reader.check()
    if failed:
        songs = songs.without(failed)
    if not songs.ids:
        raise DataError("all songs to score failed when they were captioned", "caption them again")
    lacking = find_lacking(songs, files)
    if options.common:
        if options.lyrics is not None:
            silent = [key for key, words in zip(songs.keys, songs.lyrics, strict=True) if words is None]
            lacking |= {options.lyrics: silent} if silent else {}
        songs = keep_common(songs, lacking, files, progress)
    elif lacking:
        raise lacks_songs(songs, lacking, files)
    kept = set(songs.ids)
    return Scene(scene.data, [entry for entry in scene.songs if entry.song.id in kept], songs)


def find_songs(options: EvaluateOptions, files: Files, reader: FileReader) -> Scene:
    """Returns all songs that could be scored; a DataError where there are none with references."""
    folder = options.data
    if folder is None and options.references is not None and options.references.is_dir():
        folder = options.references
    if folder is not None:
        data = PreparedData(folder)
        chosen = captioned_songs(data, options.split)[: options.limit]
        songs = SongSet.from_prepared(chosen, data.is_demo)
        return Scene(data, chosen, replace(songs, named=reader.keys([reader.song_of(name) for name in songs.ids])))
    if options.references is not None:
        path = options.references
        rows = reader.read(path, as_references=True, validated=options.subset == "validated")
    else:
        with_references = (pair for pair in files.items() if any(row.references for row in pair[1]))
        path, rows = next(with_references, next(iter(files.items())))
    return Scene(None, [], SongSet.from_predictions(path, rows[: options.limit]))


def add_lyrics(folder: Path, songs: SongSet, progress: Progress) -> list[str | None]:
    """Returns the lyrics of the songs, those of the folder first, and says how many have any (DataError: none)."""
    found = LyricsFolder.open(folder).read_all(set(songs.keys))
    if not found:
        hint = f"its files are called after songs, such as {songs.keys[0]}.json or {songs.keys[0]}.txt"
        raise DataError(f"--lyrics {folder} has no lyrics of the {len(songs.ids):,} songs", hint)
    progress.say(f"{folder} has the lyrics of {len(found):,} of the {len(songs.ids):,} songs")
    return [found.get(key, words) for key, words in zip(songs.keys, songs.lyrics, strict=True)]


# what files lack ------------------------------------------------------------------------------------------------------


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


def find_lacking(songs: SongSet, files: Files) -> dict[Path, list[str]]:
    """Returns the songs that each file lacks; files without ids are matched by place, later."""
    lacking: dict[Path, list[str]] = {}
    for path, rows in files.items():
        if rows[0].id and songs.unnamed is None:
            known = {row.id for row in rows}
            lacking[path] = [key for key in songs.keys if key not in known]
    return {path: missing for path, missing in lacking.items() if missing}


def lacks_songs(songs: SongSet, lacking: Mapping[Path, list[str]], files: Files) -> DataError:
    """Returns the error that counts the songs that files lack, and says what to do about it."""
    parts = [
        f"{path} lacks {len(missing):,} of the {len(songs.ids):,} songs, such as {', '.join(missing[:MOST_TOLD])}"
        for path, missing in list(lacking.items())[:MOST_TOLD]
    ]
    if len(lacking) > MOST_TOLD:
        parts.append(f"some are missing in {more_files(len(lacking) - MOST_TOLD)}")
    kept = len(songs.ids) - len(set().union(*lacking.values()))
    if kept:
        return DataError("; ".join(parts), f"add --common to score the songs that all have: {kept:,}")
    path = max(lacking, key=lambda one: len(lacking[one]))
    called = f"{path} has {files[path][0].id}" if path in files else f"it is empty of {lacking[path][0]}"
    return DataError("; ".join(parts), f"no song is in all: {called}; --song-key says which part of an id tells songs")


def more_files(count: int) -> str:
    """Returns how many more files something is true of, in words."""
    return f"{count} more file{'s' * (count > 1)}"


def keep_common(songs: SongSet, lacking: Mapping[Path, list[str]], files: Files, progress: Progress) -> SongSet:
    """Returns the songs that nothing lacks, and says how many are left out (DataError: none is left)."""
    common = songs.without(set().union(*lacking.values()))
    if not common.ids:
        raise lacks_songs(songs, lacking, files)
    told = ", ".join(f"{len(missing):,} that {path} lacks" for path, missing in list(lacking.items())[:MOST_TOLD])
    more = f", and those of {more_files(len(lacking) - MOST_TOLD)}" if len(lacking) > MOST_TOLD else ""
    left = f"; left out: {told}{more}" if lacking else ""
    progress.say(f"All have {len(common.ids):,} of {len(songs.ids):,} songs, which are scored{left}")
    return common


# captions in the order of the songs -----------------------------------------------------------------------------------


def match_files(
    files: Files, songs: SongSet, progress: Progress, limit: int | None = None, common: bool = False
) -> dict[Path, list[tuple[str, ...]]]:
    """Returns the captions of each file in the order of the songs, and says what else the files hold.

    Args:
        files: the rows of each.
        songs: the songs, which all files with ids have.
        progress: where to report.
        limit: where rows have no ids, the first N of them stand for songs.
        common: it was said already that other songs are left out.

    Raises:
        DataError: a file has no ids, and is not known to hold these songs by its references.
    """
    found: dict[Path, list[tuple[str, ...]]] = {}
    notes: dict[str, list[str]] = {}  # what is said once, however many files it holds of
    for path, rows in files.items():
        if not rows[0].id:
            match_by_place(path, rows[:limit], songs)
            matched = rows[:limit]
        elif songs.unnamed is not None:
            hint = "add a column song with the songs' ids, or leave them out in all files"
            raise DataError(f"{songs.unnamed} has no ids, so its songs cannot be found in {path}", hint)
        else:
            by_id = {row.id: row for row in rows}
            matched = [by_id[key] for key in songs.keys]
        found[path] = [tuple(row.captions) for row in matched]
        others = sum(not row.error for row in rows[: None if rows[0].id else limit]) - len(matched)
        pairs = zip(matched, songs.references, strict=True)
        strange = sum(not set(row.references) <= set(references) for row, references in pairs)
        empty = sum(not text.strip() for row in matched for text in row.captions)
        for count, words in (
            (0 if common else others, "songs are not among those scored and are left out"),
            (strange, "songs have other references there; all systems are scored on the same, not these"),
            (empty, "captions are empty and score 0"),
        ):
            notes.setdefault(words, []).extend([f"{path}: {count:,}"] if count else [])
    for words, places in notes.items():
        if places:
            progress.say(f"{places[0]} {words}" + (f"; so in {more_files(len(places) - 1)}" if places[1:] else ""))
    return found


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
