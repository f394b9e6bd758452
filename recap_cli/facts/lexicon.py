"""The way back from a caption to the facts that it states."""

import re
from collections.abc import Iterable, Mapping

from recap_cli.facts.facts import GENRES, INSTRUMENTS, LANGUAGES, MOST, Facts
from recap_cli.facts.wordings import FEEL_WORDS, NAMELESS, OTHER_NOUNS, SUNG_NOUNS, THEME_PHRASES


def _any(words: Iterable[str]) -> str:
    """Returns a pattern of whole words, the longest first, so that none hides another that begins alike."""
    return r"\b(?:" + "|".join(re.escape(word) for word in sorted(set(words), key=len, reverse=True)) + r")\b"


def _names(phrases: Mapping[str, Iterable[str]]) -> dict[str, str]:
    return {phrase.lower(): name for name, some in phrases.items() for phrase in some}


_FEELS = _names(FEEL_WORDS)
_THEMES = _names(THEME_PHRASES)
_LANGUAGES = {name.lower(): code for code, name in LANGUAGES.items()}
_NOUN = _any((NAMELESS, *SUNG_NOUNS, *OTHER_NOUNS))
# "a gentle instrumental folk song": feel and genre count only before such a noun.
_KIND = re.compile(
    rf"(?:(?P<feel>{_any(_FEELS)})\s)?(?:instrumental\s)?(?:(?P<feel_behind>{_any(_FEELS)})\s)?"
    rf"(?:(?P<genre>{_any(GENRES)})\s)?{_NOUN}"
)
_NONE = re.compile(rf"\bwithout singing\b|\bno singing\b|\bnobody sings\b|\binstrumental\s(?:[\w-]+\s){{0,2}}{_NOUN}")
_SUNG = re.compile(r"\bvocals\b|\bsomeone sings\b|\b(?:singing|human|woman's|man's) voice\b|\ba (?:wo)?man sings\b")
_WOMAN = re.compile(r"\bfemale vocals\b|\ba woman(?: sings\b|'s voice\b| is on vocals\b)")
_MAN = re.compile(r"\bmale vocals\b|\ba man(?: sings\b|'s voice\b| is on vocals\b)")
_INSTRUMENTS = re.compile(_any(INSTRUMENTS))
_SOUNDS = re.compile(r"\b(?:built on|with|over|has|features|can be heard)\b")
_LANGUAGE = re.compile(rf"\b(?:in|are)\s({_any(_LANGUAGES)})|({_any(_LANGUAGES)})\s(?:words|lyrics)\b")
_HEDGE = re.compile(r"\b(?:may be|seem to be|could be|perhaps) about\b(?P<themes>.*)")
_THEME = re.compile(_any(_THEMES))


def read_facts(caption: str) -> Facts:
    """Returns what a caption states, None and empty for what it does not, or where it states several.

    Each fact counts only in the surroundings that captions give it: a song about rock is no rock song. Case and spacing
    do not matter. Of more than two instruments or themes the first two are taken.
    """
    text = " ".join(caption.lower().replace("’", "'").split())
    sentences = re.split(r"(?<=[.!?])\s", text)
    hedged = [match["themes"] for match in map(_HEDGE.search, sentences) if match]
    music = [sentence for sentence in sentences if not _HEDGE.search(sentence)]
    kinds = [match for sentence in music for match in _KIND.finditer(sentence)]
    feels = {_FEELS[feel] for match in kinds for feel in (match["feel"], match["feel_behind"]) if feel}
    sounds = (name for sentence in music if _SOUNDS.search(sentence) for name in _INSTRUMENTS.findall(sentence))
    languages = (name for sentence in sentences for pair in _LANGUAGE.findall(sentence) for name in pair if name)
    return Facts(
        voice=_read_voice(" ".join(music)),
        genre=_only({match["genre"] for match in kinds if match["genre"]}),
        instruments=_first(sounds),
        feel=_only(feels),
        language=_only({_LANGUAGES[name] for name in languages}),
        themes=_first(_THEMES[phrase] for words in hedged for phrase in _THEME.findall(words)),
    )


def _read_voice(text: str) -> str | None:
    none, woman, man = (bool(pattern.search(text)) for pattern in (_NONE, _WOMAN, _MAN))
    if none + woman + man > 1:
        return None
    stated = "none" if none else "woman" if woman else "man" if man else None
    if _SUNG.search(text):
        return None if none else stated or "sung"
    return stated


def _only(values: set[str]) -> str | None:
    return values.pop() if len(values) == 1 else None


def _first(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))[:MOST]
