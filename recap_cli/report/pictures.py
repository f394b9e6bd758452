"""Figures become files: whole or not at all, and known as ours by their metadata."""

from pathlib import Path
from typing import Any

from recap_cli.files import make_folder, replace_atomically
from recap_cli.outputs import CREATOR


def save_picture(figure: Any, path: Path, dpi: int) -> None:
    """Writes a matplotlib figure in the format that the suffix names; equal figures give equal files.

    Raises:
        DataError: the disk refuses.
    """
    import matplotlib

    form = path.suffix[1:].lower()
    # SVG has no field for the program that is kept as it is, so its title tells.
    metadata = {
        "png": {"Software": CREATOR},
        "svg": {"Title": CREATOR, "Date": None},
        "pdf": {"Creator": CREATOR, "CreationDate": None},
    }[form]
    settings = {"svg.hashsalt": CREATOR, "text.usetex": False}  # names of songs are no programs of LaTeX
    make_folder(path.parent)
    with replace_atomically(path) as partial, matplotlib.rc_context(settings):
        figure.savefig(partial, dpi=dpi, format=form, metadata=metadata)
