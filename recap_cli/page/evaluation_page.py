"""An evaluation as a page: table, figure, what was found and how, songs side by side, and all songs to search in."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from recap_cli.escaping import html_text, visible
from recap_cli.evaluation.evaluate import EvaluateResult
from recap_cli.files import make_folder, write_text
from recap_cli.page.html_page import html_page, html_table
from recap_cli.page.inline_figure import inline_figure
from recap_cli.page.song_articles import KINDS, articles, introduction
from recap_cli.page.stated_facts import sort_facts
from recap_cli.progress import Table
from recap_cli.report.scores import all_tables
from recap_cli.report.systems_figure import systems_chart
from recap_cli.report.table_one import overview_table, specificity_table, title_of
from recap_cli.scoring.text import headings

MOST_TEXT = 12_000_000  # characters that the page holds of captions and references: a browser opens it at once
READING = (
    "ROUGE, METEOR, BLEU and chrF count words, word pairs or letters that a caption shares with its references. They "
    "do not know whether a sentence is true of the music.",
    "Much of such a score is had by any caption that is written as captions are. What a system knows of a song shows "
    "where its captions fit their own song better than other songs (--controls).",
    "In brackets, or as a bar: the 95 % interval. Systems are compared song by song, not by whether intervals overlap.",
    "Facts are what a caption states by words of a lexicon, such as an instrument or a tempo. Agreed: a reference "
    "states it, too. Contradicted: a reference states what excludes it. Alone: no reference speaks of it, which does "
    "not make it false.",
)
SEARCH = """<section id="search" hidden aria-labelledby="search-title"><h2 id="search-title">All songs</h2>
{note}
<form id="find" role="search">
<label>Find songs by words of their captions, references, titles or ids
<input type="search" name="words" autocomplete="off" spellcheck="false"></label>
<label>Order <select name="order"><option value="">as in the data</option><option value="spread">widest differences
first</option><option value="best">best captions first</option><option value="worst">worst captions first</option>
</select></label>
</form>
<p id="count" role="status"></p>
<div id="found"></div>
<p><button type="button" id="more" hidden>Show more songs</button></p>
</section>
<noscript><p class="note">With scripts allowed, all songs could be searched here; the page loads nothing from
elsewhere.</p></noscript>"""


def write_evaluation_page(result: EvaluateResult, path: Path) -> Path:
    """Writes the page and returns its path.

    Raises:
        DataError: the disk refuses.
    """
    make_folder(path.parent)
    write_text(path, evaluation_html(result))
    return path


def evaluation_html(result: EvaluateResult) -> str:
    """Returns the page: one file that loads nothing, in which every text of strangers stays text."""
    chart = systems_chart(result)
    tables = [table for table in (specificity_table(result), overview_table(result)) if table is not None]
    sections = {
        "findings": ("What was found", listed(result.verdicts)),
        "scores": ("Scores", "".join(map(html_table, tables))),
        "figure": ("Own songs and other songs", inline_figure(chart) if chart is not None else ""),
        "reading": ("How to read this", how_to_read(result)),
        "tables": ("Other tables", folded([table for table in all_tables(result) if table not in tables])),
    }
    if result.cases is not None:
        sections["songs"] = (
            "Songs on which they differ most",
            introduction(result.cases) + articles(result.cases),
        )
    sections = {name: parts for name, parts in sections.items() if parts[1]}
    links = {name: heading for name, (heading, _) in sections.items()} | {"search": "All songs"}
    navigation = "".join(f'<li><a href="#{name}">{html_text(heading)}</a></li>' for name, heading in links.items())
    body = "\n".join(section(name, *parts) for name, parts in sections.items())
    data, note = search_data(result)
    title = f"{len(result.entries)} system{'s' * (len(result.entries) > 1)}, {title_of(result)}"
    return html_page(
        title,
        f"""<header><h1>{html_text(title)}</h1>
