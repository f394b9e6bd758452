"""Facts that captions of music state: instruments, genres, voices, tempo, key and mood, and what they deny.

What counts as a fact stands in `data/caption_facts.json`, in words. A caption's facts are compared with those of all
its references taken together, or with uploaders' tags: agreed, contradicted, or alone.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any, Literal

import numpy as np

from recap_cli.errors import DataError

TABLE = "caption_facts.json"
FactPart = Literal["precision", "recall", "f1"]
FACT_PARTS: tuple[FactPart, ...] = ("precision", "recall", "f1")
KEPT_TEXTS = 20_000  # whose facts are kept: the references of several systems are the same
BLOCK = 50_000  # captions that are counted at a time
COUNTS = ("stated", "agreed", "contradicted", "known")  # of one song
TOKEN = re.compile(r"-(?:free|less)\b|[^\W_]+|[&#,.;:!?()\n]")
# A hyphen or an apostrophe parts words; "isn't" is "is not".
NOT = re.compile(r"(?<=can)not\b|n['\N{RIGHT SINGLE QUOTATION MARK}]t\b")
ARTICLES = frozenset(("a", "an", "the", "any", "even", "real"))
MOST_FILLERS = 5  # words of no fact between a denial and the first fact that it denies

Role = Literal["fact", "nothing", "before", "after", "stop", "and", "or", "comma", "end", "article", "word"]
ENDS = frozenset(".;:!?()\n")


@dataclass(frozen=True)
class Phrase:
    """Words of the lexicon and what they do."""

    words: tuple[str, ...]
    role: Role
    facts: tuple[str, ...] = ()
    kind: str = ""


@dataclass(frozen=True)
class Lexicon:
    """What is looked for in captions."""

    facts: tuple[str, ...]
    names: tuple[str, ...]  # the columns of a table of facts: each fact, then "no" and each fact
    phrases: dict[str, list[Phrase]]  # by their first word, the longest first
    implied: dict[str, frozenset[str]]  # a fact and all that it implies
    denied: dict[str, str]  # what is stated where a fact is denied
    exclusive: tuple[tuple[tuple[str, ...], str], ...]  # facts of which one holds, unless another fact is stated
    tags: dict[str, frozenset[str]]  # what an uploader's tag says
    name: str  # for signatures: how many facts it has, and a fingerprint of the file

    @classmethod
    def read(cls, text: str) -> "Lexicon":
        """Returns the lexicon of the text of the data file."""
        table: dict[str, Any] = json.loads(text)
        groups = {group["fact"]: group for group in table["groups"]}
        facts = tuple(groups)
        direct = {fact: frozenset(group.get("implies", ())) for fact, group in groups.items()}
        # Nothing that is implied implies more.
        implied = {fact: frozenset([fact]).union(more) for fact, more in direct.items()}
        phrases: dict[str, list[Phrase]] = {}
        for phrase in _phrases(table):
            phrases.setdefault(phrase.words[0], []).append(phrase)
        for some in phrases.values():
            some.sort(key=lambda phrase: -len(phrase.words))
        return cls(
            facts=facts,
            names=(*facts, *(f"no {fact}" for fact in facts)),
            phrases=phrases,
            implied=implied,
            denied={fact: group.get("denied", f"no {fact}") for fact, group in groups.items()},
            exclusive=tuple((tuple(one["facts"]), one.get("unless", "")) for one in table["exclusive"]),
            tags={tag: frozenset().union(*(implied[fact] for fact in stated)) for tag, stated in table["tags"].items()},
            name=f"lexicon of {len(facts)} facts ({hashlib.sha256(text.encode()).hexdigest()[:8]})",
        )


def _phrases(table: dict[str, Any]) -> Iterable[Phrase]:
    """Yields the phrases of the data file; one that stands in several groups is one phrase of several facts."""
    facts: dict[tuple[str, ...], list[str]] = {}
    kinds = {group["fact"]: group["kind"] for group in table["groups"]}
    for group in table["groups"]:
        for text in group["words"]:
            for words in _spellings(text, table["notes"], group["kind"] in ("instrument", "voice")):
                facts.setdefault(words, []).append(group["fact"])
    for words, some in facts.items():
        yield Phrase(words, "fact", tuple(dict.fromkeys(some)), kinds[some[0]])
    roles: list[tuple[Role, list[str]]] = [("nothing", table["nothing"]), ("nothing", table["negation"]["never"])]
    roles += [(role, table["negation"][role]) for role in ("before", "after", "stop")]
    for role, texts in roles:
        yield from (Phrase(tuple(split(text)), role) for text in texts if tuple(split(text)) not in facts)


def _spellings(text: str, notes: Sequence[str], in_plural: bool) -> Iterable[tuple[str, ...]]:
    """Yields the words of a phrase, for each note where it names one, and in the plural."""
    for note in notes if "NOTE" in text else [""]:
        words = tuple(split(text.replace("NOTE", note)))
        yield words
        if in_plural and not words[-1].endswith("s"):
            yield (*words[:-1], f"{words[-1]}s")


@cache
def load_lexicon() -> Lexicon:
    """Returns the packaged lexicon.

    Raises:
        DataError: it is missing from the installation, or damaged.
    """
    try:
        return Lexicon.read((files("recap_cli") / "data" / TABLE).read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError) as error:
        hint = "install the program again: pip install . in its folder"
        raise DataError(f"The lexicon of facts {TABLE} cannot be read: {error}", hint) from error


# reading a caption ----------------------------------------------------------------------------------------------------


def split(text: str) -> list[str]:
    """Splits a text into lower-case words and the marks that end a list or a sentence."""
    return TOKEN.findall(NOT.sub(" not", text.lower()))


@lru_cache(maxsize=KEPT_TEXTS)
def read_facts(text: str) -> frozenset[str]:
    """Returns the facts that a caption states, by name; "no drums" where it says that there are none."""
    lexicon = load_lexicon()
    phrases = find_phrases(split(text), lexicon)
    denied, unsure = find_denied(phrases)
    found: set[str] = set()
    for place, phrase in enumerate(phrases):
        if phrase.role != "fact" or place in unsure:
            continue
        if place not in denied:
            found.update(*(lexicon.implied[fact] for fact in phrase.facts))
        elif len(phrase.facts) == 1:  # of "no techno" nobody knows whether the music is electronic
            found.add(lexicon.denied[phrase.facts[0]])
    return frozenset(found)


def find_phrases(words: Sequence[str], lexicon: Lexicon) -> list[Phrase]:
    """Cuts a caption into phrases of the lexicon, the longest first, and words that it does not hold."""
    found: list[Phrase] = []
    place = 0
    while place < len(words):
        some = lexicon.phrases.get(words[place], ())
        phrase = next((one for one in some if tuple(words[place : place + len(one.words)]) == one.words), None)
        phrase = phrase or Phrase((words[place],), role_of(words[place]))
        found.append(phrase)
        place += len(phrase.words)
    return found


def role_of(word: str) -> Role:
    """Returns what a word does that the lexicon does not hold."""
    if word in ENDS:
        return "end"
    if word in ARTICLES:
        return "article"
    named: dict[str, Role] = {"and": "and", "&": "and", "or": "or", ",": "comma"}
    return named.get(word, "word")


def find_denied(phrases: Sequence[Phrase]) -> tuple[set[int], set[int]]:
    """Returns the places of facts that a caption denies, and of those that it neither states nor denies."""
    denied: set[int] = set()
    unsure: set[int] = set()
    for place, phrase in enumerate(phrases):
        if phrase.role == "before":
            for run in denied_behind(phrases, place):
                # "not a happy pop song" is about happy, "no jazz guitar" about the guitar.
                kept = run[0] if phrase.words == ("not",) else run[-1]
                denied.add(kept)
                unsure.update(one for one in run if one != kept)
        elif phrase.role == "after" and place and phrases[place - 1].role == "fact":
            denied.update(denied_before(phrases, place))
    return denied, unsure - denied


def denied_behind(phrases: Sequence[Phrase], start: int) -> list[list[int]]:
    """Returns the places of the facts that the denial at `start` is about; facts side by side form one run."""
    runs: list[list[int]] = []
    if phrases[start].words == ("non",):  # of the next word alone
        return [[start + 1]] if start + 1 < len(phrases) and phrases[start + 1].role == "fact" else []
    fillers = MOST_FILLERS
    is_joined = False
    for place in range(start + 1, len(phrases)):
        role = phrases[place].role
        if role == "fact":
            if runs and not is_joined:
                runs[-1].append(place)
            else:
                runs.append([place])
            is_joined = False
        elif not runs:
            if role not in ("word", "article", "nothing", "or") or not fillers:
                break
            fillers -= 1
        elif role != "article":
            if not continues(phrases, place):
                break
            is_joined = True
    return runs


def continues(phrases: Sequence[Phrase], place: int) -> bool:
    """Whether a list of denied facts has a next one.

    It has behind "or", behind "and" with a fact of the same kind, and behind a comma where an "or" is still to come.
    """
    role, rest = phrases[place].role, phrases[place + 1 :]
    if role == "and":
        return bool(rest) and rest[0].role == "fact" and rest[0].kind == phrases[place - 1].kind
    if role == "comma":
        listed = next((one.role for one in rest if one.role not in ("fact", "article", "comma")), "end")
        return listed == "or" or (bool(rest) and rest[0].role == "or")
    return role == "or"


def denied_before(phrases: Sequence[Phrase], end: int) -> list[int]:
    """Returns the places of the facts before a phrase such as "are missing": the last, and what is joined to it."""
    found = [end - 1]
    place = end - 2
    while place > 0 and phrases[place].role in ("and", "or", "comma") and phrases[place - 1].role == "fact":
        found.append(place - 1)
        place -= 2
    return found


# comparing ------------------------------------------------------------------------------------------------------------


def read_tags(tags: Iterable[str]) -> frozenset[str]:
    """Returns what an uploader's tags state, such as `genre---rock`; tags that the lexicon lacks say nothing."""
    lexicon = load_lexicon()
    return frozenset().union(*(lexicon.tags.get(tag.strip().lower(), frozenset()) for tag in tags))


