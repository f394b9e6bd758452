from dataclasses import asdict, replace
from importlib.metadata import version

import numpy as np
import pytest
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics import BLEU, CHRF

from recap_cli.errors import DataError, OptionError
from recap_cli.progress import SilentProgress
from recap_cli.scoring.bleu import bleu_of, chrf_of, chrf_statistics
from recap_cli.scoring.bootstrap import bootstrap_interval, song_counts
from recap_cli.scoring.cider import CiderReferences
from recap_cli.scoring.facts import facts_of, load_lexicon
from recap_cli.scoring.rouge import is_other_script, tokens_of_any_script
from recap_cli.scoring.song_scores import Judges, SongRows
from recap_cli.scoring.text import HEADLINE, METRICS, score_songs

IDS = ["home", "sea", "war"]
PREDICTIONS = [
    "The song is about a man who leaves his home.",
    "She sings of lost love and of the sea.",
    "It is about war.",
]
REFERENCES = [
    ["A song of a guy who departs from his house.", "It is about leaving home.", "The man is leaving."],
    ["A sad love song about the sea."],
    ["About the war in Vietnam.", "It is an anti-war song."],
]

# rouge-score 0.1.2 without stemming (precision, recall, F1 of R-1, R-2, R-L) and NLTK 3.10.4's METEOR with the complete
# WordNet 3.0, called directly; one line per reference.
MATCHES = {
    "home": [
        ((0.4, 0.4, 0.4), (0, 0, 0), (0.4, 0.4, 0.4), 0.227273),
        ((0.3, 0.6, 0.4), (0.111111, 0.25, 0.153846), (0.3, 0.6, 0.4), 0.686154),
        ((0.3, 0.75, 0.428571), (0, 0, 0), (0.2, 0.5, 0.285714), 0.446429),
    ],
    "sea": [((1 / 3, 0.428571, 0.375), (0.125, 0.166667, 0.142857), (1 / 3, 0.428571, 0.375), 0.457317)],
    "war": [
        ((0.5, 0.4, 0.444444), (0, 0, 0), (0.5, 0.4, 0.444444), 0.254237),
        ((0.75, 0.5, 0.6), (1 / 3, 0.2, 0.25), (0.75, 0.5, 0.6), 0.433145),
    ],
}


@pytest.fixture(scope="module")
def scores():
    return score_songs(IDS, PREDICTIONS, REFERENCES)


def flat(match):
    return [*vars(match.rouge1).values(), *vars(match.rouge2).values(), *vars(match.rougeL).values(), match.meteor]


def test_rows_equal_outside_numbers(scores):
    assert [row.id for row in scores.rows] == IDS
    for row in scores.rows:
        per_reference = MATCHES[row.id]
        best = [max((match[k] for match in per_reference), key=lambda rouge: rouge[2]) for k in range(3)]
        expected = [*best[0], *best[1], *best[2], max(match[3] for match in per_reference)]
        assert flat(row.best) == pytest.approx(expected, abs=1e-6)
        columns = np.array([[*match[0], *match[1], *match[2], match[3]] for match in per_reference])
        assert flat(row.mean) == pytest.approx(columns.mean(axis=0).tolist(), abs=1e-6)


def test_each_measure_has_its_own_best_reference(scores):
    home = scores.rows[0].best
    # R-1 takes the third reference, R-2 the second, R-L the first of two equals.
    assert (home.rouge1.recall, home.rouge2.recall, home.rougeL.recall) == (0.75, 0.25, 0.4)


def test_figures_by_hand():
    scores = score_songs(["a"], ["a b c d"], [["a c b x y"]])
    row = scores.rows[0]
    # 3 of 4 words, 3 of 5; no pair in common; "a b" or "a c" in order.
    assert flat(row.best)[:3] == pytest.approx([3 / 4, 3 / 5, 2 / 3])
    assert flat(row.best)[3:6] == [0, 0, 0]
    assert flat(row.best)[6:9] == pytest.approx([2 / 4, 2 / 5, 4 / 9])
    # Three matches in three chunks: penalty .5; the mean weighs recall with .9.
    assert row.best.meteor == pytest.approx(0.5 * (0.75 * 0.6) / (0.9 * 0.75 + 0.1 * 0.6))
    assert row.bleu == (4, 5, 3, 0, 0, 0, 4, 3, 2, 1)
    same = score_songs(["a"], ["the same words stay the same"], [["the same words stay the same"]])
    assert same.rows[0].best.meteor == pytest.approx(1 - 0.5 / 6**3)
    assert same.bleu == pytest.approx(100)


