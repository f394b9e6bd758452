import gzip
import random
import time
from importlib.resources import files

import pytest
from make_synonyms import table_of, wordnet_folder

from recap_cli.errors import DataError
from recap_cli.scoring import meteor as module
from recap_cli.scoring.meteor import Synonyms, load_synonyms

TABLE = files("recap_cli") / "data" / "wordnet_synonyms.txt.gz"

# METEOR of NLTK 3.10.4 with the complete WordNet 3.0, and without any synonyms: reference, prediction, with, without.
METEOR = [
    ("They went down to the sea and wept.", "Men go to the ocean and weep.", 0.5438202247191011, 0.3546348314606741),
    ("The big car fell off the road.", "A large auto will fall off the route.", 0.3896604938271605, 0.3155006858710563),
    (
        "A kid is sick and mad at his dad.",
        "The child is ill, crazy; his father begins to shout.",
        0.4330097087378641,
        0.14563106796116504,
    ),
    (
        "We begin to speak of the end.",
        "She may start to talk. The finish comes.",
        0.6859756097560975,
        0.18292682926829268,
    ),
    ("The shop was shut so he bought wine.", "He buys booze; that store is closed.", 0.2222222222222222, 1 / 9),
    (
        "It is about dying young. He fears the end.",
        "This is a song on death. The singer dreads the finish.",
        0.5022321428571428,
        0.17857142857142858,
    ),
    ("New York in the sixties", "Completely different words here", 0.0, 0.0),
]


class NoSynonyms:
    def synsets(self, word):
        return []


def one_word_names(reader, word):
    return {lemma.name() for synset in reader.synsets(word) for lemma in synset.lemmas() if "_" not in lemma.name()}


def meteor(reference, prediction, wordnet):
    from nltk.tokenize import NLTKWordTokenizer
    from nltk.tokenize.punkt import PunktSentenceTokenizer
    from nltk.translate.meteor_score import single_meteor_score

    parts, words = PunktSentenceTokenizer().tokenize, NLTKWordTokenizer().tokenize
    tokens = [[word for part in parts(text) for word in words(part)] for text in (reference, prediction)]
    return single_meteor_score(*tokens, wordnet=wordnet)


@pytest.mark.parametrize(("reference", "prediction", "with_synonyms", "without"), METEOR)
def test_meteor_equals_nltk_with_wordnet(reference, prediction, with_synonyms, without):
    assert meteor(reference, prediction, load_synonyms()) == pytest.approx(with_synonyms, abs=1e-12)
    assert meteor(reference, prediction, NoSynonyms()) == pytest.approx(without, abs=1e-12)


@pytest.mark.parametrize(
    ("word", "base"),
    [
        ("dogs", "dog"),
        ("Mice", "mouse"),
        ("went", "go"),
        ("churches", "church"),
        ("wolves", "wolf"),
        ("dancing", "dance"),
        ("happiest", "happy"),
        ("better", "well"),
        ("firemen", "fireman"),
    ],
)
def test_inflected_words_are_found(word, base):
    assert base in one_word_names(load_synonyms(), word)


def test_words_of_one_meaning():
    assert {"child", "kid", "youngster"} <= one_word_names(load_synonyms(), "kid")
    assert load_synonyms().synsets("happi") == []
    assert load_synonyms().synsets("") == []


SMALL = """notice

noun synsets
axis
axe ax
bird goose

noun exceptions
axes ax axis
geese goose

verb synsets
goose jab

verb exceptions
x y

adj synsets
big large

adj exceptions
x y

adv synsets
well

adv exceptions
better well
"""


def test_a_small_table_by_hand():
    table = Synonyms(SMALL)
    assert one_word_names(table, "axes") == {"ax", "axe", "axis"}
    assert one_word_names(Synonyms(SMALL.replace("axes ax axis", "x y")), "axes") == {"ax", "axe"}
    # "geese" is irregular as a noun only; no verb rule leads to "goose".
    assert one_word_names(table, "geese") == {"bird", "goose"}
    assert one_word_names(table, "gooses") == {"bird", "goose", "jab"}
    # A listed exception takes the place of the noun rules, even where it leads nowhere.
    assert one_word_names(Synonyms(SMALL.replace("axes ax axis", "gooses geese")), "gooses") == {"goose", "jab"}
    assert one_word_names(table, "bigest") == {"big", "large"}
    assert one_word_names(table, "bigs") == set()


def test_a_damaged_table_is_named(monkeypatch, tmp_path):
    with pytest.raises(DataError, match="verb synsets"):
        Synonyms(SMALL.replace("verb synsets", "verb words"))
    monkeypatch.setattr(module, "files", lambda package: tmp_path)
    with pytest.raises(DataError, match=r"wordnet_synonyms\.txt\.gz"):
        load_synonyms.__wrapped__()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / TABLE.name).write_bytes(TABLE.read_bytes()[:1000])
    with pytest.raises(DataError, match=r"wordnet_synonyms\.txt\.gz"):
        load_synonyms.__wrapped__()


def test_the_table_loads_fast_and_carries_its_notice():
    start = time.process_time()
    load_synonyms.__wrapped__()
    assert time.process_time() - start < 1.0
    text = gzip.decompress(TABLE.read_bytes()).decode()
    assert "WordNet 3.0, Copyright 2006 by Princeton University" in text
    licence = (files("recap_cli") / "data" / "WORDNET-LICENSE").read_text(encoding="utf-8")
    assert "appear on ALL copies" in licence
    assert "IMPLIED" in licence
    assert TABLE.name in licence


def random_words(reader, rng):
    lemmas = sorted(reader.all_lemma_names())
    words = []
    for lemma in rng.sample(lemmas, 300):
        words += [lemma, lemma.title(), *(lemma + ending for ending in ("s", "es", "ed", "ing", "er", "est"))]
        words += [lemma[:-1] + "ies", lemma[:-2] + "men"]
    for exceptions in reader._exception_map.values():
        words += rng.sample(sorted(exceptions), min(100, len(exceptions)))
    return words


@pytest.mark.filterwarnings("ignore:The multilingual functions")
def test_same_synonyms_as_nltk_on_random_words(nltk_wordnet):
    words = random_words(nltk_wordnet, random.Random(0))
    assert len(words) > 2000
    different = [w for w in words if one_word_names(load_synonyms(), w) != one_word_names(nltk_wordnet, w)]
    assert different == []


@pytest.mark.filterwarnings("ignore:The multilingual functions")
def test_same_meteor_as_nltk_on_random_sentences(nltk_wordnet):
    from nltk.translate.meteor_score import single_meteor_score

    rng = random.Random(1)
    lemmas = rng.sample(sorted(nltk_wordnet.all_lemma_names()), 6000)
    common = [name for name in lemmas if len(nltk_wordnet.synsets(name)) > 4]
    changed = 0
    for _ in range(300):
        reference = [rng.choice(common) + rng.choice(["", "", "s", "ed"]) for _ in range(rng.randint(3, 30))]
        prediction = [rng.choice(sorted(one_word_names(nltk_wordnet, word)) or [word]) for word in reference]
        rng.shuffle(prediction)
        expected = single_meteor_score(reference, prediction, wordnet=nltk_wordnet)
        assert single_meteor_score(reference, prediction, wordnet=load_synonyms()) == expected
        changed += expected != single_meteor_score(reference, prediction, wordnet=NoSynonyms())
    assert changed > 200


def test_the_packaged_table_is_what_the_script_derives():
    source = wordnet_folder()
    if source is None:
        pytest.skip("WordNet 3.0 is not on this machine")
    assert gzip.decompress(TABLE.read_bytes()).decode() == table_of(source)
