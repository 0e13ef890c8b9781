"""Tables in Parquet and CSV files of any size: read and written in batches, so that memory stays bounded."""

from __future__ import annotations

import csv
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any, Self

import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq

from domain.registry.errors import InvalidInput, Unavailable

BATCH_ROWS = 1 << 16
"""The most rows of a file that are in memory at once."""
_BUFFER_BYTES = 1 << 20
_PARQUET, _CSV = ".parquet", ".csv"

Write = Callable[[pa.RecordBatch], None]


class TableFile:
    """A file to read; every column of a CSV file is text, whatever it looks like.

    Attributes:
        schema: of the batches.
        rows: how many there are; None where only reading the whole file tells.
    """

    def __init__(self, field: str, path: Path) -> None:
        """
        Args:
            field: what the caller calls the file, for errors.

        Raises:
            InvalidInput: it is of another type, or cannot be read.
        """
        self._field, self._path = field, path
        self._suffix = require_type(field, path)
        self._stack = ExitStack()
        self.rows: int | None = None
        with self._readable():
            if self._suffix == _PARQUET:
                self._open_parquet()
            else:
                self._open_csv()

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The rows in their order, at most `BATCH_ROWS` at a time. Raises InvalidInput as when opened."""
        while True:
            with self._readable():
                batch = next(self._batches, None)
            if batch is None:
                return
            for start in range(0, batch.num_rows, BATCH_ROWS):
                yield batch.slice(start, BATCH_ROWS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _open_parquet(self) -> None:
        # By a small buffer, or a row group of any size would be read as a whole.
        table = self._stack.enter_context(
            pq.ParquetFile(self._path, buffer_size=_BUFFER_BYTES, pre_buffer=False)
        )
        self.schema, self.rows = table.schema_arrow, table.metadata.num_rows
        self._batches = table.iter_batches(BATCH_ROWS)

    def _open_csv(self) -> None:
        with self._path.open(encoding="utf-8-sig", newline="") as text:
            names = next(csv.reader(text), [])
        # A type that is guessed from the first rows would not hold for the others.
        as_text = pc.ConvertOptions(column_types={name: pa.string() for name in names})
        # Arrow reads 32 of them ahead.
        blocks = pc.ReadOptions(block_size=_BUFFER_BYTES, use_threads=False)
        reader = self._stack.enter_context(pc.open_csv(self._path, blocks, convert_options=as_text))
        self.schema, self._batches = reader.schema, iter(reader)

    @contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except (OSError, pa.ArrowException, UnicodeDecodeError, csv.Error) as error:
            # Arrow says with an OSError without a number that a file is not what it should be.
            if isinstance(error, OSError) and error.strerror:
                raise self._unreadable(error.strerror) from error
            kind = "Parquet" if self._suffix == _PARQUET else "CSV in UTF-8 with a header"
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise InvalidInput(self._field, str(self._path), f"it is not {kind} ({reason})") from error

    def _unreadable(self, reason: str) -> InvalidInput:
        return InvalidInput(self._field, str(self._path), f"it cannot be read ({reason})")


def require_type(field: str, path: Path) -> str:
    """The type of a table's file, by its name. Raises InvalidInput for other files."""
    suffix = path.suffix.lower()
    if suffix not in (_PARQUET, _CSV):
        raise InvalidInput(field, str(path), f"give a file that ends in {_PARQUET} or {_CSV}")
    return suffix


@contextmanager
def new_table(field: str, path: Path, schema: pa.Schema) -> Iterator[Write]:
    """Write a new file in batches; it gets its name once it is complete, and never after an error.

    Raises:
        InvalidInput: it exists, is of another type, cannot be created, or is CSV, which cannot hold the
            columns.
        Unavailable: the disk failed.
    """
    suffix = require_type(field, path)
    if path.exists():
        raise InvalidInput(field, str(path), "it exists, give the name of a new file")
    unfinished = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        file = unfinished.open("xb")
    except OSError as error:
        raise InvalidInput(field, str(path), f"it cannot be written ({error.strerror})") from error
    try:
        with file, _writing(path), _writer(suffix, file, schema, field) as write:
            yield write
        unfinished.rename(path)
    finally:
        unfinished.unlink(missing_ok=True)


@contextmanager
def csv_on(stream: IO[bytes], schema: pa.Schema, field: str) -> Iterator[Write]:
    """Write CSV in batches to an open stream. Raises InvalidInput if it cannot hold the columns."""
    try:
        pc.write_csv(schema.empty_table(), stream, pc.WriteOptions(include_header=True))
    except pa.ArrowException as error:
        raise InvalidInput(field, "CSV", f"it cannot hold the columns, write Parquet ({error})") from error
    yield lambda batch: pc.write_csv(batch, stream, pc.WriteOptions(include_header=False))


@contextmanager
def _writer(suffix: str, file: Any, schema: pa.Schema, field: str) -> Iterator[Write]:
    if suffix == _CSV:
        with csv_on(file, schema, field) as write:
            yield write
        return
    with pq.ParquetWriter(file, schema, compression="zstd") as writer:
        yield writer.write_batch


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Unavailable(f"{path} cannot be written ({error.strerror or error}): free space") from error
