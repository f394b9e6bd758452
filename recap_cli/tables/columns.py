"""What a stranger's columns hold, as `--columns` says it: caption=text,lyrics=words."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from recap_cli.errors import DataError, OptionError
from recap_cli.tables.text_files import column_name


def parse_columns(text: str, roles: Collection[str], example: str) -> tuple[tuple[str, str], ...]:
    """Returns pairs of what a column holds, one of `roles`, and its name.

    Raises:
        OptionError: it names nothing, one thing twice, or what no file has.
    """
    pairs = [part.partition("=") for part in text.split(",")]
    named = {role.strip(): column_name(name) for role, _, name in pairs}
    if len(named) < len(pairs) or not all(named.values()) or not named.keys() <= set(roles):
        hint = f"name the columns of any of {', '.join(roles)}: {example}"
        raise OptionError(f"--columns {text} is not known", hint)
    return tuple(named.items())


class RenamedColumns:
    """Gives columns the names by which they are read, and knows at the end whether a file had them."""

    def __init__(self, columns: Mapping[str, str]) -> None:
        self.columns = columns
        self.unseen = set(columns.values())

    def apply(self, row: dict[str, Any]) -> dict[str, Any]:
        """Returns a row with what its columns hold; a column that has such a name by chance gives way."""
        found = {role: row[name] for role, name in self.columns.items() if name in row}
        self.unseen -= {self.columns[role] for role in found}
        hidden = {*self.columns, *self.columns.values()}
        return {name: value for name, value in row.items() if name not in hidden} | found

    def check(self, path: Path) -> None:
        """Refuses a name that no row had (DataError)."""
        for role, name in self.columns.items():
            if name in self.unseen:
                raise DataError(f"--columns {role}={name}: {path} has no column {name}", "check its spelling")
