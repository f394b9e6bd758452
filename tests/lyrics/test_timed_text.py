"""Lyrics with times in each format people have: the words, in the order in which they are sung, and nothing else."""

import tracemalloc
from time import process_time

import pytest

from recap_cli.errors import LyricsError
from recap_cli.lyrics.reader import lyrics_of_text


def cleaned(text: str) -> str:
    return lyrics_of_text(text).text


MOON, WAY, WIND = "the moon is rising over the hill", "I remember the way you smiled", "the wind goes by"
SONG = f"{MOON}\n{WAY}\n{WIND}"


@pytest.mark.parametrize(
    "stamps",
    [
        ("00:01", "00:02", "00:03"), ("00:01.5", "00:01.55", "00:02.1"), ("00:01.500", "00:02.000", "01:00.000"),
        ("0:01", "0:02", "10:00"), ("00:08,10", "00:12,34", "01:00,00"), ("00:01:50", "00:02:00", "00:02:10"),
        ("01:23:40.000", "01:23:45.678", "01:24:46.678"), ("59:59.9", "1:00:00.0", "1:00:01.0"),
        ("99:59", "100:00", "120:01.00"), ("-00:01.00", "00:00.00", "00:00.01"), ("00:01.123456", "00:02.1", "0:3"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("form", ["[{}]{}", "[{}] {}", " [ {} ]{}", "[{0}]<{0}>{1}", "\ufeff[{0}][{0}] {1}"])
def test_lrc_in_any_order_of_lines(stamps, form):
    lines = [form.format(stamp, words) for stamp, words in zip(stamps, SONG.split("\n"), strict=True)]
    expected = SONG if "][" not in form else "\n".join(line for line in SONG.split("\n") for _ in range(2))
    assert cleaned("\n".join(lines)) == expected
    assert cleaned("\r\n".join(reversed(lines))) == expected


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("[00:00.34]<00:00.00>one<00:01.01> two<00:02.02> three", "one two three"),
        ("[00:00.34] <00:00.04> one <00:00.16> two <00:00.82> three", "one two three"),
        ("[00:00.34]one [00:00.50]two [00:01.00]three", "one two three"),
        ("[00:00.34]<00:00.00>月<00:01.01>亮<00:02.02>升<00:03.03>", "月亮升"),
        ("[00:00.34]<00:00,50>one <00:01,00>two", "one two"),
        ("[00:00.34][00:00.34]one", "one\none"),
    ],
)
def test_stamps_of_words_leave_the_words_and_their_spaces(line, words):
    assert cleaned(line) == words


def test_lrc_tags_go_and_translations_stay_in_their_order():
    lrc = (
        "[ti:Moon]\n[ar:Nobody]\n[by:me]\n[length:01:00]\n[offset:+200]\n[re:x]\n[ve:1]\n[#:note]\n"
        f"[00:10.34]{WAY}\n[00:10.34]я помню твой весёлый смех\n[00:00.34]{MOON}\n[00:00.34]луна встаёт\n"
    )
    assert cleaned(lrc) == f"{MOON}\nлуна встаёт\n{WAY}\nя помню твой весёлый смех"


def test_krc_qrc_and_yrc():
    assert cleaned("[ti:x]\n[5000,900]<0,250,0>two <250,300,0>words\n[10,900]<0,250,0>one") == "one\ntwo words"
    assert cleaned("[5000,900]two (5000,250)words(5250,300)\n[10,900]one(10,300)") == "one\ntwo words"
    yrc = '{"t":0,"c":[{"tx":"by: "}]}\n[5000,900](5000,250,0)two (5250,300,0)words\n[10,900](10,300,0)one'
    assert cleaned(yrc) == "one\ntwo words"


CUES = (
    ("1", "00:00:00,340 --> 00:00:08,000", MOON),
    ("2", "00:00:10,340 --> 00:00:18,000", WAY),
    ("3", "00:00:20,340 --> 00:00:28,000", WIND),
)


@pytest.mark.parametrize("gap", ["\n\n", "\n", "\n\n\n"])
@pytest.mark.parametrize(("before", "after"), [("", ""), ("<i>", "</i>"), ('<font color="#fff">', "</font>"),
                                               ("{\\an8}", ""), ("<b><u>", "</u></b>"),
                                               ("{\\pos(1,2)}", "")])  # fmt: skip
def test_srt(gap, before, after):
    text = gap.join(f"{number}\n{time}\n{before}{words}{after}" for number, time, words in CUES)
    assert cleaned(text) == cleaned("\ufeff" + text.replace("\n", "\r\n")) == SONG


def test_srt_oddities():
    assert cleaned("1\n00:00:01.000 --> 00:00:02.000 X1:0 X2:9\n1999\n\n2\n0:0:3 --> 0:0:4\n99\n") == "1999\n99"
    late, early = f"2\n00:00:09,0 --> 00:00:10,0\n{WAY}\n", f"1\n00:00:01,0 -> 00:00:02,0\n{MOON}\n"
    assert cleaned(f"{late}\n{early}") == f"{MOON}\n{WAY}"
    assert cleaned("1\n00:00:01,000 --> 00:00:02,000\n\n2\n00:00:03,000 --> 00:00:04,000\n- la\n- I <3 you") == (
        "- la\n- I <3 you"
    )


def test_webvtt():
    vtt = (
        "WEBVTT - a song\nKind: captions\nLanguage: en\n\nSTYLE\n::cue { color: red }\n\nNOTE\nby nobody\n\n"
        f"intro\n00:01.000 --> 00:02.000 align:start position:0%\n<v Nina>{MOON}</v>\n\n"
        f"00:00:03.000 --> 00:00:04.000\n<00:00:03.000><c.loud>I</c><00:00:03.500> remember the way you smiled\n\n"
        f"NOTE between\n\n3\n00:00:05.000 --> 00:00:06.000\n<lang en>{WIND}</lang> &amp; me\n"
    )
    assert cleaned(vtt) == f"{MOON}\n{WAY}\n{WIND} & me"
    assert cleaned("WEBVTT\n\n") == ""


def test_sbv_ass_and_microdvd():
    assert cleaned(f"0:00:03.000,0:00:04.000\n{WAY}\n\n0:00:01.000,0:00:02.000\n{MOON}\n") == f"{MOON}\n{WAY}"
    ass = (
        "[Script Info]\nTitle: x\n\n[Events]\nFormat: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, "
        f"Effect, Text\nDialogue: 0,0:00:03.00,0:00:04.00,Default,,0,0,0,,{{\\k20}}I {{\\k30}}remember, the way\\Nyou\n"
        f"Dialogue: 0,0:00:01.00,0:00:02.00,Default,,0,0,0,,{{\\i1}}{MOON}{{\\i0}}\n"
    )
    assert cleaned(ass) == f"{MOON}\nI remember, the way\nyou"
    assert cleaned(f"{{50}}{{99}}{WAY}|oh\n{{0}}{{25}}{MOON}\n") == f"{MOON}\n{WAY}\noh"


TTML = """<?xml version="1.0" encoding="utf-16"?>
<!-- made by nobody -->
<tt xmlns="http://www.w3.org/ns/ttml" xmlns:ttm="http://www.w3.org/ns/ttml#metadata"><head><metadata>
<ttm:title>Moon</ttm:title></metadata></head>
<body><div>
  <p begin="00:00:10.340" end="00:00:18">I remember
     the way<br/>you smiled</p>
  <p begin="340ms"><span begin="0.3s">the</span> <span>moon</span> is &lt;rising&gt; &#38; bright</p>
</div></body></tt>"""


def test_ttml():
    assert cleaned(TTML) == "the moon is <rising> & bright\nI remember the way\nyou smiled"
    prefixed = TTML.replace("<p ", "<tt:p ").replace("</p>", "</tt:p>").replace("<tt xmlns=", "<tt:tt xmlns:tt=")
    prefixed = prefixed.replace("</tt>", "</tt:tt>").replace("<br/>", "<tt:br/>")
    assert cleaned(prefixed) == cleaned(TTML)


def test_youtube_xml_and_web_pages():
    lines = f'<text start="9.5" dur="1">{WAY}</text><text start="1">{MOON}</text>'
    xml = f'<?xml version="1.0"?><transcript>{lines}</transcript>'
    assert cleaned(xml) == f"{MOON}\n{WAY}"
    for page in ("<!DOCTYPE html><p>la</p>", "<html><body>la</body></html>", "<!doctype HTML PUBLIC 'x'><html>"):
        with pytest.raises(LyricsError, match="a web page"):
            cleaned(page)


@pytest.mark.parametrize(
    "text",
    [
        '<?xml version="1.0"?><!DOCTYPE tt [<!ENTITY a "la"><!ENTITY b "&a;&a;&a;">]><tt><p>&b;</p></tt>',
        '<tt><!DOCTYPE x SYSTEM "file:///etc/passwd"><p>la</p></tt>',
        "<tt><p>cut",
        '<?xml version="1.0"?><tt><head/></tt>',
        "<tt><p>la</p></tt><tt/>",
    ],
)
def test_ttml_that_is_damaged_or_declares_entities_is_refused(text):
    with pytest.raises(LyricsError, match="TTML"):
        cleaned(text)


@pytest.mark.parametrize(
    ("markup", "words"),
    [
        ("rock &amp; roll", "rock & roll"), ("don&#39;t", "don't"), ("don&#x27;t", "don't"), ("&quot;la&quot;", '"la"'),
        ("one&nbsp;two", "one two"), ("caf&eacute;", "café"),
        ("one<br>two<br/>three<BR />four", "one\ntwo\nthree\nfour"),
        ("<p>one</p><p>two</p>", "one\n\ntwo"), ("<i>la</i> <b class='x'>la</b>", "la la"), ("&lt;br&gt;la", "la"),
        ("don&amp;#39;t", "don't"), ("one&#10;two", "one\ntwo"), ("<div><span>la</span></div>", "la"),
        ("a&#0;b", "a\ufffdb"),
    ],
)  # fmt: skip
def test_markup_goes(markup, words):
    assert cleaned(markup) == words == cleaned(words)


@pytest.mark.parametrize(
    "line",
    [
        "I <3 you", "1 -> 2 -> 3", "walk --> run", "AT&T; and R&B", "5 > 3 < 7", "sing [x2] again", "la [3x]", "1999",
        "12:30 --> 1:30", "it is 3:15", "a & b; c", "<heart>", "&c", "rock&roll;", "[ooh] la [aah]", "{la}{la}",
        "Dialogue: he said", "WEB", "at 10:20:30", "<3 <3 <3", "100% & more", "1.", "e = mc^2", "&#99999999;",
    ],
)  # fmt: skip
def test_ordinary_lines_stay_to_the_byte(line):
    song = f"one\n{line}\n\ntwo ({line})"
    found = lyrics_of_text(song)
    assert (found.text, found.warnings) == (song, ())


def test_repeats_do_not_unfold_without_end():
    """10,000 stamps before 300,000 letters would be 3 GB."""
    tracemalloc.start()
    text = cleaned("[00:01]" * 10_000 + "x" * 300_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert text == "x" * 300_000
    assert peak < 100e6
    assert cleaned("[00:01][00:03]la\n[00:02]lo") == "la\nlo\nla"


@pytest.mark.parametrize("mark", ["\u0301", "\u0327\u0301", "\u0344", "\u05b0", "\u3099"])
def test_heaps_of_combining_marks_are_cut(mark):
    """Ordering them takes time by their square: a megabyte took minutes."""
    found = lyrics_of_text("zalgo" + mark * (400_000 // len(mark)) + " and more")
    assert len(found.text) < 100 and found.text.startswith("zalg") and found.text.endswith(" and more")
    assert found.warnings[0].startswith("lyrics with heaps of combining marks")
    vietnamese = "mưa rơi trên lối về, nhớ nụ cười ấy"
    assert lyrics_of_text(vietnamese).warnings == ()


HOSTILE = [
    "[", "]", "<", ">", "(", ")", "{", "}", "&", "&amp;", "&#", "&#1;", " ", "\t", "\n", "\r\n", "-", "--> ", ":", "1",
    ".", ",", "[1:1", "[00:01]", "<00:01>", "[00:01]a ", "[1,1]", "{1}{1}", "<a", "<br", "<p>", "</p>",
    "(chorus", "[a] ",
    "[a[b]", "chorus ", "x2 ", "00:00:01,000 --> ", "00:00:01,000 --> 00:00:02,000\n", "Dialogue:,", "<!--", "<tt>",
    "\u0301", "é", "Ã©", "\u200b", "{\\a", "[ar:", "1\n",
]  # fmt: skip


@pytest.mark.parametrize("before", ["", "WEBVTT\n", "<tt>", "é ", "[00:01]"])
def test_hostile_texts_take_time_by_their_length(before):
    """Each text is thirty thousand characters long; what takes time by its square would take minutes."""
    for piece in HOSTILE:
        text = before + piece * (30_000 // len(piece))
        began = process_time()
        for hostile in (text, text + "x"):
            try:
                cleaned(hostile)
            except LyricsError as error:
                assert "TTML" in error.message
        assert process_time() - began < 4, piece
