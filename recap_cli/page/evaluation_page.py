"""An evaluation as a page: table, figure, what was found and how, songs side by side, and all songs to search in."""

from pathlib import Path
from typing import Any

import numpy as np

from recap_cli.escaping import html_text, visible
from recap_cli.evaluation.evaluate import EvaluateResult
from recap_cli.evaluation.songs import SongSet
from recap_cli.files import make_folder, write_text
from recap_cli.page.html_page import html_page, html_table
from recap_cli.page.inline_figure import inline_figure
from recap_cli.page.song_articles import KINDS, FactReader, StatedFacts, articles, introduction
from recap_cli.report.scores import all_tables
from recap_cli.report.systems_figure import SystemsChart
from recap_cli.report.table_one import overview_table, title_of
from recap_cli.scoring.text import headings

MOST_TEXT = 12_000_000  # characters that the page holds of captions and references: a browser opens it at once
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


def write_evaluation_page(
    result: EvaluateResult, path: Path, chart: SystemsChart | None = None, facts: FactReader | None = None
) -> Path:
    """Writes the page and returns its path.

    Raises:
        DataError: the disk refuses.
    """
    make_folder(path.parent)
    write_text(path, evaluation_html(result, chart, facts))
    return path


def evaluation_html(result: EvaluateResult, chart: SystemsChart | None = None, facts: FactReader | None = None) -> str:
    """Returns the page: one file that loads nothing, in which every text of strangers stays text.

    Args:
        result: what was scored.
        chart: the figure of systems, where captions were also scored on other songs.
        facts: reads what a caption states; None shows no facts.
    """
    sections = {
        "findings": ("What was found", listed(result.verdicts)),
        "scores": ("Scores", html_table(overview_table(result))),
        "figure": ("Own songs and other songs", inline_figure(chart) if chart is not None else ""),
        "reading": ("How to read this", how_to_read(result, facts is not None)),
        "tables": ("Other tables", other_tables(result)),
    }
    if result.cases is not None:
        sections["songs"] = (
            "Songs on which they differ most",
            introduction(result.cases) + articles(result.cases, facts),
        )
    sections = {name: parts for name, parts in sections.items() if parts[1]}
    links = {name: heading for name, (heading, _) in sections.items()} | {"search": "All songs"}
    navigation = "".join(f'<li><a href="#{name}">{html_text(heading)}</a></li>' for name, heading in links.items())
    body = "\n".join(section(name, *parts) for name, parts in sections.items())
    data, note = search_data(result, facts)
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


def listed(lines: list[str]) -> str:
    """Returns lines as a list in HTML."""
    return f"<ul>{''.join(f'<li>{html_text(line)}</li>' for line in lines)}</ul>"


def how_to_read(result: EvaluateResult, has_facts: bool) -> str:
    """Says in plain words what figures and marks mean, and how they were made, as HTML."""
    lines = [
        "ROUGE, METEOR, BLEU and chrF count words, word pairs or letters that a caption shares with its references. "
        "They do not know whether a sentence is true of the music.",
        "Much of such a score is had by any caption that is written as captions are. What a system knows of a song "
        "shows where its captions fit their own song better than other songs (--controls).",
        "In brackets, or as a bar: the 95 % interval. Systems are compared song by song, not by whether intervals "
        "overlap.",
    ]
    if has_facts:
        lines.append(
            "Facts are what a caption states by words of a lexicon, such as an instrument or a tempo. Agreed: a "
            "reference states it, too. Contradicted: a reference states what excludes it. Alone: no reference speaks "
            "of it, which does not make it false."
        )
    return f'{listed(lines)}<p class="note">{html_text(result.signature)}</p>'


def other_tables(result: EvaluateResult) -> str:
    """Returns every further table as HTML, folded up."""
    tables = "\n".join(map(html_table, all_tables(result)))
    return f"<details><summary>Show all tables</summary>\n{tables}</details>"


# what the script searches in ------------------------------------------------------------------------------------------


def search_data(result: EvaluateResult, facts: FactReader | None) -> tuple[dict[str, Any], str]:
    """Returns the songs for the page's script, and where they are not all, a note in HTML.

    Captions that a system repeats for a song stand there once. Of more text than a browser opens at once, the songs on
    which systems differ most stay.
    """
    songs = result.songs
    assert songs is not None
    scores = np.array([system.scores.headline_values("rougeL", result.protocol) for system in result.systems])
    said = [[list(dict.fromkeys(map(visible, texts))) for texts in system.captions] for system in result.systems]
    sizes = np.array([sum(map(len, songs.references[song])) for song in range(len(songs.ids))])
    sizes += np.array([[sum(map(len, texts)) for texts in captions] for captions in said]).sum(axis=0)
    kept = choose_songs(sizes, np.ptp(scores, axis=0))
    labels: dict[str, int] = {}
    found = [
        {
            "id": visible(songs.ids[song]),
            "title": visible(songs.titles[song]) if songs.titles else "",
            "references": list(map(visible, songs.references[song])),
            "captions": [captions[song] for captions in said],
            "scores": [round(100 * value, 1) for value in scores[:, song].tolist()],
            **({"facts": facts_of(result, songs, song, facts, labels)} if facts else {}),
        }
        for song in kept
    ]
    note = (
        f'<p class="note">These are the {len(kept):,} of {len(songs.ids):,} songs on which systems differ most; more '
        "would make the page too large.</p>"
        if len(kept) < len(songs.ids)
        else ""
    )
    heading = headings(result.protocol)["rougeL"]
    names = [visible(system.name) for system in result.systems]
    return {"systems": names, "figure": heading, "facts": list(labels), "songs": found}, note


def choose_songs(sizes: np.ndarray, spreads: np.ndarray) -> list[int]:
    """Returns the places of the songs [songs] whose texts fit the page, the widest spreads before others."""
    order = np.argsort(-spreads, kind="stable")
    fit = int((np.cumsum(sizes[order]) <= MOST_TEXT).sum())
    return sorted(order[: max(fit, 1)].tolist())


def facts_of(
    result: EvaluateResult, songs: SongSet, song: int, read: FactReader, labels: dict[str, int]
) -> list[list[list[int]]]:
    """Returns what each system states of a song [systems][kinds][facts], facts by their numbers in `labels`."""
    found: list[list[list[int]]] = []
    for system in result.systems:
        stated = join([read(caption, songs.references[song]) for caption in system.captions[song]])
        kinds = (getattr(stated, kind) for kind in KINDS)
        found.append([[labels.setdefault(visible(fact), len(labels)) for fact in told] for told in kinds])
    return found


def join(several: list[StatedFacts]) -> StatedFacts:
    """Returns the facts of a song's captions, each once."""
    parts = (tuple(dict.fromkeys(fact for one in several for fact in getattr(one, kind))) for kind in KINDS)
    return StatedFacts(*parts)
