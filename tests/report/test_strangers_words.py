"""What strangers wrote is data wherever it is shown: one table of payloads against every place that shows words.

A page is compared with the same page on harmless words: its structure, as a parser of its format reads it, must be
the same. On a terminal the words themselves must stand there, and nothing that acts.
"""

import csv
import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pytest
import yaml
from markdown_it import MarkdownIt
from test_model_card import BEST, DATA
from test_table_one import PAPER, contrast, evaluated, system

from recap_cli.captioning.explain import Explanation, Looks
from recap_cli.captioning.song_caption import SongCaption
from recap_cli.cli.app import complain, main
from recap_cli.cli.caption_screen import caption_block, caption_panel, write_caption
from recap_cli.cli.console import ConsoleProgress, SafeConsole, render, stderr_console
from recap_cli.errors import RecapError
from recap_cli.escaping import csv_cell, figure_text, flat, json_text, visible
from recap_cli.evaluation.songs import SongSet
from recap_cli.evaluation.system_differences import Case, CaseStudy
from recap_cli.evaluation.systems import Origin
from recap_cli.page.evaluation_page import evaluation_html
from recap_cli.progress import Table
from recap_cli.report.attention_maps import draw_explanation
from recap_cli.report.model_card import write_model_card
from recap_cli.report.pictures import plot_alignment
from recap_cli.report.scores import to_csv, to_markdown
from recap_cli.report.systems_figure import SystemPoint, SystemsChart, plot_systems
from recap_cli.report.table_one import to_latex
from recap_cli.scoring.bootstrap import Interval
from recap_cli.specificity.results import ControlRow, Specificity, TextControls
from recap_cli.training.recipes import recipe_settings
from recap_cli.training.train import TrainResult
from recap_cli.training.validation import EpochReport

PLAIN = "harmless words"
PAYLOADS = {
    # escape sequences and what acts unseen
    "colour": "\x1b[31mred",
    "window title": "\x1b]0;owned\x07",
    "clear the screen": "\x1b[2J\x1b[H",
    "hyperlink": "\x1b]8;;http://x.y\x1b\\here\x1b]8;;\x1b\\",
    "clipboard": "\x1b]52;c;cm0gLXJm\x07",
    "device report": "\x1b[6n\x1b[c\x1bP+q544e\x1b\\",
    "C1 sequence": "\x9b31m\x9d0;owned\x9c",
    "back over it": "good\b\b\b\bbad",
    "back to the start": "good\rbad",
    "bell and zero": "a\x00b\x07c\x7f",
    "other character sets": "\x0e\x0f\x1b(0",
    "right to left": "\u202egpj.exe",
    "isolates": "\u2066a\u2069\u2067b",
    "marks of direction": "a\u200eb\u200fc\u061c",
    "nothing to see": "a\u200bb\u2060c\ufeffd\u00ade",
    "joiners in Latin": "pay\u200dpal\u200c",
    "blank letters": "a\u3164b\u115fc\uffa0",
    "invisible tags": "a\U000e0041\U000e0042",
    "separators": "a\u2028b\u2029c\x85d",
    "lone surrogates": "caf\udce9 \ud800",
    "a line of its own": "a\nrecap: all is well\ntry: nothing",
    "tabs": "a\tb",
    # Rich
    "style": "[red]x[/red]",
    "closing tag": "[/]",
    "link tag": "[link=http://x.y]here[/link]",
    "action tag": "[@click=app.quit]x[/]",
    "emoji code": ":smile: :pile_of_poo:",
    "backslash before a tag": "\\[bold]x\\",
    # HTML
    "script": "<script>alert(1)</script>",
    "handler": "<img src=x onerror=alert(1)>",
    "out of an attribute": "\" onmouseover='alert(1)' x=\"",
    "comment": "<!-- x --> <![CDATA[ y ]]> <?php z ?>",
    "end of the page": "</title></style></body></html>",
    "entities": "&lt;script&gt; &#60;b&#62; &amp;",
    "frame": "<iframe srcdoc='<b>'></iframe><svg/onload=alert(1)>",
    # Markdown
    "link": "[x](javascript:alert(1))",
    "picture": "![x](http://x.y/pixel.png)",
    "autolinks": "<http://x.y> http://x.y/z www.x.y a@x.y",
    "cells": "a | b || c",
    "heading": "# a\n\n## b",
    "underlined": "a\n===\nb\n---",
    "fence": "```sh\nrm -rf ~\n```",
    "code": "`a` ``b``",
    "list": "- a\n1. b\n+ c",
    "quotation": "> a\n> b",
    "reference": "[x]\n\n[x]: http://x.y",
    "emphasis": "*a* __b__ _c_ ~~d~~ ***e***",
    "backslash": "a\\",
    # LaTeX
    "input": "\\input{/etc/passwd}",
    "write": "\\immediate\\write18{id}",
    "end": "\\end{tabular} & \\\\ \\hline",
    "optional argument": "[2cm] x",
    "starred": "* x",
    "signs": "50 % of $x_1^2$ & #1 {a} ~b",
    "codes": "^^5cinput",
    # CSV
    "formula": "=HYPERLINK(\"http://x.y\",\"z\")",
    "plus": "+1+cmd|' /C calc'!A0",
    "minus": "-2+3",
    "at": "@SUM(1+1)",
    "tab before it": "\t=1+1",
    "return before it": "\r=1+1",
    "space before it": " =1+1",
    "quote before it": "\"=1+1",
    "wide signs": "\uff1d1+1",
    "second cell": "a;=1+1",
    "percent": "%0A=1",
    # words that are none of this
    "other scripts": "雨 की می\u200cخواهم 👩\u200d🎤 Ünder",
    "figures": "1,5 of 3.2e-4",
    "empty": "",
}  # fmt: skip
UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u115f\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)
BASE = evaluated(system(PLAIN), system("b", 0.4), contrasts=[contrast()], paper=PAPER)


