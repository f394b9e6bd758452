"""Rows of Parquet files, where the package pyarrow is installed."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from recap_cli.errors import DataError
from recap_cli.tables.text_files import Row, column_name

PARQUET = ".parquet"
BATCH = 1000  # rows that are held at a time


def parquet_columns(path: Path) -> list[str]:
    """Returns the names of the columns.

    Raises:
        DataError: pyarrow is missing, or the file is damaged.
    """
    return [column_name(name) for name in _open(path).schema_arrow.names]


def parquet_rows(path: Path) -> Iterator[tuple[int, Row]]:
    """Yields numbers and rows without their nulls, a batch at a time.

    Raises:
        DataError: pyarrow is missing, or the file is damaged.
    """
    file, number = _open(path), 0
    try:
        for batch in file.iter_batches(batch_size=BATCH):
            for record in batch.to_pylist():
                number += 1
                yield number, {column_name(key): value for key, value in record.items() if not _is_null(value)}
    except (OSError, ValueError) as error:  # pyarrow's own errors are of these two kinds
        raise DataError(f"{path} is damaged after row {number}: {error}", "fetch it again") from error


def _is_null(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _open(path: Path) -> Any:
    try:
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        hint = "install it (pip install pyarrow), or save the table as .csv or .jsonl"
        raise DataError(f"{path} is a Parquet file, which the package pyarrow reads", hint) from error
    try:
        return ParquetFile(path)
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read {path}: {error}", "fetch it again") from error
