"""The picture of an explanation: which lyrics lines and which seconds of the music each word of a caption looked at."""

import logging
import math
import unicodedata
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING

import numpy as np
from rich.cells import cell_len, set_cell_size

from recap_cli.captioning.explain import Explanation, Looks
from recap_cli.captioning.song_caption import SongCaption
from recap_cli.escaping import figure_text, flat
from recap_cli.progress import Progress
from recap_cli.report.drawing import clock
from recap_cli.report.pictures import save_picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

WIDTH = 10.0  # inches
ROW = 0.17  # inches of a word or a line
LONGEST_LINE = 60  # terminal cells of a lyrics line; a Chinese character takes two
LONGEST_WORD = 18
MOST_LINES = 40  # that can be read in one picture
MOST_WORDS = 50
MOST_COLUMNS = 300  # seconds that can be told apart; more are taken together
MOST_POINTS = 600  # of the loudness
STEPS = (1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1800, 3600)  # seconds
DARKEST = 2.0  # doublings: four times the average look, or a quarter of it
TIMES = {-2: "a quarter", -1: "half", 0: "as much as\non average", 1: "twice", 2: "four times\nand more"}
WHOLE = "whole caption"
NOTE = (
    "Words are compared with the average word of this caption, the whole caption with looking everywhere alike. "
    "Attention shows where the model took information from. It does not show why a word was chosen."
)


def drawn(captions: Iterator[SongCaption], path: Path, progress: Progress) -> Iterator[SongCaption]:
    """Draws the explanation of each caption that passes; once it was shown, tells what stands out and the file.

    Raises:
        DataError: the file cannot be written.
    """
    for caption in captions:
        if caption.explanation is None:
            yield caption
            continue
        undrawn = draw_explanation(caption, path)
        yield caption
        for word, line, times in caption.explanation.strongest():
            progress.say(f"{word} → “{shortened(line, LONGEST_LINE)}”, {times:.1f} times the average look")
        if undrawn:  # boxes stand for them
            progress.warn(
                f"no font here that the picture can use has {undrawn[:10]}: install one (Noto), or draw an .svg"
            )
        progress.say(f"Written: {path}")


def draw_explanation(song: SongCaption, path: Path) -> str:
    """Draws what a caption looked at, and returns the characters that no font on this machine can draw.

    Raises:
        DataError: the file cannot be written.
    """
    found = song.explanation
    assert found is not None
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    lines = strongest(found.lyrics, MOST_LINES, axis=1) if found.lyrics else []
    # a caption of one word has no other to be compared with
    words = strongest(found.lyrics or found.music, MOST_WORDS, axis=0) if len(found.words) > 1 else []
    name = Path(song.audio).name
    texts = "".join([flat(name), flat(song.caption), *(flat(found.lines[line]) for line in lines)])
    fonts, undrawn = find_fonts(texts)
    with quiet(), rc_context({"font.family": fonts, "font.size": 8, "svg.fonttype": "none"}):
        heights = [
            *([0.6, ROW * (len(words) + 2)] if found.music else []),
            *([ROW * (len(lines) + 2)] if found.lyrics else []),
        ]
        wide = cell_len(song.caption) > 1.5 * len(song.caption)
        caption = [figure_text(line) for line in wrap(flat(song.caption), 60 if wide else 110)]
        figure = Figure((WIDTH, sum(heights) + 2.4 + 0.15 * len(caption)), layout="constrained")
        figure.suptitle("\n".join([figure_text(flat(name)), *caption]), fontsize=10, x=0.01, ha="left")
        panels = figure.subplots(max(len(heights), 1), height_ratios=heights or [1], squeeze=False)[:, 0]
        image = None
        if found.music:
            image = draw_music(panels[0], panels[1], song, words)
        if found.lyrics:
            image = draw_lyrics(panels[-1], found, words, lines)
        if image is not None:
            add_legend(figure, image)
        else:
            panels[0].set_axis_off()
        figure.supxlabel("\n".join(wrap(NOTE, 160)), fontsize=8, x=0.01, ha="left")
        save_picture(figure, path, 100)
    return "" if path.suffix.lower() == ".svg" else undrawn  # its words stay words, which the viewer draws


def draw_music(above: "Axes", axes: "Axes", song: SongCaption, words: list[int]) -> "AxesImage":
    """Draws the loudness of the music above, and words against its seconds below."""
    found = song.explanation
    assert found is not None and found.music is not None
    start = found.seconds[0]
    end = max(start + song.excerpt["seconds"], found.seconds[-1] + 0.1)
    width = nice_step(len(found.seconds) / MOST_COLUMNS)
    looks = in_steps(found.music, width)
    values = shades(looks, words)
    image = draw_map(axes, values, (start, start + width * len(looks.even), len(values) - 0.5, -0.5))
    label(axes.yaxis, rows(found, words), LONGEST_WORD)
    axes.set_xlim(start, end)
    every = nice_step((end - start) / 12)
    ticks = np.arange(math.ceil(start / every) * every, end, every)
    axes.set_xticks(ticks, [clock(tick) for tick in ticks])
    axes.set_xlabel("time in the song (minutes:seconds)" + (f", {width} s in one column" if width > 1 else ""))
    above.sharex(axes)
    above.tick_params(labelbottom=False)
    above.set_yticks([])
    above.set_ylabel("loudness", rotation=0, ha="right", va="center")
    above.set_title(f"Which seconds of the music {who(words, found.words)}", loc="left")
    if found.envelope is not None and len(found.envelope):
        points = np.array_split(found.envelope, min(MOST_POINTS, len(found.envelope)))
        loudest = np.array([part.max() for part in points])
        above.fill_between(np.linspace(start, end, len(points)), -loudest, loudest, color="0.45", linewidth=0)
    return image