# the places -----------------------------------------------------------------------------------------------------------


def scored(words: str):
    """An evaluation whose names and cells are a stranger's."""
    one = replace(BASE.systems[0], name=words, origin=Origin(words, words, 0, {}))
    entries = [replace(BASE.entries[0], systems=(one,)), BASE.entries[1]]
    paper = [replace(PAPER[0], model=words, variant=words)]
    contrasts = [replace(BASE.contrasts[0], name=words)]
    return replace(BASE, systems=[one, BASE.systems[1]], entries=entries, paper=paper, contrasts=contrasts, split=words)


def page(words: str) -> str:
    """The page of an evaluation in which every name, title, caption, reference, fact and note is a stranger's."""
    scores = {"rouge1": 0.5}, {"rouge1": 0.25}
    case = Case(words, words, words, [words, "x"], (words, "b"), (words, "elsewhere"), scores, 0.5)
    study = CaseStudy((words, "b"), [case, replace(case, lyrics=None)], 9, 1, "f1")
    result = scored(words)
    systems = [replace(one, name=words, captions=[(words, "x"), ("y",)]) for one in result.systems]
    songs = SongSet([words, "b"], [[words], ["x"]], [words, None], [], titles=[words, ""])
    level = Interval(0.5, 0.4, 0.6)
    rows = [ControlRow(words, "system", 2, 3.0, {"rougeL": Specificity(level, level, level, 0.5)}) for _ in range(2)]
    rows[1] = replace(rows[1], name="b")
    found = TextControls([*rows, replace(rows[0], kind="people")], 2, 2, 1)
    told = replace(result, systems=systems, songs=songs, cases=study, specificity=found)
    return evaluation_html(told)


def model_card(words: str, folder: Path) -> str:
    out = folder / (re.sub("[/\x00\ud800-\udbff]", "-", words) or "x")
    out.mkdir(exist_ok=True)
    (out / "options.json").write_text(json.dumps({"seed": 1, "music_encoder": words.replace("/", "-")}))
    audio = {**DATA["audio"], "resampler": words}
    data = {
        **DATA,
        "source": words.replace("/", "-"),
        "splits": {words: 3},
        "audio": audio,
        "fingerprint": words or "x",
    }
    settings = {"recipe": "paper", **recipe_settings("paper"), "bart": words}
    figures = {"best": BEST, "sample": {"song": words, "caption": words or "x", "reference": words}}
    path = write_model_card(TrainResult(out, settings, figures, [BEST], data))
    return path.read_text(encoding="utf-8")


def song(words: str) -> SongCaption:
    return SongCaption(words, [words], [None], words, {"start": 0.0, "seconds": 1.0}, {}, warnings=[words])


def terminal_table(words: str) -> None:
    render(False, {}, Table(words, [words, "b"], [[words, "1"], ["x", words]], words))


def terminal_panel(words: str) -> None:
    SafeConsole("stdout", width=200).print(caption_panel(song(words), 1.0))
    SafeConsole("stdout", width=200).print(caption_block(song(words)))


def terminal_epochs(words: str) -> None:
    sample = {"song": words, "caption": words, "reference": words}
    record = {"epoch": 1.0, "step": 1, "caption_loss": 1.0, "rougeL": 0.1, "meteor": 0.1, "sample": sample}
    EpochReport(ConsoleProgress(stderr_console()), Path("out"), None, "rougeL").show(record)


