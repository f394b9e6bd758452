"""From bytes to text: Unicode where that can be told, elsewhere a guess that says what it is."""

import codecs
import re
import unicodedata
from dataclasses import dataclass
from itertools import pairwise

_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")
_UTF8_LETTER = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
_BEYOND_ASCII = re.compile(rb"[\x80-\xff]")
_STAMP = re.compile(rb"[\[<]\d{1,4}(?:[:.,]\d{1,4}){1,3}[\]>]")

# Names as chardet and Python know them, in the order in which equal scores are told apart, and as people know them.
NAMES = {
    "cp1252": "Windows-1252", "cp1250": "Windows-1250", "cp1251": "Windows-1251", "cp1253": "Windows-1253",
    "cp1254": "Windows-1254", "cp1255": "Windows-1255", "cp1256": "Windows-1256", "cp1257": "Windows-1257",
    "cp1258": "Windows-1258", "cp874": "Windows-874", "iso8859-2": "ISO-8859-2", "iso8859-5": "ISO-8859-5",
    "iso8859-7": "ISO-8859-7", "koi8-r": "KOI8-R", "koi8-u": "KOI8-U", "gb18030": "GBK", "big5hkscs": "Big5",
    "cp932": "Shift-JIS", "euc_jis_2004": "EUC-JP", "cp949": "EUC-KR", "iso2022_jp_2": "ISO-2022-JP",
    "mac-roman": "Mac Roman", "mac-cyrillic": "Mac Cyrillic", "cp866": "CP866", "cp850": "CP850", "cp852": "CP852",
}  # fmt: skip
_UNSURE = 0.1  # chardet's score of a few words, where it says little
_HOPELESS = 0.02

# Letters and signs that Western European texts use; the same bytes read as Windows-1252 seldom give only these.
_WESTERN = frozenset("àâäáãåæçèéêëìíîïñòóôõöøœùúûüÿßÀÂÄÁÃÅÆÇÈÉÊËÌÍÎÏÑÒÓÔÕÖØŒÙÚÛÜŸ¿¡«»‘’‚“”„–—…·°´€©®™ªº\u00a0\u00ad")
_QUOTE_IN_WORD = re.compile("[^\\W\\d_][‚“”„«»¿¡][^\\W\\d_]")
_SAMPLE = 20_000  # characters that are looked at to tell whether a text is plausible
_MOJIBAKE = re.compile("[\u00c2-\u00f4][\u0080-\u00bf€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ]")


class UndecodableError(ValueError):
    """Bytes that no encoding explains; says why."""


@dataclass(frozen=True)
class Decoded:
    """A text, and the name of its encoding where that was guessed."""

    text: str
    guessed: str = ""


def decode(data: bytes, declared: str = "") -> Decoded:
    """Returns the text that bytes stand for.

    A byte order mark tells the encoding; valid UTF-8 is UTF-8. All else is a guess, which an encoding that is
    `declared` ("" for none) wins where the bytes do not speak against it.

    Raises:
        UndecodableError: the bytes are no text, damaged text, or too few for a guess.
    """
    for mark, encoding in _BOMS:
        if data.startswith(mark):
            return Decoded(_strictly(data, encoding))
    if 0 in data:
        return _without_mark(data)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        _refuse_damaged_utf8(data, error)
        return _guess(data, declared)
    if b"\x1b$" in data or b"\x1b(" in data:
        return Decoded(_strictly(data, "iso2022_jp_2"), NAMES["iso2022_jp_2"])
    _refuse_controls(text)
    return Decoded(text)


def undo_double_encoding(text: str) -> str:
    """Returns the text that was encoded twice, "Ã©" for "é"; any other as it is."""
    if not _MOJIBAKE.search(text):
        return text
    try:
        return b"".join(_as_cp1252(part) for part in text).decode("utf-8")
    except UnicodeError:
        return text


def _as_cp1252(character: str) -> bytes:
    return character.encode("latin-1" if character < "\u0100" else "cp1252")


def _strictly(data: bytes, encoding: str) -> str:
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        raise UndecodableError(f"it begins as {encoding.upper().removesuffix('-SIG')} and does not go on so") from error
    _refuse_controls(text)
    return text


def _refuse_controls(text: str) -> None:
    if found := _CONTROL.search(text):
        line = text.count("\n", 0, found.start()) + 1
        raise UndecodableError(f"line {line} holds control characters")


