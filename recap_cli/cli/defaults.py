"""What commands do before their work: quiet libraries, what is used when nothing is named, lists from text."""

import os
import sys
from pathlib import Path

from recap_cli.cli.console import ConsoleProgress, stderr_console
from recap_cli.errors import AudioError, OptionError

MOST_INPUT = 16 << 20  # bytes; no song has more words


def read_stdin() -> bytes:
    """Returns what is piped in.

    Raises:
        OptionError: stdin is closed, cannot be read, or does not end.
    """
    if sys.stdin is None or sys.stdin.closed:
        raise OptionError("stdin is closed, so no lyrics come from it", "pipe them in, or name a file")
    try:
        words = sys.stdin.buffer.read(MOST_INPUT + 1)
    except OSError as error:
        raise OptionError(f"stdin cannot be read: {error.strerror}", "pipe lyrics in, or name a file") from error
    if len(words) > MOST_INPUT:
        raise OptionError(f"stdin gives more than {MOST_INPUT >> 20} MiB of lyrics", "pipe in one song's lyrics")
    return bytes(words)


def check_audio(path: Path) -> None:
    """Refuses a path that leads nowhere, before anything heavy is loaded.

    Raises:
        AudioError: nothing is there.
        OSError: it cannot be looked at.
    """
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise AudioError(f"no audio at {path}", "check the path") from error


def begin_model_work(quiet: bool) -> ConsoleProgress:
    """Keep the libraries from talking, and give the progress."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    # Threads that wait by spinning become ten times slower as soon as another process needs a core.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from transformers.utils import logging

    logging.disable_progress_bar()
    if os.environ["TRANSFORMERS_VERBOSITY"] == "error":
        # Its own look at the variable came too early where transformers was imported before.
        logging.set_verbosity_error()
    return ConsoleProgress(stderr_console(), quiet)


def choose_data(data: Path | None, limit: int | None, progress: ConsoleProgress) -> Path:
    """Say and give the data folder that is used when none is named."""
    from recap_cli.preparation.prepare import default_data

    return data if data is not None else default_data(limit, progress)


def choose_runs(runs: list[Path] | None, progress: ConsoleProgress) -> tuple[Path, ...]:
    """Say and give the run that is scored when none is named; none stands for the embedded model."""
    if runs:
        return tuple(runs)
    from recap_cli.runtime.run_folder import newest_run

    found = newest_run(Path("runs"))
    progress.say(f"No RUN: scoring {found or 'the embedded model'}.")
    return (found,) if found else ()


def read_layers(flag: str, text: str | None) -> tuple[int, ...] | None:
    """Read layers such as `4,5`; None where the flag is not given."""
    if text is None:
        return None
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise OptionError(f"{flag} {text} names no layers", "give numbers such as 4,5") from None
