"""The language of lyrics: by script where it tells, else by common words; None where it is unsure or mixed."""

import re
import unicodedata
from collections import Counter
from functools import lru_cache

from recap_cli.facts.facts import DATA, LANGUAGES, Guess

LEAST_LETTERS = 20  # in a script of their own
LEAST_WORDS = 12  # in Latin script
LEAST_SHARE = 0.18  # of words that are common ones of the language; real lyrics have 0.3 to 0.6
LEAD = 1.3  # times the hits of the next language
PART = 15  # words that are judged at a time
MOST_FOREIGN = 0.25  # of the parts: above, the lyrics are mixed
SCRIPTS = {
    **{"HIRAGANA": "ja", "KATAKANA": "ja", "CJK": "zh", "HANGUL": "ko", "CYRILLIC": "ru", "GREEK": "el"},
    **{"ARABIC": "ar", "HEBREW": "he", "DEVANAGARI": "hi", "THAI": "th", "LATIN": "latin"},
}
UKRAINIAN, NOT_UKRAINIAN = set("іїєґ"), set("ыэъё")
NOT_ARABIC = set("پچژگکیےٹڈ")  # letters of Persian and Urdu, which are not told apart
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")


def find_language(lyrics: str) -> Guess | None:
    """Returns the ISO 639-1 code of the language that lyrics are in, one of LANGUAGES; its confidence is their share.

    It is not sure where more than a quarter is in another. None for too few words, and for unknown languages.
    """
    letters: Counter[str] = Counter()
    for letter, count in Counter(lyrics).items():
        if letter.isalpha():
            letters[_script(letter)] += count
    if letters["ja"] > MOST_FOREIGN * letters["zh"]:  # Chinese characters among kana are Japanese
        letters["ja"] += letters.pop("zh", 0)
    if not letters:
        return None
    script, count = letters.most_common(1)[0]
    share = count / letters.total()
    if script == "latin":
        return _by_words(lyrics, share)
    language = _refined(script, set(lyrics.lower()))
    if language not in LANGUAGES or count < LEAST_LETTERS:
        return None
    return Guess(language, share, share >= 1 - MOST_FOREIGN)


@lru_cache(maxsize=4096)
def _script(letter: str) -> str:
    return SCRIPTS.get(unicodedata.name(letter, "").split(" ")[0].split("-")[0], "other")


def _refined(script: str, letters: set[str]) -> str | None:
    """Returns the language that a script stands for, told by its letters where it serves several."""
    if script == "ru" and letters & UKRAINIAN:
        return None if letters & NOT_UKRAINIAN else "uk"
    return None if script == "ar" and letters & NOT_ARABIC else script


@lru_cache
def common_words() -> dict[str, dict[str, float]]:
    """Returns for each common word the languages that have it, with weights that sum to 1."""
    found: dict[str, set[str]] = {}
    for line in (DATA / "stop_words.txt").read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            language, *words = line.split()
            for word in words:
                found.setdefault(word, set()).add(language)
    return {word: dict.fromkeys(languages, 1 / len(languages)) for word, languages in found.items()}


def _by_words(lyrics: str, share: float) -> Guess | None:
    # A line that is sung many times says no more than once.
    lines = dict.fromkeys(line.strip().lower() for line in lyrics.splitlines())
    words = [word.replace("’", "'") for line in lines for word in _WORD.findall(line)]
    language = _best(words) if len(words) >= LEAST_WORDS else None
    if language is None:
        return None
    parts = [words[start : start + PART] for start in range(0, len(words), PART)]
    found = [one for one in map(_best, parts) if one]
    share *= found.count(language) / max(1, len(found))
    return Guess(language, share, share >= 1 - MOST_FOREIGN)


def _best(words: list[str]) -> str | None:
    """Returns the language with the most common words, where they are enough and well ahead of the next."""
    known = common_words()
    hits: Counter[str] = Counter()
    shared: dict[str, float] = {}
    for word in words:
        for language, weight in known.get(word, {}).items():
            hits[language] += 1
            shared[language] = shared.get(language, 0) + weight
    ranked = sorted(shared.items(), key=lambda pair: -pair[1])[:2]
    if not ranked or hits[ranked[0][0]] < LEAST_SHARE * len(words):
        return None
    ahead = len(ranked) == 1 or ranked[0][1] >= LEAD * ranked[1][1]
    return ranked[0][0] if ahead else None