def test_rouge_equals_rouge_score_at_run_time(scores):
    scorer = RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=False)
    for row, prediction, references in zip(scores.rows, PREDICTIONS, REFERENCES, strict=True):
        for name, expected in scorer.score_multi(references, prediction).items():
            found = getattr(row.best, name)
            assert (found.precision, found.recall, found.f1) == tuple(expected)


@pytest.mark.parametrize(
    ("reference", "prediction", "meteor"),
    [
        (
            "A kid is sick and mad at his dad.",
            "The child is ill, crazy; his father begins to shout.",
            0.4330097087378641,
        ),
        ("We begin to speak of the end.", "She may start to talk. The finish comes.", 0.6859756097560975),
        ("He is young. He fears the end.", "A song on being young, and THE END.", 0.412087912087912),
    ],
)
def test_meteor_equals_nltk_on_sentences_and_synonyms(reference, prediction, meteor):
    row = score_songs(["a"], [prediction], [[reference]]).rows[0]
    assert row.best.meteor == row.mean.meteor == pytest.approx(meteor, abs=1e-12)


def test_stray_foreign_letters_leave_latin_captions_to_rouge_score():
    prediction, reference = "a café in 東京 at night, naïve", "the café of 東京, π and a naïve night"
    row = score_songs(["a"], [prediction], [[reference]]).rows[0]
    expected = RougeScorer(["rouge1"], use_stemmer=False).score(reference, prediction)["rouge1"]
    assert (row.best.rouge1.precision, row.best.rouge1.recall) == (expected.precision, expected.recall)
    assert not row.by_characters


def test_bleu_equals_sacrebleu_and_is_the_sum_of_rows(scores):
    metric = BLEU()
    streams = [[refs[k] if k < len(refs) else None for refs in REFERENCES] for k in range(3)]
    assert scores.bleu == pytest.approx(metric.corpus_score(PREDICTIONS, streams).score, abs=1e-9)
    assert scores.bleu == pytest.approx(12.197142653035364)
    assert scores.sacrebleu_signatures[0] == str(metric.get_signature())
    assert "nrefs:var" in scores.sacrebleu_signatures[0]
    assert scores.statistics("bleu").tolist() == [
        [11, 11, 10, 2, 0, 0, 11, 10, 9, 8],
        [10, 8, 4, 2, 1, 0, 10, 9, 8, 7],
        [5, 6, 4, 1, 0, 0, 5, 4, 3, 2],
    ]
    assert bleu_of(scores.statistics("bleu").sum(axis=0)) == pytest.approx(scores.bleu)


def test_bleu_from_sums_equals_sacrebleu_in_every_corner():
    rng = np.random.default_rng(0)
    sums = np.zeros((400, 10))
    sums[:, 0], sums[:, 1] = rng.integers(0, 12, size=(2, 400))
    sums[:, 6:] = np.maximum(sums[:, :1] - np.arange(4), 0)
    sums[:, 2:6] = np.minimum.accumulate(rng.integers(0, sums[:, 6:] + 1), axis=1)
    expected = [
        BLEU.compute_bleu(list(row[2:6]), list(row[6:]), int(row[0]), int(row[1]), smooth_method="exp").score
        for row in sums
    ]
    assert bleu_of(sums).tolist() == pytest.approx(expected)
    assert 50 < np.count_nonzero(expected) < 400


def test_bleu_interval_resamples_rows(scores):
    found = scores.intervals(resamples=300, seed=2)["bleu"]
    assert found.mean == scores.bleu
    assert found.low < found.mean < found.high
    assert found == scores.intervals(resamples=300, seed=2)["bleu"]
    counts = np.concatenate(list(song_counts(3, 300, np.random.default_rng(2))))
    sums = [[int(cell) for cell in row @ scores.statistics("bleu")] for row in counts]
    draws = [BLEU.compute_bleu(row[2:6], row[6:], row[0], row[1], smooth_method="exp").score for row in sums]
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(draws, [0.025, 0.975])))


