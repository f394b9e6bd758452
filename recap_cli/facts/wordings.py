"""Captions that state the facts of a song, in wordings that differ from song to song."""

import hashlib
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import product

from recap_cli.facts.facts import LANGUAGES, READ_LANGUAGE, Facts

FEEL_WORDS = {"gentle": ("gentle", "soft", "quiet"), "lively": ("lively", "energetic"), "loud": ("loud", "forceful")}
# How a theme is called behind "about"; the first is its name.
THEME_PHRASES = {
    "lost love": ("lost love", "a love that ended"),
    "being in love": ("being in love", "love for someone"),
    "desire": ("desire", "physical attraction"),
    "a troubled relationship": ("a troubled relationship", "trouble between two people"),
    "partying and dancing": ("partying and dancing", "a night of dancing"),
    "music itself": ("music itself", "making music"),
    "faith": ("faith", "faith and prayer"),
    "war and violence": ("war and violence", "fighting and war"),
    "politics and protest": ("politics and protest", "injustice in society"),
    "money and success": ("money and success", "success and wealth"),
    "work and daily life": ("work and daily life", "everyday life"),
    "home and family": ("home and family", "family life"),
    "memories and growing up": ("memories and growing up", "looking back at the past"),
    "loneliness and depression": ("loneliness and depression", "feeling alone and low"),
    "death and grief": ("death and grief", "dying and mourning"),
    "hope and inner strength": ("hope and inner strength", "never giving up"),
    "freedom and travel": ("freedom and travel", "being free and on the road"),
    "nature and seasons": ("nature and seasons", "the natural world"),
    "friendship": ("friendship", "the value of friends"),
    "city and night life": ("city and night life", "the city at night"),
    "dreams and fantasy": ("dreams and fantasy", "imaginary worlds"),
    "drugs and drinking": ("drugs and drinking", "getting drunk and high"),
    "Christmas": ("Christmas", "the Christmas season"),
}
SUNG_NOUNS = ("song", "track")
OTHER_NOUNS = ("piece", "track")  # of music in which singing is absent or not sure
COUNTED = ("violin", "cello", "flute", "harp", "harpsichord", "sitar", "choir")  # "a harp", but "piano"
NAMELESS = "piece of music"  # what "piece" is called where neither feel nor genre stands before it

# Slots: {a} a gentle folk song, {this} the same without its article, {instrumental} a gentle instrumental folk piece,
# {singer} a woman, {vocals} female vocals, {voice} a woman's voice, {sounds} guitar and a flute.
SUNG = (
    "{a} with {vocals}.",
    "{voice} is heard in this {this}.",
    "This is {a} in which {singer} {sings}.",
    "{singer} {sings} in this {this}.",
    "It sounds like {a} with {voice}.",
    "This {this} has {vocals}.",
)
SUNG_WITH_SOUNDS = (
    "{a} with {vocals}, built on {sounds}.",
    "{voice} is heard in this {this}, along with {sounds}.",
    "This is {a} in which {singer} {sings}, with {sounds} in the music.",
    "{singer} {sings} in {a} that is built on {sounds}.",
    "It sounds like {a}, with {sounds} behind {voice}.",
    "This {this} has {vocals} over {sounds}.",
    "{sounds} can be heard in this {this}, and {singer} {sings}.",
)
INSTRUMENTAL = (
    "{a} without singing.",
    "This is {instrumental}.",
    "Nobody sings in this {this}.",
    "It sounds like {a}, with no singing in it.",
    "Here is {instrumental}.",
    "This {this} has no singing.",
)
INSTRUMENTAL_WITH_SOUNDS = (
    "{a} without singing, built on {sounds}.",
    "This is {instrumental} with {sounds}.",
    "Nobody sings in this {this}, which is built on {sounds}.",
    "It sounds like {a} with {sounds}, and there is no singing in it.",
    "{sounds} can be heard in {instrumental}.",
    "This {this} has {sounds} and no singing.",
)
UNSURE = (
    "By the sound of it, this is {a}.",
    "This is {a}.",
    "It sounds like {a}.",
    "Here is {a}.",
)
UNSURE_WITH_SOUNDS = (
    "{a} built on {sounds}.",
    "This is {a} with {sounds}.",
    "It sounds like {a} with {sounds}.",
    "{sounds} can be heard in this {this}.",
    "This {this} features {sounds}.",
)
# {language} English, {themes} lost love or perhaps friendship.
WORDS = {
    "language": (
        "The words are in {language}.",
        "Its lyrics are in {language}.",
        "The lyrics are {language}.",
        "The song has {language} words.",
    ),
    "themes": (
        "The words may be about {themes}.",
        "Its lyrics seem to be about {themes}.",
        "Going by the words, it could be about {themes}.",
        "The lyrics are perhaps about {themes}.",
    ),
    "both": (
        "The words are in {language} and may be about {themes}.",
        "Its {language} lyrics seem to be about {themes}.",
        "The lyrics are in {language}, and they could be about {themes}.",
        "Going by its {language} words, the song may be about {themes}.",
        "In {language}, the words are perhaps about {themes}.",
        "It has {language} lyrics, which may be about {themes}.",
    ),
}
# Where nobody sings, the words are only those that came with the music.
WORDS_APART = {
    "language": (
        "The lyrics that came with it are in {language}.",
        "It came with {language} lyrics.",
        "The words given for it are in {language}.",
    ),
    "themes": (
        "The lyrics that came with it may be about {themes}.",
        "The words given for it seem to be about {themes}.",
        "It came with lyrics, which could be about {themes}.",
    ),
    "both": (
        "The lyrics that came with it are in {language} and may be about {themes}.",
        "The {language} words given for it seem to be about {themes}.",
        "It came with {language} lyrics, which could be about {themes}.",
    ),
}
JOINERS = ("{} or {}", "{}, or perhaps {}", "{}, and maybe {}")
NOTHING = ("Little can be said of this song for sure.", "What kind of song this is remains unsure.")
SINGERS = {"woman": "a woman", "man": "a man", "sung": "someone"}
VOCALS = {"woman": "female vocals", "man": "male vocals", "sung": "vocals"}
VOICES_HEARD = {"woman": "a woman's voice", "man": "a man's voice", "sung": "a singing voice"}


