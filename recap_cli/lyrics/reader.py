"""From lyrics as they are found to clean text: encodings, times, markup and section tags are undone."""

import html
import os
import re
import shlex
import unicodedata
from dataclasses import dataclass, field, replace
from pathlib import Path

from recap_cli.errors import LyricsError
from recap_cli.lyrics.encodings import UndecodableError, decode, undo_double_encoding
from recap_cli.lyrics.timed_text import sung_lines, without_stamps

LARGEST = 1_000_000  # bytes; long songs have some 20,000
LYRICS_ENDINGS = (".txt", ".lrc", ".elrc", ".srt", ".vtt", ".ttml", ".sbv", ".ass", ".lyrics", ".lyric")

# The two zero-width joiners stay: Persian and emoji are spelled with them.
_INVISIBLE = re.compile(r"[\x00-\x08\x0e-\x1f\x7f\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,30});")
_MOST_ESCAPES = 4  # "&amp;amp;lt;": what several programs have escaped, one after the other
_LINE_TAG = re.compile(r"</?(?:br|p|div)\b[^<>]{0,300}>", re.IGNORECASE)
_PLAIN_TAG = re.compile(r"</?(?:i|b|u|em|strong|span|font|a)\b[^<>]{0,300}>", re.IGNORECASE)

# Unicode's stream-safe format knows at most 30 combining marks in a row; to order more takes time by their square.
_MOST_MARKS = 30
_MANY_MARKS = re.compile(rf"[^\w\s]{{{_MOST_MARKS + 1},}}")

