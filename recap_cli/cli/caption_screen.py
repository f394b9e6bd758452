"""Captions as they are shown: a box for one song, a block for each of many, bare text or JSON lines for a pipe."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table as RichTable

from recap_cli.cli.console import ConsoleProgress, stdout_console, write_line
from recap_cli.escaping import flat, json_text
from recap_cli.facts.facts import LANGUAGES
from recap_cli.files import make_folder, write_text
from recap_cli.lyrics.tags import title_in_tags
from recap_cli.report.drawing import clock, words

if TYPE_CHECKING:
    from recap_cli.captioning.caption import Tally, Warned
    from recap_cli.captioning.options import CaptionOptions
    from recap_cli.captioning.song_caption import FactsOfSong, SongCaption
    from recap_cli.facts.facts import Guess

LISTED = 20  # failures and kinds of warnings that are told one by one
WORTH_TELLING = 0.2  # confidence of what was left out
SINGING = {"none": "no singing", "woman": "a woman sings", "man": "a man sings", "sung": "someone sings"}
HEARD, READ = ("voice", "genre", "instruments", "feel"), ("language", "themes")


def render_captions(
    captions: "Iterable[SongCaption]",
    options: "CaptionOptions",
    as_json: bool,
    progress: ConsoleProgress,
    tally: "Tally",
    began: float = 0.0,
) -> None:
    """Writes captions as they come; `began` is when the command did, by `time.monotonic`."""
    if not options.is_batch:
        for result in captions:
            for warning in result.warnings:
                progress.warn(warning)
            write_caption(result, options.out, as_json, tally.loaded_at - began)
        return
    console = stdout_console()
    is_for_people = console.is_terminal and not as_json
    for result in captions:
        if options.out is not None:
            continue
        with progress.aside():
            if is_for_people:
                console.print(caption_block(result))
            else:
                write_line(json_text(result.to_json()))
    if is_for_people and options.out is None:
        console.print()
    tell_tally(tally, options.shard_out, progress)
    if is_for_people and progress.console.is_terminal and tally.captioned:
        progress.say(next_step(options))


def write_caption(result: "SongCaption", out: Path | None, as_json: bool, loaded: float = 0.0) -> None:
    """Writes the caption of one song, to a file or to stdout; `loaded` is how many seconds the model took to load.

    Raises:
        DataError: the file cannot be written.
    """
    if out is not None:
        make_folder(out.parent)
        write_file(result, out)
    elif as_json:
        write_line(json_text(result.to_json()))
    elif (console := stdout_console()).is_terminal:
        console.print(caption_panel(result, loaded))
    else:
        write_line(bare_text(result))


def write_file(result: "SongCaption", out: Path) -> None:
    """Writes one song's captions as the name of the file says: a table, bare text, or JSON.

    Raises:
        DataError: the file cannot be written.
    """
    from recap_cli.captioning.caption_table import CaptionTable
    from recap_cli.captioning.places import TABLES

    suffix = out.suffix.lower()
    if suffix in TABLES:
        with CaptionTable(out) as table:
            table.append(result.to_json())
    else:
        write_text(out, (bare_text(result) if suffix == ".txt" else json_text(result.to_json())) + "\n")


def bare_text(result: "SongCaption") -> str:
    """Returns the captions, a line each."""
    return "\n".join(map(flat, result.captions))


# for people -----------------------------------------------------------------------------------------------------------


def caption_panel(result: "SongCaption", loaded: float) -> Panel:
    """Frames a song's captions, and under them what they rest on, by which model, and how long it took."""
    start, seconds = result.excerpt.get("start", 0.0), result.excerpt["seconds"]
    windows = f" in {result.excerpt['windows']} windows" if "windows" in result.excerpt else ""
    facts = RichTable.grid(padding=(0, 2))
    facts.add_column(style="dim")
    facts.add_column(overflow="fold")
    for name, told in {
        **(grounds(result.rests_on, result.lyrics_from != "none") if result.rests_on else {}),
        "audio": f"{clock(start)} to {clock(start + seconds)}{windows} of {result.audio}",
        "lyrics": result.lyrics_from or "as given",
        "model": result.model,
        "time": f"loaded in {loaded:.1f} s, captioned in {result.seconds:.1f} s",
    }.items():
        facts.add_row(name, words(told))
    title = title_of(result) or Path(result.audio).name
    return Panel(Group(words(title, "bold"), "", words("\n\n".join(result.captions)), "", facts))


