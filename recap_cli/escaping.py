r"""What strangers wrote, made harmless for the place that shows it: a terminal, JSON, Markdown, HTML, LaTeX, CSV, YAML.

Names of files, titles, lyrics, captions and figures of papers come from anywhere. Shown as they are, they could move
the cursor, rename the window, hide or reorder words, load pictures, or run as formulas. Characters that do so without
being seen are written out, such as `\x1b`; what a format takes for markup is escaped as that format wants it.
"""

import html
import json
import re

LONGEST_MESSAGE = 1000  # characters; a longer one would push what matters off the screen

# Control characters but tab and newline (C0, DEL, C1), soft hyphens, fillers that look blank, marks and overrides of
# direction, zero-width characters, line and paragraph separators, lone surrogates, invisible tags. A joiner within a
# word of another script, or within an emoji, is how that is spelled, and stays.
_HIDDEN = (
    "\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0"
    "\ufff9-\ufffb\ud800-\udfff\U0001d173-\U0001d17a\U000e0000-\U000e007f"
)
_JOINER = "(?<![^\x00-\x7f])[\u200c\u200d]|[\u200c\u200d](?![^\x00-\x7f])"
_UNSEEN = re.compile(f"[\x00-\x08\x0b-\x1f{_HIDDEN}]|{_JOINER}")
_UNSEEN_IN_JSON = re.compile(f"[{_HIDDEN}]|{_JOINER}")  # json escapes C0 itself; its newlines are layout
_BREAKS = re.compile("[\t\n\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]+")


def visible(text: str) -> str:
    r"""Returns a text in which nothing acts unseen: such characters are written out, tabs and newlines stay.

    A byte of a file name that is no UTF-8 is written as `\xe9`, as Python and `ls` do.
    """
    return text if text.isascii() and text.isprintable() else _UNSEEN.sub(_write_out, text)


def is_unicode(text: str) -> bool:
    """Whether a text can be written as UTF-8: file names and JSON may hold lone halves of characters."""
    return text.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in text)


def _write_out(found: re.Match[str]) -> str:
    r"""Returns a character's code: `\x1b`, `\u202e`."""
    code = ord(found[0])
    if 0xDC80 <= code <= 0xDCFF:  # how Python keeps a byte that is no UTF-8
        code -= 0xDC00
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def flat(text: str) -> str:
    """Returns a text on one line: breaks and tabs become spaces, and nothing acts unseen."""
    return visible(_BREAKS.sub(" ", text))


def one_line(text: str) -> str:
    """Returns a message on one line; the middle of one that would fill the screen goes."""
    if len(text) > LONGEST_MESSAGE:
        text = f"{text[: LONGEST_MESSAGE // 2]} ... {text[-LONGEST_MESSAGE // 2 :]}"
    return flat(text)


def json_text(value: object, indent: int | None = None, sort_keys: bool = False) -> str:
    r"""Returns JSON in readable UTF-8 in which C1, marks of direction and the like are escaped as `\uXXXX`.

    It reads back as the same value, lone surrogates of file names included.
    """
    text = json.dumps(value, ensure_ascii=False, indent=indent, sort_keys=sort_keys)
    return _UNSEEN_IN_JSON.sub(lambda found: json.dumps(found[0])[1:-1], text)


def html_text(text: str) -> str:
    """Returns a text for a page or an attribute."""
    return html.escape(visible(text))


# Only where it would act: an underscore within a word and an ampersand that begins no entity stay.
_INLINE = re.compile(
    r"[\\`*\[\]<>|~$]|_(?![A-Za-z0-9])|(?<![A-Za-z0-9])_|&(?=#|\w+;)"
    r"|:(?=//|[\w+-]+:)|(?i:(?<=www)\.)|(?<=\w)@(?=\w)"
)
_FIGURES = re.compile(r"[-+0-9., \[\]%/<*\n]*")


def markdown_cell(text: str) -> str:
    """Returns one line for a cell or within a line of Markdown; figures with their interval stay as they are."""
    text = flat(text).strip()
    return text if _FIGURES.fullmatch(text) else _INLINE.sub(r"\\\g<0>", text)


_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",  # active in some languages
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
}


def latex_text(text: str) -> str:
    """Returns one line for LaTeX; after a row's end a bracket or a star would be its argument, so they are braced."""
    text = flat(text)
    first = f"{{{text[0]}}}" if text[:1] in ("[", "*") else ""
    return first + "".join(_LATEX.get(letter, letter) for letter in text[bool(first) :])


_FORMULA = re.compile("(^|[;\t\n])([ \\xa0'\"]*)(?=[=+\\-@|%\t\n\uff1d\uff0b\uff0d\uff20])")


def csv_cell(text: str) -> str:
    """Returns a cell that no spreadsheet takes for a formula, by an apostrophe as they write it themselves.

    Only for texts: figures of our own stay numbers. A part behind a semicolon counts, too, since some countries'
    spreadsheets part cells there.
    """
    return _FORMULA.sub(r"\1'\2", visible(text.replace("\r", "\n")))


_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)


def is_hub_id(text: str) -> bool:
    """Whether a text has the form owner/name, and so needs no quotes in YAML."""
    return _HUB_ID.fullmatch(text) is not None


def figure_text(text: str) -> str:
    """Returns a text for a figure: matplotlib reads no formula in it, and its SVG is whole XML."""
    return visible(text).replace("\t", " ").replace("$", r"\$")
