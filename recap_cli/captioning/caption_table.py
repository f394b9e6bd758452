"""The table of captions under `recap caption --out captions.csv`: a row a caption, for a spreadsheet."""

import csv
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from recap_cli.escaping import csv_cell
from recap_cli.files import make_folder, open_atomically
from recap_cli.outputs import CAPTION_COLUMNS


class CaptionTable:
    """A table (.csv, .tsv) that is there when all songs are done; a run that ends before leaves none."""

    def __init__(self, out: Path) -> None:
        self.out, self.stack = out, ExitStack()

    def __enter__(self) -> Self:
        make_folder(self.out.parent)
        file = self.stack.enter_context(open_atomically(self.out))
        mark = "\t" if self.out.suffix.lower() == ".tsv" else ","
        self.writer = csv.writer(file, delimiter=mark, lineterminator="\n")
        self.writer.writerow(CAPTION_COLUMNS)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stack.__exit__(kind, error, trace)

    def append(self, record: dict[str, Any]) -> None:
        """Writes the rows of a song's record, as `SongCaption.to_json` returns it; one that failed has one row."""
        told = ("; ".join(record["warnings"]), record.get("error", ""), record["model"])
        for caption, score in zip(record["captions"] or [""], record["scores"] or [None], strict=True):
            cells = (record["id"], record["audio"], caption)
            self.writer.writerow([*map(csv_cell, cells), score, *map(csv_cell, told)])
