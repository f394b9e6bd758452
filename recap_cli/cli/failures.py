"""What the machine refuses, in words: errors of the system, of memory, of text and of missing packages."""

import errno
import os
from pathlib import Path

from recap_cli.errors import RecapError

# Caught in one place, at the foot of the command; what `explain_failure` does not know is a bug of ours and keeps its
# traceback. UnicodeError is a ValueError, RecursionError a RuntimeError, as is torch's want of memory.
NET = (OSError, MemoryError, RuntimeError, ValueError, ImportError)

AGAIN = "start the same command again"
HINTS = {
    errno.ENOSPC: f"make room, then {AGAIN}: nothing is lost",
    errno.EDQUOT: f"make room, then {AGAIN}: nothing is lost",
    errno.EFBIG: f"the system limits the size of files (ulimit -f): raise it, then {AGAIN}",
    errno.EACCES: "see that you may read and write it",
    errno.EPERM: "see that you may read and write it",
    errno.EROFS: "name a folder on a disk that is not read-only",
    errno.ENOENT: "check the path",
    errno.ENOTDIR: "check the path: a part of it is a file",
    errno.EISDIR: "name a file",
    errno.ENAMETOOLONG: "use a shorter name, or go into the folder and name it from there",
    errno.ELOOP: "repair the links, which lead in a circle",
    errno.EMFILE: "let a process open more files: ulimit -n 4096",
    errno.ENFILE: "close other programs: the system has too many files open",
    errno.EAGAIN: f"close other programs, then {AGAIN}",
    errno.ENOMEM: f"close other programs, then {AGAIN}",
}


def explain_failure(error: BaseException) -> RecapError | None:
    """Returns the two lines for what the machine refused; None for a bug of ours."""
    text = str(error)
    if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and "allocate" in text and "memory" in text):
        return RecapError("there is not enough memory", "close other programs, or take smaller batches or fewer --jobs")
    if isinstance(error, RecursionError):
        return RecapError("folders or JSON are nested too deeply", "move them up some levels")
    if isinstance(error, UnicodeError):
        return explain_text(error)
    if isinstance(error, ImportError):
        return explain_import(error)
    if isinstance(error, OSError):
        return explain_system(error)
    if "home directory" in text:
        return RecapError("there is no home folder", "name one: HOME=FOLDER before the command")
    if "embedded null" in text:
        return RecapError("a path contains a null character", "remove it")
    return None


def explain_system(error: OSError) -> RecapError:
    """Returns the words for a refusal of the system, with the file where it is known."""
    reason = error.strerror or str(error) or type(error).__name__
    if error.filename is None and error.errno == errno.ENOENT and not has_working_folder():
        return RecapError("the folder that you are in no longer exists", "change to another one with cd")
    if "temporary directory" in reason:
        return RecapError(f"there is no folder for temporary files: {reason}", "name one: TMPDIR=FOLDER")
    names = [os.fsdecode(name) for name in (error.filename, error.filename2) if isinstance(name, str | bytes | Path)]
    where = f"{' to '.join(names)}: " if names else ""
    return RecapError(f"{where}{reason}", HINTS.get(error.errno or 0, AGAIN))


def has_working_folder() -> bool:
    """Whether the folder that the command runs in is there."""
    try:
        Path.cwd()
    except OSError:
        return False
    return True


def explain_text(error: UnicodeError) -> RecapError:
    """Returns the words for a text that cannot be decoded or encoded, with the place."""
    if isinstance(error, UnicodeDecodeError):
        piece = error.object[max(error.start - 20, 0) : error.end + 20].decode("utf-8", "backslashreplace")
        return RecapError(
            f"a text is not encoded as {error.encoding}: {piece}", "convert it: iconv -f latin1 -t utf-8 FILE"
        )
    if isinstance(error, UnicodeEncodeError):
        piece = error.object[max(error.start - 20, 0) : error.end + 20]
        return RecapError(f"a name or text cannot be written in {error.encoding}: {piece}", "rename it")
    return RecapError(f"a text cannot be read: {error}", "convert it to UTF-8")


def explain_import(error: ImportError) -> RecapError | None:
    """Returns the words for a package that is missing or broken; None where it is a part of our own."""
    if (error.name or "").startswith("recap_cli"):
        return None
    package = (error.name or "a package").partition(".")[0]
    return RecapError(f"{package} cannot be loaded: {error}", "install the program again: pip install . in its folder")
