"""Songs on which systems differ, as HTML: captions side by side, what differs marked, facts beside the references."""

from difflib import SequenceMatcher

from recap_cli.escaping import html_text
from recap_cli.evaluation.system_differences import Case, CaseStudy
from recap_cli.page.stated_facts import StatedFacts, sort_facts
from recap_cli.scoring.text import headings

NOTHING = '<span class="empty">(empty)</span>'
MARKS = ".,;:!?\"'()"  # around words, no part of them
KINDS = ("agreed", "contradicted", "alone")


def introduction(study: CaseStudy) -> str:
    """Says how the songs were chosen, as HTML: the choice is by scores, not at random."""
    heading = headings(study.protocol)["rougeL"]
    who = " and ".join(html_text(name) for name in study.names) if len(study.names) == 2 else "any two of the systems"
    same = f" On {study.ties:,} songs all captions are the same." if study.ties else ""
    return f"""<p>These are the {len(study.cases)} of {study.songs:,} songs on which {who} differ most in {heading},
the largest difference first. They were chosen for that, so they do not show what captions are like on the
whole.{same}</p>
<p>Underlined: <del>words that only the first caption has</del>, <ins>words that only the second has</ins>, compared in
their order. Scores go from 0 to 100.</p>"""


def articles(study: CaseStudy) -> str:
    """Returns all songs of a study as HTML."""
    return "\n".join(article(number, case, study.protocol) for number, case in enumerate(study.cases, start=1))


def article(number: int, case: Case, protocol: str) -> str:
    """One song of the page."""
    stated = sort_facts(case.captions, [case.references] * 2)
    sides = zip(("first", "second"), case.names, mark_differences(*case.captions), stated, case.scores, strict=True)
    boxes = "".join(
        f'<div class="caption {place}"><h4>{html_text(name)}</h4><p dir="auto">{marked or NOTHING}</p>'
        f'{fact_list(facts)}<p class="scores">{score_line(scores, protocol)}</p></div>'
        for place, name, marked, facts, scores in sides
    )
    references = "".join(f'<li dir="auto">{html_text(text)}</li>' for text in case.references)
    lyrics = "not known" if case.lyrics is None else case.lyrics
    identity = f'<div class="id">{html_text(case.id)}</div>' if case.title else ""
    return f"""<article>
<h3>{number}. {html_text(case.title or case.id)}</h3>{identity}
<p>{tell_difference(case, protocol)}</p>
<div class="captions">{boxes}</div>
<h4>What people wrote (references)</h4><ul>{references}</ul>
<details><summary>Lyrics</summary><div class="lyrics" dir="auto">{
        html_text(lyrics) if lyrics.strip() else NOTHING
    }</div></details>
</article>"""


def fact_list(found: StatedFacts) -> str:
    """Returns the facts of a caption as HTML, a line for each kind that there is."""
    kinds = ((kind, getattr(found, kind)) for kind in KINDS)
    lines = "".join(f'<li class="{kind}">{kind}: {html_text(", ".join(told))}</li>' for kind, told in kinds if told)
    return f'<ul class="facts">{lines}</ul>' if lines else ""


def score_line(scores: dict[str, float], protocol: str) -> str:
    """Returns a caption's figures from 0 to 100, as HTML."""
    names = headings(protocol)
    return " ".join(f"<span>{names[name]} <b>{100 * value:.1f}</b></span>" for name, value in scores.items())


def tell_difference(case: Case, protocol: str) -> str:
    """Says who is closer to the references, as HTML."""
    heading = headings(protocol)["rougeL"]
    if not case.difference:
        return f"Both are equally close to the references in {heading}."
    winner = html_text(case.names[case.difference > 0])
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
