"""Lyrics with times to plain lines in the order in which they are sung: LRC, SRT, WebVTT, SBV, ASS, TTML and kin."""

import re
from collections.abc import Iterable
from xml.parsers import expat

from recap_cli.errors import LyricsError

LARGEST = 1_000_000  # characters of lines that are repeated at several stamps; no song has so many

# LRC: [mm:ss], [mm:ss.xx], [mm:ss:xx], [mm:ss,xx], [hh:mm:ss.xx]; words may have <...> or [...] of their own.
_TIME = r"-?(?:\d{1,3}:)?\d{1,4}:\d{1,2}(?:[.:,]\d{1,6})?"
_LINE_STAMP = re.compile(rf"\[[ \t]?({_TIME})[ \t]?\][ \t]?")
_LINE_STAMPS = re.compile(rf"\s*(?:{_LINE_STAMP.pattern})+")
_STAMPED = re.compile(rf"^[^\S\n]*{_LINE_STAMP.pattern}", re.MULTILINE)
_STAMP = rf"(?:\[[ \t]?{_TIME}[ \t]?\]|<{_TIME}>)"
# The space after a stamp goes with it, unless it is the only one between two words.
_ANY_STAMP = re.compile(rf"(?:^|(?<=[\s>\]])){_STAMP}[ \t]?|{_STAMP}")
# KRC, QRC and YRC: [start,length] in milliseconds, and as much for each word.
_SPAN = re.compile(r"^[^\S\n]*\[(\d{1,8}),\d{1,8}\]", re.MULTILINE)
_WORD_SPAN = re.compile(r"\(\d{1,8},\d{1,8}(?:,\d{1,8})?\)|<\d{1,8},\d{1,8}(?:,\d{1,8})?>")

# SRT, WebVTT: 00:00:01,000 --> 00:00:03,000 and settings; SBV: 0:00:01.000,0:00:03.000
_CLOCK = r"(?:\d{1,3}:\d{1,2}:\d{1,2}(?:[.,:]\d{1,3})?|\d{1,3}:\d{1,2}[.,]\d{1,3})"
_CUE = re.compile(
    rf"^[^\S\n]*({_CLOCK})[^\S\n]*--?>[^\S\n]*{_CLOCK}(?:[^\S\n][^\n]*)?$"
    r"|^(\d{1,2}:\d\d:\d\d\.\d{3}),\d{1,2}:\d\d:\d\d\.\d{3}$",
    re.MULTILINE,
)
_CUE_TAG = re.compile(r"</?[A-Za-z][^<>\n]{0,300}>|<[\d:.,]{5,15}>|\{\\[^{}\n]{0,300}\}")
_VTT_BLOCK = re.compile(r"(?:NOTE|STYLE|REGION)\b")
_DIALOGUE = re.compile(r"^Dialogue:[ \t]?[^,\n]*,(\d{1,2}:\d\d:\d\d[.,:]\d{1,3}),(?:[^,\n]*,){7}(.*)$", re.MULTILINE)
_OVERRIDE = re.compile(r"\{[^{}]*\}")
_FRAMES = re.compile(r"^\{(\d{1,8})\}\{\d{0,8}\}(.*)$", re.MULTILINE)
_MARKUP = re.compile(r"\s*<(?:\?xml\b|!--|!DOCTYPE\b|html\b|(?:\w{1,20}:)?tt[\s>])", re.IGNORECASE)
_WEB_PAGE = re.compile(r"<(?:!DOCTYPE\s{1,20})?html\b", re.IGNORECASE)
_DTD = re.compile(r"<!(?:DOCTYPE|ENTITY)", re.IGNORECASE)
_PARAGRAPHS = ("p", "text")  # of TTML, and of YouTube's XML


def sung_lines(text: str) -> str:
    """Returns timed lyrics as lines in the order of their times; all other text as it is.

    The format is told by what the text holds, whatever its file is called. Lines at the same time, an original and
    its translation, keep the order in which they are written; a line without a time follows the one above it. Lines
    end with a newline character alone. TTML that is damaged or declares entities is a LyricsError.
    """
    if "<" in text and _MARKUP.match(text):
        return _from_xml(text)
    if text.lstrip().startswith("WEBVTT") or _CUE.search(text):
        return _from_cues(text)
    if "Dialogue:" in text and len(found := _DIALOGUE.findall(text)) > 0:
        return _ordered((_seconds(time), _from_ass(words)) for time, words in found)
    if "}{" in text and _most(text, found := _FRAMES.findall(text)):
        return _ordered((float(frame), words.replace("|", "\n")) for frame, words in found)
    if "[" in text and _most(text, found := _SPAN.findall(text)):
        return _from_spans(text)
    return _from_lrc(text) if "[" in text and _STAMPED.search(text) else text


def without_stamps(line: str) -> str:
    """Returns a line without the time stamps of LRC before and between its words."""
    return _ANY_STAMP.sub("", line)


def _seconds(time: str, hours: bool = True) -> float:
    """Reads [hh:]mm:ss[.xx]; without `hours`, three numbers between colons alone are mm:ss:xx, as LRC has it."""
    clock, _, fraction = time.lstrip("-").replace(",", ".").partition(".")
    numbers = [int(number) for number in clock.split(":")]
    if not fraction and len(numbers) == (4 if hours else 3):
        numbers, fraction = numbers[:-1], clock.rpartition(":")[2]
    seconds = sum(number * 60**power for power, number in enumerate(reversed(numbers))) + float(f"0.{fraction or 0}")
    return -seconds if time.startswith("-") else seconds