def test_chrf_equals_sacrebleu_and_is_the_sum_of_rows(scores):
    metric = CHRF()
    streams = [[refs[k] if k < len(refs) else None for refs in REFERENCES] for k in range(3)]
    assert scores.chrf == pytest.approx(metric.corpus_score(PREDICTIONS, streams).score, abs=1e-9)
    assert scores.sacrebleu_signatures[1] == str(metric.get_signature())
    for row, prediction, references in zip(scores.rows, PREDICTIONS, REFERENCES, strict=True):
        assert chrf_of(np.array(row.chrf)) == pytest.approx(metric.sentence_score(prediction, references).score)
    short = ["a", "", "ab c", "abcdefg"]
    for prediction in short:
        for reference in ("b a", "abcdef", "a"):
            row = np.array(chrf_statistics(prediction, [reference]))
            assert chrf_of(row) == pytest.approx(metric.sentence_score(prediction, [reference]).score)


def test_intervals_of_all_figures_see_the_same_songs(scores):
    """One pass over all figures gives what a bootstrap of each alone gives."""
    for protocol, over in (("f1", "best"), ("published", "captions")):
        found = scores.intervals(protocol, resamples=200, seed=3)
        assert list(found) == [*HEADLINE, "bleu", "chrf", "cider", "facts"]
        alone = bootstrap_interval(scores.headline_values("rougeL", protocol), 200, 3, weights=scores.weights(over))
        assert vars(found["rougeL"]) == pytest.approx(vars(alone))
        assert found["meteor"].mean == scores.headline(protocol)["meteor"]


def test_shares_have_the_figure_as_their_mean_and_the_spread_of_the_bootstrap():
    """Also of BLEU and chrF, which are no means over songs, and of a mean that is weighted by captions."""
    words = ["the", "sea", "a", "road", "war", "love", "night", "rain", "child", "city"]
    rng = np.random.default_rng(0)
    references = [[" ".join(rng.choice(words, 12)) for _ in range(1 + row % 3)] for row in range(120)]
    texts = [" ".join([*text[0].split()[: rng.integers(4, 10)], "rain"]) for text in references]
    scores = score_songs([str(row) for row in range(120)], texts, references)
    for protocol in ("f1", "published"):
        draws = scores.draws(protocol)
        for figure, mean in scores.headline(protocol).items():
            shares = scores.shares(figure, protocol)
            assert shares.mean() == pytest.approx(mean)
            assert shares.std() / 120**0.5 == pytest.approx(draws[figure].std(), rel=0.12), (protocol, figure)
    assert scores.shares("rougeL").tolist() == pytest.approx(scores.headline_values("rougeL").tolist())


def test_share_copied_from_the_lyrics():
    lyrics = "I walk the line, I walk\nthe line alone again tonight"
    texts = ["He says: I walk the line alone again.", "I walk the", "nothing of that stands in there"]
    scores = score_songs(["a", "b", "c"], texts, [["x"]] * 3, lyrics=[lyrics, lyrics, lyrics])
    # Groups of five words: he says i walk the, says i walk the line, i walk the line alone, walk the line alone again.
    assert [row.copied for row in scores.rows] == [0.5, 0.0, 0.0]
    assert scores.copied == pytest.approx(0.5 / 3)
    assert score_songs(["a"], ["x"], [["x"]]).copied is None
    mixed = score_songs(["a", "b"], texts[:2], [["x"]] * 2, lyrics=[lyrics, None])
    assert (mixed.rows[1].copied, mixed.copied) == (None, 0.5)


