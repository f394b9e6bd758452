"""A caption as a panel for a person at a terminal, and the plan of many."""

from typing import Any

from rich.panel import Panel

from recap_cli.captioning.captioner import SongCaption
from recap_cli.progress import Table
from recap_cli.report.drawing import words


def caption_panel(result: SongCaption) -> Panel:
    """Frame a song's captions, with what was heard, by which model, and how long it took."""
    text = words("\n\n".join(result.captions), "bold")
    start, seconds = result.excerpt.get("start", 0.0), result.excerpt["seconds"]
    windows = f" in {result.excerpt['windows']} windows" if "windows" in result.excerpt else ""
    below = f"{result.model} · heard {clock(start)} to {clock(start + seconds)}{windows} · took {result.seconds:.1f} s"
    return Panel(text, title=words(result.audio), subtitle=words(below), title_align="left", subtitle_align="left")


def clock(seconds: float) -> str:
    """Write a time in a song: 0:15, 1:02:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def plan_table(plan: dict[str, Any]) -> Table:
    """What a catalogue would take."""
    rows = [
        ["songs", f"{plan['songs']:,}"],
        ["done before", f"{plan['done_before']:,}"],
        ["to caption", f"{plan['to_caption']:,}"],
        ["of them no song", f"{plan['unreadable']:,}"],
        ["of them with lyrics beside them", f"{plan['with_lyrics']:,}"],
        ["songs an hour", f"{plan['songs_per_hour']:,}"],
        ["hours", f"{plan['hours']:,}"],
    ]
    note = f"measured on {plan['measured_on']} songs, decoded one after the other; nothing was written"
    return Table(f"Captioning {plan['source']}", ["", ""], rows, note)
