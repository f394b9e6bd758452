"""The case study as a page: HTML that needs nothing else."""

from pathlib import Path

from recap_cli.escaping import html_text
from recap_cli.evaluation.system_differences import Case, CaseStudy
from recap_cli.files import write_text
from recap_cli.report.table_one import HEADINGS

STYLE = """\
:root { color-scheme: light dark; --line: #8886; --soft: #8882; --better: #2a93; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 64rem; margin: 2rem auto; padding: 0 1rem; }
article { border-top: 2px solid var(--line); padding: 1rem 0; }
.captions { display: grid; grid-template-columns: repeat(auto-fit, minmax(18rem, 1fr)); gap: 1rem; }
.caption { background: var(--soft); border-radius: .5rem; padding: .5rem 1rem; overflow-wrap: anywhere; }
.better { background: var(--better); }
.lyrics { white-space: pre-wrap; max-height: 20rem; overflow: auto; border-left: 3px solid var(--line);
  padding-left: 1rem; overflow-wrap: anywhere; }
table { border-collapse: collapse; } th, td { padding: 0 .75rem; text-align: right; }
th:first-child, td:first-child { text-align: left; padding-left: 0; overflow-wrap: anywhere; }
h2 small { font-weight: normal; }
footer { border-top: 2px solid var(--line); font-size: .8rem; overflow-wrap: anywhere; }
.empty { font-style: italic; opacity: .7; }"""


def write_case_page(study: CaseStudy, path: Path) -> Path:
    """Writes the page and returns its path.

    Raises:
        DataError: the disk refuses.
    """
    write_text(path, case_html(study))
    return path


def introduction(study: CaseStudy) -> str:
    """Says how the songs were chosen: the choice is by scores, not at random."""
    return (
        f"The {len(study.cases)} of {study.songs} songs on which the two differ most in ROUGE-L (protocol "
        f"{study.protocol}), largest difference first. They are no random sample. On {study.ties} songs the two "
        "captions are equal."
    )


def case_html(study: CaseStudy) -> str:
    """The page as HTML: one file, no scripts, nothing loaded from elsewhere, every text escaped."""
    first, second = (html_text(name) for name in study.names)
    articles = "\n".join(article(number, case, study) for number, case in enumerate(study.cases, start=1))
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{first} and {second}: a case study</title>
<style>
{STYLE}
</style>
</head>
<body>
<h1>{first} and {second}</h1>
<p>{html_text(introduction(study))}</p>
{articles}
<footer><p>{html_text(study.signature)}</p></footer>
</body>
</html>
"""


def article(number: int, case: Case, study: CaseStudy) -> str:
    """One song of the page."""
    boxes = "".join(
        f'<div class="caption{" better" if sign * case.difference > 0 else ""}"><h3>{html_text(name)}</h3>'
        f"<p>{text_or_note(caption)}</p></div>"
        for name, caption, sign in zip(study.names, case.captions, (-1, 1), strict=True)
    )
    references = "".join(f"<li>{html_text(text)}</li>" for text in case.references)
    heads = "".join(f"<th>{HEADINGS[name]}</th>" for name in case.scores[0])
    rows = "".join(
        f"<tr><td>{html_text(name)}</td>{''.join(f'<td>{100 * value:.1f}</td>' for value in scores.values())}</tr>"
        for name, scores in zip(study.names, case.scores, strict=True)
    )
    lyrics = "not known" if case.lyrics is None else case.lyrics
    return f"""<article>
<h2>{number}. {html_text(case.song)} <small>ROUGE-L {100 * case.difference:+.1f}</small></h2>
<div class="captions">{boxes}</div>
<table><tr><th></th>{heads}</tr>{rows}</table>
<h3>References</h3><ul>{references}</ul>
<h3>Lyrics</h3><div class="lyrics">{text_or_note(lyrics)}</div>
</article>"""


def text_or_note(text: str) -> str:
    """Returns a text, escaped, or says that there is none."""
    return html_text(text) if text.strip() else '<span class="empty">(empty)</span>'
