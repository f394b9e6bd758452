"""A caption as a panel for a person at a terminal."""

from rich.panel import Panel
from rich.text import Text

from recap_cli.workflows.caption import SongCaption


def caption_panel(result: SongCaption) -> Panel:
    """Frame a song's captions, with what was heard, by which model, and how long it took."""
    text = Text("\n\n".join(result.captions), style="bold")
    start, seconds = result.excerpt["start"], result.excerpt["seconds"]
    below = f"{result.model} · heard {start:g} to {start + seconds:.1f} s · {result.seconds:.1f} s"
    return Panel(text, title=Text(result.audio), subtitle=Text(below), title_align="left", subtitle_align="left")
