"""The `recap` command: the app with its commands, and the one place where errors become words."""

import os
import sys
import traceback
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Annotated, Any

import typer

from recap_cli import __version__
from recap_cli.cli import commands
from recap_cli.cli.console import close_bar, tell, write_line
from recap_cli.cli.failures import NET, explain_failure
from recap_cli.cli.flags import with_flags
from recap_cli.cli.help_page import Command, Commands
from recap_cli.cli.streams import Stream, flush_streams, settle_streams
from recap_cli.errors import RecapError
from recap_cli.escaping import visible
from recap_cli.surroundings import ENDED, ending_signals, settle_caches, settle_width

app = typer.Typer(
    name="recap",
    help="RECAP: what a song is about, from its audio and its lyrics.",
    cls=Commands,
    no_args_is_help=True,
    epilog="recap caption song.mp3 lyrics.txt\nrecap prepare music --out data\nrecap train data\nrecap COMMAND --help",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

# click's class, or that of the copy of click which newer versions of Typer bring along.
UsageError: Any = typer.BadParameter.__bases__[0]


def show_version(wanted: bool) -> None:
    """Prints the version and stops."""
    if wanted:
        write_line(f"recap {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, metavar=" ", help="Show the version.")
    ] = False,
) -> None:
    """RECAP: what a song is about, from its audio and its lyrics."""


def add(name: str, body: Callable[..., None], *examples: str) -> None:
    """Adds a command, with calls that its help ends with."""
    calls = (f"recap {name} {example}".rstrip() for example in examples)
    app.command(name, cls=Command, epilog="\n".join(calls))(with_flags(body))


add("prepare", commands.prepare, "", "music --out data", "songs.csv --audio music --out data")
add("train", commands.train, "data --recipe tiny", "data --music-encoder best_model.pth", "data --dry-run", "--recipes")
add("caption", commands.caption, "song.mp3 lyrics.txt", "a.mp3 b.mp3 c.ogg", "music --out captions.jsonl")
add("eval", commands.evaluate, "runs/one runs/two --controls", "--predictions captions.csv")
add("ablate", commands.ablate, "data --weights 1e-3,2e-2,1e-1 --seeds 5 --baselines")
add("doctor", commands.doctor, "", "--json")
COMMANDS = tuple(one.name for one in app.registered_commands)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; the one place where errors become words and exit codes.

    Returns:
        0 done, 1 a RecapError or what the machine refused, 2 usage (a bad value of an option, too), 129 and 143 ended
        by a signal, 130 interrupted.
    """
    settle_streams()
    settle_width()
    settle_caches()
    sys.excepthook = show_bug
    debug = "--debug" in (sys.argv if arguments is None else arguments) or bool(os.environ.get("RECAP_DEBUG"))
    with ending_signals():
        code = answer(lambda: run(arguments), debug, arguments)
        # What libraries printed waits in a buffer, and may fail as late as here.
        late = answer(finish_output, debug)
    return code or late


def run(arguments: Sequence[str] | None) -> int:
    """Runs the command and returns its exit code; usage errors and interruptions are told."""
    try:
        code = app(args=arguments, standalone_mode=False)
    except UsageError as error:
        complain_usage(error, sys.argv[1:] if arguments is None else arguments)
        return 2
    except (typer.Abort, KeyboardInterrupt):
        code = 130
    if code == 130:  # newer versions of Typer turn the interruption into its exit code
        close_bar()
        tell("")
        tell(f"interrupted; {after_the_end(arguments)}")
    return code if isinstance(code, int) else 0


def answer(work: Callable[[], int], debug: bool = False, arguments: Sequence[str] | None = None) -> int:
    """Does some work and returns its exit code; errors are told in two lines, bugs pass with their traceback.

    With `debug`, a traceback comes before the two lines, too.
    """
    try:
        return work()
    except RecapError as error:
        if debug:
            show_traceback(error)
        complain(error)
        return error.exit_code
    except NET as error:
        found = explain_failure(error)
        if found is None:
            raise
        if debug:
            show_traceback(error)
        complain(found)
    except SystemExit as end:  # a signal, or the reader of a pipe has left
        close_bar()
        if end.code in ENDED:
            tell("")
            tell(f"ended; {after_the_end(arguments)}")
        return end.code if isinstance(end.code, int) else 1
    return 1


def after_the_end(arguments: Sequence[str] | None) -> str:
    """Returns what a person whose command was stopped should know."""
    is_dry = "--dry-run" in (sys.argv if arguments is None else arguments)
    return "nothing was written" if is_dry else "start the same command again to resume"


def finish_output() -> int:
    """Hands on what waits for stdout and stderr; returns 0."""
    flush_streams()
    return 0


def complain(error: RecapError) -> None:
    """Says what was wrong and what to try, a line each."""
    close_bar()
    tell(f"recap: {error.message}")
    tell(f"try: {error.hint or 'recap COMMAND --help'}")


def complain_usage(error: Any, arguments: Sequence[str]) -> None:
    """Says what was wrong with how the command was called, in the form of all errors."""
    message = " ".join(error.format_message().split()).removesuffix(".")
    if not message:  # recap alone, which has been answered with the help
        return
    command = next((one for one in arguments if one in COMMANDS), "")
    hint = "recap --version" if "version" in arguments[:1] else f"{f'recap {command}'.strip()} --help"
    complain(RecapError(message[:1].lower() + message[1:], hint))


def show_bug(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Shows the traceback of a bug, and where to report it."""
    show_traceback(error)
    tell("this is a bug of recap: please report it with the command and the output of: recap doctor")


def show_traceback(error: BaseException) -> None:
    """Writes a traceback to stderr; what strangers wrote into its message acts no more than elsewhere."""
    close_bar()
    Stream("stderr").write(visible("".join(traceback.format_exception(error))))
