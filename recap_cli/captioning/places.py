"""What is named on the command line, songs or lyrics, and where captions may go; told before a model is loaded."""

import re
from collections.abc import Sequence
from pathlib import Path

from recap_cli.audio.settings import AUDIO_SUFFIXES
from recap_cli.corpus.folders import CAPTION_SUFFIX, LYRICS_SUFFIXES
from recap_cli.corpus.manifest import MANIFEST_SUFFIXES
from recap_cli.errors import AudioError, LyricsError, OptionError
from recap_cli.lyrics.reader import LYRICS_ENDINGS, read_lyrics
from recap_cli.outputs import check_output_file, is_caption, true_path

STDIN = Path("-")
LINES, TABLES = (".jsonl", ".ndjson"), (".csv", ".tsv")  # files of captions
TOLD = 3  # names in a message


# songs and lyrics -----------------------------------------------------------------------------------------------------


def split_lyrics(named: Sequence[Path], lyrics: Path | None) -> tuple[tuple[Path, ...], Path | None]:
    """Returns the songs among the names, each once, and the lyrics (None: they are looked for).

    Texts beside the songs of the same name, as in `music/*`, are found anyway where there are several songs.

    Raises:
        OptionError: no song is named, several lyrics are, or one for several songs.
    """
    songs: dict[Path, Path] = {}
    texts = []
    for one in named:
        if one == STDIN or is_text(one):
            texts.append(one)
        else:
            songs.setdefault(true_path(one), one)
    if not songs:
        name = texts[0] if texts else "LYRICS"
        raise OptionError(
            f"no song is named, only lyrics: {name}", f"name the song first: recap caption song.mp3 {name}"
        )
    if len(songs) > 1:
        beside = {place.with_name(name) for place in songs.values() for name in (place.stem, place.name)}
        texts = [one for one in texts if not beside & set(songs_of_text(one))]
        check_together(list(songs.values()))
    given = [*texts, *([lyrics] if lyrics is not None else [])]
    if len(songs) > 1 and given:
        raise OptionError(
            f"{given[0]} cannot be the lyrics of all {len(songs)} songs that are named",
            "leave it out: each song finds its own beside it (song.txt, song.lrc) or in its tags; or caption one song",
        )
    if len(given) > 1:
        raise OptionError(f"lyrics are given twice: {given[0]} and {given[1]}", "name one of them")
    return tuple(songs.values()), given[0] if given else None


def is_text(path: Path) -> bool:
    """Whether a name stands for lyrics: by its ending, and where that says nothing, by what the file holds."""
    suffix = path.suffix.lower()
    if suffix in LYRICS_ENDINGS or suffix in (*AUDIO_SUFFIXES, *MANIFEST_SUFFIXES):
        return suffix in LYRICS_ENDINGS
    try:
        return path.is_file() and bool(read_lyrics(path).text)
    except (OSError, ValueError, LyricsError):
        return False


def songs_of_text(path: Path) -> list[Path]:
    """Returns the paths, without an ending, that the songs of a text beside them may have."""
    suffixes = (suffix for suffix in (*LYRICS_SUFFIXES, CAPTION_SUFFIX) if path.name.endswith(suffix))
    return [path.with_name(name) for suffix in suffixes if (name := path.name.removesuffix(suffix))]


def check_together(songs: Sequence[Path]) -> None:
    """Refuses a table of songs or a prepared data folder among several names.

    Raises:
        OptionError: there is one.
    """
    from recap_cli.corpus.data_folder import is_prepared

    for one in songs:
        if one.suffix.lower() in MANIFEST_SUFFIXES or (one.is_dir() and is_prepared(one)):
            kind = "a prepared data folder" if one.is_dir() else "a table of songs"
            raise OptionError(f"{one} is {kind}, and other songs are named beside it", "caption it by itself")


def check_inputs(songs: Sequence[Path], lyrics: Path | None) -> None:
    """Refuses songs that are not there, and lyrics that cannot be read.

    Raises:
        AudioError, LyricsError: there are such.
        OSError: a path cannot be looked at.
    """
    missing = []
    for one in songs:
        if url := re.match(r"(\w{2,10}):/+", str(one)):
            raise AudioError(f"{one}: songs are read from disk, not from {url[1]} addresses", "download it first")
        try:
            one.stat()
        except (FileNotFoundError, NotADirectoryError):
            missing.append(str(one))
    if missing:
        others = f" and {len(missing) - TOLD} more" if len(missing) > TOLD else ""
        raise AudioError(f"no audio at {', '.join(missing[:TOLD])}{others}", "check the path")
    if lyrics is not None and lyrics != STDIN:
        read_lyrics(lyrics)


# captions -------------------------------------------------------------------------------------------------------------


def check_captions_out(
    out: Path | None, inputs: Sequence[Path], is_batch: bool, lines_per_file: int | None = None
) -> None:
    """Refuses a file of captions that would destroy something, pass for a song, or have a name that belies its content.

    Raises:
        OptionError: it would.
    """
    if out is None:
        return
    inputs = [one for one in inputs if one.exists()]
    suffix = out.suffix.lower()
    if is_batch and suffix in LINES:
        from recap_cli.captioning.caption_file import check_out

        check_out(out, lines_per_file, inputs)
    else:
        check_output_file(out, "--out", inputs, is_caption)
    if lines_per_file is not None and suffix not in LINES:
        raise OptionError(f"--lines-per-file does not go with --out {out}", "end its name in .jsonl")
    if kind := kind_of_name(out):
        raise OptionError(f"--out {out} has the name of {kind}", "name a file of its own, such as captions.jsonl")
    if suffix in (*LINES, *TABLES) if is_batch else suffix in (*LINES, *TABLES, ".json", ".txt"):
        return
    what, endings = "one song's caption is", ".json, .jsonl, .csv, .tsv or .txt"
    if is_batch:
        what, endings = "captions of many songs are", ".jsonl (a line a song, resumed), or in .csv or .tsv (a table)"
    raise OptionError(f"--out {out}: {what} not written under such a name", f"end it in {endings}")


def kind_of_name(out: Path) -> str:
    """Returns what a file would be taken for when the folder is read again; "" for nothing."""
    suffix = out.suffix.lower()
    if suffix in AUDIO_SUFFIXES:
        return "a song"
    stem = out.stem.removesuffix(".caption").removesuffix(".lyrics")
    beside = suffix in LYRICS_ENDINGS and any((out.parent / f"{stem}{one}").is_file() for one in AUDIO_SUFFIXES)
    return "the texts of a song beside it" if beside else ""
