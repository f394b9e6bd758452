"""From a lyrics file to clean text: encodings, time stamps and section tags are undone, lines stay lines."""

import codecs
import re
import unicodedata
from pathlib import Path

from recap_cli.errors import LyricsError

LARGEST = 1_000_000  # bytes; long songs have some 20,000

_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")
# The two zero-width joiners stay: Persian and emoji are spelled with them.
_INVISIBLE = re.compile(r"[\x00-\x08\x0e-\x1f\x7f\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]")

_TIME = r"(\d{1,3}):(\d{1,2})(?:[.:](\d{1,3}))?"
_LINE_STAMP = re.compile(rf"\[{_TIME}\][ \t]?")
_LINE_STAMPS = re.compile(rf"\s*(?:{_LINE_STAMP.pattern})+")
_ANY_STAMP = re.compile(rf"(?:\[{_TIME}\]|<{_TIME}>)[ \t]?")
_PART = (
    r"(?:(?:final|last|repeat) )?"
    r"(?:intro|outro|verse|strophe|(?:pre|post)[- ]?chorus|chorus|refrain|hook|bridge|interlude|breakdown|"
    r"instrumental(?: break)?|(?:guitar |piano |sax |drum )?solo|coda)"
    r"(?: ?\d{1,2}| [ivx]{1,4})?(?: ?[x×] ?\d{1,2}| ?\d{1,2} ?[x×])?"
)
_SECTION = re.compile(
    r"(?:\[[^\[\]]*(?:\[[^\[\]]*\][^\[\]]*)*\]\s*)+"  # anything alone in square brackets, LRC's metadata too
    rf"|\( ?{_PART} ?(?::[^()]*)?\)"
    rf"|{_PART} ?:",
    re.IGNORECASE,
)


def read_lyrics(path: str | Path) -> str:
    """Read a .txt or .lrc file as clean text; an .lrc comes in the order in which it is sung.

    A byte order mark tells the encoding; without one it is UTF-8, or UTF-16 where nulls abound, or Windows-1252.

    Returns:
        The text as `clean_lyrics` gives it; "" for an empty file.

    Raises:
        LyricsError: the file is missing, a folder, over 1 MB, no text, or in an encoding that cannot be told.
    """
    path = Path(path)
    try:
        if path.exists() and not path.is_file():
            kind = "a folder" if path.is_dir() else "a device or a pipe"
            raise LyricsError(f"{path} is {kind}, not a lyrics file", "Name one .txt or .lrc file.")
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        reason = getattr(error, "strerror", None) or error
        raise LyricsError(f"{path} cannot be read: {reason}", "Check the path of the lyrics file.") from error
    if len(data) > LARGEST:
        raise LyricsError(f"{path} is over 1 MB, too long for lyrics", "Name a .txt or .lrc file.")
    text = _decoded(data)
    if text is None:
        raise LyricsError(f"{path} is not text in UTF-8, UTF-16 or Windows-1252", "Save the lyrics as UTF-8 text.")
    return clean_lyrics(_in_order(text) if path.suffix.lower() == ".lrc" else text)


def clean_lyrics(text: str) -> str:
    """Leave what is sung: one line a line, at most one blank line in a row, Unicode NFC.

    Removed are time stamps of lines and words, section tags alone on a line ("[Verse 1: Nina]", "(Chorus)",
    "Bridge:"), invisible characters and spaces around lines. Words in brackets within a line stay.

    Args:
        text: lyrics as found, with any line ends.

    Returns:
        The clean text, without a final newline.
    """
    visible = _INVISIBLE.sub("", "\n".join(text.splitlines())).replace("\u00a0", " ")
    kept: list[str] = []
    for raw in unicodedata.normalize("NFC", visible).split("\n"):
        line = _ANY_STAMP.sub("", raw).strip()
        if _SECTION.fullmatch(line) or (not line and kept[-1:] in ([], [""])):
            continue
        kept.append(line)
    return "\n".join(kept).rstrip("\n")


def _decoded(data: bytes) -> str | None:
    """Give the bytes as text, None where no encoding explains them."""
    for encoding in _candidates(data):
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if not _CONTROL.search(text):
            return text
    return None


def _candidates(data: bytes) -> tuple[str, ...]:
    """Give the encodings to try, likeliest first."""
    for mark, encoding in _BOMS:
        if data.startswith(mark):
            return (encoding,)
    # In UTF-16 a Latin letter has a null before or after it; no other text holds nulls.
    if data.count(0) > len(data) // 5:
        return ("utf-16-be" if data[::2].count(0) > data[1::2].count(0) else "utf-16-le",)
    # Mostly letters beyond ASCII: Cyrillic or East Asian bytes, which Windows-1252 would turn to nonsense.
    beyond_ascii = sum(byte > 127 for byte in data)
    return ("utf-8", "cp1252") if beyond_ascii <= 0.3 * len(data) else ("utf-8",)


def _in_order(text: str) -> str:
    """Give the lines of an .lrc by time, repeated at each stamp; a line without one follows its forerunner."""
    timed: list[tuple[float, str]] = []
    now = 0.0
    for line in _INVISIBLE.sub("", "\n".join(text.splitlines())).split("\n"):
        stamps = _LINE_STAMPS.match(line)
        times = [_seconds(*found) for found in _LINE_STAMP.findall(stamps.group())] if stamps else [now]
        now = times[0]
        words = line[stamps.end() :] if stamps else line
        timed += [(time, words) for time in times]
    return "\n".join(words for _, words in sorted(timed, key=lambda pair: pair[0]))


def _seconds(minutes: str, seconds: str, fraction: str) -> float:
    return 60 * int(minutes) + int(seconds) + float(f"0.{fraction or 0}")
