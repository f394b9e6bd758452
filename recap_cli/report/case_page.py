"""The case study as a page: HTML that needs nothing else."""

from difflib import SequenceMatcher
from pathlib import Path

from recap_cli.escaping import html_text
from recap_cli.evaluation.system_differences import Case, CaseStudy
from recap_cli.files import write_text
from recap_cli.scoring.text import headings

STYLE = """\
:root { color-scheme: light dark; --line: #8886; --soft: #8882; --first: #d80; --second: #08c; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 64rem; margin: 2rem auto; padding: 0 1rem;
  overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.25rem; margin-bottom: 0; } h3 { font-size: 1rem; margin: .5rem 0 0; }
article { border-top: 2px solid var(--line); padding: 1rem 0; }
.id { opacity: .7; font-size: .85rem; }
.captions { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(18rem, 100%), 1fr)); gap: 1rem; }
.caption { background: var(--soft); border-radius: .5rem; padding: .25rem 1rem; border-left: .4rem solid; }
.caption p { margin: .25rem 0 .5rem; }
.first { border-color: var(--first); } .second { border-color: var(--second); }
del, ins { text-decoration: underline solid .15em; text-underline-offset: .2em; font-weight: 600; }
del { text-decoration-color: var(--first); } ins { text-decoration-color: var(--second); }
.lyrics { white-space: pre-wrap; max-height: 20rem; overflow: auto; border-left: 3px solid var(--line);
  padding-left: 1rem; margin-top: .5rem; }
.scores { font-size: .85rem; opacity: .8; } .scores span { white-space: nowrap; margin-right: .75rem; }
ul { margin: .25rem 0; padding-left: 1.25rem; }
summary { margin-top: .5rem; font-weight: 600; }
footer { border-top: 2px solid var(--line); font-size: .8rem; opacity: .8; }
.empty { font-style: italic; opacity: .7; }"""

NOTHING = '<span class="empty">(empty)</span>'
MARKS = ".,;:!?\"'()"  # around words, no part of them


def write_case_page(study: CaseStudy, path: Path) -> Path:
    """Writes the page and returns its path.

    Raises:
        DataError: the disk refuses.
    """
    write_text(path, case_html(study))
    return path


def introduction(study: CaseStudy) -> str:
    """Says how the songs were chosen, as HTML: the choice is by scores, not at random."""
    first, second = (f"<b>{html_text(name)}</b>" for name in study.names)
    heading = headings(study.protocol)["rougeL"]
    return f"""<p>Two systems wrote captions of the same {study.songs:,} songs. These are the {len(study.cases)} songs
on which their {heading} differs most, the largest difference first. They were chosen for that, so they do not show what
captions are like on the whole. On {study.ties:,} songs the two captions are the same.</p>
<p>Underlined: <del>words that only {first} has</del>, <ins>words that only {second} has</ins>, compared in their order.
Scores go from 0 to 100.</p>"""


def case_html(study: CaseStudy) -> str:
    """The page as HTML: one file, no scripts, nothing loaded from elsewhere, every text escaped."""
    first, second = (html_text(name) for name in study.names)
    articles = "\n".join(article(number, case, study) for number, case in enumerate(study.cases, start=1))
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{first} and {second}: where they differ</title>
<style>
{STYLE}
</style>
</head>
<body>
<h1>{first} and {second}: where they differ</h1>
{introduction(study)}
{articles}
<footer><p>{html_text(study.signature)}</p></footer>
</body>
</html>
"""


def article(number: int, case: Case, study: CaseStudy) -> str:
    """One song of the page."""
    sides = zip(("first", "second"), study.names, mark_differences(*case.captions), case.scores, strict=True)
    boxes = "".join(
        f'<div class="caption {place}"><h3>{html_text(name)}</h3><p>{words or NOTHING}</p>'
        f'<p class="scores">{score_line(scores, study.protocol)}</p></div>'
        for place, name, words, scores in sides
    )
    references = "".join(f"<li>{html_text(text)}</li>" for text in case.references)
    lyrics = "not known" if case.lyrics is None else case.lyrics
    identity = f'<div class="id">{html_text(case.id)}</div>' if case.title else ""
    return f"""<article>
<h2>{number}. {html_text(case.title or case.id)}</h2>{identity}
<p>{tell_difference(case, study)}</p>
<div class="captions">{boxes}</div>
<h3>What people wrote (references)</h3><ul>{references}</ul>
<details><summary>Lyrics</summary><div class="lyrics">{html_text(lyrics) if lyrics.strip() else NOTHING}</div></details>
</article>"""


def score_line(scores: dict[str, float], protocol: str) -> str:
    """Returns a caption's figures from 0 to 100, as HTML."""
    names = headings(protocol)
    return " ".join(f"<span>{names[name]} <b>{100 * value:.1f}</b></span>" for name, value in scores.items())


def tell_difference(case: Case, study: CaseStudy) -> str:
    """Says who is closer to the references, as HTML."""
    heading = headings(study.protocol)["rougeL"]
    if not case.difference:
        return f"Both are equally close to the references in {heading}."
    winner = html_text(study.names[case.difference > 0])
    return f"<b>{winner}</b> is closer to the references: {100 * abs(case.difference):.1f} more in {heading}."


def mark_differences(first: str, second: str) -> tuple[str, str]:
    """Returns two captions as HTML, the words that only one of them has marked: `del` in the first, `ins` in the other.

    Words are compared in their order, whatever their case and the marks around them.
    """
    ours, theirs = first.split(), second.split()
    plain = ([word.casefold().strip(MARKS) for word in side] for side in (ours, theirs))
    blocks = SequenceMatcher(None, next(plain), next(plain), autojunk=False).get_opcodes()
    return (
        mark([(tag == "equal", ours[a:b]) for tag, a, b, _, _ in blocks], "del"),
        mark([(tag == "equal", theirs[a:b]) for tag, _, _, a, b in blocks], "ins"),
    )


def mark(parts: list[tuple[bool, list[str]]], name: str) -> str:
    """Returns words as HTML, those that the other side lacks within an element of this name."""
    texts = [(shared, html_text(" ".join(words))) for shared, words in parts if words]
    return " ".join(text if shared else f"<{name}>{text}</{name}>" for shared, text in texts)