def test_values_and_means(scores):
    assert scores.values("rouge1").tolist() == scores.values("rouge1.f1").tolist()
    assert scores.values("rouge1.recall").tolist() == pytest.approx([0.75, 3 / 7, 0.5])
    assert scores.values("meteor", "mean")[0] == pytest.approx((0.227273 + 0.686154 + 0.446429) / 3, abs=1e-6)
    assert scores.values("length").tolist() == [10, 9, 4]
    means = scores.means()
    assert set(means) == set(METRICS)
    assert means["length"] == pytest.approx(23 / 3)
    assert means["rouge1.recall"] == pytest.approx((0.75 + 3 / 7 + 0.5) / 3)


def test_protocols_differ_in_recall_and_rows(scores):
    f1, published = scores.headline("f1"), scores.headline("published")
    assert f1["rouge1"] == pytest.approx((3 / 7 + 0.375 + 0.6) / 3)
    # Six captions, six rows: the recall of each.
    assert published["rouge1"] == pytest.approx((0.4 + 0.6 + 0.75 + 3 / 7 + 0.4 + 0.5) / 6)
    assert published["meteor"] == pytest.approx(
        sum(match[3] for song in MATCHES.values() for match in song) / 6, abs=1e-6
    )
    assert f1["bleu"] == published["bleu"] == scores.bleu
    assert f1["chrf"] == published["chrf"] == scores.chrf
    interval = bootstrap_interval(scores.values("rouge1.recall", "captions"), weights=scores.weights("captions"))
    assert interval.mean == pytest.approx(published["rouge1"])


