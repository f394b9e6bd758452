"""The `recap` command: the app with its five commands, and the one place where errors become words."""

import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from recap_cli import __version__
from recap_cli.commands.ablate import ablate
from recap_cli.commands.caption import caption
from recap_cli.commands.evaluate import evaluate
from recap_cli.commands.prepare import prepare
from recap_cli.commands.train import TrainCommand, train
from recap_cli.console import one_line, write_line
from recap_cli.errors import RecapError

app = typer.Typer(
    name="recap",
    help="RECAP: what a song is about, from its audio and its lyrics.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

# click's class, or that of the copy of click which newer versions of Typer bring along.
UsageError: Any = typer.BadParameter.__bases__[0]


def show_version(wanted: bool) -> None:
    """Print the version and stop."""
    if wanted:
        write_line(f"recap {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """RECAP: what a song is about, from its audio and its lyrics."""


app.command()(prepare)
app.command(cls=TrainCommand)(train)
app.command()(caption)
app.command("eval")(evaluate)
app.command()(ablate)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the one place where errors become words and exit codes.

    Returns:
        0 done, 1 a RecapError, 2 usage, 130 interrupted.
    """
    try:
        code = app(args=arguments, standalone_mode=False)
    except RecapError as error:
        complain(error)
        return 1
    except UsageError as error:
        error.show()
        return 2
    except (typer.Abort, KeyboardInterrupt):
        code = 130
    except SystemExit as end:  # the reader of a pipe has left, and Typer or Rich have muted stdout
        return end.code if isinstance(end.code, int) else 1
    if code == 130:  # newer versions of Typer turn the interruption into its exit code
        print("\ninterrupted; start the same command again to go on", file=sys.stderr)  # noqa: T201
    return code if isinstance(code, int) else 0


def complain(error: RecapError) -> None:
    """Say what was wrong and what to try, a line each."""
    print(f"recap: {one_line(error.message)}", file=sys.stderr)  # noqa: T201
    print(f"try: {one_line(error.hint or 'recap COMMAND --help')}", file=sys.stderr)  # noqa: T201
