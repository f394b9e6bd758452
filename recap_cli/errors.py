"""The one family of errors that a user may see; this file imports nothing."""


class RecapError(Exception):
    """Something a user can put right; only `cli/app.py` catches it, prints its two lines to stderr and exits.

    `message` says what was wrong and in which file, song or setting; `hint` says what to try next.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __reduce__(self) -> tuple[type["RecapError"], tuple[str, str]]:
        """Returns what rebuilds it in another process, hint included."""
        return type(self), (self.message, self.hint)


class AudioError(RecapError):
    """A song's audio could not be read, or holds nothing that can be heard."""


class MachineError(RecapError):
    """The machine's fault, not the song's.

    The disk is full, there is no temporary folder, no permission, no memory, or too many files are open. The same
    input may well be read later, so whoever keeps a record of failures tries these again.
    """


class LyricsError(RecapError):
    """A lyrics file could not be read as text."""


class DataError(RecapError):
    """A corpus, a manifest or a prepared data folder is missing, damaged or does not fit."""


class BusyError(DataError):
    """Another process is working on the same data folder."""


class ModelError(RecapError):
    """Weights, a model folder or a checkpoint are missing, damaged or do not fit."""


class OptionError(RecapError):
    """A flag, or a setting in Python, has a value that cannot be used."""

    exit_code = 2  # as other wrong usage