def grounds(facts: "FactsOfSong", has_lyrics: bool) -> dict[str, str]:
    """Returns what a caption rests on, in words: what was heard and read, how sure that is, and what was left out."""
    left = {name: [one for one in some if one.confidence >= WORTH_TELLING] for name, some in facts.left_out().items()}
    unsure = [f"{name} ({', '.join(told(name, one) for one in some)})" for name, some in left.items() if some]
    windows = f" in {facts.windows} windows of 3 s" if facts.windows else ""
    rows = {
        "heard": tell_stated(facts, HEARD) + windows,
        "read": tell_stated(facts, READ) if has_lyrics else "no lyrics",
        "unsure": ", ".join(unsure),
    }
    return {name: text for name, text in rows.items() if text}


def tell_stated(facts: "FactsOfSong", names: Iterable[str]) -> str:
    """Returns the facts of these names that a caption states, each with how sure it is: folk (83 %)."""
    stated, confidence = facts.stated.to_json(), facts.confidence()
    parts = []
    for name in names:
        values, sure = stated[name], confidence[name]
        several, shares = (one if isinstance(one, list) else [one] for one in (values, sure))
        for value, share in zip(several, shares, strict=True):
            if value is not None:
                known = "not found by the judges" if share is None else percent(share)
                parts.append(f"{in_words(name, value)} ({known})")
    return ", ".join(parts) or "nothing that is sure"


def told(name: str, guess: "Guess") -> str:
    """Returns a guess that was left out, with how sure it is: rock 40 %."""
    return f"{in_words(name, guess.best)} {percent(guess.confidence)}"


def in_words(name: str, value: str) -> str:
    """Returns a fact's value as people say it."""
    return SINGING[value] if name == "voice" else LANGUAGES[value] if name == "language" else value


def percent(share: float) -> str:
    """Returns a share as people say it."""
    return f"{100 * share:.0f} %"


def caption_block(result: "SongCaption") -> RenderableType:
    """Returns one song of many behind a blank line: its title, and its captions or why it has none.

    A song without a title is called by its id, which tells two files of the same name apart.
    """
    told = words("\n".join(result.captions)) if not result.error else words(f"failed: {result.error}", "red")
    title = title_of(result) or result.id or result.audio
    return Group("", words(title, "bold"), Padding(told, (0, 0, 0, 2)))


def title_of(result: "SongCaption") -> str:
    """Returns artist and title where a table or the file's tags have them, "" where they do not."""
    return result.title or title_in_tags(result.audio)


# at the end -----------------------------------------------------------------------------------------------------------


def tell_tally(tally: "Tally", out: Path | None, progress: ConsoleProgress) -> None:
    """Says what became of many songs: each kind of warning once, what was done, and which songs failed."""
    told = sorted(tally.warnings.items(), key=lambda pair: -pair[1].songs)
    for kind, warned in told[:LISTED]:
        progress.warn(tell_warned(kind, warned, tally.captioned))
    before = f", {tally.skipped} done before" if tally.skipped else ""
    progress.say(f"Captioned {songs(tally.captioned)}{f' in {out}' if out is not None else ''}{before}.")
    if not tally.failed:
        return
    progress.warn(f"{songs(tally.failed)} failed:")
    for audio, reason in list(tally.reasons.items())[:LISTED]:
        progress.warn(reason if audio in reason else f"{audio}: {reason}")
    if tally.failed > LISTED:
        progress.warn(f"and {tally.failed - LISTED} more, see the lines with an error")


def tell_warned(kind: str, warned: "Warned", captioned: int) -> str:
    """Returns a kind of warning with the number of songs and an example: 9 of 10 songs: lyrics cut, for example ..."""
    detail = f": {warned.detail}" if warned.detail else ""
    if warned.songs == 1:
        return f"{warned.audio}: {kind}{detail}"
    return f"{warned.songs} of {songs(captioned)}: {kind}, for example {warned.audio}{detail}"


def next_step(options: "CaptionOptions") -> str:
    """Returns what people do after many captions."""
    if options.out is None:
        return "To keep captions in a file that is resumed: --out captions.jsonl (or .csv for a spreadsheet)"
    if options.out.suffix.lower() == ".jsonl":
        return "The same command captions what is new or failed. What one caption looked at: --explain map.png"
    return "What one caption looked at: recap caption SONG --explain map.png"


def songs(count: int) -> str:
    """Returns a number of songs in words."""
    return "1 song" if count == 1 else f"{count} songs"