def taggable() -> frozenset[str]:
    """Returns the facts that some tag can state or contradict; a caption is not judged by tags in any other."""
    lexicon = load_lexicon()
    stated = frozenset().union(*lexicon.tags.values())
    return stated.union(f"no {fact}" for fact in stated)


def fact_table(stated: Iterable[Iterable[str]]) -> np.ndarray:
    """Returns facts as columns, in the order of the lexicon's names, true where they are stated [texts, names]."""
    columns = {name: column for column, name in enumerate(load_lexicon().names)}
    rows = [[columns[name] for name in some] for some in stated]
    table = np.zeros((len(rows), len(columns)), bool)
    for row, some in zip(table, rows, strict=True):
        row[some] = True
    return table


@dataclass(frozen=True)
class Sides:
    """What may contradict in a table of facts: facts against their denial, and facts of which only one can hold."""

    denials: np.ndarray  # [texts, names]
    choices: np.ndarray  # [texts, names]


def count_facts(said: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Counts the facts of each caption against the references in its place [captions, 4], in the order of `COUNTS`.

    Args:
        said: the captions' facts [captions, names].
        known: those of the references of each, taken together [captions, names].
    """
    counts = (said, said & known, contradictions(said, known), known)
    return np.stack([one.sum(axis=1) for one in counts], axis=1)


def contradictions(said: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Returns which facts of each caption what is known in its place contradicts [captions, names]."""
    ours, theirs = _claims(said), _against(known)
    return (ours.denials & theirs.denials) | (ours.choices & theirs.choices)


def count_pairs(said: Sequence[frozenset[str]], known: Sequence[frozenset[str]]) -> np.ndarray:
    """Counts the facts that each caption states against those in its place [captions, 4], in blocks of memory."""
    blocks = [slice(start, start + BLOCK) for start in range(0, len(said), BLOCK)]
    return np.concatenate([count_facts(fact_table(said[block]), fact_table(known[block])) for block in blocks])


def count_all_facts(said: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Counts the facts of every caption against every set of references [captions, sets, 4]; see `count_facts`."""
    ours, theirs = _claims(said), _against(known)
    found = np.empty((len(said), len(known), len(COUNTS)), np.int16)
    found[..., 0] = said.sum(axis=1)[:, None]
    found[..., 1] = _products(said, known)
    # A fact that is contradicted in both ways counts once.
    found[..., 2] = _products(ours.denials, theirs.denials) + _products(ours.choices, theirs.choices)
    found[..., 2] -= _products(ours.denials & ours.choices, theirs.denials & theirs.choices)
    found[..., 3] = known.sum(axis=1)
    return found


def facts_of(sums: np.ndarray, part: FactPart = "f1") -> np.ndarray:
    """Turns counts summed over songs [..., 4] into a figure from 0 to 1 [...]; 0 where nothing is stated or known."""
    stated, agreed, known = sums[..., 0], sums[..., 1], sums[..., 3]
    below = {"precision": stated, "recall": known, "f1": (stated + known) / 2}[part]
    return agreed / np.where(below > 0, below, 1.0)


def _products(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """Counts the columns that are true in both rows, for every pair of rows."""
    return (ours.astype(np.float32) @ theirs.astype(np.float32).T).astype(np.int16)


def _claims(table: np.ndarray) -> Sides:
    """Returns the facts of each text that can be contradicted: of one choice it makes no second one."""
    half = table.shape[1] // 2
    other = np.roll(table, half, axis=1)
    choices = np.zeros_like(table)
    for columns, unless in _choices():
        lone: np.ndarray = table[:, columns].sum(axis=1) == 1
        if unless >= 0:
            lone &= ~table[:, unless]
        choices[:, columns] = table[:, columns] & lone[:, None]
    return Sides(table & ~other, choices)


def _against(table: np.ndarray) -> Sides:
    """Returns the facts that each text contradicts."""
    claims = _claims(table)
    choices = np.zeros_like(table)
    for columns, _ in _choices():
        chosen = claims.choices[:, columns]
        choices[:, columns] = chosen.any(axis=1, keepdims=True) & ~chosen
    return Sides(np.roll(claims.denials, table.shape[1] // 2, axis=1), choices)


@cache
def _choices() -> list[tuple[list[int], int]]:
    """Returns the columns of facts of which one holds, and that of the fact under which several can; -1 is none."""
    lexicon = load_lexicon()
    return [
        ([lexicon.names.index(fact) for fact in facts], lexicon.names.index(unless) if unless else -1)
        for facts, unless in lexicon.exclusive
    ]