def terminal_progress(words: str) -> None:
    progress = ConsoleProgress(stderr_console())
    progress.start(words, 3)
    progress.told = -1e9
    progress.advance(note=words)
    progress.finish()


TERMINAL: dict[str, Callable[[str], object]] = {
    "table": terminal_table,
    "panel": terminal_panel,
    "epochs": terminal_epochs,
    "progress": terminal_progress,
    "message": lambda words: ConsoleProgress(stderr_console()).say(words),
    "warning": lambda words: ConsoleProgress(stderr_console()).warn(words),
    "error": lambda words: complain(RecapError(words, words)),
    "usage": lambda words: main([words or "x"]),
    "option": lambda words: main(["caption", f"--{words}", "x"]),
    "bare caption": lambda words: write_caption(song(words), None, False),
}


@pytest.mark.parametrize("place", TERMINAL)
def test_on_a_terminal(place, capfd, monkeypatch):
    """The words stand there, written out, and nothing else happens."""
    monkeypatch.setenv("COLUMNS", "200")
    for kind, words in PAYLOADS.items():
        TERMINAL[place](words)
        shown = "".join(capfd.readouterr())
        assert not UNSEEN.search(shown), kind
        if place in ("message", "warning", "bare caption"):
            assert shown.count("\n") == 1, kind
            assert flat(words) in shown, kind
        elif place == "error":
            assert shown == f"recap: {flat(words)}\ntry: {flat(words) or 'recap COMMAND --help'}\n", kind
        elif place in ("table", "panel"):
            for line in visible(words).expandtabs(8).split("\n"):
                assert line.strip() in " ".join(shown.split("\n")) or "\t" in words, kind


def test_a_bar_on_a_terminal(capfd):
    """Rich's own sequences move the cursor; those of a name do not."""
    for kind, words in PAYLOADS.items():
        progress = ConsoleProgress(SafeConsole("stderr", width=150, force_terminal=True))
        progress.start(words, 3)
        progress.advance(note=words)
        progress.finish()
        shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", capfd.readouterr().err)
        assert not UNSEEN.search(shown), kind


# JSON -----------------------------------------------------------------------------------------------------------------


def test_json(capfd):
    """Valid, one line, the same value again, and nothing in it acts: on stdout and in files."""
    for kind, words in PAYLOADS.items():
        render(True, {"name": words, words: [words]})
        write_caption(song(words), None, True)
        first, second, *rest = capfd.readouterr().out.split("\n")
        assert rest == [""], kind
        assert not UNSEEN.search(first + second), kind
        assert json.loads(first) == {"name": words, words: [words]}
        assert json.loads(second)["captions"] == [words]
        assert json.loads(json_text({"a": [words]}, indent=2)) == {"a": [words]}
        first.encode("utf-8")  # no lone surrogates


# pages ----------------------------------------------------------------------------------------------------------------


def markdown_structure(text: str) -> list[str]:
    """The kinds of all blocks and inline parts, with what links and headings there are."""
    parser = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    kinds = []
    for token in parser.parse(text):
        kinds.append(token.type)
        for child in token.children or ():
            if child.type not in ("text", "text_special", "softbreak", "hardbreak"):
                kinds.append(f"{child.type}: {child.content}" if child.type != "code_inline" else child.type)
    return kinds


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found: list[object] = []

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, attrs))

    def handle_endtag(self, tag):
        self.found.append(f"/{tag}")

    def handle_comment(self, data):
        self.found.append("comment")

    def handle_decl(self, decl):
        self.found.append("declaration")

    def handle_pi(self, data):
        self.found.append("instruction")

    def unknown_decl(self, data):
        self.found.append("unknown")


def html_structure(text: str) -> list[object]:
    tags = Tags()
    tags.feed(text)
    tags.close()
    return tags.found


ESCAPES = r"\\text(?:backslash|asciitilde|asciicircum|less|greater|bar|quotedbl)\{\}|\\[&%$#_{}]|\{[\[*]\}"


def latex_structure(text: str) -> list[str]:
    """Commands, braces, and every sign that LaTeX acts on; behind a row's end, what would be its argument."""
    text = re.sub(ESCAPES, "@", text)
    return re.findall(r"\\[A-Za-z]+|\\\\(?:\s*[\[*])?|\\.|[{}&$#^_~%]", text)