def _refuse_damaged_utf8(data: bytes, error: UnicodeDecodeError) -> None:
    """Refuses a text that is UTF-8 but for a few bytes: a guess would make nonsense of all its letters."""
    letters = _UTF8_LETTER.findall(data)
    if len(letters) >= 3 and sum(map(len, letters)) >= 0.9 * len(_BEYOND_ASCII.findall(data)):
        line = data.count(b"\n", 0, error.start) + 1
        raise UndecodableError(f"it is UTF-8 up to line {line}, which is damaged") from error


def _without_mark(data: bytes) -> Decoded:
    """Reads UTF-16 or UTF-32 that has no mark: only there is a null in a text, before or after a Latin sign."""
    found: list[tuple[int, str, str]] = []
    for encoding in ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"):
        try:
            text = _strictly(data, encoding)
        except UndecodableError:
            continue
        latin = sum(character < "\u0100" for character in text)
        if latin >= (0.3 * data.count(0) if "16" in encoding else 1) and _is_plausible(text):
            found.append((latin, encoding, text))
    if not found:
        raise UndecodableError("it holds null characters")
    _, encoding, text = max(found)
    return Decoded(text, encoding.upper()[:6])


def _guess(data: bytes, declared: str) -> Decoded:
    import chardet

    # On the words alone: time stamps, which are ASCII, would outweigh them.
    lines = [line for line in _STAMP.sub(b"", data).splitlines() if not line.isascii()]
    found = chardet.detect_all(b"\n".join(lines), compat_names=False, include_encodings=(*NAMES, "utf-8"))
    scores = [(str(one["encoding"]), one["confidence"] or 0.0) for one in found if one["encoding"] in NAMES]
    best = scores[0][1] if scores else 0.0
    western = _decoded(data, "cp1252")
    near = best < _UNSURE or dict(scores).get("cp1252", 0.0) >= (0.6 if declared else 0.8) * best
    if western is not None and near and _is_western(western):
        return Decoded(western, "" if declared in ("latin-1", "cp1252") else NAMES["cp1252"])
    for encoding, score in scores:
        text = _decoded(data, encoding)
        if text is not None and score >= _HOPELESS and _is_plausible(text):
            return Decoded(text, NAMES[encoding])
    raise UndecodableError("no encoding explains its bytes")


def _decoded(data: bytes, encoding: str) -> str | None:
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        return None
    return None if _CONTROL.search(text) else text


def _is_western(text: str) -> bool:
    """Whether the letters beyond ASCII are those of Western Europe, and as few as there."""
    text = text[:_SAMPLE]
    beyond = [character for character in text if character > "\x7f"]
    few = len(beyond) <= 0.3 * sum(map(str.isalpha, text)) and _WESTERN.issuperset(beyond)
    return few and not _QUOTE_IN_WORD.search(text) and _is_plausible(text)


def _is_plausible(text: str) -> bool:
    """Whether a decoded text can be one: few signs that nobody writes, words in two alphabets or wIth odd capitals."""
    odd = letters = 0
    for first, second in pairwise(text[:_SAMPLE]):
        if second <= "\x7f" and first <= "\x7f":
            continue
        letters += 1
        odd += _is_odd(first) or _is_odd(second) or (first.isalpha() and second.isalpha() and _clash(first, second))
    return odd <= 0.01 * letters


def _clash(first: str, second: str) -> bool:
    """Whether two letters do not follow each other in a word."""
    alphabets = {_alphabet(first), _alphabet(second)} - {""}
    return len(alphabets) > 1 or (first.islower() and second.isupper())


def _is_odd(character: str) -> bool:
    """Whether nobody writes a character: unassigned, private, control, or for drawing tables."""
    return unicodedata.category(character) in ("Cn", "Co", "Cs") or "\u0080" <= character < "\u00a0" or (
        "\u2500" <= character <= "\u259f"
    )  # fmt: skip


def _alphabet(letter: str) -> str:
    """Returns Latin, Greek, Cyrillic, Hebrew or Arabic; "" for letters that share words with others."""
    name = "" if letter in "\u00aa\u00ba" else unicodedata.name(letter, "").partition(" ")[0]
    return name if name in ("LATIN", "GREEK", "CYRILLIC", "HEBREW", "ARABIC") else ""
