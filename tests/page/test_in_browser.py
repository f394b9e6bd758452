"""The page as a person uses it in Chromium: search, order, keyboard, a phone; skipped where playwright is missing."""

import json
import re
import shutil

import pytest

from recap_cli.evaluation.evaluate import evaluate
from recap_cli.evaluation.options import EvaluateOptions
from recap_cli.page.evaluation_page import write_evaluation_page

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
HOSTILE = "<img src=x onerror=document.title='run'>"
COUNT = 25  # songs: more than are drawn at once


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A page of two systems: the second repeats the references of the songs from number 10 on."""
    playwright = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("there is no chromium")
    folder = tmp_path_factory.mktemp("browser")
    meant = [f"song {number} " + "of the sea " * number for number in range(COUNT)]
    right = [text if number > 9 else HOSTILE for number, text in enumerate(meant)]
    for name, said in (("a", ["drums"] * COUNT), ("b", right)):
        rows = [
            {"song": f"s{number:02}", "prediction": said[number], "references": [meant[number]]}
            for number in range(COUNT)
        ]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = EvaluateOptions(None, predictions=(folder / "a.jsonl", folder / "b.jsonl"), report=folder / "page.html")
    path = write_evaluation_page(evaluate(options), folder / "page.html")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        opened = browser.new_page()
        opened.errors = []
        opened.on("pageerror", lambda error: opened.errors.append(str(error)))
        opened.on("request", lambda request: opened.errors.append(request.url) if request.url[:5] != "file:" else None)
        opened.goto(path.as_uri())
        yield opened
        browser.close()


def expect(found):
    """What waits until the page has searched: its own policy forbids that a test waits by a script."""
    from playwright.sync_api import expect

    return expect(found)


def titles(page):
    return page.locator("#found h3").all_inner_texts()


def test_search_order_and_keyboard(page):
    heads = page.locator("#found h3")
    assert titles(page) == [f"s{number:02}" for number in range(20)] and "25 of 25" in page.inner_text("#count")
    page.focus("#more")
    page.keyboard.press("Enter")
    assert len(titles(page)) == COUNT
    assert page.evaluate("document.activeElement.querySelector('h3').textContent") == "s20", "it goes on where it was"
    page.select_option("select[name=order]", "worst")
    expect(heads.first).to_have_text("s00")
    page.select_option("select[name=order]", "best")
    expect(heads.first).to_have_text(re.compile("s[12]"))
    page.focus("input[type=search]")
    page.keyboard.type("SONG 13")
    expect(heads).to_have_count(1)
    assert titles(page) == ["s13"] and "1 of 25" in page.inner_text("#count")
    assert page.locator("#found mark").first.inner_text().lower() in ("song", "13")
    page.fill("input[type=search]", "nothing of the kind")
    expect(heads).to_have_count(0)
    assert "0 of 25" in page.inner_text("#count")


def test_hostile_captions_stay_text_and_nothing_is_loaded(page):
    page.fill("input[type=search]", "onerror")
    expect(page.locator("#found mark").first).to_have_text("onerror")
    assert page.locator("img").count() == 0 and page.title() != "run" and page.errors == []
    assert HOSTILE in page.inner_text("#found")


def test_a_phone_needs_no_scrolling_sideways(page):
    page.set_viewport_size({"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
