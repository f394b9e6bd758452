"""Songs side by side: the right ones in the right order, and HTML in which no text can become markup."""

from html.parser import HTMLParser

import pytest

from recap_cli.escaping import html_text
from recap_cli.evaluation.songs import SongSet
from recap_cli.evaluation.system_differences import choose_cases
from recap_cli.evaluation.systems import score_system
from recap_cli.page.song_articles import articles, fact_list, introduction, mark_differences
from recap_cli.page.stated_facts import StatedFacts
from recap_cli.progress import SilentProgress

EVIL = "<script>alert('x')</script> & \"love\" <img src=http://x.y/z onerror=a> [a](javascript:b) `c`"
SONGS = SongSet(
    ["same", "worse", "better", EVIL],
    [["the sea"], ["a road"], ["the night"], [EVIL, "x"]],
    ["la\n  la", None, "", EVIL],
    [],
    titles=["", "", "Better Days \N{MIDDLE DOT} A Band", ""],
)


def scored(name, *captions):
    return score_system(name, captions, SONGS, "f1", SilentProgress())


@pytest.fixture(scope="module")
def study():
    first = scored(EVIL, "the sea", "a road", "the", "nothing")
    second = scored("b", "the sea", "", "the night", EVIL)
    return choose_cases([first, second], SONGS, "f1", 3)


def test_largest_differences_come_first(study):
    assert [case.id for case in study.cases] == ["worse", EVIL, "better"]
    assert [round(case.difference, 3) for case in study.cases] == [-1.0, 1.0, 0.333]
    assert {case.names for case in study.cases} == {(EVIL, "b")}
    assert (study.songs, study.ties) == (4, 1)
    assert study.cases[0].scores[0]["rouge1"] == 1.0 and study.cases[0].scores[1]["rouge1"] == 0.0
    assert study.to_json()["ids"] == ["worse", EVIL, "better"]


def test_of_many_systems_the_two_furthest_apart_are_shown(study):
    """In the order of the systems; equal ones are the first two."""
    systems = [scored("a", *"wxyz"), scored("b", "the sea", "road", "x", "y"), scored("c", "sea", "a road", "x", "y")]
    cases = {case.id: case for case in choose_cases(systems, SONGS, "f1", 9).cases}
    assert list(cases) == ["same", "worse", "better", EVIL]
    assert cases["same"].names == ("a", "b") and cases["worse"].names == ("a", "c")
    assert cases["worse"].captions == ("x", "a road") and cases["worse"].difference == 1.0
    assert cases["better"].names == ("a", "b") and cases["better"].difference == 0.0


def test_captions_of_one_song_stand_there_once():
    several = scored("a", ("x", "x", "y"), "x", "x", "x")
    cases = choose_cases([several, scored("b", *"wxyz")], SONGS, "f1", 4).cases
    assert next(case for case in cases if case.id == "same").captions[0] == "x / y"


class Reader(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.text, self.open = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def test_every_text_stays_text(study):
    reader = Reader()
    reader.feed(introduction(study) + articles(study))
    reader.close()
    assert not reader.open
    assert not {tag for tag, _ in reader.tags} & {"script", "img", "link", "a", "iframe"}
    assert not any(name.startswith("on") or name in ("src", "href") for _, attrs in reader.tags for name in attrs)
    text = "".join(reader.text)
    assert text.count(EVIL) >= 6  # name, id, caption, reference, lyrics
    assert "la\n  la" not in text and "(empty)" in text and "not known" in text
    assert "chosen for that" in text and "On 1 songs" in text


def test_the_closer_caption_is_named_and_songs_by_their_titles(study):
    page = articles(study)
    worse, better = page[page.index("1. worse") : page.index("2. ")], page[page.index("3. Better Days") :]
    assert "closer to the references: 100.0 more in ROUGE-L F1" in worse and f"<b>{html_text(EVIL)}</b> is" in worse
    assert "<b>b</b> is closer to the references: 33.3 more" in better
    assert '<div class="id">better</div>' in better and 'class="id"' not in worse


def test_words_that_only_one_caption_has_are_marked():
    ours, theirs = mark_differences("A slow song, of love & loss.", "a quick song of love <and> loss!")
    assert ours == "A <del>slow</del> song, of love <del>&amp;</del> loss."
    assert theirs == "a <ins>quick</ins> song of love <ins>&lt;and&gt;</ins> loss!"
    assert mark_differences("the sea", "the sea") == ("the sea", "the sea")
    assert mark_differences("", "x y") == ("", "<ins>x y</ins>")


def test_facts_say_their_kind_in_words():
    found = fact_list(StatedFacts(("guitar", "slow"), ("no vocals",)))
    assert '<li class="agreed">agreed: guitar, slow</li>' in found
    assert '<li class="contradicted">contradicted: no vocals</li>' in found and "alone" not in found
    assert fact_list(StatedFacts()) == ""
