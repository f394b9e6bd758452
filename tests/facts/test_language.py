"""Languages of lyrics are told by script and common words; little and mixed text stays unsure."""

import gzip
import json
import os
from collections import Counter
from pathlib import Path

import pytest

from recap_cli.facts.facts import LANGUAGES
from recap_cli.facts.language import common_words, find_language

# Made-up verses, none of a song.
VERSES = {
    "en": "I was walking down the road and you were there\nAll the lights of the town were in your hair",
    "es": "Yo camino por la calle y no sé dónde estás\nPero cuando llega la noche siempre vuelves a mí",
    "fr": "Je marche dans la rue et je ne sais pas où tu es\nMais quand la nuit est là tu es avec moi",
    "de": "Ich gehe durch die Straßen und weiß nicht wo du bist\nAber in der Nacht bist du immer bei mir",
    "it": "Cammino per la strada e non so più dove sei\nMa quando è notte tu sei sempre con me",
    "pt": "Eu ando pela rua e não sei onde você está\nMas quando a noite chega você é tudo para mim",
    "nl": "Ik loop door de straten en weet niet waar je bent\nMaar in de nacht ben je altijd hier bij mij",
    "sv": "Jag går genom staden och vet inte var du är\nMen när natten kommer är du här hos mig",
    "da": "Jeg går gennem byen og ved ikke hvor du er af\nMen når natten kommer er du ved mig og vil være her",
    "no": "Jeg går gjennom byen og vet ikke hvor du er\nMen når natten kommer er du hos meg og vil være her nå",
    "fi": "Minä kuljen kaupungin läpi ja en tiedä missä sinä olet\nMutta kun yö tulee niin sä olet aina mun",
    "pl": "Idę przez miasto i nie wiem gdzie jesteś\nAle kiedy jest noc to ty jesteś tylko ze mną i co mi po tym",
    "cs": "Jdu městem a nevím kde jsi ty\nAle když je noc tak jsi jen se mnou a já vím že to je ten svět",
    "hu": "Megyek a városon át és nem tudom hol vagy te\nDe ha itt az éjszaka akkor csak te vagy nekem és én",
    "ro": "Merg prin oraș și nu știu unde ești tu\nDar când e noapte tu ești cu mine și nu mai sunt trist",
    "tr": "Bu şehirde yürürüm ve sen neredesin bilmem\nAma gece olur ve sen benim için her şey gibi çok güzel",
    "id": "Aku berjalan di kota ini dan tak tahu di mana kamu\nTapi saat malam kau ada untuk ku di dalam hati",
    "ca": "Camino pel carrer i no sé on ets tu\nPerò quan és de nit sempre ets amb mi i tot el meu cor és teu",
    "zh": "我走在夜晚的街上不知道你在哪里可是月亮出来的时候你就在我的身边",
    "ja": "夜の街を歩いて君がどこにいるのか分からないけど月が出ると君はそばにいる",
    "ko": "나는 밤거리를 걸으며 네가 어디 있는지 몰라 하지만 달이 뜨면 너는 내 곁에 있어",
    "ru": "Я иду по улице и не знаю где ты но когда приходит ночь ты со мной",
    "uk": "Я йду вулицею і не знаю де ти але коли приходить ніч ти зі мною",
    "el": "Περπατώ στον δρόμο και δεν ξέρω πού είσαι αλλά τη νύχτα είσαι μαζί μου",
    "ar": "أمشي في الشارع ولا أعرف أين أنت ولكن في الليل أنت معي",
    "he": "אני הולך ברחוב ולא יודע איפה את אבל בלילה את איתי",
    "hi": "मैं रात की सड़क पर चलता हूँ और नहीं जानता तुम कहाँ हो",
    "th": "ฉันเดินอยู่บนถนนและไม่รู้ว่าเธออยู่ที่ไหนแต่เมื่อกลางคืนมาเธออยู่กับฉัน",
}


def sure(lyrics):
    guess = find_language(lyrics)
    return guess.value if guess else None


def test_every_language_that_is_named_is_told():
    assert set(VERSES) == set(LANGUAGES)
    assert {language: sure(verse) for language, verse in VERSES.items()} == {code: code for code in VERSES}
    assert all(0.75 <= find_language(verse).confidence <= 1 for verse in VERSES.values())


@pytest.mark.parametrize(
    "lyrics", ["", "\n", "la la la", "Oh yeah", "1234 5678", "🎵 🎵", "私は", "Baton nyo soye " * 9]
)
def test_too_little_to_tell(lyrics):
    assert sure(lyrics) is None


def test_mixed_lyrics_are_unsure():
    more = "You and I are on the run and we will not come home\nThere is no one in the world who can tell us what to do"
    assert sure("\n".join((VERSES["en"], more, VERSES["fr"], VERSES["fr"].replace("rue", "ville")))) is None
    assert sure(VERSES["ko"] + more) is None
    assert sure(VERSES["ar"] + " چ پ گ") is None  # Persian, which is not among ours


def test_a_line_in_another_language_does_not_matter():
    long = "\n".join(VERSES["es"].replace("calle", place) for place in ("calle", "casa", "playa", "plaza", "ciudad"))
    assert sure(f"{long}\nOh baby I love you") == "es"


def test_a_chorus_says_no_more_than_once():
    assert sure(VERSES["de"] + "\nBaby baby come on" * 60) == "de"


def test_curly_apostrophes_are_those_of_typewriters():
    lyrics = "I can’t say that it’s over and I don’t know what you’re doing to me"
    assert sure(lyrics) == sure(lyrics.replace("’", "'")) == "en"


def test_each_list_of_common_words_has_words_of_its_own():
    own = Counter(next(iter(languages)) for languages in common_words().values() if len(languages) == 1)
    assert len(own) == 18  # those in Latin script
    # Danish and Norwegian share most of theirs
    assert {language for language, count in own.items() if count < 20} == {"da", "no"} and min(own.values()) >= 4


@pytest.mark.skipif("RECAP_REAL_DIR" not in os.environ, reason="RECAP_REAL_DIR names no folder with muljam.jsonl.gz")
def test_real_lyrics_are_told():
    from recap_cli.facts.theme_labels import read_judge, read_labels

    english = {song.track for song in (*read_labels(), *read_judge())}
    with gzip.open(Path(os.environ["RECAP_REAL_DIR"]) / "muljam.jsonl.gz", "rt", encoding="utf-8") as file:
        found = {row["track"]: sure(row["lyrics"]) for row in map(json.loads, file)}
    told = Counter(found[track] for track in english)
    assert set(told) <= {"en", None} and told["en"] >= 0.995 * len(english)
    assert sum(language is None for language in found.values()) < 0.03 * len(found)
    assert set(found.values()) == {"en", "fr", "es", "it", "ru", "de", None}