def _ordered(timed: Iterable[tuple[float, str]]) -> str:
    return "\n".join(words for _, words in sorted(timed, key=lambda pair: pair[0]))


def _most(text: str, found: list[str] | list[tuple[str, str]]) -> bool:
    """Whether at least half of the lines that are no tags in brackets were found."""
    lines = [line for line in text.split("\n") if line.strip() and not re.match(r"\s*(?:\[[a-z]+:|\{\")", line)]
    return 2 * len(found) >= len(lines) > 0


def _from_lrc(text: str) -> str:
    timed: list[tuple[float, str]] = []
    now, size = 0.0, 0
    for line in text.split("\n"):
        stamps = _LINE_STAMPS.match(line)
        words = line[stamps.end() :] if stamps else line
        times = [_seconds(time, hours=False) for time in _LINE_STAMP.findall(stamps.group())] if stamps else [now]
        now = times[0]
        size += len(words) * (len(times) - 1)
        timed += [(time, words) for time in (times if size <= LARGEST else times[:1])]
    return _ordered(timed)


def _from_spans(text: str) -> str:
    lines = [line for line in text.split("\n") if not line.startswith('{"')]
    timed, now = [], 0.0
    for line in lines:
        span = _SPAN.match(line)
        now = float(span[1]) if span else now
        timed.append((now, _WORD_SPAN.sub("", line[span.end() :] if span else line)))
    return _ordered(timed)


def _from_cues(text: str) -> str:
    """Reads SRT, WebVTT and SBV: what stands between two timings, less the numbers and names of cues."""
    is_vtt = text.lstrip().startswith("WEBVTT")
    cues: list[tuple[float, list[str]]] = [(-1.0, [])]
    skipped = is_vtt
    for line in text.split("\n"):
        words = cues[-1][1]
        cue = _CUE.match(line)
        if cue:
            skipped = False
            alone = len(words) < 2 or not words[-2].strip()
            if words and (words[-1].strip().isdecimal() or (is_vtt and alone)):
                words.pop()
            cues.append((_seconds(cue[1] or cue[2]), []))
        elif not line.strip():
            skipped = False
            words.append("")
        elif is_vtt and _VTT_BLOCK.match(line) and (not words or not words[-1]):
            skipped = True
        elif not skipped:
            words.append(line)
    lines = ((time, _CUE_TAG.sub("", line)) for time, words in cues for line in words)
    return _ordered((time, line) for time, line in lines if line.strip())


def _from_ass(words: str) -> str:
    return re.sub(r"\\[Nnh]", lambda found: " " if found[0] == r"\h" else "\n", _OVERRIDE.sub("", words))


def _from_xml(text: str) -> str:
    """Returns the words of each paragraph; white space is that of XML, `<br/>` ends a line."""
    if _WEB_PAGE.search(text):
        raise LyricsError("a web page is no lyrics", "save its words alone as text")
    if _DTD.search(text):  # entities may unfold without end
        raise LyricsError("lyrics in TTML with a document type are not read", "remove the line with <!DOCTYPE")
    paragraphs = _Paragraphs()
    parser = expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler = paragraphs.start, paragraphs.end
    parser.CharacterDataHandler = paragraphs.words
    parser.buffer_text = True
    try:
        parser.Parse(re.sub(r"^\s*<\?xml[^<>]*>", "", text).replace("&nbsp;", " ").strip().encode(), True)
    except expat.ExpatError as error:
        raise LyricsError(f"lyrics in TTML are damaged: {error}", "fetch the lyrics again") from error
    if not paragraphs.found:
        raise LyricsError("XML without a paragraph is no TTML", "save its words alone as text")
    return _ordered(paragraphs.found)


class _Paragraphs:
    """Collects the paragraphs of TTML with their times."""

    def __init__(self) -> None:
        self.found: list[tuple[float, str]] = []
        self.parts: list[str] | None = None
        self.time = 0.0

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        name = tag.rpartition(":")[2]
        if name in _PARAGRAPHS:
            begin = next((attributes[key] for key in ("begin", "start", "t") if key in attributes), "")
            self.parts, self.time = [], _ttml_seconds(begin, self.time)
        elif name == "br" and self.parts is not None:
            self.parts.append("\n")

    def words(self, data: str) -> None:
        if self.parts is not None:
            self.parts.append(re.sub(r"\s+", " ", data))

    def end(self, tag: str) -> None:
        if tag.rpartition(":")[2] in _PARAGRAPHS and self.parts is not None:
            self.found.append((self.time, re.sub(r" {2,}", " ", "".join(self.parts)).strip()))
            self.parts = None


def _ttml_seconds(time: str, otherwise: float) -> float:
    """Reads 00:01:02.500, 62.5s or 62500ms."""
    if found := re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)(h|m|s|ms)?", time):
        return float(found[1]) * {"h": 3600, "m": 60, "s": 1, "ms": 0.001}[found[2] or "s"]
    if not re.fullmatch(r"(?:\d{1,4}:){1,3}\d{1,4}(?:\.\d{1,9})?", time):
        return otherwise
    parts = [float(part) for part in time.split(":")[:3]]
    return sum(part * 60**power for power, part in enumerate(reversed(parts)))