_PART = (
    r"(?:(?:final|last|repeat) )?"
    r"(?:intro|outro|verse|strophe|(?:pre|post)[- ]?chorus|chorus|refrain|hook|bridge|interlude|breakdown|"
    r"instrumental(?: break)?|(?:guitar |piano |sax |drum )?solo|coda)"
    r"(?: ?\d{1,2}| [ivx]{1,4})?(?: ?[x×] ?\d{1,2}| ?\d{1,2} ?[x×])?"
)
SECTION = re.compile(
    r"(?:\[[^\[\]]*(?:\[[^\[\]]*\][^\[\]]*)*\]\s*)+"  # anything alone in square brackets, LRC's metadata too
    rf"|\( ?{_PART} ?(?::[^()]*)?\)"
    rf"|{_PART} ?:",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Lyrics:
    """Clean lyrics, "" where there are none, and what their reader should know of them."""

    text: str
    warnings: tuple[str, ...] = ()  # the part before a colon is the kind, to be counted
    source: str = field(default="", compare=False)  # the file, or what else they were read from


def read_lyrics(path: str | Path) -> Lyrics:
    """Reads a lyrics file: plain text, or lines with times (LRC, SRT, WebVTT, TTML), whatever it is called.

    Raises:
        LyricsError: the file is missing, a folder, over 1 MB, no text, or in an encoding that cannot be told.
    """
    path = Path(path)
    try:
        if path.exists() and not path.is_file():
            kind = "a folder" if path.is_dir() else "a device or a pipe"
            raise LyricsError(f"{path} is {kind}, not a lyrics file", "name one .txt or .lrc file")
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        reason = getattr(error, "strerror", None) or error
        raise LyricsError(f"{path} cannot be read: {reason}", "check the path of the lyrics file") from error
    if len(data) > LARGEST:
        raise LyricsError(f"{path} is over 1 MB, too long for lyrics", "name a .txt or .lrc file")
    return lyrics_of_bytes(data, str(path))


def lyrics_of_bytes(data: bytes, name: str, declared: str = "") -> Lyrics:
    """Returns the lyrics that bytes in any encoding stand for; messages call them `name`.

    They are said to be in the encoding `declared`, believed unless they look like another; "" for none. A LyricsError
    where they are no text, or in an encoding that cannot be told.
    """
    try:
        decoded = decode(data, declared)
    except UndecodableError as error:
        hint = f"Save the lyrics as UTF-8: iconv -f CP1251 -t UTF-8 {shlex.quote(name)}, with their own encoding."
        raise LyricsError(f"{name} is not text that can be read: {error}", hint) from error
    try:
        lyrics = lyrics_of_text(decoded.text)
    except LyricsError as error:
        raise LyricsError(f"{name}: {error.message}", error.hint) from error
    lyrics = replace(lyrics, source=name)
    if not decoded.guessed:
        return lyrics
    guess = f"encoding of the lyrics guessed as {decoded.guessed}: save them as UTF-8 to be sure"
    return replace(lyrics, warnings=(guess, *lyrics.warnings))


def lyrics_of_words(words: str) -> Lyrics:
    """Returns the lyrics that a program passes as a string, clean.

    Raises:
        LyricsError: the string is the name of a file, whose words were meant.
    """
    name = words.strip()
    if name and "\n" not in name and (name.lower().endswith(LYRICS_ENDINGS) or _is_file(name)):
        raise LyricsError(f"the lyrics are the name of a file: {name}", f"pass Path({name!r}) to have it read")
    return lyrics_of_text(words)


def _is_file(name: str) -> bool:
    return os.path.isfile(name)  # noqa: PTH113  Path.is_file fails on names that are too long


def lyrics_of_text(text: str) -> Lyrics:
    """Returns what is sung: one line a line, at most one blank line in a row, Unicode NFC.

    Removed are the times of LRC, SRT, WebVTT and TTML, whose lines come in the order in which they are sung; section
    tags alone on a line ("[Verse 1: Nina]", "(Chorus)", "Bridge:"); HTML entities and simple tags; invisible
    characters and spaces around lines. Words in brackets within a line stay. Damaged TTML is a LyricsError.
    """
    warnings: list[str] = []
    if _SURROGATE.search(text):
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    visible = _INVISIBLE.sub("", "\n".join(_undo_twice(text, warnings).splitlines())).replace("\u00a0", " ")
    visible = _few_marks(_without_markup(sung_lines(visible)), warnings)
    kept: list[str] = []
    for raw in unicodedata.normalize("NFC", visible).split("\n"):
        line = without_stamps(raw).strip()
        if SECTION.fullmatch(line) or (not line and kept[-1:] in ([], [""])):
            continue
        kept.append(line)
    if lost := visible.count("\ufffd"):
        warnings.append(f"lyrics with lost characters: {lost} of them stand as \ufffd")
    return Lyrics("\n".join(kept).rstrip("\n"), tuple(warnings))


def _without_markup(text: str) -> str:
    """Returns a text with HTML's entities as characters and without its simple tags; `<br>` and `<p>` end a line."""
    for _ in range(_MOST_ESCAPES):
        if "&" not in text:
            break
        plain = _ENTITY.sub(lambda found: html.unescape(found[0]), text)
        if plain == text:
            break
        text = _INVISIBLE.sub("", plain).replace("\u00a0", " ")
    if "<" in text:
        text = _PLAIN_TAG.sub("", _LINE_TAG.sub("\n", text))
    return text


def _undo_twice(text: str, warnings: list[str]) -> str:
    plain = undo_double_encoding(text)
    if plain != text:
        warnings.append("lyrics that were encoded twice: save them as UTF-8 to be sure")
    return plain


def _few_marks(text: str, warnings: list[str]) -> str:
    """Cuts runs of more combining marks than any language has."""
    if text.isascii():
        return text
    fewer = _MANY_MARKS.sub(lambda found: _cut_marks(found[0]), text)
    if fewer != text:
        warnings.append(f"lyrics with heaps of combining marks: more than {_MOST_MARKS} in a row were cut")
    return fewer


def _cut_marks(text: str) -> str:
    kept, marks = [], 0
    for character in text:
        marks = marks + 1 if unicodedata.combining(character) else 0
        if marks <= _MOST_MARKS:
            kept.append(character)
    return "".join(kept)
