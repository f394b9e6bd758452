"""The case study: the right songs in the right order, and a page in which no text can become markup."""

from html.parser import HTMLParser

import pytest

from recap_cli.escaping import html_text
from recap_cli.evaluation.songs import SongSet
from recap_cli.evaluation.system_differences import choose_cases
from recap_cli.evaluation.systems import score_system
from recap_cli.progress import SilentProgress
from recap_cli.report.case_page import case_html, mark_differences, write_case_page

EVIL = "<script>alert('x')</script> & \"love\" <img src=http://x.y/z onerror=a> [a](javascript:b) `c`"
SONGS = SongSet(
    ["same", "worse", "better", EVIL],
    [["the sea"], ["a road"], ["the night"], [EVIL, "x"]],
    ["la\n  la", None, "", EVIL],
    [],
    titles=["", "", "Better Days \N{MIDDLE DOT} A Band", ""],
)


@pytest.fixture(scope="module")
def study():
    first = score_system(EVIL, ["the sea", "a road", "the", "nothing"], SONGS, "f1", SilentProgress())
    second = score_system("b", ["the sea", "", "the night", EVIL], SONGS, "f1", SilentProgress())
    return choose_cases(first, second, SONGS, "f1", 3, "signature <&>")


def test_largest_differences_come_first(study):
    assert [case.id for case in study.cases] == ["worse", EVIL, "better"]
    assert [round(case.difference, 3) for case in study.cases] == [-1.0, 1.0, 0.333]
    assert (study.songs, study.ties) == (4, 1)
    assert study.cases[0].scores[0]["rouge1"] == 1.0 and study.cases[0].scores[1]["rouge1"] == 0.0
    assert study.to_json()["ids"] == ["worse", EVIL, "better"]


class Reader(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.text, self.open = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta",):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def test_html_stands_alone_and_is_escaped(study):
    reader = Reader()
    reader.feed(case_html(study))
    reader.close()
    assert not reader.open
    assert not {tag for tag, _ in reader.tags} & {"script", "img", "link", "a", "iframe"}
    assert not any(name.startswith("on") or name in ("src", "href") for _, attrs in reader.tags for name in attrs)
    text = "".join(reader.text)
    assert text.count(EVIL) >= 6  # name, id, caption, reference, lyrics
    assert "la\n  la" not in text and "(empty)" in text and "not known" in text
    assert "chosen for that" in text and "signature <&>" in text


def test_the_closer_caption_is_named_and_songs_by_their_titles(study):
    page = case_html(study)
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


def test_the_page_is_written(study, tmp_path):
    assert write_case_page(study, tmp_path / "c.html").read_text() == case_html(study)