def test_markdown_tables():
    plain = markdown_structure(to_markdown(scored(PLAIN)))
    for kind, words in PAYLOADS.items():
        text = to_markdown(scored(words or "x"))
        assert markdown_structure(text) == plain, kind
        assert not UNSEEN.search(text), kind
        assert "http://" not in text and "www." not in text and "a@x.y" not in text  # GitHub links these


def test_html_pages():
    """The script's data is a text to the parser; read back, it has the words, and nothing in it acts unseen."""
    plain = html_structure(page(PLAIN))
    for kind, words in PAYLOADS.items():
        text = page(words)
        assert html_structure(text) == (plain if words.strip() else html_structure(page(words))), kind
        assert not UNSEEN.search(text), kind
        (data,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text)
        song = json.loads(data)["songs"][0]
        assert song["captions"][0] == [visible(words), "x"] and song["title"] == visible(words)


def test_model_cards(tmp_path):
    _, _, plain = model_card(PLAIN, tmp_path).split("---\n", 2)
    for kind, words in PAYLOADS.items():
        text = model_card(words, tmp_path)
        _, head, body = text.split("---\n", 2)
        assert set(yaml.safe_load(head)) == {"library_name", "tags", "metrics"}, kind
        assert markdown_structure(body) == markdown_structure(plain), kind
        assert not UNSEEN.search(text), kind


def test_latex():
    plain = latex_structure(to_latex(scored(PLAIN)))
    for kind, words in PAYLOADS.items():
        text = to_latex(scored(words or "x"))
        assert latex_structure(text) == plain, kind
        assert not UNSEEN.search(text), kind
        assert "\n\n" not in text, kind


def test_csv():
    plain = [len(row) for row in csv.reader(io.StringIO(to_csv(scored(PLAIN))))]
    for kind, words in PAYLOADS.items():
        text = to_csv(scored(words))
        rows = list(csv.reader(io.StringIO(text)))
        assert [len(row) for row in rows] == plain, kind
        for row in rows[1:]:
            for cell in row[:4]:
                assert not re.match(r"[\s\"]*[=+\-@|%\uff1d]", cell), cell
                assert not re.search(r";\s*[=+\-@]", cell), cell
            for figure in filter(None, row[6:9]):
                float(figure)  # ours stay numbers
        assert not UNSEEN.search(text), kind
        assert csv_cell(words).replace("'", "") == visible(words.replace("\r", "\n")).replace("'", "")


def test_negative_figures_of_ours_stay_numbers():
    changed = {**BASE.entries[0].intervals, "rougeL": replace(BASE.entries[0].intervals["rougeL"], low=-0.25)}
    text = to_csv(replace(BASE, entries=[replace(BASE.entries[0], intervals=changed)]))
    assert ",-0.250000," in text


# figures --------------------------------------------------------------------------------------------------------------


def test_figures(tmp_path):
    """Every payload is a line of the lyrics and a word of the caption: the SVG is whole, and no formula is read."""
    lines = [words or "x" for words in PAYLOADS.values()]
    for start in range(0, len(lines), 30):
        some = lines[start : start + 30]
        words = ["word", *some]
        looks = Looks(np.full((len(words), len(some)), 1 / len(some)), np.full(len(some), 1 / len(some)), 0.0)
        path = tmp_path / f"map-{start}.svg"
        explained = Explanation(words, some, [], looks, None)
        draw_explanation(replace(song(" ".join(some)), audio=some[0], explanation=explained), path)
        text = path.read_text(encoding="utf-8")
        ElementTree.fromstring(text)
        assert not UNSEEN.search(text)
        assert "<script" not in text and 'href="http' not in text


@pytest.mark.parametrize("kind", ["signs", "script", "colour", "lone surrogates"])
def test_titles_of_figures(kind, tmp_path):
    vectors = np.eye(6, dtype=np.float32)
    files = plot_alignment(SimpleNamespace(name=PAYLOADS[kind], cosines=(vectors, vectors)), tmp_path)
    assert [path.read_bytes()[:4] for path in files] == [b"\x89PNG"] * 2


@pytest.mark.parametrize("kind", ["signs", "script", "colour", "lone surrogates", "other scripts", "empty"])
def test_names_in_the_figure_of_systems(kind, tmp_path):
    words = PAYLOADS[kind]
    point = SystemPoint(words, Interval(0.5, 0.4, 0.6), Interval(0.3, 0.2, 0.4))
    for file in plot_systems(SystemsChart(words, (point,), 9, notes=(words,)), tmp_path):
        assert file.stat().st_size > 5000
    ElementTree.fromstring((tmp_path / "systems.svg").read_text(encoding="utf-8"))


def test_a_formula_is_none():
    assert figure_text("$\\frac$") == "\\$\\frac\\$"