def draw_lyrics(axes: "Axes", found: Explanation, words: list[int], lines: list[int]) -> "AxesImage":
    """Draws lines of the lyrics against the words of the caption."""
    assert found.lyrics is not None
    image = draw_map(axes, shades(found.lyrics, words)[:, lines].T)
    label(axes.yaxis, [found.lines[line] for line in lines], LONGEST_LINE)
    label(axes.xaxis, rows(found, words), LONGEST_WORD, rotation=90)
    note = f", the {len(lines)} lines of {len(found.lines)} that counted most" if len(lines) < len(found.lines) else ""
    axes.set_title(f"Which lines of the lyrics {who(words, found.words)}{note}", loc="left")
    return image


def draw_map(axes: "Axes", values: np.ndarray, extent: tuple[float, float, float, float] | None = None) -> "AxesImage":
    """Draws doublings of the average look: orange where it was more, purple where it was less."""
    return axes.imshow(
        values, aspect="auto", cmap="PuOr_r", vmin=-DARKEST, vmax=DARKEST, interpolation="nearest", extent=extent
    )


def shades(looks: Looks, words: list[int]) -> np.ndarray:
    """Returns doublings of the average look [whole caption, a gap, words; places], as `rows` names them."""
    whole = np.log2(np.maximum(looks.whole_caption_times_even, 2.0**-DARKEST))
    gap = [np.full(len(whole), np.nan)] if words else []
    return np.stack([whole, *gap, *np.log2(looks.times_average_word[words])])


def rows(found: Explanation, words: list[int]) -> list[str]:
    """Returns the names of the rows of `shades`."""
    return [WHOLE, *([""] if words else []), *(found.words[word] for word in words)]


def add_legend(figure: "Figure", image: "AxesImage") -> None:
    """Draws the colours with their meaning below the maps."""
    bar = figure.colorbar(image, ax=figure.axes, location="bottom", shrink=0.6, aspect=50, pad=0.02)
    bar.set_ticks(list(TIMES), labels=list(TIMES.values()))
    bar.set_label("looked at less than on average    ←    →    looked at more than on average")


def strongest(looks: Looks | None, most: int, axis: int) -> list[int]:
    """Returns which words (axis 0) or places (axis 1) to draw, in order: those that differ most from the average."""
    if looks is None:
        return []
    # by what they add to the information between words and places, so that a faint look cannot win by its ratio alone
    told = (looks.attention * np.log2(looks.times_average_word)).sum(axis=1 - axis)
    return sorted(np.argsort(-told, kind="stable")[:most].tolist())


def in_steps(looks: Looks, width: int) -> Looks:
    """Returns the looks at `width` places together."""
    starts = range(0, len(looks.even), width)
    joined = [np.add.reduceat(values, starts, axis=-1) for values in (looks.attention, looks.even)]
    return Looks(joined[0], joined[1], looks.elsewhere)


def who(words: list[int], all_words: list[str]) -> str:
    """Says what looks: each word, those that are drawn of many, or the caption as a whole."""
    some = f" (the {len(words)} words of {len(all_words)} that differ most)" if len(words) < len(all_words) else ""
    return f"each word looked at{some}" if words else "the caption looked at"


def nice_step(least: float) -> int:
    """Returns the first step of at least `least` seconds that a person counts in."""
    return next((step for step in STEPS if step >= least), 3600 * math.ceil(least / 3600))


def label(axis: "Axis", texts: list[str], cells: int, rotation: int = 0) -> None:
    """Writes texts beside their rows or below their columns."""
    axis.set_ticks(range(len(texts)), [figure_text(shortened(text, cells)) for text in texts], rotation=rotation)
    axis.set_tick_params(length=0)


def shortened(text: str, cells: int) -> str:
    """Returns a text on one line that fills at most `cells` of a terminal, cut behind a word where there is one."""
    text = " ".join(flat(text).split())
    if cell_len(text) <= cells:
        return text
    cut = set_cell_size(text, cells - 1)
    before, space, _ = cut.rpartition(" ")
    return (before if space and len(before) > len(cut) // 2 else cut).rstrip() + "…"


def find_fonts(text: str) -> tuple[list[str], str]:
    """Returns names of fonts that draw a text together, and the characters that none on this machine can draw."""
    from matplotlib import font_manager, ft2font

    names = ["DejaVu Sans"]
    ours = ft2font.FT2Font(font_manager.findfont(names[0]))
    missing = {letter for letter in text if letter.isprintable() and not ours.get_char_index(ord(letter))}
    # The disk is looked at: matplotlib's own list is from the day when it was first used.
    files = font_manager.findSystemFonts() if missing else []
    for file in sorted(files, key=lambda file: ("Mono" in file or "Bold" in file, "Sans" not in file, file)):
        with suppress(OSError, RuntimeError, ValueError):  # a damaged font, or a kind that matplotlib cannot read
            font = ft2font.FT2Font(file)
            drawn_by_it = {letter for letter in missing if font.get_char_index(ord(letter))}
            if not drawn_by_it or not font.scalable or "LastResort" in file:
                continue
            font_manager.fontManager.addfont(file)
            names.append(font_manager.fontManager.ttflist[-1].name)
            missing -= drawn_by_it
    return names, "".join(sorted(missing, key=lambda letter: (unicodedata.category(letter).startswith("M"), letter)))


@contextmanager
def quiet() -> Iterator[None]:
    """Keeps matplotlib's own remarks on fonts off the screen: `find_fonts` has said what cannot be drawn."""
    loggers = [logging.getLogger(name) for name in ("matplotlib", "fontTools")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
