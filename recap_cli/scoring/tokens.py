"""Texts to tokens: rouge-score's, NLTK's for METEOR, and characters where a script parts no words."""

import re
from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Any

# Letters by script: rouge-score keeps [a-z0-9] only, so that Japanese or Russian would score 0 against itself.
LATIN = re.compile("[a-zA-Z\u00c0-\u024f\u1e00-\u1eff]+")
# Thai to Tibetan, Burmese, Khmer, kana, ideographs, Hangul: no spaces, or none that part words.
SPACELESS = (
    "\u0e01-\u0fbc\u1000-\u109f\u1100-\u11ff\u1780-\u17dd\u3005-\u3007\u3041-\u3096\u30a1-\u30fa\u30fc-\u30ff"
    "\u3105-\u318e\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3\uf900-\ufaff\uff66-\uff9d\U00020000-\U0003ffff"
)
# Greek, Cyrillic, Armenian, Hebrew, Arabic, the scripts of India, Georgian, Ethiopic; their punctuation left out.
SPACED = (
    "\u0370-\u0556\u0561-\u0588\u05d0-\u05ea\u0620-\u0669\u066e-\u06d3\u06d5-\u06ff\u0750-\u077f"
    "\u0900-\u0963\u0966-\u0df3\u10a0-\u10ff\u1200-\u135a"
)
OTHER = re.compile(f"[{SPACELESS}]|[{SPACED}]+")
TOKEN = re.compile(f"[a-z0-9]+|[{SPACELESS}]|[{SPACED}]+")
WORD = re.compile(rf"[{SPACELESS}]|[^\s{SPACELESS}]+")

# Texts whose tokens are kept: the references of several systems are the same.
KEPT_TEXTS = 20_000


def tokens_of_any_script(text: str) -> list[str]:
    """Part a text into words as rouge-score does, words of other scripts, and characters of `SPACELESS` scripts."""
    return TOKEN.findall(text.lower())


def is_other_script(references: Sequence[str]) -> bool:
    """Say whether a song's references have more words in other letters than in Latin ones, a character being a word.

    The references alone decide, so that two systems are read alike.
    """
    text = " ".join(references)
    return len(OTHER.findall(text)) > len(LATIN.findall(text))


def count_words(text: str) -> int:
    """Count the words of a text; a character is a word in scripts without spaces."""
    return len(WORD.findall(text))


def rouge_tokens(text: str, by_characters: bool) -> list[str]:
    """Part a text as rouge-score does without stemming, or by `tokens_of_any_script`."""
    from rouge_score.tokenize import tokenize

    return tokens_of_any_script(text) if by_characters else tokenize(text, None)


@lru_cache(maxsize=KEPT_TEXTS)
def meteor_tokens(text: str, by_characters: bool) -> tuple[str, ...]:
    """Part a text as NLTK's `word_tokenize` does, which would need a download for its sentences.

    An untrained Punkt finds the sentences, NLTKWordTokenizer the words of each.
    """
    if by_characters:
        return tuple(tokens_of_any_script(text))
    sentences, words = _nltk_tokenizers()
    return tuple(word for sentence in sentences.tokenize(text) for word in words.tokenize(sentence))


@cache
def _nltk_tokenizers() -> tuple[Any, Any]:
    """Make NLTK's two tokenizers, once."""
    from nltk.tokenize import NLTKWordTokenizer
    from nltk.tokenize.punkt import PunktSentenceTokenizer

    return PunktSentenceTokenizer(), NLTKWordTokenizer()
