"""Texts as prepare keeps them: scraper's debris taken out of captions, lyrics that are none, line breaks."""

import html
import re
from collections import Counter

# SongMeanings prints this under each comment; scraping has glued it to the text, whole or in part:
# "Link", "No Replies" or "3 Replies", "Log in to reply", "There was an error."
# Runs of spaces and digits are bounded, so that a text of nothing else takes time by its length, not by its square.
_GAP = r"\s{0,20}"
_BEFORE = r"(?:(?<!\s)\s{1,20})?"
_REPLIES = rf"(?:no|(?<!\d)\d{{1,9}}){_GAP}repl(?:y|ies)"
_ERROR = rf"there{_GAP}was{_GAP}an{_GAP}error\.?"
_LOG_IN = rf"log{_GAP}in{_GAP}to{_GAP}reply{_GAP}(?:{_ERROR})?"
_FOOTER = re.compile(
    rf"{_BEFORE}(?:(?:link{_GAP})?{_REPLIES}{_GAP}{_LOG_IN}|link{_GAP}{_REPLIES}|{_LOG_IN}){_GAP}$", re.IGNORECASE
)
_GLUED = re.compile(rf"{_BEFORE}(?:linkno(?:{_GAP}replies)?|replyther(?:e(?:{_ERROR[5:]})?)?)(?!\w)", re.IGNORECASE)
_MOVED = re.compile(r"\b(moved)(and)\b", re.IGNORECASE)
_TAG = re.compile(r"<(?:br|/?(?:p|i|b|em|strong|a|div|span|blockquote))\b[^<>]{0,300}>", re.IGNORECASE)
_ADDRESS = re.compile(r"(?:https?://|www\.)\S+", re.IGNORECASE)
_ENTITY = re.compile(r"&(?:#\d{1,8}(?!\d);?|#[xX][0-9a-fA-F]{1,8};?|[A-Za-z][A-Za-z0-9]{1,31};?)")
_SPACES = re.compile(r"[ \t\u00a0]{2,}")

_INSTRUMENTAL = re.compile(
    r"[\W_]*(?:(?:this (?:song|track|piece) )?is )?(?:an? )?instrumental(?: (?:song|track|piece))?[\W_]*", re.I
)
_TOKEN = re.compile(r"\w+|[^\w\s]")


def clean_caption(text: str, found: Counter[str]) -> str:
    """Returns a published comment without a scraper's debris, "" when nothing is left.

    `found` is told what was taken out, a count for each kind.
    """
    text = text.rstrip()
    folded = text.casefold()
    for kind, needle, pattern, by in (
        ("page footers", "repl", _FOOTER, ""),
        ("glued page words", "link|reply", _GLUED, ""),
        ("words glued together", "movedand", _MOVED, r"\1 \2"),
        ("HTML tags", "<", _TAG, " "),
        ("web addresses", "http|www.", _ADDRESS, ""),
    ):
        if any(word in folded for word in needle.split("|")):  # most comments are clean, and patterns are slow
            text, count = pattern.subn(by, text)
            found[kind] += bool(count)
    plain = _ENTITY.sub(lambda entity: html.unescape(entity[0]), text)  # whole, it fails at numbers of 5,000 digits
    found["HTML entities"] += plain != text
    return _SPACES.sub(" ", plain).strip()


def plain_lyrics(lyrics: str, newlines: str) -> str:
    """Returns clean lyrics as the model reads them; what only says that the song is instrumental is none.

    `newlines` is `keep`, or `semicolon` as BART-fusion's public code has it.
    """
    if len(lyrics) < 100 and _INSTRUMENTAL.fullmatch(lyrics):
        return ""
    return lyrics.replace("\n", ";") if newlines == "semicolon" else lyrics


def count_tokens(text: str) -> int:
    """Returns the number of words and marks, roughly what BART's tokenizer makes of English text."""
    return sum(1 for _ in _TOKEN.finditer(text))
