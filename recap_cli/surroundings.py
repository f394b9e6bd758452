"""What surrounds a command: the user's home and caches, the width of the terminal, signals that end it."""

import atexit
import os
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from recap_cli.errors import MachineError

NARROWEST, WIDEST = 20, 500  # columns that a table can be drawn in
NAME_A_CACHE = "name a folder that you can write: RECAP_CACHE=FOLDER before the command"
# Where libraries keep what they compile and index; each fails, or looks for odd places, when it cannot write there.
LIBRARY_CACHES = {"MPLCONFIGDIR": "matplotlib", "NUMBA_CACHE_DIR": "numba"}

ENDED = (128 + signal.SIGHUP, 128 + signal.SIGTERM)  # exit codes

_stand_in: list[Path] = []  # the home of this process, where the user has none


def settle_width() -> None:
    """Keeps COLUMNS within what can be drawn: 0, 1 or a billion would hang or fill the memory."""
    given = os.environ.get("COLUMNS")
    if given is None:
        return
    if not (given.isascii() and given.isdecimal()) or int(given[:9]) == 0:
        del os.environ["COLUMNS"]
    else:
        os.environ["COLUMNS"] = str(min(max(int(given[:9]), NARROWEST), WIDEST))


def settle_caches() -> None:
    """Gives libraries a place to write where there is no home, or none that can be written.

    That is RECAP_CACHE where it is set, else a private folder that goes at the end. Nothing changes for who has a home.
    """
    if os.environ.get("HOME") == "":  # would stand for the root of the disk
        del os.environ["HOME"]
    home = Path(os.path.expanduser("~"))  # noqa: PTH111 - pathlib fails where there is none
    base = Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache")
    has_home = home.is_absolute() and os.access(home, os.X_OK) and home.is_dir()
    if has_home and (_can_write(base) if base.exists() else _can_write(base.parent)):
        return
    try:
        place = _private_place()
    except OSError:
        return  # no temporary folder either: whatever needs one says so
    for variable, name in LIBRARY_CACHES.items():
        if variable not in os.environ:
            (place / name).mkdir(exist_ok=True)
            os.environ[variable] = str(place / name)
    if not has_home:
        os.environ["HOME"] = str(place)
        _stand_in.append(place)


def _private_place() -> Path:
    """Returns a folder for the libraries: within RECAP_CACHE, or one that goes when the command ends."""
    if named := os.environ.get("RECAP_CACHE"):
        place = Path(named).absolute() / "libraries"
        with suppress(OSError):
            place.mkdir(parents=True, exist_ok=True)
            if _can_write(place):
                return place
    place = Path(tempfile.mkdtemp(prefix="recap-"))
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    return place


def _can_write(folder: Path) -> bool:
    return folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)


def count_cores() -> int:
    """Returns the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cache_folder() -> Path:
    """Returns where data are kept between commands: RECAP_CACHE, else the user's cache folder.

    A MachineError where it is not named and there is no home.
    """
    if named := os.environ.get("RECAP_CACHE"):
        return Path(named)
    on_a_mac = sys.platform == "darwin"
    if not on_a_mac and (named := os.environ.get("XDG_CACHE_HOME")):
        return Path(named) / "recap-cli"
    home = Path(os.path.expanduser("~"))  # noqa: PTH111 - pathlib fails where there is none
    if not home.is_absolute() or home in _stand_in:
        raise MachineError("there is no home folder to keep the demo corpus in", NAME_A_CACHE)
    return home / ("Library/Caches" if on_a_mac else ".cache") / "recap-cli"


def check_cache(folder: Path) -> None:
    """Refuses (MachineError) a cache folder that is a file, that another user made, or that the disk refuses."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        place = folder if folder.exists() else folder.parent
        owner = place.stat().st_uid
    except OSError as error:
        raise MachineError(f"the cache folder {folder} cannot be used: {error.strerror}", NAME_A_CACHE) from error
    if not (place.is_dir() and os.access(place, os.R_OK | os.W_OK | os.X_OK)):
        whose = "" if owner == os.getuid() else ": it is another user's"
        raise MachineError(f"the cache folder {place} cannot be written{whose}", NAME_A_CACHE)


def _end(number: int, frame: FrameType | None) -> None:
    """Ends the command by way of its `finally` blocks; the same signal again ends it at once."""
    signal.signal(number, signal.SIG_DFL)
    raise SystemExit(128 + number)


@contextmanager
def ending_signals() -> Iterator[None]:
    """Lets SIGTERM and SIGHUP end a command in order, with exit code 143 or 129.

    What ignores them already (`nohup`) goes on doing so. Forked processes get the plain signals back.
    """
    changed = []
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) == signal.SIG_DFL:
                signal.signal(number, _end)
                changed.append(number)
    try:
        yield
    finally:
        for number in changed:
            signal.signal(number, signal.SIG_DFL)


def _forget_handlers() -> None:
    """Sets the plain signals in a forked process, which must end when it is told to."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is _end:
            signal.signal(number, signal.SIG_DFL)


os.register_at_fork(after_in_child=_forget_handlers)