<nav aria-label="Sections"><ul>{navigation}</ul></nav></header>
<main>
{body}
{SEARCH.format(note=note)}
</main>""",
        data,
    )


def section(name: str, heading: str, content: str) -> str:
    """Returns a part of the page, which screen readers list by its heading."""
    title = f'<h2 id="{name}-title">{html_text(heading)}</h2>'
    return f'<section id="{name}" aria-labelledby="{name}-title">{title}\n{content}</section>'


def listed(lines: Sequence[str]) -> str:
    """Returns lines as a list in HTML."""
    return f"<ul>{''.join(f'<li>{html_text(line)}</li>' for line in lines)}</ul>"


def how_to_read(result: EvaluateResult) -> str:
    """Says in plain words what figures and marks mean, and how they were made, as HTML."""
    return f'{listed(READING)}<p class="note">{html_text(result.signature)}</p>'


def folded(tables: Sequence[Table]) -> str:
    """Returns tables as HTML, folded up."""
    return f"<details><summary>Show all tables</summary>\n{''.join(map(html_table, tables))}</details>"


# what the script searches in ------------------------------------------------------------------------------------------


def search_data(result: EvaluateResult) -> tuple[dict[str, Any], str]:
    """Returns the songs for the page's script, and where they are not all, a note in HTML.

    Captions that a system repeats for a song stand there once. Of more text than a browser opens at once, the songs on
    which systems differ most stay.
    """
    songs = result.songs
    assert songs is not None
    scores = np.array([system.scores.headline_values("rougeL", result.protocol) for system in result.systems])
    said = [[tuple(dict.fromkeys(texts)) for texts in system.captions] for system in result.systems]
    kept = choose_songs([songs.references, *said], np.ptp(scores, axis=0))
    labels: dict[str, int] = {}
    facts = [
        facts_of([captions[song] for song in kept], [songs.references[song] for song in kept]) for captions in said
    ]
    found = [
        {
            "id": visible(songs.ids[song]),
            "title": visible(songs.titles[song]) if songs.titles else "",
            "references": list(map(visible, songs.references[song])),
            "captions": [list(map(visible, captions[song])) for captions in said],
            "scores": [round(100 * value, 1) for value in scores[:, song].tolist()],
            # By their numbers: the same words would come thousands of times.
            "facts": [[[labels.setdefault(fact, len(labels)) for fact in told] for told in kinds] for kinds in stated],
        }
        for song, stated in zip(kept, zip(*facts, strict=True), strict=True)
    ]
    note = (
        f'<p class="note">These are the {len(kept):,} of {len(songs.ids):,} songs on which systems differ most; more '
        "would make the page too large.</p>"
        if len(kept) < len(songs.ids)
        else ""
    )
    names = [visible(system.name) for system in result.systems]
    heading = headings(result.protocol)["rougeL"]
    return {"systems": names, "figure": heading, "facts": list(labels), "songs": found}, note


def choose_songs(texts: Sequence[Sequence[Sequence[str]]], spreads: np.ndarray) -> list[int]:
    """Returns the places of the songs whose texts fit the page, the widest spreads before others.

    Args:
        texts: references and captions [sources][songs][texts].
        spreads: how far systems are apart [songs].
    """
    sizes = np.array([[sum(map(len, some)) for some in source] for source in texts]).sum(axis=0)
    order = np.argsort(-spreads, kind="stable")
    fit = int((np.cumsum(sizes[order]) <= MOST_TEXT).sum())
    return sorted(order[: max(fit, 1)].tolist())


def facts_of(captions: Sequence[Sequence[str]], references: Sequence[Sequence[str]]) -> list[list[list[str]]]:
    """Returns what a system states of each song, in each kind of facts each once [songs][kinds][facts].

    Args:
        captions: what it wrote of each song [songs][captions].
        references: of each song [songs][references].
    """
    owners = [song for song, texts in enumerate(captions) for _ in texts]
    stated = sort_facts([text for texts in captions for text in texts], [references[song] for song in owners])
    found: list[list[dict[str, None]]] = [[{} for _ in KINDS] for _ in captions]
    for song, facts in zip(owners, stated, strict=True):
        for kind, told in zip(KINDS, found[song], strict=True):
            told.update(dict.fromkeys(getattr(facts, kind)))
    return [[list(told) for told in kinds] for kinds in found]