def write_caption(facts: Facts, song: str) -> str:
    """Returns a caption in the wording that falls to a song of this name.

    A ValueError where themes are stated of words in a language that is not understood.
    """
    parts = [
        _choose(sentences, f"{song}:{number}")
        for number, sentences in enumerate((music_sentences(facts), words_sentences(facts)))
        if sentences
    ]
    return " ".join(parts) or _choose(NOTHING, song)


@lru_cache(maxsize=4096)
def music_sentences(facts: Facts) -> tuple[str, ...]:
    """Returns every wording of what is heard; none where nothing is sure."""
    if not (facts.voice or facts.genre or facts.feel or facts.instruments):
        return ()
    return tuple(dict.fromkeys(_music_sentences(facts)))


@lru_cache(maxsize=4096)
def words_sentences(facts: Facts) -> tuple[str, ...]:
    """Returns every wording of what is read; none where nothing is sure. A ValueError as in `write_caption`."""
    if facts.themes and facts.language not in (READ_LANGUAGE, None):
        raise ValueError(f"themes of words in {LANGUAGES[facts.language or '']} cannot be known")
    if not (facts.themes or facts.language):
        return ()
    kind = "both" if facts.themes and facts.language else "themes" if facts.themes else "language"
    templates = (WORDS_APART if facts.voice == "none" else WORDS)[kind]
    language = LANGUAGES.get(facts.language or "", "")
    themes = list(_theme_phrases(facts.themes))
    found = (template.format(language=language, themes=about) for template, about in product(templates, themes))
    return tuple(dict.fromkeys(found))


def _choose(sentences: Sequence[str], key: str) -> str:
    # A hash, since the choice must be the same on every machine and for ever.
    return sentences[int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") % len(sentences)]


def _theme_phrases(themes: Sequence[str]) -> Iterator[str]:
    if not themes:
        yield ""
    for phrases in product(*(THEME_PHRASES[theme] for theme in themes)):
        if len(phrases) == 1:
            yield phrases[0]
        elif phrases:
            yield from (joiner.format(*phrases) for joiner in JOINERS)


def _music_sentences(facts: Facts) -> Iterator[str]:
    sung = facts.voice in SINGERS
    templates: tuple[str, ...]
    if sung:
        templates = SUNG_WITH_SOUNDS if facts.instruments else SUNG
    elif facts.voice == "none":
        templates = INSTRUMENTAL_WITH_SOUNDS if facts.instruments else INSTRUMENTAL
    else:
        templates = UNSURE_WITH_SOUNDS if facts.instruments else UNSURE
    who = facts.voice if sung and facts.voice else "sung"
    raps = facts.genre == "hip-hop"  # where a voice need not sing
    slots = {
        "singer": SINGERS[who],
        "sings": "is on vocals" if raps else "sings",
        "vocals": VOCALS[who],
        "voice": "a human voice" if raps and who == "sung" else VOICES_HEARD[who],
        "sounds": " and ".join(with_article(name) if name in COUNTED else name for name in facts.instruments),
    }
    if not (facts.feel or facts.genre):  # nobody says that it sounds like a song
        templates = tuple(template for template in templates if not template.startswith("It sounds like"))
    for template, (name, instrumental) in product(templates, _nouns(facts, sung)):
        nouns = {"a": with_article(name), "this": name, "instrumental": with_article(instrumental)}
        sentence = template.format(**nouns, **slots)
        yield sentence[0].upper() + sentence[1:]


def _nouns(facts: Facts, sung: bool) -> Iterator[tuple[str, str]]:
    """Yields "gentle folk piece" and its like, each with "gentle instrumental folk piece"."""
    bare = not (facts.feel or facts.genre)
    feels = FEEL_WORDS[facts.feel] if facts.feel else ("",)
    for feel, noun in product(feels, SUNG_NOUNS if sung else OTHER_NOUNS):
        name = NAMELESS if noun == "piece" and bare else noun
        parts = ((feel, facts.genre, name), (feel, "instrumental", facts.genre, noun))
        plain, instrumental = (" ".join(part for part in some if part) for some in parts)
        yield plain, instrumental


def with_article(name: str) -> str:
    """Returns a noun behind "a" or "an"; right for our words, which sound as they are spelt."""
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"