def test_signature_says_how_the_figures_were_made(scores):
    assert scores.signature("f1") == (
        f"protocol f1: ROUGE as rouge-score {version('rouge-score')}, no stemming, F1, best of 1 to 3 references; "
        f"METEOR 2005 (alpha 0.9, beta 3, gamma 0.5), NLTK {version('nltk')}, WordNet 3.0 synonyms, "
        f"Punkt sentences + NLTKWordTokenizer; sacreBLEU {scores.sacrebleu_signatures[0]}; "
        f"sacreBLEU {scores.sacrebleu_signatures[1]}; CIDEr-D of 1 to 4 PTB words, sigma 6, n-grams weighed by the "
        f"references of these 3 songs; facts: {load_lexicon().name}, summed over songs"
    )
    assert "recall, one row for each of 1 to 3 references" in scores.signature("published")
    one = score_songs(["a"], ["x"], [["y"]])
    assert "F1, best of 1 reference;" in one.signature()
    two = score_songs(["a", "b"], ["x", "x"], [["y", "z"], ["y", "z"]])
    assert "best of 2 references;" in two.signature()


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("这首歌", 3),
        ("愛のうた", 4),
        ("사랑 노래", 4),
        ("เพลงรัก", 7),
        ("песня о любви", 3),
        ("أغنية حب،", 2),
        ("प्रेम गीत।", 2),
    ],
)
def test_scripts_that_rouge_score_drops(text, tokens):
    assert len(tokens_of_any_script(text)) == tokens
    other = text[len(text) // 2 :]
    scores = score_songs(["a", "b"], [text, other], [[text], [text]])
    same, half = scores.rows
    assert RougeScorer(["rouge1"]).score(text, text)["rouge1"].fmeasure == 0
    assert (same.best.rouge1.f1, same.best.rougeL.f1) == (1, 1)
    assert same.best.meteor > 0.9
    assert 0 < same.bleu[2] == same.bleu[6]
    assert half.best.rouge1.f1 < 1
    assert "2 of 2 songs not in Latin letters" in scores.signature()


def test_title_in_latin_letters_does_not_stand_for_a_chinese_caption():
    row = score_songs(["a"], ["Hello"], [["这首歌叫 Hello 讲的是爱"]]).rows[0]
    assert row.best.rouge1.recall == pytest.approx(1 / 9)
    assert is_other_script(["这首歌叫 Hello"]) is True
    assert is_other_script(["the song Hello by 東京"]) is False
    assert is_other_script(["song for 京"]) is False
    assert score_songs(["a"], ["这首歌"], [["这首歌叫"]]).rows[0].length == 3


@pytest.mark.parametrize("empty", ["", "  \n", "..."])
def test_empty_predictions_score_nothing(empty):
    scores = score_songs(["a", "b"], [empty, "love"], [["a love song"], ["love"]])
    assert not any(flat(scores.rows[0].best))
    assert not any(flat(scores.rows[0].mean))
    assert scores.values("rouge1").tolist() == [0, 1]
    alone = score_songs(["a"], [empty], [["a love song"]])
    assert alone.bleu == 0
    assert bleu_of(alone.statistics("bleu").sum(axis=0)) == 0


def test_blank_references_do_not_count():
    scores = score_songs(["a"], ["love"], [["", "love", "  "]])
    assert scores.rows[0].references == 1
    assert scores.rows[0].mean.rouge1.f1 == 1


def test_equal_captions_show():
    references = [["x"]] * 4
    assert score_songs(list("abcd"), ["same", "same", "same", "other"], references).distinct == 0.5


def test_progress_counts_songs():
    class Counting(SilentProgress):
        done = 0

        def start(self, task, total=None, done=0):
            self.total = total

        def advance(self, count=1, note=""):
            self.done += count

    progress = Counting()
    score_songs(IDS, PREDICTIONS, REFERENCES, progress)
    assert (progress.total, progress.done) == (3, 3)


@pytest.mark.parametrize(
    ("ids", "predictions", "references", "message"),
    [
        (["a", "b"], ["x"], [["x"], ["y"]], "2 ids, 1 predictions and 2 lists"),
        (["a", "b"], ["x", "y"], [["x"]], "1 lists of references"),
        ([], [], [], "no captions"),
        (["a", "b", "a"], ["x"] * 3, [["x"]] * 3, "Song a comes more than once"),
        (["a", "b"], ["x", "y"], [["x"], []], "Song b has no reference"),
        (["a", "b"], ["x", "y"], [["x"], [" "]], "Song b has no reference"),
    ],
)
def test_songs_that_cannot_be_scored_are_named(ids, predictions, references, message):
    with pytest.raises(DataError, match=message):
        score_songs(ids, predictions, references)


def test_unknown_names_are_refused(scores):
    with pytest.raises(OptionError, match="rouge3"):
        scores.values("rouge3")
    with pytest.raises(OptionError, match="protocol"):
        scores.headline("paper")


def test_a_song_takes_little_memory(scores):
    """A million songs must fit, and no row may lose a digit on its way."""
    rows = SongRows([str(number) for number in range(1000)])
    for place in range(1000):
        rows.put(place, replace(scores.rows[place % 3], id=str(place)))
    size = sum(column.nbytes for column in vars(rows).values() if isinstance(column, np.ndarray))
    assert size < 320 * 1000
    assert [replace(row, id="") for row in list(rows)[3:6]] == [replace(row, id="") for row in scores.rows]
    names = {"best": "best_reference", "mean": "mean_of_references", "length": "words", "copied": "copied_5grams"}
    names |= {"bleu": "bleu_counts", "chrf": "chrf_counts", "cider": "cider_0_10", "facts": "facts_counts"}
    row = {**asdict(rows[4]), "bleu": rows[4].bleu, "chrf": rows[4].chrf, "facts": rows[4].facts}
    assert row.pop("meaning") is row.pop("tag_facts") is None
    assert rows[4].to_json() == {names.get(name, name): value for name, value in row.items()}


# several captions of a song -------------------------------------------------------------------------------------------


def test_several_captions_of_a_song_count_with_their_mean():
    """Whatever their number, each song counts once; counts for BLEU and chrF are means, too."""
    references = [["the sea at night", "a long night"], ["a road"]]
    several = score_songs(
        ["a", "b"], [("the sea", "a night", "the sea"), "a long road"], references, lyrics=["x", None]
    )
    alone = [
        score_songs(["a", "b"], [text, "a long road"], references, lyrics=["x", None])
        for text in ("the sea", "a night", "the sea")
    ]
    assert several.rows.captions.tolist() == [3, 1] and several.distinct == 3 / 4
    for figure in ("rouge1", "rougeL.recall", "meteor", "length"):
        for over in ("best", "mean"):
            mean = np.mean([one.values(figure, over) for one in alone], axis=0)
            assert several.values(figure, over) == pytest.approx(mean)
    for figure in ("bleu", "chrf"):
        assert several.statistics(figure) == pytest.approx(np.mean([one.statistics(figure) for one in alone], axis=0))
    assert "1 to 3 captions a song" in several.signature() and "captions a song" not in alone[0].signature()
    assert set(several.intervals()) == set(alone[0].intervals())
    same = score_songs(["a", "b"], [("the sea",) * 4, ("a long road",) * 2], references)
    assert same.headline() == pytest.approx(alone[0].headline()), "said again is said once"


def test_a_song_without_a_caption_is_refused():
    with pytest.raises(DataError, match="Song b has no caption"):
        score_songs(["a", "b"], ["x", ()], [["x"], ["y"]])


# CIDEr-D, facts and meaning -------------------------------------------------------------------------------------------

MUSIC = [
    "A slow rock song with a female voice.",
    ("A fast techno track.", "A slow techno track without vocals."),
    "Sad piano.",
]
MEANT = [["Slow rock, sung by a woman.", "A rock ballad."], ["Fast techno.", "Instrumental techno"], ["Happy piano."]]


class Letters:
    """An encoder that counts a few letters."""

    signature = "meaning: by letters"

    def encode(self, texts):
        counts = np.array([[text.lower().count(letter) + 1e-9 for letter in "aeiou"] for text in texts], np.float32)
        return counts / np.linalg.norm(counts, axis=1, keepdims=True)


def test_figures_that_are_found_for_all_captions_at_once():
    """A song's row is the mean of its captions; what is not asked for is not there."""
    scores = score_songs(["a", "b", "c"], MUSIC, MEANT)
    said = [MUSIC[0], *MUSIC[1], MUSIC[2]]
    each = CiderReferences(MEANT).scores(said, np.array([0, 1, 1, 2]))
    assert scores.rows.cider.tolist() == pytest.approx([each[0], (each[1] + each[2]) / 2, each[3]])
    assert scores.headline()["cider"] == pytest.approx(np.mean(scores.rows.cider))
    # stated, agreed, contradicted, known: slow, rock, female voice and vocals; of the second song fast or slow,
    # electronic, dance and no voice.
    assert scores.rows.facts.tolist() == [[4, 4, 0, 4], [3.5, 3, 0.5, 4], [2, 1, 0, 2]]
    sums = scores.rows.facts.sum(axis=0)
    assert scores.headline()["facts"] == pytest.approx(2 * 8 / (9.5 + 10)) == facts_of(sums)
    assert scores.figures == (*HEADLINE, "bleu", "chrf", "cider", "facts")
    assert scores.rows[0].meaning is scores.rows[0].tag_facts is None


def test_meaning_and_tags_where_they_are_asked_for():
    tags = {"a": frozenset({"rock", "vocals"}), "c": frozenset({"piano", "sad"})}
    scores = score_songs(["a", "b", "c"], MUSIC, MEANT, judges=Judges(Letters(), tags))
    assert scores.figures[-3:] == ("tag_facts", "meaning", "meaning_mean")
    # "slow" can stand in tags, a female voice cannot; the second song has none.
    assert scores.rows.tag_facts.tolist() == [[3, 2, 0, 2], [0, 0, 0, 0], [2, 2, 0, 2]]
    cosines = Letters().encode([MUSIC[0]]) @ Letters().encode(MEANT[0]).T
    assert scores.rows[0].meaning == pytest.approx((cosines.max(), cosines.mean()), abs=1e-6)
    headline = scores.headline("published")
    assert headline["meaning"] == pytest.approx(scores.rows.meaning[:, 0].mean())
    assert headline["meaning_mean"] == pytest.approx(scores.rows.meaning[:, 1].mean())
    assert headline["tag_facts"] == pytest.approx(8 / 9)
    assert "uploaders' tags, which 2 songs have; meaning: by letters" in scores.signature()
    for figure, found in scores.intervals(resamples=100).items():
        assert found.low <= found.mean + 1e-9 or figure in ("bleu", "chrf"), figure
        assert scores.shares(figure).mean() == pytest.approx(found.mean), figure
    assert scores.rows[0].to_json()["tag_facts_counts"] == (3, 2, 0, 2)
