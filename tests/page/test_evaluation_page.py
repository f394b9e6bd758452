"""The page of an evaluation: whole, by itself, readable without a script, and small enough."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import pytest

from recap_cli.errors import OptionError
from recap_cli.evaluation.evaluate import evaluate
from recap_cli.evaluation.options import CaseChoice, EvaluateOptions
from recap_cli.outputs import check_report, is_page
from recap_cli.page import evaluation_page
from recap_cli.page.evaluation_page import choose_songs, evaluation_html, write_evaluation_page
from recap_cli.page.html_page import html_page, html_table, script_json
from recap_cli.page.inline_figure import inline_figure
from recap_cli.progress import Table
from recap_cli.report.systems_figure import SystemPoint, SystemsChart
from recap_cli.scoring.bootstrap import Interval

SONGS = {
    "one": ("a song of the sea", "a road", ["a song of the sea", "the sea"]),
    "two": ("guitar", "a slow guitar", ["a slow guitar"]),
    "three": ("drums", "drums", ["drums"]),
}
POINTS = (
    SystemPoint("a", Interval(20, 19, 21), Interval(10, 9, 11)),
    SystemPoint("b", Interval(15, 14, 16), Interval(14, 13, 15)),
)
CHART = SystemsChart("ROUGE-L F1 (0 to 100)", POINTS, 3, Interval(17, 16, 18), notes=("A note.",))


@pytest.fixture(scope="module")
def options(tmp_path_factory) -> EvaluateOptions:
    folder = tmp_path_factory.mktemp("files")
    for place, name in enumerate(("a", "b")):
        rows = [{"song": song, "prediction": texts[place], "references": texts[2]} for song, texts in SONGS.items()]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    files = (folder / "a.jsonl", folder / "b.jsonl")
    return EvaluateOptions(None, predictions=files, report=folder / "page.html", controls=True)


@pytest.fixture(scope="module")
def result(options):
    return evaluate(options)


@pytest.fixture(scope="module")
def page(result) -> str:
    return evaluation_html(result)


class Reader(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text.append(data)

    def of(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.tags if tag == name]


def data_of(page: str) -> dict:
    return json.loads(re.search(r'id="data">(.*?)</script>', page)[1])


def test_nothing_is_loaded_from_elsewhere(page):
    reader = Reader(page)
    assert not {tag for tag, _ in reader.tags} & {"img", "link", "iframe", "object", "embed", "base"}
    assert not [attrs for _, attrs in reader.tags if "src" in attrs or any(name.startswith("on") for name in attrs)]
    assert all(attrs["href"].startswith("#") for attrs in reader.of("a"))
    assert "url(" not in page and "@import" not in page and "innerHTML" not in page
    policy = next(attrs for attrs in reader.of("meta") if "http-equiv" in attrs)["content"]
    assert policy.startswith("default-src 'none'; script-src 'sha256-") and "unsafe" not in policy


def test_parts_have_headings_that_name_them_and_links_that_lead_there(page):
    reader = Reader(page)
    ids = [attrs["id"] for _, attrs in reader.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    assert {attrs["href"][1:] for attrs in reader.of("a")} <= set(ids)
    assert all(attrs["aria-labelledby"] in ids for attrs in reader.of("section"))
    levels = [int(tag[1]) for tag, _ in reader.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1 and all(after - before <= 1 for before, after in pairwise(levels))
    inside = page.partition("<label>Find songs")[2].partition("</label>")[0]
    assert "<input" in inside  # the box has a label
    assert all("scope" in attrs for attrs in reader.of("th"))


def test_without_a_script_everything_but_the_search_is_there(page, result):
    plain = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    text = "".join(Reader(plain).text)
    for words in (*result.verdicts, result.signature, "a song of the sea", "ROUGE: precision / recall / F1"):
        assert words in text
    assert '<section id="search" hidden' in plain and "<noscript>" in plain


def test_songs_are_there_for_the_search(page):
    data = data_of(page)
    assert data["systems"] == ["a", "b"] and data["figure"] == "ROUGE-L F1"
    first = data["songs"][0]
    assert first["captions"] == [["a song of the sea"], ["a road"]] and first["references"] == SONGS["one"][2]
    assert first["scores"][0] == 100.0
    slow = [[[data["facts"][fact] for fact in told] for told in kinds] for kinds in data["songs"][1]["facts"]]
    assert slow == [[["guitar"], [], []], [["guitar", "slow"], [], []]]
    assert [song["id"] for song in data["songs"]] == list(SONGS)


def test_the_songs_that_differ_are_all_systems_or_two_that_are_named(options, result):
    assert [case.id for case in result.cases.cases][:2] == ["one", "two"]
    named = evaluate(replace(options, report=None, cases=CaseChoice(1, ("b", "a"))))
    assert named.cases.names == ("b", "a") and len(named.cases.cases) == 1


def test_one_system_has_no_songs_that_differ(options):
    one = evaluate(replace(options, predictions=options.predictions[:1], controls=False))
    assert one.cases is None
    page = evaluation_html(one)
    assert "differ most</h2>" not in page and len(data_of(page)["songs"]) == 3


def test_of_too_much_text_the_widest_differences_stay(monkeypatch, result):
    monkeypatch.setattr(evaluation_page, "MOST_TEXT", 100)
    references = [["x" * 60], ["x" * 15, "x" * 10], ["x" * 25], ["x" * 60]]
    captions = [["xxx", "xx"]] * 4
    assert choose_songs([references, captions], np.array([0.1, 0.5, 0.2, 0.0])) == [1, 2]
    assert choose_songs([[["x" * 900]]], np.array([0.0])) == [0]
    monkeypatch.setattr(evaluation_page, "MOST_TEXT", 80)
    assert "2 of 3 songs on which systems differ most" in evaluation_html(result)


def test_the_figure_says_in_words_what_it_draws():
    html = inline_figure(CHART)
    assert "a: 20.0 on its own songs, 10.0 on other songs. b: 15.0" in html and "People: 17.0" in html
    assert html.count('<circle class="own"') == html.count('<circle class="other"') == 2 + 1  # and the legend's
    ring = re.search(r'<circle class="other" cx="([\d.]+)%"', html)
    dot = re.search(r'<circle class="own" cx="([\d.]+)%"', html)
    assert float(dot[1]) == pytest.approx(2 + 96 * 20 / 25) and float(ring[1]) == pytest.approx(2 + 96 * 10 / 25)
    assert "people" not in inline_figure(replace(CHART, people=None))


def test_intervals_stand_below_their_figures():
    html = html_table(Table("T <", ["name", "F1"], [["<b>", "12.0 [10.0, 14.0]"]], "one\ntwo"))
    assert "<td>12.0<br>[10.0, 14.0]</td>" in html and '<th scope="row">&lt;b&gt;</th>' in html
    assert ">one\ntwo</p>" in html and "<caption>T &lt;</caption>" in html


def test_data_cannot_end_its_element():
    text = script_json({"a": "</script><!-- <script>"})
    assert "<" not in text and json.loads(text) == {"a": "</script><!-- <script>"}
    assert "<script" not in html_page("t", "b")


def test_the_page_is_written_and_known_as_ours(result, tmp_path):
    path = write_evaluation_page(result, tmp_path / "new" / "page.html")
    assert is_page(path)
    check_report(path)  # and may be written again
    other = tmp_path / "other.html"
    other.write_text("<!DOCTYPE html><title>mine</title>")
    with pytest.raises(OptionError, match="not of our making"):
        check_report(other)
    with pytest.raises(OptionError, match="is not a page"):
        check_report(tmp_path / "page.txt")
    with pytest.raises(OptionError, match="an input of this command"):
        check_report(path, [path])
