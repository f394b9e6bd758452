"""Lyrics in a folder of their own, called after their songs: MulJam's files of both versions, or texts."""

import re
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from recap_cli.audio.settings import AUDIO_SUFFIXES
from recap_cli.corpus.song import Song
from recap_cli.errors import DataError
from recap_cli.layouts.source import needed_name
from recap_cli.lyrics.reader import LYRICS_ENDINGS, Lyrics, lyrics_of_text, read_lyrics
from recap_cli.tables.cells import is_missing, read_seconds
from recap_cli.tables.rows import read_table
from recap_cli.tables.text_files import LONGEST_LINE, json_row, open_text

TIMED = ".meta"  # MulJam 2: a row a line of lyrics (id, file, lang, start, end, wrd)
# How a file was made of the song: 1004034.2min.mp3, 1004034.low.mp3.
_RENDITION = re.compile(r"(?:\.(?:\d+(?:min|sec|s|kbps|khz|hz)|low|high|full|clip|preview|excerpt))+$", re.IGNORECASE)
_NAME = re.compile(r"(?:prompt_final_[a-z]+_)?(.+)")  # MulJam's test/prompt_final_en_1135703.json


def stem_of(name: str) -> str:
    """Returns the song that an audio file is of, 1004034 of `../x/34/1004034.2min.mp3`; other names stay."""
    stem, dot, suffix = name.rpartition(".")
    stem = _RENDITION.sub("", stem if stem and f"{dot}{suffix}".lower() in AUDIO_SUFFIXES else name)
    return name if stem == name else re.split(r"[/\\]", stem)[-1] or name


@dataclass
class LyricsFolder:
    """The lyrics of a folder by song; files are read when they are asked for.

    A song's file is called after it, at any depth: `train/948.json` and `test/prompt_final_en_948.json` of MulJam with
    the text under `output`, `song-level-test/948.txt` of MulJam 2, or any text. Where a song has several, the first by
    its path counts; the rows of MulJam 2's `.meta` tables count where it has none.
    """

    files: dict[str, Path] = field(default_factory=dict)
    lines: dict[str, str] = field(default_factory=dict)  # of `.meta` tables
    used: set[str] = field(default_factory=set)  # songs whose lyrics were asked for

    @classmethod
    def open(cls, path: Path) -> "LyricsFolder":
        """Lists a folder, or reads one `.meta` table.

        Raises:
            DataError: there is nothing there, or a table has a row that cannot be used.
        """
        if not path.is_dir() and path.suffix.lower() != TIMED:
            raise DataError(f"--lyrics: no folder {path}", f"name a folder of lyrics, or a {TIMED} table of MulJam")
        folder = cls()
        for file in sorted(path.rglob("*")) if path.is_dir() else (path,):
            suffix, name = file.suffix.lower(), _NAME.fullmatch(file.stem)
            if suffix == TIMED and file.is_file():
                for song, text in read_timed(file).items():
                    folder.lines.setdefault(song, text)
            elif name and suffix in (".json", *LYRICS_ENDINGS) and name[1] not in folder.files and file.is_file():
                folder.files[name[1]] = file
        return folder

    def __len__(self) -> int:
        return len(self.files.keys() | self.lines.keys())

    def read(self, song: str) -> Lyrics | None:
        """Returns a song's lyrics, None where the folder has none.

        Raises:
            RecapError: its file cannot be read, or has no text.
        """
        if song not in self.files and song not in self.lines:
            return None
        self.used.add(song)
        if song not in self.files:
            return lyrics_of_text(self.lines[song])
        path = self.files[song]
        return read_lyrics(path) if path.suffix.lower() != ".json" else lyrics_of_text(read_output(path))

    def read_for(self, song: Song) -> Lyrics | None:
        """Returns the lyrics of a song's id or, where there are none, of its audio file; RecapErrors as `read`."""
        names = (song.id, stem_of(song.id), stem_of(re.split(r"[/\\]", song.audio)[-1]))
        return next((found for name in dict.fromkeys(names) if (found := self.read(name)) is not None), None)

    def read_all(self, songs: Collection[str]) -> dict[str, str]:
        """Returns the lyrics of those songs that the folder has; RecapErrors as `read`."""
        return {song: found.text for song in sorted(songs) if (found := self.read(song)) is not None}


def read_output(path: Path) -> str:
    """Returns the text of one of MulJam's JSON files, or refuses a file without one."""
    with open_text(path) as file:
        record = json_row(file.read(LONGEST_LINE))
    if isinstance(record, str) or not isinstance(record.get("output"), str):
        reason = record if isinstance(record, str) else "it has no text under output"
        raise DataError(f"{path} holds no lyrics: {reason}", "fetch it again, or take it out")
    return str(record["output"])


def read_timed(path: Path) -> dict[str, str]:
    """Returns the lyrics of each song in a `.meta` table, its lines in the order of their times.

    Raises:
        DataError: it cannot be read, or has a row that cannot; lyrics with a line missing would be taken for whole.
    """
    found: dict[str, list[tuple[float, int, str]]] = defaultdict(list)
    for number, row in read_table(path, "wrd"):
        try:
            if isinstance(row, str):
                raise ValueError(row)
            start = read_seconds(row.get("start"), "start")
            if start is None:
                raise ValueError("it has no start")
            text = row.get("wrd", "")
            found[stem_of(needed_name(row, "file"))].append((start, number, "" if is_missing(text) else text))
        except ValueError as error:
            raise DataError(f"{path}, line {number}: {error}", "fetch the file again, or take the line out") from error
    return {song: "\n".join(text for _, _, text in sorted(lines)) for song, lines in found.items()}
