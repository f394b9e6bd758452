"""The page of `--help`: what a command does, its flags in panels, and examples; no name is ever cut."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table as Grid
from rich.text import Text
from typer.core import TyperCommand, TyperGroup

from recap_cli.cli.console import SafeConsole
from recap_cli.settings import MACHINE

WIDEST_PAGE = 100  # columns; longer lines are hard to read
NARROW = 70  # columns; below, each help stands under its flag
WIDEST_NAME = 28  # columns for flags beside their helps
ARGUMENTS, OPTIONS, COMMANDS = "What you name", "Options", "Commands"


@dataclass(frozen=True)
class Entry:
    """A flag, an argument or a command: its name as it is typed, and what it is for."""

    name: Text
    about: Text


class Command(TyperCommand):
    """A command with a page of help, whose --help stands in its last panel, not alone in the first."""

    def get_help_option(self, ctx: Any) -> Any:
        """Returns the flag --help."""
        option: Any = super().get_help_option(ctx)
        if option is not None:
            option.rich_help_panel = MACHINE
        return option

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Writes the page to stdout."""
        write_page(self, ctx, flag_panels(self, ctx))


class Commands(TyperGroup):
    """The commands together, with a page of help."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Writes the page to stdout."""
        found = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        entries = [Entry(Text(name, "bold cyan"), Text(first_sentence(one.help or ""))) for name, one in found if one]
        write_page(self, ctx, {COMMANDS: entries, **flag_panels(self, ctx)})


def write_page(command: Any, ctx: Any, panels: dict[str, list[Entry]]) -> None:
    """Writes a page of help to stdout, as wide as the screen and not wider than is good to read."""
    console = SafeConsole("stdout")
    width = min(console.width, WIDEST_PAGE)
    for part in page(command, ctx, panels, width):
        console.print(part, width=width)


def page(command: Any, ctx: Any, panels: dict[str, list[Entry]], width: int) -> Iterator[RenderableType]:
    """Yields the parts of a page."""
    pieces = (piece.replace("{", "").replace("}", "") for piece in command.collect_usage_pieces(ctx))
    usage = " ".join((ctx.command_path, *pieces))
    yield Text.assemble(("Usage: ", "bold"), usage)
    yield Padding(Text(" ".join((command.help or "").split())), (1, 0, 0, 0))
    narrow = width < NARROW
    name_width = min(WIDEST_NAME, max(cell_len(one.name.plain) for entries in panels.values() for one in entries))
    for title, entries in panels.items():
        body = Group(*stacked(entries)) if narrow else beside(entries, name_width)
        yield Panel(body, title=Text(title, "bold"), title_align="left", border_style="dim")
    if command.epilog:
        yield Text("Examples", "bold")
        yield Padding(Text(command.epilog), (0, 0, 0, 2))


def beside(entries: Iterable[Entry], name_width: int) -> Grid:
    """Returns a table of flags with their helps beside them; a longer name goes on below, at a space."""
    grid = Grid.grid(padding=(0, 2, 0, 0))
    grid.add_column(width=name_width)
    grid.add_column(ratio=1)
    for one in entries:
        grid.add_row(one.name, one.about)
    return grid


def stacked(entries: Iterable[Entry]) -> Iterator[RenderableType]:
    """Yields flags with their helps under them."""
    for one in entries:
        yield one.name
        yield Padding(one.about, (0, 0, 0, 4))


def flag_panels(command: Any, ctx: Any) -> dict[str, list[Entry]]:
    """Returns the arguments and flags of a command by panel, in the order of their first flags."""
    panels: dict[str, list[Entry]] = {}
    for one in command.get_params(ctx):
        if not getattr(one, "hidden", False):
            default = OPTIONS if one.param_type_name == "option" else ARGUMENTS
            panels.setdefault(one.rich_help_panel or default, []).append(entry_of(one, ctx))
    return panels


def entry_of(one: Any, ctx: Any) -> Entry:
    """Returns a flag or an argument as it is shown."""
    about = Text(one.help or "")
    if (default := default_words(one)) and one.default is not False:
        about.append(f" Default: {default}.", "dim")
    if one.param_type_name == "argument":
        return Entry(Text(one.metavar or one.name.upper(), "bold cyan"), about)
    names = sorted((*one.opts, *one.secondary_opts), key=lambda name: not name.startswith("--"))
    name = Text(", ".join(names), "bold cyan")
    if one.metavar and one.metavar.strip():
        name.append(f" {one.metavar}", "not bold yellow")
    return Entry(name, about)


def default_words(one: Any) -> str:
    """Returns a default as help tells it; "" where there is none to tell."""
    if isinstance(one.show_default, str):
        return one.show_default
    if not one.show_default or one.default is None or isinstance(one.default, bool):
        return ""
    return f"{one.default:g}" if isinstance(one.default, float) else str(one.default)


def first_sentence(text: str) -> str:
    """Returns the first sentence of a text, without its full stop."""
    return " ".join(text.split()).partition(". ")[0].rstrip(".")
