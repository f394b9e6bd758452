"""A whole HTML page in one file: its frame, tables, and the data that its script reads."""

import base64
import hashlib
from importlib.resources import files

from recap_cli.escaping import html_text, json_text
from recap_cli.outputs import CREATOR
from recap_cli.progress import Table


def html_page(title: str, body: str, data: object = None) -> str:
    """Returns a page that loads nothing from elsewhere and, as its own policy says, cannot.

    Args:
        title: plain text.
        body: HTML, every stranger's text in it escaped.
        data: what the script finds as JSON in the element `data`; None makes a page without a script.
    """
    style = read_part("page.css")
    script = read_part("page.js") if data is not None else ""
    allowed = f"script-src {hash_source(script)}; " if script else ""
    policy = f"default-src 'none'; {allowed}style-src {hash_source(style)}; base-uri 'none'; form-action 'none'"
    scripts = (
        f'<script type="application/json" id="data">{script_json(data)}</script>\n<script>{script}</script>\n'
        if script
        else ""
    )
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="{CREATOR}">
<title>{html_text(title)}</title>
<style>{style}</style>
</head>
<body>
{body}
{scripts}</body>
</html>
"""


def read_part(name: str) -> str:
    """Returns a style sheet or script that lies beside this file."""
    return (files("recap_cli.page") / name).read_text(encoding="utf-8")


def hash_source(text: str) -> str:
    """Returns what a page's policy calls a style or script that stands in the page: no other one is obeyed."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def script_json(value: object) -> str:
    """Returns JSON for a script element: nothing in it ends the element or begins a comment."""
    return json_text(value).replace("<", "\\u003c")


def html_table(table: Table) -> str:
    """Returns any table as HTML, its first column as the rows' headings; a narrow window scrolls it sideways."""
    head = "".join(f'<th scope="col">{html_text(name)}</th>' for name in table.columns)
    rows = "".join(
        f'<tr><th scope="row">{html_text(row[0])}</th>{"".join(f"<td>{cell(text)}</td>" for text in row[1:])}</tr>\n'
        for row in table.rows
    )
    return f"""<div class="scroll" tabindex="0" role="region" aria-label="Table, scrolls sideways"><table>
<caption>{html_text(table.title)}</caption>
<thead><tr>{head}</tr></thead>
<tbody>
{rows}</tbody></table></div>
<p class="note lines">{html_text(table.caption)}</p>"""


def cell(text: str) -> str:
    """Returns a cell as HTML; an interval stands below its figure."""
    return html_text(text).replace(" [", "<br>[")
